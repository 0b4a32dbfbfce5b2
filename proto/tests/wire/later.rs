//! What was added after banks had written their first records: every new fact, every new value of an old one, and what
//! holds them, with no field at its default.

use ed25519_dalek::SigningKey;
use locker_core::bank::{
    AbortedContent, Alarm, BoardReset, BookingLapsed, BoundCode, CodeTyped, CommandAnswer,
    CommandAnswered, DepositAborted, DepositConfirmed, DepositMisfit, DoorMoved, Finding,
    InspectionSettled, InspectionStarted, KeepLapsed, KeypadReset, LockdownBegan,
    LockdownLiftAsked, LockdownLifted, LockdownReason, OpenerKind, OpeningClass, PickupEnd,
    PickupSettled, PowerChanged, PowerSource, PulseIntended, RecallEnd, RecallSettled,
    RecallStarted, SessionStarted, SlotBound,
};
use locker_core::clock::ClockInterval;
use locker_core::code::budget::{Budget, BudgetDay, Now, Verdict, Wait};
use locker_core::code::keypad_code::{CourierCodes, KeypadCode, Validity};
use locker_core::code::second_factor::SuffixTag;
use locker_core::code::slot::{Sealed, Slot, SlotId};
use locker_core::code::tag::Tag;
use locker_core::compartment::{Allocation, Compartment, DoorReading, Health, QuarantineReason};
use locker_core::credential::RootKey;
use locker_core::credential::{CommandKey, Credential, CredentialState, Holder, KeySet};
use locker_core::downlink::ConfigEpochs;
use locker_core::downlink::{
    Booking, CompartmentReserved, ConfigAccepted, ConfigDocument, ConfigKind, ConfigRefusal,
    ConfigRefused, Grant, GrantAccepted, GrantRefusal, GrantRefused, Mode, Quota,
};
use locker_core::fact::Fact;
use locker_core::governor::Governor;
use locker_core::ids::{CommandId, CredentialId, Generation, GroupId, HubEpoch};
use locker_core::ids::{IntentId, Version};
use locker_core::journal::Sealed as Seal;
use locker_core::journal::{ChainHash, Change, HeldSlot, KeyChanged, LastPickup, Lockdown, Meta};
use locker_core::journal::{Parent, Place, StateCarried, StreamBreak, StreamOpened};
use locker_core::parcel::{Parcel, ParcelState, RecallReason, Terms};
use locker_core::session::{Actor, CourierProof, Handover, Opening, Phase, Session, Task};
use locker_core::units::{Dimensions, UnixMillis};
use locker_proto::entity::Snapshot;
use locker_proto::key_set::SignedKeySet;
use locker_proto::message::{Birth, Command, CommandKind, Config, Document, Restore, RestoreKind};

use crate::samples::{self, AT, BOOT, CREDENTIAL, EPOCH, HASH, NO, NONCE, PARCEL, SESSION, STREAM};

pub(crate) const COMMAND: CommandId = CommandId([0xdd; 16]);
pub(crate) const GROUP: GroupId = GroupId([0xee; 16]);
pub(crate) const BADGE: CredentialId = CredentialId([0xf1; 16]);
pub(crate) const OTHER_BADGE: CredentialId = CredentialId([0xf2; 16]);
pub(crate) const SLOT: SlotId = SlotId([0xa1; 16]);
pub(crate) const SUFFIX: SuffixTag = SuffixTag([0xa3; 8]);
pub(crate) const PLACE: Place = Place { seq: 4_700, hash: HASH };
const UNTIL: UnixMillis = UnixMillis(1_790_000_600_000);

pub(crate) const QUARANTINE_REASONS: [QuarantineReason; 6] = [
    QuarantineReason::FoundOccupied,
    QuarantineReason::FoundEmpty,
    QuarantineReason::WrongParcel,
    QuarantineReason::WrongDoor,
    QuarantineReason::InspectionUnfinished,
    QuarantineReason::HistoryLost,
];

pub(crate) const RECALL_REASONS: [RecallReason; 4] =
    [RecallReason::Expired, RecallReason::Sender, RecallReason::Safety, RecallReason::Refused];

