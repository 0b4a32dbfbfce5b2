//! The boards of a simulated bank as a state machine that is told the time.
//!
//! Times are counted from the start of the simulation.

use std::time::Duration;

use serde_json::{Value, json};

/// Locks of a board.
const LOCKS: usize = 48;
/// LOCKNUM that a real board takes as "open all".
const ALL_LOCKS: u8 = 0x30;
/// ADDR that all boards take as their own.
const ALL_BOARDS: u8 = 0x0A;
const REQUEST_BYTES: usize = 6;
/// Bytes of noise sent in the place of a reply.
const GARBAGE_BYTES: usize = 15;

/// How the simulated bank is built.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Addresses of its boards, 0 to 9.
    pub boards: Vec<u8>,
    /// Line rate in bits per second: each byte takes ten bits.
    pub baud: u32,
    /// From the end of a request to the start of its reply.
    pub turnaround: Duration,
    /// How long a lock is energised.
    pub pulse: Duration,
    /// When a door moves after its pulse; none: only a command moves doors.
    pub auto_open: Option<Duration>,
    /// When an open door closes again after its pulse; none: only a command closes it.
    pub auto_close: Option<Duration>,
    /// Switches of the other kind: 0 means locked.
    pub inverted: bool,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            boards: vec![0],
            baud: 19_200,
            turnaround: Duration::from_millis(2),
            pulse: Duration::from_millis(500),
            auto_open: Some(Duration::from_millis(80)),
            auto_close: None,
            inverted: false,
        }
    }
}

impl SimConfig {
    /// Time that `bytes` bytes take on the line.
    #[must_use]
    pub fn line_time(&self, bytes: u32) -> Duration {
        Duration::from_secs(10) * bytes / self.baud.max(1)
    }
}

/// What is wrong with the line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Replies are replaced by noise.
    pub garbage: bool,
    /// Replies begin this much later.
    pub late: Duration,
    /// Replies break off after so many bytes.
    pub truncate_bytes: Option<usize>,
    /// This bit of each reply is turned round.
    pub flip_bit: Option<usize>,
}

/// Something that happened at a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// When, from the start.
    pub at: Duration,
    /// The board.
    pub board: u8,
    /// The lock, from 0.
    pub lock: u8,
    /// What happened.
    pub what: What,
}

/// Kinds of [`Occurrence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A valid unlock frame energised the lock; the number counts them all from 1.
    Pulse(u64),
    /// The door opened.
    Opened,
    /// The door closed.
    Closed,
    /// A lock was energised while another still was: more than the supply of a real board carries.
    Overload,
}

impl Occurrence {
    /// As an object for the log, with the time counted from `epoch_ms`.
    #[must_use]
    pub fn to_json(&self, epoch_ms: u64) -> Value {
        let t_ms = epoch_ms.saturating_add(u64::try_from(self.at.as_millis()).unwrap_or(u64::MAX));
        let (board, lock) = (self.board, self.lock);
        match self.what {
            What::Pulse(pulse) => {
                json!({"t_ms": t_ms, "board": board, "lock": lock, "pulse": pulse})
            }
            What::Opened => json!({"t_ms": t_ms, "board": board, "lock": lock, "door": "open"}),
            What::Closed => json!({"t_ms": t_ms, "board": board, "lock": lock, "door": "closed"}),
            What::Overload => {
                json!({"t_ms": t_ms, "board": board, "lock": lock, "fault": "overload"})
            }
        }
    }
}

/// A whole request with a good checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    addr: u8,
    lock: u8,
    command: u8,
}

/// Finds requests among the bytes of one connection.
#[derive(Debug, Default)]
pub struct RequestReader {
    bytes: Vec<u8>,
}

