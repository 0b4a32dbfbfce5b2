use tempfile::tempdir;

use super::*;
use crate::ingest::tests::fixture::{Journal, add_bank, bank_id, commit, open_store};
use crate::store::check_backup;

const EDGES: &[u32] = &[300, 300];

fn job(store: &Store, directory: &Path, backups: Option<config::Backups>) -> BackupJob {
    BackupJob::new(store.clone(), directory.join("hub.db"), backups, 8 * 3_600_000)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// As if all that is there had been made long ago.
fn make_old(folder: &Path) {
    for name in names(folder) {
        set_time(&folder.join(name), SystemTime::now() - HOUR);
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

fn set_time(path: &Path, at: SystemTime) {
    std::fs::File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
}

#[tokio::test]
async fn what_a_backup_holds_is_safe_and_the_oldest_backup_goes() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, EDGES).await;
    let journal = Journal::commissioned(EDGES);
    commit(&store, &journal).await;
    assert_eq!(store.safe_seq(&bank_id(), journal.stream), 0);
    let folder = directory.path().join("backups");
    let backups = config::Backups { folder: folder.clone(), every_minutes: 60, keep: 2 };
    let mut job = job(&store, directory.path(), Some(backups));
    job.look().await;
    let [first] = &names(&folder)[..] else { panic!("{:?}", names(&folder)) };
    let backup = check_backup(&folder.join(first)).await.unwrap();
    assert_eq!((backup.epoch, backup.watermarks.len()), (store.epoch(), 1));
    assert_eq!(store.safe_seq(&bank_id(), journal.stream), journal.head());
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(folder.join(first)).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    // One is enough for an hour.
    job.look().await;
    assert_eq!(names(&folder).len(), 1);
    // What is not of this job is left alone.
    std::fs::write(folder.join("mine.db"), "").unwrap();
    std::fs::rename(folder.join(first), folder.join("hub-1.db")).unwrap();
    std::fs::copy(folder.join("hub-1.db"), folder.join("hub-2.db")).unwrap();
    make_old(&folder);
    job.look().await;
    let names = names(&folder);
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.contains(&"mine.db".to_owned()));
    // Known again after a restart.
    store.close().await;
    let store = open_store(directory.path()).await;
    assert_eq!(store.safe_seq(&bank_id(), journal.stream), journal.head());
}

#[tokio::test]
async fn a_backup_that_cannot_be_made_leaves_nothing_behind_and_makes_nothing_safe() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, EDGES).await;
    let journal = Journal::commissioned(EDGES);
    commit(&store, &journal).await;
    let folder = directory.path().join("backups");
    std::fs::write(&folder, "no folder").unwrap();
    let backups = config::Backups { folder: folder.clone(), every_minutes: 60, keep: 2 };
    let mut failing = job(&store, directory.path(), Some(backups.clone()));
    failing.look().await;
    assert_eq!(store.safe_seq(&bank_id(), journal.stream), 0);
    // Not at once again, also when the folder is there by then.
    std::fs::remove_file(&folder).unwrap();
    failing.look().await;
    assert!(!folder.exists());
    let mut fresh = job(&store, directory.path(), Some(backups));
    fresh.look().await;
    assert_eq!(names(&folder).len(), 1);
    let damaged = folder.join("hub-damaged.db");
    let mut bytes = std::fs::read(folder.join(&names(&folder)[0])).unwrap();
    for byte in &mut bytes[8_192..12_288] {
        *byte ^= 0x5a;
    }
    std::fs::write(&damaged, bytes).unwrap();
    assert!(check_backup(&damaged).await.is_err());
}

#[tokio::test]
async fn a_clock_that_ran_ahead_for_one_backup_costs_neither_the_older_ones_nor_one_every_minute() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let folder = directory.path().join("backups");
    let backups = config::Backups { folder: folder.clone(), every_minutes: 60, keep: 3 };
    let look = async || job(&store, directory.path(), Some(backups.clone())).look().await;
    look().await;
    let first = folder.join(&names(&folder)[0]);
    let ahead = folder.join("hub-ahead.db");
    for (file, at) in [("hub-1.db", 3), ("hub-2.db", 2)] {
        std::fs::copy(&first, folder.join(file)).unwrap();
        set_time(&folder.join(file), SystemTime::now() - HOUR * at);
    }
    std::fs::rename(&first, &ahead).unwrap();
    set_time(&ahead, SystemTime::now() + 365 * 24 * HOUR);
    // The newest of the past counts, and is too old.
    look().await;
    let after = names(&folder);
    assert!(!ahead.exists(), "the one from the future goes first: {after:?}");
    assert!(after.len() == 3 && after[0] == "hub-1.db" && after[1] == "hub-2.db", "{after:?}");
    // One from the future that could stay makes none the more.
    std::fs::remove_file(folder.join("hub-1.db")).unwrap();
    std::fs::copy(folder.join("hub-2.db"), &ahead).unwrap();
    set_time(&ahead, SystemTime::now() + 365 * 24 * HOUR);
    let before = names(&folder);
    look().await;
    assert_eq!(names(&folder), before);
}

#[tokio::test]
async fn a_disk_whose_clock_is_ahead_has_no_backup_made_at_every_look() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let folder = directory.path().join("backups");
    let backups = config::Backups { folder: folder.clone(), every_minutes: 60, keep: 3 };
    let mut job = job(&store, directory.path(), Some(backups));
    job.look().await;
    set_time(&folder.join(&names(&folder)[0]), SystemTime::now() + HOUR);
    job.look().await;
    assert_eq!(names(&folder).len(), 1);
    // Unless somebody took it away.
    std::fs::remove_file(folder.join(&names(&folder)[0])).unwrap();
    job.look().await;
    assert_eq!(names(&folder).len(), 1);
}

#[tokio::test]
async fn what_is_left_of_a_backup_that_was_cut_short_goes_before_the_next() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let folder = directory.path().join("backups");
    std::fs::create_dir(&folder).unwrap();
    let left = ["hub-20260101T000000Z.db.partial", "hub-20260101T000000Z.db.partial-journal"];
    let others = ["hub-notes.partial", "mine.db.partial"];
    let backups = config::Backups { folder: folder.clone(), every_minutes: 60, keep: 3 };
    let mut job = job(&store, directory.path(), Some(backups));
    // Also when none is due.
    for _ in 0..2 {
        for name in left.iter().chain(&others) {
            std::fs::write(folder.join(name), "cut").unwrap();
        }
        job.look().await;
        let names = names(&folder);
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(others.iter().all(|name| names.contains(&(*name).to_owned())), "{names:?}");
    }
}

#[tokio::test]
async fn without_backups_a_record_is_safe_after_some_days() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, EDGES).await;
    let journal = Journal::commissioned(EDGES);
    commit(&store, &journal).await;
    let safe = || store.safe_seq(&bank_id(), journal.stream);
    let (hour, start) = (3_600_000, now());
    for hours in 0..8 {
        store.age_watermarks(start.plus_ms(hours * hour), 8 * hour).await.unwrap();
        assert_eq!(safe(), 0, "after {hours} h");
    }
    store.age_watermarks(start.plus_ms(8 * hour), 8 * hour).await.unwrap();
    assert_eq!(safe(), journal.head());
    // A clock that was ahead for a while neither hurries nor stops it.
    store.age_watermarks(start.plus_ms(9 * hour), 8 * hour).await.unwrap();
    store.age_watermarks(start.plus_ms(1_000 * hour), 8 * hour).await.unwrap();
    store.age_watermarks(start.plus_ms(10 * hour), 8 * hour).await.unwrap();
    assert_eq!(safe(), journal.head());
}