const LOCKDOWN_REASONS: [LockdownReason; 3] =
    [LockdownReason::TooManyOpenings, LockdownReason::Ordered, LockdownReason::Staff];

/// Every new fact and every new value of an old one, each under a name for the frozen table.
pub(crate) fn facts() -> Vec<(String, Fact)> {
    let mut facts = of_the_hub();
    facts.extend(of_couriers());
    facts.extend(of_recipients());
    facts.extend(of_staff());
    facts.extend(of_doors());
    facts.extend(of_the_keypad());
    facts.extend(of_streams());
    let name = |(value, fact): (String, Fact)| {
        let field = samples::field_of(&fact);
        (if value.is_empty() { field.to_owned() } else { format!("{field}: {value}") }, fact)
    };
    facts.into_iter().map(name).collect()
}

fn of_the_hub() -> Vec<(String, Fact)> {
    let (position, parcel) = (samples::position(), PARCEL);
    let about = Some(parcel);
    let mut facts: Vec<_> = grants()
        .into_iter()
        .map(|(name, grant)| (name, Fact::GrantAccepted(GrantAccepted { position, grant })))
        .collect();
    let refusals = [
        GrantRefusal::NoRoom,
        GrantRefusal::CredentialTaken,
        GrantRefusal::NotInside,
        GrantRefusal::TooMany,
    ];
    facts.extend(refusals.map(|reason| {
        named(reason, Fact::GrantRefused(GrantRefused { position, parcel: about, reason }))
    }));
    let slots = GrantRefused { position, parcel: None, reason: GrantRefusal::TooMany };
    facts.push(named("about no parcel", Fact::GrantRefused(slots)));
    facts.extend([ConfigKind::Mode, ConfigKind::Quota].map(|kind| {
        let (generation, reason) = (Generation(6), ConfigRefusal::Unsound);
        let epoch = HubEpoch(0);
        named(kind, Fact::ConfigRefused(ConfigRefused { kind, epoch, generation, reason }))
    }));
    let documents = [
        ConfigDocument::Layout(samples::layout()),
        ConfigDocument::KeySet(samples::key_set()),
        ConfigDocument::Mode(mode()),
        ConfigDocument::Quota(quota()),
        ConfigDocument::CourierCodes(courier_codes()),
    ];
    facts.extend(documents.map(|document| {
        let name = format!("{document:?}").split('(').next().unwrap_or_default().to_owned();
        (name, Fact::ConfigAccepted(ConfigAccepted { epoch: EPOCH, document }))
    }));
    let untold = ConfigDocument::CourierCodes(courier_codes());
    facts.push(named("no epoch", Fact::ConfigAccepted(untold.into())));
    facts.push({
        let (kind, generation) = (ConfigKind::CourierCodes, Generation(6));
        let reason = ConfigRefusal::Unsound;
        named(kind, Fact::ConfigRefused(ConfigRefused { kind, epoch: EPOCH, generation, reason }))
    });
    let answers = [
        CommandAnswer::Done,
        CommandAnswer::Expired,
        CommandAnswer::OtherConnection,
        CommandAnswer::NotUnderstood,
    ];
    facts.extend(answers.map(|answer| {
        named(answer, Fact::CommandAnswered(CommandAnswered { command: COMMAND, answer }))
    }));
    facts.extend([
        named("", Fact::ConfigAccepted(ConfigDocument::Mode(mode()).into())),
        named("", Fact::ConfigAccepted(ConfigDocument::Quota(quota()).into())),
        named("command", Fact::ConfigAccepted(ConfigDocument::KeySet(key_set()).into())),
        named("root", Fact::ConfigAccepted(ConfigDocument::KeySet(held_key_set()).into())),
        named("", Fact::CompartmentReserved(CompartmentReserved { parcel, compartment: NO })),
        named("", Fact::BookingLapsed(BookingLapsed { parcel })),
        named("", Fact::KeepLapsed(KeepLapsed { parcel })),
    ]);
    facts
}

