//! The bank that is measured: the real panel, loop, journal and bus in this process, with one parcel
//! inside that is never taken.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use edge_agent::bank::{Bank, BankError, Event, Floor, PanelPhase, PanelState, Parts, PulseTiming};
use edge_agent::board::{Bus, Profile};
use edge_agent::journal::Limits;
use edge_agent::panel::{self, Access};
use edge_agent::store::{Keeper, Ledger, Stamp};
use locker_core::clock::TimeQuality;
use locker_core::code::digits::Digits;
use locker_core::code::second_factor::PhoneSuffix;
use locker_core::code::slot::{Slot, SlotId};
use locker_core::code::tag::TagKeys;
use locker_core::compartment::{CompartmentSpec, Layout, LockPosition};
use locker_core::credential::{self, Action, Claims, CommandKey, CredentialKey, KeySet, RootKey};
use locker_core::downlink::{Booking, Grant, GrantPosition};
use locker_core::governor::{GovernorLimits, Limit};
use locker_core::ids::{BankId, BootId, CompartmentNo, CredentialId, Generation, HubEpoch};
use locker_core::ids::{ParcelId, SessionId, StreamId, Version};
use locker_core::parcel::Terms;
use locker_core::policy::SessionPolicy;
use locker_core::units::{Dimensions, Grams, UnixMillis};
use locker_proto::message::{Config, Document, Grants};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::board::start_board;
use crate::panel_client::PanelClient;

/// A step that takes longer means that something is broken.
const STEP_LIMIT: Duration = Duration::from_secs(10);
/// The bank's time; everything in this bench happens now.
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

/// Who signs the bank's key set.
const ROOT: RootKey = RootKey([8; 32]);

/// How a recipient opens a door.
#[derive(Clone, Copy, Debug)]
pub(super) enum Code {
    Qr,
    Digits,
}

/// One opening, in microseconds.
pub(super) struct Sample {
    pub(super) total: u64,
    pub(super) check: u64,
    pub(super) sync: u64,
    pub(super) line: u64,
}

impl Sample {
    /// What is neither the check, nor the disk, nor the line: ours to keep small.
    pub(super) const fn rest(&self) -> u64 {
        self.total - self.check - self.sync - self.line
    }
}

/// A bank with one compartment, one parcel, and a screen.
pub(super) struct Rig {
    panel: PanelClient,
    state: watch::Receiver<PanelState>,
    timings: mpsc::Receiver<PulseTiming>,
    events: mpsc::Sender<Event>,
    bank: BankId,
    key: ed25519_dalek::SigningKey,
    tag_keys: TagKeys,
    loop_ends: std::thread::JoinHandle<Result<(), BankError>>,
}

/// Unused slots that the bank holds, as many as a bank of this size has with a dark period.
const SLOTS: u8 = 60;
/// The parcel's digits.
const DIGITS: u32 = 104_729;
/// The last four digits of its recipient's phone number.
const PHONE: &str = "0123";
const CREDENTIAL: CredentialId = CredentialId([7; 16]);
const BADGE: CredentialId = CredentialId([8; 16]);

impl Rig {
    pub(super) async fn start(dir: &Path, profile: Profile) -> anyhow::Result<Self> {
        let bank: BankId = "bench".parse()?;
        let bus = start_board(profile).await?;
        let tag_keys = TagKeys::new([4; 16], [5; 32].into());
        let (timings_to, timings) = mpsc::channel(16);
        let (running, watches) = start_bank(dir, &bank, bus.0, timings_to, tag_keys.clone())?;
        let (events, inbox) = mpsc::channel(64);
        let mut bus_events = bus.1;
        let forward_to = events.clone();
        tokio::spawn(async move {
            while let Some(event) = bus_events.recv().await {
                if forward_to.send(Event::Bus(event)).await.is_err() {
                    return;
                }
            }
        });
        let runtime = tokio::runtime::Handle::current();
        let loop_ends = std::thread::Builder::new()
            .name("bank".to_owned())
            .spawn(move || runtime.block_on(running.run(inbox)))?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let access = Access::new(listener.local_addr()?, [3; 32]);
        let serve = panel::serve(
            listener,
            access.clone(),
            events.clone(),
            watches.state.clone(),
            std::future::pending(),
        );
        tokio::spawn(serve);
        let panel = PanelClient::connect(access).await?;
        let key = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
        Ok(Self { panel, state: watches.state, timings, events, bank, key, tag_keys, loop_ends })
    }

