//! The vendor's own example frames, byte for byte, and properties over all others.

use proptest::prelude::*;

use super::*;
use crate::board::position::{BoardAddrError, LockIndexError};
use crate::board::profile::fuzz_decode;

fn board(addr: u8) -> BoardAddr {
    addr.try_into().unwrap()
}

fn lock(index: u8) -> LockIndex {
    index.try_into().unwrap()
}

fn locked(bits: StatusBits) -> Vec<u8> {
    (0..LOCKS_PER_BOARD).filter(|index| bits.bit(lock(*index))).collect()
}

fn reply(addr: u8, data: [u8; 6]) -> Vec<u8> {
    let mut frame = vec![STX, addr, 0, REPLY_STATUS];
    frame.extend(data);
    frame.push(ETX);
    frame.push(checksum(&frame));
    frame
}

#[test]
fn requests_match_the_vendor_examples() {
    assert_eq!(encode_status(board(0), PollForm::LockZero), [0x02, 0x00, 0x00, 0x50, 0x03, 0x55]);
    assert_eq!(encode_unlock(board(0), lock(0)), [0x02, 0x00, 0x00, 0x51, 0x03, 0x56]);
}

#[test]
fn requests_match_the_computed_vectors() {
    assert_eq!(encode_unlock(board(0), lock(47)), [0x02, 0x00, 0x2F, 0x51, 0x03, 0x85]);
    assert_eq!(encode_unlock(board(1), lock(23)), [0x02, 0x01, 0x17, 0x51, 0x03, 0x6E]);
    assert_eq!(encode_status(board(9), PollForm::LockZero), [0x02, 0x09, 0x00, 0x50, 0x03, 0x5E]);
    assert_eq!(
        encode_status(board(0), PollForm::UnusableLock),
        [0x02, 0x00, 0x73, 0x50, 0x03, 0xC8]
    );
}

#[test]
fn replies_of_the_vendor_examples_decode() {
    let first = [0x02, 0x00, 0x00, 0x65, 0x07, 0x00, 0x00, 0x00, 0x00, 0xC0, 0x03, 0x31];
    assert_eq!(locked(decode_status(board(0), &first).unwrap()), [0, 1, 2, 46, 47]);
    let second = [0x02, 0x01, 0x00, 0x65, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x03, 0xEB];
    assert_eq!(locked(decode_status(board(1), &second).unwrap()), [23]);
}

#[test]
fn replies_of_the_computed_vectors_decode() {
    let all = [0x02, 0x00, 0x00, 0x65, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x03, 0x64];
    assert_eq!(locked(decode_status(board(0), &all).unwrap()).len(), 48);
    let but_first = [0x02, 0x00, 0x00, 0x65, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x03, 0x63];
    assert_eq!(locked(decode_status(board(0), &but_first).unwrap()), (1..48).collect::<Vec<_>>());
}

/// The document's broadcast poll, open-all and open-everything: their checksums prove our rule, and
/// no address or index that makes them exists.
#[test]
fn the_dangerous_vendor_frames_cannot_be_expressed() {
    for frame in [
        [0x02, 0x0A, 0x00, 0x50, 0x03, 0x5F],
        [0x02, 0x00, 0x30, 0x51, 0x03, 0x86],
        [0x02, 0x0A, 0x30, 0x51, 0x03, 0x90_u8],
    ] {
        assert_eq!(checksum(&frame[..5]), frame[5]);
    }
    assert_eq!(BoardAddr::try_from(0x0A), Err(BoardAddrError { addr: 0x0A }));
    assert_eq!(LockIndex::try_from(0x30), Err(LockIndexError { lock: 0x30 }));
    assert!(serde_json::from_str::<BoardAddr>("10").is_err());
    assert!(serde_json::from_str::<LockIndex>("48").is_err());
}

