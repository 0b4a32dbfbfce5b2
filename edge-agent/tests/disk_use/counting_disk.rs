//! The machine's disk without its syncs, which are counted instead: lengths are the same, and a test
//! need not wait for a device.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use edge_agent::journal::{Disk, Medium, MediumFile, MediumLock};

#[derive(Clone, Debug, Default)]
pub(crate) struct CountingDisk(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    written_bytes: AtomicU64,
    syncs: AtomicU64,
}

impl CountingDisk {
    /// Counts from here.
    pub(crate) fn reset(&self) {
        self.0.written_bytes.store(0, Ordering::Relaxed);
        self.0.syncs.store(0, Ordering::Relaxed);
    }

    pub(crate) fn written_bytes(&self) -> u64 {
        self.0.written_bytes.load(Ordering::Relaxed)
    }

    /// Syncs of files and of folders.
    pub(crate) fn syncs(&self) -> u64 {
        self.0.syncs.load(Ordering::Relaxed)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn wrap(&self, file: Box<dyn MediumFile>) -> Box<dyn MediumFile> {
        Box::new(CountingFile { disk: self.clone(), file })
    }
}

impl Medium for CountingDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.make_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Disk.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn MediumFile>> {
        Ok(self.wrap(Disk.create(path)?))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn MediumFile>> {
        Disk.open_read(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn MediumFile>> {
        Ok(self.wrap(Disk.open_write(path)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.sync()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        Disk.free_bytes(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<MediumLock>> {
        Disk.lock(path)
    }
}

#[derive(Debug)]
struct CountingFile {
    disk: CountingDisk,
    file: Box<dyn MediumFile>,
}

impl MediumFile for CountingFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let done = self.file.write_at(bytes, offset)?;
        self.disk.0.written_bytes.fetch_add(done as u64, Ordering::Relaxed);
        Ok(done)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk.sync()
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        self.file.preallocate(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.file.allocate(bytes)
    }

    fn forget_cache(&self) -> io::Result<()> {
        self.file.forget_cache()
    }
}
