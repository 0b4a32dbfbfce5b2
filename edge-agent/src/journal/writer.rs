//! Appending: one write and one sync for each call, and what follows when either fails.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Appended, Entry, Limits, Stored,
    error::{Act, AppendError, CreateError, DiskFault, ReadError},
    format::{
        CALL_MAX_ENTRIES, DETACHED_MAX_BYTES, GENESIS_HASH, HEADER_BYTES, Header, HeaderFault,
        RECORD_MAX_BYTES, chain_hash, entry_bytes, put_frame, segment_name, segment_seq,
    },
    medium::{Disk, Medium, MediumFile, MediumLock, make_dir_durably},
    reader::{Catalog, JournalReader, Segment, Shared},
    scan::{MARK_EVERY, Mark, has_frames},
    space,
};

pub(super) const LOCK_NAME: &str = "lock";

/// A journal open for appending, by this process alone.
pub struct Journal {
    pub(super) medium: Arc<dyn Medium>,
    pub(super) dir: PathBuf,
    pub(super) limits: Limits,
    pub(super) reader: JournalReader,
    pub(super) current: Current,
    head_seq: u64,
    head_hash: [u8; 32],
    /// Frames of the call being made; kept for its memory, at most `limits.call_bytes`.
    buf: Vec<u8>,
    /// Marks of the call being made.
    marks: Vec<Mark>,
    _lock: MediumLock,
}

/// The segment appended to.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) file: Box<dyn MediumFile>,
    pub(super) path: PathBuf,
    pub(super) first_seq: u64,
    /// Bytes that are durable; the next frame goes here.
    pub(super) end: u64,
}

impl Journal {
    /// A new journal in `dir`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// There is a journal already, another process has it, or the disk refuses.
    pub fn create(dir: &Path, stream_id: [u8; 16], limits: Limits) -> Result<Self, CreateError> {
        Self::create_on(Arc::new(Disk), dir, stream_id, limits)
    }

    /// As [`Self::create`], on another disk.
    ///
    /// # Errors
    ///
    /// As for [`Self::create`].
    pub fn create_on(
        medium: Arc<dyn Medium>,
        dir: &Path,
        stream_id: [u8; 16],
        limits: Limits,
    ) -> Result<Self, CreateError> {
        let from = Header { stream_id, first_seq: 1, prev_hash: GENESIS_HASH };
        Self::create_from(medium, dir, &from, limits)
    }

    /// A new journal that begins in the middle of a stream.
    pub(crate) fn create_in_middle(
        medium: Arc<dyn Medium>,
        dir: &Path,
        stream_id: [u8; 16],
        (first_seq, prev_hash): (u64, [u8; 32]),
        limits: Limits,
    ) -> Result<Self, CreateError> {
        Self::create_from(medium, dir, &Header { stream_id, first_seq, prev_hash }, limits)
    }

    fn create_from(
        medium: Arc<dyn Medium>,
        dir: &Path,
        header: &Header,
        limits: Limits,
    ) -> Result<Self, CreateError> {
        make_dir_durably(&*medium, dir)?;
        let lock_path = dir.join(LOCK_NAME);
        let lock = medium.lock(&lock_path).map_err(DiskFault::new(Act::Lock, &lock_path))?;
        let lock = lock.ok_or_else(|| CreateError::Locked { dir: dir.to_owned() })?;
        clear_stillborn(&*medium, dir)?;

        space::make_ballast(&*medium, dir, limits).map_err(full_or_failed)?;
        let Header { stream_id, first_seq, prev_hash } = *header;
        let current = start_segment(&*medium, dir, limits, header).map_err(full_or_failed)?;
        let segment = Segment {
            path: current.path.clone(),
            first_seq,
            prev_hash,
            end: current.end,
            marks: Some(Vec::new()),
        };
        let (head_seq, head_hash) = (first_seq - 1, prev_hash);
        let catalog = Catalog { segments: [segment].into(), head_seq, head_hash };
        let shared = Shared::new(medium, stream_id, catalog);
        Ok(Self::assemble(shared, dir, limits, current, lock))
    }

    pub(super) fn assemble(
        shared: Arc<Shared>,
        dir: &Path,
        limits: Limits,
        current: Current,
        lock: MediumLock,
    ) -> Self {
        let reader = JournalReader { shared };
        let (head_seq, head_hash) = reader.head();
        Self {
            medium: Arc::clone(&reader.shared.medium),
            dir: dir.to_owned(),
            limits,
            reader,
            current,
            head_seq,
            head_hash,
            buf: Vec::new(),
            marks: Vec::new(),
            _lock: lock,
        }
    }

