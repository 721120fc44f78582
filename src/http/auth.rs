//! Tokens: JWT with HS256 and nothing else.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use scorewire_core::domain::{Subject, UserId};
use scorewire_core::settings::Settings;
use serde::{Deserialize, Serialize};

use super::problem::{Kind, Problem};
use super::verified::{Validity, Verified};

/// The shortest secret HS256 may use (RFC 7518, 3.2).
pub const SHORTEST_SECRET: usize = 32;
/// The longest subject, in bytes: it is stored with every update.
const LONGEST_SUBJECT: usize = 128;

/// What a token permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Change one's own score: the user whose id is the token's subject.
    OwnScores,
    /// Change any score.
    AnyScores,
    /// Create and list users.
    Users,
    /// Everything.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OwnScores, Self::AnyScores, Self::Users, Self::Admin];

    /// The scope's word in the `scope` claim.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::OwnScores => "scores:write",
            Self::AnyScores => "scores:write:any",
            Self::Users => "users:write",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.word() == word)
            .ok_or_else(|| format!("choose from: {}", Self::ALL.map(Self::word).join(", ")))
    }
}

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
}

/// Who sent a request, and what it may do.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) subject: Subject,
    scopes: Vec<Scope>,
}

impl Caller {
    #[cfg(test)]
    pub(super) fn nobody() -> Self {
        Self { subject: Subject::new("nobody"), scopes: Vec::new() }
    }

    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
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
    pub fn issue(&self, subject: &str, scopes: &[Scope], expires: std::time::SystemTime) -> anyhow::Result<String> {
        let claims = Claims {
            sub: subject.to_owned(),
            scope: scopes.iter().map(|s| s.word()).collect::<Vec<_>>().join(" "),
            exp: expires.duration_since(std::time::UNIX_EPOCH)?.as_secs(),
            nbf: None,
            aud: self.audience.clone().map(Into::into),
            iss: self.issuer.clone(),
        };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.sign)?)
    }

    /// Who sent a request with these headers.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Problem> {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Err(unauthorized("send a token: Authorization: Bearer <JWT>", false));
        };
        let token = value.to_str().ok().and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let Some(token) = token else {
            return Err(unauthorized("the Authorization header must read: Bearer <JWT>", true));
        };
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
        let scopes = claims.scope.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        let caller = Arc::new(Caller { subject: Subject::new(claims.sub), scopes });
        self.verified.remember(token, validity(claims.exp, claims.nbf, self.validation.leeway), &caller, now);
        Ok(caller)
    }
}

/// When a token with these claims is valid; as jsonwebtoken decides it.
fn validity(exp: u64, nbf: Option<f64>, leeway: u64) -> Validity {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; no time is before 1970")]
    let nbf = nbf.unwrap_or_default().round() as u64;
    Validity { from: nbf.saturating_sub(leeway), until: exp.saturating_add(leeway) }
}

fn unauthorized(detail: &str, presented: bool) -> Problem {
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
