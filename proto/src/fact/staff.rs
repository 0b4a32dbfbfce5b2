//! What couriers and staff leave behind who take out what must not stay, or look what is inside, in wire form.

use locker_core::bank::{BoardReset, Finding, InspectionSettled, InspectionStarted};
use locker_core::bank::{LockdownBegan, LockdownLiftAsked, LockdownLifted, LockdownReason};
use locker_core::bank::{RecallEnd, RecallSettled, RecallStarted};

use crate::convert::{self, Wire, WireEnum, choice, present, same_names};
use crate::malformed::{FieldProblem, Malformed};
use crate::wire::journal::v1 as wire;

impl Wire for RecallStarted {
    type Form = wire::RecallStarted;

    fn to_wire(&self) -> Self::Form {
        wire::RecallStarted {
            session_id: self.session.0.to_vec(),
            parcel_id: self.parcel.0.to_vec(),
            compartment: self.compartment.0.into(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            session: convert::id("RecallStarted.session_id", &form.session_id)?,
            parcel: convert::id("RecallStarted.parcel_id", &form.parcel_id)?,
            compartment: convert::compartment("RecallStarted.compartment", form.compartment)?,
        })
    }
}

impl Wire for RecallSettled {
    type Form = wire::RecallSettled;

    fn to_wire(&self) -> Self::Form {
        wire::RecallSettled {
            session_id: self.session.0.to_vec(),
            parcel_id: self.parcel.0.to_vec(),
            compartment: self.compartment.0.into(),
            end: self.end.number(),
            lock_failed: self.lock_failed,
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            session: convert::id("RecallSettled.session_id", &form.session_id)?,
            parcel: convert::id("RecallSettled.parcel_id", &form.parcel_id)?,
            compartment: convert::compartment("RecallSettled.compartment", form.compartment)?,
            end: choice("RecallSettled.end", form.end)?,
            lock_failed: form.lock_failed,
        })
    }
}

impl Wire for InspectionStarted {
    type Form = wire::InspectionStarted;

    fn to_wire(&self) -> Self::Form {
        wire::InspectionStarted {
            session_id: self.session.0.to_vec(),
            compartment: self.compartment.0.into(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            session: convert::id("InspectionStarted.session_id", &form.session_id)?,
            compartment: convert::compartment("InspectionStarted.compartment", form.compartment)?,
        })
    }
}

impl Wire for InspectionSettled {
    type Form = wire::InspectionSettled;

    fn to_wire(&self) -> Self::Form {
        use wire::Finding as Form;
        let (finding, parcel) = match self.finding {
            Finding::NotOpened => (Form::NotOpened, None),
            Finding::Empty => (Form::Empty, None),
            Finding::Holds(parcel) => (Form::Holds, Some(parcel)),
            Finding::TakenOut(parcel) => (Form::TakenOut, Some(parcel)),
            Finding::HandedOver(parcel) => (Form::HandedOver, Some(parcel)),
            Finding::Unfinished => (Form::Unfinished, None),
        };
        wire::InspectionSettled {
            session_id: self.session.0.to_vec(),
            compartment: self.compartment.0.into(),
            finding: finding.into(),
            parcel_id: parcel.map(|id| id.0.to_vec()).unwrap_or_default(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            session: convert::id("InspectionSettled.session_id", &form.session_id)?,
            compartment: convert::compartment("InspectionSettled.compartment", form.compartment)?,
            finding: finding(&form)?,
        })
    }
}

fn finding(form: &wire::InspectionSettled) -> Result<Finding, Malformed> {
    use wire::Finding as Form;
    const FINDING: &str = "InspectionSettled.finding";
    let unknown = FieldProblem::UnknownValue { value: form.finding };
    let finding = Form::try_from(form.finding).map_err(|_| Malformed::field(FINDING, unknown))?;
    let parcel = || convert::id("InspectionSettled.parcel_id", &form.parcel_id);
    Ok(match finding {
        Form::Unspecified => return present(FINDING, None),
        Form::NotOpened => Finding::NotOpened,
        Form::Empty => Finding::Empty,
        Form::Holds => Finding::Holds(parcel()?),
        Form::TakenOut => Finding::TakenOut(parcel()?),
        Form::HandedOver => Finding::HandedOver(parcel()?),
        Form::Unfinished => Finding::Unfinished,
    })
}

impl Wire for LockdownBegan {
    type Form = wire::LockdownBegan;

    fn to_wire(&self) -> Self::Form {
        wire::LockdownBegan { reason: self.reason.number() }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self { reason: choice("LockdownBegan.reason", form.reason)? })
    }
}

impl Wire for LockdownLiftAsked {
    type Form = wire::LockdownLiftAsked;

    fn to_wire(&self) -> Self::Form {
        wire::LockdownLiftAsked { badge_id: self.badge.0.to_vec() }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self { badge: convert::id("LockdownLiftAsked.badge_id", &form.badge_id)? })
    }
}

impl Wire for LockdownLifted {
    type Form = wire::LockdownLifted;

    fn to_wire(&self) -> Self::Form {
        wire::LockdownLifted {
            first_badge_id: self.first.0.to_vec(),
            second_badge_id: self.second.0.to_vec(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            first: convert::id("LockdownLifted.first_badge_id", &form.first_badge_id)?,
            second: convert::id("LockdownLifted.second_badge_id", &form.second_badge_id)?,
        })
    }
}

impl Wire for BoardReset {
    type Form = wire::BoardReset;

    fn to_wire(&self) -> Self::Form {
        wire::BoardReset { board: self.board.into(), badge_id: self.badge.0.to_vec() }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            board: convert::byte("BoardReset.board", form.board)?,
            badge: convert::id("BoardReset.badge_id", &form.badge_id)?,
        })
    }
}

same_names!(RecallEnd, wire::RecallEnd, Removed, FoundEmpty, NotTaken, NotOpened, Interrupted);
same_names!(LockdownReason, wire::LockdownReason, TooManyOpenings, Ordered, Staff);
