//! The bytes of the Kerong CU16 and NCU16L lock boards, and nothing else.
//!
//! No vendor document of this protocol is public; these are the frames on which eight independent
//! programs that drive such boards agree. RS-485, 19200 baud, 8N1. A request is `02 ADDR CMD 03 SUM`, a
//! status reply `02 ADDR 35 D1 D2 D3 D4 03 SUM`. ADDR carries the board in its high and the lock in
//! its low half, both from 0; D1 and D2 are the hooks, D3 and D4 the infrared sensors, lowest number
//! in bit 0; SUM is the low byte of the sum of all bytes before it.
//!
//! On this wire lock 16 of board 0 is lock 0 of board 1, "open all" (0x33) is one bit from "status of
//! all" (0x32), and the command that sets the pulse time (0x37) burns a coil if its two bytes are
//! swapped. [`Cu16Lock`] cannot hold the first, and nothing here can make the others.

use super::position::{BoardAddr, LockIndex};
use super::profile::{DecodeStatusError, ETX, NoSuchLock, STX, StatusBits, checksum};

/// Bytes of every request.
pub const REQUEST_BYTES: usize = 5;
/// Bytes of every status reply.
pub const REPLY_BYTES: usize = 9;
/// Locks that one board drives.
pub const LOCKS_PER_BOARD: u8 = 16;

/// Request: tell the state of one board.
const CMD_STATUS: u8 = 0x30;
/// Request: energise one lock. The board does not answer it.
const CMD_UNLOCK: u8 = 0x31;
/// Marker of a status reply.
const REPLY_STATUS: u8 = 0x35;

/// Place of a lock on a CU16: 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cu16Lock(u8);

impl TryFrom<LockIndex> for Cu16Lock {
    type Error = NoSuchLock;

    fn try_from(lock: LockIndex) -> Result<Self, Self::Error> {
        let lock = lock.get();
        let refused = NoSuchLock { lock, locks: LOCKS_PER_BOARD };
        if lock < LOCKS_PER_BOARD { Ok(Self(lock)) } else { Err(refused) }
    }
}

/// Encodes the request for the state of one board.
///
/// The board ignores the low half of ADDR here. It is 0, which keeps ADDR even: then three bits
/// separate the poll from the nearest frame that opens anything, with an odd ADDR only two.
#[must_use]
pub fn encode_status(board: BoardAddr) -> [u8; REQUEST_BYTES] {
    request(board, 0, CMD_STATUS)
}

/// Encodes the request that energises one lock.
#[must_use]
pub fn encode_unlock(board: BoardAddr, lock: Cu16Lock) -> [u8; REQUEST_BYTES] {
    request(board, lock.0, CMD_UNLOCK)
}

/// Decodes a status reply of the board that was asked.
///
/// # Errors
/// When the bytes are not exactly one well-formed status reply of `expected`.
pub fn decode_status(expected: BoardAddr, bytes: &[u8]) -> Result<StatusBits, DecodeStatusError> {
    let &[start, addr, code, d1, d2, d3, d4, end, sum] = bytes else {
        return Err(DecodeStatusError::Length { got: bytes.len(), expected: REPLY_BYTES });
    };
    if start != STX {
        return Err(DecodeStatusError::Start { got: start });
    }
    if end != ETX {
        return Err(DecodeStatusError::End { got: end });
    }
    let computed = checksum(&bytes[..REPLY_BYTES - 1]);
    if sum != computed {
        return Err(DecodeStatusError::Checksum { got: sum, computed });
    }
    if addr != expected.get() << 4 {
        return Err(DecodeStatusError::ForeignBoard { got: addr, expected });
    }
    if code != REPLY_STATUS {
        return Err(DecodeStatusError::ReplyCode { got: code });
    }
    let hooks = u16::from_le_bytes([d1, d2]);
    let objects = u16::from_le_bytes([d3, d4]);
    Ok(StatusBits::new(hooks.into(), Some(objects.into())))
}

fn request(board: BoardAddr, low_half: u8, command: u8) -> [u8; REQUEST_BYTES] {
    let body = [STX, board.get() << 4 | low_half, command, ETX];
    [body[0], body[1], body[2], body[3], checksum(&body)]
}

#[cfg(test)]
mod tests;