#[test]
fn each_defect_of_a_reply_has_its_own_error() {
    let good = reply(3, [1, 2, 3, 4, 5, 6]);
    let broken = |at: usize, byte: u8| {
        let mut frame = good.clone();
        frame[at] = byte;
        frame[11] = checksum(&frame[..11]);
        frame
    };
    let decode = |bytes: &[u8]| decode_status(board(3), bytes).unwrap_err();
    assert!(decode_status(board(3), &good).is_ok());
    assert_eq!(decode(&good[..11]), DecodeStatusError::Length { got: 11, expected: 12 });
    assert_eq!(decode(&broken(0, 0x03)), DecodeStatusError::Start { got: 0x03 });
    assert_eq!(decode(&broken(10, 0x02)), DecodeStatusError::End { got: 0x02 });
    assert_eq!(decode(&broken(3, 0x50)), DecodeStatusError::ReplyCode { got: 0x50 });
    assert_eq!(
        decode(&broken(1, 4)),
        DecodeStatusError::ForeignBoard { got: 4, expected: board(3) }
    );
    let mut flipped = good.clone();
    flipped[7] ^= 0x10;
    assert!(matches!(decode(&flipped), DecodeStatusError::Checksum { .. }));
}

#[test]
fn the_newer_variant_is_told_apart_whatever_its_length() {
    assert_eq!(
        decode_status(board(0), &[0x02, 0, 0, 0x75, 0x03, 0x7A]),
        Err(DecodeStatusError::NewerVariant)
    );
    let mut status = reply(0, [0; 6]);
    status[3] = 0x75;
    assert_eq!(decode_status(board(0), &status), Err(DecodeStatusError::NewerVariant));
}

/// How many bits separate a poll from the nearest unlock frame that a board would act on: the
/// reason for `PollForm::UnusableLock`.
#[test]
fn a_poll_with_the_unusable_lock_number_is_six_flips_from_any_unlock() {
    let nearest = |addr: u8, form: PollForm| {
        let poll = encode_status(board(addr), form);
        let frames = (0..=0x0A_u8).flat_map(|to| (0..=0x30_u8).map(move |lock| (to, lock)));
        let distance = |(to, lock): (u8, u8)| {
            let body = [STX, to, lock, CMD_UNLOCK, ETX];
            let frame = [body[0], body[1], body[2], body[3], body[4], checksum(&body)];
            poll.iter().zip(frame).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>()
        };
        frames.map(distance).min().unwrap()
    };
    assert_eq!((0..10).map(|addr| nearest(addr, PollForm::UnusableLock)).min(), Some(6));
    assert_eq!(nearest(1, PollForm::LockZero), 2);
    assert_eq!(nearest(0, PollForm::LockZero), 3);
}

proptest! {
    #[test]
    fn no_value_that_can_be_built_encodes_a_broadcast_or_an_open_all(addr: u8, index: u8) {
        let (Ok(board), Ok(lock)) = (BoardAddr::try_from(addr), LockIndex::try_from(index)) else {
            prop_assert!(addr >= 0x0A || index >= 0x30);
            return Ok(());
        };
        let frame = encode_unlock(board, lock);
        prop_assert_eq!(frame[3], CMD_UNLOCK);
        prop_assert!(frame[1] < 0x0A && frame[2] < 0x30);
        for form in [PollForm::LockZero, PollForm::UnusableLock] {
            let poll = encode_status(board, form);
            prop_assert!(poll[3] == CMD_STATUS && poll[1] < 0x0A);
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        fuzz_decode(&bytes);
    }

    #[test]
    fn no_damage_of_a_reply_makes_the_decoder_panic(data: [u8; 6], addr in 0..12_u8, at in 0..12_usize, byte: u8, cut in 0..=12_usize) {
        let mut frame = reply(addr, data);
        frame[at] = byte;
        fuzz_decode(&frame[..cut]);
        fuzz_decode(&frame);
    }

    #[test]
    fn every_bit_is_found_at_its_lock(data: [u8; 6], addr in 0..10_u8) {
        let bits = decode_status(board(addr), &reply(addr, data)).unwrap();
        for index in 0..LOCKS_PER_BOARD {
            let expected = data[usize::from(index / 8)] >> (index % 8) & 1 == 1;
            prop_assert_eq!(bits.bit(lock(index)), expected);
        }
    }
}
