//! What the hub answers to a birth: it goes on, gives records back, has a new stream begun, or closes one and opens the
//! next. Only a bank whose disk was changed may come to more than the first.

use std::mem;

use locker_core::ids::{Generation, HubEpoch, Version};
use locker_core::journal::{CHAIN_START, MemoryView, Place, StreamBreak, View};
use locker_core::parcel::ParcelState;
use locker_core::uplink::clone::{self, Introduction, Takeover};
use locker_core::uplink::inlet::{self, BirthVerdict, Cursor};
use locker_proto::message::{Birth, Document, Nonce, Restore, RestoreKind};
use locker_proto::topics::DownTopic;

use super::{Born, Hub, Store};
use crate::cast;
use crate::net::{DownMessage, Net};
use crate::watch::{Invariant, Watch};

/// Records of a message that gives some back.
const GIVEN_BACK_RECORDS: usize = 64;

impl Hub {
    pub(super) fn on_birth(
        &mut self,
        bank: usize,
        bytes: &[u8],
        net: &mut Net,
        watch: &mut Watch,
        now_ms: u64,
    ) {
        let Ok(birth) = Birth::decode(bytes) else {
            watch.breaks(Invariant::HubTrustsBank, "a birth cannot be read");
            return;
        };
        let since_ms = now_ms.saturating_sub(self.started_ms);
        let too_many = self.takeovers[bank].are_too_many(since_ms);
        let Some(session) = &mut self.sessions[bank] else { return };
        if session.born.is_some() {
            self.hang_up(bank);
            return;
        }
        let store = &mut self.stores[bank];
        if store.stopped.is_some() {
            return;
        }
        let introduction = Introduction {
            stream: birth.stream,
            boot: birth.boot,
            boot_count: birth.boot_count,
            connection_count: birth.connection_count,
        };
        let (last, closed, took_over) = (store.last, &store.closed[..], session.took_over);
        let known = clone::Known { last, closed, took_over, too_many };
        let chain = if lacks_our_next(store.cursor, &birth) {
            BirthVerdict::Fork { last_common: None }
        } else {
            inlet::on_birth(store.cursor, birth.journal(), store.past(&birth))
        };
        let takeover = clone::judge(known, introduction, chain);
        let expected = takeover == Takeover::Normal(BirthVerdict::GoOn);
        if !expected && !watch.disk_was_changed {
            watch.breaks(Invariant::HubTrustsBank, format!("birth answered by {takeover:?}"));
            return;
        }
        let Takeover::Normal(verdict) = takeover else {
            // Only at first sight, or when the old line is still open, may one that was put back look like two.
            if !mem::take(&mut watch.may_look_like_two) && !session.took_over {
                watch.breaks(
                    Invariant::HubTrustsBank,
                    format!("one is taken for two: {takeover:?}"),
                );
            }
            store.stopped = Some(format!("{takeover:?}"));
            return;
        };
        watch.may_look_like_two = false;
        store.last = Some(introduction);
        match verdict {
            BirthVerdict::GoOn => {}
            BirthVerdict::Restore { from } => return self.give_back(bank, from, birth.nonce, net),
            BirthVerdict::Fork { .. } => return self.order_new_stream(bank, birth.nonce, net),
            BirthVerdict::Successor { behind } => {
                let carries = birth.parent.is_some_and(|parent| parent.reason.is_some());
                self.open_stream(bank, &birth, carries, behind, now_ms);
            }
            BirthVerdict::Unrelated => {
                let carries = birth.parent.is_some_and(|parent| parent.reason.is_some());
                self.open_stream(bank, &birth, carries, true, now_ms);
            }
        }
        self.accept(bank, &birth, net, now_ms);
    }

    fn accept(&mut self, bank: usize, birth: &Birth, net: &mut Net, now_ms: u64) {
        let store = &mut self.stores[bank];
        let Some(session) = &mut self.sessions[bank] else { return };
        let first = Cursor { stream: birth.stream, committed: 0, hash: CHAIN_START };
        let cursor = *store.cursor.get_or_insert(first);
        session.cursor = Some(cursor);
        let same_epoch = birth.config_epoch == self.epoch;
        let told =
            |generation: Option<Generation>| generation.filter(|_| same_epoch).unwrap_or_default();
        session.born = Some(Born {
            nonce: birth.nonce,
            head: birth.head_seq,
            held: birth.grants,
            grants_sent: if birth.grants.epoch == store.log_epoch { birth.grants.gseq } else { 0 },
            layout: told(Some(birth.layout)),
            mode: told(birth.mode),
            quota: told(birth.quota),
            courier_codes: told(birth.courier_codes),
        });
        if birth.key_set < Generation(1) {
            let document = Document::KeySet(self.signed_keys.clone());
            self.send_config(bank, document, net);
        }
        self.send_ack(bank, net, now_ms);
        self.begin_log(bank);
        self.send_downlink(bank, net, now_ms);
    }

