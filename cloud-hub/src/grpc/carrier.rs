//! `locker.carrier.v1`: what carriers and retailers call, each for its own parcels.

use std::pin::Pin;

use futures::Stream;
use futures::stream::try_unfold;
use locker_core::ids::{CarrierId, CredentialId, HubEpoch, ParcelId};
use locker_core::units::{Dimensions, Grams};
use locker_proto::wire::carrier::v1 as wire;
use locker_proto::wire::carrier::v1::book_compartment_request::Firmness;
use locker_proto::wire::carrier::v1::parcel_service_server::ParcelService;
use locker_proto::wire::carrier::v1::watch_parcels_response::{CaughtUp, Message};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::fields::Fields;
use super::gate::{CallSpan, peer};
use super::names::{self, ParcelName};
use super::token::{TokenError, TokenKey};
use super::watch::{Sight, Watch, Watches};
use super::{Surface, convert, status};
use crate::identity::Identity;
use crate::notify::letter::can_be_addressed;
use crate::parcels::{self, NewParcel};
use crate::store::{Email, PersonalDataError, Store};
use crate::tls::Peer;
use crate::trace_spans::parent_of;
use crate::wall_clock::now;

/// Longest edge of a parcel that is taken, in millimetres.
const EDGE_MAX_MM: u32 = 3_000;

/// The service for carriers.
pub(super) struct Carriers {
    store: Store,
    watches: Watches,
    key: TokenKey,
}

impl Carriers {
    pub(super) fn new(surface: &Surface, watches: &Watches) -> Self {
        Self { store: surface.store.clone(), watches: watches.clone(), key: surface.tokens.clone() }
    }
}

