use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;

use tonic_types::StatusExt as _;
use tower::{ServiceExt as _, service_fn};

use super::*;
use crate::telemetry::Traces;

#[test]
fn timeouts_are_read_as_the_protocol_writes_them() {
    for (text, expected) in [
        ("1H", Some(Duration::from_secs(3_600))),
        ("2M", Some(Duration::from_secs(120))),
        ("3S", Some(Duration::from_secs(3))),
        ("4m", Some(Duration::from_millis(4))),
        ("5u", Some(Duration::from_micros(5))),
        ("99999999n", Some(Duration::from_nanos(99_999_999))),
        ("", None),
        ("S", None),
        ("5", None),
        ("-1S", None),
        ("+1S", None),
        ("1s", None),
        ("123456789S", None),
        ("1é", None),
    ] {
        assert_eq!(parse_timeout(text), expected, "{text:?}");
    }
}

#[test]
fn roles_reach_their_own_service_and_no_other() {
    let carrier = format!("/{PARCEL_SERVICE}/GetParcel");
    let fleet = format!("/{FLEET_SERVICE}/GetBank");
    let audit = format!("/{AUDIT_SERVICE}/ReadJournal");
    let health = "/grpc.health.v1.Health/Check";
    let rows = [
        (IdentityKind::Carrier, [true, false, false, true, false]),
        (IdentityKind::Operator, [false, true, true, true, false]),
        (IdentityKind::Bank, [false; 5]),
        (IdentityKind::Hub, [false; 5]),
    ];
    for (role, expected) in rows {
        let may = [&carrier[..], &fleet, &audit, health, "/locker.else.v1.Else/Do"]
            .map(|path| check_role(role, path).is_ok());
        assert_eq!(may, expected, "{role}");
    }
    assert!(check_role(IdentityKind::Operator, "nonsense").is_err());
}

const LONGEST: Duration = Duration::from_secs(30);

fn request(identity: &str, timeout: Option<&str>) -> Request<Body> {
    let peer = Peer {
        identity: identity.parse().unwrap(),
        certificate: [1; 32],
        serial: [2; 32],
        key: None,
        expires_s: i64::MAX,
        address: SocketAddr::from(([127, 0, 0, 1], 1)),
    };
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = format!("/{PARCEL_SERVICE}/GetParcel").parse().unwrap();
    request.extensions_mut().insert(peer);
    if let Some(timeout) = timeout {
        request.headers_mut().insert(TIMEOUT_HEADER, timeout.parse().unwrap());
    }
    request
}

/// The answer of a service that never answers, and after how long it came.
async fn answer_of_silence(timeout: Option<&str>) -> (Status, Duration) {
    let rules = GateLayer {
        tracer: Traces::local().tracer(),
        revocations: Revocations::default(),
        longest: LONGEST,
    };
    let silent = service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>());
    let begun = Instant::now();
    let call = rules.layer(silent).oneshot(request("urn:postern:carrier:acme", timeout));
    let response = call.await.unwrap();
    (Status::from_header_map(response.headers()).unwrap(), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_call_is_answered_by_its_own_deadline_and_by_ours_at_the_latest() {
    for (given, expected) in
        [(Some("250m"), Duration::from_millis(250)), (Some("1H"), LONGEST), (None, LONGEST)]
    {
        let (status, after) = answer_of_silence(given).await;
        assert_eq!(status.code(), Code::DeadlineExceeded, "{given:?}");
        assert_eq!(status.get_details_error_info().unwrap().reason, "DEADLINE_EXCEEDED");
        assert!(after >= expected && after < expected + Duration::from_millis(5), "{after:?}");
    }
}

#[tokio::test]
async fn a_deadline_that_cannot_be_read_is_refused() {
    let (status, _) = answer_of_silence(Some("soon")).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.get_details_error_info().unwrap().reason, "TIMEOUT_MALFORMED");
}
