//! Each method for each role, connections without a right certificate, and gRPC's own services.

use locker_proto::wire::audit::v1 as audit;
use locker_proto::wire::audit::v1::audit_service_client::AuditServiceClient;
use locker_proto::wire::carrier::v1 as carrier;
use locker_proto::wire::carrier::v1::courier_service_client::CourierServiceClient;
use locker_proto::wire::carrier::v1::parcel_service_client::ParcelServiceClient;
use locker_proto::wire::fleet::v1 as fleet;
use locker_proto::wire::fleet::v1::fleet_service_client::FleetServiceClient;
use locker_proto::wire::fleet::v1::security_service_client::SecurityServiceClient;
use tokio_stream::once;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::{v1, v1alpha};

use super::super::fixture::{Calls, new_bank, new_parcel, reason};
use super::super::{FLEET_SERVICE, PARCEL_SERVICE, SERVICES};
use crate::config::GrpcLimits;
use crate::pki::{DevPki, PkiSpec};

fn refused<T>(answer: Result<Response<T>, Status>) -> bool {
    answer.is_err_and(|status| {
        status.code() == Code::PermissionDenied && reason(&status) == "ROLE_NOT_ALLOWED"
    })
}

/// Which of the carriers' methods are refused to the channel's role.
async fn carriers_methods(channel: &Channel) -> Vec<bool> {
    let mut client = ParcelServiceClient::new(channel.clone());
    let mut couriers = CourierServiceClient::new(channel.clone());
    vec![
        refused(couriers.list_keypad_codes(carrier::ListKeypadCodesRequest::default()).await),
        refused(client.create_parcel(carrier::CreateParcelRequest::default()).await),
        refused(client.book_compartment(carrier::BookCompartmentRequest::default()).await),
        refused(client.get_parcel(carrier::GetParcelRequest::default()).await),
        refused(client.extend_retention(carrier::ExtendRetentionRequest::default()).await),
        refused(client.recall_parcel(carrier::RecallParcelRequest::default()).await),
        refused(client.reissue_code(carrier::ReissueCodeRequest::default()).await),
        refused(client.delegate_pickup(carrier::DelegatePickupRequest::default()).await),
        refused(client.revoke_delegate(carrier::RevokeDelegateRequest::default()).await),
        refused(client.cancel_parcel(carrier::CancelParcelRequest::default()).await),
        refused(client.watch_parcels(carrier::WatchParcelsRequest::default()).await),
    ]
}

/// Which of the operators' methods are refused to the channel's role.
async fn operators_methods(channel: &Channel) -> Vec<bool> {
    let mut client = FleetServiceClient::new(channel.clone());
    let mut guards = SecurityServiceClient::new(channel.clone());
    let mut auditors = AuditServiceClient::new(channel.clone());
    let evidence = audit::ReadParcelEvidenceRequest::default();
    let replace = fleet::ReplaceBankCertificateRequest::default();
    vec![
        refused(client.create_bank(fleet::CreateBankRequest::default()).await),
        refused(client.get_bank(fleet::GetBankRequest::default()).await),
        refused(client.list_banks(fleet::ListBanksRequest::default()).await),
        refused(client.set_layout(fleet::SetLayoutRequest::default()).await),
        refused(client.set_time_zone(fleet::SetTimeZoneRequest::default()).await),
        refused(client.issue_badge(fleet::IssueBadgeRequest::default()).await),
        refused(client.issue_staff_badge(fleet::IssueStaffBadgeRequest::default()).await),
        refused(client.set_bank_mode(fleet::SetBankModeRequest::default()).await),
        refused(client.set_quota(fleet::SetQuotaRequest::default()).await),
        refused(client.set_keypad_couriers(fleet::SetKeypadCouriersRequest::default()).await),
        refused(client.lock_down_bank(fleet::LockDownBankRequest::default()).await),
        refused(client.find_parcel(fleet::FindParcelRequest::default()).await),
        refused(client.watch_events(fleet::WatchEventsRequest::default()).await),
        refused(guards.list_alarms(fleet::ListAlarmsRequest::default()).await),
        refused(guards.clear_alarm(fleet::ClearAlarmRequest::default()).await),
        refused(guards.replace_bank_certificate(replace).await),
        refused(auditors.read_journal(audit::ReadJournalRequest::default()).await),
        refused(auditors.read_parcel_evidence(evidence).await),
    ]
}

