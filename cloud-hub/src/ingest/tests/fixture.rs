//! Stand-ins for banks and sessions, and a store with a bank and parcels in it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use locker_core::bank::{BoundCode, DepositConfirmed, DepositStarted, DoorsRead, PickupEnd};
use locker_core::bank::{PickupSettled, PickupStarted};
use locker_core::clock::TimeQuality;
use locker_core::code::slot::Slot;
use locker_core::compartment::{CompartmentSpec, DoorReading, Layout, LockPosition};
use locker_core::credential::KeySet;
use locker_core::downlink::{
    ConfigDocument, Grant, GrantAccepted, GrantPosition, GrantRefusal, GrantRefused,
};
use locker_core::fact::Fact;
use locker_core::ids::{
    BankId, BootId, CarrierId, CompartmentNo, CredentialId, Generation, GroupId, HubEpoch,
    ParcelId, SessionId, StreamId, TraceParent,
};
use locker_core::journal::{
    Booted, CHAIN_START, ChainHash, MemoryView, Record, StreamOpened, next_hash,
};
use locker_core::units::{Dimensions, Grams, UnixMillis};
use locker_core::uplink::inlet::Cursor;
use locker_proto::key_set::RootKey;
use locker_proto::message::{Ack, Batch, Birth, Nonce};
use locker_proto::record::encode_record;
use locker_proto::signed;
use locker_proto::topics::DownTopic as SignedTopic;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::banks::{NewBank, create_bank};
use crate::credential_keys::HubKeys;
use crate::credential_keys::tests::{test_keys, test_root};
use crate::ingest::TraceStamp;
use crate::ingest::batch::{Accepted, fold_batch};
use crate::ingest::{
    Caller, Count, Counters, Ingest, IngestLimits, IngestParts, Link, LinkEvent, Orders, Presence,
};
use crate::mqtt::{DownTopic, SendError, UpTopic};
use crate::parcels::{BookingOrder, NewParcel, book_compartment, create_parcel};
use crate::store::{
    Backup, Decision, ParcelRow, RequestKey, Store, StoreLimits, Tx, WriteError, back_up, restore,
};

pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
static BIRTHS: AtomicU64 = AtomicU64::new(1);
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn bank_id() -> BankId {
    "bank-1".parse().unwrap()
}

pub(crate) fn carrier() -> CarrierId {
    "acme".parse().unwrap()
}

pub(crate) fn cube(edge_mm: u32) -> Dimensions {
    Dimensions { length_mm: edge_mm, width_mm: edge_mm, height_mm: edge_mm }
}

/// Compartments 1.. of these sizes.
pub(crate) fn specs(edges_mm: &[u32]) -> Vec<CompartmentSpec> {
    let spec = |(no, &edge): (u16, &u32)| CompartmentSpec {
        no: CompartmentNo(no),
        inside: cube(edge),
        lock: LockPosition { board: 0, lock: u8::try_from(no).unwrap() },
    };
    (1..).zip(edges_mm).map(spec).collect()
}

pub(crate) async fn open_store(directory: &Path) -> Store {
    let limits = StoreLimits { group_wait: Duration::from_millis(1), ..StoreLimits::default() };
    open_store_with(directory, limits).await
}

pub(crate) async fn open_store_with(directory: &Path, limits: StoreLimits) -> Store {
    let url = format!("sqlite://{}?mode=rwc", directory.join("hub.db").display());
    Store::open(&url, limits).await.unwrap()
}

/// A backup of the store in `directory`, as the hub makes it while it runs.
pub(crate) async fn backed_up(directory: &Path) -> Backup {
    let file = directory.join("backup.db");
    let _ = std::fs::remove_file(&file);
    back_up(&directory.join("hub.db"), &file).await.unwrap()
}

/// The store after its loss: what was backed up, as a later hub's.
pub(crate) async fn restored(directory: &Path, lost: Store) -> Store {
    let before = lost.epoch();
    lost.close().await;
    let now = crate::wall_clock::now();
    restore(&directory.join("hub.db"), &directory.join("backup.db"), now).await.unwrap();
    let store = open_store(directory).await;
    assert!(store.epoch() > before);
    store
}

pub(crate) fn request(id: &str) -> RequestKey {
    RequestKey { principal: "urn:postern:carrier:acme".to_owned(), request_id: id.to_owned() }
}

