//! Facts in their wire forms: the closed list of the core against the `oneof` of a record. A new fact does not compile
//! until it is in both lists here.

mod alarm;
mod code;
mod config;
mod door;
mod parcel;
mod staff;
mod stream;

use locker_core::downlink::{CompartmentReserved, ConfigDocument};
use locker_core::downlink::{GrantAccepted, GrantRefusal, GrantRefused};
use locker_core::fact::Fact;
use locker_core::journal::Booted;

use crate::convert::{self, Wire, WireEnum, choice, required, same_names};
use crate::malformed::Malformed;
use crate::wire::journal::v1 as wire;
use crate::wire::journal::v1::record::Fact as Form;

pub(crate) fn fact_to_wire(fact: &Fact) -> Form {
    match fact {
        Fact::StreamOpened(fact) => Form::StreamOpened(fact.to_wire()),
        Fact::Booted(fact) => Form::Booted(fact.to_wire()),
        Fact::GrantAccepted(fact) => Form::GrantAccepted(fact.to_wire()),
        Fact::GrantRefused(fact) => Form::GrantRefused(fact.to_wire()),
        Fact::ConfigAccepted(fact) => config::accepted_to_wire(fact),
        Fact::ConfigRefused(fact) => Form::ConfigRefused(fact.to_wire()),
        Fact::SessionStarted(fact) => Form::SessionStarted(fact.to_wire()),
        Fact::SessionEnded(fact) => Form::SessionEnded(fact.to_wire()),
        Fact::DepositStarted(fact) => Form::DepositStarted(fact.to_wire()),
        Fact::DepositMisfit(fact) => Form::DepositMisfit(fact.to_wire()),
        Fact::DepositAborted(fact) => Form::DepositAborted(fact.to_wire()),
        Fact::DepositConfirmed(fact) => Form::DepositConfirmed(fact.to_wire()),
        Fact::PickupStarted(fact) => Form::PickupStarted(fact.to_wire()),
        Fact::PickupSettled(fact) => Form::PickupSettled(fact.to_wire()),
        Fact::PulseIntended(fact) => Form::PulseIntended(fact.to_wire()),
        Fact::PulseSettled(fact) => Form::PulseSettled(fact.to_wire()),
        Fact::DoorMoved(fact) => Form::DoorMoved(fact.to_wire()),
        Fact::DoorsRead(fact) => Form::DoorsRead(fact.to_wire()),
        Fact::BoardChanged(fact) => Form::BoardChanged(fact.to_wire()),
        Fact::CompartmentReserved(fact) => Form::CompartmentReserved(fact.to_wire()),
        Fact::RecallStarted(fact) => Form::RecallStarted(fact.to_wire()),
        Fact::RecallSettled(fact) => Form::RecallSettled(fact.to_wire()),
        Fact::InspectionStarted(fact) => Form::InspectionStarted(fact.to_wire()),
        Fact::InspectionSettled(fact) => Form::InspectionSettled(fact.to_wire()),
        Fact::BookingLapsed(fact) => Form::BookingLapsed(fact.to_wire()),
        Fact::KeepLapsed(fact) => Form::KeepLapsed(fact.to_wire()),
        Fact::Alarm(fact) => Form::Alarm(fact.to_wire()),
        Fact::LockdownBegan(fact) => Form::LockdownBegan(fact.to_wire()),
        Fact::LockdownLiftAsked(fact) => Form::LockdownLiftAsked(fact.to_wire()),
        Fact::LockdownLifted(fact) => Form::LockdownLifted(fact.to_wire()),
        Fact::BoardReset(fact) => Form::BoardReset(fact.to_wire()),
        Fact::PowerChanged(fact) => Form::PowerChanged(fact.to_wire()),
        Fact::CommandAnswered(fact) => Form::CommandAnswered(fact.to_wire()),
        Fact::CodeTyped(fact) => Form::CodeTyped(fact.to_wire()),
        Fact::KeypadReset(fact) => Form::KeypadReset(fact.to_wire()),
        Fact::SlotBound(fact) => Form::SlotBound(fact.to_wire()),
        Fact::Sealed(fact) => Form::Sealed(fact.to_wire()),
        Fact::KeyChanged(fact) => Form::KeyChanged(fact.to_wire()),
        Fact::StateCarried(fact) => Form::StateCarried(fact.to_wire()),
    }
}

