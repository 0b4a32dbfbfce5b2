//! Where banks' reports become the hub's state.
//!
//! One loop owns every bank's cursor and folded state. A batch is judged, decoded and folded in
//! memory, then written as one job; its PUBACK and the hub's ack follow the commit, so nothing is
//! lost when the hub dies in between: the bank sends it again and it is known then. When a write
//! fails, what memory holds of the bank is dropped and read again: the store is right.

mod bank;
mod batch;
mod codes;
mod counters;
mod facts;
mod late;
mod link;
mod order;
mod outage;
mod presence;
mod refold;
mod seals;
mod stamp;
mod streams;
mod takeover;
mod talk;
mod tasks;
mod uplink;

pub use counters::{Count, Counters};
pub use link::{Caller, Link, LinkEvent};
pub use order::{Order, Orders};
pub use presence::Presence;
pub use stamp::TraceStamp;

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use locker_core::ids::{BankId, Generation};
use locker_core::journal::Place;
use locker_core::units::UnixMillis;
use locker_core::uplink::inlet::Cursor;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::coop::consume_budget;
use tokio::time::{MissedTickBehavior, interval};

use crate::credential_keys::HubKeys;
use crate::live::Lane;
use crate::mqtt::{Sessions, UpTopic};
use crate::store::{
    Downlink, LoadedBank, NoteKeySet, ReadError, Standing, Store, StoredRun, WriteBatchError,
    WriteError,
};
use bank::{Bank, Strikes, Waiting};
use batch::News;
use late::{Late, Parked, Taken};
use outage::{Outages, Turn};
use refold::LoadBankError;
use takeover::Quarrels;

/// Reads at a time. Below the store's reading connections, which others use, too: whoever waits for a
/// connection gives up after a while, and of a thousand banks that come at once all but a few would.
const READS_AT_ONCE: usize = 2;

/// The bounds of ingest.
#[derive(Clone, Debug)]
pub struct IngestLimits {
    /// A bank hears of its watermark at most this often; grants that found no room are tried
    /// again as often.
    pub ack_every: Duration,
    /// Room for other messages that a backlog of grants leaves in a session's queue.
    pub queue_reserve: usize,
    /// A layout that a bank refused is offered again at most this often in a session.
    pub layout_every: Duration,
    /// A bank without a connection for as long as this is an outage that somebody is called for.
    pub outage_after: Duration,
    /// An outage is over once its bank has had a connection for as long as this.
    pub steady_after: Duration,
    /// Facts of banks that come late, on their way to the store: the rest waits.
    pub late_facts: u64,
    /// Records in a round of turns, if that is possible: the more banks wait, the shorter their turns.
    pub round_records: usize,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self {
            ack_every: Duration::from_millis(50),
            queue_reserve: 8,
            layout_every: Duration::from_secs(60),
            outage_after: Duration::from_secs(2 * 3_600),
            steady_after: Duration::from_secs(5 * 60),
            // Two groups of the store's writer, of ordinary batches: one is written while the other is
            // folded.
            late_facts: 16_384,
            round_records: 65_536,
        }
    }
}

/// See the module's text.
pub struct Ingest<L: Link = Sessions> {
    store: Store,
    keys: Arc<HubKeys>,
    link: L,
    limits: IngestLimits,
    banks: HashMap<BankId, Bank<L>>,
    strikes: Strikes,
    quarrels: Quarrels,
    outages: Outages,
    work: FuturesUnordered<BoxFuture<'static, Done<L>>>,
    /// Batches of banks that come late.
    late: Late<L>,
    /// Turns of those who read what is stored.
    reads: Arc<Semaphore>,
    /// Banks that are owed an ack.
    unacked: BTreeSet<BankId>,
    /// Banks whose session had no room for all their grants.
    hungry: BTreeSet<BankId>,
    /// Banks that are to be offered the layout again which they refused.
    unplaced: BTreeSet<BankId>,
    presence: Presence,
    counters: Arc<Counters>,
    stamps: mpsc::Sender<TraceStamp>,
    lane: Lane,
    orders: (Orders, mpsc::Receiver<order::Given>),
}

