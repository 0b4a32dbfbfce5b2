//! The link against a hub of flesh and bone: TLS, MQTT, signatures, and a hub that misbehaves.

mod clock;
mod damage;
mod hub;
mod keys;
pub(crate) mod pki;

use std::sync::{Arc, Mutex};

use ed25519_dalek::SigningKey;
use locker_core::bank::BoardChanged;
use locker_core::clock::TimeQuality;
use locker_core::credential::KeySet;
use locker_core::downlink::{Grant, GrantPosition, Mode};
use locker_core::fact::Fact;
use locker_core::ids::{CommandId, Generation, HubEpoch, ParcelId, StreamId, Version};
use locker_core::journal::{BATCH_MAX_RECORDS, ChainHash, StreamBreak};
use locker_core::units::UnixMillis;
use locker_core::uplink::BATCHES_OUTSTANDING_MAX;
use locker_proto::key_set::RootKey;
use locker_proto::message::{Birth, Command, CommandKind, Config, Document, Grants, Nonce};
use locker_proto::message::{Presence, Restore, RestoreKind, Telemetry};
use locker_proto::signed;
use locker_proto::topics::{DownTopic, UpTopic, down_filter};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Packet, SubscribeReasonCode};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::hub::{Hub, PATIENCE, Session, ack, bank, command_key, key_set, root};
use self::pki::Pki;
use super::*;
use crate::bank::Introduction;
use crate::journal::Limits;
use crate::store::{Keeper, Ledger, Stamp};
use crate::telemetry::{Sample, Samples};

/// A bank of which only journal and link are real.
struct World {
    pki: Pki,
    ledger: Ledger,
    head: watch::Sender<u64>,
    missed: watch::Sender<u64>,
    stop: watch::Sender<bool>,
    events: mpsc::Receiver<Event>,
    /// What the bank says it holds.
    held: Arc<Mutex<KeySet>>,
    samples: Samples,
    time: watch::Sender<KnownTime>,
    link: JoinHandle<()>,
    _dir: TempDir,
}

impl World {
    /// With a hub that its link is on the way to.
    async fn with_hub() -> (Self, Hub) {
        let pki = Pki::new();
        let hub = Hub::bind(0, pki.hub()).await;
        let port = hub.port();
        (Self::start(pki, port), hub)
    }

    fn start(pki: Pki, port: u16) -> Self {
        Self::start_at(KnownTime::heard(stamp().at, Instant::now()), pki, port)
    }

    /// With a bank that knows this of the time.
    fn start_at(time: KnownTime, pki: Pki, port: u16) -> Self {
        let dir = TempDir::new().unwrap();
        let limits = Limits { ballast_bytes: 0, ..Limits::default() };
        let (ledger, _) = Ledger::open(dir.path(), limits, &keeper(), stamp()).unwrap();
        Self::start_on(dir, ledger, time, pki, port)
    }

    /// With a bank that has this journal.
    fn start_on(dir: TempDir, ledger: Ledger, time: KnownTime, pki: Pki, port: u16) -> Self {
        let time = watch::Sender::new(time);
        let head = watch::Sender::new(ledger.head().0);
        let missed = watch::Sender::new(0);
        let stop = watch::Sender::new(false);
        let samples = Samples::default();
        let (sender, inbox) = mpsc::channel(64);
        let (forward, events) = mpsc::channel(64);
        let held = Arc::new(Mutex::new(key_set(3, &[(1, &command_key())])));
        tokio::spawn(answer(inbox, forward, Arc::clone(&held)));
        let link = Link {
            bank: bank(),
            boot: ledger.boot(),
            host: "127.0.0.1".to_owned(),
            port,
            tls: pki.bank().tls,
            keys: TrustedKeys::new(vec![RootKey(root().verifying_key().to_bytes())]),
            limits: LinkLimits { backoff_min_ms: 10, backoff_max_ms: 40, ..LinkLimits::default() },
            reader: ledger.reader(),
            head: head.subscribe(),
            missed: missed.subscribe(),
            time: time.subscribe(),
            samples: samples.clone(),
            events: sender,
            jitter: Jitter::none(),
            random: || {
                let mut bytes = [0; 16];
                aws_lc_rs::rand::fill(&mut bytes).unwrap();
                bytes
            },
            stop: stop.subscribe(),
        };
        let link = tokio::spawn(run(link));
        Self { pki, ledger, head, missed, stop, events, held, samples, time, link, _dir: dir }
    }

