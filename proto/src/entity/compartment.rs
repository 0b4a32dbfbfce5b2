//! A compartment's four fields in wire form.

use locker_core::compartment::QuarantineReason;
use locker_core::compartment::{Allocation, Compartment, Content, Door, Evidence, Health};
use locker_core::ids::IntentId;
use locker_core::units::UnixMillis;

use crate::convert::{self, Wire, WireEnum, choice, maybe_choice, present, required, same_names};
use crate::malformed::Malformed;
use crate::wire::journal::v1 as wire;
use crate::wire::journal::v1::allocation::{Allocation as Form, Free, Quarantine, Use};

impl Wire for Compartment {
    type Form = wire::Compartment;

    fn to_wire(&self) -> Self::Form {
        let (content_evidence, content_full) = match self.content {
            Content::Unknown => (wire::Evidence::Unspecified.into(), false),
            Content::Empty(evidence) => (evidence.number(), false),
            Content::Full(evidence) => (evidence.number(), true),
        };
        wire::Compartment {
            spec: Some(self.spec.to_wire()),
            allocation: Some(self.allocation.to_wire()),
            door: self.door.number(),
            content_evidence,
            content_full,
            health: self.health.number(),
            pulse: self.pulse.map(|intent| intent.0),
            pulsed_at_ms: self.pulsed_at.map(|at| at.0),
            sensor_doubt: self.sensor_doubt,
            open_too_long: self.open_too_long,
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        let evidence = maybe_choice("Compartment.content_evidence", form.content_evidence)?;
        let content = match (evidence, form.content_full) {
            (None, _) => Content::Unknown,
            (Some(evidence), false) => Content::Empty(evidence),
            (Some(evidence), true) => Content::Full(evidence),
        };
        Ok(Self {
            spec: required("Compartment.spec", form.spec)?,
            allocation: required("Compartment.allocation", form.allocation)?,
            door: choice("Compartment.door", form.door)?,
            content,
            health: choice("Compartment.health", form.health)?,
            pulse: form.pulse.map(IntentId),
            pulsed_at: form.pulsed_at_ms.map(UnixMillis),
            sensor_doubt: form.sensor_doubt,
            open_too_long: form.open_too_long,
        })
    }
}

impl Wire for Allocation {
    type Form = wire::Allocation;

    fn to_wire(&self) -> Self::Form {
        let allocation = match *self {
            Self::Free => Form::Free(Free {}),
            Self::Reserved { parcel } => Form::ReservedParcelId(parcel.0.to_vec()),
            Self::Depositing { session, parcel } => Form::Depositing(Use {
                session_id: session.0.to_vec(),
                parcel_id: parcel.0.to_vec(),
            }),
            Self::Occupied { parcel } => Form::OccupiedParcelId(parcel.0.to_vec()),
            Self::Collecting { session, parcel } => Form::Collecting(Use {
                session_id: session.0.to_vec(),
                parcel_id: parcel.0.to_vec(),
            }),
            Self::Recalling { session, parcel } => Form::Recalling(Use {
                session_id: session.0.to_vec(),
                parcel_id: parcel.0.to_vec(),
            }),
            Self::Quarantined { reason, parcel } => Form::Quarantined(Quarantine {
                reason: reason.number(),
                parcel_id: parcel.map(|id| id.0.to_vec()).unwrap_or_default(),
            }),
        };
        wire::Allocation { allocation: Some(allocation) }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        let session = |form: &Use| convert::id("Allocation.Use.session_id", &form.session_id);
        let parcel = |form: &Use| convert::id("Allocation.Use.parcel_id", &form.parcel_id);
        Ok(match present("Allocation.allocation", form.allocation)? {
            Form::Free(Free {}) => Self::Free,
            Form::ReservedParcelId(bytes) => {
                Self::Reserved { parcel: convert::id("Allocation.reserved_parcel_id", &bytes)? }
            }
            Form::Depositing(form) => {
                Self::Depositing { session: session(&form)?, parcel: parcel(&form)? }
            }
            Form::OccupiedParcelId(bytes) => {
                Self::Occupied { parcel: convert::id("Allocation.occupied_parcel_id", &bytes)? }
            }
            Form::Collecting(form) => {
                Self::Collecting { session: session(&form)?, parcel: parcel(&form)? }
            }
            Form::Recalling(form) => {
                Self::Recalling { session: session(&form)?, parcel: parcel(&form)? }
            }
            Form::Quarantined(form) => Self::Quarantined {
                reason: choice("Allocation.Quarantine.reason", form.reason)?,
                parcel: convert::maybe_id("Allocation.Quarantine.parcel_id", &form.parcel_id)?,
            },
        })
    }
}

impl WireEnum for Door {
    type Form = wire::DoorState;

    fn to_form(self) -> Self::Form {
        match self {
            Self::Unknown => wire::DoorState::Unspecified,
            Self::Closed => wire::DoorState::Closed,
            Self::Open => wire::DoorState::Open,
            Self::ForcedOpen => wire::DoorState::ForcedOpen,
        }
    }

    fn from_form(form: Self::Form) -> Option<Self> {
        Some(match form {
            wire::DoorState::Unspecified => Self::Unknown,
            wire::DoorState::Closed => Self::Closed,
            wire::DoorState::Open => Self::Open,
            wire::DoorState::ForcedOpen => Self::ForcedOpen,
        })
    }
}

same_names!(
    QuarantineReason,
    wire::QuarantineReason,
    DepositUnresolved,
    OpenedByNobody,
    DoorLeftOpen,
    Interrupted,
    LockFailed,
    FoundOccupied,
    FoundEmpty,
    WrongParcel,
    WrongDoor,
    InspectionUnfinished,
    HistoryLost
);
same_names!(Evidence, wire::Evidence, DoorCycle, Attested, Inspected);
same_names!(Health, wire::LockHealth, Ok, OpenFailed, Unreachable, Stopped);
