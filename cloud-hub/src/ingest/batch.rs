//! From a batch that fits to everything that follows from it, in memory: decode, fold, collect.

use std::collections::BTreeMap;

use locker_core::clock::TimeQuality;
use locker_core::ids::{BankId, CompartmentNo};
use locker_core::journal::{Change, MemoryView, Record, View as _, fold};
use locker_core::units::UnixMillis;
use locker_core::uplink::inlet::Cursor;
use locker_proto::entity;
use locker_proto::message::Batch;
use locker_proto::record::decode_record;
use thiserror::Error;

use super::seals::Seals;
use super::stamp::TraceStamp;
use super::{codes, facts};
use crate::live::DoorNote;
use crate::store::{
    CodesWrite, EntityKind, EntityRow, EventKind, FactEffect, FactRow, IngestWrite, Meaning,
};
use crate::tls::DeviceKey;

/// A batch that was judged to continue the stream.
pub(super) struct Accepted<'a> {
    pub(super) bank: &'a BankId,
    pub(super) batch: Batch,
    /// Records at its beginning that are known.
    pub(super) skip: usize,
    pub(super) before: Cursor,
    pub(super) next: Cursor,
    /// Whether a record of this bank could not be read before.
    pub(super) incomplete: bool,
    /// Those that the bank may have sealed with.
    pub(super) device_keys: &'a [DeviceKey],
    pub(super) now: UnixMillis,
}

/// What follows from a batch.
pub(super) struct Outcome {
    pub(super) write: IngestWrite,
    pub(super) news: News,
    /// Records that this hub cannot read.
    pub(super) unread: u32,
}

/// What is made use of once the batch is committed.
#[derive(Default)]
pub(super) struct News {
    pub(super) facts: u64,
    pub(super) stamps: Vec<TraceStamp>,
    pub(super) layout: LayoutNews,
    pub(super) doors: Vec<DoorNote>,
    /// Grants of code slots that the bank refused.
    pub(super) slots_refused: u64,
    pub(super) seals: Seals,
}

/// What a batch says about the chances of a layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LayoutNews {
    /// The bank refused one because a compartment was in use.
    pub(super) refused: bool,
    /// A compartment became free, after the refusal if there was one.
    pub(super) freed: bool,
}

/// A record says of itself that it stands elsewhere: its chain is sound and its content is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the record at seq {seq} says that it is another one")]
pub(super) struct Misplaced {
    pub(super) seq: u64,
}

/// Folds a batch into `view`.
///
/// # Errors
///
/// When a record names another place than its own; `view` is as before then.
pub(super) fn fold_batch(
    view: &mut MemoryView,
    accepted: Accepted<'_>,
) -> Result<Outcome, Misplaced> {
    let Accepted { bank, batch, skip, before, next, incomplete, device_keys, now } = accepted;
    let numbered = (before.committed + 1..).zip(batch.records.into_iter().skip(skip));
    let mut decoded = Vec::new();
    for (seq, bytes) in numbered {
        // Committed in any case: the chain holds it, so the bank could never send anything else.
        let record = decode_record(&bytes).ok();
        if record.as_ref().is_some_and(|record| record.seq != seq || record.stream != next.stream) {
            return Err(Misplaced { seq });
        }
        decoded.push((seq, bytes, record));
    }
    let write = IngestWrite {
        bank: bank.clone(),
        follows: Some(before.committed),
        next,
        incomplete,
        introduced: None,
        facts: Vec::with_capacity(decoded.len()),
        entities: Vec::new(),
        effects: Vec::new(),
        codes: CodesWrite::default(),
        alarms: Vec::new(),
        now,
    };
    let (changed, news) = (BTreeMap::new(), News::default());
    let mut folding = Folding { view, write, device_keys, changed, news, unread: 0 };
    for (seq, bytes, record) in decoded {
        folding.take(seq, bytes, record);
    }
    Ok(folding.finish())
}

struct Folding<'a> {
    view: &'a mut MemoryView,
    write: IngestWrite,
    device_keys: &'a [DeviceKey],
    /// Each entity's newest change, encoded only at the end.
    changed: BTreeMap<(EntityKind, Vec<u8>), Change>,
    news: News,
    unread: u32,
}

