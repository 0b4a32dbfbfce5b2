//! `locker.audit.v1`: banks' records as they were written, for whoever checks them without trusting the hub.
//!
//! An answer is pulled by its connection and holds one page at most, so a slow reader costs nothing but its place.

use std::pin::Pin;

use futures::Stream;
use futures::stream::try_unfold;
use locker_core::fact::Fact;
use locker_core::ids::{BankId, ParcelId, StreamId};
use locker_core::units::UnixMillis;
use locker_proto::record::decode_record;
use locker_proto::wire::audit::v1 as wire;
use locker_proto::wire::audit::v1::audit_service_server::AuditService;
use tokio::sync::watch as signal;
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use tracing::info;
use uuid::Uuid;

use super::convert::timestamp;
use super::fields::Fields;
use super::gate::{CallDeadline, check_certificate, peer};
use super::names::{self, ParcelName};
use super::{Surface, status};
use crate::audit::{is_about, stream_id};
use crate::store::{HeldStream, ReadError, Store};
use crate::tls::{Peer, Revocations};

/// How far the hub's clock may have stepped back between a parcel's making and the first record about it.
const CLOCK_STEP_MS: u64 = 24 * 60 * 60 * 1_000;

/// The service for auditors.
pub(super) struct Auditors {
    store: Store,
    revocations: Revocations,
    stopping: signal::Receiver<bool>,
}

impl Auditors {
    pub(super) fn new(
        surface: &Surface,
        revocations: &Revocations,
        stopping: signal::Receiver<bool>,
    ) -> Self {
        Self { store: surface.store.clone(), revocations: revocations.clone(), stopping }
    }
}

type Responses = Pin<Box<dyn Stream<Item = Result<wire::ReadJournalResponse, Status>> + Send>>;

#[tonic::async_trait]
impl AuditService for Auditors {
    type ReadJournalStream = Responses;

    async fn read_journal(
        &self,
        request: Request<wire::ReadJournalRequest>,
    ) -> Result<Response<Responses>, Status> {
        let peer = peer(request.extensions())?.clone();
        let until = deadline(request.extensions())?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let bank = fields.take("name", names::bank(&request.name));
        let stream = match request.stream.as_str() {
            "" => Some(None),
            text => {
                fields.take("stream", stream_id(text).ok_or("expected 32 hex digits")).map(Some)
            }
        };
        let (bank, stream) = fields.done((|| Some((bank?, stream?)))())?;
        let known = self.store.bank(&bank).await.map_err(status::of_read)?;
        known.ok_or_else(|| status::bank_not_found(&request.name))?;
        let overview = self.overview(&bank).await.map_err(status::of_read)?;
        let last = match stream {
            None => 0,
            Some(wanted) => {
                let held = overview.0.iter().find(|held| held.stream == wanted);
                held.ok_or_else(|| status::stream_not_found(&request.name, &request.stream))?
                    .committed
                    .seq
            }
        };
        info!(operator = %peer.identity, %bank, "journal read");
        let reading = Reading {
            store: self.store.clone(),
            revocations: self.revocations.clone(),
            stopping: self.stopping.clone(),
            peer,
            until,
            begun: Instant::now(),
            bank,
            stream: stream.unwrap_or(StreamId([0; 16])),
            next: request.first_seq.max(1),
            last,
            overview: Some(overview.1),
        };
        let pages = try_unfold(reading, |mut reading| async move {
            Ok(reading.next().await?.map(|part| {
                let response = wire::ReadJournalResponse { part: Some(part) };
                (response, reading)
            }))
        });
        Ok(Response::new(Box::pin(pages)))
    }

    async fn read_parcel_evidence(
        &self,
        request: Request<wire::ReadParcelEvidenceRequest>,
    ) -> Result<Response<wire::ReadParcelEvidenceResponse>, Status> {
        let peer = peer(request.extensions())?.clone();
        let request = request.into_inner();
        let mut fields = Fields::default();
        let name = fields.take("name", names::parcel(&request.name));
        let ParcelName { carrier, parcel } = fields.done(name)?;
        let row = self.store.parcel(&carrier, &parcel).await.map_err(status::of_read)?;
        let row = row.ok_or_else(|| status::parcel_not_found(&request.name))?;
        info!(operator = %peer.identity, parcel = %row.uid, "evidence read");
        let events = self.store.parcel_events(row.uid).await.map_err(status::of_read)?;
        let mut banks: Vec<BankId> = events.into_iter().filter_map(|event| event.bank).collect();
        banks.extend(row.bank);
        banks.sort_unstable();
        banks.dedup();
        let since = UnixMillis(row.created_at.0.saturating_sub(CLOCK_STEP_MS));
        let mut runs = Vec::new();
        for bank in banks {
            for held in self.store.held_streams(&bank).await.map_err(status::of_read)? {
                let run = self.run_about(&bank, &held, row.uid, since).await;
                runs.extend(run.map_err(status::of_read)?);
            }
        }
        let uid = Uuid::from_bytes(row.uid.0).hyphenated().to_string();
        Ok(Response::new(wire::ReadParcelEvidenceResponse { name: request.name, uid, runs }))
    }
}