/// Something that ingest had waited for. Each is bounded by the session limits: four batches and a
/// birth at a time.
enum Done<L: Link> {
    Loaded {
        bank: BankId,
        loaded: Result<Option<Box<LoadedBank>>, LoadBankError>,
    },
    Committed {
        bank: BankId,
        token: Option<L::Token>,
        next: Cursor,
        news: News,
        late: Taken,
        outcome: Result<(), WriteBatchError>,
    },
    Quarantined {
        bank: BankId,
        session: L::Session,
        token: Option<L::Token>,
        outcome: Result<bool, WriteError>,
    },
    Stopped {
        bank: BankId,
        token: Option<L::Token>,
        outcome: Result<(), WriteError>,
    },
    Opened {
        bank: BankId,
        session: L::Session,
        waiting: Box<Waiting<L::Token>>,
        inventory: bool,
        outcome: Result<bool, WriteError>,
    },
    Reviewed {
        bank: BankId,
        session: L::Session,
        read: Result<Option<Standing>, ReadError>,
    },
    Downlink {
        bank: BankId,
        session: L::Session,
        read: Result<Option<Box<Downlink>>, ReadError>,
    },
    GrantLogBegun {
        bank: BankId,
        session: L::Session,
        outcome: Result<(), WriteError>,
    },
    /// What the rungs of a birth's ladder must be held against.
    Compared {
        bank: BankId,
        session: L::Session,
        cursor: Cursor,
        ours: Result<Vec<Place>, ReadError>,
    },
    StoredRun {
        bank: BankId,
        session: L::Session,
        read: Result<StoredRun, ReadError>,
    },
    Learnt {
        bank: BankId,
        outcome: Result<(), WriteError>,
    },
    Turned {
        turn: Turn,
        outcome: Result<(), WriteError>,
    },
}

/// What ingest works with.
#[derive(Debug)]
pub struct IngestParts<L: Link = Sessions> {
    pub store: Store,
    pub keys: Arc<HubKeys>,
    pub sessions: L,
    /// Where stamps of committed records go; what finds it full is dropped and counted.
    pub stamps: mpsc::Sender<TraceStamp>,
}

/// Why ingest did not start.
#[derive(Debug, Error)]
pub enum StartIngestError {
    #[error("the banks cannot be read")]
    Banks(#[source] ReadError),
    #[error("the key set could not be noted")]
    KeySet(#[source] WriteError),
    #[error(
        "the key set is of generation {}, and this hub has had generation {}: an older file was \
         put back. Give the hub the newer key-set.signed; if it is lost, sign the one there is \
         with `cloud-hub pki sign` until its generation is above {}",
        generation.0, known.0, known.0
    )]
    KeySetOlder { generation: Generation, known: Generation },
    #[error(
        "the key set is another one of generation {} than this hub has had: two were signed with \
         one number, and banks keep the first. Sign the right one again with `cloud-hub pki sign`",
        generation.0
    )]
    KeySetDiffers { generation: Generation },
}

impl<L: Link> Ingest<L> {
    /// Gets ready, with default limits.
    ///
    /// # Errors
    ///
    /// When the store has seen a newer key set, or cannot note this one.
    pub async fn start(parts: IngestParts<L>) -> Result<Self, StartIngestError> {
        Self::start_with(parts, IngestLimits::default()).await
    }

