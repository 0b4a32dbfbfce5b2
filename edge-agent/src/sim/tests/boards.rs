//! What is wrong with whole boards and their supply.

use super::*;

#[test]
fn a_board_set_to_another_address_moves_both_doors_and_overlays_the_reply() {
    let mut rig = Rig::cu48(&[0, 1]);
    rig.tell("clash 1 0");
    assert_eq!(rig.ask(&STATUS), [ALL_CLOSED], "equal replies overlay perfectly");
    assert!(rig.ask(&cu48_status(1)).is_empty(), "nobody is at its own address");
    rig.ask(&cu48_unlock(0, 3));
    rig.at(80);
    assert_eq!((rig.open(0), rig.open(1)), (vec![3], vec![3]));
    rig.tell("close 0:3");
    let garbled = rig.ask(&STATUS);
    assert_eq!(garbled.len(), 1);
    assert_eq!(garbled[0][4], 0xF7);
    let ored_sum = 0x64 & 0x5C;
    assert_eq!(garbled[0][11], ored_sum, "unequal replies spoil the sum");
    rig.tell("clash 1 off");
    assert_eq!(rig.ask(&cu48_status(1)).len(), 1);
}

#[test]
fn a_board_that_hears_two_addresses_is_seen_at_both() {
    let mut rig = Rig::cu48(&[0, 1]);
    rig.tell("clash 1 0 both");
    rig.ask(&cu48_unlock(0, 3));
    rig.at(80);
    for board in [0, 1] {
        let expected = summed(vec![0x02, board, 0, 0x65, 0xF7, 255, 255, 255, 255, 255, 0x03]);
        assert_eq!(rig.ask(&cu48_status(board)), [expected], "two sensors for one pulse");
    }
    rig.tell("close *");
    rig.at(1_000);
    rig.ask(&cu48_unlock(1, 5));
    rig.at(1_080);
    assert_eq!((rig.open(0), rig.open(1)), (vec![], vec![5]));
    assert_eq!(rig.answer("clash 1 1"), "error a board does not clash with itself");
    assert_eq!(rig.answer("clash 1 4"), "error there is no board 4; there are 0, 1");
}

#[test]
fn two_locks_on_a_weak_supply_make_boards_start_again() {
    let mut rig = Rig::cu48(&[0, 1, 2]);
    rig.tell("weak-supply 300");
    rig.ask(&cu48_unlock(0, 3));
    rig.at(50);
    rig.ask(&cu48_unlock(1, 4));
    assert!(rig.events().contains(&(1, 4, What::Reboot)));
    rig.at(100);
    assert!(rig.ask(&STATUS).is_empty() && rig.ask(&cu48_status(1)).is_empty());
    assert_eq!(rig.ask(&cu48_status(2)).len(), 1, "that board had no lock energised");
    rig.ask(&cu48_unlock(0, 7));
    assert_eq!(rig.bank.pulses(), 2, "a board that starts hears no unlock");
    rig.at(350);
    assert!(rig.open(0).is_empty() && rig.open(1).is_empty(), "the pulses were cut short");
    let blank = summed(vec![0x02, 0, 0, 0x65, 0, 0, 0, 0, 0, 0, 0x03]);
    assert_eq!(rig.ask(&STATUS), [blank], "it has not read its switches yet");
    assert_eq!(rig.ask(&STATUS), [ALL_CLOSED]);
    rig.ask(&cu48_unlock(0, 3));
    rig.at(500);
    assert_eq!(rig.open(0), [3], "one at a time is carried");
}

#[test]
fn open_all_on_a_weak_supply_ends_at_the_second_lock() {
    let mut rig = Rig::cu48(&[0]);
    rig.tell("weak-supply 300");
    rig.ask(&cu48_unlock(0, 0x30));
    rig.at(5_000);
    assert_eq!((rig.bank.pulses(), rig.open(0)), (2, vec![]));
}

#[test]
fn a_board_starts_again_by_command() {
    let mut rig = Rig::cu48(&[0, 1]);
    rig.tell("reboot 1 200");
    assert!(rig.ask(&cu48_status(1)).is_empty());
    assert_eq!(rig.ask(&STATUS).len(), 1);
    rig.at(200);
    assert_eq!(rig.ask(&cu48_status(1))[0][4], 0);
    assert_eq!(rig.ask(&cu48_status(1))[0][4], 0xFF);
}
