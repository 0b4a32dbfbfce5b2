//! Ladders, and the frozen bytes of a changed key.

use proptest::prelude::*;

use super::*;

#[test]
fn a_ladder_goes_down_from_the_head_in_doubling_steps() {
    assert_eq!(ladder(1, 0, None), [0]);
    assert_eq!(ladder(1, 1, None), [1, 0]);
    assert_eq!(ladder(1, 10, None), [10, 9, 8, 6, 2, 0]);
    assert_eq!(ladder(5, 10, None), [10, 9, 8, 6, 4]);
    assert_eq!(ladder(11, 10, None), [10]);
    assert_eq!(ladder(1, 10, Some(5)), [10, 9, 8, 6, 5, 2, 0]);
    // What is not there is not said.
    assert_eq!(ladder(5, 10, Some(3)), [10, 9, 8, 6, 4]);
    assert_eq!(ladder(1, 10, Some(11)), [10, 9, 8, 6, 2, 0]);
}

proptest! {
    #[test]
    fn a_ladder_is_short_and_begins_and_ends_right(
        head in any::<u64>(),
        oldest in any::<u64>(),
        asked in proptest::option::of(any::<u64>()),
    ) {
        let oldest = oldest.clamp(1, head.saturating_add(1));
        let rungs = ladder(oldest, head, asked);
        prop_assert!(rungs.len() <= RUNGS_MAX);
        prop_assert!(rungs.is_sorted_by(|one, next| one > next));
        prop_assert_eq!(rungs.first(), Some(&head));
        prop_assert_eq!(rungs.last(), Some(&(oldest - 1)));
    }
}

#[test]
fn the_bytes_that_the_old_key_signs_are_frozen() {
    let changed = KeyChanged { old: Some([1; 32]), new: [2; 32], signature: None };
    let bytes = changed.signed_bytes(StreamId([0x44; 16]), 17);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let frozen = [
        "706f737465726e2d6b65792d6368616e67652d763100".to_owned(),
        "44".repeat(16),
        "0000000000000011".to_owned(),
        "01".repeat(32),
        "02".repeat(32),
    ];
    assert_eq!(hex, frozen.concat());
    let unknown = KeyChanged { old: None, ..changed };
    assert_ne!(unknown.signed_bytes(StreamId([0x44; 16]), 17), bytes);
}

#[test]
fn what_removes_is_not_carried() {
    let removed = Change::CompartmentRemoved(CompartmentNo(1));
    let session = Change::Session(None);
    assert_eq!(StateCarried::new(vec![removed, session.clone()]).entities(), [session]);
}