impl Auditors {
    async fn overview(
        &self,
        bank: &BankId,
    ) -> Result<(Vec<HeldStream>, wire::JournalOverview), ReadError> {
        let streams = self.store.held_streams(bank).await?;
        let keys = self.store.device_keys(bank).await?;
        let overview = wire::JournalOverview {
            bank: names::of_bank(bank),
            streams: streams.iter().map(held_stream).collect(),
            device_keys: keys.iter().map(crate::tls::DeviceKey::spki).collect(),
        };
        Ok((streams, overview))
    }

    /// The records of a stream that are about a parcel, and the seal that stands for them.
    async fn run_about(
        &self,
        bank: &BankId,
        held: &HeldStream,
        parcel: ParcelId,
        since: UnixMillis,
    ) -> Result<Option<wire::EvidenceRun>, ReadError> {
        let first = self.store.first_recorded(bank, held.stream, since).await?;
        let Some(mut next) = first else { return Ok(None) };
        let mut run: Option<wire::EvidenceRun> = None;
        while next <= held.committed.seq {
            let last = held.committed.seq;
            for bytes in self.store.stored_records(bank, held.stream, next, last).await? {
                let seq = next;
                next += 1;
                let Ok(record) = decode_record(&bytes) else { continue };
                if is_about(&record.fact, parcel) {
                    let first_seq = run.as_ref().map_or(seq, |run| run.first_seq);
                    run = Some(wire::EvidenceRun {
                        bank: names::of_bank(bank),
                        stream: held.stream.to_string(),
                        first_seq,
                        last_about_seq: seq,
                        last_seq: last,
                        sealed: false,
                    });
                } else if let Fact::Sealed(_) = record.fact
                    && let Some(run) = run.as_mut().filter(|run| !run.sealed)
                {
                    (run.last_seq, run.sealed) = (seq, true);
                }
            }
        }
        Ok(run)
    }
}

/// An answer under way.
struct Reading {
    store: Store,
    revocations: Revocations,
    stopping: signal::Receiver<bool>,
    peer: Peer,
    until: Instant,
    begun: Instant,
    bank: BankId,
    stream: StreamId,
    next: u64,
    last: u64,
    /// Until it was given out.
    overview: Option<wire::JournalOverview>,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<wire::read_journal_response::Part>, Status> {
        if let Some(overview) = self.overview.take() {
            return Ok(Some(wire::read_journal_response::Part::Overview(overview)));
        }
        if self.next > self.last {
            return Ok(None);
        }
        check_certificate(&self.peer, &self.revocations)?;
        if *self.stopping.borrow() {
            return Err(status::stopping());
        }
        let allowed_ms = (self.until - self.begun).as_millis();
        let reading = self.store.stored_run(&self.bank, self.stream, self.next, self.last);
        // Also when nothing has to be waited for: whoever reads fast must not read for ever.
        if Instant::now() >= self.until {
            return Err(status::deadline_exceeded(allowed_ms));
        }
        let run = tokio::time::timeout_at(self.until, reading)
            .await
            .map_err(|_| status::deadline_exceeded(allowed_ms))?
            .map_err(status::of_read)?;
        let first_seq = self.next;
        self.next += u64::try_from(run.records.len()).unwrap_or(u64::MAX);
        let previous_hash = run.previous.0.to_vec();
        let records = wire::JournalRecords { first_seq, previous_hash, records: run.records };
        Ok(Some(wire::read_journal_response::Part::Records(records)))
    }
}

/// The gate gives each call one.
fn deadline(extensions: &http::Extensions) -> Result<Instant, Status> {
    let missing = || status::internal("request without deadline", &std::fmt::Error);
    extensions.get::<CallDeadline>().map(|deadline| deadline.0).ok_or_else(missing)
}

fn held_stream(held: &HeldStream) -> wire::JournalStream {
    let common = held.parent.and_then(|parent| parent.common);
    wire::JournalStream {
        stream: held.stream.to_string(),
        committed_seq: held.committed.seq,
        committed_hash: held.committed.hash.0.to_vec(),
        parent_stream: held.parent.map(|parent| parent.stream.to_string()).unwrap_or_default(),
        parent_common_seq: common.map_or(0, |common| common.seq),
        close_time: held.closed_at.map(timestamp),
    }
}

#[cfg(test)]
mod tests;
