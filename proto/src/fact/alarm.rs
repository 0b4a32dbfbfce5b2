//! What a bank tells an operator and what it answers the hub, in wire form.

use locker_core::bank::{Alarm, CommandAnswer, CommandAnswered, OpenerKind};
use locker_core::bank::{PowerChanged, PowerSource};

use crate::convert::{self, Wire, WireEnum, choice, present, same_names};
use crate::malformed::{FieldProblem, Malformed};
use crate::wire::journal::v1 as wire;

impl Wire for Alarm {
    type Form = wire::Alarm;

    fn to_wire(&self) -> Self::Form {
        use wire::AlarmKind as Form;
        let of = |kind: Form| wire::Alarm { kind: kind.into(), ..wire::Alarm::default() };
        match *self {
            Self::DoorOpenTooLong(no) => {
                wire::Alarm { compartment: no.0.into(), ..of(Form::DoorOpenTooLong) }
            }
            Self::SensorDoubt(no) => {
                wire::Alarm { compartment: no.0.into(), ..of(Form::SensorDoubt) }
            }
            Self::BoardPower { board } => {
                wire::Alarm { board: board.into(), ..of(Form::BoardPower) }
            }
            Self::AddressClash { board } => {
                wire::Alarm { board: board.into(), ..of(Form::AddressClash) }
            }
            Self::TooManyOpenings(opener) => {
                wire::Alarm { opener: opener.number(), ..of(Form::TooManyOpenings) }
            }
            Self::KeypadClosed => of(Form::KeypadClosed),
            Self::Restarting => of(Form::Restarting),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        use wire::AlarmKind as Form;
        const KIND: &str = "Alarm.kind";
        let unknown = FieldProblem::UnknownValue { value: form.kind };
        let kind = Form::try_from(form.kind).map_err(|_| Malformed::field(KIND, unknown))?;
        let compartment = || convert::compartment("Alarm.compartment", form.compartment);
        let board = || convert::byte("Alarm.board", form.board);
        Ok(match kind {
            Form::Unspecified => return present(KIND, None),
            Form::DoorOpenTooLong => Self::DoorOpenTooLong(compartment()?),
            Form::SensorDoubt => Self::SensorDoubt(compartment()?),
            Form::BoardPower => Self::BoardPower { board: board()? },
            Form::AddressClash => Self::AddressClash { board: board()? },
            Form::TooManyOpenings => Self::TooManyOpenings(choice("Alarm.opener", form.opener)?),
            Form::KeypadClosed => Self::KeypadClosed,
            Form::Restarting => Self::Restarting,
        })
    }
}

impl Wire for PowerChanged {
    type Form = wire::PowerChanged;

    fn to_wire(&self) -> Self::Form {
        wire::PowerChanged { source: self.source.number() }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self { source: choice("PowerChanged.source", form.source)? })
    }
}

impl Wire for CommandAnswered {
    type Form = wire::CommandAnswered;

    fn to_wire(&self) -> Self::Form {
        wire::CommandAnswered { command_id: self.command.0.to_vec(), answer: self.answer.number() }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            command: convert::id("CommandAnswered.command_id", &form.command_id)?,
            answer: choice("CommandAnswered.answer", form.answer)?,
        })
    }
}

same_names!(PowerSource, wire::PowerSource, Mains, Battery);
same_names!(OpenerKind, wire::OpenerKind, Courier, Recipient, Staff, Remote);
same_names!(CommandAnswer, wire::CommandAnswer, Done, Expired, OtherConnection, NotUnderstood);