pub(crate) async fn add_bank(store: &Store, edges_mm: &[u32]) {
    add_bank_as(store, bank_id(), edges_mm).await;
}

pub(crate) async fn add_bank_as(store: &Store, id: BankId, edges_mm: &[u32]) {
    let request = request(id.as_str());
    let new = NewBank {
        id,
        display_name: "Bank".to_owned(),
        address: "Street 1".to_owned(),
        time_zone: crate::site_zone::SiteZone::UTC,
        compartments: specs(edges_mm),
    };
    create_bank(store, new, request, NOW).await.unwrap();
}

pub(crate) fn new_parcel(no: u8, edge_mm: u32) -> NewParcel {
    NewParcel {
        uid: ParcelId([no; 16]),
        carrier: carrier(),
        name: format!("p{no}"),
        barcode: format!("BC{no}").parse().unwrap(),
        size: cube(edge_mm),
        weight: Grams(500),
        email: "someone@example.org".parse().unwrap(),
        display_name: "Someone".parse().unwrap(),
        phone: None,
        trace: Some(trace()),
    }
}

pub(crate) fn trace() -> TraceParent {
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap()
}

pub(crate) async fn add_parcel(store: &Store, no: u8, edge_mm: u32) -> ParcelRow {
    let new = new_parcel(no, edge_mm);
    create_parcel(store, new, request(&format!("create {no}")), NOW).await.unwrap()
}

pub(crate) async fn book(store: &Store, no: u8) -> ParcelRow {
    let name = format!("p{no}");
    let request = request(&format!("book {no}"));
    book_compartment(store, &carrier(), &name, order(no), request, NOW).await.unwrap()
}

/// A soft booking at the bank.
pub(crate) fn order(no: u8) -> BookingOrder {
    BookingOrder {
        bank: bank_id(),
        hard: false,
        book_until: None,
        keep_ms: None,
        connected: false,
        fresh: CredentialId([no; 16]),
        fresh_group: GroupId([no; 16]),
    }
}

/// A bank's journal, written by nobody's rules but the test's.
#[derive(Clone)]
pub(crate) struct Journal {
    pub(crate) stream: StreamId,
    pub(crate) records: Vec<Vec<u8>>,
    /// The hash after each record; the first is before all.
    pub(crate) hashes: Vec<ChainHash>,
    /// The bank's time; a millisecond passes with each record.
    pub(crate) clock: UnixMillis,
    pub(crate) quality: TimeQuality,
}

impl Journal {
    pub(crate) fn new(stream: u8) -> Self {
        let stream = StreamId([stream; 16]);
        let quality = TimeQuality::Bounded { within_ms: 100 };
        Self { stream, records: Vec::new(), hashes: vec![CHAIN_START], clock: NOW, quality }
    }

    pub(crate) fn head(&self) -> u64 {
        self.records.len() as u64
    }

    pub(crate) fn append(&mut self, fact: Fact) {
        self.append_bytes(encode_record(&self.record(fact)));
    }

    pub(crate) fn record(&self, fact: Fact) -> Record {
        let seq = self.head() + 1;
        Record {
            stream: self.stream,
            seq,
            boot: BootId([1; 16]),
            at: self.clock.plus_ms(seq),
            quality: self.quality,
            previous: *self.hashes.last().unwrap(),
            trace: Some(trace()),
            detached: None,
            fact,
        }
    }

    pub(crate) fn append_bytes(&mut self, bytes: Vec<u8>) {
        self.hashes.push(next_hash(*self.hashes.last().unwrap(), &bytes));
        self.records.push(bytes);
    }

    /// Records from `first` to `last`.
    pub(crate) fn batch(&self, first: u64, last: u64) -> Batch {
        let (from, to) = (usize::try_from(first).unwrap() - 1, usize::try_from(last).unwrap());
        Batch {
            stream: self.stream,
            first_seq: first,
            previous: self.hashes[from],
            records: self.records[from..to].to_vec(),
        }
    }

