//! What a bus is told at start: its port, its boards and locks, and every time it works by.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::port::PortConfig;
use super::position::{BOARDS_PER_BUS, BoardAddr, LockIndex};
use super::profile::{PollForm, Profile};

/// One port with the boards behind it.
#[derive(Clone, Debug)]
pub struct BusConfig {
    /// Where the boards are reached. Read by [`super::PortConnector`], not by the bus.
    pub port: PortConfig,
    /// The boards on this line.
    pub boards: Vec<BoardConfig>,
    /// What kind of line it is.
    pub line: LineConfig,
    /// The times it works by.
    pub timing: BusTiming,
    /// How a lost port is opened again.
    pub backoff: Backoff,
}

impl BusConfig {
    /// Checks what the types cannot: no board and no lock is named twice, each board has a lock and no
    /// lock that its family has not, and an echo can be probed for.
    ///
    /// # Errors
    /// Names the first contradiction.
    pub fn check(&self) -> Result<(), CheckBusError> {
        if self.boards.is_empty() {
            return Err(CheckBusError::NoBoard);
        }
        let mut seen = HashSet::new();
        for board in &self.boards {
            let addr = board.addr.get();
            if board.locks.is_empty() {
                return Err(CheckBusError::NoLock { board: addr });
            }
            for lock in &board.locks {
                let locks = self.line.profile.locks();
                if lock.index.get() >= locks {
                    let lock = lock.index.get();
                    return Err(CheckBusError::NoSuchLock { board: addr, lock, locks });
                }
                if !seen.insert((addr, lock.index)) {
                    return Err(CheckBusError::LockTwice { board: addr, lock: lock.index.get() });
                }
            }
        }
        let addrs: HashSet<_> = self.boards.iter().map(|board| board.addr).collect();
        if addrs.len() < self.boards.len() {
            return Err(CheckBusError::BoardTwice);
        }
        if self.line.echo == Echo::Probe && self.empty_addr().is_none() {
            return Err(CheckBusError::NoEmptyAddress);
        }
        Ok(())
    }

    /// An address where no board is, if one is left: whatever answers there is an echo. The farthest
    /// from the boards' own is taken, since a miswired selector is more likely to be one off.
    pub(super) fn empty_addr(&self) -> Option<BoardAddr> {
        let taken = |addr: &BoardAddr| self.boards.iter().any(|board| board.addr == *addr);
        BoardAddr::all().filter(|addr| !taken(addr)).last()
    }
}

/// What kind of line the boards are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineConfig {
    /// The family of its boards.
    pub profile: Profile,
    /// Whether it echoes.
    pub echo: Echo,
}

/// Whether an adapter gives back what it is sent: a two-wire one may, a four-wire one does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Echo {
    /// It does not.
    #[default]
    Off,
    /// It does; exactly what was sent is stripped, and required.
    On,
    /// Ask an address without a board each time the port opens, and see.
    Probe,
}

/// Why a bus cannot run as configured.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CheckBusError {
    /// No board on the line.
    #[error("no board is configured on this port")]
    NoBoard,
    /// Two boards with one address would answer at once.
    #[error("two boards on this port have the same address")]
    BoardTwice,
    /// A board nobody needs is a mistake in the layout.
    #[error("board {board} has no lock")]
    NoLock {
        /// Its address.
        board: u8,
    },
    /// The family has boards with fewer locks.
    #[error("lock {lock} of board {board} is not below {locks}, the locks of such a board")]
    NoSuchLock {
        /// Address of the board.
        board: u8,
        /// Index of the lock.
        lock: u8,
        /// Locks that such a board has.
        locks: u8,
    },
    /// Whatever an address without a board gives back is an echo, but there is none.
    #[error(
        "echo = \"probe\" needs an address without a board, but all {BOARDS_PER_BUS} are taken"
    )]
    NoEmptyAddress,
    /// One lock cannot belong to two compartments.
    #[error("lock {lock} of board {board} is configured twice")]
    LockTwice {
        /// Address of the board.
        board: u8,
        /// Index of the lock.
        lock: u8,
    },
}

/// One board and the locks wired to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardConfig {
    /// Its selector.
    pub addr: BoardAddr,
    /// The locks in use; bits of others are ignored.
    pub locks: Vec<LockConfig>,
    /// The form of poll that this board was found to take.
    #[serde(default)]
    pub poll: PollForm,
}

/// One lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockConfig {
    /// Its place on the board, from 0.
    pub index: LockIndex,
    /// What its switch says; learned at commissioning, so there is no default.
    pub polarity: Polarity,
}

/// What a hook bit means. The CU48 document (V2.1) has 1 for locked and warns that it is the other
/// way round with a detect switch of the other kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Polarity {
    /// As in the document.
    OneIsLocked,
    /// The other kind of switch.
    ZeroIsLocked,
}

