//! A bank in memory that is played with lines of text, and a watcher beside it that keeps its own
//! books and stops at the first broken promise.

#![expect(clippy::wildcard_enum_match_arm, reason = "the watcher reads some facts on purpose")]
#![expect(clippy::too_many_lines, reason = "one line of text for each fact")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ed25519_dalek::SigningKey;

use super::super::{AbortedContent, Command, Finding, Moment, Observation, PickupEnd};
use super::super::{PowerSource, PulseOutcome, RecallEnd, StaffFinding, Step};
use super::super::{Typed, command, deadline, lapsed, may_type, observe, recover};
use crate::clock::{ClockInterval, TimeQuality};
use crate::code::budget::Now;
use crate::code::keypad_code::{CourierCodes, KeypadCode, Validity};
use crate::code::second_factor::SuffixTag;
use crate::code::slot::{Slot, SlotId};
use crate::code::tag::Tag;
use crate::compartment::{Allocation, CompartmentSpec, Content, DoorReading, Layout, LockPosition};
use crate::credential::{Action, Claims, CommandKey, CredentialKey, CredentialState, KeySet};
use crate::credential::{RootKey, VerifiedToken};
use crate::credential::{sign, verify};
use crate::downlink::{Booking, ConfigDocument, Grant, GrantPosition, Mode, Quota};
use crate::downlink::{apply_courier_codes, apply_grant, apply_key_set, apply_layout};
use crate::downlink::{apply_mode, apply_quota};
use crate::fact::Fact;
use crate::ids::{BankId, Barcode, BootId, CompartmentNo, CredentialId, Generation};
use crate::ids::{GroupId, HubEpoch, ParcelId, SessionId, StreamId, Version};
use crate::journal::fold;
use crate::journal::{
    Booted, CHAIN_START, Change, MemoryView, Overlay, Record, StreamOpened, View,
};
use crate::parcel::{ParcelState, RecallReason, Terms};
use crate::policy::{PULSES_PER_OPENING, SessionPolicy};
use crate::refusal::Refusal;
use crate::session::{Actor, Phase, REOPENED_MAX, Task};
use crate::units::{Dimensions, Grams, UnixMillis};

/// Cubes of 100, 200 and 300 mm on board 0: compartment n is lock n - 1.
const LAYOUT: &str = "1:100x100x100 2:200x200x200 3:300x300x300";

pub(super) struct World {
    pub(super) view: MemoryView,
    records: Vec<Record>,
    now: u64,
    boots: u64,
    sessions: u8,
    grants: GrantPosition,
    last_grant: Option<Grant>,
    policy: SessionPolicy,
    deposits_open: bool,
    tokens: BTreeMap<CredentialId, VerifiedToken>,
    watch: Watch,
}

impl World {
    /// A bank with a layout and keys, its doors read shut, nobody at the screen.
    pub(super) fn new() -> Self {
        let mut world = Self {
            view: MemoryView::default(),
            records: Vec::new(),
            now: 0,
            boots: 0,
            sessions: 0,
            grants: GrantPosition { epoch: HubEpoch(1), gseq: 0 },
            last_grant: None,
            policy: SessionPolicy::default(),
            deposits_open: true,
            tokens: BTreeMap::new(),
            watch: Watch::default(),
        };
        let opened = StreamOpened { bank: bank(), device_key: [1; 32], parent: None };
        world.commit(&[Fact::StreamOpened(opened)], None);
        for line in [
            "0 reboot".to_owned(),
            format!("0 layout {LAYOUT}"),
            "0 keys 1".to_owned(),
            "0 baseline 1:closed 2:closed 3:closed".to_owned(),
        ] {
            world.play(&line);
        }
        world
    }

    /// Plays one line, `TIME VERB WORDS...` with an absolute or `+relative` time, and says what
    /// came of it.
    pub(super) fn play(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (time, rest) = words.split_first().unwrap();
        self.now = match time.strip_prefix('+') {
            Some(later) => self.now + later.parse::<u64>().unwrap(),
            None => time.parse().unwrap(),
        };
        let said = match rest {
            ["torn", kept, torn @ ..] => self.torn(kept.parse().unwrap(), torn),
            ["show", what] => self.show(what),
            ["store", label, booking @ ..] => self.store(label, booking),
            ["disk", state] => {
                self.deposits_open = *state == "roomy";
                "noted".to_owned()
            }
            ["presume", state] => {
                self.policy.presume_deposited = *state == "deposited";
                "noted".to_owned()
            }
            rest => match self.step(rest) {
                Ok(step) => {
                    self.promised(rest, &step);
                    self.commit(&step.facts, step.pulse.map(|pulse| pulse.intent.0));
                    match step.refusal {
                        Some(refusal) => format!("{}, refused: {}", told(&step), refusal.reason()),
                        None => told(&step),
                    }
                }
                Err(refusal) => format!("refused: {}", refusal.reason()),
            },
        };
        format!("{} {said}", self.now)
    }

    /// Folds everything again from nothing, and from an export.
    pub(super) fn rebuilds(&self) {
        let mut again = MemoryView::default();
        for record in &self.records {
            let changes = fold(&again, record);
            again.apply(changes);
        }
        assert_eq!(again, self.view, "the records fold to another state");
        let mut imported = MemoryView::default();
        imported.apply(self.view.export());
        assert_eq!(imported, self.view, "the export makes another state");
    }

    /// The whole way of a parcel into the bank, for scripts that are about what comes after.
    fn store(&mut self, label: &str, booking: &[&str]) -> String {
        let carrier = booking[0];
        self.play(&format!("+0 book {label} {}", booking.join(" ")));
        self.play(&format!("+0 badge {carrier}"));
        self.play(&format!("+0 scan {label}"));
        let session = self.view.session().unwrap();
        let no = session.opening().unwrap().compartment;
        for line in ["settled NO opened", "door NO open", "door NO closed", "deposited", "finish"] {
            self.play(&format!("+0 {}", line.replace("NO", &no.to_string())));
        }
        self.show(label)
    }

