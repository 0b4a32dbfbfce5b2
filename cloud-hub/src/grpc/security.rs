//! `locker.fleet.v1`, the part for when somebody may not be who it says: alarms, and the one
//! certificate that counts for a bank.

use locker_core::ids::BankId;
use locker_proto::wire::fleet::v1 as wire;
use locker_proto::wire::fleet::v1::security_service_server::SecurityService;
use tonic::{Request, Response, Status};
use tracing::info;

use super::convert::timestamp;
use super::fields::Fields;
use super::gate::peer;
use super::names;
use super::token::TokenKey;
use super::{Surface, status};
use crate::alarms::{self, NOTE_MAX_CHARS, Replaced, hex};
use crate::store::{AlarmFilter, AlarmParty, AlarmRow, Party, Store};
use crate::tls::Revocations;
use crate::wall_clock::now;

/// Alarms of a page, if the caller does not say, and at most.
const PAGE_DEFAULT: u32 = 50;
const PAGE_MAX: u32 = 500;
/// Largest certificate that is read, in bytes.
const CERTIFICATE_MAX_BYTES: usize = 16 * 1024;
/// What page tokens are good for.
const ALARMS: &str = "alarms";

/// The service for operators.
pub(super) struct Guards {
    store: Store,
    key: TokenKey,
    revocations: Revocations,
}

impl Guards {
    pub(super) fn new(surface: &Surface, revocations: &Revocations) -> Self {
        let (store, key) = (surface.store.clone(), surface.tokens.clone());
        Self { store, key, revocations: revocations.clone() }
    }
}

#[tonic::async_trait]
impl SecurityService for Guards {
    async fn list_alarms(
        &self,
        request: Request<wire::ListAlarmsRequest>,
    ) -> Result<Response<wire::ListAlarmsResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let bank: Option<Option<BankId>> = match request.bank.as_str() {
            "" => Some(None),
            name => fields.take("bank", names::bank(name)).map(Some),
        };
        let asked = u32::try_from(request.page_size).map_err(|_| "expected 0 or more");
        let size = fields.take("page_size", asked);
        let (bank, size) = fields.done((|| Some((bank?, size?)))())?;
        let size = if size == 0 { PAGE_DEFAULT } else { size.min(PAGE_MAX) };
        let epoch = self.store.epoch();
        let before = match request.page_token.as_str() {
            "" => None,
            token => {
                let place = self.key.read_resume(token, epoch, ALARMS);
                Some(place.map_err(|_| status::token_malformed("page_token"))?)
            }
        };
        let filter = AlarmFilter { bank, with_cleared: request.show_cleared, before };
        // One more than asked for tells whether there is a next page.
        let mut rows = self.store.alarms(&filter, size + 1).await.map_err(status::of_read)?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = rows.len() > size;
        rows.truncate(size);
        let last = rows.last().filter(|_| more);
        let next_page_token =
            last.map(|row| self.key.resume(epoch, row.id, ALARMS)).unwrap_or_default();
        let alarms = rows.into_iter().map(alarm).collect();
        Ok(Response::new(wire::ListAlarmsResponse { alarms, next_page_token }))
    }

    async fn clear_alarm(
        &self,
        request: Request<wire::ClearAlarmRequest>,
    ) -> Result<Response<wire::Alarm>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let id = fields.take("name", alarm_id(&request.name));
        let note = fields.text("note", request.note, 1, NOTE_MAX_CHARS);
        let key = fields.request(&peer, &request.request_id);
        let (id, note, key) = fields.done((|| Some((id?, note?, key?)))())?;
        let row = alarms::clear_alarm(&self.store, id, note, key, now()).await;
        let row = row.map_err(|error| status::of_clear_alarm(error, &request.name))?;
        info!(operator = %peer.identity, alarm = id, bank = %row.bank, "alarm cleared");
        Ok(Response::new(alarm(row)))
    }

    async fn replace_bank_certificate(
        &self,
        request: Request<wire::ReplaceBankCertificateRequest>,
    ) -> Result<Response<wire::ReplaceBankCertificateResponse>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let bank = fields.take("name", names::bank(&request.name));
        let fits = (1..=CERTIFICATE_MAX_BYTES).contains(&request.certificate.len());
        let expected = "expected a certificate in DER";
        let certificate =
            fields.take("certificate", fits.then_some(request.certificate).ok_or(expected));
        let key = fields.request(&peer, &request.request_id);
        let (bank, certificate, key) = fields.done((|| Some((bank?, certificate?, key?)))())?;
        let replaced =
            alarms::replace_certificate(&self.store, &bank, &certificate, key, now()).await;
        let Replaced { certificate, revoked } =
            replaced.map_err(|error| status::of_replace_certificate(error, &request.name))?;
        info!(operator = %peer.identity, %bank, revoked = revoked.len(), "certificate replaced");
        // From here on they are refused in the handshake already.
        for old in &revoked {
            self.revocations.revoke(*old);
        }
        Ok(Response::new(wire::ReplaceBankCertificateResponse {
            certificate_sha256: hex(&certificate),
            revoked_sha256: revoked.iter().map(|old| hex(old)).collect(),
        }))
    }
}

fn alarm_id(name: &str) -> Result<u64, &'static str> {
    let id = name.strip_prefix("alarms/").and_then(|id| id.parse().ok());
    id.ok_or("expected `alarms/{alarm}`")
}

fn alarm(row: AlarmRow) -> wire::Alarm {
    let cleared = row.cleared;
    wire::Alarm {
        name: format!("alarms/{}", row.id),
        bank: names::of_bank(&row.bank),
        kind: row.kind.as_str().to_owned(),
        detail: row.detail,
        raise_time: Some(timestamp(row.raised_at)),
        parties: row.parties.into_iter().map(party).collect(),
        kept_messages: row.kept,
        dropped_messages: row.dropped,
        clear_time: cleared.as_ref().map(|cleared| timestamp(cleared.at)),
        cleared_by: cleared.as_ref().map(|cleared| cleared.by.clone()).unwrap_or_default(),
        note: cleared.map(|cleared| cleared.note).unwrap_or_default(),
    }
}

fn party(row: AlarmParty) -> wire::AlarmParty {
    let Party { address, certificate, introduction, head_seq } = row.party;
    wire::AlarmParty {
        address,
        certificate_sha256: hex(&certificate),
        boot: introduction.boot.to_string(),
        stream: introduction.stream.to_string(),
        boot_count: introduction.boot_count,
        connection_count: introduction.connection_count,
        head_seq,
        first_seen_time: Some(timestamp(row.first_seen)),
        last_seen_time: Some(timestamp(row.last_seen)),
    }
}
