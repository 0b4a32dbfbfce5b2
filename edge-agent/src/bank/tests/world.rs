//! A bank in one process: ledger on a temporary folder, one bus, the simulated board behind it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use ed25519_dalek::SigningKey;
use locker_core::clock::TimeQuality;
use locker_core::code::digits::normalise;
use locker_core::code::second_factor::PhoneSuffix;
use locker_core::code::slot::{Slot, SlotId};
use locker_core::code::tag::TagKeys;
use locker_core::compartment::{Compartment, CompartmentSpec, Layout};
use locker_core::credential::{CommandKey, CredentialKey, RootKey};
use locker_core::downlink::Booking;
use locker_core::ids::{CommandId, CredentialId, ParcelId, Version};
use locker_core::journal::{MemoryView, fold};
use locker_core::parcel::{Parcel, Terms};
use locker_core::units::{Dimensions, Grams};
use locker_proto::message::{CommandKind, Nonce};
use locker_proto::record::decode_record;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::*;
use crate::board::{
    Backoff, BoardConfig, BusConfig, BusTiming, Connect, ConnectError, LineConfig, LockConfig,
    Polarity, PollForm, Port, PortConfig,
};
use crate::device_key::Signer;
use crate::journal::{JournalReader, Limits};
use crate::sim::{Sim, SimConfig, serve};
use crate::store::Keeper;
use crate::store::tests::disk::{Cut, TestDisk};
use crate::store::tests::sled_let_go;

/// "It is inside."
pub(super) const DEPOSITED: Ask = Ask::Deposited { compartment: None };
/// When every world begins.
pub(super) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
/// Virtual time within which everything awaited must have happened.
const PATIENCE: Duration = Duration::from_secs(600);
pub(super) const LIMITS: Limits =
    Limits { segment_bytes: 64 << 10, call_bytes: 1 << 20, ballast_bytes: 4 << 10 };

pub(super) struct World {
    pub(super) sim: Sim,
    pub(super) disk: TestDisk,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) state: watch::Receiver<PanelState>,
    pub(super) reader: JournalReader,
    pub(super) frames: Frames,
    dir: Arc<TempDir>,
    began: Instant,
    boots: u8,
    gseq: u64,
    how: How,
    bank: JoinHandle<Result<(), BankError>>,
}

/// How a world is made.
#[derive(Clone, Copy)]
struct How {
    policy: SessionPolicy,
    /// Addresses of the lock boards.
    boards: &'static [u8],
    /// The roots that the bank believes.
    roots: &'static [RootKey],
    /// How long no door opens after a start.
    calm: Duration,
    /// Whether there is a device key to seal with.
    seals: bool,
}

impl Default for How {
    fn default() -> Self {
        let (policy, calm) = (SessionPolicy::default(), Duration::ZERO);
        Self { policy, boards: &[0], roots: &[ROOT], calm, seals: false }
    }
}

/// The root that signs this world's key sets.
pub(super) const ROOT: RootKey = RootKey([8; 32]);

/// What was done at each unlock frame, before its first byte left.
pub(super) type Frames = Arc<Mutex<Vec<Vec<u8>>>>;

impl World {
    /// A bank with three compartments and all doors read shut, whose clock is set.
    pub(super) async fn ready() -> Self {
        Self::ready_with(SessionPolicy::default()).await
    }

    /// As [`Self::ready`], with other limits.
    pub(super) async fn ready_with(policy: SessionPolicy) -> Self {
        let mut world = Self::bare_with(How { policy, ..How::default() }).await;
        world.configure().await;
        world
    }

    /// As [`Self::ready`], and three more compartments on a second board: compartment n is lock
    /// n - 4 there.
    pub(super) async fn ready_on_two_boards() -> Self {
        let how = How { boards: &[0, 1], ..How::default() };
        let mut world = Self::bare_with(how).await;
        world.configure().await;
        let mut both = layout(2);
        both.compartments.extend(layout(1).compartments.into_iter().map(|spec| {
            let lock = LockPosition { board: 1, lock: spec.lock.lock };
            CompartmentSpec { no: CompartmentNo(spec.no.0 + 3), lock, ..spec }
        }));
        world.config(Document::Layout(both)).await;
        world.doors_known().await;
        world
    }

    /// As [`Self::ready`], with a device key.
    pub(super) async fn ready_to_seal() -> Self {
        let mut world = Self::bare_with(How { seals: true, ..How::default() }).await;
        world.configure().await;
        world
    }

    /// A bank that has heard of nothing yet.
    pub(super) async fn bare() -> Self {
        Self::bare_with(How::default()).await
    }

