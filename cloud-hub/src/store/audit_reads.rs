//! What auditors read: which streams a bank has had, its device keys, and where in a stream to begin looking for a parcel.

use locker_core::fact::Fact;
use locker_core::ids::{BankId, StreamId};
use locker_core::journal::{ChainHash, Parent, Place};
use locker_core::units::UnixMillis;
use locker_proto::record::decode_record;
use sea_orm::{ColumnTrait, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect};

use super::convert::{damaged, id, int, uint};
use super::entity::{closed_streams, cursors, facts};
use super::{ReadError, Store, device_keys};
use crate::tls::DeviceKey;

/// A stream as far as the hub has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldStream {
    pub(crate) stream: StreamId,
    pub(crate) committed: Place,
    /// None for the one that the bank writes now.
    pub(crate) closed_at: Option<UnixMillis>,
    /// As the stream's first record says.
    pub(crate) parent: Option<Parent>,
}

impl Store {
    /// A bank's streams, oldest first; the last is the one that it writes now.
    pub(crate) async fn held_streams(&self, bank: &BankId) -> Result<Vec<HeldStream>, ReadError> {
        let closed = closed_streams::Entity::find()
            .filter(closed_streams::Column::Bank.eq(bank.as_str()))
            .order_by(closed_streams::Column::ClosedAt, Order::Asc)
            .all(&self.readers)
            .await?;
        let cursor = cursors::Entity::find_by_id(bank.as_str()).one(&self.readers).await?;
        let closed = closed.into_iter().map(|row| {
            (row.stream, row.committed, row.hash, Some(UnixMillis(uint(row.closed_at))))
        });
        let open = cursor.map(|row| (row.stream, row.committed, row.hash, None));
        let mut streams = Vec::new();
        for (stream, committed, hash, closed_at) in closed.chain(open) {
            let stream = id("cursors", "stream", &stream)?;
            let hash: [u8; 32] =
                hash.as_slice().try_into().map_err(|_| damaged("cursors", "hash"))?;
            let committed = Place { seq: uint(committed), hash: ChainHash(hash) };
            let parent = self.parent_of(bank, stream).await?;
            streams.push(HeldStream { stream, committed, closed_at, parent });
        }
        Ok(streams)
    }

    /// The keys that a bank's sessions have proved.
    pub(crate) async fn device_keys(&self, bank: &BankId) -> Result<Vec<DeviceKey>, ReadError> {
        device_keys::of_bank(&self.readers, bank).await
    }

    /// The first record of a stream that came at or after `since`, by the hub's clock.
    pub(crate) async fn first_recorded(
        &self,
        bank: &BankId,
        stream: StreamId,
        since: UnixMillis,
    ) -> Result<Option<u64>, ReadError> {
        let row = facts::Entity::find()
            .filter(facts::Column::Bank.eq(bank.as_str()))
            .filter(facts::Column::Stream.eq(stream.0.to_vec()))
            .filter(facts::Column::RecordedAt.gte(int(since.0)))
            .order_by(facts::Column::Seq, Order::Asc)
            .limit(1)
            .one(&self.readers)
            .await?;
        Ok(row.map(|row| uint(row.seq)))
    }

    async fn parent_of(
        &self,
        bank: &BankId,
        stream: StreamId,
    ) -> Result<Option<Parent>, ReadError> {
        let key = (bank.as_str().to_owned(), stream.0.to_vec(), 1);
        let first = facts::Entity::find_by_id(key).one(&self.readers).await?;
        let record = first.and_then(|row| decode_record(&row.bytes).ok());
        Ok(record.and_then(|record| {
            if let Fact::StreamOpened(opened) = record.fact { opened.parent } else { None }
        }))
    }
}
