//! Where a lock is: the address of its board and its place on it. Every profile shares these types, and
//! neither can hold a value that some profile takes for "all".

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Boards that can be told apart on one line: the selector goes from 0 to 9, on a CU16 as on a CU48.
pub(super) const BOARDS_PER_BUS: u8 = 10;
/// Locks of the largest board there is, the CU48.
pub(super) const LOCKS_PER_BOARD_MAX: u8 = 48;

/// Address of a board, as set on its selector: 0 to 9. The broadcast address is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct BoardAddr(u8);

impl BoardAddr {
    /// The number on the board's selector.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Every address there is.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..BOARDS_PER_BUS).map(Self)
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

/// Place of a lock on its board, counted from 0 as on the wire: 0 to 47. A board with fewer locks
/// refuses the places it has not when the frame is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct LockIndex(u8);

impl LockIndex {
    /// The index from 0, as on the wire; the board's own labels count from 1.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The first `count` places.
    pub(crate) fn first(count: u8) -> impl Iterator<Item = Self> {
        (0..count.min(LOCKS_PER_BOARD_MAX)).map(Self)
    }
}

impl TryFrom<u8> for LockIndex {
    type Error = LockIndexError;

    fn try_from(lock: u8) -> Result<Self, Self::Error> {
        if lock < LOCKS_PER_BOARD_MAX { Ok(Self(lock)) } else { Err(LockIndexError { lock }) }
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
