//! Two agents that say they are one bank, and a bank that begins anew.

use locker_core::ids::BootId;
use locker_core::journal::{ChainHash, Parent};
use locker_core::uplink::clone::CloneSign;
use locker_proto::message::{Birth, DecodeMessageError};

use super::fixture::*;
use super::*;
use crate::alarms::{clear_alarm, replace_certificate};
use crate::store::{AlarmFilter, AlarmKind, AlarmRow, STREAMS_CLOSED_MAX};
use crate::tls::fixture::Fixture;

const CLONE: AlarmKind = AlarmKind::Stopped(StopReason::Clone);

async fn alarms(store: &Store) -> Vec<AlarmRow> {
    let filter = AlarmFilter { with_cleared: true, ..AlarmFilter::default() };
    store.alarms(&filter, 100).await.unwrap()
}

async fn committed(store: &Store) -> (u64, Option<StopReason>) {
    let bank = store.bank(&bank_id()).await.unwrap().unwrap();
    (bank.committed_seq, bank.stopped_reason)
}

/// Another start of an agent than the fixture's.
fn start(journal: &Journal, boot: u8, boot_count: u64, connection_count: u64) -> Birth {
    Birth { boot: BootId([boot; 16]), boot_count, connection_count, ..journal.birth() }
}

/// Says a birth in the present session; it is acknowledged but not answered.
async fn say_birth(world: &World, birth: &Birth, token: u32) {
    world.say(UpTopic::Birth, birth.encode(), Some(token)).await;
}

/// Waits for a PUBACK; nothing may be told meanwhile.
async fn acknowledged_only(world: &mut World, token: u32) {
    assert_eq!(world.next().await, Did::Acknowledged(token));
}

#[tokio::test]
async fn r14_two_starts_with_one_number_are_a_clone_and_both_are_told_nothing() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    let mut world = World::start(&store).await;
    let original = start(&journal, 2, 7, 1);
    world.birth_with(original.clone()).await;
    world.facts(journal.batch(6, 6), 1).await;
    world.acknowledged(1).await;
    world.ack_of(6).await;

    let mut copy = journal.clone();
    copy.deposit(1, 2);
    world.take_over("10.0.0.9:4000").await;
    // What was meant for the session before is not this one's.
    let clone = start(&copy, 3, 7, 5);
    say_birth(&world, &clone, 10).await;
    world.acknowledged(10).await;
    world.facts(copy.batch(7, 8), 11).await;
    acknowledged_only(&mut world, 11).await;
    assert_eq!(committed(&store).await, (6, Some(StopReason::Clone)));
    assert_eq!(state(&store, 1).await, HubParcelState::Booked);

    // The first one comes back, and meanwhile there is something to be told.
    journal.deposit(1, 1);
    set_layout(&store, &bank_id(), specs(&[300]), request("layout"), NOW).await.unwrap();
    world.take_over("10.0.0.1:4000").await;
    let again = Birth { connection_count: 2, ..start(&journal, 2, 7, 2) };
    say_birth(&world, &again, 12).await;
    acknowledged_only(&mut world, 12).await;
    world.facts(journal.batch(7, 8), 13).await;
    acknowledged_only(&mut world, 13).await;
    assert_eq!(committed(&store).await, (6, Some(StopReason::Clone)));
    assert_eq!(state(&store, 1).await, HubParcelState::Booked);
    assert_eq!(world.counters.get(Count::Clones), 1);

    let alarms = alarms(&store).await;
    let [alarm] = &alarms[..] else { panic!("{alarms:?}") };
    assert_eq!((alarm.kind, alarm.kept, alarm.dropped), (CLONE, 4, 0));
    assert!(alarm.detail.starts_with(CloneSign::CountersNotHigher.as_str()), "{}", alarm.detail);
    let mut named: Vec<_> = alarm
        .parties
        .iter()
        .map(|seen| (seen.party.introduction.boot, seen.party.address.as_str()))
        .collect();
    named.sort_unstable();
    assert_eq!(named, [(BootId([2; 16]), "10.0.0.1:4000"), (BootId([3; 16]), "10.0.0.9:4000")]);
    let kept = store.kept_apart(alarm.id).await.unwrap();
    let said: Vec<_> = kept.iter().map(|kept| (kept.topic.as_str(), &kept.bytes)).collect();
    assert_eq!(said[0], ("birth", &clone.encode()));
    assert_eq!(said[1], ("facts", &copy.batch(7, 8).encode()));
    assert_eq!(said[3], ("facts", &journal.batch(7, 8).encode()));
    let kinds = kinds(&store).await;
    assert_eq!(count(&kinds, EventKind::BankAlarmRaised), 1);
    assert_eq!(count(&kinds, EventKind::BankStopped), 1);
    world.stop().await;
}