fn of_couriers() -> Vec<(String, Fact)> {
    let (session, parcel, compartment) = (SESSION, PARCEL, NO);
    let misfit = DepositMisfit { session, parcel, compartment, gave_up: true };
    let mut facts = vec![named("gave up", Fact::DepositMisfit(misfit))];
    let contents = QUARANTINE_REASONS.map(AbortedContent::Unknown);
    let said = [AbortedContent::TakenBack, AbortedContent::Foreign];
    for content in contents.into_iter().chain(said) {
        let lock_failed = false;
        let aborted = DepositAborted { session, parcel, compartment, content, lock_failed };
        facts.push(named(content, Fact::DepositAborted(aborted)));
    }
    facts
}

fn of_recipients() -> Vec<(String, Fact)> {
    let (session, parcel, compartment) = (SESSION, PARCEL, NO);
    let ends =
        [PickupEnd::Unconfirmed, PickupEnd::Refused, PickupEnd::FoundEmpty, PickupEnd::WrongParcel];
    let settled = ends.map(|end| {
        let lock_failed = false;
        let settled = PickupSettled { session, parcel, compartment, end, lock_failed };
        named(end, Fact::PickupSettled(settled))
    });
    settled.to_vec()
}

fn of_staff() -> Vec<(String, Fact)> {
    let (session, parcel, compartment) = (SESSION, PARCEL, NO);
    let actor = Actor::Staff { badge: BADGE };
    let mut facts = vec![
        named("staff", Fact::SessionStarted(SessionStarted { session, actor })),
        named("", Fact::RecallStarted(RecallStarted { session, parcel, compartment })),
        named("", Fact::InspectionStarted(InspectionStarted { session, compartment })),
        named("", Fact::LockdownLiftAsked(LockdownLiftAsked { badge: BADGE })),
        named("", Fact::LockdownLifted(LockdownLifted { first: BADGE, second: OTHER_BADGE })),
        named("", Fact::BoardReset(BoardReset { board: 2, badge: BADGE })),
    ];
    let ends = [
        RecallEnd::Removed,
        RecallEnd::FoundEmpty,
        RecallEnd::NotTaken,
        RecallEnd::NotOpened,
        RecallEnd::Interrupted,
    ];
    facts.extend(ends.map(|end| {
        let lock_failed = true;
        let settled = RecallSettled { session, parcel, compartment, end, lock_failed };
        named(end, Fact::RecallSettled(settled))
    }));
    let findings = [
        Finding::NotOpened,
        Finding::Empty,
        Finding::Holds(PARCEL),
        Finding::TakenOut(PARCEL),
        Finding::HandedOver(PARCEL),
        Finding::Unfinished,
    ];
    facts.extend(findings.map(|finding| {
        let settled = InspectionSettled { session, compartment, finding };
        named(finding, Fact::InspectionSettled(settled))
    }));
    facts.extend(
        LOCKDOWN_REASONS.map(|reason| named(reason, Fact::LockdownBegan(LockdownBegan { reason }))),
    );
    facts
}

fn of_doors() -> Vec<(String, Fact)> {
    let (session, compartment, intent) = (SESSION, NO, IntentId(12));
    let look = PulseIntended { intent, session, compartment, parcel: None };
    let mut facts = vec![named("staff look", Fact::PulseIntended(look))];
    let classes = [
        OpeningClass::Forced,
        OpeningClass::Sympathetic,
        OpeningClass::Late,
        OpeningClass::CableFault,
        OpeningClass::AddressClash,
    ];
    facts.extend(classes.map(|class| {
        let (reading, cause) = (DoorReading::Open, None);
        let moved = DoorMoved { compartment, reading, cause, class: Some(class) };
        named(class, Fact::DoorMoved(moved))
    }));
    let openers =
        [OpenerKind::Courier, OpenerKind::Recipient, OpenerKind::Staff, OpenerKind::Remote];
    let alarms = [
        Alarm::DoorOpenTooLong(NO),
        Alarm::SensorDoubt(NO),
        Alarm::BoardPower { board: 2 },
        Alarm::AddressClash { board: 2 },
        Alarm::Restarting,
    ];
    let alarms = alarms.into_iter().chain(openers.map(Alarm::TooManyOpenings));
    facts.extend(alarms.map(|alarm| named(alarm, Fact::Alarm(alarm))));
    let sources = [PowerSource::Mains, PowerSource::Battery];
    let changed = |source| named(source, Fact::PowerChanged(PowerChanged { source }));
    facts.extend(sources.map(changed));
    facts
}

