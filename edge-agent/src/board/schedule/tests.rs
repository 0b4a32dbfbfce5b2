//! What must hold whatever happens in whatever order.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::board::config::{LockConfig, Polarity};
use crate::board::profile::{PollForm, Profile, checksum};

#[derive(Clone, Debug)]
enum Happening {
    Wait(u64),
    Request {
        lock: u8,
        age_ms: u64,
    },
    /// The next step is taken; a poll brings these bits or nothing.
    Step(Option<u8>),
    StepFails,
    PortUp,
    PortDown,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (1..700_u64).prop_map(Happening::Wait),
        2 => (0..4_u8, 0..2_500_u64).prop_map(|(lock, age_ms)| Happening::Request { lock, age_ms }),
        12 => proptest::option::weighted(0.9, any::<u8>()).prop_map(Happening::Step),
        1 => Just(Happening::StepFails),
        1 => Just(Happening::PortUp),
        1 => Just(Happening::PortDown),
    ]
}

fn board() -> BoardConfig {
    let lock = |index: u8| LockConfig {
        index: index.try_into().unwrap(),
        polarity: Polarity::OneIsLocked,
    };
    BoardConfig {
        addr: 0.try_into().unwrap(),
        locks: (0..4).map(lock).collect(),
        poll: PollForm::default(),
    }
}

fn bits(low: u8) -> StatusBits {
    let mut frame = vec![0x02, 0x00, 0x00, 0x65, low, 0, 0, 0, 0, 0, 0x03];
    frame.push(checksum(&frame));
    Profile::Cu48.decode(0.try_into().unwrap(), &frame).unwrap()
}

/// Plays happenings and checks each unlock at the moment it is sent.
struct Play {
    schedule: Schedule,
    now: Instant,
    connected: bool,
    readings: u32,
    last_reading: Option<Instant>,
    last_pulse: Option<Instant>,
    sent: HashMap<u64, u32>,
    asked: u64,
    events: Vec<BusEvent>,
}

impl Play {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            schedule: Schedule::new(vec![board()], BusTiming::default(), now),
            now,
            connected: false,
            readings: 0,
            last_reading: None,
            last_pulse: None,
            sent: HashMap::new(),
            asked: 0,
            events: Vec::new(),
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Wait(ms) => self.now += Duration::from_millis(ms),
            Happening::Request { lock, age_ms } => self.request(lock, age_ms),
            Happening::Step(low) if self.connected => self.step(low, false),
            Happening::StepFails if self.connected => self.step(None, true),
            Happening::PortUp if !self.connected => {
                self.schedule.port_up(self.now);
                self.connected = true;
                self.readings = 0;
            }
            Happening::PortDown => self.port_down(),
            Happening::Step(_) | Happening::StepFails | Happening::PortUp => {}
        }
        self.schedule.lapse(self.now);
        self.events.extend(self.schedule.outbox.drain(..));
    }

    fn request(&mut self, lock: u8, age_ms: u64) {
        self.asked += 1;
        let issued_at = self.now.checked_sub(Duration::from_millis(age_ms)).unwrap_or(self.now);
        let (board, lock) = (0.try_into().unwrap(), lock.try_into().unwrap());
        let request = UnlockRequest { intent: self.asked, board, lock, issued_at };
        let frame = Profile::Cu48.unlock(board, lock).unwrap();
        let queued = Queued { request, frame, queued_at: self.now, place: None };
        self.schedule.accept(queued, self.now);
    }

    fn port_down(&mut self) {
        if std::mem::replace(&mut self.connected, false) {
            self.schedule.port_down("gone".to_owned());
        }
    }

    fn step(&mut self, low: Option<u8>, fails: bool) {
        match self.schedule.next_step(self.now) {
            Step::Unlock(queued) => self.send(&queued, fails),
            Step::Poll(index) if !fails => {
                let asked = self.now;
                self.now += Duration::from_millis(12);
                if low.is_some() {
                    self.readings += 1;
                    self.last_reading = Some(self.now);
                }
                self.schedule.polled(index, low.map(bits), asked, self.now);
            }
            Step::Poll(_) => self.port_down(),
            Step::Idle(until) => {
                assert!(until > self.now, "an idle bus does not spin");
                self.now = until;
            }
        }
    }

    fn send(&mut self, queued: &Queued, fails: bool) {
        let timing = BusTiming::default();
        let rest = Duration::from_millis(timing.pulse_ms + timing.pulse_gap_ms);
        assert!(self.last_pulse.is_none_or(|last| self.now >= last + rest), "two locks at once");
        assert!(
            self.now < queued.request.issued_at + Duration::from_secs(2),
            "sent when nobody is there"
        );
        assert!(self.readings >= 2, "sent to a board that did not answer on this connection");
        assert!(self.last_reading.is_some_and(|last| self.now <= last + Duration::from_secs(2)));
        self.last_pulse = Some(self.now);
        *self.sent.entry(queued.request.intent).or_default() += 1;
        if fails {
            self.schedule.write_failed(queued, self.now);
            self.port_down();
        } else {
            let written = Written { started: self.now, at: self.now, errors: Vec::new() };
            self.schedule.written(queued, &written);
        }
    }

    fn outcomes(&self) -> HashMap<u64, Vec<PulseOutcome>> {
        let mut outcomes: HashMap<u64, Vec<_>> = HashMap::new();
        for event in &self.events {
            if let BusEvent::Settled { intent, outcome } = event {
                outcomes.entry(*intent).or_default().push(*outcome);
            }
        }
        outcomes
    }
}

