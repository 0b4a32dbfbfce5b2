//! What must hold of a bank's state, whatever happened.

use std::collections::BTreeSet;

use locker_core::compartment::{Allocation, Compartment, Content};
use locker_core::journal::View;
use locker_core::parcel::ParcelState;

use super::{Invariant, Watch};

impl Watch {
    /// Holds the state against the books.
    pub fn state(&mut self, view: &impl View) {
        let compartments = view.compartments();
        for held in &compartments {
            let no = held.spec.no;
            if held.allocation == Allocation::Free {
                let empty = matches!(held.content, Content::Empty(_));
                let vouched = !self.opened.contains_key(&no);
                self.must(empty && vouched, Invariant::FreeWithEvidence, || {
                    format!("{no} is free: content {:?}, vouched for {vouched}", held.content)
                });
            }
        }
        let mut live = BTreeSet::new();
        for known in view.parcels() {
            let Some(no) = known.state.compartment() else { continue };
            let held = compartments.iter().find(|held| held.spec.no == no);
            let owner = held.and_then(|held| held.parcel());
            if self.of_two_branches && may_be_there(known.state, held) {
                continue;
            }
            let alone = live.insert(no) && owner == Some(known.id);
            self.must(alone, Invariant::OneParcelACompartment, || {
                format!("{no} belongs to {owner:?}, and {} is {:?}", known.id, known.state)
            });
        }
    }
}

/// Whether a parcel is looked for in a compartment of which nobody knows what is inside: on two branches two parcels may
/// have been put into one.
fn may_be_there(state: ParcelState, held: Option<&Compartment>) -> bool {
    let allocation = held.map(|held| held.allocation);
    matches!(state, ParcelState::Unresolved { .. })
        && matches!(allocation, Some(Allocation::Quarantined { .. }))
}
