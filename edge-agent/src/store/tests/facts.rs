//! A small world of facts: few parcels, barcodes and compartments, so that they meet often.

use locker_core::bank::{
    AbortedContent, Alarm, BoardChanged, BookingLapsed, BoundCode, CodeTyped, DepositAborted,
    DepositConfirmed, DepositMisfit, DepositStarted, DoorMoved, DoorsRead, Finding,
    InspectionSettled, InspectionStarted, KeepLapsed, KeypadReset, LockdownBegan,
    LockdownLiftAsked, LockdownReason, OpenerKind, PickupEnd, PickupSettled, PickupStarted,
    PulseIntended, PulseOutcome, PulseSettled, RecallEnd, RecallSettled, RecallStarted,
    SessionEnded, SessionStarted,
};
use locker_core::clock::ClockInterval;
use locker_core::code::budget::{Now, Verdict};
use locker_core::code::second_factor::SuffixTag;
use locker_core::code::slot::{Sealed, Slot, SlotId};
use locker_core::code::tag::Tag;
use locker_core::compartment::{
    CompartmentSpec, DoorReading, Layout, LockPosition, QuarantineReason,
};
use locker_core::credential::{CommandKey, CredentialKey, KeySet, RootKey};
use locker_core::downlink::{
    Booking, CompartmentReserved, ConfigDocument, Grant, GrantAccepted, GrantPosition, Mode, Quota,
};
use locker_core::fact::Fact;
use locker_core::ids::{
    Barcode, BootId, CarrierId, CompartmentNo, CredentialId, Generation, HubEpoch, IntentId,
    ParcelId, SessionId, Version,
};
use locker_core::journal::Booted;
use locker_core::parcel::{RecallReason, Terms};
use locker_core::session::{Actor, CourierProof, SessionEnd};
use locker_core::units::{Dimensions, Grams, UnixMillis};
use proptest::prelude::*;
use proptest::sample::select;

/// Parcels, codes and barcodes are numbered below this.
pub(super) const PARCELS: u16 = 5;

pub(super) fn parcel_id(n: u16) -> ParcelId {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&n.to_be_bytes());
    ParcelId(id)
}

pub(super) fn code(n: u16) -> CredentialId {
    CredentialId(parcel_id(n).0)
}

pub(super) fn barcode(n: u16) -> Barcode {
    format!("PKG{n}").parse().unwrap()
}

pub(super) fn carriers() -> [CarrierId; 2] {
    ["acme", "other"].map(|name| name.parse().unwrap())
}

pub(super) fn specs() -> Vec<CompartmentSpec> {
    let spec = |n: u8| CompartmentSpec {
        no: CompartmentNo(u16::from(n)),
        inside: Dimensions { length_mm: 300, width_mm: 200, height_mm: 100 * u32::from(n) },
        lock: LockPosition { board: n % 2, lock: n },
    };
    (1..=3).map(spec).collect()
}

pub(super) fn layout(generation: u64) -> Fact {
    let layout = Layout { generation: Generation(generation), compartments: specs() };
    Fact::ConfigAccepted(ConfigDocument::Layout(layout).into())
}

pub(super) fn booked(n: u16, version: u32) -> Fact {
    booked_as(n, version, n, n)
}

fn booked_as(n: u16, version: u32, label: u16, credential: u16) -> Fact {
    let [acme, other] = carriers();
    let booking = Booking {
        parcel: parcel_id(n),
        version: Version(version),
        // The last one is of another carrier, and may bear the same label.
        carrier: if n + 1 == PARCELS { other } else { acme },
        barcode: barcode(label),
        size: Dimensions { length_mm: 100, width_mm: 100, height_mm: 50 },
        weight: Grams(500),
        credential: code(credential),
        trace: None,
        terms: Terms { hard: n == 0, keep_ms: Some(1_000), ..Terms::default() },
    };
    accepted(u64::from(n), Grant::Book(booking))
}

