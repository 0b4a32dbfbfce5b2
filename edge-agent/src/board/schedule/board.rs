//! One board of a bus: whether it answers, when it is polled next, and its doors.

use std::time::Duration;

use tokio::time::Instant;

use super::READINGS_BEFORE_UNLOCK;
use super::health::{ObjectTrack, PowerTrack, SensorTrack};
use crate::board::config::{BoardConfig, BusTiming};
use crate::board::door::{DoorTrack, Hook};
use crate::board::event::{BoardLink, BusEvent, PulseOutcome};
use crate::board::position::LockIndex;
use crate::board::profile::StatusBits;

/// Polls missed in a row that make a board suspect.
const SUSPECT_AFTER_MISSES: u32 = 3;
/// A baseline waits this many readings for doors that do not settle, and then calls them unknown.
const BASELINE_READINGS: u32 = 10;
/// With fewer doors than this, all of them moving in one reading may be chance, or doors that pop open
/// together.
const BOARD_WIDE_CHANGE_DOORS: usize = 4;
/// A board that says nothing for longer than this right after a pulse was pulled down by it.
const DIP_SILENCE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct BoardState {
    pub(super) config: BoardConfig,
    pub(super) link: Option<BoardLink>,
    pub(super) due: Instant,
    /// Good readings on this connection.
    pub(super) readings: u32,
    misses: u32,
    /// When it last answered; at first when the bus began.
    alive_at: Instant,
    offline_poll_ms: u64,
    brisk_until: Option<Instant>,
    pulsed_at: Option<Instant>,
    /// Since when it owes an answer.
    silent_since: Option<Instant>,
    /// When the last good reading on this connection was asked for.
    read_at: Option<Instant>,
    gap: GapTrack,
    last_bits: Option<StatusBits>,
    tracks: Vec<DoorTrack>,
    sensors: Vec<SensorTrack>,
    objects: ObjectTrack,
    pub(super) power: PowerTrack,
    /// Readings since the doors were last forgotten; none once the baseline is told.
    baseline_readings: Option<u32>,
}

/// The longest time between two readings that was not told yet.
#[derive(Debug, Default)]
struct GapTrack {
    longest: Duration,
    told_at: Option<Instant>,
}

impl BoardState {
    pub(super) fn new(config: BoardConfig, timing: &BusTiming, now: Instant) -> Self {
        Self {
            tracks: config.locks.iter().map(|_| DoorTrack::default()).collect(),
            sensors: vec![SensorTrack::default(); config.locks.len()],
            objects: ObjectTrack::default(),
            power: PowerTrack::default(),
            pulsed_at: None,
            silent_since: None,
            read_at: None,
            gap: GapTrack::default(),
            last_bits: None,
            config,
            link: None,
            due: now,
            readings: 0,
            misses: 0,
            alive_at: now,
            offline_poll_ms: timing.offline_poll_min_ms,
            brisk_until: None,
            baseline_readings: Some(0),
        }
    }

    pub(super) fn begin_connection(&mut self, now: Instant) {
        self.readings = 0;
        self.misses = 0;
        self.due = now;
        self.read_at = None;
        self.silent_since = None;
        self.forget_readings();
    }

    pub(super) fn forget_readings(&mut self) {
        self.tracks.fill_with(DoorTrack::default);
        self.baseline_readings = Some(0);
        self.last_bits = None;
    }

    /// Whether it answered lately on this connection, often enough to tell a change.
    pub(super) fn may_unlock(&self, now: Instant, timing: &BusTiming) -> bool {
        self.link == Some(BoardLink::Online)
            && self.readings >= READINGS_BEFORE_UNLOCK
            && now.duration_since(self.alive_at) <= Duration::from_millis(timing.board_fresh_ms)
    }

    /// Notes a good reply to a poll begun at `asked`; true if the board was not online before.
    pub(super) fn answered(&mut self, asked: Instant, now: Instant) -> bool {
        self.misses = 0;
        self.silent_since = None;
        if let Some(before) = self.read_at.replace(asked) {
            self.gap.longest = self.gap.longest.max(asked.duration_since(before));
        }
        self.readings = self.readings.saturating_add(1);
        self.alive_at = now;
        self.link.replace(BoardLink::Online) != Some(BoardLink::Online)
    }

    /// The longest time between two readings so far, in milliseconds.
    pub(super) fn longest_gap_ms(&self) -> u64 {
        u64::try_from(self.gap.longest.as_millis()).unwrap_or(u64::MAX)
    }

