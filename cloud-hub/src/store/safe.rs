//! Up to which record of each bank the loss of this store would lose nothing, so that the bank need
//! not keep its journal for the hub: what is in a backup, or, where the hub makes none, what has
//! been committed for some days.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use locker_core::ids::{BankId, StreamId};
use locker_core::units::UnixMillis;
use sea_orm::{ConnectionTrait, EntityTrait};

use super::convert::{bytes, id, int, text, uint};
use super::entity::safe_marks;
use super::tx::{Insert, Tx};
use super::writer::Decision;
use super::{ReadError, Store, WriteError};

/// Points in time that are remembered until they are old enough, at most one more than this.
const POINTS: u64 = 8;

/// A mark never falls within a stream.
const SAFE_MARKS: Insert = Insert {
    name: "safe_marks",
    table: "safe_marks",
    columns: &["bank", "stream", "safe"],
    conflict: "ON CONFLICT (bank) DO UPDATE SET stream = excluded.stream, safe = excluded.safe \
               WHERE safe_marks.stream <> excluded.stream OR safe_marks.safe < excluded.safe",
};

/// How far a bank's stream is durable somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    pub bank: BankId,
    pub stream: StreamId,
    pub committed: u64,
}

/// The marks of all banks, in memory. Bounded by the number of banks.
#[derive(Clone, Debug, Default)]
pub(super) struct SafeMarks(Arc<RwLock<HashMap<BankId, (StreamId, u64)>>>);

impl SafeMarks {
    pub(super) async fn read(db: &impl ConnectionTrait) -> Result<Self, ReadError> {
        let marks = Self::default();
        marks.read_again(db).await?;
        Ok(marks)
    }

    async fn read_again(&self, db: &impl ConnectionTrait) -> Result<(), ReadError> {
        let mut all = HashMap::new();
        for row in safe_marks::Entity::find().all(db).await? {
            let bank = text("safe_marks", "bank", &row.bank)?;
            all.insert(bank, (id("safe_marks", "stream", &row.stream)?, uint(row.safe)));
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(())
    }
}

impl Store {
    /// Up to which record of a bank's stream the loss of this store would lose nothing; 0 if nothing
    /// is known to be safe.
    pub(crate) fn safe_seq(&self, bank: &BankId, stream: StreamId) -> u64 {
        let marks = self.safe.0.read().unwrap_or_else(PoisonError::into_inner);
        marks.get(bank).filter(|(of, _)| *of == stream).map_or(0, |&(_, safe)| safe)
    }

    /// Notes what a backup holds: it is safe from now on.
    ///
    /// # Errors
    ///
    /// When that cannot be written or read again; banks then keep more than they must.
    pub async fn note_safe(&self, held: Vec<Watermark>) -> Result<(), WriteError> {
        self.decide(NoteSafe(held)).await?;
        Ok(self.safe.read_again(&self.readers).await?)
    }

    /// Remembers how far banks' streams are durable by now, if the last time is long ago, and counts
    /// as safe what has been durable for `safe_after_ms`.
    ///
    /// # Errors
    ///
    /// As [`Self::note_safe`].
    pub async fn age_watermarks(
        &self,
        now: UnixMillis,
        safe_after_ms: u64,
    ) -> Result<(), WriteError> {
        if self.decide(AgeWatermarks { now, safe_after_ms }).await? {
            self.safe.read_again(&self.readers).await?;
        }
        Ok(())
    }
}

struct NoteSafe(Vec<Watermark>);

impl Decision for NoteSafe {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        let row = |mark: &Watermark| {
            [mark.bank.as_str().into(), bytes(&mark.stream.0), int(mark.committed).into()]
        };
        Ok(tx.insert(&SAFE_MARKS, self.0.iter().flat_map(row).collect()).await?)
    }
}

#[derive(Clone, Copy, Debug)]
struct AgeWatermarks {
    now: UnixMillis,
    safe_after_ms: u64,
}

impl Decision for AgeWatermarks {
    /// Whether marks may have moved.
    type Answer = bool;

    async fn decide(&self, tx: &mut Tx) -> Result<bool, WriteError> {
        let now = int(self.now.0);
        // Of a clock that was wrong: they would never come of age.
        tx.execute("watermarks", "DELETE FROM watermarks WHERE taken_at > $1", [now.into()])
            .await?;
        let newest = point(tx, self.now).await?;
        let every_ms = self.safe_after_ms / POINTS;
        if newest.is_none_or(|at| self.now.0 - at >= every_ms) {
            let sql = "INSERT INTO watermarks (taken_at, bank, stream, committed) \
                       SELECT $1, bank, stream, committed FROM cursors WHERE TRUE \
                       ON CONFLICT (taken_at, bank) DO NOTHING";
            tx.execute("watermarks", sql, [now.into()]).await?;
        }
        let Some(old) = point(tx, self.now.minus_ms(self.safe_after_ms)).await? else {
            return Ok(false);
        };
        let sql = "INSERT INTO safe_marks (bank, stream, safe) \
                   SELECT bank, stream, committed FROM watermarks WHERE taken_at = $1 \
                   ON CONFLICT (bank) DO UPDATE SET stream = excluded.stream, safe = excluded.safe \
                   WHERE safe_marks.stream <> excluded.stream OR safe_marks.safe < excluded.safe";
        tx.execute("safe_marks", sql, [int(old).into()]).await?;
        let sql = "DELETE FROM watermarks WHERE taken_at <= $1";
        tx.execute("watermarks", sql, [int(old).into()]).await?;
        Ok(true)
    }
}

/// The newest point in time, of those up to `until`.
async fn point(tx: &Tx, until: UnixMillis) -> Result<Option<u64>, WriteError> {
    let sql = "SELECT MAX(taken_at) AS newest FROM watermarks WHERE taken_at <= $1";
    let rows = tx.query(sql, [int(until.0).into()]).await?;
    let newest: Option<i64> = rows.first().map_or(Ok(None), |row| row.try_get_by("newest"))?;
    Ok(newest.map(uint))
}