    /// Sends the records from `from` on, as they were stored. Nothing else is said in this session.
    fn give_back(&self, bank: usize, from: u64, nonce: Nonce, net: &mut Net) {
        let store = &self.stores[bank];
        let Some(Cursor { stream, committed, hash }) = store.cursor else { return };
        let until = Place { seq: committed, hash };
        let first = from.min(committed);
        let skipped = usize::try_from(first.saturating_sub(1)).unwrap_or(usize::MAX);
        let mut first_seq = first;
        for run in store.log_of_facts[skipped..].chunks(GIVEN_BACK_RECORDS) {
            let at = usize::try_from(first_seq - 1).unwrap_or(usize::MAX);
            let previous = store.hashes[at];
            let records: Vec<Vec<u8>> = run.iter().map(|bytes| bytes.to_vec()).collect();
            let count = records.len() as u64;
            let kind = RestoreKind::Run { first_seq, previous, records, until };
            self.send_restore(bank, Restore { stream, nonce, kind }, net);
            first_seq += count;
        }
    }

    fn order_new_stream(&self, bank: usize, nonce: Nonce, net: &mut Net) {
        let Some(Cursor { stream, .. }) = self.stores[bank].cursor else { return };
        let kind = RestoreKind::NewStream { reason: StreamBreak::Forked, common: None };
        self.send_restore(bank, Restore { stream, nonce, kind }, net);
    }

    fn send_restore(&self, bank: usize, restore: Restore, net: &mut Net) {
        let Some(session) = &self.sessions[bank] else { return };
        let message = DownMessage { topic: DownTopic::Restore, payload: restore.encode() };
        net.send_down(session.connection, message);
    }

    /// Closes the stream that is known and begins the one of `birth`, which takes over what the old one added up to if it
    /// `carries`.
    fn open_stream(&mut self, bank: usize, birth: &Birth, carries: bool, looks: bool, now_ms: u64) {
        let n = u8::try_from(bank).unwrap_or_default();
        let store = &mut self.stores[bank];
        let view = mem::take(&mut store.view);
        store.closed.extend(store.cursor.map(|cursor| cursor.stream));
        let first = Cursor { stream: birth.stream, committed: 0, hash: CHAIN_START };
        store.cursor = Some(first);
        (store.effects, store.safe) = (0, 0);
        store.hashes.clear();
        store.log_of_facts.clear();
        store.inventory |= looks;
        if carries {
            store.log_waits = true;
            if looks {
                let gone = left(&view, n, store);
                store.gone.extend(gone);
            }
            return;
        }
        store.gone.clear();
        store.empties = true;
        store.log_epoch = self.epoch.max(HubEpoch(store.log_epoch.0 + 1));
        store.log_waits = false;
        let booked = booked(&view, n, store);
        store.begin_from_bookings(n, &booked, now_ms);
    }
}

/// The numbers of parcels that no courier has brought.
fn booked(view: &MemoryView, bank: u8, store: &Store) -> Vec<u16> {
    let numbers = (0..store.parcels.len()).filter_map(|n| u16::try_from(n).ok());
    let is_booked = |n: &u16| {
        let parcel = view.parcel(cast::parcel(bank, *n));
        parcel.is_some_and(|parcel| parcel.state == ParcelState::Booked)
    };
    numbers.filter(is_booked).collect()
}

/// The numbers of parcels that were fetched or taken out.
fn left(view: &MemoryView, bank: u8, store: &Store) -> Vec<(u16, Version)> {
    let numbers = (0..store.parcels.len()).filter_map(|n| u16::try_from(n).ok());
    let has_left = numbers.filter_map(|n| {
        let parcel = view.parcel(cast::parcel(bank, n))?;
        let gone =
            matches!(parcel.state, ParcelState::Collected { .. } | ParcelState::Recalled { .. });
        gone.then_some((n, parcel.version))
    });
    has_left.collect()
}

/// Whether the bank has deleted the record that comes next here.
fn lacks_our_next(cursor: Option<Cursor>, birth: &Birth) -> bool {
    let ours = cursor.filter(|cursor| cursor.stream == birth.stream);
    ours.is_some_and(|cursor| birth.oldest_seq > cursor.committed + 1)
}
