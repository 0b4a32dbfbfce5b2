//! Whoever is at the screen, in wire form.

use locker_core::ids::IntentId;
use locker_core::session::{Actor, CourierProof, Handover, Opening, Phase, Session, Task};
use locker_core::units::UnixMillis;

use crate::convert::{self, Wire, WireEnum, choice, present, required, same_names};
use crate::malformed::{FieldProblem, Malformed};
use crate::wire::journal::v1 as wire;
use crate::wire::journal::v1::actor::Actor as ActorForm;
use crate::wire::journal::v1::session::Task as TaskForm;

/// Nobody at the screen is an empty message.
impl Wire for Option<Session> {
    type Form = wire::Session;

    fn to_wire(&self) -> Self::Form {
        let Some(session) = self else { return wire::Session::default() };
        wire::Session {
            session_id: session.id.0.to_vec(),
            actor: Some(session.actor.to_wire()),
            task: match &session.task {
                Task::Idle => None,
                Task::Deposit(handover) => Some(TaskForm::Deposit(handover.to_wire())),
                Task::Pickup(handover) => Some(TaskForm::Pickup(handover.to_wire())),
                Task::Recall(handover) => Some(TaskForm::Recall(handover.to_wire())),
                Task::Inspection(opening) => Some(TaskForm::Inspection(opening.to_wire())),
            },
            moved_at_ms: session.moved_at.0,
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        if form == wire::Session::default() {
            return Ok(None);
        }
        Ok(Some(Session {
            id: convert::id("Session.session_id", &form.session_id)?,
            actor: required("Session.actor", form.actor)?,
            task: match form.task {
                None => Task::Idle,
                Some(TaskForm::Deposit(form)) => Task::Deposit(Handover::from_wire(form)?),
                Some(TaskForm::Pickup(form)) => Task::Pickup(Handover::from_wire(form)?),
                Some(TaskForm::Recall(form)) => Task::Recall(Handover::from_wire(form)?),
                Some(TaskForm::Inspection(form)) => Task::Inspection(Opening::from_wire(form)?),
            },
            moved_at: UnixMillis(form.moved_at_ms),
        }))
    }
}

impl Wire for Handover {
    type Form = wire::Handover;

    fn to_wire(&self) -> Self::Form {
        let opening = &self.opening;
        wire::Handover {
            parcel_id: self.parcel.0.to_vec(),
            compartment: opening.compartment.0.into(),
            intent: opening.intent.0,
            pulses: opening.pulses.into(),
            phase: opening.phase.number(),
            tried: convert::compartments_to_wire(&self.tried),
            reopened: opening.reopened.into(),
            opened_at_ms: opening.opened_at.map(|at| at.0),
            other_door: opening.other_door,
            left_open: opening.left_open,
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            parcel: convert::id("Handover.parcel_id", &form.parcel_id)?,
            opening: Opening {
                compartment: convert::compartment("Handover.compartment", form.compartment)?,
                intent: IntentId(form.intent),
                pulses: convert::byte("Handover.pulses", form.pulses)?,
                reopened: convert::byte("Handover.reopened", form.reopened)?,
                phase: choice("Handover.phase", form.phase)?,
                opened_at: form.opened_at_ms.map(UnixMillis),
                other_door: form.other_door,
                left_open: form.left_open,
            },
            tried: convert::compartments("Handover.tried", &form.tried)?,
        })
    }
}

impl Wire for Opening {
    type Form = wire::Opening;

    fn to_wire(&self) -> Self::Form {
        wire::Opening {
            compartment: self.compartment.0.into(),
            intent: self.intent.0,
            pulses: self.pulses.into(),
            phase: self.phase.number(),
            reopened: self.reopened.into(),
            opened_at_ms: self.opened_at.map(|at| at.0),
            other_door: self.other_door,
            left_open: self.left_open,
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            compartment: convert::compartment("Opening.compartment", form.compartment)?,
            intent: IntentId(form.intent),
            pulses: convert::byte("Opening.pulses", form.pulses)?,
            reopened: convert::byte("Opening.reopened", form.reopened)?,
            phase: choice("Opening.phase", form.phase)?,
            opened_at: form.opened_at_ms.map(UnixMillis),
            other_door: form.other_door,
            left_open: form.left_open,
        })
    }
}

impl Wire for Actor {
    type Form = wire::Actor;

    fn to_wire(&self) -> Self::Form {
        let actor = match self {
            Self::Courier { carrier, proof } => {
                let (badge_id, slot_id) = match proof {
                    CourierProof::Badge(badge) => (badge.0.to_vec(), Vec::new()),
                    CourierProof::Keypad(slot) => (Vec::new(), slot.0.to_vec()),
                };
                let carrier = carrier.as_str().to_owned();
                ActorForm::Courier(wire::Courier { carrier, badge_id, slot_id })
            }
            Self::Recipient { credential } => {
                ActorForm::RecipientCredentialId(credential.0.to_vec())
            }
            Self::Staff { badge } => ActorForm::StaffBadgeId(badge.0.to_vec()),
        };
        wire::Actor { actor: Some(actor) }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(match present("Actor.actor", form.actor)? {
            ActorForm::Courier(courier) => Self::Courier {
                carrier: convert::text("Courier.carrier", &courier.carrier)?,
                proof: proof(&courier)?,
            },
            ActorForm::RecipientCredentialId(bytes) => Self::Recipient {
                credential: convert::id("Actor.recipient_credential_id", &bytes)?,
            },
            ActorForm::StaffBadgeId(bytes) => {
                Self::Staff { badge: convert::id("Actor.staff_badge_id", &bytes)? }
            }
        })
    }
}

fn proof(courier: &wire::Courier) -> Result<CourierProof, Malformed> {
    if courier.slot_id.is_empty() {
        convert::id("Courier.badge_id", &courier.badge_id).map(CourierProof::Badge)
    } else if courier.badge_id.is_empty() {
        convert::id("Courier.slot_id", &courier.slot_id).map(CourierProof::Keypad)
    } else {
        Err(Malformed::field("Courier.slot_id", FieldProblem::Repeated))
    }
}

same_names!(Phase, wire::handover::Phase, Opening, Stuck, Open, Shut);