    /// The power fails after `kept` facts of a step became durable, before its pulse.
    fn torn(&mut self, kept: usize, line: &[&str]) -> String {
        let Ok(step) = self.step(line) else { return "nothing torn".to_owned() };
        let kept = &step.facts[..kept.min(step.facts.len())];
        self.commit(kept, None);
        let reboot = self.step(&["reboot"]).unwrap();
        self.commit(&reboot.facts, None);
        let torn = Step { facts: kept.to_vec(), ..Step::default() };
        format!("{} | {}", told(&torn), told(&reboot))
    }

    fn step(&mut self, line: &[&str]) -> Result<Step, Refusal> {
        let granted = |fact: Option<Fact>| Ok(Step::of(fact));
        if let Some(step) = self.staff_step(line) {
            return step;
        }
        match line {
            ["badge", carrier] => {
                let token = self.token(Action::Courier { carrier: carrier.parse().unwrap() }, 0);
                self.command(Command::Present(token))
            }
            ["pickup", label] => {
                let token = self.token(Action::Pickup, number(label));
                self.command(Command::Present(token))
            }
            ["scan", label] => self.command(Command::ScanParcel(label.parse().unwrap())),
            ["again"] => self.command(Command::TryAgain),
            ["deposited"] => self.command(Command::ConfirmDeposited { compartment: None }),
            ["deposited", no] => {
                let compartment = Some(CompartmentNo(no.parse().unwrap()));
                self.command(Command::ConfirmDeposited { compartment })
            }
            ["tookback"] => self.command(Command::TookBack),
            ["foreign"] => self.command(Command::FoundOccupied),
            ["wontshut"] => self.command(Command::DoorWillNotShut),
            ["reopen"] => self.command(Command::Reopen),
            ["next"] => self.command(Command::OpenNext),
            ["refuse"] => self.command(Command::RefuseParcel),
            ["foundempty"] => self.command(Command::FoundEmpty),
            ["wrongparcel"] => self.command(Command::WrongParcel),
            ["delegate", code] => {
                let token = self.token(Action::Pickup, code.parse().unwrap());
                self.command(Command::Present(token))
            }
            ["misfit"] => self.command(Command::DoesNotFit),
            ["taken"] => self.command(Command::ConfirmTaken),
            ["nottaken"] => self.command(Command::NotTaken),
            ["cancel"] => self.command(Command::Cancel),
            ["finish"] => self.command(Command::Finish),
            ["settled", no, outcome] => Ok(self.settled(no.parse().unwrap(), outcome)),
            ["door", no, reading] => {
                let (lock, reading) = (lock(no.parse().unwrap()), read(reading));
                Ok(self.observe(Observation::Door { lock, reading }))
            }
            ["baseline", readings @ ..] => {
                let readings = readings.iter().map(|one| {
                    let (no, reading) = one.split_once(':').unwrap();
                    (lock(no.parse().unwrap()).lock, read(reading))
                });
                Ok(self.observe(Observation::Baseline { board: 0, readings: readings.collect() }))
            }
            ["board", state] => {
                Ok(self.observe(Observation::Board { board: 0, online: *state == "online" }))
            }
            ["deadline"] => Ok(self.observe(Observation::DeadlinePassed)),
            ["reboot"] => Ok(self.reboot()),
            ["book", label, carrier, size, rest @ ..] => {
                Ok(self.grant(Grant::Book(booking(label, carrier, size, rest))))
            }
            [
                verb @ ("withdraw" | "keep" | "askback" | "reissue" | "lend" | "revoke"),
                label,
                rest @ ..,
            ] => {
                let numbers: Vec<u64> = rest.iter().filter_map(|word| word.parse().ok()).collect();
                Ok(self.grant(change(verb, parcel(number(label)), &numbers, rest)))
            }
            ["redeliver"] => {
                let grant = self.last_grant.clone().unwrap();
                Ok(Step::of(apply_grant(&self.view, self.grants, &grant)))
            }
            ["mode", mode] => {
                let generation = Generation(self.view.meta().mode.generation.0 + 1);
                let mode = Mode { generation, maintenance: *mode == "maintenance" };
                granted(apply_mode(&self.view, self.grants.epoch, mode))
            }
            ["quota", size, count] => {
                let generation = Generation(self.view.meta().quota.generation.0 + 1);
                let ceded = vec![(dimensions(size), count.parse().unwrap())];
                granted(apply_quota(&self.view, self.grants.epoch, &Quota { generation, ceded }))
            }
            ["layout", specs @ ..] => {
                let generation = Generation(self.view.meta().layout.0 + 1);
                let compartments = specs.iter().map(|text| spec(text)).collect();
                let layout = Layout { generation, compartments };
                granted(apply_layout(&self.view, self.grants.epoch, &layout))
            }
            // `couriers SLOT:CARRIER:FROM-UNTIL ...`
            ["couriers", codes @ ..] => {
                let generation = Generation(self.view.courier_codes().generation.0 + 1);
                let codes = codes.iter().map(|text| courier_code(text)).collect();
                let codes = CourierCodes { generation, codes };
                granted(apply_courier_codes(&self.view, self.grants.epoch, &codes))
            }
            ["couriers_of", epoch, generation] => {
                let (epoch, generation) = (epoch.parse().unwrap(), generation.parse().unwrap());
                let codes = CourierCodes { generation: Generation(generation), codes: Vec::new() };
                granted(apply_courier_codes(&self.view, HubEpoch(epoch), &codes))
            }
            ["layout_of", epoch, generation, specs @ ..] => {
                let generation = Generation(generation.parse().unwrap());
                let compartments = specs.iter().map(|text| spec(text)).collect();
                let epoch = HubEpoch(epoch.parse().unwrap());
                granted(apply_layout(&self.view, epoch, &Layout { generation, compartments }))
            }
            ["mode_of", epoch, generation] => {
                let (epoch, generation) = (epoch.parse().unwrap(), generation.parse().unwrap());
                let mode = Mode { generation: Generation(generation), maintenance: true };
                granted(apply_mode(&self.view, HubEpoch(epoch), mode))
            }
            ["quota_of", epoch, generation] => {
                let (epoch, generation) = (epoch.parse().unwrap(), generation.parse().unwrap());
                let quota = Quota { generation: Generation(generation), ceded: Vec::new() };
                granted(apply_quota(&self.view, HubEpoch(epoch), &quota))
            }
            ["keys", generation] => {
                let public = key().verifying_key().to_bytes();
                let generation = Generation(generation.parse().unwrap());
                let keys = vec![CredentialKey { kid: 1, public }];
                let command = vec![CommandKey { kid: 1, public }];
                let root = RootKey([8; 32]);
                let keys = KeySet { generation, keys, command, root: Some(root) };
                granted(apply_key_set(&self.view, &keys, &[root]))
            }
            _ => panic!("cannot play {line:?}"),
        }
    }

