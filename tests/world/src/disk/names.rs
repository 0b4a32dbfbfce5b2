//! The folders of a disk: what they hold, and what of it would outlive a power cut. As on a real one the sync of a folder
//! makes durable what changed in that folder, and nothing else: not even the folder's own name in the one above.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Component, Path};

/// The topmost folder.
const ROOT: u64 = 0;
/// The folder in it that is there before an agent ever ran: whoever installed it has made it.
const INSTALLED: (&str, u64) = ("agent", 1);

/// All names.
#[derive(Clone, Debug)]
pub(super) struct Names {
    folders: BTreeMap<u64, Folder>,
    /// Changes that no sync has covered, oldest first.
    changes: Vec<Change>,
    next: u64,
}

/// What is where; an id is that of a file or of another folder.
#[derive(Clone, Debug, Default)]
struct Folder {
    live: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    folder: u64,
    name: String,
}

#[derive(Clone, Debug)]
enum Change {
    Add(Place, u64),
    Remove(Place, u64),
    Rename(Place, Place, u64),
}

impl Default for Names {
    fn default() -> Self {
        let (name, id) = INSTALLED;
        let entry = BTreeMap::from([(name.to_owned(), id)]);
        let root = Folder { live: entry.clone(), durable: entry };
        let folders = BTreeMap::from([(ROOT, root), (id, Folder::default())]);
        Self { folders, changes: Vec::new(), next: id + 1 }
    }
}

impl Names {
    /// An id that nothing had.
    pub(super) const fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// The file or folder at `path`.
    pub(super) fn find(&self, path: &Path) -> io::Result<u64> {
        path.components().try_fold(ROOT, |folder, part| match part {
            Component::Normal(name) => {
                let inside = self.folders.get(&folder).ok_or(ErrorKind::NotADirectory)?;
                let id = name.to_str().and_then(|name| inside.live.get(name));
                id.copied().ok_or_else(|| ErrorKind::NotFound.into())
            }
            Component::RootDir => Ok(ROOT),
            Component::Prefix(_) | Component::CurDir | Component::ParentDir => {
                Err(ErrorKind::InvalidFilename.into())
            }
        })
    }

    fn place(&self, path: &Path) -> io::Result<Place> {
        let (above, name) = (path.parent(), path.file_name().and_then(|name| name.to_str()));
        let (above, name) = above.zip(name).ok_or(ErrorKind::InvalidFilename)?;
        let folder = self.find(above)?;
        if !self.folders.contains_key(&folder) {
            return Err(ErrorKind::NotADirectory.into());
        }
        Ok(Place { folder, name: name.to_owned() })
    }

    fn inside(&self, dir: &Path) -> io::Result<&Folder> {
        self.folders.get(&self.find(dir)?).ok_or_else(|| ErrorKind::NotADirectory.into())
    }

    pub(super) fn make_dir(&mut self, dir: &Path) -> io::Result<()> {
        let above: Vec<&Path> = dir.ancestors().collect();
        for path in above.into_iter().rev() {
            if self.find(path).is_ok() {
                continue;
            }
            let (place, id) = (self.place(path)?, self.fresh());
            self.folders.insert(id, Folder::default());
            self.change(Change::Add(place, id));
        }
        Ok(())
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Ok(self.inside(dir)?.live.keys().cloned().collect())
    }

