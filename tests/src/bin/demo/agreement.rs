//! Do three sources that know nothing of each other tell the same story? The hub's watches from
//! their beginning, the lock boards' own logs, and the mailbox folder.

mod compare;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use locker_proto::wire::carrier::v1::parcel::State;
use serde_json::{Value, json};
use system_tests::bank::Bank;
use system_tests::fleet_watch::events_up_to;
use system_tests::mailbox;
use system_tests::watch::Watch;
use system_tests::world::World;

use crate::script::Story;
use compare::{Logged, Posted, Told, Watched, compare};

/// How long a watch may take to tell everything again.
const WATCH_LIMIT: Duration = Duration::from_secs(10);

/// Events of a bank that somebody would have to look at, and that no story has.
const ALARMS: [&str; 7] = [
    "BANK_ALARM",
    "BANK_ALARM_RAISED",
    "BANK_BOARD_OFFLINE",
    "BANK_CONFIG_REFUSED",
    "BANK_INCOMPLETE",
    "BANK_LOCKDOWN_BEGAN",
    "BANK_STOPPED",
];

/// What the sources say, and what does not fit.
pub(crate) struct Agreement {
    told: Told,
    /// What does not fit, with the source that says it.
    pub(crate) disagreements: Vec<String>,
}

impl Agreement {
    pub(crate) async fn ask(world: &World, banks: &[Bank], stories: &[Story]) -> Result<Self> {
        let mut told = Told { watched: ask_watches(world).await?, ..Told::default() };
        for bank in banks {
            told.logged.insert(bank.spec.id.clone(), ask_boards(bank)?);
        }
        told.posted = ask_mailbox(&world.hub.mailbox_folder(), banks)?;
        let disagreements = compare(stories, &told);
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
            |wanted: State| lives.clone().flatten().filter(|state| **state == wanted).count();
        let boards =
            |count: fn(&Logged) -> usize| -> usize { self.told.logged.values().map(count).sum() };
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
        let verdict = if self.disagreements.is_empty() {
            "They agree, with each other and with what people did, and there is nothing else."
                .to_owned()
        } else {
            format!("They DISAGREE:\n  {}", self.disagreements.join("\n  "))
        };
        format!("{table}\n{verdict}")
    }
}

/// The carrier's watch tells of parcels, the operator's of compartments.
async fn ask_watches(world: &World) -> Result<Watched> {
    let mut watch = Watch::from_beginning(&world.carrier);
    watch.until_caught_up(WATCH_LIMIT).await?;
    let mut told = Watched { events: watch.seen.len(), ..Watched::default() };
    let banks = &mut told.banks;
    for seen in watch.seen.iter().filter(|seen| !seen.repeated) {
        told.lives.entry(seen.parcel.clone()).or_default().push(seen.state);
        let Some(bank) = seen.bank.strip_prefix("banks/") else { continue };
        let bank = banks.entry(bank.to_owned()).or_default();
        match seen.state {
            State::Depositing | State::Collecting => bank.openings.push(door(seen.compartment)?),
            State::Stored => bank.stored += 1,
            State::Unspecified
            | State::Announced
            | State::Booked
            | State::Collected
            | State::Cancelled
            | State::Unresolved
            | State::RecallRequested
            | State::BookingPending
            | State::BookingExpired
            | State::Expired
            | State::Recalling
            | State::Recalled
            | State::Disputed
            | State::Missing => {}
        }
    }
    let last = watch.seen.last().context("the carrier's watch tells of nothing")?;
    for event in events_up_to(&world.operator, &last.event_id, WATCH_LIMIT).await? {
        let Some(bank) = event.bank.strip_prefix("banks/") else { continue };
        let bank = banks.entry(bank.to_owned()).or_default();
        match event.kind.as_str() {
            "COMPARTMENT_QUARANTINED" => bank.quarantined.push(door(event.compartment)?),
            // Staff opened it to look.
            "COMPARTMENT_RELEASED" => {
                bank.released.push(door(event.compartment)?);
                bank.openings.push(door(event.compartment)?);
            }
            kind if ALARMS.contains(&kind) => {
                bank.alarms.push(format!("{kind} {}", event.detail).trim_end().to_owned());
            }
            _ => {}
        }
    }
    Ok(told)
}

fn door(number: u32) -> Result<u16> {
    u16::try_from(number).context("a door has a number that none can have")
}

fn ask_boards(bank: &Bank) -> Result<Logged> {
    let mut told = Logged::default();
    for line in bank.board.log()? {
        match (bank.spec.compartment_of(&line), line.pulse, line.door.as_deref()) {
            (Some(number), Some(_), None) => told.pulses.push(number),
            (Some(number), None, Some("open")) => told.opened.push(number),
            (Some(number), None, Some("closed")) => told.shut.push(number),
            _ => told.strange.push(format!("{line:?}")),
        }
    }
    Ok(told)
}

fn ask_mailbox(folder: &Path, banks: &[Bank]) -> Result<Posted> {
    let letters = mailbox::letters(folder)?;
    let mut told =
        Posted { strays: folder.read_dir()?.count() - letters.len(), ..Posted::default() };
    for letter in letters {
        let names = |bank: &&Bank| letter.subject.ends_with(&bank.spec.display_name());
        let bank = banks.iter().find(names);
        let bank = bank.with_context(|| format!("a letter names no bank: {}", letter.subject))?;
        told.letters.entry(bank.spec.id.clone()).or_default().push(letter.to);
    }
    Ok(told)
}
