//! Parcels and what opens their compartments, in wire form.

use locker_core::credential::{Credential, CredentialState, Holder};
use locker_core::ids::Version;
use locker_core::parcel::{Parcel, ParcelState};
use locker_core::units::{Grams, UnixMillis};

use crate::convert::{self, Wire, WireEnum, choice, maybe_choice, present, required, same_names};
use crate::malformed::{FieldProblem, Malformed};
use crate::wire::journal::v1 as wire;
use crate::wire::journal::v1::parcel::Phase;

impl Wire for Parcel {
    type Form = wire::Parcel;

    fn to_wire(&self) -> Self::Form {
        let form = wire::Parcel {
            parcel_id: self.id.0.to_vec(),
            carrier: self.carrier.as_str().to_owned(),
            barcode: self.barcode.as_str().to_owned(),
            size: Some(self.size.to_wire()),
            weight_g: self.weight.0,
            version: self.version.0,
            credential_id: self.credential.0.to_vec(),
            traceparent: convert::trace_to_wire(self.trace.as_ref()),
            terms: convert::unless_default(&self.terms),
            recall: self.recall.map_or(wire::RecallReason::Unspecified.into(), WireEnum::number),
            misfit_mm3: self.misfit_mm3,
            ..wire::Parcel::default()
        };
        with_state(form, self.state)
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            id: convert::id("Parcel.parcel_id", &form.parcel_id)?,
            carrier: convert::text("Parcel.carrier", &form.carrier)?,
            barcode: convert::text("Parcel.barcode", &form.barcode)?,
            state: state(&form)?,
            size: required("Parcel.size", form.size)?,
            weight: Grams(form.weight_g),
            version: Version(form.version),
            credential: convert::id("Parcel.credential_id", &form.credential_id)?,
            trace: convert::trace("Parcel.traceparent", &form.traceparent)?,
            terms: convert::or_default(form.terms)?,
            recall: maybe_choice("Parcel.recall", form.recall)?,
            misfit_mm3: form.misfit_mm3,
        })
    }
}

/// `form` with the fields that `state` uses; the others stay empty.
fn with_state(form: wire::Parcel, state: ParcelState) -> wire::Parcel {
    let phase = |phase: Phase| phase.into();
    match state {
        ParcelState::Booked => wire::Parcel { phase: phase(Phase::Booked), ..form },
        ParcelState::Depositing { session, compartment } => wire::Parcel {
            phase: phase(Phase::Depositing),
            session_id: session.0.to_vec(),
            compartment: compartment.0.into(),
            ..form
        },
        ParcelState::Stored { compartment, since } => wire::Parcel {
            phase: phase(Phase::Stored),
            compartment: compartment.0.into(),
            at_ms: since.0,
            ..form
        },
        ParcelState::Collecting { session, compartment, since } => wire::Parcel {
            phase: phase(Phase::Collecting),
            session_id: session.0.to_vec(),
            compartment: compartment.0.into(),
            at_ms: since.0,
            ..form
        },
        ParcelState::Recalling { session, compartment, since } => wire::Parcel {
            phase: phase(Phase::Recalling),
            session_id: session.0.to_vec(),
            compartment: compartment.0.into(),
            at_ms: since.0,
            ..form
        },
        ParcelState::Collected { at } => settled(form, Phase::Collected, at),
        ParcelState::Cancelled { at } => settled(form, Phase::Cancelled, at),
        ParcelState::BookingExpired { at } => settled(form, Phase::BookingExpired, at),
        ParcelState::Recalled { at } => settled(form, Phase::Recalled, at),
        ParcelState::Missing { at } => settled(form, Phase::Missing, at),
        ParcelState::Unresolved { compartment } => wire::Parcel {
            phase: phase(Phase::Unresolved),
            compartment: compartment.0.into(),
            ..form
        },
    }
}

fn settled(form: wire::Parcel, phase: Phase, at: UnixMillis) -> wire::Parcel {
    wire::Parcel { phase: phase.into(), at_ms: at.0, ..form }
}

fn state(form: &wire::Parcel) -> Result<ParcelState, Malformed> {
    const PHASE: &str = "Parcel.phase";
    let unknown = FieldProblem::UnknownValue { value: form.phase };
    let phase = Phase::try_from(form.phase).map_err(|_| Malformed::field(PHASE, unknown))?;
    let session = || convert::id("Parcel.session_id", &form.session_id);
    let compartment = || convert::compartment("Parcel.compartment", form.compartment);
    let at = UnixMillis(form.at_ms);
    Ok(match phase {
        Phase::Unspecified => return present(PHASE, None),
        Phase::Booked => ParcelState::Booked,
        Phase::Depositing => {
            ParcelState::Depositing { session: session()?, compartment: compartment()? }
        }
        Phase::Stored => ParcelState::Stored { compartment: compartment()?, since: at },
        Phase::Collecting => {
            ParcelState::Collecting { session: session()?, compartment: compartment()?, since: at }
        }
        Phase::Recalling => {
            ParcelState::Recalling { session: session()?, compartment: compartment()?, since: at }
        }
        Phase::Collected => ParcelState::Collected { at },
        Phase::Cancelled => ParcelState::Cancelled { at },
        Phase::BookingExpired => ParcelState::BookingExpired { at },
        Phase::Recalled => ParcelState::Recalled { at },
        Phase::Missing => ParcelState::Missing { at },
        Phase::Unresolved => ParcelState::Unresolved { compartment: compartment()? },
    })
}

impl Wire for Credential {
    type Form = wire::Credential;

    fn to_wire(&self) -> Self::Form {
        let delegate_until_ms = match self.holder {
            Holder::Recipient => None,
            Holder::Delegate { until } => Some(until.0),
        };
        wire::Credential {
            credential_id: self.id.0.to_vec(),
            parcel_id: self.parcel.0.to_vec(),
            version: self.version.0,
            state: self.state.number(),
            delegate_until_ms,
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            id: convert::id("Credential.credential_id", &form.credential_id)?,
            parcel: convert::id("Credential.parcel_id", &form.parcel_id)?,
            version: Version(form.version),
            holder: form
                .delegate_until_ms
                .map_or(Holder::Recipient, |ms| Holder::Delegate { until: UnixMillis(ms) }),
            state: choice("Credential.state", form.state)?,
        })
    }
}

same_names!(
    CredentialState,
    wire::credential::State,
    Issued,
    Active,
    UsedPending,
    Consumed,
    Revoked,
    Superseded
);
