//! `locker.carrier.v1.CourierService`: what carriers call for their couriers.

use locker_proto::wire::carrier::v1 as wire;
use locker_proto::wire::carrier::v1::courier_service_server::CourierService;
use tonic::{Request, Response, Status};

use super::carrier::own;
use super::fields::Fields;
use super::gate::peer;
use super::{Surface, convert, names, status};
use crate::codes::couriers::{CouriersDesk, DayCode};
use crate::store::Store;
use crate::wall_clock::now;

/// The service for those who send couriers out.
pub(super) struct Dispatchers {
    store: Store,
    codes: Option<CouriersDesk>,
}

impl Dispatchers {
    pub(super) fn new(surface: &Surface) -> Self {
        Self { store: surface.store.clone(), codes: surface.codes.clone() }
    }
}

#[tonic::async_trait]
impl CourierService for Dispatchers {
    async fn list_keypad_codes(
        &self,
        request: Request<wire::ListKeypadCodesRequest>,
    ) -> Result<Response<wire::ListKeypadCodesResponse>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let carrier = own(&peer, fields.take("parent", names::carrier(&request.parent)))?;
        let bank = fields.take("bank", names::bank(&request.bank));
        let (carrier, bank) = fields.done(carrier.zip(bank))?;
        let desk = self.codes.as_ref().ok_or_else(status::codes_not_configured)?;
        let codes = desk.read(&self.store, &bank, &carrier, now()).await;
        let codes = codes.map_err(|error| status::of_read_keypad_codes(error, &request.bank))?;
        let codes = codes.iter().map(keypad_code).collect();
        Ok(Response::new(wire::ListKeypadCodesResponse { codes }))
    }
}

/// From here on the digits are in the clear.
fn keypad_code(code: &DayCode) -> wire::KeypadCode {
    wire::KeypadCode {
        digits: String::from_utf8_lossy(code.digits.reveal()).into_owned(),
        valid_from: Some(convert::timestamp(code.valid.from)),
        valid_until: Some(convert::timestamp(code.valid.until)),
        held: code.held,
    }
}
