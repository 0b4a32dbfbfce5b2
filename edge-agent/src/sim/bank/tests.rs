//! The simulated board against the vendor document's own frames.

use super::*;

const START: Duration = Duration::ZERO;

fn send(bank: &mut SimBank, frame: &[u8], now: Duration) -> Vec<Vec<u8>> {
    let mut reader = RequestReader::default();
    send_on(&mut reader, bank, frame, now)
}

fn send_on(
    reader: &mut RequestReader,
    bank: &mut SimBank,
    bytes: &[u8],
    now: Duration,
) -> Vec<Vec<u8>> {
    let requests: Vec<_> = bytes.iter().filter_map(|byte| reader.take(*byte)).collect();
    requests.into_iter().flat_map(|request| bank.receive(request, now)).collect()
}

fn unlock(board: u8, lock: u8) -> Vec<u8> {
    let mut frame = vec![0x02, board, lock, 0x51, 0x03];
    frame.push(checksum(&frame));
    frame
}

const STATUS: [u8; 6] = [0x02, 0x00, 0x00, 0x50, 0x03, 0x55];

#[test]
fn the_vendor_status_example_comes_back() {
    let mut bank = SimBank::new(SimConfig::default());
    for lock in (0..48).filter(|lock| ![0, 1, 2, 46, 47].contains(lock)) {
        assert!(bank.move_door(Some(0), lock, true, START));
    }
    let reply = vec![0x02, 0x00, 0x00, 0x65, 0x07, 0x00, 0x00, 0x00, 0x00, 0xC0, 0x03, 0x31];
    assert_eq!(send(&mut bank, &STATUS, START), [reply]);
}

#[test]
fn a_status_request_to_all_boards_is_answered_by_each() {
    let mut bank = SimBank::new(SimConfig { boards: vec![0, 1], ..SimConfig::default() });
    let replies = send(&mut bank, &[0x02, 0x0A, 0x00, 0x50, 0x03, 0x5F], START);
    assert_eq!(replies.iter().map(|reply| reply[1]).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn an_unlock_is_not_answered_and_moves_its_door_in_time() {
    let auto_close = Some(Duration::from_millis(900));
    let mut bank = SimBank::new(SimConfig { auto_close, ..SimConfig::default() });
    assert!(send(&mut bank, &unlock(0, 3), START).is_empty());
    bank.advance(Duration::from_secs(5));
    let what: Vec<_> = bank.take_occurrences().iter().map(|each| (each.lock, each.what)).collect();
    assert_eq!(what, [(3, What::Pulse(1)), (3, What::Opened), (3, What::Closed)]);
}

#[test]
fn only_a_valid_unlock_frame_is_a_pulse() {
    let mut bank = SimBank::new(SimConfig::default());
    let mut reader = RequestReader::default();
    let mut damaged = unlock(0, 3);
    damaged[5] ^= 1;
    for frame in [damaged, unlock(1, 3), unlock(0, 0x31), vec![0x02, 0x00]] {
        assert!(send_on(&mut reader, &mut bank, &frame, START).is_empty());
    }
    assert_eq!(bank.pulses(), 0);
    send_on(&mut reader, &mut bank, &unlock(0, 3), START);
    assert_eq!(bank.pulses(), 1, "the next good frame is found behind the noise");
}

/// What our agent must never send does here what it does in steel.
#[test]
fn the_open_all_frame_opens_all() {
    let mut bank = SimBank::new(SimConfig::default());
    send(&mut bank, &[0x02, 0x00, 0x30, 0x51, 0x03, 0x86], START);
    assert_eq!(bank.pulses(), 48);
    assert!(bank.take_occurrences().iter().any(|each| each.what == What::Overload));
}

#[test]
fn two_locks_energised_at_once_are_an_overload() {
    let mut bank = SimBank::new(SimConfig::default());
    send(&mut bank, &unlock(0, 1), START);
    send(&mut bank, &unlock(0, 2), Duration::from_millis(600));
    assert!(!bank.take_occurrences().iter().any(|each| each.what == What::Overload));
    send(&mut bank, &unlock(0, 3), Duration::from_millis(700));
    assert!(bank.take_occurrences().iter().any(|each| each.what == What::Overload));
}

#[test]
fn a_log_line_is_as_documented() {
    let at = Duration::from_millis(1_500);
    let pulse = Occurrence { at, board: 0, lock: 3, what: What::Pulse(1) };
    assert_eq!(pulse.to_json(0).to_string(), r#"{"board":0,"lock":3,"pulse":1,"t_ms":1500}"#);
    let opened = Occurrence { at, board: 0, lock: 3, what: What::Opened };
    assert_eq!(
        opened.to_json(100).to_string(),
        r#"{"board":0,"door":"open","lock":3,"t_ms":1600}"#
    );
}