    /// That time if it is too long and may be told now; it then begins anew.
    pub(super) fn take_slow_poll(&mut self, now: Instant, timing: &BusTiming) -> Option<u64> {
        let interval = Duration::from_millis(timing.error_report_interval_ms);
        let may_tell = self.gap.told_at.is_none_or(|told| now.duration_since(told) >= interval);
        let gap_ms = self.longest_gap_ms();
        if gap_ms <= timing.reading_gap_limit_ms || !may_tell {
            return None;
        }
        self.gap = GapTrack { longest: Duration::ZERO, told_at: Some(now) };
        Some(gap_ms)
    }

    /// Whether this silence is that of a board pulled down by its own pulse; its readings are then
    /// forgotten, once for each silence.
    pub(super) fn dips(&mut self, asked: Instant, now: Instant, timing: &BusTiming) -> bool {
        let since = *self.silent_since.get_or_insert(asked);
        let window = Duration::from_millis(timing.confirm_window_ms);
        let after_pulse = self.pulsed_at.is_some_and(|at| since >= at && since <= at + window);
        let dips = after_pulse
            && now.duration_since(since) > DIP_SILENCE
            && self.baseline_readings.is_none();
        if dips {
            self.forget_readings();
        }
        dips
    }

    /// Notes a failed poll and plans the next; true if the board has become suspect by it.
    pub(super) fn missed(&mut self, now: Instant, wanted: bool, timing: &BusTiming) -> bool {
        self.misses = self.misses.saturating_add(1);
        let wait_ms = if wanted {
            timing.recheck_ms
        } else if self.link == Some(BoardLink::Offline) {
            let wait_ms = self.offline_poll_ms;
            self.offline_poll_ms = wait_ms.saturating_mul(2).min(timing.offline_poll_max_ms);
            wait_ms
        } else if self.misses == 1 {
            0
        } else {
            timing.poll_interval_ms
        };
        self.due = now + Duration::from_millis(wait_ms);
        let suspect = self.misses >= SUSPECT_AFTER_MISSES && self.link == Some(BoardLink::Online);
        if suspect {
            self.link = Some(BoardLink::Suspect);
        }
        suspect
    }

    pub(super) fn offline_at(&self, timing: &BusTiming) -> Option<Instant> {
        let at = self.alive_at + Duration::from_millis(timing.offline_after_ms);
        (self.link != Some(BoardLink::Offline)).then_some(at)
    }

    /// Takes the board offline if it is time; true if it went just now.
    pub(super) fn goes_offline(&mut self, now: Instant, timing: &BusTiming) -> bool {
        let goes = self.offline_at(timing).is_some_and(|at| now >= at);
        if goes {
            self.link = Some(BoardLink::Offline);
            self.offline_poll_ms = timing.offline_poll_min_ms;
            self.readings = 0;
            self.read_at = None;
            self.forget_readings();
        }
        goes
    }

    /// A pulse was written: look at its door soon, and often for a while.
    pub(super) fn watch_closely(&mut self, lock: LockIndex, written: Instant, timing: &BusTiming) {
        if let Some(sensor) = self.sensor_mut(lock) {
            sensor.pulsed();
        }
        self.pulsed_at = Some(written);
        self.due = written + Duration::from_millis(timing.first_confirm_ms);
        self.brisk_until = Some(written + Duration::from_millis(timing.brisk_ms));
    }

    /// What a reply says about one lock; none if it is not configured here.
    pub(super) fn hook(&self, lock: LockIndex, bits: StatusBits) -> Option<Hook> {
        let config = self.config.locks.iter().find(|config| config.index == lock)?;
        Some(Hook::from_bit(bits.bit(lock), config.polarity))
    }

    pub(super) fn track(&self, lock: LockIndex) -> Option<&DoorTrack> {
        self.place(lock).map(|place| &self.tracks[place])
    }

    /// What the outcome of a pulse on one of its locks says about the board.
    pub(super) fn settled(&mut self, lock: LockIndex, outcome: PulseOutcome) -> Vec<BusEvent> {
        let board = self.config.addr;
        let power = self.power.settled(lock, outcome);
        let power = power.map(|state| BusEvent::BoardPower { board, state });
        let doubt = self.sensor_mut(lock).is_some_and(|sensor| sensor.settled(outcome));
        let doubt = doubt.then_some(BusEvent::SensorDoubt { board, lock });
        power.into_iter().chain(doubt).collect()
    }

    /// Something other than its sensor says that a door opened at its last pulse.
    pub(super) fn witnessed(&mut self, lock: LockIndex) -> Option<BusEvent> {
        let board = self.config.addr;
        self.power.opened_after_all(lock);
        let doubt = self.sensor_mut(lock).is_some_and(SensorTrack::witnessed);
        doubt.then_some(BusEvent::SensorDoubt { board, lock })
    }