fn of_streams() -> Vec<(String, Fact)> {
    let (bank, device_key) = (samples::bank(), [0xbb; 32]);
    let breaks = [StreamBreak::Forked, StreamBreak::Damaged, StreamBreak::Replaced];
    let mut facts: Vec<_> = breaks
        .into_iter()
        .map(|reason| {
            let parent = Some(Parent { reason: Some(reason), ..parent() });
            let (bank, device_key) = (bank.clone(), device_key);
            named(reason, Fact::StreamOpened(StreamOpened { bank, device_key, parent }))
        })
        .collect();
    facts.push(named("no parent", {
        let (bank, parent) = (bank.clone(), None);
        Fact::StreamOpened(StreamOpened { bank, device_key, parent })
    }));
    let (old, signature) = (Some([0xb1; 32]), Some([0xb3; 64]));
    let changed = KeyChanged { old, new: [0xb2; 32], signature };
    let unsigned = KeyChanged { old: None, signature: None, ..changed };
    facts.extend([
        named("", Fact::Sealed(seal())),
        named("", Fact::KeyChanged(changed)),
        named("by nobody", Fact::KeyChanged(unsigned)),
        named("", Fact::StateCarried(StateCarried::new(samples::snapshot().changes))),
    ]);
    facts
}

pub(crate) fn parent() -> Parent {
    Parent { common: Some(PLACE), reason: Some(StreamBreak::Forked), ..samples::parent() }
}

fn seal() -> Seal {
    Seal { upto: 4_710, hash: HASH, fold_version: 5, projection: [0xb4; 32], signature: [0xb5; 64] }
}

fn of_the_keypad() -> Vec<(String, Fact)> {
    let (session, parcel, compartment) = (SESSION, PARCEL, NO);
    let bound = BoundCode { slot: SLOT, sealed: sealed() };
    let code = Some(bound.clone());
    let confirmed = DepositConfirmed { session, parcel, compartment, presumed: false, code };
    let mut facts = vec![
        named("with a code", Fact::DepositConfirmed(confirmed)),
        named("", Fact::KeypadReset(KeypadReset { badge: BADGE })),
        named(Alarm::KeypadClosed, Fact::Alarm(Alarm::KeypadClosed)),
        named("", Fact::SlotBound(SlotBound { parcel, code: bound })),
    ];
    let verdicts = [Verdict::Right, Verdict::Spent, Verdict::Wrong];
    facts.extend(verdicts.map(|verdict| {
        let typed = CodeTyped { suffix: Some(SUFFIX), verdict, now: now() };
        named(verdict, Fact::CodeTyped(typed))
    }));
    let clock = ClockInterval { latest: None, ..now().clock };
    let now = Now { clock, ..now() };
    let alone = CodeTyped { suffix: None, verdict: Verdict::Wrong, now };
    facts.push(named("alone, time unknown", Fact::CodeTyped(alone)));
    let actor = courier_with_digits();
    facts.push(named(
        "courier with digits",
        Fact::SessionStarted(SessionStarted { session, actor }),
    ));
    facts
}

pub(crate) fn courier_with_digits() -> Actor {
    Actor::Courier { carrier: "acme".parse().unwrap(), proof: CourierProof::Keypad(SLOT) }
}

/// `fact` under the name of the value it is about, without the ids and numbers inside; an empty name where there is
/// only one.
fn named(value: impl std::fmt::Debug, fact: Fact) -> (String, Fact) {
    let text = format!("{value:?}").replace('"', "");
    let text = text.replace(&format!("({PARCEL:?})"), "").replace(&format!("({NO:?})"), "");
    let value = text.split(" {").next().unwrap_or_default();
    (value.to_owned(), fact)
}

