//! What a screen, a scanner and a person's finger do: HTTP to the agent's panel.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use edge_agent::bank::PanelState;
use edge_agent::panel::Access;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::json;

/// Longest wait for an answer: an opening takes two syncs of the disk.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// What the panel answers to a person: the screen from now on, or the reason of a refusal.
pub type Answer = Result<PanelState, Refused>;

/// A refusal, by its stable name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

/// A screen of one agent. It finds the agent again after a restart.
#[derive(Clone, Debug)]
pub struct Panel {
    access_file: PathBuf,
    client: Client<HttpConnector, Full<bytes::Bytes>>,
}

#[derive(Deserialize)]
struct ErrorBody {
    reason: String,
}

impl Panel {
    /// The screen of the agent that writes `access_file`.
    #[must_use]
    pub fn new(access_file: &Path) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { access_file: access_file.to_owned(), client }
    }

    /// Where the agent writes them.
    #[must_use]
    pub fn access_file(&self) -> &Path {
        &self.access_file
    }

    /// Address and token of the agent's present run.
    ///
    /// # Errors
    ///
    /// The agent has not written them yet.
    pub fn access(&self) -> Result<Access> {
        let text = std::fs::read(&self.access_file).context("the panel's access file")?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Scans a code or a label.
    ///
    /// # Errors
    ///
    /// The agent does not answer.
    pub async fn scan(&self, text: &str) -> Result<Answer> {
        self.post("/v1/session/scan", &json!({ "text": text })).await
    }

    /// Says what happened: `deposited`, `does_not_fit`, `taken`, `not_taken` or `finished`.
    ///
    /// # Errors
    ///
    /// The agent does not answer.
    pub async fn done(&self, outcome: &str) -> Result<Answer> {
        self.post("/v1/session/done", &json!({ "outcome": outcome })).await
    }

    /// Asks for another try at the door.
    ///
    /// # Errors
    ///
    /// The agent does not answer.
    pub async fn try_again(&self) -> Result<Answer> {
        self.post("/v1/session/door", &json!({})).await
    }

    /// Gives up.
    ///
    /// # Errors
    ///
    /// The agent does not answer.
    pub async fn cancel(&self) -> Result<Answer> {
        self.post("/v1/session/cancel", &json!({})).await
    }

    /// What the screen shows.
    ///
    /// # Errors
    ///
    /// The agent does not answer.
    pub async fn state(&self) -> Result<PanelState> {
        let answer = self.call(Method::GET, "/v1/state", String::new()).await?;
        answer.map_err(|refused| anyhow!("the panel refuses to show its state: {refused:?}"))
    }

    async fn post(&self, path: &str, body: &serde_json::Value) -> Result<Answer> {
        self.call(Method::POST, path, body.to_string()).await
    }

    async fn call(&self, method: Method, path: &str, body: String) -> Result<Answer> {
        let Access { address, token } = self.access()?;
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{address}{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Full::from(body))?;
        let exchange = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        let (status, body) = tokio::time::timeout(ANSWER_LIMIT, exchange)
            .await
            .with_context(|| format!("{path} was not answered"))??;
        match status {
            StatusCode::OK => Ok(Ok(serde_json::from_slice(&body)?)),
            StatusCode::CONFLICT => {
                Ok(Err(Refused(serde_json::from_slice::<ErrorBody>(&body)?.reason)))
            }
            status => bail!("{path} answered {status}: {}", String::from_utf8_lossy(&body)),
        }
    }
}
