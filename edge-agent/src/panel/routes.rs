//! The panel's routes. Each is one [`Ask`] to the bank, or a look at its state.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::HttpBody as _;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{Stream, StreamExt};
use locker_core::code::digits::DigitsError;
use locker_core::refusal::Refusal;
use serde::Serialize;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::WatchStream;

use super::body::{Asks, Done, Door, Found, Inspect, Keypad, Recall, ResetBoard, Scan};
use super::{Access, BODY_MAX_BYTES, STREAMS_MAX};
use crate::bank::{Ask, Event, PanelKeypad, PanelRecall, PanelState};

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
    #[error("the barcode is no label's")]
    BarcodeMalformed,
    #[error("the carrier is not lower-case letters, digits and inner hyphens")]
    CarrierMalformed,
    #[error("{0}")]
    DigitsMalformed(DigitsError),
    #[error("the phone's digits are the last four of its number")]
    PhoneMalformed,
    #[error("this bank takes no digits; the QR code opens")]
    KeypadAbsent,
    #[error("the agent is stopping")]
    Stopping,
    #[error("too many screens follow the state")]
    TooManyStreams,
}

impl PanelError {
    const fn status(self) -> StatusCode {
        match self {
            Self::Refused(_) | Self::KeypadAbsent => StatusCode::CONFLICT,
            Self::NotAdmitted => StatusCode::UNAUTHORIZED,
            Self::BodyMalformed
            | Self::BarcodeMalformed
            | Self::CarrierMalformed
            | Self::DigitsMalformed(_)
            | Self::PhoneMalformed => StatusCode::BAD_REQUEST,
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
            Self::BarcodeMalformed => "BARCODE_MALFORMED",
            Self::CarrierMalformed => "CARRIER_MALFORMED",
            Self::DigitsMalformed(_) => "DIGITS_MALFORMED",
            Self::PhoneMalformed => "PHONE_MALFORMED",
            Self::KeypadAbsent => "KEYPAD_ABSENT",
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

/// What must leave.
#[derive(Serialize)]
struct Recalls {
    recalls: Vec<PanelRecall>,
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
        .route("/v1/session", post(asked::<Scan>))
        .route("/v1/session/scan", post(asked::<Scan>))
        .route("/v1/session/keypad", post(keypad))
        .route("/v1/session/door", post(door))
        .route("/v1/session/done", post(asked::<Done>))
        .route("/v1/session/cancel", post(|panel| ask(panel, Ask::Cancel)))
        .route("/v1/session/recall", post(asked::<Recall>))
        .route("/v1/recalls", get(recalls))
        .route("/v1/staff/inspect", post(asked::<Inspect>))
        .route("/v1/staff/found", post(asked::<Found>))
        .route("/v1/staff/lockdown", post(|panel| ask(panel, Ask::LockDown)))
        .route("/v1/staff/lift", post(|panel| ask(panel, Ask::LiftLockdown)))
        .route("/v1/staff/reset_board", post(asked::<ResetBoard>))
        .route("/v1/staff/reset_keypad", post(|panel| ask(panel, Ask::ResetKeypad)))
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

/// A route whose body says what is asked.
async fn asked<T: Asks>(
    panel: State<Panel>,
    body: Body<T>,
) -> Result<Json<PanelState>, PanelError> {
    let Json(body) = body?;
    ask(panel, body.ask()?).await
}

/// As [`asked`], if this bank can read digits at all.
async fn keypad(panel: State<Panel>, body: Body<Keypad>) -> Result<Json<PanelState>, PanelError> {
    if panel.state.borrow().keypad == PanelKeypad::Absent {
        return Err(PanelError::KeypadAbsent);
    }
    asked(panel, body).await
}

/// As [`asked`], but no body at all means the same as an empty object.
async fn door(panel: State<Panel>, request: Request) -> Result<Json<PanelState>, PanelError> {
    let door = if request.body().is_end_stream() {
        Door::default()
    } else {
        Json::from_request(request, &panel.0).await?.0
    };
    ask(panel, door.ask()?).await
}

/// What must leave and whoever is at the screen may take out.
async fn recalls(State(panel): State<Panel>) -> Result<Json<Recalls>, PanelError> {
    let (reply, answer) = oneshot::channel();
    panel.events.send(Event::Recalls { reply }).await.map_err(|_| PanelError::Stopping)?;
    match answer.await {
        Ok(Ok(recalls)) => Ok(Json(Recalls { recalls })),
        Ok(Err(refusal)) => Err(PanelError::Refused(refusal)),
        Err(_) => Err(PanelError::Stopping),
    }
}

async fn ask(State(panel): State<Panel>, ask: Ask) -> Result<Json<PanelState>, PanelError> {
    let (reply, answer) = oneshot::channel();
    let event = Event::Ask { ask, asked_at: Instant::now(), reply };
    panel.events.send(event).await.map_err(|_| PanelError::Stopping)?;
    match answer.await {
        Ok(Ok(())) => Ok(shown(&panel)),
        Ok(Err(refusal)) => Err(PanelError::Refused(refusal)),
        Err(_) => Err(PanelError::Stopping),
    }
}

async fn state(State(panel): State<Panel>) -> Json<PanelState> {
    shown(&panel)
}

fn shown(panel: &Panel) -> Json<PanelState> {
    Json(panel.state.borrow().at(Instant::now()))
}

/// The state now and after every change; changes that a slow screen misses are merged.
async fn stream(
    State(panel): State<Panel>,
) -> Result<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>, PanelError> {
    let place = Arc::clone(&panel.streams).try_acquire_owned();
    let place: OwnedSemaphorePermit = place.map_err(|_| PanelError::TooManyStreams)?;
    let states = WatchStream::new(panel.state.clone()).map(move |state| {
        let _held = &place;
        let data = serde_json::to_string(&state.at(Instant::now())).unwrap_or_default();
        Ok(SseEvent::default().event("state").id(state.revision.to_string()).data(data))
    });
    Ok(Sse::new(states).keep_alive(KeepAlive::default()))
}