#[tokio::test]
async fn r14_a_clone_is_known_after_a_restart_and_goes_on_when_a_person_says_so() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let journal = booked(&store).await;
    let mut world = World::start(&store).await;
    world.birth_with(start(&journal, 2, 7, 9)).await;
    world.stop().await;
    store.close().await;

    // The counters outlive the hub.
    let store = open_store(directory.path()).await;
    let mut world = World::start(&store).await;
    world.connect().await;
    say_birth(&world, &start(&journal, 3, 7, 9), 1).await;
    acknowledged_only(&mut world, 1).await;
    world.stop().await;
    store.close().await;

    // And so does the alarm.
    let store = open_store(directory.path()).await;
    let mut world = World::start(&store).await;
    world.connect().await;
    say_birth(&world, &start(&journal, 3, 7, 10), 2).await;
    acknowledged_only(&mut world, 2).await;
    let alarm = alarms(&store).await.remove(0);
    assert_eq!((alarm.kind, alarm.kept), (CLONE, 2));

    let cleared =
        clear_alarm(&store, alarm.id, "took the copy away".to_owned(), request("clear"), NOW);
    assert!(cleared.await.unwrap().cleared.is_some());
    assert_eq!(world.ended().await, "a person has decided about the bank");
    world.disconnect().await;
    // Whoever comes first counts, whatever he counts.
    let ack = world.birth_with(start(&journal, 2, 7, 3)).await;
    assert_eq!(ack.committed_seq, 5);
    world.facts(journal.batch(6, 6), 3).await;
    world.acknowledged(3).await;
    assert_eq!(committed(&store).await, (6, None));
    assert_eq!(count(&kinds(&store).await, EventKind::BankAlarmCleared), 1);
    world.stop().await;
}

#[tokio::test]
async fn r14_more_takeovers_than_a_bad_line_explains_are_a_clone() {
    for (addresses, expected) in
        [(["10.0.0.1:1", "10.0.0.2:1"], true), (["10.0.0.1:1", "10.0.0.1:2"], false)]
    {
        let directory = tempdir().unwrap();
        let store = open_store(directory.path()).await;
        let journal = booked(&store).await;
        let mut world = World::start(&store).await;
        world.birth(&journal).await;
        for turn in 1..=7 {
            world.take_over(addresses[turn % 2]).await;
            say_birth(&world, &journal.birth(), u32::try_from(turn).unwrap()).await;
            world.acknowledged(u32::try_from(turn).unwrap()).await;
            let last = turn == 7 && expected;
            if !last {
                world.ack().await;
            }
        }
        let stopped = committed(&store).await.1;
        assert_eq!(stopped, expected.then_some(StopReason::Clone), "{addresses:?}");
        if let [alarm] = &alarms(&store).await[..] {
            assert!(alarm.detail.starts_with(CloneSign::TooManyTakeovers.as_str()));
        }
        world.stop().await;
    }
}

