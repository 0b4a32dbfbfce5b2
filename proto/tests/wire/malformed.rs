//! What nobody of ours wrote is refused, and the refusal names the field.

use locker_core::code::budget::WRONG_PER_DAY;
use locker_core::code::keypad_code::COURIER_CODES_MAX;
use locker_core::downlink::GRANTS_PER_BATCH_MAX;
use locker_core::ids::ParseIdError;
use locker_core::journal::{BATCH_MAX_BYTES, BATCH_MAX_RECORDS, RECORD_MAX_BYTES};
use locker_proto::message::{
    AGENT_VERSION_MAX_BYTES, Ack, Batch, Birth, Command, Config, DecodeMessageError, Grants,
    MESSAGE_MAX_BYTES, Presence, Telemetry,
};
use locker_proto::record::{DecodeError, decode_record, encode_record};
use locker_proto::wire::bank::v1 as bank;
use locker_proto::wire::journal::v1 as wire;
use locker_proto::wire::journal::v1::record::Fact as Form;
use locker_proto::{FieldProblem, Malformed, entity};
use prost::Message;

use crate::{later, samples};

/// The form of a record with the fact of the given field.
fn form(field: &str) -> wire::Record {
    let later = later::facts().into_iter().map(|(_, fact)| fact);
    let mut facts = samples::facts().into_iter().chain(later);
    let fact = facts.find(|fact| samples::field_of(fact) == field).unwrap();
    wire::Record::decode(&encode_record(&samples::record(fact))[..]).unwrap()
}

fn refusal(form: &wire::Record) -> DecodeError {
    decode_record(&form.encode_to_vec()).unwrap_err()
}

fn field(field: &'static str, problem: FieldProblem) -> DecodeError {
    DecodeError::Malformed(Malformed::Field { field, problem })
}

fn length(bytes: usize, want_bytes: usize) -> FieldProblem {
    FieldProblem::Length { bytes, want_bytes }
}

#[test]
fn a_record_whose_envelope_is_wrong_names_the_field() {
    let good = form("booted");
    let table = [
        (
            wire::Record { stream_id: vec![1; 15], ..good.clone() },
            field("Record.stream_id", length(15, 16)),
        ),
        (
            wire::Record { stream_id: vec![], ..good.clone() },
            field("Record.stream_id", FieldProblem::Missing),
        ),
        (
            wire::Record { boot_id: vec![1; 17], ..good.clone() },
            field("Record.boot_id", length(17, 16)),
        ),
        (
            wire::Record { previous_hash: vec![1; 31], ..good.clone() },
            field("Record.previous_hash", length(31, 32)),
        ),
        (
            wire::Record { detached_hash: vec![1; 33], ..good.clone() },
            field("Record.detached_hash", length(33, 32)),
        ),
        (
            wire::Record { traceparent: "01-a".into(), ..good.clone() },
            field("Record.traceparent", FieldProblem::Text(ParseIdError::TraceParent)),
        ),
        // Without a sound envelope it is not a newer agent's record, but nobody's.
        (
            wire::Record { fact: None, boot_id: vec![], ..good },
            field("Record.boot_id", FieldProblem::Missing),
        ),
    ];
    for (form, reason) in table {
        assert_eq!(refusal(&form), reason);
        assert!(!reason.may_be_newer());
    }
}

/// The fact of the named form.
macro_rules! harmed {
    ($fact:ident, $form:ident) => {
        if let Form::$form(fact) = $fact { fact } else { panic!("{:?}", $fact) }
    };
}

/// What is done to a good fact.
type Harm = fn(&mut Form);