    async fn bare_with(how: How) -> Self {
        let sim = Sim::new(SimConfig { boards: how.boards.to_vec(), ..SimConfig::default() });
        let dir = Arc::new(TempDir::new().unwrap());
        Self::start(sim, dir, TestDisk::default(), Instant::now(), 1, 0, how).await
    }

    async fn start(
        sim: Sim,
        dir: Arc<TempDir>,
        disk: TestDisk,
        began: Instant,
        boots: u8,
        gseq: u64,
        how: How,
    ) -> Self {
        sled_let_go(&dir.path().join("sled"));
        let keeper = Keeper {
            bank: bank(),
            device_key: [1; 32],
            boot: BootId([boots; 16]),
            fresh_stream: StreamId([7; 16]),
            agent_version: "1.0.0".to_owned(),
        };
        let time = move || NOW.plus_ms(u64::try_from(began.elapsed().as_millis()).unwrap());
        let stamp = Stamp { at: time(), quality: TimeQuality::Unknown };
        let (mut ledger, _) =
            Ledger::open_on(Arc::new(disk.clone()), dir.path(), LIMITS, &keeper, stamp).unwrap();
        if how.seals {
            ledger.attest(Box::new(StampKey), None, stamp).unwrap();
        }
        let reader = ledger.reader();
        let (events, inbox) = mpsc::channel(EVENTS_WAITING_MAX);
        let frames = Frames::default();
        let cable = Cable { sim: sim.clone(), disk: disk.clone(), frames: Arc::clone(&frames) };
        let (bus_events, mut heard) = mpsc::channel(64);
        let (bus, _) = Bus::spawn(bus_config(how.boards), cable, bus_events);
        let forward = events.clone();
        tokio::spawn(async move {
            while let Some(event) = heard.recv().await {
                if forward.send(Event::Bus(event)).await.is_err() {
                    return;
                }
            }
        });
        let sessions = AtomicU8::new(boots * 50);
        let (mut bank, watches) = Bank::start(Parts {
            bank: bank(),
            ledger,
            buses: how.boards.iter().map(|board| (*board, bus.clone())).collect(),
            policy: how.policy,
            roots: how.roots.to_vec(),
            floor: Floor::open(dir.path()).unwrap(),
            fresh_session: Box::new(move || {
                SessionId([sessions.fetch_add(1, Ordering::Relaxed); 16])
            }),
            system_time: Box::new(time),
            deposit_reserve_bytes: 1_000,
            tag_keys: Some(tag_keys()),
            timings: None,
        })
        .unwrap();
        bank.calm_down(how.calm).unwrap();
        let runtime = Handle::current();
        let bank = if runtime.runtime_flavor() == RuntimeFlavor::MultiThread {
            // As in the agent: what waits for the disk holds up nobody else.
            tokio::task::spawn_blocking(move || runtime.block_on(bank.run(inbox)))
        } else {
            tokio::spawn(bank.run(inbox))
        };
        let state = watches.state;
        Self { sim, disk, events, state, reader, frames, dir, began, boots, gseq, how, bank }
    }

    async fn configure(&mut self) {
        self.hear().await;
        self.config(Document::Layout(layout(1))).await;
        let public = key().verifying_key().to_bytes();
        let (keys, command) =
            (vec![CredentialKey { kid: 1, public }], vec![CommandKey { kid: 1, public }]);
        let root = Some(ROOT);
        self.key_set(KeySet { generation: Generation(1), keys, command, root }).await;
        self.doors_known().await;
    }

    /// Waits until every door has been read.
    pub(super) async fn doors_known(&self) {
        self.until_journal("the doors are read", |view| {
            let all = view.compartments();
            !all.is_empty() && all.iter().all(|held| held.door != Door::Unknown)
        })
        .await;
    }

    /// The hub says what time it is.
    pub(super) async fn hear(&self) {
        let now = Instant::now();
        let signed = NOW.plus_ms(u64::try_from(self.began.elapsed().as_millis()).unwrap());
        self.events.send(Event::Heard { signed, asked_at: now, heard_at: now }).await.unwrap();
    }

    pub(super) async fn config(&self, document: Document) {
        let config = Config { epoch: HubEpoch(1), document, nonce: None };
        self.events.send(Event::Config(config)).await.unwrap();
        self.settle().await;
    }

    pub(super) async fn key_set(&self, keys: KeySet) {
        self.events.send(Event::KeySet(keys)).await.unwrap();
        self.settle().await;
    }

    /// The next grant in order.
    pub(super) async fn grant(&mut self, grant: Grant) {
        self.gseq += 1;
        self.grants(1, self.gseq, vec![grant]).await;
    }

