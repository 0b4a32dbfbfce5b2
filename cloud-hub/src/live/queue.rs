//! Notes on their way from ingest to the router: bounded, and the oldest go first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use locker_core::ids::BankId;
use tokio::sync::Notify;

use super::counters::{Count, Counters};

/// Something for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) bank: BankId,
    pub(super) kind: Kind,
    pub(super) payload: Bytes,
}

/// Which of a bank's topics it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Telemetry,
    Presence,
    Doors,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Telemetry, Self::Presence, Self::Doors];

    /// The last two levels of the topic.
    pub(super) const fn levels(self) -> [&'static str; 2] {
        match self {
            Self::Telemetry => ["up", "telemetry"],
            Self::Presence => ["up", "presence"],
            Self::Doors => ["live", "doors"],
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Queue {
    notes: Mutex<VecDeque<Note>>,
    notes_max: usize,
    filled: Notify,
    counters: Arc<Counters>,
}

impl Queue {
    pub(super) fn new(notes_max: usize, counters: Arc<Counters>) -> Self {
        Self { notes: Mutex::default(), notes_max, filled: Notify::new(), counters }
    }

    /// Takes a note in; the oldest goes if there is no room.
    pub(super) fn push(&self, note: Note) {
        let mut notes = self.notes();
        let was_empty = notes.is_empty();
        let dropped = notes.len() >= self.notes_max && notes.pop_front().is_some();
        notes.push_back(note);
        drop(notes);
        self.counters.add(Count::QueueDropped, u64::from(dropped));
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Completes when there is something to take. For one taker.
    pub(super) async fn filled(&self) {
        while self.notes().is_empty() {
            self.filled.notified().await;
        }
    }

    /// The oldest notes, at most `max`.
    pub(super) fn take(&self, max: usize) -> Vec<Note> {
        let mut notes = self.notes();
        let count = notes.len().min(max);
        notes.drain(..count).collect()
    }

    fn notes(&self) -> MutexGuard<'_, VecDeque<Note>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
