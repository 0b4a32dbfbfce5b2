//! The lane's files: samples that wait longer than memory keeps them, oldest file first.
//!
//! ```text
//! <data_dir>/telemetry/samples-00000000000000000042.v1      slot | slot | ...
//! ```
//!
//! Nothing here is ever synced and nothing here fails: what the disk refuses, tore or damaged is
//! dropped and counted, because nobody waits for a sample and a door does not wait behind one. A
//! file goes when all of it was handed out; a process that dies in between sends some twice.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use locker_core::units::UnixMillis;
use tokio::time::Instant;
use tracing::warn;

use super::slot::{self, SLOT_BYTES};
use super::{Sample, TelemetryLimits};
use crate::journal::{Medium, MediumFile};

/// Samples in a file: more than four hours of every minute.
pub(super) const FILE_SLOTS: usize = 256;
/// A file takes whole blocks of this size from the disk, in bytes.
const BLOCK_BYTES: u64 = 4_096;
/// What is older than [`TelemetryLimits::fine_hours`] is thinned to a sample in so many: five
/// minutes between samples of every minute.
const COARSE: u64 = 5;
/// What does not fit is thinned to a sample in so many before anything goes for good: a quarter of
/// an hour between samples of every minute still shows a night.
const SPARSE: u64 = 15;
/// The newest part of the files, which is not thinned to make room: a quarter.
const OLDER_PARTS: usize = 3;
const PARTS: usize = 4;
const HOUR_MS: u64 = 3_600_000;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Lane {
    medium: Arc<dyn Medium>,
    dir: PathBuf,
    limits: TelemetryLimits,
    /// When this run began; `taken_ms` counts from here.
    began: Instant,
    files: VecDeque<LaneFile>,
    next_serial: u64,
    /// The first file was handed out, and goes when the next is asked for.
    handed_out: bool,
    /// The last file, while it is appended to.
    current: Option<Box<dyn MediumFile>>,
    /// Samples dropped since somebody asked.
    dropped: u64,
}

#[derive(Clone, Copy, Debug)]
struct LaneFile {
    serial: u64,
    slots: usize,
    /// When its last sample was taken.
    last_at: UnixMillis,
    /// A sample in so many is left.
    thinned: u64,
    of_this_run: bool,
}

impl Lane {
    /// Takes over what earlier runs left in `dir`.
    pub(super) fn open(
        medium: Arc<dyn Medium>,
        dir: PathBuf,
        limits: TelemetryLimits,
        began: Instant,
    ) -> Self {
        let mut lane = Self {
            medium,
            dir,
            limits,
            began,
            files: VecDeque::new(),
            next_serial: 1,
            handed_out: false,
            current: None,
            dropped: 0,
        };
        let listed = lane.medium.make_dir(&lane.dir).and_then(|()| lane.medium.list(&lane.dir));
        let names = listed.unwrap_or_else(|error| {
            warn!(%error, dir = %lane.dir.display(), "kept samples cannot be read");
            Vec::new()
        });
        let mut serials: Vec<u64> = names.iter().filter_map(|name| serial_of(name)).collect();
        serials.sort_unstable();
        lane.next_serial = serials.last().map_or(1, |last| last.saturating_add(1));
        for serial in serials {
            lane.take_over(serial);
        }
        lane.make_room();
        lane
    }

    /// Whether samples wait in files, or were handed out last.
    pub(super) fn holds_any(&self) -> bool {
        !self.files.is_empty()
    }

    /// How many samples were dropped since the last time this was asked.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Keeps samples, which are newer than all that are kept, at most [`FILE_SLOTS`]. Older ones may
    /// have to go.
    pub(super) fn keep(&mut self, samples: &[Sample]) {
        let Some(last) = samples.last() else { return };
        let bytes = self.encode(samples);
        let room = self.files.back().map_or(0, |file| FILE_SLOTS.saturating_sub(file.slots));
        if self.current.is_none() || room < samples.len() {
            self.current = self.begin_file(last.said.at);
        }
        let (Some(current), Some(file)) = (&self.current, self.files.back_mut()) else {
            self.dropped += count(samples.len());
            return;
        };
        let end = bytes_of(file.slots);
        match current.write_all_at(&bytes, end) {
            Ok(()) => {
                file.slots += bytes.len() / SLOT_BYTES;
                file.last_at = last.said.at;
            }
            Err(error) => {
                warn!(%error, "samples not kept");
                self.dropped += count(bytes.len() / SLOT_BYTES);
                // Part of them may be there; a file that cannot be cut back ends here.
                let (cut_back, is_empty) = (current.set_len(end).is_ok(), file.slots == 0);
                if is_empty {
                    self.drop_file(self.files.len() - 1);
                }
                if is_empty || !cut_back {
                    self.current = None;
                }
            }
        }
        self.make_room();
    }

