//! Room on the disk, and the ballast that keeps some of it for pickups.
//!
//! A full disk stops deposits, but a parcel that lies in a compartment must come out. The ballast
//! is a file of nothing: given up when an append finds no space, made again when there is plenty.

use std::path::Path;

use super::{
    Limits,
    error::{Act, DiskFault, SpaceError},
    medium::Medium,
    writer::Journal,
};

const BALLAST_NAME: &str = "ballast";

/// Room on the journal's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What an ordinary process may still use; the ballast is not in it.
    pub free_bytes: u64,
    pub ballast: bool,
}

impl Journal {
    /// # Errors
    ///
    /// The disk does not answer.
    pub fn space(&self) -> Result<Space, SpaceError> {
        let free = self.medium.free_bytes(&self.dir);
        let free_bytes = free.map_err(DiskFault::new(Act::Measure, &self.dir))?;
        Ok(Space { free_bytes, ballast: has_ballast(&*self.medium, &self.dir, self.limits)? })
    }

    /// Gives the ballast's space to the journal; false if it was given before.
    ///
    /// # Errors
    ///
    /// The disk refuses; a failed sync is final.
    pub fn release_ballast(&mut self) -> Result<bool, SpaceError> {
        self.check_space()?;
        if !has_ballast(&*self.medium, &self.dir, self.limits)? {
            return Ok(false);
        }
        let path = self.dir.join(BALLAST_NAME);
        self.medium.remove(&path).map_err(DiskFault::new(Act::Remove, &path))?;
        // File systems give the blocks out again only once the removal is durable.
        self.latching(
            self.medium.sync_dir(&self.dir).map_err(DiskFault::new(Act::Sync, &self.dir)),
        )?;
        Ok(true)
    }

    /// Asks for the blocks that the current segment may still need: what the ballast gave up would else be anybody's. Only a
    /// hint, as when the segment was made.
    pub fn claim_room(&self) {
        let _ = self.current.file.preallocate(u64::from(self.limits.segment_bytes));
    }

    /// Makes the ballast again where it is missing, if a segment would still fit beside it;
    /// answers whether the ballast is there.
    ///
    /// # Errors
    ///
    /// The disk refuses; a failed sync is final.
    pub fn restore_ballast(&mut self) -> Result<bool, SpaceError> {
        self.check_space()?;
        let Space { free_bytes, ballast } = self.space()?;
        let needed = u64::from(self.limits.ballast_bytes) + u64::from(self.limits.segment_bytes);
        if ballast || free_bytes < needed {
            return Ok(ballast);
        }
        self.latching(make_ballast(&*self.medium, &self.dir, self.limits))?;
        Ok(true)
    }

    fn check_space(&self) -> Result<(), SpaceError> {
        if self.reader.shared.has_failed() { Err(SpaceError::Failed) } else { Ok(()) }
    }

    fn latching(&self, result: Result<(), DiskFault>) -> Result<(), SpaceError> {
        result.map_err(|fault| {
            if fault.act == Act::Sync {
                self.reader.shared.latch();
            }
            if fault.is_out_of_space() {
                SpaceError::OutOfSpace { source: fault }
            } else {
                SpaceError::Disk(fault)
            }
        })
    }
}

/// Whether the whole ballast is there. One of another size is a crash's leaving or an older limit.
pub(super) fn has_ballast(
    medium: &dyn Medium,
    dir: &Path,
    limits: Limits,
) -> Result<bool, DiskFault> {
    if limits.ballast_bytes == 0 || !is_listed(medium, dir)? {
        return Ok(false);
    }
    let path = dir.join(BALLAST_NAME);
    let file = medium.open_read(&path).map_err(DiskFault::new(Act::Open, &path))?;
    let len = file.size().map_err(DiskFault::new(Act::Measure, &path))?;
    Ok(len == u64::from(limits.ballast_bytes))
}

/// Makes the ballast, durable with its name. When space runs out no file is left.
pub(super) fn make_ballast(
    medium: &dyn Medium,
    dir: &Path,
    limits: Limits,
) -> Result<(), DiskFault> {
    let path = dir.join(BALLAST_NAME);
    if is_listed(medium, dir)? {
        medium.remove(&path).map_err(DiskFault::new(Act::Remove, &path))?;
    }
    if limits.ballast_bytes == 0 {
        return Ok(());
    }
    let file = medium.create(&path).map_err(DiskFault::new(Act::Create, &path))?;
    let bytes = u64::from(limits.ballast_bytes);
    if let Err(fault) = file.allocate(bytes).map_err(DiskFault::new(Act::Allocate, &path)) {
        medium.remove(&path).map_err(DiskFault::new(Act::Remove, &path))?;
        return Err(fault);
    }
    file.sync_all().map_err(DiskFault::new(Act::Sync, &path))?;
    medium.sync_dir(dir).map_err(DiskFault::new(Act::Sync, dir))
}

fn is_listed(medium: &dyn Medium, dir: &Path) -> Result<bool, DiskFault> {
    let names = medium.list(dir).map_err(DiskFault::new(Act::List, dir))?;
    Ok(names.iter().any(|name| name == BALLAST_NAME))
}
