//! The hub: the real inlet, the real judge of clones and the real fold over a store in memory that
//! commits a bank's writes all or none. It stops a bank that it does not believe, which in this world
//! none deserves whose disk was left alone.

mod birth;
mod decide;
mod downlink;

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use locker_core::code::keypad_code::CourierCodes;
use locker_core::compartment::Layout;
use locker_core::downlink::{Grant, GrantPosition, Mode, Quota};
use locker_core::ids::{CredentialId, Generation, HubEpoch, StreamId, Version};
use locker_core::journal::{ChainHash, MemoryView, Place, Record, fold};
use locker_core::units::UnixMillis;
use locker_core::uplink::clone::{Introduction, Takeovers};
use locker_core::uplink::inlet::{self, BatchVerdict, Cursor, Past};
use locker_proto::key_set::SignedKeySet;
use locker_proto::message::{Batch, Birth, Nonce};
use locker_proto::record::decode_record;

use crate::cast::{self, Keys};
use crate::net::{Net, UpMessage};
use crate::watch::{Invariant, Watch};

/// Batches that a session may have without an answer.
const UNACKNOWLEDGED_MAX: usize = 4;

/// A parcel as the hub's customers know it.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    pub version: u32,
    pub carrier: u8,
    pub size: u8,
    pub phone: Option<u8>,
    /// Codes given out, oldest first.
    pub codes: Vec<CredentialId>,
}

/// What is durable of one bank.
#[derive(Clone, Debug)]
pub struct Store {
    pub cursor: Option<Cursor>,
    pub view: MemoryView,
    /// Records that took effect.
    pub effects: u64,
    /// The chain's hash before each record, from the first.
    hashes: Vec<ChainHash>,
    /// The records, as the bank wrote them.
    pub log_of_facts: Vec<Arc<[u8]>>,
    last: Option<Introduction>,
    /// Streams that another one has taken the place of.
    closed: Vec<StreamId>,
    /// Decisions, from number 1.
    pub log: Vec<Grant>,
    /// The epoch that the log's numbers are of.
    pub log_epoch: HubEpoch,
    /// It has ended, and another one waits until everything is known that the bank has done.
    pub log_waits: bool,
    /// Decided since.
    fresh: Vec<Grant>,
    /// Parcels that have left by records which the bank has lost, and what it was last told of each.
    pub gone: Vec<(u16, Version)>,
    /// Times that a store was restored, before this one was: ids are never given out twice.
    restores: u16,
    pub parcels: Vec<Listed>,
    layout: Layout,
    mode: Mode,
    quota: Quota,
    courier_codes: CourierCodes,
    slots: u32,
    courier_slots: u32,
    /// Covered by a backup.
    safe: u64,
    pub stopped: Option<String>,
    /// Nobody knows what is inside: the bank is told nothing before somebody has looked.
    inventory: bool,
    /// It came back without anything, and is emptied by whoever looks.
    empties: bool,
}

/// What is only in memory of one bank.
#[derive(Debug, Default)]
struct Session {
    connection: u32,
    born: Option<Born>,
    took_over: bool,
    /// Where the stream stands once `pending` is durable.
    cursor: Option<Cursor>,
    pending: VecDeque<Pending>,
}

/// A batch that is received and not durable.
#[derive(Debug)]
struct Pending {
    records: Vec<(Record, Arc<[u8]>)>,
    next: Cursor,
}

#[derive(Debug)]
struct Born {
    nonce: Nonce,
    /// What the bank said of itself: its last record, and the last decision that it has answered.
    head: u64,
    held: GrantPosition,
    grants_sent: u64,
    layout: Generation,
    mode: Generation,
    quota: Generation,
    courier_codes: Generation,
}

/// The hub.
pub struct Hub {
    pub up: bool,
    pub epoch: HubEpoch,
    pub clock_offset_ms: i64,
    pub stores: Vec<Store>,
    sessions: Vec<Option<Session>>,
    takeovers: Vec<Takeovers<u8>>,
    signed_keys: SignedKeySet,
    backup: Option<Vec<Store>>,
    restores: u16,
    orders: u32,
    fuse: Option<u8>,
    started_ms: u64,
}

impl Store {
    fn new(epoch: HubEpoch) -> Self {
        Self {
            cursor: None,
            view: MemoryView::default(),
            effects: 0,
            hashes: Vec::new(),
            log_of_facts: Vec::new(),
            last: None,
            closed: Vec::new(),
            log: Vec::new(),
            log_epoch: epoch,
            log_waits: false,
            fresh: Vec::new(),
            gone: Vec::new(),
            restores: 0,
            parcels: Vec::new(),
            layout: cast::layout(1, 0),
            mode: Mode::default(),
            quota: Quota::default(),
            courier_codes: CourierCodes::default(),
            slots: 0,
            courier_slots: 0,
            safe: 0,
            stopped: None,
            inventory: false,
            empties: false,
        }
    }

