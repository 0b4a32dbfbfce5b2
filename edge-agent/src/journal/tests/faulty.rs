//! A disk in memory that forgets unsynced writes, tears them, fails and runs full.
//!
//! It is meaner than a journalling file system: after a power cut each unsynced sector and each
//! unsynced name is there or not, by the toss of a coin.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use crate::journal::{Medium, MediumFile, MediumLock};

const SECTOR_BYTES: u64 = 512;

#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    files: Vec<Contents>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Unsynced changes of names, oldest first.
    changes: Vec<Change>,
    locks: BTreeSet<PathBuf>,
    capacity_bytes: Option<u64>,
    fail_write_in: Option<(u64, ErrorKind)>,
    fail_sync_in: Option<u64>,
    dying: bool,
    writes: u64,
    syncs: u64,
}

#[derive(Debug, Default)]
struct Contents {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
}

#[derive(Debug)]
enum Unsynced {
    Bytes { offset: u64, bytes: Vec<u8> },
    Len(u64),
}

#[derive(Debug)]
enum Change {
    Add(PathBuf, usize),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl FaultyDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics inside")
    }

    /// The `n`th write from now (1 is the next) writes half of its bytes, and then fails.
    pub(crate) fn fail_write_in(&self, n: u64, kind: ErrorKind) {
        self.state().fail_write_in = Some((n, kind));
    }

    /// The `n`th sync of a file or directory from now fails, and what it should have written is
    /// forgotten, as Linux does.
    pub(crate) fn fail_sync_in(&self, n: u64) {
        self.state().fail_sync_in = Some(n);
    }

    /// The process dies inside its next sync, which gets nothing done: what is unsynced stays so,
    /// until the next process syncs it or the power is cut.
    pub(crate) fn die_at_next_sync(&self) {
        self.state().dying = true;
    }

    /// From here on the disk works.
    pub(crate) fn forgive(&self) {
        let mut state = self.state();
        state.fail_write_in = None;
        state.fail_sync_in = None;
        state.dying = false;
    }

    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity_bytes = bytes;
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// Writes and syncs so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.writes, state.syncs)
    }

    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.files[state.names[path]].live.clone()
    }

    /// The power goes; `coin` says of each unsynced thing whether it had arrived.
    pub(crate) fn cut_power(&self, mut coin: impl FnMut() -> bool) {
        let mut state = self.state();
        for file in &mut state.files {
            for unsynced in std::mem::take(&mut file.unsynced) {
                file.arrive(unsynced, &mut coin);
            }
            file.live = file.durable.clone();
        }
        let mut names = std::mem::take(&mut state.durable_names);
        for change in std::mem::take(&mut state.changes) {
            if coin() {
                change.apply(&mut names);
            }
        }
        state.names = names.clone();
        state.durable_names = names;
        state.locks.clear();
        state.dying = false;
    }

    fn add(&self, path: &Path, id: usize) -> Box<dyn MediumFile> {
        Box::new(FaultyFile { disk: self.clone(), id, path: path.to_owned() })
    }
}

impl State {
    fn used_bytes(&self) -> u64 {
        let named: BTreeSet<_> = self.names.values().collect();
        named.iter().map(|&&id| self.files[id].live.len() as u64).sum()
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn count_sync(&mut self) -> bool {
        self.syncs += 1;
        count_down(&mut self.fail_sync_in)
    }
}

fn count_down(left: &mut Option<u64>) -> bool {
    *left = left.map(|n| n - 1);
    *left == Some(0) && left.take().is_some()
}

impl Contents {
    fn arrive(&mut self, unsynced: Unsynced, coin: &mut impl FnMut() -> bool) {
        match unsynced {
            Unsynced::Len(len) => {
                if coin() {
                    self.durable.resize(usize::try_from(len).unwrap(), 0);
                }
            }
            Unsynced::Bytes { offset, bytes } => {
                let mut at = offset;
                let end = offset + bytes.len() as u64;
                while at < end {
                    let until = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
                    if coin() {
                        let part = (at - offset) as usize..(until - offset) as usize;
                        put(&mut self.durable, &bytes[part], at as usize);
                    }
                    at = until;
                }
            }
        }
    }
}

fn put(into: &mut Vec<u8>, bytes: &[u8], at: usize) {
    into.resize(into.len().max(at + bytes.len()), 0);
    into[at..at + bytes.len()].copy_from_slice(bytes);
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Add(path, id) => {
                names.insert(path.clone(), *id);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            Self::Rename(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
        }
    }
}

impl Medium for FaultyDisk {
    fn make_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn MediumFile>> {
        let mut state = self.state();
        if state.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let id = state.files.len();
        state.files.push(Contents::default());
        state.change(Change::Add(path.to_owned(), id));
        Ok(self.add(path, id))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn MediumFile>> {
        self.open_write(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn MediumFile>> {
        let id = *self.state().names.get(path).ok_or(ErrorKind::NotFound)?;
        Ok(self.add(path, id))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(path) {
            return Err(ErrorKind::NotFound.into());
        }
        state.change(Change::Remove(path.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state().change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.dying || state.count_sync() {
            return Err(io::Error::other("sync of the directory failed"));
        }
        state.changes.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let state = self.state();
        Ok(state.capacity_bytes.unwrap_or(u64::MAX).saturating_sub(state.used_bytes()))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<MediumLock>> {
        let fresh = self.state().locks.insert(path.to_owned());
        Ok(fresh.then(|| Box::new(Held(self.clone(), path.to_owned())) as MediumLock))
    }
}

struct Held(FaultyDisk, PathBuf);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.state().locks.remove(&self.1);
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    id: usize,
    path: PathBuf,
}

impl MediumFile for FaultyFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.id].live.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let rest = state.files[self.id].live.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.writes += 1;
        let mut wanted = bytes.len();
        if let Some((n, kind)) = state.fail_write_in {
            state.fail_write_in = (n > 1).then(|| (n - 1, kind));
            match n {
                0 => return Err(kind.into()),
                1 if bytes.len() > 1 => {
                    wanted /= 2;
                    state.fail_write_in = Some((0, kind));
                }
                1 => return Err(kind.into()),
                _ => {}
            }
        }
        if let Some(capacity) = state.capacity_bytes {
            let grows =
                (offset + wanted as u64).saturating_sub(state.files[self.id].live.len() as u64);
            let free = capacity.saturating_sub(state.used_bytes());
            wanted -= grows.saturating_sub(free) as usize;
            if wanted == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
        }
        let bytes = bytes[..wanted].to_vec();
        let file = &mut state.files[self.id];
        put(&mut file.live, &bytes, offset as usize);
        file.unsynced.push(Unsynced::Bytes { offset, bytes });
        Ok(wanted)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let file = &mut state.files[self.id];
        file.live.resize(len as usize, 0);
        file.unsynced.push(Unsynced::Len(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.dying {
            return Err(io::Error::other("killed"));
        }
        let fails = state.count_sync();
        let file = &mut state.files[self.id];
        // Only what is dirty is written: pages that an earlier sync lost count as clean.
        for unsynced in std::mem::take(&mut file.unsynced) {
            file.arrive(unsynced, &mut || !fails);
        }
        if fails {
            return Err(io::Error::other(format!("sync of {} failed", self.path.display())));
        }
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn preallocate(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let free = self.disk.free_bytes(Path::new(""))?;
        if bytes > free {
            return Err(ErrorKind::StorageFull.into());
        }
        self.set_len(bytes)
    }

    fn forget_cache(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let file = &mut state.files[self.id];
        if file.unsynced.is_empty() {
            file.live = file.durable.clone();
        }
        Ok(())
    }
}
