//! The services over real connections: who may call what, fields, errors, lists, and tracing.

mod keypad;
mod roles;
mod watches;
mod zones;

use std::time::Duration;

use locker_core::downlink::CompartmentReserved;
use locker_core::fact::Fact;
use locker_core::ids::{CompartmentNo, ParcelId};
use prost_types::Timestamp;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, IntoRequest as _, Request};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;

use super::fixture::{Calls, new_bank, new_parcel, reason, request_id};
use crate::config::GrpcLimits;
use crate::ingest::tests::fixture::{Journal, commit_more, order, request};
use crate::parcels::{BookingOrder, book_compartment};
use crate::wall_clock::now;
use locker_proto::wire::carrier::v1 as carrier;
use locker_proto::wire::carrier::v1::parcel::State;
use locker_proto::wire::fleet::v1 as fleet;

const ACME_P1: &str = "carriers/acme/parcels/p-1";

#[tokio::test]
async fn a_parcel_is_announced_read_and_cancelled() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let mut acme = calls.carrier("acme").await;
    let call = new_parcel("acme", "p-1");
    let created = acme.create_parcel(call.clone()).await.unwrap().into_inner();
    assert_eq!((created.name.as_str(), created.state()), (ACME_P1, State::Announced));
    assert_eq!(created.recipient, None, "never returned");
    assert!(uuid::Uuid::parse_str(&created.uid).is_ok() && created.create_time.is_some());

    let repeated = acme.create_parcel(call).await.unwrap().into_inner();
    assert_eq!(repeated, created, "same request_id, same content");
    let get = carrier::GetParcelRequest { name: ACME_P1.into() };
    assert_eq!(acme.get_parcel(get).await.unwrap().into_inner(), created);

    let cancel = carrier::CancelParcelRequest { name: ACME_P1.into(), request_id: request_id() };
    let cancelled = acme.cancel_parcel(cancel).await.unwrap().into_inner();
    assert_eq!(cancelled.state(), State::Cancelled);
    assert_ne!(cancelled.etag, created.etag);
}

#[tokio::test]
async fn a_name_or_a_request_id_is_used_once() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let mut acme = calls.carrier("acme").await;
    let first = new_parcel("acme", "p-1");
    acme.create_parcel(first.clone()).await.unwrap();
    let again = acme.create_parcel(new_parcel("acme", "p-1")).await.unwrap_err();
    assert_eq!((again.code(), reason(&again).as_str()), (Code::AlreadyExists, "PARCEL_EXISTS"));
    let other = carrier::CreateParcelRequest {
        request_id: first.request_id.to_uppercase(),
        ..new_parcel("acme", "p-2")
    };
    let reused = acme.create_parcel(other).await.unwrap_err();
    assert_eq!(
        (reused.code(), reason(&reused).as_str()),
        (Code::FailedPrecondition, "REQUEST_ID_REUSED")
    );
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once_without_its_content() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let call = carrier::CreateParcelRequest {
        parent: "carriers/acme".into(),
        parcel_id: "P 1".into(),
        parcel: Some(carrier::Parcel {
            barcode: "has space".into(),
            dimensions: Some(carrier::Dimensions { length_mm: 0, width_mm: 1, height_mm: 3_001 }),
            recipient: Some(carrier::Recipient {
                email: "rita-at-example".into(),
                display_name: "R\n".into(),
                phone: "0151".into(),
            }),
            ..carrier::Parcel::default()
        }),
        request_id: "7".into(),
    };
    let status = calls.carrier("acme").await.create_parcel(call).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "FIELD_INVALID"));
    let request = status.get_details_bad_request().unwrap();
    let fields: Vec<_> = request.field_violations.iter().map(|found| &found.field[..]).collect();
    assert_eq!(
        fields,
        [
            "parcel_id",
            "request_id",
            "parcel.barcode",
            "parcel.dimensions.length_mm",
            "parcel.dimensions.height_mm",
            "parcel.weight_g",
            "parcel.recipient.email",
            "parcel.recipient.display_name",
            "parcel.recipient.phone",
        ]
    );
    assert!(!format!("{status:?}").contains("rita"), "personal data in an error");
}

#[tokio::test]
async fn a_parcel_belongs_to_the_trace_of_the_call_that_announced_it() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let mut acme = calls.carrier("acme").await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut call = new_parcel("acme", "p-1").into_request();
    call.metadata_mut().insert("traceparent", parent.parse().unwrap());
    acme.create_parcel(call).await.unwrap();
    acme.create_parcel(new_parcel("acme", "p-2")).await.unwrap();
    let acme = "acme".parse().unwrap();
    let trace = async |name| calls.store.parcel(&acme, name).await.unwrap().unwrap().trace.unwrap();
    let (given, own) = (trace("p-1").await, trace("p-2").await);
    assert!(given.as_str().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    assert_ne!(given.as_str(), parent, "the call's own span is the parent");
    assert!(own.as_str().ends_with("-01") && !own.as_str().contains("4bf92f3577b34da6"));
}