    /// The oldest file's samples; those handed out before are done with. Empty if no more wait.
    pub(super) fn hand_out(&mut self) -> Vec<Sample> {
        if std::mem::take(&mut self.handed_out) {
            self.remove_file(0);
        }
        while let Some(file) = self.files.front() {
            if self.files.len() == 1 {
                self.current = None;
            }
            let samples = self.read(file);
            if !samples.is_empty() {
                self.handed_out = true;
                return samples;
            }
            self.drop_file(0);
        }
        Vec::new()
    }

    /// Takes back what was handed out and not sent.
    pub(super) fn take_back(&mut self, rest: &[Sample]) {
        if !std::mem::take(&mut self.handed_out) {
            return;
        }
        if rest.is_empty() {
            self.remove_file(0);
        } else {
            self.rewrite(0, rest);
        }
    }

    fn take_over(&mut self, serial: u64) {
        let (last_at, of_this_run) = (UnixMillis::default(), false);
        let mut file = LaneFile { serial, slots: 0, last_at, thinned: 1, of_this_run };
        let size = self.medium.open_read(&self.path(&file)).and_then(|opened| opened.size());
        // The last slot may be torn.
        let there = usize::try_from(size.unwrap_or_default()).map_or(0, |n| n.div_ceil(SLOT_BYTES));
        file.slots = there;
        let samples = self.read(&file);
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
            self.files.push_back(file);
            self.drop_file(self.files.len() - 1);
            return;
        };
        file.last_at = last.said.at;
        // How thin it is can be seen; what was thinned need not be read again and again.
        let gaps = count(samples.len()).saturating_sub(1).max(1);
        let apart_ms = first.said.at.0.abs_diff(last.said.at.0) / gaps;
        file.thinned = (apart_ms / self.limits.every_ms.max(1)).max(1);
        self.files.push_back(file);
        if samples.len() < there {
            self.dropped += count(there - samples.len());
            self.rewrite(self.files.len() - 1, &samples);
        }
    }

    /// Thins what is old; then, while it is too much, what is not the newest; then drops the oldest.
    fn make_room(&mut self) {
        let now = self.files.back().map_or(0, |file| file.last_at.0);
        let fine_ms = self.limits.fine_hours.saturating_mul(HOUR_MS);
        for at in self.idle() {
            let file = self.files[at];
            if file.thinned < COARSE && now.saturating_sub(file.last_at.0) >= fine_ms {
                self.thin(at, COARSE);
            }
        }
        while self.used_bytes() > self.limits.kept_bytes {
            let older = self.files.len() * OLDER_PARTS / PARTS;
            let thick = self.idle().find(|at| *at < older && self.files[*at].thinned < SPARSE);
            match (thick, self.idle().next()) {
                (Some(at), _) => self.thin(at, SPARSE),
                (None, Some(oldest)) => self.drop_file(oldest),
                (None, None) => return,
            }
        }
    }

    /// The files that are neither handed out nor appended to.
    fn idle(&self) -> std::ops::Range<usize> {
        let end = self.files.len().saturating_sub(usize::from(self.current.is_some()));
        usize::from(self.handed_out)..end.max(usize::from(self.handed_out))
    }

    /// Leaves a sample in so many, by when they were taken.
    fn thin(&mut self, at: usize, one_in: u64) {
        let Some(file) = self.files.get(at) else { return };
        let before = file.slots;
        // Half a distance of tolerance: samples are taken a little late, never early.
        let apart_ms = self.limits.every_ms * one_in - self.limits.every_ms / 2;
        let mut last: Option<UnixMillis> = None;
        let mut samples = self.read(file);
        samples.retain(|sample| {
            let taken = sample.said.at;
            // Both ways: a clock that was set back must not swallow all that follows.
            let far = last.is_none_or(|last| last.0.abs_diff(taken.0) >= apart_ms);
            if far {
                last = Some(taken);
            }
            far
        });
        self.dropped += count(before - samples.len());
        if self.rewrite(at, &samples) {
            self.files[at].thinned = one_in;
        }
    }

    /// Puts `samples` in the place of what is in a file; if that cannot be done they are dropped with
    /// it. Nothing is made beside it: on a full disk there would be no room.
    fn rewrite(&mut self, at: usize, samples: &[Sample]) -> bool {
        let path = self.path(&self.files[at]);
        let bytes = self.encode(samples);
        self.files[at].slots = bytes.len() / SLOT_BYTES;
        let written = self.medium.open_write(&path).and_then(|file| {
            file.write_all_at(&bytes, 0)?;
            file.set_len(bytes.len() as u64)
        });
        let kept = written.is_ok() && !bytes.is_empty();
        if !kept {
            self.drop_file(at);
        }
        kept
    }

    /// What can be read of a file; damaged slots are left out.
    fn read(&self, file: &LaneFile) -> Vec<Sample> {
        let path = self.path(file);
        let read = self.medium.open_read(&path).and_then(|opened| {
            // No more than was put there: whoever made it longer was not the lane.
            let mut bytes = vec![0; file.slots.min(FILE_SLOTS) * SLOT_BYTES];
            let done = opened.read_full_at(&mut bytes, 0)?;
            bytes.truncate(done);
            Ok::<_, io::Error>(bytes)
        });
        let bytes = read.unwrap_or_else(|error| {
            warn!(%error, path = %path.display(), "kept samples cannot be read");
            Vec::new()
        });
        let (slots, _torn) = bytes.as_chunks::<SLOT_BYTES>();
        let decoded = slots.iter().filter_map(slot::decode).map(|(taken_ms, said)| {
            // Whatever an earlier run took, it took before any connection of this one.
            let since = Duration::from_millis(if file.of_this_run { taken_ms } else { 0 });
            Sample { taken: self.began + since, said }
        });
        decoded.collect()
    }

    /// The slots of `samples`; one that fits into none is dropped.
    fn encode(&mut self, samples: &[Sample]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(samples.len() * SLOT_BYTES);
        for sample in samples {
            let since = sample.taken.saturating_duration_since(self.began);
            let taken_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            match slot::encode(taken_ms, &sample.said) {
                Some(slot) => bytes.extend_from_slice(&slot),
                None => self.dropped += 1,
            }
        }
        bytes
    }

    fn begin_file(&mut self, last_at: UnixMillis) -> Option<Box<dyn MediumFile>> {
        let serial = self.next_serial;
        let file = LaneFile { serial, slots: 0, last_at, thinned: 1, of_this_run: true };
        match self.medium.create(&self.path(&file)) {
            Ok(created) => {
                self.next_serial += 1;
                self.files.push_back(file);
                Some(created)
            }
            Err(error) => {
                warn!(%error, "no file for samples");
                None
            }
        }
    }

    fn drop_file(&mut self, at: usize) {
        self.dropped += self.files.get(at).map_or(0, |file| count(file.slots));
        self.remove_file(at);
    }

    fn remove_file(&mut self, at: usize) {
        let Some(file) = self.files.remove(at) else { return };
        if let Err(error) = self.medium.remove(&self.path(&file)) {
            // The next start finds it again.
            warn!(%error, "file of samples not removed");
        }
    }

    /// What the files take from the disk.
    fn used_bytes(&self) -> u64 {
        let blocks = |file: &LaneFile| bytes_of(file.slots).next_multiple_of(BLOCK_BYTES);
        self.files.iter().map(blocks).sum()
    }

    fn path(&self, file: &LaneFile) -> PathBuf {
        path_of(&self.dir, file.serial)
    }
}

fn path_of(dir: &Path, serial: u64) -> PathBuf {
    dir.join(format!("samples-{serial:020}.v1"))
}

fn serial_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("samples-")?.strip_suffix(".v1")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

fn bytes_of(slots: usize) -> u64 {
    (slots * SLOT_BYTES) as u64
}

fn count(samples: usize) -> u64 {
    u64::try_from(samples).unwrap_or(u64::MAX)
}
