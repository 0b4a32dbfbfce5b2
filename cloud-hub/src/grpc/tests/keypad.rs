//! Couriers' keypad codes by call: who may set whose there are, and who may read them.

use std::sync::Arc;

use locker_proto::wire::carrier::v1 as carrier;
use locker_proto::wire::fleet::v1 as fleet;
use tonic::Code;

use super::super::fixture::{Calls, new_bank, reason, request_id};
use crate::codes::couriers::CouriersDesk;
use crate::codes::key_file::Secret;
use crate::codes::sealing::SealingKeys;
use crate::config::GrpcLimits;

fn desk() -> CouriersDesk {
    let sealing = SealingKeys::new(&[(1, Secret::from([2; 32]))]).unwrap();
    CouriersDesk { sealing: Arc::new(sealing), dark_days: 3 }
}

fn set(carriers: &[&str]) -> fleet::SetKeypadCouriersRequest {
    fleet::SetKeypadCouriersRequest {
        name: "banks/bank-1".into(),
        carriers: carriers.iter().map(|&name| name.to_owned()).collect(),
        request_id: request_id(),
    }
}

fn list(parent: &str, bank: &str) -> carrier::ListKeypadCodesRequest {
    carrier::ListKeypadCodesRequest { parent: parent.into(), bank: bank.into() }
}

#[tokio::test]
async fn c09_only_an_allowed_carrier_reads_codes_and_only_its_own() {
    let calls = Calls::start_with(GrpcLimits::default(), Some(desk())).await;
    let mut olga = calls.operator().await;
    let bank = olga.create_bank(new_bank("bank-1")).await.unwrap().into_inner();
    assert!(bank.keypad_couriers.is_empty() && bank.keypad_codes_held);
    let mut acme = calls.couriers_of("acme").await;
    let own = || list("carriers/acme", "banks/bank-1");
    let denied = acme.list_keypad_codes(own()).await.unwrap_err();
    assert_eq!(
        (denied.code(), &reason(&denied)[..]),
        (Code::PermissionDenied, "KEYPAD_NOT_ALLOWED")
    );

    let names = ["carriers/swift", "carriers/acme", "carriers/acme"];
    let bank = olga.set_keypad_couriers(set(&names)).await.unwrap().into_inner();
    assert_eq!(bank.keypad_couriers, ["carriers/acme", "carriers/swift"]);
    assert!(!bank.keypad_codes_held, "the bank has not heard of it");
    let get = fleet::GetBankRequest { name: "banks/bank-1".into() };
    assert_eq!(olga.get_bank(get).await.unwrap().into_inner(), bank);
    let listed = acme.list_keypad_codes(own()).await.unwrap().into_inner();
    assert!(listed.codes.is_empty(), "none are minted yet");

    for (call, code, why) in [
        (list("carriers/swift", "banks/bank-1"), Code::PermissionDenied, "OTHER_CARRIER"),
        (list("carriers/swift", "no bank"), Code::PermissionDenied, "OTHER_CARRIER"),
        (list("carriers/acme", "banks/none"), Code::NotFound, "BANK_UNKNOWN"),
        (list("carriers/acme", "bank-1"), Code::InvalidArgument, "FIELD_INVALID"),
    ] {
        let status = acme.list_keypad_codes(call).await.unwrap_err();
        assert_eq!((status.code(), &reason(&status)[..]), (code, why));
    }
    let nobody = olga.set_keypad_couriers(set(&[])).await.unwrap().into_inner();
    assert!(nobody.keypad_couriers.is_empty());
    let denied = acme.list_keypad_codes(own()).await.unwrap_err();
    assert_eq!(reason(&denied), "KEYPAD_NOT_ALLOWED");
}

#[tokio::test]
async fn c09_keypad_couriers_are_carriers_and_at_most_ten() {
    let calls = Calls::start_with(GrpcLimits::default(), Some(desk())).await;
    let mut olga = calls.operator().await;
    olga.create_bank(new_bank("bank-1")).await.unwrap();
    let eleven: Vec<String> = (0..11).map(|number| format!("carriers/c-{number}")).collect();
    let eleven: Vec<&str> = eleven.iter().map(String::as_str).collect();
    for wrong in [&eleven[..], &["acme"], &["banks/bank-1"]] {
        let status = olga.set_keypad_couriers(set(wrong)).await.unwrap_err();
        assert_eq!(reason(&status), "FIELD_INVALID", "{wrong:?}");
    }
    let none = fleet::SetKeypadCouriersRequest { name: "banks/none".into(), ..set(&[]) };
    let status = olga.set_keypad_couriers(none).await.unwrap_err();
    assert_eq!((status.code(), &reason(&status)[..]), (Code::NotFound, "BANK_UNKNOWN"));
}

#[tokio::test]
async fn c09_a_hub_without_code_keys_says_so() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let mut olga = calls.operator().await;
    olga.create_bank(new_bank("bank-1")).await.unwrap();
    let set_one = olga.set_keypad_couriers(set(&["carriers/acme"])).await.unwrap_err();
    let mut acme = calls.couriers_of("acme").await;
    let read = acme.list_keypad_codes(list("carriers/acme", "banks/bank-1")).await.unwrap_err();
    for status in [set_one, read] {
        assert_eq!(
            (status.code(), &reason(&status)[..]),
            (Code::FailedPrecondition, "CODES_NOT_CONFIGURED")
        );
    }
    olga.set_keypad_couriers(set(&[])).await.unwrap();
}
