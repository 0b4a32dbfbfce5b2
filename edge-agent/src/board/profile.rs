//! Which board family is on a line. The bus works with frames and bits; what they look like on the
//! wire is asked here.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::position::{BoardAddr, LockIndex};
use super::{cu16, cu48};

/// First byte of every frame of both families.
pub(super) const STX: u8 = 0x02;
/// Last byte before the checksum.
pub(super) const ETX: u8 = 0x03;

/// A family of Kerong boards. One line carries one family: a frame of one is noise, or worse, to the
/// other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// KR-CU48: 48 locks a board, hooks only.
    #[default]
    Cu48,
    /// KR-CU16 and NCU16L: 16 locks a board, hooks and infrared sensors.
    Cu16,
}

impl Profile {
    /// Locks that one board drives.
    #[must_use]
    pub const fn locks(self) -> u8 {
        match self {
            Self::Cu48 => cu48::LOCKS_PER_BOARD,
            Self::Cu16 => cu16::LOCKS_PER_BOARD,
        }
    }

    /// Bytes of a status reply; frames end by length, never by silence.
    #[must_use]
    pub const fn reply_bytes(self) -> usize {
        match self {
            Self::Cu48 => cu48::REPLY_BYTES,
            Self::Cu16 => cu16::REPLY_BYTES,
        }
    }

    /// Bytes of a request.
    #[must_use]
    pub const fn request_bytes(self) -> usize {
        match self {
            Self::Cu48 => cu48::REQUEST_BYTES,
            Self::Cu16 => cu16::REQUEST_BYTES,
        }
    }

    /// The request for the state of one board. A CU16 has only one form of it.
    #[must_use]
    pub fn status(self, board: BoardAddr, form: PollForm) -> Frame {
        match self {
            Self::Cu48 => Frame::Six(cu48::encode_status(board, form)),
            Self::Cu16 => Frame::Five(cu16::encode_status(board)),
        }
    }

    /// The request that energises one lock.
    ///
    /// # Errors
    /// When boards of this family have no such lock.
    pub fn unlock(self, board: BoardAddr, lock: LockIndex) -> Result<Frame, NoSuchLock> {
        match self {
            Self::Cu48 => Ok(Frame::Six(cu48::encode_unlock(board, lock))),
            Self::Cu16 => Ok(Frame::Five(cu16::encode_unlock(board, lock.try_into()?))),
        }
    }

    /// Reads a status reply of the board that was asked.
    ///
    /// # Errors
    /// When the bytes are not exactly one well-formed status reply of `expected`.
    pub fn decode(
        self,
        expected: BoardAddr,
        bytes: &[u8],
    ) -> Result<StatusBits, DecodeStatusError> {
        match self {
            Self::Cu48 => cu48::decode_status(expected, bytes),
            Self::Cu16 => cu16::decode_status(expected, bytes),
        }
    }
}

/// The bytes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Of a CU16.
    Five([u8; cu16::REQUEST_BYTES]),
    /// Of a CU48.
    Six([u8; cu48::REQUEST_BYTES]),
}

impl Frame {
    /// As they go over the wire.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Five(bytes) => bytes,
            Self::Six(bytes) => bytes,
        }
    }
}

/// A lock that boards of this family have not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("lock index {lock} is not below {locks}")]
pub struct NoSuchLock {
    /// The refused index.
    pub lock: u8,
    /// Locks that such a board has.
    pub locks: u8,
}

/// Which lock number a CU48 poll carries; the board ignores it.
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

/// What one reply says, as sent. What a hook bit means depends on the switch of each lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusBits {
    hooks: u64,
    objects: Option<u64>,
}

impl StatusBits {
    pub(super) const fn new(hooks: u64, objects: Option<u64>) -> Self {
        Self { hooks, objects }
    }

    /// The hook bit of one lock.
    #[must_use]
    pub const fn bit(self, lock: LockIndex) -> bool {
        self.hooks >> lock.get() & 1 == 1
    }

    /// Whether the infrared sensor of one lock sees an object; none if such boards have no sensors.
    #[must_use]
    pub fn object(self, lock: LockIndex) -> Option<bool> {
        self.objects.map(|objects| objects >> lock.get() & 1 == 1)
    }

    /// Whether the reply carries nothing but zeros, as a board may that has just been reset.
    pub(super) fn all_zero(self) -> bool {
        self.hooks == 0 && self.objects.unwrap_or(0) == 0
    }
}

/// Why bytes are not the status reply that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeStatusError {
    /// Too few or too many bytes.
    #[error("status reply has {got} bytes instead of {expected}")]
    Length {
        /// Bytes received.
        got: usize,
        /// Bytes of a whole reply.
        expected: usize,
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
    #[error("status reply with address {got:#04x} while board {} was asked", .expected.get())]
    ForeignBoard {
        /// Address byte received.
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

/// Fuzz target: any bytes decode or are refused, for every profile and board, without a panic; and
/// what decodes is of the right length.
pub fn fuzz_decode(bytes: &[u8]) {
    for profile in [Profile::Cu48, Profile::Cu16] {
        for board in BoardAddr::all() {
            if profile.decode(board, bytes).is_ok() {
                assert_eq!(bytes.len(), profile.reply_bytes());
            }
        }
    }
}

/// SUM of both families: the low byte of the sum of all bytes before it.
pub(super) fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}
