//! `locker.carrier.v1`: what carriers and retailers call, each for its own parcels.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use futures::stream::try_unfold;
use locker_core::ids::{CarrierId, CredentialId, GroupId, HubEpoch, ParcelId};
use locker_core::parcel::RecallReason;
use locker_core::refusal::Refusal;
use locker_core::units::{Dimensions, Grams, UnixMillis};
use locker_proto::wire::carrier::v1 as wire;
use locker_proto::wire::carrier::v1::book_compartment_request::Firmness;
use locker_proto::wire::carrier::v1::parcel_service_server::ParcelService;
use locker_proto::wire::carrier::v1::recall_parcel_request::Reason;
use locker_proto::wire::carrier::v1::watch_parcels_response::{CaughtUp, Message};
use prost_types::Timestamp;
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::fields::Fields;
use super::gate::{CallDeadline, CallSpan, peer};
use super::names::{self, ParcelName};
use super::token::{TokenError, TokenKey};
use super::watch::{Sight, Watch, Watches};
use super::{Surface, convert, status};
use crate::credential_keys::HubKeys;
use crate::identity::Identity;
use crate::ingest::Presence;
use crate::notify::letter::can_be_addressed;
use crate::notify::qr;
use crate::parcels::{self, BookError, BookingOrder, NewParcel, ParcelChange};
use crate::store::{Email, HubParcelState, ParcelRow, PersonalDataError, RequestKey, Store};
use crate::tls::Peer;
use crate::trace_spans::parent_of;
use crate::wall_clock::now;

/// Longest edge of a parcel that is taken, in millimetres.
const EDGE_MAX_MM: u32 = 3_000;
const HOUR_MS: u64 = 3_600 * 1_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// How far ahead a parcel may be booked, in milliseconds.
const BOOK_AHEAD_MAX_MS: u64 = 30 * DAY_MS;
/// Longest and shortest time that a parcel may be kept, in milliseconds.
const KEEP_MAX_MS: u64 = 60 * DAY_MS;
const KEEP_MIN_MS: u64 = HOUR_MS;
/// This long before its caller gives up, a hard booking is answered as it stands.
const ANSWER_BEFORE: Duration = Duration::from_millis(250);
/// How often a missed change of the log is made up for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The service for carriers.
pub(super) struct Carriers {
    store: Store,
    keys: Arc<HubKeys>,
    presence: Presence,
    watches: Watches,
    key: TokenKey,
}

impl Carriers {
    pub(super) fn new(surface: &Surface, watches: &Watches) -> Self {
        Self {
            store: surface.store.clone(),
            keys: Arc::clone(&surface.keys),
            presence: surface.presence.clone(),
            watches: watches.clone(),
            key: surface.tokens.clone(),
        }
    }

    /// The parcel once its bank has answered a hard booking, or as it is when time is over.
    async fn settled(&self, booked: ParcelRow, until: Instant) -> Result<ParcelRow, Status> {
        let mut committed = self.store.committed_events();
        let mut row = booked;
        loop {
            committed.mark_unchanged();
            let now = self.store.parcel_by_uid(row.uid).await.map_err(status::of_read)?;
            row = now.unwrap_or(row);
            if row.state != HubParcelState::BookingPending || Instant::now() >= until {
                return Ok(row);
            }
            let next = until.min(Instant::now() + LOOK_EVERY);
            let _ = timeout_at(next, committed.changed()).await;
        }
    }

