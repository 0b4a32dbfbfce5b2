//! Banks whose journal is not what they once told us, and what their device keys stand for.

use std::sync::atomic::Ordering;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use locker_core::bank::PickupEnd;
use locker_core::downlink::Grant;
use locker_core::fact::Fact;
use locker_core::ids::{BootId, CommandId, ParcelId};
use locker_core::journal::View as _;
use locker_core::journal::carry::{InDoubt, carried};
use locker_core::journal::stream::ladder;
use locker_core::journal::{
    Booted, FOLD_VERSION, KeyChanged, MemoryView, Parent, Place, Sealed, StateCarried, StreamBreak,
    StreamOpened, fold, seal,
};
use locker_proto::message::{Birth, CommandKind, Grants, Restore, RestoreKind};
use locker_proto::record::decode_record;
use tempfile::tempdir;

use super::fixture::{Did, Journal, NOW, World, add_bank, bank_id, carrier, open_store, request};
use super::{booked, count, kinds, state};
use crate::alarms::clear_alarm;
use crate::ingest::{Count, Order};
use crate::mqtt::DownTopic;
use crate::parcels::{ParcelChange, change_parcel};
use crate::store::tests::Meddle;
use crate::store::{
    AlarmFilter, AlarmKind, AlarmRow, EventKind, HubParcelState, StopReason, Store,
};
use crate::tls::DeviceKey;

/// A birth as an agent says it that can be given records back.
fn birth(journal: &Journal) -> Birth {
    let hash = |seq: u64| journal.hashes[usize::try_from(seq).unwrap()];
    let rungs = ladder(1, journal.head(), None).into_iter();
    let ladder = rungs.map(|seq| Place { seq, hash: hash(seq) }).collect();
    Birth { ladder, ..journal.birth() }
}

/// The first `seq` records of a journal, and a start of their own.
fn older_copy(journal: &Journal, seq: u64) -> Journal {
    let kept = usize::try_from(seq).unwrap();
    let mut copy = journal.clone();
    copy.records.truncate(kept);
    copy.hashes.truncate(kept + 1);
    let boot = BootId([8; 16]);
    copy.append(Fact::Booted(Booted { boot, boot_count: 2, agent_version: "0.1.0".to_owned() }));
    copy
}

async fn say_birth(world: &mut World, birth: &Birth) {
    world.connect().await;
    world.say(crate::mqtt::UpTopic::Birth, birth.encode(), Some(1_000)).await;
    world.acknowledged(1_000).await;
}

async fn given(world: &mut World) -> Restore {
    loop {
        match world.next().await {
            Did::Sent { session, .. } if session != world.session() => {}
            Did::Sent { topic: DownTopic::Restore, payload, .. } => {
                let keys = &world.held.command;
                let topic = DownTopic::Restore;
                let opened = locker_proto::signed::open(&payload, topic, &bank_id(), keys);
                return Restore::decode(&opened.unwrap()).unwrap();
            }
            Did::Acknowledged(_) => {}
            other @ (Did::Sent { .. } | Did::Ended { .. }) => panic!("{other:?}"),
        }
    }
}

/// An order for whoever is born.
fn nothing() -> Order {
    let (id, kind) = (CommandId([1; 16]), CommandKind::LockDown);
    Order { bank: bank_id(), id, not_after: NOW, kind }
}

async fn alarms(store: &Store) -> Vec<AlarmRow> {
    store.alarms(&AlarmFilter::default(), 10).await.unwrap()
}

/// A journal of 5 records and many pickups, all told.
async fn long_told(store: &Store, world: &mut World) -> Journal {
    let mut journal = booked(store).await;
    journal.deposit(1, 1);
    for _ in 0..400 {
        journal.pick_up(1, 1, PickupEnd::NotTaken);
    }
    world.birth_with(birth(&journal)).await;
    for first in (6..=journal.head()).step_by(256) {
        world.facts(journal.batch(first, journal.head().min(first + 255)), 1).await;
        world.acknowledged(1).await;
    }
    world.disconnect().await;
    journal
}

