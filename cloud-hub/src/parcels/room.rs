//! Whether there is a compartment for everybody who was promised one.
//!
//! A parcel that is being deposited holds its compartment already and is not counted again. For
//! the others a matching of parcels to compartments must exist: counting free compartments alone
//! would promise one large compartment to two large parcels, or refuse a large parcel because of
//! small ones that need no large compartment.

use locker_core::units::Dimensions;

/// Whether all of `parcels` can be put into `rooms` at once, each into one of its own.
pub(super) fn has_room(rooms: &[Dimensions], parcels: &[Dimensions]) -> bool {
    let mut rooms = rooms.to_vec();
    // The smallest first, as the bank chooses: then the first choice is mostly the last one.
    rooms.sort_by_key(|room| room.volume_mm3());
    let mut taken_by: Vec<Option<usize>> = vec![None; rooms.len()];
    (0..parcels.len()).all(|parcel| {
        let mut asked = vec![false; rooms.len()];
        place(parcel, &rooms, parcels, &mut taken_by, &mut asked)
    })
}

/// Finds a room for `parcel`, moving others on where that helps (Kuhn's algorithm). Not deeper
/// than there are rooms.
fn place(
    parcel: usize,
    rooms: &[Dimensions],
    parcels: &[Dimensions],
    taken_by: &mut [Option<usize>],
    asked: &mut [bool],
) -> bool {
    for room in 0..rooms.len() {
        if asked[room] || !parcels[parcel].fits_into(rooms[room]) {
            continue;
        }
        asked[room] = true;
        let free = match taken_by[room] {
            None => true,
            Some(other) => place(other, rooms, parcels, taken_by, asked),
        };
        if free {
            taken_by[room] = Some(parcel);
            return true;
        }
    }
    false
}