    /// Appends `entries`, all or none of them. They are on the disk when this returns.
    ///
    /// # Errors
    ///
    /// A limit is passed or there is no space: nothing was appended, and the journal can be used
    /// on. Or the disk failed: the journal is of no more use.
    pub fn append(&mut self, entries: &[Entry<'_>]) -> Result<Appended, AppendError> {
        if self.reader.shared.has_failed() {
            return Err(AppendError::Failed);
        }
        let bytes = self.measure(entries)?;
        let has_frames = self.current.end > HEADER_BYTES as u64;
        if has_frames && self.current.end + bytes > u64::from(self.limits.segment_bytes) {
            self.roll()?;
        }
        let head = self.encode(entries);
        self.write()?;

        let first_seq = self.head_seq + 1;
        (self.head_seq, self.head_hash) = head;
        self.current.end += bytes;
        self.reader.shared.publish(self.current.end, head, &mut self.marks);
        Ok(Appended { first_seq, last_seq: self.head_seq, head_hash: self.head_hash })
    }

    /// A handle for reading, good on any thread.
    pub fn reader(&self) -> JournalReader {
        self.reader.clone()
    }

    /// As [`JournalReader::read`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn read(
        &self,
        from_seq: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Stored>, ReadError> {
        self.reader.read(from_seq, max_records, max_bytes)
    }

    /// As [`JournalReader::hash_at`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn hash_at(&self, seq: u64) -> Result<[u8; 32], ReadError> {
        self.reader.hash_at(seq)
    }

    /// As [`JournalReader::oldest_seq`].
    pub fn oldest_seq(&self) -> u64 {
        self.reader.oldest_seq()
    }

    /// As [`JournalReader::head_seq`].
    pub fn head_seq(&self) -> u64 {
        self.head_seq
    }

    /// As [`JournalReader::head_hash`].
    pub fn head_hash(&self) -> [u8; 32] {
        self.head_hash
    }

    pub fn stream_id(&self) -> [u8; 16] {
        self.reader.stream_id()
    }