proptest! {
    #[test]
    fn every_request_settles_once_and_is_sent_at_most_once(
        happenings in proptest::collection::vec(happening(), 0..200),
    ) {
        let mut play = Play::new();
        play.happen(Happening::PortUp);
        for happening in happenings {
            play.happen(happening);
        }
        play.schedule.stop();
        play.happen(Happening::Wait(10_000));
        play.happen(Happening::PortDown);
        prop_assert!(play.schedule.is_idle());
        let outcomes = play.outcomes();
        for intent in 1..=play.asked {
            let outcome = outcomes.get(&intent).map(Vec::as_slice).unwrap_or_default();
            prop_assert_eq!(outcome.len(), 1, "{}: {:?}", intent, outcome);
            let sent = play.sent.get(&intent).copied().unwrap_or_default();
            let not_sent = matches!(outcome, [PulseOutcome::NotSent(_)]);
            prop_assert_eq!(sent, u32::from(!not_sent), "{}: {:?}", intent, outcome);
        }
    }
}

#[test]
fn an_unlock_goes_before_a_poll_that_is_due() {
    let mut play = Play::new();
    play.happen(Happening::PortUp);
    while play.readings < 2 {
        play.happen(Happening::Step(Some(0x0F)));
    }
    play.happen(Happening::Wait(700));
    assert!(matches!(play.schedule.next_step(play.now), Step::Poll(0)));
    play.happen(Happening::Request { lock: 1, age_ms: 0 });
    let step = play.schedule.next_step(play.now);
    assert!(matches!(step, Step::Unlock(_)), "{step:?}");
}

#[test]
fn a_board_that_is_gone_is_polled_ever_more_seldom() {
    let mut play = Play::new();
    let begun = play.now;
    play.happen(Happening::PortUp);
    let mut polls = Vec::new();
    while play.now.duration_since(begun) < Duration::from_secs(40) {
        match play.schedule.next_step(play.now) {
            Step::Poll(index) => {
                polls.push(play.now);
                play.schedule.polled(index, None, play.now, play.now);
            }
            Step::Idle(until) => play.now = until,
            Step::Unlock(queued) => panic!("{queued:?}"),
        }
        play.schedule.lapse(play.now);
    }
    let waits: Vec<_> =
        polls.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_millis()).collect();
    assert_eq!(waits.iter().max(), Some(&5_000), "{waits:?}");
    assert_eq!(waits.last(), Some(&5_000), "{waits:?}");
}