#[test]
fn a_fact_that_is_wrong_names_the_field() {
    const MISSING: FieldProblem = FieldProblem::Missing;
    let range = |value, max| FieldProblem::Range { value, min: 0, max };
    let table: Vec<(&str, Harm, &'static str, FieldProblem)> = vec![
        ("stream_opened", |f| opened(f).bank.clear(), "StreamOpened.bank", MISSING),
        (
            "stream_opened",
            |f| opened(f).bank = "Berlin".into(),
            "StreamOpened.bank",
            FieldProblem::Text(ParseIdError::Grammar { kind: "bank id" }),
        ),
        (
            "stream_opened",
            |f| opened(f).parent_stream_id.truncate(3),
            "StreamOpened.parent_stream_id",
            length(3, 16),
        ),
        ("grant_accepted", |f| accepted(f).position = None, "GrantAccepted.position", MISSING),
        ("grant_accepted", |f| accepted(f).grant = None, "GrantAccepted.grant", MISSING),
        (
            "grant_accepted",
            |f| accepted(f).grant = Some(wire::Grant { grant: None }),
            "Grant.grant",
            MISSING,
        ),
        ("grant_accepted", |f| booking(f).size = None, "Booking.size", MISSING),
        (
            "grant_accepted",
            |f| booking(f).barcode = "a b".into(),
            "Booking.barcode",
            FieldProblem::Text(ParseIdError::NotPrintable { kind: "barcode" }),
        ),
        ("layout_accepted", |f| spec(f).no = 65_536, "CompartmentSpec.no", range(65_536, 65_535)),
        ("layout_accepted", |f| spec(f).board = 256, "CompartmentSpec.board", range(256, 255)),
        ("layout_accepted", |f| spec(f).inside = None, "CompartmentSpec.inside", MISSING),
        (
            "pulse_settled",
            |f| pulse(f).compartment = 65_536,
            "PulseSettled.compartment",
            range(65_536, 65_535),
        ),
        ("pulse_settled", |f| pulse(f).outcome = 0, "PulseSettled.outcome", MISSING),
    ];
    for (fact, harm, name, problem) in table {
        let mut form = form(fact);
        harm(form.fact.as_mut().unwrap());
        let reason = refusal(&form);
        assert_eq!(reason, field(name, problem));
        assert!(!reason.may_be_newer(), "{name}");
    }
}

fn opened(fact: &mut Form) -> &mut wire::StreamOpened {
    if let Form::StreamOpened(fact) = fact { fact } else { panic!("{fact:?}") }
}

fn accepted(fact: &mut Form) -> &mut wire::GrantAccepted {
    if let Form::GrantAccepted(fact) = fact { fact } else { panic!("{fact:?}") }
}

fn booking(fact: &mut Form) -> &mut wire::Booking {
    let grant = accepted(fact).grant.as_mut().unwrap().grant.as_mut().unwrap();
    if let wire::grant::Grant::Book(booking) = grant { booking } else { panic!("{grant:?}") }
}

fn spec(fact: &mut Form) -> &mut wire::CompartmentSpec {
    if let Form::LayoutAccepted(fact) = fact {
        &mut fact.compartments[0]
    } else {
        panic!("{fact:?}")
    }
}

fn pulse(fact: &mut Form) -> &mut wire::PulseSettled {
    if let Form::PulseSettled(fact) = fact { fact } else { panic!("{fact:?}") }
}

#[test]
fn a_fact_of_a_newer_agent_is_told_apart_from_a_malformed_one() {
    // A fact with the next free number, which this version skips as an unknown field.
    let mut newer = wire::Record { fact: None, ..form("booted") }.encode_to_vec();
    prost::encoding::bytes::encode(58, &b"\x08\x01".to_vec(), &mut newer);
    assert_eq!(decode_record(&newer), Err(DecodeError::UnknownFact));
    assert!(DecodeError::UnknownFact.may_be_newer());

    let newer = wire::Record { format_version: 2, ..form("booted") };
    let reason = decode_record(&newer.encode_to_vec()).unwrap_err();
    assert_eq!(reason, DecodeError::NewerFormat { found: 2 });
    assert!(reason.may_be_newer());
    let none = wire::Record { format_version: 0, ..form("booted") };
    assert_eq!(refusal(&none), field("Record.format_version", FieldProblem::Missing));

    let mut value = form("pulse_settled");
    pulse(value.fact.as_mut().unwrap()).outcome = 7;
    let reason = refusal(&value);
    assert_eq!(reason, field("PulseSettled.outcome", FieldProblem::UnknownValue { value: 7 }));
    assert!(reason.may_be_newer());
}

#[test]
fn a_field_of_a_newer_agent_is_passed_over() {
    let record = samples::record(samples::facts().remove(0));
    let mut bytes = encode_record(&record);
    prost::encoding::uint64::encode(15, &1, &mut bytes);
    assert_eq!(decode_record(&bytes), Ok(record));
}

