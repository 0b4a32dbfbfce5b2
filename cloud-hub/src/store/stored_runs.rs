//! Records as their banks wrote them, for whoever must hold a journal against them or give them
//! back.

use locker_core::ids::{BankId, StreamId};
use locker_core::journal::{
    BATCH_MAX_BYTES, BATCH_MAX_RECORDS, CHAIN_START, ChainHash, FOLD_VERSION, Place, next_hash,
};
use locker_core::uplink::inlet::Cursor;
use locker_proto::record::decode_record;
use sea_orm::{ColumnTrait, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect};

use super::convert::{bytes, damaged, int, uint};
use super::entity::facts;
use super::ingest_write::{ENTITIES, EntityRow};
use super::tx::Tx;
use super::writer::Decision;
use super::{ReadError, Store, WriteError};

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

    /// As many records from `first` to `last` as one message takes: at least one.
    pub(crate) async fn stored_records(
        &self,
        bank: &BankId,
        stream: StreamId,
        first: u64,
        last: u64,
    ) -> Result<Vec<Vec<u8>>, ReadError> {
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
        let mut bytes = 0;
        let mut fits = |row: &facts::Model| {
            bytes += row.bytes.len();
            bytes <= BATCH_MAX_BYTES
        };
        Ok(rows.into_iter().map_while(|row| fits(&row).then_some(row.bytes)).collect())
    }

    /// The same, with the chain's hash before them.
    pub(crate) async fn stored_run(
        &self,
        bank: &BankId,
        stream: StreamId,
        first: u64,
        last: u64,
    ) -> Result<StoredRun, ReadError> {
        let records = self.stored_records(bank, stream, first, last).await?;
        let previous = match records.first().map(|bytes| decode_record(bytes)) {
            Some(Ok(record)) => record.previous,
            // This hub cannot read it; the one before may say as much.
            Some(Err(_)) | None => self.hash_after(bank, stream, first - 1).await?,
        };
        Ok(StoredRun { previous, records })
    }

    /// The first record of a stream that could not be read when it came.
    pub(crate) async fn first_unread(
        &self,
        bank: &BankId,
        stream: StreamId,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let row = of_stream(bank, stream)
            .filter(facts::Column::Kind.eq(0))
            .order_by(facts::Column::Seq, Order::Asc)
            .limit(1)
            .one(&self.readers)
            .await?;
        Ok(row.map(|row| row.bytes))
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

/// Puts what was folded anew in the place of what is stored of a bank.
#[derive(Clone, Debug)]
pub(crate) struct ReplaceFold {
    pub(crate) bank: BankId,
    /// It was folded up to there.
    pub(crate) cursor: Cursor,
    pub(crate) entities: Vec<EntityRow>,
    pub(crate) incomplete: bool,
}

impl Decision for ReplaceFold {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        let bank = self.bank.as_str();
        let sql = "UPDATE cursors SET incomplete = $1 \
                   WHERE bank = $2 AND stream = $3 AND committed = $4";
        let (stream, committed) = (bytes(&self.cursor.stream.0), int(self.cursor.committed));
        let values = [self.incomplete.into(), bank.into(), stream, committed.into()];
        if tx.execute("cursors", sql, values).await?.rows_affected() == 0 {
            return Err(damaged("cursors", "committed").into());
        }
        let sql = "DELETE FROM bank_entities WHERE bank = $1";
        tx.execute("bank_entities", sql, [bank.into()]).await?;
        let mut rows = Vec::with_capacity(self.entities.len() * ENTITIES.columns.len());
        for EntityRow { kind, key, bytes: entity } in &self.entities {
            if let Some(entity) = entity {
                rows.extend([bank.into(), (*kind as i32).into(), bytes(key), bytes(entity)]);
            }
        }
        tx.insert(&ENTITIES, rows).await?;
        let sql = "UPDATE banks SET folded_by = $1 WHERE id = $2";
        tx.execute("banks", sql, [i64::from(FOLD_VERSION).into(), bank.into()]).await?;
        Ok(())
    }
}

fn of_stream(bank: &BankId, stream: StreamId) -> sea_orm::Select<facts::Entity> {
    facts::Entity::find()
        .filter(facts::Column::Bank.eq(bank.as_str()))
        .filter(facts::Column::Stream.eq(stream.0.to_vec()))
}
