//! Boards for tests of the bus: simple ones, at the pace of the line, of both families, wired as one
//! likes. The full simulation with its control port is another thing; this one is for what it lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep_until};

use super::port::{Connect, ConnectError, Port};
use super::profile::{Profile, checksum};

/// From the end of a request to the start of its reply.
const TURNAROUND: Duration = Duration::from_millis(2);
/// From a pulse to the movement of its doors.
const DOOR_MOVES: Duration = Duration::from_millis(40);
/// Ten bits at 19200 baud.
const BYTE_TIME: Duration = Duration::from_nanos(520_834);

/// A lock: its board and its place.
pub(crate) type At = (u8, u8);

/// A line with boards on it. Clones share it.
#[derive(Clone)]
pub(crate) struct Fake(Arc<Mutex<State>>);

pub(crate) struct State {
    profile: Profile,
    /// Boards with their hook bits.
    pub(crate) hooks: BTreeMap<u8, u64>,
    /// Infrared bits, of a CU16.
    pub(crate) objects: BTreeMap<u8, u64>,
    /// Which doors a pulse moves; a lock that is not named moves its own.
    pub(crate) wiring: BTreeMap<At, Vec<At>>,
    /// Boards that do not answer.
    pub(crate) silent: BTreeSet<u8>,
    /// Boards whose replies are garbled, as by another board with their address.
    pub(crate) garbled: BTreeSet<u8>,
    /// Every tenth poll of a board is not answered.
    pub(crate) lossy: bool,
    /// What is sent comes back, with this added to its last byte.
    pub(crate) echo: Option<u8>,
    /// A reply of nothing but zeros is told so many times.
    pub(crate) zero_replies: u32,
    /// Polls by board, and pulses in order.
    pub(crate) polls: BTreeMap<u8, u64>,
    pub(crate) pulses: Vec<At>,
    moves: Vec<(Instant, At)>,
    unplugged: bool,
    late: bool,
}

impl Fake {
    /// Boards with all hook bits 1.
    pub(crate) fn new(profile: Profile, boards: impl IntoIterator<Item = u8>) -> Self {
        let all = u64::MAX >> (64 - u32::from(profile.locks()));
        Self(Arc::new(Mutex::new(State {
            profile,
            hooks: boards.into_iter().map(|board| (board, all)).collect(),
            objects: BTreeMap::new(),
            wiring: BTreeMap::new(),
            silent: BTreeSet::new(),
            garbled: BTreeSet::new(),
            lossy: false,
            echo: None,
            zero_replies: 0,
            polls: BTreeMap::new(),
            pulses: Vec::new(),
            moves: Vec::new(),
            unplugged: false,
            late: false,
        })))
    }

    /// As behind a TCP gateway.
    pub(crate) fn delivering_late(self) -> Self {
        self.state().late = true;
        self
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Turns a hook bit round, as a door that is opened or shut does.
    pub(crate) fn toggle(&self, (board, lock): At) {
        if let Some(hooks) = self.state().hooks.get_mut(&board) {
            *hooks ^= 1 << lock;
        }
    }

    async fn serve(self, mut io: DuplexStream) {
        let mut request = Vec::new();
        let mut crossed = Instant::now();
        loop {
            let mut byte = [0];
            if io.read_exact(&mut byte).await.is_err() {
                return;
            }
            crossed = crossed.max(Instant::now()) + BYTE_TIME;
            sleep_until(crossed).await;
            request.push(byte[0]);
            let whole = self.state().profile.request_bytes();
            let echo = self.state().echo;
            if let Some(spoil) = echo {
                let spoil = if request.len() == whole { spoil } else { 0 };
                let _ = io.write_all(&[byte[0].wrapping_add(spoil)]).await;
            }
            if request.len() < whole {
                continue;
            }
            let reply = self.state().receive(&std::mem::take(&mut request), crossed);
            crossed += TURNAROUND;
            for byte in reply {
                crossed += BYTE_TIME;
                sleep_until(crossed).await;
                let _ = io.write_all(&[byte]).await;
            }
        }
    }
}

impl Connect for Fake {
    async fn connect(&mut self) -> Result<Box<dyn Port>, ConnectError> {
        if self.state().unplugged {
            return Err(ConnectError::Other(std::io::ErrorKind::NotFound.into()));
        }
        let (near, far) = duplex(1024);
        tokio::spawn(self.clone().serve(far));
        Ok(Box::new(near))
    }

    fn may_deliver_late(&self) -> bool {
        self.state().late
    }
}

impl State {
    fn receive(&mut self, request: &[u8], now: Instant) -> Vec<u8> {
        let (body, sum) = request.split_at(request.len() - 1);
        assert_eq!(checksum(body), sum[0], "the bus sends whole frames only");
        for (_, (board, lock)) in self.moves.extract_if(.., |(at, _)| *at <= now) {
            if let Some(hooks) = self.hooks.get_mut(&board) {
                *hooks ^= 1 << lock;
            }
        }
        let (board, lock, pulse) = match (self.profile, request) {
            (Profile::Cu48, [2, board, lock, command, 3, _]) => (*board, *lock, *command == 0x51),
            (Profile::Cu16, [2, addr, command, 3, _]) => (addr >> 4, addr & 15, *command == 0x31),
            (_, other) => panic!("no frame of this family: {other:02x?}"),
        };
        if pulse {
            self.pulses.push((board, lock));
            let moved = self.wiring.get(&(board, lock)).cloned();
            let moved = moved.unwrap_or_else(|| vec![(board, lock)]);
            self.moves.extend(moved.into_iter().map(|at| (now + DOOR_MOVES, at)));
            return Vec::new();
        }
        let polls = self.polls.entry(board).or_default();
        *polls += 1;
        if self.lossy && polls.is_multiple_of(10) {
            return Vec::new();
        }
        match self.hooks.get(&board) {
            Some(hooks) if !self.silent.contains(&board) => self.reply(board, *hooks),
            Some(_) | None => Vec::new(),
        }
    }

    fn reply(&mut self, board: u8, hooks: u64) -> Vec<u8> {
        let mut hooks = hooks.to_le_bytes();
        let mut objects = self.objects.get(&board).copied().unwrap_or(0).to_le_bytes();
        if self.zero_replies > 0 {
            self.zero_replies -= 1;
            (hooks, objects) = ([0; 8], [0; 8]);
        }
        let mut reply = match self.profile {
            Profile::Cu48 => [&[2, board, 0, 0x65], &hooks[..6], &[3]].concat(),
            Profile::Cu16 => [&[2, board << 4, 0x35], &hooks[..2], &objects[..2], &[3]].concat(),
        };
        let collides = u8::from(self.garbled.contains(&board));
        reply.push(checksum(&reply).wrapping_add(collides));
        reply
    }
}
