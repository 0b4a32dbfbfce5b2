//! Records as their banks wrote them, for whoever must hold a journal against them or give them
//! back.

use locker_core::ids::{BankId, StreamId};
use locker_core::journal::{
    BATCH_MAX_BYTES, BATCH_MAX_RECORDS, CHAIN_START, ChainHash, Place, next_hash,
};
use locker_proto::record::decode_record;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect};

use super::convert::{damaged, int, uint};
use super::entity::facts;
use super::{ReadError, Store};

/// Some records of a stream, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredRun {
    /// The chain's hash before the first.
    pub(crate) previous: ChainHash,
    /// Never empty, and no more than a batch takes.
    pub(crate) records: Vec<Vec<u8>>,
}

impl Store {
    /// The chain's hash at each of some records of a stream, as far as it can be told.
    pub(crate) async fn hashes_at(
        &self,
        bank: &BankId,
        stream: StreamId,
        seqs: &[u64],
    ) -> Result<Vec<Place>, ReadError> {
        // A record names the hash before it.
        let after: Vec<i64> = seqs.iter().map(|seq| int(seq + 1)).collect();
        let rows = of_stream(bank, stream)
            .filter(facts::Column::Seq.is_in(after))
            .all(&self.readers)
            .await?;
        let place = |row: &facts::Model| {
            let record = decode_record(&row.bytes).ok()?;
            Some(Place { seq: uint(row.seq).saturating_sub(1), hash: record.previous })
        };
        Ok(rows.iter().filter_map(place).collect())
    }

    /// As many records from `first` to `last` as one message takes.
    pub(crate) async fn stored_run(
        &self,
        bank: &BankId,
        stream: StreamId,
        first: u64,
        last: u64,
    ) -> Result<StoredRun, ReadError> {
        let rows = of_stream(bank, stream)
            .filter(facts::Column::Seq.between(int(first), int(last)))
            .order_by(facts::Column::Seq, Order::Asc)
            .limit(u64::try_from(BATCH_MAX_RECORDS).unwrap_or(u64::MAX))
            .all(&self.readers)
            .await?;
        let dense = (first..).zip(&rows).all(|(seq, row)| uint(row.seq) == seq);
        if rows.is_empty() || !dense {
            return Err(damaged("facts", "seq"));
        }
        let previous = match decode_record(&rows[0].bytes) {
            Ok(record) => record.previous,
            // This hub cannot read it; the one before may say as much.
            Err(_) => self.hash_after(bank, stream, first - 1).await?,
        };
        let mut bytes = 0;
        let fits = |row: &facts::Model| {
            bytes += row.bytes.len();
            bytes <= BATCH_MAX_BYTES
        };
        let records = rows.into_iter().map_while(|row| fits(&row).then_some(row.bytes)).collect();
        Ok(StoredRun { previous, records })
    }

    async fn hash_after(
        &self,
        bank: &BankId,
        stream: StreamId,
        seq: u64,
    ) -> Result<ChainHash, ReadError> {
        if seq == 0 {
            return Ok(CHAIN_START);
        }
        let row = of_stream(bank, stream)
            .filter(facts::Column::Seq.eq(int(seq)))
            .one(&self.readers)
            .await?
            .ok_or(damaged("facts", "seq"))?;
        let record = decode_record(&row.bytes).map_err(|_| damaged("facts", "bytes"))?;
        Ok(next_hash(record.previous, &row.bytes))
    }
}

fn of_stream(bank: &BankId, stream: StreamId) -> sea_orm::Select<facts::Entity> {
    facts::Entity::find()
        .filter(facts::Column::Bank.eq(bank.as_str()))
        .filter(facts::Column::Stream.eq(stream.0.to_vec()))
}