    /// Gets ready.
    ///
    /// # Errors
    ///
    /// When the store has seen a newer key set, or cannot note this one.
    pub async fn start_with(
        parts: IngestParts<L>,
        limits: IngestLimits,
    ) -> Result<Self, StartIngestError> {
        let IngestParts { store, keys, sessions, stamps } = parts;
        let note = NoteKeySet { keys: keys.key_set().clone(), now: now() };
        let generation = note.keys.generation;
        match store.decide(note).await.map_err(StartIngestError::KeySet)? {
            None => {}
            Some(known) if known.generation == generation => {
                return Err(StartIngestError::KeySetDiffers { generation });
            }
            Some(known) => {
                return Err(StartIngestError::KeySetOlder { generation, known: known.generation });
            }
        }
        let heard_of = store.banks_heard_of().await.map_err(StartIngestError::Banks)?;
        let outages = Outages::new(limits.outage_after, limits.steady_after, heard_of);
        let late = Late::new(limits.late_facts, limits.round_records);
        Ok(Self {
            store,
            keys,
            link: sessions,
            limits,
            outages,
            banks: HashMap::new(),
            strikes: Strikes::default(),
            quarrels: Quarrels::default(),
            late,
            work: FuturesUnordered::new(),
            reads: Arc::new(Semaphore::new(READS_AT_ONCE)),
            unacked: BTreeSet::new(),
            hungry: BTreeSet::new(),
            unplaced: BTreeSet::new(),
            presence: Presence::default(),
            counters: Arc::default(),
            stamps,
            lane: Lane::deaf(),
            orders: Orders::channel(),
        })
    }

    /// Lets operators hear what banks say, by `lane`.
    #[must_use]
    pub fn with_lane(self, lane: Lane) -> Self {
        Self { lane, ..self }
    }

    /// Which banks have a session.
    #[must_use]
    pub fn presence(&self) -> Presence {
        self.presence.clone()
    }

    /// What is counted.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Runs until `events` ends. Our own sessions keep it open as long as ingest holds them: with
    /// those, use [`Self::run_until`].
    pub async fn run<E>(self, events: mpsc::Receiver<E>)
    where
        E: Into<LinkEvent<L::Session, L::Token>>,
    {
        self.run_until(events, std::future::pending()).await;
    }