    /// What staff and couriers who take out do, and what boards and clocks bring about.
    fn staff_step(&mut self, line: &[&str]) -> Option<Result<Step, Refusal>> {
        let acme = || "acme".parse().unwrap();
        let label = |word: &str| -> Barcode { word.parse().unwrap() };
        let step = match line {
            ["staff", person] => {
                let token = self.token(Action::Staff, 100 + person.parse::<u8>().unwrap());
                self.command(Command::Present(token))
            }
            ["takeout", barcode] => {
                let session = self.view.session();
                let staff =
                    session.is_some_and(|session| matches!(session.actor, Actor::Staff { .. }));
                let carrier = staff.then(acme);
                self.command(Command::Recall { carrier, barcode: label(barcode) })
            }
            ["removed", barcode] => self.command(Command::Removed(label(barcode))),
            ["inspect", no] => self.command(Command::Inspect(CompartmentNo(no.parse().unwrap()))),
            ["found", "empty"] => self.command(Command::Found(StaffFinding::Empty)),
            ["found", what, barcode] => {
                let (carrier, barcode) = (acme(), label(barcode));
                self.command(Command::Found(match *what {
                    "inside" => StaffFinding::Holds { carrier, barcode },
                    "takenout" => StaffFinding::TakenOut { carrier, barcode },
                    _ => StaffFinding::HandedOver { carrier, barcode },
                }))
            }
            ["mains", state] => {
                let source =
                    if *state == "gone" { PowerSource::Battery } else { PowerSource::Mains };
                Ok(self.observe(Observation::Power(source)))
            }
            ["lockdown"] => self.command(Command::LockDown),
            ["lift"] => self.command(Command::LiftLockdown),
            ["reset", board] => self.command(Command::ResetBoard(board.parse().unwrap())),
            ["doubt", no] => {
                let lock = lock(no.parse().unwrap());
                Ok(self.observe(Observation::SensorDoubt { lock }))
            }
            ["slots", range] => {
                let (first, last) = range.split_once('-').unwrap();
                let (first, last) = (first.parse().unwrap(), last.parse().unwrap());
                let slots = (first..=last).map(code_slot).collect();
                Ok(self.grant(Grant::Slots(slots)))
            }
            ["type", n, rest @ ..] => {
                let tag = Tag::from_bytes([n.parse().unwrap(); 16]);
                let suffix = rest.first().map(|suffix| SuffixTag([suffix.parse().unwrap(); 8]));
                let (clock, boot) = (clock(self.now), self.boot());
                let now = Now { clock, boot, uptime_ms: self.now };
                match may_type(&self.view, suffix, &now) {
                    Ok(()) => self.command(Command::Type(Typed { tag, suffix, now })),
                    Err(refusal) => Err(refusal),
                }
            }
            ["keypad", "reset"] => self.command(Command::ResetKeypad),
            ["power"] => Ok(self.observe(Observation::BoardPower { board: 0 })),
            ["lapse"] => Ok(lapsed(&self.view, clock(self.now))),
            _ => return None,
        };
        Some(step)
    }