    /// What the rungs of a birth say about a common past.
    fn past(&self, birth: &Birth) -> Past {
        let Some(cursor) = self.cursor else { return Past::default() };
        let asked = Past::asks(cursor, &birth.ladder).into_iter();
        let known = asked.filter_map(|seq| {
            let hash = *self.hashes.get(usize::try_from(seq).ok()?)?;
            Some(Place { seq, hash })
        });
        let known: Vec<Place> = known.collect();
        Past::compare(cursor, &birth.ladder, &known, 1)
    }
}

impl Hub {
    /// A hub of `banks` banks, each of which is to have a layout.
    #[must_use]
    pub fn new(banks: u8, keys: &Keys, now_ms: u64) -> Self {
        Self {
            up: true,
            epoch: HubEpoch(now_ms),
            clock_offset_ms: 0,
            stores: (0..banks).map(|_| Store::new(HubEpoch(now_ms))).collect(),
            sessions: (0..banks).map(|_| None).collect(),
            takeovers: (0..banks).map(|_| Takeovers::default()).collect(),
            signed_keys: SignedKeySet::sign(&keys.root, &keys.set()),
            backup: None,
            restores: 0,
            orders: 0,
            fuse: None,
            started_ms: now_ms,
        }
    }

    /// The hub dies at its `effects`-th effect from now.
    pub const fn light_fuse(&mut self, effects: u8) {
        self.fuse = Some(effects);
    }

    /// It does not die.
    pub const fn forgive(&mut self) {
        self.fuse = None;
    }

    /// What was in memory is gone.
    pub fn die(&mut self) {
        self.up = false;
        self.fuse = None;
        self.sessions.iter_mut().for_each(|session| *session = None);
        self.takeovers.iter_mut().for_each(|takeovers| *takeovers = Takeovers::default());
    }

    /// Starts again.
    pub const fn start(&mut self, now_ms: u64) {
        if !self.up {
            self.up = true;
            self.started_ms = now_ms;
        }
    }

    /// Takes everything into a backup.
    pub fn back_up(&mut self) {
        for store in &mut self.stores {
            store.safe = store.cursor.map_or(0, |cursor| cursor.committed);
        }
        self.backup = Some(self.stores.clone());
    }

    /// The store is lost; what is left is the backup, which makes a store of a later epoch.
    pub fn restore(&mut self, now_ms: u64) {
        let Some(backup) = self.backup.clone() else { return };
        self.die();
        self.stores = backup;
        self.restores += 1;
        self.epoch = HubEpoch(now_ms.max(self.epoch.0 + 1));
        for store in &mut self.stores {
            store.restores = self.restores;
            store.log_waits = true;
        }
    }

    /// Begins a bank's log anew in a later epoch, once everything is known that the bank has done: what it
    /// had no answer to, and what was decided since.
    fn begin_log(&mut self, bank: usize) {
        let Some(session) = &mut self.sessions[bank] else { return };
        let Some(born) = &mut session.born else { return };
        let store = &mut self.stores[bank];
        let committed = store.cursor.map_or(0, |cursor| cursor.committed);
        if !store.log_waits || store.inventory || committed < born.head {
            return;
        }
        let answered = match born.held.epoch.cmp(&store.log_epoch) {
            Ordering::Less => 0,
            Ordering::Equal => usize::try_from(born.held.gseq).unwrap_or(usize::MAX),
            Ordering::Greater => usize::MAX,
        };
        let ended = GrantPosition { epoch: store.log_epoch, gseq: store.log.len() as u64 };
        let mut log = store.log.split_off(answered.min(store.log.len()));
        if born.held <= ended {
            store.let_go(u8::try_from(bank).unwrap_or_default(), &mut log);
        }
        log.append(&mut store.fresh);
        // Nobody can tell to whom the bank gave what it does not hold: it gets others.
        log.retain(|grant| !matches!(grant, Grant::Slots(_)));
        (store.log, store.log_waits) = (log, false);
        store.log_epoch = self.epoch.max(HubEpoch(store.log_epoch.0 + 1));
        born.grants_sent = 0;
    }

    /// A bank has connected: whatever it had before gives way.
    pub fn connected(&mut self, bank: usize, connection: u32, now_ms: u64) {
        let open = self.sessions[bank].is_some();
        let since_ms = now_ms.saturating_sub(self.started_ms);
        if open {
            self.takeovers[bank].note(0, since_ms);
        }
        self.sessions[bank] = Some(Session { connection, took_over: open, ..Session::default() });
    }

    /// The connection has ended for the hub.
    pub fn hang_up(&mut self, bank: usize) {
        self.sessions[bank] = None;
    }

    /// Somebody has looked after whatever there was an alarm for; whether the bank was emptied for it. The connection ends:
    /// what the bank is to hear now it hears on its next.
    pub fn clear(&mut self, bank: usize) -> bool {
        let store = &mut self.stores[bank];
        if store.stopped.take().is_some() {
            store.last = None;
        }
        store.inventory = false;
        self.sessions[bank] = None;
        mem::take(&mut store.empties)
    }

    /// Whether there is an alarm that somebody must look after.
    #[must_use]
    pub fn awaits_somebody(&self, bank: usize) -> bool {
        self.stores[bank].inventory || self.stores[bank].stopped.is_some()
    }

