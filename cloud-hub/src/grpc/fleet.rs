//! `locker.fleet.v1`: what operators call.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use futures::stream::try_unfold;
use locker_core::compartment::{COMPARTMENTS_MAX, Compartment, CompartmentSpec, LockPosition};
use locker_core::downlink::QUOTA_SIZES_MAX;
use locker_core::ids::{CarrierId, CommandId, CompartmentNo, CredentialId};
use locker_core::units::Dimensions;
use locker_proto::wire::fleet::v1 as wire;
use locker_proto::wire::fleet::v1::fleet_service_server::FleetService;
use tonic::{Request, Response, Status};
use tracing::info;
use uuid::Uuid;

use super::carrier::start;
use super::fields::Fields;
use super::gate::peer;
use super::names::{self, ParcelName};
use super::token::TokenKey;
use super::watch::{Sight, Watches};
use super::{Surface, convert, status};
use crate::banks::{self, BadgeHolder, BadgeOrder, NewBank};
use crate::credential_keys::HubKeys;
use crate::ingest::{Orders, Presence};
use crate::notify::qr;
use crate::site_zone::SiteZone;
use crate::store::{BankRow, DISPLAY_NAME_MAX_CHARS, RequestKey, Store};
use crate::wall_clock::now;

/// Longest address of a bank, in characters.
const ADDRESS_MAX_CHARS: usize = 200;
/// Longest edge of a compartment, in millimetres.
const EDGE_MAX_MM: u32 = 3_000;
/// Highest number on a door; three digits fit on every plate.
const NUMBER_MAX: u32 = 999;
/// Highest address of a lock board.
const BOARD_MAX: u32 = 9;
/// Highest lock on a board.
const LOCK_MAX: u32 = 47;
/// Shortest and longest life of a badge, in seconds.
const BADGE_TTL_S: [u32; 2] = [60, 86_400];
/// Most carriers whose couriers have keypad codes at one bank.
const KEYPAD_COURIERS_MAX: usize = 10;
/// Banks of a page, if the caller does not say, and at most.
const PAGE_DEFAULT: u32 = 50;
const PAGE_MAX: u32 = 500;
/// What page tokens are good for.
const BANKS: &str = "banks";
/// What the fleet's resume tokens are good for.
const EVENTS: &str = "events";

/// The service for operators.
pub(super) struct Operators {
    store: Store,
    keys: Arc<HubKeys>,
    presence: Presence,
    orders: Orders,
    /// For how many days there are couriers' codes; none if this hub makes none.
    dark_days: Option<u8>,
    watches: Watches,
    key: TokenKey,
}

impl Operators {
    pub(super) fn new(surface: &Surface, watches: &Watches) -> Self {
        Self {
            store: surface.store.clone(),
            keys: Arc::clone(&surface.keys),
            presence: surface.presence.clone(),
            orders: surface.orders.clone(),
            dark_days: surface.codes.as_ref().map(|codes| codes.dark_days),
            watches: watches.clone(),
            key: surface.tokens.clone(),
        }
    }

    /// The bank with its compartments as they are.
    async fn whole_bank(&self, row: BankRow) -> Result<wire::Bank, Status> {
        let compartments = self.store.compartments(&row.id).await.map_err(status::of_read)?;
        let connected = self.presence.is_connected(&row.id);
        let mut bank = convert::bank(row, connected);
        for compartment in &compartments {
            let parcel = self.parcel_in(compartment).await?;
            bank.compartments.push(convert::compartment(compartment, parcel));
        }
        Ok(bank)
    }

    async fn badge(
        &self,
        order: BadgeOrder,
        key: RequestKey,
        bank: &str,
    ) -> Result<Response<wire::Badge>, Status> {
        let badge = banks::issue_badge(&self.store, &self.keys, order, key, now()).await;
        let badge = badge.map_err(|error| status::of_issue_badge(error, bank))?;
        let qr_png =
            qr::png_of(&badge.text).map_err(|error| status::internal("badge not drawn", &error))?;
        Ok(Response::new(wire::Badge {
            text: badge.text,
            qr_png,
            expire_time: Some(convert::timestamp(badge.expires_at)),
            time_zone: badge.time_zone.name().to_owned(),
        }))
    }

    async fn parcel_in(&self, compartment: &Compartment) -> Result<String, Status> {
        let Some(uid) = compartment.parcel() else { return Ok(String::new()) };
        let row = self.store.parcel_by_uid(uid).await.map_err(status::of_read)?;
        Ok(row.map(|row| names::of_parcel(&row.carrier, &row.name)).unwrap_or_default())
    }
}

