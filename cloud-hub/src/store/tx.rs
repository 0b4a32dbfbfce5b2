//! One transaction of the writer: bulk inserts, events with their positions, grants with their
//! numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::future::join;
use locker_core::downlink::{Grant, GrantPosition};
use locker_core::ids::{BankId, CompartmentNo, HubEpoch};
use locker_core::units::UnixMillis;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement, Value};

use super::WriteError;
use super::convert::{bytes, damaged, int, uint};
use super::rows::{EventKind, ParcelRow};
use super::transaction::{Bound, Transaction};

/// Rows in one statement. Few sizes, so that every statement is prepared once and kept; together
/// with the number of inserts below this stays under sqlx's 100 cached statements a connection.
const ROWS_PER_STATEMENT: [usize; 5] = [256, 64, 16, 4, 1];

/// An insert of many rows.
pub(super) struct Insert {
    /// Different for each insert.
    pub(super) name: &'static str,
    pub(super) table: &'static str,
    pub(super) columns: &'static [&'static str],
    /// What follows the values.
    pub(super) conflict: &'static str,
}

const EVENTS: Insert = Insert {
    name: "events",
    table: "events",
    columns: &[
        "position",
        "event_id",
        "kind",
        "bank",
        "compartment",
        "detail",
        "occurred_at",
        "recorded_at",
        "parcel",
        "carrier",
        "parcel_state",
        "parcel_bank",
        "parcel_compartment",
        "parcel_version",
        "parcel_expires_at",
    ],
    conflict: "",
};

const GRANTS: Insert = Insert {
    name: "grants",
    table: "grants",
    columns: &["bank", "epoch", "gseq", "bytes", "issued_at"],
    conflict: "",
};

/// An event that gets its position when it is written.
pub(crate) struct NewEvent<'a> {
    pub(crate) event_id: String,
    pub(crate) kind: EventKind,
    pub(crate) bank: Option<&'a BankId>,
    pub(crate) compartment: Option<CompartmentNo>,
    /// As it is after the event.
    pub(crate) parcel: Option<&'a ParcelRow>,
    pub(crate) detail: String,
    pub(crate) occurred_at: UnixMillis,
    pub(crate) recorded_at: UnixMillis,
}

/// What every transaction of a writer needs, and what outlives each.
#[derive(Default)]
pub(super) struct TxContext {
    pub(super) epoch: HubEpoch,
    pub(super) retention_ms: u64,
    pub(super) requests_ms: u64,
    pub(super) quarantined_per_bank: u32,
    pub(super) kept_apart_per_bank: u32,
    /// When repeated calls were last forgotten.
    pub(super) requests_purged_at: UnixMillis,
    /// The highest position that is committed.
    pub(super) last_event: u64,
    pub(super) statements: HashMap<(&'static str, usize), Arc<str>>,
}

/// What a committed transaction leaves behind.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) rows: BTreeMap<&'static str, u64>,
    pub(super) woken: BTreeSet<BankId>,
    /// Banks that may need code slots.
    pub(super) minting: BTreeSet<BankId>,
    pub(super) last_event: u64,
}

/// A transaction under way.
pub(crate) struct Tx {
    transaction: Transaction,
    pub(super) context: TxContext,
    effects: Effects,
    /// Values of events that have a position and are not written yet.
    events: Vec<Value>,
}

impl Tx {
    pub(super) fn new(transaction: Transaction, context: TxContext) -> Self {
        let effects = Effects { last_event: context.last_event, ..Effects::default() };
        Self { transaction, context, effects, events: Vec::new() }
    }

    /// For reads of entities, and for writes that are rare.
    pub(super) const fn connection(&self) -> &Transaction {
        &self.transaction
    }

    /// Commits; the context comes back whether or not that went well.
    pub(super) async fn commit(mut self) -> (TxContext, Result<Effects, WriteError>) {
        if let Err(error) = self.write_events().await {
            return (self.context, Err(error.into()));
        }
        let committed = self.transaction.commit().await.map_err(WriteError::Commit);
        let mut context = self.context;
        if committed.is_ok() {
            context.last_event = self.effects.last_event;
        }
        (context, committed.map(|()| self.effects))
    }

