//! Every value of every enum goes there and comes back.

use std::fmt::Debug;

use locker_core::bank::{
    AbortedContent, DepositAborted, DoorMoved, PickupEnd, PickupSettled, PulseOutcome,
    PulseSettled, SessionEnded, SessionStarted,
};
use locker_core::clock::TimeQuality;
use locker_core::code::budget::{Budget, BudgetDay, WRONG_PER_DAY, Wait};
use locker_core::code::keypad_code::{COURIER_CODES_MAX, CourierCodes, KeypadCode, Validity};
use locker_core::code::second_factor::SuffixTag;
use locker_core::code::slot::{SEALED_MAX_BYTES, Sealed, Slot, SlotId};
use locker_core::compartment::{
    Allocation, Compartment, Content, Door, DoorReading, Evidence, Health, QuarantineReason,
};
use locker_core::credential::{Credential, CredentialState, Holder};
use locker_core::downlink::{
    Booking, ConfigAccepted, ConfigDocument, ConfigKind, ConfigRefusal, ConfigRefused,
    GRANTS_PER_BATCH_MAX, Grant, GrantAccepted, GrantRefusal, GrantRefused, Mode, Quota,
};
use locker_core::fact::Fact;
use locker_core::governor::{Governor, REMEMBERED_MAX, TRIPS_MAX};
use locker_core::ids::{CompartmentNo, Generation, HubEpoch, IntentId, NAME_MAX_BYTES};
use locker_core::journal::{
    CHAIN_START, Change, HeldSlot, MemoryView, Meta, RECORD_MAX_BYTES, Record, StreamOpened, View,
};
use locker_core::parcel::{Parcel, ParcelState, Terms};
use locker_core::session::{Actor, Handover, Opening, Phase, Session, SessionEnd, Task};
use locker_core::units::UnixMillis;
use locker_proto::entity::{self, EncodeSnapshotError, Snapshot};
use locker_proto::message::{Command, Config, Document, MESSAGE_MAX_BYTES, Nonce};
use locker_proto::record::{decode_record, encode_record};
use locker_proto::{decode_courier_codes, decode_grant, decode_mode, decode_quota};
use locker_proto::{encode_courier_codes, encode_grant, encode_mode, encode_quota};

use crate::later;
use crate::samples::{self, AT, BOOT, CREDENTIAL, NO, PARCEL, SESSION, STREAM};

const QUARANTINE_REASONS: [QuarantineReason; 5] = [
    QuarantineReason::DepositUnresolved,
    QuarantineReason::OpenedByNobody,
    QuarantineReason::DoorLeftOpen,
    QuarantineReason::Interrupted,
    QuarantineReason::LockFailed,
];

const HEALTHS: [Health; 4] = [Health::Ok, Health::OpenFailed, Health::Unreachable, Health::Stopped];

#[test]
fn every_value_in_every_fact_survives() {
    let mut facts = samples::facts();
    facts.extend(config_and_grants());
    facts.extend(sessions());
    facts.extend(doors());
    facts.extend(later::facts().into_iter().map(|(_, fact)| fact));
    for fact in facts {
        let record = samples::record(fact);
        assert_eq!(decode_record(&encode_record(&record)), Ok(record));
    }
}

fn config_and_grants() -> Vec<Fact> {
    let mut facts = vec![
        Fact::StreamOpened(StreamOpened {
            bank: samples::bank(),
            device_key: [0; 32],
            parent: None,
        }),
        Fact::GrantAccepted(GrantAccepted {
            position: samples::position(),
            grant: samples::cancellation(),
        }),
    ];
    let refusals = [
        GrantRefusal::Stale,
        GrantRefusal::TooLate,
        GrantRefusal::UnknownParcel,
        GrantRefusal::BarcodeTaken,
    ];
    facts.extend(refusals.map(|reason| {
        let position = samples::position();
        Fact::GrantRefused(GrantRefused { position, parcel: Some(PARCEL), reason })
    }));
    for kind in [ConfigKind::Layout, ConfigKind::KeySet] {
        facts.extend([ConfigRefusal::Unsound, ConfigRefusal::CompartmentInUse].map(|reason| {
            let (epoch, generation) = (HubEpoch(0), Generation(1));
            Fact::ConfigRefused(ConfigRefused { kind, epoch, generation, reason })
        }));
    }
    facts
}