#[test]
fn a_record_above_the_limit_is_not_read() {
    let mut form = form("booted");
    let Some(Form::Booted(booted)) = &mut form.fact else { panic!("{form:?}") };
    booted.agent_version = "v".repeat(RECORD_MAX_BYTES);
    let bytes = form.encode_to_vec();
    let reason = Malformed::TooLarge { bytes: bytes.len(), max_bytes: RECORD_MAX_BYTES };
    assert_eq!(decode_record(&bytes), Err(DecodeError::Malformed(reason)));
}

#[test]
fn bytes_that_are_no_protobuf_are_nothing() {
    let bytes = [0xff; 11];
    let is_not = |malformed: &Malformed| matches!(malformed, Malformed::NotProtobuf(_));
    let Err(DecodeError::Malformed(reason)) = decode_record(&bytes) else { panic!() };
    assert!(is_not(&reason));
    let messages = [
        Birth::decode(&bytes).unwrap_err(),
        Batch::decode(&bytes).unwrap_err(),
        Telemetry::decode(&bytes).unwrap_err(),
        Presence::decode(&bytes).unwrap_err(),
        Ack::decode(&bytes).unwrap_err(),
        Grants::decode(&bytes).unwrap_err(),
        Config::decode(&bytes).unwrap_err(),
        Command::decode(&bytes).unwrap_err(),
    ];
    for reason in messages {
        assert!(matches!(reason, DecodeMessageError::Malformed(reason) if is_not(&reason)));
    }
    assert!(is_not(&entity::decode_snapshot(&bytes).unwrap_err()));
    assert!(is_not(&entity::decode_parcel(&bytes).unwrap_err()));
}

#[test]
fn nothing_is_no_record_and_no_message() {
    let missing = |field| Malformed::Field { field, problem: FieldProblem::Missing };
    assert_eq!(decode_record(&[]), Err(DecodeError::Malformed(missing("Record.format_version"))));
    assert_eq!(Birth::decode(&[]), Err(DecodeMessageError::FormatVersion { found: 0 }));
    assert_eq!(Batch::decode(&[]), Err(DecodeMessageError::EmptyBatch));
    assert_eq!(Grants::decode(&[]), Err(DecodeMessageError::NoGrants));
    assert_eq!(Ack::decode(&[]), Err(missing("Ack.stream_id").into()));
    assert_eq!(Presence::decode(&[]), Err(missing("Presence.boot_id").into()));
    assert_eq!(Config::decode(&[]), Err(missing("Config.document").into()));
    assert_eq!(Command::decode(&[]), Err(missing("Command.command_id").into()));
    assert_eq!(entity::decode_meta(&[]), Err(missing("Meta.grants")));
    assert_eq!(entity::decode_compartment(&[]), Err(missing("Compartment.spec")));
    assert_eq!(entity::decode_parcel(&[]), Err(missing("Parcel.parcel_id")));
    assert_eq!(entity::decode_credential(&[]), Err(missing("Credential.credential_id")));
    assert_eq!(entity::decode_session(&[]), Ok(None), "nobody is at the screen");
    assert_eq!(entity::decode_snapshot(&[]), Err(missing("Snapshot.stream_id")));
}

#[test]
fn an_entity_that_is_wrong_names_the_field() {
    let bytes = entity::encode_parcel(&samples::parcel());
    let parcel = wire::Parcel::decode(&bytes[..]).unwrap();
    let refused = |form: wire::Parcel| entity::decode_parcel(&form.encode_to_vec()).unwrap_err();
    assert_eq!(
        refused(wire::Parcel { phase: 0, ..parcel.clone() }),
        Malformed::Field { field: "Parcel.phase", problem: FieldProblem::Missing }
    );
    assert_eq!(
        refused(wire::Parcel { phase: 12, ..parcel.clone() }),
        Malformed::Field {
            field: "Parcel.phase",
            problem: FieldProblem::UnknownValue { value: 12 }
        }
    );
    assert_eq!(
        refused(wire::Parcel { session_id: vec![], ..parcel }),
        Malformed::Field { field: "Parcel.session_id", problem: FieldProblem::Missing }
    );
    let nobody = wire::Session { moved_at_ms: 1, ..wire::Session::default() };
    assert_eq!(
        entity::decode_session(&nobody.encode_to_vec()),
        Err(Malformed::Field { field: "Session.session_id", problem: FieldProblem::Missing })
    );
    let stream_id = vec![1; 16];
    let entities = vec![wire::Entity { entity: None }];
    let snapshot = wire::Snapshot { stream_id, entities, ..wire::Snapshot::default() };
    assert_eq!(
        entity::decode_snapshot(&snapshot.encode_to_vec()),
        Err(Malformed::Field { field: "Entity.entity", problem: FieldProblem::Missing })
    );
}