    /// Commits until the journal ends at `seq`.
    fn commit_to(&mut self, seq: u64) {
        while self.ledger.head().0 < seq {
            let left = usize::try_from(seq - self.ledger.head().0).unwrap();
            let fact = Fact::BoardChanged(BoardChanged { board: 0, online: true });
            self.ledger.commit(&vec![fact; left.min(256)], None, stamp()).unwrap();
        }
        self.head.send_replace(seq);
    }

    fn hash_at(&self, seq: u64) -> ChainHash {
        ChainHash(self.ledger.reader().hash_at(seq).unwrap())
    }

    /// The next event of which `wanted` makes something.
    async fn event<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        loop {
            let event = timeout(PATIENCE, self.events.recv()).await.expect("an event").unwrap();
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }

    async fn linked(&mut self) -> bool {
        self.event(|event| if let Event::Linked(linked) = event { Some(linked) } else { None })
            .await
    }

    /// Acknowledged at `seq`, and so linked.
    async fn welcome(&mut self, hub: &Hub, seq: u64) -> (Session, Birth) {
        let (mut session, birth) = hub.born().await;
        session.ack(&birth, seq, self.hash_at(seq)).await;
        while !self.linked().await {}
        (session, birth)
    }
}

fn keeper() -> Keeper {
    Keeper {
        bank: bank(),
        device_key: [1; 32],
        boot: BootId([2; 16]),
        fresh_stream: StreamId([7; 16]),
        agent_version: "1.0.0".to_owned(),
    }
}

/// Plays the bank's loop: answers who it is, passes on the rest.
async fn answer(
    mut inbox: mpsc::Receiver<Event>,
    forward: mpsc::Sender<Event>,
    held: Arc<Mutex<KeySet>>,
) {
    while let Some(event) = inbox.recv().await {
        if let Event::Introduce { reply } = event {
            let (stream, boot) = (StreamId([7; 16]), BootId([2; 16]));
            let grants = GrantPosition { epoch: HubEpoch(1), gseq: 5 };
            let keys = held.lock().unwrap().clone();
            let layout = Generation(2);
            let said = Introduction {
                stream,
                boot,
                boot_count: 1,
                grants,
                layout,
                keys,
                mode: Generation(4),
                quota: Generation(0),
                courier_codes: Generation(6),
                config_epoch: HubEpoch(7),
                code_keys: Some([8; 8]),
                parent: None,
                device_key: Some([1; 32]),
                stamp: stamp(),
            };
            reply.send(said).unwrap();
        } else if forward.send(event).await.is_err() {
            return;
        }
    }
}

fn stamp() -> Stamp {
    Stamp { at: UnixMillis(1_800_000_000_000), quality: TimeQuality::Unknown }
}

#[tokio::test]
async fn an_agent_that_starts_before_its_hub_finds_it_later() {
    let pki = Pki::new();
    let tls = pki.hub();
    let reserved = Hub::bind(0, tls.clone()).await;
    let port = reserved.port();
    drop(reserved);
    let mut world = World::start(pki, port);
    assert!(!world.linked().await, "there is nobody");
    assert!(!world.linked().await, "and it tries again");
    let hub = Hub::bind(port, tls).await;
    let (_session, birth) = world.welcome(&hub, 0).await;
    assert!(birth.connection_count > 2);
}

