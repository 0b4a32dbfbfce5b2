//! What ingest keeps of a bank while it has a session or something on its way to the store.

use std::collections::HashMap;

use locker_core::downlink::GrantPosition;
use locker_core::ids::{BankId, Generation};
use locker_core::journal::MemoryView;
use locker_core::uplink::inlet::{Cursor, UNREADABLE_MAX};
use locker_proto::message::{Birth, Nonce};
use tokio::time::Instant;

use super::link::Link;
use crate::store::{LoadedBank, StopReason};

/// A bank.
pub(super) struct Bank<L: Link> {
    pub(super) session: Option<Live<L::Session>>,
    pub(super) memory: Memory,
    /// Writes of it that the store has not answered.
    pub(super) in_flight: usize,
    /// A birth that waits: for the bank's state, for writes of an earlier session, or for the
    /// session to be subscribed.
    pub(super) birth: Option<(Box<Birth>, Option<L::Token>)>,
}

impl<L: Link> Default for Bank<L> {
    fn default() -> Self {
        Self { session: None, memory: Memory::Absent, in_flight: 0, birth: None }
    }
}

impl<L: Link> Bank<L> {
    /// Whether there is nothing left to remember.
    pub(super) fn is_idle(&self) -> bool {
        let loading = matches!(self.memory, Memory::Loading);
        self.session.is_none() && self.in_flight == 0 && !loading
    }

    /// The live session, if it is this one.
    pub(super) fn live(&mut self, session: L::Session) -> Option<&mut Live<L::Session>> {
        self.session.as_mut().filter(|live| live.id == session)
    }

    /// What is known, if it is in memory.
    pub(super) fn known(&mut self) -> Option<&mut Known> {
        match &mut self.memory {
            Memory::Ready(known) => Some(known),
            Memory::Absent | Memory::Loading => None,
        }
    }
}

/// A bank's state in memory.
pub(super) enum Memory {
    /// Not read, or dropped because a write failed.
    Absent,
    Loading,
    Ready(Box<Known>),
}

/// See [`Memory`].
pub(super) struct Known {
    /// What the next batch must continue: ahead of the store by what is in flight.
    pub(super) cursor: Option<Cursor>,
    /// What is committed.
    pub(super) durable: Option<Cursor>,
    /// Folded up to `cursor`.
    pub(super) view: MemoryView,
    pub(super) stopped: Option<StopReason>,
    pub(super) incomplete: bool,
}

impl From<LoadedBank> for Known {
    fn from(loaded: LoadedBank) -> Self {
        let LoadedBank { cursor, view, stopped, incomplete } = loaded;
        Self { cursor, durable: cursor, view, stopped, incomplete }
    }
}

/// A session.
pub(super) struct Live<S> {
    pub(super) id: S,
    pub(super) subscribed: bool,
    /// Once its birth was accepted.
    pub(super) born: Option<Born>,
}

/// What was promised and sent in a session.
#[derive(Debug)]
pub(super) struct Born {
    pub(super) nonce: Nonce,
    pub(super) grants_sent: GrantPosition,
    pub(super) mode_sent: Generation,
    pub(super) quota_sent: Generation,
    pub(super) layout_sent: Generation,
    pub(super) layout_sent_at: Instant,
    /// Whether the bank refused it because a compartment was in use.
    pub(super) layout_refused: bool,
    pub(super) acked_at: Instant,
    pub(super) downlink: Reading,
}

/// Whether what the bank is to be told is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Idle,
    UnderWay,
    /// Something new came meanwhile.
    UnderWayAndStale,
}

/// Unreadable messages in a row, by bank. Outlives sessions, because the agent connects anew and
/// sends again; bounded by the number of banks.
#[derive(Debug, Default)]
pub(super) struct Strikes(HashMap<BankId, (u64, u32)>);

impl Strikes {
    /// Counts one with `committed` as watermark; whether it is one too many.
    pub(super) fn strike(&mut self, bank: &BankId, committed: u64) -> bool {
        let (at, count) = self.0.entry(bank.clone()).or_insert((committed, 0));
        if *at != committed {
            (*at, *count) = (committed, 0);
        }
        *count += 1;
        *count >= UNREADABLE_MAX
    }

    pub(super) fn clear(&mut self, bank: &BankId) {
        self.0.remove(bank);
    }
}