#[tokio::test]
async fn r14_another_history_after_a_takeover_is_a_clone_and_without_one_a_fork() {
    for (takes_over, expected) in [(true, StopReason::Clone), (false, StopReason::Fork)] {
        let directory = tempdir().unwrap();
        let store = open_store(directory.path()).await;
        let journal = booked(&store).await;
        let mut world = World::start(&store).await;
        world.birth(&journal).await;
        if takes_over {
            world.take_over("10.0.0.9:1").await;
        } else {
            world.disconnect().await;
            world.connect().await;
        }
        say_birth(&world, &journal.birth(), 1).await;
        world.acknowledged(1).await;
        world.ack().await;
        let mut batch = journal.batch(6, 6);
        batch.previous = ChainHash([0xee; 32]);
        world.facts(batch, 2).await;
        world.acknowledged(2).await;
        assert_eq!(committed(&store).await, (5, Some(expected)));
        let kinds: Vec<_> = alarms(&store).await.iter().map(|alarm| alarm.kind).collect();
        assert_eq!(kinds, [AlarmKind::Stopped(expected)]);
        world.stop().await;
    }
}

#[tokio::test]
async fn r14_a_fork_of_which_the_other_half_comes_back_is_a_clone() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let journal = booked(&store).await;
    let mut world = World::start(&store).await;
    world.birth_with(start(&journal, 2, 8, 1)).await;
    world.disconnect().await;
    let mut other = start(&journal, 3, 9, 1);
    (other.head_seq, other.head_hash) = (5, ChainHash([1; 32]));
    world.connect().await;
    say_birth(&world, &other, 1).await;
    world.acknowledged(1).await;
    world.disconnect().await;
    world.connect().await;
    say_birth(&world, &start(&journal, 4, 8, 1), 2).await;
    world.acknowledged(2).await;
    assert_eq!(committed(&store).await.1, Some(StopReason::Clone));
    let kinds: Vec<_> = alarms(&store).await.iter().map(|alarm| alarm.kind).collect();
    assert_eq!(kinds, [CLONE, AlarmKind::Stopped(StopReason::Fork)]);
    world.stop().await;
}

#[tokio::test]
async fn what_is_kept_apart_is_bounded_and_counted() {
    let directory = tempdir().unwrap();
    let limits = StoreLimits { kept_apart_per_bank: 2, ..StoreLimits::default() };
    let store = open_store_with(directory.path(), limits).await;
    let journal = booked(&store).await;
    let mut world = World::start(&store).await;
    world.birth_with(start(&journal, 2, 7, 1)).await;
    for boot in 3..15 {
        world.disconnect().await;
        world.connect().await;
        say_birth(&world, &start(&journal, boot, 7, 1), u32::from(boot)).await;
        world.acknowledged(u32::from(boot)).await;
    }
    let alarm = alarms(&store).await.remove(0);
    assert_eq!((alarm.kept, alarm.dropped, alarm.parties.len()), (2, 10, 8));
    // Those of a cleared alarm make room for those of the next.
    clear_alarm(&store, alarm.id, "seen".to_owned(), request("clear"), NOW).await.unwrap();
    assert_eq!(world.ended().await, "a person has decided about the bank");
    world.disconnect().await;
    world.birth_with(start(&journal, 2, 7, 1)).await;
    world.disconnect().await;
    world.connect().await;
    say_birth(&world, &start(&journal, 3, 7, 1), 99).await;
    world.acknowledged(99).await;
    let kept: Vec<_> =
        alarms(&store).await.iter().map(|alarm| (alarm.kept, alarm.dropped)).collect();
    assert_eq!(kept, [(1, 0), (1, 10)]);
    world.stop().await;
}

