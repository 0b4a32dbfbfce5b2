//! Records that the hub gives back, until all of them are here: a journal of their own beside the bank's.
//!
//! They are the bank's own bytes and are checked as such: each fits the chain, names this stream, and can be read by this
//! agent. Nothing of them counts before the next start puts them in their place (`restore`).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use locker_core::ids::StreamId;
use locker_core::journal::{ChainHash, Place, next_hash};
use locker_proto::record::{DecodeError, decode_record};
use thiserror::Error;

use crate::journal::{
    self, AppendError, CreateError, Entry, Journal, JournalReader, Limits, Medium, ReadError,
    Verify,
};

/// The folder beside the journal.
const INCOMING: &str = "incoming";
/// In it: where the hub's records end.
const UNTIL: &str = "until";

/// A run of records as the hub sent it; its signature has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    pub first_seq: u64,
    /// The chain's hash before it.
    pub previous: ChainHash,
    pub records: &'a [Vec<u8>],
    /// The last record that the hub has.
    pub until: Place,
}

/// Why a run was not kept. What was kept before is still there.
#[derive(Debug, Error)]
pub enum TakeBackError {
    #[error("the run does not continue this journal")]
    Foreign,
    #[error("record {seq} of the run cannot be read")]
    Record { seq: u64, source: DecodeError },
    #[error("record {seq} of the run is not what follows there")]
    Misplaced { seq: u64 },
    #[error("the run ends in another hash than the hub said")]
    OtherEnd,
    #[error("cannot make room for it")]
    Create(#[from] CreateError),
    #[error("cannot open what came before")]
    Open(#[from] journal::OpenError),
    #[error("cannot read what came before")]
    Read(#[from] ReadError),
    #[error("cannot write it")]
    Append(#[from] AppendError),
    #[error("cannot write {path}")]
    File { path: PathBuf, source: std::io::Error },
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    More,
    /// All is here; the next start puts it in place.
    Complete,
}

/// The records that are here.
pub(super) struct Incoming {
    medium: Arc<dyn Medium>,
    dir: PathBuf,
    pub(super) journal: Journal,
    pub(super) until: Option<Place>,
}

impl Incoming {
    /// What an earlier run left, if anything.
    pub(super) fn open(
        medium: &Arc<dyn Medium>,
        store: &Path,
        limits: Limits,
    ) -> Result<Option<Self>, TakeBackError> {
        let dir = store.join(INCOMING);
        match medium.list(&dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Ok(names) if names.is_empty() => return Ok(None),
            Ok(_) | Err(_) => {}
        }
        let limits = Limits { ballast_bytes: 0, ..limits };
        let journal = match Journal::open_on(Arc::clone(medium), &dir, limits, Verify::All) {
            Ok((journal, _)) => journal,
            // It is only a copy of what the hub has.
            Err(
                journal::OpenError::NotCreated { .. }
                | journal::OpenError::Damaged { .. }
                | journal::OpenError::NewerFormat { .. },
            ) => {
                clear(&**medium, store)?;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let until = read_until(&**medium, &dir)?;
        Ok(Some(Self { medium: Arc::clone(medium), dir, journal, until }))
    }

    fn begin(
        medium: &Arc<dyn Medium>,
        store: &Path,
        limits: Limits,
        stream: StreamId,
        run: Run<'_>,
    ) -> Result<Self, TakeBackError> {
        clear(&**medium, store)?;
        let dir = store.join(INCOMING);
        let limits = Limits { ballast_bytes: 0, ..limits };
        let from = (run.first_seq, run.previous.0);
        let medium = Arc::clone(medium);
        let journal = Journal::create_in_middle(Arc::clone(&medium), &dir, stream.0, from, limits)?;
        Ok(Self { medium, dir, journal, until: None })
    }

    /// Whether all is here.
    pub(super) fn is_complete(&self) -> bool {
        let place = (self.journal.head_seq(), ChainHash(self.journal.head_hash()));
        self.until.is_some_and(|until| (until.seq, until.hash) == place)
    }

    /// Whether `run` goes on from a place in here.
    fn is_continued_by(&self, stream: StreamId, run: Run<'_>) -> bool {
        let before = run.first_seq - 1;
        self.journal.stream_id() == stream.0
            && self.journal.hash_at(before).is_ok_and(|hash| hash == run.previous.0)
    }

    /// Keeps what of `run` is not here yet.
    fn put(&mut self, run: Run<'_>) -> Result<Taken, TakeBackError> {
        if self.until != Some(run.until) {
            write_until(&*self.medium, &self.dir, run.until)?;
            self.until = Some(run.until);
        }
        let head = self.journal.head_seq();
        let known = usize::try_from(head + 1 - run.first_seq).unwrap_or(usize::MAX);
        let fresh = run.records.get(known..).unwrap_or_default();
        if !fresh.is_empty() {
            let entries: Vec<Entry<'_>> =
                fresh.iter().map(|record| Entry { record, detached: None }).collect();
            self.journal.append(&entries)?;
        }
        Ok(if self.is_complete() { Taken::Complete } else { Taken::More })
    }
}

/// Keeps `run` beside the journal that `own` reads.
pub(super) fn take_back(
    incoming: &mut Option<Incoming>,
    own: &JournalReader,
    (medium, store, limits): (&Arc<dyn Medium>, &Path, Limits),
    run: Run<'_>,
) -> Result<Taken, TakeBackError> {
    let stream = StreamId(own.stream_id());
    check(stream, run)?;
    if let Some(here) = incoming.as_mut().filter(|here| here.is_continued_by(stream, run)) {
        return here.put(run);
    }
    let ours = own.hash_at(run.first_seq - 1);
    if !ours.is_ok_and(|hash| hash == run.previous.0) {
        return Err(TakeBackError::Foreign);
    }
    // Let go of its lock first.
    *incoming = None;
    let mut here = Incoming::begin(medium, store, limits, stream, run)?;
    let taken = here.put(run);
    *incoming = Some(here);
    taken
}

/// Whether the run is one, of this stream, and of records that this agent can fold.
fn check(stream: StreamId, run: Run<'_>) -> Result<(), TakeBackError> {
    if run.first_seq == 0 {
        return Err(TakeBackError::Foreign);
    }
    let mut hash = run.previous;
    let mut last = run.first_seq - 1;
    for (seq, bytes) in (run.first_seq..).zip(run.records) {
        let record =
            decode_record(bytes).map_err(|source| TakeBackError::Record { seq, source })?;
        if (record.stream, record.seq, record.previous) != (stream, seq, hash) {
            return Err(TakeBackError::Misplaced { seq });
        }
        hash = next_hash(hash, bytes);
        last = seq;
    }
    let ends_wrong = last > run.until.seq || (last == run.until.seq && hash != run.until.hash);
    if ends_wrong { Err(TakeBackError::OtherEnd) } else { Ok(()) }
}

/// Removes all that came; what is left of it at any step is still a run of the same records, or nothing.
pub(super) fn clear(medium: &dyn Medium, store: &Path) -> Result<(), TakeBackError> {
    let dir = store.join(INCOMING);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| TakeBackError::File { path, source }
    };
    let mut names = match medium.list(&dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        listed => listed.map_err(failed(&dir))?,
    };
    if names.is_empty() {
        return Ok(());
    }
    // From the oldest on, and the place where it ends last: what is left is complete as before, or no journal.
    names.sort_unstable_by_key(|name| (name == UNTIL, name.clone()));
    for name in names {
        let path = dir.join(name);
        medium.remove(&path).map_err(failed(&path))?;
        medium.sync_dir(&dir).map_err(failed(&dir))?;
    }
    Ok(())
}

fn read_until(medium: &dyn Medium, dir: &Path) -> Result<Option<Place>, TakeBackError> {
    let path = dir.join(UNTIL);
    let failed = |source| TakeBackError::File { path: path.clone(), source };
    let bytes = match medium.open_read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.and_then(|file| file.read_whole()).map_err(failed)?,
    };
    // One that is not whole is asked for again: the hub says it with each run.
    let place = bytes.split_first_chunk::<8>().and_then(|(seq, hash)| {
        let hash = hash.try_into().ok()?;
        Some(Place { seq: u64::from_be_bytes(*seq), hash: ChainHash(hash) })
    });
    Ok(place)
}

fn write_until(medium: &dyn Medium, dir: &Path, until: Place) -> Result<(), TakeBackError> {
    let bytes = [&until.seq.to_be_bytes()[..], &until.hash.0].concat();
    replace_file(medium, dir, UNTIL, &bytes)
        .map_err(|source| TakeBackError::File { path: dir.join(UNTIL), source })
}

/// Replaces a file so that after a power cut either the old or the new content is there.
pub(super) fn replace_file(
    medium: &dyn Medium,
    dir: &Path,
    name: &str,
    bytes: &[u8],
) -> std::io::Result<()> {
    let (temp, path) = (dir.join(format!("{name}.tmp")), dir.join(name));
    match medium.remove(&temp) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let file = medium.create(&temp)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()?;
    medium.rename(&temp, &path)?;
    medium.sync_dir(dir)
}
