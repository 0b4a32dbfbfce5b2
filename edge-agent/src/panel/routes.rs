//! The panel's routes. Each is one [`Ask`] to the bank, or a look at its state.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{Stream, StreamExt};
use locker_core::refusal::Refusal;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::WatchStream;

use super::{Access, BODY_MAX_BYTES, STREAMS_MAX};
use crate::bank::{Ask, Event, PanelState};

/// Why a request got no answer from the bank's rules. Refusals are answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PanelError {
    #[error("{0}")]
    Refused(Refusal),
    #[error("the token or the host is wrong")]
    NotAdmitted,
    #[error("the body is not the JSON that this route takes")]
    BodyMalformed,
    #[error("the body is larger than {BODY_MAX_BYTES} bytes")]
    BodyTooLarge,
    #[error("the body must be application/json")]
    BodyNotJson,
    #[error("the agent is stopping")]
    Stopping,
    #[error("too many screens follow the state")]
    TooManyStreams,
}

impl PanelError {
    const fn status(self) -> StatusCode {
        match self {
            Self::Refused(_) => StatusCode::CONFLICT,
            Self::NotAdmitted => StatusCode::UNAUTHORIZED,
            Self::BodyMalformed => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyNotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Stopping | Self::TooManyStreams => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.reason(),
            Self::NotAdmitted => "NOT_ADMITTED",
            Self::BodyMalformed => "BODY_MALFORMED",
            Self::BodyTooLarge => "BODY_TOO_LARGE",
            Self::BodyNotJson => "BODY_NOT_JSON",
            Self::Stopping => "STOPPING",
            Self::TooManyStreams => "TOO_MANY_STREAMS",
        }
    }
}

impl From<JsonRejection> for PanelError {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::BodyTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::BodyNotJson,
            _ => Self::BodyMalformed,
        }
    }
}

/// What an error looks like on the wire.
#[derive(Debug, Serialize)]
struct ErrorBody {
    reason: &'static str,
    message: String,
}

impl IntoResponse for PanelError {
    fn into_response(self) -> Response {
        let body = ErrorBody { reason: self.reason(), message: self.to_string() };
        (self.status(), Json(body)).into_response()
    }
}

/// `{"text": "..."}`: what the scanner read or the keypad typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scan {
    text: String,
}

/// `{"outcome": "..."}`: what the person says happened.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    outcome: Outcome,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Deposited,
    DoesNotFit,
    Taken,
    NotTaken,
    /// Nothing more to do: sign out.
    Finished,
}

/// A JSON body, or why it is none.
type Body<T> = Result<Json<T>, JsonRejection>;

#[derive(Clone)]
struct Panel {
    access: Arc<Access>,
    events: mpsc::Sender<Event>,
    state: watch::Receiver<PanelState>,
    streams: Arc<Semaphore>,
}

/// Serves the panel on `listener` until `stop` resolves.
///
/// # Errors
///
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    access: Access,
    events: mpsc::Sender<Event>,
    state: watch::Receiver<PanelState>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let streams = Arc::new(Semaphore::new(STREAMS_MAX));
    let panel = Panel { access: Arc::new(access), events, state, streams };
    axum::serve(listener, router(panel)).with_graceful_shutdown(stop).await
}

fn router(panel: Panel) -> Router {
    Router::new()
        .route("/v1/session", post(scan))
        .route("/v1/session/scan", post(scan))
        .route("/v1/session/door", post(|panel| ask(panel, Ask::TryAgain)))
        .route("/v1/session/done", post(done))
        .route("/v1/session/cancel", post(|panel| ask(panel, Ask::Cancel)))
        .route("/v1/state", get(state))
        .route("/v1/state/stream", get(stream))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(middleware::from_fn_with_state(panel.clone(), admit))
        .with_state(panel)
}

async fn admit(State(panel): State<Panel>, request: Request, next: Next) -> Response {
    if panel.access.admits(request.headers()) {
        next.run(request).await
    } else {
        PanelError::NotAdmitted.into_response()
    }
}

async fn scan(panel: State<Panel>, body: Body<Scan>) -> Result<Json<PanelState>, PanelError> {
    let Json(scan) = body?;
    ask(panel, Ask::Scan(scan.text)).await
}

async fn done(panel: State<Panel>, body: Body<Done>) -> Result<Json<PanelState>, PanelError> {
    let Json(done) = body?;
    let what = match done.outcome {
        Outcome::Deposited => Ask::Deposited,
        Outcome::DoesNotFit => Ask::DoesNotFit,
        Outcome::Taken => Ask::Taken,
        Outcome::NotTaken => Ask::NotTaken,
        Outcome::Finished => Ask::Finish,
    };
    ask(panel, what).await
}

async fn ask(State(panel): State<Panel>, ask: Ask) -> Result<Json<PanelState>, PanelError> {
    let (reply, answer) = oneshot::channel();
    let event = Event::Ask { ask, asked_at: Instant::now(), reply };
    panel.events.send(event).await.map_err(|_| PanelError::Stopping)?;
    match answer.await {
        Ok(Ok(())) => Ok(Json(panel.state.borrow().clone())),
        Ok(Err(refusal)) => Err(PanelError::Refused(refusal)),
        Err(_) => Err(PanelError::Stopping),
    }
}

async fn state(State(panel): State<Panel>) -> Json<PanelState> {
    Json(panel.state.borrow().clone())
}

/// The state now and after every change; changes that a slow screen misses are merged.
async fn stream(
    State(panel): State<Panel>,
) -> Result<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>, PanelError> {
    let place = Arc::clone(&panel.streams).try_acquire_owned();
    let place: OwnedSemaphorePermit = place.map_err(|_| PanelError::TooManyStreams)?;
    let states = WatchStream::new(panel.state.clone()).map(move |state| {
        let _held = &place;
        let data = serde_json::to_string(&state).unwrap_or_default();
        Ok(SseEvent::default().event("state").id(state.revision.to_string()).data(data))
    });
    Ok(Sse::new(states).keep_alive(KeepAlive::default()))
}