    pub(crate) fn birth(&self) -> Birth {
        Birth {
            stream: self.stream,
            parent: None,
            boot: BootId([1; 16]),
            boot_count: 1,
            // Each birth is of a later connection than all before, as an agent's are.
            connection_count: BIRTHS.fetch_add(1, Ordering::Relaxed),
            nonce: Nonce([9; 16]),
            agent_version: "0.1.0".to_owned(),
            oldest_seq: 1,
            head_seq: self.head(),
            head_hash: *self.hashes.last().unwrap(),
            grants: GrantPosition::default(),
            layout: Generation(0),
            key_set: Generation(0),
            kids: Vec::new(),
            at: NOW,
            quality: TimeQuality::Unknown,
            mode: None,
            quota: None,
            courier_codes: None,
            code_keys: None,
            config_epoch: HubEpoch(0),
            device_key: None,
            ladder: Vec::new(),
        }
    }

    /// A start, the layout and the keys taken over, all doors shut.
    pub(crate) fn commissioned(edges_mm: &[u32]) -> Self {
        let mut journal = Self::new(1);
        let (bank, device_key) = (bank_id(), [0; 32]);
        journal.append(Fact::StreamOpened(StreamOpened { bank, device_key, parent: None }));
        let (boot, agent_version) = (BootId([1; 16]), "0.1.0".to_owned());
        journal.append(Fact::Booted(Booted { boot, boot_count: 1, agent_version }));
        let compartments = specs(edges_mm);
        let readings = compartments.iter().map(|spec| (spec.no, DoorReading::Closed)).collect();
        let layout = Layout { generation: Generation(1), compartments };
        journal.append(Fact::ConfigAccepted(ConfigDocument::Layout(layout).into()));
        let keys = test_keys().key_set().clone();
        journal.append(Fact::ConfigAccepted(ConfigDocument::KeySet(keys).into()));
        journal.append(Fact::DoorsRead(DoorsRead { readings }));
        journal
    }

    pub(crate) fn accept(&mut self, epoch: HubEpoch, gseq: u64, grant: Grant) {
        let position = GrantPosition { epoch, gseq };
        self.append(Fact::GrantAccepted(GrantAccepted { position, grant }));
    }

    pub(crate) fn start_deposit(&mut self, parcel: u8, compartment: u16) {
        self.append(Fact::DepositStarted(DepositStarted {
            session: SessionId([3; 16]),
            parcel: ParcelId([parcel; 16]),
            compartment: CompartmentNo(compartment),
            tried: Vec::new(),
        }));
    }

    pub(crate) fn deposit(&mut self, parcel: u8, compartment: u16) {
        self.start_deposit(parcel, compartment);
        self.append(Fact::DepositConfirmed(DepositConfirmed {
            session: SessionId([3; 16]),
            parcel: ParcelId([parcel; 16]),
            compartment: CompartmentNo(compartment),
            presumed: false,
            code: None,
        }));
    }

    /// A deposit that binds a slot.
    pub(crate) fn deposit_with_code(&mut self, parcel: u8, compartment: u16, slot: &Slot) {
        self.start_deposit(parcel, compartment);
        let (slot, sealed) = (slot.id, slot.sealed.clone());
        self.append(Fact::DepositConfirmed(DepositConfirmed {
            session: SessionId([3; 16]),
            parcel: ParcelId([parcel; 16]),
            compartment: CompartmentNo(compartment),
            presumed: false,
            code: Some(BoundCode { slot, sealed }),
        }));
    }

    pub(crate) fn refuse(&mut self, epoch: HubEpoch, gseq: u64, reason: GrantRefusal) {
        let (position, parcel) = (GrantPosition { epoch, gseq }, None);
        self.append(Fact::GrantRefused(GrantRefused { position, parcel, reason }));
    }

    pub(crate) fn pick_up(&mut self, parcel: u8, compartment: u16, end: PickupEnd) {
        let (session, parcel) = (SessionId([4; 16]), ParcelId([parcel; 16]));
        let (compartment, credential) = (CompartmentNo(compartment), CredentialId([2; 16]));
        let started = PickupStarted { session, parcel, compartment, credential };
        self.append(Fact::PickupStarted(started));
        let lock_failed = false;
        let settled = PickupSettled { session, parcel, compartment, end, lock_failed };
        self.append(Fact::PickupSettled(settled));
    }
}

/// Commits a whole new journal without a session.
pub(crate) async fn commit(store: &Store, journal: &Journal) {
    commit_as(store, &bank_id(), journal).await;
}

