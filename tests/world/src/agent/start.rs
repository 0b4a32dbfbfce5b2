//! How a run begins: the journal made whole, the state made again from it, the start recorded, and what
//! the last run left open settled.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edge_agent::journal::{Limits, Medium, OpenError};
use edge_agent::store::begin_anew_on;
use edge_agent::store::{BeginAnewError, History, Keeper, Kept, OpenLedgerError, Stamp};
use locker_core::bank::{self as rules, Step};
use locker_core::clock::{BankClock, TimeQuality};
use locker_core::fact::Fact;
use locker_core::ids::StreamId;
use locker_core::journal::{Booted, MemoryView, StreamOpened, View};
use locker_core::journal::{fold, next_hash};
use locker_core::policy::SessionPolicy;
use locker_core::units::UnixMillis;
use locker_proto::record::decode_record;

use super::{Agent, Around, Died, Made};
use crate::cast;
use crate::disk::Disk;
use crate::watch::{Invariant, Watch};

/// Records read at a time while replaying.
const REPLAY_RECORDS: usize = 256;
/// Bytes read at a time while replaying.
const REPLAY_BYTES: usize = 1 << 20;
/// Small, so that a world of a few minutes sees everything that a journal does.
const LIMITS: Limits =
    Limits { segment_bytes: 16 * 1024, call_bytes: 1 << 20, ballast_bytes: 16 * 1024 };

/// What the largest call of a start or of a pickup takes on the disk, and the head of a segment.
const CALL_BYTES: u64 = 1_024;

/// Where the agent keeps what it keeps.
pub(super) fn dir() -> &'static Path {
    Path::new("/agent")
}

/// Where the journal is in it.
#[must_use]
pub fn journal_dir() -> PathBuf {
    dir().join("journal")
}

impl Agent {
    /// Starts on `disk`, for the `starts`-th time, with a crystal that is off by `drift_ppm`.
    ///
    /// # Errors
    ///
    /// It ended again on the way.
    pub fn start(
        n: u8,
        disk: &Disk,
        starts: u32,
        drift_ppm: i64,
        around: &mut Around<'_>,
    ) -> Result<Self, Died> {
        let started = Self::begin(n, disk, starts, drift_ppm, around);
        if let Err(Died(why)) = &started
            && disk.lacked_room()
            && !is_full(disk)
            && !needs_more_than_reserve(why)
        {
            let free = disk.free();
            let what = format!("no start with {free} bytes free and what is in reserve: {why}");
            around.watch.breaks(Invariant::AgentStarts, what);
        }
        started
    }

    fn begin(
        n: u8,
        disk: &Disk,
        starts: u32,
        drift_ppm: i64,
        around: &mut Around<'_>,
    ) -> Result<Self, Died> {
        let clock = BankClock::new(*around.floor);
        let system = UnixMillis(around.now_ms.saturating_add_signed(around.system_offset_ms));
        let (at, quality) = clock.stamp(0, system);
        let keeper = keeper(n, starts);
        let history = open_history(disk, &keeper, Stamp { at, quality }, around.watch)?;
        around.watch.opened(history.journal());
        let stream = StreamId(history.journal().stream_id());
        let (view, snapshot_seq) = rebuild(&history, disk, around.watch)?;
        let mut agent = Self {
            n,
            bank: cast::bank(n),
            disk: disk.clone(),
            history,
            view,
            stream,
            boot: keeper.boot,
            policy: SessionPolicy::default(),
            clock,
            started_ms: around.now_ms,
            drift_ppm,
            deposits_open: true,
            session_moved: None,
            snapshot_seq,
            covered_seq: 0,
            pulses: VecDeque::new(),
            answered: VecDeque::new(),
            connection: None,
            connections: 0,
            missed: false,
            doubted: None,
            not_as_told: false,
            start_again: false,
        };
        around.watch.staff_only = agent.is_incomplete();
        if !agent.is_incomplete() {
            around.watch.all_in_place();
        }
        agent.record_start(around)?;
        agent.check_space()?;
        let step = rules::recover(&agent.view);
        if agent.carry_out(around, step)? == Made::Full {
            return Err(Died::of("no room for a recovery"));
        }
        agent.lapse(around)?;
        Ok(agent)
    }

    fn record_start(&mut self, around: &mut Around<'_>) -> Result<(), Died> {
        let mut step = Step::default();
        if self.head().0 == 0 {
            let (bank, device_key) = (self.bank.clone(), [self.n; 32]);
            step.facts.push(Fact::StreamOpened(StreamOpened { bank, device_key, parent: None }));
        }
        let boot_count = self.history.next_start(self.view.meta().boot_count);
        let agent_version = "world".to_owned();
        step.facts.push(Fact::Booted(Booted { boot: self.boot, boot_count, agent_version }));
        if self.commit(around, &step)? == Made::Done {
            return Ok(());
        }
        if !self.history.journal_mut().release_ballast().map_err(Died::from_error)? {
            return Err(Died::of("no room for a start"));
        }
        match self.commit(around, &step)? {
            Made::Done => Ok(()),
            Made::Full => Err(Died::of("no room for a start, nor with the reserve")),
        }
    }
}

/// What came of a person's decision to go on without what is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Or it was not damaged: what was is pruned, or an earlier try had got far enough.
    Anew,
    /// There is no state to go on from.
    NothingLeft,
}

