//! What every call passes: its span, whether its certificate still counts, what its role may call,
//! by when it must be answered, and an ErrorInfo on errors that our libraries make.
//!
//! A method is refused unless its service is named here, so a new one is never open by accident.

use std::future::ready;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status as SpanStatus, TraceContextExt as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::debug;

use super::{
    AUDIT_SERVICE, COURIER_SERVICE, FLEET_SERVICE, PARCEL_SERVICE, SECURITY_SERVICE, Surface,
    status,
};
use crate::identity::IdentityKind;
use crate::tls::{Peer, Revocations};
use crate::trace_spans::context_of;
use crate::wall_clock;

/// The header with the time that a caller gives (gRPC over HTTP2, "Requests").
const TIMEOUT_HEADER: &str = "grpc-timeout";
/// The header with the caller's span (W3C Trace Context, section 3.2).
const TRACEPARENT_HEADER: &str = "traceparent";
/// Services of gRPC itself, open to every role that may call anything.
const COMMON_SERVICES: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// The call's own span, in the extensions of each request to our services.
#[derive(Clone, Debug)]
pub(super) struct CallSpan(pub(super) SpanContext);

/// By when the call must be answered, in the extensions of each request.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallDeadline(pub(super) Instant);

/// Puts the gate before all services.
#[derive(Clone, Debug)]
pub(super) struct GateLayer {
    tracer: SdkTracer,
    revocations: Revocations,
    longest: Duration,
}

impl GateLayer {
    pub(super) fn new(surface: &Surface, revocations: Revocations) -> Self {
        let longest = Duration::from_millis(surface.limits.call_timeout_ms);
        Self { tracer: surface.traces.tracer(), revocations, longest }
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate { inner, rules: self.clone() }
    }
}

/// The services behind the gate.
#[derive(Clone, Debug)]
pub(super) struct Gate<S> {
    inner: S,
    rules: GateLayer,
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let allowed = match self.rules.admit(&request) {
            Ok(allowed) => allowed,
            Err(refusal) => return Box::pin(ready(Ok(refusal.into_http()))),
        };
        // The clock starts here and not when the future is first polled, so that we are never
        // behind tonic's own timer, which would answer CANCELLED.
        let until = Instant::now() + allowed;
        request.extensions_mut().insert(CallDeadline(until));
        let mut span = self.rules.span(&request);
        if let Some(span) = &span {
            request.extensions_mut().insert(CallSpan(span.span_context().clone()));
        }
        let inner = self.inner.call(request);
        Box::pin(async move {
            let mut response = match tokio::time::timeout_at(until, inner).await {
                Ok(answer) => answer?,
                Err(_) => status::deadline_exceeded(allowed.as_millis()).into_http(),
            };
            if let Some(better) = status::of_library(response.headers()) {
                response = better.into_http();
            }
            if let Some(span) = &mut span {
                finish(span, response.headers());
            }
            Ok(response)
        })
    }
}

impl GateLayer {
    /// The time that the call has, if it may be made at all.
    fn admit(&self, request: &Request<Body>) -> Result<Duration, Status> {
        let peer = peer(request.extensions())?;
        let path = request.uri().path();
        check_certificate(peer, &self.revocations)?;
        check_role(peer.identity.kind(), path)?;
        debug!(caller = %peer.identity, method = path, "call");
        Ok(timeout(request.headers())?.map_or(self.longest, |given| given.min(self.longest)))
    }

    /// Calls to our own services get a span: the caller's child, or the root of a new trace.
    fn span(&self, request: &Request<Body>) -> Option<Span> {
        let (service, method) = split(request.uri().path())?;
        if COMMON_SERVICES.contains(&service) {
            return None;
        }
        let parent = request.headers().get(TRACEPARENT_HEADER);
        let parent = parent.and_then(|value| value.to_str().ok()?.parse().ok());
        let parent = parent.and_then(|parent| context_of(&parent));
        let context = Context::new();
        let context = parent
            .map_or_else(|| context.clone(), |parent| context.with_remote_span_context(parent));
        let builder = SpanBuilder::from_name(format!("{service}/{method}"))
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("rpc.system", "grpc"),
                KeyValue::new("rpc.service", service.to_owned()),
                KeyValue::new("rpc.method", method.to_owned()),
            ]);
        Some(builder.start_with_context(&self.tracer, &context))
    }
}

/// An error stands in the answer's own headers, because our calls fail before they send a message.
fn finish(span: &mut Span, answer: &HeaderMap) {
    let code = Status::from_header_map(answer).map_or(Code::Ok, |status| status.code());
    span.set_attribute(KeyValue::new("rpc.grpc.status_code", i64::from(i32::from(code))));
    match code {
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => span.set_status(SpanStatus::error(code.description())),
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unauthenticated => {}
    }
    span.end();
}

/// Who is at the other end; the listener puts it into every request.
pub(super) fn peer(extensions: &http::Extensions) -> Result<&Peer, Status> {
    let missing = || status::internal("request without peer", &std::fmt::Error);
    extensions.get::<Peer>().ok_or_else(missing)
}

/// Whether a certificate that was good at the handshake still is.
pub(super) fn check_certificate(peer: &Peer, revocations: &Revocations) -> Result<(), Status> {
    if revocations.contains(peer) {
        return Err(status::revoked());
    }
    let now_s = i64::try_from(wall_clock::now().0 / 1_000).unwrap_or(i64::MAX);
    if peer.expires_s < now_s { Err(status::certificate_expired()) } else { Ok(()) }
}

fn check_role(role: IdentityKind, path: &str) -> Result<(), Status> {
    let service = split(path).map_or("", |(service, _)| service);
    let may = match role {
        IdentityKind::Carrier => {
            [PARCEL_SERVICE, COURIER_SERVICE].contains(&service)
                || COMMON_SERVICES.contains(&service)
        }
        IdentityKind::Operator => {
            [FLEET_SERVICE, SECURITY_SERVICE, AUDIT_SERVICE].contains(&service)
                || COMMON_SERVICES.contains(&service)
        }
        IdentityKind::Bank | IdentityKind::Hub => false,
    };
    if may { Ok(()) } else { Err(status::not_for_role(&role.to_string(), path)) }
}

fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/')?.split_once('/')
}

/// The caller's own limit, if it gave one.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(TIMEOUT_HEADER) else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(parse_timeout);
    parsed.map(Some).ok_or_else(status::timeout_malformed)
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(count * 3_600)),
        'M' => Some(Duration::from_secs(count * 60)),
        'S' => Some(Duration::from_secs(count)),
        'm' => Some(Duration::from_millis(count)),
        'u' => Some(Duration::from_micros(count)),
        'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
