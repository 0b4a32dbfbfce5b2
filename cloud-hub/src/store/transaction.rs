//! The writer's transaction, which hands values to the driver as they are.
//!
//! Sea-ORM copies every value and every statement's text before it binds them, while the database
//! waits. Of SQLite, through whose one connection everything goes, that takes a fifth of its time.
//! So there the transaction is the driver's own: values are bound once, and those of the next
//! statement while the database is busy with this one.

use std::sync::Arc;

use sea_orm::sqlx::sqlite::{Sqlite, SqliteArguments};
use sea_orm::sqlx::{self, Arguments as _, AssertSqlSafe};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, RuntimeErr, Statement, TransactionTrait as _, Value,
};
use sea_orm_migration::async_trait::async_trait;
use tokio::sync::Mutex;

use super::convert::{self, int};

/// It takes the right to write at once: asked for only with the first write, it can be refused.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// A transaction under way. Dropped, it is rolled back.
pub(crate) enum Transaction {
    Sqlite(Mutex<sqlx::Transaction<'static, Sqlite>>),
    Postgres(DatabaseTransaction),
}

impl Transaction {
    /// Begins one that may write at once.
    pub(super) async fn begin(database: DatabaseConnection) -> Result<Self, DbErr> {
        if database.get_database_backend() != DbBackend::Sqlite {
            return Ok(Self::Postgres(database.begin().await?));
        }
        let pool = database.get_sqlite_connection_pool();
        let mut begun = pool.begin_with(BEGIN).await;
        if let Err(sqlx::Error::InvalidSavePointStatement) = begun {
            // A commit failed and SQLite rolled back by itself, of which the driver does not know.
            let spoilt = pool.acquire().await.map_err(not_executed)?;
            spoilt.close().await.map_err(not_executed)?;
            begun = pool.begin_with(BEGIN).await;
        }
        Ok(Self::Sqlite(Mutex::new(begun.map_err(not_executed)?)))
    }

    pub(super) async fn commit(self) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(own) => own.into_inner().commit().await.map_err(not_executed),
            Self::Postgres(orm) => orm.commit().await,
        }
    }

    pub(super) async fn roll_back(self) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(own) => {
                let mut own = own.into_inner();
                // When the disk is full or fails SQLite may have rolled back by itself (SQLite,
                // "Response To Errors Within A Transaction"). The driver's ROLLBACK would fail then,
                // and it would count this transaction for ever: it gets one that it can roll back.
                // Refused, there is one.
                let _ = sqlx::raw_sql("BEGIN").execute(&mut *own).await;
                own.rollback().await.map_err(not_executed)
            }
            Self::Postgres(orm) => orm.rollback().await,
        }
    }

    /// Room for the values of a statement.
    pub(super) fn places(&self, count: usize) -> Bound {
        match self {
            Self::Sqlite(_) => {
                let mut arguments = SqliteArguments::default();
                arguments.reserve(count, 0);
                Bound::Sqlite(arguments)
            }
            Self::Postgres(_) => Bound::Postgres(Vec::with_capacity(count)),
        }
    }

    /// Runs a statement that is kept prepared.
    pub(super) async fn execute_bound(
        &self,
        sql: Arc<str>,
        bound: Bound,
    ) -> Result<ExecResult, DbErr> {
        match (self, bound) {
            (Self::Sqlite(own), Bound::Sqlite(arguments)) => {
                let mut own = own.lock().await;
                let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
                query.execute(&mut **own).await.map(Into::into).map_err(not_executed)
            }
            (Self::Postgres(orm), Bound::Postgres(values)) => {
                let sql: &str = &sql;
                let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
                orm.execute_raw(statement).await
            }
            (Self::Sqlite(_), Bound::Postgres(_)) | (Self::Postgres(_), Bound::Sqlite(_)) => {
                Err(DbErr::Custom("values of another driver".to_owned()))
            }
        }
    }
}

/// The values of one statement, as its driver takes them.
pub(super) enum Bound {
    Sqlite(SqliteArguments),
    Postgres(Vec<Value>),
}

impl Bound {
    /// A text that several rows share.
    pub(super) fn text(&mut self, text: &Arc<str>) {
        match self {
            Self::Sqlite(arguments) => add(arguments, Arc::clone(text)),
            Self::Postgres(values) => values.push(text.as_ref().into()),
        }
    }

    pub(super) fn int(&mut self, number: i64) {
        match self {
            Self::Sqlite(arguments) => add(arguments, number),
            Self::Postgres(values) => values.push(number.into()),
        }
    }

    pub(super) fn small_int(&mut self, number: i32) {
        match self {
            Self::Sqlite(arguments) => add(arguments, number),
            Self::Postgres(values) => values.push(number.into()),
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        match self {
            Self::Sqlite(arguments) => add(arguments, bytes),
            Self::Postgres(values) => values.push(convert::bytes(bytes)),
        }
    }

    pub(super) fn value(&mut self, value: Value) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(arguments) => add_value(arguments, value)?,
            Self::Postgres(values) => values.push(value),
        }
        Ok(())
    }
}

fn add<'t>(
    arguments: &mut SqliteArguments,
    value: impl sqlx::Encode<'t, Sqlite> + sqlx::Type<Sqlite>,
) {
    arguments.add(value).expect("encoding for SQLite only copies");
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the store has no columns of other types")]
fn add_value(arguments: &mut SqliteArguments, value: Value) -> Result<(), DbErr> {
    match value {
        Value::Bool(value) => add(arguments, value),
        Value::Int(value) => add(arguments, value),
        Value::BigInt(value) => add(arguments, value),
        Value::BigUnsigned(value) => add(arguments, value.map(int)),
        Value::String(value) => add(arguments, value),
        Value::Bytes(value) => add(arguments, value),
        other => return Err(DbErr::Type(format!("no column holds {:?}", other.as_null()))),
    }
    Ok(())
}

fn not_executed(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error)))
}

fn not_read(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}

/// A statement in the driver's form.
type Query = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

fn query(statement: Statement) -> Result<Query, DbErr> {
    let mut arguments = SqliteArguments::default();
    let values = statement.values.map(|values| values.0).unwrap_or_default();
    arguments.reserve(values.len(), 0);
    for value in values {
        add_value(&mut arguments, value)?;
    }
    Ok(sqlx::query_with(AssertSqlSafe(statement.sql), arguments))
}

/// What Sea-ORM's entities run on.
#[async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Sqlite(_) => DbBackend::Sqlite,
            Self::Postgres(orm) => orm.get_database_backend(),
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(own) => {
                let mut own = own.lock().await;
                let done = query(statement)?.execute(&mut **own).await;
                done.map(Into::into).map_err(not_executed)
            }
            Self::Postgres(orm) => orm.execute_raw(statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(own) => {
                let mut own = own.lock().await;
                let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **own).await;
                done.map(Into::into).map_err(not_executed)
            }
            Self::Postgres(orm) => orm.execute_unprepared(sql).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match self {
            Self::Sqlite(own) => {
                let mut own = own.lock().await;
                let row = query(statement)?.fetch_optional(&mut **own).await;
                row.map(|row| row.map(Into::into)).map_err(not_read)
            }
            Self::Postgres(orm) => orm.query_one_raw(statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Sqlite(own) => {
                let mut own = own.lock().await;
                let rows = query(statement)?.fetch_all(&mut **own).await.map_err(not_read)?;
                Ok(rows.into_iter().map(Into::into).collect())
            }
            Self::Postgres(orm) => orm.query_all_raw(statement).await,
        }
    }
}

#[cfg(test)]
mod tests;