    async fn change(
        &self,
        name: &ParcelName,
        change: ParcelChange,
        key: RequestKey,
    ) -> Result<Response<wire::Parcel>, Status> {
        let ParcelName { carrier, parcel } = name;
        let row = parcels::change_parcel(&self.store, carrier, parcel, change, key, now()).await;
        let named = || names::of_parcel(carrier, parcel);
        let row = row.map_err(|error| status::of_change_parcel(error, &named()))?;
        Ok(Response::new(convert::parcel(row)))
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
        let phone = Some(recipient.phone.as_str()).filter(|phone| !phone.is_empty());
        let phone = fields.take("parcel.recipient.phone", phone.map(str::parse).transpose());
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
                phone: phone?,
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
        let deadline = request.extensions().get::<CallDeadline>().map(|deadline| deadline.0);
        let request = request.into_inner();
        let mut fields = Fields::default();
        let name = own_parcel(&peer, fields.take("name", names::parcel(&request.name)))?;
        let bank = fields.take("bank", names::bank(&request.bank));
        let firmness = Firmness::try_from(request.firmness);
        let expected = "expected FIRMNESS_SOFT or FIRMNESS_HARD";
        let firmness = fields.take("firmness", firmness.map_err(|_| expected));
        let key = fields.request(&peer, &request.request_id);
        let now = now();
        let book_until = match request.book_until {
            Some(at) => fields.take("book_until", ahead(at, now, BOOK_AHEAD_MAX_MS)).map(Some),
            None => Some(None),
        };
        let keep_ms = match request.keep {
            Some(keep) => fields.take("keep", keep_ms(keep)).map(Some),
            None => Some(None),
        };
        let whole = || {
            let bank = bank?;
            let order = BookingOrder {
                hard: firmness? == Firmness::Hard,
                book_until: book_until?,
                keep_ms: keep_ms?,
                connected: self.presence.is_connected(&bank),
                bank,
                fresh: CredentialId(*Uuid::new_v4().as_bytes()),
                fresh_group: GroupId(*Uuid::new_v4().as_bytes()),
            };
            Some((name?, order, key?))
        };
        let (name, order, key) = fields.done(whole())?;
        let ParcelName { carrier, parcel } = &name;
        let refused = |error| status::of_book(error, &request.name, &request.bank);
        let row = parcels::book_compartment(&self.store, carrier, parcel, order, key, now).await;
        let mut row = row.map_err(refused)?;
        if row.state == HubParcelState::BookingPending {
            let until = deadline.and_then(|at| at.checked_sub(ANSWER_BEFORE));
            row = self.settled(row, until.unwrap_or_else(Instant::now)).await?;
            if row.state == HubParcelState::Announced {
                return Err(refused(BookError::Refused(Refusal::NoFreeCompartment)));
            }
        }
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

    async fn extend_retention(
        &self,
        request: Request<wire::ExtendRetentionRequest>,
    ) -> Result<Response<wire::Parcel>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let name = own_parcel(&peer, fields.take("name", names::parcel(&request.name)))?;
        let key = fields.request(&peer, &request.request_id);
        let until = fields.present("expire_time", request.expire_time);
        let until = until.and_then(|at| fields.take("expire_time", ahead(at, now(), KEEP_MAX_MS)));
        let (name, until, key) = fields.done((|| Some((name?, until?, key?)))())?;
        self.change(&name, ParcelChange::Extend { until }, key).await
    }

