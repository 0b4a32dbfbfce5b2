//! CU16 against the frames on which public code for these boards agrees.

use super::*;

const STATUS_0: [u8; 5] = [0x02, 0x00, 0x30, 0x03, 0x35];
const STATUS_1: [u8; 5] = [0x02, 0x10, 0x30, 0x03, 0x45];

#[test]
fn hooks_and_objects_read_as_computed() {
    let mut rig = Rig::cu16(&[0, 1]);
    assert_eq!(rig.ask(&STATUS_0), [[0x02, 0x00, 0x35, 0xFF, 0xFF, 0x00, 0x00, 0x03, 0x38]]);
    rig.tell("open 0:0");
    assert_eq!(rig.ask(&STATUS_0), [[0x02, 0x00, 0x35, 0xFE, 0xFF, 0x00, 0x00, 0x03, 0x37]]);
    rig.tell("open 0:15");
    rig.tell("put 0:0");
    rig.tell("put 0:15");
    rig.tell("close 0:0");
    rig.tell("close 0:15");
    assert_eq!(rig.ask(&STATUS_0), [[0x02, 0x00, 0x35, 0xFF, 0xFF, 0x01, 0x80, 0x03, 0xB9]]);
    rig.tell("open 1:15");
    assert_eq!(rig.ask(&STATUS_1), [[0x02, 0x10, 0x35, 0xFF, 0x7F, 0x00, 0x00, 0x03, 0xC8]]);
}

#[test]
fn the_lock_in_a_status_request_means_nothing() {
    let mut rig = Rig::cu16(&[0]);
    let whole = rig.ask(&STATUS_0);
    assert_eq!(rig.ask(&[0x02, 0x07, 0x30, 0x03, 0x3C]), whole);
}

#[test]
fn an_unlock_is_not_answered_and_opens_the_lock_in_the_low_half_of_the_address() {
    let mut rig = Rig::cu16(&[0, 1, 3]);
    for (frame, board, lock) in [
        ([0x02, 0x00, 0x31, 0x03, 0x36], 0, 0),
        ([0x02, 0x0F, 0x31, 0x03, 0x45], 0, 15),
        ([0x02, 0x10, 0x31, 0x03, 0x46], 1, 0),
        ([0x02, 0x3A, 0x31, 0x03, 0x70], 3, 10),
    ] {
        rig.at(u64::try_from(rig.now.as_millis()).unwrap() + 1_000);
        rig.events();
        assert!(rig.ask(&frame).is_empty());
        let pulses = rig.bank.pulses();
        rig.at(u64::try_from(rig.now.as_millis()).unwrap() + 80);
        assert_eq!(rig.events(), [(board, lock, What::Pulse(pulses)), (board, lock, What::Opened)]);
    }
}

#[test]
fn status_of_the_bus_is_answered_by_each_board_with_the_other_code() {
    let mut rig = Rig::cu16(&[0, 1]);
    rig.tell("hook * open");
    let first = [0x02, 0x00, 0x36, 0x00, 0x00, 0x00, 0x00, 0x03, 0x3B];
    let second = [0x02, 0x10, 0x36, 0x00, 0x00, 0x00, 0x00, 0x03, 0x4B];
    assert_eq!(rig.ask(&[0x02, 0xF0, 0x32, 0x03, 0x27]), [first, second]);
    assert_eq!(rig.ask(&[0x02, 0x00, 0x32, 0x03, 0x37]), [first]);
    assert_eq!(rig.ask(&[0x02, 0x10, 0x32, 0x03, 0x47]), [second]);
}

#[test]
fn frames_for_nobody_are_not_answered_and_open_nothing() {
    let mut rig = Rig::cu16(&[0]);
    for frame in [
        summed(vec![0x02, 0x20, 0x30, 0x03]),
        summed(vec![0x02, 0x20, 0x31, 0x03]),
        summed(vec![0x02, 0xF0, 0x31, 0x03]),
        vec![0x02, 0x00, 0x31, 0x03, 0x37],
        // Setting the unlock time, in both byte orders.
        vec![0x02, 0x00, 0x37, 0x00, 0x32, 0x03, 0x6E],
        vec![0x02, 0x00, 0x37, 0x32, 0x00, 0x03, 0x6E],
        // A CU48's.
        cu48_status(0),
        cu48_unlock(0, 3),
    ] {
        assert!(rig.ask(&frame).is_empty(), "{frame:02X?}");
    }
    assert_eq!(rig.bank.pulses(), 0);
    assert_eq!(rig.ask(&STATUS_0).len(), 1, "the next good frame is found behind the noise");
}

/// What our agent must never send does here what it does in steel.
#[test]
fn the_open_all_frame_opens_all_of_its_board() {
    let mut rig = Rig::cu16(&[0, 1]);
    assert!(rig.ask(&summed(vec![0x02, 0x10, 0x33, 0x03])).is_empty());
    rig.at(1_000);
    assert_eq!((rig.open(0).len(), rig.open(1).len()), (0, 16));
}

#[test]
fn inverted_boards_send_zero_for_locked() {
    let config = SimConfig { profile: Profile::Cu16, inverted: true, ..SimConfig::default() };
    let mut rig = Rig::new(config);
    rig.tell("open 3");
    rig.tell("put 3");
    assert_eq!(rig.ask(&STATUS_0), [summed(vec![0x02, 0x00, 0x35, 0x08, 0x00, 0x08, 0x00, 0x03])]);
}
