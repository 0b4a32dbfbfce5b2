//! What a new stream takes over from the one it goes on from, when a piece of history is lost or two branches of it exist.
//!
//! The rule is to lose nothing that keeps a door shut: what either branch used up stays used up, what either branch did
//! with a compartment puts its content in doubt, and nobody but staff who looked can make it free again. Openings and wrong
//! codes of both branches count, or going back to an old disk would give a fresh ration of either.

use std::collections::BTreeSet;

use super::{Change, Meta, View};
use crate::compartment::{Allocation, Compartment, Content, Door, QuarantineReason};
use crate::credential::{Credential, CredentialState};
use crate::ids::CompartmentNo;
use crate::parcel::{Parcel, ParcelState};

/// The compartments whose content is in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InDoubt {
    /// Those that records touched which are on one branch only.
    These(BTreeSet<CompartmentNo>),
    /// Nobody knows what was done since.
    All,
}

/// The state that a new stream begins with. `base`: the branch that the hub knows, `own`: the bank's own; the same where
/// there is only one.
#[must_use]
pub fn carried(base: &impl View, own: &impl View, in_doubt: &InDoubt) -> Vec<Change> {
    let doubted = doubted(base, own, in_doubt);
    let mut changes = vec![Change::Meta(meta(base, own))];
    for held in base.compartments() {
        let doubted = doubted.contains(&held.spec.no);
        changes.push(Change::Compartment(if doubted { put_in_doubt(held, own) } else { held }));
    }
    changes.extend(parcels(base, own, &doubted).into_iter().map(Change::Parcel));
    changes.extend(credentials(base, own).into_iter().map(Change::Credential));
    changes.push(Change::Governor(own.governor().merged(&base.governor())));
    changes.push(Change::Budget(own.budget().merged(&base.budget())));
    let codes = [base.courier_codes(), own.courier_codes()];
    changes
        .extend(codes.into_iter().max_by_key(|codes| codes.generation).map(Change::CourierCodes));
    // A code that was given to a parcel on either branch is never given to another.
    let bound = own.slots().into_iter().filter(|held| held.parcel.is_some());
    // Where history is lost, so is what it gave to whom: a code that seems to be free may be somebody's.
    let known = base.slots().into_iter();
    let known = known.filter(|held| held.parcel.is_some() || *in_doubt != InDoubt::All);
    changes.extend(known.chain(bound).map(Change::Slot));
    changes
}

/// Also those in which somebody was at work where a branch ends, and those that the bank's own branch has closed off for
/// what a sensor said: a door that was found open is in no record of its own.
fn doubted(base: &impl View, own: &impl View, in_doubt: &InDoubt) -> BTreeSet<CompartmentNo> {
    let at_work = |held: &Compartment| {
        held.pulse.is_some()
            || matches!(
                held.allocation,
                Allocation::Depositing { .. }
                    | Allocation::Collecting { .. }
                    | Allocation::Recalling { .. }
            )
    };
    let both = base.compartments().into_iter().chain(own.compartments());
    match in_doubt {
        InDoubt::All => both.map(|held| held.spec.no).collect(),
        InDoubt::These(these) => {
            let busy = both.filter(at_work).map(|held| held.spec.no);
            let closed_off = own.compartments().into_iter().filter(|held| {
                is_closed_off(held)
                    && base.compartment(held.spec.no).is_none_or(|known| !is_closed_off(&known))
            });
            let closed_off = closed_off.map(|held| held.spec.no);
            these.iter().copied().chain(busy).chain(closed_off).collect()
        }
    }
}

const fn is_closed_off(held: &Compartment) -> bool {
    matches!(held.allocation, Allocation::Quarantined { .. })
}

fn put_in_doubt(held: Compartment, own: &impl View) -> Compartment {
    let ours = own.compartment(held.spec.no).and_then(|ours| ours.parcel());
    let parcel = ours.or_else(|| held.parcel());
    let reason = QuarantineReason::HistoryLost;
    Compartment {
        allocation: Allocation::Quarantined { reason, parcel },
        door: Door::Unknown,
        content: Content::Unknown,
        pulse: None,
        pulsed_at: None,
        ..held
    }
}

fn meta(base: &impl View, own: &impl View) -> Meta {
    let (base, own) = (base.meta(), own.meta());
    Meta {
        last_intent: base.last_intent.max(own.last_intent),
        boot_count: 0,
        keys: if own.keys.generation > base.keys.generation { own.keys } else { base.keys },
        lockdown: base.lockdown.or(own.lockdown),
        last_pickup: None,
        device_key: None,
        parent: None,
        sealed: 0,
        ..base
    }
}

/// Where the branches differ, a parcel that left is gone, and one that may be inside is looked for.
fn parcels(base: &impl View, own: &impl View, doubted: &BTreeSet<CompartmentNo>) -> Vec<Parcel> {
    let mut all = base.parcels();
    let known: BTreeSet<_> = all.iter().map(|parcel| parcel.id).collect();
    all.extend(own.parcels().into_iter().filter(|parcel| !known.contains(&parcel.id)));
    for parcel in &mut all {
        let ours = own.parcel(parcel.id).map_or(parcel.state, |ours| ours.state);
        if parcel.state.settled_at().is_some() {
            continue;
        }
        let is_in = |state: ParcelState| state.compartment().filter(|no| doubted.contains(no));
        if ours.settled_at().is_some() {
            parcel.state = ours;
        } else if let Some(compartment) = is_in(ours).or_else(|| is_in(parcel.state)) {
            parcel.state = ParcelState::Unresolved { compartment };
        }
    }
    all
}

/// What is used up or withdrawn on either branch stays so.
fn credentials(base: &impl View, own: &impl View) -> Vec<Credential> {
    let held = |parcels: Vec<Parcel>, of: &dyn Fn(&Parcel) -> Vec<Credential>| {
        parcels.iter().flat_map(of).collect::<Vec<_>>()
    };
    let mut all = held(base.parcels(), &|parcel| base.credentials_of(parcel.id));
    for ours in held(own.parcels(), &|parcel| own.credentials_of(parcel.id)) {
        match all.iter_mut().find(|known| known.id == ours.id) {
            Some(known) if used_up(ours.state) > used_up(known.state) => known.state = ours.state,
            Some(_) => {}
            None => all.push(ours),
        }
    }
    all
}

const fn used_up(state: CredentialState) -> u8 {
    match state {
        CredentialState::Issued => 0,
        CredentialState::Active => 1,
        CredentialState::UsedPending => 2,
        CredentialState::Superseded => 3,
        CredentialState::Revoked => 4,
        CredentialState::Consumed => 5,
    }
}

#[cfg(test)]
mod tests;