    /// Ends the bank's loop, which must not outlive the runtime.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.events.send(Event::Stop).await?;
        let ended = tokio::task::spawn_blocking(move || self.loop_ends.join()).await?;
        ended.map_err(|_| anyhow::anyhow!("the bank's loop panicked"))??;
        Ok(())
    }

    /// Tells the bank its layout, keys and one parcel, and deposits it.
    pub(super) async fn store_the_parcel(&mut self) -> anyhow::Result<()> {
        let room = Dimensions { length_mm: 400, width_mm: 400, height_mm: 200 };
        let spec = CompartmentSpec {
            no: CompartmentNo(1),
            inside: room,
            lock: LockPosition { board: 0, lock: 0 },
        };
        let (epoch, generation) = (HubEpoch(1), Generation(1));
        let layout = Layout { generation, compartments: vec![spec] };
        let public = self.key.verifying_key().to_bytes();
        let (keys, command) =
            (vec![CredentialKey { kid: 1, public }], vec![CommandKey { kid: 1, public }]);
        let document = Document::Layout(layout);
        self.events.send(Event::Config(Config { epoch, document, nonce: None })).await?;
        let root = Some(ROOT);
        self.events.send(Event::KeySet(KeySet { generation, keys, command, root })).await?;
        let booking = Booking {
            parcel: ParcelId([6; 16]),
            version: Version(1),
            carrier: "acme".parse()?,
            barcode: "BENCH1".parse()?,
            size: room,
            weight: Grams(100),
            credential: CREDENTIAL,
            trace: None,
            terms: Terms { suffix: Some(phone()?.tag(&self.tag_keys)), ..Terms::default() },
        };
        let first = GrantPosition { epoch, gseq: 1 };
        let grants = vec![Grant::Slots(self.slots()?), Grant::Book(booking)];
        let grants = Grants { first, grants, at: NOW };
        self.events.send(Event::Grants(grants)).await?;
        let now = Instant::now();
        self.events.send(Event::Heard { signed: NOW, asked_at: now, heard_at: now }).await?;
        let badge = Action::Courier { carrier: "acme".parse()? };
        let badge = self.token(BADGE, badge)?;
        self.scan(&badge).await?;
        self.scan_until_the_board_answers("BENCH1").await?;
        self.wait_for(PanelPhase::Shut).await?;
        self.panel.post("/v1/session/done", r#"{"outcome":"deposited"}"#).await?;
        self.panel.post("/v1/session/done", r#"{"outcome":"finished"}"#).await?;
        let _ = self.timings.recv().await;
        Ok(())
    }

    /// Slots as a bank has them; the deposit takes the first, whose digits are [`DIGITS`].
    fn slots(&self) -> anyhow::Result<Vec<Slot>> {
        let slot = |number: u8| {
            let digits = Digits::from_number(DIGITS + u32::from(number) * 101);
            let tag = self.tag_keys.tag(digits.context("a code has six digits")?);
            let id = SlotId([number; 16]);
            Ok(Slot { id, tag, sealed: vec![number; 35].try_into()? })
        };
        (0..SLOTS).map(slot).collect()
    }

    /// The recipient opens the door with a code, and says that nothing was taken.
    pub(super) async fn open_by(&mut self, code: Code) -> anyhow::Result<Sample> {
        let sent = match code {
            Code::Qr => {
                let token = self.token(CREDENTIAL, Action::Pickup)?;
                self.scan(&token).await?
            }
            Code::Digits => {
                let typed = format!(r#"{{"digits":"{DIGITS:06}","phone":"{PHONE}"}}"#);
                self.panel.post("/v1/session/keypad", &typed).await?
            }
        };
        let timing = tokio::time::timeout(STEP_LIMIT, self.timings.recv()).await?;
        let timing = timing.context("the bank ended")?;
        self.wait_for(PanelPhase::Shut).await?;
        self.panel.post("/v1/session/done", r#"{"outcome":"not_taken"}"#).await?;
        let total = timing.first_byte_at().saturating_duration_since(sent);
        Ok(Sample {
            total: u64::try_from(total.as_micros())?,
            check: timing.check_us(),
            sync: timing.sync_us(),
            line: timing.line_us(),
        })
    }

    async fn scan(&mut self, text: &str) -> anyhow::Result<Instant> {
        self.panel.post("/v1/session/scan", &format!("{{\"text\":\"{text}\"}}")).await
    }

    /// Right after the start no door has been read, so no compartment may be offered yet.
    async fn scan_until_the_board_answers(&mut self, text: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + STEP_LIMIT;
        let mut tries = tokio::time::interval(Duration::from_millis(50));
        while let Err(error) = self.scan(text).await {
            ensure!(Instant::now() < deadline, error);
            tries.tick().await;
        }
        Ok(())
    }

    fn token(&self, credential: CredentialId, action: Action) -> anyhow::Result<String> {
        let expires = NOW.plus_ms(3_600_000);
        let claims = Claims { credential, bank_tag: self.bank.tag(), expires, action };
        Ok(credential::sign(&self.key, 1, &claims)?)
    }

    async fn wait_for(&mut self, wanted: PanelPhase) -> anyhow::Result<()> {
        let reached = self.state.wait_for(|state| {
            let opening = state.session.as_ref().and_then(|session| session.task.opening());
            opening.is_some_and(|(_, phase)| phase == wanted)
        });
        tokio::time::timeout(STEP_LIMIT, reached).await.context("the door did not move")??;
        Ok(())
    }
}

fn phone() -> anyhow::Result<PhoneSuffix> {
    Ok(PhoneSuffix::typed(PHONE)?)
}

/// A policy that lets one person open a door as often as the bench does.
fn unhurried() -> SessionPolicy {
    let any = Limit { openings: 64, within_ms: 0 };
    let governor =
        GovernorLimits { courier: [any], recipient: [any; 2], staff: [any], remote: [any] };
    SessionPolicy { governor, ..SessionPolicy::default() }
}

fn start_bank(
    dir: &Path,
    bank: &BankId,
    bus: Bus,
    timings: mpsc::Sender<PulseTiming>,
    tag_keys: TagKeys,
) -> anyhow::Result<(Bank, edge_agent::bank::Watches)> {
    let keeper = Keeper {
        bank: bank.clone(),
        device_key: [0; 32],
        boot: BootId([1; 16]),
        fresh_stream: StreamId([2; 16]),
        agent_version: "bench".to_owned(),
    };
    let stamp = Stamp { at: NOW, quality: TimeQuality::Unknown };
    let (ledger, _) = Ledger::open(dir, Limits::default(), &keeper, stamp)?;
    let mut session = 0_u128;
    let started = Bank::start(Parts {
        bank: bank.clone(),
        ledger,
        buses: HashMap::from([(0, bus)]),
        policy: unhurried(),
        roots: vec![ROOT],
        floor: Floor::open(dir)?,
        fresh_session: Box::new(move || {
            session += 1;
            SessionId(session.to_be_bytes())
        }),
        system_time: Box::new(|| NOW),
        deposit_reserve_bytes: 0,
        timings: Some(timings),
        tag_keys: Some(tag_keys),
    })?;
    Ok(started)
}
