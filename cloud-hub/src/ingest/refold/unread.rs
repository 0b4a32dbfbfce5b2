//! What follows outside the bank from records that could not be read when they came. A newer agent wrote them, and
//! this hub is as new by now.
//!
//! Others have come since, and what follows from those did so at once, on what was known then. So of a parcel, the
//! records count behind the last one that was followed whatever came before; those are gone through again in
//! their order, because they may have fitted nothing. What a parcel of today cannot do changes nothing, as ever.

use std::collections::{BTreeMap, BTreeSet};

use locker_core::compartment::Allocation;
use locker_core::ids::{BankId, CompartmentNo, ParcelId};
use locker_core::journal::{Change, MemoryView, Record, View};
use locker_core::parcel::ParcelState;
use locker_core::units::UnixMillis;
use locker_core::uplink::inlet::Cursor;

use super::super::batch::When;
use super::super::{codes, facts};
use crate::store::{
    CodeStep, CodesWrite, EventKind, FactEffect, FactRow, IngestWrite, Meaning, ParcelStep,
};

/// See the module's text. Looks at a bank's records one after the other.
pub(super) struct Unread {
    /// Records that could not be read when they came.
    came_unread: BTreeSet<u64>,
    /// What is written of those that can be read by now.
    write: IngestWrite,
    /// What follows from them, and from what came later about the same parcels.
    found: Vec<Found>,
    /// Parcels that they are about.
    parcels: BTreeSet<ParcelId>,
}

struct Found {
    effect: FactEffect,
    came_unread: bool,
}

impl Unread {
    pub(super) fn new(
        bank: &BankId,
        cursor: Cursor,
        came_unread: BTreeSet<u64>,
        now: UnixMillis,
    ) -> Self {
        let write = IngestWrite {
            bank: bank.clone(),
            follows: Some(cursor.committed),
            next: cursor,
            incomplete: false,
            introduced: None,
            facts: Vec::new(),
            entities: Vec::new(),
            effects: Vec::new(),
            codes: CodesWrite::default(),
            alarms: Vec::new(),
            now,
        };
        Self { came_unread, write, found: Vec::new(), parcels: BTreeSet::new() }
    }

    /// The next record that can be read. `view` is the bank before it, `changes` what it changes there.
    pub(super) fn look(&mut self, view: &MemoryView, record: &Record, changes: &[Change]) {
        let seq = record.seq;
        let came_unread = self.came_unread.contains(&seq);
        if !came_unread && self.parcels.is_empty() {
            return;
        }
        let mut meanings = facts::meanings(view, &record.fact, changes);
        let (compartment, _) = facts::place(&record.fact);
        if came_unread {
            let (kind, _) = facts::kind(&record.fact);
            self.write.facts.push(FactRow { seq, at: record.at, kind, bytes: Vec::new() });
            codes::note(&mut self.write, record, changes);
            self.parcels.extend(meanings.iter().filter_map(parcel_of));
        } else {
            meanings.retain(|what| parcel_of(what).is_some_and(|uid| self.parcels.contains(&uid)));
        }
        let When { earliest, at, promised_from } = When::of(record, self.write.now);
        let places = meanings.into_iter().map(|what| (compartment, what));
        let quarantines = facts::quarantines(view, changes).into_iter().filter(|_| came_unread);
        let quarantines = quarantines.map(|(no, kind, reason)| {
            (Some(no), Meaning::Bank { kind, detail: reason.to_owned() })
        });
        for (n, (compartment, what)) in (0..).zip(places.chain(quarantines)) {
            let effect = FactEffect { seq, n, at, earliest, promised_from, compartment, what };
            self.found.push(Found { effect, came_unread });
        }
    }

