//! What banks say: births, batches, and what cannot be read.

use std::error::Error;

use bytes::Bytes;
use locker_core::ids::BankId;
use locker_core::journal::CHAIN_START;
use locker_core::uplink::clone::CloneSign;
use locker_core::uplink::inlet::{self, BatchVerdict, Cursor};
use locker_proto::message::{Batch, Birth, Presence, Telemetry};
use tracing::{error, info, warn};

use super::bank::{Known, Memory, Waiting};
use super::batch::{Accepted, News, Outcome, fold_batch};
use super::facts::printable;
use super::late::{Cut, Parked};
use super::link::Link;
use super::refold::{self, LoadBankError};
use super::tasks::{decided, in_turn};
use super::{Count, Done, Ingest, now};
use crate::mqtt::UpTopic;
use crate::store::{
    Apart, CodesWrite, IngestWrite, Introduced, LoadedBank, Party, Quarantine, StopReason,
    WriteBatchError, WriteError,
};

/// Longest reason kept with an unreadable message, in characters.
const REASON_MAX_CHARS: usize = 200;

/// A message that came from a session.
pub(super) struct Arrived<'a, L: Link> {
    pub(super) bank: &'a BankId,
    pub(super) session: L::Session,
    pub(super) topic: UpTopic,
    pub(super) payload: &'a Bytes,
    pub(super) token: Option<L::Token>,
}

/// A batch that fits.
pub(super) struct Fit<'a, L: Link> {
    pub(super) arrived: Arrived<'a, L>,
    pub(super) batch: Batch,
    /// Records at its beginning that are known.
    pub(super) skip: usize,
    pub(super) before: Cursor,
    pub(super) next: Cursor,
}

impl<L: Link> Ingest<L> {
    pub(super) async fn on_birth(
        &mut self,
        bank: &BankId,
        session: L::Session,
        payload: &Bytes,
        token: Option<L::Token>,
    ) {
        let birth = match Birth::decode(payload) {
            Ok(birth) => birth,
            Err(error) => {
                let topic = UpTopic::Birth;
                let arrived = Arrived { bank, session, topic, payload, token };
                self.unreadable(arrived, &error);
                return;
            }
        };
        let Some(entry) = self.banks.get_mut(bank) else { return };
        let introduced = entry.session.as_ref().is_some_and(|live| live.party.is_some());
        if introduced || entry.birth.is_some() {
            self.link.end(session, "second birth in a session");
            return;
        }
        let payload = payload.clone();
        entry.birth = Some(Waiting { birth: Box::new(birth), payload, token, past: None });
        self.advance(bank).await;
    }

    /// Answers a waiting birth as soon as that is possible.
    pub(super) async fn advance(&mut self, bank: &BankId) {
        let Some(entry) = self.banks.get_mut(bank) else { return };
        let subscribed = entry.session.as_ref().is_some_and(|live| live.subscribed);
        if entry.birth.is_none() || !subscribed {
            return;
        }
        match &entry.memory {
            Memory::Loading => {}
            // What an earlier session sent must have its end first: memory may be wrong.
            Memory::Absent | Memory::Ready(_) if entry.in_flight > 0 => {}
            Memory::Absent => {
                entry.memory = Memory::Loading;
                let (store, bank) = (self.store.clone(), bank.clone());
                let of = bank.clone();
                let loading = in_turn(&self.reads, async move { refold::load(&store, &of).await });
                self.work.push(Box::pin(async move {
                    let gone = Err(LoadBankError::Write(WriteError::Closed));
                    let loaded = loading.await.unwrap_or(gone);
                    Done::Loaded { bank, loaded }
                }));
            }
            Memory::Ready(_) => self.answer_birth(bank).await,
        }
    }

    pub(super) async fn on_loaded(
        &mut self,
        bank: &BankId,
        loaded: Result<Option<Box<LoadedBank>>, LoadBankError>,
    ) {
        let Some(entry) = self.banks.get_mut(bank) else { return };
        entry.memory = Memory::Absent;
        let session = entry.session.as_ref().map(|live| live.id);
        match (loaded, session) {
            (Ok(Some(loaded)), _) => {
                entry.memory = Memory::Ready(Box::new(Known::from(*loaded)));
                self.advance(bank).await;
            }
            (Ok(None), Some(session)) => self.unknown_bank(bank, session),
            (Err(error), session) => {
                error!(%bank, %error, source = error.source(), "bank cannot be read");
                if let Some(session) = session {
                    self.link.end(session, "bank cannot be read");
                }
            }
            (Ok(None), None) => {}
        }
        self.tidy(bank);
    }

