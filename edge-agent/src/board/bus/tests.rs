//! A bus against the simulated board, on a paused clock: what the owner is told, and what was sent.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::*;
use crate::board::counters::ErrorKind;
use crate::board::cu48::{encode_status, encode_unlock};
use crate::board::event::BoardLink::{Offline, Online, Suspect};
use crate::board::event::{
    BoardLink, DoorReading, NotSentReason, PortLink, PulseOutcome, UnknownReason,
};
use crate::board::{BoardConfig, LineConfig, LockConfig, Polarity, PollForm, PortConfig};
use crate::sim::{Sim, SimConfig, What, serve};

mod echo;
mod gateway;
mod health;
mod many;
mod rig;

/// Virtual time within which everything awaited here must have happened.
const PATIENCE: Duration = Duration::from_secs(60);

struct Bank {
    sim: Sim,
    bus: Bus,
    task: JoinHandle<()>,
    events: mpsc::Receiver<BusEvent>,
    cable: Cable,
}

/// The way from the bus to the simulated board; it can be pulled out and put back.
#[derive(Clone)]
struct Cable {
    sim: Sim,
    cut: Arc<AtomicBool>,
    board: Arc<Mutex<Option<AbortHandle>>>,
}

impl Cable {
    fn pull_out(&self) {
        self.cut.store(true, Ordering::Relaxed);
        if let Some(board) = self.board.lock().unwrap().take() {
            board.abort();
        }
    }

    fn put_back(&self) {
        self.cut.store(false, Ordering::Relaxed);
    }
}

impl Connect for Cable {
    async fn connect(&mut self) -> Result<Box<dyn Port>, ConnectError> {
        if self.cut.load(Ordering::Relaxed) {
            return Err(ConnectError::Other(std::io::ErrorKind::NotFound.into()));
        }
        let (near, far) = duplex(1024);
        let board = tokio::spawn(serve(far, self.sim.clone()));
        *self.board.lock().unwrap() = Some(board.abort_handle());
        Ok(Box::new(near))
    }
}

fn board_addr(addr: u8) -> BoardAddr {
    addr.try_into().unwrap()
}

fn lock_index(index: u8) -> LockIndex {
    index.try_into().unwrap()
}

fn config(boards: &[u8], locks: u8, polarity: Polarity) -> BusConfig {
    let lock = |index| LockConfig { index: lock_index(index), polarity };
    let board = |addr: &u8| BoardConfig {
        addr: board_addr(*addr),
        locks: (0..locks).map(lock).collect(),
        poll: PollForm::default(),
    };
    BusConfig {
        port: PortConfig::Tcp { addr: String::new() },
        boards: boards.iter().map(board).collect(),
        line: LineConfig::default(),
        timing: BusTiming::default(),
        backoff: Backoff::default(),
    }
}

impl Bank {
    fn start(sim: SimConfig) -> Self {
        let polarity = if sim.inverted { Polarity::ZeroIsLocked } else { Polarity::OneIsLocked };
        let config = config(&sim.boards, 8, polarity);
        Self::start_with(sim, config, 64)
    }

    fn start_with(sim: SimConfig, config: BusConfig, events: usize) -> Self {
        let sim = Sim::new(sim);
        let cable = Cable { sim: sim.clone(), cut: Arc::default(), board: Arc::default() };
        let (sender, events) = mpsc::channel(events);
        let (bus, task) = Bus::spawn(config, cable.clone(), sender);
        Self { sim, bus, task, events, cable }
    }

    async fn ready(sim: SimConfig) -> Self {
        let boards = sim.boards.len();
        let mut bank = Self::start(sim);
        for _ in 0..boards {
            bank.until(|event| matches!(event, BusEvent::Baseline { .. })).await;
        }
        bank
    }

    /// All events up to the first that fits.
    async fn until(&mut self, wanted: impl Fn(&BusEvent) -> bool) -> Vec<BusEvent> {
        let mut seen = Vec::new();
        loop {
            let next = timeout(PATIENCE, self.events.recv()).await;
            let Ok(Some(event)) = next else { panic!("not among {seen:?}") };
            let found = wanted(&event);
            seen.push(event);
            if found {
                return seen;
            }
        }
    }

