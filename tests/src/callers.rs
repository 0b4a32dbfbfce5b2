//! A carrier and an operator: gRPC with their client certificates.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use locker_proto::wire::carrier::v1 as carrier;
use locker_proto::wire::carrier::v1::parcel_service_client::ParcelServiceClient;
use locker_proto::wire::fleet::v1 as fleet;
use locker_proto::wire::fleet::v1::fleet_service_client::FleetServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::bank::BankSpec;
use crate::hub::Hub;
use crate::pki::{OPERATOR, Pki};
use crate::wait::wait_for;

/// How long a bank may take to connect and to take over its layout.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// How long a badge works.
const BADGE_TTL_S: u32 = 3_600;
/// How long any call may take.
const CALL_LIMIT: Duration = Duration::from_secs(15);

/// The stable reason that a status carries.
#[must_use]
pub fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map_or_else(String::new, |info| info.reason.clone())
}

/// A fresh request id.
#[must_use]
pub fn request_id() -> String {
    Uuid::new_v4().to_string()
}

/// `message` with a deadline.
pub fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL_LIMIT);
    request
}

/// A carrier's system.
#[derive(Clone, Debug)]
pub struct Carrier {
    /// Its name.
    pub id: String,
    client: ParcelServiceClient<Channel>,
}

/// A parcel to be sent.
#[derive(Clone, Debug)]
pub struct Order {
    /// The carrier's name for it.
    pub name: String,
    /// What the label says.
    pub barcode: String,
    /// Its edges, in millimetres.
    pub size_mm: [u32; 3],
    /// Who gets it.
    pub email: String,
    /// Their number, as in E.164: its last four digits are asked for with typed codes.
    pub phone: Option<String>,
}

impl Order {
    /// A small parcel called `name`.
    #[must_use]
    pub fn small(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            barcode: format!("PKT-{}", name.to_uppercase()),
            size_mm: [300, 200, 80],
            email: format!("{name}@example.org"),
            phone: None,
        }
    }

    /// The last four digits of the recipient's number.
    #[must_use]
    pub fn phone_digits(&self) -> Option<&str> {
        let phone = self.phone.as_deref()?;
        phone.get(phone.len().checked_sub(4)?..)
    }
}

impl Carrier {
    /// The carrier `id` of `pki` at `hub`.
    ///
    /// # Errors
    ///
    /// Its certificate cannot be used.
    pub fn new(hub: &Hub, pki: &Pki, id: &str) -> Result<Self> {
        let client = ParcelServiceClient::new(hub.channel(pki, "carriers", id)?);
        Ok(Self { id: id.to_owned(), client })
    }

    /// The client itself, for unusual calls.
    #[must_use]
    pub fn client(&self) -> ParcelServiceClient<Channel> {
        self.client.clone()
    }

    /// The resource name of this carrier.
    #[must_use]
    pub fn resource(&self) -> String {
        format!("carriers/{}", self.id)
    }

    /// The resource name of one of its parcels.
    #[must_use]
    pub fn parcel(&self, name: &str) -> String {
        format!("carriers/{}/parcels/{name}", self.id)
    }

    /// Announces a parcel.
    ///
    /// # Errors
    ///
    /// The hub's.
    pub async fn announce(&self, order: &Order) -> Result<carrier::Parcel, Status> {
        let [length_mm, width_mm, height_mm] = order.size_mm;
        let recipient = carrier::Recipient {
            email: order.email.clone(),
            display_name: "Robin Example".to_owned(),
            phone: order.phone.clone().unwrap_or_default(),
        };
        let parcel = carrier::Parcel {
            barcode: order.barcode.clone(),
            dimensions: Some(carrier::Dimensions { length_mm, width_mm, height_mm }),
            weight_g: 750,
            recipient: Some(recipient),
            ..carrier::Parcel::default()
        };
        let request = carrier::CreateParcelRequest {
            parent: self.resource(),
            parcel_id: order.name.clone(),
            parcel: Some(parcel),
            request_id: request_id(),
        };
        Ok(self.client().create_parcel(timed(request)).await?.into_inner())
    }

    /// Books room at `bank`.
    ///
    /// # Errors
    ///
    /// The hub's.
    pub async fn book(&self, name: &str, bank: &str) -> Result<carrier::Parcel, Status> {
        let request = carrier::BookCompartmentRequest {
            name: self.parcel(name),
            bank: format!("banks/{bank}"),
            firmness: 0,
            request_id: request_id(),
            ..carrier::BookCompartmentRequest::default()
        };
        Ok(self.client().book_compartment(timed(request)).await?.into_inner())
    }

    /// Announces a parcel and books room at `bank`.
    ///
    /// # Errors
    ///
    /// The hub's.
    pub async fn send(&self, order: &Order, bank: &str) -> Result<(), Status> {
        self.announce(order).await?;
        self.book(&order.name, bank).await.map(drop)
    }

    /// A parcel as it is.
    ///
    /// # Errors
    ///
    /// The hub's.
    pub async fn get(&self, name: &str) -> Result<carrier::Parcel, Status> {
        let request = carrier::GetParcelRequest { name: self.parcel(name) };
        Ok(self.client().get_parcel(timed(request)).await?.into_inner())
    }

