//! Watches: in order, from a token on, live, bounded, and ended well.

use locker_core::ids::HubEpoch;
use locker_proto::wire::carrier::v1 as carrier;
use locker_proto::wire::carrier::v1::watch_parcels_response::Message;
use locker_proto::wire::fleet::v1 as fleet;
use tonic::{Code, Streaming};

use super::super::fixture::{Calls, new_bank, new_parcel, reason};
use crate::config::GrpcLimits;

type Watch = Streaming<carrier::WatchParcelsResponse>;

async fn watch(calls: &Calls, name: &str, token: &str) -> Watch {
    let parent = format!("carriers/{name}");
    let call = carrier::WatchParcelsRequest { parent, resume_token: token.to_owned() };
    calls.carrier(name).await.watch_parcels(call).await.unwrap().into_inner()
}

/// The next message: a parcel's own name, or `-` for caught up; and the token after it.
async fn next(watch: &mut Watch) -> (String, String) {
    let response = watch.message().await.unwrap().unwrap();
    let said = match response.message.unwrap() {
        Message::CaughtUp(_) => "-".to_owned(),
        Message::Event(event) => {
            let parcel = event.parcel.unwrap();
            assert!(!event.event_id.is_empty() && event.record_time.is_some());
            assert!(!parcel.barcode.is_empty() && parcel.recipient.is_none());
            parcel.name.rsplit('/').next().unwrap().to_owned()
        }
    };
    (said, response.resume_token)
}

#[tokio::test]
async fn a_watch_replays_catches_up_and_goes_on_live() {
    // Two events a page: replay needs several pages.
    let limits = GrpcLimits { watch_page: 2, ..GrpcLimits::default() };
    let calls = Calls::start(limits).await;
    let (mut acme, mut other) = (calls.carrier("acme").await, calls.carrier("other").await);
    for number in 1..=3 {
        acme.create_parcel(new_parcel("acme", &format!("p-{number}"))).await.unwrap();
        other.create_parcel(new_parcel("other", &format!("x-{number}"))).await.unwrap();
    }
    let mut watch = watch(&calls, "acme", "").await;
    for expected in ["p-1", "p-2", "p-3", "-"] {
        assert_eq!(next(&mut watch).await.0, expected);
    }
    other.create_parcel(new_parcel("other", "x-4")).await.unwrap();
    acme.create_parcel(new_parcel("acme", "p-4")).await.unwrap();
    assert_eq!(next(&mut watch).await.0, "p-4");
}

#[tokio::test]
async fn a_watch_goes_on_after_its_token_also_after_a_caught_up() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let mut acme = calls.carrier("acme").await;
    for number in 1..=3 {
        acme.create_parcel(new_parcel("acme", &format!("p-{number}"))).await.unwrap();
    }
    let mut first = watch(&calls, "acme", "").await;
    next(&mut first).await;
    let (_, after_second) = next(&mut first).await;
    drop(first);
    let mut again = watch(&calls, "acme", &after_second).await;
    assert_eq!(next(&mut again).await.0, "p-3");
    let (said, caught_up) = next(&mut again).await;
    assert_eq!(said, "-");
    drop(again);
    acme.create_parcel(new_parcel("acme", "p-4")).await.unwrap();
    let mut later = watch(&calls, "acme", &caught_up).await;
    assert_eq!(next(&mut later).await.0, "p-4");
}

#[tokio::test]
async fn a_quiet_watch_gives_signs_of_life() {
    let limits = GrpcLimits { watch_sign_of_life_ms: 20, ..GrpcLimits::default() };
    let calls = Calls::start(limits).await;
    let mut watch = watch(&calls, "acme", "").await;
    for _ in 0..3 {
        assert_eq!(next(&mut watch).await.0, "-");
    }
}