    fn request(&self, intent: u64, board: u8, lock: u8) -> Result<(), UnlockRefused> {
        let (board, lock) = (board_addr(board), lock_index(lock));
        self.bus.try_unlock(UnlockRequest { intent, board, lock, issued_at: Instant::now() })
    }

    async fn outcome(&mut self, intent: u64) -> PulseOutcome {
        let settled = |event: &BusEvent| matches!(event, BusEvent::Settled { intent: of, .. } if *of == intent);
        match self.until(settled).await.pop() {
            Some(BusEvent::Settled { outcome, .. }) => outcome,
            other => panic!("{other:?}"),
        }
    }

    async fn unlock(&mut self, intent: u64, board: u8, lock: u8) -> PulseOutcome {
        self.request(intent, board, lock).unwrap();
        self.outcome(intent).await
    }

    async fn written(&mut self) {
        self.until(|event| matches!(event, BusEvent::PulseWritten { .. })).await;
    }

    async fn board_becomes(&mut self, addr: u8, link: BoardLink) -> Vec<BusEvent> {
        let wanted = BusEvent::Board { board: board_addr(addr), state: link };
        self.until(|event| *event == wanted).await
    }

    fn tell(&self, command: &str) {
        assert!(self.sim.command(command).unwrap().starts_with("ok"), "{command}");
    }
}

fn door(reading: DoorReading) -> impl Fn(&BusEvent) -> bool {
    move |event| matches!(event, BusEvent::Door { reading: seen, .. } if *seen == reading)
}

fn tells_of_doors(events: &[BusEvent]) -> bool {
    events.iter().any(|event| matches!(event, BusEvent::Door { .. }))
}