#[tokio::test]
async fn p_i_a_bank_with_an_old_copy_is_given_its_records_back_byte_for_byte() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut world = World::start(&store).await;
    let journal = long_told(&store, &mut world).await;
    let before = kinds(&store).await;
    let copy = older_copy(&journal, 70);
    for cut in [true, false] {
        // A connection that breaks in between begins again.
        let birth = birth(&copy);
        // As long as its session has no room it waits.
        world.room.store(8, Ordering::Relaxed);
        say_birth(&mut world, &birth).await;
        let order = world.orders.clone();
        assert!(!order.give(nothing()).await, "ingest goes on, and the bank has not been born");
        world.nothing_sent();
        world.room.store(64, Ordering::Relaxed);
        let mut next = None;
        loop {
            let Restore { stream, nonce, kind } = given(&mut world).await;
            assert_eq!((stream, nonce), (journal.stream, birth.nonce));
            let RestoreKind::Run { first_seq, previous, records, until } = kind else {
                panic!("{kind:?}")
            };
            assert_eq!(first_seq, next.unwrap_or(71), "from the first that differs, without a gap");
            let from = usize::try_from(first_seq).unwrap() - 1;
            assert_eq!(previous, journal.hashes[from]);
            assert_eq!(records, journal.records[from..from + records.len()]);
            assert_eq!((until.seq, until.hash), (journal.head(), *journal.hashes.last().unwrap()));
            next = Some(first_seq + u64::try_from(records.len()).unwrap());
            if cut || next == Some(journal.head() + 1) {
                break;
            }
        }
        // Nothing is taken from it meanwhile.
        if !cut {
            world.facts(copy.batch(71, 71), 2).await;
            assert_eq!(world.ended().await, "facts before an accepted birth");
        }
        world.disconnect().await;
    }
    assert_eq!(world.counters.get(Count::Restores), 2);
    assert_eq!(kinds(&store).await, before, "nobody is told of it twice");
    // It has all, and says its start again.
    let mut healed = journal.clone();
    let boot = BootId([8; 16]);
    healed.append(Fact::Booted(Booted { boot, boot_count: 3, agent_version: "0.1.0".to_owned() }));
    let born = Birth { boot, boot_count: 3, ..birth(&healed) };
    let ack = world.birth_with(born).await;
    assert_eq!(ack.committed_seq, journal.head());
    world.facts(healed.batch(healed.head(), healed.head()), 3).await;
    world.acknowledged(3).await;
    let bank = store.bank(&bank_id()).await.unwrap().unwrap();
    assert_eq!((bank.committed_seq, bank.stopped_reason), (healed.head(), None));
    world.stop().await;
}

#[tokio::test]
async fn p_f_a_journal_without_a_common_past_is_told_to_begin_a_stream_that_takes_its_state_along()
{
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut old = booked(&store).await;
    old.deposit(1, 1);
    let mut world = World::start(&store).await;
    world.birth_with(birth(&old)).await;
    world.facts(old.batch(6, old.head()), 1).await;
    world.acknowledged(1).await;
    world.disconnect().await;
    // All that it has differs, and what is before is pruned at the bank.
    let mut forked = birth(&old);
    forked.head_hash.0[0] ^= 1;
    for rung in &mut forked.ladder {
        rung.hash.0[0] ^= 1;
    }
    for connection in 0..2 {
        let again =
            Birth { connection_count: forked.connection_count + connection, ..forked.clone() };
        say_birth(&mut world, &again).await;
        let Restore { kind, .. } = given(&mut world).await;
        let expected = RestoreKind::NewStream { reason: StreamBreak::Forked, common: None };
        assert_eq!(kind, expected, "also if the order was lost");
        world.disconnect().await;
    }
    let bank = store.bank(&bank_id()).await.unwrap().unwrap();
    assert_eq!(bank.stopped_reason, Some(StopReason::Fork));
    // Decided while the bank is busy with that.
    let until = NOW.plus_ms(9 * 24 * 3_600_000);
    let extend = ParcelChange::Extend { until };
    change_parcel(&store, &carrier(), "p1", extend, request("extend"), NOW).await.unwrap();

    let held = folded(&old);
    let common = Place { seq: old.head(), hash: *old.hashes.last().unwrap() };
    let reason = Some(StreamBreak::Forked);
    let parent = Some(Parent { stream: old.stream, common: Some(common), reason });
    let mut new = Journal::new(2);
    new.append(Fact::StreamOpened(StreamOpened { bank: bank_id(), device_key: [0; 32], parent }));
    new.append(Fact::StateCarried(StateCarried::new(held.export())));
    let boot = BootId([5; 16]);
    new.append(Fact::Booted(Booted { boot, boot_count: 1, agent_version: "0.1.0".to_owned() }));
    let grants = held.meta().grants;
    let born = Birth { parent, grants, boot, ..birth(&new) };
    let ack = world.birth_with(born).await;
    assert_eq!((ack.stream, ack.committed_seq), (new.stream, 0));
    world.facts(new.batch(1, new.head()), 2).await;
    let told = Grants::decode(&world.heard(DownTopic::Grants).await).unwrap();
    // Not the booking again, which the bank has: only what it has not heard.
    let [Grant::Keep { parcel, until: kept, .. }] = told.grants[..] else { panic!("{told:?}") };
    assert_eq!((parcel, kept), (ParcelId([1; 16]), until));
    assert!(told.first.epoch > store.epoch() && told.first.gseq == 1);
    assert_eq!(state(&store, 1).await, HubParcelState::Stored);
    let folded = store.load_bank(&bank_id()).await.unwrap().unwrap().view;
    assert_eq!(folded.parcel(ParcelId([1; 16])), held.parcel(ParcelId([1; 16])));
    let bank = store.bank(&bank_id()).await.unwrap().unwrap();
    assert_eq!((bank.stopped_reason, bank.committed_seq), (None, new.head()));
    let open = alarms(&store).await;
    let [alarm] = &open[..] else { panic!("{open:?}") };
    assert_eq!(alarm.kind, AlarmKind::Inventory);
    let kinds = kinds(&store).await;
    assert_eq!(count(&kinds, EventKind::BankStreamOpened), 1);
    assert_eq!(count(&kinds, EventKind::ParcelStored), 1);
    world.stop().await;
}

