//! The baseline: the rows that the hub's run wrote, put into the same tables with the same pragmas
//! by prepared multi-row statements, in as many transactions, with nothing around them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use sea_orm::sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sea_orm::sqlx::{self, AssertSqlSafe, ConnectOptions, Connection, Row};

use super::HubRun;

/// Rows in one statement.
const ROWS_PER_STATEMENT: usize = 64;

#[derive(Clone)]
enum Cell {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

struct Table {
    insert: String,
    tail: String,
    columns: usize,
    rows: Vec<Vec<Cell>>,
}

/// Writes what `hub` wrote, read from `written`, into a new database; answers how long that took.
pub(crate) async fn run(written: &Path, bare: &Path, hub: &HubRun) -> anyhow::Result<Duration> {
    let mut source = open(written).await?;
    let mut target = open(bare).await?;
    let schema = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'";
    for row in sqlx::query(schema).fetch_all(&mut source).await? {
        sqlx::query(AssertSqlSafe(row.get::<String, _>(0))).execute(&mut target).await?;
    }
    let mut tables = Vec::new();
    for (table, rows) in &hub.rows {
        tables.push(read(&mut source, table, usize::try_from(*rows)?).await?);
    }
    // Foreign keys are checked in the hub's own run; here only the writing is measured.
    sqlx::query("PRAGMA foreign_keys = OFF").execute(&mut target).await?;
    let transactions = usize::try_from(hub.transactions)?.max(1);
    let started = Instant::now();
    for number in 0..transactions {
        let mut transaction = target.begin_with("BEGIN IMMEDIATE").await?;
        for table in &tables {
            let share = |n: usize| table.rows.len() * n / transactions;
            write(&mut transaction, table, &table.rows[share(number)..share(number + 1)]).await?;
        }
        transaction.commit().await?;
    }
    Ok(started.elapsed())
}

async fn open(path: &Path) -> anyhow::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    Ok(options.connect().await?)
}

/// As many rows of `table` as the hub wrote: the newest that are there, and over again where rows
/// were written more than once.
async fn read(source: &mut SqliteConnection, table: &str, count: usize) -> anyhow::Result<Table> {
    let info = format!("SELECT name, pk FROM pragma_table_info('{table}')");
    let info = sqlx::query(AssertSqlSafe(info)).fetch_all(&mut *source).await?;
    let names: Vec<String> = info.iter().map(|row| row.get(0)).collect();
    let keys: Vec<String> =
        info.iter().filter(|row| row.get::<i64, _>(1) > 0).map(|row| row.get(0)).collect();
    let typed: Vec<String> = names.iter().map(|name| format!("typeof({name}), {name}")).collect();
    let select = format!("SELECT {} FROM {table} LIMIT -1", typed.join(", "));
    let found = sqlx::query(AssertSqlSafe(select)).fetch_all(&mut *source).await?;
    ensure!(!found.is_empty(), "the hub's run left nothing in {table}");
    let mut rows = Vec::with_capacity(count);
    for row in found.iter().rev() {
        let mut cells = Vec::with_capacity(names.len());
        for column in 0..names.len() {
            let cell = match row.get::<String, _>(2 * column).as_str() {
                "null" => Cell::Null,
                "integer" => Cell::Int(row.get(2 * column + 1)),
                "text" => Cell::Text(row.get(2 * column + 1)),
                "blob" => Cell::Blob(row.get(2 * column + 1)),
                other => anyhow::bail!("{table} holds a {other}"),
            };
            cells.push(cell);
        }
        rows.push(cells);
    }
    rows.truncate(count);
    rows.reverse();
    let distinct = rows.len();
    for n in distinct..count {
        rows.push(rows[n % distinct].clone());
    }
    let others: Vec<String> = names
        .iter()
        .filter(|name| !keys.contains(name))
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    let tail = if others.is_empty() || distinct == count {
        String::new()
    } else {
        format!("ON CONFLICT ({}) DO UPDATE SET {}", keys.join(", "), others.join(", "))
    };
    let insert = format!("INSERT INTO {table} ({}) VALUES ", names.join(", "));
    Ok(Table { insert, tail, columns: names.len(), rows })
}

async fn write(
    target: &mut SqliteConnection,
    table: &Table,
    rows: &[Vec<Cell>],
) -> anyhow::Result<()> {
    let place = format!("({})", vec!["?"; table.columns].join(","));
    for run in rows.chunks(ROWS_PER_STATEMENT) {
        let places = vec![place.as_str(); run.len()].join(",");
        let sql = format!("{}{places} {}", table.insert, table.tail);
        let mut query: sqlx::query::Query<'_, sqlx::Sqlite, SqliteArguments> =
            sqlx::query(AssertSqlSafe(sql));
        for cell in run.iter().flatten() {
            query = match cell {
                Cell::Null => query.bind(Option::<i64>::None),
                Cell::Int(value) => query.bind(*value),
                Cell::Text(value) => query.bind(value.clone()),
                Cell::Blob(value) => query.bind(value.clone()),
            };
        }
        query.execute(&mut *target).await.context("bare insert")?;
    }
    Ok(())
}
