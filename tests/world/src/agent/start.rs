//! How a run begins: the journal made whole, the state made again from it, the start recorded, and what
//! the last run left open settled.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use edge_agent::journal::{Journal, Limits, OpenError, Verify, load_snapshots_on};
use locker_core::bank::{self as rules, Step};
use locker_core::clock::BankClock;
use locker_core::fact::Fact;
use locker_core::ids::StreamId;
use locker_core::journal::{Booted, ChainHash, FOLD_VERSION, MemoryView, StreamOpened, View};
use locker_core::journal::{fold, next_hash};
use locker_core::policy::SessionPolicy;
use locker_proto::entity::decode_snapshot;
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

/// Where the agent keeps what it keeps.
pub(super) fn dir() -> &'static Path {
    Path::new("/agent")
}

fn journal_dir() -> &'static Path {
    Path::new("/agent/journal")
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
        let journal = open_journal(n, disk, around.watch)?;
        let stream = StreamId(journal.stream_id());
        check_head(&journal, around.watch);
        let (view, snapshot_seq) = rebuild(&journal, disk, stream, around.watch)?;
        let mut agent = Self {
            n,
            bank: cast::bank(n),
            disk: disk.clone(),
            journal,
            view,
            stream,
            boot: cast::boot(n, starts),
            policy: SessionPolicy::default(),
            clock: BankClock::new(*around.floor),
            started_ms: around.now_ms,
            drift_ppm,
            deposits_open: true,
            session_moved: None,
            snapshot_seq,
            pulses: VecDeque::new(),
            answered: VecDeque::new(),
            connection: None,
            connections: 0,
            missed: false,
        };
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
        let boot_count = self.view.meta().boot_count + 1;
        let agent_version = "world".to_owned();
        step.facts.push(Fact::Booted(Booted { boot: self.boot, boot_count, agent_version }));
        if self.commit(around, &step)? == Made::Done {
            return Ok(());
        }
        if !self.journal.release_ballast().map_err(Died::from_error)? {
            return Err(Died::of("no room for a start"));
        }
        match self.commit(around, &step)? {
            Made::Done => Ok(()),
            Made::Full => Err(Died::of("no room for a start, nor with the reserve")),
        }
    }
}

fn open_journal(n: u8, disk: &Disk, watch: &mut Watch) -> Result<Journal, Died> {
    let medium = Arc::new(disk.clone());
    match Journal::open_on(medium.clone(), journal_dir(), LIMITS, Verify::Tail) {
        Ok((journal, _)) => Ok(journal),
        Err(OpenError::NotCreated { .. }) => {
            if watch.head() > 0 {
                watch.breaks(Invariant::AgentStarts, "the journal is gone");
            }
            Journal::create_on(medium, journal_dir(), cast::stream(n).0, LIMITS)
                .map_err(Died::from_error)
        }
        Err(OpenError::Disk(fault)) => Err(Died::from_error(fault)),
        Err(error @ (OpenError::Locked { .. } | OpenError::NewerFormat { .. })) => {
            watch.breaks(Invariant::AgentStarts, error.to_string());
            Err(Died::from_error(error))
        }
        Err(OpenError::Damaged { segment, offset, seq, damage }) => {
            let place = format!("{} at {offset}, seq {seq}: {damage}", segment.display());
            watch.breaks(Invariant::AgentStarts, place.clone());
            Err(Died(place))
        }
    }
}

/// What was durable once is there, unchanged.
fn check_head(journal: &Journal, watch: &mut Watch) {
    let (had, has) = (watch.head(), journal.head_seq());
    if has < had {
        watch.breaks(Invariant::DurableOnceTold, format!("{had} records were durable, {has} are"));
        return;
    }
    let there = journal.hash_at(had).ok().map(ChainHash);
    if there != watch.hash_at(had) {
        watch.breaks(Invariant::DurableOnceTold, format!("record {had} is another one"));
    }
}

/// The state as the journal has it: from the newest snapshot that fits, and the records above it. Tells
/// the watch of records that became durable although their run died over it.
fn rebuild(
    journal: &Journal,
    disk: &Disk,
    stream: StreamId,
    watch: &mut Watch,
) -> Result<(MemoryView, u64), Died> {
    let mut view = MemoryView::default();
    let mut seq = 0;
    for snapshot in load_snapshots_on(disk, dir()).map_err(Died::from_error)?.snapshots {
        let here = journal.hash_at(snapshot.seq).is_ok_and(|hash| hash == snapshot.chain_hash);
        let content = decode_snapshot(&snapshot.bytes).ok().filter(|content| {
            content.fold_version == FOLD_VERSION
                && content.applied_seq == snapshot.seq
                && content.stream == stream
        });
        if let Some(content) = content.filter(|_| here) {
            view.apply(content.changes);
            seq = snapshot.seq;
            break;
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
                watch.fact(&record.fact, &view, record.at, hash);
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