    /// Runs until `stop` or the end of `events`; then takes in what was said before, and waits for
    /// what is on its way to the store. What waits for its bank's turn is dropped: it comes again.
    pub async fn run_until<E>(
        mut self,
        mut events: mpsc::Receiver<E>,
        stop: impl Future<Output = ()>,
    ) where
        E: Into<LinkEvent<L::Session, L::Token>>,
    {
        // What a hub before this one left over.
        talk::sweep_grants(&self.store);
        let wakes = self.store.wakes();
        let mut tick = interval(self.limits.ack_every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(done) = self.work.next() => self.on_done(done).await,
                banks = wakes.next() => self.read_downlinks(&banks),
                Some(order) = self.orders.1.recv() => self.on_order(order),
                _ = tick.tick() => self.on_tick(),
                event = events.recv() => match event {
                    Some(event) => {
                        self.on_event(event.into()).await;
                        if self.late.has_let_pass() {
                            self.take_turn().await;
                        }
                    }
                    None => break,
                },
                // Gives way to others on this thread, as all else here does.
                () = consume_budget(), if self.late.may_go() => self.take_turn().await,
            }
        }
        while let Ok(event) = events.try_recv() {
            self.on_event(event.into()).await;
        }
        while let Some(done) = self.work.next().await {
            self.on_done(done).await;
        }
    }

    async fn on_event(&mut self, event: LinkEvent<L::Session, L::Token>) {
        match event {
            LinkEvent::Connected { session, bank, caller } => {
                let took_over = self.quarrels.began(&bank, caller.address.ip());
                let entry = self.banks.entry(bank).or_default();
                entry.session = Some(bank::Live::new(session, caller, took_over));
            }
            LinkEvent::Subscribed { session, bank } => {
                let live = self.banks.get_mut(&bank).and_then(|entry| entry.live(session));
                if let Some(live) = live {
                    live.subscribed = true;
                    self.advance(&bank).await;
                }
            }
            LinkEvent::Publish { session, bank, topic, payload, ack } => {
                let ours = self.banks.get_mut(&bank).is_some_and(|b| b.live(session).is_some());
                if !ours {
                    return;
                }
                match topic {
                    UpTopic::Birth => self.on_birth(&bank, session, &payload, ack).await,
                    UpTopic::Facts if self.waits(&bank, &payload) => {
                        self.counters.add(Count::Waited, 1);
                        self.late.park(&bank, Parked { session, payload, token: ack, cut: None });
                    }
                    UpTopic::Facts => self.on_facts(&bank, session, &payload, ack).await,
                    UpTopic::Telemetry | UpTopic::Presence => {
                        self.on_sample(&bank, session, topic, &payload);
                    }
                }
            }
            LinkEvent::Ended { session, bank, taken_over } => {
                if taken_over {
                    self.quarrels.displaced(&bank);
                }
                let Some(entry) = self.banks.get_mut(&bank) else { return };
                if entry.live(session).is_some() {
                    entry.session = None;
                    entry.birth = None;
                    self.late.forget(&bank);
                    self.leave(&bank);
                    self.tidy(&bank);
                }
            }
        }
    }

    async fn on_done(&mut self, done: Done<L>) {
        match done {
            Done::Loaded { bank, loaded } => self.on_loaded(&bank, loaded).await,
            Done::Committed { bank, token, next, news, late, outcome } => {
                self.landed(&bank);
                self.late.landed(late);
                match outcome {
                    Ok(()) => self.on_committed(&bank, token, next, news),
                    Err(error) => self.on_commit_failed(&bank, &error),
                }
                self.advance(&bank).await;
                self.tidy(&bank);
            }
            Done::Quarantined { bank, session, token, outcome } => {
                self.landed(&bank);
                match (outcome, token) {
                    (Ok(true), Some(token)) => self.link.acknowledge(token),
                    (Ok(true), None) => {}
                    (Ok(false), _) => self.unknown_bank(&bank, session),
                    (Err(error), _) => {
                        tracing::error!(%bank, %error, "unreadable message not kept");
                        self.link.end(session, "message not kept");
                    }
                }
                self.advance(&bank).await;
                self.tidy(&bank);
            }
            Done::Stopped { bank, token, outcome } => {
                self.landed(&bank);
                match (outcome, token) {
                    (Ok(()), Some(token)) => self.link.acknowledge(token),
                    (Ok(()), None) => {}
                    (Err(error), _) => {
                        tracing::error!(%bank, %error, "stop of a bank not written");
                    }
                }
                self.advance(&bank).await;
                self.tidy(&bank);
            }
            Done::Opened { bank, session, waiting, inventory, outcome } => {
                self.landed(&bank);
                self.on_opened(&bank, session, *waiting, inventory, outcome);
                self.advance(&bank).await;
                self.tidy(&bank);
            }
            Done::Reviewed { bank, session, read } => self.on_reviewed(&bank, session, read),
            Done::Downlink { bank, session, read } => self.on_downlink(&bank, session, read),
            Done::GrantLogBegun { bank, session, outcome } => {
                self.on_grant_log_begun(&bank, session, outcome);
            }
            Done::Compared { bank, session, cursor, ours } => {
                self.on_compared(&bank, session, cursor, ours).await;
            }
            Done::StoredRun { bank, session, read } => self.on_stored_run(&bank, session, read),
            Done::Learnt { bank, outcome } => {
                self.landed(&bank);
                if let Err(error) = outcome {
                    // It is learnt again with the next connection.
                    tracing::error!(%bank, %error, "device key not noted");
                }
                self.advance(&bank).await;
                self.tidy(&bank);
            }
            Done::Turned { turn, outcome } => self.on_turned(&turn, outcome),
        }
    }

    fn landed(&mut self, bank: &BankId) {
        if let Some(entry) = self.banks.get_mut(bank) {
            entry.in_flight = entry.in_flight.saturating_sub(1);
        }
    }

    /// Forgets a bank that is gone and has nothing on its way.
    fn tidy(&mut self, bank: &BankId) {
        if self.banks.get(bank).is_some_and(Bank::is_idle) {
            self.banks.remove(bank);
            self.unacked.remove(bank);
            self.hungry.remove(bank);
            self.unplaced.remove(bank);
        }
    }
}

/// The hub's time.
pub(crate) fn now() -> UnixMillis {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
pub(crate) mod tests;
