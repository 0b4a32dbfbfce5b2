//! One of everything, with no field at its default, so that a field that is lost on the way is missed. What was added
//! after banks had written their first records is at its default here, and otherwise in [`crate::later`].

use locker_core::bank::{
    AbortedContent, BoardChanged, DepositAborted, DepositConfirmed, DepositMisfit, DepositStarted,
    DoorMoved, DoorsRead, PickupEnd, PickupSettled, PickupStarted, PulseIntended, PulseOutcome,
    PulseSettled, SessionEnded, SessionStarted,
};
use locker_core::clock::TimeQuality;
use locker_core::compartment::{
    Allocation, Compartment, CompartmentSpec, Content, Door, DoorReading, Evidence, Health, Layout,
    LockPosition, QuarantineReason,
};
use locker_core::credential::{Credential, CredentialKey, CredentialState, Holder, KeySet};
use locker_core::downlink::{
    Booking, ConfigAccepted, ConfigDocument, ConfigEpochs, ConfigKind, ConfigRefusal,
    ConfigRefused, Grant, GrantAccepted, GrantPosition, GrantRefusal, GrantRefused, Mode, Quota,
};
use locker_core::fact::Fact;
use locker_core::ids::{
    BankId, BootId, CompartmentNo, CredentialId, Generation, HubEpoch, IntentId, ParcelId,
    SessionId, StreamId, Version,
};
use locker_core::journal::{Booted, ChainHash, Change, Meta, Parent, Record, StreamOpened};
use locker_core::parcel::{Parcel, ParcelState, Terms};
use locker_core::session::{
    Actor, CourierProof, Handover, Opening, Phase, Session, SessionEnd, Task,
};
use locker_core::units::{Dimensions, Grams, UnixMillis};
use locker_proto::entity::Snapshot;
use locker_proto::message::{
    Ack, Batch, Birth, Config, Document, Grants, Nonce, Presence, Telemetry,
};
use locker_proto::record::encode_record;

pub(crate) const PARCEL: ParcelId = ParcelId([0x11; 16]);
pub(crate) const SESSION: SessionId = SessionId([0x22; 16]);
pub(crate) const CREDENTIAL: CredentialId = CredentialId([0x33; 16]);
pub(crate) const STREAM: StreamId = StreamId([0x44; 16]);
pub(crate) const PARENT: StreamId = StreamId([0x55; 16]);
pub(crate) const BOOT: BootId = BootId([0x66; 16]);
pub(crate) const HASH: ChainHash = ChainHash([0x77; 32]);
pub(crate) const NO: CompartmentNo = CompartmentNo(300);
pub(crate) const AT: UnixMillis = UnixMillis(1_790_000_000_000);
pub(crate) const NONCE: Nonce = Nonce([0x88; 16]);
pub(crate) const EPOCH: HubEpoch = HubEpoch(1_780_000_000_000);
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

pub(crate) fn bank() -> BankId {
    "berlin-07".parse().unwrap()
}

pub(crate) fn position() -> GrantPosition {
    GrantPosition { epoch: EPOCH, gseq: 17 }
}

pub(crate) fn size() -> Dimensions {
    Dimensions { length_mm: 400, width_mm: 300, height_mm: 200 }
}

pub(crate) fn booking() -> Booking {
    Booking {
        parcel: PARCEL,
        version: Version(2),
        carrier: "acme".parse().unwrap(),
        barcode: "JD0146/0001".parse().unwrap(),
        size: size(),
        weight: Grams(1_500),
        credential: CREDENTIAL,
        trace: Some(TRACE.parse().unwrap()),
        terms: Terms::default(),
    }
}

pub(crate) fn cancellation() -> Grant {
    Grant::Cancel { parcel: PARCEL, version: Version(3) }
}

pub(crate) fn spec() -> CompartmentSpec {
    CompartmentSpec { no: NO, inside: size(), lock: LockPosition { board: 2, lock: 47 } }
}

pub(crate) fn layout() -> Layout {
    let other = CompartmentSpec {
        no: CompartmentNo(1),
        lock: LockPosition { board: 0, lock: 0 },
        ..spec()
    };
    Layout { generation: Generation(4), compartments: vec![spec(), other] }
}