    /// What follows now. `view` is the bank after all its records.
    pub(super) fn finish(self, view: &MemoryView) -> IngestWrite {
        let Self { mut write, found, .. } = self;
        write.codes.steps.retain_mut(|step| still_counts(step, view));
        let mut followed: BTreeMap<ParcelId, u64> = BTreeMap::new();
        for Found { effect, .. } in found.iter().filter(|found| !found.came_unread) {
            if let Some((uid, step)) = step_of(&effect.what)
                && stands_alone(step)
            {
                followed.insert(uid, effect.seq);
            }
        }
        let mut begun = BTreeSet::new();
        let mut counts = |found: &Found| {
            let effect = &found.effect;
            let Some((uid, step)) = step_of(&effect.what) else {
                return happened(&effect.what, effect.compartment, view);
            };
            let is_last = followed.get(&uid).is_none_or(|seq| effect.seq > *seq);
            if !found.came_unread {
                return is_last && begun.contains(&uid);
            }
            let counts = (is_last && holds_still(uid, step, view)) || never_goes_back(step);
            if counts {
                begun.insert(uid);
            }
            counts
        };
        write.effects =
            found.into_iter().filter(|found| counts(found)).map(|found| found.effect).collect();
        write
    }
}

fn parcel_of(what: &Meaning) -> Option<ParcelId> {
    match what {
        Meaning::Parcel { uid, .. } => Some(*uid),
        Meaning::Refused { .. } | Meaning::Bank { .. } => None,
    }
}

fn step_of(what: &Meaning) -> Option<(ParcelId, ParcelStep)> {
    match what {
        Meaning::Parcel { uid, step, .. } => Some((*uid, *step)),
        Meaning::Refused { .. } | Meaning::Bank { .. } => None,
    }
}

/// Whether the hub follows such a step whatever it has known of the parcel before.
const fn stands_alone(step: ParcelStep) -> bool {
    matches!(
        step,
        ParcelStep::DepositStarted(_)
            | ParcelStep::DepositUnresolved(_)
            | ParcelStep::DepositConfirmed(_)
            | ParcelStep::Collected
            | ParcelStep::Recalled
            | ParcelStep::Found(_)
    )
}

/// Whether such a step names the decision that it is about, so that a later one takes nothing from it.
const fn never_goes_back(step: ParcelStep) -> bool {
    matches!(step, ParcelStep::TookOver(_) | ParcelStep::Kept(_))
}

/// Whether the end of a booking is that of the one that there is: the parcel may have been booked again since,
/// which is no step of its own.
fn holds_still(uid: ParcelId, step: ParcelStep, view: &MemoryView) -> bool {
    let state = view.parcel(uid).map(|held| held.state);
    if step == ParcelStep::BookingRefused {
        return state.is_none_or(|state| state.settled_at().is_some());
    }
    let has_lapsed = matches!(state, Some(ParcelState::BookingExpired { .. }));
    step != ParcelStep::BookingLapsed || has_lapsed
}

/// Whether to tell of something that is about no parcel: all that happened, but no quarantine that is over, nor
/// the end of one that began again.
fn happened(what: &Meaning, compartment: Option<CompartmentNo>, view: &MemoryView) -> bool {
    let Meaning::Bank { kind, .. } = what else { return true };
    let held = compartment.and_then(|no| view.compartment(no));
    let is_shut =
        held.is_some_and(|held| matches!(held.allocation, Allocation::Quarantined { .. }));
    (*kind != EventKind::CompartmentQuarantined || is_shut)
        && (*kind != EventKind::CompartmentReleased || !is_shut)
}

/// Whether what a record says of a code is so at the end of the journal; one that the bank has forgotten since is
/// retired.
fn still_counts(step: &mut CodeStep, view: &MemoryView) -> bool {
    let held = |slot| view.slots().into_iter().find(|held| held.slot.id == slot);
    let gone = match step {
        CodeStep::Held { slot, .. } => match held(*slot) {
            Some(held) => return held.parcel.is_none(),
            None => *slot,
        },
        CodeStep::Bound { slot, parcel, .. } => match held(*slot) {
            Some(held) => return held.parcel == Some(*parcel),
            // As a parcel may have one that the bank was never granted.
            None if view.parcel(*parcel).is_some_and(|it| it.state.compartment().is_some()) => {
                return true;
            }
            None => *slot,
        },
        CodeStep::Retired(slot) => return held(*slot).is_none(),
        CodeStep::Settled(_) | CodeStep::Refused { .. } => return true,
    };
    *step = CodeStep::Retired(gone);
    true
}