#[test]
fn a_value_that_a_newer_agent_added_names_the_field() {
    let table: Vec<(&str, Harm, &'static str, i32)> = vec![
        (
            "deposit_aborted",
            |f| harmed!(f, DepositAborted).content = 3,
            "DepositAborted.content",
            3,
        ),
        ("door_moved", |f| harmed!(f, DoorMoved).class = 6, "DoorMoved.class", 6),
        ("pickup_settled", |f| harmed!(f, PickupSettled).end = 11, "PickupSettled.end", 11),
        ("grant_refused", |f| harmed!(f, GrantRefused).reason = 9, "GrantRefused.reason", 9),
        ("config_refused", |f| harmed!(f, ConfigRefused).kind = 6, "ConfigRefused.kind", 6),
        ("recall_settled", |f| harmed!(f, RecallSettled).end = 6, "RecallSettled.end", 6),
        (
            "inspection_settled",
            |f| harmed!(f, InspectionSettled).finding = 7,
            "InspectionSettled.finding",
            7,
        ),
        ("alarm", |f| harmed!(f, Alarm).kind = 8, "Alarm.kind", 8),
        ("power_changed", |f| harmed!(f, PowerChanged).source = 3, "PowerChanged.source", 3),
        ("code_typed", |f| harmed!(f, CodeTyped).verdict = 4, "CodeTyped.verdict", 4),
        ("lockdown_began", |f| harmed!(f, LockdownBegan).reason = 4, "LockdownBegan.reason", 4),
        (
            "command_answered",
            |f| harmed!(f, CommandAnswered).answer = 5,
            "CommandAnswered.answer",
            5,
        ),
    ];
    for (fact, harm, name, value) in table {
        let reason = refused_after(fact, harm);
        assert_eq!(reason, field(name, FieldProblem::UnknownValue { value }));
        assert!(reason.may_be_newer(), "{name}");
    }
}

#[test]
fn a_later_fact_that_is_wrong_names_the_field() {
    const MISSING: FieldProblem = FieldProblem::Missing;
    let range = FieldProblem::Range { value: 65_536, min: 0, max: 65_535 };
    let table: Vec<(&str, Harm, &'static str, FieldProblem)> = vec![
        (
            "inspection_settled",
            |f| harmed!(f, InspectionSettled).finding = 0,
            "InspectionSettled.finding",
            MISSING,
        ),
        (
            "inspection_settled",
            |f| harmed!(f, InspectionSettled).finding = 3,
            "InspectionSettled.parcel_id",
            MISSING,
        ),
        ("alarm", |f| harmed!(f, Alarm).kind = 0, "Alarm.kind", MISSING),
        ("alarm", |f| harmed!(f, Alarm).kind = 5, "Alarm.opener", MISSING),
        ("alarm", |f| harmed!(f, Alarm).compartment = 65_536, "Alarm.compartment", range.clone()),
        (
            "lockdown_lifted",
            |f| harmed!(f, LockdownLifted).second_badge_id.clear(),
            "LockdownLifted.second_badge_id",
            MISSING,
        ),
        (
            "quota_accepted",
            |f| harmed!(f, QuotaAccepted).ceded[0].count = 65_536,
            "CededSize.count",
            range,
        ),
        (
            "quota_accepted",
            |f| harmed!(f, QuotaAccepted).ceded[0].inside = None,
            "CededSize.inside",
            MISSING,
        ),
    ];
    for (fact, harm, name, problem) in table {
        let reason = refused_after(fact, harm);
        assert_eq!(reason, field(name, problem));
        assert!(!reason.may_be_newer(), "{name}");
    }
}

