//! What the hub decides: taken, refused with a reason, known already, or out of order.

use ed25519_dalek::SigningKey;
use locker_core::credential::{CommandKey, CredentialKey};
use locker_core::ids::{ParcelId, Version};

use super::*;

fn refusals(world: &World) -> Vec<GrantRefusal> {
    let refused =
        |fact| if let Fact::GrantRefused(refused) = fact { Some(refused.reason) } else { None };
    world.facts().into_iter().filter_map(refused).collect()
}

#[tokio::test(start_paused = true)]
async fn r01_grants_are_answered_once_and_in_order() {
    let world = World::ready().await;
    world.grants(1, 1, vec![Grant::Book(booking(1)), Grant::Book(booking(2))]).await;
    assert_eq!(world.introduction().await.grants.gseq, 2);
    let facts = world.facts().len();
    world.grants(1, 1, vec![Grant::Book(booking(1)), Grant::Book(booking(2))]).await;
    assert_eq!(world.facts().len(), facts, "a duplicate says nothing");
    // One that begins before and ends after what is held.
    world.grants(1, 2, vec![Grant::Book(booking(2)), Grant::Book(booking(3))]).await;
    assert_eq!(world.facts().len(), facts + 1);
    // A gap is not bridged.
    world.grants(1, 5, vec![Grant::Book(booking(5))]).await;
    assert_eq!(world.introduction().await.grants.gseq, 3);
    assert_eq!(world.facts().len(), facts + 1);
    // A later life of the hub counts anew.
    world.grants(2, 1, vec![Grant::Book(booking(4))]).await;
    let held = world.introduction().await.grants;
    assert_eq!((held.epoch, held.gseq), (HubEpoch(2), 1));
    world.grants(1, 4, vec![Grant::Book(booking(6))]).await;
    assert_eq!(world.introduction().await.grants, held, "an ended life is not heard");
}

#[tokio::test(start_paused = true)]
async fn r11_a_grant_that_does_not_fit_is_answered_with_its_reason() {
    let mut world = World::ready().await;
    world.stored(1).await;
    world.grant(Grant::Book(booking(1))).await;
    let cancel =
        |n, version| Grant::Cancel { parcel: ParcelId([n; 16]), version: Version(version) };
    world.grant(cancel(1, 2)).await;
    world.grant(cancel(9, 2)).await;
    world.grant(Grant::Book(booking(2))).await;
    let mut namesake = booking(3);
    namesake.barcode = "PKG2".parse().unwrap();
    world.grant(Grant::Book(namesake)).await;
    assert_eq!(
        refusals(&world),
        [
            GrantRefusal::Stale,
            GrantRefusal::TooLate,
            GrantRefusal::UnknownParcel,
            GrantRefusal::BarcodeTaken,
        ]
    );
    world.grant(cancel(2, 2)).await;
    world.scan(&world::badge()).await.unwrap();
    assert_eq!(world.scan("PKG2").await, Err(Refusal::ParcelCancelled));
}

#[tokio::test(start_paused = true)]
async fn f06_documents_are_taken_whole_or_refused_with_a_reason() {
    let mut world = World::ready().await;
    world.stored(1).await;
    let facts = world.facts().len();
    world.config(Document::Layout(layout(1))).await;
    assert_eq!(world.facts().len(), facts, "the one that is held");

    let mut removed = layout(2);
    removed.compartments.remove(0);
    world.config(Document::Layout(removed)).await;
    let mut unsound = layout(3);
    unsound.compartments[1] = unsound.compartments[0];
    world.config(Document::Layout(unsound)).await;
    let root = Some(world::ROOT);
    world.key_set(KeySet { generation: Generation(2), root, ..KeySet::default() }).await;
    let reasons: Vec<_> = world
        .facts()
        .into_iter()
        .filter_map(|fact| {
            if let Fact::ConfigRefused(refused) = fact { Some(refused.reason) } else { None }
        })
        .collect();
    let (in_use, unsound) = (ConfigRefusal::CompartmentInUse, ConfigRefusal::Unsound);
    assert_eq!(reasons, [in_use, unsound, unsound]);
    let introduction = world.introduction().await;
    assert_eq!((introduction.layout, introduction.keys.generation), (Generation(1), Generation(1)));
}

