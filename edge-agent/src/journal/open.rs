//! Opening: what a crash left is made whole, and what it cannot have left is refused.
//!
//! Everything is looked at before anything is changed, so that a journal that is refused is still
//! as it was found.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Limits,
    error::{Act, Damage, DiskFault, OpenError},
    format::{
        GENESIS_HASH, HEADER_BYTES, Header, HeaderFault, SEGMENT_FORMAT, segment_name, segment_seq,
    },
    medium::{Disk, Medium, MediumFile, MediumLock, write_zeros},
    reader::{Catalog, Segment, Shared},
    scan::{Scan, Spot, Tail, has_frames, scan},
    space,
    writer::{Current, Journal, LOCK_NAME},
};

/// How much is read at the start. Headers and the last segment always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Each frame of each segment, and the whole chain.
    All,
    /// Older segments are read when something in them is first asked for. Erasures that a crash
    /// interrupted in them are not finished now.
    Tail,
}

/// What opening found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    pub oldest_seq: u64,
    pub head_seq: u64,
    pub head_hash: [u8; 32],
    /// Records read and checked.
    pub verified_records: u64,
    /// Bytes cut off the end: a call of `append` that had not returned.
    pub torn_bytes: u64,
    /// A segment that was just being made, without records.
    pub removed_segment: Option<PathBuf>,
    /// Erasures of detached parts that a crash had interrupted.
    pub finished_erasures: usize,
    /// Whether the ballast is in place.
    pub ballast: bool,
}

impl Journal {
    /// Opens the journal in `dir` and makes whole what a crash left.
    ///
    /// # Errors
    ///
    /// There is no journal, another process has it, a newer agent wrote it, it is damaged, or the
    /// disk refuses. Except by the disk's failure nothing is changed then.
    pub fn open(dir: &Path, limits: Limits, verify: Verify) -> Result<(Self, Recovery), OpenError> {
        Self::open_on(Arc::new(Disk), dir, limits, verify)
    }

    /// As [`Self::open`], on another disk.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn open_on(
        medium: Arc<dyn Medium>,
        dir: &Path,
        limits: Limits,
        verify: Verify,
    ) -> Result<(Self, Recovery), OpenError> {
        let lock = lock(&*medium, dir)?;
        let survey = Survey::take(&*medium, dir, verify)?;
        let (current, mut recovery) = survey.repair(&*medium, dir)?;
        // Only a hint, as when the segment was made.
        let _ = current.file.preallocate(u64::from(limits.segment_bytes));
        recovery.ballast = space::has_ballast(&*medium, dir, limits)?;
        let stream_id = survey.stream_id;
        let catalog = survey.into_catalog(&recovery);
        let shared = Shared::new(medium, stream_id, catalog);
        Ok((Self::assemble(shared, dir, limits, current, lock), recovery))
    }
}

fn lock(medium: &dyn Medium, dir: &Path) -> Result<MediumLock, OpenError> {
    let path = dir.join(LOCK_NAME);
    match medium.lock(&path) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(OpenError::Locked { dir: dir.to_owned() }),
        Err(err) if err.kind() == ErrorKind::NotFound => {
            Err(OpenError::NotCreated { dir: dir.to_owned() })
        }
        Err(err) => Err(DiskFault::new(Act::Lock, &path)(err).into()),
    }
}

/// A segment file as it was found.
struct Found {
    path: PathBuf,
    header: Header,
    len: u64,
    scan: Option<Scan>,
}

/// What stands in the directory.
struct Survey {
    stream_id: [u8; 16],
    /// Never empty, in order.
    segments: Vec<Found>,
    /// A last segment whose header never became whole.
    stillborn: Option<PathBuf>,
}

