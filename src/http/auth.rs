//! Tokens: JWT with HS256 and nothing else.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, header};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use scorewire_core::domain::{Subject, UserId};
use scorewire_core::settings::Settings;
use serde::{Deserialize, Serialize};

pub use super::pattern::TopicPattern;
use super::problem::{Kind, Problem};
pub use super::scope::{Grant, Scope};
use super::verified::{Validity, Verified};

/// The shortest secret HS256 may use (RFC 7518, 3.2).
pub const SHORTEST_SECRET: usize = 32;
/// The longest subject, in bytes: it is stored with every update.
const LONGEST_SUBJECT: usize = 128;

/// The claim `use` of a token that may stand in a URL.
const STREAM_USE: &str = "stream";

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    scope: String,
    exp: u64,
    /// jsonwebtoken takes fractions of seconds here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    /// What alone the token is good for, where that is said.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
}

/// Who sent a request, and what it may do.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) subject: Subject,
    scopes: Vec<Scope>,
    /// Which topics it may watch.
    pub(super) patterns: Vec<TopicPattern>,
    /// The token is a stream token: good for nothing else.
    pub(super) for_streams: bool,
    /// When the token ends, in seconds since the Unix epoch, leeway included.
    pub(super) until: u64,
}

impl Caller {
    #[cfg(test)]
    pub(super) fn nobody() -> Self {
        let subject = Subject::new("nobody");
        Self { subject, scopes: Vec::new(), patterns: Vec::new(), for_streams: false, until: 0 }
    }

    fn of(claims: Claims, leeway: u64) -> Self {
        let for_streams = claims.purpose.is_some();
        let mut caller = Self {
            subject: Subject::new(claims.sub),
            scopes: Vec::new(),
            patterns: Vec::new(),
            for_streams,
            until: claims.exp.saturating_add(leeway),
        };
        // Words for other services may stand beside ours.
        for grant in claims.scope.split_ascii_whitespace().filter_map(|word| word.parse().ok()) {
            match grant {
                Grant::Watch(pattern) => caller.patterns.push(pattern),
                Grant::Scope(scope) if !for_streams => caller.scopes.push(scope),
                Grant::Scope(_) => {}
            }
        }
        caller
    }

    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// The topics it may watch.
    pub(super) fn watchable(&self) -> Vec<TopicPattern> {
        if self.may(Scope::Admin) { vec![TopicPattern::all()] } else { self.patterns.clone() }
    }

    /// Fails unless the token permits changing this user's score.
    pub(crate) fn must_own(&self, user: UserId) -> Result<(), Problem> {
        let own = self.may(Scope::OwnScores) && self.subject.as_str() == user.to_string();
        if own || self.may(Scope::AnyScores) {
            return Ok(());
        }
        Err(Problem::new(
            Kind::Forbidden,
            format!(
                "changing the score of user {user} needs the scope scores:write with sub \"{user}\", or scores:write:any"
            ),
        ))
    }

    /// Fails unless the token has a scope.
    pub(crate) fn must(&self, scope: Scope) -> Result<(), Problem> {
        if self.may(scope) {
            return Ok(());
        }
        Err(Problem::new(Kind::Forbidden, format!("this needs the scope {}", scope.word())))
    }
}

/// Checks tokens and makes them.
pub struct Tokens {
    verify: DecodingKey,
    sign: EncodingKey,
    validation: Validation,
    audience: Option<String>,
    issuer: Option<String>,
    verified: Verified,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// The secret is too short to be safe.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("JWT_SECRET has {0} bytes and needs at least {SHORTEST_SECRET}: make one with `openssl rand -hex 32`")]
pub struct ShortSecret(usize);

impl Tokens {
    /// Tokens signed with a secret, checked as the settings ask.
    ///
    /// # Errors
    /// [`ShortSecret`] under 32 bytes.
    pub fn new(secret: &str, settings: &Settings) -> Result<Self, ShortSecret> {
        if secret.len() < SHORTEST_SECRET {
            return Err(ShortSecret(secret.len()));
        }
        let (audience, issuer) = (settings.jwt_audience.0.clone(), settings.jwt_issuer.0.clone());
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = settings.jwt_leeway.0.as_secs();
        validation.validate_nbf = true;
        validation.validate_aud = audience.is_some();
        let mut required = vec!["exp", "sub"];
        if let Some(audience) = &audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        Ok(Self {
            verify: DecodingKey::from_secret(secret.as_bytes()),
            sign: EncodingKey::from_secret(secret.as_bytes()),
            validation,
            audience,
            issuer,
            verified: Verified::default(),
        })
    }