#[tokio::test(start_paused = true)]
async fn an_unlock_opens_its_door_and_the_events_come_in_order() {
    let auto_close = Some(Duration::from_secs(3));
    let mut bank = Bank::ready(SimConfig { auto_close, ..SimConfig::default() }).await;
    bank.request(7, 0, 3).unwrap();
    let events = bank.until(door(DoorReading::Open)).await;
    assert!(
        matches!(
            events.as_slice(),
            [
                BusEvent::PulseWritten { intent: 7, .. },
                BusEvent::Settled { intent: 7, outcome: PulseOutcome::Opened { .. } },
                BusEvent::Door { lock, .. },
            ] if lock.get() == 3
        ),
        "{events:?}"
    );
    let events = bank.until(door(DoorReading::Closed)).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(bank.sim.pulses(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_bus_writes_an_unlock_at_once() {
    let mut bank = Bank::ready(SimConfig::default()).await;
    bank.request(1, 0, 0).unwrap();
    let events = bank.until(|event| matches!(event, BusEvent::PulseWritten { .. })).await;
    let Some(BusEvent::PulseWritten { free_at, started, at, .. }) = events.last() else { panic!() };
    assert_eq!((started, at), (free_at, free_at), "nothing is waited for on a free line");
}

#[tokio::test(start_paused = true)]
async fn a_jammed_door_is_not_opened_and_gets_no_second_pulse() {
    let mut bank = Bank::ready(SimConfig::default()).await;
    bank.tell("jam 2 on");
    assert_eq!(bank.unlock(1, 0, 2).await, PulseOutcome::NotOpened);
    assert_eq!(bank.sim.pulses(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_door_that_reads_open_gets_its_pulse_all_the_same() {
    let mut bank = Bank::ready(SimConfig::default()).await;
    bank.tell("open 2");
    bank.until(door(DoorReading::Open)).await;
    assert_eq!(bank.unlock(1, 0, 2).await, PulseOutcome::AlreadyOpen);
    assert_eq!(bank.sim.pulses(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_door_opened_by_hand_is_only_a_door_event() {
    let mut bank = Bank::ready(SimConfig::default()).await;
    bank.tell("open 5");
    let events = bank.until(door(DoorReading::Open)).await;
    assert_eq!(events.len(), 1, "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn inverted_switches_read_right_with_their_polarity() {
    let mut bank = Bank::start(SimConfig { inverted: true, ..SimConfig::default() });
    let events = bank.until(|event| matches!(event, BusEvent::Baseline { .. })).await;
    let Some(BusEvent::Baseline { readings, .. }) = events.last() else { panic!() };
    assert!(readings.iter().all(|(_, reading)| *reading == DoorReading::Closed));
    assert!(matches!(bank.unlock(1, 0, 1).await, PulseOutcome::Opened { .. }));
}

#[tokio::test(start_paused = true)]
async fn unlocks_in_a_row_never_energise_two_locks() {
    let mut bank = Bank::ready(SimConfig { boards: vec![0, 1], ..SimConfig::default() }).await;
    for (intent, (board, lock)) in (1..).zip([(0, 1), (1, 1), (0, 2)]) {
        bank.request(intent, board, lock).unwrap();
    }
    for intent in 1..=3 {
        assert!(matches!(bank.outcome(intent).await, PulseOutcome::Opened { .. }));
    }
    assert_eq!(bank.sim.pulses(), 3);
    assert!(!bank.sim.overloaded());
}

#[tokio::test(start_paused = true)]
async fn a_silent_board_becomes_suspect_then_offline_and_returns_with_a_baseline() {
    let mut bank = Bank::ready(SimConfig::default()).await;
    bank.tell("mute on");
    bank.board_becomes(0, Suspect).await;
    bank.board_becomes(0, Offline).await;
    assert!(bank.bus.counters().timeouts > 0);
    bank.tell("open 1");
    bank.tell("mute off");
    bank.board_becomes(0, Online).await;
    let events = bank.until(|event| matches!(event, BusEvent::Baseline { .. })).await;
    let Some(BusEvent::Baseline { readings, .. }) = events.last() else { panic!() };
    assert_eq!(readings[1].1, DoorReading::Open);
    assert!(!tells_of_doors(&events), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_board_that_falls_silent_after_the_pulse_leaves_the_outcome_unknown() {
    let mut bank = Bank::ready(SimConfig::default()).await;
    bank.request(1, 0, 1).unwrap();
    bank.written().await;
    bank.tell("mute on");
    assert_eq!(bank.outcome(1).await, PulseOutcome::Unknown(UnknownReason::NoReading));
    assert_eq!(bank.sim.pulses(), 1);
}

#[tokio::test(start_paused = true)]
async fn h06_a_silent_board_does_not_stop_its_neighbour() {
    let mut bank = Bank::ready(SimConfig { boards: vec![0, 1], ..SimConfig::default() }).await;
    bank.tell("mute 0 on");
    bank.board_becomes(0, Offline).await;
    assert!(matches!(bank.unlock(1, 1, 1).await, PulseOutcome::Opened { .. }));
    assert_eq!(bank.unlock(2, 0, 1).await, PulseOutcome::NotSent(NotSentReason::BoardSilent));
    assert_eq!(bank.sim.pulses(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unlock_to_a_board_that_never_answered_is_not_sent() {
    let mut bank = Bank::start(SimConfig::default());
    bank.tell("mute on");
    bank.until(|event| matches!(event, BusEvent::Port { state: PortLink::Up })).await;
    assert_eq!(bank.unlock(1, 0, 1).await, PulseOutcome::NotSent(NotSentReason::BoardSilent));
    assert_eq!(bank.sim.pulses(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_unlock_at_start_waits_for_the_board_to_answer() {
    let mut bank = Bank::start(SimConfig::default());
    assert!(matches!(bank.unlock(1, 0, 1).await, PulseOutcome::Opened { .. }));
}

#[tokio::test(start_paused = true)]
async fn an_unlock_lapses_while_the_port_is_down() {
    let mut bank = Bank::ready(SimConfig::default()).await;
    bank.cable.pull_out();
    bank.until(|event| matches!(event, BusEvent::Port { state: PortLink::Down { .. } })).await;
    assert_eq!(bank.unlock(1, 0, 1).await, PulseOutcome::NotSent(NotSentReason::PortDown));
    bank.board_becomes(0, Offline).await;
    assert_eq!(bank.sim.pulses(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_port_lost_during_a_pulse_leaves_it_unknown_and_is_opened_again() {
    let mut bank = Bank::ready(SimConfig::default()).await;
    bank.request(1, 0, 1).unwrap();
    bank.written().await;
    bank.cable.pull_out();
    assert_eq!(bank.outcome(1).await, PulseOutcome::Unknown(UnknownReason::PortLost));
    bank.cable.put_back();
    bank.until(|event| matches!(event, BusEvent::Port { state: PortLink::Up })).await;
    bank.until(|event| matches!(event, BusEvent::Baseline { .. })).await;
    let before = bank.sim.pulses();
    assert!(matches!(bank.unlock(2, 0, 2).await, PulseOutcome::Opened { .. }));
    assert_eq!(bank.sim.pulses(), before + 1, "the lost one is not sent again");
}

#[tokio::test(start_paused = true)]
async fn h05_garbage_on_the_line_is_counted_and_survived() {
    let mut bank = Bank::ready(SimConfig::default()).await;
    bank.tell("garbage on");
    let events = bank.board_becomes(0, Offline).await;
    let noise =
        |event: &BusEvent| matches!(event, BusEvent::BusError { kind: ErrorKind::Noise, .. });
    let reports = events.iter().filter(|event| noise(event)).count();
    assert!((1..=2).contains(&reports), "told, but not each time: {events:?}");
    assert!(bank.bus.counters().noise_bytes > 0);
    bank.tell("garbage off");
    bank.board_becomes(0, Online).await;
    assert!(matches!(bank.unlock(1, 0, 1).await, PulseOutcome::Opened { .. }));
}

#[tokio::test(start_paused = true)]
async fn h05_a_damaged_reply_is_no_reading() {
    for (fault, kind, cure) in [
        ("truncate 7", ErrorKind::Truncated, "truncate off"),
        ("flip 37", ErrorKind::Checksum, "flip off"),
        ("flip 9", ErrorKind::Checksum, "flip off"),
    ] {
        let mut bank = Bank::ready(SimConfig::default()).await;
        bank.tell(fault);
        let seen = bank.board_becomes(0, Offline).await;
        let reported =
            |event: &BusEvent| matches!(event, BusEvent::BusError { kind: of, .. } if *of == kind);
        assert!(seen.iter().any(reported), "{fault}: {seen:?}");
        assert!(!tells_of_doors(&seen), "{fault}: {seen:?}");
        bank.tell(cure);
        bank.board_becomes(0, Online).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_reply_is_never_taken_for_an_answer() {
    let mut bank = Bank::ready(SimConfig::default()).await;
    bank.tell("late 65");
    let before = bank.bus.counters().replies;
    bank.board_becomes(0, Offline).await;
    let after = bank.bus.counters();
    assert!(after.replies <= before + 1, "one may have been on its way");
    assert!(after.noise_bytes >= 12, "the late ones were seen and dropped");
    bank.tell("late 0");
    bank.board_becomes(0, Online).await;
}

#[tokio::test(start_paused = true)]
async fn all_doors_changing_at_once_is_a_fault_and_a_new_baseline() {
    let mut bank = Bank::ready(SimConfig::default()).await;
    for lock in 0..8 {
        bank.tell(&format!("open {lock}"));
    }
    let events = bank.until(|event| matches!(event, BusEvent::Baseline { .. })).await;
    assert!(!tells_of_doors(&events), "{events:?}");
    assert_eq!(bank.bus.counters().board_wide_changes, 1);
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_queue_or_the_layout_are_refused() {
    let mut bank = Bank::start(SimConfig::default());
    bank.tell("mute on");
    assert_eq!(bank.request(0, 0, 40), Err(UnlockRefused::UnknownLock { board: 0, lock: 40 }));
    assert_eq!(bank.request(0, 5, 0), Err(UnlockRefused::UnknownLock { board: 5, lock: 0 }));
    for intent in 0..16 {
        bank.request(intent, 0, 1).unwrap();
    }
    assert_eq!(bank.request(16, 0, 1), Err(UnlockRefused::QueueFull));
    for intent in 0..16 {
        assert_eq!(bank.outcome(intent).await, PulseOutcome::NotSent(NotSentReason::BoardSilent));
    }
    bank.request(17, 0, 1).expect("the places are free again");
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_too_long_behind_others_are_not_sent() {
    let mut bank = Bank::ready(SimConfig::default()).await;
    for lock in 0..8 {
        bank.request(lock.into(), 0, lock).unwrap();
    }
    let mut outcomes = Vec::new();
    while outcomes.len() < 8 {
        let events = bank.until(|event| matches!(event, BusEvent::Settled { .. })).await;
        if let Some(BusEvent::Settled { outcome, .. }) = events.last() {
            outcomes.push(*outcome);
        }
    }
    let opened =
        outcomes.iter().filter(|outcome| matches!(outcome, PulseOutcome::Opened { .. })).count();
    let late = PulseOutcome::NotSent(NotSentReason::WaitedTooLong);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == late).count(), 8 - opened);
    assert_eq!(bank.sim.pulses(), opened as u64);
    assert!((2..8).contains(&opened), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_takes_no_events_gets_no_pulses_and_loses_no_outcome() {
    let mut bank =
        Bank::start_with(SimConfig::default(), config(&[0], 8, Polarity::OneIsLocked), 1);
    bank.until(|event| matches!(event, BusEvent::Baseline { .. })).await;
    for lock in 1..=3 {
        bank.tell(&format!("open {lock}"));
    }
    // Three changes and room for one: the bus now waits for its owner.
    sleep(Duration::from_secs(1)).await;
    bank.request(1, 0, 5).unwrap();
    sleep(Duration::from_secs(3)).await;
    assert!(matches!(bank.outcome(1).await, PulseOutcome::NotSent(_)));
    assert_eq!(bank.sim.pulses(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_bus_without_handles_sees_its_pulse_through_and_ends() {
    let mut bank = Bank::ready(SimConfig::default()).await;
    bank.request(1, 0, 1).unwrap();
    bank.request(2, 0, 2).unwrap();
    bank.written().await;
    let Bank { bus, mut events, task, sim, .. } = bank;
    drop(bus);
    let mut outcomes = Vec::new();
    while let Some(event) = events.recv().await {
        if let BusEvent::Settled { intent, outcome } = event {
            outcomes.push((intent, outcome));
        }
    }
    task.await.unwrap();
    assert!(
        matches!(
            outcomes.as_slice(),
            [(2, PulseOutcome::NotSent(NotSentReason::Stopping)), (1, PulseOutcome::Opened { .. })]
        ),
        "{outcomes:?}"
    );
    assert_eq!(sim.history().iter().filter(|each| matches!(each.what, What::Pulse(_))).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_bus_whose_events_nobody_takes_ends() {
    let bank = Bank::ready(SimConfig::default()).await;
    drop(bank.events);
    bank.task.await.unwrap();
    let (board, lock) = (board_addr(0), lock_index(1));
    let request = UnlockRequest { intent: 1, board, lock, issued_at: Instant::now() };
    assert_eq!(bank.bus.try_unlock(request), Err(UnlockRefused::Stopped));
}

/// A wire held by hand.
struct Wire(Option<DuplexStream>);

impl Connect for Wire {
    async fn connect(&mut self) -> Result<Box<dyn Port>, ConnectError> {
        match self.0.take() {
            Some(port) => Ok(Box::new(port)),
            None => std::future::pending().await,
        }
    }
}

const ALL_CLOSED: [u8; 12] =
    [0x02, 0x00, 0x00, 0x65, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x03, 0x64];

async fn request_on(wire: &mut DuplexStream) -> [u8; 6] {
    let mut frame = [0; 6];
    wire.read_exact(&mut frame).await.unwrap();
    frame
}

#[tokio::test(start_paused = true)]
async fn an_unlock_that_comes_during_a_poll_goes_right_after_its_reply() {
    let (near, mut far) = duplex(64);
    let (sender, _events) = mpsc::channel(64);
    let (bus, _task) = Bus::spawn(config(&[0], 8, Polarity::OneIsLocked), Wire(Some(near)), sender);
    let poll = encode_status(board_addr(0), PollForm::UnusableLock);
    // Until the supply has rested from whatever ran before.
    for _ in 0..6 {
        assert_eq!(request_on(&mut far).await, poll);
        far.write_all(&ALL_CLOSED).await.unwrap();
    }
    assert_eq!(request_on(&mut far).await, poll);
    far.write_all(&ALL_CLOSED[..5]).await.unwrap();
    let (board, lock) = (board_addr(0), lock_index(4));
    bus.try_unlock(UnlockRequest { intent: 1, board, lock, issued_at: Instant::now() }).unwrap();
    sleep(Duration::from_millis(10)).await;
    far.write_all(&ALL_CLOSED[5..]).await.unwrap();
    assert_eq!(request_on(&mut far).await, encode_unlock(board, lock));
    assert_eq!(bus.counters().truncated, 0, "the poll was not cut");
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_has_just_started_lets_the_supply_rest_first() {
    let (near, mut far) = duplex(64);
    let (sender, _events) = mpsc::channel(64);
    let started = Instant::now();
    let (bus, _task) = Bus::spawn(config(&[0], 8, Polarity::OneIsLocked), Wire(Some(near)), sender);
    let poll = encode_status(board_addr(0), PollForm::UnusableLock);
    let (board, lock) = (board_addr(0), lock_index(4));
    bus.try_unlock(UnlockRequest { intent: 1, board, lock, issued_at: started }).unwrap();
    let mut frame = request_on(&mut far).await;
    while frame == poll {
        far.write_all(&ALL_CLOSED).await.unwrap();
        frame = request_on(&mut far).await;
    }
    assert_eq!(frame, encode_unlock(board, lock));
    let timing = BusTiming::default();
    let rest = Duration::from_millis(timing.pulse_ms + timing.pulse_gap_ms);
    assert!(started.elapsed() >= rest, "pulsed after {:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_reply_split_into_bytes_is_one_reply_and_two_merged_are_none() {
    let (near, mut far) = duplex(64);
    let (sender, mut events) = mpsc::channel(64);
    let (bus, _task) = Bus::spawn(config(&[0], 8, Polarity::OneIsLocked), Wire(Some(near)), sender);
    request_on(&mut far).await;
    far.write_all(&[0x00]).await.unwrap();
    for byte in ALL_CLOSED {
        far.write_all(&[byte]).await.unwrap();
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(events.recv().await, Some(BusEvent::Port { state: PortLink::Up }));
    let online = BusEvent::Board { board: board_addr(0), state: Online };
    assert_eq!(
        events.recv().await,
        Some(online),
        "one stray byte before a good reply is tolerated"
    );
    request_on(&mut far).await;
    far.write_all(&[ALL_CLOSED, ALL_CLOSED].concat()).await.unwrap();
    request_on(&mut far).await;
    let counters = bus.counters();
    assert_eq!((counters.replies, counters.foreign), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_another_board_is_no_answer() {
    let (near, mut far) = duplex(64);
    let (sender, _events) = mpsc::channel(64);
    let (bus, _task) = Bus::spawn(config(&[0], 8, Polarity::OneIsLocked), Wire(Some(near)), sender);
    request_on(&mut far).await;
    let other = [0x02, 0x01, 0x00, 0x65, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x03, 0xEB];
    far.write_all(&other).await.unwrap();
    request_on(&mut far).await;
    far.write_all(&[0x02, 0x00, 0x00, 0x75, 0x03, 0x7A]).await.unwrap();
    request_on(&mut far).await;
    let counters = bus.counters();
    assert_eq!((counters.replies, counters.foreign, counters.newer_variant), (0, 1, 1));
}
