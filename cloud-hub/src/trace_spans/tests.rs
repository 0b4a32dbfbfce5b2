use std::sync::{Arc, Mutex};

use locker_core::ids::{BankId, CompartmentNo};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::*;

/// Keeps what is exported.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn stamp(kind: &'static str, seq: u64, session: u8, at: u64) -> TraceStamp {
    TraceStamp {
        bank: "bank-1".parse::<BankId>().unwrap(),
        trace: PARENT.parse().unwrap(),
        stream: StreamId([7; 16]),
        seq,
        kind,
        compartment: Some(CompartmentNo(4)),
        session: Some(SessionId([session; 16])),
        at: UnixMillis(at),
    }
}

fn spans_of(stamps: impl IntoIterator<Item = TraceStamp>) -> Vec<SpanData> {
    let exporter = Kept::default();
    let traces = Traces::with(|builder| builder.with_simple_exporter(exporter.clone()));
    let mut spans = BankSpans::new(traces.tracer());
    for stamp in stamps {
        spans.take(stamp);
    }
    let spans = exporter.0.lock().unwrap();
    spans.clone()
}

#[test]
fn a_deposit_becomes_one_span_under_its_parcel_with_the_banks_times() {
    let spans =
        spans_of([stamp("deposit_started", 5, 1, 1_000), stamp("deposit_confirmed", 9, 1, 4_000)]);
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(span.name, "deposit");
    assert_eq!(span.span_context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(span.parent_span_id.to_string(), "00f067aa0ba902b7");
    assert_eq!(span.start_time, system_time(UnixMillis(1_000)));
    assert_eq!(span.end_time, system_time(UnixMillis(4_000)));
    let attributes: Vec<_> =
        span.attributes.iter().map(|a| format!("{}={}", a.key, a.value)).collect();
    assert_eq!(
        attributes,
        ["postern.bank=bank-1", "postern.compartment=4", "postern.outcome=deposit_confirmed"]
    );
}

#[test]
fn two_people_at_two_banks_do_not_mix() {
    let spans = spans_of([
        stamp("pickup_started", 5, 1, 1_000),
        stamp("pickup_started", 6, 2, 2_000),
        stamp("pickup_settled", 7, 1, 3_000),
        stamp("pickup_settled", 8, 2, 9_000),
    ]);
    let times: Vec<_> = spans.iter().map(|span| (span.start_time, span.end_time)).collect();
    let at = |ms| system_time(UnixMillis(ms));
    assert_eq!(times, [(at(1_000), at(3_000)), (at(2_000), at(9_000))]);
}

#[test]
fn a_recall_and_an_inspection_become_spans_of_their_own() {
    let spans = spans_of([
        stamp("inspection_started", 5, 1, 1_000),
        stamp("inspection_settled", 6, 1, 2_000),
        stamp("recall_started", 7, 1, 3_000),
        stamp("recall_settled", 9, 1, 7_000),
    ]);
    let at = |ms| system_time(UnixMillis(ms));
    let seen: Vec<_> =
        spans.iter().map(|span| (span.name.as_ref(), span.start_time, span.end_time)).collect();
    assert_eq!(seen, [("inspection", at(1_000), at(2_000)), ("recall", at(3_000), at(7_000))]);
    for (span, outcome) in spans.iter().zip(["inspection_settled", "recall_settled"]) {
        assert_eq!(span.parent_span_id.to_string(), "00f067aa0ba902b7");
        assert!(span.attributes.contains(&KeyValue::new("postern.outcome", outcome)));
        assert!(span.attributes.contains(&KeyValue::new("postern.compartment", 4_i64)));
    }
}

#[test]
fn a_replayed_record_gives_the_same_span_id() {
    let story = || [stamp("deposit_started", 5, 1, 1_000), stamp("deposit_confirmed", 9, 1, 4_000)];
    let (first, again) = (spans_of(story()), spans_of(story()));
    assert_eq!(first[0].span_context.span_id(), again[0].span_context.span_id());
}

#[test]
fn an_abort_is_an_error_and_an_end_without_beginning_says_so() {
    let spans = spans_of([
        stamp("deposit_started", 5, 1, 1_000),
        stamp("deposit_aborted", 6, 1, 2_000),
        stamp("pickup_settled", 7, 3, 3_000),
    ]);
    assert_eq!(spans[0].status, Status::error("deposit_aborted"));
    assert!(spans[1].attributes.iter().any(|a| a.key.as_str() == "postern.start_unknown"));
    assert_eq!(spans[1].start_time, spans[1].end_time);
}

#[test]
fn the_table_of_open_stages_is_bounded() {
    let traces = Traces::local();
    let mut spans = BankSpans::new(traces.tracer());
    for session in 0..u32::try_from(OPEN_MAX + 10).unwrap() {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&session.to_be_bytes());
        let begun = stamp("deposit_started", session.into(), 0, session.into());
        spans.take(TraceStamp { session: Some(SessionId(id)), ..begun });
    }
    assert_eq!((spans.open.len(), spans.dropped), (OPEN_MAX, 10));
}

#[test]
fn a_traceparent_survives_the_way_there_and_back() {
    let parent: TraceParent = PARENT.parse().unwrap();
    let context = context_of(&parent).unwrap();
    assert!(context.is_sampled() && context.is_remote());
    assert_eq!(parent_of(&context).unwrap(), parent);
    assert_eq!(parent_of(&SpanContext::empty_context()), None);
}
