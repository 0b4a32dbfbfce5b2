//! What records say about one parcel, in words for people who have never seen a record.

use std::collections::BTreeSet;

use locker_core::bank::{
    AbortedContent, DoorMoved, Finding, PickupEnd, PulseIntended, PulseOutcome, PulseSettled,
    RecallEnd,
};
use locker_core::compartment::DoorReading;
use locker_core::downlink::Grant;
use locker_core::fact::Fact;
use locker_core::ids::{CompartmentNo, IntentId, ParcelId};
use locker_core::journal::Change;

/// Tells a parcel's story, record by record.
#[derive(Debug)]
pub struct Story {
    parcel: ParcelId,
    /// Pulses that were meant for it.
    intents: BTreeSet<IntentId>,
}

impl Story {
    /// Nothing told yet.
    #[must_use]
    pub const fn new(parcel: ParcelId) -> Self {
        Self { parcel, intents: BTreeSet::new() }
    }

    /// What a record says of the parcel; none if it is about something else.
    pub fn told(&mut self, fact: &Fact) -> Option<String> {
        if let Fact::PulseIntended(intended) = fact
            && intended.parcel == Some(self.parcel)
        {
            self.intents.insert(intended.intent);
        } else if let Fact::PulseSettled(settled) = fact
            && self.intents.contains(&settled.intent)
        {
            return Some(of_pulse(*settled));
        } else if let Fact::DoorMoved(moved) = fact
            && moved.cause.is_some_and(|cause| self.intents.contains(&cause))
        {
            return Some(of_door(*moved));
        }
        is_about(fact, self.parcel).then(|| words(fact))
    }
}

/// Whether a fact names the parcel.
#[must_use]
pub fn is_about(fact: &Fact, parcel: ParcelId) -> bool {
    let named = match fact {
        Fact::GrantAccepted(accepted) => accepted.grant.about().map(|(named, _)| named),
        Fact::GrantRefused(refused) => refused.parcel,
        Fact::DepositStarted(started) => Some(started.parcel),
        Fact::DepositMisfit(misfit) => Some(misfit.parcel),
        Fact::DepositAborted(aborted) => Some(aborted.parcel),
        Fact::DepositConfirmed(confirmed) => Some(confirmed.parcel),
        Fact::PickupStarted(started) => Some(started.parcel),
        Fact::PickupSettled(settled) => Some(settled.parcel),
        Fact::PulseIntended(PulseIntended { parcel, .. }) => *parcel,
        Fact::RecallStarted(started) => Some(started.parcel),
        Fact::RecallSettled(settled) => Some(settled.parcel),
        Fact::InspectionSettled(settled) => match settled.finding {
            Finding::Holds(found) | Finding::TakenOut(found) | Finding::HandedOver(found) => {
                Some(found)
            }
            Finding::NotOpened | Finding::Empty | Finding::Unfinished => None,
        },
        Fact::BookingLapsed(lapsed) => Some(lapsed.parcel),
        Fact::KeepLapsed(lapsed) => Some(lapsed.parcel),
        Fact::CompartmentReserved(reserved) => Some(reserved.parcel),
        Fact::SlotBound(bound) => Some(bound.parcel),
        Fact::StateCarried(carried) => {
            let carries = |change: &Change| {
                if let Change::Parcel(held) = change { held.id == parcel } else { false }
            };
            return carried.entities().iter().any(carries);
        }
        Fact::StreamOpened(_)
        | Fact::Booted(_)
        | Fact::ConfigAccepted(_)
        | Fact::ConfigRefused(_)
        | Fact::SessionStarted(_)
        | Fact::SessionEnded(_)
        | Fact::PulseSettled(_)
        | Fact::DoorMoved(_)
        | Fact::DoorsRead(_)
        | Fact::BoardChanged(_)
        | Fact::InspectionStarted(_)
        | Fact::Alarm(_)
        | Fact::LockdownBegan(_)
        | Fact::LockdownLiftAsked(_)
        | Fact::LockdownLifted(_)
        | Fact::BoardReset(_)
        | Fact::PowerChanged(_)
        | Fact::CommandAnswered(_)
        | Fact::CodeTyped(_)
        | Fact::KeypadReset(_)
        | Fact::Sealed(_)
        | Fact::KeyChanged(_) => None,
    };
    named == Some(parcel)
}

