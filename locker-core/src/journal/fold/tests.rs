//! Any facts in any order fold without a panic, alike from memory and from an overlay: a hub folds
//! what a damaged bank sends. What honest facts add up to, the scripts in `bank::tests` tell.

#![expect(clippy::too_many_lines, reason = "one line for each thing that can happen")]

use proptest::prelude::*;

use super::*;
use crate::bank::SessionEnded;
use crate::bank::lapsed;
use crate::bank::{AbortedContent, Alarm, BoardChanged, BoardReset, BookingLapsed, BoundCode};
use crate::bank::{DepositAborted, DepositConfirmed, DepositMisfit, DepositStarted, DoorMoved};
use crate::bank::{DoorsRead, Finding, InspectionSettled, InspectionStarted, KeepLapsed};
use crate::bank::{LockdownBegan, LockdownLiftAsked, LockdownLifted, LockdownReason, OpenerKind};
use crate::bank::{PickupEnd, PickupSettled, PickupStarted, PowerChanged, PulseIntended};
use crate::bank::{PulseOutcome, PulseSettled, RecallEnd, RecallSettled, RecallStarted};
use crate::clock::{ClockInterval, TimeQuality};
use crate::code::keypad_code::CourierCodes;
use crate::code::pool::{POOL_MAX, missing};
use crate::code::slot::{SLOTS_MAX, SPENT_SLOTS_MAX, Sealed, Slot, SlotId};
use crate::code::tag::Tag;
use crate::compartment::COMPARTMENTS_MAX;
use crate::compartment::{CompartmentSpec, DoorReading, Layout, LockPosition, QuarantineReason};
use crate::credential::{CommandKey, CredentialKey, KeySet};
use crate::downlink::{Booking, CompartmentReserved, ConfigAccepted, ConfigDocument, ConfigKind};
use crate::downlink::{ConfigRefusal, ConfigRefused};
use crate::downlink::{Grant, GrantAccepted, GrantPosition, GrantRefusal, GrantRefused, Mode};
use crate::ids::{BankId, BootId, CredentialId, Generation, HubEpoch, IntentId, SessionId};
use crate::ids::{StreamId, Version};
use crate::journal::{
    Booted, CHAIN_START, ChainHash, FOLD_VERSION, MemoryView, Overlay, Parent, StreamBreak,
};
use crate::journal::{KeyChanged, Sealed as Seal, StateCarried, StreamOpened, View};
use crate::parcel::Terms;
use crate::session::{Actor, CourierProof, SessionEnd};
use crate::units::{Dimensions, Grams};

#[test]
fn p_j_state_is_carried_over_only_before_the_first_start_of_a_parented_stream() {
    let bank: BankId = "bank-1".parse().unwrap();
    let parent =
        Parent { stream: StreamId([9; 16]), common: None, reason: Some(StreamBreak::Damaged) };
    let opened = |parent| {
        Fact::StreamOpened(StreamOpened { bank: bank.clone(), device_key: [3; 32], parent })
    };
    let (boot, agent_version) = (BootId([0; 16]), String::new());
    let booted = Fact::Booted(Booted { boot, boot_count: 1, agent_version });
    let mut told = MemoryView::default();
    let meta = Meta { boot_count: 7, last_intent: IntentId(5), sealed: 40, ..Meta::default() };
    let spec = CompartmentSpec {
        no: CompartmentNo(4),
        inside: Dimensions { length_mm: 1, width_mm: 1, height_mm: 1 },
        lock: LockPosition { board: 0, lock: 0 },
    };
    told.apply(vec![Change::Meta(meta), Change::Compartment(Compartment::commissioned(spec))]);
    let carried = Fact::StateCarried(StateCarried::new(told.export()));
    let state = |facts: Vec<Fact>| {
        let mut view = MemoryView::default();
        for fact in facts {
            let changes = fold(&view, &record(fact, 1));
            view.apply(changes);
        }
        view
    };
    let after = state(vec![opened(Some(parent)), carried.clone(), booted.clone()]);
    assert_eq!(after.compartments().len(), 1);
    let meta = after.meta();
    assert_eq!((meta.boot_count, meta.sealed, meta.last_intent), (1, 0, IntentId(5)));
    assert_eq!((meta.device_key, meta.parent), (Some([3; 32]), Some(parent)));
    for refused in [
        vec![opened(Some(parent)), booted.clone(), carried.clone()],
        vec![opened(None), carried.clone(), booted],
        vec![carried],
    ] {
        assert_eq!(state(refused).compartments(), []);
    }
}

