//! `/users`: who can hold a score.

use http::{HeaderValue, StatusCode, header};
use scorewire_core::domain::{BoardId, User, UserId, UserName};
use scorewire_core::ports::{NewUser, UserCreation};
use scorewire_core::registration;
use serde::{Deserialize, Serialize};

use super::auth::Scope;
use super::problem::{Kind, Problem};
use super::scores::rfc3339;
use super::{App, Call, Response, json_response};

/// Users in one answer of `GET /users`.
const PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUserBody {
    id: Option<i64>,
    name: String,
}

/// A user as the API shows it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserView {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) created_at: String,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        Self { id: user.id.get(), name: user.name.as_str().to_owned(), created_at: rfc3339(user.created_at) }
    }
}

#[derive(Serialize)]
struct Standing {
    board: BoardId,
    score: i64,
    rank: u64,
}

#[derive(Serialize)]
struct UserWithStandings {
    #[serde(flatten)]
    user: UserView,
    standings: Vec<Standing>,
}

/// `POST /users`: creates a user; repeating it changes nothing.
pub(super) async fn create(app: &App, call: &Call<'_>, body: NewUserBody) -> Result<Response, Problem> {
    let caller = call.caller()?;
    caller.must(Scope::Users)?;
    let id = body.id.map(UserId::parse).transpose().map_err(|e| Problem::field("id", e.to_string()))?;
    let name = UserName::parse(&body.name).map_err(|e| Problem::field("name", e.to_string()))?;
    let allowance = app.limits.check_subject(&caller.subject).await?;
    let (status, user) = match registration::create_user(&app.wiring, &NewUser { id, name }).await? {
        UserCreation::Created(user, _) => (StatusCode::CREATED, user),
        UserCreation::Existing(user) => (StatusCode::OK, user),
        UserCreation::NameDiffers(user) => {
            let detail = format!("user {} exists under another name: choose another id, or leave it out", user.id);
            return Err(Problem::new(Kind::UserExists, detail));
        }
    };
    let mut response = json_response(status, &UserView::from(&user));
    if let Ok(location) = HeaderValue::from_str(&format!("/users/{}", user.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if let Some(allowance) = allowance {
        allowance.write(response.headers_mut());
    }
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    after: Option<i64>,
}

/// `GET /users?after=<id>`: users by id, 100 at a time.
pub(super) async fn list(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    call.caller()?.must(Scope::Users)?;
    let query: ListQuery = call.query()?;
    let invalid = |e: scorewire_core::domain::IdError| Problem::new(Kind::InvalidRequest, format!("after: {e}"));
    let after = query.after.map(UserId::parse).transpose().map_err(invalid)?;
    let users = app.wiring.roster.users(after, PAGE).await?;
    Ok(json_response(StatusCode::OK, &users.iter().map(UserView::from).collect::<Vec<_>>()))
}

/// `GET /users/{id}`: a user and where it stands.
pub(super) async fn find(app: &App, call: &Call<'_>) -> Result<Response, Problem> {
    let unknown = || Problem::new(Kind::NotFound, "no user has this id");
    let id = call.parameter.parse().ok().and_then(|id| UserId::parse(id).ok());
    // One spelling: +7 and 07 are no ids.
    let id = id.filter(|id| id.to_string() == call.parameter).ok_or_else(unknown)?;
    let user = app.wiring.roster.find_user(id).await?.ok_or_else(unknown)?;
    let board = BoardId::main();
    let read = app.wiring.boards.row(&board, id).await?;
    let standings = read.value.map(|row| Standing { board, score: row.score, rank: row.rank }).into_iter().collect();
    let mut response = json_response(StatusCode::OK, &UserWithStandings { user: UserView::from(&user), standings });
    super::scores::mark_stale(&mut response, read.stale);
    Ok(response)
}
