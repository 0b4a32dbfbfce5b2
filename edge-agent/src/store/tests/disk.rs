//! The machine's disk with little room, or with a sync that fails.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::journal::{Disk, Medium, MediumFile, MediumLock};

#[derive(Clone, Debug, Default)]
pub(crate) struct TestDisk(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    /// Bytes that may still be written; without a number, what the machine has.
    room_bytes: Option<u64>,
    syncs_fail: bool,
    /// Syncs begin, and come back only when this is over.
    syncs_held: bool,
    /// Where the power goes.
    cut: Option<Cut>,
    /// Syncs of files that came back, and whatever a test puts in between.
    diary: Vec<String>,
}

/// The power goes at a sync: the process ends there, and that much of what was written since the last
/// one is on the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Which sync, from 1, counted from when this was said.
    pub(crate) nth: usize,
    pub(crate) kept: Kept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Nothing,
    /// The first half of the bytes.
    Half,
    All,
}

impl TestDisk {
    pub(crate) fn cut(&self, cut: Cut) {
        self.state().cut = Some(cut);
    }

    /// The power is back, if it was gone.
    pub(crate) fn mend(&self) {
        self.state().cut = None;
    }

    pub(crate) fn set_room(&self, bytes: Option<u64>) {
        self.state().room_bytes = bytes;
    }

    pub(crate) fn fail_syncs(&self) {
        self.state().syncs_fail = true;
    }

    pub(crate) fn hold_syncs(&self, held: bool) {
        self.state().syncs_held = held;
        self.0.1.notify_all();
    }

    pub(crate) fn note(&self, what: &str) {
        self.state().diary.push(what.to_owned());
    }

    pub(crate) fn diary(&self) -> Vec<String> {
        self.state().diary.clone()
    }

    pub(crate) fn take_diary(&self) -> Vec<String> {
        std::mem::take(&mut self.state().diary)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    fn use_up(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        let Some(room) = state.room_bytes else { return Ok(()) };
        let left = room.checked_sub(bytes).ok_or(io::Error::from(ErrorKind::StorageFull))?;
        state.room_bytes = Some(left);
        Ok(())
    }

    fn wrap(&self, file: Box<dyn MediumFile>) -> Box<dyn MediumFile> {
        Box::new(TestFile { disk: self.clone(), file, written: Mutex::default() })
    }

    /// Whether the power goes at this sync.
    fn cut_now(&self) -> Option<Kept> {
        let mut state = self.state();
        let cut = state.cut.as_mut()?;
        cut.nth = cut.nth.saturating_sub(1);
        (cut.nth == 0).then_some(cut.kept)
    }

    fn synced(&self) -> io::Result<()> {
        if self.state().syncs_fail {
            return Err(io::Error::other("sync failed"));
        }
        self.note("sync begins");
        let mut state = self.0.1.wait_while(self.state(), |state| state.syncs_held).unwrap();
        state.diary.push("sync".to_owned());
        Ok(())
    }
}

impl Medium for TestDisk {
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
        let bytes = Disk.open_read(path)?.size()?;
        Disk.remove(path)?;
        let mut state = self.state();
        state.room_bytes = state.room_bytes.map(|room| room + bytes);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let room = self.state().room_bytes;
        room.map_or_else(|| Disk.free_bytes(dir), Ok)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<MediumLock>> {
        Disk.lock(path)
    }
}

#[derive(Debug)]
struct TestFile {
    disk: TestDisk,
    file: Box<dyn MediumFile>,
    /// What was written since the last sync: where, and how much. And how long the file was before.
    written: Mutex<Option<(u64, u64, u64)>>,
}

impl TestFile {
    /// Takes from the file what a power cut at this moment would.
    fn lose(&self, kept: Kept) -> io::Result<()> {
        let Some((from, until, size)) = self.written.lock().unwrap().take() else { return Ok(()) };
        let from = match kept {
            Kept::All => return Ok(()),
            Kept::Half => from + (until - from) / 2,
            Kept::Nothing => from,
        };
        let zeros = vec![0; usize::try_from(until - from).unwrap()];
        self.file.write_at(&zeros, from)?;
        self.file.set_len(size.max(from))
    }

    fn sync(&self) -> io::Result<()> {
        if let Some(kept) = self.disk.cut_now() {
            self.lose(kept)?;
            return Err(io::Error::other("the power is gone"));
        }
        self.disk.synced()?;
        *self.written.lock().unwrap() = None;
        Ok(())
    }
}

impl MediumFile for TestFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.disk.use_up(bytes.len() as u64)?;
        let until = offset + bytes.len() as u64;
        let size = self.file.size()?;
        let mut written = self.written.lock().unwrap();
        *written = Some(match *written {
            None => (offset, until, size),
            Some((first, last, size)) => (first.min(offset), last.max(until), size),
        });
        self.file.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()?;
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()?;
        self.file.sync_all()
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        self.file.preallocate(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.disk.use_up(bytes)?;
        self.file.allocate(bytes)
    }

    fn forget_cache(&self) -> io::Result<()> {
        self.file.forget_cache()
    }
}