    /// Whether something of a bank waits to be made durable.
    #[must_use]
    pub fn has_pending(&self, bank: usize) -> bool {
        self.sessions[bank].as_ref().is_some_and(|held| !held.pending.is_empty())
    }

    /// Whether a bank is connected and introduced.
    #[must_use]
    pub fn is_born(&self, bank: usize) -> bool {
        self.sessions[bank].as_ref().is_some_and(|held| held.born.is_some())
    }

    /// A message has come in.
    pub fn hear(
        &mut self,
        bank: usize,
        connection: u32,
        message: &UpMessage,
        net: &mut Net,
        watch: &mut Watch,
        now_ms: u64,
    ) {
        let live = self.sessions[bank].as_ref().is_some_and(|held| held.connection == connection);
        if !live || !self.up {
            return;
        }
        match message {
            UpMessage::Birth(bytes) => self.on_birth(bank, bytes, net, watch, now_ms),
            UpMessage::Facts(bytes) => self.on_facts(bank, bytes, net, watch, now_ms),
        }
        // Received, nothing durable yet.
        self.effect();
    }

    fn on_facts(
        &mut self,
        bank: usize,
        bytes: &[u8],
        net: &mut Net,
        watch: &mut Watch,
        now_ms: u64,
    ) {
        let Some(session) = &mut self.sessions[bank] else { return };
        let (Some(_), Some(cursor)) = (&session.born, session.cursor) else {
            self.hang_up(bank);
            return;
        };
        let batch = match Batch::decode(bytes) {
            Ok(batch) => batch,
            Err(error) => {
                watch.breaks(Invariant::HubTrustsBank, format!("a batch cannot be read: {error}"));
                return;
            }
        };
        match inlet::on_batch(cursor, batch.as_inlet()) {
            Ok(BatchVerdict::Duplicate) => self.send_ack(bank, net, now_ms),
            Ok(BatchVerdict::Gap { .. }) => {
                self.send_ack(bank, net, now_ms);
                self.hang_up(bank);
            }
            Ok(BatchVerdict::Commit { skip, next }) => {
                if session.pending.len() >= UNACKNOWLEDGED_MAX {
                    self.hang_up(bank);
                    return;
                }
                let mut records = Vec::with_capacity(batch.records.len());
                for bytes in batch.records.iter().skip(skip) {
                    match decode_record(bytes) {
                        Ok(record) => records.push((record, Arc::from(&bytes[..]))),
                        Err(error) => {
                            let why = format!("a record cannot be read: {error}");
                            watch.breaks(Invariant::HubTrustsBank, why);
                            return;
                        }
                    }
                }
                session.cursor = Some(next);
                session.pending.push_back(Pending { records, next });
            }
            Ok(BatchVerdict::Fork { seq }) => {
                watch.breaks(Invariant::HubTrustsBank, format!("a fork at {seq}"));
            }
            Err(error) => {
                watch.breaks(Invariant::HubTrustsBank, format!("a batch is refused: {error}"));
            }
        }
    }

    /// Makes durable what a bank has sent, all or none of it, and then says so.
    pub fn commit(&mut self, bank: usize, net: &mut Net, watch: &mut Watch, now_ms: u64) {
        if self.effect() {
            return;
        }
        let Some(session) = &mut self.sessions[bank] else { return };
        if session.pending.is_empty() {
            return;
        }
        let store = &mut self.stores[bank];
        for Pending { records, next } in session.pending.drain(..) {
            for (record, bytes) in records {
                let changes = fold(&store.view, &record);
                store.view.apply(changes);
                store.effects += 1;
                store.hashes.push(record.previous);
                store.log_of_facts.push(bytes);
            }
            store.cursor = Some(next);
        }
        if let Some(Cursor { committed, hash, .. }) = store.cursor {
            let effects = store.effects;
            let is_his = watch.hash_at(committed) == Some(hash);
            let (had, once) = (watch.head(), effects == committed);
            if !is_his || !once {
                let what = format!("{committed} committed, {effects} took effect, {had} durable");
                watch.breaks(Invariant::HubClaimsNoMore, what);
            }
        }
        // Durable; next comes the PUBACK, which only frees a window, and then the ack.
        if self.effect() {
            return;
        }
        self.send_ack(bank, net, now_ms);
        self.begin_log(bank);
        self.send_downlink(bank, net, now_ms);
        self.effect();
    }

    fn born(&self, bank: usize) -> Option<(u32, &Born)> {
        let session = self.sessions[bank].as_ref().filter(|_| self.up)?;
        session.born.as_ref().map(|born| (session.connection, born))
    }

    fn clock(&self, now_ms: u64) -> UnixMillis {
        UnixMillis(now_ms.saturating_add_signed(self.clock_offset_ms))
    }

    /// One effect of the hub; whether it dies there.
    fn effect(&mut self) -> bool {
        if let Some(left) = self.fuse {
            self.fuse = Some(left.saturating_sub(1));
            if left <= 1 {
                self.die();
            }
        }
        !self.up
    }
}