    fn moment(&self) -> Moment<'_> {
        Moment {
            now: UnixMillis(self.now),
            clock: clock(self.now),
            fresh_session: SessionId([self.sessions; 16]),
            policy: &self.policy,
            deposits_open: self.deposits_open,
        }
    }

    fn command(&mut self, what: Command) -> Result<Step, Refusal> {
        self.sessions = self.sessions.wrapping_add(1);
        command(&self.view, what, self.moment())
    }

    fn observe(&self, what: Observation) -> Step {
        observe(&self.view, what, self.moment())
    }

    fn settled(&self, no: u16, outcome: &str) -> Step {
        let outcome = match outcome {
            "opened" => PulseOutcome::Opened { after_ms: 80 },
            "shut" => PulseOutcome::NotOpened,
            "already" => PulseOutcome::AlreadyOpen,
            "unknown" => PulseOutcome::Unknown,
            "notsent" => PulseOutcome::NotSent,
            _ => panic!("no outcome {outcome}"),
        };
        let held = self.view.compartment(CompartmentNo(no));
        let intent = held.and_then(|held| held.pulse).unwrap_or_default();
        self.observe(Observation::PulseSettled { intent, lock: lock(no), outcome })
    }

    fn reboot(&mut self) -> Step {
        self.boots += 1;
        let agent_version = "1.0.0".to_owned();
        let boot = self.boot();
        let booted = Fact::Booted(Booted { boot, boot_count: self.boots, agent_version });
        let mut step = recover(&self.view);
        step.facts.insert(0, booted);
        step
    }

    fn grant(&mut self, grant: Grant) -> Step {
        self.grants.gseq += 1;
        self.last_grant = Some(grant.clone());
        Step::of(apply_grant(&self.view, self.grants, &grant))
    }

    fn token(&mut self, action: Action, n: u8) -> VerifiedToken {
        let claims = Claims {
            credential: credential(n),
            bank_tag: bank().tag(),
            expires: UnixMillis(1_000_000_000_000),
            action: action.clone(),
        };
        let fresh = || {
            let text = sign(&key(), 1, &claims).unwrap();
            let public = key().verifying_key().to_bytes();
            verify(&text, &bank(), &[CredentialKey { kid: 1, public }], clock(0)).unwrap()
        };
        match action {
            Action::Courier { .. } | Action::Staff => fresh(),
            Action::Pickup => self.tokens.entry(credential(n)).or_insert_with(fresh).clone(),
        }
    }

    const fn boot(&self) -> BootId {
        BootId([self.boots.to_be_bytes()[7]; 16])
    }

    /// Folds `facts` one on top of the other as an agent does, and holds every view against it.
    fn commit(&mut self, facts: &[Fact], pulse: Option<u64>) {
        self.watch.pulse(facts, pulse);
        let mut before = self.view.clone();
        let records: Vec<Record> =
            (1..).zip(facts).map(|(n, fact)| self.record(n, fact.clone())).collect();
        let mut overlay = Overlay::new(&self.view);
        for record in &records {
            self.watch.fact(&record.fact, &before);
            let changes = fold(&overlay, record);
            each_entity_once(&changes, &record.fact);
            overlay.push(changes.clone());
            before.apply(changes);
            same(&overlay, &before);
        }
        let changes = overlay.into_changes();
        self.records.extend(records);
        self.view.apply(changes);
        assert_eq!(self.view, before, "an overlay's changes make another state");
        self.watch.state(&self.view);
    }

    fn record(&self, after: u64, fact: Fact) -> Record {
        Record {
            stream: StreamId([7; 16]),
            seq: self.records.len() as u64 + after,
            boot: self.boot(),
            at: UnixMillis(self.now),
            quality: TimeQuality::Bounded { within_ms: 0 },
            previous: CHAIN_START,
            trace: None,
            detached: None,
            fact,
        }
    }

    /// What must hold between a request and the pulse that it brings about.
    fn promised(&self, line: &[&str], step: &Step) {
        let Some(pulse) = step.pulse else { return };
        let held = self.view.compartment(pulse.compartment).unwrap();
        assert_eq!(held.spec.lock, pulse.lock, "the pulse goes to another lock");
        let picks = step.facts.iter().any(|fact| matches!(fact, Fact::PickupStarted(_)));
        let session = self.view.session();
        let credential = match (line, session.as_ref().map(|session| &session.actor)) {
            (["pickup", label], _) if picks => credential(number(label)),
            (["type", ..], _) if picks => match step.facts.iter().find_map(|fact| match fact {
                Fact::PickupStarted(started) => Some(started.credential),
                _ => None,
            }) {
                Some(credential) => credential,
                None => return,
            },
            (["delegate", code], _) if picks => credential(code.parse().unwrap()),
            (["again"], Some(&Actor::Recipient { credential })) => credential,
            _ => return,
        };
        // One code opens all of a person's parcels, one after the other.
        if session.as_ref().is_some_and(|session| matches!(session.task, Task::Inspection(_))) {
            // A look for something forgotten: the code is used up.
            return;
        }
        let busy_with = session.as_ref().and_then(crate::session::Session::parcel);
        let own = self.view.credential(credential).map(|held| held.parcel);
        if busy_with.is_some() && busy_with != own {
            return;
        }
        let state = self.view.credential(credential).map(|held| held.state);
        assert_eq!(state, Some(CredentialState::Active), "only an active code opens a door");
    }

    fn show(&self, what: &str) -> String {
        if let Ok(no) = what.parse() {
            let Some(held) = self.view.compartment(CompartmentNo(no)) else {
                return format!("box {no} is gone");
            };
            let allocation = match held.allocation {
                Allocation::Free => "Free".to_owned(),
                Allocation::Depositing { parcel, .. } => format!("Depositing {}", label(parcel)),
                Allocation::Occupied { parcel } => format!("Occupied {}", label(parcel)),
                Allocation::Collecting { parcel, .. } => format!("Collecting {}", label(parcel)),
                Allocation::Recalling { parcel, .. } => format!("Recalling {}", label(parcel)),
                Allocation::Reserved { parcel } => format!("Reserved {}", label(parcel)),
                Allocation::Quarantined { reason, parcel } => {
                    let parcel = parcel.map_or("nothing known".to_owned(), label);
                    format!("Quarantined {reason:?} {parcel}")
                }
            };
            return format!("{allocation}, {:?}, {:?}, {:?}", held.door, held.content, held.health);
        }
        if what == "session" {
            let due = deadline(&self.view, &self.policy);
            return format!("due {:?}", due.map(|due| due.0));
        }
        let Some(known) = self.view.parcel(parcel(number(what))) else {
            return format!("{what} is not known");
        };
        let state = match known.state {
            ParcelState::Booked => "Booked".to_owned(),
            ParcelState::Depositing { compartment, .. } => format!("Depositing in {compartment}"),
            ParcelState::Stored { compartment, since } => {
                format!("Stored in {compartment} since {}", since.0)
            }
            ParcelState::Collecting { compartment, .. } => format!("Collecting from {compartment}"),
            ParcelState::Collected { at } => format!("Collected at {}", at.0),
            ParcelState::Cancelled { at } => format!("Cancelled at {}", at.0),
            ParcelState::Unresolved { compartment } => format!("Unresolved in {compartment}"),
            ParcelState::Recalling { compartment, .. } => format!("Recalling from {compartment}"),
            ParcelState::BookingExpired { at } => format!("BookingExpired at {}", at.0),
            ParcelState::Recalled { at } => format!("Recalled at {}", at.0),
            ParcelState::Missing { at } => format!("Missing at {}", at.0),
        };
        let state = match known.recall {
            Some(reason) => format!("{state}, asked back: {reason:?}"),
            None => state,
        };
        let code = self.view.credential(known.credential).map(|held| held.state);
        format!("{state}, version {}, code {code:?}", known.version.0)
    }
}

/// Books kept beside the bank, from its facts alone.
#[derive(Default)]
struct Watch {
    last_intent: u64,
    /// Pulses given in the present opening of a compartment, those not sent taken off.
    pulses: BTreeMap<CompartmentNo, u8>,
    /// Compartments whose door may have been open since anybody last vouched for their content,
    /// and whether it is known that it was.
    opened: BTreeMap<CompartmentNo, bool>,
}

