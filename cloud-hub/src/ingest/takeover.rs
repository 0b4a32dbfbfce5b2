//! Who it is that introduces itself: the bank we knew, its successor, or one of two.
//!
//! A bank of which there are two is told nothing, whichever of them speaks, and what they say is
//! kept apart. Its doors go on serving what it holds. Only a person ends that.

use std::collections::HashMap;
use std::net::IpAddr;

use locker_core::ids::BankId;
use locker_core::journal::View as _;
use locker_core::uplink::clone::{self, CloneSign, Introduction, Takeover, Takeovers};
use locker_core::uplink::inlet::{self, BirthVerdict, Cursor};
use locker_proto::message::Birth;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::bank::{Memory, Waiting};
use super::link::{Caller, Link};
use super::talk::{signer, sweep_grants};
use super::tasks::{decided, read};
use super::uplink::{Arrived, topic_name};
use super::{Count, Done, Ingest, now};
use crate::alarms::hex;
use crate::mqtt::UpTopic;
use crate::store::{
    AlarmKind, Apart, KeepApart, LearnKey, Looking, OpenStream, Party, ReadError, Standing,
    StopBank, StopReason, WriteError,
};

/// How long after an open session has given way the one that comes is held to be the one that took its
/// place, in milliseconds. That one waits for nothing but a place in a queue; if it dies there it is never heard
/// of, and whoever comes later has taken over from nobody.
const FOLLOWS_WITHIN_MS: u64 = 10_000;

/// Takeovers of all banks, and who was displaced just now. Outlives sessions; bounded by the number
/// of banks.
#[derive(Debug)]
pub(super) struct Quarrels {
    since: Instant,
    banks: HashMap<BankId, Quarrel>,
}

#[derive(Debug, Default)]
struct Quarrel {
    takeovers: Takeovers<IpAddr>,
    /// When an open session gave way to one that has not begun yet, in milliseconds.
    displaced: Option<u64>,
}

impl Default for Quarrels {
    fn default() -> Self {
        Self { since: Instant::now(), banks: HashMap::new() }
    }
}

impl Quarrels {
    /// An open session of the bank has given way to another that follows.
    pub(super) fn displaced(&mut self, bank: &BankId) {
        let now_ms = self.now_ms();
        self.banks.entry(bank.clone()).or_default().displaced = Some(now_ms);
    }

    /// A session has begun; whether it is the one that an open one has given way to.
    pub(super) fn began(&mut self, bank: &BankId, address: IpAddr) -> bool {
        let now_ms = self.now_ms();
        let Some(quarrel) = self.banks.get_mut(bank) else { return false };
        let displaced = quarrel.displaced.take();
        let took_over = displaced.is_some_and(|at_ms| now_ms - at_ms <= FOLLOWS_WITHIN_MS);
        if took_over {
            quarrel.takeovers.note(address, now_ms);
        } else if quarrel.takeovers.are_over(now_ms) {
            self.banks.remove(bank);
        }
        took_over
    }

    fn are_too_many(&self, bank: &BankId) -> bool {
        let now_ms = self.now_ms();
        self.banks.get(bank).is_some_and(|quarrel| quarrel.takeovers.are_too_many(now_ms))
    }