fn sessions() -> Vec<Fact> {
    let (session, parcel, compartment) = (SESSION, PARCEL, NO);
    let recipient = Actor::Recipient { credential: CREDENTIAL };
    let mut facts = vec![Fact::SessionStarted(SessionStarted { session, actor: recipient })];
    let ends = [SessionEnd::Finished, SessionEnd::Left, SessionEnd::Interrupted];
    facts.extend(ends.map(|end| Fact::SessionEnded(SessionEnded { session, end })));
    let contents = QUARANTINE_REASONS.map(AbortedContent::Unknown);
    for content in contents.into_iter().chain([AbortedContent::Untouched]) {
        facts.push(Fact::DepositAborted(DepositAborted {
            session,
            parcel,
            compartment,
            content,
            lock_failed: false,
        }));
    }
    let ends = [
        PickupEnd::Collected { presumed: false },
        PickupEnd::Collected { presumed: true },
        PickupEnd::CollectedDoorOpen,
        PickupEnd::NotTaken,
        PickupEnd::NotOpened,
        PickupEnd::Interrupted,
    ];
    facts.extend(ends.map(|end| {
        Fact::PickupSettled(PickupSettled { session, parcel, compartment, end, lock_failed: false })
    }));
    facts
}

fn doors() -> Vec<Fact> {
    let outcomes = [
        PulseOutcome::Opened { after_ms: 0 },
        PulseOutcome::Opened { after_ms: u32::MAX },
        PulseOutcome::NotOpened,
        PulseOutcome::AlreadyOpen,
        PulseOutcome::Unknown,
        PulseOutcome::NotSent,
        PulseOutcome::Recovered,
    ];
    let settled = outcomes.map(|outcome| {
        Fact::PulseSettled(PulseSettled { intent: IntentId(1), compartment: NO, outcome })
    });
    let causes = [None, Some(IntentId(0)), Some(IntentId(u64::MAX))];
    let moved = causes.map(|cause| {
        let compartment = CompartmentNo(0);
        let (reading, class) = (DoorReading::Closed, None);
        Fact::DoorMoved(DoorMoved { compartment, reading, cause, class })
    });
    settled.into_iter().chain(moved).collect()
}

#[test]
fn a_record_survives_with_all_that_is_optional_left_out() {
    let fact = samples::facts().remove(1);
    let bare = Record {
        stream: STREAM,
        seq: 0,
        boot: BOOT,
        at: UnixMillis(0),
        quality: TimeQuality::Unknown,
        previous: CHAIN_START,
        trace: None,
        detached: None,
        fact,
    };
    let exact = Record { quality: TimeQuality::Bounded { within_ms: 0 }, ..bare.clone() };
    let last = Record { seq: u64::MAX, at: UnixMillis(u64::MAX), ..bare.clone() };
    for record in [bare, exact, last] {
        assert_eq!(decode_record(&encode_record(&record)), Ok(record));
    }
}

#[test]
fn every_compartment_survives() {
    let (session, parcel) = (SESSION, PARCEL);
    let mut allocations = vec![
        Allocation::Free,
        Allocation::Depositing { session, parcel },
        Allocation::Occupied { parcel },
        Allocation::Collecting { session, parcel },
        Allocation::Reserved { parcel },
        Allocation::Recalling { session, parcel },
    ];
    for reason in QUARANTINE_REASONS.into_iter().chain(later::QUARANTINE_REASONS) {
        let quarantined = |parcel| Allocation::Quarantined { reason, parcel };
        allocations.extend([None, Some(PARCEL)].map(quarantined));
    }
    let contents = [Evidence::DoorCycle, Evidence::Attested, Evidence::Inspected];
    let contents: Vec<_> = [Content::Unknown]
        .into_iter()
        .chain(contents.map(Content::Empty))
        .chain(contents.map(Content::Full))
        .collect();
    for allocation in allocations {
        for door in [Door::Unknown, Door::Closed, Door::Open, Door::ForcedOpen] {
            for content in &contents {
                for health in HEALTHS {
                    for (pulse, pulsed_at, sensor_doubt, open_too_long) in [
                        (None, None, false, true),
                        (Some(IntentId(0)), Some(UnixMillis(0)), true, false),
                    ] {
                        let all = Compartment {
                            spec: samples::spec(),
                            allocation,
                            door,
                            content: *content,
                            health,
                            pulse,
                            pulsed_at,
                            sensor_doubt,
                            open_too_long,
                        };
                        survives(&all, entity::encode_compartment, entity::decode_compartment);
                    }
                }
            }
        }
    }
}