#[tokio::test(start_paused = true)]
async fn c10_a_thiefs_keys_open_nothing_once_the_stolen_root_is_believed_no_more() {
    const OURS: RootKey = RootKey([9; 32]);
    let mut world = World::ready().await;
    world.stored(1).await;
    let set = |key: &SigningKey, generation, root| {
        let public = key.verifying_key().to_bytes();
        let (keys, command) =
            (vec![CredentialKey { kid: 1, public }], vec![CommandKey { kid: 1, public }]);
        KeySet { generation: Generation(generation), keys, command, root: Some(root) }
    };
    // With the root in hand, and so with the highest number there is.
    let thief = SigningKey::from_bytes(&[6; 32]);
    world.key_set(set(&thief, u64::MAX, world::ROOT)).await;
    let forged = credential::sign(&thief, 1, &world::claims(1)).unwrap();
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::CodeAltered));
    world.key_set(set(&world::key(), 2, OURS)).await;
    assert_eq!(world.introduction().await.keys.generation, Generation(u64::MAX), "not ours yet");

    let world = world.started_again_believing(&[OURS]).await;
    world.hear().await;
    world.doors_known().await;
    assert_eq!(world.introduction().await.keys, KeySet::default());
    for text in [&forged, &code(1)] {
        assert_eq!(world.scan(text).await, Err(Refusal::CodeKeyUnknown));
    }
    world.key_set(set(&thief, u64::MAX, world::ROOT)).await;
    assert_eq!(world.introduction().await.keys, KeySet::default());
    world.key_set(set(&world::key(), 2, OURS)).await;
    assert_eq!(world.introduction().await.keys, set(&world::key(), 2, OURS));
    assert_eq!(world.scan(&forged).await, Err(Refusal::CodeAltered));
    world.scan(&code(1)).await.unwrap();
    world.until_phase(PanelPhase::Open).await;
    // And it stays so.
    let world = world.started_again_believing(&[OURS]).await;
    assert_eq!(world.introduction().await.keys.generation, Generation(2));
}

#[tokio::test(start_paused = true)]
async fn a_layout_that_comes_after_the_doors_were_read_finds_them_read() {
    let world = World::bare().await;
    // The bus has told its baseline long ago, to a bank without compartments.
    tokio::time::advance(Duration::from_secs(5)).await;
    world.settle().await;
    world.config(Document::Layout(layout(1))).await;
    world.doors_known().await;
    for no in 1..=3 {
        assert_eq!(world.compartment(no).door, Door::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn h10_a_compartment_that_is_rewired_gets_the_reading_of_its_new_lock() {
    let mut world = World::ready().await;
    world.sim.command("open 2").unwrap();
    world
        .until_journal("open", |view| view.compartment(CompartmentNo(3)).unwrap().door.is_open())
        .await;
    let mut swapped = layout(2);
    swapped.compartments.remove(2);
    swapped.compartments[1].lock.lock = 0;
    swapped.compartments[0].lock.lock = 1;
    // Compartment 3 is quarantined and may not go; so it stays and only the others swap.
    swapped.compartments.push(layout(2).compartments[2]);
    world.config(Document::Layout(swapped)).await;
    assert_eq!(world.introduction().await.layout, Generation(2));
    world.doors_known().await;
    world.courier_with(1).await;
    world.scan("PKG1").await.unwrap();
    assert_eq!(world.until_phase(PanelPhase::Open).await, 1);
    assert_eq!(world.frames.lock().unwrap()[0][2], 1, "its new lock was pulsed");
}

#[tokio::test(start_paused = true)]
async fn a_birth_says_what_the_bank_holds() {
    let world = World::ready().await;
    let said = world.introduction().await;
    assert_eq!(said.stream, StreamId([7; 16]));
    assert_eq!((said.boot, said.boot_count), (BootId([1; 16]), 1));
    assert_eq!((said.layout, said.keys.generation), (Generation(1), Generation(1)));
    assert!(matches!(said.stamp.quality, locker_core::clock::TimeQuality::Bounded { .. }));
    assert_eq!((said.mode, said.quota, said.courier_codes), Default::default());
    assert_eq!(said.config_epoch, HubEpoch(1));
    assert_eq!(said.code_keys, Some(world::tag_keys().fingerprint()));
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_was_restored_is_followed_although_it_counts_from_an_older_state() {
    let world = World::ready().await;
    world.config(Document::Layout(layout(9))).await;
    let document = Document::Layout(layout(3));
    let restored = Config { epoch: HubEpoch(2), document, nonce: None };
    world.events.send(Event::Config(restored)).await.unwrap();
    let said = world.introduction().await;
    assert_eq!((said.layout, said.config_epoch), (Generation(3), HubEpoch(2)));
    world.config(Document::Layout(layout(10))).await;
    assert_eq!(world.introduction().await.layout, Generation(3), "of an epoch that is over");
}