impl RequestReader {
    /// Takes one byte off the line; gives the request that it completes.
    pub fn take(&mut self, byte: u8) -> Option<Request> {
        self.bytes.push(byte);
        if self.bytes.len() < REQUEST_BYTES {
            return None;
        }
        match *self.bytes.as_slice() {
            [0x02, addr, lock, command, 0x03, sum]
                if sum == checksum(&self.bytes[..REQUEST_BYTES - 1]) =>
            {
                self.bytes.clear();
                Some(Request { addr, lock, command })
            }
            _ => {
                self.bytes.remove(0);
                None
            }
        }
    }
}

/// All boards on one line, and what the line does to their replies.
#[derive(Debug)]
pub struct SimBank {
    config: SimConfig,
    boards: Vec<SimBoard>,
    /// Faults of the line, to be switched at will.
    pub faults: Faults,
    pulses: u64,
    energised_until: Duration,
    noise: u8,
    occurrences: Vec<Occurrence>,
}

#[derive(Debug)]
struct SimBoard {
    addr: u8,
    muted: bool,
    doors: Vec<SimDoor>,
}

#[derive(Clone, Copy, Debug, Default)]
struct SimDoor {
    open: bool,
    jammed: bool,
    opens_at: Option<Duration>,
    closes_at: Option<Duration>,
}

impl SimBank {
    /// A bank with all doors closed.
    #[must_use]
    pub fn new(config: SimConfig) -> Self {
        let board = |addr: &u8| SimBoard {
            addr: *addr,
            muted: false,
            doors: vec![SimDoor::default(); LOCKS],
        };
        Self {
            boards: config.boards.iter().map(board).collect(),
            config,
            faults: Faults::default(),
            pulses: 0,
            energised_until: Duration::ZERO,
            noise: 0x5A,
            occurrences: Vec::new(),
        }
    }

