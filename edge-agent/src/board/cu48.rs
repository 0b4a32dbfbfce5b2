//! The bytes of the Kerong CU48 lock board, and nothing else.
//!
//! Source of every number here: "CU48 Protocol And Introduction", KERONG Industry (HK), V2.1 of
//! 2020-03-23. RS-485, 19200 baud, 8N1. A request is `02 ADDR LOCKNUM CMD 03 SUM`, a reply is
//! `02 ADDR xx 65 DATA1..DATA6 03 SUM`; SUM is the low byte of the sum of all bytes before it.
//!
//! On this wire "open all 48 locks" (LOCKNUM 0x30) and "every board" (ADDR 0x0A) each sit one past
//! the last good value. [`BoardAddr`] and [`LockIndex`] cannot hold them, so no caller can send them.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bytes of every request.
pub const REQUEST_BYTES: usize = 6;
/// Bytes of every status reply. (The document's introduction speaks of 32-byte packets; its field
/// tables and all its examples have 12.)
pub const REPLY_BYTES: usize = 12;
/// Locks that one board drives.
pub const LOCKS_PER_BOARD: u8 = 48;
/// Boards that can be told apart on one line: the selector goes from 0 to 9.
pub const BOARDS_PER_BUS: u8 = 10;
/// Line rate in bits per second.
pub const BAUD: u32 = 19_200;

/// First byte of every frame.
pub(crate) const STX: u8 = 0x02;
/// Last byte before the checksum.
pub(crate) const ETX: u8 = 0x03;
/// Request: tell the state of all hooks.
pub(crate) const CMD_STATUS: u8 = 0x50;
/// Request: energise one lock. The board does not answer it.
pub(crate) const CMD_UNLOCK: u8 = 0x51;
/// Marker of a status reply.
pub(crate) const REPLY_STATUS: u8 = 0x65;
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
    request(board, lock.0, CMD_UNLOCK)
}

/// Decodes a status reply of the board that was asked.
///
/// # Errors
/// When the bytes are not exactly one well-formed status reply of `expected`.
pub fn decode_status(expected: BoardAddr, bytes: &[u8]) -> Result<HookBits, DecodeStatusError> {
    if let [STX, _, _, REPLY_NEWER_VARIANT, ..] = bytes {
        return Err(DecodeStatusError::NewerVariant);
    }
    let &[start, addr, _, code, d1, d2, d3, d4, d5, d6, end, sum] = bytes else {
        return Err(DecodeStatusError::Length { got: bytes.len() });
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
    if addr != expected.0 {
        return Err(DecodeStatusError::ForeignBoard { got: addr, expected });
    }
    if code != REPLY_STATUS {
        return Err(DecodeStatusError::ReplyCode { got: code });
    }
    Ok(HookBits(u64::from_le_bytes([d1, d2, d3, d4, d5, d6, 0, 0])))
}

/// Address of a board, as set on its selector: 0 to 9. The broadcast address is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct BoardAddr(u8);

impl BoardAddr {
    /// The number on the board's selector.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for BoardAddr {
    type Error = BoardAddrError;

    fn try_from(addr: u8) -> Result<Self, Self::Error> {
        if addr < BOARDS_PER_BUS { Ok(Self(addr)) } else { Err(BoardAddrError { addr }) }
    }
}

impl From<BoardAddr> for u8 {
    fn from(addr: BoardAddr) -> Self {
        addr.0
    }
}

/// A number that is no board's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("board address {addr} is not between 0 and 9")]
pub struct BoardAddrError {
    /// The refused number.
    pub addr: u8,
}

/// Place of a lock on its board, counted from 0 as on the wire: 0 to 47.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct LockIndex(u8);

impl LockIndex {
    /// The index from 0, as on the wire; the board's own labels count from 1.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for LockIndex {
    type Error = LockIndexError;

    fn try_from(lock: u8) -> Result<Self, Self::Error> {
        if lock < LOCKS_PER_BOARD { Ok(Self(lock)) } else { Err(LockIndexError { lock }) }
    }
}

impl From<LockIndex> for u8 {
    fn from(lock: LockIndex) -> Self {
        lock.0
    }
}

/// A number that is no lock's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("lock index {lock} is not between 0 and 47")]
pub struct LockIndexError {
    /// The refused number.
    pub lock: u8,
}

/// Which lock number a poll carries; the board ignores it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PollForm {
    /// 0x73: far from every unlock frame. Whether a board takes it is tried at commissioning.
    #[default]
    UnusableLock,
    /// 0x00, as the document prints it: for boards that refuse the other; then give boards even
    /// addresses only.
    LockZero,
}

/// The 48 hook bits of one reply, as sent. What 1 means depends on the switch of each lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookBits(u64);

impl HookBits {
    /// The bit of one lock.
    #[must_use]
    pub fn bit(self, lock: LockIndex) -> bool {
        self.0 >> lock.0 & 1 == 1
    }
}

/// Why bytes are not the status reply that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeStatusError {
    /// Too few or too many bytes.
    #[error("status reply has {got} bytes instead of 12")]
    Length {
        /// Bytes received.
        got: usize,
    },
    /// Does not begin with STX.
    #[error("status reply starts with {got:#04x}")]
    Start {
        /// First byte received.
        got: u8,
    },
    /// No ETX in its place.
    #[error("status reply ends with {got:#04x}")]
    End {
        /// Byte received in the place of ETX.
        got: u8,
    },
    /// Sum of the bytes is wrong.
    #[error("status reply carries checksum {got:#04x}, its bytes give {computed:#04x}")]
    Checksum {
        /// Checksum received.
        got: u8,
        /// Checksum of the bytes received.
        computed: u8,
    },
    /// A whole reply of another board.
    #[error("status reply of board {got} while board {} was asked", .expected.0)]
    ForeignBoard {
        /// Address received.
        got: u8,
        /// Board that was asked.
        expected: BoardAddr,
    },
    /// A whole frame of another kind.
    #[error("reply code {got:#04x} is not a status reply")]
    ReplyCode {
        /// Code received.
        got: u8,
    },
    /// Reply marker 0x75 of a newer firmware.
    #[error("reply of a newer board variant that is not supported")]
    NewerVariant,
}

/// Fuzz target: any bytes decode or are refused, for every board, without a panic; and what
/// decodes is of the right length, address and code.
pub fn fuzz_decode(bytes: &[u8]) {
    for board in (0..BOARDS_PER_BUS).map(BoardAddr) {
        if decode_status(board, bytes).is_ok() {
            assert_eq!((bytes.len(), bytes[1], bytes[3]), (REPLY_BYTES, board.0, REPLY_STATUS));
        }
    }
}

pub(crate) fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn request(board: BoardAddr, lock_number: u8, command: u8) -> [u8; REQUEST_BYTES] {
    let body = [STX, board.0, lock_number, command, ETX];
    [body[0], body[1], body[2], body[3], body[4], checksum(&body)]
}

#[cfg(test)]
mod tests;
