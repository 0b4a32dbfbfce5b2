//! A bank's truth and its state: the journal, and sled as the journal's fold.
//!
//! A step is appended and synced first, then folded in. Whoever holds a [`Ledger`] is the only
//! writer; it lives on the bank's own thread because every commit waits for the disk.

mod applied;
mod attest;
mod damaged;
mod fold;
mod history;
mod incoming;
mod rebuild;
mod restore;
mod sled_files;
mod snapshots;
mod state;
mod successor;
mod suspect;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use locker_core::clock::TimeQuality;
use locker_core::fact::Fact;
use locker_core::ids::{BankId, BootId, StreamId, TraceParent};
use locker_core::journal::fold as fold_record;
use locker_core::journal::{Booted, ChainHash, Overlay, Place, Record};
use locker_core::journal::{StreamBreak, StreamOpened, View};
use locker_core::units::UnixMillis;
use locker_proto::record::encode_record;
use thiserror::Error;
use tracing::warn;

pub use damaged::{BeginAnewError, Kept, begin_anew, begin_anew_on};
use fold::Applied;
pub use fold::FoldError;
pub use history::History;
pub use incoming::{Run, TakeBackError, Taken};
pub use rebuild::RebuildError;
pub use restore::{Healed, RestoreError};
use snapshots::Covered;
pub use snapshots::{SNAPSHOT_EVERY_RECORDS, SnapshotLedgerError};
use state::State;
pub use successor::SuccessorError;

use crate::device_key::Signer;
use crate::journal::{self, AppendError, Disk, Entry, Journal, JournalReader, Limits, Medium};

/// A file of this name says that the last run ended in doubt about sled.
const IN_DOUBT: &str = "sled.in-doubt";

/// The folder of the journal.
const JOURNAL: &str = "journal";

/// Where a ledger lives.
struct Home<'a> {
    medium: &'a Arc<dyn Medium>,
    dir: &'a Path,
    limits: Limits,
}

/// Notes that sled in `dir` may be why this process ends, so that the next start makes it again
/// instead of ending in the same way. For panics, which sled prefers to errors, and for its errors.
pub fn doubt(dir: &Path) {
    // Whoever calls is on the way out already and has said why.
    let _ = std::fs::File::create(dir.join(IN_DOUBT));
}

fn is_in_doubt(dir: &Path) -> bool {
    dir.join(IN_DOUBT).exists()
}

/// Who keeps the ledger, and which run this is.
#[derive(Clone, Debug)]
pub struct Keeper {
    pub bank: BankId,
    /// SHA-256 of the device key's SubjectPublicKeyInfo.
    pub device_key: [u8; 32],
    /// Random; names this run.
    pub boot: BootId,
    /// Random; names the stream if the store is new.
    pub fresh_stream: StreamId,
    pub agent_version: String,
}

/// A time and how good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub at: UnixMillis,
    pub quality: TimeQuality,
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub stream: StreamId,
    pub new_stream: bool,
    pub boot_count: u64,
    /// Bytes of a commit that a crash cut short; it was never answered.
    pub torn_bytes: u64,
    /// Records folded in at this start.
    pub replayed: u64,
    /// Why sled was made again, if it was.
    pub rebuilt: Option<String>,
    /// What was done to the journal because the hub's was another.
    pub healed: Option<Healed>,
}

