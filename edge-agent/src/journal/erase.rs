//! Giving data up: detached parts one by one, and whole segments from the old end.

use super::{
    error::{Act, DiskFault, EraseError, PruneError, ReadError},
    format::{HEAD_BYTES, STATE_AT, STATE_ERASED},
    medium::write_zeros,
    open::open_write,
    writer::Journal,
};

/// What became of a detached part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erasure {
    Erased,
    AlreadyErased,
    /// The record has no detached part.
    NothingDetached,
}

/// What pruning left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    pub removed_segments: usize,
    pub oldest_seq: u64,
}

impl Journal {
    /// Overwrites the detached part of `seq` with zeros; record and chain stay whole. The bytes
    /// are gone from the file, durably, when this returns. May be repeated.
    ///
    /// # Errors
    ///
    /// The record is pruned, not written yet or damaged, or the disk failed, which is final.
    pub fn erase_detached(&mut self, seq: u64) -> Result<Erasure, EraseError> {
        if self.reader.shared.has_failed() {
            return Err(EraseError::Failed);
        }
        let head = self.reader.head_seq();
        let walk = self.reader.shared.walk_to(seq)?;
        let mut walk = walk.ok_or(ReadError::BeyondHead { head })?;
        let step = walk.next()?.ok_or(ReadError::BeyondHead { head })?;
        let was_erased = step.frame.head.erased;
        let bytes = step.frame.detached;
        if bytes.is_empty() {
            return Ok(Erasure::NothingDetached);
        }
        if was_erased && bytes.iter().all(|&byte| byte == 0) {
            return Ok(Erasure::AlreadyErased);
        }
        let state_at = step.offset + STATE_AT as u64;
        let part_at = step.offset + (HEAD_BYTES + step.frame.record.len()) as u64;
        let part_bytes = bytes.len() as u64;

        let path = walk.path;
        let file = open_write(&*self.medium, &path).map_err(|fault| self.erase_fault(fault))?;
        // The state byte is durable before the first zero: else a crash between would leave a
        // part that fails its checksum and looks like damage.
        let marked = file
            .write_all_at(&[STATE_ERASED], state_at)
            .map_err(DiskFault::new(Act::Write, &path))
            .and_then(|()| file.sync_data().map_err(DiskFault::new(Act::Sync, &path)));
        let zeroed = marked.and_then(|()| {
            write_zeros(&*file, part_at, part_bytes)
                .map_err(DiskFault::new(Act::Write, &path))
                .and_then(|()| file.sync_data().map_err(DiskFault::new(Act::Sync, &path)))
        });
        zeroed.map_err(|fault| self.erase_fault(fault))?;
        Ok(if was_erased { Erasure::AlreadyErased } else { Erasure::Erased })
    }

    /// Removes the segments whose records are all at or below `upto_seq`, but never the current
    /// one.
    ///
    /// # Errors
    ///
    /// The disk refuses; a failed sync is final.
    pub fn prune(&mut self, upto_seq: u64) -> Result<Pruned, PruneError> {
        let shared = &self.reader.shared;
        if shared.has_failed() {
            return Err(PruneError::Failed);
        }
        let mut removed_segments = 0;
        loop {
            let mut catalog = shared.catalog_mut();
            let oldest_seq = catalog.oldest();
            match catalog.segments.get(1) {
                Some(second) if second.first_seq <= upto_seq.saturating_add(1) => {}
                Some(_) | None => return Ok(Pruned { removed_segments, oldest_seq }),
            }
            let path = catalog.segments[0].path.clone();
            self.medium.remove(&path).map_err(DiskFault::new(Act::Remove, &path))?;
            catalog.segments.pop_front();
            drop(catalog);
            // One by one, so that a power cut cannot leave a hole between two that remain.
            self.medium.sync_dir(&self.dir).map_err(|source| {
                shared.latch();
                DiskFault::new(Act::Sync, &self.dir)(source)
            })?;
            removed_segments += 1;
        }
    }

    fn erase_fault(&self, source: DiskFault) -> EraseError {
        if source.is_out_of_space() {
            return EraseError::OutOfSpace { source };
        }
        self.reader.shared.latch();
        EraseError::Disk { source }
    }
}
