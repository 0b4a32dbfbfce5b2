//! Banks that come late, with much to tell, take turns: whoever is live does not wait for them.
//!
//! What a bank says that is live is small and goes to the store at once. A batch above [`SMALL_BYTES`] waits
//! here for its bank's turn, and so does everything that its bank says after it. The store is given only as
//! many facts of such banks as it writes in a moment, because whoever comes after them waits for them; and
//! the more banks wait, the less of each is taken at a time, so that none of them is without an ack for so
//! long that it gives its connection up.
//!
//! Nothing is lost with what waits: it was not acknowledged, and its bank sends it again. It is no more than
//! sessions may have unacknowledged: four batches each, which is half a MiB of packets, and the rest of the
//! one that was begun once more, decoded.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use locker_core::ids::BankId;
use locker_core::journal::{BATCH_MAX_RECORDS, next_hash};
use locker_core::uplink::inlet::Cursor;
use locker_proto::message::Batch;
use tokio::time::Instant;

use super::Ingest;
use super::link::Link;
use super::uplink::{Arrived, Fit};
use crate::mqtt::UpTopic;

/// A batch up to this size goes at once, in bytes. A visit to a bank is eight facts, about 1 KiB.
const SMALL_BYTES: usize = 2 * 1_024;
/// Less is never taken of a batch in one turn, in records: each turn costs an ack.
const SLICE_MIN_RECORDS: usize = 64;
/// If the store takes longer for a slice, it is given fewer facts at a time.
const STORE_PATIENCE: Duration = Duration::from_millis(500);
/// It is not given less than this at a time, if that is possible.
const FACTS_MIN: u64 = 1_024;
/// Events that pass a bank's turn, at most.
const PASS_MAX: u32 = 32;

/// See the module's text.
pub(super) struct Late<L: Link> {
    parked: HashMap<BankId, VecDeque<Parked<L>>>,
    /// Whose turn is next; each bank that has something parked, once.
    turns: VecDeque<BankId>,
    /// Facts on their way to the store.
    under_way: u64,
    /// As many may be: never more than `facts_max`.
    room: u64,
    facts_max: u64,
    round_records: usize,
    /// Events that came before the next turn.
    passed: u32,
}

/// A batch that waits.
#[derive(Debug)]
pub(super) struct Parked<L: Link> {
    pub(super) session: L::Session,
    /// As it came.
    pub(super) payload: Bytes,
    pub(super) token: Option<L::Token>,
    /// What is left of it.
    pub(super) cut: Option<Cut>,
}

/// The end of a batch that was judged as a whole.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) batch: Batch,
    pub(super) before: Cursor,
    pub(super) next: Cursor,
}

/// Facts that the store was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    late: u64,
    at: Instant,
}

impl<L: Link> Late<L> {
    pub(super) fn new(facts_max: u64, round_records: usize) -> Self {
        Self {
            parked: HashMap::new(),
            turns: VecDeque::new(),
            under_way: 0,
            room: facts_max,
            facts_max,
            round_records,
            passed: 0,
        }
    }

    fn has_parked(&self, bank: &BankId) -> bool {
        self.parked.contains_key(bank)
    }

    pub(super) fn park(&mut self, bank: &BankId, parked: Parked<L>) {
        self.queue(bank).push_back(parked);
    }

    /// Parks what comes before everything else of the bank.
    pub(super) fn put_back(&mut self, bank: &BankId, parked: Parked<L>) {
        self.queue(bank).push_front(parked);
    }

    fn queue(&mut self, bank: &BankId) -> &mut VecDeque<Parked<L>> {
        if !self.parked.contains_key(bank) {
            self.turns.push_back(bank.clone());
        }
        self.parked.entry(bank.clone()).or_default()
    }

    /// Drops what the bank has parked.
    pub(super) fn forget(&mut self, bank: &BankId) {
        if self.parked.remove(bank).is_some() {
            self.turns.retain(|other| other != bank);
        }
    }

    /// Whether it is somebody's turn.
    pub(super) fn may_go(&self) -> bool {
        self.under_way < self.room && !self.turns.is_empty()
    }

    /// Counts an event that came before a turn; whether the turn comes before the next one.
    pub(super) fn has_let_pass(&mut self) -> bool {
        self.passed = if self.may_go() { self.passed + 1 } else { 0 };
        self.passed >= PASS_MAX
    }

    fn next(&mut self) -> Option<(BankId, Parked<L>)> {
        self.passed = 0;
        let bank = self.turns.pop_front()?;
        let waiting = self.parked.get_mut(&bank)?;
        let parked = waiting.pop_front()?;
        if waiting.is_empty() {
            self.parked.remove(&bank);
        } else {
            self.turns.push_back(bank.clone());
        }
        Some((bank, parked))
    }

    /// How many records are taken in a turn, while `waiting` banks wait.
    fn slice_records(&self, waiting: usize) -> usize {
        (self.round_records / waiting.max(1)).clamp(SLICE_MIN_RECORDS, BATCH_MAX_RECORDS)
    }

    pub(super) fn took_off(&mut self, late: u64) -> Taken {
        self.under_way += late;
        Taken { late, at: Instant::now() }
    }

    /// The store has written them, or not. How fast it is, is learnt from that.
    pub(super) fn landed(&mut self, Taken { late, at }: Taken) {
        self.under_way = self.under_way.saturating_sub(late);
        self.room = if at.elapsed() > STORE_PATIENCE {
            let fewest = FACTS_MIN.min(self.facts_max);
            self.room.saturating_sub(late / 2).max(fewest)
        } else {
            (self.room + late / 4).min(self.facts_max)
        };
    }
}

impl<L: Link> Ingest<L> {
    /// Whether a batch has to wait for its bank's turn. One that nobody expects yet is dealt with at once.
    pub(super) fn waits(&mut self, bank: &BankId, payload: &Bytes) -> bool {
        let is_late = payload.len() > SMALL_BYTES || self.late.has_parked(bank);
        is_late && self.born(bank).is_some()
    }

    /// Takes a slice of the bank whose turn it is.
    pub(super) async fn take_turn(&mut self) {
        let waiting = self.late.turns.len();
        let Some((bank, parked)) = self.late.next() else { return };
        let Parked { session, payload, token, cut } = parked;
        let topic = UpTopic::Facts;
        let arrived = Arrived { bank: &bank, session, topic, payload: &payload, token };
        let Some(mut fit) = self.judge(arrived, cut) else { return };
        let cut = cut_off(&mut fit, self.late.slice_records(waiting));
        let late = fit.next.committed - fit.before.committed;
        self.commit(fit, cut, late).await;
    }
}

/// Cuts off what is above a slice.
fn cut_off<L: Link>(fit: &mut Fit<'_, L>, records: usize) -> Option<Cut> {
    let last = fit.skip + records;
    if fit.batch.records.len() <= last {
        return None;
    }
    let later = fit.batch.records.split_off(last);
    let mut before = fit.before;
    for record in &fit.batch.records[fit.skip..] {
        before = Cursor {
            committed: before.committed + 1,
            hash: next_hash(before.hash, record),
            ..before
        };
    }
    let (first_seq, previous) = (before.committed + 1, before.hash);
    let batch = Batch { stream: fit.batch.stream, first_seq, previous, records: later };
    let next = std::mem::replace(&mut fit.next, before);
    Some(Cut { batch, before, next })
}

#[cfg(test)]
mod tests;