impl Survey {
    fn take(medium: &dyn Medium, dir: &Path, verify: Verify) -> Result<Self, OpenError> {
        let names = medium.list(dir).map_err(DiskFault::new(Act::List, dir))?;
        let mut seqs: Vec<u64> = names.iter().filter_map(|name| segment_seq(name)).collect();
        seqs.sort_unstable();
        let Some(&last_seq) = seqs.last() else {
            return Err(OpenError::NotCreated { dir: dir.to_owned() });
        };
        settle(medium, dir, &dir.join(segment_name(last_seq)))?;

        let mut segments = Vec::new();
        let mut stillborn = None;
        for &seq in &seqs {
            let path = dir.join(segment_name(seq));
            match read_header(medium, &path)? {
                Some((header, len)) => segments.push(Found { path, header, len, scan: None }),
                None if seq == last_seq && is_without_frames(medium, &path)? => {
                    stillborn = Some(path);
                }
                None => return Err(damaged(&path, Spot::at_start(seq, Damage::Header))),
            }
        }
        let Some(first) = segments.first() else {
            return Err(match stillborn {
                Some(path) if last_seq != 1 => {
                    damaged(&path, Spot::at_start(last_seq, Damage::Header))
                }
                Some(_) | None => OpenError::NotCreated { dir: dir.to_owned() },
            });
        };
        let mut survey = Self { stream_id: first.header.stream_id, segments, stillborn };
        survey.scan_segments(medium, verify)?;
        survey.check_chain()?;
        Ok(survey)
    }

    fn scan_segments(&mut self, medium: &dyn Medium, verify: Verify) -> Result<(), OpenError> {
        let last = self.segments.len() - 1;
        for (index, found) in self.segments.iter_mut().enumerate() {
            if index < last && verify == Verify::Tail {
                continue;
            }
            let bytes = open_read(medium, &found.path)?
                .read_whole()
                .map_err(DiskFault::new(Act::Read, &found.path))?;
            let scan = scan(&bytes, &found.header);
            match scan.tail {
                Tail::Damaged { at } => return Err(damaged(&found.path, at)),
                Tail::Torn { at } if index < last => return Err(damaged(&found.path, at)),
                Tail::Torn { .. } | Tail::Clean => {}
            }
            found.scan = Some(scan);
        }
        Ok(())
    }

    /// Each segment has its own name's seq, and follows from the one before it.
    fn check_chain(&self) -> Result<(), OpenError> {
        let mut due: Option<(u64, [u8; 32])> = None;
        for Found { path, header, scan, .. } in &self.segments {
            let seq = header.first_seq;
            let starts = seq != 1 || header.prev_hash == GENESIS_HASH;
            let is_named = path.file_name().is_some_and(|name| name == &*segment_name(seq));
            let follows = match due {
                _ if !is_named => Err(Damage::Header),
                _ if header.stream_id != self.stream_id => Err(Damage::Stream),
                Some((due_seq, _)) if seq != due_seq => Err(Damage::Missing),
                Some((_, due_hash)) if header.prev_hash != due_hash => Err(Damage::Chain),
                Some(_) | None if !starts => Err(Damage::Chain),
                Some(_) | None => Ok(()),
            };
            let seq = due.map_or(seq, |(due_seq, _)| due_seq);
            follows.map_err(|damage| damaged(path, Spot::at_start(seq, damage)))?;
            due = scan.as_ref().map(|scan| (scan.next_seq, scan.hash));
        }
        if let (Some(path), Some((due_seq, _))) = (&self.stillborn, due)
            && path.file_name().is_some_and(|name| name != &*segment_name(due_seq))
        {
            return Err(damaged(path, Spot::at_start(due_seq, Damage::Missing)));
        }
        Ok(())
    }

    /// Cuts off the torn tail, removes the stillborn segment, finishes erasures; all durable.
    fn repair(&self, medium: &dyn Medium, dir: &Path) -> Result<(Current, Recovery), OpenError> {
        let (last, scan) = self.last();
        let file = open_write(medium, &last.path)?;
        if last.len > scan.end {
            file.set_len(scan.end).map_err(DiskFault::new(Act::Truncate, &last.path))?;
            file.sync_all().map_err(DiskFault::new(Act::Sync, &last.path))?;
        }
        if let Some(path) = &self.stillborn {
            medium.remove(path).map_err(DiskFault::new(Act::Remove, path))?;
            medium.sync_dir(dir).map_err(DiskFault::new(Act::Sync, dir))?;
        }
        let mut finished_erasures = 0;
        let mut verified_records = 0;
        for Found { path, header, scan, .. } in &self.segments {
            let Some(scan) = scan else { continue };
            verified_records += scan.next_seq - header.first_seq;
            finished_erasures += scan.unfinished.len();
            finish_erasures(medium, path, scan)?;
        }
        let recovery = Recovery {
            oldest_seq: self.segments[0].header.first_seq,
            head_seq: scan.next_seq - 1,
            head_hash: scan.hash,
            verified_records,
            torn_bytes: last.len - scan.end,
            removed_segment: self.stillborn.clone(),
            finished_erasures,
            ballast: false,
        };
        let (path, first_seq) = (last.path.clone(), last.header.first_seq);
        Ok((Current { file, path, first_seq, end: scan.end }, recovery))
    }

