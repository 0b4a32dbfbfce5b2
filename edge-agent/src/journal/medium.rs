//! The few things the journal asks of a disk, so that tests can hand it one that fails.
//!
//! Every promise of the journal is a promise about the order of these calls. With them behind a
//! trait, a disk that forgets unsynced writes, tears them or runs full can be put under the real
//! code.

#![expect(
    clippy::missing_errors_doc,
    reason = "each call fails with what the operating system answers, and nothing else"
)]

use std::{
    any::Any,
    fmt::Debug,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::Path,
};

use rustix::fs::{Advice, FallocateFlags, FlockOperation};

use super::error::{Act, DiskFault};

/// Held while the directory is locked; dropping it unlocks.
pub type MediumLock = Box<dyn Any + Send + Sync>;

/// A file system, as far as the journal needs one.
pub trait Medium: Debug + Send + Sync {
    /// Makes `dir` and its parents; content if it is there already.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// Names of the entries of `dir`, in any order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// A new, empty file to read and write; fails if there is one.
    fn create(&self, path: &Path) -> io::Result<Box<dyn MediumFile>>;
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn MediumFile>>;
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn MediumFile>>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes creations, removals and renames inside `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes an ordinary process may still use.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
    /// `None` when somebody else holds it.
    fn lock(&self, path: &Path) -> io::Result<Option<MediumLock>>;
}

/// An open file.
pub trait MediumFile: Debug + Send + Sync {
    fn size(&self) -> io::Result<u64>;
    /// May read less than asked; 0 only at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// May write less than asked.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes contents and length durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes contents and everything else about the file durable.
    fn sync_all(&self) -> io::Result<()>;
    /// Asks for blocks up to `bytes` without changing the length; a hint.
    fn preallocate(&self, bytes: u64) -> io::Result<()>;
    /// Makes the file `bytes` long with blocks that are really its own.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    /// Drops clean cached pages, so that the next read comes from the device; a hint.
    fn forget_cache(&self) -> io::Result<()>;

    fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => {
                    bytes = &bytes[n..];
                    offset += n as u64;
                }
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }

    /// Fills `buf` as far as the file goes, and says how far.
    fn read_full_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(done)
    }

    /// The whole file.
    fn read_whole(&self) -> io::Result<Vec<u8>> {
        let len =
            usize::try_from(self.size()?).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
        let mut bytes = vec![0; len];
        let done = self.read_full_at(&mut bytes, 0)?;
        bytes.truncate(done);
        Ok(bytes)
    }
}

/// Makes `dir`, durable with its name: what is in a folder that a power cut takes is gone, synced or not.
pub(super) fn make_dir_durably(medium: &dyn Medium, dir: &Path) -> Result<(), DiskFault> {
    medium.make_dir(dir).map_err(DiskFault::new(Act::Create, dir))?;
    match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => medium.sync_dir(parent).map_err(DiskFault::new(Act::Sync, parent)),
        None => Ok(()),
    }
}

/// The disk of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Medium for Disk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        // A name that is not UTF-8 is none of ours.
        names.filter_map(io::Result::transpose).collect()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn MediumFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).create_new(true).open(path)?))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn MediumFile>> {
        Ok(Box::new(File::open(path)?))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn MediumFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<MediumLock>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(err) => Err(err.into()),
        }
    }
}

impl MediumFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        Self::sync_all(self)
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(self, FallocateFlags::KEEP_SIZE, 0, bytes)?)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(self, FallocateFlags::empty(), 0, bytes) {
            // Such a file system has no promise to give; written blocks are the nearest thing.
            Err(rustix::io::Errno::OPNOTSUPP) => write_zeros(self, 0, bytes),
            other => Ok(other?),
        }
    }

    fn forget_cache(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(self, 0, None, Advice::DontNeed)?)
    }
}

/// Writes zeros over `bytes` bytes from `offset`.
pub(super) fn write_zeros(file: &dyn MediumFile, mut offset: u64, bytes: u64) -> io::Result<()> {
    const CHUNK: [u8; 4096] = [0; 4096];
    let end = offset + bytes;
    while offset < end {
        let chunk = usize::try_from(end - offset).unwrap_or(usize::MAX).min(CHUNK.len());
        file.write_all_at(&CHUNK[..chunk], offset)?;
        offset += chunk as u64;
    }
    Ok(())
}
