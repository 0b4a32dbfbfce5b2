//! What ends by itself: bookings that were not brought, parcels that stayed too long. A promise to a
//! person lapses only when even the earliest time is past, and as a record, so that every fold of the
//! journal agrees on it.

use super::{BookingLapsed, KeepLapsed, Step};
use crate::clock::ClockInterval;
use crate::fact::Fact;
use crate::journal::View;
use crate::parcel::{Parcel, ParcelState};

/// Most lapses in one step; the rest come with the next.
const LAPSES_PER_STEP_MAX: usize = 64;

pub(super) fn lapsed(view: &impl View, clock: ClockInterval) -> Step {
    let facts = view.parcels().into_iter().filter_map(|parcel| lapse(&parcel, clock));
    Step::of(facts.take(LAPSES_PER_STEP_MAX))
}

fn lapse(parcel: &Parcel, clock: ClockInterval) -> Option<Fact> {
    let id = parcel.id;
    match parcel.state {
        ParcelState::Booked => {
            let due = parcel.terms.book_until?;
            let lapsed = Fact::BookingLapsed(BookingLapsed { parcel: id });
            clock.surely_past(due).then_some(lapsed)
        }
        ParcelState::Stored { .. } if parcel.recall.is_none() => {
            let due = parcel.keep_until()?;
            clock.surely_past(due).then_some(Fact::KeepLapsed(KeepLapsed { parcel: id }))
        }
        // Whoever is at it goes on; what is over stays over.
        ParcelState::Stored { .. }
        | ParcelState::Depositing { .. }
        | ParcelState::Collecting { .. }
        | ParcelState::Recalling { .. }
        | ParcelState::Collected { .. }
        | ParcelState::Cancelled { .. }
        | ParcelState::Unresolved { .. }
        | ParcelState::BookingExpired { .. }
        | ParcelState::Recalled { .. }
        | ParcelState::Missing { .. } => None,
    }
}
