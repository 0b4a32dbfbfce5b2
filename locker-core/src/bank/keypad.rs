//! Six digits instead of a QR code. Wrong ones are counted, durably, before they are answered, and the
//! answer never says what was wrong.

use super::{Alarm, CodeTyped, KeypadReset, Moment, SessionStarted, Step};
use super::{grace, make_way, pickup, staff};
use crate::code::budget::{self, Closed, Decision, Entry, Now, Verdict};
use crate::code::second_factor::{SuffixTag, fits};
use crate::code::slot::{self, SlotId};
use crate::code::tag::Tag;
use crate::fact::Fact;
use crate::ids::CarrierId;
use crate::journal::View;
use crate::parcel::{Parcel, ParcelState};
use crate::refusal::Refusal;
use crate::session::{Actor, CourierProof};

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

/// Digits were typed: their parcel's compartment opens, their courier is signed in, or they are
/// counted.
pub(super) fn typed(view: &impl View, typed: &Typed, at: Moment<'_>) -> Result<Step, Refusal> {
    // Somebody is being served: nothing is compared, so nothing is learned and nothing counted.
    let facts = make_way(view).map_err(|_| Refusal::SessionBusy)?;
    let owner = owner_of(view, typed);
    let verdict = match &owner {
        None => Verdict::Wrong,
        Some(Owner::Parcel(parcel)) => {
            let again = grace::left_behind(view, parcel.credential, at).is_some();
            if again { Verdict::Right } else { verdict(parcel) }
        }
        Some(Owner::Courier { .. }) => Verdict::Right,
    };
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
            let owner = owner.ok_or(Refusal::CodeWrong)?;
            let counted = (after != before).then_some(counted);
            let mut facts: Vec<Fact> = counted.into_iter().chain(facts).collect();
            match owner {
                Owner::Parcel(parcel) => pickup::start(view, parcel.credential, facts, at),
                Owner::Courier { carrier, slot } => {
                    let proof = CourierProof::Keypad(slot);
                    let (session, actor) = (at.fresh_session, Actor::Courier { carrier, proof });
                    facts.push(Fact::SessionStarted(SessionStarted { session, actor }));
                    Ok(Step::of(facts))
                }
            }
        }
    }
}

/// Staff opens the keypad again.
pub(super) fn reset(view: &impl View) -> Result<Step, Refusal> {
    let (_, badge) = staff(view)?;
    Ok(Step::of([Fact::KeypadReset(KeypadReset { badge })]))
}

/// Whose digits were typed.
enum Owner {
    Parcel(Box<Parcel>),
    Courier { carrier: CarrierId, slot: SlotId },
}

/// Whose digits these are, if the second factor fits, too. A courier's code has none, and one that
/// does not sign in at this moment is nobody's: a code of tomorrow must not be told apart from one
/// that does not exist.
fn owner_of(view: &impl View, typed: &Typed) -> Option<Owner> {
    let (slots, couriers) = (view.slots(), view.courier_codes().codes);
    let recipients = slots.iter().map(|held| &held.slot);
    // All in one go, so that the time taken does not tell a courier's code from a recipient's.
    let live = recipients.chain(couriers.iter().map(|code| &code.slot));
    let found = slot::find(&typed.tag, live.map(|slot| (slot.id, &slot.tag)))?;
    if let Some(held) = slots.iter().find(|held| held.slot.id == found) {
        let parcel = view.parcel(held.parcel?)?;
        return fits(parcel.terms.suffix, typed.suffix).then(|| Owner::Parcel(Box::new(parcel)));
    }
    let code = couriers.iter().find(|code| code.slot.id == found)?;
    let carrier = code.signs_in(typed.now.clock).filter(|_| typed.suffix.is_none())?.clone();
    Some(Owner::Courier { carrier, slot: found })
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
