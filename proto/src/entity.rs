//! A bank's state as bytes: one entity at a time for stores, all of it in a snapshot.

mod code;
mod compartment;
mod meta;
mod parcel;
mod session;

use locker_core::code::budget::Budget;
use locker_core::compartment::Compartment;
use locker_core::credential::Credential;
use locker_core::governor::Governor;
use locker_core::ids::StreamId;
use locker_core::journal::{Change, HeldSlot, Meta};
use locker_core::parcel::Parcel;
use locker_core::session::Session;
use prost::Message;
use thiserror::Error;

use crate::convert::{self, Wire, present};
use crate::malformed::Malformed;
use crate::wire::journal::v1 as wire;
use crate::wire::journal::v1::entity::Entity as Form;

/// A bank's whole state at one place of its journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The [`locker_core::journal::FOLD_VERSION`] that made it.
    pub fold_version: u32,
    pub stream: StreamId,
    /// The last record it contains.
    pub applied_seq: u64,
    /// What makes the state from nothing, as [`locker_core::journal::MemoryView::export`] gives it.
    pub changes: Vec<Change>,
}

/// Why a list of changes is no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeSnapshotError {
    #[error("a snapshot says what there is, and this says what there is not any more")]
    Removal,
}

/// A snapshot as bytes.
///
/// # Errors
///
/// The changes remove something.
pub fn encode_snapshot(snapshot: &Snapshot) -> Result<Vec<u8>, EncodeSnapshotError> {
    let entities = snapshot.changes.iter().map(entity_to_wire).collect::<Result<_, _>>()?;
    let form = wire::Snapshot {
        fold_version: snapshot.fold_version,
        stream_id: snapshot.stream.0.to_vec(),
        applied_seq: snapshot.applied_seq,
        entities,
    };
    Ok(form.encode_to_vec())
}

/// Reads what [`encode_snapshot`] wrote.
///
/// # Errors
///
/// The bytes are something else.
pub fn decode_snapshot(bytes: &[u8]) -> Result<Snapshot, Malformed> {
    let form = wire::Snapshot::decode(bytes).map_err(Malformed::NotProtobuf)?;
    Ok(Snapshot {
        fold_version: form.fold_version,
        stream: convert::id("Snapshot.stream_id", &form.stream_id)?,
        applied_seq: form.applied_seq,
        changes: form.entities.into_iter().map(entity_from_wire).collect::<Result<_, _>>()?,
    })
}

pub(crate) fn entity_to_wire(change: &Change) -> Result<wire::Entity, EncodeSnapshotError> {
    let form = match change {
        Change::Meta(meta) => Form::Meta(meta.to_wire()),
        Change::Compartment(compartment) => Form::Compartment(compartment.to_wire()),
        Change::Parcel(parcel) => Form::Parcel(parcel.to_wire()),
        Change::Credential(credential) => Form::Credential(credential.to_wire()),
        Change::Session(session) => Form::Session(session.to_wire()),
        Change::Governor(governor) => Form::Governor(governor.to_wire()),
        Change::Slot(held) => Form::Slot(held.to_wire()),
        Change::Budget(budget) => Form::Budget(budget.to_wire()),
        Change::CourierCodes(codes) => Form::CourierCodes(codes.to_wire()),
        Change::CompartmentRemoved(_) | Change::ParcelForgotten(_) | Change::SlotForgotten(_) => {
            return Err(EncodeSnapshotError::Removal);
        }
    };
    Ok(wire::Entity { entity: Some(form) })
}

pub(crate) fn entity_from_wire(form: wire::Entity) -> Result<Change, Malformed> {
    Ok(match present("Entity.entity", form.entity)? {
        Form::Meta(form) => Change::Meta(Wire::from_wire(form)?),
        Form::Compartment(form) => Change::Compartment(Wire::from_wire(form)?),
        Form::Parcel(form) => Change::Parcel(Wire::from_wire(form)?),
        Form::Credential(form) => Change::Credential(Wire::from_wire(form)?),
        Form::Session(form) => Change::Session(Wire::from_wire(form)?),
        Form::Governor(form) => Change::Governor(Wire::from_wire(form)?),
        Form::Slot(form) => Change::Slot(Wire::from_wire(form)?),
        Form::Budget(form) => Change::Budget(Wire::from_wire(form)?),
        Form::CourierCodes(form) => Change::CourierCodes(Wire::from_wire(form)?),
    })
}

macro_rules! stored {
    ($encode:ident, $decode:ident, $type:ty, $what:literal) => {
        #[doc = concat!($what, " as bytes.")]
        #[must_use]
        pub fn $encode(value: &$type) -> Vec<u8> {
            convert::encode(value)
        }

        #[doc = concat!("Reads what [`", stringify!($encode), "`] wrote.")]
        ///
        /// # Errors
        ///
        /// The bytes are something else.
        pub fn $decode(bytes: &[u8]) -> Result<$type, Malformed> {
            convert::decode(bytes)
        }
    };
}

stored!(encode_meta, decode_meta, Meta, "What there is one of in a bank");
stored!(encode_compartment, decode_compartment, Compartment, "A compartment");
stored!(encode_parcel, decode_parcel, Parcel, "A parcel");
stored!(encode_credential, decode_credential, Credential, "A pickup authorisation");
stored!(encode_session, decode_session, Option<Session>, "Whoever is at the screen, or nobody");
stored!(encode_governor, decode_governor, Governor, "What the rate governor remembers");
stored!(encode_slot, decode_slot, HeldSlot, "A six-digit code");
stored!(encode_budget, decode_budget, Budget, "What is left of the guess budget");
