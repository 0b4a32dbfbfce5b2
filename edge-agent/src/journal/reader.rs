//! Reading the journal, from any thread, while another appends.
//!
//! The appender publishes a call here only after its sync returned, so a reader cannot see, and the
//! uplink cannot send, what a power cut might still take back. Readers open the files on their own
//! and find records through a sparse index: one mark for each 64 records.

use std::{
    collections::VecDeque,
    io::ErrorKind,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{
    Detached, Stored,
    error::{Act, Damage, DiskFault, ReadError},
    format::{
        DETACHED_MAX_BYTES, Frame, FrameFault, HEAD_BYTES, HEADER_BYTES, Header, RECORD_MAX_BYTES,
        STATE_AT, STATE_ERASED, chain_hash,
    },
    medium::{Medium, MediumFile},
    scan::{MARK_EVERY, Mark, Tail, scan},
};

/// How much a walk reads at once; at least one frame of any size fits.
const WINDOW_BYTES: usize = 2 * (HEAD_BYTES + RECORD_MAX_BYTES + DETACHED_MAX_BYTES);

/// A handle to read a journal's durable records; cheap to clone.
#[derive(Clone, Debug)]
pub struct JournalReader {
    pub(super) shared: Arc<Shared>,
}

/// What the appender and its readers have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) medium: Arc<dyn Medium>,
    stream_id: [u8; 16],
    failed: AtomicBool,
    head: AtomicU64,
    catalog: RwLock<Catalog>,
}

/// The durable part of the journal.
#[derive(Debug)]
pub(super) struct Catalog {
    /// Never empty; the last is the one appended to.
    pub(super) segments: VecDeque<Segment>,
    pub(super) head_seq: u64,
    pub(super) head_hash: [u8; 32],
}

#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) first_seq: u64,
    pub(super) prev_hash: [u8; 32],
    /// Bytes that are header and durable frames.
    pub(super) end: u64,
    /// `None` for an older segment that was not read when the journal was opened.
    pub(super) marks: Option<Vec<Mark>>,
}

impl JournalReader {
    /// Seq of the last durable record; 0 when there is none.
    pub fn head_seq(&self) -> u64 {
        self.shared.head.load(Ordering::Acquire)
    }

    /// Hash of the chain at the head.
    pub fn head_hash(&self) -> [u8; 32] {
        self.head().1
    }

    /// Seq and hash of the head, taken together.
    pub fn head(&self) -> (u64, [u8; 32]) {
        let catalog = self.shared.catalog();
        (catalog.head_seq, catalog.head_hash)
    }

    /// Seq of the oldest record still here; one above the head when there is none.
    pub fn oldest_seq(&self) -> u64 {
        self.shared.catalog().oldest()
    }

    pub fn stream_id(&self) -> [u8; 16] {
        self.shared.stream_id
    }

    /// Records from `from_seq` on: at most `max_records`, and at most `max_bytes` of records and
    /// detached parts, except that one record is always read where there is one. Nothing is read
    /// at one above the head.
    ///
    /// # Errors
    ///
    /// The records are pruned or not written yet, or the disk has failed or changed them.
    pub fn read(
        &self,
        from_seq: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Stored>, ReadError> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        while found.len() < max_records {
            let Some(mut walk) = self.shared.walk_to(from_seq + found.len() as u64)? else { break };
            while found.len() < max_records
                && let Some(step) = walk.next()?
            {
                let stored = step.to_stored();
                bytes += stored.record.len() + stored.detached.len();
                if bytes > max_bytes && !found.is_empty() {
                    return Ok(found);
                }
                found.push(stored);
            }
        }
        Ok(found)
    }

    /// Hash of the chain at `seq`; known from one below the oldest record up to the head.
    ///
    /// # Errors
    ///
    /// As for [`Self::read`].
    pub fn hash_at(&self, seq: u64) -> Result<[u8; 32], ReadError> {
        self.shared.check()?;
        {
            let catalog = self.shared.catalog();
            if seq == catalog.head_seq {
                return Ok(catalog.head_hash);
            }
            if let Some(segment) = catalog.segments.iter().find(|s| s.first_seq - 1 == seq) {
                return Ok(segment.prev_hash);
            }
        }
        let mut walk =
            self.shared.walk_to(seq)?.ok_or(ReadError::BeyondHead { head: self.head_seq() })?;
        walk.next()?;
        Ok(walk.hash)
    }
}

impl Detached {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::None | Self::Erased => 0,
            Self::Some(bytes) => bytes.len(),
        }
    }
}

/// Where to start reading for a seq.
enum Place {
    /// One above the head.
    AtHead,
    /// In this segment, from this mark on.
    Mark { segment: Segment, seq: u64, mark: Mark, last_seq: u64 },
    /// In this segment, which has to be read first; the next segment continues with this hash.
    Unread { segment: Segment, last_seq: u64, last_hash: [u8; 32] },
}