    /// What the infrared sensors tell, and whom that contradicts.
    pub(super) fn see_objects(&mut self, bits: StatusBits) -> Vec<BusEvent> {
        let locks = self.config.locks.iter().map(|lock| lock.index);
        let Some(change) = self.objects.read(locks, bits) else { return Vec::new() };
        let holding = change.holding.into_iter().collect();
        let mut events = vec![BusEvent::Objects { board: self.config.addr, holding }];
        // Nothing comes or goes through a door that stayed shut.
        events.extend(change.moved.into_iter().filter_map(|lock| self.witnessed(lock)));
        events
    }

    /// Whether a reply of nothing but zeros contradicts so much that the board was reset.
    pub(super) fn tells_of_reset(&self, bits: StatusBits) -> bool {
        let hooks = self.hooks(bits);
        let changed =
            hooks.iter().zip(&self.tracks).filter(|(hook, track)| track.contradicts(**hook));
        bits.all_zero()
            && self.last_bits.is_some_and(|last| !last.all_zero())
            && changed.count() >= BOARD_WIDE_CHANGE_DOORS
    }

    /// Whether a reply contradicts everything believed about this board.
    pub(super) fn changes_as_a_whole(&self, bits: StatusBits) -> bool {
        let contradicts = |track: &DoorTrack, hook| track.contradicts(hook);
        self.tracks.len() >= BOARD_WIDE_CHANGE_DOORS
            && self.baseline_readings.is_none()
            && self
                .hooks(bits)
                .iter()
                .zip(&self.tracks)
                .all(|(hook, track)| contradicts(track, *hook))
    }

    pub(super) fn read(&mut self, bits: StatusBits, asked: Instant) {
        self.last_bits = Some(bits);
        let hooks = self.hooks(bits);
        for (track, hook) in self.tracks.iter_mut().zip(hooks) {
            track.read(hook, asked);
        }
    }

    /// The baseline, or the changes, that the readings so far amount to.
    pub(super) fn believe(&mut self, asked: Instant, timing: &BusTiming) -> Vec<BusEvent> {
        let board = self.config.addr;
        let locks = self.config.locks.iter().map(|lock| lock.index);
        if let Some(readings) = self.baseline_readings {
            let settled = self.tracks.iter().all(|track| track.steady().is_some());
            if !settled && readings + 1 < BASELINE_READINGS {
                self.baseline_readings = Some(readings + 1);
                return Vec::new();
            }
            self.baseline_readings = None;
            let readings = self.tracks.iter_mut().map(DoorTrack::adopt);
            return vec![BusEvent::Baseline { board, readings: locks.zip(readings).collect() }];
        }
        let stable = Duration::from_millis(timing.closed_stable_ms);
        let tracks = self.tracks.iter_mut().zip(&mut self.sensors);
        let edges =
            tracks.map(|(track, sensor)| track.edge(asked, stable).inspect(|_| sensor.moved()));
        let door = |(lock, edge): (LockIndex, Option<_>)| {
            edge.map(|(reading, seen_at)| BusEvent::Door { board, lock, reading, seen_at })
        };
        locks.zip(edges).filter_map(door).collect()
    }

    /// Plans the next poll after a good reading that was asked for at `asked`: the interval counts from
    /// there, so that a busy line does not make every board's interval longer.
    pub(super) fn plan(
        &mut self,
        asked: Instant,
        now: Instant,
        look_at: Option<Instant>,
        timing: &BusTiming,
    ) {
        let brisk = self.brisk_until.is_some_and(|until| now < until);
        let interval_ms = if brisk { timing.confirm_interval_ms } else { timing.poll_interval_ms };
        let recheck = Duration::from_millis(timing.recheck_ms);
        let stable = Duration::from_millis(timing.closed_stable_ms);
        let rechecks =
            self.tracks.iter().filter_map(|track| track.recheck_at(now, recheck, stable));
        let regular = (asked + Duration::from_millis(interval_ms)).max(now);
        self.due = rechecks.chain(look_at).fold(regular, Instant::min);
    }

    fn place(&self, lock: LockIndex) -> Option<usize> {
        self.config.locks.iter().position(|config| config.index == lock)
    }

    fn sensor_mut(&mut self, lock: LockIndex) -> Option<&mut SensorTrack> {
        self.place(lock).map(|place| &mut self.sensors[place])
    }

    fn hooks(&self, bits: StatusBits) -> Vec<Hook> {
        let locks = self.config.locks.iter();
        locks.map(|lock| Hook::from_bit(bits.bit(lock.index), lock.polarity)).collect()
    }
}