/// `edge-agent begin-anew`, as the `starts`-th process on `disk`; `kept` is what it finds in sled.
///
/// # Errors
///
/// The disk refuses.
pub fn begin_anew(
    n: u8,
    disk: &Disk,
    starts: u32,
    kept: Option<Kept>,
    around: &mut Around<'_>,
) -> Result<Begun, Died> {
    let at = UnixMillis(around.now_ms.saturating_add_signed(around.system_offset_ms));
    let stamp = Stamp { at: at.max(*around.floor), quality: TimeQuality::Unknown };
    let medium = Arc::new(disk.clone());
    match begin_anew_on(medium, dir(), LIMITS, &keeper(n, starts), stamp, || kept) {
        Ok(_) | Err(BeginAnewError::NotDamaged { .. }) => Ok(Begun::Anew),
        Err(BeginAnewError::NothingLeft { .. }) => Ok(Begun::NothingLeft),
        Err(error) => {
            let died = Died::from_error(error);
            if !disk.has_refused() && !disk.is_limited() {
                around.watch.breaks(Invariant::AgentStarts, format!("anew: {}", died.0));
            }
            Err(died)
        }
    }
}

fn keeper(n: u8, starts: u32) -> Keeper {
    Keeper {
        bank: cast::bank(n),
        device_key: [n; 32],
        boot: cast::boot(n, starts),
        fresh_stream: cast::stream(n, starts),
        agent_version: "world".to_owned(),
    }
}

/// A journal that is damaged is refused, and the refusal says where.
fn is_refused_rightly(disk: &Disk, died: &Died) -> bool {
    disk.damaged().is_some() && died.0.contains("is damaged at byte")
}

/// Whether a disk is full to the last byte: the reserve is given up, and what is left is too little for a call.
pub(crate) fn is_full(disk: &Disk) -> bool {
    let listed = disk.list(&journal_dir());
    let reserve = listed.is_ok_and(|names| names.iter().any(|name| name == "ballast"));
    !reserve && disk.free() < CALL_BYTES
}

/// What a full disk may still refuse although there is a reserve: a journal that has none yet, and what is put in place
/// before there is one to write the start into.
fn needs_more_than_reserve(why: &str) -> bool {
    ["cannot make a journal", "cannot finish the change"].iter().any(|start| why.starts_with(start))
}

/// Opens the journal and makes it whole. Nothing that happens here is a reason not to, but a disk that refuses.
fn open_history(
    disk: &Disk,
    keeper: &Keeper,
    stamp: Stamp,
    watch: &mut Watch,
) -> Result<History, Died> {
    let opened = History::open_on(Arc::new(disk.clone()), dir(), LIMITS, keeper, stamp);
    opened.map_err(|error| {
        let is_whole = match &error {
            OpenLedgerError::Journal { source, .. } => match source {
                OpenError::NotCreated { .. } | OpenError::Disk(_) => true,
                OpenError::Locked { .. }
                | OpenError::NewerFormat { .. }
                | OpenError::Damaged { .. } => false,
            },
            _ => true,
        };
        let excused = is_whole && (disk.has_refused() || disk.is_limited());
        let died = Died::from_error(error);
        if !excused && !is_refused_rightly(disk, &died) {
            watch.breaks(Invariant::AgentStarts, died.0.clone());
        }
        died
    })
}

/// The state as the journal has it: from the newest snapshot that fits, and the records above it. Tells
/// the watch of records that became durable although their run died over it.
fn rebuild(history: &History, disk: &Disk, watch: &mut Watch) -> Result<(MemoryView, u64), Died> {
    let journal = history.journal();
    let mut view = MemoryView::default();
    let mut seq = 0;
    match history.base() {
        Ok(Some((applied_seq, changes))) => {
            seq = applied_seq;
            view.apply(changes);
        }
        Ok(None) => {}
        Err(error) => {
            let died = Died::from_error(error);
            let excused = disk.has_refused() || disk.is_limited();
            if !excused && !is_refused_rightly(disk, &died) {
                watch.breaks(Invariant::AgentStarts, died.0.clone());
            }
            return Err(died);
        }
    }
    let snapshot_seq = seq;
    if seq + 1 < journal.oldest_seq() {
        watch.breaks(Invariant::AgentStarts, "records are pruned and no snapshot covers them");
        return Err(Died::of("no snapshot"));
    }
    let died_at = watch.head();
    loop {
        compare(watch, seq, died_at, &view);
        let run = journal.read(seq + 1, REPLAY_RECORDS, REPLAY_BYTES).map_err(Died::from_error)?;
        if run.is_empty() {
            break;
        }
        for stored in run {
            compare(watch, seq, died_at, &view);
            seq = stored.seq;
            let Ok(record) = decode_record(&stored.record) else {
                watch.breaks(Invariant::AgentStarts, format!("record {seq} cannot be read"));
                return Err(Died::of("unreadable record"));
            };
            let changes = fold(&view, &record);
            if seq > watch.head() {
                let hash = next_hash(record.previous, &stored.record);
                watch.fact(&record.fact, &view, record.at, (hash, &stored.record));
            }
            view.apply(changes);
        }
    }
    watch.state(&view);
    Ok((view, snapshot_seq))
}

/// At the place where the last run ended, the state is what that run had.
fn compare(watch: &mut Watch, seq: u64, died_at: u64, view: &MemoryView) {
    if seq == died_at
        && let Some(left) = watch.left_behind.take()
        && left != *view
    {
        watch.breaks(Invariant::SameFold, format!("at record {seq}, before and after a start"));
    }
}