    pub(super) fn unknown_bank(&mut self, bank: &BankId, session: L::Session) {
        warn!(%bank, "session of a bank that nobody made known");
        self.counters.add(Count::UnknownBanks, 1);
        self.link.end(session, "bank is not known");
    }

    pub(super) async fn accept(&mut self, bank: &BankId, birth: &Birth, party: Party) {
        if self.note_introduction(bank, birth, party).await {
            self.begin_downlink(bank, birth);
        }
    }

    /// Notes how the bank has introduced itself; `false` if nothing can be written any more.
    pub(super) async fn note_introduction(
        &mut self,
        bank: &BankId,
        birth: &Birth,
        party: Party,
    ) -> bool {
        let Some(entry) = self.banks.get_mut(bank) else { return false };
        let Some(known) = entry.known() else { return false };
        let before = known.last.replace(party.clone());
        let first = Cursor { stream: birth.stream, committed: 0, hash: CHAIN_START };
        let follows = known.cursor.map(|cursor| cursor.committed);
        let cursor = *known.cursor.get_or_insert(first);
        known.durable.get_or_insert(first);
        let incomplete = known.incomplete;
        if let Some(live) = &mut entry.session {
            live.before = before;
        }
        info!(%bank, stream = %birth.stream, committed = cursor.committed, head = birth.head_seq,
            agent = printable(&birth.agent_version), "birth accepted");
        // Notes that the bank was heard of, and makes its cursor when this is the first time.
        let seen = IngestWrite {
            bank: bank.clone(),
            follows,
            next: cursor,
            incomplete,
            introduced: Some(Introduced { party, code_keys: birth.code_keys }),
            facts: Vec::new(),
            entities: Vec::new(),
            effects: Vec::new(),
            codes: CodesWrite::default(),
            alarms: Vec::new(),
            now: now(),
        };
        self.write(seen, None, News::default(), 0).await
    }

    /// Facts of a bank that is live: they go to the store at once.
    pub(super) async fn on_facts(
        &mut self,
        bank: &BankId,
        session: L::Session,
        payload: &Bytes,
        token: Option<L::Token>,
    ) {
        let arrived = Arrived { bank, session, topic: UpTopic::Facts, payload, token };
        if let Some(fit) = self.judge(arrived, None) {
            self.commit(fit, None, 0).await;
        }
    }