#[tokio::test]
async fn p_f_a_parcel_that_left_by_records_that_a_bank_has_lost_is_withdrawn_there() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut old = booked(&store).await;
    old.deposit(1, 1);
    let (readable, known) = (old.head(), folded(&old));
    old.pick_up(1, 1, PickupEnd::Collected { presumed: false });
    let mut world = World::start(&store).await;
    world.birth_with(birth(&old)).await;
    world.facts(old.batch(6, old.head()), 1).await;
    world.acknowledged(1).await;
    world.disconnect().await;
    assert_eq!(state(&store, 1).await, HubParcelState::Collected);

    let hash = old.hashes[usize::try_from(readable).unwrap()];
    let common = Some(Place { seq: readable, hash });
    let reason = Some(StreamBreak::Damaged);
    let parent = Some(Parent { stream: old.stream, common, reason });
    let mut new = Journal::new(2);
    new.append(Fact::StreamOpened(StreamOpened { bank: bank_id(), device_key: [0; 32], parent }));
    let all = carried(&known, &known, &InDoubt::All);
    new.append(Fact::StateCarried(StateCarried::new(all)));
    let boot = BootId([5; 16]);
    new.append(Fact::Booted(Booted { boot, boot_count: 1, agent_version: "0.1.0".to_owned() }));
    let grants = known.meta().grants;
    let born = |connection_count| Birth { parent, grants, boot, connection_count, ..birth(&new) };
    world.birth_with(born(1)).await;
    world.facts(new.batch(1, new.head()), 2).await;
    world.acknowledged(2).await;
    let alarm = alarms(&store).await.remove(0);
    assert_eq!(alarm.kind, AlarmKind::Inventory);
    clear_alarm(&store, alarm.id, "looked".to_owned(), request("clear"), NOW).await.unwrap();
    assert_eq!(world.ended().await, "a person has decided about the bank");
    world.disconnect().await;
    world.birth_with(born(2)).await;
    let told = Grants::decode(&world.heard(DownTopic::Grants).await).unwrap();
    let [Grant::Recall { parcel, version, .. }] = told.grants[..] else { panic!("{told:?}") };
    let held = known.parcel(parcel).unwrap();
    assert!(parcel == ParcelId([1; 16]) && version > held.version, "{told:?}");
    assert_eq!(state(&store, 1).await, HubParcelState::Collected);
    world.stop().await;
}

