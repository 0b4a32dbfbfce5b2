//! A carrier whose system does what the interface tells it to: a call that was not answered is made
//! again with the same request id, until it is.

use std::time::Duration;

use anyhow::{Result, bail};
use locker_proto::wire::carrier::v1::{
    BookCompartmentRequest, CreateParcelRequest, Dimensions, Parcel, Recipient,
};
use system_tests::callers::{Carrier, Order, request_id, timed};
use system_tests::wait::wait_for;
use system_tests::watch::Watch;
use tonic::{Code, Status};

use crate::diary::{Diary, What};

/// How long the hub may be away.
const HUB_LIMIT: Duration = Duration::from_secs(60);
/// A watch waits for news for ever: until the runtime ends.
const NEWS_LIMIT: Duration = Duration::from_secs(24 * 3_600);

#[derive(Clone, Debug)]
pub(crate) struct Sender {
    carrier: Carrier,
    bank: String,
    diary: Diary,
}

impl Sender {
    pub(crate) fn of(carrier: &Carrier, bank: &str, diary: &Diary) -> Self {
        Self { carrier: carrier.clone(), bank: bank.to_owned(), diary: diary.clone() }
    }

    /// The name of its parcel in the hub's interfaces.
    pub(crate) fn name(&self, order: &Order) -> String {
        self.carrier.parcel(&order.name)
    }

    pub(crate) async fn send(&self, order: &Order) -> Result<()> {
        let [length_mm, width_mm, height_mm] = order.size_mm;
        let recipient = Recipient {
            email: order.email.clone(),
            display_name: "Robin Example".to_owned(),
            ..Recipient::default()
        };
        let parcel = Parcel {
            barcode: order.barcode.clone(),
            dimensions: Some(Dimensions { length_mm, width_mm, height_mm }),
            weight_g: 750,
            recipient: Some(recipient),
            ..Parcel::default()
        };
        let request = CreateParcelRequest {
            parent: self.carrier.resource(),
            parcel_id: order.name.clone(),
            parcel: Some(parcel),
            request_id: request_id(),
        };
        let call = async || self.carrier.client().create_parcel(timed(request.clone())).await;
        until_answered("announced", async || call().await.map(drop)).await?;
        self.diary.note(&self.bank, &order.name, What::Announced).await?;
        let request = BookCompartmentRequest {
            name: self.name(order),
            bank: format!("banks/{}", self.bank),
            request_id: request_id(),
            ..BookCompartmentRequest::default()
        };
        let call = async || self.carrier.client().book_compartment(timed(request.clone())).await;
        until_answered("booked", async || call().await.map(drop)).await?;
        self.diary.note(&self.bank, &order.name, What::Booked).await
    }

    /// Writes every event that the hub tells into the diary, until the runtime ends.
    pub(crate) async fn listen(&self) -> Result<()> {
        let mut watch = Watch::from_beginning(&self.carrier);
        loop {
            let seen = watch.until("news", NEWS_LIMIT, |_| true).await?;
            let event = format!("{} {}", seen.kind, seen.event_id);
            self.diary.note(&self.bank, &seen.parcel, What::Heard { event }).await?;
        }
    }
}

async fn until_answered(
    what: &str,
    mut call: impl AsyncFnMut() -> Result<(), Status>,
) -> Result<()> {
    wait_for(&format!("the parcel is {what}"), HUB_LIMIT, async || match call().await {
        Ok(()) => Ok(Some(())),
        Err(status) if is_passing(&status) => Ok(None),
        Err(status) => bail!("the parcel cannot be {what}: {status:?}"),
    })
    .await
}

/// Whether a hub that dies or is not there looks like this to a client.
pub(crate) fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
            | Code::DeadlineExceeded
    )
}
