//! The numbers are frozen: they stand in journals and on disks.

use super::*;

#[test]
fn f02_a_state_of_one_version_has_its_number_and_one_of_two_has_no_versions_number() {
    for version in [1, 5, FOLD_VERSION, 0xffff] {
        assert_eq!(FoldedBy::from_number(version).number(), version);
    }
    assert_eq!(FoldedBy::THESE.number(), FOLD_VERSION);
    let mixed = FoldedBy::from_number(5).and_these();
    assert_eq!(mixed.number(), (5 << 16) | FOLD_VERSION);
    assert_eq!(FoldedBy::from_number(mixed.number()), mixed);
    assert!(!mixed.is_by_these_alone() && mixed.can_go_on());
    // The oldest is remembered through further versions.
    let older = FoldedBy::from_number((2 << 16) | 4);
    assert_eq!(older.and_these().number(), (2 << 16) | FOLD_VERSION);
    assert!(FoldedBy::THESE.is_by_these_alone());
    assert_eq!(FoldedBy::THESE.and_these(), FoldedBy::THESE);
    assert!(!FoldedBy::from_number(FOLD_VERSION + 1).can_go_on());
    assert!(!FoldedBy::from_number((5 << 16) | (FOLD_VERSION + 1)).can_go_on());
}