/// Commits what is behind record `known` of a journal, without a session.
pub(crate) async fn commit_more(store: &Store, journal: &Journal, known: u64) {
    commit_more_at(store, &bank_id(), journal, known, NOW).await;
}

/// As if it were the journal of `bank`.
pub(crate) async fn commit_more_as(store: &Store, bank: &BankId, journal: &Journal, known: u64) {
    commit_more_at(store, bank, journal, known, NOW).await;
}

/// The same at another time of the hub's.
pub(crate) async fn commit_more_at(
    store: &Store,
    bank: &BankId,
    journal: &Journal,
    known: u64,
    now: UnixMillis,
) {
    let mut view = store.load_bank(bank).await.unwrap().unwrap().view;
    let hash_at = |seq: u64| journal.hashes[usize::try_from(seq).unwrap()];
    let before = Cursor { stream: journal.stream, committed: known, hash: hash_at(known) };
    let next = Cursor { committed: journal.head(), hash: hash_at(journal.head()), ..before };
    let batch = journal.batch(known + 1, journal.head());
    let accepted =
        Accepted { bank, batch, skip: 0, before, next, incomplete: false, device_keys: &[], now };
    let mut write = fold_batch(&mut view, accepted).unwrap().write;
    write.follows = (known > 0).then_some(known);
    store.ingest(write).await.unwrap().await.unwrap().unwrap();
}

/// As if it were the journal of `bank`.
pub(crate) async fn commit_as(store: &Store, bank: &BankId, journal: &Journal) {
    let mut view = MemoryView::default();
    let before = Cursor { stream: journal.stream, committed: 0, hash: CHAIN_START };
    let next =
        Cursor { committed: journal.head(), hash: *journal.hashes.last().unwrap(), ..before };
    let batch = journal.batch(1, journal.head());
    let accepted = Accepted {
        bank,
        batch,
        skip: 0,
        before,
        next,
        incomplete: false,
        device_keys: &[],
        now: NOW,
    };
    let mut write = fold_batch(&mut view, accepted).unwrap().write;
    write.follows = None;
    store.ingest(write).await.unwrap().await.unwrap().unwrap();
}

/// A writer that is kept busy, as by a disk that hangs, until it is let go.
pub(crate) struct Hung {
    go: Arc<Notify>,
    hanging: JoinHandle<Result<(), WriteError>>,
}

struct Hang(Arc<Notify>, Arc<Notify>);

impl Decision for Hang {
    type Answer = ();

    async fn decide(&self, _tx: &mut Tx) -> Result<(), WriteError> {
        self.0.notify_one();
        self.1.notified().await;
        Ok(())
    }
}

impl Hung {
    pub(crate) async fn begin(store: &Store) -> Self {
        let (hangs, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (store, hang) = (store.clone(), Hang(Arc::clone(&hangs), Arc::clone(&go)));
        let hanging = tokio::spawn(async move { store.decide(hang).await });
        hangs.notified().await;
        Self { go, hanging }
    }

    pub(crate) async fn let_go(self) {
        self.go.notify_one();
        self.hanging.await.unwrap().unwrap();
    }
}

/// What ingest did to sessions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Did {
    Sent { session: u64, topic: DownTopic, payload: Vec<u8> },
    Acknowledged(u32),
    Ended { session: u64, reason: &'static str },
}

#[derive(Clone, Debug)]
pub(crate) struct FakeLink {
    did: mpsc::Sender<Did>,
    room: Arc<AtomicUsize>,
}

impl FakeLink {
    pub(crate) fn new(did: mpsc::Sender<Did>) -> Self {
        Self { did, room: Arc::new(AtomicUsize::new(64)) }
    }
}

impl Link for FakeLink {
    type Session = u64;
    type Token = u32;

    fn send(&self, session: u64, topic: DownTopic, payload: Vec<u8>) -> Result<(), SendError> {
        self.did.try_send(Did::Sent { session, topic, payload }).map_err(|_| SendError::Gone)
    }

    fn room(&self, _session: u64) -> Option<usize> {
        Some(self.room.load(Ordering::Relaxed))
    }

    fn acknowledge(&self, token: u32) {
        let _ = self.did.try_send(Did::Acknowledged(token));
    }