/// The times a bus works by, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusTiming {
    /// Line rate in bits per second, for reckoning when a frame has left. CU48 document: 19200.
    pub baud: u32,
    /// From the request handed to the line until the first byte of the reply: 9.4 ms of line, the
    /// board's turnaround and up to 16 ms of USB latency timer (FTDI default), with a margin.
    pub reply_timeout_ms: u64,
    /// Longest silence inside a reply. Must exceed the 16 ms in which USB adapters bundle bytes.
    pub inter_byte_gap_ms: u64,
    /// Silence required after a timeout, so that a late reply is not taken for the next one.
    pub quiet_ms: u64,
    /// The wait for that silence ends here: a line that babbles counts as one more miss.
    pub quiet_limit_ms: u64,
    /// A line that does not take a frame within this is dead.
    pub write_timeout_ms: u64,
    /// Between two polls of one board at rest: 5 Hz.
    pub poll_interval_ms: u64,
    /// From a pulse to the first look at its door: the hook moves within tens of milliseconds.
    pub first_confirm_ms: u64,
    /// Between looks while a pulse is watched and for `brisk_ms` after it.
    pub confirm_interval_ms: u64,
    /// How long a board is polled at `confirm_interval_ms` after a pulse.
    pub brisk_ms: u64,
    /// Until when after a pulse a door that opens was opened by it: pulse + 1.5 s.
    pub confirm_window_ms: u64,
    /// How long after the window readings are awaited before the outcome is Unknown.
    pub verdict_limit_ms: u64,
    /// How long the board energises a solenoid lock. Vendors recommend 500 ms; not in the document.
    pub pulse_ms: u64,
    /// Rest of the supply between two pulses: a CU48 carries 3 A, a KR-S99N lock draws 2.4 A at
    /// 12 V, so only one lock of a bus is ever energised.
    pub pulse_gap_ms: u64,
    /// A request not on the wire this long after it was issued is not sent: the person has gone.
    pub unlock_max_wait_ms: u64,
    /// A gateway over TCP that has given back nothing this long after a pulse may be holding it: the
    /// connection is aborted, so that the pulse is not delivered to an empty pavement.
    pub gateway_proof_ms: u64,
    /// A board gets an unlock only if it answered a poll on this connection within this.
    pub board_fresh_ms: u64,
    /// Repeat of a changed reading, longer than the bounce of a contact.
    pub recheck_ms: u64,
    /// How long a door must read closed before it counts as closed: latches bounce.
    pub closed_stable_ms: u64,
    /// Silence of a board after which it is offline and its doors are unknown.
    pub offline_after_ms: u64,
    /// First and longest wait between polls of a board that is offline.
    pub offline_poll_min_ms: u64,
    /// See `offline_poll_min_ms`.
    pub offline_poll_max_ms: u64,
    /// Longest time between two readings of a board in which a person cannot open and shut a door
    /// unseen; a longer one is an alarm. Lockers that polled every 5 s missed whole visits.
    pub reading_gap_limit_ms: u64,
    /// An error of one kind is reported at once, then at most once in this time with its count.
    pub error_report_interval_ms: u64,
}

impl Default for BusTiming {
    fn default() -> Self {
        let pulse_ms = 500;
        Self {
            baud: super::cu48::BAUD,
            reply_timeout_ms: 60,
            inter_byte_gap_ms: 25,
            quiet_ms: 25,
            quiet_limit_ms: 250,
            write_timeout_ms: 500,
            poll_interval_ms: 200,
            first_confirm_ms: 60,
            confirm_interval_ms: 100,
            brisk_ms: 10_000,
            confirm_window_ms: pulse_ms + 1_500,
            verdict_limit_ms: 1_000,
            pulse_ms,
            pulse_gap_ms: 100,
            unlock_max_wait_ms: 2_000,
            gateway_proof_ms: 500,
            board_fresh_ms: 2_000,
            recheck_ms: 50,
            closed_stable_ms: 500,
            offline_after_ms: 10_000,
            offline_poll_min_ms: 1_000,
            offline_poll_max_ms: 5_000,
            reading_gap_limit_ms: 500,
            error_report_interval_ms: 10_000,
        }
    }
}

impl BusTiming {
    /// Time the line needs for `bytes` bytes of 8N1: ten bits each.
    #[must_use]
    pub fn line_time(&self, bytes: usize) -> Duration {
        let bits = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(10);
        Duration::from_micros(bits.saturating_mul(1_000_000) / u64::from(self.baud.max(1)))
    }
}

/// How a lost port is opened again: for ever, ever slower up to a bound.
#[derive(Clone, Debug)]
pub struct Backoff {
    /// Wait before the first attempt, doubled for each further one.
    pub min_ms: u64,
    /// Longest wait without jitter.
    pub max_ms: u64,
    /// Added to each wait, so that many banks behind one failure do not return together.
    pub jitter: Jitter,
}

impl Default for Backoff {
    /// From 0.2 s to 5 s without jitter: the start-up code gives the source of randomness.
    fn default() -> Self {
        Self { min_ms: 200, max_ms: 5_000, jitter: Jitter::none() }
    }
}

impl Backoff {
    /// The wait before the attempt that follows `failures` failures in a row.
    #[must_use]
    pub fn wait(&self, failures: u32) -> Duration {
        let doubled = self.min_ms.saturating_mul(1_u64.checked_shl(failures).unwrap_or(u64::MAX));
        let base = doubled.min(self.max_ms);
        Duration::from_millis(base + self.jitter.draw_ms(base / 4))
    }
}

/// A source of jitter: given a bound in milliseconds, it answers with a number not above it.
#[derive(Clone)]
pub struct Jitter(Arc<dyn Fn(u64) -> u64 + Send + Sync>);

impl Jitter {
    /// Uses `draw`; what exceeds the bound is cut.
    pub fn new(draw: impl Fn(u64) -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(draw))
    }

    /// No jitter: for tests, and for a port that is only this machine's own.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|_| 0)
    }

    pub(crate) fn draw_ms(&self, bound_ms: u64) -> u64 {
        (self.0)(bound_ms).min(bound_ms)
    }
}

impl fmt::Debug for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jitter")
    }
}
