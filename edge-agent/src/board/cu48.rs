//! The bytes of the Kerong CU48 lock board, and nothing else.
//!
//! Source of every number here: "CU48 Protocol And Introduction", KERONG Industry (HK), V2.1 of
//! 2020-03-23. RS-485, 19200 baud, 8N1. A request is `02 ADDR LOCKNUM CMD 03 SUM`, a reply is
//! `02 ADDR xx 65 DATA1..DATA6 03 SUM`; SUM is the low byte of the sum of all bytes before it.
//!
//! On this wire "open all 48 locks" (LOCKNUM 0x30) and "every board" (ADDR 0x0A) each sit one past
//! the last good value. [`BoardAddr`] and [`LockIndex`] cannot hold them, so no caller can send them.

use super::position::{BoardAddr, LockIndex};
use super::profile::{DecodeStatusError, ETX, PollForm, STX, StatusBits, checksum};

/// Bytes of every request.
pub const REQUEST_BYTES: usize = 6;
/// Bytes of every status reply. (The document's introduction speaks of 32-byte packets; its field
/// tables and all its examples have 12.)
pub const REPLY_BYTES: usize = 12;
/// Locks that one board drives.
pub const LOCKS_PER_BOARD: u8 = 48;
/// Line rate in bits per second.
pub const BAUD: u32 = 19_200;

/// Request: tell the state of all hooks.
const CMD_STATUS: u8 = 0x50;
/// Request: energise one lock. The board does not answer it.
const CMD_UNLOCK: u8 = 0x51;
/// Marker of a status reply.
const REPLY_STATUS: u8 = 0x65;
/// Marker of replies of a newer firmware (commands 0x60 and 0x61), which is not supported.
const REPLY_NEWER_VARIANT: u8 = 0x75;
/// A lock number outside the document's 0x00..=0x30. A poll that carries it is six flipped bits
/// away from the nearest unlock frame that the board would take; with lock number 0 it is two.
const UNUSABLE_LOCK: u8 = 0x73;

/// Encodes the request for the hook states of one board.
#[must_use]
pub fn encode_status(board: BoardAddr, form: PollForm) -> [u8; REQUEST_BYTES] {
    let lock_number = match form {
        PollForm::UnusableLock => UNUSABLE_LOCK,
        PollForm::LockZero => 0,
    };
    request(board, lock_number, CMD_STATUS)
}

/// Encodes the request that energises one lock.
#[must_use]
pub fn encode_unlock(board: BoardAddr, lock: LockIndex) -> [u8; REQUEST_BYTES] {
    request(board, lock.get(), CMD_UNLOCK)
}

/// Decodes a status reply of the board that was asked.
///
/// # Errors
/// When the bytes are not exactly one well-formed status reply of `expected`.
pub fn decode_status(expected: BoardAddr, bytes: &[u8]) -> Result<StatusBits, DecodeStatusError> {
    if let [STX, _, _, REPLY_NEWER_VARIANT, ..] = bytes {
        return Err(DecodeStatusError::NewerVariant);
    }
    let &[start, addr, _, code, d1, d2, d3, d4, d5, d6, end, sum] = bytes else {
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
    if addr != expected.get() {
        return Err(DecodeStatusError::ForeignBoard { got: addr, expected });
    }
    if code != REPLY_STATUS {
        return Err(DecodeStatusError::ReplyCode { got: code });
    }
    Ok(StatusBits::new(u64::from_le_bytes([d1, d2, d3, d4, d5, d6, 0, 0]), None))
}

fn request(board: BoardAddr, lock_number: u8, command: u8) -> [u8; REQUEST_BYTES] {
    let body = [STX, board.get(), lock_number, command, ETX];
    [body[0], body[1], body[2], body[3], body[4], checksum(&body)]
}

#[cfg(test)]
mod tests;