#[tokio::test]
async fn a_bank_is_made_known_shown_and_found_by_list() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let mut olga = calls.operator().await;
    let created = olga.create_bank(new_bank("bank-1")).await.unwrap().into_inner();
    assert_eq!(created.name, "banks/bank-1");
    assert_eq!(created.layout.as_ref().unwrap().compartments.len(), 2);
    assert!(!created.connected && created.layout_held == 0);
    let get = fleet::GetBankRequest { name: "banks/bank-1".into() };
    assert_eq!(olga.get_bank(get).await.unwrap().into_inner(), created);

    let again = olga.create_bank(new_bank("bank-1")).await.unwrap_err();
    assert_eq!((again.code(), reason(&again).as_str()), (Code::AlreadyExists, "BANK_EXISTS"));
    let mut twice = new_bank("bank-2");
    let layout = twice.bank.as_mut().unwrap().layout.as_mut().unwrap();
    layout.compartments[1].lock = layout.compartments[0].lock;
    let unsound = olga.create_bank(twice).await.unwrap_err();
    assert_eq!(
        (unsound.code(), reason(&unsound).as_str()),
        (Code::InvalidArgument, "LAYOUT_UNSOUND")
    );
    let badge = fleet::IssueBadgeRequest {
        name: "banks/bank-1".into(),
        carrier: "carriers/acme".into(),
        ttl_s: 3_600,
        request_id: request_id(),
    };
    let early = olga.issue_badge(badge).await.unwrap_err();
    assert_eq!(
        (early.code(), reason(&early).as_str()),
        (Code::FailedPrecondition, "BANK_HOLDS_NO_KEY")
    );
}

#[tokio::test]
async fn a_list_goes_on_page_by_page() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let mut olga = calls.operator().await;
    for number in 1..=5 {
        olga.create_bank(new_bank(&format!("bank-{number}"))).await.unwrap();
    }
    let (mut names, mut pages, mut page_token) = (Vec::new(), 0, String::new());
    loop {
        let call = fleet::ListBanksRequest { page_size: 2, page_token };
        let page = olga.list_banks(call).await.unwrap().into_inner();
        names.extend(page.banks.into_iter().map(|bank| bank.name));
        pages += 1;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, [1, 2, 3, 4, 5].map(|number| format!("banks/bank-{number}")));
    assert_eq!(pages, 3);
    let negative = fleet::ListBanksRequest { page_size: -1, page_token: String::new() };
    assert_eq!(reason(&olga.list_banks(negative).await.unwrap_err()), "FIELD_INVALID");
    let forged = fleet::ListBanksRequest { page_size: 0, page_token: "62616e6b".into() };
    assert_eq!(reason(&olga.list_banks(forged).await.unwrap_err()), "TOKEN_MALFORMED");
}

#[tokio::test]
async fn an_operator_finds_a_parcel_and_what_happened_to_it() {
    let calls = Calls::start(GrpcLimits::default()).await;
    calls.carrier("acme").await.create_parcel(new_parcel("acme", "p-1")).await.unwrap();
    let mut olga = calls.operator().await;
    let find = |name: &str| fleet::FindParcelRequest { name: name.into() };
    let found = olga.find_parcel(find(ACME_P1)).await.unwrap().into_inner();
    assert_eq!((found.state.as_str(), found.barcode.as_str()), ("ANNOUNCED", "BC-p-1"));
    assert_eq!(found.events[0].kind, "PARCEL_ANNOUNCED");
    let missing = olga.find_parcel(find("carriers/acme/parcels/p-2")).await.unwrap_err();
    assert_eq!((missing.code(), reason(&missing).as_str()), (Code::NotFound, "PARCEL_NOT_FOUND"));
}