pub(crate) fn grants() -> Vec<(String, Grant)> {
    let (parcel, version, credential, until) = (PARCEL, Version(3), CREDENTIAL, UNTIL);
    let mut grants = vec![
        (
            "book with terms".to_owned(),
            Grant::Book(Booking { terms: terms(), ..samples::booking() }),
        ),
        ("keep".to_owned(), Grant::Keep { parcel, version, until }),
        ("reissue".to_owned(), Grant::Reissue { parcel, version, credential }),
        ("delegate".to_owned(), Grant::Delegate { parcel, version, credential, until }),
        ("revoke".to_owned(), Grant::Revoke { parcel, version, credential }),
    ];
    grants.extend(
        RECALL_REASONS.map(|reason| {
            (format!("recall, {reason:?}"), Grant::Recall { parcel, version, reason })
        }),
    );
    let other = Slot { id: SlotId([0xa4; 16]), ..slot() };
    grants.push(("slots".to_owned(), Grant::Slots(vec![slot(), other])));
    grants
}

pub(crate) fn terms() -> Terms {
    Terms {
        hard: true,
        book_until: Some(AT),
        keep_ms: Some(259_200_000),
        keep_until: Some(UNTIL),
        group: Some(GROUP),
        suffix: Some(SUFFIX),
    }
}

pub(crate) const fn mode() -> Mode {
    Mode { generation: Generation(7), maintenance: true }
}

pub(crate) fn quota() -> Quota {
    let small = Dimensions { length_mm: 400, width_mm: 300, height_mm: 100 };
    Quota { generation: Generation(8), ceded: vec![(samples::size(), 3), (small, 65_535)] }
}

pub(crate) fn courier_codes() -> CourierCodes {
    let code = |id| KeypadCode {
        slot: Slot { id: SlotId([id; 16]), ..slot() },
        carrier: "acme".parse().unwrap(),
        valid: Validity { from: AT, until: UNTIL },
    };
    CourierCodes { generation: Generation(9), codes: vec![code(0xb1), code(0xb2)] }
}

/// One that says how its journal can be made whole, too.
pub(crate) fn birth_with_a_ladder() -> Birth {
    Birth {
        parent: Some(parent()),
        device_key: Some([0xbb; 32]),
        ladder: vec![PLACE, Place { seq: 0, hash: ChainHash([0; 32]) }],
        ..birth()
    }
}