pub(super) fn cancelled(n: u16, version: u32) -> Fact {
    accepted(u64::from(n), Grant::Cancel { parcel: parcel_id(n), version: Version(version) })
}

fn accepted(gseq: u64, grant: Grant) -> Fact {
    let position = GrantPosition { epoch: HubEpoch(1), gseq };
    Fact::GrantAccepted(GrantAccepted { position, grant })
}

/// Any fact, sense or not: folding must never tell the stores apart.
pub(super) fn any_fact() -> impl Strategy<Value = Fact> {
    let n = || 0..PARCELS;
    let no = || (1..5_u16).prop_map(CompartmentNo);
    let session = || (0..3_u8).prop_map(|n| SessionId([n; 16]));
    let reading = || select(vec![DoorReading::Open, DoorReading::Closed]);
    prop_oneof![
        3 => (n(), 1..4_u32, n(), n()).prop_map(|(n, v, label, code)| booked_as(n, v, label, code)),
        2 => (n(), 1..4_u32).prop_map(|(n, version)| cancelled(n, version)),
        1 => layouts(),
        1 => (1..9_u64).prop_map(key_set),
        1 => (1..9_u64).prop_map(|boot_count| {
            let agent_version = "1.0.0".to_owned();
            Fact::Booted(Booted { boot: BootId([1; 16]), boot_count, agent_version })
        }),
        2 => (session(), actor())
            .prop_map(|(session, actor)| Fact::SessionStarted(SessionStarted { session, actor })),
        1 => session().prop_map(|session| {
            Fact::SessionEnded(SessionEnded { session, end: SessionEnd::Finished })
        }),
        4 => deposit(),
        4 => decision(),
        3 => slots(),
        3 => keypad(),
        3 => recall(),
        3 => inspection(),
        3 => of_its_own(),
        4 => pickup(),
        3 => pulse(),
        2 => (no(), reading(), any::<bool>()).prop_map(|(compartment, reading, ours)| {
            let cause = ours.then_some(IntentId(1));
            Fact::DoorMoved(DoorMoved { compartment, reading, cause, class: None })
        }),
        1 => (no(), reading()).prop_map(|door| Fact::DoorsRead(DoorsRead { readings: vec![door] })),
        1 => (0..2_u8, any::<bool>())
            .prop_map(|(board, online)| Fact::BoardChanged(BoardChanged { board, online })),
    ]
}

fn layouts() -> impl Strategy<Value = Fact> {
    (1..9_u64, 0..4_usize).prop_map(|(generation, kept)| {
        let compartments = specs().into_iter().take(kept).collect();
        let layout = Layout { generation: Generation(generation), compartments };
        Fact::ConfigAccepted(ConfigDocument::Layout(layout).into())
    })
}

fn key_set(generation: u64) -> Fact {
    let keys = vec![CredentialKey { kid: 1, public: [2; 32] }];
    let command = vec![CommandKey { kid: 1, public: [2; 32] }];
    let root = Some(RootKey([8; 32]));
    let set = KeySet { generation: Generation(generation), keys, command, root };
    Fact::ConfigAccepted(ConfigDocument::KeySet(set).into())
}

fn actor() -> impl Strategy<Value = Actor> {
    (0..PARCELS, 0..3_u8).prop_map(|(n, who)| match who {
        0 => {
            Actor::Courier { carrier: "acme".parse().unwrap(), proof: CourierProof::Badge(code(n)) }
        }
        1 => Actor::Recipient { credential: code(n) },
        _ => Actor::Staff { badge: code(n) },
    })
}

