//! What happened at the keypad, in wire form.

use locker_core::bank::{BoundCode, CodeTyped, KeypadReset, SlotBound};
use locker_core::clock::ClockInterval;
use locker_core::code::budget::{Now, Verdict};
use locker_core::units::UnixMillis;

use crate::convert::{self, Wire, WireEnum, choice, same_names};
use crate::malformed::Malformed;
use crate::wire::journal::v1 as wire;

impl Wire for CodeTyped {
    type Form = wire::CodeTyped;

    fn to_wire(&self) -> Self::Form {
        let Now { clock, boot, uptime_ms } = self.now;
        wire::CodeTyped {
            suffix_tag: convert::suffix_to_wire(self.suffix),
            verdict: self.verdict.number(),
            earliest_ms: clock.earliest.0,
            latest_ms: clock.latest.map(|latest| latest.0),
            boot_id: boot.0.to_vec(),
            uptime_ms,
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        let latest = form.latest_ms.map(UnixMillis);
        let clock = ClockInterval { earliest: UnixMillis(form.earliest_ms), latest };
        let boot = convert::id("CodeTyped.boot_id", &form.boot_id)?;
        Ok(Self {
            suffix: convert::maybe_suffix("CodeTyped.suffix_tag", &form.suffix_tag)?,
            verdict: choice("CodeTyped.verdict", form.verdict)?,
            now: Now { clock, boot, uptime_ms: form.uptime_ms },
        })
    }
}

impl Wire for KeypadReset {
    type Form = wire::KeypadReset;

    fn to_wire(&self) -> Self::Form {
        wire::KeypadReset { badge_id: self.badge.0.to_vec() }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self { badge: convert::id("KeypadReset.badge_id", &form.badge_id)? })
    }
}

impl Wire for SlotBound {
    type Form = wire::SlotBound;

    fn to_wire(&self) -> Self::Form {
        wire::SlotBound {
            parcel_id: self.parcel.0.to_vec(),
            slot_id: self.code.slot.0.to_vec(),
            sealed: self.code.sealed.as_bytes().to_vec(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            parcel: convert::id("SlotBound.parcel_id", &form.parcel_id)?,
            code: BoundCode {
                slot: convert::id("SlotBound.slot_id", &form.slot_id)?,
                sealed: convert::sealed("SlotBound.sealed", form.sealed)?,
            },
        })
    }
}

/// The slot's id and its sealed digits, which are there both or neither.
pub(super) fn bound_to_wire(code: Option<&BoundCode>) -> (Vec<u8>, Vec<u8>) {
    code.map(|code| (code.slot.0.to_vec(), code.sealed.as_bytes().to_vec())).unwrap_or_default()
}

pub(super) fn bound(slot_id: &[u8], sealed: Vec<u8>) -> Result<Option<BoundCode>, Malformed> {
    if slot_id.is_empty() && sealed.is_empty() {
        return Ok(None);
    }
    let slot = convert::id("DepositConfirmed.slot_id", slot_id)?;
    let sealed = convert::sealed("DepositConfirmed.sealed", sealed)?;
    Ok(Some(BoundCode { slot, sealed }))
}

same_names!(Verdict, wire::CodeVerdict, Right, Spent, Wrong);
