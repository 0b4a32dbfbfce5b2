//! What the hub says about itself: log lines on standard error, and spans to a collector if one is
//! named.
//!
//! Spans are made even without a collector, because their ids travel with parcels to the banks and
//! into records: a collector that is added later still finds whole traces.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::time::Duration;

use opentelemetry::trace::{SpanId, TraceId, TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider};
use tracing::{Subscriber, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{self, LogFormat};

/// How the hub is called in traces.
const SERVICE_NAME: &str = "postern-cloud-hub";
/// Time for a collector to take a batch of spans; then the batch is dropped.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes spans, and sends them if there is where to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Spans that go nowhere but have ids.
    #[must_use]
    pub fn local() -> Self {
        Self::with(|builder| builder)
    }

    /// Spans that go to `endpoint` by OTLP over gRPC. Call it inside the runtime.
    ///
    /// # Errors
    /// When the endpoint is no address. Whether anyone listens there only time tells.
    pub fn to_collector(endpoint: &str) -> Result<Self, StartTelemetryError> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|source| StartTelemetryError::Collector {
                endpoint: endpoint.to_owned(),
                reason: source.to_string(),
            })?;
        Ok(Self::with(|builder| builder.with_batch_exporter(exporter)))
    }

    /// Spans that go to whatever `finish` adds.
    pub(crate) fn with(
        finish: impl FnOnce(
            opentelemetry_sdk::trace::TracerProviderBuilder,
        ) -> opentelemetry_sdk::trace::TracerProviderBuilder,
    ) -> Self {
        let resource = Resource::builder_empty().with_service_name(SERVICE_NAME).build();
        let builder = SdkTracerProvider::builder()
            .with_id_generator(PresetIds(RandomIdGenerator::default()))
            .with_resource(resource);
        Self { provider: finish(builder).build() }
    }

    /// What spans are made with.
    #[must_use]
    pub fn tracer(&self) -> SdkTracer {
        self.provider.tracer("cloud-hub")
    }

    /// Sends what is left and ends.
    pub async fn stop(self, within: Duration) {
        // The exporter needs the runtime while this waits for it.
        let stopped =
            tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(within));
        match stopped.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "spans left behind"),
            Err(error) => warn!(%error, "spans left behind"),
        }
    }
}

/// Sets up log lines for the whole process, and spans.
///
/// # Errors
/// When the filter or the collector's address is of no use, or logging was set up before.
pub fn start(config: &config::Telemetry) -> Result<Traces, StartTelemetryError> {
    start_log(config)?;
    config.otlp_endpoint.as_deref().map_or_else(|| Ok(Traces::local()), Traces::to_collector)
}

fn start_log(config: &config::Telemetry) -> Result<(), StartTelemetryError> {
    let log = log_to(config, std::io::stderr, std::io::stderr().is_terminal())?;
    log.try_init().map_err(|_| StartTelemetryError::Twice)
}

/// Writes log lines as configured, each with its time in UTC.
fn log_to<W>(config: &config::Telemetry, writer: W, ansi: bool) -> Result<Log, StartTelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|error| StartTelemetryError::Filter { reason: error.to_string() })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(writer);
    Ok(match config.log {
        LogFormat::Text => Box::new(log.finish()),
        LogFormat::Json => {
            Box::new(log.json().flatten_event(true).with_current_span(false).finish())
        }
    })
}

type Log = Box<dyn Subscriber + Send + Sync>;

/// Ids at random, unless the caller has one to give: a span that is made from a record gets the
/// same id however often it is made.
#[derive(Debug)]
struct PresetIds(RandomIdGenerator);

thread_local! {
    static PRESET: Cell<Option<SpanId>> = const { Cell::new(None) };
}

/// Runs `make`, in which the first span made gets `id`.
pub(crate) fn with_span_id<T>(id: SpanId, make: impl FnOnce() -> T) -> T {
    PRESET.set(Some(id));
    let made = make();
    PRESET.set(None);
    made
}

impl IdGenerator for PresetIds {
    fn new_trace_id(&self) -> TraceId {
        self.0.new_trace_id()
    }

    fn new_span_id(&self) -> SpanId {
        PRESET.take().unwrap_or_else(|| self.0.new_span_id())
    }
}

/// Why logs or traces could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum StartTelemetryError {
    /// The filter cannot be read.
    #[error("telemetry.filter cannot be read: {reason}")]
    Filter {
        /// What is wrong with it.
        reason: String,
    },
    /// The collector's address cannot be used.
    #[error("telemetry.otlp_endpoint {endpoint} cannot be used: {reason}")]
    Collector {
        /// The address.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The process logs already.
    #[error("logging was set up twice")]
    Twice,
}

#[cfg(test)]
mod tests;
