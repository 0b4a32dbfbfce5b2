//! What operators hear of doors, made of committed facts.

use locker_core::bank::PulseOutcome;
use locker_core::compartment::DoorReading;
use locker_core::fact::Fact;
use locker_core::ids::{BankId, CompartmentNo, IntentId};
use locker_core::journal::Record;
use locker_core::units::UnixMillis;
use serde_json::json;

/// One door fact. As JSON: `bank`, `seq`, `at_ms` (the bank's clock), `compartment`, `intent` (the
/// pulse that it is about or was caused by, null if none), and `event`: `moved` with `door` (`open`
/// or `closed`), or `pulse` with `outcome` (`opened`, `not_opened`, `already_open`, `unknown`,
/// `not_sent`, `recovered`).
///
/// It names no parcel and no person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoorNote {
    /// The record's place in the bank's journal.
    pub seq: u64,
    /// By the bank's clock.
    pub at: UnixMillis,
    /// Whose door.
    pub compartment: CompartmentNo,
    /// The pulse it is about, or was caused by.
    pub intent: Option<IntentId>,
    /// What happened.
    pub change: DoorChange,
}

/// What happened at a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoorChange {
    /// The door was seen to move.
    Moved(DoorReading),
    /// What came of a pulse.
    Pulse(PulseOutcome),
}

impl DoorNote {
    /// What operators hear of a record, if it is about a door.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        let (compartment, intent, change) = if let Fact::DoorMoved(moved) = &record.fact {
            (moved.compartment, moved.cause, DoorChange::Moved(moved.reading))
        } else if let Fact::PulseSettled(settled) = &record.fact {
            (settled.compartment, Some(settled.intent), DoorChange::Pulse(settled.outcome))
        } else {
            return None;
        };
        Some(Self { seq: record.seq, at: record.at, compartment, intent, change })
    }

    /// See the type's text.
    #[must_use]
    pub fn to_json(&self, bank: &BankId) -> Vec<u8> {
        let mut value = json!({
            "bank": bank.as_str(),
            "seq": self.seq,
            "at_ms": self.at.0,
            "compartment": self.compartment.0,
            "intent": self.intent.map(|intent| intent.0),
        });
        let (event, key, what) = match self.change {
            DoorChange::Moved(reading) => ("moved", "door", reading_name(reading)),
            DoorChange::Pulse(outcome) => ("pulse", "outcome", outcome_name(outcome)),
        };
        value["event"] = event.into();
        value[key] = what.into();
        value.to_string().into_bytes()
    }
}

const fn reading_name(reading: DoorReading) -> &'static str {
    match reading {
        DoorReading::Open => "open",
        DoorReading::Closed => "closed",
    }
}

const fn outcome_name(outcome: PulseOutcome) -> &'static str {
    match outcome {
        PulseOutcome::Opened { .. } => "opened",
        PulseOutcome::NotOpened => "not_opened",
        PulseOutcome::AlreadyOpen => "already_open",
        PulseOutcome::Unknown => "unknown",
        PulseOutcome::NotSent => "not_sent",
        PulseOutcome::Recovered => "recovered",
    }
}