impl Shared {
    pub(super) fn new(medium: Arc<dyn Medium>, stream_id: [u8; 16], catalog: Catalog) -> Arc<Self> {
        Arc::new(Self {
            medium,
            stream_id,
            failed: AtomicBool::new(false),
            head: AtomicU64::new(catalog.head_seq),
            catalog: RwLock::new(catalog),
        })
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// From here on every call is refused.
    pub(super) fn latch(&self) {
        self.failed.store(true, Ordering::Release);
    }

    fn check(&self) -> Result<(), ReadError> {
        if self.has_failed() { Err(ReadError::Failed) } else { Ok(()) }
    }

    // A panic elsewhere cannot leave the catalog half changed in a way that matters: its changes
    // are of what is already on the disk.
    pub(super) fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn catalog_mut(&self) -> RwLockWriteGuard<'_, Catalog> {
        self.catalog.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets readers see a durable call.
    pub(super) fn publish(&self, end: u64, head: (u64, [u8; 32]), marks: &mut Vec<Mark>) {
        let mut catalog = self.catalog_mut();
        (catalog.head_seq, catalog.head_hash) = head;
        let segment = catalog.segments.back_mut().expect("there is always a current segment");
        segment.end = end;
        segment.marks.get_or_insert_default().append(marks);
        self.head.store(head.0, Ordering::Release);
    }

    /// The last segment ends earlier now; answers its first seq.
    pub(super) fn go_back(&self, end: u64, head: (u64, [u8; 32])) -> u64 {
        let mut catalog = self.catalog_mut();
        (catalog.head_seq, catalog.head_hash) = head;
        let segment = catalog.segments.back_mut().expect("there is always a current segment");
        segment.end = end;
        if let Some(marks) = &mut segment.marks {
            marks.retain(|mark| mark.offset < end);
        }
        self.head.store(head.0, Ordering::Release);
        segment.first_seq
    }

    /// A walk whose next record is `seq`; `None` one above the head.
    pub(super) fn walk_to(&self, seq: u64) -> Result<Option<Walk>, ReadError> {
        self.check()?;
        loop {
            // On its own line, so that the catalog is free again before marks are put into it.
            let place = self.catalog().place(seq)?;
            let (segment, mark_seq, mark, last_seq) = match place {
                Place::AtHead => return Ok(None),
                Place::Mark { segment, seq, mark, last_seq } => (segment, seq, mark, last_seq),
                Place::Unread { segment, last_seq, last_hash } => {
                    self.read_marks(segment, last_seq, last_hash)?;
                    continue;
                }
            };
            let file = match self.medium.open_read(&segment.path) {
                Ok(file) => file,
                // Pruned since the look into the catalog, which now says so.
                Err(err) if err.kind() == ErrorKind::NotFound && self.catalog().oldest() > seq => {
                    continue;
                }
                Err(err) => return Err(DiskFault::new(Act::Open, &segment.path)(err).into()),
            };
            let mut walk = Walk::new(file, segment, mark_seq, &mark, last_seq);
            while walk.seq < seq {
                walk.next()?;
            }
            return Ok(Some(walk));
        }
    }

    /// Reads a segment that was not read at the start, and keeps its marks.
    fn read_marks(
        &self,
        segment: Segment,
        last_seq: u64,
        last_hash: [u8; 32],
    ) -> Result<(), ReadError> {
        let Segment { path, first_seq, prev_hash, .. } = segment;
        let opened = self.medium.open_read(&path).map_err(DiskFault::new(Act::Open, &path));
        let bytes = match opened
            .and_then(|file| file.read_whole().map_err(DiskFault::new(Act::Read, &path)))
        {
            Ok(bytes) => bytes,
            Err(_) if self.catalog().oldest() > last_seq => return Ok(()),
            Err(fault) => return Err(fault.into()),
        };
        let damaged = |offset, seq, damage| {
            Err(ReadError::Damaged { segment: path.clone(), offset, seq, damage })
        };
        let header = match Header::decode(&bytes) {
            Ok(header) if (header.first_seq, header.prev_hash) == (first_seq, prev_hash) => header,
            Ok(_) | Err(_) => return damaged(0, first_seq, Damage::Header),
        };
        let scan = scan(&bytes, &header);
        match scan.tail {
            Tail::Torn { at } | Tail::Damaged { at } => {
                return damaged(at.offset, at.seq, at.damage);
            }
            Tail::Clean if scan.next_seq != last_seq + 1 || scan.hash != last_hash => {
                return damaged(scan.end, scan.next_seq, Damage::Chain);
            }
            Tail::Clean => {}
        }
        let mut catalog = self.catalog_mut();
        if let Some(kept) = catalog.segments.iter_mut().find(|s| s.first_seq == first_seq) {
            kept.marks = Some(scan.marks);
        }
        Ok(())
    }
}

impl Catalog {
    pub(super) fn oldest(&self) -> u64 {
        self.segments.front().map_or(self.head_seq + 1, |segment| segment.first_seq)
    }