#[test]
fn a_fact_of_couriers_codes_or_new_digits_that_is_wrong_names_the_field() {
    const MISSING: FieldProblem = FieldProblem::Missing;
    let table: Vec<(&str, Harm, &'static str, FieldProblem)> = vec![
        (
            "config_accepted",
            |f| harmed!(f, ConfigAccepted).document = None,
            "ConfigAccepted.document",
            MISSING,
        ),
        (
            "config_accepted",
            |f| couriers(f).codes = vec![good_code(); COURIER_CODES_MAX + 1],
            "CourierCodes.codes",
            FieldProblem::TooMany { entries: 151, max: 150 },
        ),
        (
            "config_accepted",
            |f| couriers(f).codes = vec![wire::KeypadCode { slot: None, ..good_code() }],
            "KeypadCode.slot",
            MISSING,
        ),
        (
            "config_accepted",
            |f| {
                couriers(f).codes = vec![wire::KeypadCode { carrier: String::new(), ..good_code() }]
            },
            "KeypadCode.carrier",
            MISSING,
        ),
        ("session_started", |f| courier(f).badge_id.clear(), "Courier.badge_id", MISSING),
        (
            "session_started",
            |f| courier(f).slot_id = vec![1; 16],
            "Courier.slot_id",
            FieldProblem::Repeated,
        ),
        (
            "session_started",
            |f| (courier(f).badge_id, courier(f).slot_id) = (Vec::new(), vec![1; 15]),
            "Courier.slot_id",
            length(15, 16),
        ),
        ("slot_bound", |f| harmed!(f, SlotBound).parcel_id.clear(), "SlotBound.parcel_id", MISSING),
        ("slot_bound", |f| harmed!(f, SlotBound).slot_id.clear(), "SlotBound.slot_id", MISSING),
        ("slot_bound", |f| harmed!(f, SlotBound).sealed.clear(), "SlotBound.sealed", MISSING),
    ];
    for (fact, harm, name, problem) in table {
        assert_eq!(refused_after(fact, harm), field(name, problem));
    }
}

#[test]
fn a_fact_of_the_keypad_that_is_wrong_names_the_field() {
    const MISSING: FieldProblem = FieldProblem::Missing;
    let table: Vec<(&str, Harm, &'static str, FieldProblem)> = vec![
        ("code_typed", |f| harmed!(f, CodeTyped).verdict = 0, "CodeTyped.verdict", MISSING),
        ("code_typed", |f| harmed!(f, CodeTyped).boot_id.clear(), "CodeTyped.boot_id", MISSING),
        (
            "code_typed",
            |f| harmed!(f, CodeTyped).suffix_tag.truncate(7),
            "CodeTyped.suffix_tag",
            length(7, 8),
        ),
        (
            "keypad_reset",
            |f| harmed!(f, KeypadReset).badge_id.clear(),
            "KeypadReset.badge_id",
            MISSING,
        ),
        // A code has both or neither.
        (
            "deposit_confirmed",
            |f| harmed!(f, DepositConfirmed).slot_id = vec![1; 16],
            "DepositConfirmed.sealed",
            MISSING,
        ),
        (
            "deposit_confirmed",
            |f| harmed!(f, DepositConfirmed).sealed = vec![1],
            "DepositConfirmed.slot_id",
            MISSING,
        ),
        (
            "grant_refused",
            |f| harmed!(f, GrantRefused).parcel_id.truncate(15),
            "GrantRefused.parcel_id",
            length(15, 16),
        ),
        (
            "grant_accepted",
            |f| accepted(f).grant = Some(slots(GRANTS_PER_BATCH_MAX + 1)),
            "Slots.slots",
            FieldProblem::TooMany { entries: 65, max: 64 },
        ),
    ];
    for (fact, harm, name, problem) in table {
        let reason = refused_after(fact, harm);
        assert_eq!(reason, field(name, problem));
        assert!(!reason.may_be_newer(), "{name}");
    }
}

fn couriers(fact: &mut Form) -> &mut wire::CourierCodes {
    let accepted = harmed!(fact, ConfigAccepted);
    accepted.document =
        Some(wire::config_accepted::Document::CourierCodes(wire::CourierCodes::default()));
    match accepted.document.as_mut() {
        Some(wire::config_accepted::Document::CourierCodes(codes)) => codes,
        other => panic!("{other:?}"),
    }
}

fn courier(fact: &mut Form) -> &mut wire::Courier {
    let actor = harmed!(fact, SessionStarted).actor.as_mut().unwrap();
    match actor.actor.as_mut() {
        Some(wire::actor::Actor::Courier(courier)) => courier,
        other => panic!("{other:?}"),
    }
}

fn good_code() -> wire::KeypadCode {
    wire::KeypadCode {
        slot: Some(good_slot()),
        carrier: "acme".to_owned(),
        from_ms: 1,
        until_ms: 2,
    }
}

fn slots(count: usize) -> wire::Grant {
    let slots = wire::Slots { slots: vec![good_slot(); count] };
    wire::Grant { grant: Some(wire::grant::Grant::Slots(slots)) }
}

