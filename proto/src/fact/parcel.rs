//! What people at the screen leave behind, in wire form.

use locker_core::bank::{AbortedContent, DepositAborted, DepositConfirmed, DepositMisfit};
use locker_core::bank::{BookingLapsed, KeepLapsed, SessionEnded, SessionStarted};
use locker_core::bank::{DepositStarted, PickupEnd, PickupSettled, PickupStarted};
use locker_core::session::SessionEnd;

use super::code::{bound, bound_to_wire};
use crate::convert::{self, Wire, WireEnum, choice, maybe_choice, required, same_names};
use crate::malformed::{FieldProblem, Malformed};
use crate::wire::journal::v1 as wire;

impl Wire for SessionStarted {
    type Form = wire::SessionStarted;

    fn to_wire(&self) -> Self::Form {
        let actor = self.actor.to_wire();
        wire::SessionStarted { session_id: self.session.0.to_vec(), actor: Some(actor) }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            session: convert::id("SessionStarted.session_id", &form.session_id)?,
            actor: required("SessionStarted.actor", form.actor)?,
        })
    }
}

impl Wire for SessionEnded {
    type Form = wire::SessionEnded;

    fn to_wire(&self) -> Self::Form {
        wire::SessionEnded { session_id: self.session.0.to_vec(), end: self.end.number() }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            session: convert::id("SessionEnded.session_id", &form.session_id)?,
            end: choice("SessionEnded.end", form.end)?,
        })
    }
}

impl Wire for DepositStarted {
    type Form = wire::DepositStarted;

    fn to_wire(&self) -> Self::Form {
        wire::DepositStarted {
            session_id: self.session.0.to_vec(),
            parcel_id: self.parcel.0.to_vec(),
            compartment: self.compartment.0.into(),
            tried: convert::compartments_to_wire(&self.tried),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            session: convert::id("DepositStarted.session_id", &form.session_id)?,
            parcel: convert::id("DepositStarted.parcel_id", &form.parcel_id)?,
            compartment: convert::compartment("DepositStarted.compartment", form.compartment)?,
            tried: convert::compartments("DepositStarted.tried", &form.tried)?,
        })
    }
}

impl Wire for DepositMisfit {
    type Form = wire::DepositMisfit;

    fn to_wire(&self) -> Self::Form {
        wire::DepositMisfit {
            session_id: self.session.0.to_vec(),
            parcel_id: self.parcel.0.to_vec(),
            compartment: self.compartment.0.into(),
            gave_up: self.gave_up,
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            session: convert::id("DepositMisfit.session_id", &form.session_id)?,
            parcel: convert::id("DepositMisfit.parcel_id", &form.parcel_id)?,
            compartment: convert::compartment("DepositMisfit.compartment", form.compartment)?,
            gave_up: form.gave_up,
        })
    }
}

impl Wire for DepositAborted {
    type Form = wire::DepositAborted;

    fn to_wire(&self) -> Self::Form {
        use wire::AbortedContent as Form;
        let unspecified = wire::QuarantineReason::Unspecified.into();
        let (content_unknown, content) = match self.content {
            AbortedContent::Untouched => (unspecified, Form::Unspecified),
            AbortedContent::Unknown(reason) => (reason.number(), Form::Unspecified),
            AbortedContent::TakenBack => (unspecified, Form::TakenBack),
            AbortedContent::Foreign => (unspecified, Form::Foreign),
        };
        wire::DepositAborted {
            session_id: self.session.0.to_vec(),
            parcel_id: self.parcel.0.to_vec(),
            compartment: self.compartment.0.into(),
            content_unknown,
            lock_failed: self.lock_failed,
            content: content.into(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            session: convert::id("DepositAborted.session_id", &form.session_id)?,
            parcel: convert::id("DepositAborted.parcel_id", &form.parcel_id)?,
            compartment: convert::compartment("DepositAborted.compartment", form.compartment)?,
            content: aborted_content(&form)?,
            lock_failed: form.lock_failed,
        })
    }
}

/// What the courier said goes before a reason not to know.
fn aborted_content(form: &wire::DepositAborted) -> Result<AbortedContent, Malformed> {
    use wire::AbortedContent as Form;
    let unknown = FieldProblem::UnknownValue { value: form.content };
    let content = Form::try_from(form.content)
        .map_err(|_| Malformed::field("DepositAborted.content", unknown))?;
    let reason = maybe_choice("DepositAborted.content_unknown", form.content_unknown)?;
    Ok(match content {
        Form::Unspecified => reason.map_or(AbortedContent::Untouched, AbortedContent::Unknown),
        Form::TakenBack => AbortedContent::TakenBack,
        Form::Foreign => AbortedContent::Foreign,
    })
}

