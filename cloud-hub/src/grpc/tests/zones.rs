//! Where banks stand in time.

use super::*;

async fn set(calls: &Calls, zone: &str) -> Result<fleet::Bank, tonic::Status> {
    let (name, time_zone) = ("banks/bank-1".to_owned(), zone.to_owned());
    let call = fleet::SetTimeZoneRequest { name, time_zone, request_id: request_id() };
    Ok(calls.operator().await.set_time_zone(call).await?.into_inner())
}

#[tokio::test]
async fn t07_a_bank_says_in_which_zone_it_stands_and_takes_no_other_names() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let mut olga = calls.operator().await;
    let created = olga.create_bank(new_bank("bank-1")).await.unwrap().into_inner();
    assert_eq!(created.time_zone, "UTC", "of who does not say");
    let moved = set(&calls, "europe/berlin").await.unwrap();
    assert_eq!(moved, fleet::Bank { time_zone: "Europe/Berlin".into(), ..created });
    let mut second = new_bank("bank-2");
    second.bank.as_mut().unwrap().time_zone = "Pacific/Auckland".into();
    olga.create_bank(second).await.unwrap();
    let all = olga.list_banks(fleet::ListBanksRequest::default()).await.unwrap().into_inner();
    let zones: Vec<_> = all.banks.iter().map(|bank| bank.time_zone.as_str()).collect();
    assert_eq!(zones, ["Europe/Berlin", "Pacific/Auckland"]);

    let mut third = new_bank("bank-3");
    third.bank.as_mut().unwrap().time_zone = "+01:00".into();
    let created = olga.create_bank(third).await.unwrap_err();
    let changed = [set(&calls, "Mars/Olympus").await, set(&calls, "").await];
    for (refusal, field) in [(created, "bank.time_zone")]
        .into_iter()
        .chain(changed.map(|refused| (refused.unwrap_err(), "time_zone")))
    {
        assert_eq!(
            (refusal.code(), reason(&refusal)),
            (Code::InvalidArgument, "FIELD_INVALID".into())
        );
        let request = refusal.get_details_bad_request().unwrap();
        assert_eq!(request.field_violations[0].field, field);
        assert!(request.field_violations[0].description.contains("such as Europe/Berlin"));
    }
}

#[tokio::test]
async fn t07_a_parcel_is_found_with_the_zone_of_its_bank() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let mut olga = calls.operator().await;
    olga.create_bank(new_bank("bank-1")).await.unwrap();
    set(&calls, "Europe/Berlin").await.unwrap();
    commit_more(&calls.store, &Journal::commissioned(&[400]), 0).await;
    let mut acme = calls.carrier("acme").await;
    acme.create_parcel(new_parcel("acme", "p-1")).await.unwrap();
    let mut find = async || {
        let call = fleet::FindParcelRequest { name: ACME_P1.into() };
        olga.find_parcel(call).await.unwrap().into_inner()
    };
    assert_eq!(find().await.time_zone, "");
    let soft = carrier::BookCompartmentRequest { firmness: 0, ..hard(ACME_P1) };
    acme.book_compartment(soft).await.unwrap();
    assert_eq!(
        (find().await.time_zone.as_str(), find().await.expire_time),
        ("Europe/Berlin", None)
    );
}
