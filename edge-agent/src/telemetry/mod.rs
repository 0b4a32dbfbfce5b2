//! What the bank's machine tells of itself: a sample now and then, sent when there is a connection.
//!
//! Nothing depends on a sample, so none is on the way of a door or a fact: they are sent with QoS 0
//! beside the facts. While there is a connection a sample touches no disk. Without one a few wait
//! in memory and all older ones in files that are never synced; what is old is thinned out before
//! anything is dropped, and what was dropped is counted.

mod lane;
mod sensors;
mod slot;
mod waiting;

pub use sensors::{Sensors, Sources};
pub use slot::SLOT_BYTES;
pub use waiting::Samples;

use std::sync::Arc;
use std::time::Duration;

use locker_core::units::UnixMillis;
use locker_proto::message::Telemetry;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::warn;

use crate::board::{Bus, BusCounters};
use crate::journal::Medium;
use lane::Lane;

/// The lane's folder inside the agent's data.
const FOLDER: &str = "telemetry";
/// Fewest bytes the lane may have: eight full files.
const KEPT_BYTES_MIN: u64 = 256 << 10;
/// Most bytes the lane may have: what a bank keeps in all is to fit twice.
const KEPT_BYTES_MAX: u64 = 32 << 20;

/// How often samples are taken, and how many are kept.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryLimits {
    /// Between two samples.
    pub every_ms: u64,
    /// What waits longer than this is thinned out, in hours.
    pub fine_hours: u64,
    /// Room on the disk for samples that wait; with more the older are thinned further, and what is
    /// thin already goes oldest first.
    pub kept_bytes: u64,
}

impl Default for TelemetryLimits {
    fn default() -> Self {
        // A day of every minute, and then a month and a half of every five and fifteen.
        Self { every_ms: 60_000, fine_hours: 24, kept_bytes: 1 << 20 }
    }
}

impl TelemetryLimits {
    /// The first key that is wrong, and what was expected.
    #[must_use]
    pub fn mistake(&self) -> Option<(&'static str, &'static str)> {
        if !(100..=3_600_000).contains(&self.every_ms) {
            Some(("telemetry.every_ms", "must be 100 to 3600000"))
        } else if !(1..=720).contains(&self.fine_hours) {
            Some(("telemetry.fine_hours", "must be 1 to 720"))
        } else if !(KEPT_BYTES_MIN..=KEPT_BYTES_MAX).contains(&self.kept_bytes) {
            Some(("telemetry.kept_bytes", "must be 262144 to 33554432"))
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

/// What samples are made of.
pub struct Sampling {
    pub limits: TelemetryLimits,
    pub sources: Sources,
    pub buses: Vec<Bus>,
    /// The journal's last seq.
    pub head: watch::Receiver<u64>,
    pub system_time: fn() -> UnixMillis,
    /// Where samples wait that memory does not keep.
    pub medium: Arc<dyn Medium>,
    pub samples: Samples,
    /// Turns true when the agent stops.
    pub stop: watch::Receiver<bool>,
}

/// Takes samples until told to stop, and keeps what waits.
pub async fn run(sampling: Sampling) {
    let mut files = Files::open(&sampling).await;
    let mut tick = interval(Duration::from_millis(sampling.limits.every_ms));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (samples, mut stop) = (sampling.samples.clone(), sampling.stop.clone());
    loop {
        tokio::select! {
            _ = tick.tick() => {
                sampling.take_one().await;
                if let Some(surplus) = samples.surplus() {
                    files.on(&samples, move |lane| lane.keep(&surplus)).await;
                }
            }
            () = samples.wanted() => {
                let found = files.on(&samples, Lane::hand_out).await;
                samples.found(found.unwrap_or_default());
            }
            () = stopped(&mut stop) => break,
        }
    }
    let (unsent, newest) = samples.take_all();
    let put_away = move |lane: &mut Lane| {
        lane.take_back(&unsent);
        lane.keep(&newest);
    };
    files.on(&samples, put_away).await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An agent that is gone without a word has stopped, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The lane's files, off the runtime: a disk that hangs must not hang the connection with it.
struct Files(Option<Lane>);

impl Files {
    async fn open(sampling: &Sampling) -> Self {
        let (medium, limits) = (Arc::clone(&sampling.medium), sampling.limits);
        let (dir, began) = (sampling.sources.data_dir.join(FOLDER), sampling.samples.began());
        let opened = tokio::task::spawn_blocking(move || Lane::open(medium, dir, limits, began));
        let mut files = Self(opened.await.ok());
        files.on(&sampling.samples, |_| ()).await;
        files
    }

    /// Does something with the lane, and tells `samples` what it holds then.
    async fn on<T: Send + 'static>(
        &mut self,
        samples: &Samples,
        work: impl FnOnce(&mut Lane) -> T + Send + 'static,
    ) -> Option<T> {
        let mut lane = self.0.take()?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut lane);
            (lane, done)
        });
        let Ok((mut lane, done)) = done.await else {
            warn!("files of samples given up");
            samples.kept(false, 0);
            return None;
        };
        samples.kept(lane.holds_any(), lane.take_dropped());
        self.0 = Some(lane);
        Some(done)
    }
}

impl Sampling {
    async fn take_one(&self) {
        let (sources, taken) = (self.sources.clone(), Instant::now());
        let read = tokio::task::spawn_blocking(move || sources.read()).await;
        let Ok(sensors) = read else {
            warn!("sensors cannot be read");
            return;
        };
        let counters: Vec<_> = self.buses.iter().map(Bus::counters).collect();
        let said = said(sensors, &counters, (self.system_time)());
        let backlog_records = self.samples.lacking(*self.head.borrow());
        self.samples.add(Sample { taken, said: Telemetry { backlog_records, ..said } });
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