impl Wire for DepositConfirmed {
    type Form = wire::DepositConfirmed;

    fn to_wire(&self) -> Self::Form {
        let (slot_id, sealed) = bound_to_wire(self.code.as_ref());
        wire::DepositConfirmed {
            session_id: self.session.0.to_vec(),
            parcel_id: self.parcel.0.to_vec(),
            compartment: self.compartment.0.into(),
            presumed: self.presumed,
            slot_id,
            sealed,
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            session: convert::id("DepositConfirmed.session_id", &form.session_id)?,
            parcel: convert::id("DepositConfirmed.parcel_id", &form.parcel_id)?,
            compartment: convert::compartment("DepositConfirmed.compartment", form.compartment)?,
            presumed: form.presumed,
            code: bound(&form.slot_id, form.sealed)?,
        })
    }
}

impl Wire for PickupStarted {
    type Form = wire::PickupStarted;

    fn to_wire(&self) -> Self::Form {
        wire::PickupStarted {
            session_id: self.session.0.to_vec(),
            parcel_id: self.parcel.0.to_vec(),
            compartment: self.compartment.0.into(),
            credential_id: self.credential.0.to_vec(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            session: convert::id("PickupStarted.session_id", &form.session_id)?,
            parcel: convert::id("PickupStarted.parcel_id", &form.parcel_id)?,
            compartment: convert::compartment("PickupStarted.compartment", form.compartment)?,
            credential: convert::id("PickupStarted.credential_id", &form.credential_id)?,
        })
    }
}

impl Wire for PickupSettled {
    type Form = wire::PickupSettled;

    fn to_wire(&self) -> Self::Form {
        wire::PickupSettled {
            session_id: self.session.0.to_vec(),
            parcel_id: self.parcel.0.to_vec(),
            compartment: self.compartment.0.into(),
            end: self.end.number(),
            lock_failed: self.lock_failed,
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            session: convert::id("PickupSettled.session_id", &form.session_id)?,
            parcel: convert::id("PickupSettled.parcel_id", &form.parcel_id)?,
            compartment: convert::compartment("PickupSettled.compartment", form.compartment)?,
            end: choice("PickupSettled.end", form.end)?,
            lock_failed: form.lock_failed,
        })
    }
}

impl WireEnum for PickupEnd {
    type Form = wire::PickupEnd;

    fn to_form(self) -> Self::Form {
        match self {
            Self::Collected { presumed: false } => wire::PickupEnd::Collected,
            Self::Collected { presumed: true } => wire::PickupEnd::CollectedPresumed,
            Self::CollectedDoorOpen => wire::PickupEnd::CollectedDoorOpen,
            Self::NotTaken => wire::PickupEnd::NotTaken,
            Self::NotOpened => wire::PickupEnd::NotOpened,
            Self::Interrupted => wire::PickupEnd::Interrupted,
            Self::Unconfirmed => wire::PickupEnd::Unconfirmed,
            Self::Refused => wire::PickupEnd::Refused,
            Self::FoundEmpty => wire::PickupEnd::FoundEmpty,
            Self::WrongParcel => wire::PickupEnd::WrongParcel,
        }
    }

    fn from_form(form: Self::Form) -> Option<Self> {
        Some(match form {
            wire::PickupEnd::Unspecified => return None,
            wire::PickupEnd::Collected => Self::Collected { presumed: false },
            wire::PickupEnd::CollectedPresumed => Self::Collected { presumed: true },
            wire::PickupEnd::CollectedDoorOpen => Self::CollectedDoorOpen,
            wire::PickupEnd::NotTaken => Self::NotTaken,
            wire::PickupEnd::NotOpened => Self::NotOpened,
            wire::PickupEnd::Interrupted => Self::Interrupted,
            wire::PickupEnd::Unconfirmed => Self::Unconfirmed,
            wire::PickupEnd::Refused => Self::Refused,
            wire::PickupEnd::FoundEmpty => Self::FoundEmpty,
            wire::PickupEnd::WrongParcel => Self::WrongParcel,
        })
    }
}

impl Wire for BookingLapsed {
    type Form = wire::BookingLapsed;

    fn to_wire(&self) -> Self::Form {
        wire::BookingLapsed { parcel_id: self.parcel.0.to_vec() }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self { parcel: convert::id("BookingLapsed.parcel_id", &form.parcel_id)? })
    }
}

impl Wire for KeepLapsed {
    type Form = wire::KeepLapsed;

    fn to_wire(&self) -> Self::Form {
        wire::KeepLapsed { parcel_id: self.parcel.0.to_vec() }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self { parcel: convert::id("KeepLapsed.parcel_id", &form.parcel_id)? })
    }
}

same_names!(SessionEnd, wire::SessionEnd, Finished, Left, Interrupted);
