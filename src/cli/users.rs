//! `scorewire users`: add and list users.

use anyhow::bail;
use clap::{Args, Subcommand};
use reqwest::{Method, StatusCode};
use scorewire_core::domain::{UserId, UserName};
use scorewire_core::ports::{NewUser, UserCreation};
use scorewire_core::registration;
use serde_json::json;

use super::LocalArgs;
use super::deployment::{Deployment, answered};
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

#[expect(clippy::print_stdout, reason = "this is the command's output")]
pub(super) async fn run(command: UsersCommand) -> anyhow::Result<()> {
    match command {
        UsersCommand::Add(args) => {
            let id = args.id.map(UserId::parse).transpose()?;
            let user = NewUser { id, name: UserName::parse(&args.name)? };
            let deployment = Deployment::reach(&args.local.settings()?).await?;
            let (user, created) = add(&deployment, &user).await?;
            println!("{}\t{}\t{}", user.id, user.name, if created { "added" } else { "was there" });
            deployment.close().await;
        }
        UsersCommand::List(local) => {
            let deployment = Deployment::reach(&local.settings()?).await?;
            let mut after = None;
            loop {
                let users = page(&deployment, after).await?;
                for user in &users {
                    println!("{}\t{}\t{}", user.id, user.name, user.created_at);
                }
                let Some(last) = users.last().filter(|_| users.len() == PAGE) else { break };
                after = Some(last.id);
            }
            deployment.close().await;
        }
    }
    Ok(())
}

async fn add(deployment: &Deployment, user: &NewUser) -> anyhow::Result<(UserView, bool)> {
    match deployment {
        Deployment::Open(wiring) => match registration::create_user(wiring, user).await? {
            UserCreation::Created(user, _) => Ok(((&user).into(), true)),
            UserCreation::Existing(user) => Ok(((&user).into(), false)),
            UserCreation::NameDiffers(user) => {
                bail!("user {} exists under the name {}", user.id, user.name.as_str())
            }
        },
        Deployment::Running(api) => {
            let mut body = json!({ "name": user.name.as_str() });
            if let Some(id) = user.id {
                body["id"] = json!(id);
            }
            let (status, user) = answered(api.request(Method::POST, "/users").json(&body)).await?;
            Ok((user, status == StatusCode::CREATED))
        }
    }
}

async fn page(deployment: &Deployment, after: Option<i64>) -> anyhow::Result<Vec<UserView>> {
    match deployment {
        Deployment::Open(wiring) => {
            let after = after.map(UserId::parse).transpose()?;
            Ok(wiring.roster.users(after, PAGE).await?.iter().map(UserView::from).collect())
        }
        Deployment::Running(api) => {
            let after = after.map(|id| format!("?after={id}")).unwrap_or_default();
            Ok(answered(api.request(Method::GET, &format!("/users{after}"))).await?.1)
        }
    }
}
