//! What the bank knows of the time, and whom it takes for its hub by that. The clock of the machine
//! that runs this has no say.

use locker_proto::message::{Config, Document};

use super::*;

/// The first day of a year, in milliseconds since 1970; leap days aside.
const fn year(year: u64) -> UnixMillis {
    UnixMillis((year - 1970) * 31_556_952_000)
}

/// A hub whose certificate counts from 2040 to 2042, and a bank on the way to it that knows this of the
/// time.
async fn world(time: KnownTime) -> (World, Hub) {
    let pki = Pki::with_hub_valid(2040, 2042);
    let hub = Hub::bind(0, pki.hub()).await;
    let port = hub.port();
    (World::start_at(time, pki, port), hub)
}

fn known(at: UnixMillis) -> KnownTime {
    KnownTime::heard(at, Instant::now())
}

/// What the bank's loop makes of the next signed time: it takes the time for `now`, or for nothing.
async fn weighs(world: &mut World, now: Option<UnixMillis>) {
    let heard = |event| if let Event::Heard { signed, .. } = event { Some(signed) } else { None };
    world.event(heard).await;
    world.time.send_modify(|time| time.weigh(time.floor(), now));
}

#[tokio::test]
async fn t04_a_bank_that_knows_the_time_checks_its_hub_by_it_and_not_by_the_machines_clock() {
    for (at, counts) in [(2026, false), (2039, false), (2041, true), (2043, false)] {
        let (_world, hub) = world(known(year(at))).await;
        assert_eq!(hub.handshake().await.is_some(), counts, "in {at}");
    }
}

#[tokio::test]
async fn t04_a_bank_that_does_not_know_the_time_takes_a_hub_that_may_count_and_no_other() {
    for (floor, may_count) in [(1970, true), (2026, true), (2041, true), (2043, false)] {
        let (_world, hub) = world(KnownTime::not_before(year(floor))).await;
        assert_eq!(hub.handshake().await.is_some(), may_count, "not before {floor}");
    }
}

#[tokio::test]
async fn t04_until_it_knows_the_time_it_says_birth_and_hears_ack_and_nothing_else() {
    let (mut world, hub) = world(KnownTime::not_before(UnixMillis(0))).await;
    world.commit_to(5);
    let (mut session, birth) = hub.born().await;
    let first = GrantPosition { epoch: HubEpoch(1), gseq: 6 };
    let (parcel, version) = (ParcelId([1; 16]), Version(1));
    let grants = vec![Grant::Cancel { parcel, version }];
    let grants = Grants { first, grants, at: year(2041) };
    session.say(DownTopic::Grants, &grants.encode()).await;
    let document = Document::Mode(Mode::default());
    let config = Config { epoch: HubEpoch(1), document, nonce: Some(birth.nonce) };
    session.say(DownTopic::Config, &config.encode()).await;
    let not_after = UnixMillis(u64::MAX);
    let kind = Some(CommandKind::LockDown);
    let command =
        Command { id: CommandId([1; 16]), bank: bank(), nonce: birth.nonce, not_after, kind };
    session.say(DownTopic::Command, &command.encode()).await;
    // A key set of a root is no matter of time: without it no ack could be read.
    session.say_key_set(&key_set(4, &[(1, &command_key())])).await;
    session.is_quiet().await;
    session.ack(&birth, 0, ChainHash([0; 32])).await;
    session.is_quiet().await;
    let mut told = Vec::new();
    while let Ok(event) = world.events.try_recv() {
        told.push(event);
    }
    assert!(
        matches!(&told[..], [Event::KeySet(_), Event::Heard { .. }]),
        "nothing else has reached the bank: {told:?}"
    );
    world.time.send_modify(|time| time.weigh(year(2041), Some(year(2041))));
    assert!(world.linked().await, "the same connection goes on: its hub counts at that time");
    assert_eq!(session.batch().await.first_seq, 1);
    session.say(DownTopic::Grants, &grants.encode()).await;
    world.event(|event| matches!(event, Event::Grants(_)).then_some(())).await;
}

#[tokio::test]
async fn t04_a_hub_whose_certificate_turns_out_to_be_over_is_heard_no_more() {
    let (mut world, hub) = world(KnownTime::not_before(UnixMillis(0))).await;
    world.commit_to(5);
    let (mut session, birth) = hub.born().await;
    session.ack(&birth, 0, ChainHash([0; 32])).await;
    weighs(&mut world, Some(year(2043))).await;
    session.ends().await;
    assert!(!world.linked().await);
    assert!(hub.handshake().await.is_none(), "the time is known now");
}

#[tokio::test]
async fn t04_a_hub_whose_time_is_not_taken_is_asked_again_in_another_connection() {
    let (mut world, hub) = world(KnownTime::not_before(UnixMillis(0))).await;
    let (mut session, birth) = hub.born().await;
    session.ack(&birth, 0, ChainHash([0; 32])).await;
    weighs(&mut world, None).await;
    session.ends().await;
    assert!(!world.linked().await);
    let (mut session, birth) = hub.born().await;
    session.ack(&birth, 0, ChainHash([0; 32])).await;
    weighs(&mut world, Some(year(2041))).await;
    assert!(world.linked().await);
}

#[tokio::test]
async fn t04_a_session_that_began_without_the_time_is_never_resumed() {
    let tls = Pki::new().bank().tls;
    let time = watch::Sender::new(KnownTime::not_before(UnixMillis(0)));
    let time = time.subscribe();
    let (first, presented) = tls.connection(&time);
    let (second, _) = tls.connection(&time);
    assert!(presented.is_some());
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(format!("{:?}", first.resumption).contains("NoClientSessionStorage"));
    assert!(presented.unwrap().holds_at(year(2041)).is_err(), "nothing was presented yet");
}