    /// A person has decided; what was before counts no more.
    fn settle(&mut self, bank: &BankId) {
        self.banks.remove(bank);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

pub(super) fn party(birth: &Birth, caller: Caller) -> Party {
    Party {
        address: caller.address.to_string(),
        certificate: caller.certificate,
        introduction: Introduction {
            stream: birth.stream,
            boot: birth.boot,
            boot_count: birth.boot_count,
            connection_count: birth.connection_count,
        },
        head_seq: birth.head_seq,
    }
}

impl<L: Link> Ingest<L> {
    /// Answers a birth whose bank is in memory.
    pub(super) async fn answer_birth(&mut self, bank: &BankId) {
        if !self.knows_past(bank) {
            return;
        }
        let Some(entry) = self.banks.get_mut(bank) else { return };
        let Some(waiting) = entry.birth.take() else { return };
        let (Some(live), Memory::Ready(known)) = (entry.session.as_mut(), &entry.memory) else {
            return;
        };
        let (session, caller) = (live.id, live.caller);
        if known.standing.certificate.is_some_and(|only| only != caller.certificate) {
            warn!(%bank, address = %caller.address, "birth with a certificate that was replaced");
            self.counters.add(Count::ReplacedCertificates, 1);
            self.link.end(session, "certificate was replaced");
            return;
        }
        let party = party(&waiting.birth, caller);
        live.party = Some(party.clone());
        // What is folded may lag behind the bank, which then hears once more what it holds.
        let held = known.view.meta();
        live.signer = signer(&self.keys, bank, waiting.birth.key_set, &held.keys);
        let past = waiting.past.unwrap_or_default();
        live.past = waiting.past.filter(|_| !waiting.birth.ladder.is_empty());
        let chain = if lacks_our_next(known.cursor, &waiting.birth) {
            BirthVerdict::Fork { last_common: None }
        } else {
            inlet::on_birth(known.cursor, waiting.birth.journal(), past)
        };
        let before = clone::Known {
            last: known.last.as_ref().map(|last| last.introduction),
            closed: &known.closed,
            took_over: live.took_over,
            too_many: self.quarrels.are_too_many(bank),
        };
        let takeover = clone::judge(before, party.introduction, chain);
        let stopped = known.standing.stopped;
        self.arrive(bank, &waiting.birth);
        match (takeover, stopped) {
            (_, Some(StopReason::Clone)) => {
                warn!(%bank, address = %caller.address, "birth of a bank that there may be two of");
                let Waiting { payload, token, .. } = waiting;
                let topic = UpTopic::Birth;
                self.keep_apart(Arrived { bank, session, topic, payload: &payload, token });
            }
            (Takeover::Clone(sign), _) => self.found_clone(bank, sign, waiting),
            (Takeover::Normal(verdict), Some(reason))
                if settles(verdict, reason, &waiting.birth) =>
            {
                self.follow(bank, waiting, party, verdict).await;
            }
            (Takeover::Normal(_), Some(reason)) => {
                warn!(%bank, reason = reason.as_str(), "birth of a stopped bank");
                self.acknowledge(waiting.token);
            }
            (Takeover::Normal(verdict), None) => {
                self.follow(bank, waiting, party, verdict).await;
            }
        }
    }

    /// What follows from the journal of a bank that is what it says.
    async fn follow(
        &mut self,
        bank: &BankId,
        waiting: Waiting<L::Token>,
        party: Party,
        verdict: BirthVerdict,
    ) {
        self.learn_key(bank);
        let birth = &waiting.birth;
        match verdict {
            BirthVerdict::GoOn => {
                self.acknowledge(waiting.token);
                self.accept(bank, &waiting.birth, party).await;
            }
            BirthVerdict::Successor { behind } => {
                let looking = self.looking(bank, birth, behind);
                self.open_stream(bank, waiting, party, looking);
            }
            BirthVerdict::Unrelated => {
                self.open_stream(bank, waiting, party, Looking::Everywhere);
            }
            BirthVerdict::Restore { .. } | BirthVerdict::Fork { .. } if birth.ladder.is_empty() => {
                let known = self.banks.get_mut(bank).and_then(|entry| entry.known());
                let cursor = known.and_then(|known| known.cursor);
                let behind = cursor.is_some_and(|cursor| birth.head_seq < cursor.committed);
                let reason = if behind { StopReason::Behind } else { StopReason::Fork };
                let detail =
                    format!("birth of stream {} with head {}", birth.stream, birth.head_seq);
                self.acknowledge(waiting.token);
                self.stop_bank(bank, reason, detail);
            }
            BirthVerdict::Restore { .. } | BirthVerdict::Fork { .. } => {
                let Waiting { birth, token, .. } = waiting;
                self.acknowledge(token);
                // Whoever comes next must count on from here.
                if self.note_introduction(bank, &birth, party).await {
                    self.differs(bank, birth.nonce, verdict);
                }
            }
        }
    }

    /// What must be looked at after a bank has begun a stream that goes on from the one we know.
    fn looking(&mut self, bank: &BankId, birth: &Birth, behind: bool) -> Looking {
        let known = self.banks.get_mut(bank).and_then(|entry| entry.known());
        let forked = known.is_some_and(|known| known.standing.stopped == Some(StopReason::Fork));
        match birth.parent.and_then(|parent| parent.reason) {
            Some(_) if behind => Looking::Everywhere,
            Some(_) => Looking::WhereHistoryIsLost,
            // An agent that is too old to say why.
            None if forked => Looking::Everywhere,
            None => Looking::Nowhere,
        }
    }

    /// Notes the key that the bank's session has proved, so that its seals can be checked for ever.
    fn learn_key(&mut self, bank: &BankId) {
        let Some(entry) = self.banks.get_mut(bank) else { return };
        let Some(key) = entry.session.as_ref().and_then(|live| live.caller.key) else { return };
        let Some(known) = entry.known().filter(|known| !known.device_keys.contains(&key)) else {
            return;
        };
        known.device_keys.push(key);
        info!(%bank, key = %hex(&key.hash), "device key of a bank is new");
        self.take_off(bank);
        let learn = LearnKey { bank: bank.clone(), key, now: now() };
        let (outcome, bank) = (decided(&self.store, learn), bank.clone());
        self.work.push(Box::pin(async move {
            let outcome = outcome.await;
            Done::Learnt { bank, outcome }
        }));
    }

    fn acknowledge(&self, token: Option<L::Token>) {
        if let Some(token) = token {
            self.link.acknowledge(token);
        }
    }

    fn found_clone(&mut self, bank: &BankId, sign: CloneSign, waiting: Waiting<L::Token>) {
        let Some(entry) = self.banks.get_mut(bank) else { return };
        let last = entry.known().and_then(|known| known.last.clone());
        let Some(party) = entry.session.as_ref().and_then(|live| live.party.clone()) else {
            return;
        };
        let Waiting { payload, token, .. } = waiting;
        let apart = Apart { from: party, topic: topic_name(UpTopic::Birth), bytes: payload.into() };
        self.stop_clone(bank, sign, last, apart, token);
    }

    /// Stops a bank of which there are two. `last` is the other one, if it is known.
    pub(super) fn stop_clone(
        &mut self,
        bank: &BankId,
        sign: CloneSign,
        last: Option<Party>,
        apart: Apart,
        token: Option<L::Token>,
    ) {
        let against = last.as_ref().map(|last| format!(", against {}", described(last)));
        let detail = format!("{sign}: {}{}", described(&apart.from), against.unwrap_or_default());
        let parties = last.into_iter().chain([apart.from.clone()]).collect();
        self.counters.add(Count::Clones, 1);
        self.stop(bank, StopReason::Clone, detail, parties, Some(apart), token);
    }

    /// Stops a bank, and raises the alarm that says why.
    pub(super) fn stop(
        &mut self,
        bank: &BankId,
        reason: StopReason,
        detail: String,
        parties: Vec<Party>,
        apart: Option<Apart>,
        token: Option<L::Token>,
    ) {
        error!(%bank, reason = reason.as_str(), detail, "bank stopped");
        self.counters.add(Count::Stopped, 1);
        let event_id = uuid::Uuid::new_v4().simple().to_string();
        let (at, bank_id) = (now(), bank.clone());
        let stop = StopBank { bank: bank_id, reason, detail, parties, apart, event_id, now: at };
        if let Some(entry) = self.banks.get_mut(bank) {
            if let Some(known) = entry.known() {
                known.standing.stopped = Some(reason);
            }
            if let Some(live) = &mut entry.session {
                live.born = None;
            }
        }
        self.take_off(bank);
        let (outcome, bank) = (decided(&self.store, stop), bank.clone());
        self.work.push(Box::pin(async move {
            let outcome = outcome.await;
            Done::Stopped { bank, token, outcome }
        }));
    }

    /// Keeps what a bank under suspicion says, as it came.
    pub(super) fn keep_apart(&mut self, arrived: Arrived<'_, L>) {
        let Arrived { bank, session, topic, payload, token } = arrived;
        let live = self.banks.get_mut(bank).and_then(|entry| entry.live(session));
        let Some(from) = live.and_then(|live| live.party.clone()) else { return };
        self.counters.add(Count::KeptApart, 1);
        let apart = Apart { from, topic: topic_name(topic), bytes: payload.to_vec() };
        let kind = AlarmKind::Stopped(StopReason::Clone);
        let keep = KeepApart { bank: bank.clone(), kind, apart, now: now() };
        self.take_off(bank);
        let (outcome, bank) = (decided(&self.store, keep), bank.clone());
        self.work.push(Box::pin(async move {
            let outcome = outcome.await;
            Done::Stopped { bank, token, outcome }
        }));
    }

    /// Closes the stream that is known and begins the one of the birth, which is then answered.
    fn open_stream(
        &mut self,
        bank: &BankId,
        waiting: Waiting<L::Token>,
        party: Party,
        looking: Looking,
    ) {
        let Some(entry) = self.banks.get_mut(bank) else { return };
        let Some(live) = entry.session.as_ref().map(|live| live.id) else { return };
        let Some(closes) = entry.known().and_then(|known| known.cursor) else { return };
        let open = OpenStream {
            bank: bank.clone(),
            closes,
            opens: waiting.birth.stream,
            looking,
            carries: waiting.birth.parent.is_some_and(|parent| parent.reason.is_some()),
            party,
            code_master: self.store.code_master(),
            event_id: uuid::Uuid::new_v4().simple().to_string(),
            now: now(),
        };
        let Cursor { stream, committed, .. } = closes;
        let inventory = looking == Looking::Everywhere;
        warn!(%bank, closed = %stream, committed, opened = %open.opens, ?looking, "stream opened");
        self.take_off(bank);
        let (outcome, bank) = (decided(&self.store, open), bank.clone());
        self.work.push(Box::pin(async move {
            let outcome = outcome.await;
            Done::Opened { bank, session: live, waiting: Box::new(waiting), inventory, outcome }
        }));
    }

    pub(super) fn on_opened(
        &mut self,
        bank: &BankId,
        session: L::Session,
        waiting: Waiting<L::Token>,
        inventory: bool,
        outcome: Result<bool, WriteError>,
    ) {
        let Some(entry) = self.banks.get_mut(bank) else { return };
        match outcome {
            Ok(true) => {
                // What is in memory was folded from the closed stream.
                entry.memory = Memory::Absent;
                if entry.live(session).is_some() {
                    entry.birth = Some(waiting);
                }
                sweep_grants(&self.store);
            }
            Ok(false) => {
                let reason = if inventory { StopReason::Unrelated } else { StopReason::Successor };
                let detail = format!("birth of one more stream, {}", waiting.birth.stream);
                self.acknowledge(waiting.token);
                self.stop_bank(bank, reason, detail);
            }
            Err(error) => {
                error!(%bank, %error, "stream not opened");
                self.link.end(session, "stream not opened");
            }
        }
    }

    /// Looks what people have decided about banks that are not told everything.
    pub(super) fn review(&mut self, bank: &BankId) {
        let Some(session) = self.banks.get(bank).and_then(|entry| entry.session.as_ref()) else {
            return;
        };
        let (store, bank, session) = (self.store.clone(), bank.clone(), session.id);
        let of = bank.clone();
        let reading = read(&self.reads, async move { store.standing(&of).await });
        self.work.push(Box::pin(async move {
            let read = reading.await;
            Done::Reviewed { bank, session, read }
        }));
    }

    pub(super) fn on_reviewed(
        &mut self,
        bank: &BankId,
        session: L::Session,
        read: Result<Option<Standing>, ReadError>,
    ) {
        match read {
            Ok(Some(standing)) => drop(self.stands(bank, session, standing)),
            Ok(None) => {}
            Err(error) => {
                error!(%bank, %error, "standing of a bank cannot be read");
                self.link.end(session, "standing cannot be read");
            }
        }
    }

    /// Whether the bank stands as memory has it. If not, its session ends: with the next one all is
    /// read anew.
    pub(super) fn stands(
        &mut self,
        bank: &BankId,
        session: L::Session,
        standing: Standing,
    ) -> bool {
        let Some(entry) = self.banks.get_mut(bank) else { return false };
        if entry.live(session).is_none() {
            return false;
        }
        if entry.known().is_none_or(|known| known.standing == standing) {
            return true;
        }
        info!(%bank, "a person has decided about the bank");
        entry.memory = Memory::Absent;
        if let Some(live) = entry.live(session) {
            live.born = None;
        }
        self.quarrels.settle(bank);
        self.link.end(session, "a person has decided about the bank");
        false
    }
}

/// Whether the bank has deleted the record that comes next here: this hub was restored from an older
/// backup than the one by which the bank was told what is safe.
fn lacks_our_next(cursor: Option<Cursor>, birth: &Birth) -> bool {
    let ours = cursor.filter(|cursor| cursor.stream == birth.stream);
    ours.is_some_and(|cursor| birth.oldest_seq > cursor.committed.saturating_add(1))
}

/// Whether what a bank comes with can end what it was stopped for.
fn settles(verdict: BirthVerdict, reason: StopReason, birth: &Birth) -> bool {
    match verdict {
        BirthVerdict::Successor { .. } => reason == StopReason::Fork,
        BirthVerdict::Restore { .. } | BirthVerdict::Fork { .. } => {
            matches!(reason, StopReason::Fork | StopReason::Behind) && !birth.ladder.is_empty()
        }
        BirthVerdict::GoOn | BirthVerdict::Unrelated => false,
    }
}

/// A party for people.
fn described(party: &Party) -> String {
    let Party { address, certificate, introduction, head_seq } = party;
    let Introduction { stream, boot, boot_count, connection_count } = introduction;
    let short: String = certificate[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "start {boot_count} ({boot}), connection {connection_count}, stream {stream} at \
         {head_seq}, from {address} with certificate {short}"
    )
}

#[cfg(test)]
mod tests;
