//! The comparison itself: what the sources told, beside each other and beside the script. Pure, so
//! that a lie can be planted in a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use locker_proto::wire::carrier::v1::parcel::State;

use crate::script::{Life, Story};

/// Events of a bank that belong to its life in the demo; anything else is a finding.
const ROUTINE: [&str; 6] = [
    "BANK_CREATED",
    "BANK_LAYOUT_ACCEPTED",
    "BANK_LAYOUT_ISSUED",
    "BANK_MODE_ACCEPTED",
    "BANK_MODE_ISSUED",
    STARTED,
];
const STARTED: &str = "BANK_STARTED";
/// Why a compartment is closed off when the power fails in a deposit.
const IN_DOUBT: &str = "INTERRUPTED";
/// What the panel answers to digits that are counted.
const WRONG_DIGITS: &str = "CODE_WRONG";

/// What the sources say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) watched: Watched,
    /// By bank.
    pub(crate) logged: BTreeMap<String, Logged>,
    pub(crate) posted: Posted,
    /// By bank.
    pub(crate) recorded: BTreeMap<String, Recorded>,
}

/// What the hub's watches say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    /// What the carrier heard of each parcel, in order.
    pub(crate) lives: BTreeMap<String, Vec<Heard>>,
    /// What the operator heard of each parcel, in order.
    pub(crate) notes: BTreeMap<String, Vec<Noted>>,
    /// By bank.
    pub(crate) banks: BTreeMap<String, WatchedBank>,
    /// How many events the carrier was told.
    pub(crate) events: usize,
    /// Events about nothing that is known here.
    pub(crate) strange: Vec<String>,
}

/// An event of a parcel as its carrier is told of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) kind: String,
    pub(crate) state: State,
    /// The number on the door behind which it then is; 0 if none.
    pub(crate) inside: u16,
}

/// An event of a parcel as operators are told of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) kind: String,
    /// The number on the door where it happened; 0 if none.
    pub(crate) at: u16,
    pub(crate) detail: String,
}

/// What the hub's watches say about one bank.
#[derive(Clone, Debug, Default)]
pub(crate) struct WatchedBank {
    /// The numbers on the doors that were opened for what it tells, in order.
    pub(crate) openings: Vec<u16>,
    /// Parcels that came to be inside.
    pub(crate) stored: usize,
    /// Compartments that nobody knew the content of, and why.
    pub(crate) quarantined: Vec<(u16, String)>,
    /// Those that staff looked into, and why.
    pub(crate) released: Vec<(u16, String)>,
    /// What else it tells of: what, and the detail.
    pub(crate) others: Vec<(String, String)>,
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

/// What a bank has recorded in its journal, as the hub keeps it: some of it leaves no other trace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorded {
    /// The numbers on the doors that it was about to open, in order.
    pub(crate) intended: Vec<u16>,
    /// Compartments that were too small.
    pub(crate) misfits: Vec<u16>,
    /// Wrong digits that were counted.
    pub(crate) wrong_digits: usize,
}

/// Everything that does not fit, with the source that says it.
pub(crate) fn compare(stories: &[Story], told: &Told) -> Vec<String> {
    let mut findings = Findings::default();
    let scripts = stories.iter().map(|story| &story.bank);
    let sources = told.watched.banks.keys().chain(told.logged.keys());
    let sources = sources.chain(told.posted.letters.keys()).chain(told.recorded.keys());
    let banks: BTreeSet<&String> = scripts.chain(sources).collect();
    for bank in banks {
        let sources = OfBank {
            bank,
            watched: told.watched.banks.get(bank).cloned().unwrap_or_default(),
            logged: told.logged.get(bank).cloned().unwrap_or_default(),
            letters: told.posted.letters.get(bank).cloned().unwrap_or_default(),
            recorded: told.recorded.get(bank).cloned().unwrap_or_default(),
        };
        findings.beside_each_other(&sources);
        findings.beside_the_script(&sources, stories);
        findings.out_of_the_ordinary(&sources, stories);
    }
    findings.of_parcels(stories, &told.watched);
    for event in &told.watched.strange {
        findings.unless(false, "watch", event.clone());
    }
    let strays = format!("{} files are no letters", told.posted.strays);
    findings.unless(told.posted.strays == 0, "mailbox", strays);
    findings.0
}