    /// The batch that comes next, or what is left of it after others of its records. Deals with all that
    /// does not fit.
    pub(super) fn judge<'a>(
        &mut self,
        arrived: Arrived<'a, L>,
        cut: Option<Cut>,
    ) -> Option<Fit<'a, L>> {
        let (bank, session) = (arrived.bank, arrived.session);
        let entry = self.banks.get_mut(bank)?;
        let born = entry.live(session).is_some_and(|live| live.born.is_some());
        let stopped = entry.known().and_then(|known| known.standing.stopped);
        let introduced = entry.live(session).is_some_and(|live| live.party.is_some());
        if introduced && stopped == Some(StopReason::Clone) {
            self.keep_apart(arrived);
            return None;
        }
        let cursor = entry.known().and_then(|known| known.cursor).filter(|_| born);
        let Some(cursor) = cursor else {
            warn!(%bank, "facts before an accepted birth");
            self.counters.add(Count::EarlyFacts, 1);
            self.link.end(session, "facts before an accepted birth");
            return None;
        };
        let (batch, verdict) = match cut {
            Some(Cut { batch, before, next }) if before == cursor => {
                (batch, Ok(BatchVerdict::Commit { skip: 0, next }))
            }
            Some(Cut { batch, .. }) => {
                let verdict = inlet::on_batch(cursor, batch.as_inlet());
                (batch, verdict)
            }
            None => match Batch::decode(arrived.payload) {
                Ok(batch) => {
                    let verdict = inlet::on_batch(cursor, batch.as_inlet());
                    (batch, verdict)
                }
                Err(error) => {
                    self.unreadable(arrived, &error);
                    return None;
                }
            },
        };
        match verdict {
            Err(error) => self.unreadable(arrived, &error),
            Ok(BatchVerdict::Duplicate) => {
                self.counters.add(Count::Duplicates, 1);
                if let Some(token) = arrived.token {
                    self.link.acknowledge(token);
                }
                self.owe_ack(bank);
            }
            Ok(BatchVerdict::Gap { want }) => {
                warn!(%bank, want, first_seq = batch.first_seq, "batch skips records");
                self.counters.add(Count::Gaps, 1);
                self.send_ack(bank);
                self.link.end(session, "batch skips records");
            }
            Ok(BatchVerdict::Fork { seq }) => self.on_fork(arrived, seq),
            Ok(BatchVerdict::Commit { skip, next }) => {
                return Some(Fit { arrived, batch, skip, before: cursor, next });
            }
        }
        None
    }

    /// Folds a batch and gives it to the store. What was cut off it waits for the bank's next turn, and the
    /// acknowledgement with it. `late`: how many facts count as those of a bank that comes late.
    pub(super) async fn commit(&mut self, fit: Fit<'_, L>, cut: Option<Cut>, late: u64) {
        let Fit { arrived, batch, skip, before, next } = fit;
        let bank = arrived.bank;
        let Some(known) = self.banks.get_mut(bank).and_then(|entry| entry.known()) else { return };
        let Known { view, device_keys, incomplete, .. } = known;
        let incomplete = *incomplete;
        let accepted =
            Accepted { bank, batch, skip, before, next, incomplete, device_keys, now: now() };
        let Outcome { write, news, unread } = match fold_batch(view, accepted) {
            Ok(outcome) => outcome,
            Err(misplaced) => return self.unreadable(arrived, &misplaced),
        };
        known.cursor = Some(next);
        known.incomplete = write.incomplete;
        self.counters.add(Count::UnreadRecords, u64::from(unread));
        let Arrived { session, payload, token, .. } = arrived;
        let token = if cut.is_some() {
            let payload = payload.clone();
            self.late.put_back(bank, Parked { session, payload, token, cut });
            None
        } else {
            token
        };
        self.write(write, token, news, late).await;
    }

    /// Puts a write in the store's queue; `false` if the store is closed.
    async fn write(
        &mut self,
        write: IngestWrite,
        token: Option<L::Token>,
        news: News,
        late: u64,
    ) -> bool {
        let (bank, next) = (write.bank.clone(), write.next);
        // In this loop and not in the future: the order in the queue is the order of the stream.
        let answer = match self.store.ingest(write).await {
            Ok(answer) => answer,
            Err(error) => {
                self.on_commit_failed(&bank, &WriteBatchError::Write(error));
                return false;
            }
        };
        if let Some(entry) = self.banks.get_mut(&bank) {
            entry.in_flight += 1;
        }
        let late = self.late.took_off(late);
        self.work.push(Box::pin(async move {
            let closed = || Err(WriteBatchError::Write(WriteError::Closed));
            let outcome = answer.await.unwrap_or_else(|_| closed());
            Done::Committed { bank, token, next, news, late, outcome }
        }));
        true
    }

    pub(super) fn on_committed(
        &mut self,
        bank: &BankId,
        token: Option<L::Token>,
        next: Cursor,
        news: News,
    ) {
        let News { facts, stamps, layout, doors, slots_refused, seals } = news;
        let is_whole = token.is_some();
        if let Some(token) = token {
            self.link.acknowledge(token);
        }
        if facts > 0 {
            self.counters.add(Count::Batches, u64::from(is_whole));
            self.counters.add(Count::Facts, facts);
            self.counters.add(Count::SlotsRefused, slots_refused);
            self.counters.add(Count::SealsHeld, seals.held);
            self.counters.add(Count::StatesCompared, seals.compared);
            let broken = u64::try_from(seals.broken.len()).unwrap_or(u64::MAX);
            self.counters.add(Count::SealsBroken, broken);
            for detail in seals.broken {
                error!(%bank, detail, "seal does not hold");
            }
            self.strikes.clear(bank);
        }
        self.lane.doors(bank, &doors);
        for stamp in stamps {
            let dropped = self.stamps.try_send(stamp).is_err();
            self.counters.add(Count::StampsDropped, u64::from(dropped));
        }
        let Some(known) = self.banks.get_mut(bank).and_then(|entry| entry.known()) else { return };
        known.durable = Some(next);
        if facts > 0 {
            self.owe_ack(bank);
            self.heard_of_layout(bank, layout);
            self.heard_facts(bank);
        }
    }

    /// Memory is ahead of the store and nobody knows by how much: both sides begin again.
    pub(super) fn on_commit_failed(&mut self, bank: &BankId, error: &WriteBatchError) {
        error!(%bank, %error, source = error.source(), "batch not committed");
        self.counters.add(Count::CommitFailed, 1);
        self.late.forget(bank);
        let Some(entry) = self.banks.get_mut(bank) else { return };
        entry.memory = Memory::Absent;
        if let Some(live) = &mut entry.session {
            live.born = None;
            let session = live.id;
            self.link.end(session, "batch not committed");
        }
    }

    /// Telemetry and presence. Whether a bank is there is known by its session; its own presence is
    /// only read, and a sample is passed on to whoever listens.
    pub(super) fn on_sample(
        &mut self,
        bank: &BankId,
        session: L::Session,
        topic: UpTopic,
        payload: &Bytes,
    ) {
        let read = match topic {
            UpTopic::Telemetry => Telemetry::decode(payload).map(|_| ()),
            UpTopic::Presence => Presence::decode(payload).map(|_| ()),
            UpTopic::Birth | UpTopic::Facts => return,
        };
        match read {
            Ok(()) if topic == UpTopic::Telemetry => {
                self.counters.add(Count::Telemetry, 1);
                self.lane.telemetry(bank, payload);
            }
            Ok(()) => {}
            Err(error) => {
                self.counters.add(Count::Unreadable, 1);
                // A flood of them must not become a flood of writes.
                let busy = self.banks.get(bank).is_none_or(|entry| entry.in_flight > 0);
                if !busy {
                    let arrived = Arrived { bank, session, topic, payload, token: None };
                    self.quarantine(arrived, describe(&error));
                }
            }
        }
    }

    /// A message that cannot be read never moves the watermark; the third in a row stops the bank.
    fn unreadable(&mut self, arrived: Arrived<'_, L>, error: &(dyn Error + 'static)) {
        let (bank, session) = (arrived.bank, arrived.session);
        let reason = describe(error);
        warn!(%bank, topic = topic_name(arrived.topic), reason, "unreadable message");
        self.counters.add(Count::Unreadable, 1);
        let known = self.banks.get_mut(bank).and_then(|entry| entry.known());
        let committed = known.and_then(|known| known.cursor).map_or(0, |cursor| cursor.committed);
        let detail = format!("after {committed}: {reason}");
        self.quarantine(arrived, reason);
        if self.strikes.strike(bank, committed) {
            self.strikes.clear(bank);
            self.stop_bank(bank, StopReason::Unreadable, detail);
            self.link.end(session, "three unreadable messages in a row");
        }
    }

    fn quarantine(&mut self, arrived: Arrived<'_, L>, reason: String) {
        let Arrived { bank, session, topic, payload, token } = arrived;
        let message = Quarantine {
            bank: bank.clone(),
            topic: topic_name(topic),
            reason,
            bytes: payload.to_vec(),
            now: now(),
        };
        self.take_off(bank);
        let (outcome, bank) = (decided(&self.store, message), bank.clone());
        self.work.push(Box::pin(async move {
            let outcome = outcome.await;
            Done::Quarantined { bank, session, token, outcome }
        }));
    }

    /// No more facts of this bank until a person has looked.
    pub(super) fn stop_bank(&mut self, bank: &BankId, reason: StopReason, detail: String) {
        self.stop(bank, reason, detail, Vec::new(), None, None);
    }

    /// A batch goes on from another past: two journals, if there were two sessions, or one that has
    /// lost something.
    fn on_fork(&mut self, arrived: Arrived<'_, L>, seq: u64) {
        let bank = arrived.bank;
        let live = self.banks.get_mut(bank).and_then(|entry| entry.live(arrived.session));
        let rival = live.filter(|live| live.took_over);
        let rivals = rival.and_then(|live| Some((live.party.clone()?, live.before.clone())));
        if let Some((from, before)) = rivals {
            let bytes = arrived.payload.to_vec();
            let apart = Apart { from, topic: topic_name(arrived.topic), bytes };
            self.stop_clone(bank, CloneSign::OtherHash, before, apart, arrived.token);
            return;
        }
        // An agent that can be given records back connects anew with them, or in a new stream.
        let live = self.banks.get_mut(bank).and_then(|entry| entry.live(arrived.session));
        let healed = live.and_then(|live| Some((live.past?, live.born.as_ref()?.nonce)));
        if let Some((past, nonce)) = healed {
            warn!(%bank, seq, "batch continues another history");
            self.differs(bank, nonce, past.on_difference());
        } else {
            let detail = format!("batch continues another history at {seq}");
            self.stop_bank(bank, StopReason::Fork, detail);
        }
        self.quarantine(arrived, "it continues another history".to_owned());
    }

    pub(super) fn take_off(&mut self, bank: &BankId) {
        if let Some(entry) = self.banks.get_mut(bank) {
            entry.in_flight += 1;
        }
    }
}

pub(super) const fn topic_name(topic: UpTopic) -> &'static str {
    match topic {
        UpTopic::Birth => "birth",
        UpTopic::Facts => "facts",
        UpTopic::Telemetry => "telemetry",
        UpTopic::Presence => "presence",
    }
}

/// An error with its causes, bounded.
fn describe(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ").chars().take(REASON_MAX_CHARS).collect()
}
