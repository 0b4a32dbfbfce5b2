//! What goes into a bus and what comes out of it.

use thiserror::Error;
use tokio::time::Instant;

use super::counters::ErrorKind;
use super::position::{BoardAddr, LockIndex};

/// One pulse to be sent, at most once. Its intent is durable before this value exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnlockRequest {
    /// Names the durable intent; comes back in the events. Not used twice.
    pub intent: u64,
    /// The board.
    pub board: BoardAddr,
    /// The lock.
    pub lock: LockIndex,
    /// When the intent was made: the request lapses `unlock_max_wait_ms` later.
    pub issued_at: Instant,
}

/// Why a request was not taken; nothing was or will be sent for it, and no event follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UnlockRefused {
    /// As many requests wait as may.
    #[error("the unlock queue of this port is full")]
    QueueFull,
    /// Not in the configuration of this port.
    #[error("lock {lock} of board {board} is not configured on this port")]
    UnknownLock {
        /// Address of the board.
        board: u8,
        /// Index of the lock.
        lock: u8,
    },
    /// The bus has ended.
    #[error("the bus of this port has stopped")]
    Stopped,
}

/// What a bus tells its owner, in order. Of one pulse: `PulseWritten` (if it was), `Settled`, and
/// only then the `Door` event that the opening made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusEvent {
    /// The unlock frame was handed to the line completely.
    PulseWritten {
        /// The request's intent.
        intent: u64,
        /// When the request was put into the queue of the bus.
        queued_at: Instant,
        /// From when on the line was free for it: later than `queued_at` when a poll was in flight or
        /// the supply rested after another pulse. `started - free_at` is the bus's own share.
        free_at: Instant,
        /// When the first byte was given to the line.
        started: Instant,
        /// When the last one was.
        at: Instant,
    },
    /// What became of a request: exactly one for each that was taken.
    Settled {
        /// The request's intent.
        intent: u64,
        /// What became of it.
        outcome: PulseOutcome,
    },
    /// A door changed: believed after two equal readings, and closed only once it stayed so.
    Door {
        /// The board.
        board: BoardAddr,
        /// The lock.
        lock: LockIndex,
        /// The new reading.
        reading: DoorReading,
        /// When the first reading that showed it was asked for.
        seen_at: Instant,
    },
    /// The first believed readings since the port opened or the board came back: no event, a
    /// starting point. All configured locks of the board are in it.
    Baseline {
        /// The board.
        board: BoardAddr,
        /// Each lock with its reading.
        readings: Vec<(LockIndex, DoorReading)>,
    },
    /// A board came or went. `Offline` makes the readings of all its doors unknown, without a `Door`
    /// event for each.
    Board {
        /// The board.
        board: BoardAddr,
        /// Its state from now on.
        state: BoardLink,
    },
    /// What the infrared sensors of a board see: told with its first readings, and whenever two equal
    /// readings differ from what was told. Boards without such sensors tell nothing.
    Objects {
        /// The board.
        board: BoardAddr,
        /// The configured locks whose compartments hold something; the others hold nothing.
        holding: Vec<LockIndex>,
    },
    /// The pulses of a board do nothing although it answers, on several doors one after the other: a
    /// blown fuse, or no supply at the locks. Until it is over none is sent.
    BoardPower {
        /// The board.
        board: BoardAddr,
        /// Its supply from now on.
        state: BoardPower,
    },
    /// A sensor did not change through pulses after which a person, or the infrared sensor, says that
    /// the door opened. Pulses still go out; what the sensor says is worth less from now on.
    SensorDoubt {
        /// The board.
        board: BoardAddr,
        /// The lock.
        lock: LockIndex,
    },
    /// So long passed between two readings of a board that a person could have opened and shut a door
    /// unseen. At most one a board and `error_report_interval_ms`.
    SlowPoll {
        /// The board.
        board: BoardAddr,
        /// The longest such time since this was last told.
        gap_ms: u64,
    },
    /// The port came or went.
    Port {
        /// Its state from now on.
        state: PortLink,
    },
    /// Errors on the line. At most one a kind and interval; dropped when the owner does not keep up,
    /// in which case the next one's count includes them.
    BusError {
        /// What is wrong.
        kind: ErrorKind,
        /// How often since this kind was last reported.
        count: u64,
    },
}

/// What the hook switch of a door says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DoorReading {
    /// The hook is free.
    Open,
    /// The hook holds.
    Closed,
    /// No two readings agreed.
    Unknown,
}

/// How a board answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardLink {
    /// It answers.
    Online,
    /// It missed three polls in a row, or its port is down; its doors keep their readings.
    Suspect,
    /// It has not answered for ten seconds; its doors are unknown.
    Offline,
}

/// Whether the locks of a board have power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardPower {
    /// Several doors in a row did not open.
    Missing,
    /// A pulse opened its door, or the board was away and came back.
    Back,
}

/// Whether the port is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortLink {
    /// Open. Boards behind it may still be silent.
    Up,
    /// Closed, and being opened again.
    Down {
        /// In words, for a log and a technician.
        reason: String,
    },
}

/// What became of one unlock request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PulseOutcome {
    /// The door went from closed to open inside the window of this pulse.
    Opened {
        /// From the pulse to the first reading that showed it.
        after_ms: u64,
    },
    /// The hook read closed twice after the window.
    NotOpened,
    /// The door read open before the pulse. The pulse was sent all the same: a sensor that reads
    /// open must not keep a person from what is theirs.
    AlreadyOpen,
    /// The pulse may have been sent, and no trustworthy reading says what it did.
    Unknown(UnknownReason),
    /// No byte of it was sent, and none will be.
    NotSent(NotSentReason),
}

/// Why nothing is known about a pulse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownReason {
    /// The port was lost while it was written or watched.
    PortLost,
    /// The board gave no good reading after it.
    NoReading,
    /// It reads open, but no two readings before the pulse agreed.
    NoReadingBefore,
    /// It reads open, but opened only after the window of the pulse.
    OpenedLate,
    /// All doors of the board changed in one reading: a board or sensor supply fault.
    BoardWideChange,
}

/// Why a pulse was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSentReason {
    /// It lapsed while the port was down.
    PortDown,
    /// It lapsed while the board did not answer polls.
    BoardSilent,
    /// The locks of its board have no power: see [`BusEvent::BoardPower`].
    NoPower,
    /// It lapsed behind other pulses.
    WaitedTooLong,
    /// The bus was told to stop.
    Stopping,
}