    pub(super) async fn roll_back(self) -> TxContext {
        if let Err(error) = self.transaction.roll_back().await {
            // Dropping the connection rolls back as well.
            tracing::warn!(%error, "rollback failed");
        }
        self.context
    }

    /// Writes many rows; `values` are those of all rows, one after the other.
    pub(super) async fn insert(
        &mut self,
        insert: &Insert,
        values: Vec<Value>,
    ) -> Result<(), DbErr> {
        let width = insert.columns.len();
        let rows = values.len() / width;
        let mut values = values.into_iter();
        let row = |bound: &mut Bound| {
            values.by_ref().take(width).try_for_each(|value| bound.value(value))
        };
        self.insert_rows(insert, rows, row).await
    }

    /// Writes `rows` rows, whose values `row` binds one row after the other: those of a statement
    /// while the database is busy with the one before.
    pub(super) async fn insert_rows(
        &mut self,
        insert: &Insert,
        rows: usize,
        mut row: impl FnMut(&mut Bound) -> Result<(), DbErr>,
    ) -> Result<(), DbErr> {
        let width = insert.columns.len();
        let mut bind = |transaction: &Transaction, size: usize| {
            let mut bound = transaction.places(size * width);
            (0..size).try_for_each(|_| row(&mut bound))?;
            Ok::<_, DbErr>((size, bound))
        };
        let mut left = rows;
        let first = statement_rows(left).map(|size| bind(&self.transaction, size));
        let mut next = first.transpose()?;
        while let Some((size, bound)) = next {
            left -= size;
            let sql = self.statement(insert, size);
            let running = self.transaction.execute_bound(sql, bound);
            let following = statement_rows(left);
            let binding = async { following.map(|size| bind(&self.transaction, size)) };
            let (done, following) = join(running, binding).await;
            *self.effects.rows.entry(insert.table).or_default() += done?.rows_affected();
            next = following.transpose()?;
        }
        Ok(())
    }

    /// Runs one statement that changes `table`.
    pub(super) async fn execute(
        &mut self,
        table: &'static str,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<ExecResult, DbErr> {
        let done = self.transaction.execute_raw(self.sql(sql, values)).await?;
        *self.effects.rows.entry(table).or_default() += done.rows_affected();
        Ok(done)
    }

