//! What the outcomes of pulses say about a board itself: whether its locks have power, and which of
//! its sensors lie.

use std::collections::BTreeSet;

use crate::board::event::{BoardPower, PulseOutcome};
use crate::board::position::LockIndex;
use crate::board::profile::StatusBits;

/// Different doors of a board that do not open, one after the other, before its locks count as
/// without power. One or two are doors that jam.
pub(super) const POWER_FAULT_DOORS: usize = 3;
/// Pulses that are known to have opened a door, but not by its sensor, before the sensor is doubted.
pub(super) const SENSOR_DOUBT_PULSES: u32 = 3;

/// Whether pulses do anything on a board.
#[derive(Debug, Default)]
pub(super) struct PowerTrack {
    not_opened: BTreeSet<LockIndex>,
    missing: bool,
}

impl PowerTrack {
    pub(super) const fn missing(&self) -> bool {
        self.missing
    }

    /// Takes the outcome of a pulse; what to tell, if that changes the state.
    pub(super) fn settled(&mut self, lock: LockIndex, outcome: PulseOutcome) -> Option<BoardPower> {
        match outcome {
            PulseOutcome::Opened { .. } => self.restored(),
            PulseOutcome::NotOpened => {
                self.not_opened.insert(lock);
                let missing = self.not_opened.len() >= POWER_FAULT_DOORS;
                let told = std::mem::replace(&mut self.missing, missing);
                (missing && !told).then_some(BoardPower::Missing)
            }
            // These say nothing about the coil.
            PulseOutcome::AlreadyOpen | PulseOutcome::Unknown(_) | PulseOutcome::NotSent(_) => None,
        }
    }

    /// The door did open, whatever its sensor says.
    pub(super) fn opened_after_all(&mut self, lock: LockIndex) {
        self.not_opened.remove(&lock);
    }

    /// A pulse worked, or the board was away and came back.
    pub(super) fn restored(&mut self) -> Option<BoardPower> {
        self.not_opened.clear();
        std::mem::take(&mut self.missing).then_some(BoardPower::Back)
    }
}

/// What is known about the sensor of one lock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SensorTrack {
    /// The last pulse is over and the sensor did not change.
    unmoved: bool,
    /// Somebody or something else says that the last pulse opened the door.
    witnessed: bool,
    /// Pulses in a row of which both is true.
    contradictions: u32,
    doubted: bool,
}

impl SensorTrack {
    pub(super) fn pulsed(&mut self) {
        self.unmoved = false;
        self.witnessed = false;
    }

    /// True if the sensor is now in doubt, and was not before.
    pub(super) fn settled(&mut self, outcome: PulseOutcome) -> bool {
        match outcome {
            PulseOutcome::NotOpened | PulseOutcome::AlreadyOpen => self.unmoved = true,
            PulseOutcome::Opened { .. } | PulseOutcome::Unknown(_) | PulseOutcome::NotSent(_) => {}
        }
        self.weigh()
    }

    /// As `settled`.
    pub(super) fn witnessed(&mut self) -> bool {
        self.witnessed = true;
        self.weigh()
    }

    /// It changed: it lives.
    pub(super) fn moved(&mut self) {
        *self = Self::default();
    }

    fn weigh(&mut self) -> bool {
        if !(self.unmoved && self.witnessed) {
            return false;
        }
        self.pulsed();
        self.contradictions = self.contradictions.saturating_add(1);
        let doubted = self.contradictions >= SENSOR_DOUBT_PULSES;
        doubted && !std::mem::replace(&mut self.doubted, doubted)
    }
}

/// What the infrared sensors of a board see.
#[derive(Debug, Default)]
pub(super) struct ObjectTrack {
    last: Option<BTreeSet<LockIndex>>,
    told: Option<BTreeSet<LockIndex>>,
}

/// A change of what the infrared sensors see.
#[derive(Debug)]
pub(super) struct ObjectChange {
    pub(super) holding: BTreeSet<LockIndex>,
    /// Locks whose compartment was filled or emptied since it was last told.
    pub(super) moved: BTreeSet<LockIndex>,
}

impl ObjectTrack {
    /// Takes a reading; a change is believed when two readings agree.
    pub(super) fn read(
        &mut self,
        locks: impl Iterator<Item = LockIndex>,
        bits: StatusBits,
    ) -> Option<ObjectChange> {
        let seen: Option<Vec<_>> =
            locks.map(|lock| bits.object(lock).map(|object| (lock, object))).collect();
        let holding: BTreeSet<_> =
            seen?.into_iter().filter_map(|(lock, object)| object.then_some(lock)).collect();
        let agreed = self.last.replace(holding.clone()).is_some_and(|last| last == holding);
        if !agreed || self.told.as_ref() == Some(&holding) {
            return None;
        }
        let told = self.told.replace(holding.clone());
        let moved = told.map(|told| told.symmetric_difference(&holding).copied().collect());
        Some(ObjectChange { holding, moved: moved.unwrap_or_default() })
    }
}