#[tokio::test]
async fn a_connection_begins_in_order_and_facts_wait_for_the_first_ack() {
    let (mut world, hub) = World::with_hub().await;
    world.commit_to(5);
    let mut session = hub.handshake().await.unwrap();
    let connect = session.connected().await;
    assert!(connect.clean_session && connect.login.is_none());
    assert_eq!((connect.client_id.as_str(), connect.keep_alive), ("lobby-1", 45));
    let will = connect.last_will.unwrap();
    assert_eq!(will.topic, UpTopic::Presence.of(&bank()));
    assert!(!Presence::decode(&will.message).unwrap().online && !will.retain);
    let filter = session.subscribed(SubscribeReasonCode::Success(QoS::AtLeastOnce)).await;
    assert_eq!(filter, down_filter(&bank()));
    let birth = session.birth().await;
    assert_eq!((birth.stream, birth.oldest_seq, birth.head_seq), (StreamId([7; 16]), 1, 5));
    assert_eq!(birth.head_hash, world.hash_at(5));
    assert_eq!((birth.connection_count, birth.boot_count), (1, 1));
    assert_eq!((birth.grants.gseq, birth.layout, birth.key_set), (5, Generation(2), Generation(3)));
    assert_eq!((birth.mode, birth.quota), (Some(Generation(4)), Some(Generation(0))));
    assert_eq!((birth.courier_codes, birth.config_epoch), (Some(Generation(6)), HubEpoch(7)));
    assert_eq!(birth.code_keys, Some([8; 8]));
    session.is_quiet().await;

    session.ack(&birth, 0, world.hash_at(0)).await;
    let batch = session.batch().await;
    assert_eq!((batch.first_seq, batch.records.len()), (1, 5));
    assert_eq!(batch.previous, world.hash_at(0));
    let heard = world.event(|event| {
        let Event::Heard { signed, asked_at, heard_at } = event else { return None };
        Some((signed, asked_at <= heard_at))
    });
    assert_eq!(heard.await, (UnixMillis(1_800_000_000_000), true));
    assert!(world.linked().await);
    // What comes later is sent at once.
    world.commit_to(6);
    assert_eq!(session.batch().await.first_seq, 6);
}

#[tokio::test]
async fn four_batches_are_under_way_and_the_next_waits_for_the_watermark() {
    let (mut world, hub) = World::with_hub().await;
    world.commit_to(1_500);
    let (mut session, birth) = world.welcome(&hub, 0).await;
    let mut next = 1;
    for _ in 0..BATCHES_OUTSTANDING_MAX {
        let batch = session.batch().await;
        assert_eq!(batch.first_seq, next);
        assert_eq!(batch.records.len(), BATCH_MAX_RECORDS);
        next += batch.records.len() as u64;
    }
    // The packets are acknowledged, but that says nothing of the hub's store.
    session.is_quiet().await;
    session.ack(&birth, 256, world.hash_at(256)).await;
    let batch = session.batch().await;
    assert_eq!((batch.first_seq, batch.records.len()), (1_025, BATCH_MAX_RECORDS));
    session.is_quiet().await;
    // An ack that says nothing new frees nothing, and nothing is sent twice.
    session.ack(&birth, 256, world.hash_at(256)).await;
    session.is_quiet().await;
    session.ack(&birth, 1_280, world.hash_at(1_280)).await;
    let batch = session.batch().await;
    assert_eq!((batch.first_seq, batch.records.len()), (1_281, 220));
    session.is_quiet().await;
}

#[tokio::test]
async fn r04_after_a_reconnect_it_goes_on_from_the_hubs_watermark() {
    let (mut world, hub) = World::with_hub().await;
    world.commit_to(600);
    let (mut session, first) = world.welcome(&hub, 0).await;
    assert_eq!(session.batch().await.first_seq, 1);
    drop(session);
    assert!(!world.linked().await);
    // What arrived of it is the hub's to say, not the broker's packets.
    let (mut session, second) = world.welcome(&hub, 300).await;
    assert_eq!(second.connection_count, first.connection_count + 1);
    assert_ne!(second.nonce, first.nonce);
    let batch = session.batch().await;
    assert_eq!((batch.first_seq, batch.previous), (301, world.hash_at(300)));
}

