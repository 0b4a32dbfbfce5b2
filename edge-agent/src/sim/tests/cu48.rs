//! CU48 against the vendor document's own frames.

use super::*;

#[test]
fn the_vendor_status_examples_come_back() {
    let mut rig = Rig::cu48(&[0, 1]);
    for lock in (0..48).filter(|lock| ![0, 1, 2, 46, 47].contains(lock)) {
        rig.tell(&format!("open 0:{lock}"));
    }
    for lock in (0..48).filter(|lock| *lock != 23) {
        rig.tell(&format!("open 1:{lock}"));
    }
    let first = vec![0x02, 0x00, 0x00, 0x65, 0x07, 0x00, 0x00, 0x00, 0x00, 0xC0, 0x03, 0x31];
    let second = vec![0x02, 0x01, 0x00, 0x65, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x03, 0xEB];
    assert_eq!(rig.ask(&STATUS), std::slice::from_ref(&first));
    let every_board = [0x02, 0x0A, 0x00, 0x50, 0x03, 0x5F];
    assert_eq!(rig.ask(&every_board), [first, second]);
}

#[test]
fn all_closed_and_one_open_read_as_computed() {
    let mut rig = Rig::cu48(&[0]);
    assert_eq!(rig.ask(&STATUS), [ALL_CLOSED]);
    rig.tell("open 0");
    assert_eq!(rig.ask(&STATUS), [FIRST_OPEN]);
    let unusable_lock = [0x02, 0x00, 0x73, 0x50, 0x03, 0xC8];
    assert_eq!(rig.ask(&unusable_lock), [FIRST_OPEN], "the lock number of a poll means nothing");
}

#[test]
fn an_unlock_is_not_answered_and_moves_its_door_in_time() {
    let auto_close = Some(Duration::from_millis(900));
    let mut rig = Rig::new(SimConfig { auto_close, ..SimConfig::default() });
    assert!(rig.ask(&[0x02, 0x00, 0x00, 0x51, 0x03, 0x56]).is_empty());
    assert!(rig.ask(&[0x02, 0x00, 0x2F, 0x51, 0x03, 0x85]).is_empty());
    rig.at(5_000);
    let events = rig.events();
    let of = |lock| events.iter().filter(move |each| each.1 == lock).map(|each| each.2);
    assert!(of(0).eq([What::Pulse(1), What::Opened, What::Closed]));
    assert!(of(47).eq([What::Pulse(2), What::Overload, What::Opened, What::Closed]));
}

#[test]
fn only_a_valid_unlock_frame_is_a_pulse() {
    let mut rig = Rig::cu48(&[0]);
    let mut damaged = cu48_unlock(0, 3);
    damaged[5] ^= 1;
    for frame in [damaged, cu48_unlock(1, 3), cu48_unlock(0, 0x31), vec![0x02, 0x00]] {
        assert!(rig.ask(&frame).is_empty());
    }
    assert_eq!(rig.bank.pulses(), 0);
    rig.ask(&cu48_unlock(0, 3));
    assert_eq!(rig.bank.pulses(), 1, "the next good frame is found behind the noise");
}

/// What our agent must never send does here what it does in steel.
#[test]
fn the_open_all_frames_open_all() {
    let mut rig = Rig::cu48(&[0, 1]);
    rig.ask(&[0x02, 0x00, 0x30, 0x51, 0x03, 0x86]);
    assert_eq!(rig.bank.pulses(), 48);
    rig.ask(&[0x02, 0x0A, 0x30, 0x51, 0x03, 0x90]);
    assert_eq!(rig.bank.pulses(), 48 + 96);
    assert!(rig.events().iter().any(|each| each.2 == What::Overload));
}

#[test]
fn two_locks_energised_at_once_are_an_overload() {
    let mut rig = Rig::cu48(&[0]);
    rig.ask(&cu48_unlock(0, 1));
    rig.at(600);
    rig.ask(&cu48_unlock(0, 2));
    assert!(!rig.events().iter().any(|each| each.2 == What::Overload));
    rig.at(700);
    rig.ask(&cu48_unlock(0, 3));
    assert!(rig.events().contains(&(0, 3, What::Overload)));
}