impl Watch {
    /// Every pulse has one intent before it in its step, and no intent is used twice.
    fn pulse(&mut self, facts: &[Fact], pulse: Option<u64>) {
        let intents: Vec<u64> = facts
            .iter()
            .filter_map(|fact| match fact {
                Fact::PulseIntended(intended) => Some(intended.intent.0),
                _ => None,
            })
            .collect();
        if let Some(pulse) = pulse {
            assert_eq!(intents, [pulse], "a pulse has one intent of its own");
        }
        for intent in intents {
            assert!(intent > self.last_intent, "intent {intent} after {}", self.last_intent);
            self.last_intent = intent;
        }
    }

    fn fact(&mut self, fact: &Fact, before: &impl View) {
        match fact {
            Fact::DepositStarted(started) => {
                self.pulses.insert(started.compartment, 0);
            }
            Fact::PickupStarted(started) => {
                self.pulses.insert(started.compartment, 0);
            }
            Fact::PulseIntended(intended) => {
                // Opened again after it was shut: a new opening.
                let again = self.opened.get(&intended.compartment) == Some(&true);
                let shut = before
                    .session()
                    .and_then(|session| session.opening().map(|opening| opening.phase))
                    == Some(Phase::Shut);
                let pulses = self.pulses.entry(intended.compartment).or_default();
                *pulses = if again && shut { 1 } else { *pulses + 1 };
                assert!(*pulses <= PULSES_PER_OPENING, "pulse {pulses} of one opening");
                self.opened.entry(intended.compartment).or_insert(false);
            }
            Fact::PulseSettled(settled) => self.outcome(settled.compartment, settled.outcome),
            Fact::DoorMoved(moved) if moved.reading == DoorReading::Open => {
                self.opened.insert(moved.compartment, true);
            }
            Fact::DoorsRead(read) => {
                let open = read.readings.iter().filter(|(_, door)| *door == DoorReading::Open);
                self.opened.extend(open.map(|(no, _)| (*no, true)));
            }
            Fact::BoardChanged(changed) if !changed.online => {
                // A stuck door that was pushed while nobody looked may have sprung open.
                let session = before.session();
                let handover = session.as_ref().and_then(|session| session.opening());
                if let Some(handover) = handover.filter(|opening| opening.phase == Phase::Stuck) {
                    self.opened.insert(handover.compartment, true);
                }
            }
            Fact::DepositMisfit(misfit) => {
                self.opened.remove(&misfit.compartment);
            }
            Fact::DepositConfirmed(confirmed) => {
                self.opened.remove(&confirmed.compartment);
            }
            Fact::DepositAborted(aborted) if aborted.content == AbortedContent::TakenBack => {
                self.opened.remove(&aborted.compartment);
            }
            Fact::RecallStarted(started) => {
                self.pulses.insert(started.compartment, 0);
            }
            Fact::InspectionStarted(started) => {
                self.pulses.insert(started.compartment, 0);
            }
            Fact::RecallSettled(settled) => match settled.end {
                RecallEnd::Removed | RecallEnd::NotTaken => {
                    self.opened.remove(&settled.compartment);
                }
                RecallEnd::FoundEmpty | RecallEnd::NotOpened | RecallEnd::Interrupted => {}
            },
            Fact::InspectionSettled(settled) => match settled.finding {
                Finding::Empty
                | Finding::Holds(_)
                | Finding::TakenOut(_)
                | Finding::HandedOver(_) => {
                    self.opened.remove(&settled.compartment);
                }
                Finding::NotOpened | Finding::Unfinished => {}
            },
            Fact::PickupSettled(settled) => match settled.end {
                PickupEnd::Collected { .. } | PickupEnd::NotTaken | PickupEnd::Refused => {
                    self.opened.remove(&settled.compartment);
                }
                PickupEnd::CollectedDoorOpen
                | PickupEnd::NotOpened
                | PickupEnd::Interrupted
                | PickupEnd::Unconfirmed
                | PickupEnd::FoundEmpty
                | PickupEnd::WrongParcel => {}
            },
            _ => {}
        }
    }

    fn outcome(&mut self, no: CompartmentNo, outcome: PulseOutcome) {
        match outcome {
            PulseOutcome::NotOpened | PulseOutcome::NotSent => {
                if self.opened.get(&no) == Some(&false) {
                    self.opened.remove(&no);
                }
                if outcome == PulseOutcome::NotSent {
                    let pulses = self.pulses.entry(no).or_default();
                    *pulses = pulses.saturating_sub(1);
                }
            }
            PulseOutcome::Opened { .. }
            | PulseOutcome::AlreadyOpen
            | PulseOutcome::Unknown
            | PulseOutcome::Recovered => {
                if let Some(seen) = self.opened.get_mut(&no) {
                    *seen = true;
                }
            }
        }
    }

