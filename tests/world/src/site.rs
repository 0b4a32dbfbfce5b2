//! One bank as a place: what outlives the agent's runs. Doors, sensors, lines to the boards, a disk, a
//! system clock, and the watcher.

use std::sync::Arc;

use locker_core::bank::{Observation, Pulse, PulseOutcome};
use locker_core::compartment::{DoorReading, LockPosition};
use locker_core::ids::StreamId;
use locker_core::journal::View;
use locker_core::units::UnixMillis;

use crate::agent::{self, Agent, Around, Begun, Died};
use crate::cast::{self, BOARDS, LOCKS, LOCKS_PER_BOARD};
use crate::disk::{Disk, Image};
use crate::net::Net;
use crate::rng::Rng;
use crate::step::Fate;
use crate::watch::{Invariant, Watch};

/// A door and its sensor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Door {
    pub open: bool,
    /// What the sensor says.
    pub reads_open: bool,
}

/// A copy of a bank's disk.
struct Copied {
    image: Image,
    /// The records that are on it for sure.
    log: Vec<Arc<[u8]>>,
    stream: Option<StreamId>,
    floor: UnixMillis,
}

/// A bank.
pub struct Site {
    pub n: u8,
    pub disk: Disk,
    pub watch: Watch,
    pub agent: Option<Agent>,
    pub net: Net,
    pub doors: [Door; LOCKS as usize],
    /// Whether the line to each board is alive.
    pub boards: [bool; BOARDS as usize],
    /// Whether the agent has heard of each board since it started or since the line came back.
    pub read: [bool; BOARDS as usize],
    pub starts: u32,
    sessions: u32,
    floor: UnixMillis,
    copied: Option<Copied>,
    /// Since the latest backup of the hub all was found whole after the disk had been changed.
    pub whole_since_backup: bool,
    pub system_offset_ms: i64,
    drift_ppm: i64,
    /// Why the last run ended, if by itself.
    pub died_of: String,
}

impl Site {
    /// A bank whose agent has never run.
    #[must_use]
    pub fn new(n: u8) -> Self {
        Self {
            n,
            disk: Disk::default(),
            watch: Watch::default(),
            agent: None,
            net: Net::default(),
            doors: [Door::default(); LOCKS as usize],
            boards: [true; BOARDS as usize],
            read: [false; BOARDS as usize],
            starts: 0,
            sessions: 0,
            floor: UnixMillis(0),
            copied: None,
            whole_since_backup: false,
            system_offset_ms: 0,
            drift_ppm: i64::from(n) * 40 - 40,
            died_of: String::new(),
        }
    }