#[tokio::test]
async fn r06_a_bank_that_has_deleted_what_a_restored_hub_lacks_begins_a_new_stream() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    for _ in 0..100 {
        journal.pick_up(1, 1, PickupEnd::NotTaken);
    }
    let mut world = World::start(&store).await;
    // The hub has 5 records, and the bank was once told that 100 are safe.
    let rungs = ladder(101, journal.head(), None).into_iter();
    let hash = |seq: u64| journal.hashes[usize::try_from(seq).unwrap()];
    let ladder = rungs.map(|seq| Place { seq, hash: hash(seq) }).collect();
    let mut committed = store.committed_events();
    committed.borrow_and_update();
    say_birth(&mut world, &Birth { ladder, oldest_seq: 101, ..journal.birth() }).await;
    let Restore { kind, .. } = given(&mut world).await;
    assert!(matches!(kind, RestoreKind::NewStream { .. }), "{kind:?}");
    committed.changed().await.unwrap();
    let open = alarms(&store).await;
    let [alarm] = &open[..] else { panic!("{open:?}") };
    assert_eq!(alarm.kind, AlarmKind::Stopped(StopReason::Fork));
    assert_eq!(alarm.detail, "nothing that it has goes on from ours");
    world.stop().await;
}

/// What a journal adds up to.
fn folded(journal: &Journal) -> MemoryView {
    let mut view = MemoryView::default();
    for bytes in &journal.records {
        let changes = fold(&view, &decode_record(bytes).unwrap());
        view.apply(changes);
    }
    view
}

#[tokio::test]
async fn p_i_a_batch_that_shows_another_past_is_answered_with_the_records_too() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    let mut world = World::start(&store).await;
    journal.deposit(1, 1);
    world.birth_with(birth(&journal)).await;
    world.facts(journal.batch(6, journal.head()), 1).await;
    world.acknowledged(1).await;
    world.disconnect().await;
    // Between two rungs: the birth cannot show it.
    let head = journal.head();
    let mut other = older_copy(&journal, head - 1);
    other.append(Fact::Booted(Booted {
        boot: BootId([8; 16]),
        boot_count: 3,
        agent_version: "0.1.0".to_owned(),
    }));
    let mut born = birth(&other);
    born.ladder.retain(|rung| rung.seq != head);
    born.boot = BootId([8; 16]);
    born.boot_count = 3;
    world.birth_with(born).await;
    world.facts(other.batch(other.head(), other.head()), 2).await;
    let kind = loop {
        if let Did::Sent { topic: DownTopic::Restore, payload, .. } = world.next().await {
            let topic = DownTopic::Restore;
            let opened =
                locker_proto::signed::open(&payload, topic, &bank_id(), &world.held.command);
            break Restore::decode(&opened.unwrap()).unwrap().kind;
        }
    };
    let RestoreKind::Run { records, until, .. } = kind else { panic!("{kind:?}") };
    assert_eq!(until.seq, head);
    assert_eq!(records.last(), journal.records.last());
    let bank = store.bank(&bank_id()).await.unwrap().unwrap();
    assert_eq!((bank.stopped_reason, bank.committed_seq), (None, head));
    world.stop().await;
}

/// A device that seals.
struct Device(EcdsaKeyPair);

impl Device {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn key(&self) -> DeviceKey {
        let point = self.0.public_key().as_ref().try_into().unwrap();
        DeviceKey::of_spki(&DeviceKey { hash: [0; 32], point }.spki()).unwrap()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(&SystemRandom::new(), message).unwrap().as_ref().try_into().unwrap()
    }

    /// A seal at the end of a journal; `meddle` changes it before it is signed.
    fn seal(&self, journal: &mut Journal, meddle: impl FnOnce(&mut Sealed)) {
        let mut sealed = Sealed {
            upto: journal.head(),
            hash: *journal.hashes.last().unwrap(),
            fold_version: FOLD_VERSION,
            projection: seal::projection(&folded(journal)),
            signature: [0; 64],
        };
        meddle(&mut sealed);
        sealed.signature = self.sign(&sealed.signed_bytes(journal.stream));
        journal.append(Fact::Sealed(sealed));
    }
}

/// A new bank's journal with the key of `device`, to be told.
fn opened_by(device: &Device) -> Journal {
    let mut journal = Journal::new(1);
    let device_key = device.key().hash;
    journal.append(Fact::StreamOpened(StreamOpened { bank: bank_id(), device_key, parent: None }));
    let (boot, agent_version) = (BootId([1; 16]), "0.1.0".to_owned());
    journal.append(Fact::Booted(Booted { boot, boot_count: 1, agent_version }));
    journal
}