pub(crate) fn key_set() -> KeySet {
    let keys = vec![
        CredentialKey { kid: 9, public: [0x99; 32] },
        CredentialKey { kid: 10, public: [0xaa; 32] },
    ];
    KeySet { generation: Generation(5), keys, command: Vec::new(), root: None }
}

pub(crate) fn courier() -> Actor {
    Actor::Courier { carrier: "acme".parse().unwrap(), proof: CourierProof::Badge(CREDENTIAL) }
}

/// The name of a fact's field in `record.proto`. A new fact does not compile before it has one.
pub(crate) const fn field_of(fact: &Fact) -> &'static str {
    match fact {
        Fact::StreamOpened(_) => "stream_opened",
        Fact::Booted(_) => "booted",
        Fact::GrantAccepted(_) => "grant_accepted",
        Fact::GrantRefused(_) => "grant_refused",
        Fact::ConfigAccepted(ConfigAccepted { epoch, document }) => match document {
            ConfigDocument::Layout(_) if epoch.0 == 0 => "layout_accepted",
            ConfigDocument::KeySet(_) if epoch.0 == 0 => "key_set_accepted",
            ConfigDocument::Mode(_) if epoch.0 == 0 => "mode_accepted",
            ConfigDocument::Quota(_) if epoch.0 == 0 => "quota_accepted",
            ConfigDocument::Layout(_)
            | ConfigDocument::KeySet(_)
            | ConfigDocument::Mode(_)
            | ConfigDocument::Quota(_)
            | ConfigDocument::CourierCodes(_) => "config_accepted",
        },
        Fact::ConfigRefused(_) => "config_refused",
        Fact::SessionStarted(_) => "session_started",
        Fact::SessionEnded(_) => "session_ended",
        Fact::DepositStarted(_) => "deposit_started",
        Fact::DepositMisfit(_) => "deposit_misfit",
        Fact::DepositAborted(_) => "deposit_aborted",
        Fact::DepositConfirmed(_) => "deposit_confirmed",
        Fact::PickupStarted(_) => "pickup_started",
        Fact::PickupSettled(_) => "pickup_settled",
        Fact::PulseIntended(_) => "pulse_intended",
        Fact::PulseSettled(_) => "pulse_settled",
        Fact::DoorMoved(_) => "door_moved",
        Fact::DoorsRead(_) => "doors_read",
        Fact::BoardChanged(_) => "board_changed",
        Fact::CompartmentReserved(_) => "compartment_reserved",
        Fact::RecallStarted(_) => "recall_started",
        Fact::RecallSettled(_) => "recall_settled",
        Fact::InspectionStarted(_) => "inspection_started",
        Fact::InspectionSettled(_) => "inspection_settled",
        Fact::BookingLapsed(_) => "booking_lapsed",
        Fact::KeepLapsed(_) => "keep_lapsed",
        Fact::Alarm(_) => "alarm",
        Fact::LockdownBegan(_) => "lockdown_began",
        Fact::LockdownLiftAsked(_) => "lockdown_lift_asked",
        Fact::LockdownLifted(_) => "lockdown_lifted",
        Fact::BoardReset(_) => "board_reset",
        Fact::PowerChanged(_) => "power_changed",
        Fact::CommandAnswered(_) => "command_answered",
        Fact::CodeTyped(_) => "code_typed",
        Fact::KeypadReset(_) => "keypad_reset",
        Fact::SlotBound(_) => "slot_bound",
        Fact::Sealed(_) => "sealed",
        Fact::KeyChanged(_) => "key_changed",
        Fact::StateCarried(_) => "state_carried",
    }
}

