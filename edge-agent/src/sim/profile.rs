//! The bytes of the two Kerong families, as a board reads and writes them.
//!
//! CU48: "CU48 Protocol And Introduction", KERONG Industry (HK), V2.1 of 2020-03-23. A request is
//! `02 ADDR LOCKNUM CMD 03 SUM`, a reply `02 ADDR xx 65 DATA1..DATA6 03 SUM`.
//!
//! CU16: no document of the vendor is public; the frames are those on which public code for KR-CU16
//! and NCU16L boards agrees. A request is `02 ADDR CMD 03 SUM` with the board in the high and the
//! lock in the low half of ADDR, a reply `02 ADDR CODE D1 D2 D3 D4 03 SUM`: sixteen hooks, sixteen
//! infrared sensors.
//!
//! Both: 19200 baud, 8N1; SUM is the low byte of the sum of all bytes before it; an unlock has no
//! reply.

use std::fmt;

use clap::ValueEnum;

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
/// CU48: LOCKNUM of "open all".
const CU48_ALL_LOCKS: u8 = 0x30;
/// CU48: ADDR of "every board".
const CU48_ALL_BOARDS: u8 = 0x0A;
/// CU16: board half of ADDR that means "every board" to the commands 0x32 and 0x33.
const CU16_ALL_BOARDS: u8 = 0x0F;

/// Which board is simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Kerong CU16: 16 locks a board, each with an infrared sensor.
    Cu16,
    /// Kerong CU48: 48 locks a board.
    #[default]
    Cu48,
}

impl Profile {
    /// Locks of a board.
    #[must_use]
    pub const fn locks(self) -> u8 {
        match self {
            Self::Cu16 => 16,
            Self::Cu48 => 48,
        }
    }

    /// Whether compartments have an infrared sensor.
    #[must_use]
    pub const fn has_infrared(self) -> bool {
        match self {
            Self::Cu16 => true,
            Self::Cu48 => false,
        }
    }

    /// Length of a status reply.
    #[must_use]
    pub const fn reply_bytes(self) -> usize {
        match self {
            Self::Cu16 => 9,
            Self::Cu48 => 12,
        }
    }

    const fn request_bytes(self) -> usize {
        match self {
            Self::Cu16 => 5,
            Self::Cu48 => 6,
        }
    }

    /// A status reply; bit 0 of the states is lock 0.
    pub(super) fn status_reply(self, addr: u8, code: u8, hooks: u64, infrared: u64) -> Vec<u8> {
        let hooks = hooks.to_le_bytes();
        let infrared = infrared.to_le_bytes();
        let mut reply = match self {
            Self::Cu16 => {
                vec![STX, addr << 4, code, hooks[0], hooks[1], infrared[0], infrared[1]]
            }
            Self::Cu48 => {
                let mut head = vec![STX, addr, 0x00, code];
                head.extend_from_slice(&hooks[..6]);
                head
            }
        };
        reply.push(ETX);
        reply.push(checksum(&reply));
        reply
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cu16 => "cu16",
            Self::Cu48 => "cu48",
        })
    }
}

/// A whole request with a good checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The board that is meant; none: every board.
    pub(super) to: Option<u8>,
    pub(super) ask: Ask,
}

/// What a request asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// The state of a board, in a reply with this code.
    Status { code: u8 },
    /// Energise this lock; none: all of the board.
    Unlock { lock: Option<u8> },
    /// A command that this simulation does not know: not acted on, not answered.
    Unknown,
}

/// Finds requests among the bytes of one connection.
#[derive(Debug)]
pub struct RequestReader {
    profile: Profile,
    bytes: Vec<u8>,
}

impl RequestReader {
    /// A reader that has read nothing yet.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self { profile, bytes: Vec::with_capacity(profile.request_bytes()) }
    }

    /// Takes one byte off the line; gives the request that it completes.
    pub fn take(&mut self, byte: u8) -> Option<Request> {
        self.bytes.push(byte);
        let (sum, body) = self.bytes.split_last()?;
        if self.bytes.len() < self.profile.request_bytes() {
            return None;
        }
        let request = if *sum == checksum(body) { parse(self.profile, body) } else { None };
        if request.is_some() {
            self.bytes.clear();
        } else {
            self.bytes.remove(0);
        }
        request
    }
}

fn parse(profile: Profile, body: &[u8]) -> Option<Request> {
    match (profile, body) {
        (Profile::Cu16, &[STX, addr, command, ETX]) => Some(cu16(addr, command)),
        (Profile::Cu48, &[STX, addr, lock, command, ETX]) => Some(cu48(addr, lock, command)),
        (Profile::Cu16 | Profile::Cu48, _) => None,
    }
}

fn cu16(addr: u8, command: u8) -> Request {
    let (board, lock) = (addr >> 4, addr & 0x0F);
    let one_or_all = (board != CU16_ALL_BOARDS).then_some(board);
    let (to, ask) = match command {
        0x30 => (Some(board), Ask::Status { code: 0x35 }),
        0x31 => (Some(board), Ask::Unlock { lock: Some(lock) }),
        0x32 => (one_or_all, Ask::Status { code: 0x36 }),
        0x33 => (one_or_all, Ask::Unlock { lock: None }),
        _ => (Some(board), Ask::Unknown),
    };
    Request { to, ask }
}

fn cu48(addr: u8, lock: u8, command: u8) -> Request {
    let to = (addr != CU48_ALL_BOARDS).then_some(addr);
    let ask = match command {
        0x50 => Ask::Status { code: 0x65 },
        0x51 => Ask::Unlock { lock: (lock != CU48_ALL_LOCKS).then_some(lock) },
        _ => Ask::Unknown,
    };
    Request { to, ask }
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}
