//! The bank's state in sled: what the journal adds up to, kept so that a start need not read it all.
//!
//! sled never decides anything here. It may lag the journal, because its `flush` is no fsync on
//! Linux, and it may be thrown away at any time; the journal makes it again. Compartments, the
//! session, the counters, what the governor remembers and all six-digit codes are held in memory too:
//! there are few of them, and steps read all of them at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use locker_core::code::budget::Budget;
use locker_core::code::keypad_code::CourierCodes;
use locker_core::code::slot::SlotId;
use locker_core::compartment::Compartment;
use locker_core::credential::Credential;
use locker_core::governor::Governor;
use locker_core::ids::{Barcode, CarrierId, CompartmentNo, CredentialId, ParcelId};
use locker_core::journal::{Change, FOLD_VERSION, FoldedBy, HeldSlot, Meta, View};
use locker_core::parcel::Parcel;
use locker_core::session::Session;
use locker_core::units::UnixMillis;
use locker_proto::{Malformed, entity};
use sled::Batch;
use thiserror::Error;

pub(super) use super::applied::Applied;
use super::applied::{read_applied, write_applied};

/// sled's page cache. Its own default is a gigabyte.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// How often sled writes back, in milliseconds. Its own default of 500 would stall the journal's disk
/// twice a second; what it lags behind is replayed at the next start.
const WRITE_BACK_EVERY_MS: u64 = 10_000;
/// Written into every store; a store with a higher one is not read.
pub(super) const FORMAT_VERSION: u16 = 4;

const APPLIED: &[u8] = b"a";
const META: &[u8] = b"m";
const SESSION: &[u8] = b"s";
const GOVERNOR: &[u8] = b"g";
const BUDGET: &[u8] = b"b";
const COURIER_CODES: &[u8] = b"q";
const COMPARTMENT: u8 = b'c';
const PARCEL: u8 = b'p';
/// Barcode, zero, parcel id: which parcels bear a barcode.
const LABEL: u8 = b'l';
const CREDENTIAL: u8 = b'k';
/// Parcel id, credential id: which credentials a parcel has or had.
const HELD: u8 = b'h';
const SLOT: u8 = b'd';