/// One of each fact that there was at first, in the order of their field numbers.
pub(crate) fn facts() -> Vec<Fact> {
    let (session, parcel, compartment) = (SESSION, PARCEL, NO);
    let tried = vec![CompartmentNo(1), CompartmentNo(65_535)];
    let intent = IntentId(12);
    vec![
        Fact::StreamOpened(StreamOpened {
            bank: bank(),
            device_key: [0xbb; 32],
            parent: Some(parent()),
        }),
        Fact::Booted(Booted { boot: BOOT, boot_count: 3, agent_version: "0.1.0".into() }),
        Fact::GrantAccepted(GrantAccepted { position: position(), grant: Grant::Book(booking()) }),
        Fact::GrantRefused(GrantRefused {
            position: position(),
            parcel: Some(parcel),
            reason: GrantRefusal::TooLate,
        }),
        Fact::ConfigAccepted(ConfigDocument::Layout(layout()).into()),
        Fact::ConfigAccepted(ConfigDocument::KeySet(key_set()).into()),
        Fact::ConfigRefused(ConfigRefused {
            kind: ConfigKind::Layout,
            epoch: HubEpoch(0),
            generation: Generation(6),
            reason: ConfigRefusal::CompartmentInUse,
        }),
        Fact::SessionStarted(SessionStarted { session, actor: courier() }),
        Fact::SessionEnded(SessionEnded { session, end: SessionEnd::Left }),
        Fact::DepositStarted(DepositStarted { session, parcel, compartment, tried }),
        Fact::DepositMisfit(DepositMisfit { session, parcel, compartment, gave_up: false }),
        Fact::DepositAborted(DepositAborted {
            session,
            parcel,
            compartment,
            content: AbortedContent::Unknown(QuarantineReason::DoorLeftOpen),
            lock_failed: true,
        }),
        Fact::DepositConfirmed(DepositConfirmed {
            session,
            parcel,
            compartment,
            presumed: true,
            code: None,
        }),
        Fact::PickupStarted(PickupStarted { session, parcel, compartment, credential: CREDENTIAL }),
        Fact::PickupSettled(PickupSettled {
            session,
            parcel,
            compartment,
            end: PickupEnd::Collected { presumed: true },
            lock_failed: true,
        }),
        Fact::PulseIntended(PulseIntended { intent, session, compartment, parcel: Some(parcel) }),
        Fact::PulseSettled(PulseSettled {
            intent,
            compartment,
            outcome: PulseOutcome::Opened { after_ms: 180 },
        }),
        Fact::DoorMoved(DoorMoved {
            compartment,
            reading: DoorReading::Open,
            cause: Some(intent),
            class: None,
        }),
        Fact::DoorsRead(DoorsRead {
            readings: vec![(NO, DoorReading::Closed), (CompartmentNo(1), DoorReading::Open)],
        }),
        Fact::BoardChanged(BoardChanged { board: 2, online: true }),
    ]
}

/// As the first agents told it.
pub(crate) fn parent() -> Parent {
    Parent { stream: PARENT, common: None, reason: None }
}

pub(crate) fn record(fact: Fact) -> Record {
    Record {
        stream: STREAM,
        seq: 4_711,
        boot: BOOT,
        at: AT,
        quality: TimeQuality::Bounded { within_ms: 40 },
        previous: HASH,
        trace: Some(TRACE.parse().unwrap()),
        detached: Some(ChainHash([0xcc; 32])),
        fact,
    }
}

pub(crate) fn meta() -> Meta {
    Meta {
        last_intent: IntentId(12),
        boot_count: 3,
        grants: position(),
        layout: Generation(4),
        keys: key_set(),
        mode: Mode::default(),
        quota: Quota::default(),
        config_epochs: ConfigEpochs::default(),
        lockdown: None,
        on_battery: false,
        last_pickup: None,
        device_key: None,
        parent: None,
        sealed: 0,
    }
}

pub(crate) fn compartment() -> Compartment {
    Compartment {
        spec: spec(),
        allocation: Allocation::Depositing { session: SESSION, parcel: PARCEL },
        door: Door::ForcedOpen,
        content: Content::Full(Evidence::Attested),
        health: Health::OpenFailed,
        pulse: Some(IntentId(12)),
        pulsed_at: None,
        sensor_doubt: false,
        open_too_long: false,
    }
}

