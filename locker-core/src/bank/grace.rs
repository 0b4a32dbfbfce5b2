//! A recipient who took the parcel and walked off a step has forgotten something: for a while the same
//! code opens the same compartment again. The parcel stays collected and the code used up; what is
//! opened is an empty compartment that is nobody's meanwhile, and that is free again only once its door
//! was seen shut.

use super::{Finding, InspectionStarted, Moment, OpenerKind, SessionStarted, Step};
use super::{ended, gate, inspection};
use crate::compartment::{Allocation, Compartment, Health};
use crate::credential::CredentialState;
use crate::fact::Fact;
use crate::ids::{CredentialId, ParcelId};
use crate::journal::View;
use crate::policy::GRACE_MS;
use crate::refusal::Refusal;
use crate::session::{Actor, Opening, Phase, Session, SessionEnd, Task};

/// What `credential` may look into once more: the compartment that it emptied a moment ago, if nobody
/// was given it since and it is known to be empty.
pub(super) fn left_behind(
    view: &impl View,
    credential: CredentialId,
    at: Moment<'_>,
) -> Option<(ParcelId, Compartment)> {
    let last = view.meta().last_pickup.filter(|last| last.credential == credential)?;
    let used = view.credential(credential)?.state == CredentialState::Consumed;
    // A clock that was set back must not give more time than a clock that was not.
    let soon = at.now < last.until && at.now >= last.until.minus_ms(GRACE_MS);
    let held = view.compartment(last.compartment)?;
    let works = match held.health {
        Health::Ok | Health::OpenFailed => true,
        Health::Unreachable | Health::Stopped => false,
    };
    let free = held.allocation == Allocation::Free;
    (used && soon && works && free).then_some((last.parcel, held))
}

/// Opens it. `facts` come first.
pub(super) fn start(
    view: &impl View,
    credential: CredentialId,
    mut facts: Vec<Fact>,
    (parcel, held): (ParcelId, Compartment),
    at: Moment<'_>,
) -> Result<Step, Refusal> {
    if let Some(refused) = gate(view, OpenerKind::Recipient, at)? {
        return Ok(refused);
    }
    let (session, compartment) = (at.fresh_session, held.spec.no);
    let actor = Actor::Recipient { credential };
    facts.push(Fact::SessionStarted(SessionStarted { session, actor }));
    facts.push(Fact::InspectionStarted(InspectionStarted { session, compartment }));
    Ok(Step::of(facts).open(view, session, held.spec, None).traced(view, parcel))
}

/// Whether it is a recipient who looks: nobody is there to say more once that is over.
pub(super) const fn looks(session: &Session) -> bool {
    matches!((&session.actor, &session.task), (Actor::Recipient { .. }, Task::Inspection(_)))
}

/// What the recipient says once the door is shut: nothing is inside, or something is.
pub(super) fn said(session: &Session, opening: &Opening, empty: bool) -> Result<Step, Refusal> {
    match opening.phase {
        Phase::Shut => {}
        Phase::Open => return Err(Refusal::DoorOpen),
        Phase::Opening | Phase::Stuck => return Err(Refusal::NotNow),
    }
    let finding = if empty { Finding::Empty } else { Finding::Unfinished };
    let settled = inspection::settled(session.id, opening, finding);
    Ok(Step::of([settled, ended(session.id, SessionEnd::Finished)]))
}

/// The recipient walked away: from a door that was seen shut as after a pickup.
pub(super) const fn left(session: &Session, opening: &Opening) -> Fact {
    match opening.phase {
        Phase::Shut => inspection::settled(session.id, opening, Finding::Empty),
        Phase::Opening | Phase::Stuck | Phase::Open => inspection::unfinished(session.id, opening),
    }
}
