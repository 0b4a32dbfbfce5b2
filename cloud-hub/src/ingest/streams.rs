//! What a bank whose stream is not what it once told us is given: its own records back, as stored
//! bytes, or the order to begin a new stream.
//!
//! Nothing else goes down in such a session: an ack would be above the bank's head. The bank connects
//! anew when it has all.

use locker_core::ids::{BankId, StreamId};
use locker_core::journal::{Place, StreamBreak};
use locker_core::uplink::inlet::{BirthVerdict, Cursor, Past};
use locker_proto::message::{Nonce, Restore, RestoreKind};
use tracing::{error, info, warn};

use super::bank::Memory;
use super::link::Link;
use super::tasks::read;
use super::{Count, Done, Ingest};
use crate::mqtt::DownTopic;
use crate::store::{ReadError, StopReason, StoredRun};

/// The lowest record that can be given back: none is ever deleted here.
const HELD_FROM: u64 = 1;

/// Records that a bank is given back.
#[derive(Clone, Copy, Debug)]
pub(super) struct GivingBack {
    stream: StreamId,
    nonce: Nonce,
    /// The next one.
    next: u64,
    /// The last one.
    until: Place,
    is_reading: bool,
}

impl<L: Link> Ingest<L> {
    /// Looks up what the ladder of a waiting birth must be held against; whether it can be answered
    /// already. The journal of most banks ends at the watermark, and nothing is read.
    pub(super) fn knows_past(&mut self, bank: &BankId) -> bool {
        let Some(entry) = self.banks.get_mut(bank) else { return false };
        let (Some(waiting), Memory::Ready(known)) = (entry.birth.as_mut(), &entry.memory) else {
            return false;
        };
        if waiting.past.is_some() {
            return true;
        }
        let birth = &waiting.birth;
        let Some(cursor) = known.cursor.filter(|cursor| cursor.stream == birth.stream) else {
            waiting.past = Some(Past { held_from: HELD_FROM, ..Past::default() });
            return true;
        };
        let same = birth.head_seq == cursor.committed && birth.head_hash == cursor.hash;
        let asks = if same { Vec::new() } else { Past::asks(cursor, &birth.ladder) };
        if asks.is_empty() {
            waiting.past = Some(Past::compare(cursor, &birth.ladder, &[], HELD_FROM));
            return true;
        }
        let Some(session) = entry.session.as_ref().map(|live| live.id) else { return false };
        let (store, bank) = (self.store.clone(), bank.clone());
        self.take_off(&bank);
        let of = bank.clone();
        let reading =
            read(&self.reads, async move { store.hashes_at(&of, cursor.stream, &asks).await });
        self.work.push(Box::pin(async move {
            let ours = reading.await;
            Done::Compared { bank, session, cursor, ours }
        }));
        false
    }

    pub(super) async fn on_compared(
        &mut self,
        bank: &BankId,
        session: L::Session,
        cursor: Cursor,
        ours: Result<Vec<Place>, ReadError>,
    ) {
        self.landed(bank);
        let Some(entry) = self.banks.get_mut(bank) else { return };
        let is_live = entry.live(session).is_some();
        if let Some(waiting) = entry.birth.as_mut().filter(|_| is_live) {
            match ours {
                Ok(ours) => {
                    let ladder = &waiting.birth.ladder;
                    waiting.past = Some(Past::compare(cursor, ladder, &ours, HELD_FROM));
                }
                Err(error) => {
                    error!(%bank, %error, "stored records cannot be read");
                    self.link.end(session, "stored records cannot be read");
                }
            }
        }
        self.advance(bank).await;
        self.tidy(bank);
    }

    /// Does what follows when the bank's stream is not ours. Nothing more is taken from it in this
    /// session, nor told.
    pub(super) fn differs(&mut self, bank: &BankId, nonce: Nonce, verdict: BirthVerdict) {
        let Some(entry) = self.banks.get_mut(bank) else { return };
        // What is on its way to the store cannot be read yet.
        let Some(cursor) = entry.known().and_then(|known| known.durable) else { return };
        let Some(live) = entry.session.as_mut() else { return };
        live.born = None;
        let until = Place { seq: cursor.committed, hash: cursor.hash };
        match verdict {
            BirthVerdict::Restore { from } => {
                warn!(%bank, from, until = until.seq, "bank is given its records back");
                self.counters.add(Count::Restores, 1);
                let stream = cursor.stream;
                let next = from.min(until.seq);
                live.giving_back =
                    Some(GivingBack { stream, nonce, next, until, is_reading: false });
                self.give_back(bank);
            }
            BirthVerdict::Fork { last_common } => {
                let detail = match last_common {
                    Some(seq) => format!("its history differs from ours after {seq}"),
                    None => "nothing that it has goes on from ours".to_owned(),
                };
                self.stop_bank(bank, StopReason::Fork, detail);
                let kind = RestoreKind::NewStream { reason: StreamBreak::Forked, common: None };
                let order = Restore { stream: cursor.stream, nonce, kind };
                self.send(bank, DownTopic::Restore, &order.encode());
            }
            BirthVerdict::GoOn | BirthVerdict::Successor { .. } | BirthVerdict::Unrelated => {}
        }
    }

    /// Reads the next records that the bank is given back, if its session has room for them.
    pub(super) fn give_back(&mut self, bank: &BankId) {
        let Some(entry) = self.banks.get_mut(bank) else { return };
        let Some(live) = entry.session.as_mut() else { return };
        let session = live.id;
        let Some(giving) = live.giving_back.as_mut() else { return };
        if giving.is_reading || giving.next > giving.until.seq {
            return;
        }
        let room = self.link.room(session);
        if room.is_none_or(|room| room <= self.limits.queue_reserve) {
            self.hungry.insert(bank.clone());
            return;
        }
        giving.is_reading = true;
        let (stream, next, last) = (giving.stream, giving.next, giving.until.seq);
        let (store, bank) = (self.store.clone(), bank.clone());
        let of = bank.clone();
        let reading =
            read(&self.reads, async move { store.stored_run(&of, stream, next, last).await });
        self.work.push(Box::pin(async move {
            let read = reading.await;
            Done::StoredRun { bank, session, read }
        }));
    }

    pub(super) fn on_stored_run(
        &mut self,
        bank: &BankId,
        session: L::Session,
        read: Result<StoredRun, ReadError>,
    ) {
        let live = self.banks.get_mut(bank).and_then(|entry| entry.live(session));
        let Some(giving) = live.and_then(|live| live.giving_back.as_mut()) else { return };
        giving.is_reading = false;
        let StoredRun { previous, records } = match read {
            Ok(run) => run,
            Err(error) => {
                error!(%bank, %error, "stored records cannot be read");
                self.link.end(session, "stored records cannot be read");
                return;
            }
        };
        let (first_seq, until) = (giving.next, giving.until);
        giving.next += u64::try_from(records.len()).unwrap_or(u64::MAX);
        let (stream, nonce) = (giving.stream, giving.nonce);
        if giving.next > until.seq {
            info!(%bank, until = until.seq, "bank was given all its records back");
        }
        let kind = RestoreKind::Run { first_seq, previous, records, until };
        let run = Restore { stream, nonce, kind };
        self.send(bank, DownTopic::Restore, &run.encode());
        self.give_back(bank);
    }
}