fn good_slot() -> wire::Slot {
    let [held, _] = later::held_slots();
    let held = wire::HeldSlot::decode(&entity::encode_slot(&held)[..]).unwrap();
    held.slot.unwrap()
}

#[test]
fn a_slot_that_is_wrong_names_the_field() {
    let refused = |slot| {
        let held = wire::HeldSlot { slot, parcel_id: vec![] };
        entity::decode_slot(&held.encode_to_vec()).unwrap_err()
    };
    let long = FieldProblem::TooLong { bytes: 65, max_bytes: 64 };
    let table = [
        (wire::Slot { slot_id: vec![], ..good_slot() }, "Slot.slot_id", FieldProblem::Missing),
        (wire::Slot { tag: vec![1; 15], ..good_slot() }, "Slot.tag", length(15, 16)),
        (wire::Slot { sealed: vec![], ..good_slot() }, "Slot.sealed", FieldProblem::Missing),
        (wire::Slot { sealed: vec![1; 65], ..good_slot() }, "Slot.sealed", long),
    ];
    for (slot, field, problem) in table {
        assert_eq!(refused(Some(slot)), Malformed::Field { field, problem });
    }
    let problem = FieldProblem::Missing;
    assert_eq!(refused(None), Malformed::Field { field: "HeldSlot.slot", problem });
}

#[test]
fn a_budget_that_is_wrong_names_the_field() {
    let good = wire::Budget::decode(&entity::encode_budget(&later::budget())[..]).unwrap();
    let by_suffix = |count: u16| {
        let tag = |n: u16| u64::from(n).to_be_bytes().to_vec();
        let entry = |n| wire::budget::SuffixCount { suffix_tag: tag(n), wrong: 1 };
        wire::Budget { by_suffix: (0..count).map(entry).collect(), ..good.clone() }
    };
    let mut twice = good.clone();
    twice.by_suffix[1] = twice.by_suffix[0].clone();
    let mut short = good.clone();
    short.by_suffix[0].suffix_tag = vec![];
    let mut nowhere = good.clone();
    nowhere.wait.as_mut().unwrap().boot_id = vec![];
    let range = FieldProblem::Range { value: 65_536, min: 0, max: 65_535 };
    let many = FieldProblem::TooMany { entries: 101, max: 100 };
    let table = [
        (by_suffix(WRONG_PER_DAY + 1), "Budget.by_suffix", many),
        (twice, "Budget.by_suffix", FieldProblem::Repeated),
        (short, "SuffixCount.suffix_tag", FieldProblem::Missing),
        (nowhere, "Wait.boot_id", FieldProblem::Missing),
        (wire::Budget { wrong: 65_536, ..good.clone() }, "Budget.wrong", range.clone()),
        (wire::Budget { wrong_alone: 65_536, ..good.clone() }, "Budget.wrong_alone", range.clone()),
        (wire::Budget { row: 65_536, ..good.clone() }, "Budget.row", range),
    ];
    for (budget, field, problem) in table {
        let reason = entity::decode_budget(&budget.encode_to_vec());
        assert_eq!(reason, Err(Malformed::Field { field, problem }));
    }
}

fn refused_after(fact: &str, harm: Harm) -> DecodeError {
    let mut form = form(fact);
    harm(form.fact.as_mut().unwrap());
    refusal(&form)
}

#[test]
fn terms_and_a_governor_that_are_wrong_are_refused() {
    let terms = wire::Terms { suffix_tag: vec![1; 7], ..wire::Terms::default() };
    let parcel = wire::Parcel::decode(&entity::encode_parcel(&samples::parcel())[..]).unwrap();
    let parcel = wire::Parcel { terms: Some(terms), ..parcel };
    let problem = length(7, 8);
    assert_eq!(
        entity::decode_parcel(&parcel.encode_to_vec()),
        Err(Malformed::Field { field: "Terms.suffix_tag", problem })
    );
    let governor = wire::Governor { trip_at_ms: vec![1; 4], ..wire::Governor::default() };
    let problem = FieldProblem::TooMany { entries: 4, max: 3 };
    assert_eq!(
        entity::decode_governor(&governor.encode_to_vec()),
        Err(Malformed::Field { field: "Governor.trip_at_ms", problem })
    );
}

