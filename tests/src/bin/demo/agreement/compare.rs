//! The comparison itself: what three sources told, beside each other and beside the script. Pure, so
//! that a lie can be planted in a test.

use std::collections::{BTreeMap, BTreeSet};

use locker_proto::wire::carrier::v1::parcel::State;

use crate::script::Story;

/// What the sources say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) watched: Watched,
    /// By bank.
    pub(crate) logged: BTreeMap<String, Logged>,
    pub(crate) posted: Posted,
}

/// What the hub's watches say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    /// What each parcel was, one state after the other.
    pub(crate) lives: BTreeMap<String, Vec<State>>,
    /// By bank.
    pub(crate) banks: BTreeMap<String, WatchedBank>,
    /// How many events the carrier was told.
    pub(crate) events: usize,
}

/// What the hub's watches say about one bank.
#[derive(Clone, Debug, Default)]
pub(crate) struct WatchedBank {
    /// The numbers on the doors that were opened for what it tells, in any order.
    pub(crate) openings: Vec<u16>,
    /// Parcels that came to be inside.
    pub(crate) stored: usize,
    /// Compartments that nobody knew the content of.
    pub(crate) quarantined: Vec<u16>,
    /// Those that staff looked into.
    pub(crate) released: Vec<u16>,
    /// What a person would have to look at besides.
    pub(crate) alarms: Vec<String>,
}

/// What a bank's lock boards have logged, by the number on the door.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logged {
    pub(crate) pulses: Vec<u16>,
    pub(crate) opened: Vec<u16>,
    pub(crate) shut: Vec<u16>,
    /// What is no such thing, as it stands in the log.
    pub(crate) strange: Vec<String>,
}

/// What lies in the mailbox folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Posted {
    /// The addressees, by the bank that each letter sends them to.
    pub(crate) letters: BTreeMap<String, Vec<String>>,
    /// Files that are no letters.
    pub(crate) strays: usize,
}

/// Everything that does not fit, with the source that says it.
pub(crate) fn compare(stories: &[Story], told: &Told) -> Vec<String> {
    let mut findings = Findings::default();
    let Told { watched, logged, posted } = told;
    let scripts = stories.iter().map(|story| &story.bank);
    let sources = watched.banks.keys().chain(logged.keys()).chain(posted.letters.keys());
    let banks: BTreeSet<&String> = scripts.chain(sources).collect();
    for bank in banks {
        let watched = watched.banks.get(bank).cloned().unwrap_or_default();
        let logged = logged.get(bank).cloned().unwrap_or_default();
        let letters = posted.letters.get(bank).cloned().unwrap_or_default();
        findings.beside_each_other(bank, &watched, &logged, &letters);
        let here: Vec<&Story> = stories.iter().filter(|story| story.bank == *bank).collect();
        findings.beside_the_script(bank, &here, &watched, &logged, &letters);
    }
    findings.of_parcels(stories, watched);
    let strays = format!("{} files are no letters", posted.strays);
    findings.unless(posted.strays == 0, "mailbox", strays);
    findings.0
}

#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    /// Two sources that know nothing of each other.
    fn beside_each_other(
        &mut self,
        bank: &str,
        watched: &WatchedBank,
        logged: &Logged,
        letters: &[String],
    ) {
        let (told, pulsed) = (sorted(&watched.openings), sorted(&logged.pulses));
        let what = format!("the watch tells of openings of {told:?}, the log of pulses {pulsed:?}");
        self.unless(told == pulsed, bank, what);
        let (stored, sent) = (watched.stored, letters.len());
        let what = format!("the watch tells of {stored} parcels inside, the mailbox of {sent}");
        self.unless(stored == sent, bank, what);
        for (what, moved) in [("opened", &logged.opened), ("shut", &logged.shut)] {
            let moved = sorted(moved);
            let what = format!("doors {moved:?} were {what}, {pulsed:?} were pulsed");
            self.unless(moved == pulsed, &log_of(bank), what);
        }
        for line in &logged.strange {
            self.unless(false, &log_of(bank), line.clone());
        }
    }

    /// A source, and those who were there.
    fn beside_the_script(
        &mut self,
        bank: &str,
        stories: &[&Story],
        watched: &WatchedBank,
        logged: &Logged,
        letters: &[String],
    ) {
        let opened: Vec<u16> = stories.iter().flat_map(|story| story.openings.clone()).collect();
        let pulsed = &logged.pulses;
        let what = format!("compartments {pulsed:?} were pulsed, {opened:?} expected");
        self.unless(*pulsed == opened, &log_of(bank), what);
        let doubtful: Vec<u16> =
            stories.iter().flat_map(|story| story.quarantined.clone()).collect();
        for (what, found) in
            [("quarantined", &watched.quarantined), ("released", &watched.released)]
        {
            let what = format!("compartments {found:?} were {what}, {doubtful:?} expected");
            self.unless(*found == doubtful, &format!("watch of {bank}"), what);
        }
        for alarm in &watched.alarms {
            self.unless(false, &format!("watch of {bank}"), alarm.clone());
        }
        let lives = stories.iter().flat_map(|story| &story.parcels);
        let wanted = lives.flat_map(|life| vec![life.email.clone(); life.letters()]);
        let (sent, wanted) = (sorted(letters), sorted(&wanted.collect::<Vec<_>>()));
        let what = format!("letters to {sent:?}, {wanted:?} expected");
        self.unless(sent == wanted, &format!("mailbox of {bank}"), what);
    }

    fn of_parcels(&mut self, stories: &[Story], watched: &Watched) {
        let lives = stories.iter().flat_map(|story| &story.parcels);
        let wanted: BTreeMap<&String, &Vec<State>> =
            lives.map(|life| (&life.parcel, &life.states)).collect();
        let parcels: BTreeSet<&String> =
            wanted.keys().copied().chain(watched.lives.keys()).collect();
        for parcel in parcels {
            let (went, meant) = (watched.lives.get(parcel), wanted.get(parcel).copied());
            let what = format!("{parcel} went through {went:?}, {meant:?} expected");
            self.unless(went == meant, "watch", what);
        }
        let events = watched.events;
        let expected: usize = wanted.values().map(|states| states.len()).sum();
        self.unless(events == expected, "watch", format!("{events} events, {expected} expected"));
    }

    fn unless(&mut self, fits: bool, source: &str, what: String) {
        if !fits {
            self.0.push(format!("{source}: {what}"));
        }
    }
}

fn log_of(bank: &str) -> String {
    format!("lock boards of {bank}")
}

fn sorted<T: Ord + Clone>(items: &[T]) -> Vec<T> {
    let mut items = items.to_vec();
    items.sort_unstable();
    items
}

#[cfg(test)]
mod tests;
