//! The bank's loop against the simulated board, on a paused clock: what people are told, what the
//! journal says, and what went over the wire.

mod calm;
mod codes;
mod cuts;
mod disorder;
mod handover;
mod hub;
mod keypad;
mod lapses;
mod order;
mod orders;
mod power;
mod recalls;
mod recovery;
mod staff;
mod stream;
mod world;

use locker_core::bank::{AbortedContent, Alarm, CommandAnswer, PickupEnd, PulseOutcome};
use locker_core::compartment::{Allocation, Door, Health, QuarantineReason};
use locker_core::credential::{self, Action, Claims};
use locker_core::downlink::{ConfigRefusal, Grant, GrantRefusal};
use locker_core::fact::Fact;
use locker_core::ids::{CompartmentNo, HubEpoch};
use locker_core::parcel::ParcelState;
use locker_proto::message::Document;

/// How long a code that was used opens the same compartment again.
const GRACE: Duration = Duration::from_millis(locker_core::policy::GRACE_MS);

use self::world::{DEPOSITED, NOW, World, booking, code, layout};
use super::*;
