//! Do three sources that know nothing of each other tell the same story? The hub's watches from
//! their beginning, the lock boards' own logs, and the mailbox folder. What leaves no trace in any of
//! them, such as digits that opened nothing, is looked up in the banks' journals as the hub keeps them.

mod ask;
mod compare;

use std::fmt::Write as _;

use anyhow::{Result, bail};
use locker_proto::wire::carrier::v1::parcel::State;
use serde_json::{Value, json};
use system_tests::bank::Bank;
use system_tests::world::World;

use crate::script::Story;
use crate::stories::STORIES;
use ask::ask;
use compare::{Logged, Recorded, Told, compare, untold};

/// What the sources say, and what does not fit.
pub(crate) struct Agreement {
    told: Told,
    /// What does not fit, with the source that says it.
    pub(crate) disagreements: Vec<String>,
}

impl Agreement {
    pub(crate) async fn ask(world: &World, banks: &[Bank], stories: &[Story]) -> Result<Self> {
        let told = ask(world, banks).await?;
        let mut disagreements = untold(stories, &STORIES);
        disagreements.extend(compare(stories, &told));
        Ok(Self { told, disagreements })
    }

    /// Fails with everything that does not fit.
    pub(crate) fn ensure(&self) -> Result<()> {
        if self.disagreements.is_empty() {
            return Ok(());
        }
        bail!("the sources disagree:\n  {}", self.disagreements.join("\n  "))
    }

    /// By source; doors by bank, too.
    pub(crate) fn counts(&self) -> Value {
        let lives = self.told.watched.lives.values();
        let times =
            |wanted: State| lives.clone().flatten().filter(|heard| heard.state == wanted).count();
        let boards =
            |count: fn(&Logged) -> usize| -> usize { self.told.logged.values().map(count).sum() };
        let journals = |count: fn(&Recorded) -> usize| -> usize {
            self.told.recorded.values().map(count).sum()
        };
        let quarantines = self.told.watched.banks.values();
        json!({
            "watch": {
                "events": self.told.watched.events,
                "deposits": times(State::Stored),
                "pickups": times(State::Collected),
                "cancelled": times(State::Cancelled),
                "unresolved": times(State::Unresolved),
                "quarantined": quarantines.clone().map(|bank| bank.quarantined.len()).sum::<usize>(),
                "released": quarantines.map(|bank| bank.released.len()).sum::<usize>(),
            },
            "board_sim": {
                "pulses": boards(|log| log.pulses.len()),
                "doors_opened": boards(|log| log.opened.len()),
                "doors_shut": boards(|log| log.shut.len()),
            },
            "mailbox": { "notices": self.told.posted.letters.values().flatten().count() },
            "journals": {
                "intents": journals(|journal| journal.intended.len()),
                "misfits": journals(|journal| journal.misfits.len()),
                "wrong_digits": journals(|journal| journal.wrong_digits),
            },
            "banks": self.by_bank(),
        })
    }

    fn by_bank(&self) -> Value {
        let bank = |(id, log): (&String, &Logged)| {
            let (openings, stored, letters) = self.of_bank(id);
            let counts = json!({
                "watch": { "openings": openings, "deposits": stored },
                "board_sim": { "pulses": log.pulses.len() },
                "mailbox": { "notices": letters },
            });
            (id.clone(), counts)
        };
        self.told.logged.iter().map(bank).collect::<serde_json::Map<_, _>>().into()
    }

    /// Openings and deposits that the watches tell of, and letters.
    fn of_bank(&self, id: &str) -> (usize, usize, usize) {
        let watched = self.told.watched.banks.get(id);
        let letters = self.told.posted.letters.get(id).map_or(0, Vec::len);
        watched.map_or((0, 0, letters), |bank| (bank.openings.len(), bank.stored, letters))
    }

    pub(crate) fn table(&self) -> String {
        let mut table = "\nThree sources, asked apart:".to_owned();
        let mut row = |what: &str, cell: &dyn Fn(&str, &Logged) -> String| {
            let cells = self.told.logged.iter().map(|(id, log)| format!("{:>10}", cell(id, log)));
            // Writing to a String does not fail.
            let _ = write!(table, "\n  {what:52}{}", cells.collect::<String>());
        };
        row("", &|id, _| id.to_owned());
        row("the hub's watches (gRPC): openings they tell of", &|id, _| {
            self.of_bank(id).0.to_string()
        });
        row("the lock boards' own logs: pulses", &|_, log| log.pulses.len().to_string());
        row("the lock boards' own logs: doors opened", &|_, log| log.opened.len().to_string());
        row("the lock boards' own logs: doors shut", &|_, log| log.shut.len().to_string());
        row("the hub's watches (gRPC): parcels stored", &|id, _| self.of_bank(id).1.to_string());
        row("the mailbox folder: letters", &|id, _| self.of_bank(id).2.to_string());
        table.push_str("\nAnd in the banks' journals, as the hub keeps them:");
        let mut row = |what: &str, count: fn(&Recorded) -> usize| {
            let journals = self.told.recorded.values();
            let cells = journals.map(|journal| format!("{:>10}", count(journal)));
            let _ = write!(table, "\n  {what:52}{}", cells.collect::<String>());
        };
        row("intents, one before each pulse", |journal| journal.intended.len());
        row("wrong digits that were counted", |journal| journal.wrong_digits);
        row("compartments that were too small", |journal| journal.misfits.len());
        let verdict = if self.disagreements.is_empty() {
            "They agree, with each other and with what people did, and there is nothing else."
                .to_owned()
        } else {
            format!("They DISAGREE:\n  {}", self.disagreements.join("\n  "))
        };
        format!("{table}\n{verdict}")
    }
}