fn deposit() -> impl Strategy<Value = Fact> {
    (0..3_u8, 0..PARCELS, 1..5_u16, 0..4_u8, any::<bool>()).prop_map(|(s, n, no, what, flag)| {
        let (session, parcel, compartment) = (SessionId([s; 16]), parcel_id(n), CompartmentNo(no));
        match what {
            0 => {
                let tried = flag.then_some(CompartmentNo(9)).into_iter().collect();
                Fact::DepositStarted(DepositStarted { session, parcel, compartment, tried })
            }
            1 => Fact::DepositMisfit(DepositMisfit { session, parcel, compartment, gave_up: flag }),
            2 => {
                let content = AbortedContent::Unknown(QuarantineReason::DepositUnresolved);
                let content = if flag { AbortedContent::Untouched } else { content };
                let lock_failed = flag;
                Fact::DepositAborted(DepositAborted {
                    session,
                    parcel,
                    compartment,
                    content,
                    lock_failed,
                })
            }
            _ => Fact::DepositConfirmed(DepositConfirmed {
                session,
                parcel,
                compartment,
                presumed: flag,
                // Bound to a parcel, perhaps of another's, or a slot that nobody minted.
                code: flag.then(|| BoundCode { slot: slot(s).id, sealed: slot(s).sealed }),
            }),
        }
    })
}

fn pickup() -> impl Strategy<Value = Fact> {
    let end = select(vec![
        PickupEnd::Collected { presumed: false },
        PickupEnd::CollectedDoorOpen,
        PickupEnd::NotTaken,
        PickupEnd::Interrupted,
        PickupEnd::Refused,
        PickupEnd::WrongParcel,
    ]);
    (0..3_u8, 0..PARCELS, 1..5_u16, end, any::<bool>()).prop_map(|(s, n, no, end, starts)| {
        let (session, parcel, compartment) = (SessionId([s; 16]), parcel_id(n), CompartmentNo(no));
        if starts {
            let credential = code(n);
            Fact::PickupStarted(PickupStarted { session, parcel, compartment, credential })
        } else {
            let lock_failed = false;
            Fact::PickupSettled(PickupSettled { session, parcel, compartment, end, lock_failed })
        }
    })
}

fn pulse() -> impl Strategy<Value = Fact> {
    let outcome = select(vec![
        None,
        Some(PulseOutcome::Opened { after_ms: 80 }),
        Some(PulseOutcome::NotOpened),
        Some(PulseOutcome::NotSent),
        Some(PulseOutcome::Recovered),
    ]);
    (1..4_u64, 1..5_u16, 0..PARCELS, outcome).prop_map(|(intent, no, n, outcome)| {
        let (intent, compartment) = (IntentId(intent), CompartmentNo(no));
        match outcome {
            Some(outcome) => Fact::PulseSettled(PulseSettled { intent, compartment, outcome }),
            None => {
                let (session, parcel) = (SessionId([0; 16]), Some(parcel_id(n)));
                Fact::PulseIntended(PulseIntended { intent, session, compartment, parcel })
            }
        }
    })
}

/// Codes come, go and move from parcel to parcel.
fn decision() -> impl Strategy<Value = Fact> {
    (0..PARCELS, 1..4_u32, 0..PARCELS, 0..5_u8).prop_map(|(n, version, other, what)| {
        let (parcel, version, credential) = (parcel_id(n), Version(version), code(other));
        let until = UnixMillis(5_000);
        accepted(
            u64::from(n),
            match what {
                0 => Grant::Keep { parcel, version, until },
                1 => Grant::Recall { parcel, version, reason: RecallReason::Safety },
                2 => Grant::Reissue { parcel, version, credential },
                3 => Grant::Delegate { parcel, version, credential, until },
                _ => Grant::Revoke { parcel, version, credential },
            },
        )
    })
}

fn slot(n: u8) -> Slot {
    let sealed = Sealed::try_from(vec![n; 35]).unwrap();
    Slot { id: SlotId([n; 16]), tag: Tag::from_bytes([n; 16]), sealed }
}

fn slots() -> impl Strategy<Value = Fact> {
    (0..4_u8, 0..4_u8).prop_map(|(first, last)| {
        accepted(u64::from(first), Grant::Slots((first..last).map(slot).collect()))
    })
}