    fn end(&self, session: u64, reason: &'static str) {
        let _ = self.did.try_send(Did::Ended { session, reason });
    }
}

/// Ingest under test, with one bank's side of the link.
pub(crate) struct World {
    events: mpsc::Sender<LinkEvent<u64, u32>>,
    did: mpsc::Receiver<Did>,
    pub(crate) stamps: mpsc::Receiver<TraceStamp>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) presence: Presence,
    pub(crate) orders: Orders,
    /// What the bank believes: it checks and learns key sets as an agent does.
    pub(crate) held: KeySet,
    /// Generations of the key sets that it was told.
    pub(crate) told_sets: Vec<u64>,
    /// How many messages a session's queue still takes.
    pub(crate) room: Arc<AtomicUsize>,
    session: u64,
    pub(crate) caller: Caller,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl World {
    pub(crate) async fn start(store: &Store) -> Self {
        let keys = test_keys();
        let held = keys.key_set().clone();
        Self::start_with(store, keys, held).await
    }

    /// A hub with `keys` and a bank that believes those of `held`.
    pub(crate) async fn start_with(store: &Store, keys: HubKeys, held: KeySet) -> Self {
        Self::start_limited(store, keys, held, IngestLimits::default()).await
    }

    /// A hub that takes one slice at a time of banks that come late, and each as short as can be.
    pub(crate) async fn start_narrow(store: &Store) -> Self {
        let keys = test_keys();
        let held = keys.key_set().clone();
        let limits = IngestLimits { late_facts: 1, round_records: 1, ..IngestLimits::default() };
        Self::start_limited(store, keys, held, limits).await
    }

    async fn start_limited(
        store: &Store,
        keys: HubKeys,
        held: KeySet,
        limits: IngestLimits,
    ) -> Self {
        let (events, heard) = mpsc::channel(64);
        let (did_to, did) = mpsc::channel(4_096);
        let (stamps_to, stamps) = mpsc::channel(64);
        let link = FakeLink::new(did_to);
        let room = Arc::clone(&link.room);
        let parts = IngestParts {
            store: store.clone(),
            keys: Arc::new(keys),
            sessions: link,
            stamps: stamps_to,
        };
        let tick = Duration::from_millis(5);
        let limits = IngestLimits { ack_every: tick, layout_every: tick, ..limits };
        let ingest = Ingest::start_with(parts, limits).await.unwrap();
        let (counters, presence) = (ingest.counters(), ingest.presence());
        let orders = ingest.orders();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(ingest.run_until(heard, async {
            let _ = stopped.await;
        }));
        let address = "127.0.0.1:1000".parse().unwrap();
        let caller = Caller { address, certificate: [7; 32], key: None };
        Self {
            events,
            did,
            stamps,
            counters,
            presence,
            orders,
            held,
            told_sets: Vec::new(),
            room,
            session: 0,
            caller,
            stop,
            task,
        }
    }

    /// Stops ingest in an orderly way.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }

    /// As if the process had died.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    async fn event(&self, event: LinkEvent<u64, u32>) {
        self.events.send(event).await.unwrap();
    }

    /// The newest session.
    pub(crate) const fn session(&self) -> u64 {
        self.session
    }

    /// A new session, subscribed.
    pub(crate) async fn connect(&mut self) {
        self.session += 1;
        let session = self.session;
        let caller = self.caller;
        self.event(LinkEvent::Connected { session, bank: bank_id(), caller }).await;
        self.event(LinkEvent::Subscribed { session, bank: bank_id() }).await;
    }

    pub(crate) async fn disconnect(&self) {
        let session = self.session;
        self.event(LinkEvent::Ended { session, bank: bank_id(), taken_over: false }).await;
    }

    /// The session gives way to one from `address`, subscribed.
    pub(crate) async fn take_over(&mut self, address: &str) {
        let session = self.session;
        self.event(LinkEvent::Ended { session, bank: bank_id(), taken_over: true }).await;
        self.caller.address = address.parse().unwrap();
        self.connect().await;
    }

    pub(crate) async fn say(&self, topic: UpTopic, payload: Vec<u8>, ack: Option<u32>) {
        let (session, payload) = (self.session, Bytes::from(payload));
        self.event(LinkEvent::Publish { session, bank: bank_id(), topic, payload, ack }).await;
    }