#[tokio::test]
async fn p_j_a_bank_that_begins_anew_is_told_nothing_until_a_person_has_looked_inside() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let old = booked(&store).await;
    let mut world = World::start(&store).await;
    world.birth(&old).await;
    world.disconnect().await;

    let mut new = Journal::new(2);
    new.append(Fact::Booted(locker_core::journal::Booted {
        boot: BootId([5; 16]),
        boot_count: 1,
        agent_version: "0.1.0".to_owned(),
    }));
    let ack = world.birth_with(start(&new, 5, 1, 1)).await;
    assert_eq!((ack.stream, ack.committed_seq), (new.stream, 0));
    world.facts(new.batch(1, 1), 2).await;
    world.acknowledged(2).await;
    let told = async |world: &mut World, token: u32| {
        world.facts(new.batch(1, 1), token).await;
        loop {
            match world.next().await {
                Did::Sent { topic, .. } => assert_eq!(topic, DownTopic::Ack),
                Did::Acknowledged(acknowledged) if acknowledged == token => return,
                other @ (Did::Acknowledged(_) | Did::Ended { .. }) => panic!("{other:?}"),
            }
        }
    };
    set_layout(&store, &bank_id(), specs(&[300]), request("layout"), NOW).await.unwrap();
    told(&mut world, 3).await;
    assert_eq!(committed(&store).await, (1, None));
    // What the old journal added up to is not mixed into the new one.
    assert!(store.compartments(&bank_id()).await.unwrap().is_empty());
    let alarm = alarms(&store).await.remove(0);
    assert_eq!((alarm.kind, alarm.parties.len()), (AlarmKind::Inventory, 1));
    assert_eq!(count(&kinds(&store).await, EventKind::BankStreamOpened), 1);

    clear_alarm(&store, alarm.id, "all empty".to_owned(), request("clear"), NOW).await.unwrap();
    assert_eq!(world.ended().await, "a person has decided about the bank");
    world.disconnect().await;
    world.birth_with(start(&new, 5, 1, 2)).await;
    let layout = Config::decode(&world.heard(DownTopic::Config).await).unwrap();
    assert!(matches!(layout.document, Document::Layout(_)));
    world.disconnect().await;

    // Whoever goes on with the old journal is not the bank any more.
    world.connect().await;
    say_birth(&world, &old.birth(), 4).await;
    world.acknowledged(4).await;
    let alarm = alarms(&store).await.remove(0);
    assert_eq!(alarm.kind, CLONE);
    assert!(alarm.detail.starts_with(CloneSign::ClosedStream.as_str()), "{}", alarm.detail);
    assert_eq!(committed(&store).await, (1, Some(StopReason::Clone)));
    world.stop().await;
}

#[tokio::test]
async fn p_j_a_stream_that_names_its_parent_goes_on_and_settles_a_fork() {
    for forked in [false, true] {
        let directory = tempdir().unwrap();
        let store = open_store(directory.path()).await;
        let old = booked(&store).await;
        let mut world = World::start(&store).await;
        world.birth(&old).await;
        if forked {
            let mut batch = old.batch(6, 6);
            batch.previous = ChainHash([0xee; 32]);
            world.facts(batch, 2).await;
            world.acknowledged(2).await;
        }
        world.disconnect().await;
        let new = Journal::new(2);
        let birth = Birth {
            parent: Some(Parent { stream: old.stream, common: None, reason: None }),
            ..start(&new, 5, 1, 1)
        };
        let ack = world.birth_with(birth).await;
        assert_eq!(ack.stream, new.stream);
        assert_eq!(committed(&store).await, (0, None));
        let open: Vec<_> = store
            .alarms(&AlarmFilter::default(), 10)
            .await
            .unwrap()
            .iter()
            .map(|alarm| alarm.kind)
            .collect();
        assert_eq!(open, if forked { vec![AlarmKind::Inventory] } else { vec![] });
        let settled = alarms(&store)
            .await
            .iter()
            .any(|alarm| alarm.cleared.as_ref().is_some_and(|cleared| cleared.by == "hub"));
        assert_eq!(settled, forked);
        world.stop().await;
    }
}

/// The open alarm of a kind.
async fn open_alarm(store: &Store, kind: AlarmKind) -> u64 {
    let open = store.alarms(&AlarmFilter::default(), 10).await.unwrap();
    open.iter().find(|alarm| alarm.kind == kind).unwrap_or_else(|| panic!("{open:?}")).id
}

