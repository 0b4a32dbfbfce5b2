//! Where the fold of the journal is held: in sled, or in memory alone while the disk has no room for sled.
//!
//! sled writes back when it likes and cannot be used on once a write has failed. The state is small and the journal has all
//! of it, so a full disk is no reason to go without a bank: it is folded into memory, and sled waits for a start with room.

use locker_core::code::budget::Budget;
use locker_core::code::keypad_code::CourierCodes;
use locker_core::compartment::Compartment;
use locker_core::credential::Credential;
use locker_core::governor::Governor;
use locker_core::ids::{Barcode, CarrierId, CompartmentNo, CredentialId, ParcelId};
use locker_core::journal::{Change, FoldedBy, HeldSlot, MemoryView, Meta, View};
use locker_core::parcel::Parcel;
use locker_core::session::Session;
use locker_core::units::UnixMillis;

use super::fold::{Applied, FoldError, SledFold};

/// The bank's state.
#[derive(Debug)]
pub(super) enum State {
    Sled(Box<SledFold>),
    Memory(Box<MemoryFold>),
}

/// The fold of a journal, and how far it goes.
#[derive(Debug)]
pub(super) struct MemoryFold {
    pub(super) view: MemoryView,
    /// None if nothing is folded in.
    pub(super) applied: Option<Applied>,
    pub(super) folded_by: FoldedBy,
}

impl State {
    pub(super) const fn is_in_sled(&self) -> bool {
        matches!(self, Self::Sled(_))
    }

    /// As [`SledFold::folded_by`].
    pub(super) const fn folded_by(&self) -> FoldedBy {
        match self {
            Self::Sled(sled) => sled.folded_by(),
            Self::Memory(memory) => memory.folded_by,
        }
    }

    /// As [`SledFold::apply`].
    pub(super) fn apply(
        &mut self,
        changes: Vec<Change>,
        applied: Applied,
    ) -> Result<(), FoldError> {
        match self {
            Self::Sled(sled) => sled.apply(changes, applied),
            Self::Memory(memory) => {
                memory.view.apply(changes);
                memory.applied = Some(applied);
                Ok(())
            }
        }
    }

    /// As [`SledFold::take_fault`].
    pub(super) fn take_fault(&self) -> Option<FoldError> {
        match self {
            Self::Sled(sled) => sled.take_fault(),
            Self::Memory(_) => None,
        }
    }

    /// As [`SledFold::export`].
    pub(super) fn export(&self) -> Result<Vec<Change>, FoldError> {
        match self {
            Self::Sled(sled) => sled.export(),
            Self::Memory(memory) => Ok(memory.view.export()),
        }
    }

    /// As [`SledFold::spoil`].
    #[cfg(test)]
    pub(super) fn spoil(&self, key: &[u8]) {
        if let Self::Sled(sled) = self {
            sled.spoil(key);
        }
    }

    /// Takes what sled has into memory and lets go of sled.
    pub(super) fn leave_sled(&mut self) -> Result<(), FoldError> {
        let Self::Sled(sled) = self else { return Ok(()) };
        let mut view = MemoryView::default();
        view.apply(sled.export()?);
        let (applied, folded_by) = (sled.applied(), sled.folded_by());
        *self = Self::Memory(Box::new(MemoryFold { view, applied, folded_by }));
        Ok(())
    }
}

/// Asks whoever has it.
macro_rules! of_either {
    ($state:expr, $held:ident => $answer:expr) => {
        match $state {
            State::Sled($held) => $answer,
            State::Memory(memory) => {
                let $held = &memory.view;
                $answer
            }
        }
    };
}

impl View for State {
    fn meta(&self) -> Meta {
        of_either!(self, held => held.meta())
    }

    fn compartment(&self, no: CompartmentNo) -> Option<Compartment> {
        of_either!(self, held => held.compartment(no))
    }

    fn compartments(&self) -> Vec<Compartment> {
        of_either!(self, held => held.compartments())
    }

    fn parcel(&self, id: ParcelId) -> Option<Parcel> {
        of_either!(self, held => held.parcel(id))
    }

    fn parcel_by_barcode(&self, carrier: &CarrierId, barcode: &Barcode) -> Option<ParcelId> {
        of_either!(self, held => held.parcel_by_barcode(carrier, barcode))
    }

    fn parcels(&self) -> Vec<Parcel> {
        of_either!(self, held => held.parcels())
    }

    fn settled_before(
        &self,
        before: UnixMillis,
        max: usize,
        kept: Option<ParcelId>,
    ) -> Vec<Parcel> {
        of_either!(self, held => held.settled_before(before, max, kept))
    }

    fn credential(&self, id: CredentialId) -> Option<Credential> {
        of_either!(self, held => held.credential(id))
    }

    fn credentials_of(&self, parcel: ParcelId) -> Vec<Credential> {
        of_either!(self, held => held.credentials_of(parcel))
    }

    fn session(&self) -> Option<Session> {
        of_either!(self, held => held.session())
    }

    fn governor(&self) -> Governor {
        of_either!(self, held => held.governor())
    }

    fn slots(&self) -> Vec<HeldSlot> {
        of_either!(self, held => held.slots())
    }

    fn budget(&self) -> Budget {
        of_either!(self, held => held.budget())
    }

    fn courier_codes(&self) -> CourierCodes {
        of_either!(self, held => held.courier_codes())
    }
}