    fn state(&self, view: &impl View) {
        for held in view.compartments() {
            let no = held.spec.no;
            if held.allocation == Allocation::Free {
                assert!(matches!(held.content, Content::Empty(_)), "{no} is free, not empty");
                assert!(!self.opened.contains_key(&no), "{no} is free after an opening");
            }
            if let Allocation::Reserved { parcel } = held.allocation {
                let state = view.parcel(parcel).map(|known| known.state);
                assert_eq!(state, Some(ParcelState::Booked), "{no} is kept for what will not come");
            } else if let Some(owner) = held.parcel() {
                let state = view.parcel(owner).map(|known| known.state);
                let named = state.and_then(compartment_of);
                assert_eq!(named, Some(no), "{no} is owned by a parcel that names another");
            }
        }
        let mut live = BTreeSet::new();
        for known in view.parcels() {
            let Some(no) = compartment_of(known.state) else { continue };
            assert!(live.insert(no), "two parcels in {no}");
            let held = view.compartment(no).unwrap();
            assert_eq!(held.parcel(), Some(known.id), "{} does not own {no}", label(known.id));
            let agrees = match (known.state, held.allocation) {
                (
                    ParcelState::Depositing { session: a, .. },
                    Allocation::Depositing { session: b, .. },
                )
                | (
                    ParcelState::Collecting { session: a, .. },
                    Allocation::Collecting { session: b, .. },
                )
                | (
                    ParcelState::Recalling { session: a, .. },
                    Allocation::Recalling { session: b, .. },
                ) => a == b,
                (ParcelState::Stored { .. }, Allocation::Occupied { .. })
                | (ParcelState::Stored { .. }, Allocation::Quarantined { .. })
                | (ParcelState::Unresolved { .. }, Allocation::Quarantined { .. }) => true,
                _ => false,
            };
            assert!(agrees, "{:?} in {:?}", known.state, held.allocation);
        }
        for known in view.parcels() {
            let code = view.credential(known.credential).unwrap();
            assert_eq!(code.parcel, known.id);
            let fits = match known.state {
                // The hub may withdraw a code at any time.
                _ if code.state == CredentialState::Revoked => true,
                ParcelState::Booked
                | ParcelState::BookingExpired { .. }
                | ParcelState::Depositing { .. } => code.state == CredentialState::Issued,
                ParcelState::Unresolved { .. } => {
                    matches!(code.state, CredentialState::Issued | CredentialState::Active)
                }
                ParcelState::Stored { .. } | ParcelState::Recalling { .. } => {
                    code.state == CredentialState::Active || known.recall.is_some()
                }
                ParcelState::Collecting { .. } => {
                    matches!(code.state, CredentialState::Active | CredentialState::UsedPending)
                }
                ParcelState::Collected { .. } => code.state == CredentialState::Consumed,
                ParcelState::Missing { .. } => code.state == CredentialState::Active,
                // Collected once, and found inside all the same.
                ParcelState::Recalled { .. } => code.state == CredentialState::Consumed,
                ParcelState::Cancelled { .. } => false,
            };
            assert!(fits, "the code of a parcel {:?} is {:?}", known.state, code.state);
            if known.state.settled_at().is_none() {
                let found = view.parcel_by_barcode(&known.carrier, &known.barcode);
                assert_eq!(found, Some(known.id), "a live parcel is not found by its barcode");
            }
        }
        if let Some(session) = view.session() {
            self.session(&session.task, view);
        }
    }

    fn session(&self, task: &Task, view: &impl View) {
        let (Task::Deposit(handover) | Task::Pickup(handover) | Task::Recall(handover)) = task
        else {
            return;
        };
        let opening = &handover.opening;
        assert!(opening.pulses <= PULSES_PER_OPENING && opening.reopened <= REOPENED_MAX);
        let held = view.compartment(opening.compartment).unwrap();
        assert_eq!(held.parcel(), Some(handover.parcel));
        assert!(handover.tried.iter().all(|no| *no != opening.compartment));
    }
}

const fn compartment_of(state: ParcelState) -> Option<CompartmentNo> {
    state.compartment()
}

fn each_entity_once(changes: &[Change], fact: &Fact) {
    let names: Vec<String> = changes
        .iter()
        .map(|change| match change {
            Change::Meta(_) => "meta".to_owned(),
            Change::Session(_) => "session".to_owned(),
            Change::Compartment(held) => format!("compartment {}", held.spec.no),
            Change::CompartmentRemoved(no) => format!("compartment {no}"),
            Change::Parcel(parcel) | Change::ParcelForgotten(parcel) => format!("{}", parcel.id),
            Change::Credential(credential) => format!("credential {}", credential.id),
            Change::Governor(_) => "governor".to_owned(),
            Change::Slot(held) => format!("slot {}", held.slot.id),
            Change::SlotForgotten(id) => format!("slot {id}"),
            Change::Budget(_) => "budget".to_owned(),
            Change::CourierCodes(_) => "couriers' codes".to_owned(),
        })
        .collect();
    let distinct: BTreeSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "{fact:?} changes one thing twice: {names:?}");
}

/// Both views answer every question alike.
fn same(one: &impl View, other: &impl View) {
    assert_eq!(one.meta(), other.meta());
    assert_eq!(one.compartments(), other.compartments());
    assert_eq!(one.parcels(), other.parcels());
    assert_eq!(one.session(), other.session());
    assert_eq!(one.governor(), other.governor());
    assert_eq!((one.slots(), one.budget()), (other.slots(), other.budget()));
    assert_eq!(one.courier_codes(), other.courier_codes());
    for (before, max) in [(UnixMillis(u64::MAX), usize::MAX), (UnixMillis(9_000), 1)] {
        let settled = other.settled_before(before, max, Some(parcel(1)));
        assert_eq!(one.settled_before(before, max, Some(parcel(1))), settled);
    }
    for no in (0..9).map(CompartmentNo) {
        assert_eq!(one.compartment(no), other.compartment(no));
    }
    for n in 0..40 {
        assert_eq!(one.parcel(parcel(n)), other.parcel(parcel(n)));
        assert_eq!(one.credential(credential(n)), other.credential(credential(n)));
        let barcode: Barcode = format!("PKG{n}").parse().unwrap();
        for carrier in ["acme", "zeta"] {
            let carrier = carrier.parse().unwrap();
            let found = one.parcel_by_barcode(&carrier, &barcode);
            assert_eq!(found, other.parcel_by_barcode(&carrier, &barcode));
        }
        assert_eq!(one.credentials_of(parcel(n)), other.credentials_of(parcel(n)));
    }
}

fn told(step: &Step) -> String {
    let mut said = step.facts.iter().map(fact).collect::<Vec<_>>().join("; ");
    if said.is_empty() {
        said.push_str("nothing");
    }
    if let Some(pulse) = step.pulse {
        write!(said, " -> pulse {}", pulse.compartment).unwrap();
    }
    said
}