impl Folding<'_> {
    fn take(&mut self, seq: u64, bytes: Vec<u8>, record: Option<Record>) {
        let Some(record) = record else {
            self.unread += 1;
            let at = self.write.now;
            self.write.facts.push(FactRow { seq, at, kind: 0, bytes });
            if !self.write.incomplete {
                self.write.incomplete = true;
                let (kind, detail) = (EventKind::BankIncomplete, format!("record {seq}"));
                let when = When { earliest: at, at, promised_from: at };
                self.effect(seq, when, None, Meaning::Bank { kind, detail });
            }
            return;
        };
        let (kind, name) = facts::kind(&record.fact);
        let (compartment, session) = facts::place(&record.fact);
        self.write.facts.push(FactRow { seq, at: record.at, kind, bytes });
        let when = When::of(&record, self.write.now);
        let inspected = facts::trace_of_inspected(self.view, &record.fact);
        let is_whole = !self.write.incomplete;
        self.news.seals.look(self.view, &record, self.device_keys, is_whole);
        let changes = fold(&*self.view, &record);
        self.news.slots_refused += codes::note(&mut self.write, &record, &changes);
        for what in facts::meanings(self.view, &record.fact, &changes) {
            self.effect(seq, when, compartment, what);
        }
        for (no, kind, reason) in facts::quarantines(self.view, &changes) {
            let detail = reason.to_owned();
            self.effect(seq, when, Some(no), Meaning::Bank { kind, detail });
        }
        if facts::refuses_layout(&record.fact) {
            self.news.layout = LayoutNews { refused: true, freed: false };
        }
        self.news.layout.freed |= facts::frees(self.view, &changes);
        for change in &changes {
            if let Change::ParcelForgotten(parcel) = change {
                for gone in self.view.credentials_of(parcel.id) {
                    let key = (EntityKind::Credential, gone.id.0.to_vec());
                    self.changed.insert(key, change.clone());
                }
                let slots = self.view.slots().into_iter();
                for gone in slots.filter(|held| held.parcel == Some(parcel.id)) {
                    let key = (EntityKind::Slot, gone.slot.id.0.to_vec());
                    self.changed.insert(key, change.clone());
                }
            }
            self.changed.insert(key(change), change.clone());
        }
        self.view.apply(changes);
        self.news.doors.extend(DoorNote::of(&record));
        if let Some(trace) = record.trace.or(inspected) {
            let (bank, stream) = (self.write.bank.clone(), self.write.next.stream);
            let at = record.at;
            let stamp =
                TraceStamp { bank, trace, stream, seq, kind: name, compartment, session, at };
            self.news.stamps.push(stamp);
        }
    }

    fn effect(&mut self, seq: u64, when: When, compartment: Option<CompartmentNo>, what: Meaning) {
        let When { earliest, at, promised_from } = when;
        let n = match self.write.effects.last() {
            Some(last) if last.seq == seq => last.n + 1,
            Some(_) | None => 0,
        };
        let effect = FactEffect { seq, n, at, earliest, promised_from, compartment, what };
        self.write.effects.push(effect);
    }

    fn finish(mut self) -> Outcome {
        let entities = &mut self.write.entities;
        for ((kind, key), change) in self.changed {
            entities.push(EntityRow { kind, key, bytes: encode(&change) });
        }
        self.write.alarms.clone_from(&self.news.seals.broken);
        self.news.facts = u64::try_from(self.write.facts.len()).unwrap_or(u64::MAX);
        Outcome { write: self.write, news: self.news, unread: self.unread }
    }
}

/// When a fact happened; see [`FactEffect`].
#[derive(Clone, Copy)]
pub(super) struct When {
    pub(super) earliest: UnixMillis,
    pub(super) at: UnixMillis,
    pub(super) promised_from: UnixMillis,
}

impl When {
    pub(super) fn of(record: &Record, now: UnixMillis) -> Self {
        let at = record.at;
        let (earliest, promised_from) = match record.quality {
            TimeQuality::Unknown => (UnixMillis(0), now),
            // What comes late promises as much as what comes at once: nobody knew of it before.
            TimeQuality::Bounded { within_ms } => (at.minus_ms(within_ms.into()), at.max(now)),
        };
        Self { earliest, at, promised_from }
    }
}

/// A state as it is stored.
pub(super) fn rows_of(state: &[Change]) -> Vec<EntityRow> {
    let row = |change: &Change| {
        let (kind, key) = key(change);
        EntityRow { kind, key, bytes: encode(change) }
    };
    state.iter().map(row).collect()
}

/// Which entity a change is about.
fn key(change: &Change) -> (EntityKind, Vec<u8>) {
    match change {
        Change::Meta(_) => (EntityKind::Meta, Vec::new()),
        Change::Compartment(held) => {
            (EntityKind::Compartment, held.spec.no.0.to_be_bytes().to_vec())
        }
        Change::CompartmentRemoved(no) => (EntityKind::Compartment, no.0.to_be_bytes().to_vec()),
        Change::Parcel(parcel) | Change::ParcelForgotten(parcel) => {
            (EntityKind::Parcel, parcel.id.0.to_vec())
        }
        Change::Credential(credential) => (EntityKind::Credential, credential.id.0.to_vec()),
        Change::Session(_) => (EntityKind::Session, Vec::new()),
        Change::Governor(_) => (EntityKind::Governor, Vec::new()),
        Change::Slot(held) => (EntityKind::Slot, held.slot.id.0.to_vec()),
        Change::SlotForgotten(id) => (EntityKind::Slot, id.0.to_vec()),
        Change::Budget(_) => (EntityKind::Budget, Vec::new()),
        Change::CourierCodes(_) => (EntityKind::CourierCodes, Vec::new()),
    }
}

/// The entity as it is stored; `None` if it is gone.
fn encode(change: &Change) -> Option<Vec<u8>> {
    match change {
        Change::Meta(meta) => Some(entity::encode_meta(meta)),
        Change::Compartment(held) => Some(entity::encode_compartment(held)),
        Change::Parcel(parcel) => Some(entity::encode_parcel(parcel)),
        Change::Credential(credential) => Some(entity::encode_credential(credential)),
        Change::Session(session) => Some(entity::encode_session(session)),
        Change::Governor(governor) => Some(entity::encode_governor(governor)),
        Change::Slot(held) => Some(entity::encode_slot(held)),
        Change::Budget(budget) => Some(entity::encode_budget(budget)),
        Change::CourierCodes(codes) => Some(locker_proto::encode_courier_codes(codes)),
        Change::CompartmentRemoved(_) | Change::ParcelForgotten(_) | Change::SlotForgotten(_) => {
            None
        }
    }
}
