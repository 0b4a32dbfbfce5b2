//! One trace from the carrier's call to the recipient's hand, as a collector receives it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use locker_proto::wire::carrier::v1::parcel::State;
use locker_proto::wire::carrier::v1::{CreateParcelRequest, Dimensions, Parcel, Recipient};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use system_tests::bank::BankSpec;
use system_tests::board::Wire;
use system_tests::callers::{Order, request_id, timed};
use system_tests::hub::HubOptions;
use system_tests::mailbox::wait_for_letter;
use system_tests::watch::Watch;
use system_tests::world::{CARRIER, World};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

const NEWS: Duration = Duration::from_secs(15);
/// The carrier's own span, from which its call comes.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Keeps every span it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        let spans = scopes.flat_map(|scope| scope.spans);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start(&self) -> Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        Ok(address)
    }

    /// The spans of the trace, by name.
    fn of_trace(&self) -> HashMap<String, Span> {
        let spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = spans.iter().filter(|span| hex(&span.trace_id) == TRACE);
        ours.map(|span| (span.name.clone(), span.clone())).collect()
    }
}

#[tokio::test]
async fn one_trace_shows_announcement_deposit_and_pickup() -> Result<()> {
    let collector = Collector::default();
    let endpoint = format!("http://{}", collector.start().await?);
    let options = HubOptions { otlp_endpoint: Some(endpoint), ..HubOptions::default() };
    let mut world = World::start_with(&["lobby"], options).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let order = Order::small("traced");
    announce_traced(&world, &order).await?;
    world.carrier.book(&order.name, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?;
    let deposit = bank.bring(&badge.text, &order.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &order.email, NEWS).await?;
    bank.collect(&letter.token).await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    watch.until("the pickup", NEWS, |seen| seen.state == State::Collected).await?;
    drop(watch);
    // What the hub has not sent yet leaves when it stops.
    bank.stop_agent().await?;
    world.hub.stop().await?;

    let spans = collector.of_trace();
    let span = |wanted: &str| {
        let found = spans.iter().find(|(name, _)| name.contains(wanted));
        found.map(|(_, span)| span).with_context(|| format!("no span {wanted} in {spans:#?}"))
    };
    let call = span("CreateParcel")?;
    assert_eq!(hex(&call.parent_span_id), CALLER);
    for name in ["deposit", "pickup"] {
        let stage = span(name)?;
        assert_eq!(stage.parent_span_id, call.span_id, "{name} hangs on the announcement");
        assert!(stage.end_time_unix_nano > stage.start_time_unix_nano, "{name} took time");
    }
    let (stored, collected) = (span("deposit")?, span("pickup")?);
    assert!(stored.end_time_unix_nano <= collected.start_time_unix_nano);
    let compartment = stored.attributes.iter().find(|of| of.key == "postern.compartment");
    let compartment = compartment.and_then(|of| of.value.clone()).and_then(|value| value.value);
    let wanted = opentelemetry_proto::tonic::common::v1::any_value::Value::IntValue(
        deposit.compartment.into(),
    );
    assert_eq!(compartment, Some(wanted));
    Ok(())
}

async fn announce_traced(world: &World, order: &Order) -> Result<()> {
    let [length_mm, width_mm, height_mm] = order.size_mm;
    let parcel = Parcel {
        barcode: order.barcode.clone(),
        dimensions: Some(Dimensions { length_mm, width_mm, height_mm }),
        weight_g: 1_000,
        recipient: Some(Recipient { email: order.email.clone(), ..Recipient::default() }),
        ..Parcel::default()
    };
    let mut request = timed(CreateParcelRequest {
        parent: world.carrier.resource(),
        parcel_id: order.name.clone(),
        parcel: Some(parcel),
        request_id: request_id(),
    });
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    request.metadata_mut().insert("traceparent", traceparent.parse()?);
    world.carrier.client().create_parcel(request).await?;
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