    fn place(&self, seq: u64) -> Result<Place, ReadError> {
        if seq < self.oldest() {
            return Err(ReadError::Pruned { oldest: self.oldest() });
        }
        if seq > self.head_seq {
            let at_head = seq == self.head_seq + 1;
            return if at_head {
                Ok(Place::AtHead)
            } else {
                Err(ReadError::BeyondHead { head: self.head_seq })
            };
        }
        let after = self.segments.partition_point(|segment| segment.first_seq <= seq);
        let segment = &self.segments[after - 1];
        let (last_seq, last_hash) = match self.segments.get(after) {
            Some(next) => (next.first_seq - 1, next.prev_hash),
            None => (self.head_seq, self.head_hash),
        };
        // The marks stay here: only one of them is needed outside of the lock.
        let plain = Segment { marks: None, path: segment.path.clone(), ..*segment };
        let Some(marks) = &segment.marks else {
            return Ok(Place::Unread { segment: plain, last_seq, last_hash });
        };
        let index = (seq - segment.first_seq) / MARK_EVERY;
        let mark = usize::try_from(index).ok().and_then(|index| marks.get(index));
        let mark = mark.expect("each 64th record up to the head has a mark").clone();
        let mark_seq = segment.first_seq + index * MARK_EVERY;
        Ok(Place::Mark { segment: plain, seq: mark_seq, mark, last_seq })
    }
}

/// Goes through the records of one segment in order.
#[derive(Debug)]
pub(super) struct Walk {
    file: Box<dyn MediumFile>,
    pub(super) path: PathBuf,
    /// Bytes read ahead; the next frame starts at `used`.
    window: Vec<u8>,
    used: usize,
    /// Place of the next frame in the file.
    pub(super) offset: u64,
    end: u64,
    /// Seq of the next record, and the chain's hash before it.
    pub(super) seq: u64,
    pub(super) hash: [u8; 32],
    last_seq: u64,
}

/// A record passed on a walk.
pub(super) struct Step<'a> {
    pub(super) seq: u64,
    /// Place of its frame in the file.
    pub(super) offset: u64,
    pub(super) frame: Frame<'a>,
}

impl Walk {
    fn new(
        file: Box<dyn MediumFile>,
        segment: Segment,
        seq: u64,
        mark: &Mark,
        last_seq: u64,
    ) -> Self {
        Self {
            file,
            path: segment.path,
            window: Vec::new(),
            used: 0,
            offset: mark.offset.max(HEADER_BYTES as u64),
            end: segment.end,
            seq,
            hash: mark.prev_hash,
            last_seq,
        }
    }

    /// The next record, until the segment's last.
    pub(super) fn next(&mut self) -> Result<Option<Step<'_>>, ReadError> {
        if self.seq > self.last_seq {
            return Ok(None);
        }
        let ahead = self.window.len() - self.used;
        if ahead < WINDOW_BYTES / 2 && self.offset + (ahead as u64) < self.end {
            self.fill()?;
        }
        let (seq, offset, used) = (self.seq, self.offset, self.used);
        let bytes = &self.window[used..];
        let mut found = Frame::decode(bytes);
        if matches!(found, Err(FrameFault::Detached { .. })) && self.is_erased_now()? {
            found = Frame::decode_erased(bytes);
        }
        let frame = found.map_err(|fault| ReadError::Damaged {
            segment: self.path.clone(),
            offset,
            seq,
            damage: fault.into(),
        })?;
        self.used += frame.head.frame_bytes();
        self.offset += frame.head.frame_bytes() as u64;
        self.seq += 1;
        self.hash = chain_hash(&self.hash, frame.record);
        Ok(Some(Step { seq, offset, frame }))
    }

    fn fill(&mut self) -> Result<(), ReadError> {
        self.window.drain(..self.used);
        self.used = 0;
        let have = self.window.len();
        let from = self.offset + have as u64;
        let more = usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX);
        self.window.resize(have + more.min(WINDOW_BYTES - have), 0);
        let read = self.file.read_full_at(&mut self.window[have..], from);
        let read = read.map_err(DiskFault::new(Act::Read, &self.path))?;
        self.window.truncate(have + read);
        Ok(())
    }

    /// A detached part that fails its checksum may have been erased since its head was read: the
    /// state byte is written before the first zero.
    fn is_erased_now(&self) -> Result<bool, ReadError> {
        let mut state = [0];
        let read = self.file.read_full_at(&mut state, self.offset + STATE_AT as u64);
        read.map_err(DiskFault::new(Act::Read, &self.path))?;
        Ok(state == [STATE_ERASED])
    }
}

impl Step<'_> {
    fn to_stored(&self) -> Stored {
        let detached = match (self.frame.head.erased, self.frame.detached) {
            (true, _) => Detached::Erased,
            (false, []) => Detached::None,
            (false, bytes) => Detached::Some(bytes.to_vec()),
        };
        Stored { seq: self.seq, record: self.frame.record.to_vec(), detached }
    }
}
