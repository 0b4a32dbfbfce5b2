use std::io::Write;
use std::sync::{Arc, Mutex};

use opentelemetry::trace::{Span as _, Tracer as _};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use super::*;

/// Passes on what it is sent.
struct Collector(mpsc::Sender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).await.unwrap();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_reach_the_collector_before_the_stop_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut received) = mpsc::channel(8);
    let service = TraceServiceServer::new(Collector(sender));
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming),
    );
    let traces = Traces::to_collector(&endpoint).unwrap();
    traces.tracer().start("announced").end();
    traces.stop(Duration::from_secs(10)).await;
    let request = received.try_recv().unwrap();
    let resource = &request.resource_spans[0];
    assert_eq!(resource.scope_spans[0].spans[0].name, "announced");
    assert!(format!("{:?}", resource.resource).contains(SERVICE_NAME));
}

#[tokio::test]
async fn a_collectors_address_that_is_none_is_named() {
    let error = Traces::to_collector("http://no host").unwrap_err();
    assert!(error.to_string().contains("no host"), "{error}");
}

#[test]
fn a_preset_id_is_used_once() {
    let tracer = Traces::local().tracer();
    let id = SpanId::from_bytes([7; 8]);
    let preset = with_span_id(id, || tracer.start("a"));
    assert_eq!(preset.span_context().span_id(), id);
    assert_ne!(tracer.start("b").span_context().span_id(), id);
}

/// What was logged so far.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn t08_every_line_of_the_log_has_its_time_in_utc_and_says_so() {
    for form in [LogFormat::Text, LogFormat::Json] {
        let (lines, config) =
            (Lines::default(), config::Telemetry { log: form, ..Default::default() });
        let writer = lines.clone();
        let log = log_to(&config, move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(log, || warn!(bank = "bank-1", "clock is behind"));
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("clock is behind"), "{text}");
        let stamp = match form {
            LogFormat::Text => text.split_whitespace().next().unwrap().to_owned(),
            LogFormat::Json => {
                let line: serde_json::Value = serde_json::from_str(&text).unwrap();
                line["timestamp"].as_str().unwrap().to_owned()
            }
        };
        assert!(stamp.contains('T') && stamp.ends_with('Z'), "{stamp}");
    }
}
