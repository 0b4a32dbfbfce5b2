//! What the bank's machine tells of itself: a sample now and then, sent when there is a connection.
//!
//! Nothing depends on a sample, so none is on the way of a door or a fact: they are kept in memory
//! only, within a limit, and sent with QoS 0 beside the facts. What is kept while offline is thinned
//! out before anything is dropped, and lost when the agent stops.

mod backlog;
mod sensors;

pub use backlog::Backlog;
pub use sensors::{Sensors, Sources};

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use locker_core::units::UnixMillis;
use locker_proto::message::Telemetry;
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::warn;

use crate::board::{Bus, BusCounters};

/// No ack was heard yet.
const NOT_HEARD: u64 = u64::MAX;

/// How often samples are taken, and how many are kept.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryLimits {
    /// Between two samples.
    pub every_ms: u64,
    /// Samples kept while offline; with more, every second of the older ones goes, and what is thin
    /// already goes oldest first.
    pub kept_samples: usize,
}

impl Default for TelemetryLimits {
    fn default() -> Self {
        // Three days of every minute.
        Self { every_ms: 60_000, kept_samples: 4_320 }
    }
}

impl TelemetryLimits {
    /// The first key that is wrong, and what was expected.
    #[must_use]
    pub fn mistake(&self) -> Option<(&'static str, &'static str)> {
        if !(100..=3_600_000).contains(&self.every_ms) {
            Some(("telemetry.every_ms", "must be 100 to 3600000"))
        } else if !(16..=100_000).contains(&self.kept_samples) {
            Some(("telemetry.kept_samples", "must be 16 to 100000"))
        } else {
            None
        }
    }
}

/// A sample, and when it was taken by a clock that never jumps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub taken: Instant,
    pub said: Telemetry,
}

/// Samples that wait to be sent. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct Samples(Arc<Waiting>);

#[derive(Debug)]
struct Waiting {
    backlog: Mutex<Backlog>,
    added: Notify,
    committed: AtomicU64,
}

impl Samples {
    #[must_use]
    pub fn new(limits: TelemetryLimits) -> Self {
        let backlog = Backlog::new(limits.kept_samples, Duration::from_millis(limits.every_ms));
        Self(Arc::new(Waiting {
            backlog: Mutex::new(backlog),
            added: Notify::new(),
            committed: AtomicU64::new(NOT_HEARD),
        }))
    }

    /// Keeps a sample until it is sent.
    pub fn add(&self, sample: Sample) {
        self.backlog().push(sample);
        self.0.added.notify_one();
    }

    /// Notes what the hub has committed.
    pub fn committed(&self, seq: u64) {
        self.0.committed.store(seq, Ordering::Relaxed);
    }

    /// Completes when there is a sample to send, and not before `not_before`. For one sender.
    pub(crate) async fn ready(&self, not_before: Instant) {
        while self.backlog().is_empty() {
            self.0.added.notified().await;
        }
        sleep_until(not_before).await;
    }

    /// The oldest sample, as it is to be sent by a connection that began at `linked`.
    pub(crate) fn next(&self, linked: Instant) -> Option<Telemetry> {
        let mut backlog = self.backlog();
        let sample = backlog.pop()?;
        let (historical, samples_dropped) = (sample.taken < linked, backlog.dropped());
        Some(Telemetry { historical, samples_dropped, ..sample.said })
    }

    /// Records that the hub lacks, as far as is known.
    fn lacking(&self, head: u64) -> Option<u64> {
        let committed = self.0.committed.load(Ordering::Relaxed);
        (committed != NOT_HEARD).then(|| head.saturating_sub(committed))
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.0.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What samples are made of.
pub struct Sampling {
    pub limits: TelemetryLimits,
    pub sources: Sources,
    pub buses: Vec<Bus>,
    /// The journal's last seq.
    pub head: watch::Receiver<u64>,
    pub system_time: fn() -> UnixMillis,
    pub samples: Samples,
    /// Turns true when the agent stops.
    pub stop: watch::Receiver<bool>,
}

/// Takes samples until told to stop.
pub async fn run(mut sampling: Sampling) {
    let mut tick = interval(Duration::from_millis(sampling.limits.every_ms));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            // An agent that is gone without a word has stopped, too.
            _ = sampling.stop.wait_for(|stop| *stop) => return,
        }
        let (sources, taken) = (sampling.sources.clone(), Instant::now());
        // A disk that hangs must not hang the connection with it.
        let read = tokio::task::spawn_blocking(move || sources.read()).await;
        let Ok(sensors) = read else {
            warn!("sensors cannot be read");
            continue;
        };
        let counters: Vec<_> = sampling.buses.iter().map(Bus::counters).collect();
        let said = said(sensors, &counters, (sampling.system_time)());
        let backlog_records = sampling.samples.lacking(*sampling.head.borrow());
        let said = Telemetry { backlog_records, ..said };
        sampling.samples.add(Sample { taken, said });
    }
}

fn said(sensors: Sensors, buses: &[BusCounters], at: UnixMillis) -> Telemetry {
    let longest = buses.iter().map(|bus| bus.longest_reading_gap_ms).max();
    Telemetry {
        at,
        resident_bytes: sensors.resident_bytes,
        disk_free_bytes: sensors.disk_free_bytes,
        temperature_mdeg_c: sensors.temperature_mdeg_c,
        mains: sensors.mains,
        rssi_dbm: sensors.rssi_dbm,
        longest_poll_ms: longest.map(|ms| u32::try_from(ms).unwrap_or(u32::MAX)),
        bus_errors: (!buses.is_empty()).then(|| buses.iter().map(errors).sum()),
        ..Telemetry::default()
    }
}

/// All that went wrong on a bus, whatever it was. Noise is told in bytes and not in errors.
fn errors(bus: &BusCounters) -> u64 {
    bus.timeouts + bus.truncated + bus.checksum + bus.foreign + bus.newer_variant + bus.babble
}

#[cfg(test)]
mod tests;
