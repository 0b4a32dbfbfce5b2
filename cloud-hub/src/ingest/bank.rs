//! What ingest keeps of a bank while it has a session or something on its way to the store.

use std::collections::HashMap;

use bytes::Bytes;
use locker_core::code::tag::FINGERPRINT_BYTES;
use locker_core::downlink::GrantPosition;
use locker_core::ids::{BankId, Generation, HubEpoch, StreamId};
use locker_core::journal::{MemoryView, Meta};
use locker_core::uplink::inlet::{Cursor, Past, UNREADABLE_MAX};
use locker_proto::message::{Birth, Nonce};
use tokio::time::Instant;

use super::link::{Caller, Link};
use super::streams::GivingBack;
use crate::credential_keys::CommandSigner;
use crate::store::{LoadedBank, Party, Standing};
use crate::tls::DeviceKey;

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
    /// How its ladder compares with what is stored, once that was looked up.
    pub(super) past: Option<Past>,
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
    /// Those that its sessions have proved: one of them seals.
    pub(super) device_keys: Vec<DeviceKey>,
    pub(super) incomplete: bool,
}

impl From<LoadedBank> for Known {
    fn from(loaded: LoadedBank) -> Self {
        let LoadedBank { cursor, view, standing, last, closed, device_keys, incomplete, .. } =
            loaded;
        Self { cursor, durable: cursor, view, standing, last, closed, device_keys, incomplete }
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
    /// Who signs what it is told, once it has introduced itself.
    pub(super) signer: CommandSigner,
    /// How its ladder compares with what is stored, if its agent can be given records back.
    pub(super) past: Option<Past>,
    /// What it is given back, if its journal lacks something.
    pub(super) giving_back: Option<GivingBack>,
}

impl<S> Live<S> {
    pub(super) const fn new(id: S, caller: Caller, took_over: bool) -> Self {
        Self {
            id,
            caller,
            took_over,
            subscribed: false,
            party: None,
            before: None,
            born: None,
            signer: CommandSigner::NEWEST,
            past: None,
            giving_back: None,
        }
    }
}

/// What was promised and sent in a session.
#[derive(Debug)]
pub(super) struct Born {
    pub(super) nonce: Nonce,
    /// The last record that the bank had.
    pub(super) head: u64,
    /// What it holds or was sent.
    pub(super) grants_sent: GrantPosition,
    /// Its log of grants begins anew once all facts up to its head are committed.
    pub(super) awaits_facts: bool,
    pub(super) documents: Documents,
    /// What it has said of the keys of its six-digit codes, until that was judged.
    pub(super) code_keys: Option<[u8; FINGERPRINT_BYTES]>,
    pub(super) layout_sent_at: Instant,
    /// Whether the bank refused it because a compartment was in use.
    pub(super) layout_refused: bool,
    pub(super) acked_at: Instant,
    pub(super) downlink: Reading,
}

/// What a bank holds or was sent of the hub's documents.
#[derive(Debug)]
pub(super) struct Documents {
    /// Whether the agent orders documents by the hub's epoch and says so.
    tells_epoch: bool,
    pub(super) layout: Told,
    pub(super) mode: Told,
    pub(super) quota: Told,
    pub(super) courier_codes: Told,
}

impl Documents {
    /// By what the bank says; an agent that is too old to say all holds what is folded of it.
    pub(super) fn of(birth: &Birth, folded: &Meta, ours: HubEpoch) -> Self {
        let tells_epoch = birth.mode.is_some();
        let earlier = tells_epoch && birth.config_epoch < ours;
        let told = |generation| Told::of(generation, earlier);
        Self {
            tells_epoch,
            layout: told(birth.layout),
            mode: told(birth.mode.unwrap_or(folded.mode.generation)),
            quota: told(birth.quota.unwrap_or(folded.quota.generation)),
            courier_codes: birth.courier_codes.map_or(Told::NotUnderstood, told),
        }
    }

    /// The layout that is folded of the bank.
    pub(super) fn folded_layout(&self, folded: &Meta, ours: HubEpoch) -> Told {
        Told::of(folded.layout, self.tells_epoch && folded.config_epochs.layout < ours)
    }
}

/// What a bank holds or was sent of one kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The agent is too old to know the kind.
    NotUnderstood,
    /// One of an earlier epoch of the hub: any of ours is newer, whatever its generation.
    Earlier(Generation),
    Ours(Generation),
}

impl Told {
    const fn of(generation: Generation, earlier: bool) -> Self {
        if earlier { Self::Earlier(generation) } else { Self::Ours(generation) }
    }

    /// Whether the bank lacks ours.
    pub(super) fn lacks(self, ours: Generation) -> bool {
        match self {
            Self::NotUnderstood => false,
            // Neither side has ever had one.
            Self::Earlier(held) => held.max(ours) > Generation(0),
            Self::Ours(held) => held < ours,
        }
    }

    /// Whether to send ours, which counts as sent from then on.
    pub(super) fn send(&mut self, ours: Generation) -> bool {
        let lacks = self.lacks(ours);
        if lacks {
            *self = Self::Ours(ours);
        }
        lacks
    }
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
