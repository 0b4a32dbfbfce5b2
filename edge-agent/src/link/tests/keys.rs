//! Whose word counts: the root's for key sets, that of the keys in the newest set for everything else.

use locker_proto::key_set::SignedKeySet;

use super::hub::{config, signed_key_set};
use super::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

impl World {
    async fn with_hub_and_held(held: KeySet) -> (Self, Hub) {
        let (world, hub) = Self::with_hub().await;
        // The link asks only once the hub answers it.
        *world.held.lock().unwrap() = held;
        (world, hub)
    }

    /// The next key set that the bank is told.
    async fn told(&mut self) -> KeySet {
        self.event(|event| if let Event::KeySet(keys) = event { Some(keys) } else { None }).await
    }

    /// The connection ends, and neither a link nor a key set was told.
    /// Whether the bank is told of a key set before it is told of an ack.
    async fn takes_a_key_set_over(&mut self) -> bool {
        let wanted = |event| {
            let is_key_set = matches!(event, Event::KeySet(_));
            (is_key_set || matches!(event, Event::Safe { .. })).then_some(is_key_set)
        };
        self.event(wanted).await
    }

    async fn told_nothing(&mut self) {
        let linked = self.event(|event| {
            assert!(!matches!(event, Event::KeySet(_)), "{event:?}");
            if let Event::Linked(linked) = event { Some(linked) } else { None }
        });
        assert!(!linked.await);
    }
}

#[tokio::test]
async fn a_bank_that_holds_no_keys_learns_them_before_the_first_ack() {
    let (mut world, hub) = World::with_hub_and_held(KeySet::default()).await;
    let (mut session, birth) = hub.born().await;
    assert_eq!(birth.key_set, Generation(0));
    let first = ack(birth.stream, birth.nonce, 0, world.hash_at(0)).encode();
    session.say(DownTopic::Ack, &first).await;
    session.ends().await;
    world.told_nothing().await;

    let (mut session, birth) = hub.born().await;
    let keys = key_set(1, &[(1, &command_key())]);
    // Whoever signed the envelope: the root's signature is inside.
    session.say_with(&key(99), 77, DownTopic::Config, &signed_key_set(&keys)).await;
    session.ack(&birth, 0, world.hash_at(0)).await;
    assert_eq!(world.told().await, keys);
    assert!(world.linked().await);
}

#[tokio::test]
async fn c10_a_thief_of_the_command_key_cannot_exchange_keys() {
    let (mut world, hub) = World::with_hub().await;
    let thief = key(66);
    let keys = key_set(9, &[(1, &thief)]);
    let mut altered = SignedKeySet::sign(&root(), &keys).encode();
    *altered.last_mut().unwrap() ^= 1;
    // Config.epoch, and Config.key_set, which has no signature.
    let keys_alone = locker_proto::encode_key_set(&keys);
    let length = u8::try_from(keys_alone.len()).unwrap();
    let unsigned = [&[0x08, 1, 0x1a, length][..], &keys_alone].concat();
    for root in [&thief, &command_key()] {
        let (mut session, birth) = hub.born().await;
        session.say(DownTopic::Config, &config(SignedKeySet::sign(root, &keys))).await;
        session.ack(&birth, 0, world.hash_at(0)).await;
        assert!(!world.takes_a_key_set_over().await);
    }
    for payload in [config(SignedKeySet::decode(&altered).unwrap()), unsigned] {
        let (mut session, _) = hub.born().await;
        session.say(DownTopic::Config, &payload).await;
        session.ends().await;
        world.told_nothing().await;
    }
    // Nor can he put one where it does not belong.
    let (mut session, _) = hub.born().await;
    session.say_with(&thief, 1, DownTopic::Grants, &signed_key_set(&keys)).await;
    session.ends().await;
    world.told_nothing().await;
    let (_session, _) = world.welcome(&hub, 0).await;
}

#[tokio::test]
async fn c10_the_command_keys_of_a_root_that_is_believed_no_more_do_not_count() {
    let (thief, foreign) = (key(66), RootKey(key(6).verifying_key().to_bytes()));
    for root in [Some(foreign), None] {
        // The bank does not tell of it; even if it did.
        let held = KeySet { root, ..key_set(u64::MAX, &[(1, &thief)]) };
        let (mut world, hub) = World::with_hub_and_held(held).await;
        let (mut session, birth) = hub.born().await;
        let first = ack(birth.stream, birth.nonce, 0, world.hash_at(0)).encode();
        session.say_with(&thief, 1, DownTopic::Ack, &first).await;
        session.ends().await;
        world.told_nothing().await;
        let (mut session, birth) = hub.born().await;
        let ours = key_set(2, &[(1, &command_key())]);
        session.say(DownTopic::Config, &signed_key_set(&ours)).await;
        session.ack(&birth, 0, world.hash_at(0)).await;
        assert_eq!(world.told().await, ours);
        assert!(world.linked().await);
    }
}