    pub(super) async fn grants(&self, epoch: u64, gseq: u64, grants: Vec<Grant>) {
        let first = GrantPosition { epoch: HubEpoch(epoch), gseq };
        self.events.send(Event::Grants(Grants { first, grants, at: NOW })).await.unwrap();
        self.settle().await;
    }

    /// Waits until the loop has handled all that was sent so far.
    pub(super) async fn settle(&self) {
        let (reply, answer) = oneshot::channel();
        self.events.send(Event::Introduce { reply }).await.unwrap();
        answer.await.unwrap();
    }

    pub(super) async fn introduction(&self) -> Introduction {
        let (reply, answer) = oneshot::channel();
        self.events.send(Event::Introduce { reply }).await.unwrap();
        answer.await.unwrap()
    }

    pub(super) async fn ask(&self, ask: Ask) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        let asked_at = Instant::now();
        self.events.send(Event::Ask { ask, asked_at, reply }).await.unwrap();
        answer.await.unwrap()
    }

    /// The hub mints slots for these codes.
    pub(super) async fn mint(&mut self, codes: &[&str]) {
        let slot = |(n, digits): (u8, &&str)| Slot {
            id: SlotId([n; 16]),
            tag: tag_keys().tag(normalise(digits).unwrap()),
            sealed: vec![n; 35].try_into().unwrap(),
        };
        self.grant(Grant::Slots((1..).zip(codes).map(slot).collect())).await;
    }

    /// Digits are typed, and the phone's last four if any.
    pub(super) async fn key_in(&self, digits: &str, phone: Option<&str>) -> Result<(), Refusal> {
        let phone = phone.map(|phone| PhoneSuffix::typed(phone).unwrap());
        self.ask(Ask::Keypad { digits: normalise(digits).unwrap(), phone }).await
    }

    /// What must leave, as the screen lists it: barcodes in the order shown.
    pub(super) async fn recalls(&self) -> Result<Vec<String>, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.events.send(Event::Recalls { reply }).await.unwrap();
        let listed = answer.await.unwrap()?;
        Ok(listed.into_iter().map(|recall| recall.barcode).collect())
    }

    /// The hub orders a lockdown that must begin by `not_after`.
    pub(super) async fn order(&self, id: u8, not_after: UnixMillis, current: bool) {
        self.order_of(id, not_after, current, Some(CommandKind::LockDown)).await;
    }

    pub(super) async fn order_of(
        &self,
        id: u8,
        not_after: UnixMillis,
        current: bool,
        kind: Option<CommandKind>,
    ) {
        let (id, nonce) = (CommandId([id; 16]), Nonce([0; 16]));
        let command = Command { id, bank: bank(), nonce, not_after, kind };
        self.events.send(Event::Command { command, current }).await.unwrap();
        self.settle().await;
    }

    /// What became of the hub's orders.
    pub(super) fn answers(&self) -> Vec<CommandAnswer> {
        let answer =
            |fact| if let Fact::CommandAnswered(said) = fact { Some(said.answer) } else { None };
        self.facts().into_iter().filter_map(answer).collect()
    }

    /// The same door once more: it opens and is shut again, and the person says `what`.
    pub(super) async fn through_the_door(&self, what: Ask) -> Result<(), Refusal> {
        let no = self.until_phase(PanelPhase::Open).await;
        self.close(no).await;
        self.ask(what).await
    }

    pub(super) async fn scan(&self, text: &str) -> Result<(), Refusal> {
        self.ask(Ask::Scan(text.to_owned())).await
    }

    /// A courier of acme is at the screen, and parcel `n` is booked.
    pub(super) async fn courier_with(&mut self, n: u8) {
        self.grant(Grant::Book(booking(n))).await;
        self.scan(&badge()).await.unwrap();
    }

    /// Parcel `n` lies in its compartment, and the courier is gone.
    pub(super) async fn stored(&mut self, n: u8) -> u16 {
        self.courier_with(n).await;
        self.scan(&format!("PKG{n}")).await.unwrap();
        let no = self.until_phase(PanelPhase::Open).await;
        self.close(no).await;
        self.ask(DEPOSITED).await.unwrap();
        self.ask(Ask::Finish).await.unwrap();
        no
    }

    /// Pushes the door of compartment `no` shut and waits until the bank knows.
    pub(super) async fn close(&self, no: u16) {
        assert_eq!(self.sim.command(&format!("close {}", no - 1)).unwrap(), "ok");
        self.until_phase(PanelPhase::Shut).await;
    }

    pub(super) async fn until(
        &self,
        what: &str,
        wanted: impl Fn(&PanelState) -> bool,
    ) -> PanelState {
        let mut state = self.state.clone();
        let found = timeout(PATIENCE, state.wait_for(wanted)).await;
        let found = found.unwrap_or_else(|_| panic!("{what}: {:?}", *self.state.borrow()));
        found.unwrap().clone()
    }

    /// Waits until the door of the handover is this far; gives its compartment.
    pub(super) async fn until_phase(&self, wanted: PanelPhase) -> u16 {
        let state = self
            .until(&format!("{wanted:?}"), |state| {
                task(state).is_some_and(|(_, phase)| phase == wanted)
            })
            .await;
        task(&state).unwrap().0
    }

    pub(super) async fn until_journal(&self, what: &str, wanted: impl Fn(&MemoryView) -> bool) {
        let mut state = self.state.clone();
        let found = timeout(PATIENCE, async {
            while !wanted(&self.view()) {
                state.changed().await.unwrap();
            }
        });
        found.await.unwrap_or_else(|_| panic!("{what}: {:?}", self.facts()));
    }

    pub(super) fn dir_path(&self) -> std::path::PathBuf {
        self.dir.path().to_owned()
    }

    /// What the journal says happened.
    pub(super) fn facts(&self) -> Vec<Fact> {
        let all = self.reader.read(1, usize::MAX, usize::MAX).unwrap();
        all.iter().map(|stored| decode_record(&stored.record).unwrap().fact).collect()
    }

    pub(super) fn outcomes(&self) -> Vec<PulseOutcome> {
        let outcome = |fact| {
            if let Fact::PulseSettled(settled) = fact { Some(settled.outcome) } else { None }
        };
        self.facts().into_iter().filter_map(outcome).collect()
    }

    pub(super) fn intents(&self) -> usize {
        self.facts().iter().filter(|fact| matches!(fact, Fact::PulseIntended(_))).count()
    }

    pub(super) fn view(&self) -> MemoryView {
        let mut view = MemoryView::default();
        for stored in self.reader.read(1, usize::MAX, usize::MAX).unwrap() {
            let record = decode_record(&stored.record).unwrap();
            let changes = fold(&view, &record);
            view.apply(changes);
        }
        view
    }

    pub(super) fn compartment(&self, no: u16) -> Compartment {
        self.view().compartment(CompartmentNo(no)).unwrap()
    }

    pub(super) fn parcel(&self, n: u8) -> Parcel {
        self.view().parcel(ParcelId([n; 16])).unwrap()
    }

    /// As [`Self::killed_and_started_again`], with other roots in its configuration.
    pub(super) async fn started_again_believing(mut self, roots: &'static [RootKey]) -> Self {
        self.how.roots = roots;
        self.killed_and_started_again().await
    }

    /// As [`Self::killed_and_started_again`], and no door opens for so long.
    pub(super) async fn killed_and_started_again_calm(mut self, calm: Duration) -> Self {
        self.how.calm = calm;
        self.killed_and_started_again().await
    }

    /// The process is killed: everything is dropped where it stands.
    pub(super) async fn killed_and_started_again(self) -> Self {
        let Self { sim, dir, disk, began, boots, gseq, how, bank, events, .. } = self;
        bank.abort();
        assert!(bank.await.unwrap_err().is_cancelled());
        drop(events);
        Self::start(sim, dir, disk, began, boots + 1, gseq, how).await
    }

    /// Plays `story`, whose `cut.nth` sync is where the power goes, and starts again. Whether the story
    /// came to its end before that.
    pub(super) async fn cut_during(
        mut self,
        cut: Cut,
        story: impl AsyncFnOnce(&Self),
    ) -> (Self, bool) {
        self.disk.cut(cut);
        let mut bank = std::mem::replace(&mut self.bank, tokio::spawn(async { Ok(()) }));
        let whole = tokio::select! {
            biased;
            ended = &mut bank => {
                assert!(ended.unwrap().is_err());
                false
            }
            () = story(&self) => true,
        };
        if whole {
            bank.abort();
            let _ = bank.await;
        }
        self.disk.mend();
        let Self { sim, dir, disk, began, boots, gseq, how, events, .. } = self;
        drop(events);
        (Self::start(sim, dir, disk, began, boots + 1, gseq, how).await, whole)
    }

    /// Asks the loop to stop; what it ended with.
    pub(super) async fn stopped(&mut self) -> Result<(), BankError> {
        self.events.send(Event::Stop).await.unwrap();
        timeout(PATIENCE, &mut self.bank).await.unwrap().unwrap()
    }

    /// The next process, after the loop has ended by itself.
    pub(super) async fn started_again(self) -> Self {
        let Self { sim, dir, disk, began, boots, gseq, how, events, .. } = self;
        drop(events);
        Self::start(sim, dir, disk, began, boots + 1, gseq, how).await
    }

    /// What the loop ended with by itself.
    pub(super) async fn ended(&mut self) -> BankError {
        let ended = timeout(PATIENCE, &mut self.bank).await.unwrap();
        ended.unwrap().unwrap_err()
    }
}

