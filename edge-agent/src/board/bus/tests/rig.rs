//! A bus with the fake boards behind it.

use super::*;
use crate::board::fake::{At, Fake};
use crate::board::{Echo, Profile};

pub(super) struct Rig {
    pub(super) fake: Fake,
    pub(super) bus: Bus,
    events: mpsc::Receiver<BusEvent>,
    intents: u64,
}

pub(super) fn config_of(profile: Profile, boards: &[u8], echo: Echo) -> BusConfig {
    let locks = 8;
    let line = LineConfig { profile, echo };
    BusConfig { line, ..config(boards, locks, Polarity::OneIsLocked) }
}

impl Rig {
    pub(super) fn start(fake: Fake, config: BusConfig) -> Self {
        let (sender, events) = mpsc::channel(256);
        let (bus, _) = Bus::spawn(config, fake.clone(), sender);
        Self { fake, bus, events, intents: 0 }
    }

    /// Once every board has told its doors, and the supply has rested.
    pub(super) async fn ready(profile: Profile, boards: &[u8]) -> Self {
        let fake = Fake::new(profile, boards.iter().copied());
        Self::ready_with(fake, config_of(profile, boards, Echo::Off)).await
    }

    pub(super) async fn ready_with(fake: Fake, config: BusConfig) -> Self {
        let boards = config.boards.len();
        let mut rig = Self::start(fake, config);
        for _ in 0..boards {
            rig.until(|event| matches!(event, BusEvent::Baseline { .. })).await;
        }
        rig.during(Duration::from_secs(1)).await;
        rig
    }

    /// All events up to the first that fits.
    pub(super) async fn until(&mut self, wanted: impl Fn(&BusEvent) -> bool) -> Vec<BusEvent> {
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

    /// What happens in the given time.
    pub(super) async fn during(&mut self, time: Duration) -> Vec<BusEvent> {
        let end = Instant::now() + time;
        let mut seen = Vec::new();
        while let Ok(Some(event)) = tokio::time::timeout_at(end, self.events.recv()).await {
            seen.push(event);
        }
        seen
    }

    pub(super) fn request(&mut self, (board, lock): At) -> u64 {
        self.intents += 1;
        let (board, lock, intent) = (board_addr(board), lock_index(lock), self.intents);
        let request = UnlockRequest { intent, board, lock, issued_at: Instant::now() };
        self.bus.try_unlock(request).unwrap();
        intent
    }

    /// One pulse; its outcome and everything that was told up to it.
    pub(super) async fn pulse(&mut self, at: At) -> (PulseOutcome, Vec<BusEvent>) {
        let intent = self.request(at);
        let settled = |event: &BusEvent| matches!(event, BusEvent::Settled { intent: of, .. } if *of == intent);
        let seen = self.until(settled).await;
        match seen.last() {
            Some(BusEvent::Settled { outcome, .. }) => (*outcome, seen),
            other => panic!("{other:?}"),
        }
    }

    /// Opens a door and shuts it again.
    pub(super) async fn open_and_shut(&mut self, at: At) {
        assert!(matches!(self.pulse(at).await.0, PulseOutcome::Opened { .. }));
        self.until(door(DoorReading::Open)).await;
        self.fake.toggle(at);
        self.until(door(DoorReading::Closed)).await;
    }
}
