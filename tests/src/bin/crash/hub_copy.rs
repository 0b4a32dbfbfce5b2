//! What a hub's store holds after a power cut, read from a copy of its files before the hub itself
//! touches them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use sea_orm::{ConnectionTrait as _, Database, Statement};

use crate::diary::{By, Entry, What};

/// What the hub may be held to.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Ids of all events.
    events: BTreeSet<String>,
    /// What happened to each parcel, by the carrier's name.
    kinds: BTreeSet<(String, String)>,
    /// How far each bank's journal is durable here.
    committed: BTreeMap<String, u64>,
}

impl Held {
    pub(crate) async fn read(store: &Path) -> Result<Self> {
        let copy = tempfile::tempdir()?;
        let folder = store.parent().context("a store lies in a folder")?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // With the write-ahead log, which is half of it.
            if entry.file_name().to_string_lossy().starts_with("hub.sqlite") {
                fs::copy(entry.path(), copy.path().join(entry.file_name()))?;
            }
        }
        let url = format!("sqlite://{}?mode=rw", copy.path().join("hub.sqlite").display());
        let database = Database::connect(url).await.context("the store is gone")?;
        let ask = async |sql: &str| {
            database
                .query_all_raw(Statement::from_string(database.get_database_backend(), sql))
                .await
        };
        let mut held = Self::default();
        let sql = "SELECT event_id, kind, COALESCE(p.name, '') AS name \
                   FROM events LEFT JOIN parcels p ON p.uid = events.parcel";
        for row in ask(sql).await? {
            held.events.insert(row.try_get("", "event_id")?);
            held.kinds.insert((row.try_get("", "name")?, row.try_get("", "kind")?));
        }
        for row in ask("SELECT bank, committed FROM cursors").await? {
            let committed: i64 = row.try_get("", "committed")?;
            held.committed.insert(row.try_get("", "bank")?, u64::try_from(committed)?);
        }
        database.close().await?;
        Ok(held)
    }

    /// How much of what the hub has acknowledged was looked for, and what of it is gone.
    pub(crate) fn lost(&self, people: &[Entry]) -> (usize, Vec<String>) {
        let asked: Vec<&Entry> =
            people.iter().filter(|entry| entry.what.acknowledged_by() == By::Hub).collect();
        let lost = asked.iter().filter(|entry| !self.holds(entry));
        (asked.len(), lost.map(|entry| format!("the hub has lost {entry:?}")).collect())
    }

    fn holds(&self, entry: &Entry) -> bool {
        let has = |kind: &str| self.kinds.contains(&(entry.parcel.clone(), kind.to_owned()));
        match &entry.what {
            What::Announced => has("PARCEL_ANNOUNCED"),
            What::Booked => has("PARCEL_BOOKED"),
            What::Letter => has("PARCEL_STORED"),
            What::Heard { event } => {
                self.events.contains(event.rsplit(' ').next().unwrap_or_default())
            }
            What::Committed { seq } => self.committed.get(&entry.bank).is_some_and(|at| at >= seq),
            What::LabelTaken
            | What::Put { .. }
            | What::ToldStored { .. }
            | What::ToldInside
            | What::Kept
            | What::CodeTaken
            | What::Took { .. }
            | What::ToldCollected { .. }
            | What::ToldGone
            | What::Found { .. }
            | What::Unanswered { .. } => true,
        }
    }
}
