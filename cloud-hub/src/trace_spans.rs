//! Traces that reach from a carrier's call to a recipient's hand.
//!
//! A call brings its trace in the `traceparent` of its metadata or begins one; announcing a parcel
//! writes the call's own span into the parcel, and the bank copies it into every record about it.
//! Agents run no exporter, so the hub makes the bank's spans from those records once they are
//! committed: `deposit`, `pickup`, `recall` and `inspection`, with the times of the bank's clock.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use locker_core::ids::{SessionId, StreamId, TraceParent};
use locker_core::units::UnixMillis;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _,
    TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;
use tokio::sync::mpsc;
use tracing::warn;

use crate::ingest::TraceStamp;
use crate::telemetry::{Traces, with_span_id};

/// Stages that have begun and not ended. One more drops the one that began first: its end then
/// makes a span without length.
const OPEN_MAX: usize = 4_096;

/// Reads a span's context out of a `traceparent`; `None` for all-zero ids, which the W3C calls
/// invalid.
#[must_use]
pub fn context_of(parent: &TraceParent) -> Option<SpanContext> {
    let mut parts = parent.as_str().split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(parts.next()?, 16).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

/// The `traceparent` under which a span's children go; `None` for a span without ids.
#[must_use]
pub fn parent_of(context: &SpanContext) -> Option<TraceParent> {
    let (trace, span) = (context.trace_id(), context.span_id());
    let text = format!("00-{trace}-{span}-{:02x}", context.trace_flags().to_u8());
    if context.is_valid() { text.parse().ok() } else { None }
}

/// Makes the banks' spans from what arrives, until the sending side has gone.
pub async fn run(traces: Traces, mut stamps: mpsc::Receiver<TraceStamp>) {
    let mut spans = BankSpans::new(traces.tracer());
    while let Some(stamp) = stamps.recv().await {
        spans.take(stamp);
    }
}

/// The stages under way.
#[derive(Debug)]
struct BankSpans {
    tracer: SdkTracer,
    open: HashMap<(StreamId, SessionId, Stage), TraceStamp>,
    dropped: u64,
}

/// What a person does at a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Deposit,
    Pickup,
    /// A courier or staff takes a parcel out.
    Recall,
    /// Staff looks into a compartment that holds a parcel, or should.
    Inspection,
}

/// What a record means for its stage.
enum Turn {
    Begins,
    Ends,
    /// It ended without the parcel changing hands.
    Fails,
}

impl BankSpans {
    fn new(tracer: SdkTracer) -> Self {
        Self { tracer, open: HashMap::new(), dropped: 0 }
    }

    fn take(&mut self, stamp: TraceStamp) {
        let (stage, turn) = match stamp.kind {
            "deposit_started" => (Stage::Deposit, Turn::Begins),
            "deposit_confirmed" => (Stage::Deposit, Turn::Ends),
            "deposit_misfit" | "deposit_aborted" => (Stage::Deposit, Turn::Fails),
            "pickup_started" => (Stage::Pickup, Turn::Begins),
            "pickup_settled" => (Stage::Pickup, Turn::Ends),
            "recall_started" => (Stage::Recall, Turn::Begins),
            "recall_settled" => (Stage::Recall, Turn::Ends),
            "inspection_started" => (Stage::Inspection, Turn::Begins),
            "inspection_settled" => (Stage::Inspection, Turn::Ends),
            _ => return,
        };
        let Some(session) = stamp.session else { return };
        let key = (stamp.stream, session, stage);
        match turn {
            Turn::Begins => {
                self.make_room();
                self.open.insert(key, stamp);
            }
            Turn::Ends | Turn::Fails => {
                let begun = self.open.remove(&key);
                let failed = matches!(turn, Turn::Fails);
                self.make_span(stage, begun.as_ref(), &stamp, failed);
            }
        }
    }

    fn make_room(&mut self) {
        if self.open.len() < OPEN_MAX {
            return;
        }
        let first = self.open.iter().min_by_key(|(_, stamp)| stamp.at).map(|(key, _)| *key);
        if let Some(key) = first {
            self.open.remove(&key);
            self.dropped += 1;
            warn!(dropped = self.dropped, "stage left without its beginning");
        }
    }

    fn make_span(&self, stage: Stage, begun: Option<&TraceStamp>, end: &TraceStamp, failed: bool) {
        let Some(parent) = context_of(&end.trace) else { return };
        let name = match stage {
            Stage::Deposit => "deposit",
            Stage::Pickup => "pickup",
            Stage::Recall => "recall",
            Stage::Inspection => "inspection",
        };
        let compartment = end.compartment.or_else(|| begun.and_then(|stamp| stamp.compartment));
        let mut attributes = vec![KeyValue::new("postern.bank", end.bank.to_string())];
        attributes
            .extend(compartment.map(|no| KeyValue::new("postern.compartment", i64::from(no.0))));
        attributes.push(KeyValue::new("postern.outcome", end.kind));
        if begun.is_none() {
            attributes.push(KeyValue::new("postern.start_unknown", true));
        }
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Internal)
            .with_start_time(system_time(begun.unwrap_or(end).at))
            .with_attributes(attributes);
        let context = Context::new().with_remote_span_context(parent);
        let mut span =
            with_span_id(span_id_of(end), || builder.start_with_context(&self.tracer, &context));
        if failed {
            span.set_status(Status::error(end.kind));
        }
        span.end_with_timestamp(system_time(end.at));
    }
}

/// The same for the same record, however often its span is made.
fn span_id_of(stamp: &TraceStamp) -> SpanId {
    let place = [&stamp.stream.0[..], &stamp.seq.to_be_bytes()].concat();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &place);
    let mut id = [0; 8];
    id.copy_from_slice(&digest.as_ref()[..8]);
    SpanId::from_bytes(id)
}

fn system_time(at: UnixMillis) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(at.0)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
