//! Six digits instead of a QR code. Wrong ones are counted, durably, before they are answered, and the
//! answer never says what was wrong.

use super::{Alarm, CodeTyped, KeypadReset, Moment, Step, make_way, pickup, staff};
use crate::code::budget::{self, Closed, Decision, Entry, Now, Verdict};
use crate::code::second_factor::{SuffixTag, fits};
use crate::code::slot;
use crate::code::tag::Tag;
use crate::fact::Fact;
use crate::journal::View;
use crate::parcel::{Parcel, ParcelState};
use crate::refusal::Refusal;

/// What was typed, hashed.
#[derive(Clone, Copy, Debug)]
pub struct Typed {
    pub tag: Tag,
    pub suffix: Option<SuffixTag>,
    pub now: Now,
}

/// Whether the keypad takes a try at all. Ask before the digits are hashed, which is slow on
/// purpose.
///
/// # Errors
///
/// [`Refusal::KeypadWait`] or [`Refusal::KeypadClosed`], the same for right and wrong digits.
pub fn may_type(view: &impl View, suffix: Option<SuffixTag>, now: &Now) -> Result<(), Refusal> {
    budget::admit(&view.budget(), suffix, now).map_err(refusal)
}

/// Digits were typed: their parcel's compartment opens, or they are counted.
pub(super) fn typed(view: &impl View, typed: &Typed, at: Moment<'_>) -> Result<Step, Refusal> {
    // Somebody is being served: nothing is compared, so nothing is learned and nothing counted.
    let facts = make_way(view).map_err(|_| Refusal::SessionBusy)?;
    let parcel = parcel_of(view, typed);
    let verdict = parcel.as_ref().map_or(Verdict::Wrong, verdict);
    let &Typed { suffix, now, .. } = typed;
    let before = view.budget();
    let (decision, after) = budget::judge(&before, Entry::Keypad { suffix, verdict }, &now);
    let counted = Fact::CodeTyped(CodeTyped { suffix, verdict, now });
    match decision {
        Decision::Refused(closed) => Err(refusal(closed)),
        Decision::Spent => Err(Refusal::CodeUsed),
        Decision::Wrong { .. } => {
            let mut step = Step::of([counted]);
            if after.is_lockout() && !before.is_lockout() {
                step.facts.push(Fact::Alarm(Alarm::KeypadClosed));
            }
            step.refusal = Some(Refusal::CodeWrong);
            Ok(step)
        }
        Decision::Pass => {
            let parcel = parcel.ok_or(Refusal::CodeWrong)?;
            let counted = (after != before).then_some(counted);
            let facts = counted.into_iter().chain(facts).collect();
            pickup::start(view, parcel.credential, facts, at)
        }
    }
}

/// Staff opens the keypad again.
pub(super) fn reset(view: &impl View) -> Result<Step, Refusal> {
    let (_, badge) = staff(view)?;
    Ok(Step::of([Fact::KeypadReset(KeypadReset { badge })]))
}

/// The parcel whose digits these are, if the second factor fits, too.
fn parcel_of(view: &impl View, typed: &Typed) -> Option<Parcel> {
    let slots = view.slots();
    let live = slots.iter().map(|held| (held.slot.id, &held.slot.tag));
    let found = slot::find(&typed.tag, live)?;
    let held = slots.iter().find(|held| held.slot.id == found)?;
    let parcel = view.parcel(held.parcel?)?;
    fits(parcel.terms.suffix, typed.suffix).then_some(parcel)
}

fn verdict(parcel: &Parcel) -> Verdict {
    match parcel.state {
        ParcelState::Stored { .. }
        | ParcelState::Collecting { .. }
        | ParcelState::Recalling { .. }
        | ParcelState::Unresolved { .. }
        | ParcelState::Missing { .. } => Verdict::Right,
        ParcelState::Collected { .. } | ParcelState::Recalled { .. } => Verdict::Spent,
        ParcelState::Booked
        | ParcelState::Depositing { .. }
        | ParcelState::Cancelled { .. }
        | ParcelState::BookingExpired { .. } => Verdict::Wrong,
    }
}

const fn refusal(closed: Closed) -> Refusal {
    match closed {
        Closed::Wait { .. } => Refusal::KeypadWait,
        Closed::SuffixUsedUp | Closed::AloneUsedUp | Closed::Lockout => Refusal::KeypadClosed,
    }
}