    /// From now on a parcel may stay so long, and no longer.
    ///
    /// # Errors
    ///
    /// The hub's.
    pub async fn keep(&self, name: &str, so_long: Duration) -> Result<carrier::Parcel, Status> {
        let request = carrier::ExtendRetentionRequest {
            name: self.parcel(name),
            expire_time: Some((SystemTime::now() + so_long).into()),
            request_id: request_id(),
        };
        Ok(self.client().extend_retention(timed(request)).await?.into_inner())
    }

    /// Withdraws a parcel.
    ///
    /// # Errors
    ///
    /// The hub's.
    pub async fn cancel(&self, name: &str) -> Result<carrier::Parcel, Status> {
        let name = self.parcel(name);
        let request = carrier::CancelParcelRequest { name, request_id: request_id() };
        Ok(self.client().cancel_parcel(timed(request)).await?.into_inner())
    }
}

/// Who runs the fleet.
#[derive(Clone, Debug)]
pub struct Operator {
    client: FleetServiceClient<Channel>,
}

impl Operator {
    /// The operator of `pki` at `hub`.
    ///
    /// # Errors
    ///
    /// The certificate cannot be used.
    pub fn new(hub: &Hub, pki: &Pki) -> Result<Self> {
        Ok(Self { client: FleetServiceClient::new(hub.channel(pki, "operators", OPERATOR)?) })
    }

    /// The client itself, for unusual calls.
    #[must_use]
    pub fn client(&self) -> FleetServiceClient<Channel> {
        self.client.clone()
    }

    /// Makes a bank known, with its layout.
    ///
    /// # Errors
    ///
    /// The hub's.
    pub async fn create_bank(&self, spec: &BankSpec) -> Result<fleet::Bank, Status> {
        let bank = fleet::Bank {
            display_name: spec.display_name(),
            address: "1 Station Square".to_owned(),
            layout: Some(fleet::Layout { generation: 0, compartments: spec.layout() }),
            ..fleet::Bank::default()
        };
        let request = fleet::CreateBankRequest {
            bank_id: spec.id.clone(),
            bank: Some(bank),
            request_id: request_id(),
        };
        Ok(self.client().create_bank(timed(request)).await?.into_inner())
    }

    /// A bank as it is.
    ///
    /// # Errors
    ///
    /// The hub's.
    pub async fn bank(&self, id: &str) -> Result<fleet::Bank, Status> {
        let request = fleet::GetBankRequest { name: format!("banks/{id}") };
        Ok(self.client().get_bank(timed(request)).await?.into_inner())
    }

    /// A badge with which couriers of `carrier` sign in at `bank`.
    ///
    /// # Errors
    ///
    /// The hub's.
    pub async fn badge(&self, bank: &str, carrier: &str) -> Result<fleet::Badge, Status> {
        let request = fleet::IssueBadgeRequest {
            name: format!("banks/{bank}"),
            carrier: format!("carriers/{carrier}"),
            ttl_s: BADGE_TTL_S,
            request_id: request_id(),
        };
        Ok(self.client().issue_badge(timed(request)).await?.into_inner())
    }

    /// A badge with which the operator's own people sign in at `bank`.
    ///
    /// # Errors
    ///
    /// The hub's.
    pub async fn staff_badge(&self, bank: &str) -> Result<fleet::Badge, Status> {
        let request = fleet::IssueStaffBadgeRequest {
            name: format!("banks/{bank}"),
            ttl_s: BADGE_TTL_S,
            request_id: request_id(),
        };
        Ok(self.client().issue_staff_badge(timed(request)).await?.into_inner())
    }

    /// Waits until a bank is as `wanted`.
    ///
    /// # Errors
    ///
    /// The time is over; calls that fail are made again.
    pub async fn wait_for_bank(
        &self,
        id: &str,
        what: &str,
        mut wanted: impl FnMut(&fleet::Bank) -> bool,
    ) -> Result<fleet::Bank> {
        let mut last = None;
        let what = format!("{id} {what}");
        let waited = wait_for(&what, READY_LIMIT, async || {
            let bank = self.bank(id).await;
            let found = bank.as_ref().ok().filter(|bank| wanted(bank)).cloned();
            last = Some(bank);
            Ok(found)
        });
        let waited = waited.await;
        waited.with_context(|| format!("the last answer was {last:?}"))
    }

    /// Waits until a bank is connected and holds its layout and a key to check codes with.
    ///
    /// # Errors
    ///
    /// The time is over.
    pub async fn wait_until_ready(&self, id: &str) -> Result<()> {
        let holds = |bank: &fleet::Bank| bank.connected && bank.layout_held > 0;
        self.wait_for_bank(id, "is connected and holds its layout", holds).await?;
        let are_shut =
            |bank: &fleet::Bank| bank.compartments.iter().all(|held| held.door == "CLOSED");
        self.wait_for_bank(id, "knows that all its doors are shut", are_shut).await?;
        // The hub signs only with a key that the bank holds.
        let what = format!("{id} holds a credential key");
        wait_for(&what, READY_LIMIT, async || match self.badge(id, "probe").await {
            Ok(_) => Ok(Some(())),
            Err(status) => {
                ensure!(status.code() == Code::FailedPrecondition, "no badge: {status:?}");
                Ok(None)
            }
        })
        .await
    }
}