type Responses = Pin<Box<dyn Stream<Item = Result<wire::WatchParcelsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ParcelService for Carriers {
    type WatchParcelsStream = Responses;

    async fn create_parcel(
        &self,
        request: Request<wire::CreateParcelRequest>,
    ) -> Result<Response<wire::Parcel>, Status> {
        let peer = peer(request.extensions())?.clone();
        let trace = request.extensions().get::<CallSpan>().and_then(|span| parent_of(&span.0));
        let request = request.into_inner();
        let mut fields = Fields::default();
        let carrier = own(&peer, fields.take("parent", names::carrier(&request.parent)))?;
        let name = fields.take("parcel_id", names::parcel_id(&request.parcel_id));
        let key = fields.request(&peer, &request.request_id);
        let parcel = fields.present("parcel", request.parcel).unwrap_or_default();
        let barcode = fields.take("parcel.barcode", parcel.barcode.parse());
        let size = dimensions(&mut fields, parcel.dimensions);
        let weight = fields.within("parcel.weight_g", parcel.weight_g, 1, u32::MAX);
        let recipient = fields.present("parcel.recipient", parcel.recipient).unwrap_or_default();
        let email = fields.take("parcel.recipient.email", email(&recipient.email));
        let display_name =
            fields.take("parcel.recipient.display_name", recipient.display_name.parse());
        let whole = || {
            let new = NewParcel {
                uid: ParcelId(*Uuid::new_v4().as_bytes()),
                carrier: carrier?,
                name: name?,
                barcode: barcode?,
                size: size?,
                weight: Grams(weight?),
                email: email?,
                display_name: display_name?,
                trace,
            };
            Some((new, key?))
        };
        let (new, key) = fields.done(whole())?;
        let name = names::of_parcel(&new.carrier, &new.name);
        let row = parcels::create_parcel(&self.store, new, key, now()).await;
        let row = row.map_err(|error| status::of_create_parcel(error, &name))?;
        Ok(Response::new(convert::parcel(row)))
    }

    async fn book_compartment(
        &self,
        request: Request<wire::BookCompartmentRequest>,
    ) -> Result<Response<wire::Parcel>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let name = own_parcel(&peer, fields.take("name", names::parcel(&request.name)))?;
        let bank = fields.take("bank", names::bank(&request.bank));
        let firmness = Firmness::try_from(request.firmness);
        fields.take("firmness", firmness.map_err(|_| "expected FIRMNESS_SOFT"));
        let key = fields.request(&peer, &request.request_id);
        let (name, bank, key) = fields.done((|| Some((name?, bank?, key?)))())?;
        let fresh = CredentialId(*Uuid::new_v4().as_bytes());
        let ParcelName { carrier, parcel } = &name;
        let row =
            parcels::book_compartment(&self.store, carrier, parcel, &bank, key, fresh, now()).await;
        let row = row.map_err(|error| status::of_book(error, &request.name, &request.bank))?;
        Ok(Response::new(convert::parcel(row)))
    }

    async fn get_parcel(
        &self,
        request: Request<wire::GetParcelRequest>,
    ) -> Result<Response<wire::Parcel>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let name = own_parcel(&peer, fields.take("name", names::parcel(&request.name)))?;
        let ParcelName { carrier, parcel } = fields.done(name)?;
        let row = self.store.parcel(&carrier, &parcel).await.map_err(status::of_read)?;
        let row = row.ok_or_else(|| status::parcel_not_found(&request.name))?;
        Ok(Response::new(convert::parcel(row)))
    }

    async fn cancel_parcel(
        &self,
        request: Request<wire::CancelParcelRequest>,
    ) -> Result<Response<wire::Parcel>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let name = own_parcel(&peer, fields.take("name", names::parcel(&request.name)))?;
        let key = fields.request(&peer, &request.request_id);
        let (ParcelName { carrier, parcel }, key) = fields.done(name.zip(key))?;
        let row = parcels::cancel_parcel(&self.store, &carrier, &parcel, key, now()).await;
        let row = row.map_err(|error| status::of_cancel(error, &request.name))?;
        Ok(Response::new(convert::parcel(row)))
    }

    async fn watch_parcels(
        &self,
        request: Request<wire::WatchParcelsRequest>,
    ) -> Result<Response<Responses>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let carrier = own(&peer, fields.take("parent", names::carrier(&request.parent)))?;
        let carrier = fields.done(carrier)?;
        let (epoch, audience) = (self.store.epoch(), format!("carrier:{carrier}"));
        let position = start(&self.key, &request.resume_token, epoch, &audience)?.unwrap_or(0);
        let watch = self.watches.open(peer, Some(carrier), position)?;
        let key = self.key.clone();
        let stream = try_unfold(watch, move |mut watch| {
            let (key, audience) = (key.clone(), audience.clone());
            async move {
                let message = next_message(&mut watch).await?;
                let resume_token = key.resume(epoch, watch.position(), &audience);
                let message = Some(message);
                Ok(Some((wire::WatchParcelsResponse { message, resume_token }, watch)))
            }
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

async fn next_message(watch: &mut Watch) -> Result<Message, Status> {
    loop {
        match watch.next().await? {
            Sight::CaughtUp => return Ok(Message::CaughtUp(CaughtUp {})),
            // A carrier's events are all about parcels; one that is not is none of its business.
            Sight::Event(row) => {
                if let Some(event) = convert::parcel_event(*row) {
                    return Ok(Message::Event(event));
                }
            }
        }
    }
}

/// Where a token says to start; `None` for an empty one.
pub(super) fn start(
    key: &TokenKey,
    token: &str,
    epoch: HubEpoch,
    audience: &str,
) -> Result<Option<u64>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    key.read_resume(token, epoch, audience).map(Some).map_err(|error| match error {
        TokenError::Malformed => status::token_malformed("resume_token"),
        TokenError::OtherEpoch => status::resume_token_expired(),
    })
}

/// The carrier, unless it is another than the caller. This comes before everything else: what
/// another carrier has is not told apart from what it has not.
fn own(peer: &Peer, named: Option<CarrierId>) -> Result<Option<CarrierId>, Status> {
    match (&peer.identity, named) {
        (_, None) => Ok(None),
        (Identity::Carrier(caller), Some(named)) if *caller == named => Ok(Some(named)),
        (
            Identity::Carrier(_) | Identity::Operator(_) | Identity::Bank(_) | Identity::Hub(_),
            Some(named),
        ) => Err(status::not_own_carrier(named.as_str())),
    }
}

fn own_parcel(peer: &Peer, named: Option<ParcelName>) -> Result<Option<ParcelName>, Status> {
    own(peer, named.as_ref().map(|name| name.carrier.clone()))?;
    Ok(named)
}

/// What a letter cannot be addressed to is refused while somebody is there to put it right.
fn email(text: &str) -> Result<Email, PersonalDataError> {
    let email = text.parse()?;
    if can_be_addressed(text) { Ok(email) } else { Err(PersonalDataError::Email) }
}

fn dimensions(fields: &mut Fields, size: Option<wire::Dimensions>) -> Option<Dimensions> {
    let size = fields.present("parcel.dimensions", size)?;
    let length = fields.within("parcel.dimensions.length_mm", size.length_mm, 1, EDGE_MAX_MM);
    let width = fields.within("parcel.dimensions.width_mm", size.width_mm, 1, EDGE_MAX_MM);
    let height = fields.within("parcel.dimensions.height_mm", size.height_mm, 1, EDGE_MAX_MM);
    Some(Dimensions { length_mm: length?, width_mm: width?, height_mm: height? })
}
