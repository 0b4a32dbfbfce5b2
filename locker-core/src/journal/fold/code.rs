//! What becomes of a parcel's six digits.

use super::{Change, Changes};
use crate::code::slot::{SPENT_SLOTS_MAX, SlotId};
use crate::ids::ParcelId;
use crate::journal::{HeldSlot, View};
use crate::parcel::{Parcel, ParcelState};
use crate::units::UnixMillis;

impl<V: View> Changes<'_, V> {
    /// `own` is the parcel's from now on, and nothing else is.
    pub(super) fn bind_slot(&mut self, parcel: ParcelId, own: Option<SlotId>) {
        for held in self.view.slots() {
            if Some(held.slot.id) == own {
                self.changes.push(Change::Slot(HeldSlot { parcel: Some(parcel), ..held }));
            } else if held.parcel == Some(parcel) {
                self.changes.push(Change::SlotForgotten(held.slot.id));
            }
        }
    }

    /// A parcel's digits open nothing any more.
    pub(super) fn forget_codes(&mut self, parcel: ParcelId) {
        self.bind_slot(parcel, None);
    }

    /// Digits of a settled parcel are kept to say that they were used, until there are too many of
    /// them: those of the parcels that settled first make way for what this record settles.
    pub(super) fn limit_spent_slots(&mut self) {
        let is_settled = |parcel: &Parcel| parcel.state.settled_at().is_some();
        let settles =
            |change: &Change| matches!(change, Change::Parcel(parcel) if is_settled(parcel));
        if !self.changes.iter().any(settles) {
            return;
        }
        let mut bound = self.view.slots();
        bound.retain(|held| held.parcel.is_some() && !self.changes_slot(held.slot.id));
        if bound.len() <= SPENT_SLOTS_MAX {
            return;
        }
        let mut spent: Vec<_> = bound.iter().filter_map(|held| self.spent(held)).collect();
        let beyond = spent.len().saturating_sub(SPENT_SLOTS_MAX);
        spent.sort_unstable();
        let gone = spent.into_iter().take(beyond);
        self.changes.extend(gone.map(|(.., slot)| Change::SlotForgotten(slot)));
    }

    fn changes_slot(&self, slot: SlotId) -> bool {
        self.changes.iter().any(|change| {
            matches!(change, Change::Slot(held) if held.slot.id == slot)
                || matches!(change, Change::SlotForgotten(id) if *id == slot)
        })
    }

    /// The order in which spent digits make way; none while they may open something. A missing parcel
    /// may be found again, so that its digits stay the longest.
    fn spent(&self, held: &HeldSlot) -> Option<(bool, UnixMillis, SlotId)> {
        let id = held.parcel?;
        let changed = self.changes.iter().rev().find_map(|change| {
            if let Change::Parcel(parcel) = change
                && parcel.id == id
            {
                Some(parcel.state)
            } else {
                None
            }
        });
        let state = changed.or_else(|| Some(self.view.parcel(id)?.state))?;
        let missing = matches!(state, ParcelState::Missing { .. });
        Some((missing, state.settled_at()?, held.slot.id))
    }
}