type Responses = Pin<Box<dyn Stream<Item = Result<wire::WatchEventsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl FleetService for Operators {
    type WatchEventsStream = Responses;

    async fn create_bank(
        &self,
        request: Request<wire::CreateBankRequest>,
    ) -> Result<Response<wire::Bank>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let id = fields.take("bank_id", request.bank_id.parse());
        let key = fields.request(&peer, &request.request_id);
        let bank = fields.present("bank", request.bank).unwrap_or_default();
        let display_name =
            fields.text("bank.display_name", bank.display_name, 1, DISPLAY_NAME_MAX_CHARS);
        let address = fields.text("bank.address", bank.address, 0, ADDRESS_MAX_CHARS);
        let compartments = layout(&mut fields, "bank.layout", bank.layout);
        let zone = match bank.time_zone.as_str() {
            "" => Some(SiteZone::UTC),
            name => fields.take("bank.time_zone", name.parse()),
        };
        let whole = || {
            let (id, display_name, address) = (id?, display_name?, address?);
            let (time_zone, compartments) = (zone?, compartments?);
            Some((NewBank { id, display_name, address, time_zone, compartments }, key?))
        };
        let (new, key) = fields.done(whole())?;
        let name = names::of_bank(&new.id);
        let row = banks::create_bank(&self.store, new, key, now()).await;
        let row = row.map_err(|error| status::of_create_bank(error, &name))?;
        self.whole_bank(row).await.map(Response::new)
    }

    async fn get_bank(
        &self,
        request: Request<wire::GetBankRequest>,
    ) -> Result<Response<wire::Bank>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let id = fields.take("name", names::bank(&request.name));
        let row = self.store.bank(&fields.done(id)?).await.map_err(status::of_read)?;
        let row = row.ok_or_else(|| status::bank_not_found(&request.name))?;
        self.whole_bank(row).await.map(Response::new)
    }

    async fn list_banks(
        &self,
        request: Request<wire::ListBanksRequest>,
    ) -> Result<Response<wire::ListBanksResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let asked = u32::try_from(request.page_size).map_err(|_| "expected 0 or more");
        let size = fields.take("page_size", asked);
        let size = fields.done(size)?;
        let size = if size == 0 { PAGE_DEFAULT } else { size.min(PAGE_MAX) };
        let after = match request.page_token.as_str() {
            "" => None,
            token => {
                let bank = self.key.read_page(token, BANKS);
                Some(bank.map_err(|_| status::token_malformed("page_token"))?)
            }
        };
        // One more than asked for tells whether there is a next page.
        let rows = self.store.banks(after.as_ref(), size + 1).await;
        let mut rows = rows.map_err(status::of_read)?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = rows.len() > size;
        rows.truncate(size);
        let last = rows.last().filter(|_| more);
        let next_page_token = last.map(|row| self.key.page(&row.id, BANKS)).unwrap_or_default();
        let banks = rows.into_iter().map(|row| {
            let connected = self.presence.is_connected(&row.id);
            convert::bank(row, connected)
        });
        let banks = banks.collect();
        Ok(Response::new(wire::ListBanksResponse { banks, next_page_token }))
    }

    async fn set_layout(
        &self,
        request: Request<wire::SetLayoutRequest>,
    ) -> Result<Response<wire::Bank>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let id = fields.take("name", names::bank(&request.name));
        let key = fields.request(&peer, &request.request_id);
        let compartments = layout(&mut fields, "layout", request.layout);
        let (id, compartments, key) = fields.done((|| Some((id?, compartments?, key?)))())?;
        let row = banks::set_layout(&self.store, &id, compartments, key, now()).await;
        let row = row.map_err(|error| status::of_set_layout(error, &request.name))?;
        self.whole_bank(row).await.map(Response::new)
    }

    async fn set_time_zone(
        &self,
        request: Request<wire::SetTimeZoneRequest>,
    ) -> Result<Response<wire::Bank>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let id = fields.take("name", names::bank(&request.name));
        let key = fields.request(&peer, &request.request_id);
        let zone = fields.take("time_zone", request.time_zone.parse::<SiteZone>());
        let (id, zone, key) = fields.done((|| Some((id?, zone?, key?)))())?;
        info!(operator = %peer.identity, bank = %id, zone = %zone, "time zone set");
        let row = banks::set_time_zone(&self.store, &id, zone, key, now()).await;
        let row = row.map_err(|error| status::of_configure_bank(error, &request.name))?;
        self.whole_bank(row).await.map(Response::new)
    }

    async fn issue_badge(
        &self,
        request: Request<wire::IssueBadgeRequest>,
    ) -> Result<Response<wire::Badge>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let bank = fields.take("name", names::bank(&request.name));
        let carrier = fields.take("carrier", names::carrier(&request.carrier));
        let ttl = fields.within("ttl_s", request.ttl_s, BADGE_TTL_S[0], BADGE_TTL_S[1]);
        let key = fields.request(&peer, &request.request_id);
        let fresh = CredentialId(*Uuid::new_v4().as_bytes());
        let whole = || {
            let ttl_ms = u64::from(ttl?) * 1_000;
            let holder = BadgeHolder::Courier(carrier?);
            Some((BadgeOrder { bank: bank?, holder, ttl_ms, fresh }, key?))
        };
        let (order, key) = fields.done(whole())?;
        info!(operator = %peer.identity, bank = %order.bank, "badge ordered");
        self.badge(order, key, &request.name).await
    }

    async fn issue_staff_badge(
        &self,
        request: Request<wire::IssueStaffBadgeRequest>,
    ) -> Result<Response<wire::Badge>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let bank = fields.take("name", names::bank(&request.name));
        let ttl = fields.within("ttl_s", request.ttl_s, BADGE_TTL_S[0], BADGE_TTL_S[1]);
        let key = fields.request(&peer, &request.request_id);
        let fresh = CredentialId(*Uuid::new_v4().as_bytes());
        let whole = || {
            let (ttl_ms, holder) = (u64::from(ttl?) * 1_000, BadgeHolder::Staff);
            Some((BadgeOrder { bank: bank?, holder, ttl_ms, fresh }, key?))
        };
        let (order, key) = fields.done(whole())?;
        // Who stands behind the badge's id, which the bank's records name.
        info!(operator = %peer.identity, bank = %order.bank, "staff badge ordered");
        self.badge(order, key, &request.name).await
    }

    async fn set_bank_mode(
        &self,
        request: Request<wire::SetBankModeRequest>,
    ) -> Result<Response<wire::Bank>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let id = fields.take("name", names::bank(&request.name));
        let key = fields.request(&peer, &request.request_id);
        let (id, key) = fields.done(id.zip(key))?;
        info!(operator = %peer.identity, bank = %id, maintenance = request.maintenance, "bank mode set");
        let row = banks::set_mode(&self.store, &id, request.maintenance, key, now()).await;
        let row = row.map_err(|error| status::of_configure_bank(error, &request.name))?;
        self.whole_bank(row).await.map(Response::new)
    }

    async fn set_quota(
        &self,
        request: Request<wire::SetQuotaRequest>,
    ) -> Result<Response<wire::Bank>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let id = fields.take("name", names::bank(&request.name));
        let key = fields.request(&peer, &request.request_id);
        let ceded = quota(&mut fields, &request.ceded);
        let (id, ceded, key) = fields.done((|| Some((id?, ceded?, key?)))())?;
        let row = banks::set_quota(&self.store, &id, ceded, key, now()).await;
        let row = row.map_err(|error| status::of_configure_bank(error, &request.name))?;
        self.whole_bank(row).await.map(Response::new)
    }

    async fn set_keypad_couriers(
        &self,
        request: Request<wire::SetKeypadCouriersRequest>,
    ) -> Result<Response<wire::Bank>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let id = fields.take("name", names::bank(&request.name));
        let key = fields.request(&peer, &request.request_id);
        let carriers = keypad_couriers(&mut fields, &request.carriers);
        let (id, carriers, key) = fields.done((|| Some((id?, carriers?, key?)))())?;
        info!(operator = %peer.identity, bank = %id, carriers = carriers.len(), "keypad couriers set");
        let days = self.dark_days;
        let row = banks::set_keypad_couriers(&self.store, &id, carriers, days, key, now()).await;
        let row = row.map_err(|error| status::of_configure_bank(error, &request.name))?;
        self.whole_bank(row).await.map(Response::new)
    }

    async fn lock_down_bank(
        &self,
        request: Request<wire::LockDownBankRequest>,
    ) -> Result<Response<wire::Bank>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let id = fields.take("name", names::bank(&request.name));
        let key = fields.request(&peer, &request.request_id);
        let (id, key) = fields.done(id.zip(key))?;
        info!(operator = %peer.identity, bank = %id, "lockdown ordered");
        let fresh = CommandId(*Uuid::new_v4().as_bytes());
        let row = banks::lock_down(&self.store, &self.orders, &id, fresh, key, now()).await;
        let row = row.map_err(|error| status::of_lock_down(error, &request.name))?;
        self.whole_bank(row).await.map(Response::new)
    }

    async fn find_parcel(
        &self,
        request: Request<wire::FindParcelRequest>,
    ) -> Result<Response<wire::FindParcelResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let name = fields.take("name", names::parcel(&request.name));
        let ParcelName { carrier, parcel } = fields.done(name)?;
        let row = self.store.parcel(&carrier, &parcel).await.map_err(status::of_read)?;
        let row = row.ok_or_else(|| status::parcel_not_found(&request.name))?;
        let events = self.store.parcel_events(row.uid).await.map_err(status::of_read)?;
        let bank = match &row.bank {
            Some(bank) => self.store.bank(bank).await.map_err(status::of_read)?,
            None => None,
        };
        Ok(Response::new(convert::found_parcel(&row, bank.map(|bank| bank.time_zone), events)))
    }

    async fn watch_events(
        &self,
        request: Request<wire::WatchEventsRequest>,
    ) -> Result<Response<Responses>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let epoch = self.store.epoch();
        let position = match start(&self.key, &request.resume_token, epoch, EVENTS)? {
            Some(position) => position,
            None if request.from_beginning => 0,
            None => self.store.last_event().await.map_err(status::of_read)?,
        };
        let watch = self.watches.open(peer, None, position)?;
        let key = self.key.clone();
        let stream = try_unfold(watch, move |mut watch| {
            let key = key.clone();
            async move {
                let event = match watch.next().await? {
                    Sight::Event(row) => Some(convert::event(*row)),
                    Sight::CaughtUp => None,
                };
                let resume_token = key.resume(epoch, watch.position(), EVENTS);
                Ok(Some((wire::WatchEventsResponse { event, resume_token }, watch)))
            }
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

fn layout(
    fields: &mut Fields,
    field: &'static str,
    layout: Option<wire::Layout>,
) -> Option<Vec<CompartmentSpec>> {
    let specs = fields.present(field, layout)?.compartments;
    let expected = || format!("expected 1 to {COMPARTMENTS_MAX} compartments");
    let count = (1..=COMPARTMENTS_MAX).contains(&specs.len()).then_some(());
    fields.take(field, count.ok_or_else(expected))?;
    specs.iter().map(|wire| spec(fields, wire)).collect()
}

fn spec(fields: &mut Fields, wire: &wire::CompartmentSpec) -> Option<CompartmentSpec> {
    let number = fields.within("layout.compartments.number", wire.number, 1, NUMBER_MAX);
    let length = fields.within("layout.compartments.length_mm", wire.length_mm, 1, EDGE_MAX_MM);
    let width = fields.within("layout.compartments.width_mm", wire.width_mm, 1, EDGE_MAX_MM);
    let height = fields.within("layout.compartments.height_mm", wire.height_mm, 1, EDGE_MAX_MM);
    let board = fields.within("layout.compartments.board", wire.board, 0, BOARD_MAX);
    let lock = fields.within("layout.compartments.lock", wire.lock, 0, LOCK_MAX);
    Some(CompartmentSpec {
        no: CompartmentNo(u16::try_from(number?).ok()?),
        inside: Dimensions { length_mm: length?, width_mm: width?, height_mm: height? },
        lock: LockPosition { board: u8::try_from(board?).ok()?, lock: u8::try_from(lock?).ok()? },
    })
}

fn quota(fields: &mut Fields, ceded: &[wire::CededSize]) -> Option<Vec<(Dimensions, u16)>> {
    let expected = || format!("expected at most {QUOTA_SIZES_MAX} sizes");
    let count = (ceded.len() <= QUOTA_SIZES_MAX).then_some(());
    fields.take("ceded", count.ok_or_else(expected))?;
    let most = u32::try_from(COMPARTMENTS_MAX).unwrap_or(u32::MAX);
    let size = |wire: &wire::CededSize| {
        let length = fields.within("ceded.length_mm", wire.length_mm, 1, EDGE_MAX_MM);
        let width = fields.within("ceded.width_mm", wire.width_mm, 1, EDGE_MAX_MM);
        let height = fields.within("ceded.height_mm", wire.height_mm, 1, EDGE_MAX_MM);
        let count = fields.within("ceded.count", wire.count, 0, most);
        let inside = Dimensions { length_mm: length?, width_mm: width?, height_mm: height? };
        Some((inside, u16::try_from(count?).ok()?))
    };
    ceded.iter().map(size).collect()
}

fn keypad_couriers(fields: &mut Fields, names: &[String]) -> Option<BTreeSet<CarrierId>> {
    let expected = || format!("expected at most {KEYPAD_COURIERS_MAX} carriers");
    let count = (names.len() <= KEYPAD_COURIERS_MAX).then_some(());
    fields.take("carriers", count.ok_or_else(expected))?;
    names.iter().map(|name| fields.take("carriers", names::carrier(name))).collect()
}
