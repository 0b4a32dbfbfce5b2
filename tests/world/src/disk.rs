//! A disk in memory that forgets unsynced writes, tears them, fails, runs full, and on which the
//! process that uses it dies.
//!
//! It is meaner than a journalling file system: after a power cut each unsynced sector and each
//! unsynced name is there or not, by the toss of a coin. What it never does is to damage or to lose
//! what a sync that succeeded had in hand, unless [`Disk::damage`] is asked for.

mod damage;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use edge_agent::journal::{Medium, MediumFile, MediumLock};

use crate::rng::Rng;
use names::Names;

const SECTOR_BYTES: usize = 512;

/// The disk; every clone is the same one.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    files: BTreeMap<u64, Contents>,
    names: Names,
    locks: BTreeSet<PathBuf>,
    capacity_bytes: Option<u64>,
    used_bytes: u64,
    fail_write: bool,
    fail_sync: bool,
    lie_sync: bool,
    /// Calls that were refused since a process began.
    refused: u32,
    /// Those of them that only lacked room.
    refused_room: u32,
    /// The first record of the journal that is damaged.
    damaged: Option<u64>,
    /// Effects that the process has left.
    fuse: Option<u32>,
    dead: bool,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
    /// A sync failed: what is read is not what is there.
    lost: bool,
}

#[derive(Clone, Debug)]
enum Unsynced {
    Bytes { at: usize, bytes: Vec<u8> },
    Len(usize),
}

/// All that was on a disk at one time.
#[derive(Clone, Debug)]
pub struct Image(State);

impl Disk {
    /// A copy of it, made while the machine is off.
    #[must_use]
    pub fn image(&self) -> Image {
        Image(self.state().clone())
    }

    /// It is again as it was; no process has it.
    pub fn put_back(&self, image: &Image) {
        *self.state() = image.0.clone();
        self.revive();
        self.forgive();
    }

    /// Whether this process was refused anything.
    #[must_use]
    pub fn has_refused(&self) -> bool {
        self.state().refused > 0
    }

    /// Whether it lacked room, and nothing else.
    #[must_use]
    pub fn lacked_room(&self) -> bool {
        let state = self.state();
        !state.dead && state.refused > 0 && state.refused == state.refused_room
    }

    /// The next sync of a file says that it was done, and was not: what flash does that lies.
    pub fn lie_at_sync(&self) {
        self.state().lie_sync = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it is held")
    }

    /// The process dies at its `effects`-th effect from now.
    pub fn light_fuse(&self, effects: u32) {
        self.state().fuse = Some(effects);
    }

    /// One effect of the process outside of the disk; whether it dies there.
    #[must_use]
    pub fn spend(&self) -> bool {
        self.state().spend()
    }

    /// Whether the process is dead or is to die.
    #[must_use]
    pub fn is_doomed(&self) -> bool {
        let state = self.state();
        state.dead || state.fuse.is_some()
    }

    /// A new process has the disk.
    pub fn revive(&self) {
        let mut state = self.state();
        (state.fuse, state.dead) = (None, false);
        (state.refused, state.refused_room) = (0, 0);
        state.locks.clear();
    }

    /// The next sync fails, and what it should have written is forgotten, as Linux does.
    pub fn fail_sync(&self) {
        self.state().fail_sync = true;
    }

    /// The next write writes half of its bytes and fails.
    pub fn fail_write(&self) {
        self.state().fail_write = true;
    }

    /// Room for `bytes` more; none is as much as anybody wants.
    pub fn set_room(&self, bytes: Option<u64>) {
        let mut state = self.state();
        state.capacity_bytes = bytes.map(|bytes| state.used_bytes + bytes);
    }

    /// Whether there is a limit.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.state().capacity_bytes.is_some()
    }

    /// Bytes that are free.
    #[must_use]
    pub fn free(&self) -> u64 {
        let state = self.state();
        state.capacity_bytes.unwrap_or(u64::MAX).saturating_sub(state.used_bytes)
    }

    /// From here on the disk works.
    pub fn forgive(&self) {
        let mut state = self.state();
        (state.fail_write, state.fail_sync, state.capacity_bytes) = (false, false, None);
    }

    /// Whether everything in files in `dir` whose name begins with `prefix` would outlive a power cut.
    #[must_use]
    pub fn is_durable(&self, dir: &Path, prefix: &str) -> bool {
        let state = self.state();
        let held = state.names.held(dir);
        held.into_iter().filter(|(name, ..)| name.starts_with(prefix)).all(|(_, id, certain)| {
            certain && state.files.get(&id).is_some_and(|it| it.unsynced.is_empty() && !it.lost)
        })
    }

    /// The power goes; `coin` says of each unsynced thing whether it had arrived.
    pub fn cut_power(&self, coin: &mut Rng) {
        let mut state = self.state();
        for file in state.files.values_mut() {
            for unsynced in std::mem::take(&mut file.unsynced) {
                file.arrive(unsynced, &mut || coin.chance(500));
            }
            file.live.clone_from(&file.durable);
            file.lost = false;
        }
        state.names.cut_power(|| coin.chance(500));
        state.tidy();
    }
}

impl State {
    /// Whether the process dies now or is dead already.
    fn spend(&mut self) -> bool {
        if let Some(left) = self.fuse {
            self.fuse = Some(left.saturating_sub(1));
            self.dead |= left <= 1;
        }
        self.dead
    }

    fn effect(&mut self) -> io::Result<()> {
        if self.spend() { Err(self.refuse(killed())) } else { Ok(()) }
    }