    pub(super) async fn query(
        &self,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, DbErr> {
        self.transaction.query_all_raw(self.sql(sql, values)).await
    }

    /// Gives an event its position.
    pub(crate) fn event(&mut self, event: NewEvent<'_>) {
        self.effects.last_event += 1;
        let parcel = event.parcel;
        let text = |bank: &BankId| bank.as_str().to_owned();
        self.events.extend([
            int(self.effects.last_event).into(),
            event.event_id.into(),
            event.kind.as_str().into(),
            event.bank.map(text).into(),
            event.compartment.map(|no| i32::from(no.0)).into(),
            event.detail.into(),
            int(event.occurred_at.0).into(),
            int(event.recorded_at.0).into(),
            parcel.map(|parcel| parcel.uid.0.to_vec()).into(),
            parcel.map(|parcel| parcel.carrier.as_str().to_owned()).into(),
            parcel.map(|parcel| parcel.state.as_str().to_owned()).into(),
            parcel.and_then(|parcel| parcel.bank.as_ref()).map(text).into(),
            parcel.and_then(|parcel| parcel.compartment).map(|no| i32::from(no.0)).into(),
            parcel.map(|parcel| i64::from(parcel.version.0)).into(),
            parcel.and_then(|parcel| parcel.expires_at).map(|at| int(at.0)).into(),
        ]);
    }

    /// Puts a grant at the end of the bank's log and wakes whoever sends it.
    pub(crate) async fn grant(
        &mut self,
        bank: &BankId,
        grant: &Grant,
        now: UnixMillis,
    ) -> Result<GrantPosition, WriteError> {
        let sql = "UPDATE banks SET gseq = gseq + 1 WHERE id = $1 RETURNING gseq, grants_epoch";
        let rows = self.query(sql, [bank.as_str().into()]).await?;
        let row = rows.first().ok_or_else(|| WriteError::from(damaged("banks", "id")))?;
        let gseq = uint(row.try_get_by("gseq")?);
        let position =
            GrantPosition { epoch: HubEpoch(uint(row.try_get_by("grants_epoch")?)), gseq };
        self.insert(&GRANTS, grant_values(bank, position, grant, now).to_vec()).await?;
        self.wake(bank);
        Ok(position)
    }

    /// Begins the bank's log anew in a later epoch, with these.
    pub(super) async fn begin_grants(
        &mut self,
        bank: &BankId,
        epoch: HubEpoch,
        grants: &[Grant],
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let row = |(gseq, grant): (u64, &Grant)| {
            grant_values(bank, GrantPosition { epoch, gseq }, grant, now)
        };
        let rows = (1..).zip(grants).flat_map(row).collect();
        self.insert(&GRANTS, rows).await?;
        let count = u64::try_from(grants.len()).unwrap_or(u64::MAX);
        let sql = "UPDATE banks SET grants_epoch = $1, gseq = $2 WHERE id = $3";
        let values = [int(epoch.0).into(), int(count).into(), bank.as_str().into()];
        self.execute("banks", sql, values).await?;
        self.wake(bank);
        Ok(())
    }

    /// After the commit, tells whoever talks to the bank that there is something for it.
    pub(super) fn wake(&mut self, bank: &BankId) {
        self.effects.woken.insert(bank.clone());
    }

    /// After the commit, tells whoever mints that the bank may need code slots.
    pub(super) fn wake_minting(&mut self, bank: &BankId) {
        self.effects.minting.insert(bank.clone());
    }

    async fn write_events(&mut self) -> Result<(), DbErr> {
        let values = std::mem::take(&mut self.events);
        self.insert(&EVENTS, values).await
    }

    fn sql(&self, sql: impl Into<String>, values: impl IntoIterator<Item = Value>) -> Statement {
        Statement::from_sql_and_values(self.transaction.get_database_backend(), sql, values)
    }

    fn statement(&mut self, insert: &Insert, rows: usize) -> Arc<str> {
        let backend = self.transaction.get_database_backend();
        let made = || insert_sql(insert, rows, backend).into();
        Arc::clone(self.context.statements.entry((insert.name, rows)).or_insert_with(made))
    }
}

/// Rows of the next statement, if `left` are to be written; none if there are none.
fn statement_rows(left: usize) -> Option<usize> {
    ROWS_PER_STATEMENT.into_iter().find(|size| *size <= left)
}

fn grant_values(
    bank: &BankId,
    position: GrantPosition,
    grant: &Grant,
    now: UnixMillis,
) -> [Value; 5] {
    [
        bank.as_str().into(),
        int(position.epoch.0).into(),
        int(position.gseq).into(),
        bytes(&locker_proto::encode_grant(grant)),
        int(now.0).into(),
    ]
}

/// SQLite's driver looks up the name of every place when it binds, which for a numbered one takes
/// as long as there are places: there they have no names. And whatever fails ends the transaction:
/// SQLite need not keep what a statement changes to be able to undo that statement alone.
fn insert_sql(insert: &Insert, rows: usize, backend: DbBackend) -> String {
    let Insert { table, columns, conflict, .. } = insert;
    let width = columns.len();
    let row = |row: usize| {
        let places: Vec<String> =
            (1..=width).map(|column| place(row * width + column, backend)).collect();
        format!("({})", places.join(","))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    let columns = columns.join(",");
    let verb = if backend == DbBackend::Sqlite { "INSERT OR FAIL" } else { "INSERT" };
    format!("{verb} INTO {table} ({columns}) VALUES {} {conflict}", rows.join(","))
}

/// The `number`th place of a statement, from 1.
pub(super) fn place(number: usize, backend: DbBackend) -> String {
    if backend == DbBackend::Sqlite { "?".to_owned() } else { format!("${number}") }
}
