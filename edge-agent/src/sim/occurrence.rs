//! What happened at a lock, and how the log tells it.

use std::time::Duration;

use serde_json::{Value, json};

/// Something that happened at a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// When, from the start.
    pub at: Duration,
    /// The board.
    pub board: u8,
    /// The lock, from 0.
    pub lock: u8,
    /// What happened.
    pub what: What,
}

/// Kinds of [`Occurrence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A valid unlock frame energised the lock; the number counts them all from 1.
    Pulse(u64),
    /// The door opened.
    Opened,
    /// The door closed.
    Closed,
    /// Something was put into the compartment.
    Put,
    /// The compartment was emptied.
    Taken,
    /// A lock was energised while another still was: more than the supply of a real board carries.
    Overload,
    /// And the supply did not carry it: boards start again. The lock is the one that was too much.
    Reboot,
}

impl Occurrence {
    /// As an object for the log, with the time counted from `epoch_ms`.
    #[must_use]
    pub fn to_json(&self, epoch_ms: u64) -> Value {
        let t_ms = epoch_ms.saturating_add(u64::try_from(self.at.as_millis()).unwrap_or(u64::MAX));
        let (key, value) = match self.what {
            What::Pulse(pulse) => ("pulse", json!(pulse)),
            What::Opened => ("door", json!("open")),
            What::Closed => ("door", json!("closed")),
            What::Put => ("item", json!("put")),
            What::Taken => ("item", json!("taken")),
            What::Overload => ("fault", json!("overload")),
            What::Reboot => ("fault", json!("reboot")),
        };
        json!({"t_ms": t_ms, "board": self.board, "lock": self.lock, key: value})
    }
}