    fn refuse(&mut self, error: io::Error) -> io::Error {
        self.refused += 1;
        self.refused_room += u32::from(error.kind() == ErrorKind::StorageFull);
        error
    }

    /// Forgets what no name leads to, and counts.
    fn tidy(&mut self) {
        let named = self.names.tidy();
        self.files.retain(|id, _| named.contains(id));
        self.used_bytes = self.files.values().map(|file| file.live.len() as u64).sum();
    }

    fn file(&mut self, id: u64) -> io::Result<&mut Contents> {
        self.files.get_mut(&id).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

fn killed() -> io::Error {
    io::Error::other("the process is dead")
}

impl Contents {
    fn arrive(&mut self, unsynced: Unsynced, coin: &mut impl FnMut() -> bool) {
        match unsynced {
            Unsynced::Len(len) => {
                if coin() {
                    self.durable.resize(len, 0);
                }
            }
            Unsynced::Bytes { at, bytes } => {
                let (mut from, end) = (at, at + bytes.len());
                while from < end {
                    let until = ((from / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
                    if coin() {
                        put(&mut self.durable, &bytes[from - at..until - at], from);
                    }
                    from = until;
                }
            }
        }
    }
}

fn put(into: &mut Vec<u8>, bytes: &[u8], at: usize) {
    into.resize(into.len().max(at + bytes.len()), 0);
    into[at..at + bytes.len()].copy_from_slice(bytes);
}

impl Medium for Disk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.state().names.make_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.state().names.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn MediumFile>> {
        let mut state = self.state();
        state.effect()?;
        if state.names.find(path).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let id = state.names.fresh();
        state.names.add(path, id)?;
        state.files.insert(id, Contents::default());
        Ok(Box::new(Open { disk: self.clone(), id }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn MediumFile>> {
        self.open_write(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn MediumFile>> {
        let id = self.state().names.find(path)?;
        Ok(Box::new(Open { disk: self.clone(), id }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.effect()?;
        state.names.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.effect()?;
        state.names.rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.effect()?;
        if std::mem::take(&mut state.fail_sync) {
            return Err(state.refuse(io::Error::other("sync of the directory failed")));
        }
        if state.names.sync(dir)? {
            state.tidy();
        }
        Ok(())
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        Ok(self.free())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<MediumLock>> {
        let mut state = self.state();
        let folder = path.parent().ok_or(ErrorKind::InvalidFilename)?;
        state.names.find(folder)?;
        let fresh = state.locks.insert(path.to_owned());
        drop(state);
        Ok(fresh.then(|| Box::new(Held(self.clone(), path.to_owned())) as MediumLock))
    }
}

struct Held(Disk, PathBuf);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.state().locks.remove(&self.1);
    }
}

#[derive(Debug)]
struct Open {
    disk: Disk,
    id: u64,
}

fn offset_of(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| ErrorKind::FileTooLarge.into())
}

impl MediumFile for Open {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state().file(self.id)?.live.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        let rest = state.file(self.id)?.live.get(offset_of(offset)?..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        let at = offset_of(offset)?;
        let dies = state.spend();
        let fails = std::mem::take(&mut state.fail_write);
        let mut wanted = if dies || fails { bytes.len() / 2 } else { bytes.len() };
        let free = state.capacity_bytes.unwrap_or(u64::MAX).saturating_sub(state.used_bytes);
        let file = state.file(self.id)?;
        let grows = (at + wanted).saturating_sub(file.live.len());
        let short = grows.saturating_sub(usize::try_from(free).unwrap_or(usize::MAX));
        wanted = wanted.saturating_sub(short);
        let grows = (at + wanted).saturating_sub(file.live.len()) as u64;
        if wanted > 0 {
            let bytes = bytes[..wanted].to_vec();
            put(&mut file.live, &bytes, at);
            file.unsynced.push(Unsynced::Bytes { at, bytes });
            state.used_bytes += grows;
        }
        let error = match (dies, fails, wanted) {
            (true, _, _) => killed(),
            (false, true, _) => io::Error::other("write failed"),
            (false, false, 0) => ErrorKind::StorageFull.into(),
            (false, false, wanted) => return Ok(wanted),
        };
        Err(state.refuse(error))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.effect()?;
        let len = offset_of(len)?;
        let file = state.file(self.id)?;
        let (was, is) = (file.live.len() as u64, len as u64);
        file.live.resize(len, 0);
        file.unsynced.push(Unsynced::Len(len));
        state.used_bytes = (state.used_bytes + is).saturating_sub(was);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.effect()?;
        let fails = std::mem::take(&mut state.fail_sync);
        let lies = std::mem::take(&mut state.lie_sync);
        let file = state.file(self.id)?;
        // Only what is dirty is written: pages that an earlier sync lost count as clean.
        for unsynced in std::mem::take(&mut file.unsynced) {
            file.arrive(unsynced, &mut || !fails && !lies);
        }
        file.lost |= fails;
        if fails { Err(state.refuse(io::Error::other("sync failed"))) } else { Ok(()) }
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn preallocate(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        if bytes > self.disk.free_bytes(Path::new(""))? {
            return Err(self.disk.state().refuse(ErrorKind::StorageFull.into()));
        }
        self.set_len(bytes)
    }

    fn forget_cache(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let file = state.file(self.id)?;
        if file.unsynced.is_empty() {
            file.live.clone_from(&file.durable);
            file.lost = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