#[test]
fn a_changed_key_and_a_seal_are_remembered() {
    let mut view = MemoryView::default();
    let changed = KeyChanged { old: None, new: [4; 32], signature: None };
    let seal = Seal {
        upto: 0,
        hash: ChainHash([0; 32]),
        fold_version: 5,
        projection: [0; 32],
        signature: [0; 64],
    };
    for fact in [Fact::KeyChanged(changed), Fact::Sealed(seal)] {
        let changes = fold(&view, &record(fact, 1));
        view.apply(changes);
    }
    let seq = record(Fact::Sealed(seal), 1).seq;
    assert_eq!((view.meta().device_key, view.meta().sealed), (Some([4; 32]), seq));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_facts_are_too_strange_to_fold(facts in prop::collection::vec((fact(), any::<u64>()), 0..60)) {
        let mut view = MemoryView::default();
        let empty = MemoryView::default();
        let mut overlay = Overlay::new(&empty);
        for (fact, at) in facts {
            let record = record(fact, at);
            let changes = fold(&view, &record);
            prop_assert_eq!(&fold(&overlay, &record), &changes);
            overlay.push(changes.clone());
            view.apply(changes);
        }
        let mut again = MemoryView::default();
        again.apply(overlay.into_changes());
        prop_assert_eq!(&again, &view);
    }
}

fn fact() -> impl Strategy<Value = Fact> {
    let intent = || prop_oneof![(0..4_u64), Just(u64::MAX)].prop_map(IntentId);
    let outcome = prop::sample::select(vec![
        PulseOutcome::Opened { after_ms: 1 },
        PulseOutcome::NotOpened,
        PulseOutcome::AlreadyOpen,
        PulseOutcome::Unknown,
        PulseOutcome::NotSent,
        PulseOutcome::Recovered,
    ]);
    let end = prop::sample::select(vec![
        PickupEnd::Collected { presumed: true },
        PickupEnd::CollectedDoorOpen,
        PickupEnd::NotTaken,
        PickupEnd::NotOpened,
        PickupEnd::Interrupted,
        PickupEnd::Unconfirmed,
        PickupEnd::Refused,
        PickupEnd::FoundEmpty,
        PickupEnd::WrongParcel,
    ]);
    let content = prop_oneof![
        Just(AbortedContent::Untouched),
        Just(AbortedContent::TakenBack),
        Just(AbortedContent::Foreign),
        Just(AbortedContent::Unknown(QuarantineReason::Interrupted)),
    ];
    let who = || (session(), parcel(), no());
    prop_oneof![
        device(),
        hub(),
        staff(),
        (who(), prop::collection::vec(no(), 0..3)).prop_map(
            |((session, parcel, compartment), tried)| {
                Fact::DepositStarted(DepositStarted { session, parcel, compartment, tried })
            }
        ),
        who().prop_map(|(session, parcel, compartment)| {
            Fact::DepositMisfit(DepositMisfit { session, parcel, compartment, gave_up: false })
        }),
        (who(), content, any::<bool>()).prop_map(
            |((session, parcel, compartment), content, lock_failed)| {
                let aborted = DepositAborted { session, parcel, compartment, content, lock_failed };
                Fact::DepositAborted(aborted)
            }
        ),
        (who(), any::<bool>()).prop_map(|((session, parcel, compartment), presumed)| {
            Fact::DepositConfirmed(DepositConfirmed {
                session,
                parcel,
                compartment,
                presumed,
                code: None,
            })
        }),
        (who(), code()).prop_map(|((session, parcel, compartment), credential)| {
            Fact::PickupStarted(PickupStarted { session, parcel, compartment, credential })
        }),
        (who(), end, any::<bool>()).prop_map(
            |((session, parcel, compartment), end, lock_failed)| {
                Fact::PickupSettled(PickupSettled {
                    session,
                    parcel,
                    compartment,
                    end,
                    lock_failed,
                })
            }
        ),
        (who(), intent()).prop_map(|((session, parcel, compartment), intent)| {
            Fact::PulseIntended(PulseIntended {
                intent,
                session,
                compartment,
                parcel: Some(parcel),
            })
        }),
        (no(), intent(), outcome).prop_map(|(compartment, intent, outcome)| {
            Fact::PulseSettled(PulseSettled { intent, compartment, outcome })
        }),
        (no(), reading(), prop::option::of(intent())).prop_map(|(compartment, reading, cause)| {
            Fact::DoorMoved(DoorMoved { compartment, reading, cause, class: None })
        }),
    ]
}