#[tokio::test]
async fn a_bank_that_was_forgotten_when_the_root_was_rolled_goes_on_with_the_keys_it_holds() {
    let (mut world, hub) = World::with_hub().await;
    let (mut session, birth) = world.welcome(&hub, 0).await;
    let next = key_set(9, &[(1, &command_key())]);
    session.say(DownTopic::Config, &config(SignedKeySet::sign(&key(66), &next))).await;
    session.ack(&birth, 0, world.hash_at(0)).await;
    assert!(!world.takes_a_key_set_over().await);
}

#[tokio::test]
async fn command_keys_are_rolled_with_an_overlap_and_retired_ones_stay_out() {
    let (mut world, hub) = World::with_hub().await;
    let (mut session, birth) = world.welcome(&hub, 0).await;
    let (old, new) = (command_key(), key(44));
    let (both, only_new) = (key_set(4, &[(2, &new), (1, &old)]), key_set(5, &[(2, &new)]));
    let safe = |event| if let Event::Safe { safe } = event { Some(safe) } else { None };
    let acks = |world: &World| ack(birth.stream, birth.nonce, 0, world.hash_at(0)).encode();

    // Still the old key's word; from the next message on the new one's counts as well.
    session.say(DownTopic::Config, &signed_key_set(&both)).await;
    assert_eq!(world.told().await, both);
    for (key, kid) in [(&new, 2), (&old, 1)] {
        let ack = acks(&world);
        session.say_with(key, kid, DownTopic::Ack, &ack).await;
        world.event(safe).await;
    }
    session.say_with(&new, 2, DownTopic::Config, &signed_key_set(&only_new)).await;
    assert_eq!(world.told().await, only_new);
    // A replay of the older set brings nothing back.
    session.say_with(&new, 2, DownTopic::Config, &signed_key_set(&both)).await;
    assert_eq!(world.told().await, both, "the bank judges for itself");
    let ack_by_new = acks(&world);
    session.say_with(&new, 2, DownTopic::Ack, &ack_by_new).await;
    world.event(safe).await;
    session.say_with(&old, 1, DownTopic::Ack, &ack_by_new).await;
    session.ends().await;
    assert!(!world.linked().await);

    // The bank could not make the new set durable yet; the key that was taken out stays out.
    let (mut session, birth) = hub.born().await;
    assert_eq!(birth.key_set, Generation(3));
    let first = ack(birth.stream, birth.nonce, 0, world.hash_at(0)).encode();
    session.say_with(&old, 1, DownTopic::Ack, &first).await;
    session.ends().await;
    assert!(!world.linked().await);
    let (mut session, birth) = hub.born().await;
    let first = ack(birth.stream, birth.nonce, 0, world.hash_at(0)).encode();
    session.say_with(&new, 2, DownTopic::Ack, &first).await;
    while !world.linked().await {}
}

#[tokio::test]
async fn a_set_that_makes_no_sense_is_told_and_its_keys_do_not_count() {
    let (mut world, hub) = World::with_hub().await;
    let (mut session, birth) = world.welcome(&hub, 0).await;
    let twice = key_set(4, &[(2, &key(44)), (2, &key(45))]);
    session.say(DownTopic::Config, &signed_key_set(&twice)).await;
    assert_eq!(world.told().await, twice);
    session.ack(&birth, 0, world.hash_at(0)).await;
    let safe = |event| if let Event::Safe { safe } = event { Some(safe) } else { None };
    world.event(safe).await;
    let ack = ack(birth.stream, birth.nonce, 0, world.hash_at(0)).encode();
    session.say_with(&key(44), 2, DownTopic::Ack, &ack).await;
    session.ends().await;
}

#[test]
fn either_of_two_roots_is_believed() {
    let (one, two) = (root(), key(6));
    let pinned = |keys: &[&SigningKey]| {
        TrustedKeys::new(keys.iter().map(|key| RootKey(key.verifying_key().to_bytes())).collect())
    };
    let keys = key_set(1, &[(1, &command_key())]);
    for signer in [&one, &two] {
        let payload = config(SignedKeySet::sign(signer, &keys));
        let envelope = signed::sign(&key(99), 3, DownTopic::Config, &bank(), &payload);
        let open =
            |mut trusted: TrustedKeys| trusted.open(DownTopic::Config, &bank(), &envelope).is_ok();
        assert!(open(pinned(&[&one, &two])));
        assert!(!open(pinned(&[])));
        assert_eq!(open(pinned(&[&one])), std::ptr::eq(signer, &one));
    }
}
