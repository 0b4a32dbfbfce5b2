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
use serde::{Deserialize, Serialize};
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

/// What a person says happened behind the door.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome<'a> {
    /// The parcel is inside; in which compartment, if the screen asks for it.
    Deposited {
        /// The number on the door.
        compartment: Option<u16>,
    },
    /// It is too large, and out again.
    DoesNotFit,
    /// The courier keeps it.
    TookBack,
    /// Something is inside already.
    FoundOccupied,
    /// The recipient has it.
    Taken,
    /// The recipient left it inside.
    NotTaken,
    /// The recipient does not want it.
    Refused,
    /// Nothing is inside.
    FoundEmpty,
    /// A parcel that must leave is out.
    Removed {
        /// What its label says.
        barcode: &'a str,
    },
    /// Nothing more to do.
    Finished,
}

impl Outcome<'_> {
    /// The parcel is behind the door that was opened for it.
    pub const DEPOSITED: Self = Self::Deposited { compartment: None };
}

/// Which door is to be opened.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DoorAction {
    /// The one that was stuck.
    Again,
    /// The same: something was forgotten.
    Reopen,
    /// That of the next parcel.
    Next,
}

/// What staff found in a compartment.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding<'a> {
    /// Nothing.
    Empty,
    /// A parcel, and it stays there.
    Holds {
        /// Whose it is.
        carrier: &'a str,
        /// What its label says.
        barcode: &'a str,
    },
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

    /// Types six digits, and the last four of the phone number if the person has them.
    ///
    /// # Errors
    ///
    /// The agent does not answer.
    pub async fn type_digits(&self, digits: &str, phone: Option<&str>) -> Result<Answer> {
        self.post("/v1/session/keypad", &json!({ "digits": digits, "phone": phone })).await
    }

    /// Says what happened.
    ///
    /// # Errors
    ///
    /// The agent does not answer.
    pub async fn done(&self, outcome: Outcome<'_>) -> Result<Answer> {
        self.post("/v1/session/done", &json!(outcome)).await
    }

    /// Asks for a door.
    ///
    /// # Errors
    ///
    /// The agent does not answer.
    pub async fn door(&self, action: DoorAction) -> Result<Answer> {
        self.post("/v1/session/door", &json!({ "action": action })).await
    }

    /// Asks for a parcel that must leave.
    ///
    /// # Errors
    ///
    /// The agent does not answer.
    pub async fn recall(&self, barcode: &str) -> Result<Answer> {
        self.post("/v1/session/recall", &json!({ "barcode": barcode })).await
    }

    /// Gives up.
    ///
    /// # Errors
    ///
    /// The agent does not answer.
    pub async fn cancel(&self) -> Result<Answer> {
        self.post("/v1/session/cancel", &json!({})).await
    }

    /// Staff wants to look into a compartment.
    ///
    /// # Errors
    ///
    /// The agent does not answer.
    pub async fn inspect(&self, compartment: u16) -> Result<Answer> {
        self.post("/v1/staff/inspect", &json!({ "compartment": compartment })).await
    }

    /// Staff says what is inside.
    ///
    /// # Errors
    ///
    /// The agent does not answer.
    pub async fn found(&self, finding: Finding<'_>) -> Result<Answer> {
        self.post("/v1/staff/found", &json!(finding)).await
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
