//! Frames seen in programs that drive the real board, byte for byte, and properties over all others.

use proptest::prelude::*;

use super::*;

fn board(addr: u8) -> BoardAddr {
    addr.try_into().unwrap()
}

fn lock(index: u8) -> LockIndex {
    index.try_into().unwrap()
}

fn unlock(addr: u8, index: u8) -> [u8; REQUEST_BYTES] {
    encode_unlock(board(addr), lock(index).try_into().unwrap())
}

fn numbers(told: impl Fn(LockIndex) -> bool) -> Vec<u8> {
    (0..LOCKS_PER_BOARD).filter(|index| told(lock(*index))).collect()
}

/// Locks with hook bit 1, locks with an object.
fn read(addr: u8, bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let bits = decode_status(board(addr), bytes).unwrap();
    (numbers(|lock| bits.bit(lock)), numbers(|lock| bits.object(lock) == Some(true)))
}

fn reply(addr: u8, code: u8, data: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![STX, addr, code];
    frame.extend(data);
    frame.push(ETX);
    frame.push(checksum(&frame));
    frame
}

#[test]
fn requests_match_the_frames_seen() {
    assert_eq!(encode_status(board(0)), [0x02, 0x00, 0x30, 0x03, 0x35]);
    assert_eq!(unlock(0, 0), [0x02, 0x00, 0x31, 0x03, 0x36]);
}

#[test]
fn requests_match_the_computed_vectors() {
    assert_eq!(unlock(0, 15), [0x02, 0x0F, 0x31, 0x03, 0x45]);
    assert_eq!(encode_status(board(1)), [0x02, 0x10, 0x30, 0x03, 0x45]);
    assert_eq!(unlock(1, 0), [0x02, 0x10, 0x31, 0x03, 0x46]);
    assert_eq!(unlock(3, 10), [0x02, 0x3A, 0x31, 0x03, 0x70]);
}

#[test]
fn replies_of_the_computed_vectors_decode() {
    let all: Vec<u8> = (0..16).collect();
    let closed = [0x02, 0x00, 0x35, 0xFF, 0xFF, 0x00, 0x00, 0x03, 0x38];
    assert_eq!(read(0, &closed), (all.clone(), vec![]));
    let first_open = [0x02, 0x00, 0x35, 0xFE, 0xFF, 0x00, 0x00, 0x03, 0x37];
    assert_eq!(read(0, &first_open), (all[1..].to_vec(), vec![]));
    let two_parcels = [0x02, 0x00, 0x35, 0xFF, 0xFF, 0x01, 0x80, 0x03, 0xB9];
    assert_eq!(read(0, &two_parcels), (all.clone(), vec![0, 15]));
    let last_open = [0x02, 0x10, 0x35, 0xFF, 0x7F, 0x00, 0x00, 0x03, 0xC8];
    assert_eq!(read(1, &last_open), (all[..15].to_vec(), vec![]));
}

/// Replies to the bus-wide request, which we never send: whole frames, but not an answer to ours.
#[test]
fn replies_of_the_other_kind_are_refused() {
    let zero = [0x02, 0x00, 0x36, 0x00, 0x00, 0x00, 0x00, 0x03, 0x3B];
    assert_eq!(decode_status(board(0), &zero), Err(DecodeStatusError::ReplyCode { got: 0x36 }));
    let of_one = [0x02, 0x10, 0x36, 0x00, 0x00, 0x00, 0x00, 0x03, 0x4B];
    assert_eq!(decode_status(board(1), &of_one), Err(DecodeStatusError::ReplyCode { got: 0x36 }));
}

/// The bus-wide status, open-all, and the pulse time in both byte orders (which have one checksum):
/// the sums prove our rule, and no address, lock or function makes these frames.
#[test]
fn h04_frames_that_hold_a_coil_or_open_all_cannot_be_expressed() {
    for frame in [
        &[0x02, 0xF0, 0x32, 0x03, 0x27_u8][..],
        &[0x02, 0x00, 0x32, 0x03, 0x37],
        &[0x02, 0x00, 0x33, 0x03, 0x38],
        &[0x02, 0x00, 0x37, 0x00, 0x32, 0x03, 0x6E],
        &[0x02, 0x00, 0x37, 0x32, 0x00, 0x03, 0x6E],
    ] {
        let (sum, body) = frame.split_last().unwrap();
        assert_eq!(checksum(body), *sum);
        for addr in 0..10 {
            assert_ne!(&encode_status(board(addr))[..], frame);
            assert!((0..16).all(|index| &unlock(addr, index)[..] != frame));
        }
    }
    assert!(BoardAddr::try_from(0x0F).is_err(), "the address of every board");
}