/// A device key whose signatures are all alike.
struct StampKey;

impl Signer for StampKey {
    fn key(&self) -> [u8; 32] {
        [1; 32]
    }

    fn sign(&self, _message: &[u8]) -> Option<[u8; 64]> {
        Some([6; 64])
    }
}

/// Compartment and phase of the handover under way.
pub(super) fn task(state: &PanelState) -> Option<(u16, PanelPhase)> {
    state.session.as_ref()?.task.opening()
}

pub(super) fn bank() -> BankId {
    "lobby-1".parse().unwrap()
}

pub(super) fn tag_keys() -> TagKeys {
    TagKeys::new([4; 16], Zeroizing::new([5; 32]))
}

pub(super) fn key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

/// Cubes of 100, 200 and 300 mm; compartment n is lock n - 1 of board 0.
pub(super) fn layout(generation: u64) -> Layout {
    let spec = |no: u8| {
        let edge_mm = 100 * u32::from(no);
        CompartmentSpec {
            no: CompartmentNo(no.into()),
            inside: Dimensions { length_mm: edge_mm, width_mm: edge_mm, height_mm: edge_mm },
            lock: LockPosition { board: 0, lock: no - 1 },
        }
    };
    Layout { generation: Generation(generation), compartments: (1..=3).map(spec).collect() }
}