fn fact(fact: &Fact) -> String {
    match fact {
        Fact::StreamOpened(_) => "stream opened".to_owned(),
        Fact::Booted(booted) => format!("booted {}", booted.boot_count),
        Fact::GrantAccepted(accepted) => match &accepted.grant {
            Grant::Book(booking) => format!("booked {}", label(booking.parcel)),
            Grant::Cancel { parcel, .. } => format!("withdrawn {}", label(*parcel)),
            Grant::Keep { parcel, until, .. } => {
                format!("{} may stay until {}", label(*parcel), until.0)
            }
            Grant::Recall { parcel, reason, .. } => {
                format!("{} asked back: {reason:?}", label(*parcel))
            }
            Grant::Reissue { parcel, .. } => format!("new code for {}", label(*parcel)),
            Grant::Delegate { parcel, .. } => format!("second code for {}", label(*parcel)),
            Grant::Revoke { parcel, .. } => format!("code of {} withdrawn", label(*parcel)),
            Grant::Slots(slots) => format!("{} slots", slots.len()),
        },
        Fact::GrantRefused(no) => {
            let about = no.parcel.map_or("slots".to_owned(), label);
            format!("grant refused {about} {:?}", no.reason)
        }
        Fact::ConfigAccepted(accepted) => match &accepted.document {
            ConfigDocument::Layout(layout) => format!("layout {} accepted", layout.generation.0),
            ConfigDocument::KeySet(keys) => format!("keys {} accepted", keys.generation.0),
            ConfigDocument::Mode(mode) => format!("maintenance {}", mode.maintenance),
            ConfigDocument::Quota(quota) => format!("quota {} accepted", quota.generation.0),
            ConfigDocument::CourierCodes(codes) => {
                format!("couriers' codes {} accepted", codes.generation.0)
            }
        },
        Fact::ConfigRefused(no) => {
            format!("{:?} {} refused {:?}", no.kind, no.generation.0, no.reason)
        }
        Fact::SessionStarted(started) => match &started.actor {
            Actor::Courier { carrier, .. } => format!("courier {carrier} in"),
            Actor::Recipient { .. } => "recipient in".to_owned(),
            Actor::Staff { badge } => format!("staff {} in", badge.0[0] - 100),
        },
        Fact::SessionEnded(ended) => format!("session {:?}", ended.end),
        Fact::DepositStarted(started) => {
            let mut said = format!("deposit {} in {}", label(started.parcel), started.compartment);
            if !started.tried.is_empty() {
                let tried: Vec<String> = started.tried.iter().map(ToString::to_string).collect();
                write!(said, " after {}", tried.join(" and ")).unwrap();
            }
            said
        }
        Fact::DepositMisfit(misfit) => {
            let gave_up = if misfit.gave_up { ", no larger one" } else { "" };
            format!("misfit {} in {}{gave_up}", label(misfit.parcel), misfit.compartment)
        }
        Fact::DepositAborted(aborted) => {
            let content = match aborted.content {
                AbortedContent::Untouched => "Untouched".to_owned(),
                AbortedContent::TakenBack => "TakenBack".to_owned(),
                AbortedContent::Foreign => "Foreign".to_owned(),
                AbortedContent::Unknown(reason) => format!("{reason:?}"),
            };
            let failed = if aborted.lock_failed { " lock failed" } else { "" };
            format!(
                "aborted {} in {} {content}{failed}",
                label(aborted.parcel),
                aborted.compartment
            )
        }
        Fact::DepositConfirmed(confirmed) => {
            let presumed = if confirmed.presumed { " presumed" } else { "" };
            let code = confirmed
                .code
                .as_ref()
                .map_or(String::new(), |code| format!(" with digits {}", code.slot.0[0]));
            format!(
                "stored {} in {}{presumed}{code}",
                label(confirmed.parcel),
                confirmed.compartment
            )
        }
        Fact::PickupStarted(started) => {
            format!("pickup {} from {}", label(started.parcel), started.compartment)
        }
        Fact::PickupSettled(settled) => {
            let end = match settled.end {
                PickupEnd::Collected { presumed: true } => "Collected presumed".to_owned(),
                PickupEnd::Collected { presumed: false } => "Collected".to_owned(),
                end @ (PickupEnd::CollectedDoorOpen
                | PickupEnd::NotTaken
                | PickupEnd::NotOpened
                | PickupEnd::Interrupted
                | PickupEnd::Unconfirmed
                | PickupEnd::Refused
                | PickupEnd::FoundEmpty
                | PickupEnd::WrongParcel) => format!("{end:?}"),
            };
            let failed = if settled.lock_failed { " lock failed" } else { "" };
            format!("{end} {} in {}{failed}", label(settled.parcel), settled.compartment)
        }
        Fact::PulseIntended(intended) => {
            format!("intent {} on {}", intended.intent.0, intended.compartment)
        }
        Fact::PulseSettled(settled) => {
            let outcome = format!("{:?}", settled.outcome);
            let outcome = outcome.split_whitespace().next().unwrap();
            format!("intent {} {outcome}", settled.intent.0)
        }
        Fact::DoorMoved(moved) => {
            let cause =
                moved.cause.map_or("nobody".to_owned(), |cause| format!("intent {}", cause.0));
            let class = moved.class.map_or(String::new(), |class| format!(" ({class:?})"));
            format!("door {} {:?} by {cause}{class}", moved.compartment, moved.reading)
        }
        Fact::DoorsRead(read) => {
            let doors = read.readings.iter().map(|(no, reading)| format!(" {no}:{reading:?}"));
            format!("doors read{}", doors.collect::<String>())
        }
        Fact::BoardChanged(changed) => {
            format!("board {} {}", changed.board, if changed.online { "online" } else { "offline" })
        }
        Fact::RecallStarted(started) => {
            format!("take out {} from {}", label(started.parcel), started.compartment)
        }
        Fact::RecallSettled(settled) => {
            let failed = if settled.lock_failed { " lock failed" } else { "" };
            format!(
                "recall {:?} {} in {}{failed}",
                settled.end,
                label(settled.parcel),
                settled.compartment
            )
        }
        Fact::InspectionStarted(started) => format!("look into {}", started.compartment),
        Fact::InspectionSettled(settled) => match settled.finding {
            Finding::Holds(parcel) => format!("{} found in {}", label(parcel), settled.compartment),
            Finding::TakenOut(parcel) => {
                format!("{} taken out of {}", label(parcel), settled.compartment)
            }
            Finding::HandedOver(parcel) => {
                format!("{} handed over from {}", label(parcel), settled.compartment)
            }
            finding @ (Finding::NotOpened | Finding::Empty | Finding::Unfinished) => {
                format!("{} found {finding:?}", settled.compartment)
            }
        },
        Fact::BookingLapsed(lapsed) => format!("booking of {} lapsed", label(lapsed.parcel)),
        Fact::KeepLapsed(lapsed) => format!("time of {} is over", label(lapsed.parcel)),
        Fact::CompartmentReserved(reserved) => {
            format!("{} kept for {}", reserved.compartment, label(reserved.parcel))
        }
        Fact::Alarm(alarm) => format!("alarm {alarm:?}"),
        Fact::LockdownBegan(began) => format!("lockdown {:?}", began.reason),
        Fact::LockdownLiftAsked(asked) => format!("staff {} asks to lift", asked.badge.0[0] - 100),
        Fact::LockdownLifted(_) => "lockdown lifted".to_owned(),
        Fact::BoardReset(reset) => format!("board {} reset", reset.board),
        Fact::PowerChanged(changed) => format!("on {:?}", changed.source),
        Fact::CodeTyped(typed) => format!("digits {:?}", typed.verdict),
        Fact::KeypadReset(_) => "keypad reset".to_owned(),
        Fact::SlotBound(bound) => {
            format!("digits {} for {}", bound.code.slot.0[0], label(bound.parcel))
        }
        Fact::CommandAnswered(answered) => format!("command {:?}", answered.answer),
        Fact::Sealed(sealed) => format!("sealed up to {}", sealed.upto),
        Fact::KeyChanged(_) => "device key changed".to_owned(),
        Fact::StateCarried(carried) => format!("{} carried over", carried.entities().len()),
    }
}