pub(crate) fn parcel() -> Parcel {
    Parcel {
        id: PARCEL,
        carrier: "acme".parse().unwrap(),
        barcode: "JD0146/0001".parse().unwrap(),
        size: size(),
        weight: Grams(1_500),
        version: Version(2),
        credential: CREDENTIAL,
        trace: Some(TRACE.parse().unwrap()),
        terms: Terms::default(),
        recall: None,
        misfit_mm3: 0,
        state: ParcelState::Collecting { session: SESSION, compartment: NO, since: AT },
    }
}

pub(crate) fn credential() -> Credential {
    Credential {
        id: CREDENTIAL,
        parcel: PARCEL,
        version: Version(2),
        holder: Holder::Recipient,
        state: CredentialState::UsedPending,
    }
}

pub(crate) fn handover() -> Handover {
    let opening =
        Opening { intent: IntentId(12), pulses: 2, phase: Phase::Stuck, ..Opening::of(NO) };
    Handover { parcel: PARCEL, opening, tried: vec![CompartmentNo(1)] }
}

pub(crate) fn session() -> Session {
    Session { id: SESSION, actor: courier(), task: Task::Deposit(handover()), moved_at: AT }
}

pub(crate) fn snapshot() -> Snapshot {
    let changes = vec![
        Change::Meta(meta()),
        Change::Session(Some(session())),
        Change::Compartment(compartment()),
        Change::Parcel(parcel()),
        Change::Credential(credential()),
    ];
    Snapshot { fold_version: 1, stream: STREAM, applied_seq: 4_711, changes }
}

pub(crate) fn birth() -> Birth {
    Birth {
        stream: STREAM,
        parent: Some(parent()),
        boot: BOOT,
        boot_count: 3,
        connection_count: 8,
        nonce: NONCE,
        agent_version: "0.1.0".into(),
        oldest_seq: 100,
        head_seq: 4_711,
        head_hash: HASH,
        grants: position(),
        layout: Generation(4),
        key_set: Generation(5),
        kids: vec![9, 10],
        at: AT,
        quality: TimeQuality::Bounded { within_ms: 40 },
        mode: None,
        quota: None,
        courier_codes: None,
        code_keys: None,
        config_epoch: HubEpoch(0),
        device_key: None,
        ladder: Vec::new(),
    }
}

pub(crate) fn batch() -> Batch {
    let record = |fact| encode_record(&record(fact));
    let facts = facts().into_iter().rev().take(2);
    Batch { stream: STREAM, first_seq: 4_711, previous: HASH, records: facts.map(record).collect() }
}

/// As the first agents sent it: without the sensors that came later.
pub(crate) fn telemetry() -> Telemetry {
    Telemetry {
        at: AT,
        resident_bytes: Some(14 << 20),
        disk_free_bytes: Some(3 << 30),
        backlog_records: Some(5),
        ..Telemetry::default()
    }
}

/// Every sensor there, one of them telling no: absent is not false.
pub(crate) fn telemetry_of_all_sensors() -> Telemetry {
    Telemetry {
        temperature_mdeg_c: Some(-12_500),
        mains: Some(false),
        rssi_dbm: Some(-67),
        longest_poll_ms: Some(260),
        bus_errors: Some(7),
        historical: true,
        samples_dropped: 3,
        ..telemetry()
    }
}

/// As the first agents sent it: without the connection.
pub(crate) fn presence() -> Presence {
    Presence { boot: BOOT, online: true, connection_count: 0 }
}

pub(crate) fn presence_of_a_connection() -> Presence {
    Presence { connection_count: 9, ..presence() }
}

pub(crate) fn ack() -> Ack {
    Ack {
        stream: STREAM,
        committed_seq: 4_700,
        committed_hash: HASH,
        safe_seq: 4_600,
        epoch: EPOCH,
        nonce: NONCE,
        at: AT,
    }
}

pub(crate) fn grants() -> Grants {
    Grants { first: position(), grants: vec![Grant::Book(booking()), cancellation()], at: AT }
}

pub(crate) fn config_layout() -> Config {
    Config { epoch: EPOCH, document: Document::Layout(layout()), nonce: None }
}