/// Of a fact that names a parcel.
#[expect(clippy::too_many_lines, reason = "one arm for each fact")]
fn words(fact: &Fact) -> String {
    match fact {
        Fact::GrantAccepted(accepted) => of_grant(&accepted.grant).to_owned(),
        Fact::GrantRefused(refused) => {
            format!("the bank did not take a decision of the hub: {:?}", refused.reason)
        }
        Fact::DepositStarted(started) => {
            format!("a courier began to deposit it, door {}", started.compartment)
        }
        Fact::DepositMisfit(misfit) => {
            format!("it did not fit behind door {}; the courier has it", misfit.compartment)
        }
        Fact::DepositAborted(aborted) => {
            let door = aborted.compartment;
            format!("its deposit at door {door} was broken off: {}", of_content(aborted.content))
        }
        Fact::DepositConfirmed(confirmed) => {
            let said = by_word(confirmed.presumed);
            format!("it is inside and door {} is shut{said}", confirmed.compartment)
        }
        Fact::PickupStarted(started) => {
            format!("a code for it was accepted, door {}", started.compartment)
        }
        Fact::PickupSettled(settled) => {
            format!("its pickup at door {} ended: {}", settled.compartment, of_pickup(settled.end))
        }
        Fact::RecallStarted(started) => {
            format!("a courier or staff began to take it out, door {}", started.compartment)
        }
        Fact::RecallSettled(settled) => format!(
            "taking it out at door {} ended: {}",
            settled.compartment,
            of_recall(settled.end)
        ),
        Fact::InspectionSettled(settled) => format!(
            "staff looked behind door {}: {}",
            settled.compartment,
            of_finding(settled.finding)
        ),
        Fact::BookingLapsed(_) => "it was not brought in time".to_owned(),
        Fact::KeepLapsed(_) => "it stayed as long as it may and must be taken back".to_owned(),
        Fact::CompartmentReserved(reserved) => {
            format!("compartment {} is kept for it", reserved.compartment)
        }
        Fact::SlotBound(_) => "it has other six digits from now on".to_owned(),
        Fact::StateCarried(_) => {
            "the bank begins a new stream and takes over what it knew of it".to_owned()
        }
        Fact::PulseIntended(intended) => {
            format!("the lock of door {} is about to be opened for it", intended.compartment)
        }
        Fact::StreamOpened(_)
        | Fact::Booted(_)
        | Fact::ConfigAccepted(_)
        | Fact::ConfigRefused(_)
        | Fact::SessionStarted(_)
        | Fact::SessionEnded(_)
        | Fact::PulseSettled(_)
        | Fact::DoorMoved(_)
        | Fact::DoorsRead(_)
        | Fact::BoardChanged(_)
        | Fact::InspectionStarted(_)
        | Fact::Alarm(_)
        | Fact::LockdownBegan(_)
        | Fact::LockdownLiftAsked(_)
        | Fact::LockdownLifted(_)
        | Fact::BoardReset(_)
        | Fact::PowerChanged(_)
        | Fact::CommandAnswered(_)
        | Fact::CodeTyped(_)
        | Fact::KeypadReset(_)
        | Fact::Sealed(_)
        | Fact::KeyChanged(_) => "it is named".to_owned(),
    }
}

const fn by_word(presumed: bool) -> &'static str {
    if presumed { ", as far as the door tells; nobody said so" } else { "" }
}

const fn of_grant(grant: &Grant) -> &'static str {
    match grant {
        Grant::Book(_) => "the bank expects it",
        Grant::Cancel { .. } => "the bank does not expect it any more",
        Grant::Keep { .. } => "how long it may stay was changed",
        Grant::Recall { .. } => "it is to be taken back",
        Grant::Reissue { .. } => "its recipient gets a new code; the old ones open nothing more",
        Grant::Delegate { .. } => "somebody else may fetch it, too",
        Grant::Revoke { .. } => "a code for it opens nothing any more",
        Grant::Slots(_) => "codes were placed",
    }
}

const fn of_content(content: AbortedContent) -> &'static str {
    match content {
        AbortedContent::Untouched => "nothing was put in",
        AbortedContent::Unknown(_) => "what is inside is not known",
        AbortedContent::TakenBack => "the courier has it",
        AbortedContent::Foreign => "something unknown was inside; the courier has it",
    }
}

const fn of_pickup(end: PickupEnd) -> &'static str {
    match end {
        PickupEnd::Collected { presumed: false } => "collected, and the door is shut",
        PickupEnd::Collected { presumed: true } => {
            "collected as far as the door tells; nobody said so"
        }
        PickupEnd::CollectedDoorOpen => "collected, and the door was left open",
        PickupEnd::NotTaken => "the recipient says it is still inside",
        PickupEnd::NotOpened => "the door did not open",
        PickupEnd::Interrupted => "interrupted; whether the door opened is not known",
        PickupEnd::Unconfirmed => "the door was open too short a time for anything to be taken",
        PickupEnd::Refused => "the recipient does not want it and put it back",
        PickupEnd::FoundEmpty => "the recipient found nothing inside",
        PickupEnd::WrongParcel => "the recipient found somebody else's parcel and put it back",
    }
}

const fn of_recall(end: RecallEnd) -> &'static str {
    match end {
        RecallEnd::Removed => "taken out, its label read",
        RecallEnd::FoundEmpty => "nothing was inside",
        RecallEnd::NotTaken => "left inside",
        RecallEnd::NotOpened => "the door did not open",
        RecallEnd::Interrupted => "interrupted; what happened is not known",
    }
}

const fn of_finding(finding: Finding) -> &'static str {
    match finding {
        Finding::NotOpened => "the door did not open",
        Finding::Empty => "nothing is inside",
        Finding::Holds(_) => "it is inside and stays there",
        Finding::TakenOut(_) => "they took it out",
        Finding::HandedOver(_) => "they handed it to its recipient",
        Finding::Unfinished => "nobody said what was inside",
    }
}

fn of_pulse(settled: PulseSettled) -> String {
    let outcome = match settled.outcome {
        PulseOutcome::Opened { after_ms } => format!("opened after {after_ms} ms"),
        PulseOutcome::NotOpened => "did not open".to_owned(),
        PulseOutcome::AlreadyOpen => "was open already".to_owned(),
        PulseOutcome::Unknown => "gave no reading; whether it opened is not known".to_owned(),
        PulseOutcome::NotSent => "was not pulsed after all".to_owned(),
        PulseOutcome::Recovered => {
            "may have been pulsed; the bank stopped before it heard".to_owned()
        }
    };
    format!("door {} {outcome}", settled.compartment)
}

fn of_door(moved: DoorMoved) -> String {
    let DoorMoved { compartment: CompartmentNo(no), reading, .. } = moved;
    match reading {
        DoorReading::Open => format!("door {no} was opened"),
        DoorReading::Closed => format!("door {no} was shut"),
    }
}