/// What couriers take out, staff do, and what ends by itself.
fn staff() -> impl Strategy<Value = Fact> {
    let who = || (session(), parcel(), no());
    let end = prop::sample::select(vec![
        RecallEnd::Removed,
        RecallEnd::FoundEmpty,
        RecallEnd::NotTaken,
        RecallEnd::NotOpened,
        RecallEnd::Interrupted,
    ]);
    let finding = prop_oneof![
        Just(Finding::NotOpened),
        Just(Finding::Empty),
        Just(Finding::Unfinished),
        parcel().prop_map(Finding::Holds),
        parcel().prop_map(Finding::TakenOut),
        parcel().prop_map(Finding::HandedOver),
    ];
    let alarm = prop_oneof![
        no().prop_map(Alarm::DoorOpenTooLong),
        no().prop_map(Alarm::SensorDoubt),
        Just(Alarm::BoardPower { board: 0 }),
        Just(Alarm::AddressClash { board: 0 }),
        Just(Alarm::TooManyOpenings(OpenerKind::Courier)),
    ];
    let reason = LockdownReason::Staff;
    prop_oneof![
        who().prop_map(|(session, parcel, compartment)| {
            Fact::RecallStarted(RecallStarted { session, parcel, compartment })
        }),
        (who(), end).prop_map(|((session, parcel, compartment), end)| {
            let lock_failed = false;
            Fact::RecallSettled(RecallSettled { session, parcel, compartment, end, lock_failed })
        }),
        (session(), no()).prop_map(|(session, compartment)| {
            Fact::InspectionStarted(InspectionStarted { session, compartment })
        }),
        (session(), no(), finding).prop_map(|(session, compartment, finding)| {
            Fact::InspectionSettled(InspectionSettled { session, compartment, finding })
        }),
        parcel().prop_map(|parcel| Fact::BookingLapsed(BookingLapsed { parcel })),
        parcel().prop_map(|parcel| Fact::KeepLapsed(KeepLapsed { parcel })),
        (parcel(), no()).prop_map(|(parcel, compartment)| {
            Fact::CompartmentReserved(CompartmentReserved { parcel, compartment })
        }),
        alarm.prop_map(Fact::Alarm),
        Just(Fact::LockdownBegan(LockdownBegan { reason })),
        code().prop_map(|badge| Fact::LockdownLiftAsked(LockdownLiftAsked { badge })),
        code().prop_map(|first| {
            Fact::LockdownLifted(LockdownLifted { first, second: CredentialId([9; 16]) })
        }),
        code().prop_map(|badge| Fact::BoardReset(BoardReset { board: 0, badge })),
        any::<bool>().prop_map(|mains| {
            let source = if mains { PowerSource::Mains } else { PowerSource::Battery };
            Fact::PowerChanged(PowerChanged { source })
        }),
        any::<bool>().prop_map(|maintenance| {
            let mode = Mode { generation: Generation(1), maintenance };
            Fact::ConfigAccepted(ConfigDocument::Mode(mode).into())
        }),
    ]
}

