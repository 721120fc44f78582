//! `scorewire users`: add and list users, of a running server through its API, else in its files.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use scorewire_core::data_dir::{DataDir, DataDirError};
use scorewire_core::domain::{UserId, UserName};
use scorewire_core::ports::{NewUser, UserCreation};
use scorewire_core::registration;
use scorewire_core::settings::Settings;
use scorewire_core::wiring::{Wiring, WiringError};
use serde_json::json;

use super::{LocalArgs, token};
use crate::http::UserView;

/// Users read at a time.
const PAGE: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum UsersCommand {
    /// Add a user; repeating it changes nothing
    Add(AddArgs),
    /// List users by id
    List(LocalArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// The name shown on boards
    name: String,
    /// The user's id [default: the next free one]
    #[arg(long)]
    id: Option<i64>,
    #[command(flatten)]
    local: LocalArgs,
}

/// Where the users are.
enum Users {
    /// A server runs: its API.
    Running { url: String, token: String, http: reqwest::Client },
    /// No server runs: its files.
    Files(Wiring),
}

#[expect(clippy::print_stdout, reason = "this is the command's output")]
pub(super) async fn run(command: UsersCommand) -> anyhow::Result<()> {
    match command {
        UsersCommand::Add(args) => {
            let id = args.id.map(UserId::parse).transpose()?;
            let user = NewUser { id, name: UserName::parse(&args.name)? };
            let users = Users::open(&args.local.settings()?).await?;
            let (user, created) = users.add(&user).await?;
            println!("{}\t{}\t{}", user.id, user.name, if created { "added" } else { "was there" });
            users.close().await;
        }
        UsersCommand::List(local) => {
            let users = Users::open(&local.settings()?).await?;
            let mut after = None;
            loop {
                let page = users.page(after).await?;
                for user in &page {
                    println!("{}\t{}\t{}", user.id, user.name, user.created_at);
                }
                let Some(last) = page.last().filter(|_| page.len() == PAGE) else { break };
                after = Some(last.id);
            }
            users.close().await;
        }
    }
    Ok(())
}

impl Users {
    async fn open(settings: &Settings) -> anyhow::Result<Self> {
        match Wiring::open(settings).await {
            Ok(wiring) => Ok(Self::Files(wiring)),
            Err(locked @ WiringError::DataDir(DataDirError::Locked { .. })) => {
                let url = DataDir::announced(&settings.data_dir).ok_or(locked)?;
                let token = token::of_local_server(settings)?
                    .context("a server runs there, and its secret is not known here: set JWT_SECRET as it has it")?;
                Ok(Self::Running { url, token, http: reqwest::Client::new() })
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn add(&self, user: &NewUser) -> anyhow::Result<(UserView, bool)> {
        match self {
            Self::Files(wiring) => match registration::create_user(wiring, user).await? {
                UserCreation::Created(user, _) => Ok(((&user).into(), true)),
                UserCreation::Existing(user) => Ok(((&user).into(), false)),
                UserCreation::NameDiffers(user) => {
                    bail!("user {} exists under the name {}", user.id, user.name.as_str())
                }
            },
            Self::Running { url, token, http } => {
                let mut body = json!({ "name": user.name.as_str() });
                if let Some(id) = user.id {
                    body["id"] = json!(id);
                }
                let answer = http.post(format!("{url}/users")).bearer_auth(token).json(&body).send().await?;
                let created = answer.status() == reqwest::StatusCode::CREATED;
                Ok((checked(answer).await?.json().await?, created))
            }
        }
    }

    async fn page(&self, after: Option<i64>) -> anyhow::Result<Vec<UserView>> {
        match self {
            Self::Files(wiring) => {
                let after = after.map(UserId::parse).transpose()?;
                Ok(wiring.roster.users(after, PAGE).await?.iter().map(UserView::from).collect())
            }
            Self::Running { url, token, http } => {
                let after = after.map(|id| format!("?after={id}")).unwrap_or_default();
                let answer = http.get(format!("{url}/users{after}")).bearer_auth(token).send().await?;
                Ok(checked(answer).await?.json().await?)
            }
        }
    }

    async fn close(self) {
        if let Self::Files(wiring) = self {
            wiring.close().await;
        }
    }
}

/// A refusal in the server's own words.
async fn checked(answer: reqwest::Response) -> anyhow::Result<reqwest::Response> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let problem: serde_json::Value = answer.json().await.unwrap_or_default();
    bail!("the server answered {status}: {}", problem["detail"].as_str().unwrap_or("without saying why"))
}
