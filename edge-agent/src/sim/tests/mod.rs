//! The simulated boards at their own level: bytes and commands in, bytes and doors out.

mod boards;
mod control;
mod cu16;
mod cu48;
mod doors;
mod line;
mod ports;
mod replies;

use std::time::Duration;

use super::*;

/// A bank whose clock stands still until it is set.
struct Rig {
    bank: SimBank,
    reader: RequestReader,
    now: Duration,
}

impl Rig {
    fn new(config: SimConfig) -> Self {
        let reader = RequestReader::new(config.profile);
        Self { bank: SimBank::new(config), reader, now: Duration::ZERO }
    }

    fn cu16(boards: &[u8]) -> Self {
        let boards = boards.to_vec();
        Self::new(SimConfig { profile: Profile::Cu16, boards, ..SimConfig::default() })
    }

    fn cu48(boards: &[u8]) -> Self {
        Self::new(SimConfig { boards: boards.to_vec(), ..SimConfig::default() })
    }

    fn at(&mut self, now_ms: u64) {
        self.now = Duration::from_millis(now_ms);
        self.bank.advance(self.now);
    }

    /// The answer to a command that asks nothing.
    fn answer(&mut self, line: &str) -> String {
        let command: Command = match line.parse() {
            Ok(command) => command,
            Err(error) => return format!("error {error}"),
        };
        match self.bank.apply(command, self.now) {
            Ok(()) => "ok".to_owned(),
            Err(refused) => format!("error {refused}"),
        }
    }

    fn tell(&mut self, line: &str) {
        assert_eq!(self.answer(line), "ok", "{line}");
    }

    fn send(&mut self, bytes: &[u8]) -> Vec<board::Reply> {
        let requests: Vec<_> = bytes.iter().filter_map(|byte| self.reader.take(*byte)).collect();
        let receive = |request| self.bank.receive(request, self.now);
        requests.into_iter().flat_map(receive).collect()
    }

    /// The bytes of each reply.
    fn ask(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.send(bytes).into_iter().map(|reply| reply.bytes).collect()
    }

    /// What happened since this was last asked.
    fn events(&mut self) -> Vec<(u8, u8, What)> {
        let occurrences = self.bank.take_occurrences();
        occurrences.iter().map(|each| (each.board, each.lock, each.what)).collect()
    }

    fn open(&self, board: usize) -> Vec<usize> {
        let doors = self.bank.boards[board].doors.iter().enumerate();
        doors.filter(|(_, door)| door.open).map(|(lock, _)| lock).collect()
    }

    fn faults(&self) -> Vec<String> {
        serde_json::from_value(self.bank.to_json()["faults"].clone()).unwrap()
    }
}

/// With the sum of all bytes at its end.
fn summed(mut frame: Vec<u8>) -> Vec<u8> {
    frame.push(frame.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
    frame
}

/// Status of CU48 board 0.
const STATUS: [u8; 6] = [0x02, 0x00, 0x00, 0x50, 0x03, 0x55];
/// The answer if all doors are closed.
const ALL_CLOSED: [u8; 12] =
    [0x02, 0x00, 0x00, 0x65, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x03, 0x64];
/// The answer if the first is open.
const FIRST_OPEN: [u8; 12] =
    [0x02, 0x00, 0x00, 0x65, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x03, 0x63];

fn cu48_status(board: u8) -> Vec<u8> {
    summed(vec![0x02, board, 0x00, 0x50, 0x03])
}

fn cu48_unlock(board: u8, lock: u8) -> Vec<u8> {
    summed(vec![0x02, board, lock, 0x51, 0x03])
}
