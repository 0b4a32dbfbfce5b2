//! A bank's journal as a start finds it and makes it whole, and what the hub gives back of it: all of a ledger but sled,
//! which is only the journal's fold. Everything here goes through the [`Medium`], so that it can be run on a disk that fails.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use locker_core::ids::StreamId;
use locker_core::journal::{ChainHash, Change, Place, StreamBreak};

use super::incoming::{self, Incoming};
use super::restore::{counted_starts, settle};
use super::snapshots::{base_of, fitting_snapshots};
use super::successor::{self, Order};
use super::suspect;
use super::{
    Healed, Home, JOURNAL, Keeper, OpenLedgerError, RebuildError, Run, Stamp, SuccessorError,
    TakeBackError, Taken,
};
use crate::journal::{self, Journal, Limits, Medium, Verify};

/// The journal, and the records that the hub gave back and that are not in place.
pub struct History {
    pub(super) medium: Arc<dyn Medium>,
    pub(super) dir: PathBuf,
    limits: Limits,
    pub(super) journal: Journal,
    incoming: Option<Incoming>,
    /// This start found no room to make the journal whole.
    waits_for_room: bool,
    /// Bytes of a commit that a crash cut short; it was never answered.
    pub(super) torn_bytes: u64,
    healed: Option<Healed>,
    counted: u64,
}

impl History {
    /// Opens or makes the journal in `dir`, puts what the hub gave back in place, or begins a new stream where it has to.
    ///
    /// # Errors
    ///
    /// The journal is damaged, locked, newer than this agent, or the disk refuses.
    pub fn open_on(
        medium: Arc<dyn Medium>,
        dir: &Path,
        limits: Limits,
        keeper: &Keeper,
        stamp: Stamp,
    ) -> Result<Self, OpenLedgerError> {
        let home = Home { medium: &medium, dir, limits };
        successor::finish_swap(&home)?;
        let (journal, torn_bytes) = open_journal(&home, keeper.fresh_stream)?;
        let settled = settle(&home, journal, keeper, stamp)?;
        let counted = counted_starts(&home)?;
        Ok(Self {
            counted,
            dir: dir.to_owned(),
            limits,
            journal: settled.journal,
            incoming: settled.incoming,
            waits_for_room: settled.waits_for_room,
            torn_bytes,
            healed: settled.healed,
            medium,
        })
    }

    /// The journal.
    #[must_use]
    pub const fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The journal, to write into.
    pub const fn journal_mut(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// The last record and the chain's hash there.
    #[must_use]
    pub fn head(&self) -> (u64, ChainHash) {
        (self.journal.head_seq(), ChainHash(self.journal.head_hash()))
    }

    /// What was done to the journal because the hub's was another.
    #[must_use]
    pub const fn healed(&self) -> Option<Healed> {
        self.healed
    }

    /// The number of this start, when the records say that there were `recorded` before it.
    #[must_use]
    pub fn next_start(&self, recorded: u64) -> u64 {
        recorded.max(self.counted) + 1
    }

    /// What folding begins with, and the record that it was folded up to; none is the first record. Snapshots of another
    /// history are moved aside.
    ///
    /// # Errors
    ///
    /// Nothing that there is can be folded on from, or the disk refuses.
    pub fn base(&self) -> Result<Option<(u64, Vec<Change>)>, RebuildError> {
        let stream = StreamId(self.journal.stream_id());
        let (fitting, damage) = fitting_snapshots(&*self.medium, &self.dir, &self.journal, stream)?;
        let base = base_of(fitting, self.journal.oldest_seq());
        let base = base.map_err(|error| damage.map_or(error, RebuildError::Read))?;
        Ok(base.map(|found| (found.applied.seq, found.changes)))
    }

    /// Removes segments that the hub has safe and that snapshots cover, which stand in for the records up to `covered`.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn prune(&mut self, safe: u64, covered: u64) -> Result<(), journal::PruneError> {
        let upto = safe.min(covered);
        if upto >= self.journal.oldest_seq() {
            self.journal.prune(upto)?;
        }
        Ok(())
    }

    /// Whether the hub is giving records back that are not all in place, or has ordered a new stream for which there was no
    /// room: only staff may open doors then.
    #[must_use]
    pub const fn is_restoring(&self) -> bool {
        self.incoming.is_some() || self.waits_for_room
    }

    /// Keeps records that the hub gives back. They are put in place at the next start.
    ///
    /// # Errors
    ///
    /// They are not this stream's, or the disk refuses. What came before is kept.
    pub fn take_back(&mut self, run: Run<'_>) -> Result<Taken, TakeBackError> {
        let reader = self.journal.reader();
        let home = (&self.medium, &*self.dir, self.limits);
        incoming::take_back(&mut self.incoming, &reader, home, run)
    }

    /// Forgets what was given back: the hub goes on with this journal as it is.
    ///
    /// # Errors
    ///
    /// The disk refuses; it is tried again at the next connection.
    pub fn forget_given_back(&mut self) -> Result<(), TakeBackError> {
        incoming::clear(&*self.medium, &self.dir)?;
        self.incoming = None;
        // An order to begin a new stream is another matter.
        self.waits_for_room &= self.is_ordered_anew();
        Ok(())
    }

    /// Whether the next start is to begin a new stream; also where the disk does not say.
    fn is_ordered_anew(&self) -> bool {
        let home = Home { medium: &self.medium, dir: &self.dir, limits: self.limits };
        let stream = StreamId(self.journal.stream_id());
        successor::order_of(&home, stream).map_or(true, |order| order.is_some())
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
        let home = Home { medium: &self.medium, dir: &self.dir, limits: self.limits };
        let stream = StreamId(self.journal.stream_id());
        successor::write_order(&home, stream, Order { reason, common })
    }
}

fn open_journal(home: &Home<'_>, fresh: StreamId) -> Result<(Journal, u64), OpenLedgerError> {
    let (dir, medium, limits) = (home.dir.join(JOURNAL), home.medium, home.limits);
    let verify = suspect::how_to_verify(&**medium, home.dir);
    match Journal::open_on(Arc::clone(medium), &dir, limits, verify) {
        Ok((journal, recovery)) => {
            if verify == Verify::All {
                suspect::found_whole(&**medium, home.dir);
            }
            Ok((journal, recovery.torn_bytes))
        }
        Err(journal::OpenError::NotCreated { .. }) => {
            let created = Journal::create_on(Arc::clone(medium), &dir, fresh.0, limits);
            Ok((created.map_err(|source| OpenLedgerError::Create { dir, source })?, 0))
        }
        Err(source) => Err(OpenLedgerError::Journal { dir, source }),
    }
}

/// Moves the folder `dir`, which has only files, aside; the two latest are kept.
pub(super) fn move_aside_on(medium: &dyn Medium, dir: &Path) -> std::io::Result<()> {
    let kept = |n: u8| -> PathBuf {
        let mut name = dir.as_os_str().to_owned();
        name.push(format!(".broken-{n}"));
        name.into()
    };
    let (newer, older) = (kept(1), kept(2));
    if !is_empty(medium, &newer)? {
        if !is_empty(medium, &older)? {
            for name in medium.list(&older)? {
                medium.remove(&older.join(name))?;
            }
        }
        // Over an empty folder, if there is one.
        medium.rename(&newer, &older)?;
    }
    medium.rename(dir, &newer)
}

/// Whether there is nothing in the folder `dir`, or no such folder.
pub(super) fn is_empty(medium: &dyn Medium, dir: &Path) -> std::io::Result<bool> {
    match medium.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        listed => listed.map(|names| names.is_empty()),
    }
}