/// Codes are typed on several days, after several starts, and staff opens the keypad again.
fn keypad() -> impl Strategy<Value = Fact> {
    let suffix = prop::option::of((0..3_u8).prop_map(|n| SuffixTag([n; 8])));
    let verdict = select(vec![Verdict::Right, Verdict::Spent, Verdict::Wrong, Verdict::Wrong]);
    let moment = (0..4_u64, 0..3_u8, 0..100_000_u64);
    (suffix, verdict, moment, 0..9_u8).prop_map(|(suffix, verdict, moment, what)| {
        let (day, boot, uptime_ms) = moment;
        if what == 0 {
            return Fact::KeypadReset(KeypadReset { badge: code(1) });
        }
        let earliest = UnixMillis(day * 86_400_000);
        let latest = (what != 1).then(|| earliest.plus_ms(1_000));
        let clock = ClockInterval { earliest, latest };
        let now = Now { clock, boot: BootId([boot; 16]), uptime_ms };
        Fact::CodeTyped(CodeTyped { suffix, verdict, now })
    })
}

fn recall() -> impl Strategy<Value = Fact> {
    let end = select(vec![RecallEnd::Removed, RecallEnd::FoundEmpty, RecallEnd::Interrupted]);
    (0..3_u8, 0..PARCELS, 1..5_u16, end, any::<bool>()).prop_map(|(s, n, no, end, starts)| {
        let (session, parcel, compartment) = (SessionId([s; 16]), parcel_id(n), CompartmentNo(no));
        if starts {
            Fact::RecallStarted(RecallStarted { session, parcel, compartment })
        } else {
            let lock_failed = false;
            Fact::RecallSettled(RecallSettled { session, parcel, compartment, end, lock_failed })
        }
    })
}

fn inspection() -> impl Strategy<Value = Fact> {
    (0..3_u8, 0..PARCELS, 1..5_u16, 0..6_u8).prop_map(|(s, n, no, what)| {
        let (session, parcel, compartment) = (SessionId([s; 16]), parcel_id(n), CompartmentNo(no));
        let finding = match what {
            0 | 1 => {
                return Fact::InspectionStarted(InspectionStarted { session, compartment });
            }
            2 => Finding::Empty,
            3 => Finding::Holds(parcel),
            4 => Finding::TakenOut(parcel),
            _ => Finding::Unfinished,
        };
        Fact::InspectionSettled(InspectionSettled { session, compartment, finding })
    })
}

/// What the bank comes to by itself, and the rest of what the hub says.
fn of_its_own() -> impl Strategy<Value = Fact> {
    (0..PARCELS, 1..5_u16, 0..9_u8).prop_map(|(n, no, what)| {
        let (parcel, compartment) = (parcel_id(n), CompartmentNo(no));
        let generation = Generation(u64::from(no));
        match what {
            0 => Fact::BookingLapsed(BookingLapsed { parcel }),
            1 => Fact::KeepLapsed(KeepLapsed { parcel }),
            2 => Fact::CompartmentReserved(CompartmentReserved { parcel, compartment }),
            3 => Fact::Alarm(Alarm::TooManyOpenings(OpenerKind::Courier)),
            4 => Fact::Alarm(Alarm::DoorOpenTooLong(compartment)),
            5 => Fact::LockdownBegan(LockdownBegan { reason: LockdownReason::Ordered }),
            6 => Fact::LockdownLiftAsked(LockdownLiftAsked { badge: code(n) }),
            7 => {
                let mode = Mode { generation, maintenance: n % 2 == 0 };
                Fact::ConfigAccepted(ConfigDocument::Mode(mode).into())
            }
            _ => {
                let ceded = vec![(specs()[0].inside, n)];
                Fact::ConfigAccepted(ConfigDocument::Quota(Quota { generation, ceded }).into())
            }
        }
    })
}