#[tokio::test]
async fn what_cannot_be_read_is_the_callers_fault_and_says_why() {
    let limits = GrpcLimits { request_bytes: 2_000, ..GrpcLimits::default() };
    let calls = Calls::start(limits).await;
    let mut raw = Grpc::new(calls.connect("carriers/acme").await.unwrap());
    let mut call = async |method: &str, seconds| {
        raw.ready().await.unwrap();
        let path: PathAndQuery =
            format!("/locker.carrier.v1.ParcelService/{method}").parse().unwrap();
        let codec = ProstCodec::<Timestamp, carrier::Parcel>::default();
        let message = Request::new(Timestamp { seconds, nanos: 0 });
        raw.unary(message, path, codec).await.unwrap_err()
    };
    let malformed = call("GetParcel", 7).await;
    assert_eq!(
        (malformed.code(), reason(&malformed).as_str()),
        (Code::InvalidArgument, "MESSAGE_MALFORMED")
    );
    let unknown = call("Nope", 7).await;
    assert_eq!(
        (unknown.code(), reason(&unknown).as_str()),
        (Code::Unimplemented, "METHOD_UNKNOWN")
    );
    let large = carrier::GetParcelRequest { name: "x".repeat(3_000) };
    let large = calls.carrier("acme").await.get_parcel(large).await.unwrap_err();
    assert_eq!(
        (large.code(), reason(&large).as_str()),
        (Code::ResourceExhausted, "MESSAGE_TOO_LARGE")
    );
}

#[tokio::test]
async fn an_address_that_no_letter_can_have_is_refused_when_the_parcel_is_announced() {
    let calls = Calls::start(GrpcLimits::default()).await;
    for email in ["rita..r@example.org", "rita@example..org", "rita@exam\u{ff3f}ple!.org"] {
        let mut call = new_parcel("acme", "p-1");
        call.parcel.as_mut().unwrap().recipient.as_mut().unwrap().email = email.into();
        let status = calls.carrier("acme").await.create_parcel(call).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "FIELD_INVALID"),
            "{email}"
        );
    }
}

fn hard(name: &str) -> carrier::BookCompartmentRequest {
    carrier::BookCompartmentRequest {
        name: name.to_owned(),
        bank: "banks/bank-1".into(),
        firmness: carrier::book_compartment_request::Firmness::Hard.into(),
        request_id: request_id(),
        ..carrier::BookCompartmentRequest::default()
    }
}

#[tokio::test]
async fn a_hard_booking_is_answered_when_the_bank_has_reserved_or_as_it_stands_when_time_is_over() {
    let calls = Calls::start(GrpcLimits::default()).await;
    calls.operator().await.create_bank(new_bank("bank-1")).await.unwrap();
    let mut journal = Journal::commissioned(&[400]);
    commit_more(&calls.store, &journal, 0).await;
    let mut acme = calls.carrier("acme").await;
    acme.create_parcel(new_parcel("acme", "p-1")).await.unwrap();
    let name = "carriers/acme/parcels/p-1";
    let away = acme.book_compartment(hard(name)).await.unwrap_err();
    assert_eq!((away.code(), &reason(&away)[..]), (Code::Unavailable, "BANK_NOT_CONNECTED"));
    // As if the bank had been connected when the call came first.
    let call = hard(name);
    let order = BookingOrder { hard: true, connected: true, ..order(1) };
    let key = request(&call.request_id);
    let by = "acme".parse().unwrap();
    book_compartment(&calls.store, &by, "p-1", order, key, now()).await.unwrap();
    let mut hurried = Request::new(call.clone());
    hurried.set_timeout(Duration::from_secs(1));
    let pending = acme.book_compartment(hurried).await.unwrap().into_inner();
    assert_eq!(pending.state(), State::BookingPending);
    let booking = tokio::spawn(async move { acme.book_compartment(call).await });
    let known = journal.head();
    let parcel = ParcelId(*uuid::Uuid::parse_str(&pending.uid).unwrap().as_bytes());
    let compartment = CompartmentNo(1);
    journal.append(Fact::CompartmentReserved(CompartmentReserved { parcel, compartment }));
    commit_more(&calls.store, &journal, known).await;
    let booked = booking.await.unwrap().unwrap().into_inner();
    assert_eq!(booked.state(), State::Booked);
    calls.stop().await.unwrap();
}

#[tokio::test]
async fn terms_out_of_bounds_are_named() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let mut acme = calls.carrier("acme").await;
    let past = Timestamp { seconds: 1, nanos: 0 };
    let call = carrier::BookCompartmentRequest {
        book_until: Some(past),
        keep: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        ..hard("carriers/acme/parcels/p-1")
    };
    let status = acme.book_compartment(call).await.unwrap_err();
    assert_eq!(
        status.message(),
        "book_until: expected a time within 30 days from now; keep: expected 1 hour to 60 days"
    );
    let call = carrier::RecallParcelRequest {
        name: "carriers/acme/parcels/p-1".into(),
        request_id: request_id(),
        reason: 0,
    };
    let status = acme.recall_parcel(call).await.unwrap_err();
    assert_eq!(status.message(), "reason: expected REASON_SENDER or REASON_SAFETY");
}
