//! Only staff may open doors: how that begins, and how two people end it. And a board that was
//! stopped, which staff put back.

use super::{BoardReset, LockdownBegan, LockdownLiftAsked, LockdownLifted, LockdownReason};
use super::{Step, staff};
use crate::compartment::Health;
use crate::fact::Fact;
use crate::journal::View;
use crate::refusal::Refusal;

/// Staff locks the bank down.
pub(super) fn begin(view: &impl View) -> Result<Step, Refusal> {
    staff(view)?;
    if view.meta().lockdown.is_some() {
        return Err(Refusal::LockedDown);
    }
    let reason = LockdownReason::Staff;
    Ok(Step::of([Fact::LockdownBegan(LockdownBegan { reason })]))
}

/// The first person asks, a second one agrees.
pub(super) fn lift(view: &impl View) -> Result<Step, Refusal> {
    let (_, second) = staff(view)?;
    let lockdown = view.meta().lockdown.ok_or(Refusal::NotNow)?;
    let fact = match lockdown.lift_asked_by {
        None => Fact::LockdownLiftAsked(LockdownLiftAsked { badge: second }),
        Some(first) if first == second => return Err(Refusal::SecondPerson),
        Some(first) => Fact::LockdownLifted(LockdownLifted { first, second }),
    };
    Ok(Step::of([fact]))
}

/// Puts a stopped board back into service.
pub(super) fn reset_board(view: &impl View, board: u8) -> Result<Step, Refusal> {
    let (_, badge) = staff(view)?;
    let stopped = |held: &crate::compartment::Compartment| {
        held.spec.lock.board == board && held.health == Health::Stopped
    };
    if !view.compartments().iter().any(stopped) {
        return Err(Refusal::NotNow);
    }
    Ok(Step::of([Fact::BoardReset(BoardReset { board, badge })]))
}