fn device() -> impl Strategy<Value = Fact> {
    let bank: BankId = "bank-1".parse().unwrap();
    let opened = StreamOpened { bank, device_key: [0; 32], parent: None };
    prop_oneof![
        Just(Fact::StreamOpened(opened)),
        any::<u64>().prop_map(|boot_count| {
            let agent_version = String::new();
            Fact::Booted(Booted { boot: BootId([0; 16]), boot_count, agent_version })
        }),
        (session(), code(), any::<bool>()).prop_map(|(session, credential, courier)| {
            let actor = if courier {
                let proof = CourierProof::Badge(credential);
                Actor::Courier { carrier: "acme".parse().unwrap(), proof }
            } else {
                Actor::Recipient { credential }
            };
            Fact::SessionStarted(SessionStarted { session, actor })
        }),
        session().prop_map(|session| {
            Fact::SessionEnded(SessionEnded { session, end: SessionEnd::Left })
        }),
        prop::collection::vec((no(), reading()), 0..6)
            .prop_map(|readings| Fact::DoorsRead(DoorsRead { readings })),
        (0..2_u8, any::<bool>())
            .prop_map(|(board, online)| Fact::BoardChanged(BoardChanged { board, online })),
    ]
}

fn hub() -> impl Strategy<Value = Fact> {
    let position = || {
        (0..3_u64, 0..3_u64)
            .prop_map(|(epoch, gseq)| GrantPosition { epoch: HubEpoch(epoch), gseq })
    };
    let version = || any::<u32>().prop_map(Version);
    prop_oneof![
        (position(), parcel(), version(), code(), 0..3_u8).prop_map(
            |(position, parcel, version, credential, label)| {
                let grant = Grant::Book(Booking {
                    parcel,
                    version,
                    carrier: "acme".parse().unwrap(),
                    barcode: format!("PKG{label}").parse().unwrap(),
                    size: Dimensions { length_mm: 1, width_mm: 1, height_mm: 1 },
                    weight: Grams(1),
                    credential,
                    trace: None,
                    terms: Terms::default(),
                });
                Fact::GrantAccepted(GrantAccepted { position, grant })
            }
        ),
        (position(), parcel(), version()).prop_map(|(position, parcel, version)| {
            let grant = Grant::Cancel { parcel, version };
            Fact::GrantAccepted(GrantAccepted { position, grant })
        }),
        (position(), parcel(), version(), code(), 0..5_u8).prop_map(
            |(position, parcel, version, credential, kind)| {
                let until = UnixMillis(5);
                let reason = RecallReason::Safety;
                let grant = match kind {
                    0 => Grant::Keep { parcel, version, until },
                    1 => Grant::Recall { parcel, version, reason },
                    2 => Grant::Reissue { parcel, version, credential },
                    3 => Grant::Delegate { parcel, version, credential, until },
                    _ => Grant::Revoke { parcel, version, credential },
                };
                Fact::GrantAccepted(GrantAccepted { position, grant })
            }
        ),
        (position(), parcel()).prop_map(|(position, parcel)| {
            let reason = GrantRefusal::Stale;
            Fact::GrantRefused(GrantRefused { position, parcel: Some(parcel), reason })
        }),
        (any::<u64>(), prop::collection::vec((no(), 0..3_u8), 0..4)).prop_map(
            |(generation, locks)| {
                let inside = Dimensions { length_mm: 1, width_mm: 1, height_mm: 1 };
                let spec = |(no, lock)| {
                    let lock = LockPosition { board: 0, lock };
                    CompartmentSpec { no, inside, lock }
                };
                let compartments = locks.into_iter().map(spec).collect();
                let layout = Layout { generation: Generation(generation), compartments };
                Fact::ConfigAccepted(ConfigDocument::Layout(layout).into())
            }
        ),
        any::<u64>().prop_map(|generation| {
            let keys = vec![CredentialKey { kid: 1, public: [0; 32] }];
            let generation = Generation(generation);
            let command = vec![CommandKey { kid: 1, public: [0; 32] }];
            let set = KeySet { generation, keys, command, root: None };
            Fact::ConfigAccepted(ConfigDocument::KeySet(set).into())
        }),
        any::<u64>().prop_map(|generation| {
            let (kind, reason) = (ConfigKind::Layout, ConfigRefusal::Unsound);
            let (epoch, generation) = (HubEpoch(0), Generation(generation));
            Fact::ConfigRefused(ConfigRefused { kind, epoch, generation, reason })
        }),
        (0..3_u64, any::<u64>()).prop_map(|(epoch, generation)| {
            let codes = CourierCodes { generation: Generation(generation), codes: Vec::new() };
            let document = ConfigDocument::CourierCodes(codes);
            Fact::ConfigAccepted(ConfigAccepted { epoch: HubEpoch(epoch), document })
        }),
    ]
}