/// Why the fold cannot be used. It is moved aside and made again.
#[derive(Debug, Error)]
pub enum FoldError {
    #[error("sled failed")]
    Sled(#[from] sled::Error),
    #[error("a {what} in sled cannot be read")]
    Entity { what: &'static str, source: Malformed },
    #[error("sled holds store format {found}, this agent knows {FORMAT_VERSION}")]
    Format { found: u16 },
    #[error("sled holds fold version {found}, this agent folds by {FOLD_VERSION}")]
    FoldVersion { found: u32 },
    #[error("a barcode in sled leads to no parcel id")]
    Label,
    #[error("a parcel in sled leads to no credential id")]
    Held,
    #[error("sled's place in the journal is damaged")]
    Applied,
}

impl FoldError {
    /// Whether the disk is only full.
    pub(super) fn is_out_of_space(&self) -> bool {
        let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
        matches!(self, Self::Sled(sled::Error::Io(error)) if full.contains(&error.kind()))
    }
}

/// The fold of one journal.
#[derive(Debug)]
pub(super) struct SledFold {
    db: sled::Db,
    applied: Option<Applied>,
    folded_by: FoldedBy,
    meta: Meta,
    compartments: BTreeMap<CompartmentNo, Compartment>,
    session: Option<Session>,
    governor: Governor,
    /// At most [`locker_core::code::slot::SLOTS_MAX`].
    slots: BTreeMap<SlotId, HeldSlot>,
    budget: Budget,
    courier_codes: CourierCodes,
    /// When parcels settled: what is to be forgotten is asked for with each booking. At most
    /// [`locker_core::downlink::PARCELS_MAX`].
    settled: BTreeMap<ParcelId, UnixMillis>,
    /// The first read that failed; a view cannot say so itself.
    fault: RefCell<Option<FoldError>>,
}

impl SledFold {
    /// Opens or makes the store in `dir`.
    pub(super) fn open(dir: &Path) -> Result<Self, FoldError> {
        let db = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(WRITE_BACK_EVERY_MS))
            .open()?;
        let place = db.get(APPLIED)?.map(|bytes| read_applied(&bytes)).transpose()?;
        let mut fold = Self {
            applied: place.map(|(applied, _)| applied),
            folded_by: place.map_or(FoldedBy::THESE, |(_, folded_by)| folded_by),
            meta: Meta::default(),
            compartments: BTreeMap::new(),
            session: None,
            governor: Governor::default(),
            slots: BTreeMap::new(),
            budget: Budget::default(),
            courier_codes: CourierCodes::default(),
            settled: BTreeMap::new(),
            fault: RefCell::new(None),
            db,
        };
        if let Some(bytes) = fold.db.get(META)? {
            fold.meta = entity::decode_meta(&bytes).map_err(unreadable("meta"))?;
        }
        if let Some(bytes) = fold.db.get(SESSION)? {
            fold.session = entity::decode_session(&bytes).map_err(unreadable("session"))?;
        }
        if let Some(bytes) = fold.db.get(GOVERNOR)? {
            fold.governor = entity::decode_governor(&bytes).map_err(unreadable("governor"))?;
        }
        for pair in fold.db.scan_prefix([COMPARTMENT]) {
            let held = entity::decode_compartment(&pair?.1).map_err(unreadable("compartment"))?;
            fold.compartments.insert(held.spec.no, held);
        }
        if let Some(bytes) = fold.db.get(BUDGET)? {
            fold.budget = entity::decode_budget(&bytes).map_err(unreadable("guess budget"))?;
        }
        if let Some(bytes) = fold.db.get(COURIER_CODES)? {
            let codes = locker_proto::decode_courier_codes(&bytes);
            fold.courier_codes = codes.map_err(unreadable("list of couriers' codes"))?;
        }
        for pair in fold.db.scan_prefix([SLOT]) {
            let held = entity::decode_slot(&pair?.1).map_err(unreadable("slot"))?;
            fold.slots.insert(held.slot.id, held);
        }
        for pair in fold.db.scan_prefix([PARCEL]) {
            let parcel = entity::decode_parcel(&pair?.1).map_err(unreadable("parcel"))?;
            fold.note_settled(&parcel);
        }
        Ok(fold)
    }

    /// How far the journal is folded in; none if nothing is.
    pub(super) const fn applied(&self) -> Option<Applied> {
        self.applied
    }

    /// Which rules had a part in it.
    pub(super) const fn folded_by(&self) -> FoldedBy {
        self.folded_by
    }

    /// Begins with a state that was folded elsewhere, perhaps by older rules.
    pub(super) fn begin_with(
        &mut self,
        changes: Vec<Change>,
        applied: Applied,
        folded_by: FoldedBy,
    ) -> Result<(), FoldError> {
        self.folded_by = folded_by.and_these();
        self.apply(changes, applied)
    }

    /// Takes over `changes` of all records up to `applied`, in one batch.
    pub(super) fn apply(
        &mut self,
        changes: Vec<Change>,
        applied: Applied,
    ) -> Result<(), FoldError> {
        let mut batch = Batch::default();
        let mut changed = Changed::default();
        for change in changes {
            self.change(&mut batch, &mut changed, change);
        }
        if let Some(fault) = self.take_fault() {
            return Err(fault);
        }
        batch.insert(APPLIED, write_applied(applied, self.folded_by));
        self.db.apply_batch(batch)?;
        self.applied = Some(applied);
        Ok(())
    }

    /// The first read that failed since the last call, if one did.
    pub(super) fn take_fault(&self) -> Option<FoldError> {
        self.fault.borrow_mut().take()
    }

    /// Everything, as the changes that would make it from nothing.
    pub(super) fn export(&self) -> Result<Vec<Change>, FoldError> {
        let mut all = vec![Change::Meta(self.meta.clone()), Change::Session(self.session.clone())];
        all.extend(self.compartments.values().copied().map(Change::Compartment));
        all.extend(self.parcels().into_iter().map(Change::Parcel));
        if let Some(fault) = self.take_fault() {
            return Err(fault);
        }
        for pair in self.db.scan_prefix([CREDENTIAL]) {
            let held = entity::decode_credential(&pair?.1).map_err(unreadable("credential"))?;
            all.push(Change::Credential(held));
        }
        all.push(Change::Governor(self.governor.clone()));
        all.extend(self.slots.values().cloned().map(Change::Slot));
        all.push(Change::Budget(self.budget.clone()));
        all.push(Change::CourierCodes(self.courier_codes.clone()));
        Ok(all)
    }

    /// Puts nonsense under `key`, as flash may.
    #[cfg(test)]
    pub(super) fn spoil(&self, key: &[u8]) {
        self.db.insert(key, &[0xFF, 0xFF]).unwrap();
    }

    fn change(&mut self, batch: &mut Batch, changed: &mut Changed, change: Change) {
        match change {
            Change::Meta(meta) => {
                batch.insert(META, entity::encode_meta(&meta));
                self.meta = meta;
            }
            Change::Compartment(held) => {
                let key = compartment_key(held.spec.no);
                batch.insert(&key, entity::encode_compartment(&held));
                self.compartments.insert(held.spec.no, held);
            }
            Change::CompartmentRemoved(no) => {
                batch.remove(&compartment_key(no));
                self.compartments.remove(&no);
            }
            Change::Parcel(parcel) => {
                self.keep_parcel(batch, changed, &parcel);
                self.note_settled(&parcel);
            }
            Change::ParcelForgotten(parcel) => {
                self.settled.remove(&parcel.id);
                self.forget_parcel(batch, changed, &parcel);
                self.forget_slots(batch, parcel.id);
            }
            Change::Credential(held) => self.keep_credential(batch, changed, &held),
            Change::Session(session) => {
                batch.insert(SESSION, entity::encode_session(&session));
                self.session = session;
            }
            Change::Governor(governor) => {
                batch.insert(GOVERNOR, entity::encode_governor(&governor));
                self.governor = governor;
            }
            Change::Slot(held) => {
                batch.insert(&key(SLOT, &held.slot.id.0), entity::encode_slot(&held));
                self.slots.insert(held.slot.id, held);
            }
            Change::SlotForgotten(id) => {
                batch.remove(&key(SLOT, &id.0));
                self.slots.remove(&id);
            }
            Change::Budget(budget) => {
                batch.insert(BUDGET, entity::encode_budget(&budget));
                self.budget = budget;
            }
            Change::CourierCodes(codes) => {
                batch.insert(COURIER_CODES, locker_proto::encode_courier_codes(&codes));
                self.courier_codes = codes;
            }
        }
    }

    fn note_settled(&mut self, parcel: &Parcel) {
        match parcel.state.settled_at() {
            Some(at) => self.settled.insert(parcel.id, at),
            None => self.settled.remove(&parcel.id),
        };
    }

    fn keep_parcel(&self, batch: &mut Batch, changed: &mut Changed, parcel: &Parcel) {
        let label = changed.labels.get(&parcel.id).cloned();
        let label = label.unwrap_or_else(|| self.parcel(parcel.id).map(|old| old.barcode));
        if let Some(old) = label.filter(|old| *old != parcel.barcode) {
            batch.remove(label_key(&old, parcel.id));
        }
        batch.insert(label_key(&parcel.barcode, parcel.id), &[]);
        changed.labels.insert(parcel.id, Some(parcel.barcode.clone()));
        batch.insert(&key(PARCEL, &parcel.id.0), entity::encode_parcel(parcel));
    }

    fn forget_parcel(&self, batch: &mut Batch, changed: &mut Changed, parcel: &Parcel) {
        let label = changed.labels.insert(parcel.id, None).flatten();
        batch.remove(label_key(&label.unwrap_or_else(|| parcel.barcode.clone()), parcel.id));
        batch.remove(&key(PARCEL, &parcel.id.0));
        let mut held = self.held_by(parcel.id);
        held.retain(|id| !changed.owners.contains_key(id));
        let own = |(id, owner): (&CredentialId, &Option<ParcelId>)| {
            (*owner == Some(parcel.id)).then_some(*id)
        };
        held.extend(changed.owners.iter().filter_map(own));
        for id in held {
            batch.remove(&key(CREDENTIAL, &id.0));
            batch.remove(held_key(parcel.id, id));
            changed.owners.insert(id, None);
        }
    }

    fn forget_slots(&mut self, batch: &mut Batch, parcel: ParcelId) {
        for (id, _) in self.slots.extract_if(.., |_, held| held.parcel == Some(parcel)) {
            batch.remove(&key(SLOT, &id.0));
        }
    }

    fn keep_credential(&self, batch: &mut Batch, changed: &mut Changed, held: &Credential) {
        let owner = changed.owners.get(&held.id).copied();
        let owner = owner.unwrap_or_else(|| self.credential(held.id).map(|old| old.parcel));
        if let Some(old) = owner.filter(|old| *old != held.parcel) {
            batch.remove(held_key(old, held.id));
        }
        batch.insert(held_key(held.parcel, held.id), &[]);
        changed.owners.insert(held.id, Some(held.parcel));
        batch.insert(&key(CREDENTIAL, &held.id.0), entity::encode_credential(held));
    }

    /// The ids of a parcel's credentials, in order, as sled has them.
    fn held_by(&self, parcel: ParcelId) -> Vec<CredentialId> {
        let keys = self.db.scan_prefix(key(HELD, &parcel.0)).keys();
        self.all_or_fault(keys.map(|key| {
            let key = key?;
            let id = key.get(17..).and_then(|id| CredentialId::try_from(id).ok());
            id.ok_or(FoldError::Held)
        }))
    }

    fn all_or_fault<T>(&self, all: impl Iterator<Item = Result<T, FoldError>>) -> Vec<T> {
        all.collect::<Result<_, _>>().unwrap_or_else(|error| {
            self.fault.borrow_mut().get_or_insert(error);
            Vec::new()
        })
    }

    fn read<T>(
        &self,
        key: &[u8],
        what: &'static str,
        decode: impl FnOnce(&[u8]) -> Result<T, Malformed>,
    ) -> Option<T> {
        let bytes = self.db.get(key).map_err(FoldError::from);
        let value = bytes.and_then(|bytes| {
            bytes.map(|bytes| decode(&bytes).map_err(unreadable(what))).transpose()
        });
        value.unwrap_or_else(|error| {
            self.fault.borrow_mut().get_or_insert(error);
            None
        })
    }
}

impl View for SledFold {
    fn meta(&self) -> Meta {
        self.meta.clone()
    }

