//! A call listener on loopback with a store of its own and clients of every role, for tests.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use locker_proto::wire::carrier::v1 as carrier;
use locker_proto::wire::carrier::v1::courier_service_client::CourierServiceClient;
use locker_proto::wire::carrier::v1::parcel_service_client::ParcelServiceClient;
use locker_proto::wire::fleet::v1 as fleet;
use locker_proto::wire::fleet::v1::fleet_service_client::FleetServiceClient;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{GrpcListener, ServeGrpcError, Surface, TokenKey};
use crate::codes::couriers::CouriersDesk;
use crate::config::GrpcLimits;
use crate::credential_keys::HubKeys;
use crate::ingest::{Orders, Presence};
use crate::pki::Issued;
use crate::store::{Store, StoreLimits};
use crate::telemetry::Traces;
use crate::tls::fixture::Fixture;
use crate::tls::{Alpn, Limits, Revocations, ServerTls};

pub(crate) struct Calls {
    pub(crate) fixture: Fixture,
    pub(crate) url: String,
    pub(crate) store: Store,
    pub(crate) tokens: TokenKey,
    pub(crate) revocations: Revocations,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), ServeGrpcError>>,
}

impl Calls {
    /// With carriers `acme` and `other`, operator `olga`, bank `bank-1`.
    pub(crate) async fn start(limits: GrpcLimits) -> Self {
        Self::start_with(limits, None).await
    }

    /// As [`Self::start`], for a hub that makes six-digit codes.
    pub(crate) async fn start_with(limits: GrpcLimits, codes: Option<CouriersDesk>) -> Self {
        let fixture = Fixture::new();
        fixture.pki.issue_carrier(&"other".parse().unwrap()).unwrap();
        let path = |name: &str| fixture.directory.path().join(name);
        let url = format!("sqlite://{}?mode=rwc", path("hub.db").display());
        let store = Store::open(&url, StoreLimits::default()).await.unwrap();
        let keys = HubKeys::of_new_pki(fixture.directory.path()).unwrap();
        let tokens = TokenKey::derive(keys.command_seeds());
        let revocations = Revocations::default();
        let tls = ServerTls::load(&fixture.server_files(), Alpn::H2, revocations.clone()).unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let listener = GrpcListener::bind(address, tls, Limits::default()).await.unwrap();
        let url = format!("https://localhost:{}", listener.local_address().port());
        let surface = Surface {
            store: store.clone(),
            keys: Arc::new(keys),
            presence: Presence::default(),
            orders: Orders::nowhere(),
            codes,
            traces: Traces::local(),
            tokens: tokens.clone(),
            limits,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = async move {
            let stop = async {
                let _ = stopped.await;
            };
            Box::pin(listener.run(surface, stop, Duration::from_secs(5))).await
        };
        let served = tokio::spawn(serving);
        Self { fixture, url, store, tokens, revocations, stop, served }
    }

    pub(crate) async fn stop(self) -> Result<(), ServeGrpcError> {
        let _ = self.stop.send(());
        self.served.await.unwrap()
    }

    /// From now on, the certificate of `name` does not count.
    pub(crate) fn revoke(&self, name: &str) {
        let pem = std::fs::read(self.fixture.issued(name).certificate).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &pem.contents);
        self.revocations.revoke(digest.as_ref().try_into().unwrap());
    }

    /// `name` as in `carriers/acme`.
    pub(crate) async fn connect(&self, name: &str) -> Result<Channel, tonic::transport::Error> {
        self.connect_with(Some(&self.fixture.issued(name))).await
    }

    pub(crate) async fn connect_with(
        &self,
        client: Option<&Issued>,
    ) -> Result<Channel, tonic::transport::Error> {
        let read = |path: &PathBuf| std::fs::read(path).unwrap();
        let authority = Certificate::from_pem(read(&self.fixture.pki.authority()));
        let mut tls = ClientTlsConfig::new().ca_certificate(authority);
        if let Some(client) = client {
            let identity = Identity::from_pem(read(&client.certificate), read(&client.key));
            tls = tls.identity(identity);
        }
        Endpoint::from_shared(self.url.clone())?.tls_config(tls)?.connect().await
    }

    pub(crate) async fn carrier(&self, name: &str) -> ParcelServiceClient<Channel> {
        ParcelServiceClient::new(self.connect(&format!("carriers/{name}")).await.unwrap())
    }

    pub(crate) async fn couriers_of(&self, name: &str) -> CourierServiceClient<Channel> {
        CourierServiceClient::new(self.connect(&format!("carriers/{name}")).await.unwrap())
    }

    pub(crate) async fn operator(&self) -> FleetServiceClient<Channel> {
        FleetServiceClient::new(self.connect("operators/olga").await.unwrap())
    }
}

pub(crate) fn request_id() -> String {
    Uuid::new_v4().to_string()
}

pub(crate) fn new_parcel(carrier: &str, parcel: &str) -> carrier::CreateParcelRequest {
    carrier::CreateParcelRequest {
        parent: format!("carriers/{carrier}"),
        parcel_id: parcel.to_owned(),
        parcel: Some(carrier::Parcel {
            barcode: format!("BC-{parcel}"),
            dimensions: Some(carrier::Dimensions { length_mm: 300, width_mm: 200, height_mm: 100 }),
            weight_g: 900,
            recipient: Some(carrier::Recipient {
                email: "rita@example.org".into(),
                display_name: "Rita".into(),
                phone: "+4915112345678".into(),
            }),
            ..carrier::Parcel::default()
        }),
        request_id: request_id(),
    }
}

pub(crate) fn new_bank(bank: &str) -> fleet::CreateBankRequest {
    let spec = |number: u32| fleet::CompartmentSpec {
        number,
        length_mm: 400,
        width_mm: 400,
        height_mm: 200,
        board: 0,
        lock: number - 1,
    };
    fleet::CreateBankRequest {
        bank_id: bank.to_owned(),
        bank: Some(fleet::Bank {
            display_name: "Main Station".into(),
            address: "Platform 2".into(),
            layout: Some(fleet::Layout { generation: 0, compartments: vec![spec(1), spec(2)] }),
            ..fleet::Bank::default()
        }),
        request_id: request_id(),
    }
}

/// The reason in the status's ErrorInfo.
pub(crate) fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.unwrap_or_else(|| panic!("no ErrorInfo in {status:?}")).reason
}
