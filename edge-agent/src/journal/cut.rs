//! Taking records back: the end of the journal is cut off when the hub has other records for the same places.
//!
//! What is cut off is kept aside first. The rest is always the beginning of what was there, at whatever step the power
//! goes: whoever cuts again after that comes to the same journal.

use std::io::ErrorKind;
use std::path::Path;

use super::{
    CALL_MAX_ENTRIES, Detached, Entry, Stored,
    error::{Act, CutError, DiskFault, ReadError},
    format::{HEADER_BYTES, Header, numbered, put_frame},
    medium::{Medium, make_dir_durably},
    open::open_write,
    writer::Journal,
};

/// Pieces that are kept; the oldest goes first.
const KEPT: usize = 2;
const TEMP_NAME: &str = "cut.tmp";

/// A record boundary inside a segment at which a whole call ends.
struct Boundary {
    seq: u64,
    hash: [u8; 32],
    end: u64,
}

impl Journal {
    /// Cuts off all records above `above`, after putting them into a file in `aside`. Only before anybody reads: a reader
    /// would be surprised.
    ///
    /// # Errors
    ///
    /// The record is pruned or not written yet, or the disk refuses. A failed sync is final.
    pub fn cut(&mut self, above: u64, aside: &Path) -> Result<(), CutError> {
        if self.reader.shared.has_failed() {
            return Err(CutError::Failed);
        }
        let head = self.head_seq();
        if above >= head {
            return if above == head { Ok(()) } else { Err(ReadError::BeyondHead { head }.into()) };
        }
        let tail = self.read(above + 1, usize::MAX, usize::MAX)?;
        let first = Header {
            stream_id: self.stream_id(),
            first_seq: above + 1,
            prev_hash: self.hash_at(above)?,
        };
        keep(&*self.medium, aside, &first, &tail)?;

        let boundary = self.boundary(above)?;
        let again = match above - boundary.seq {
            0 => Vec::new(),
            count => {
                self.read(boundary.seq + 1, usize::try_from(count).unwrap_or(0), usize::MAX)?
            }
        };
        let cut = self.cut_files(&boundary);
        cut.inspect_err(|_| self.reader.shared.latch())?;
        // The first part of a call whose rest is cut off.
        for run in again.chunks(CALL_MAX_ENTRIES) {
            let entries: Vec<Entry<'_>> = run.iter().map(entry).collect();
            self.append(&entries)?;
        }
        Ok(())
    }

    /// The last whole call that ends at or below `above`, inside the segment of the record after it.
    fn boundary(&self, above: u64) -> Result<Boundary, CutError> {
        let first_seq = {
            let catalog = self.reader.shared.catalog();
            let found = catalog.segments.iter().rev().find(|s| s.first_seq <= above + 1);
            found.map_or(catalog.oldest(), |segment| segment.first_seq)
        };
        let head = self.head_seq();
        let walk = self.reader.shared.walk_to(first_seq)?;
        let mut walk = walk.ok_or(ReadError::BeyondHead { head })?;
        let mut last = Boundary { seq: first_seq - 1, hash: walk.hash, end: HEADER_BYTES as u64 };
        while walk.seq <= above {
            let Some(step) = walk.next()? else { break };
            let (seq, whole) = (step.seq, step.frame.head.left == 0);
            if whole {
                last = Boundary { seq, hash: walk.hash, end: walk.offset };
            }
        }
        Ok(last)
    }

    /// Removes the segments behind the boundary's, newest first, and shortens that one.
    fn cut_files(&mut self, boundary: &Boundary) -> Result<(), DiskFault> {
        loop {
            let mut catalog = self.reader.shared.catalog_mut();
            let last = catalog.segments.back().expect("there is always a current segment");
            if last.first_seq <= boundary.seq + 1 {
                break;
            }
            let path = last.path.clone();
            self.medium.remove(&path).map_err(DiskFault::new(Act::Remove, &path))?;
            catalog.segments.pop_back();
            drop(catalog);
            // One by one, so that a power cut cannot leave a hole.
            self.medium.sync_dir(&self.dir).map_err(DiskFault::new(Act::Sync, &self.dir))?;
        }
        let path = {
            let catalog = self.reader.shared.catalog();
            catalog.segments.back().expect("there is always a current segment").path.clone()
        };
        let file = open_write(&*self.medium, &path)?;
        file.set_len(boundary.end).map_err(DiskFault::new(Act::Truncate, &path))?;
        file.sync_all().map_err(DiskFault::new(Act::Sync, &path))?;
        self.go_back(file, path, boundary.end, (boundary.seq, boundary.hash));
        Ok(())
    }
}

pub(super) fn entry(stored: &Stored) -> Entry<'_> {
    let detached = match &stored.detached {
        Detached::Some(bytes) => Some(&bytes[..]),
        // Its bytes are gone from wherever the record goes.
        Detached::None | Detached::Erased => None,
    };
    Entry { record: &stored.record, detached }
}

/// Writes `tail` as a segment of its own into `aside`; only the newest two pieces stay.
fn keep(
    medium: &dyn Medium,
    aside: &Path,
    first: &Header,
    tail: &[Stored],
) -> Result<(), DiskFault> {
    make_dir_durably(medium, aside)?;
    let names = medium.list(aside).map_err(DiskFault::new(Act::List, aside))?;
    let mut kept: Vec<u64> =
        names.iter().filter_map(|name| numbered(name, "cut-", ".log")).collect();
    kept.sort_unstable();
    let temp = aside.join(TEMP_NAME);
    match medium.remove(&temp) {
        Err(err) if err.kind() != ErrorKind::NotFound => {
            return Err(DiskFault::new(Act::Remove, &temp)(err));
        }
        Ok(()) | Err(_) => {}
    }
    let mut bytes = first.encode().to_vec();
    for (seq, stored) in (first.first_seq..).zip(tail) {
        put_frame(&mut bytes, seq, 0, &entry(stored));
    }
    let file = medium.create(&temp).map_err(DiskFault::new(Act::Create, &temp))?;
    file.write_all_at(&bytes, 0).map_err(DiskFault::new(Act::Write, &temp))?;
    file.sync_all().map_err(DiskFault::new(Act::Sync, &temp))?;
    let path = aside.join(kept_name(kept.last().map_or(1, |newest| newest + 1)));
    medium.rename(&temp, &path).map_err(DiskFault::new(Act::Rename, &path))?;
    medium.sync_dir(aside).map_err(DiskFault::new(Act::Sync, aside))?;
    let older = (kept.len() + 1).saturating_sub(KEPT);
    for number in kept.into_iter().take(older) {
        let path = aside.join(kept_name(number));
        medium.remove(&path).map_err(DiskFault::new(Act::Remove, &path))?;
    }
    Ok(())
}

fn kept_name(number: u64) -> String {
    format!("cut-{number:020}.log")
}