/// A program that packs the lock into the low half without a check opens lock 1 of board 1 for lock 17
/// of board 0, and goes on up to 254.
#[test]
fn lock_16_never_reaches_the_next_board() {
    for index in 16..48 {
        let refused = Cu16Lock::try_from(lock(index));
        assert_eq!(refused, Err(NoSuchLock { lock: index, locks: 16 }));
    }
    for number in [201, 254] {
        assert!(LockIndex::try_from(number).is_err());
    }
}

/// A program whose sum saturates instead of wrapping is right up to the 202nd lock of the bus only.
#[test]
fn the_checksum_wraps() {
    assert_eq!(checksum(&[STX, 201, CMD_UNLOCK, ETX]), 0xFF);
    assert_eq!(checksum(&[STX, 202, CMD_UNLOCK, ETX]), 0x00);
    assert_eq!(checksum(&[STX, 254, CMD_UNLOCK, ETX]), 0x34);
}

#[test]
fn each_defect_of_a_reply_has_its_own_error() {
    let good = reply(0x30, REPLY_STATUS, [1, 2, 3, 4]);
    let decode = |bytes: &[u8]| decode_status(board(3), bytes).unwrap_err();
    assert!(decode_status(board(3), &good).is_ok());
    assert_eq!(decode(&good[..8]), DecodeStatusError::Length { got: 8, expected: 9 });
    let broken = |at: usize, byte: u8| {
        let mut frame = good.clone();
        frame[at] = byte;
        frame[8] = checksum(&frame[..8]);
        frame
    };
    assert_eq!(decode(&broken(0, 3)), DecodeStatusError::Start { got: 3 });
    assert_eq!(decode(&broken(7, 2)), DecodeStatusError::End { got: 2 });
    let foreign = DecodeStatusError::ForeignBoard { got: 0x40, expected: board(3) };
    assert_eq!(decode(&broken(1, 0x40)), foreign);
    let mut flipped = good.clone();
    flipped[4] ^= 0x10;
    assert!(matches!(decode(&flipped), DecodeStatusError::Checksum { .. }));
}

/// How many bits separate a poll from the nearest frame that opens one lock or all: why the low half
/// of ADDR is 0.
#[test]
fn a_poll_is_three_flips_from_any_frame_that_opens() {
    let nearest = |addr: u8, low_half: u8| {
        let poll = request(board(addr), low_half, CMD_STATUS);
        let frames = (0..=u8::MAX).flat_map(|to| [(to, CMD_UNLOCK), (to, 0x33)]);
        let distance = |(to, command): (u8, u8)| {
            let body = [STX, to, command, ETX];
            let frame = [body[0], body[1], body[2], body[3], checksum(&body)];
            poll.iter().zip(frame).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>()
        };
        frames.map(distance).min().unwrap()
    };
    for addr in 0..10 {
        assert_eq!(nearest(addr, 0), 3);
        assert!((0..16).all(|low_half| nearest(addr, low_half) <= 3), "none is better");
        assert_eq!(nearest(addr, 1), 2);
    }
}

proptest! {
    #[test]
    fn no_value_that_can_be_built_leaves_its_board_or_opens_all(addr: u8, index: u8) {
        let Ok(board) = BoardAddr::try_from(addr) else {
            prop_assert!(addr >= 10);
            return Ok(());
        };
        let poll = encode_status(board);
        prop_assert_eq!((poll[1], poll[2]), (addr << 4, CMD_STATUS));
        let lock = LockIndex::try_from(index).ok().and_then(|lock| Cu16Lock::try_from(lock).ok());
        let Some(lock) = lock else {
            prop_assert!(index >= 16);
            return Ok(());
        };
        let frame = encode_unlock(board, lock);
        prop_assert_eq!((frame[1] >> 4, frame[1] & 0x0F, frame[2]), (addr, index, CMD_UNLOCK));
    }

    #[test]
    fn no_damage_of_a_reply_makes_the_decoder_panic(
        data: [u8; 4], addr: u8, at in 0..9_usize, byte: u8, cut in 0..=9_usize,
    ) {
        let mut frame = reply(addr, REPLY_STATUS, data);
        frame[at] = byte;
        crate::board::profile::fuzz_decode(&frame[..cut]);
        crate::board::profile::fuzz_decode(&frame);
    }

    #[test]
    fn every_bit_is_found_at_its_lock(data: [u8; 4], addr in 0..10_u8) {
        let bits = decode_status(board(addr), &reply(addr << 4, REPLY_STATUS, data)).unwrap();
        for index in 0..LOCKS_PER_BOARD {
            let bit = |first: usize| data[first + usize::from(index / 8)] >> (index % 8) & 1 == 1;
            prop_assert_eq!(bits.bit(lock(index)), bit(0));
            prop_assert_eq!(bits.object(lock(index)), Some(bit(2)));
        }
    }
}