fn record(fact: Fact, at: u64) -> Record {
    Record {
        stream: StreamId([1; 16]),
        seq: 1,
        boot: BootId([1; 16]),
        at: UnixMillis(at),
        quality: TimeQuality::Unknown,
        previous: CHAIN_START,
        trace: None,
        detached: None,
        fact,
    }
}

fn no() -> impl Strategy<Value = CompartmentNo> {
    (1..4_u16).prop_map(CompartmentNo)
}

fn parcel() -> impl Strategy<Value = ParcelId> {
    (1..4_u8).prop_map(|n| ParcelId([n; 16]))
}

fn code() -> impl Strategy<Value = CredentialId> {
    (1..5_u8).prop_map(|n| CredentialId([n; 16]))
}

fn session() -> impl Strategy<Value = SessionId> {
    (1..3_u8).prop_map(|n| SessionId([n; 16]))
}

fn reading() -> impl Strategy<Value = DoorReading> {
    prop_oneof![Just(DoorReading::Open), Just(DoorReading::Closed)]
}

/// A parcel with room at number 1 that may stay for an hour, put in at noon by a clock of this quality.
fn brought(quality: TimeQuality) -> MemoryView {
    let spec = CompartmentSpec {
        no: CompartmentNo(1),
        inside: Dimensions { length_mm: 1, width_mm: 1, height_mm: 1 },
        lock: LockPosition { board: 0, lock: 0 },
    };
    let layout = Layout { generation: Generation(1), compartments: vec![spec] };
    let [_, booked, confirmed, _] = life(1);
    let Fact::GrantAccepted(GrantAccepted { position, grant: Grant::Book(mut booking) }) = booked
    else {
        panic!("{booked:?}")
    };
    booking.terms.keep_ms = Some(HOUR_MS);
    let mut view = MemoryView::default();
    for fact in [
        Fact::ConfigAccepted(ConfigDocument::Layout(layout).into()),
        Fact::GrantAccepted(GrantAccepted { position, grant: Grant::Book(booking) }),
        confirmed,
    ] {
        let changes = fold(&view, &Record { quality, ..record(fact, NOON) });
        view.apply(changes);
    }
    view
}

const HOUR_MS: u64 = 3_600_000;
const NOON: u64 = 12 * HOUR_MS;

/// Whether the parcel's time is over when the true time is surely `now` or later.
fn is_over(view: &MemoryView, now: u64) -> bool {
    let clock = ClockInterval { earliest: UnixMillis(now), latest: Some(UnixMillis(now + 9)) };
    !lapsed(view, clock).facts.is_empty()
}

#[test]
fn t01_a_stay_counts_from_the_latest_time_that_its_deposit_can_have_been() {
    // Five minutes in doubt: a bank that was without its hub for a month.
    let view = brought(TimeQuality::Bounded { within_ms: 300_000 });
    assert!(!is_over(&view, NOON + HOUR_MS + 300_000));
    assert!(is_over(&view, NOON + HOUR_MS + 300_001));
}

#[test]
fn t02_a_stay_that_began_before_the_time_was_known_counts_from_when_it_is_and_never_from_a_wrong_one()
 {
    let mut view = brought(TimeQuality::Unknown);
    // The true time is ten days on: by the clock of the deposit its hour was over long ago.
    let now = NOON + 240 * HOUR_MS;
    assert!(!is_over(&view, now));
    let seal = |at, quality| {
        let seal = Seal {
            upto: 3,
            hash: CHAIN_START,
            fold_version: FOLD_VERSION,
            projection: [0; 32],
            signature: [0; 64],
        };
        Record { quality, ..record(Fact::Sealed(seal), at) }
    };
    // A seal that does not know the time either says nothing.
    let changes = fold(&view, &seal(NOON, TimeQuality::Unknown));
    view.apply(changes);
    assert!(!is_over(&view, now));
    let changes = fold(&view, &seal(now, TimeQuality::Bounded { within_ms: 7 }));
    view.apply(changes);
    assert!(!is_over(&view, now + HOUR_MS + 7));
    assert!(is_over(&view, now + HOUR_MS + 8));
    // And the next one changes nothing.
    let before = view.clone();
    let changes = fold(&view, &seal(now + 60_000, TimeQuality::Bounded { within_ms: 7 }));
    view.apply(changes);
    assert_eq!(view.parcels(), before.parcels());
}