pub(crate) fn restores() -> [(&'static str, Restore); 3] {
    let restore = |kind| Restore { stream: STREAM, nonce: NONCE, kind };
    let batch = samples::batch();
    let run = RestoreKind::Run {
        first_seq: batch.first_seq,
        previous: batch.previous,
        records: batch.records,
        until: Place { seq: 4_800, ..PLACE },
    };
    let new = |reason, common| RestoreKind::NewStream { reason, common };
    [
        ("restore: run", restore(run)),
        ("restore: new stream", restore(new(StreamBreak::Forked, Some(PLACE)))),
        ("restore: nothing in common", restore(new(StreamBreak::Damaged, None))),
    ]
}

/// One that says all that newer agents say.
pub(crate) fn birth() -> Birth {
    Birth {
        mode: Some(Generation(7)),
        quota: Some(Generation(8)),
        courier_codes: Some(Generation(0)),
        code_keys: Some([0xa7; 8]),
        config_epoch: EPOCH,
        ..samples::birth()
    }
}

pub(crate) fn meta_with_epochs() -> Meta {
    let epoch = |n| HubEpoch(EPOCH.0 + n);
    let (layout, mode, quota) = (epoch(1), epoch(2), epoch(3));
    let config_epochs = ConfigEpochs { layout, mode, quota, courier_codes: epoch(4) };
    Meta { config_epochs, ..samples::meta() }
}

pub(crate) fn meta_after_a_pickup() -> Meta {
    let (parcel, compartment, credential) = (PARCEL, NO, CREDENTIAL);
    let last = LastPickup { parcel, compartment, credential, until: UNTIL };
    Meta { last_pickup: Some(last), ..samples::meta() }
}

pub(crate) fn meta_on_battery() -> Meta {
    Meta { on_battery: true, ..samples::meta() }
}

pub(crate) fn meta_with_a_root() -> Meta {
    Meta { keys: held_key_set(), ..samples::meta() }
}

pub(crate) fn meta_of_a_sealed_stream() -> Meta {
    let (device_key, parent) = (Some([0xbb; 32]), Some(parent()));
    Meta { device_key, parent, sealed: 4_700, ..samples::meta() }
}

pub(crate) fn metas() -> Vec<(String, Meta)> {
    let (mode, quota) = (mode(), quota());
    let all = LOCKDOWN_REASONS.map(|reason| {
        let lift_asked_by = (reason == LockdownReason::Staff).then_some(BADGE);
        let lockdown = Some(Lockdown { since: AT, reason, lift_asked_by });
        let meta = Meta { mode, quota: quota.clone(), lockdown, ..samples::meta() };
        (format!("meta: {reason:?}"), meta)
    });
    let with_keys = Meta { keys: key_set(), ..samples::meta() };
    all.into_iter().chain([("meta: command keys".to_owned(), with_keys)]).collect()
}

pub(crate) fn compartments() -> Vec<(String, Compartment)> {
    let compartment = |allocation| Compartment {
        allocation,
        health: Health::Stopped,
        pulsed_at: Some(AT),
        sensor_doubt: true,
        open_too_long: true,
        ..samples::compartment()
    };
    let (session, parcel) = (SESSION, PARCEL);
    let mut all = vec![
        ("compartment: reserved".to_owned(), compartment(Allocation::Reserved { parcel })),
        (
            "compartment: recalling".to_owned(),
            compartment(Allocation::Recalling { session, parcel }),
        ),
    ];
    all.extend(QUARANTINE_REASONS.map(|reason| {
        let quarantined = Allocation::Quarantined { reason, parcel: None };
        (format!("compartment: {reason:?}"), compartment(quarantined))
    }));
    all
}

pub(crate) fn parcels() -> Vec<(String, Parcel)> {
    let (session, compartment, since, at) = (SESSION, NO, AT, AT);
    let states = [
        ParcelState::Recalling { session, compartment, since },
        ParcelState::BookingExpired { at },
        ParcelState::Recalled { at },
        ParcelState::Missing { at },
    ];
    let names = ["recalling", "booking expired", "recalled", "missing"];
    let all = names.into_iter().zip(states).zip(RECALL_REASONS).map(|((name, state), reason)| {
        let (terms, recall) = (terms(), Some(reason));
        let parcel = Parcel { terms, recall, misfit_mm3: 24_000_000, state, ..samples::parcel() };
        (format!("parcel: {name}"), parcel)
    });
    all.collect()
}

pub(crate) fn credential() -> Credential {
    let holder = Holder::Delegate { until: UNTIL };
    Credential { holder, state: CredentialState::Superseded, ..samples::credential() }
}

pub(crate) fn opening() -> Opening {
    Opening {
        compartment: NO,
        intent: IntentId(12),
        pulses: 2,
        reopened: 3,
        phase: Phase::Open,
        opened_at: Some(AT),
        other_door: true,
        left_open: false,
    }
}

pub(crate) fn sessions() -> Vec<(String, Session)> {
    let handover = Handover { opening: opening(), ..samples::handover() };
    let actor = Actor::Staff { badge: BADGE };
    let session = |task| Session { actor: actor.clone(), task, ..samples::session() };
    vec![
        ("session: deposit".to_owned(), session(Task::Deposit(handover.clone()))),
        ("session: pickup".to_owned(), session(Task::Pickup(handover.clone()))),
        ("session: recall".to_owned(), session(Task::Recall(handover))),
        ("session: inspection".to_owned(), session(Task::Inspection(opening()))),
    ]
}

pub(crate) fn sessions_with_an_alarm() -> [(&'static str, Session); 2] {
    let opening = Opening { left_open: true, ..opening() };
    let handover = Handover { opening, ..samples::handover() };
    let session = |task| Session { task, ..samples::session() };
    [
        ("session: left open", session(Task::Deposit(handover))),
        ("session: inspection, left open", session(Task::Inspection(opening))),
    ]
}

pub(crate) fn governor() -> Governor {
    let times = |count: u64| (0..count).map(|n| UnixMillis(AT.0 + n)).collect();
    Governor {
        courier: times(5),
        recipient: times(4),
        staff: times(1),
        remote: times(2),
        trips: times(3),
    }
}

pub(crate) fn sealed() -> Sealed {
    Sealed::try_from(vec![0xa5; 5]).unwrap()
}

pub(crate) fn slot() -> Slot {
    Slot { id: SLOT, tag: Tag::from_bytes([0xa2; 16]), sealed: sealed() }
}

/// The second is its parcel's, the first waits for one.
pub(crate) fn held_slots() -> [HeldSlot; 2] {
    let bound = Slot { id: SlotId([0xa4; 16]), ..slot() };
    [HeldSlot { slot: slot(), parcel: None }, HeldSlot { slot: bound, parcel: Some(PARCEL) }]
}

pub(crate) const fn now() -> Now {
    let clock = ClockInterval { earliest: AT, latest: Some(UNTIL) };
    Now { clock, boot: BOOT, uptime_ms: 90_000 }
}

pub(crate) fn budget() -> Budget {
    Budget {
        day: BudgetDay::Day(20_717),
        wrong: 8,
        wrong_alone: 1,
        by_suffix: [(SUFFIX, 3), (SuffixTag([0xa6; 8]), 4)].into(),
        row: 2,
        wait: Some(Wait { boot: BOOT, since_uptime_ms: 90_000, wait_ms: 4_000 }),
    }
}

/// Something was counted while the time was unknown.
pub(crate) fn undated_budget() -> Budget {
    Budget { day: BudgetDay::Undated, wait: None, ..budget() }
}

pub(crate) fn snapshot_with_codes() -> Snapshot {
    let slots = held_slots().map(Change::Slot);
    let changes = slots.into_iter().chain([Change::Budget(budget())]).collect();
    Snapshot { changes, ..samples::snapshot() }
}

pub(crate) fn snapshot() -> Snapshot {
    let mut changes: Vec<_> =
        metas().into_iter().take(1).map(|(_, meta)| Change::Meta(meta)).collect();
    changes.push(Change::Session(sessions().pop().map(|(_, session)| session)));
    changes.extend(compartments().into_iter().take(1).map(|(_, held)| Change::Compartment(held)));
    changes.extend(parcels().into_iter().take(1).map(|(_, parcel)| Change::Parcel(parcel)));
    changes.push(Change::Credential(credential()));
    changes.push(Change::Governor(governor()));
    Snapshot { changes, ..samples::snapshot() }
}

/// With keys of both kinds.
pub(crate) fn key_set() -> KeySet {
    let command = [(1, 0x11), (2, 0x22)].map(|(kid, byte)| CommandKey { kid, public: [byte; 32] });
    KeySet { generation: Generation(6), command: command.into(), ..samples::key_set() }
}

/// By the root of thirty-two nines.
/// As a bank holds it.
pub(crate) fn held_key_set() -> KeySet {
    KeySet { root: Some(RootKey([0x77; 32])), ..key_set() }
}

pub(crate) fn signed_key_set() -> SignedKeySet {
    SignedKeySet::sign(&root(), &key_set())
}

pub(crate) fn root() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

pub(crate) fn configs() -> [Config; 4] {
    let documents = [
        Document::Mode(mode()),
        Document::Quota(quota()),
        Document::KeySet(signed_key_set()),
        Document::CourierCodes(courier_codes()),
    ];
    documents.map(|document| Config { epoch: EPOCH, document, nonce: None })
}

/// What couriers sign in with at the keypad.
pub(crate) fn snapshot_with_courier_codes() -> Snapshot {
    Snapshot { changes: vec![Change::CourierCodes(courier_codes())], ..samples::snapshot() }
}

pub(crate) fn command() -> Command {
    Command {
        id: COMMAND,
        bank: samples::bank(),
        nonce: NONCE,
        not_after: UNTIL,
        kind: Some(CommandKind::LockDown),
    }
}