#[tokio::test]
async fn c12_what_the_hub_did_not_sign_for_this_bank_and_topic_ends_the_connection() {
    let (mut world, hub) = World::with_hub().await;
    let stranger = SigningKey::from_bytes(&[9; 32]);
    let (topic, neighbour) = (DownTopic::Ack, "lobby-2".parse().unwrap());
    for case in 0..5 {
        let (mut session, birth) = hub.born().await;
        let payload = ack(birth.stream, birth.nonce, 0, world.hash_at(0)).encode();
        let envelope = match case {
            0 => signed::sign(&stranger, 1, topic, &bank(), &payload),
            1 => signed::sign(&command_key(), 2, topic, &bank(), &payload),
            2 => signed::sign(&command_key(), 1, topic, &neighbour, &payload),
            3 => signed::sign(&command_key(), 1, DownTopic::Grants, &bank(), &payload),
            _ => b"not even an envelope".to_vec(),
        };
        session.publish(&topic.of(&bank()), envelope).await;
        session.ends().await;
        assert!(!world.linked().await, "case {case}");
    }
}

#[tokio::test]
async fn an_ack_that_cannot_be_true_ends_the_connection() {
    let (mut world, hub) = World::with_hub().await;
    for case in 0..4 {
        let (mut session, birth) = hub.born().await;
        let head = world.ledger.head().0;
        let message = match case {
            0 => ack(birth.stream, birth.nonce, head + 1, world.hash_at(head)),
            1 => ack(birth.stream, birth.nonce, 1, ChainHash([9; 32])),
            2 => ack(StreamId([8; 16]), birth.nonce, 0, world.hash_at(0)),
            _ => ack(birth.stream, birth.nonce, u64::MAX, ChainHash([9; 32])),
        };
        session.say(DownTopic::Ack, &message.encode()).await;
        session.ends().await;
        assert!(!world.linked().await, "case {case}");
    }
}

#[tokio::test]
async fn an_ack_of_an_earlier_birth_is_not_heard() {
    let (mut world, hub) = World::with_hub().await;
    let (mut session, birth) = hub.born().await;
    let old = ack(birth.stream, Nonce([0; 16]), 0, world.hash_at(0));
    session.say(DownTopic::Ack, &old.encode()).await;
    session.is_quiet().await;
    session.ack(&birth, 0, world.hash_at(0)).await;
    assert_eq!(session.batch().await.first_seq, 1);
    assert!(world.linked().await);
}

#[tokio::test]
async fn decisions_reach_the_bank_in_order_and_foreign_topics_do_not() {
    let (mut world, hub) = World::with_hub().await;
    let (mut session, birth) = world.welcome(&hub, 2).await;
    let grants = |gseq| {
        let grant = Grant::Cancel { parcel: ParcelId([1; 16]), version: Version(2) };
        let first = GrantPosition { epoch: HubEpoch(1), gseq };
        Grants { first, grants: vec![grant], at: UnixMillis(1) }
    };
    session.publish("lk/00/lobby-9/down/grants", grants(1).encode()).await;
    session.publish("whatever", Vec::new()).await;
    for gseq in [6, 7] {
        session.say(DownTopic::Grants, &grants(gseq).encode()).await;
        let taken = |event| if let Event::Grants(grants) = event { Some(grants) } else { None };
        assert_eq!(world.event(taken).await, grants(gseq));
    }
    // The hub claims that a backup holds what it has not even committed.
    session.ack(&birth, 2, world.hash_at(2)).await;
    let safe = |event| if let Event::Safe { safe } = event { Some(safe) } else { None };
    assert_eq!(world.event(safe).await, 2);
    session.say(DownTopic::Grants, b"\xff\xff").await;
    session.ends().await;
    assert!(!world.linked().await);
}

