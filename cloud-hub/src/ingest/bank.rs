//! What ingest keeps of a bank while it has a session or something on its way to the store.

use std::collections::HashMap;

use bytes::Bytes;
use locker_core::downlink::GrantPosition;
use locker_core::ids::{BankId, Generation, StreamId};
use locker_core::journal::MemoryView;
use locker_core::uplink::inlet::{Cursor, UNREADABLE_MAX};
use locker_proto::message::{Birth, Nonce};
use tokio::time::Instant;

use super::link::{Caller, Link};
use crate::credential_keys::CommandSigner;
use crate::store::{LoadedBank, Party, Standing};

/// A bank.
pub(super) struct Bank<L: Link> {
    pub(super) session: Option<Live<L::Session>>,
    pub(super) memory: Memory,
    /// Writes of it that the store has not answered.
    pub(super) in_flight: usize,
    /// A birth that waits: for the bank's state, for writes of an earlier session, or for the
    /// session to be subscribed.
    pub(super) birth: Option<Waiting<L::Token>>,
}

/// A birth that was not answered yet.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    pub(super) birth: Box<Birth>,
    /// As it came.
    pub(super) payload: Bytes,
    pub(super) token: Option<T>,
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
    pub(super) standing: Standing,
    /// How it introduced itself when it was last accepted.
    pub(super) last: Option<Party>,
    pub(super) closed: Vec<StreamId>,
    pub(super) incomplete: bool,
}

impl From<LoadedBank> for Known {
    fn from(loaded: LoadedBank) -> Self {
        let LoadedBank { cursor, view, standing, last, closed, incomplete } = loaded;
        Self { cursor, durable: cursor, view, standing, last, closed, incomplete }
    }
}

/// A session.
pub(super) struct Live<S> {
    pub(super) id: S,
    pub(super) caller: Caller,
    /// Whether an open session of the bank gave way to it.
    pub(super) took_over: bool,
    pub(super) subscribed: bool,
    /// Once it has introduced itself, whatever came of it.
    pub(super) party: Option<Party>,
    /// Who was accepted before.
    pub(super) before: Option<Party>,
    /// Once its birth was accepted.
    pub(super) born: Option<Born>,
}

impl<S> Live<S> {
    pub(super) const fn new(id: S, caller: Caller, took_over: bool) -> Self {
        let (subscribed, party, before, born) = (false, None, None, None);
        Self { id, caller, took_over, subscribed, party, before, born }
    }
}

/// What was promised and sent in a session.
#[derive(Debug)]
pub(super) struct Born {
    pub(super) nonce: Nonce,
    /// Who signs what it is told.
    pub(super) signer: CommandSigner,
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
