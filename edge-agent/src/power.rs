//! Looks at what the machine runs on, and tells the bank when that changes.
//!
//! A supply that flickers is no news: a reading counts once it was seen several times in a row. A file
//! that cannot be read says nothing; what was seen last stands, and the log says so once.

use std::path::Path;
use std::time::Duration;

use locker_core::bank::PowerSource;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::bank::Event;
use crate::config::PowerConfig;

/// So many equal readings in a row count.
pub const STEADY_READINGS: u32 = 3;

/// Looks until told to stop. Without a file to look at, the bank is told once that it is on the mains:
/// it may remember a battery from a time when there was one.
pub async fn run(
    config: PowerConfig,
    events: mpsc::Sender<Event>,
    mut stop: watch::Receiver<bool>,
) {
    let Some(file) = config.mains_file else {
        let _ = events.send(Event::Power(PowerSource::Mains)).await;
        return;
    };
    let mut tick = interval(Duration::from_millis(config.every_ms));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = Steady::default();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            // An agent that is gone without a word has stopped, too.
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let (path, battery) = (file.clone(), config.battery_value.clone());
        // A driver that hangs must not hang the others with it.
        let read = tokio::task::spawn_blocking(move || read(&path, &battery)).await;
        let reading = read.unwrap_or(None);
        if reading.is_none() && seen.is_first_miss() {
            warn!(path = %file.display(), "power source cannot be read, the last one stands");
        }
        let Some(source) = seen.next(reading) else { continue };
        info!(?source, "power source seen");
        if events.send(Event::Power(source)).await.is_err() {
            return;
        }
    }
}

fn read(path: &Path, battery: &str) -> Option<PowerSource> {
    let text = std::fs::read_to_string(path).ok()?;
    match text.trim() {
        "" => None,
        said if said == battery => Some(PowerSource::Battery),
        _ => Some(PowerSource::Mains),
    }
}

/// What was read lately, and what was told of it.
#[derive(Debug, Default)]
struct Steady {
    last: Option<PowerSource>,
    in_a_row: u32,
    told: Option<PowerSource>,
    missing: bool,
}

impl Steady {
    /// Whether this is the first look in a row that shows nothing.
    fn is_first_miss(&mut self) -> bool {
        !std::mem::replace(&mut self.missing, true)
    }

    /// What is to be told after `reading`, if anything.
    fn next(&mut self, reading: Option<PowerSource>) -> Option<PowerSource> {
        let Some(source) = reading else {
            self.in_a_row = 0;
            return None;
        };
        self.missing = false;
        self.in_a_row = if self.last == Some(source) { self.in_a_row.saturating_add(1) } else { 1 };
        self.last = Some(source);
        let news = self.in_a_row >= STEADY_READINGS && self.told != Some(source);
        news.then(|| *self.told.insert(source))
    }
}

#[cfg(test)]
mod tests;