    /// A signed token for a subject.
    ///
    /// # Errors
    /// When signing fails.
    pub fn issue(
        &self,
        subject: &str,
        grants: &[impl Into<Grant> + Clone],
        expires: SystemTime,
    ) -> anyhow::Result<String> {
        let words = grants.iter().map(|grant| grant.clone().into().to_string()).collect::<Vec<_>>();
        self.sign(subject, words.join(" "), expires.duration_since(UNIX_EPOCH)?.as_secs(), None)
    }

    /// A signed token that is good for watching these topics until a Unix second, and for nothing else.
    ///
    /// # Errors
    /// When signing fails.
    pub(super) fn issue_for_streams(
        &self,
        subject: &Subject,
        topics: &[TopicPattern],
        expires: u64,
    ) -> anyhow::Result<String> {
        let words = topics.iter().map(|topic| Grant::Watch(topic.clone()).to_string()).collect::<Vec<_>>();
        self.sign(subject.as_str(), words.join(" "), expires, Some(STREAM_USE.to_owned()))
    }

    fn sign(&self, subject: &str, scope: String, exp: u64, purpose: Option<String>) -> anyhow::Result<String> {
        let aud = self.audience.clone().map(Into::into);
        let claims = Claims { sub: subject.to_owned(), scope, exp, nbf: None, aud, iss: self.issuer.clone(), purpose };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.sign)?)
    }

    /// Clock difference forgiven, in seconds.
    pub(super) fn leeway(&self) -> u64 {
        self.validation.leeway
    }

    /// Who sent a request with these headers; not with a stream token.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Problem> {
        let token = bearer(headers)?.ok_or_else(|| unauthorized("send a token: Authorization: Bearer <JWT>", false))?;
        let caller = self.verify(token)?;
        if caller.for_streams {
            return Err(Problem::new(
                Kind::Forbidden,
                "a stream token is good for streams only: send the token it was made with",
            ));
        }
        Ok(caller)
    }

    /// Whom a token names, of whatever use.
    pub(super) fn verify(&self, token: &str) -> Result<Arc<Caller>, Problem> {
        let now = jsonwebtoken::get_current_timestamp();
        if let Some(caller) = self.verified.find(token, now) {
            return Ok(caller);
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verify, &self.validation)
            .map_err(|error| unauthorized(reason(error.kind()), true))?
            .claims;
        if claims.sub.is_empty() || claims.sub.len() > LONGEST_SUBJECT || claims.sub.chars().any(char::is_control) {
            return Err(unauthorized("the token's sub is 1 to 128 bytes without control characters", true));
        }
        if claims.purpose.as_deref().is_some_and(|purpose| purpose != STREAM_USE) {
            return Err(unauthorized("the token is for another use", true));
        }
        let validity = validity(claims.exp, claims.nbf, self.validation.leeway);
        let caller = Arc::new(Caller::of(claims, self.validation.leeway));
        self.verified.remember(token, validity, &caller, now);
        Ok(caller)
    }
}

/// The token of the `Authorization` header, if there is one.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    token.map(Some).ok_or_else(|| unauthorized("the Authorization header must read: Bearer <JWT>", true))
}

/// When a token with these claims is valid; as jsonwebtoken decides it.
fn validity(exp: u64, nbf: Option<f64>, leeway: u64) -> Validity {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; no time is before 1970")]
    let nbf = nbf.unwrap_or_default().round() as u64;
    Validity { from: nbf.saturating_sub(leeway), until: exp.saturating_add(leeway) }
}

pub(super) fn unauthorized(detail: &str, presented: bool) -> Problem {
    let challenge = if presented { "Bearer error=\"invalid_token\"" } else { "Bearer" };
    Problem::new(Kind::Unauthorized, detail).header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// What is wrong with a token, without telling how far a forged one got.
fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "the token has expired: get a new one",
        ErrorKind::ImmatureSignature => "the token is not valid yet: check the clocks",
        ErrorKind::MissingRequiredClaim(_) => {
            "the token lacks a claim this server needs (exp, sub, and aud or iss where configured)"
        }
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::InvalidIssuer => "the token is from another issuer",
        _ => "the token is not one this server signed (HS256)",
    }
}