    /// Another bank connects and is born, in a session with this number.
    pub(crate) async fn join(&mut self, bank: &BankId, session: u64, journal: &Journal) {
        let caller = self.caller;
        self.event(LinkEvent::Connected { session, bank: bank.clone(), caller }).await;
        self.event(LinkEvent::Subscribed { session, bank: bank.clone() }).await;
        let birth = Bytes::from(journal.birth().encode());
        self.publish(bank, session, UpTopic::Birth, birth, 2_000).await;
        self.acknowledged(2_000).await;
    }

    pub(crate) async fn facts_of(&self, bank: &BankId, session: u64, batch: Batch, token: u32) {
        self.publish(bank, session, UpTopic::Facts, batch.encode().into(), token).await;
    }

    async fn publish(
        &self,
        bank: &BankId,
        session: u64,
        topic: UpTopic,
        payload: Bytes,
        token: u32,
    ) {
        let (bank, ack) = (bank.clone(), Some(token));
        self.event(LinkEvent::Publish { session, bank, topic, payload, ack }).await;
    }

    /// All that was said before is heard.
    pub(crate) async fn all_heard(&self) {
        let heard = self.counters.get(Count::Telemetry);
        // No field of a sample is needed.
        self.say(UpTopic::Telemetry, Vec::new(), None).await;
        while self.counters.get(Count::Telemetry) == heard {
            tokio::task::yield_now().await;
        }
    }

    /// Connects and is born; gives the first ack.
    pub(crate) async fn birth(&mut self, journal: &Journal) -> Ack {
        self.birth_with(journal.birth()).await
    }

    pub(crate) async fn birth_with(&mut self, birth: Birth) -> Ack {
        self.connect().await;
        self.say(UpTopic::Birth, birth.encode(), Some(1_000)).await;
        self.acknowledged(1_000).await;
        self.ack().await
    }

    pub(crate) async fn facts(&self, batch: Batch, token: u32) {
        self.say(UpTopic::Facts, batch.encode(), Some(token)).await;
    }

    /// The next thing but a key set, which the bank takes.
    pub(crate) async fn next(&mut self) -> Did {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.did.recv()).await;
            let next = next.expect("ingest does nothing").expect("ingest has ended");
            let Did::Sent { topic: DownTopic::Config, payload, .. } = &next else { return next };
            let Some(signed) = signed::key_set_in(payload) else { return next };
            let root = RootKey(test_root().public().verifying_key().to_bytes());
            let keys = signed.open(&[root]).unwrap();
            self.told_sets.push(keys.generation.0);
            if keys.generation > self.held.generation {
                self.held = keys;
            }
        }
    }

    /// So far nothing more was done.
    pub(crate) fn nothing_sent(&mut self) {
        let next = self.did.try_recv();
        assert!(next.is_err(), "{next:?}");
    }

    pub(crate) async fn acknowledged(&mut self, token: u32) {
        while self.next().await != Did::Acknowledged(token) {}
    }

    pub(crate) async fn ended(&mut self) -> &'static str {
        loop {
            if let Did::Ended { session, reason } = self.next().await {
                assert_eq!(session, self.session);
                return reason;
            }
        }
    }

    /// The next message of a topic, its signature checked.
    pub(crate) async fn heard(&mut self, wanted: DownTopic) -> Vec<u8> {
        let signed_topic = match wanted {
            DownTopic::Ack => SignedTopic::Ack,
            DownTopic::Grants => SignedTopic::Grants,
            DownTopic::Config => SignedTopic::Config,
            DownTopic::Command => SignedTopic::Command,
            DownTopic::Restore => SignedTopic::Restore,
        };
        loop {
            if let Did::Sent { topic, payload, .. } = self.next().await
                && topic == wanted
            {
                let keys = &self.held.command;
                return signed::open(&payload, signed_topic, &bank_id(), keys).unwrap();
            }
        }
    }

    pub(crate) async fn ack(&mut self) -> Ack {
        Ack::decode(&self.heard(DownTopic::Ack).await).unwrap()
    }

    pub(crate) async fn ack_of(&mut self, seq: u64) -> Ack {
        loop {
            let ack = self.ack().await;
            if ack.committed_seq == seq {
                return ack;
            }
        }
    }
}