    /// Acts on a request; gives the replies that it brings about.
    pub fn receive(&mut self, request: Request, now: Duration) -> Vec<Vec<u8>> {
        self.advance(now);
        match request.command {
            0x50 => self.replies(request.addr),
            0x51 => {
                self.unlock(request.addr, request.lock, now);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Lets doors move whose time has come.
    pub fn advance(&mut self, now: Duration) {
        let mut moves = Vec::new();
        for board in &mut self.boards {
            for (lock, door) in (0_u8..).zip(&mut board.doors) {
                if let Some(at) = door.opens_at.take_if(|at| *at <= now) {
                    door.open = true;
                    moves.push(Occurrence { at, board: board.addr, lock, what: What::Opened });
                }
                if let Some(at) = door.closes_at.take_if(|at| *at <= now) {
                    door.open = false;
                    moves.push(Occurrence { at, board: board.addr, lock, what: What::Closed });
                }
            }
        }
        moves.sort_by_key(|occurrence| occurrence.at);
        self.occurrences.extend(moves);
    }

    /// Moves a door by hand; false if there is no such lock.
    pub fn move_door(&mut self, board: Option<u8>, lock: u8, open: bool, now: Duration) -> bool {
        self.advance(now);
        let Some((addr, door)) = self.door_mut(board, lock) else { return false };
        let moved = door.open != open;
        *door = SimDoor { open, opens_at: None, closes_at: None, ..*door };
        if moved {
            let what = if open { What::Opened } else { What::Closed };
            self.occurrences.push(Occurrence { at: now, board: addr, lock, what });
        }
        true
    }

    /// Jams a door, so that a pulse does not open it, or frees it; false if there is no such lock.
    pub fn jam(&mut self, board: Option<u8>, lock: u8, jammed: bool) -> bool {
        self.door_mut(board, lock).map(|(_, door)| door.jammed = jammed).is_some()
    }

    /// Loses the replies of one board or of all, or stops losing them; commands still act. False if
    /// there is no such board.
    pub fn mute(&mut self, board: Option<u8>, muted: bool) -> bool {
        let concerned =
            self.boards.iter_mut().filter(|each| board.is_none_or(|addr| addr == each.addr));
        concerned.map(|board| board.muted = muted).count() > 0
    }

    /// What happened since this was last asked.
    pub fn take_occurrences(&mut self) -> Vec<Occurrence> {
        std::mem::take(&mut self.occurrences)
    }

    /// Pulses so far.
    #[must_use]
    pub fn pulses(&self) -> u64 {
        self.pulses
    }

    /// The state of all boards.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let locks = |board: &SimBoard, wanted: fn(&SimDoor) -> bool| -> Vec<usize> {
            board
                .doors
                .iter()
                .enumerate()
                .filter(|(_, door)| wanted(door))
                .map(|(lock, _)| lock)
                .collect()
        };
        let boards = self.boards.iter().map(|board| {
            json!({
                "board": board.addr,
                "muted": board.muted,
                "open": locks(board, |door| door.open),
                "jammed": locks(board, |door| door.jammed),
            })
        });
        json!({"pulses": self.pulses, "garbage": self.faults.garbage, "boards": boards.collect::<Vec<_>>()})
    }

    fn door_mut(&mut self, board: Option<u8>, lock: u8) -> Option<(u8, &mut SimDoor)> {
        let board =
            self.boards.iter_mut().find(|each| board.is_none_or(|addr| addr == each.addr))?;
        Some((board.addr, board.doors.get_mut(usize::from(lock))?))
    }

    fn unlock(&mut self, addr: u8, lock: u8, now: Duration) {
        let locks = if lock == ALL_LOCKS { 0..ALL_LOCKS } else { lock..lock.saturating_add(1) };
        for board in &mut self.boards {
            if board.addr != addr && addr != ALL_BOARDS {
                continue;
            }
            for lock in locks.clone() {
                let Some(door) = board.doors.get_mut(usize::from(lock)) else { continue };
                self.pulses += 1;
                let note = |what| Occurrence { at: now, board: board.addr, lock, what };
                self.occurrences.push(note(What::Pulse(self.pulses)));
                if now < self.energised_until {
                    self.occurrences.push(note(What::Overload));
                }
                self.energised_until = now + self.config.pulse;
                if !door.open && !door.jammed {
                    door.opens_at = self.config.auto_open.map(|wait| now + wait);
                    let open_for = self.config.auto_close;
                    door.closes_at = door.opens_at.zip(open_for).map(|(opens, wait)| opens + wait);
                }
            }
        }
    }

    fn replies(&mut self, addr: u8) -> Vec<Vec<u8>> {
        let asked = |board: &&SimBoard| !board.muted && (board.addr == addr || addr == ALL_BOARDS);
        let inverted = self.config.inverted;
        let good: Vec<_> =
            self.boards.iter().filter(asked).map(|board| board.reply(inverted)).collect();
        good.into_iter().map(|reply| self.spoil(reply)).collect()
    }

    fn spoil(&mut self, mut reply: Vec<u8>) -> Vec<u8> {
        if self.faults.garbage {
            return std::iter::repeat_with(|| self.next_noise()).take(GARBAGE_BYTES).collect();
        }
        if let Some(bit) = self.faults.flip_bit
            && let Some(byte) = reply.get_mut(bit / 8)
        {
            *byte ^= 1 << (bit % 8);
        }
        reply.truncate(self.faults.truncate_bytes.unwrap_or(usize::MAX));
        reply
    }

    /// Noise that is the same in every run.
    fn next_noise(&mut self) -> u8 {
        self.noise = self.noise.wrapping_mul(197).wrapping_add(59);
        self.noise
    }
}

impl SimBoard {
    fn reply(&self, inverted: bool) -> Vec<u8> {
        let mut reply = vec![0x02, self.addr, 0x00, 0x65];
        for eight in self.doors.chunks(8) {
            let bits = eight
                .iter()
                .rev()
                .fold(0_u8, |bits, door| bits << 1 | u8::from(door.open == inverted));
            reply.push(bits);
        }
        reply.push(0x03);
        reply.push(checksum(&reply));
        reply
    }
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

#[cfg(test)]
mod tests;
