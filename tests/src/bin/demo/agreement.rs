//! Do three sources that know nothing of each other tell the same story? The carrier's watch from
//! its beginning, the lock boards' own logs, and the mailbox folder.

use std::time::Duration;

use anyhow::{Result, bail};
use locker_proto::wire::carrier::v1::parcel::State;
use serde_json::{Value, json};
use system_tests::bank::Bank;
use system_tests::mailbox;
use system_tests::watch::Watch;
use system_tests::world::World;

use crate::journey::Journey;

/// How long the watch may take to tell everything again.
const WATCH_LIMIT: Duration = Duration::from_secs(10);

/// What a parcel must have been, and nothing else.
const LIFE: [State; 6] = [
    State::Announced,
    State::Booked,
    State::Depositing,
    State::Stored,
    State::Collecting,
    State::Collected,
];

/// What the sources say.
#[derive(Default)]
pub(crate) struct Agreement {
    watched: Watched,
    logged: Logged,
    /// Letters to recipients.
    notices: usize,
    /// What does not fit, with the source that says it.
    pub(crate) disagreements: Vec<String>,
}

/// What the carrier's watch says.
#[derive(Default)]
struct Watched {
    deposits: usize,
    pickups: usize,
    events: usize,
}

/// What the lock boards have logged.
#[derive(Default)]
struct Logged {
    pulses: usize,
    opened: usize,
    shut: usize,
}

impl Agreement {
    pub(crate) async fn ask(world: &World, banks: &[Bank], journeys: &[Journey]) -> Result<Self> {
        let mut agreement = Self::default();
        agreement.ask_watch(world, journeys).await?;
        for bank in banks {
            agreement.ask_board(bank, journeys)?;
        }
        agreement.ask_mailbox(world, journeys)?;
        Ok(agreement)
    }

    /// Fails with everything that does not fit.
    pub(crate) fn ensure(&self) -> Result<()> {
        if self.disagreements.is_empty() {
            return Ok(());
        }
        bail!("the sources disagree:\n  {}", self.disagreements.join("\n  "))
    }

    pub(crate) fn counts(&self) -> Value {
        let Watched { deposits, pickups, events } = self.watched;
        let Logged { pulses, opened, shut } = self.logged;
        json!({
            "watch": { "deposits": deposits, "pickups": pickups, "events": events },
            "board_sim": { "pulses": pulses, "doors_opened": opened, "doors_shut": shut },
            "mailbox": { "notices": self.notices },
        })
    }

    pub(crate) fn table(&self) -> String {
        let Watched { deposits, pickups, .. } = self.watched;
        let verdict = if self.disagreements.is_empty() {
            "They agree, and there is nothing else.".to_owned()
        } else {
            format!("They DISAGREE:\n  {}", self.disagreements.join("\n  "))
        };
        format!(
            "\nThree sources, asked apart:\n  \
             gRPC WatchParcels from the beginning   {deposits} deposits, {pickups} pickups\n  \
             the lock boards' own logs              {} pulses\n  \
             the mailbox folder                     {} notices\n{verdict}",
            self.logged.pulses, self.notices
        )
    }

    async fn ask_watch(&mut self, world: &World, journeys: &[Journey]) -> Result<()> {
        let mut watch = Watch::from_beginning(&world.carrier);
        watch.until_caught_up(WATCH_LIMIT).await?;
        let count = |state| watch.seen.iter().filter(|seen| seen.state == state).count();
        let (deposits, pickups) = (count(State::Stored), count(State::Collected));
        let events = watch.seen.len();
        self.watched = Watched { deposits, pickups, events };
        let expected = journeys.len();
        self.expect("watch", "deposits", deposits, expected);
        self.expect("watch", "pickups", pickups, expected);
        self.expect("watch", "events", events, expected * LIFE.len());
        for Journey { bank, order, .. } in journeys {
            let states = watch.states_of(&order.name);
            if states != LIFE {
                self.disagree("watch", format!("{} at {bank} went through {states:?}", order.name));
            }
        }
        Ok(())
    }

    fn ask_board(&mut self, bank: &Bank, journeys: &[Journey]) -> Result<()> {
        let log = bank.board.log()?;
        let moves =
            |state: &str| log.iter().filter(|line| line.door.as_deref() == Some(state)).count();
        let pulsed = log.iter().filter(|line| line.pulse.is_some()).map(|line| line.lock);
        let pulsed: Vec<u16> = pulsed.map(|lock| u16::from(lock) + 1).collect();
        let here = journeys.iter().filter(|journey| journey.bank == bank.spec.id);
        let wanted: Vec<u16> = here.flat_map(|journey| [journey.compartment; 2]).collect();
        let (opened, shut) = (moves("open"), moves("closed"));
        let source = format!("board-sim of {}", bank.spec.id);
        if pulsed != wanted {
            let what = format!("compartments {pulsed:?} were pulsed, {wanted:?} expected");
            self.disagree(&source, what);
        }
        self.expect(&source, "doors opened", opened, wanted.len());
        self.expect(&source, "doors shut", shut, wanted.len());
        for line in log.iter().filter(|line| line.fault.is_some()) {
            self.disagree(&source, format!("{line:?}"));
        }
        self.logged.pulses += pulsed.len();
        self.logged.opened += opened;
        self.logged.shut += shut;
        Ok(())
    }

    fn ask_mailbox(&mut self, world: &World, journeys: &[Journey]) -> Result<()> {
        let folder = world.hub.mailbox_folder();
        let letters = mailbox::letters(&folder)?;
        self.notices = letters.len();
        let mut to: Vec<&str> = letters.iter().map(|letter| letter.to.as_str()).collect();
        let mut wanted: Vec<&str> =
            journeys.iter().map(|journey| journey.order.email.as_str()).collect();
        to.sort_unstable();
        wanted.sort_unstable();
        if to != wanted {
            self.disagree("mailbox", format!("letters to {to:?}, {wanted:?} expected"));
        }
        let files = folder.read_dir()?.count();
        self.expect("mailbox", "files", files, letters.len());
        Ok(())
    }

    fn expect(&mut self, source: &str, what: &str, found: usize, expected: usize) {
        if found != expected {
            self.disagree(source, format!("{found} {what}, {expected} expected"));
        }
    }

    fn disagree(&mut self, source: &str, what: String) {
        self.disagreements.push(format!("{source}: {what}"));
    }
}
