//! A bank's doors, followed in the lock boards' own log, and how long people waited for them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use system_tests::bank::{Bank, BankSpec};
use system_tests::board::{LogLine, read_log};
use system_tests::visit::Visit;
use system_tests::wait::wait_for;
use system_tests::watch::Seen;

use crate::timeline::Timeline;

/// How long a door may keep its follower waiting.
const DOOR_LIMIT: Duration = Duration::from_secs(15);

/// Follows one opening after the other.
pub(crate) struct Doors {
    bank: BankSpec,
    log: PathBuf,
    /// Lines that were told already.
    told: usize,
}

/// Which door was opened and shut, and when, by the lock boards' own log.
#[derive(Clone, Copy)]
pub(crate) struct Opening {
    /// The number on it.
    pub(crate) compartment: u16,
    pulsed_ms: u64,
    shut_ms: u64,
}

/// A pulse that opened a door, by the lock boards' own log.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    /// The number on the door.
    pub(crate) compartment: u16,
    /// Its lock, as the boards' control port names it.
    pub(crate) lock: String,
    at_ms: u64,
}

impl Doors {
    pub(crate) fn of(bank: &Bank) -> Self {
        let log = bank.board.log_file().to_owned();
        Self { bank: bank.spec.clone(), log, told: 0 }
    }

    /// Tells of the next opening as it happens, until the door is shut again.
    pub(crate) async fn follow(&mut self, timeline: &Timeline) -> Result<Opening> {
        let Pulse { compartment, at_ms, .. } = self.until_open(timeline).await?;
        let shut_ms = self.until_shut(timeline).await?;
        Ok(Opening { compartment, pulsed_ms: at_ms, shut_ms })
    }

    /// Until the next door is open.
    pub(crate) async fn until_open(&mut self, timeline: &Timeline) -> Result<Pulse> {
        let pulse = self.next("is pulsed", |line| line.pulse.is_some()).await?;
        let open = self.next("is open", |line| line.door.as_deref() == Some("open")).await?;
        let after = open.t_ms.saturating_sub(pulse.t_ms);
        let what = format!(
            "lock {} of board {} is pulsed, the door is open {after} ms later",
            pulse.lock, pulse.board
        );
        timeline.say_at(open.t_ms, &self.bank.id, "board", &what);
        let lock = format!("{}:{}", pulse.board, pulse.lock);
        let compartment = self.bank.compartment_of(&pulse);
        let compartment = compartment.with_context(|| format!("no door hangs at {lock}"))?;
        Ok(Pulse { compartment, lock, at_ms: pulse.t_ms })
    }

    /// Until that door is shut; gives the time.
    pub(crate) async fn until_shut(&mut self, timeline: &Timeline) -> Result<u64> {
        let is_shut = |line: &LogLine| line.door.as_deref() == Some("closed");
        let shut = self.next("is shut", is_shut).await?;
        timeline.say_at(shut.t_ms, &self.bank.id, "board", "the door is pushed shut");
        Ok(shut.t_ms)
    }

    async fn next(&mut self, what: &str, wanted: impl Fn(&LogLine) -> bool) -> Result<LogLine> {
        let what = format!("a door of {} {what}", self.bank.id);
        let (log, told) = (&self.log, &mut self.told);
        wait_for(&what, DOOR_LIMIT, async || {
            if !log.exists() {
                return Ok(None);
            }
            let mut lines = read_log(log)?.into_iter().enumerate().skip(*told);
            let found = lines.find(|(_, line)| wanted(line));
            Ok(found.map(|(at, line)| {
                *told = at + 1;
                line
            }))
        })
        .await
    }
}

/// The times of one handover, in milliseconds.
pub(crate) struct Handover {
    scan_to_pulse: u64,
    shut_to_watch: u64,
    said_to_watch: u64,
}

impl Handover {
    pub(crate) const fn of(visit: &Visit, opening: &Opening, seen: &Seen) -> Self {
        Self {
            scan_to_pulse: opening.pulsed_ms.saturating_sub(visit.scanned_ms),
            shut_to_watch: seen.came_ms.saturating_sub(opening.shut_ms),
            said_to_watch: seen.came_ms.saturating_sub(visit.said_ms),
        }
    }

    /// The carrier hears of it.
    pub(crate) fn tell(&self, seen: &Seen, bank: &str, timeline: &Timeline) {
        let what = format!("hears that {} is {} (WatchParcels)", seen.parcel, state_name(seen));
        let measure = format!(
            "scan to pulse {} ms, said to watch {} ms",
            self.scan_to_pulse, self.said_to_watch
        );
        timeline.measure(seen.came_ms, bank, "carrier", &what, &measure);
    }

    pub(crate) fn latencies(&self) -> Value {
        json!({
            "scan_to_pulse": self.scan_to_pulse,
            "door_shut_to_watch": self.shut_to_watch,
            "confirmed_to_watch": self.said_to_watch,
        })
    }
}

pub(crate) fn state_name(seen: &Seen) -> &'static str {
    seen.state.as_str_name().trim_start_matches("STATE_")
}
