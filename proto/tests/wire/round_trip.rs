//! Every value of every enum goes there and comes back.

use std::fmt::Debug;

use locker_core::bank::{
    AbortedContent, DepositAborted, DoorMoved, PickupEnd, PickupSettled, PulseOutcome,
    PulseSettled, SessionEnded, SessionStarted,
};
use locker_core::clock::TimeQuality;
use locker_core::compartment::{
    Allocation, Compartment, Content, Door, DoorReading, Evidence, Health, QuarantineReason,
};
use locker_core::credential::{Credential, CredentialState};
use locker_core::downlink::{
    ConfigKind, ConfigRefusal, ConfigRefused, GrantAccepted, GrantRefusal, GrantRefused,
};
use locker_core::fact::Fact;
use locker_core::ids::{CompartmentNo, Generation, IntentId};
use locker_core::journal::{CHAIN_START, Change, MemoryView, Meta, Record, StreamOpened, View};
use locker_core::parcel::{Parcel, ParcelState};
use locker_core::session::{Actor, Handover, Phase, Session, SessionEnd, Task};
use locker_core::units::UnixMillis;
use locker_proto::entity::{self, EncodeSnapshotError, Snapshot};
use locker_proto::record::{decode_record, encode_record};

use crate::samples::{self, AT, BOOT, CREDENTIAL, NO, PARCEL, SESSION, STREAM};

const QUARANTINE_REASONS: [QuarantineReason; 5] = [
    QuarantineReason::DepositUnresolved,
    QuarantineReason::OpenedByNobody,
    QuarantineReason::DoorLeftOpen,
    QuarantineReason::Interrupted,
    QuarantineReason::LockFailed,
];

#[test]
fn every_value_in_every_fact_survives() {
    let mut facts = samples::facts();
    facts.extend(config_and_grants());
    facts.extend(sessions());
    facts.extend(doors());
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
        Fact::GrantRefused(GrantRefused { position, parcel: PARCEL, reason })
    }));
    for kind in [ConfigKind::Layout, ConfigKind::KeySet] {
        facts.extend([ConfigRefusal::Unsound, ConfigRefusal::CompartmentInUse].map(|reason| {
            Fact::ConfigRefused(ConfigRefused { kind, generation: Generation(1), reason })
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
        Fact::DoorMoved(DoorMoved { compartment, reading: DoorReading::Closed, cause })
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
    ];
    for reason in QUARANTINE_REASONS {
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
                for health in [Health::Ok, Health::OpenFailed, Health::Unreachable] {
                    for pulse in [None, Some(IntentId(0))] {
                        let (spec, content) = (samples::spec(), *content);
                        let all = Compartment { spec, allocation, door, content, health, pulse };
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
    ];
    for state in states {
        let parcel = Parcel { state, trace: None, ..samples::parcel() };
        survives(&parcel, entity::encode_parcel, entity::decode_parcel);
    }
    let states = [
        CredentialState::Issued,
        CredentialState::Active,
        CredentialState::UsedPending,
        CredentialState::Consumed,
        CredentialState::Revoked,
    ];
    for state in states {
        let credential = Credential { state, ..samples::credential() };
        survives(&credential, entity::encode_credential, entity::decode_credential);
    }
}

#[test]
fn every_session_survives_and_so_does_nobody() {
    let mut sessions = vec![None];
    let phases = [Phase::Opening, Phase::Stuck, Phase::Open, Phase::Shut];
    let handovers = phases.map(|phase| Handover { phase, ..samples::handover() });
    let tasks = handovers.into_iter().flat_map(|handover| {
        let none_tried = Handover { tried: vec![], ..handover.clone() };
        [Task::Deposit(handover), Task::Pickup(none_tried)]
    });
    for task in tasks.chain([Task::Idle]) {
        for actor in [samples::courier(), Actor::Recipient { credential: CREDENTIAL }] {
            sessions.push(Some(Session { actor, task: task.clone(), ..samples::session() }));
        }
    }
    for session in sessions {
        survives(&session, entity::encode_session, entity::decode_session);
    }
}

#[test]
fn a_snapshot_of_a_bank_makes_the_same_bank() {
    let mut bank = MemoryView::default();
    bank.apply(samples::snapshot().changes);
    for changes in [MemoryView::default().export(), bank.export()] {
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
}

#[test]
fn a_snapshot_of_what_is_gone_is_refused() {
    let gone = [Change::CompartmentRemoved(NO), Change::ParcelForgotten(samples::parcel())];
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