    /// Does something with the agent, if it runs. When that ends the run, what is left of it goes.
    pub fn with<T>(
        &mut self,
        now_ms: u64,
        act: impl FnOnce(&mut Agent, &mut Around<'_>) -> Result<T, Died>,
    ) -> Option<T> {
        self.watch.now_ms = now_ms;
        let mut agent = self.agent.take()?;
        let mut around = Around {
            watch: &mut self.watch,
            now_ms,
            system_offset_ms: self.system_offset_ms,
            floor: &mut self.floor,
            sessions: &mut self.sessions,
        };
        match act(&mut agent, &mut around) {
            Ok(done) => {
                if agent.ends_itself() {
                    "starts again to put records in place".clone_into(&mut self.died_of);
                    self.bury(agent);
                } else {
                    self.agent = Some(agent);
                }
                Some(done)
            }
            Err(Died(why)) => {
                self.died_of = why;
                self.bury(agent);
                None
            }
        }
    }

    /// The agent is gone, at once.
    pub fn kill(&mut self) {
        if let Some(agent) = self.agent.take() {
            self.bury(agent);
        }
    }

    /// A pulse that a board has goes on without the agent.
    fn bury(&mut self, agent: Agent) {
        for pulse in &agent.pulses {
            let door = &mut self.doors[cast::lock_no(pulse.lock)];
            *door = Door { open: true, reads_open: true };
        }
        self.watch.left_behind = Some(agent.view);
    }

    /// The power goes.
    pub fn cut_power(&mut self, coin: u64) {
        self.kill();
        self.disk.cut_power(&mut Rng::new(coin));
    }

    /// Somebody copies the disk; no process has it.
    pub fn copy_disk(&mut self) {
        self.copied = Some(Copied {
            image: self.disk.image(),
            log: self.watch.log.clone(),
            stream: self.watch.stream,
            floor: self.floor,
        });
    }

    /// Whether there is a copy that could be put back.
    #[must_use]
    pub fn is_copied(&self) -> bool {
        self.copied.as_ref().is_some_and(|copied| copied.stream == self.watch.stream)
    }

    /// The disk is again as it was when it was copied, if it was and is still of the same stream: of another one the hub
    /// would not hear.
    pub fn put_disk_back(&mut self) -> bool {
        let Some(copied) = self.copied.as_ref().filter(|_| self.is_copied()) else { return false };
        let (image, log, floor) = (copied.image.clone(), copied.log.clone(), copied.floor);
        self.kill();
        self.disk.put_back(&image);
        self.watch.put_back(&log);
        self.floor = floor;
        self.net.clear();
        true
    }

    /// The disk is lost, and the bank gets an empty one; of what the hub `knows` nothing is here any more.
    pub fn lose_disk(&mut self, knows: &[Arc<[u8]>]) {
        self.kill();
        self.disk = Disk::default();
        self.watch.lost(knows);
        self.copied = None;
        self.floor = UnixMillis(0);
        self.net.clear();
    }

    /// Somebody stops the agent and puts a new journal in the place of a damaged one. `kept`: what the agent has beside the
    /// journal holds, too. Where nothing is left the bank goes on as one with an empty disk does; `knows` is as there.
    pub fn begin_anew(&mut self, now_ms: u64, kept: bool, effects: u8, knows: &[Arc<[u8]>]) {
        self.kill();
        self.net.clear();
        let Some(damaged) = self.disk.damaged() else { return };
        self.watch.now_ms = now_ms;
        self.disk.revive();
        if effects > 0 {
            self.disk.light_fuse(u32::from(effects));
        }
        self.starts += 1;
        let kept = if kept { self.watch.left_behind() } else { None };
        let upto = if kept.is_some() { self.watch.head() } else { damaged - 1 };
        self.watch.begins_anew(upto);
        let mut around = Around {
            watch: &mut self.watch,
            now_ms,
            system_offset_ms: self.system_offset_ms,
            floor: &mut self.floor,
            sessions: &mut self.sessions,
        };
        match agent::begin_anew(self.n, &self.disk, self.starts, kept, &mut around) {
            Ok(Begun::Anew) => self.disk.is_whole_again(),
            Ok(Begun::NothingLeft) if !self.watch.has_started(upto) => self.lose_disk(knows),
            Ok(Begun::NothingLeft) => {
                let what = format!("nothing is left of {upto} records");
                self.watch.breaks(Invariant::AgentStarts, what);
            }
            Err(Died(why)) => self.died_of = why,
        }
    }

    /// Starts the agent.
    pub fn start(&mut self, now_ms: u64, effects: u8) {
        if self.agent.is_some() {
            return;
        }
        self.watch.now_ms = now_ms;
        self.disk.revive();
        if effects > 0 {
            self.disk.light_fuse(u32::from(effects));
        }
        self.starts += 1;
        self.read = [false; BOARDS as usize];
        let mut around = Around {
            watch: &mut self.watch,
            now_ms,
            system_offset_ms: self.system_offset_ms,
            floor: &mut self.floor,
            sessions: &mut self.sessions,
        };
        let (disk, ppm) = (self.disk.clone(), self.drift_ppm);
        match Agent::start(self.n, &disk, self.starts, ppm, &mut around) {
            Ok(agent) => self.agent = Some(agent),
            Err(Died(why)) => self.died_of = why,
        }
    }

    /// The bus has something to say about a board: the first reading, or that it is silent.
    pub fn read_board(&mut self, now_ms: u64, board: u8) {
        let at = usize::from(board % BOARDS);
        let board = board % BOARDS;
        let up = self.boards[at];
        if self.agent.is_none() || self.read[at] == up {
            return;
        }
        self.read[at] = up;
        let first = board * LOCKS_PER_BOARD;
        let readings = (0..LOCKS_PER_BOARD).map(|lock| {
            let door = self.doors[usize::from(first + lock)];
            (lock, reading(door.reads_open))
        });
        let readings = readings.collect();
        let told = self.with(now_ms, |agent, around| {
            agent.observe(around, Observation::Board { board, online: up })
        });
        if told.is_some() && up {
            self.with(now_ms, |agent, around| {
                agent.observe(around, Observation::Baseline { board, readings })
            });
        }
    }

    /// A document may have wired compartments to locks that were read before: what the bus said of them is
    /// told again.
    pub fn read_new(&mut self, now_ms: u64) {
        for board in 0..BOARDS {
            let at = usize::from(board);
            let Some(agent) = self.agent.as_ref().filter(|_| self.read[at] && self.boards[at])
            else {
                continue;
            };
            let unread = agent.view.compartments().into_iter().filter(|held| {
                held.spec.lock.board == board
                    && held.door == locker_core::compartment::Door::Unknown
            });
            let readings: Vec<_> = unread
                .map(|held| {
                    let LockPosition { lock, .. } = held.spec.lock;
                    (lock, reading(self.doors[cast::lock_no(held.spec.lock)].reads_open))
                })
                .collect();
            if !readings.is_empty() {
                let seen = Observation::Baseline { board, readings };
                self.with(now_ms, |agent, around| agent.observe(around, seen));
            }
        }
    }

    /// A sensor changed, and the bus sees it if the line is alive.
    pub fn sense(&mut self, now_ms: u64, lock: u8) {
        let at = cast::lock(lock);
        if !self.read[usize::from(at.board)] || !self.boards[usize::from(at.board)] {
            return;
        }
        let reading = reading(self.doors[usize::from(lock % LOCKS)].reads_open);
        self.with(now_ms, |agent, around| {
            agent.observe(around, Observation::Door { lock: at, reading })
        });
    }

    /// The oldest pulse without an outcome gets one.
    pub fn settle(&mut self, now_ms: u64, fate: Fate) {
        let Some(pulse) = self.agent.as_mut().and_then(|agent| agent.pulses.pop_front()) else {
            return;
        };
        let lock = cast::lock_no(pulse.lock);
        let alive = self.boards[usize::from(pulse.lock.board)];
        let fate = if alive { fate } else { silent(fate) };
        let outcome = self.outcome(pulse, fate);
        if matches!(fate, Fate::Opens | Fate::OpensUnseen | Fate::OpensSilently | Fate::OpensTwo) {
            self.doors[lock].open = true;
        }
        if matches!(fate, Fate::Opens | Fate::OpensSilently | Fate::OpensTwo) {
            self.doors[lock].reads_open = true;
        }
        self.with(now_ms, |agent, around| agent.settled(around, pulse, outcome));
        let lock = u8::try_from(lock).unwrap_or_default();
        if matches!(fate, Fate::Opens | Fate::OpensTwo) {
            self.sense(now_ms, lock);
        }
        if fate == Fate::OpensTwo {
            let neighbour = if lock % LOCKS_PER_BOARD == 0 { lock + 1 } else { lock - 1 };
            self.doors[usize::from(neighbour)] = Door { open: true, reads_open: true };
            self.sense(now_ms, neighbour);
        }
    }

    fn outcome(&self, pulse: Pulse, fate: Fate) -> PulseOutcome {
        let reads_open = self.doors[cast::lock_no(pulse.lock)].reads_open;
        match fate {
            Fate::NotSent => PulseOutcome::NotSent,
            Fate::OpensSilently | Fate::SticksSilently => PulseOutcome::Unknown,
            _ if reads_open => PulseOutcome::AlreadyOpen,
            Fate::Opens | Fate::OpensTwo => PulseOutcome::Opened { after_ms: 80 },
            Fate::WasOpen => PulseOutcome::AlreadyOpen,
            Fate::Sticks | Fate::OpensUnseen => PulseOutcome::NotOpened,
        }
    }

    /// What the agent is asked around it, to look.
    pub fn around(&mut self, now_ms: u64) -> (Option<&Agent>, Around<'_>) {
        let around = Around {
            watch: &mut self.watch,
            now_ms,
            system_offset_ms: self.system_offset_ms,
            floor: &mut self.floor,
            sessions: &mut self.sessions,
        };
        (self.agent.as_ref(), around)
    }
}

const fn reading(open: bool) -> DoorReading {
    if open { DoorReading::Open } else { DoorReading::Closed }
}

/// What can be seen of it over a dead line.
const fn silent(fate: Fate) -> Fate {
    match fate {
        Fate::NotSent => Fate::NotSent,
        Fate::Opens | Fate::OpensUnseen | Fate::OpensSilently | Fate::OpensTwo => {
            Fate::OpensSilently
        }
        Fate::Sticks | Fate::WasOpen | Fate::SticksSilently => Fate::SticksSilently,
    }
}
