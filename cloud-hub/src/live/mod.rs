//! The live lane: what banks say at this moment, for operators' own MQTT tools.
//!
//! It is a view, not a record. Telemetry, presence and committed door facts go from ingest into one
//! bounded queue ([`Lane`]), from there through a broker's router on a thread of its own to each
//! operator's session. Whatever is slow on that way loses the oldest notes, which is counted, and
//! never holds up ingest: banks' sessions are not on it, and a dead router is replaced in place.
//!
//! | topic | payload | when |
//! |---|---|---|
//! | `lk/{shard}/{bank}/up/telemetry` | `locker.bank.v1.Telemetry`, as the bank sent it | each sample |
//! | `lk/{shard}/{bank}/up/presence` | `locker.bank.v1.Presence`, made by the hub | birth accepted; session over |
//! | `lk/{shard}/{bank}/live/doors` | JSON, see [`DoorNote`] | after the commit of the fact |
//!
//! What a bank sends stays protobuf, byte for byte. What the hub makes for people's tools is JSON.

mod counters;
mod door;
mod filter;
mod mailbox;
mod queue;
mod router;
mod runner;
mod seat;

pub use counters::{Count, Counters};
pub use door::{DoorChange, DoorNote};
pub use filter::{BankPattern, FilterRefusal, OperatorBanks, ParseBankPatternError};
pub use mailbox::Mailbox;
pub use seat::{Seat, SeatLost};

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use locker_core::ids::BankId;
use locker_proto::message::Presence;
use tokio::sync::mpsc;

use queue::{Kind, Note, Queue};
use runner::Order;

/// The bounds of the lane.
#[derive(Debug, Clone)]
pub struct LaneLimits {
    /// Notes between ingest and the router; one more drops the oldest.
    pub queue_notes: usize,
    /// Largest telemetry that is passed on, in bytes; a larger one is dropped. A sample of every
    /// sensor has less than 100.
    pub note_bytes: usize,
    /// Sessions of operators at a time; the router gets no more links.
    pub sessions: usize,
    /// The router keeps this much of each distinct filter, in bytes, in parts; a session that
    /// is further behind misses what was dropped.
    pub filter_bytes: usize,
    /// Distinct filters that a router has seen; then it is replaced, because it forgets none.
    pub filters: usize,
}

impl Default for LaneLimits {
    fn default() -> Self {
        Self {
            queue_notes: 8_192,
            note_bytes: 1_024,
            sessions: 16,
            filter_bytes: 512 * 1_024,
            filters: 1_024,
        }
    }
}

/// The way into the lane. Cheap to clone; no call waits.
#[derive(Clone)]
pub struct Lane {
    core: Arc<Core>,
    /// The lane's thread ends when the last of these is gone.
    orders: mpsc::Sender<Order>,
}

/// What the lane's thread and its handles share.
struct Core {
    limits: LaneLimits,
    queue: Queue,
    /// Operators' sessions with at least one filter: without any, notes are not even queued.
    listeners: AtomicUsize,
    counters: Arc<Counters>,
}

impl Lane {
    /// Starts the lane's thread, which ends with the last handle.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(limits: LaneLimits) -> std::io::Result<Self> {
        let (orders, inbox) = mpsc::channel(runner::ORDERS_WAITING_MAX);
        let lane = Self::with(limits, orders);
        runner::start(Arc::clone(&lane.core), inbox)?;
        Ok(lane)
    }

    /// A lane that nobody can listen to.
    #[must_use]
    pub fn deaf() -> Self {
        let (orders, _) = mpsc::channel(1);
        Self::with(LaneLimits::default(), orders)
    }

    fn with(limits: LaneLimits, orders: mpsc::Sender<Order>) -> Self {
        let counters = Arc::<Counters>::default();
        let queue = Queue::new(limits.queue_notes, Arc::clone(&counters));
        let core = Core { limits, queue, listeners: AtomicUsize::new(0), counters };
        Self { core: Arc::new(core), orders }
    }

    /// What the lane counts.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.core.counters
    }

    /// Whether anybody listens. If not, nothing needs to be made for the lane.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.core.listeners.load(Ordering::Relaxed) > 0
    }

    /// A sample, as the bank sent it.
    pub fn telemetry(&self, bank: &BankId, payload: &Bytes) {
        if !self.is_heard() {
            return;
        }
        if payload.len() > self.core.limits.note_bytes {
            self.core.counters.add(Count::Oversize, 1);
            return;
        }
        self.push(bank, Kind::Telemetry, payload.clone());
    }

    /// A session of the bank began or ended.
    pub fn presence(&self, bank: &BankId, presence: Presence) {
        if self.is_heard() {
            self.push(bank, Kind::Presence, presence.encode().into());
        }
    }

    /// Door facts of the bank, committed.
    pub fn doors(&self, bank: &BankId, doors: &[DoorNote]) {
        if self.is_heard() {
            for door in doors {
                self.push(bank, Kind::Doors, door.to_json(bank).into());
            }
        }
    }

    fn push(&self, bank: &BankId, kind: Kind, payload: Bytes) {
        self.core.queue.push(Note { bank: bank.clone(), kind, payload });
    }

    /// A place at the router for one session, which hears what it subscribes to in `mailbox`.
    /// `None` when the lane has ended or too many ask at the same time.
    #[must_use]
    pub fn seat(&self, mailbox: &Arc<Mailbox>) -> Option<Seat> {
        let (seat, opening) = seat::open(mailbox);
        self.orders.try_send(Order::Open(opening)).ok()?;
        Some(seat)
    }

    /// Makes the router's thread panic, as its own faults do.
    #[cfg(test)]
    pub(crate) async fn kill_router(&self) {
        self.orders.send(Order::KillRouter).await.expect("the lane runs");
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("is_heard", &self.is_heard()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