#[tokio::test]
async fn c12_a_document_for_another_birth_does_not_reach_the_bank() {
    let (mut world, hub) = World::with_hub().await;
    let (mut session, birth) = world.welcome(&hub, 2).await;
    let config = |generation, nonce| {
        let mode = Mode { generation: Generation(generation), ..Mode::default() };
        Config { epoch: HubEpoch(1), document: Document::Mode(mode), nonce }
    };
    let ours = config(1, Some(birth.nonce));
    for sent in [&config(3, None), &config(2, Some(Nonce([0; 16]))), &ours] {
        session.say(DownTopic::Config, &sent.encode()).await;
    }
    let taken = |event| if let Event::Config(config) = event { Some(config) } else { None };
    assert_eq!(world.event(taken).await, ours);
}

#[tokio::test]
async fn c12_an_order_is_current_only_with_the_nonce_of_its_connection_and_for_this_bank() {
    let (mut world, hub) = World::with_hub().await;
    let (mut session, birth) = world.welcome(&hub, 2).await;
    let command = |id: u8, nonce, bank| Command {
        id: CommandId([id; 16]),
        bank,
        nonce,
        not_after: UnixMillis(u64::MAX),
        kind: Some(CommandKind::LockDown),
    };
    let neighbour = "lobby-2".parse().unwrap();
    for (sent, fresh) in [
        (command(1, birth.nonce, bank()), true),
        (command(2, Nonce([0; 16]), bank()), false),
        (command(3, birth.nonce, neighbour), false),
    ] {
        session.say(DownTopic::Command, &sent.encode()).await;
        let heard = |event| {
            if let Event::Command { command, current } = event {
                Some((command, current))
            } else {
                None
            }
        };
        assert_eq!(world.event(heard).await, (sent, fresh));
    }
    // What a broker kept of an earlier connection.
    drop(session);
    let (mut session, _) = world.welcome(&hub, 2).await;
    session.say(DownTopic::Command, &command(4, birth.nonce, bank()).encode()).await;
    let heard =
        |event| if let Event::Command { current, .. } = event { Some(current) } else { None };
    assert!(!world.event(heard).await);
    session.say(DownTopic::Command, b"open everything").await;
    session.ends().await;
}

#[tokio::test]
async fn a_decision_that_the_bank_missed_is_asked_for_with_a_new_birth() {
    let (mut world, hub) = World::with_hub().await;
    let (_session, first) = world.welcome(&hub, 0).await;
    world.missed.send_modify(|missed| *missed += 1);
    let (mut session, second) = hub.born().await;
    assert_eq!(second.connection_count, first.connection_count + 1);
    session.ack(&second, 0, world.hash_at(0)).await;
    while !world.linked().await {}
}

#[tokio::test]
async fn a_refused_subscription_ends_the_connection() {
    let (mut world, hub) = World::with_hub().await;
    let mut session = hub.handshake().await.unwrap();
    session.connected().await;
    session.subscribed(SubscribeReasonCode::Failure).await;
    session.ends().await;
    assert!(!world.linked().await);
}

#[tokio::test]
async fn a_hub_of_a_foreign_authority_is_told_nothing() {
    let (pki, foreign) = (Pki::new(), Pki::new());
    let hub = Hub::bind(0, foreign.hub()).await;
    let mut world = World::start(pki, hub.port());
    for _ in 0..2 {
        assert!(hub.handshake().await.is_none());
        assert!(!world.linked().await);
    }
    // The same address with the right certificate is fine.
    let port = hub.port();
    drop(hub);
    let hub = Hub::bind(port, world.pki.hub()).await;
    world.welcome(&hub, 0).await;
}