#[tokio::test]
async fn each_role_reaches_its_own_methods_and_no_other() {
    let calls = Calls::start(GrpcLimits::default()).await;
    for (who, carriers_refused, operators_refused) in [
        ("carriers/acme", false, true),
        ("operators/olga", true, false),
        ("banks/bank-1", true, true),
    ] {
        let channel = calls.connect(who).await.unwrap();
        assert_eq!(carriers_methods(&channel).await, [carriers_refused; 11], "{who}");
        assert_eq!(operators_methods(&channel).await, [operators_refused; 18], "{who}");
        let health = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
        assert_eq!(refused(health), who.starts_with("banks/"), "{who}");
    }
}

#[tokio::test]
async fn nobody_calls_without_a_client_certificate_of_our_authority() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let foreign = tempfile::tempdir().unwrap();
    let foreign = DevPki::create(foreign.path(), &PkiSpec::default()).unwrap();
    let foreign = foreign.issue_carrier(&"acme".parse().unwrap()).unwrap();
    let hub = calls.fixture.pki.hub();
    for (who, client) in
        [("nobody", None), ("a foreign authority's", Some(&foreign)), ("a hub's", Some(&hub))]
    {
        // With TLS 1.3 a client may learn of its refusal only when it first reads.
        let Ok(channel) = calls.connect_with(client).await else { continue };
        let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
        let status = answer.unwrap_err();
        assert!(
            std::error::Error::source(&status).is_some(),
            "{who}: not by the transport: {status}"
        );
    }
}

#[tokio::test]
async fn another_carriers_parcels_look_the_same_whether_they_exist_or_not() {
    let calls = Calls::start(GrpcLimits::default()).await;
    calls.carrier("other").await.create_parcel(new_parcel("other", "there")).await.unwrap();
    let mut acme = calls.carrier("acme").await;
    let mut answers = Vec::new();
    for name in ["carriers/other/parcels/there", "carriers/other/parcels/not-there"] {
        let get = carrier::GetParcelRequest { name: name.into() };
        let status = acme.get_parcel(get).await.unwrap_err();
        assert_eq!(reason(&status), "OTHER_CARRIER");
        answers.push((status.code(), status.message().to_owned(), status.details().to_vec()));
        let cancel = carrier::CancelParcelRequest { name: name.into(), ..Default::default() };
        assert_eq!(reason(&acme.cancel_parcel(cancel).await.unwrap_err()), "OTHER_CARRIER");
        let book = carrier::BookCompartmentRequest { name: name.into(), ..Default::default() };
        assert_eq!(reason(&acme.book_compartment(book).await.unwrap_err()), "OTHER_CARRIER");
    }
    assert_eq!(answers[0], answers[1]);
    let create = acme.create_parcel(new_parcel("other", "x")).await.unwrap_err();
    assert_eq!(
        (create.code(), reason(&create).as_str()),
        (Code::PermissionDenied, "OTHER_CARRIER")
    );
    let watch =
        carrier::WatchParcelsRequest { parent: "carriers/other".into(), ..Default::default() };
    assert_eq!(reason(&acme.watch_parcels(watch).await.unwrap_err()), "OTHER_CARRIER");
}

#[tokio::test]
async fn a_certificate_that_is_revoked_stops_counting_on_open_connections() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let mut olga = calls.operator().await;
    olga.create_bank(new_bank("bank-1")).await.unwrap();
    calls.revoke("operators/olga");
    let status = olga.list_banks(fleet::ListBanksRequest::default()).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unauthenticated, "CERTIFICATE_REVOKED")
    );
}

#[tokio::test]
async fn health_tells_of_each_service() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let mut health = HealthClient::new(calls.connect("operators/olga").await.unwrap());
    for service in SERVICES {
        let check = HealthCheckRequest { service: service.into() };
        let HealthCheckResponse { status } = health.check(check).await.unwrap().into_inner();
        assert_eq!(status, i32::from(ServingStatus::Serving), "{service}");
    }
    let unknown = HealthCheckRequest { service: "locker.else.v1".into() };
    assert_eq!(reason(&health.check(unknown).await.unwrap_err()), "SERVICE_UNKNOWN");
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let calls = Calls::start(GrpcLimits::default()).await;
    let channel = calls.connect("carriers/acme").await.unwrap();
    let expected = [PARCEL_SERVICE, FLEET_SERVICE, "grpc.health.v1.Health"];

    let ask = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let answers = client.server_reflection_info(once(ask)).await;
    let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap();
    let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
        answer.message_response
    else {
        panic!("no list")
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(expected.iter().all(|name| names.contains(name)), "{names:?}");

    let ask = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                PARCEL_SERVICE.into(),
            ),
        ),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(once(ask)).await;
    let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap();
    assert!(matches!(
        answer.message_response,
        Some(v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_))
    ));
}
