//! Who it is that introduces itself: the bank we knew, its successor, or one of two.
//!
//! A bank of which there are two is told nothing, whichever of them speaks, and what they say is
//! kept apart. Its doors go on serving what it holds. Only a person ends that.

use std::collections::HashMap;
use std::net::IpAddr;

use locker_core::ids::BankId;
use locker_core::uplink::clone::{self, CloneSign, Introduction, Takeover, Takeovers};
use locker_core::uplink::inlet::{self, BirthVerdict, Cursor, Past};
use locker_proto::message::Birth;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::bank::{Memory, Waiting};
use super::link::{Caller, Link};
use super::talk::sweep_grants;
use super::uplink::{Arrived, decided, topic_name};
use super::{Count, Done, Ingest, now};
use crate::mqtt::UpTopic;
use crate::store::{
    AlarmKind, Apart, KeepApart, OpenStream, Party, ReadError, Standing, StopBank, StopReason,
    WriteError,
};

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
    displaced: bool,
}

impl Default for Quarrels {
    fn default() -> Self {
        Self { since: Instant::now(), banks: HashMap::new() }
    }
}

impl Quarrels {
    /// An open session of the bank has given way to another that follows.
    pub(super) fn displaced(&mut self, bank: &BankId) {
        self.banks.entry(bank.clone()).or_default().displaced = true;
    }

    /// A session has begun; whether it is the one that an open one has given way to.
    pub(super) fn began(&mut self, bank: &BankId, address: IpAddr) -> bool {
        let now_ms = self.now_ms();
        let Some(quarrel) = self.banks.get_mut(bank) else { return false };
        let took_over = std::mem::take(&mut quarrel.displaced);
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
        // The rungs are not looked up yet: all streams of one name agree before their first record.
        let ends_below = |cursor: Cursor| waiting.birth.head_seq < cursor.committed;
        let common = known.cursor.is_some_and(ends_below).then_some(0);
        let past = Past { common, differs: false, held_from: 1 };
        let chain = inlet::on_birth(known.cursor, waiting.birth.journal(), past);
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
            (Takeover::Normal(BirthVerdict::Successor { .. }), Some(StopReason::Fork)) => {
                self.open_stream(bank, waiting, party, true);
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
        let reason = match verdict {
            BirthVerdict::GoOn => {
                self.acknowledge(waiting.token);
                return self.accept(bank, &waiting.birth, party).await;
            }
            BirthVerdict::Successor { .. } => {
                return self.open_stream(bank, waiting, party, false);
            }
            BirthVerdict::Unrelated => return self.open_stream(bank, waiting, party, true),
            BirthVerdict::Restore { .. } => StopReason::Behind,
            BirthVerdict::Fork { .. } => StopReason::Fork,
        };
        self.acknowledge(waiting.token);
        let birth = waiting.birth;
        let detail = format!("birth of stream {} with head {}", birth.stream, birth.head_seq);
        self.stop_bank(bank, reason, detail);
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
        inventory: bool,
    ) {
        let Some(entry) = self.banks.get_mut(bank) else { return };
        let Some(live) = entry.session.as_ref().map(|live| live.id) else { return };
        let Some(closes) = entry.known().and_then(|known| known.cursor) else { return };
        let open = OpenStream {
            bank: bank.clone(),
            closes,
            opens: waiting.birth.stream,
            inventory,
            party,
            code_master: self.store.code_master(),
            event_id: uuid::Uuid::new_v4().simple().to_string(),
            now: now(),
        };
        let Cursor { stream, committed, .. } = closes;
        warn!(%bank, closed = %stream, committed, opened = %open.opens, inventory, "stream opened");
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
        self.work.push(Box::pin(async move {
            let read = store.standing(&bank).await;
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
