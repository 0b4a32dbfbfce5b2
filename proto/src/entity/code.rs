//! Six-digit codes and how many wrong ones were answered, in wire form.

use std::collections::BTreeMap;

use locker_core::code::budget::{Budget, BudgetDay, WRONG_PER_DAY, Wait};
use locker_core::code::second_factor::SuffixTag;
use locker_core::code::slot::Slot;
use locker_core::code::tag::Tag;
use locker_core::journal::HeldSlot;

use crate::convert::{self, Wire, required};
use crate::malformed::{FieldProblem, Malformed};
use crate::wire::journal::v1 as wire;

impl Wire for Slot {
    type Form = wire::Slot;

    fn to_wire(&self) -> Self::Form {
        wire::Slot {
            slot_id: self.id.0.to_vec(),
            tag: self.tag.as_bytes().to_vec(),
            sealed: self.sealed.as_bytes().to_vec(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            id: convert::id("Slot.slot_id", &form.slot_id)?,
            tag: Tag::from_bytes(convert::exact("Slot.tag", &form.tag)?),
            sealed: convert::sealed("Slot.sealed", form.sealed)?,
        })
    }
}

impl Wire for HeldSlot {
    type Form = wire::HeldSlot;

    fn to_wire(&self) -> Self::Form {
        wire::HeldSlot {
            slot: Some(self.slot.to_wire()),
            parcel_id: self.parcel.map(|id| id.0.to_vec()).unwrap_or_default(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            slot: required("HeldSlot.slot", form.slot)?,
            parcel: convert::maybe_id("HeldSlot.parcel_id", &form.parcel_id)?,
        })
    }
}

impl Wire for Budget {
    type Form = wire::Budget;

    fn to_wire(&self) -> Self::Form {
        let count = |(suffix, wrong): (&SuffixTag, &u16)| wire::budget::SuffixCount {
            suffix_tag: suffix.0.to_vec(),
            wrong: (*wrong).into(),
        };
        wire::Budget {
            day: match self.day {
                BudgetDay::Undated => None,
                BudgetDay::Day(day) => Some(day),
            },
            wrong: self.wrong.into(),
            wrong_alone: self.wrong_alone.into(),
            by_suffix: self.by_suffix.iter().map(count).collect(),
            row: self.row.into(),
            wait: self.wait.as_ref().map(Wire::to_wire),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            day: form.day.map_or(BudgetDay::Undated, BudgetDay::Day),
            wrong: convert::short("Budget.wrong", form.wrong)?,
            wrong_alone: convert::short("Budget.wrong_alone", form.wrong_alone)?,
            by_suffix: by_suffix(form.by_suffix)?,
            row: convert::short("Budget.row", form.row)?,
            wait: form.wait.map(Wire::from_wire).transpose()?,
        })
    }
}

/// Each of them cost a wrong code, of which a day has only so many.
fn by_suffix(
    counts: Vec<wire::budget::SuffixCount>,
) -> Result<BTreeMap<SuffixTag, u16>, Malformed> {
    const BY_SUFFIX: &str = "Budget.by_suffix";
    let mut by_suffix = BTreeMap::new();
    for count in convert::at_most(BY_SUFFIX, counts, WRONG_PER_DAY.into())? {
        let suffix = SuffixTag(convert::exact("SuffixCount.suffix_tag", &count.suffix_tag)?);
        let wrong = convert::short("SuffixCount.wrong", count.wrong)?;
        if by_suffix.insert(suffix, wrong).is_some() {
            return Err(Malformed::field(BY_SUFFIX, FieldProblem::Repeated));
        }
    }
    Ok(by_suffix)
}

impl Wire for Wait {
    type Form = wire::budget::Wait;

    fn to_wire(&self) -> Self::Form {
        let &Self { boot, since_uptime_ms, wait_ms } = self;
        wire::budget::Wait { boot_id: boot.0.to_vec(), since_uptime_ms, wait_ms }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        let boot = convert::id("Wait.boot_id", &form.boot_id)?;
        Ok(Self { boot, since_uptime_ms: form.since_uptime_ms, wait_ms: form.wait_ms })
    }
}
