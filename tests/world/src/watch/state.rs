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
        // All that is inside by the books, in the order in which the bank tells of its parcels.
        let mut stored = self.stored.clone().into_iter();
        let mut due = stored.next();
        let mut named = 0;
        for known in view.parcels() {
            let Some(no) = known.state.compartment() else { continue };
            if due == Some((known.id, no)) {
                due = stored.next();
            }
            let held = compartments.iter().find(|held| held.spec.no == no);
            let owner = held.and_then(|held| held.parcel());
            if self.of_two_branches && may_be_there(known.state, held) {
                continue;
            }
            let alone = live.insert(no) && owner == Some(known.id);
            named += usize::from(held.is_some_and(is_taken));
            self.must(alone, Invariant::OneParcelACompartment, || {
                format!("{no} belongs to {owner:?}, and {} is {:?}", known.id, known.state)
            });
        }
        if let Some((parcel, no)) = due {
            let known = view.parcel(parcel).map(|known| known.state);
            let what = format!("{parcel} is in {no}, and the bank has it as {known:?}");
            self.breaks(Invariant::OneParcelACompartment, what);
        }
        self.owners(view, &compartments, named);
    }

    /// Whoever a compartment belongs to is a parcel that the bank knows; where one is inside or at the door, the parcels
    /// that say so are as many as the compartments that do.
    fn owners(&mut self, view: &impl View, compartments: &[Compartment], named: usize) {
        let taken = compartments.iter().filter(|held| is_taken(held)).count();
        self.must(taken == named, Invariant::OneParcelACompartment, || {
            format!("{taken} compartments have a parcel, and {named} parcels have a compartment")
        });
        for held in compartments.iter().filter(|held| !is_taken(held)) {
            let Some(owner) = held.parcel() else { continue };
            self.must(view.parcel(owner).is_some(), Invariant::OneParcelACompartment, || {
                format!("{} is {:?}, and nobody knows that parcel", held.spec.no, held.allocation)
            });
        }
    }
}

/// Whether a parcel is inside, or on its way through the door.
const fn is_taken(held: &Compartment) -> bool {
    match held.allocation {
        Allocation::Depositing { .. }
        | Allocation::Occupied { .. }
        | Allocation::Collecting { .. }
        | Allocation::Recalling { .. } => true,
        Allocation::Free | Allocation::Reserved { .. } | Allocation::Quarantined { .. } => false,
    }
}

/// Whether a parcel is looked for in a compartment of which nobody knows what is inside: on two branches two parcels may
/// have been put into one.
fn may_be_there(state: ParcelState, held: Option<&Compartment>) -> bool {
    let allocation = held.map(|held| held.allocation);
    matches!(state, ParcelState::Unresolved { .. })
        && matches!(allocation, Some(Allocation::Quarantined { .. }))
}