    fn compartment(&self, no: CompartmentNo) -> Option<Compartment> {
        self.compartments.get(&no).copied()
    }

    fn compartments(&self) -> Vec<Compartment> {
        self.compartments.values().copied().collect()
    }

    fn parcel(&self, id: ParcelId) -> Option<Parcel> {
        self.read(&key(PARCEL, &id.0), "parcel", entity::decode_parcel)
    }

    /// As by default, but looking only at the parcels with this barcode.
    fn parcel_by_barcode(&self, carrier: &CarrierId, barcode: &Barcode) -> Option<ParcelId> {
        let labels = self.db.scan_prefix(label_prefix(barcode)).keys();
        let ids = labels.map(|label| {
            let label = label?;
            let id = label.len().checked_sub(16).and_then(|at| label.get(at..));
            let id = id.and_then(|id| ParcelId::try_from(id).ok());
            id.ok_or(FoldError::Label)
        });
        let namesakes = self.all_or_fault(ids).into_iter().filter_map(|id| self.parcel(id));
        let own = namesakes.filter(|parcel| parcel.carrier == *carrier);
        let newest = own.max_by_key(|parcel| {
            let settled = parcel.state.settled_at();
            (settled.is_none(), settled, parcel.id)
        });
        newest.map(|parcel| parcel.id)
    }