    /// Bytes of the frames of `entries`, which keep to the limits.
    fn measure(&self, entries: &[Entry<'_>]) -> Result<u64, AppendError> {
        let count = entries.len();
        if count == 0 {
            return Err(AppendError::NoEntries);
        }
        if count > CALL_MAX_ENTRIES {
            return Err(AppendError::TooManyEntries { count, max: CALL_MAX_ENTRIES });
        }
        for (index, entry) in entries.iter().enumerate() {
            match entry.record.len() {
                0 => return Err(AppendError::EmptyRecord { index }),
                bytes if bytes > RECORD_MAX_BYTES => {
                    return Err(AppendError::RecordTooLarge {
                        index,
                        bytes,
                        max: RECORD_MAX_BYTES,
                    });
                }
                _ => {}
            }
            match entry.detached.map(<[u8]>::len) {
                Some(0) => return Err(AppendError::EmptyDetached { index }),
                Some(bytes) if bytes > DETACHED_MAX_BYTES => {
                    let max = DETACHED_MAX_BYTES;
                    return Err(AppendError::DetachedTooLarge { index, bytes, max });
                }
                Some(_) | None => {}
            }
        }
        let bytes: usize = entries.iter().map(entry_bytes).sum();
        let max = self.limits.call_bytes as usize;
        if bytes > max { Err(AppendError::CallTooLarge { bytes, max }) } else { Ok(bytes as u64) }
    }

    /// Puts the frames into `buf` and their marks into `marks`; answers seq and hash after them.
    fn encode(&mut self, entries: &[Entry<'_>]) -> (u64, [u8; 32]) {
        self.buf.clear();
        self.marks.clear();
        let (mut seq, mut hash) = (self.head_seq, self.head_hash);
        for (index, entry) in entries.iter().enumerate() {
            seq += 1;
            if (seq - self.current.first_seq).is_multiple_of(MARK_EVERY) {
                let offset = self.current.end + self.buf.len() as u64;
                self.marks.push(Mark { offset, prev_hash: hash });
            }
            let left = u8::try_from(entries.len() - 1 - index).expect("a call has at most 256");
            put_frame(&mut self.buf, self.head_seq + 1, left, entry);
            hash = chain_hash(&hash, entry.record);
        }
        (seq, hash)
    }

    /// Puts `buf` on the disk behind the durable bytes.
    fn write(&mut self) -> Result<(), AppendError> {
        let Current { file, path, end, .. } = &self.current;
        let written = file.write_all_at(&self.buf, *end).map_err(DiskFault::new(Act::Write, path));
        if let Err(fault) = written {
            if !fault.is_out_of_space() {
                return Err(self.fail(fault));
            }
            // Synced, so that the rest cannot come back behind a segment that is begun later.
            let undone = file.set_len(*end).map_err(DiskFault::new(Act::Truncate, path));
            let undone =
                undone.and_then(|()| file.sync_all().map_err(DiskFault::new(Act::Sync, path)));
            return Err(match undone {
                Ok(()) => AppendError::OutOfSpace { source: fault },
                Err(undo_fault) => self.fail(undo_fault),
            });
        }
        let synced = file.sync_data().map_err(DiskFault::new(Act::Sync, path));
        synced.map_err(|fault| self.fail(fault))
    }

    /// Begins a new segment behind the head.
    fn roll(&mut self) -> Result<(), AppendError> {
        let header = Header {
            stream_id: self.reader.stream_id(),
            first_seq: self.head_seq + 1,
            prev_hash: self.head_hash,
        };
        let started = start_segment(&*self.medium, &self.dir, self.limits, &header);
        let current = match started {
            Ok(current) => current,
            Err(fault) if fault.is_out_of_space() => {
                return Err(AppendError::OutOfSpace { source: fault });
            }
            Err(fault) => return Err(self.fail(fault)),
        };
        self.reader.shared.catalog_mut().segments.push_back(Segment {
            path: current.path.clone(),
            first_seq: header.first_seq,
            prev_hash: header.prev_hash,
            end: current.end,
            marks: Some(Vec::new()),
        });
        self.current = current;
        Ok(())
    }

    /// Goes on from an earlier place, where the last segment ends now.
    pub(super) fn go_back(
        &mut self,
        file: Box<dyn MediumFile>,
        path: PathBuf,
        end: u64,
        head: (u64, [u8; 32]),
    ) {
        let first_seq = self.reader.shared.go_back(end, head);
        self.current = Current { file, path, first_seq, end };
        (self.head_seq, self.head_hash) = head;
    }

    fn fail(&self, source: DiskFault) -> AppendError {
        self.reader.shared.latch();
        AppendError::Disk { source }
    }
}

/// Makes the segment file that `header` opens, durable with its name. When space runs out no file
/// is left.
fn start_segment(
    medium: &dyn Medium,
    dir: &Path,
    limits: Limits,
    header: &Header,
) -> Result<Current, DiskFault> {
    let path = dir.join(segment_name(header.first_seq));
    let file = medium.create(&path).map_err(DiskFault::new(Act::Create, &path))?;
    // Only a hint: without it the segment still grows, write by write.
    let _ = file.preallocate(u64::from(limits.segment_bytes));
    let written = file.write_all_at(&header.encode(), 0).map_err(DiskFault::new(Act::Write, &path));
    if let Err(fault) = written {
        // Durable too: the name must not come back once records of its seqs are elsewhere.
        medium.remove(&path).map_err(DiskFault::new(Act::Remove, &path))?;
        medium.sync_dir(dir).map_err(DiskFault::new(Act::Sync, dir))?;
        return Err(fault);
    }
    file.sync_data().map_err(DiskFault::new(Act::Sync, &path))?;
    medium.sync_dir(dir).map_err(DiskFault::new(Act::Sync, dir))?;
    Ok(Current { file, path, first_seq: header.first_seq, end: HEADER_BYTES as u64 })
}

fn full_or_failed(fault: DiskFault) -> CreateError {
    if fault.is_out_of_space() {
        CreateError::OutOfSpace { source: fault }
    } else {
        CreateError::Disk(fault)
    }
}

/// Removes what a crash inside `create` may have left; anything more is a journal.
fn clear_stillborn(medium: &dyn Medium, dir: &Path) -> Result<(), CreateError> {
    let names = medium.list(dir).map_err(DiskFault::new(Act::List, dir))?;
    for name in names.iter().filter(|name| segment_seq(name).is_some()) {
        let path = dir.join(name);
        let file = medium.open_read(&path).map_err(DiskFault::new(Act::Open, &path))?;
        let bytes = file.read_whole().map_err(DiskFault::new(Act::Read, &path))?;
        let header = Header::decode(&bytes);
        let is_torn = segment_seq(name) == Some(1) && header == Err(HeaderFault::Unreadable);
        if !is_torn || has_frames(&bytes) {
            return Err(CreateError::Exists { dir: dir.to_owned() });
        }
        medium.remove(&path).map_err(DiskFault::new(Act::Remove, &path))?;
    }
    Ok(())
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("dir", &self.dir)
            .field("head_seq", &self.head_seq)
            .finish_non_exhaustive()
    }
}