#[test]
fn a_command_that_is_wrong_names_the_field() {
    let good = bank::Command::decode(&later::command().encode()[..]).unwrap();
    let refused = |form: &bank::Command| Command::decode(&form.encode_to_vec()).unwrap_err();
    let malformed = |field, problem| Malformed::Field { field, problem }.into();
    let short = bank::Command { command_id: vec![1; 15], ..good.clone() };
    assert_eq!(refused(&short), malformed("Command.command_id", length(15, 16)));
    let nobody = bank::Command { bank: String::new(), ..good.clone() };
    assert_eq!(refused(&nobody), malformed("Command.bank", FieldProblem::Missing));
    let stale = bank::Command { nonce: vec![], ..good };
    assert_eq!(refused(&stale), malformed("Command.nonce", FieldProblem::Missing));
}

#[test]
fn a_birth_that_is_wrong_names_the_field() {
    let good = bank::Birth::decode(&samples::birth().encode()[..]).unwrap();
    let refused = |form: &bank::Birth| Birth::decode(&form.encode_to_vec()).unwrap_err();
    let malformed = |field, problem| Malformed::Field { field, problem }.into();
    let newer = bank::Birth { format_version: 2, ..good.clone() };
    assert_eq!(refused(&newer), DecodeMessageError::FormatVersion { found: 2 });
    let version = "v".repeat(AGENT_VERSION_MAX_BYTES + 1);
    let problem =
        FieldProblem::TooLong { bytes: version.len(), max_bytes: AGENT_VERSION_MAX_BYTES };
    let wordy = bank::Birth { agent_version: version, ..good.clone() };
    assert_eq!(refused(&wordy), malformed("Birth.agent_version", problem));
    let many = bank::Birth { kids: vec![1; 5], ..good.clone() };
    let problem = FieldProblem::TooMany { entries: 5, max: 4 };
    assert_eq!(refused(&many), malformed("Birth.kids", problem));
    let wide = bank::Birth { kids: vec![256], ..good.clone() };
    let problem = FieldProblem::Range { value: 256, min: 0, max: 255 };
    assert_eq!(refused(&wide), malformed("Birth.kids", problem));
    let keys = bank::Birth { code_keys: vec![1; 7], ..good.clone() };
    assert_eq!(refused(&keys), malformed("Birth.code_keys", length(7, 8)));
    let short = bank::Birth { nonce: vec![1; 8], ..good.clone() };
    assert_eq!(refused(&short), malformed("Birth.nonce", length(8, 16)));
    let without = bank::Birth { grants: None, ..good };
    assert_eq!(refused(&without), malformed("Birth.grants", FieldProblem::Missing));
}

#[test]
fn a_batch_at_its_limits_is_taken_and_one_above_is_not() {
    let batch = |records: Vec<Vec<u8>>| {
        let bytes = Batch { records, ..samples::batch() }.encode();
        Batch::decode(&bytes).map(|batch| batch.records.len())
    };
    let record = |bytes| vec![0xff; bytes];

    assert_eq!(batch(vec![]), Err(DecodeMessageError::EmptyBatch));
    assert_eq!(batch(vec![record(1); BATCH_MAX_RECORDS]), Ok(BATCH_MAX_RECORDS));
    let records = BATCH_MAX_RECORDS + 1;
    let too_many = DecodeMessageError::TooManyRecords { records };
    assert_eq!(batch(vec![record(1); records]), Err(too_many));

    assert_eq!(batch(vec![record(RECORD_MAX_BYTES); 2]), Ok(2));
    let large = DecodeMessageError::RecordTooLarge { bytes: RECORD_MAX_BYTES + 1 };
    assert_eq!(batch(vec![record(1), record(RECORD_MAX_BYTES + 1)]), Err(large));
    let full = vec![record(RECORD_MAX_BYTES), record(RECORD_MAX_BYTES), record(1)];
    let bytes = BATCH_MAX_BYTES + 1;
    assert_eq!(batch(full), Err(DecodeMessageError::TooManyRecordBytes { bytes }));

    // The most bytes that a batch within its limits can take.
    let fullest = BATCH_MAX_BYTES / BATCH_MAX_RECORDS;
    assert_eq!(batch(vec![record(fullest); BATCH_MAX_RECORDS]), Ok(BATCH_MAX_RECORDS));
}

