//! What spoils replies.

use super::*;
use crate::sim::board::Pace;

#[test]
fn a_mute_board_still_acts() {
    let mut rig = Rig::cu48(&[0, 1]);
    rig.tell("mute 0 on");
    assert!(rig.ask(&STATUS).is_empty());
    assert_eq!(rig.ask(&cu48_status(1)).len(), 1);
    rig.ask(&cu48_unlock(0, 3));
    rig.at(80);
    assert_eq!(rig.open(0), [3]);
    rig.tell("mute off");
    assert_eq!(rig.ask(&STATUS).len(), 1);
}

#[test]
fn so_many_replies_are_lost_and_no_more() {
    let mut rig = Rig::cu48(&[0, 1]);
    rig.tell("mute 0 2");
    let got: Vec<_> = (0..4).map(|_| rig.ask(&STATUS).len()).collect();
    assert_eq!(got, [0, 0, 1, 1]);
    rig.tell("mute 1");
    assert!(rig.ask(&STATUS).is_empty() && rig.ask(&cu48_status(1)).is_empty(), "one of each");
    assert!(rig.faults().is_empty());
}

#[test]
fn a_late_reply_is_late_for_its_board_only() {
    let mut rig = Rig::cu48(&[0, 1]);
    rig.tell("late 1 70");
    assert_eq!(rig.send(&STATUS)[0].late, Duration::ZERO);
    assert_eq!(rig.send(&cu48_status(1))[0].late, Duration::from_millis(70));
}

#[test]
fn replies_break_off_flip_and_have_noise_before_them() {
    let mut rig = Rig::cu48(&[0]);
    rig.tell("truncate 7");
    assert_eq!(rig.ask(&STATUS), [&ALL_CLOSED[..7]]);
    rig.tell("truncate off");
    rig.tell("flip 37");
    let mut flipped = ALL_CLOSED.to_vec();
    flipped[4] = 0xDF;
    assert_eq!(rig.ask(&STATUS), [flipped]);
    rig.tell("flip off");
    rig.tell("noise 3");
    let noisy = rig.ask(&STATUS);
    assert_eq!((noisy[0].len(), &noisy[0][3..]), (15, &ALL_CLOSED[..]));
    rig.tell("noise off");
    rig.tell("garbage on");
    let garbage = rig.ask(&STATUS);
    assert!(garbage.len() == 1 && !garbage[0].ends_with(&ALL_CLOSED));
    rig.tell("garbage off");
    assert_eq!(rig.ask(&STATUS), [ALL_CLOSED]);
    for beyond in ["flip 96", "truncate 13"] {
        assert_eq!(rig.answer(beyond), "error a cu48 reply has 12 bytes, so bits 0 to 95");
    }
}

#[test]
fn a_stale_line_answers_the_request_before() {
    let mut rig = Rig::cu48(&[0, 1]);
    rig.tell("stale on");
    assert!(rig.ask(&STATUS).is_empty());
    rig.tell("open 0");
    assert_eq!(rig.ask(&cu48_status(1)), [ALL_CLOSED], "board 0 answers what board 1 was asked");
    assert_eq!(rig.ask(&STATUS)[0][1], 1);
    rig.tell("stale off");
    assert_eq!(rig.ask(&STATUS), [FIRST_OPEN]);
}

#[test]
fn two_replies_come_in_one_piece() {
    let mut rig = Rig::cu48(&[0, 1]);
    rig.tell("merge on");
    assert!(rig.ask(&STATUS).is_empty());
    let merged = rig.send(&cu48_status(1));
    assert_eq!(merged.len(), 1);
    assert_eq!((merged[0].bytes.len(), merged[0].pace), (24, Pace::AtOnce));
    assert_eq!((merged[0].bytes[1], merged[0].bytes[13]), (0, 1));
}

#[test]
fn replies_are_split_into_single_bytes() {
    let mut rig = Rig::cu48(&[0]);
    rig.tell("split 20");
    assert_eq!(rig.send(&STATUS)[0].pace, Pace::Gap(Duration::from_millis(20)));
}