#[tokio::test]
async fn a_bank_that_opens_too_many_streams_is_stopped_until_a_person_lets_it_go_on() {
    let unrelated = AlarmKind::Stopped(StopReason::Unrelated);
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, EDGES).await;
    let mut world = World::start(&store).await;
    for stream in 0..=STREAMS_CLOSED_MAX {
        let journal = Journal::new(u8::try_from(stream + 1).unwrap());
        world.birth(&journal).await;
        world.disconnect().await;
    }
    world.connect().await;
    say_birth(&world, &Journal::new(200).birth(), 1).await;
    world.acknowledged(1).await;
    world.disconnect().await;
    world.stop().await;
    assert_eq!(committed(&store).await.1, Some(StopReason::Unrelated));

    for (time, kind) in [unrelated, AlarmKind::Inventory].into_iter().enumerate() {
        let mut world = World::start(&store).await;
        let alarm = open_alarm(&store, kind).await;
        let (note, key) = ("the disk was changed".to_owned(), request(&format!("{time}")));
        clear_alarm(&store, alarm, note, key, NOW).await.unwrap();
        // As many as before, but one.
        for stream in 1..STREAMS_CLOSED_MAX {
            let number = 100 + 70 * u64::try_from(time).unwrap() + stream;
            let journal = Journal::new(u8::try_from(number).unwrap());
            let ack = world.birth(&journal).await;
            assert_eq!(ack.stream, journal.stream, "after {kind:?}");
            world.disconnect().await;
        }
        assert_eq!(committed(&store).await.1, None);
        world.stop().await;
    }
    // None of those that were closed comes back as if it were new.
    let mut world = World::start(&store).await;
    world.connect().await;
    say_birth(&world, &Journal::new(1).birth(), 2).await;
    acknowledged_only(&mut world, 2).await;
    assert_eq!(committed(&store).await.1, Some(StopReason::Clone));
    world.stop().await;
}

#[tokio::test]
async fn c11_a_replaced_certificate_counts_no_more_from_that_moment_on() {
    let fixture = Fixture::new();
    let der = |name: &str| {
        let pem = std::fs::read(fixture.issued(name).certificate).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
        pem.contents
    };
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let journal = booked(&store).await;
    let mut world = World::start(&store).await;
    let stolen = world.caller.certificate;
    world.birth(&journal).await;

    let new = der("banks/bank-1");
    let bank = bank_id();
    let replaced = replace_certificate(&store, &bank, &new, request("replace"), NOW).await.unwrap();
    assert_eq!(replaced.revoked, [stolen]);
    assert_eq!(store.revoked_certificates().await.unwrap(), [stolen]);
    assert_eq!(world.ended().await, "a person has decided about the bank");
    world.disconnect().await;
    // Also for whoever comes back with it, and for any other that nobody named.
    for certificate in [stolen, [1; 32]] {
        world.caller.certificate = certificate;
        world.connect().await;
        say_birth(&world, &journal.birth(), 1).await;
        assert_eq!(world.ended().await, "certificate was replaced");
        world.disconnect().await;
    }
    world.caller.certificate = replaced.certificate;
    assert_eq!(world.birth(&journal).await.committed_seq, 5);

    let again = replace_certificate(&store, &bank, &new, request("replace"), NOW).await;
    assert_eq!(again.unwrap(), replaced);
    let other = der("carriers/acme");
    let other = replace_certificate(&store, &bank, &other, request("other"), NOW).await;
    assert!(other.unwrap_err().to_string().contains("urn:postern:carrier:acme"));
    world.stop().await;
}

/// The fixture's births can be read back: what is kept apart can be looked at later.
#[test]
fn a_birth_that_was_kept_apart_can_be_read() -> Result<(), DecodeMessageError> {
    let birth = Journal::new(1).birth();
    assert_eq!(Birth::decode(&birth.encode())?, birth);
    Ok(())
}