/// The stories that were not told although they should be, and the other way round.
pub(crate) fn untold(stories: &[Story], wanted: &[(&'static str, &'static str)]) -> Vec<String> {
    let told = sorted(&stories.iter().map(|story| (story.name, &*story.bank)).collect::<Vec<_>>());
    let wanted = sorted(wanted);
    let fits = told == wanted;
    let finding = format!("script: the stories {told:?} were told, {wanted:?} expected");
    if fits { Vec::new() } else { vec![finding] }
}

/// What the sources say about one bank.
struct OfBank<'a> {
    bank: &'a str,
    watched: WatchedBank,
    logged: Logged,
    letters: Vec<String>,
    recorded: Recorded,
}

#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    /// Sources that know nothing of each other.
    fn beside_each_other(&mut self, sources: &OfBank<'_>) {
        let OfBank { bank, watched, logged, letters, recorded } = sources;
        let (told, pulsed) = (&watched.openings, &logged.pulses);
        let what = format!("the watch tells of openings of {told:?}, the log of pulses {pulsed:?}");
        self.unless(told == pulsed, bank, what);
        let meant = &recorded.intended;
        let what = format!("the journal tells of intents {meant:?}, the log of pulses {pulsed:?}");
        self.unless(meant == pulsed, bank, what);
        let (stored, sent) = (watched.stored, letters.len());
        let what = format!("the watch tells of {stored} parcels inside, the mailbox of {sent}");
        self.unless(stored == sent, bank, what);
        let pulsed = sorted(pulsed);
        for (what, moved) in [("opened", &logged.opened), ("shut", &logged.shut)] {
            let moved = sorted(moved);
            let what = format!("doors {moved:?} were {what}, {pulsed:?} were pulsed");
            self.unless(moved == pulsed, &log_of(bank), what);
        }
    }

    /// A source, and those who were there.
    fn beside_the_script(&mut self, sources: &OfBank<'_>, stories: &[Story]) {
        let OfBank { bank, watched, logged, letters, recorded } = sources;
        let here: Vec<&Story> = stories.iter().filter(|story| story.bank == **bank).collect();
        let opened: Vec<u16> = here.iter().flat_map(|story| story.openings.clone()).collect();
        let pulsed = &logged.pulses;
        let what = format!("compartments {pulsed:?} were pulsed, {opened:?} expected");
        self.unless(*pulsed == opened, &log_of(bank), what);
        let small: Vec<u16> = here.iter().flat_map(|story| story.misfits.clone()).collect();
        let found = &recorded.misfits;
        let what = format!("compartments {found:?} were too small, {small:?} expected");
        self.unless(*found == small, &journal_of(bank), what);
        // Wherever the story is told: what counts is where they were typed.
        let refusals = stories.iter().flat_map(|story| &story.refusals);
        let typed = refusals.filter(|each| each.bank == **bank && each.reason == WRONG_DIGITS);
        let (counted, typed) = (recorded.wrong_digits, typed.count());
        let what = format!("{counted} wrong digits were counted, {typed} expected");
        self.unless(counted == typed, &journal_of(bank), what);
        let doubtful = here.iter().flat_map(|story| &story.quarantined);
        let doubtful: Vec<_> = doubtful.map(|number| (*number, IN_DOUBT.to_owned())).collect();
        for (what, found) in
            [("quarantined", &watched.quarantined), ("released", &watched.released)]
        {
            let what = format!("compartments {found:?} were {what}, {doubtful:?} expected");
            self.unless(*found == doubtful, &watch_of(bank), what);
        }
        let lives = here.iter().flat_map(|story| &story.parcels);
        let wanted = lives.flat_map(|life| vec![life.email.clone(); life.letters()]);
        let (sent, wanted) = (sorted(letters), sorted(&wanted.collect::<Vec<_>>()));
        let what = format!("letters to {sent:?}, {wanted:?} expected");
        self.unless(sent == wanted, &format!("mailbox of {bank}"), what);
    }

    /// What no story has.
    fn out_of_the_ordinary(&mut self, sources: &OfBank<'_>, stories: &[Story]) {
        let OfBank { bank, watched, logged, .. } = sources;
        for (kind, detail) in &watched.others {
            let what = format!("{kind} {detail}").trim_end().to_owned();
            self.unless(ROUTINE.contains(&kind.as_str()), &watch_of(bank), what);
        }
        let starts = watched.others.iter().filter(|(kind, _)| kind == STARTED).count();
        let here = stories.iter().filter(|story| story.bank == **bank);
        let wanted = 1 + here.map(|story| story.power_cuts).sum::<usize>();
        let what = format!("the agent started {starts} times, {wanted} expected");
        self.unless(starts == wanted, &watch_of(bank), what);
        for line in &logged.strange {
            self.unless(false, &log_of(bank), line.clone());
        }
    }

    fn of_parcels(&mut self, stories: &[Story], watched: &Watched) {
        let lives = stories.iter().flat_map(|story| &story.parcels);
        let wanted: BTreeMap<&String, &Life> = lives.map(|life| (&life.parcel, life)).collect();
        let told = watched.lives.keys().chain(watched.notes.keys());
        let parcels: BTreeSet<&String> = wanted.keys().copied().chain(told).collect();
        for parcel in parcels {
            let meant = wanted.get(parcel);
            let (went, expected) = (watched.lives.get(parcel), meant.map(|life| heard(life)));
            let what = format!("{parcel} went through {went:?}, {expected:?} expected");
            self.unless(went == expected.as_ref(), "watch", what);
            let (went, expected) = (watched.notes.get(parcel), meant.map(|life| noted(life)));
            let what = format!("{parcel} went through {went:?}, {expected:?} expected");
            self.unless(went == expected.as_ref(), "operators' watch", what);
            self.of_places(parcel, went.into_iter().flatten());
        }
        let events = watched.events;
        let expected: usize = wanted.values().map(|life| life.turns.len()).sum();
        self.unless(events == expected, "watch", format!("{events} events, {expected} expected"));
    }

    /// Whatever the script says: a parcel is where its courier put it until somebody takes it out of
    /// there.
    fn of_places<'a>(&mut self, parcel: &str, told: impl Iterator<Item = &'a Noted>) {
        let mut place = 0;
        for Noted { kind, at, .. } in told {
            let moves = kind == "PARCEL_DEPOSITING" || *at == 0;
            let what = format!("{parcel} was in {place}, and {kind} was at {at}");
            self.unless(moves || place == *at, "operators' watch", what);
            place = *at;
        }
    }

    fn unless(&mut self, fits: bool, source: &str, what: String) {
        if !fits {
            self.0.push(format!("{source}: {what}"));
        }
    }
}

fn heard(life: &Life) -> Vec<Heard> {
    let tellings = life.turns.iter().map(|turn| turn.telling());
    let heard = tellings.map(|told| {
        let kind = told.kind.to_owned();
        Heard { kind, state: told.state, inside: told.inside }
    });
    heard.collect()
}

fn noted(life: &Life) -> Vec<Noted> {
    let tellings = life.turns.iter().map(|turn| turn.telling());
    let noted = tellings.map(|told| {
        let (kind, detail) = (told.kind.to_owned(), told.detail.to_owned());
        Noted { kind, at: told.at, detail }
    });
    noted.collect()
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.kind, self.state, self.inside)
    }
}

impl fmt::Debug for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?}", self.kind, self.at, self.detail)
    }
}

fn log_of(bank: &str) -> String {
    format!("lock boards of {bank}")
}

fn watch_of(bank: &str) -> String {
    format!("watch of {bank}")
}

fn journal_of(bank: &str) -> String {
    format!("journal of {bank}")
}

fn sorted<T: Ord + Clone>(items: &[T]) -> Vec<T> {
    let mut items = items.to_vec();
    items.sort_unstable();
    items
}

#[cfg(test)]
mod tests;