    async fn recall_parcel(
        &self,
        request: Request<wire::RecallParcelRequest>,
    ) -> Result<Response<wire::Parcel>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let name = own_parcel(&peer, fields.take("name", names::parcel(&request.name)))?;
        let key = fields.request(&peer, &request.request_id);
        let reason = match Reason::try_from(request.reason) {
            Ok(Reason::Sender) => Ok(RecallReason::Sender),
            Ok(Reason::Safety) => Ok(RecallReason::Safety),
            Ok(Reason::Unspecified) | Err(_) => Err("expected REASON_SENDER or REASON_SAFETY"),
        };
        let reason = fields.take("reason", reason);
        let (name, reason, key) = fields.done((|| Some((name?, reason?, key?)))())?;
        self.change(&name, ParcelChange::Recall { reason }, key).await
    }

    async fn reissue_code(
        &self,
        request: Request<wire::ReissueCodeRequest>,
    ) -> Result<Response<wire::Parcel>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let name = own_parcel(&peer, fields.take("name", names::parcel(&request.name)))?;
        let key = fields.request(&peer, &request.request_id);
        let (name, key) = fields.done(name.zip(key))?;
        let fresh = CredentialId(*Uuid::new_v4().as_bytes());
        self.change(&name, ParcelChange::Reissue { fresh }, key).await
    }

    async fn delegate_pickup(
        &self,
        request: Request<wire::DelegatePickupRequest>,
    ) -> Result<Response<wire::Delegate>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let name = own_parcel(&peer, fields.take("name", names::parcel(&request.name)))?;
        let key = fields.request(&peer, &request.request_id);
        let until = fields.present("expire_time", request.expire_time);
        let until = until.and_then(|at| fields.take("expire_time", ahead(at, now(), KEEP_MAX_MS)));
        let (name, until, key) = fields.done((|| Some((name?, until?, key?)))())?;
        let ParcelName { carrier, parcel } = &name;
        let fresh = CredentialId(*Uuid::new_v4().as_bytes());
        let made =
            parcels::delegate_pickup(&self.store, carrier, parcel, until, fresh, key, now()).await;
        let made = made.map_err(|error| status::of_change_parcel(error, &request.name))?;
        let bank = names::of_bank(&made.bank);
        let text = self.keys.sign_pickup(&made.bank, &made.held, made.credential, made.until);
        let text = text.map_err(|error| status::of_sign_token(error, &bank))?;
        let qr_png =
            qr::png_of(&text).map_err(|error| status::internal("code not drawn", &error))?;
        Ok(Response::new(wire::Delegate {
            delegate_id: Uuid::from_bytes(made.credential.0).to_string(),
            text,
            qr_png,
            expire_time: Some(convert::timestamp(made.until)),
        }))
    }

    async fn revoke_delegate(
        &self,
        request: Request<wire::RevokeDelegateRequest>,
    ) -> Result<Response<wire::Parcel>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let name = own_parcel(&peer, fields.take("name", names::parcel(&request.name)))?;
        let key = fields.request(&peer, &request.request_id);
        let delegate = Uuid::try_parse(&request.delegate_id);
        let delegate =
            fields.take("delegate_id", delegate.map_err(|_| "expected Delegate.delegate_id"));
        let (name, delegate, key) = fields.done((|| Some((name?, delegate?, key?)))())?;
        let delegate = CredentialId(*delegate.as_bytes());
        self.change(&name, ParcelChange::Revoke { delegate }, key).await
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
pub(super) fn own(peer: &Peer, named: Option<CarrierId>) -> Result<Option<CarrierId>, Status> {
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

/// A time to come, at most `most_ms` from now.
fn ahead(at: Timestamp, now: UnixMillis, most_ms: u64) -> Result<UnixMillis, String> {
    let seconds = u64::try_from(at.seconds).ok().and_then(|seconds| seconds.checked_mul(1_000));
    let millis = u64::try_from(at.nanos / 1_000_000).ok();
    let at = seconds.zip(millis).and_then(|(seconds, millis)| seconds.checked_add(millis));
    let within = |at: &u64| *at > now.0 && *at <= now.plus_ms(most_ms).0;
    let expected = || format!("expected a time within {} days from now", most_ms / DAY_MS);
    at.filter(within).map(UnixMillis).ok_or_else(expected)
}

fn keep_ms(keep: prost_types::Duration) -> Result<u64, &'static str> {
    let seconds = u64::try_from(keep.seconds).ok().and_then(|seconds| seconds.checked_mul(1_000));
    let millis = u64::try_from(keep.nanos / 1_000_000).ok();
    let ms = seconds.zip(millis).and_then(|(seconds, millis)| seconds.checked_add(millis));
    let fits = |ms: &u64| (KEEP_MIN_MS..=KEEP_MAX_MS).contains(ms);
    ms.filter(fits).ok_or("expected 1 hour to 60 days")
}