#[test]
fn every_parcel_and_every_credential_survives() {
    let (session, compartment, since, at) = (SESSION, NO, AT, AT);
    let states = [
        ParcelState::Booked,
        ParcelState::Depositing { session, compartment },
        ParcelState::Stored { compartment, since },
        ParcelState::Collecting { session, compartment, since },
        ParcelState::Collected { at },
        ParcelState::Cancelled { at },
        ParcelState::Unresolved { compartment },
        ParcelState::Recalling { session, compartment, since },
        ParcelState::BookingExpired { at },
        ParcelState::Recalled { at },
        ParcelState::Missing { at },
    ];
    let recalls = later::RECALL_REASONS.map(Some).into_iter().chain([None]);
    for (state, recall) in states.into_iter().zip(recalls.cycle()) {
        for terms in every_terms() {
            let trace = None;
            let parcel = Parcel { state, trace, recall, terms, ..samples::parcel() };
            survives(&parcel, entity::encode_parcel, entity::decode_parcel);
        }
    }
    let states = [
        CredentialState::Issued,
        CredentialState::Active,
        CredentialState::UsedPending,
        CredentialState::Consumed,
        CredentialState::Revoked,
        CredentialState::Superseded,
    ];
    let holders = [Holder::Recipient, Holder::Delegate { until: UnixMillis(0) }];
    for (state, holder) in states.into_iter().flat_map(|state| holders.map(|by| (state, by))) {
        let credential = Credential { state, holder, ..samples::credential() };
        survives(&credential, entity::encode_credential, entity::decode_credential);
    }
}

/// None at all, all of them, and each at the value that could be taken for none.
fn every_terms() -> [Terms; 4] {
    let zeros = Terms {
        book_until: Some(UnixMillis(0)),
        keep_ms: Some(0),
        keep_until: Some(UnixMillis(0)),
        suffix: Some(SuffixTag([0; 8])),
        ..Terms::default()
    };
    [Terms::default(), later::terms(), zeros, Terms { hard: true, ..Terms::default() }]
}

#[test]
fn every_grant_and_every_document_survives() {
    let mut grants: Vec<_> = later::grants().into_iter().map(|(_, grant)| grant).collect();
    let booking = |terms| Grant::Book(Booking { terms, ..samples::booking() });
    grants.extend(every_terms().map(booking));
    grants.extend([0, GRANTS_PER_BATCH_MAX].map(|slots| Grant::Slots(vec![later::slot(); slots])));
    for grant in grants {
        survives(&grant, encode_grant, decode_grant);
    }
    for mode in [Mode::default(), later::mode()] {
        survives(&mode, encode_mode, decode_mode);
        let config = Config { epoch: HubEpoch(0), document: Document::Mode(mode), nonce: None };
        survives(&config, Config::encode, Config::decode);
    }
    for quota in [Quota::default(), later::quota()] {
        survives(&quota, encode_quota, decode_quota);
        let config = Config {
            epoch: HubEpoch(0),
            document: Document::Quota(quota),
            nonce: Some(Nonce([0; 16])),
        };
        survives(&config, Config::encode, Config::decode);
    }
    for codes in [CourierCodes::default(), later::courier_codes()] {
        survives(&codes, encode_courier_codes, decode_courier_codes);
    }
}

#[test]
fn c09_the_longest_list_of_couriers_codes_fits_into_a_record_and_a_message() {
    let code = |n: u8| KeypadCode {
        slot: Slot {
            id: SlotId([n; 16]),
            sealed: Sealed::try_from(vec![n; SEALED_MAX_BYTES]).unwrap(),
            ..later::slot()
        },
        carrier: "x".repeat(NAME_MAX_BYTES).parse().unwrap(),
        valid: Validity { from: UnixMillis(u64::MAX - 1), until: UnixMillis(u64::MAX) },
    };
    let most = u8::try_from(COURIER_CODES_MAX).unwrap();
    let codes =
        CourierCodes { generation: Generation(u64::MAX), codes: (0..most).map(code).collect() };
    assert!(codes.is_sound());
    let epoch = HubEpoch(u64::MAX);
    let document = ConfigDocument::CourierCodes(codes.clone());
    let fact = Fact::ConfigAccepted(ConfigAccepted { epoch, document });
    let record = Record { seq: u64::MAX, ..samples::record(fact) };
    let bytes = encode_record(&record);
    assert!(bytes.len() < RECORD_MAX_BYTES, "{} bytes", bytes.len());
    assert_eq!(decode_record(&bytes), Ok(record));
    let config = Config { epoch, document: Document::CourierCodes(codes), nonce: None };
    assert!(config.encode().len() < MESSAGE_MAX_BYTES);
}

#[test]
fn a_command_survives_and_so_does_one_that_only_a_newer_hub_knows() {
    survives(&later::command(), Command::encode, Command::decode);
    let unknown = Command { kind: None, ..later::command() };
    let mut bytes = unknown.encode();
    prost::encoding::bytes::encode(17, &vec![8, 1], &mut bytes);
    assert_eq!(Command::decode(&bytes), Ok(unknown), "its id is needed for the answer");
}

