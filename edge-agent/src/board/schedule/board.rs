//! One board of a bus: whether it answers, when it is polled next, and its doors.

use std::time::Duration;

use tokio::time::Instant;

use super::READINGS_BEFORE_UNLOCK;
use crate::board::config::{BoardConfig, BusTiming};
use crate::board::cu48::{HookBits, LockIndex};
use crate::board::door::{DoorTrack, Hook};
use crate::board::event::{BoardLink, BusEvent};

/// Polls missed in a row that make a board suspect.
const SUSPECT_AFTER_MISSES: u32 = 3;
/// A baseline waits this many readings for doors that do not settle, and then calls them unknown.
const BASELINE_READINGS: u32 = 10;
/// With fewer doors than this, all of them moving in one reading may be chance.
const BOARD_WIDE_CHANGE_DOORS: usize = 4;

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
    tracks: Vec<DoorTrack>,
    /// Readings since the doors were last forgotten; none once the baseline is told.
    baseline_readings: Option<u32>,
}

impl BoardState {
    pub(super) fn new(config: BoardConfig, timing: &BusTiming, now: Instant) -> Self {
        Self {
            tracks: config.locks.iter().map(|_| DoorTrack::default()).collect(),
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
        self.forget_readings();
    }

    pub(super) fn forget_readings(&mut self) {
        self.tracks.fill_with(DoorTrack::default);
        self.baseline_readings = Some(0);
    }

    /// Whether it answered lately on this connection, often enough to tell a change.
    pub(super) fn may_unlock(&self, now: Instant, timing: &BusTiming) -> bool {
        self.link == Some(BoardLink::Online)
            && self.readings >= READINGS_BEFORE_UNLOCK
            && now.duration_since(self.alive_at) <= Duration::from_millis(timing.board_fresh_ms)
    }

    /// Notes a good reply; true if the board was not online before.
    pub(super) fn answered(&mut self, now: Instant) -> bool {
        self.misses = 0;
        self.readings = self.readings.saturating_add(1);
        self.alive_at = now;
        self.link.replace(BoardLink::Online) != Some(BoardLink::Online)
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
            self.forget_readings();
        }
        goes
    }

    /// A pulse was written: look at its door soon, and often for a while.
    pub(super) fn watch_closely(&mut self, written: Instant, timing: &BusTiming) {
        self.due = written + Duration::from_millis(timing.first_confirm_ms);
        self.brisk_until = Some(written + Duration::from_millis(timing.brisk_ms));
    }

    /// What a reply says about one lock; none if it is not configured here.
    pub(super) fn hook(&self, lock: LockIndex, bits: HookBits) -> Option<Hook> {
        let config = self.config.locks.iter().find(|config| config.index == lock)?;
        Some(Hook::from_bit(bits.bit(lock), config.polarity))
    }

    pub(super) fn track(&self, lock: LockIndex) -> Option<&DoorTrack> {
        self.config
            .locks
            .iter()
            .position(|config| config.index == lock)
            .map(|place| &self.tracks[place])
    }

    /// Whether a reply contradicts everything believed about this board.
    pub(super) fn changes_as_a_whole(&self, bits: HookBits) -> bool {
        let contradicts = |track: &DoorTrack, hook| track.contradicts(hook);
        self.tracks.len() >= BOARD_WIDE_CHANGE_DOORS
            && self.baseline_readings.is_none()
            && self
                .hooks(bits)
                .iter()
                .zip(&self.tracks)
                .all(|(hook, track)| contradicts(track, *hook))
    }

    pub(super) fn read(&mut self, bits: HookBits, asked: Instant) {
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
        let edges = self.tracks.iter_mut().map(|track| track.edge(asked, stable));
        let door = |(lock, edge): (LockIndex, Option<_>)| {
            edge.map(|(reading, seen_at)| BusEvent::Door { board, lock, reading, seen_at })
        };
        locks.zip(edges).filter_map(door).collect()
    }

    /// Plans the next poll after a good reading.
    pub(super) fn plan(&mut self, now: Instant, look_at: Option<Instant>, timing: &BusTiming) {
        let brisk = self.brisk_until.is_some_and(|until| now < until);
        let interval_ms = if brisk { timing.confirm_interval_ms } else { timing.poll_interval_ms };
        let recheck = Duration::from_millis(timing.recheck_ms);
        let stable = Duration::from_millis(timing.closed_stable_ms);
        let rechecks =
            self.tracks.iter().filter_map(|track| track.recheck_at(now, recheck, stable));
        self.due =
            rechecks.chain(look_at).fold(now + Duration::from_millis(interval_ms), Instant::min);
    }

    fn hooks(&self, bits: HookBits) -> Vec<Hook> {
        let locks = self.config.locks.iter();
        locks.map(|lock| Hook::from_bit(bits.bit(lock.index), lock.polarity)).collect()
    }
}