pub(crate) fn fact_from_wire(form: Form) -> Result<Fact, Malformed> {
    Ok(match form {
        Form::StreamOpened(form) => Fact::StreamOpened(Wire::from_wire(form)?),
        Form::Booted(form) => Fact::Booted(Wire::from_wire(form)?),
        Form::GrantAccepted(form) => Fact::GrantAccepted(Wire::from_wire(form)?),
        Form::GrantRefused(form) => Fact::GrantRefused(Wire::from_wire(form)?),
        Form::LayoutAccepted(form) => config::without_epoch(ConfigDocument::Layout, form)?,
        Form::KeySetAccepted(form) => config::without_epoch(ConfigDocument::KeySet, form)?,
        Form::ConfigRefused(form) => Fact::ConfigRefused(Wire::from_wire(form)?),
        Form::SessionStarted(form) => Fact::SessionStarted(Wire::from_wire(form)?),
        Form::SessionEnded(form) => Fact::SessionEnded(Wire::from_wire(form)?),
        Form::DepositStarted(form) => Fact::DepositStarted(Wire::from_wire(form)?),
        Form::DepositMisfit(form) => Fact::DepositMisfit(Wire::from_wire(form)?),
        Form::DepositAborted(form) => Fact::DepositAborted(Wire::from_wire(form)?),
        Form::DepositConfirmed(form) => Fact::DepositConfirmed(Wire::from_wire(form)?),
        Form::PickupStarted(form) => Fact::PickupStarted(Wire::from_wire(form)?),
        Form::PickupSettled(form) => Fact::PickupSettled(Wire::from_wire(form)?),
        Form::PulseIntended(form) => Fact::PulseIntended(Wire::from_wire(form)?),
        Form::PulseSettled(form) => Fact::PulseSettled(Wire::from_wire(form)?),
        Form::DoorMoved(form) => Fact::DoorMoved(Wire::from_wire(form)?),
        Form::DoorsRead(form) => Fact::DoorsRead(Wire::from_wire(form)?),
        Form::BoardChanged(form) => Fact::BoardChanged(Wire::from_wire(form)?),
        Form::ModeAccepted(form) => config::without_epoch(ConfigDocument::Mode, form)?,
        Form::QuotaAccepted(form) => config::without_epoch(ConfigDocument::Quota, form)?,
        Form::CompartmentReserved(form) => Fact::CompartmentReserved(Wire::from_wire(form)?),
        Form::RecallStarted(form) => Fact::RecallStarted(Wire::from_wire(form)?),
        Form::RecallSettled(form) => Fact::RecallSettled(Wire::from_wire(form)?),
        Form::InspectionStarted(form) => Fact::InspectionStarted(Wire::from_wire(form)?),
        Form::InspectionSettled(form) => Fact::InspectionSettled(Wire::from_wire(form)?),
        Form::BookingLapsed(form) => Fact::BookingLapsed(Wire::from_wire(form)?),
        Form::KeepLapsed(form) => Fact::KeepLapsed(Wire::from_wire(form)?),
        Form::Alarm(form) => Fact::Alarm(Wire::from_wire(form)?),
        Form::LockdownBegan(form) => Fact::LockdownBegan(Wire::from_wire(form)?),
        Form::LockdownLiftAsked(form) => Fact::LockdownLiftAsked(Wire::from_wire(form)?),
        Form::LockdownLifted(form) => Fact::LockdownLifted(Wire::from_wire(form)?),
        Form::BoardReset(form) => Fact::BoardReset(Wire::from_wire(form)?),
        Form::PowerChanged(form) => Fact::PowerChanged(Wire::from_wire(form)?),
        Form::CommandAnswered(form) => Fact::CommandAnswered(Wire::from_wire(form)?),
        Form::CodeTyped(form) => Fact::CodeTyped(Wire::from_wire(form)?),
        Form::KeypadReset(form) => Fact::KeypadReset(Wire::from_wire(form)?),
        Form::ConfigAccepted(form) => Fact::ConfigAccepted(Wire::from_wire(form)?),
        Form::SlotBound(form) => Fact::SlotBound(Wire::from_wire(form)?),
        Form::Sealed(form) => Fact::Sealed(Wire::from_wire(form)?),
        Form::KeyChanged(form) => Fact::KeyChanged(Wire::from_wire(form)?),
        Form::StateCarried(form) => Fact::StateCarried(Wire::from_wire(form)?),
    })
}

impl Wire for Booted {
    type Form = wire::Booted;

    fn to_wire(&self) -> Self::Form {
        wire::Booted {
            boot_id: self.boot.0.to_vec(),
            boot_count: self.boot_count,
            agent_version: self.agent_version.clone(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            boot: convert::id("Booted.boot_id", &form.boot_id)?,
            boot_count: form.boot_count,
            agent_version: form.agent_version,
        })
    }
}

impl Wire for GrantAccepted {
    type Form = wire::GrantAccepted;

    fn to_wire(&self) -> Self::Form {
        let (position, grant) = (self.position.to_wire(), self.grant.to_wire());
        wire::GrantAccepted { position: Some(position), grant: Some(grant) }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            position: required("GrantAccepted.position", form.position)?,
            grant: required("GrantAccepted.grant", form.grant)?,
        })
    }
}

impl Wire for GrantRefused {
    type Form = wire::GrantRefused;

    fn to_wire(&self) -> Self::Form {
        wire::GrantRefused {
            position: Some(self.position.to_wire()),
            parcel_id: self.parcel.map(|id| id.0.to_vec()).unwrap_or_default(),
            reason: self.reason.number(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            position: required("GrantRefused.position", form.position)?,
            parcel: convert::maybe_id("GrantRefused.parcel_id", &form.parcel_id)?,
            reason: choice("GrantRefused.reason", form.reason)?,
        })
    }
}

impl Wire for CompartmentReserved {
    type Form = wire::CompartmentReserved;

    fn to_wire(&self) -> Self::Form {
        wire::CompartmentReserved {
            parcel_id: self.parcel.0.to_vec(),
            compartment: self.compartment.0.into(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            parcel: convert::id("CompartmentReserved.parcel_id", &form.parcel_id)?,
            compartment: convert::compartment("CompartmentReserved.compartment", form.compartment)?,
        })
    }
}

same_names!(
    GrantRefusal,
    wire::GrantRefusal,
    Stale,
    TooLate,
    UnknownParcel,
    BarcodeTaken,
    NoRoom,
    CredentialTaken,
    NotInside,
    TooMany
);