fn booking(label: &str, carrier: &str, size: &str, rest: &[&str]) -> Booking {
    // A parcel may be given another's label or code: `as PKG1`, `code 3`, and a version: `v 2`.
    let option = |name| rest.iter().position(|word| *word == name).map(|at| rest[at + 1]);
    let version = option("v").map_or(1, |version| version.parse().unwrap());
    let code = option("code").map_or(number(label), |code| code.parse().unwrap());
    Booking {
        parcel: parcel(number(label)),
        version: Version(version),
        carrier: carrier.parse().unwrap(),
        barcode: option("as").unwrap_or(label).parse().unwrap(),
        size: dimensions(size),
        weight: Grams(500),
        credential: credential(code),
        trace: None,
        terms: Terms {
            hard: rest.contains(&"hard"),
            book_until: option("until").map(|at| UnixMillis(at.parse().unwrap())),
            keep_ms: option("keep").map(|ms| ms.parse().unwrap()),
            suffix: option("phone").map(|n| SuffixTag([n.parse().unwrap(); 8])),
            group: option("group").map(|n| GroupId([n.parse().unwrap(); 16])),
            ..Terms::default()
        },
    }
}

/// `withdraw LABEL VERSION`, `keep LABEL VERSION UNTIL`, `askback LABEL VERSION REASON`,
/// `reissue|revoke LABEL VERSION CODE`, `lend LABEL VERSION CODE UNTIL`.
fn change(verb: &str, parcel: ParcelId, numbers: &[u64], words: &[&str]) -> Grant {
    let version = Version(u32::try_from(numbers[0]).unwrap());
    let code = || credential(u8::try_from(numbers[1]).unwrap());
    match verb {
        "withdraw" => Grant::Cancel { parcel, version },
        "keep" => Grant::Keep { parcel, version, until: UnixMillis(numbers[1]) },
        "askback" => {
            let reason =
                if words[1] == "safety" { RecallReason::Safety } else { RecallReason::Sender };
            Grant::Recall { parcel, version, reason }
        }
        "reissue" => Grant::Reissue { parcel, version, credential: code() },
        "lend" => {
            Grant::Delegate { parcel, version, credential: code(), until: UnixMillis(numbers[2]) }
        }
        _ => Grant::Revoke { parcel, version, credential: code() },
    }
}

/// `SLOT:CARRIER:FROM-UNTIL`
fn courier_code(text: &str) -> KeypadCode {
    let (slot, rest) = text.split_once(':').unwrap();
    let (carrier, valid) = rest.split_once(':').unwrap();
    let (from, until) = valid.split_once('-').unwrap();
    let [from, until] = [from, until].map(|at| UnixMillis(at.parse().unwrap()));
    KeypadCode {
        slot: code_slot(slot.parse().unwrap()),
        carrier: carrier.parse().unwrap(),
        valid: Validity { from, until },
    }
}

fn code_slot(n: u8) -> Slot {
    let sealed = vec![n; 35].try_into().unwrap();
    Slot { id: SlotId([n; 16]), tag: Tag::from_bytes([n; 16]), sealed }
}

/// `NO:LxWxH`, or `NO:LxWxH@LOCK` for another lock than the number's own.
fn spec(text: &str) -> CompartmentSpec {
    let (no, inside) = text.split_once(':').unwrap();
    let no: u16 = no.parse().unwrap();
    let (inside, position) = match inside.split_once('@') {
        Some((inside, at)) => (inside, LockPosition { board: 0, lock: at.parse().unwrap() }),
        None => (inside, lock(no)),
    };
    CompartmentSpec { no: CompartmentNo(no), inside: dimensions(inside), lock: position }
}

fn dimensions(text: &str) -> Dimensions {
    let edges: Vec<u32> = text.split('x').map(|edge| edge.parse().unwrap()).collect();
    let [length_mm, width_mm, height_mm] = edges[..] else { panic!("{text} is no size") };
    Dimensions { length_mm, width_mm, height_mm }
}

fn lock(no: u16) -> LockPosition {
    LockPosition { board: 0, lock: u8::try_from(no - 1).unwrap() }
}

fn read(reading: &str) -> DoorReading {
    match reading {
        "open" => DoorReading::Open,
        "closed" => DoorReading::Closed,
        _ => panic!("no reading {reading}"),
    }
}

const fn clock(now: u64) -> ClockInterval {
    ClockInterval { earliest: UnixMillis(now), latest: Some(UnixMillis(now)) }
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn bank() -> BankId {
    "bank-1".parse().unwrap()
}

fn number(label: &str) -> u8 {
    label.strip_prefix("PKG").unwrap().parse().unwrap()
}

fn label(id: ParcelId) -> String {
    format!("PKG{}", id.0[0])
}

const fn parcel(n: u8) -> ParcelId {
    ParcelId([n; 16])
}

const fn credential(n: u8) -> CredentialId {
    CredentialId([n; 16])
}
