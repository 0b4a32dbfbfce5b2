//! Reads records from the hub, however many calls that takes.

use locker_core::ids::{BankId, StreamId};
use locker_core::journal::ChainHash;
use locker_proto::wire::audit::v1 as wire;
use locker_proto::wire::audit::v1::audit_service_client::AuditServiceClient;
use locker_proto::wire::audit::v1::read_journal_response::Part;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::super::Failure;
use super::super::connection::Connection;
use crate::audit::stream_id;

/// Reads one bank's journal.
pub(super) struct Reader<'a> {
    connection: &'a Connection,
    client: AuditServiceClient<Channel>,
    name: String,
}

impl<'a> Reader<'a> {
    pub(super) async fn new(connection: &'a Connection, bank: &BankId) -> Result<Self, Failure> {
        let client = connection.audit().await?;
        Ok(Self { connection, client, name: format!("banks/{bank}") })
    }

    /// What the hub says that there is.
    pub(super) async fn overview(&mut self) -> Result<wire::JournalOverview, Failure> {
        let name = self.name.clone();
        let call = wire::ReadJournalRequest { name, ..wire::ReadJournalRequest::default() };
        let answer = self.client.read_journal(self.connection.call(call)).await?;
        let mut parts = answer.into_inner();
        match parts.message().await?.and_then(|message| message.part) {
            Some(Part::Overview(overview)) => Ok(overview),
            Some(Part::Records(_)) | None => Err(strange("an answer without an overview")),
        }
    }

    /// The records from `first` to `last` of a stream, page by page, each with the hash before it. A call's time may be
    /// over before all have come: then the next goes on behind what came.
    pub(super) async fn records(
        &mut self,
        stream: StreamId,
        first: u64,
        last: u64,
        mut take: impl FnMut(ChainHash, Vec<Vec<u8>>),
    ) -> Result<(), Failure> {
        let mut next = first;
        while next <= last {
            let begun = next;
            let (name, stream) = (self.name.clone(), stream.to_string());
            let call = wire::ReadJournalRequest { name, stream, first_seq: next };
            let answer = self.client.read_journal(self.connection.call(call)).await?;
            let mut parts = answer.into_inner();
            while next <= last {
                let message = match parts.message().await {
                    Ok(Some(message)) => message,
                    Ok(None) => break,
                    Err(status) if status.code() == Code::DeadlineExceeded && next > begun => break,
                    Err(status) => return Err(status.into()),
                };
                let Some(Part::Records(mut page)) = message.part else { continue };
                let room = usize::try_from((last - next).saturating_add(1)).unwrap_or(usize::MAX);
                page.records.truncate(room);
                if page.records.is_empty() {
                    return Err(strange("an empty page"));
                }
                next += u64::try_from(page.records.len()).unwrap_or(u64::MAX);
                take(hash_of(&page.previous_hash)?, page.records);
            }
            if next == begun {
                // Whoever checks finds out what is missing.
                return Ok(());
            }
        }
        Ok(())
    }
}

pub(super) fn hash_of(bytes: &[u8]) -> Result<ChainHash, Failure> {
    let hash = bytes.try_into().map_err(|_| strange("a hash of another length"))?;
    Ok(ChainHash(hash))
}

pub(super) fn stream_of(text: &str) -> Result<StreamId, Failure> {
    stream_id(text).ok_or_else(|| strange("a stream's id that is none"))
}

/// The hub's answer is not as it should be.
pub(super) fn strange(what: &str) -> Failure {
    Failure::from(Status::data_loss(format!("the hub answered with {what}")))
}
