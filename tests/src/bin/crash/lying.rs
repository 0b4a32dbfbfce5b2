//! A disk that says "it is written" and has written nothing: the control of the power cuts. The
//! journal on top of it is the one that banks have.

use std::io;
use std::path::Path;

use edge_agent::journal::{Disk, Medium, MediumFile, MediumLock};

/// The machine's disk, except that data is left to the system to write some time.
#[derive(Debug)]
pub(crate) struct LyingDisk;

#[derive(Debug)]
struct LyingFile(Box<dyn MediumFile>);

impl Medium for LyingDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.make_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Disk.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn MediumFile>> {
        Ok(Box::new(LyingFile(Disk.create(path)?)))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn MediumFile>> {
        Disk.open_read(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn MediumFile>> {
        Ok(Box::new(LyingFile(Disk.open_write(path)?)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        Disk.free_bytes(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<MediumLock>> {
        Disk.lock(path)
    }
}

impl MediumFile for LyingFile {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    /// The lie.
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        self.0.preallocate(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.0.allocate(bytes)
    }

    fn forget_cache(&self) -> io::Result<()> {
        self.0.forget_cache()
    }
}
