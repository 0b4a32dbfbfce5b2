//! What operators differ in, as data. Defaults are what this project ships.

use crate::governor::GovernorLimits;

/// Time limits and choices of a bank's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionPolicy {
    /// A signed-in courier who does nothing is signed out after this long.
    pub idle_ms: u64,
    /// After the door shut, how long we wait for "done" before we settle without it. Recipients with
    /// more parcels and staff are signed out after as long a time of doing nothing.
    pub confirm_ms: u64,
    /// A door that stands open this long ends the session. Bikeep's documented anomaly limit.
    pub door_open_ms: u64,
    /// How long a person may take over the answer to "push the door and try again".
    pub retry_ms: u64,
    /// Whether a parcel whose door went open and shut counts as deposited when the courier walks
    /// away without a word. If not, it is unresolved and its compartment quarantined; so it is, too,
    /// if the door was shut only after `door_alert_ms`: by then, who shut it is anybody's guess.
    pub presume_deposited: bool,
    /// A door that stands open this long during a session raises an alarm.
    pub door_alert_ms: u64,
    /// A door that was open for less than this and shut without a word was probably pushed shut
    /// after it jammed: nobody can have taken anything out or put anything in.
    pub jam_ms: u64,
    /// How fast doors may be opened.
    pub governor: GovernorLimits,
}

impl Default for SessionPolicy {
    fn default() -> Self {
        Self {
            idle_ms: 120_000,
            confirm_ms: 30_000,
            door_open_ms: 300_000,
            retry_ms: 60_000,
            presume_deposited: true,
            door_alert_ms: 120_000,
            jam_ms: 1_500,
            governor: GovernorLimits::default(),
        }
    }
}

/// Whoever took a parcel out and walked off may have the same compartment opened again for this long, by
/// the same code, in milliseconds: something was forgotten. Part of the fold, so the same everywhere.
pub const GRACE_MS: u64 = 120_000;
/// An opening this soon after a pulse that was settled as not opened is that pulse's, late, in
/// milliseconds.
pub const LATE_OPENING_MS: u64 = 60_000;
/// A door that opens this soon after the one that was pulsed moved because of the same pulse, in
/// milliseconds: a board is read every 200, and a reading is believed when the next agrees.
pub const TOGETHER_MS: u64 = 1_000;
/// Pulses that one opening of a compartment may take: the second only after the person was asked
/// to push the door.
pub const PULSES_PER_OPENING: u8 = 2;