    pub(super) fn add(&mut self, path: &Path, id: u64) -> io::Result<()> {
        let place = self.place(path)?;
        self.change(Change::Add(place, id));
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let (place, id) = (self.place(path)?, self.find(path)?);
        if self.folders.contains_key(&id) {
            return Err(ErrorKind::IsADirectory.into());
        }
        self.change(Change::Remove(place, id));
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (id, out_of, into) = (self.find(from)?, self.place(from)?, self.place(to)?);
        let over = self.find(to).ok().and_then(|id| self.folders.get(&id));
        if over.is_some_and(|over| !over.live.is_empty()) {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        self.change(Change::Rename(out_of, into, id));
        Ok(())
    }

    fn change(&mut self, change: Change) {
        match &change {
            Change::Add(place, id) => self.put(place, *id, live),
            Change::Remove(place, id) => self.take(place, *id, live),
            Change::Rename(from, to, id) => {
                self.take(from, *id, live);
                self.put(to, *id, live);
            }
        }
        self.changes.push(change);
    }

    /// Makes durable what changed in `dir`; whether anything had. A file that came from another folder stays under its old
    /// name as well, for all that is certain, until that folder is synced.
    pub(super) fn sync(&mut self, dir: &Path) -> io::Result<bool> {
        let folder = self.find(dir)?;
        let mut any = false;
        for change in std::mem::take(&mut self.changes) {
            match change {
                Change::Add(place, id) if place.folder == folder => self.put(&place, id, durable),
                Change::Remove(place, id) if place.folder == folder => {
                    self.take(&place, id, durable);
                }
                Change::Rename(from, to, id) if to.folder == folder => {
                    self.put(&to, id, durable);
                    if from.folder == folder {
                        self.take(&from, id, durable);
                    } else {
                        self.changes.push(Change::Remove(from, id));
                    }
                }
                other => {
                    self.changes.push(other);
                    continue;
                }
            }
            any = true;
        }
        Ok(any)
    }

    /// The power goes; `arrives` says of each change that no sync has covered whether it is there.
    pub(super) fn cut_power(&mut self, mut arrives: impl FnMut() -> bool) {
        for change in std::mem::take(&mut self.changes) {
            if !arrives() {
                continue;
            }
            match change {
                Change::Add(place, id) => self.put(&place, id, durable),
                Change::Remove(place, id) => self.take(&place, id, durable),
                Change::Rename(from, to, id) => {
                    if self.may_have_moved(&from, &to, id) {
                        self.take(&from, id, durable);
                        self.put(&to, id, durable);
                    }
                }
            }
        }
        for folder in self.folders.values_mut() {
            folder.live.clone_from(&folder.durable);
        }
    }

    /// A folder goes onto nothing or onto an empty one, and is in one place: otherwise what came before has not arrived,
    /// and this cannot have.
    fn may_have_moved(&self, from: &Place, to: &Place, id: u64) -> bool {
        if !self.folders.contains_key(&id) {
            return true;
        }
        let there = |place: &Place| self.folders.get(&place.folder)?.durable.get(&place.name);
        let over = there(to).and_then(|over| self.folders.get(over));
        there(from) == Some(&id) && over.is_none_or(|over| over.durable.is_empty())
    }

    fn put(&mut self, place: &Place, id: u64, of: fn(&mut Folder) -> &mut BTreeMap<String, u64>) {
        if let Some(folder) = self.folders.get_mut(&place.folder) {
            of(folder).insert(place.name.clone(), id);
        }
    }

    fn take(&mut self, place: &Place, id: u64, of: fn(&mut Folder) -> &mut BTreeMap<String, u64>) {
        if let Some(folder) = self.folders.get_mut(&place.folder)
            && of(folder).get(&place.name) == Some(&id)
        {
            of(folder).remove(&place.name);
        }
    }

    /// Name and id of all that is in `dir`, and whether the name would outlive a power cut.
    pub(super) fn held(&self, dir: &Path) -> Vec<(&str, u64, bool)> {
        let certain = self.is_certain(dir);
        let Ok(folder) = self.inside(dir) else { return Vec::new() };
        let held = folder.live.iter();
        held.map(|(name, id)| (&**name, *id, certain && folder.durable.get(name) == Some(id)))
            .collect()
    }

    /// Whether the way to `dir` would outlive a power cut.
    fn is_certain(&self, dir: &Path) -> bool {
        dir.ancestors().all(|path| {
            let Ok(place) = self.place(path) else { return true };
            let folder = self.folders.get(&place.folder);
            folder.is_some_and(|it| it.live.get(&place.name) == it.durable.get(&place.name))
        })
    }

    /// Forgets folders that no name leads to; the ids of all files that one does lead to.
    pub(super) fn tidy(&mut self) -> BTreeSet<u64> {
        let (mut named, mut todo) = (BTreeSet::new(), vec![ROOT]);
        while let Some(id) = todo.pop() {
            if !named.insert(id) {
                continue;
            }
            if let Some(folder) = self.folders.get(&id) {
                todo.extend(folder.live.values().chain(folder.durable.values()));
            }
        }
        self.folders.retain(|id, _| named.contains(id));
        let folders = &self.folders;
        self.changes.retain(|change| match change {
            Change::Add(place, _) | Change::Remove(place, _) | Change::Rename(_, place, _) => {
                folders.contains_key(&place.folder)
            }
        });
        named
    }
}

const fn live(folder: &mut Folder) -> &mut BTreeMap<String, u64> {
    &mut folder.live
}

const fn durable(folder: &mut Folder) -> &mut BTreeMap<String, u64> {
    &mut folder.durable
}
