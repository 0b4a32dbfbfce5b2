//! What the driver does not know of its own transactions.

use sea_orm::{ConnectOptions, Database};
use tempfile::tempdir;

use super::*;

/// SQLite has rolled back by itself, as it does when the disk fails.
async fn rolled_back_by_sqlite(database: &DatabaseConnection) -> Transaction {
    let transaction = Transaction::begin(database.clone()).await.unwrap();
    transaction.execute_unprepared("INSERT INTO t VALUES (1)").await.unwrap();
    transaction.execute_unprepared("ROLLBACK").await.unwrap();
    transaction
}

async fn write_one(database: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = Transaction::begin(database.clone()).await?;
    transaction.execute_unprepared("INSERT INTO t VALUES (2)").await?;
    transaction.commit().await
}

#[tokio::test]
async fn after_sqlite_rolled_back_by_itself_the_next_transaction_is_begun_and_committed() {
    let directory = tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", directory.path().join("t.db").display());
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).test_before_acquire(false);
    let database = Database::connect(options).await.unwrap();
    database.execute_unprepared("CREATE TABLE t (n INTEGER)").await.unwrap();

    rolled_back_by_sqlite(&database).await.roll_back().await.unwrap();
    write_one(&database).await.unwrap();

    // Of a commit that fails the driver learns nothing at all.
    rolled_back_by_sqlite(&database).await.commit().await.unwrap_err();
    write_one(&database).await.unwrap();

    let sql = Statement::from_string(DbBackend::Sqlite, "SELECT SUM(n) AS n FROM t");
    let row = database.query_one_raw(sql).await.unwrap().unwrap();
    assert_eq!(row.try_get_by::<i64, _>("n").unwrap(), 4);
}