/// Why the ledger did not open. The agent does not start.
#[derive(Debug, Error)]
pub enum OpenLedgerError {
    #[error("cannot open the journal in {dir}")]
    Journal { dir: PathBuf, source: journal::OpenError },
    #[error("cannot make a journal in {dir}")]
    Create { dir: PathBuf, source: journal::CreateError },
    #[error("cannot make the folder {dir}")]
    Folder { dir: PathBuf, source: std::io::Error },
    #[error("cannot make the bank's state from its journal")]
    Rebuild(#[from] RebuildError),
    #[error("cannot write the start into the journal")]
    Commit(#[from] CommitError),
    #[error("cannot give the reserve to the journal")]
    Reserve(#[from] journal::SpaceError),
    #[error("cannot make the journal whole")]
    Restore(#[from] RestoreError),
    #[error("cannot finish the change to a new stream")]
    Successor(#[from] SuccessorError),
}

/// Why a step was not committed.
#[derive(Debug, Error)]
pub enum CommitError {
    /// Nothing was kept; the ledger can be used on.
    #[error("no space for more records")]
    OutOfSpace { source: AppendError },
    /// Nothing was kept; a bug, since facts are bounded.
    #[error("the step breaks a limit of the journal")]
    Limit { source: AppendError },
    /// Final: the process must end and start again.
    #[error("the journal's disk failed")]
    Journal { source: AppendError },
    /// Final: the record is durable, the state in memory may be wrong.
    #[error("the fold failed")]
    Fold { source: FoldError },
}

impl CommitError {
    /// Whether the process must end.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::OutOfSpace { .. } | Self::Limit { .. } => false,
            Self::Journal { .. } | Self::Fold { .. } => true,
        }
    }
}

/// The journal and its fold.
pub struct Ledger {
    history: History,
    fold: State,
    stream: StreamId,
    boot: BootId,
    covered: Covered,
    /// What seals are signed with, if anything.
    signer: Option<Box<dyn Signer>>,
}

impl Ledger {
    /// Opens or makes the ledger in `dir` and writes this start into it.
    ///
    /// # Errors
    ///
    /// The journal is damaged, locked, newer than this agent, or the disk refuses. sled alone can
    /// not make this fail.
    pub fn open(
        dir: &Path,
        limits: Limits,
        keeper: &Keeper,
        stamp: Stamp,
    ) -> Result<(Self, Opened), OpenLedgerError> {
        Self::open_on(Arc::new(Disk), dir, limits, keeper, stamp)
    }

    /// As [`Self::open`], with journal and snapshots on another disk.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn open_on(
        medium: Arc<dyn Medium>,
        dir: &Path,
        limits: Limits,
        keeper: &Keeper,
        stamp: Stamp,
    ) -> Result<(Self, Opened), OpenLedgerError> {
        let folder = |source| OpenLedgerError::Folder { dir: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(folder)?;
        let mut history = History::open_on(Arc::clone(&medium), dir, limits, keeper, stamp)?;
        let stream = StreamId(history.journal.stream_id());
        let open_fold = |journal: &Journal| rebuild::open_fold(&*medium, dir, journal, stream);
        let rebuilt = match open_fold(&history.journal) {
            // Nothing but sled has the state: for that the reserve is there, too.
            Err(error) if error.is_out_of_space() && history.journal.release_ballast()? => {
                open_fold(&history.journal)?
            }
            opened => opened?,
        };
        if rebuilt.fold.is_in_sled() && is_in_doubt(dir) {
            std::fs::remove_file(dir.join(IN_DOUBT)).map_err(folder)?;
        }
        let mut ledger = Self {
            history,
            fold: rebuilt.fold,
            covered: rebuilt.covered,
            stream,
            boot: keeper.boot,
            signer: None,
        };
        let new_stream = ledger.head().0 == 0;
        let boot_count = ledger.history.next_start(ledger.fold.meta().boot_count);
        ledger.commit_start(&start_facts(keeper, new_stream, boot_count), stamp)?;
        let opened = Opened {
            stream,
            new_stream,
            boot_count,
            torn_bytes: ledger.history.torn_bytes,
            replayed: rebuilt.replayed,
            rebuilt: rebuilt.why,
            healed: ledger.history.healed(),
        };
        Ok((ledger, opened))
    }

    /// The bank's state.
    #[must_use]
    pub const fn view(&self) -> &impl View {
        &self.fold
    }

    /// The journal's own name.
    #[must_use]
    pub const fn stream(&self) -> StreamId {
        self.stream
    }

    /// This run's name.
    #[must_use]
    pub const fn boot(&self) -> BootId {
        self.boot
    }

    /// The last record and the chain's hash there.
    #[must_use]
    pub fn head(&self) -> (u64, ChainHash) {
        self.history.head()
    }

    /// A handle for reading records on another thread.
    #[must_use]
    pub fn reader(&self) -> JournalReader {
        self.history.journal.reader()
    }

    /// Makes `facts` durable in this order, then folds them in.
    ///
    /// # Errors
    ///
    /// See [`CommitError::is_final`].
    pub fn commit(
        &mut self,
        facts: &[Fact],
        trace: Option<&TraceParent>,
        stamp: Stamp,
    ) -> Result<(), CommitError> {
        self.check_reads()?;
        if facts.is_empty() {
            return Ok(());
        }
        let (mut seq, mut hash) = self.head();
        let mut overlay = Overlay::new(&self.fold);
        let mut encoded = Vec::with_capacity(facts.len());
        for fact in facts {
            seq += 1;
            let record = Record {
                stream: self.stream,
                seq,
                boot: self.boot,
                at: stamp.at,
                quality: stamp.quality,
                previous: hash,
                trace: trace.cloned(),
                detached: None,
                fact: fact.clone(),
            };
            let changes = fold_record(&overlay, &record);
            overlay.push(changes);
            let bytes = encode_record(&record);
            hash = locker_core::journal::next_hash(hash, &bytes);
            encoded.push(bytes);
        }
        let changes = overlay.into_changes();
        self.check_reads()?;
        let entries: Vec<Entry<'_>> =
            encoded.iter().map(|record| Entry { record, detached: None }).collect();
        self.history.journal.append(&entries).map_err(commit_error)?;
        let applied = Applied { stream: self.stream, seq, hash };
        self.fold.apply(changes, applied).or_else(|error| self.go_on_without_sled(error))
    }

    /// Lets go of sled where it may soon find no room: `free_bytes` are left. The next start with room takes it up again.
    ///
    /// # Errors
    ///
    /// sled failed; final.
    pub fn mind_room(&mut self, free_bytes: u64) -> Result<(), CommitError> {
        if free_bytes >= rebuild::SLED_ROOM_BYTES || !self.fold.is_in_sled() {
            return Ok(());
        }
        warn!(free_bytes, "no room for sled, state held in memory");
        self.fold.leave_sled().or_else(|error| self.go_on_without_sled(error))
    }

    /// Says whether what was read since the last commit was really all there: after a refusal, which
    /// commits nothing, and would else blame the person for the disk.
    ///
    /// # Errors
    ///
    /// sled failed; final.
    pub fn check_reads(&self) -> Result<(), CommitError> {
        self.fold.take_fault().map_or(Ok(()), |source| Err(self.fold_failed(source)))
    }

    /// Removes segments that the hub has safe and that two snapshots cover.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn prune(&mut self, safe: u64) -> Result<(), journal::PruneError> {
        self.history.prune(safe, self.covered.upto())
    }

    /// Room on the disk.
    ///
    /// # Errors
    ///
    /// The disk does not answer.
    pub fn space(&self) -> Result<journal::Space, journal::SpaceError> {
        self.history.journal.space()
    }

    /// Gives the reserve to the journal, so that pickups go on; false if it was given before.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn release_ballast(&mut self) -> Result<bool, journal::SpaceError> {
        let released = self.history.journal.release_ballast()?;
        if released {
            self.history.journal.claim_room();
        }
        Ok(released)
    }

    /// Takes the reserve back where there is room again; answers whether it is there.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn restore_ballast(&mut self) -> Result<bool, journal::SpaceError> {
        self.history.journal.restore_ballast()
    }