#[tokio::test]
async fn a_link_that_is_stopped_says_good_bye() {
    let (mut world, hub) = World::with_hub().await;
    let (mut session, _) = world.welcome(&hub, 2).await;
    world.stop.send_replace(true);
    assert_eq!(session.next().await, Some(Packet::Disconnect));
    assert_eq!(session.next().await, None);
    timeout(PATIENCE, &mut world.link).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_link_that_is_stopped_while_its_hub_is_away_ends_at_once() {
    let pki = Pki::new();
    let reserved = Hub::bind(0, pki.hub()).await;
    let port = reserved.port();
    drop(reserved);
    let mut world = World::start(pki, port);
    assert!(!world.linked().await);
    world.stop.send_replace(true);
    timeout(PATIENCE, &mut world.link).await.unwrap().unwrap();
}

#[test]
fn waits_double_up_to_their_limit() {
    let limits =
        LinkLimits { backoff_min_ms: 500, backoff_max_ms: 60_000, ..LinkLimits::default() };
    let waits: Vec<u128> =
        (0..9).map(|n| backoff(limits, &Jitter::none(), n).as_millis()).collect();
    assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    let most = backoff(limits, &Jitter::new(|bound_ms| bound_ms), u32::MAX);
    assert_eq!(most.as_millis(), 75_000);
}

#[test]
fn an_identity_that_cannot_be_loaded_names_its_file() {
    let pki = Pki::new();
    let (ca, certificate, key) = (pki.path("ca.pem"), pki.path("bank.pem"), pki.path("bank.key"));
    for (ca, certificate, key, named) in [
        (&pki.path("none.pem"), &certificate, &key, "none.pem"),
        (&key, &certificate, &key, "bank.key holds no certificate"),
        (&ca, &certificate, &ca, "ca.pem"),
        (&ca, &certificate, &pki.path("hub.key"), "hub.key"),
    ] {
        let error = tls::load(ca, certificate, key).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[tokio::test]
async fn samples_wait_for_the_link_and_those_of_before_are_marked_historical() {
    let (mut world, hub) = World::with_hub().await;
    let sample = |n| Sample {
        taken: Instant::now(),
        said: Telemetry { at: UnixMillis(n), ..Telemetry::default() },
    };
    for n in 1..=6 {
        world.samples.add(sample(n));
    }
    let (mut session, _birth) = world.welcome(&hub, 0).await;
    world.samples.add(sample(7));
    for n in 1..=7 {
        let said = loop {
            let publish = session.published().await;
            match UpTopic::parse(&publish.topic).unwrap().1 {
                UpTopic::Telemetry => break publish,
                UpTopic::Facts => {}
                UpTopic::Birth | UpTopic::Presence => panic!("{publish:?}"),
            }
        };
        assert_eq!(said.qos, QoS::AtMostOnce);
        let said = Telemetry::decode(&said.payload).unwrap();
        assert_eq!((said.at.0, said.historical), (n, n < 7));
    }
}

#[tokio::test]
async fn p_j_a_birth_says_its_ladder_and_records_given_back_reach_the_bank() {
    let (mut world, hub) = World::with_hub().await;
    world.commit_to(9);
    let (mut session, birth) = hub.born().await;
    assert_eq!((birth.parent, birth.device_key), (None, Some([1; 32])));
    let seqs: Vec<u64> = birth.ladder.iter().map(|rung| rung.seq).collect();
    assert_eq!(seqs, [9, 8, 7, 5, 1, 0]);
    assert!(birth.ladder.iter().all(|rung| rung.hash == world.hash_at(rung.seq)));
    let restore = |nonce| {
        let kind = RestoreKind::NewStream { reason: StreamBreak::Forked, common: None };
        Restore { stream: birth.stream, nonce, kind }
    };
    // Of an earlier connection, and of this one.
    session.say(DownTopic::Restore, &restore(Nonce([0; 16])).encode()).await;
    session.say(DownTopic::Restore, &restore(birth.nonce).encode()).await;
    let given = world
        .event(|event| if let Event::Restore(restore) = event { Some(restore) } else { None })
        .await;
    assert_eq!(given, restore(birth.nonce));
}

#[tokio::test]
async fn p_j_an_ack_of_another_history_is_refused_and_the_next_birth_tells_where() {
    let (mut world, hub) = World::with_hub().await;
    world.commit_to(100);
    let (mut session, birth) = hub.born().await;
    assert!(birth.ladder.iter().all(|rung| rung.seq != 77));
    session.ack(&birth, 77, ChainHash([9; 32])).await;
    session.ends().await;
    let (_session, birth) = hub.born().await;
    let rung = birth.ladder.iter().find(|rung| rung.seq == 77).unwrap();
    assert_eq!(rung.hash, world.hash_at(77));
}
