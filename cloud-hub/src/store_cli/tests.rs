use tempfile::tempdir;

use super::*;
use crate::ingest::tests::fixture::{Journal, add_bank, commit, open_store};
use crate::store::{Store, StoreLimits, StoreLock, was_interrupted};

const CONFIG: &str = r#"
[mqtt]
listen = "127.0.0.1:0"
[grpc]
listen = "127.0.0.1:0"
[tls]
certificate = "hub.pem"
key = "hub.key"
client_authorities = "ca.pem"
[store]
url = "sqlite://hub.db"
[keys]
set = "key-set.signed"
command = [{ id = 1, file = "command-1.key" }]
credential = [{ id = 1, file = "credential-1.key" }]
"#;

async fn done(command: StoreCommand) -> Result<String, StoreCliError> {
    Box::pin(run(StoreArgs { command })).await
}

fn words(error: StoreCliError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

#[tokio::test]
async fn a_store_is_backed_up_while_it_is_used_and_restored_when_it_is_not() {
    let directory = tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("cloud-hub.toml"), CONFIG).unwrap();
    let store = open_store(directory.path()).await;
    let lock = StoreLock::take(&path("hub.db")).unwrap();
    add_bank(&store, &[300]).await;
    commit(&store, &Journal::commissioned(&[300])).await;
    let (config, file) = (path("cloud-hub.toml"), path("kept.db"));
    let backup = || StoreCommand::Backup { config: config.clone(), file: file.clone() };
    let said = done(backup()).await.unwrap();
    assert!(said.contains("1 banks with 5 records in all"), "{said}");
    assert!(words(done(backup()).await.unwrap_err()).ends_with("kept.db exists already"));
    assert_eq!(done(StoreCommand::Check { file: file.clone() }).await.unwrap(), said);

    let restore = || StoreCommand::Restore { config: config.clone(), file: file.clone() };
    let refused = words(done(restore()).await.unwrap_err());
    assert!(refused.contains("a hub runs on the store: stop it first"), "{refused}");
    let before = store.epoch();
    store.close().await;
    drop(lock);
    let said = done(restore()).await.unwrap();
    assert!(said.contains("what was there is now"), "{said}");
    let store = open_store(directory.path()).await;
    assert!(store.epoch() > before);
    assert_eq!(store.banks(None, 10).await.unwrap().len(), 1);
    store.close().await;

    // The store that was there can still be opened, as what it was.
    let names = std::fs::read_dir(directory.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let aside: Vec<_> = names
        .filter(|name| name.contains("before-restore") && !name.ends_with("-wal"))
        .filter(|name| !name.ends_with("-shm"))
        .collect();
    let url = format!("sqlite://{}?mode=rwc", path(&aside[0]).display());
    let old = Store::open(&url, StoreLimits::default()).await.unwrap();
    assert_eq!(old.epoch(), before);
    old.close().await;
}

#[tokio::test]
async fn a_restore_of_what_is_no_backup_changes_nothing() {
    let directory = tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("cloud-hub.toml"), CONFIG).unwrap();
    let store = open_store(directory.path()).await;
    let before = store.epoch();
    store.close().await;
    std::fs::write(path("text.db"), "no store").unwrap();
    for name in ["missing.db", "text.db"] {
        let (config, file) = (path("cloud-hub.toml"), path(name));
        let error = words(done(StoreCommand::Restore { config, file }).await.unwrap_err());
        assert!(error.contains(name), "{error}");
    }
    let store = open_store(directory.path()).await;
    assert_eq!(store.epoch(), before);
    store.close().await;
    // Cut short between the two steps that matter.
    assert!(!was_interrupted(&path("hub.db")));
    std::fs::rename(path("hub.db"), path("hub.db.restoring")).unwrap();
    assert!(was_interrupted(&path("hub.db")));
}