#[tokio::test]
async fn tokens_of_others_forged_ones_and_ended_epochs_are_told_apart() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let mut theirs = watch(&calls, "other", "").await;
    let (_, theirs) = next(&mut theirs).await;
    let epoch = calls.store.epoch();
    let ended = calls.tokens.resume(HubEpoch(epoch.0 - 1), 1, "carrier:acme");
    let mut acme = calls.carrier("acme").await;
    for (token, code, expected) in [
        ("nonsense".to_owned(), Code::InvalidArgument, "TOKEN_MALFORMED"),
        (theirs, Code::InvalidArgument, "TOKEN_MALFORMED"),
        (ended, Code::OutOfRange, "RESUME_TOKEN_EXPIRED"),
    ] {
        let call =
            carrier::WatchParcelsRequest { parent: "carriers/acme".into(), resume_token: token };
        let status = acme.watch_parcels(call).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected));
    }
}

#[tokio::test]
async fn a_caller_has_only_so_many_watches_and_gets_places_back() {
    let limits = GrpcLimits { watches_per_caller: 2, ..GrpcLimits::default() };
    let calls = Calls::start(limits).await;
    let mut one = watch(&calls, "acme", "").await;
    let _two = watch(&calls, "acme", "").await;
    next(&mut one).await;
    let mut acme = calls.carrier("acme").await;
    let call =
        || carrier::WatchParcelsRequest { parent: "carriers/acme".into(), ..Default::default() };
    let status = acme.watch_parcels(call()).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::ResourceExhausted, "TOO_MANY_WATCHES")
    );
    let _others = watch(&calls, "other", "").await;
    drop(one);
    // The place comes back when the hub hears of the reset, which is no moment of ours.
    while acme.watch_parcels(call()).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn operators_watch_everything_from_now_or_from_the_beginning() {
    let calls = Calls::start(GrpcLimits::default()).await;
    calls.carrier("acme").await.create_parcel(new_parcel("acme", "p-1")).await.unwrap();
    let mut olga = calls.operator().await;
    let call = |from_beginning| fleet::WatchEventsRequest { from_beginning, ..Default::default() };
    let mut all = olga.watch_events(call(true)).await.unwrap().into_inner();
    let mut new = olga.watch_events(call(false)).await.unwrap().into_inner();
    assert!(new.message().await.unwrap().unwrap().event.is_none(), "nothing since now");
    let first = all.message().await.unwrap().unwrap();
    assert_eq!(first.event.unwrap().kind, "PARCEL_ANNOUNCED");
    olga.create_bank(new_bank("bank-1")).await.unwrap();
    let created = new.message().await.unwrap().unwrap().event.unwrap();
    assert_eq!((created.kind.as_str(), created.bank.as_str()), ("BANK_CREATED", "banks/bank-1"));
    let token = first.resume_token;
    let again = fleet::WatchEventsRequest { resume_token: token, from_beginning: true };
    let mut again = olga.watch_events(again).await.unwrap().into_inner();
    assert_eq!(again.message().await.unwrap().unwrap().event.unwrap().kind, "BANK_CREATED");
}

#[tokio::test]
async fn watches_end_as_unavailable_when_the_hub_stops() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let mut watch = watch(&calls, "acme", "").await;
    assert_eq!(next(&mut watch).await.0, "-");
    let (stopped, ended) = tokio::join!(calls.stop(), watch.message());
    stopped.unwrap();
    let status = ended.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "HUB_STOPPING"));
}

#[tokio::test]
async fn a_watch_tells_nothing_more_to_a_certificate_that_was_revoked() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let mut acme = calls.carrier("acme").await;
    let mut olga = calls.operator().await;
    let mut all =
        olga.watch_events(fleet::WatchEventsRequest::default()).await.unwrap().into_inner();
    assert!(all.message().await.unwrap().unwrap().event.is_none());
    calls.revoke("operators/olga");
    acme.create_parcel(new_parcel("acme", "p-1")).await.unwrap();
    let status = all.message().await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unauthenticated, "CERTIFICATE_REVOKED")
    );
}
