//! Samples that wait to be sent: where the sampling and the connection meet.
//!
//! The connection takes from memory only and never waits for a disk. What memory does not keep the
//! sampling's task puts into files and brings back when the connection asks for more.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use locker_proto::message::Telemetry;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Sample;

/// With so many in memory all of them go into a file: a quarter of an hour of every minute is what a
/// power cut costs, and the flash is written four times an hour and not sixty times.
pub(super) const SURPLUS: usize = 15;
/// Most newest samples in memory, while nobody puts them into files; the oldest goes.
pub(super) const NEWEST_MAX: usize = 64;
/// No ack was heard yet.
const NOT_HEARD: u64 = u64::MAX;

/// Samples that wait to be sent. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct Samples(Arc<Waiting>);

#[derive(Debug)]
struct Waiting {
    memory: Mutex<Memory>,
    /// There may be something to send.
    added: Notify,
    /// The connection has sent what was brought from the files.
    wanted: Notify,
    committed: AtomicU64,
    began: Instant,
}

#[derive(Debug, Default)]
struct Memory {
    /// Brought back from the files, older than all that is there.
    oldest: VecDeque<Sample>,
    /// Newer than all that is in files.
    newest: VecDeque<Sample>,
    in_files: bool,
    dropped: u64,
}

impl Memory {
    fn has_next(&self) -> bool {
        !self.oldest.is_empty() || (!self.in_files && !self.newest.is_empty())
    }
}

impl Default for Samples {
    fn default() -> Self {
        Self(Arc::new(Waiting {
            memory: Mutex::default(),
            added: Notify::new(),
            wanted: Notify::new(),
            committed: AtomicU64::new(NOT_HEARD),
            began: Instant::now(),
        }))
    }
}

impl Samples {
    /// Keeps a sample until it is sent.
    pub fn add(&self, sample: Sample) {
        let mut memory = self.memory();
        if memory.newest.len() >= NEWEST_MAX {
            memory.newest.pop_front();
            memory.dropped += 1;
        }
        memory.newest.push_back(sample);
        drop(memory);
        self.0.added.notify_one();
    }

    /// Notes what the hub has committed.
    pub fn committed(&self, seq: u64) {
        self.0.committed.store(seq, Ordering::Relaxed);
    }

    /// Completes when there is a sample to send, and not before `not_before`. For one sender.
    pub async fn ready(&self, not_before: Instant) {
        loop {
            let (has_next, in_files) = {
                let memory = self.memory();
                (memory.has_next(), memory.in_files)
            };
            if has_next {
                break;
            }
            if in_files {
                self.0.wanted.notify_one();
            }
            self.0.added.notified().await;
        }
        sleep_until(not_before).await;
    }

    /// The oldest sample, as it is to be sent by a connection that began at `linked`.
    #[must_use]
    pub fn next(&self, linked: Instant) -> Option<Telemetry> {
        let mut memory = self.memory();
        if !memory.has_next() {
            return None;
        }
        let sample = memory.oldest.pop_front().or_else(|| memory.newest.pop_front())?;
        let (historical, samples_dropped) = (sample.taken < linked, memory.dropped);
        Some(Telemetry { historical, samples_dropped, ..sample.said })
    }

    /// Completes when the connection wants what is in the files.
    pub(super) async fn wanted(&self) {
        loop {
            self.0.wanted.notified().await;
            // It may have asked twice for the same.
            if self.memory().oldest.is_empty() {
                return;
            }
        }
    }

    /// What was brought from the files; nothing if they are empty.
    pub(super) fn found(&self, samples: Vec<Sample>) {
        self.memory().oldest.extend(samples);
        self.0.added.notify_one();
    }

    /// All in memory, if that is too much for it.
    pub(super) fn surplus(&self) -> Option<Vec<Sample>> {
        let mut memory = self.memory();
        (memory.newest.len() >= SURPLUS).then(|| memory.newest.drain(..).collect())
    }

    /// All in memory: what came from files, and what is newer.
    pub(super) fn take_all(&self) -> (Vec<Sample>, Vec<Sample>) {
        let mut memory = self.memory();
        (memory.oldest.drain(..).collect(), memory.newest.drain(..).collect())
    }

    /// What became of the files.
    pub(super) fn kept(&self, in_files: bool, dropped: u64) {
        let mut memory = self.memory();
        memory.in_files = in_files;
        memory.dropped += dropped;
    }

    /// Records that the hub lacks, as far as is known.
    pub(super) fn lacking(&self, head: u64) -> Option<u64> {
        let committed = self.0.committed.load(Ordering::Relaxed);
        (committed != NOT_HEARD).then(|| head.saturating_sub(committed))
    }

    /// When this run's first sample can have been taken at the earliest.
    pub(super) fn began(&self) -> Instant {
        self.0.began
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
