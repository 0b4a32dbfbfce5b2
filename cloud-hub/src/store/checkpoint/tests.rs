//! The log is copied back without the writer's help.

use std::path::Path;

use sea_orm::{ConnectOptions, Database};

use super::*;

async fn connect(path: &Path) -> DatabaseConnection {
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).idle_timeout(None).max_lifetime(None).sqlx_logging(false);
    options.map_sqlx_sqlite_opts(|options| {
        let options = options.pragma("journal_mode", "WAL");
        options.pragma("wal_autocheckpoint", "0")
    });
    Database::connect(options).await.unwrap()
}

#[tokio::test]
async fn what_is_in_the_log_is_copied_into_the_database_while_the_writer_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hub.db");
    let writer = connect(&path).await;
    let fill = "CREATE TABLE t (a BLOB); \
                INSERT INTO t SELECT randomblob(1000) FROM \
                (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT i FROM n)";
    writer.execute_unprepared(fill).await.unwrap();
    let bytes = || std::fs::metadata(&path).unwrap().len();
    assert!(bytes() < 100_000, "{}", bytes());

    // Too few rows to be worth it.
    let (written, rows) = watch::channel(ROWS_BETWEEN - 1);
    drop(written);
    run(connect(&path).await, rows).await;
    assert!(bytes() < 100_000, "{}", bytes());

    let (written, rows) = watch::channel(ROWS_BETWEEN);
    drop(written);
    run(connect(&path).await, rows).await;
    assert!(bytes() > 300_000, "{}", bytes());
    drop(writer);
}