#[test]
fn records_come_out_of_a_batch_as_they_went_in() {
    let records = vec![vec![], vec![0xff; 3], b"no record at all".to_vec()];
    let batch = Batch { records, ..samples::batch() };
    assert_eq!(Batch::decode(&batch.clone().encode()), Ok(batch));
}

#[test]
fn grants_at_their_limit_are_taken_and_one_above_is_not() {
    let batch = |count: usize, gseq: u64| {
        let mut grants = samples::grants();
        grants.grants = vec![samples::cancellation(); count];
        grants.first.gseq = gseq;
        Grants::decode(&grants.encode()).map(|grants| grants.positions().last().unwrap().0.gseq)
    };
    assert_eq!(batch(0, 1), Err(DecodeMessageError::NoGrants));
    assert_eq!(batch(GRANTS_PER_BATCH_MAX, 1), Ok(64));
    let grants = GRANTS_PER_BATCH_MAX + 1;
    assert_eq!(batch(grants, 1), Err(DecodeMessageError::TooManyGrants { grants }));
    for gseq in [0, u64::MAX] {
        let problem = FieldProblem::Range { value: gseq, min: 1, max: u64::MAX / 2 };
        let malformed = Malformed::Field { field: "GrantPosition.gseq", problem };
        assert_eq!(batch(1, gseq), Err(malformed.into()));
    }
}

#[test]
fn a_message_above_the_limit_is_not_read() {
    let bytes = vec![0; MESSAGE_MAX_BYTES + 1];
    let too_large = Malformed::TooLarge { bytes: bytes.len(), max_bytes: MESSAGE_MAX_BYTES };
    assert_eq!(Birth::decode(&bytes), Err(too_large.clone().into()));
    assert_eq!(Batch::decode(&bytes), Err(too_large.into()));
}

#[test]
fn a_restore_that_is_wrong_names_the_field_or_the_limit() {
    let missing = |field| Malformed::Field { field, problem: FieldProblem::Missing };
    let [(_, run), (_, new), _] = later::restores();
    let sent = |restore: locker_proto::message::Restore| {
        bank::Restore::decode(&restore.encode()[..]).unwrap()
    };
    let refused = |form: &bank::Restore| {
        locker_proto::message::Restore::decode(&form.encode_to_vec()).unwrap_err()
    };
    let with_run = |harm: fn(&mut bank::RestoreRun)| {
        let mut form = sent(run.clone());
        let Some(bank::restore::Kind::Run(run)) = &mut form.kind else { panic!("{form:?}") };
        harm(run);
        refused(&form)
    };
    assert_eq!(with_run(|run| run.records.clear()), DecodeMessageError::EmptyBatch);
    assert_eq!(with_run(|run| run.until = None), missing("RestoreRun.until").into());
    let range = |value, max| {
        let problem = FieldProblem::Range { value, min: 1, max };
        Malformed::Field { field: "RestoreRun.first_seq", problem }
    };
    assert_eq!(with_run(|run| run.first_seq = 0), range(0, 4_799).into());
    assert_eq!(with_run(|run| run.first_seq = 4_800), range(4_800, 4_799).into());
    let far = |run: &mut bank::RestoreRun| {
        run.first_seq = u64::MAX;
        run.until.as_mut().unwrap().seq = u64::MAX;
    };
    assert_eq!(with_run(far), range(u64::MAX, u64::MAX / 2).into());
    assert_eq!(
        with_run(|run| run.records = vec![vec![0; RECORD_MAX_BYTES + 1]]),
        DecodeMessageError::RecordTooLarge { bytes: RECORD_MAX_BYTES + 1 }
    );
    let none = bank::Restore { kind: None, ..sent(new.clone()) };
    assert_eq!(refused(&none), missing("Restore.kind").into());
    let mut form = sent(new);
    if let Some(bank::restore::Kind::NewStream(new)) = &mut form.kind {
        new.reason = 0;
    }
    assert_eq!(refused(&form), missing("NewStream.reason").into());
}

#[test]
fn a_ladder_has_at_most_64_rungs() {
    let good = bank::Birth::decode(&later::birth_with_a_ladder().encode()[..]).unwrap();
    let long = bank::Birth { ladder: vec![good.ladder[0].clone(); 65], ..good };
    let problem = FieldProblem::TooMany { entries: 65, max: 64 };
    let field = Malformed::Field { field: "Birth.ladder", problem };
    assert_eq!(Birth::decode(&long.encode_to_vec()), Err(field.into()));
}
