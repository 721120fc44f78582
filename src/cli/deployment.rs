//! Where commands do their work: through the API of a running embedded server, else on the deployment itself (its
//! files, or the Redis and SQL that the settings name).

use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use scorewire_core::data_dir::{DataDir, DataDirError};
use scorewire_core::settings::Settings;
use scorewire_core::wiring::{Wiring, WiringError};
use serde::de::DeserializeOwned;

use super::token;

/// The deployment that the settings name.
pub(super) enum Deployment {
    /// A server of this machine holds it.
    Running(Api),
    /// It is open here.
    Open(Box<Wiring>),
}

impl Deployment {
    pub(super) async fn reach(settings: &Settings) -> anyhow::Result<Self> {
        match Wiring::open(settings, Vec::new()).await {
            Ok(wiring) => Ok(Self::Open(Box::new(wiring))),
            Err(locked @ WiringError::DataDir(DataDirError::Locked { .. })) => {
                let url = DataDir::announced(&settings.data_dir).ok_or(locked)?;
                let token = token::of_local_server(settings)?
                    .context("a server runs there, and its secret is not known here: set JWT_SECRET as it has it")?;
                // Plain HTTP within this machine: certificates are not asked for, and need not be installed.
                let http = reqwest::Client::builder().tls_certs_only([]).build()?;
                Ok(Self::Running(Api { url, token, http }))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn close(self) {
        if let Self::Open(wiring) = self {
            wiring.close().await;
        }
    }
}

/// The API of a running server, with a token that may do everything.
pub(super) struct Api {
    url: String,
    token: String,
    http: reqwest::Client,
}

impl Api {
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }
}

/// The answer to a request with its status; a refusal in the server's own words.
pub(super) async fn answered<T: DeserializeOwned>(request: RequestBuilder) -> anyhow::Result<(StatusCode, T)> {
    let answer = checked(request.send().await?).await?;
    Ok((answer.status(), answer.json().await?))
}

/// The answer to a request; `None` when nothing is there.
pub(super) async fn found<T: DeserializeOwned>(request: RequestBuilder) -> anyhow::Result<Option<T>> {
    let answer = request.send().await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    Ok(Some(checked(answer).await?.json().await?))
}

async fn checked(answer: Response) -> anyhow::Result<Response> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let problem: serde_json::Value = answer.json().await.unwrap_or_default();
    bail!("the server answered {status}: {}", problem["detail"].as_str().unwrap_or("without saying why"))
}