    /// Whether the hub is giving records back that are not all in place: only staff may open doors then.
    #[must_use]
    pub const fn is_restoring(&self) -> bool {
        self.history.is_restoring()
    }

    /// Keeps records that the hub gives back. They are put in place at the next start.
    ///
    /// # Errors
    ///
    /// They are not this stream's, or the disk refuses. What came before is kept.
    pub fn take_back(&mut self, run: Run<'_>) -> Result<Taken, TakeBackError> {
        self.history.take_back(run)
    }

    /// Forgets what was given back: the hub goes on with this journal as it is.
    ///
    /// # Errors
    ///
    /// The disk refuses; it is tried again at the next connection.
    pub fn forget_given_back(&mut self) -> Result<(), TakeBackError> {
        self.history.forget_given_back()
    }

    /// Has a new stream begun at the next start, with the content of every compartment in doubt.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn begin_new_stream(
        &self,
        reason: StreamBreak,
        common: Option<Place>,
    ) -> Result<(), SuccessorError> {
        // The next start asks the snapshots for the state, and they may be damaged where sled is not.
        if let Err(error) = self.write_snapshot() {
            warn!(%error, "snapshot not written");
        }
        self.history.begin_new_stream(reason, common)
    }

    /// A full disk must not keep a bank from starting: it holds parcels that people come for.
    fn commit_start(&mut self, facts: &[Fact], stamp: Stamp) -> Result<(), OpenLedgerError> {
        match self.commit(facts, None, stamp) {
            Err(CommitError::OutOfSpace { .. }) if self.release_ballast()? => {
                Ok(self.commit(facts, None, stamp)?)
            }
            done => Ok(done?),
        }
    }

    /// A full disk is no reason to end: what is in the journal is folded into memory.
    fn go_on_without_sled(&mut self, error: FoldError) -> Result<(), CommitError> {
        if !error.is_out_of_space() {
            return Err(self.fold_failed(error));
        }
        let History { medium, dir, journal, .. } = &self.history;
        doubt(dir);
        match rebuild::fold_in_memory(&**medium, dir, journal, self.stream) {
            Ok(state) => {
                warn!(%error, "sled found no room, state held in memory");
                self.fold = state;
                Ok(())
            }
            Err(why) => {
                warn!(%why, "state cannot be made without sled");
                Err(self.fold_failed(error))
            }
        }
    }

    fn fold_failed(&self, source: FoldError) -> CommitError {
        doubt(&self.history.dir);
        CommitError::Fold { source }
    }
}

fn start_facts(keeper: &Keeper, new_stream: bool, boot_count: u64) -> Vec<Fact> {
    let mut facts = Vec::new();
    if new_stream {
        let (bank, device_key) = (keeper.bank.clone(), keeper.device_key);
        facts.push(Fact::StreamOpened(StreamOpened { bank, device_key, parent: None }));
    }
    let agent_version = keeper.agent_version.clone();
    facts.push(Fact::Booted(Booted { boot: keeper.boot, boot_count, agent_version }));
    facts
}

fn commit_error(source: AppendError) -> CommitError {
    match source {
        AppendError::OutOfSpace { .. } => CommitError::OutOfSpace { source },
        AppendError::Disk { .. } | AppendError::Failed => CommitError::Journal { source },
        AppendError::NoEntries
        | AppendError::TooManyEntries { .. }
        | AppendError::EmptyRecord { .. }
        | AppendError::RecordTooLarge { .. }
        | AppendError::EmptyDetached { .. }
        | AppendError::DetachedTooLarge { .. }
        | AppendError::CallTooLarge { .. } => CommitError::Limit { source },
    }
}

#[cfg(test)]
pub(crate) mod tests;