    fn last(&self) -> (&Found, &Scan) {
        let last = self.segments.last().expect("a survey has a segment");
        (last, last.scan.as_ref().expect("the last segment is always read"))
    }

    fn into_catalog(self, recovery: &Recovery) -> Catalog {
        let segments = self.segments.into_iter().map(|found| Segment {
            path: found.path,
            first_seq: found.header.first_seq,
            prev_hash: found.header.prev_hash,
            end: found.scan.as_ref().map_or(found.len, |scan| scan.end),
            marks: found.scan.map(|scan| scan.marks),
        });
        Catalog {
            segments: segments.collect(),
            head_seq: recovery.head_seq,
            head_hash: recovery.head_hash,
        }
    }
}

/// Makes what is about to be read the same as what is on the device. A process that was killed may
/// have left its last call in the page cache only, and after a failed sync the cache may show
/// pages that never arrived.
fn settle(medium: &dyn Medium, dir: &Path, last: &Path) -> Result<(), DiskFault> {
    medium.sync_dir(dir).map_err(DiskFault::new(Act::Sync, dir))?;
    let file = open_write(medium, last)?;
    file.sync_data().map_err(DiskFault::new(Act::Sync, last))?;
    // A hint; where it is not heeded the sync above is all that can be asked for.
    let _ = file.forget_cache();
    Ok(())
}

/// The header and the file's length; `None` if the header cannot be read.
fn read_header(medium: &dyn Medium, path: &Path) -> Result<Option<(Header, u64)>, OpenError> {
    let file = open_read(medium, path)?;
    let len = file.size().map_err(DiskFault::new(Act::Measure, path))?;
    let mut bytes = [0; HEADER_BYTES];
    let have = file.read_full_at(&mut bytes, 0).map_err(DiskFault::new(Act::Read, path))?;
    match Header::decode(&bytes[..have]) {
        Ok(header) => Ok(Some((header, len))),
        Err(HeaderFault::Unreadable) => Ok(None),
        Err(HeaderFault::Newer(found)) => {
            Err(OpenError::NewerFormat { segment: path.to_owned(), found, known: SEGMENT_FORMAT })
        }
    }
}

fn is_without_frames(medium: &dyn Medium, path: &Path) -> Result<bool, OpenError> {
    let bytes = open_read(medium, path)?.read_whole().map_err(DiskFault::new(Act::Read, path))?;
    Ok(!has_frames(&bytes))
}

fn finish_erasures(medium: &dyn Medium, path: &Path, scan: &Scan) -> Result<(), DiskFault> {
    if scan.unfinished.is_empty() {
        return Ok(());
    }
    let file = open_write(medium, path)?;
    for part in &scan.unfinished {
        write_zeros(&*file, part.start, part.end - part.start)
            .map_err(DiskFault::new(Act::Write, path))?;
    }
    file.sync_data().map_err(DiskFault::new(Act::Sync, path))
}

fn open_read(medium: &dyn Medium, path: &Path) -> Result<Box<dyn MediumFile>, DiskFault> {
    medium.open_read(path).map_err(DiskFault::new(Act::Open, path))
}

pub(super) fn open_write(
    medium: &dyn Medium,
    path: &Path,
) -> Result<Box<dyn MediumFile>, DiskFault> {
    medium.open_write(path).map_err(DiskFault::new(Act::Open, path))
}

fn damaged(path: &Path, at: Spot) -> OpenError {
    let Spot { offset, seq, damage } = at;
    OpenError::Damaged { segment: path.to_owned(), offset, seq, damage }
}

impl Spot {
    fn at_start(seq: u64, damage: Damage) -> Self {
        Self { offset: 0, seq, damage }
    }
}