/// A bank that never starts again: the fold of bookings and pickups alone keeps it small.
#[test]
fn what_was_used_or_settled_long_ago_makes_way_without_a_start() {
    let mut view = MemoryView::default();
    let mut take = |fact, at| {
        let changes = fold(&view, &record(fact, at));
        view.apply(changes);
        (view.slots().len(), view.parcels().len())
    };
    let day_ms = 86_400_000;
    let mut held = (0, 0);
    // Five parcels come and go each day, for two months.
    for n in 0..300_u16 {
        let at = u64::from(n) * day_ms / 5;
        for fact in life(n) {
            held = take(fact, at);
        }
        let spent = SPENT_SLOTS_MAX.min(usize::from(n) + 1);
        assert!(held.0 <= spent, "{} slots after {n}", held.0);
        // What settled within thirty days, and the one that is booked before the first is forgotten.
        assert!(held.1 <= 5 * 30 + 2, "{} parcels after {n}", held.1);
    }
    assert!(held.1 > 5 * 30, "not forgotten too early");
    // All come and go at once: only the newest digits are kept.
    for n in 300..700 {
        for fact in life(n) {
            held = take(fact, 60 * day_ms);
        }
    }
    assert_eq!(held.0, SPENT_SLOTS_MAX);
    let newest = u16::try_from(700 - SPENT_SLOTS_MAX).unwrap();
    let kept: Vec<_> = view.slots().into_iter().map(|held| held.slot.id).collect();
    assert_eq!(kept, (newest..700).map(|n| SlotId(id(n))).collect::<Vec<_>>());
}

/// The room that a full pool, the parcels inside and the digits that were used take.
#[test]
fn a_bank_of_two_hundred_compartments_has_room_for_all_its_slots() {
    assert!(usize::from(POOL_MAX) + 200 + SPENT_SLOTS_MAX <= SLOTS_MAX);
    // A larger one gets a smaller pool, and the hub mints no more than there is room for.
    let in_use = COMPARTMENTS_MAX + SPENT_SLOTS_MAX;
    assert_eq!(missing(POOL_MAX, 0, in_use), SLOTS_MAX - in_use);
}

/// A slot, a booking, a deposit and a pickup.
fn life(n: u16) -> [Fact; 4] {
    let parcel = ParcelId(id(n));
    let compartment = CompartmentNo(1);
    let session = SessionId([1; 16]);
    let sealed = Sealed::try_from(vec![1]).unwrap();
    let slot = Slot { id: SlotId(id(n)), tag: Tag::from_bytes(id(n)), sealed: sealed.clone() };
    let granted = |grant| {
        let position = GrantPosition { epoch: HubEpoch(1), gseq: 1 };
        Fact::GrantAccepted(GrantAccepted { position, grant })
    };
    let booking = Booking {
        parcel,
        version: Version(1),
        carrier: "acme".parse().unwrap(),
        barcode: format!("PKG{n}").parse().unwrap(),
        size: Dimensions { length_mm: 1, width_mm: 1, height_mm: 1 },
        weight: Grams(1),
        credential: CredentialId(id(n)),
        trace: None,
        terms: Terms::default(),
    };
    let code = Some(BoundCode { slot: slot.id, sealed });
    let end = PickupEnd::Collected { presumed: false };
    [
        granted(Grant::Slots(vec![slot])),
        granted(Grant::Book(booking)),
        Fact::DepositConfirmed(DepositConfirmed {
            session,
            parcel,
            compartment,
            presumed: false,
            code,
        }),
        Fact::PickupSettled(PickupSettled {
            session,
            parcel,
            compartment,
            end,
            lock_failed: false,
        }),
    ]
}

fn id(n: u16) -> [u8; 16] {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&n.to_be_bytes());
    id
}