#[test]
fn a_full_governor_survives() {
    let times = |count| vec![UnixMillis(u64::MAX); count];
    let full = Governor {
        courier: times(REMEMBERED_MAX),
        recipient: times(REMEMBERED_MAX),
        staff: times(REMEMBERED_MAX),
        remote: times(REMEMBERED_MAX),
        trips: times(TRIPS_MAX),
    };
    for governor in [Governor::default(), later::governor(), full] {
        survives(&governor, entity::encode_governor, entity::decode_governor);
    }
}

#[test]
fn every_slot_and_every_budget_survives() {
    for sealed in [vec![0], vec![0xff; SEALED_MAX_BYTES]] {
        let slot = Slot { sealed: Sealed::try_from(sealed).unwrap(), ..later::slot() };
        for parcel in [None, Some(PARCEL)] {
            let held = HeldSlot { slot: slot.clone(), parcel };
            survives(&held, entity::encode_slot, entity::decode_slot);
        }
    }
    let suffixes = (0..WRONG_PER_DAY).map(|n| SuffixTag(u64::from(n).to_be_bytes()));
    let full = Budget {
        day: BudgetDay::Day(u64::MAX),
        wrong: u16::MAX,
        wrong_alone: u16::MAX,
        by_suffix: suffixes.map(|suffix| (suffix, u16::MAX)).collect(),
        row: u16::MAX,
        wait: Some(Wait { boot: BOOT, since_uptime_ms: u64::MAX, wait_ms: u64::MAX }),
    };
    let waited = Budget {
        wait: Some(Wait { boot: BOOT, since_uptime_ms: 0, wait_ms: 0 }),
        ..Budget::default()
    };
    for budget in [Budget::default(), later::budget(), later::undated_budget(), full, waited] {
        survives(&budget, entity::encode_budget, entity::decode_budget);
    }
}

#[test]
fn every_session_survives_and_so_does_nobody() {
    let mut sessions = vec![None];
    let phases = [Phase::Opening, Phase::Stuck, Phase::Open, Phase::Shut];
    let handovers = phases.map(|phase| {
        let opening = Opening { phase, ..later::opening() };
        Handover { opening, ..samples::handover() }
    });
    let tasks = handovers.into_iter().flat_map(|handover| {
        let none_tried = Handover { tried: vec![], ..handover.clone() };
        let opening = Opening { opened_at: Some(UnixMillis(0)), ..handover.opening };
        let (recall, look) = (Task::Recall(handover.clone()), Task::Inspection(opening));
        [Task::Deposit(handover), Task::Pickup(none_tried), recall, look]
    });
    for task in tasks.chain([Task::Idle]) {
        let staff = Actor::Staff { badge: later::BADGE };
        for actor in [samples::courier(), Actor::Recipient { credential: CREDENTIAL }, staff] {
            sessions.push(Some(Session { actor, task: task.clone(), ..samples::session() }));
        }
    }
    for session in sessions {
        survives(&session, entity::encode_session, entity::decode_session);
    }
}

#[test]
fn a_snapshot_of_a_bank_makes_the_same_bank() {
    let (mut bank, mut newer) = (MemoryView::default(), MemoryView::default());
    bank.apply(samples::snapshot().changes);
    newer.apply(later::snapshot().changes);
    newer.apply(later::snapshot_with_codes().changes);
    for changes in [MemoryView::default().export(), bank.export(), newer.export()] {
        let snapshot = Snapshot { changes, ..samples::snapshot() };
        let bytes = entity::encode_snapshot(&snapshot).unwrap();
        let read = entity::decode_snapshot(&bytes).unwrap();
        assert_eq!(read, snapshot);
        let mut again = MemoryView::default();
        again.apply(read.changes);
        assert_eq!(again.export(), snapshot.changes);
    }
    assert_eq!(bank.meta(), samples::meta());
    survives(&Meta::default(), entity::encode_meta, entity::decode_meta);
    for (_, meta) in later::metas() {
        survives(&meta, entity::encode_meta, entity::decode_meta);
    }
}

#[test]
fn a_snapshot_of_what_is_gone_is_refused() {
    let gone = [
        Change::CompartmentRemoved(NO),
        Change::ParcelForgotten(samples::parcel()),
        Change::SlotForgotten(later::SLOT),
    ];
    for change in gone {
        let snapshot = Snapshot { changes: vec![change], ..samples::snapshot() };
        assert_eq!(entity::encode_snapshot(&snapshot), Err(EncodeSnapshotError::Removal));
    }
}

fn survives<T: PartialEq + Debug, E: PartialEq + Debug>(
    value: &T,
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<T, E>,
) {
    assert_eq!(decode(&encode(value)).as_ref(), Ok(value));
}