/// Parcel `n` of acme, which fits into every compartment.
pub(super) fn booking(n: u8) -> Booking {
    Booking {
        parcel: ParcelId([n; 16]),
        version: Version(1),
        carrier: "acme".parse().unwrap(),
        barcode: format!("PKG{n}").parse().unwrap(),
        size: Dimensions { length_mm: 90, width_mm: 90, height_mm: 90 },
        weight: Grams(500),
        credential: CredentialId([n; 16]),
        trace: None,
        terms: Terms::default(),
    }
}

pub(super) fn claims(n: u8) -> Claims {
    Claims {
        credential: CredentialId([n; 16]),
        bank_tag: bank().tag(),
        expires: NOW.plus_ms(86_400_000),
        action: Action::Pickup,
    }
}

/// The pickup code of parcel `n`.
pub(super) fn code(n: u8) -> String {
    signed(&claims(n))
}

/// The badge of a courier of acme.
pub(super) fn badge() -> String {
    signed(&Claims { action: Action::Courier { carrier: "acme".parse().unwrap() }, ..claims(200) })
}

/// The badge of a member of staff.
pub(super) fn staff(n: u8) -> String {
    signed(&Claims { action: Action::Staff, ..claims(n) })
}

pub(super) fn signed(claims: &Claims) -> String {
    credential::sign(&key(), 1, claims).unwrap()
}

fn bus_config(boards: &[u8]) -> BusConfig {
    let lock = |index: u8| LockConfig {
        index: index.try_into().unwrap(),
        polarity: Polarity::OneIsLocked,
    };
    let board = |addr: &u8| BoardConfig {
        addr: (*addr).try_into().unwrap(),
        locks: (0..3).map(lock).collect(),
        poll: PollForm::default(),
    };
    BusConfig {
        port: PortConfig::Tcp { addr: String::new() },
        boards: boards.iter().map(board).collect(),
        line: LineConfig::default(),
        timing: BusTiming::default(),
        backoff: Backoff::default(),
    }
}

#[derive(Clone)]
struct Cable {
    sim: Sim,
    disk: TestDisk,
    frames: Frames,
}

impl Connect for Cable {
    async fn connect(&mut self) -> Result<Box<dyn Port>, ConnectError> {
        let (near, far) = duplex(1024);
        tokio::spawn(serve(far, self.sim.clone()));
        Ok(Box::new(Tap { line: near, disk: self.disk.clone(), frames: Arc::clone(&self.frames) }))
    }
}

/// Notes each unlock frame in the disk's diary before it goes out.
struct Tap {
    line: DuplexStream,
    disk: TestDisk,
    frames: Frames,
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.get(3) == Some(&0x51) {
            self.disk.note("unlock");
            self.frames.lock().unwrap().push(bytes.to_vec());
        }
        Pin::new(&mut self.line).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_shutdown(cx)
    }
}
