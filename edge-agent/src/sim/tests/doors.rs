//! What breaks about doors, locks and sensors.

use super::*;

const CU16_STATUS: [u8; 5] = [0x02, 0x00, 0x30, 0x03, 0x35];

/// The hooks and the infrared sensors of CU16 board 0.
fn bits(rig: &mut Rig) -> (u16, u16) {
    let replies = rig.ask(&CU16_STATUS);
    let [reply] = replies.as_slice() else { panic!("one reply: {replies:02X?}") };
    (u16::from_le_bytes([reply[3], reply[4]]), u16::from_le_bytes([reply[5], reply[6]]))
}

fn unlock(lock: u8) -> Vec<u8> {
    summed(vec![0x02, lock, 0x31, 0x03])
}

#[test]
fn a_jammed_lock_is_pulsed_and_stays() {
    let mut rig = Rig::cu16(&[0]);
    rig.tell("jam 3 on");
    rig.ask(&unlock(3));
    rig.at(5_000);
    assert_eq!(rig.events(), [(0, 3, What::Pulse(1))]);
    assert_eq!(bits(&mut rig).0, 0xFFFF);
    rig.tell("jam 3 off");
    rig.ask(&unlock(3));
    rig.at(6_000);
    assert_eq!(bits(&mut rig).0, 0xFFF7);
}

#[test]
fn a_door_that_opens_a_crack_reads_open_and_then_shut() {
    let mut rig = Rig::cu16(&[0]);
    rig.tell("crack 0 3 200");
    rig.ask(&unlock(3));
    rig.at(100);
    assert_eq!(bits(&mut rig).0, 0xFFF7);
    rig.at(280);
    assert_eq!(bits(&mut rig).0, 0xFFFF);
    assert_eq!(rig.events(), [(0, 3, What::Pulse(1)), (0, 3, What::Opened), (0, 3, What::Closed)]);
}

#[test]
fn a_slow_door_takes_its_time() {
    let mut rig = Rig::cu16(&[0]);
    rig.tell("slow 3 2500");
    rig.ask(&unlock(3));
    rig.at(2_499);
    assert_eq!(bits(&mut rig).0, 0xFFFF);
    rig.at(2_500);
    assert_eq!(bits(&mut rig).0, 0xFFF7);
}

#[test]
fn a_door_opens_by_itself_at_once_or_later() {
    let mut rig = Rig::cu16(&[0]);
    rig.tell("open 3");
    rig.tell("pop 4 300");
    assert_eq!(bits(&mut rig).0, 0xFFF7);
    rig.at(300);
    assert_eq!(bits(&mut rig).0, 0xFFE7);
    assert_eq!(rig.bank.pulses(), 0);
    rig.tell("pop 5 300");
    rig.tell("reset");
    rig.at(900);
    assert_eq!(rig.open(0), [3, 4], "a reset ends what was to come");
}

#[test]
fn a_neighbour_pops_with_its_door() {
    let mut rig = Rig::cu16(&[0, 1]);
    rig.tell("sympathetic 0:3 1:4");
    rig.ask(&unlock(3));
    rig.at(80);
    assert_eq!((rig.open(0), rig.open(1)), (vec![3], vec![4]));
    assert_eq!(rig.bank.pulses(), 1, "only one was energised");
    rig.tell("close 0:3");
    rig.tell("close 1:4");
    rig.tell("jam 0:3 on");
    rig.at(1_000);
    rig.ask(&unlock(3));
    rig.at(2_000);
    assert!(rig.open(1).is_empty(), "what does not move shakes nothing");
    for nonsense in ["sympathetic 3 3", "sympathetic 3 1:*", "sympathetic * 3"] {
        assert_eq!(rig.answer(nonsense), "error OTHER has to be one lock, and not the same");
    }
}

#[test]
fn a_stuck_hook_says_nothing_of_its_door() {
    let mut rig = Rig::cu16(&[0]);
    rig.tell("hook 3 closed");
    rig.tell("hook 4 open");
    assert_eq!(bits(&mut rig).0, 0xFFEF);
    rig.ask(&unlock(3));
    rig.at(80);
    assert_eq!(bits(&mut rig).0, 0xFFEF);
    assert_eq!(rig.open(0), [3]);
    rig.tell("hook * off");
    assert_eq!(bits(&mut rig).0, 0xFFF7);
}

#[test]
fn a_stuck_infrared_sensor_says_nothing_of_the_compartment() {
    let mut rig = Rig::cu16(&[0]);
    rig.tell("infrared 3 full");
    rig.tell("infrared 4 empty");
    rig.tell("open 4");
    rig.tell("put 4");
    assert_eq!(bits(&mut rig).1, 0x0008);
    rig.tell("infrared 4 off");
    assert_eq!(bits(&mut rig).1, 0x0018);
    let answer = Rig::cu48(&[0]).answer("infrared 3 full");
    assert_eq!(answer, "error cu48 boards have no infrared sensors");
}

#[test]
fn an_inverted_lock_is_the_other_way_round_than_its_board() {
    let mut rig = Rig::cu16(&[0]);
    rig.tell("invert 3 on");
    assert_eq!(bits(&mut rig).0, 0xFFF7);
    rig.tell("open 3");
    assert_eq!(bits(&mut rig).0, 0xFFFF);
}

#[test]
fn people_reach_only_into_open_compartments() {
    let mut rig = Rig::cu16(&[0]);
    assert_eq!(rig.answer("put 3"), "error the door of 0:3 is shut; open it first");
    rig.tell("open 3");
    rig.tell("put 3");
    rig.tell("put 3");
    assert_eq!(bits(&mut rig).1, 0x0008);
    rig.tell("take 3");
    rig.tell("close 3");
    assert_eq!(rig.answer("take 3"), "error the door of 0:3 is shut; open it first");
    let what: Vec<_> = rig.events().iter().map(|each| each.2).collect();
    assert_eq!(what, [What::Opened, What::Put, What::Taken, What::Closed]);
}

#[test]
fn a_visitor_reaches_in_when_the_door_opens() {
    let config = SimConfig {
        profile: Profile::Cu16,
        auto_close: Some(Duration::from_millis(600)),
        ..SimConfig::default()
    };
    let mut rig = Rig::new(config);
    rig.tell("visitor 3 put");
    rig.ask(&unlock(3));
    rig.at(5_000);
    let what: Vec<_> = rig.events().iter().map(|each| each.2).collect();
    assert_eq!(what, [What::Pulse(1), What::Opened, What::Put, What::Closed]);
    assert_eq!(bits(&mut rig), (0xFFFF, 0x0008));
    rig.tell("open 3");
    assert_eq!(bits(&mut rig).1, 0x0008, "he came once");
    rig.tell("close 3");
    rig.tell("visitor 3 take");
    rig.tell("open 3");
    assert_eq!(bits(&mut rig).1, 0);
}
