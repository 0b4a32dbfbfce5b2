//! What pulses and sensors leave behind, in wire form.

use locker_core::bank::{BoardChanged, DoorMoved, DoorsRead, OpeningClass, PulseIntended};
use locker_core::bank::{PulseOutcome, PulseSettled};
use locker_core::compartment::DoorReading;
use locker_core::ids::IntentId;

use crate::convert::{self, Wire, WireEnum, choice, maybe_choice, same_names};
use crate::malformed::{FieldProblem, Malformed};
use crate::wire::journal::v1 as wire;

impl Wire for PulseIntended {
    type Form = wire::PulseIntended;

    fn to_wire(&self) -> Self::Form {
        wire::PulseIntended {
            intent: self.intent.0,
            session_id: self.session.0.to_vec(),
            compartment: self.compartment.0.into(),
            parcel_id: self.parcel.map(|id| id.0.to_vec()).unwrap_or_default(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            intent: IntentId(form.intent),
            session: convert::id("PulseIntended.session_id", &form.session_id)?,
            compartment: convert::compartment("PulseIntended.compartment", form.compartment)?,
            parcel: convert::maybe_id("PulseIntended.parcel_id", &form.parcel_id)?,
        })
    }
}

impl Wire for PulseSettled {
    type Form = wire::PulseSettled;

    fn to_wire(&self) -> Self::Form {
        use wire::PulseOutcome as Form;
        let (outcome, after_ms) = match self.outcome {
            PulseOutcome::Opened { after_ms } => (Form::Opened, after_ms),
            PulseOutcome::NotOpened => (Form::NotOpened, 0),
            PulseOutcome::AlreadyOpen => (Form::AlreadyOpen, 0),
            PulseOutcome::Unknown => (Form::Unknown, 0),
            PulseOutcome::NotSent => (Form::NotSent, 0),
            PulseOutcome::Recovered => (Form::Recovered, 0),
        };
        wire::PulseSettled {
            intent: self.intent.0,
            compartment: self.compartment.0.into(),
            outcome: outcome.into(),
            after_ms,
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        use wire::PulseOutcome as Form;
        const OUTCOME: &str = "PulseSettled.outcome";
        let unknown = FieldProblem::UnknownValue { value: form.outcome };
        let kind = Form::try_from(form.outcome).map_err(|_| Malformed::field(OUTCOME, unknown))?;
        let outcome = match kind {
            Form::Unspecified => return Err(Malformed::field(OUTCOME, FieldProblem::Missing)),
            Form::Opened => PulseOutcome::Opened { after_ms: form.after_ms },
            Form::NotOpened => PulseOutcome::NotOpened,
            Form::AlreadyOpen => PulseOutcome::AlreadyOpen,
            Form::Unknown => PulseOutcome::Unknown,
            Form::NotSent => PulseOutcome::NotSent,
            Form::Recovered => PulseOutcome::Recovered,
        };
        Ok(Self {
            intent: IntentId(form.intent),
            compartment: convert::compartment("PulseSettled.compartment", form.compartment)?,
            outcome,
        })
    }
}

impl Wire for DoorMoved {
    type Form = wire::DoorMoved;

    fn to_wire(&self) -> Self::Form {
        wire::DoorMoved {
            compartment: self.compartment.0.into(),
            reading: self.reading.number(),
            cause: self.cause.map(|intent| intent.0),
            class: self.class.map_or(wire::OpeningClass::Unspecified.into(), WireEnum::number),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            compartment: convert::compartment("DoorMoved.compartment", form.compartment)?,
            reading: choice("DoorMoved.reading", form.reading)?,
            cause: form.cause.map(IntentId),
            class: maybe_choice("DoorMoved.class", form.class)?,
        })
    }
}

impl Wire for DoorsRead {
    type Form = wire::DoorsRead;

    fn to_wire(&self) -> Self::Form {
        let level = |(no, reading): &(_, DoorReading)| {
            let locker_core::ids::CompartmentNo(no) = *no;
            wire::DoorLevel { compartment: no.into(), reading: reading.number() }
        };
        wire::DoorsRead { readings: self.readings.iter().map(level).collect() }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        let level = |level: &wire::DoorLevel| {
            let no = convert::compartment("DoorLevel.compartment", level.compartment)?;
            Ok((no, choice("DoorLevel.reading", level.reading)?))
        };
        Ok(Self { readings: form.readings.iter().map(level).collect::<Result<_, _>>()? })
    }
}

impl Wire for BoardChanged {
    type Form = wire::BoardChanged;

    fn to_wire(&self) -> Self::Form {
        wire::BoardChanged { board: self.board.into(), online: self.online }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        let board = convert::byte("BoardChanged.board", form.board)?;
        Ok(Self { board, online: form.online })
    }
}

same_names!(DoorReading, wire::DoorReading, Closed, Open);
same_names!(OpeningClass, wire::OpeningClass, Forced, Sympathetic, Late, CableFault, AddressClash);
