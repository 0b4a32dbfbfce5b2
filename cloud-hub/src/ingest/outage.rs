//! When the absence of a bank is an outage, and when an outage is over.
//!
//! A connection comes and goes; a person is called only for a bank that has had none for hours, and
//! only once it has had one for some minutes is it said to be back. What comes between changes
//! nothing. Kept in memory: after a start the hub's own absence is not counted against the banks.

use std::collections::BTreeMap;
use std::time::Duration;

use locker_core::ids::BankId;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::link::Link;
use super::tasks::decided;
use super::{Done, Ingest, now};
use crate::store::{AlarmKind, ClearByHub, RaiseAlarm, WriteError};

/// How often absences are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Alarms raised or cleared in one look; the rest waits for the next one, so that a hub that was
/// cut off from everybody does not fill the store's queue.
const NEWS_PER_LOOK_MAX: usize = 64;

/// Banks that are absent, or were until just now. Bounded by the number of banks.
#[derive(Debug)]
pub(super) struct Outages {
    /// An absence as long as this is an outage.
    outage_after: Duration,
    /// A connection as long as this ends one.
    steady_after: Duration,
    banks: BTreeMap<BankId, Absence>,
    looked_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Absence {
    is_connected: bool,
    /// Since when it is connected, or is not.
    since: Instant,
    is_confirmed: bool,
}

/// What has turned out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Outage(BankId),
    Back(BankId),
}

impl Outages {
    /// With the banks that have ever been heard of, and whether an outage of them is known.
    pub(super) fn new(
        outage_after: Duration,
        steady_after: Duration,
        known: impl IntoIterator<Item = (BankId, bool)>,
    ) -> Self {
        let since = Instant::now();
        let absent = |is_confirmed| Absence { is_connected: false, since, is_confirmed };
        let banks = known.into_iter().map(|(bank, confirmed)| (bank, absent(confirmed))).collect();
        Self { outage_after, steady_after, banks, looked_at: since }
    }

    pub(super) fn came(&mut self, bank: &BankId) {
        if let Some(absence) = self.banks.get_mut(bank) {
            if absence.is_confirmed {
                (absence.is_connected, absence.since) = (true, Instant::now());
            } else {
                self.banks.remove(bank);
            }
        }
    }

    pub(super) fn left(&mut self, bank: &BankId) {
        let fresh = Absence { is_connected: false, since: Instant::now(), is_confirmed: false };
        let absence = self.banks.entry(bank.clone()).or_insert(fresh);
        (absence.is_connected, absence.since) = (false, fresh.since);
    }

    /// What has turned out since the last look, if that is long enough ago.
    pub(super) fn look(&mut self) -> Vec<Turn> {
        if self.looked_at.elapsed() < LOOK_EVERY {
            return Vec::new();
        }
        self.looked_at = Instant::now();
        let mut turns = Vec::new();
        for (bank, absence) in &mut self.banks {
            if turns.len() >= NEWS_PER_LOOK_MAX {
                break;
            }
            let lasted = absence.since.elapsed();
            match (absence.is_connected, absence.is_confirmed) {
                (false, false) if lasted >= self.outage_after => {
                    absence.is_confirmed = true;
                    turns.push(Turn::Outage(bank.clone()));
                }
                (true, true) if lasted >= self.steady_after => {
                    turns.push(Turn::Back(bank.clone()));
                }
                (_, _) => {}
            }
        }
        for turn in &turns {
            if let Turn::Back(bank) = turn {
                self.banks.remove(bank);
            }
        }
        turns
    }

    /// What was to be written was not: it turns out again.
    fn forget(&mut self, turn: &Turn) {
        let (bank, is_connected) = match turn {
            Turn::Outage(bank) => (bank, false),
            Turn::Back(bank) => (bank, true),
        };
        let since = Instant::now();
        let again = Absence { is_connected, since, is_confirmed: is_connected };
        let absence = self.banks.entry(bank.clone()).or_insert(again);
        absence.is_confirmed = again.is_confirmed;
    }
}

impl<L: Link> Ingest<L> {
    /// Raises and clears alarms of banks that are gone or back.
    pub(super) fn look_for_outages(&mut self) {
        for turn in self.outages.look() {
            let at = now();
            let outcome: futures::future::BoxFuture<'static, Result<(), WriteError>> = match &turn {
                Turn::Outage(bank) => {
                    warn!(%bank, "bank has had no connection for long");
                    let detail = "no connection".to_owned();
                    let (bank, kind) = (bank.clone(), AlarmKind::Unreachable);
                    let raise = RaiseAlarm { bank, kind, detail, now: at };
                    Box::pin(decided(&self.store, raise))
                }
                Turn::Back(bank) => {
                    info!(%bank, "bank is back");
                    let note = "the bank is connected".to_owned();
                    let (bank, kind) = (bank.clone(), AlarmKind::Unreachable);
                    Box::pin(decided(&self.store, ClearByHub { bank, kind, note, now: at }))
                }
            };
            self.work.push(Box::pin(async move { Done::Turned { turn, outcome: outcome.await } }));
        }
    }

    pub(super) fn on_turned(&mut self, turn: &Turn, outcome: Result<(), WriteError>) {
        if let Err(error) = outcome {
            error!(%error, ?turn, "alarm of an outage not written");
            self.outages.forget(turn);
        }
    }
}

#[cfg(test)]
mod tests;