#[tokio::test]
async fn seals_are_checked_and_what_does_not_hold_is_stored_counted_and_told() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, &[300]).await;
    let device = Device::new();
    let mut journal = opened_by(&device);
    device.seal(&mut journal, |_| {});
    // Folded by other rules: the signature counts, and the state is not compared.
    device.seal(&mut journal, |sealed| (sealed.fold_version, sealed.projection) = (99, [1; 32]));
    let mut world = World::start(&store).await;
    world.caller.key = Some(device.key());
    world.birth_with(birth(&journal)).await;
    world.facts(journal.batch(1, journal.head()), 1).await;
    world.acknowledged(1).await;
    let counted = |world: &World| {
        [Count::SealsHeld, Count::StatesCompared, Count::SealsBroken].map(|n| world.counters.get(n))
    };
    assert_eq!(counted(&world), [2, 1, 0]);
    assert!(alarms(&store).await.is_empty());
    world.disconnect().await;
    world.stop().await;

    // After a start the key is known without a session that proves it.
    let mut world = World::start(&store).await;
    device.seal(&mut journal, |sealed| sealed.projection = [9; 32]);
    let thief = Device::new();
    thief.seal(&mut journal, |_| {});
    device.seal(&mut journal, |_| {});
    world.birth_with(birth(&journal)).await;
    world.facts(journal.batch(5, journal.head()), 1).await;
    world.acknowledged(1).await;
    assert_eq!(counted(&world), [1, 1, 2]);
    let open = alarms(&store).await;
    let [alarm] = &open[..] else { panic!("{open:?}") };
    assert_eq!(alarm.kind, AlarmKind::Seal);
    assert_eq!(alarm.detail, "the bank's state at seal 5 is another than ours");
    let bank = store.bank(&bank_id()).await.unwrap().unwrap();
    assert_eq!((bank.committed_seq, bank.stopped_reason), (journal.head(), None));
    world.stop().await;
}

#[tokio::test]
async fn a_changed_device_key_counts_quietly_only_if_the_old_one_signed_for_it() {
    let (old, new) = (Device::new(), Device::new());
    for signed in [true, false] {
        let directory = tempdir().unwrap();
        let store = open_store(directory.path()).await;
        add_bank(&store, &[300]).await;
        let mut journal = opened_by(&old);
        old.seal(&mut journal, |_| {});
        let mut world = World::start(&store).await;
        world.caller.key = Some(old.key());
        world.birth_with(birth(&journal)).await;
        world.facts(journal.batch(1, journal.head()), 1).await;
        world.acknowledged(1).await;
        world.disconnect().await;
        let known = journal.head();
        let mut changed =
            KeyChanged { old: Some(old.key().hash), new: new.key().hash, signature: None };
        if signed {
            let message = changed.signed_bytes(journal.stream, known + 1);
            changed.signature = Some(old.sign(&message));
        }
        journal.append(Fact::KeyChanged(changed));
        new.seal(&mut journal, |_| {});
        world.caller.key = Some(new.key());
        world.birth_with(birth(&journal)).await;
        world.facts(journal.batch(known + 1, journal.head()), 2).await;
        world.acknowledged(2).await;
        assert_eq!(world.counters.get(Count::SealsHeld), 2, "the new key seals from then on");
        assert_eq!(alarms(&store).await.len(), usize::from(!signed));
        world.stop().await;
    }
}

#[tokio::test]
async fn what_older_rules_folded_is_folded_anew_before_a_seal_is_held_against_it() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, &[300]).await;
    let device = Device::new();
    let mut journal = opened_by(&device);
    let mut world = World::start(&store).await;
    world.caller.key = Some(device.key());
    world.birth_with(birth(&journal)).await;
    world.facts(journal.batch(1, journal.head()), 1).await;
    world.acknowledged(1).await;
    world.disconnect().await;
    world.stop().await;
    // As a hub would have stored it that knew nothing of device keys.
    let before = kinds(&store).await;
    store.decide(Meddle("DELETE FROM bank_entities")).await.unwrap();
    store.decide(Meddle("UPDATE banks SET folded_by = 4")).await.unwrap();
    let mut world = World::start(&store).await;
    let known = journal.head();
    device.seal(&mut journal, |_| {});
    world.birth_with(birth(&journal)).await;
    world.facts(journal.batch(known + 1, journal.head()), 2).await;
    world.acknowledged(2).await;
    assert_eq!(world.counters.get(Count::StatesCompared), 1);
    assert!(alarms(&store).await.is_empty());
    let loaded = store.load_bank(&bank_id()).await.unwrap().unwrap();
    assert_eq!((loaded.folded_by, loaded.view), (FOLD_VERSION, folded(&journal)));
    assert_eq!(kinds(&store).await, before, "nothing follows twice");
    world.stop().await;
}
