//! Records as their banks wrote them, for whoever must hold a journal against them or give them
//! back.

use std::collections::BTreeSet;

use locker_core::ids::{BankId, StreamId};
use locker_core::journal::{
    BATCH_MAX_BYTES, BATCH_MAX_RECORDS, CHAIN_START, ChainHash, FOLD_VERSION, Place, next_hash,
};
use locker_proto::record::decode_record;
use sea_orm::{ColumnTrait, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect};

use super::code_steps::write_codes;
use super::convert::{bytes, damaged, int, uint};
use super::entity::facts;
use super::ingest_write::{ENTITIES, EntityRow, FactEffect, FactRow, IngestWrite, write_effects};
use super::tx::Tx;
use super::writer::Decision;
use super::{ReadError, Store, WriteError};

/// More events than follow from one record.
const TOLD_AGAIN: u32 = 1 << 16;

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

    /// The numbers of all records of a stream that could not be read when they came.
    pub(crate) async fn unread_records(
        &self,
        bank: &BankId,
        stream: StreamId,
    ) -> Result<BTreeSet<u64>, ReadError> {
        let unread = of_stream(bank, stream).filter(facts::Column::Kind.eq(0));
        let seqs: Vec<i64> =
            unread.select_only().column(facts::Column::Seq).into_tuple().all(&self.readers).await?;
        Ok(seqs.into_iter().map(uint).collect())
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

/// Puts what was folded anew in the place of what is stored of a bank, with what follows from records that
/// could not be read when they came.
#[derive(Clone, Debug)]
pub(crate) struct ReplaceFold {
    /// Its entities are all that the bank has, folded up to its cursor. Its facts are those that can be read by
    /// now, without their bytes, which stay as they came.
    pub(crate) follows: IngestWrite,
}

impl Decision for ReplaceFold {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        let IngestWrite { bank, next, incomplete, entities, facts, .. } = &self.follows;
        let bank = bank.as_str();
        let sql = "UPDATE cursors SET incomplete = $1 \
                   WHERE bank = $2 AND stream = $3 AND committed = $4";
        let (stream, committed) = (bytes(&next.stream.0), int(next.committed));
        let values = [(*incomplete).into(), bank.into(), stream.clone(), committed.into()];
        if tx.execute("cursors", sql, values).await?.rows_affected() == 0 {
            return Err(damaged("cursors", "committed").into());
        }
        let sql = "DELETE FROM bank_entities WHERE bank = $1";
        tx.execute("bank_entities", sql, [bank.into()]).await?;
        let mut rows = Vec::with_capacity(entities.len() * ENTITIES.columns.len());
        for EntityRow { kind, key, bytes: entity } in entities {
            if let Some(entity) = entity {
                rows.extend([bank.into(), (*kind as i32).into(), bytes(key), bytes(entity)]);
            }
        }
        tx.insert(&ENTITIES, rows).await?;
        let sql = "UPDATE banks SET folded_by = $1 WHERE id = $2";
        tx.execute("banks", sql, [i64::from(FOLD_VERSION).into(), bank.into()]).await?;
        for FactRow { seq, at, kind, .. } in facts {
            let sql = "UPDATE facts SET kind = $1, at_ms = $2 \
                       WHERE bank = $3 AND stream = $4 AND seq = $5";
            let place = [bank.into(), stream.clone(), int(*seq).into()];
            let now_read = [i32::from(*kind).into(), int(at.0).into()];
            tx.execute("facts", sql, now_read.into_iter().chain(place)).await?;
        }
        let follows = self.numbered(tx).await?;
        write_codes(tx, &[&follows]).await?;
        write_effects(tx, &[&follows]).await
    }
}

impl ReplaceFold {
    /// With numbers that no event of the same record has: some may have followed from it before.
    async fn numbered(&self, tx: &Tx) -> Result<IngestWrite, WriteError> {
        let mut follows = self.follows.clone();
        let (bank, stream) = (&follows.bank, follows.next.stream);
        for of_record in follows.effects.chunk_by_mut(|one, next| one.seq == next.seq) {
            let mut round = 0;
            let mut is_taken = true;
            while is_taken {
                round += TOLD_AGAIN;
                is_taken = false;
                for FactEffect { seq, n, .. } in &*of_record {
                    let sql = "SELECT 1 AS told FROM events WHERE event_id = $1";
                    let id = format!("{bank}:{stream}:{seq}:{}", round + n);
                    is_taken |= !tx.query(sql, [id.into()]).await?.is_empty();
                }
            }
            for effect in of_record {
                effect.n += round;
            }
        }
        Ok(follows)
    }
}

fn of_stream(bank: &BankId, stream: StreamId) -> sea_orm::Select<facts::Entity> {
    facts::Entity::find()
        .filter(facts::Column::Bank.eq(bank.as_str()))
        .filter(facts::Column::Stream.eq(stream.0.to_vec()))
}