    fn parcels(&self) -> Vec<Parcel> {
        self.all_or_fault(
            self.db
                .scan_prefix([PARCEL])
                .map(|pair| entity::decode_parcel(&pair?.1).map_err(unreadable("parcel"))),
        )
    }

    /// As by default, but reading only what is found.
    fn settled_before(
        &self,
        before: UnixMillis,
        max: usize,
        kept: Option<ParcelId>,
    ) -> Vec<Parcel> {
        let settled = self.settled.iter().filter(|(id, at)| **at < before && Some(**id) != kept);
        let mut settled: Vec<_> = settled.map(|(id, at)| (*at, *id)).collect();
        settled.sort_unstable();
        settled.into_iter().take(max).filter_map(|(_, id)| self.parcel(id)).collect()
    }

    fn credential(&self, id: CredentialId) -> Option<Credential> {
        self.read(&key(CREDENTIAL, &id.0), "credential", entity::decode_credential)
    }

    fn credentials_of(&self, parcel: ParcelId) -> Vec<Credential> {
        self.held_by(parcel).into_iter().filter_map(|id| self.credential(id)).collect()
    }

    fn session(&self) -> Option<Session> {
        self.session.clone()
    }

    fn governor(&self) -> Governor {
        self.governor.clone()
    }

    fn slots(&self) -> Vec<HeldSlot> {
        self.slots.values().cloned().collect()
    }

    fn budget(&self) -> Budget {
        self.budget.clone()
    }

    fn courier_codes(&self) -> CourierCodes {
        self.courier_codes.clone()
    }
}

/// What a batch has changed already and sled has not: the barcodes of parcels and the parcels of
/// credentials.
#[derive(Default)]
struct Changed {
    labels: BTreeMap<ParcelId, Option<Barcode>>,
    owners: BTreeMap<CredentialId, Option<ParcelId>>,
}

fn unreadable(what: &'static str) -> impl FnOnce(Malformed) -> FoldError {
    move |source| FoldError::Entity { what, source }
}

fn key(kind: u8, id: &[u8; 16]) -> [u8; 17] {
    let mut key = [kind; 17];
    key[1..].copy_from_slice(id);
    key
}

fn compartment_key(no: CompartmentNo) -> [u8; 3] {
    let [high, low] = no.0.to_be_bytes();
    [COMPARTMENT, high, low]
}

fn held_key(parcel: ParcelId, credential: CredentialId) -> Vec<u8> {
    [key(HELD, &parcel.0).as_slice(), &credential.0].concat()
}

/// A barcode has no zero byte, so none is the beginning of another's.
fn label_prefix(barcode: &Barcode) -> Vec<u8> {
    [&[LABEL], barcode.as_str().as_bytes(), &[0]].concat()
}

fn label_key(barcode: &Barcode, id: ParcelId) -> Vec<u8> {
    [label_prefix(barcode).as_slice(), &id.0].concat()
}
