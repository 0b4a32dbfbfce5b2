//! Where compartments hang.

use super::{Boards, Profile};

fn wiring(addresses: &[u8], count: usize) -> Vec<(u8, u8)> {
    Boards { profile: Profile::Cu16, addresses: addresses.to_vec() }.wiring(count)
}

#[test]
fn compartments_fill_one_board_after_the_other() {
    assert_eq!(wiring(&[0], 3), [(0, 0), (0, 1), (0, 2)]);
    assert_eq!(wiring(&[3, 7], 4), [(3, 0), (3, 1), (7, 0), (7, 1)]);
    assert_eq!(wiring(&[3, 7], 3), [(3, 0), (3, 1), (7, 0)]);
    assert_eq!(wiring(&[1], 0), []);
}
