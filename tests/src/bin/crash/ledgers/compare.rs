//! The comparison itself: pure, so that a lie can be planted in a test.
//!
//! *Lost* is what somebody was told, or did with their hands, and a ledger that must have it has not.
//! *Doubled* is what took effect more than once. *Unexplained* is what a ledger has and no other one
//! accounts for.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use system_tests::callers::Order;

use super::{AtDoor, HubParcel, Ledgers, Seen};
use crate::diary::{Entry, What};
use crate::journal::{Intent, Pulsed, Turn};

/// A pulse goes out within two seconds of its intent or not at all; what is added is for two clocks
/// that are read at different moments, in milliseconds.
pub(crate) const PULSE_WITHIN_MS: u64 = 2_000 + CLOCKS_APART_MS;
const CLOCKS_APART_MS: u64 = 1_000;

/// What was counted, and what does not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) parcels: usize,
    pub(crate) deposits_told: usize,
    pub(crate) pickups_told: usize,
    pub(crate) unanswered: usize,
    pub(crate) staff_looks: usize,
    pub(crate) pulses: usize,
    pub(crate) intents: usize,
    /// Pulses of which the agent did not know what became of them, because it was killed.
    pub(crate) pulses_in_doubt: usize,
    pub(crate) agent_starts: usize,
    pub(crate) alarms: usize,
    pub(crate) hub_events: usize,
    pub(crate) letters: usize,
    pub(crate) lost: Vec<String>,
    pub(crate) doubled: Vec<String>,
    pub(crate) unexplained: Vec<String>,
}

impl Verdict {
    pub(crate) const fn agrees(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.unexplained.is_empty()
    }
}

/// Everything beside everything.
pub(crate) fn compare(ledgers: &Ledgers) -> Verdict {
    let mut verdict = Verdict::default();
    count(&mut verdict, ledgers);
    for (bank, seen) in &ledgers.boards {
        hands_and_boards(&mut verdict, bank, &ledgers.people, seen);
        boards_and_journal(&mut verdict, ledgers, bank, seen);
        boards_and_hub(&mut verdict, ledgers, bank, seen);
    }
    journals_and_hub(&mut verdict, ledgers);
    for name in names(&ledgers.people) {
        of_parcel(&mut verdict, ledgers, name);
    }
    let mut ids = BTreeSet::new();
    let events = ledgers.hub.parcels.values().flat_map(|parcel| &parcel.turns);
    for (id, turn) in events {
        if !ids.insert(id) {
            verdict.doubled.push(format!("hub: the event {id} {} is there twice", turn.kind));
        }
    }
    verdict
}

fn count(verdict: &mut Verdict, ledgers: &Ledgers) {
    let of = |wanted: fn(&What) -> bool| {
        ledgers.people.iter().filter(|entry| wanted(&entry.what)).count()
    };
    verdict.parcels = of(|what| matches!(what, What::Announced));
    verdict.deposits_told = of(|what| matches!(what, What::ToldStored { .. } | What::ToldInside));
    verdict.pickups_told = of(|what| matches!(what, What::ToldCollected { .. } | What::ToldGone));
    verdict.unanswered = of(|what| matches!(what, What::Unanswered { .. }));
    verdict.staff_looks = of(|what| matches!(what, What::Found { .. }));
    verdict.pulses = ledgers.boards.values().map(|seen| pulses(seen).len()).sum();
    let journals = ledgers.journals.values();
    verdict.intents = journals.clone().map(|book| book.intents.len()).sum();
    let in_doubt = |intent: &&Intent| intent.pulsed == Pulsed::Perhaps;
    verdict.pulses_in_doubt =
        journals.clone().map(|book| book.intents.iter().filter(in_doubt).count()).sum();
    verdict.alarms = journals.clone().map(|book| book.alarms).sum();
    verdict.agent_starts = journals.map(|book| book.starts).sum();
    verdict.hub_events = ledgers.hub.parcels.values().map(|parcel| parcel.turns.len()).sum();
    verdict.letters = ledgers.letters.len();
}

/// What people did with their hands is what the boards saw, one thing after the other.
fn hands_and_boards(verdict: &mut Verdict, bank: &str, people: &[Entry], seen: &[AtDoor]) {
    let mut did: BTreeMap<u16, Vec<Seen>> = BTreeMap::new();
    for entry in people.iter().filter(|entry| entry.bank == bank) {
        match entry.what {
            What::Put { compartment } => did.entry(compartment).or_default().push(Seen::Put),
            What::Took { compartment } => did.entry(compartment).or_default().push(Seen::Taken),
            What::Announced
            | What::Booked
            | What::LabelTaken
            | What::ToldStored { .. }
            | What::ToldInside
            | What::Kept
            | What::Letter
            | What::CodeTaken
            | What::ToldCollected { .. }
            | What::ToldGone
            | What::Found { .. }
            | What::Heard { .. }
            | What::Committed { .. }
            | What::Unanswered { .. } => {}
        }
    }
    let mut saw: BTreeMap<u16, Vec<Seen>> = BTreeMap::new();
    for at in seen.iter().filter(|at| matches!(at.what, Seen::Put | Seen::Taken)) {
        saw.entry(at.compartment).or_default().push(at.what);
    }
    if did != saw {
        let what = format!("{bank}: hands did {did:?}, the boards saw {saw:?}");
        verdict.unexplained.push(what);
    }
    for at in seen.iter().filter(|at| at.what == Seen::Fault || at.compartment == 0) {
        verdict.unexplained.push(format!("{bank}: the boards saw {at:?}"));
    }
}

/// Every pulse has an intent of its own before it, and every door that opened a pulse.
fn boards_and_journal(verdict: &mut Verdict, ledgers: &Ledgers, bank: &str, seen: &[AtDoor]) {
    let Some(book) = ledgers.journals.get(bank) else {
        verdict.lost.push(format!("{bank}: there is no journal"));
        return;
    };
    let (extra, missing) = match_pulses(&pulses(seen), &book.intents);
    for (compartment, t_ms) in extra {
        let what = format!("{bank}: a pulse for {compartment} at {t_ms} without an intent");
        verdict.unexplained.push(what);
    }
    for intent in missing {
        verdict.lost.push(format!("{bank}: no board saw the pulse of {intent:?}"));
    }
    for fact in &book.strange {
        verdict.unexplained.push(format!("{bank}: {fact}"));
    }
    let mut pulsed = BTreeMap::<u16, usize>::new();
    for at in seen {
        let left = pulsed.entry(at.compartment).or_default();
        if at.what == Seen::Pulse {
            *left += 1;
        } else if at.what == Seen::Open {
            if *left == 0 {
                let what = format!("{bank}: door {} opened without a pulse", at.compartment);
                verdict.unexplained.push(what);
            }
            *left = left.saturating_sub(1);
        }
    }
}

/// What is inside in the end is what the hub says.
fn boards_and_hub(verdict: &mut Verdict, ledgers: &Ledgers, bank: &str, seen: &[AtDoor]) {
    let mut full = BTreeSet::new();
    for at in seen {
        match at.what {
            Seen::Put => _ = full.insert(at.compartment),
            Seen::Taken => _ = full.remove(&at.compartment),
            Seen::Pulse | Seen::Open | Seen::Shut | Seen::Fault => {}
        }
    }
    let Some(known) = ledgers.hub.banks.get(bank) else {
        verdict.lost.push(format!("hub: it does not know {bank}"));
        return;
    };
    if !known.stopped_reason.is_empty() {
        let what = format!("hub: {bank} is stopped: {}", known.stopped_reason);
        verdict.unexplained.push(what);
    }
    for (compartment, allocation, parcel) in &known.compartments {
        match (full.contains(compartment), allocation.as_str()) {
            (true, "OCCUPIED") | (false, "FREE" | "RESERVED") => {}
            (true, "QUARANTINED") if !parcel.is_empty() => {}
            (true, _) => {
                let what = format!("hub: {bank} {compartment} is {allocation} and full");
                verdict.lost.push(what);
            }
            (false, _) => {
                let what = format!("hub: {bank} {compartment} is {allocation} {parcel} and empty");
                verdict.unexplained.push(what);
            }
        }
    }
}

/// What a bank has recorded took effect in the hub, each once, and nothing else did.
fn journals_and_hub(verdict: &mut Verdict, ledgers: &Ledgers) {
    for (bank, book) in &ledgers.journals {
        let committed = ledgers.hub.banks.get(bank).map_or(0, |known| known.committed_seq);
        if committed != book.head_seq {
            let head = book.head_seq;
            let what = format!("{bank}: {head} records, {committed} of them in the hub");
            verdict.lost.push(what);
        }
        for (name, life) in &book.lives {
            let told = ledgers.hub.parcels.get(name).map(turns_at_bank).unwrap_or_default();
            differ(verdict, &format!("{bank} and hub: {name}"), life, &told);
        }
    }
}

/// The hub's events that a bank's records brought about.
fn turns_at_bank(parcel: &HubParcel) -> Vec<Turn> {
    let decided = ["PARCEL_ANNOUNCED", "PARCEL_BOOKED"];
    let turns = parcel.turns.iter().map(|(_, turn)| turn);
    turns.filter(|turn| !decided.contains(&turn.kind.as_str())).cloned().collect()
}

fn differ(verdict: &mut Verdict, who: &str, recorded: &[Turn], told: &[Turn]) {
    if kinds(recorded) == kinds(told) {
        return;
    }
    let count = |turns: &[Turn], kind: &str| turns.iter().filter(|turn| turn.kind == kind).count();
    let mut all: Vec<&str> = kinds(recorded);
    all.extend(kinds(told));
    all.sort_unstable();
    all.dedup();
    let what = format!("{who}: recorded {:?}, told {:?}", kinds(recorded), kinds(told));
    if all.iter().any(|kind| count(told, kind) < count(recorded, kind)) {
        verdict.lost.push(what);
    } else if all.iter().any(|kind| count(told, kind) > count(recorded, kind)) {
        verdict.doubled.push(what);
    } else {
        verdict.unexplained.push(what);
    }
}

fn kinds(turns: &[Turn]) -> Vec<&str> {
    turns.iter().map(|turn| turn.kind.as_str()).collect()
}

fn names(people: &[Entry]) -> BTreeSet<&str> {
    people.iter().map(|entry| entry.parcel.as_str()).filter(|name| !name.is_empty()).collect()
}

/// Where a parcel is by its people's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Custody {
    Courier,
    Inside(u16),
    Recipient,
}

/// What its people were told and have in their hands is what the hub says.
fn of_parcel(verdict: &mut Verdict, ledgers: &Ledgers, name: &str) {
    let said: Vec<&What> = ledgers
        .people
        .iter()
        .filter(|entry| entry.parcel == name)
        .map(|entry| &entry.what)
        .collect();
    let hub = ledgers.hub.parcels.get(name).cloned().unwrap_or_default();
    let times = |kind: &str| hub.turns.iter().filter(|(_, turn)| turn.kind == kind).count();
    let mut custody = Custody::Courier;
    for what in &said {
        match what {
            What::Put { compartment } => custody = Custody::Inside(*compartment),
            What::Took { .. } => custody = Custody::Recipient,
            What::Heard { event } => heard(verdict, name, &hub, event),
            What::Announced
            | What::Booked
            | What::LabelTaken
            | What::ToldStored { .. }
            | What::ToldInside
            | What::Kept
            | What::Letter
            | What::CodeTaken
            | What::ToldCollected { .. }
            | What::ToldGone
            | What::Found { .. }
            | What::Committed { .. }
            | What::Unanswered { .. } => {}
        }
    }
    let told = |wanted: fn(&What) -> bool| said.iter().any(|what| wanted(what));
    let mut must = |is_told: bool, kind: &str| {
        if is_told && times(kind) == 0 {
            verdict.lost.push(format!("{name}: its people were told of {kind}, the hub was not"));
        }
    };
    must(told(|what| matches!(what, What::Announced)), "PARCEL_ANNOUNCED");
    must(told(|what| matches!(what, What::Booked)), "PARCEL_BOOKED");
    must(told(|what| matches!(what, What::ToldStored { .. } | What::ToldInside)), "PARCEL_STORED");
    let gone = |what: &What| matches!(what, What::ToldCollected { .. } | What::ToldGone);
    must(told(gone), "PARCEL_COLLECTED");
    for kind in ["PARCEL_ANNOUNCED", "PARCEL_BOOKED", "PARCEL_COLLECTED"] {
        if times(kind) > 1 {
            verdict.doubled.push(format!("{name}: {kind} {} times", times(kind)));
        }
    }
    let (state, at) = (hub.state.as_str(), hub.compartment);
    let fits = match custody {
        Custody::Recipient => state == "COLLECTED",
        Custody::Inside(compartment) => state == "STORED" && at == compartment,
        Custody::Courier => !["STORED", "COLLECTING", "COLLECTED"].contains(&state),
    };
    if !fits {
        let what = format!("{name}: {custody:?} by hand, {state} in {at} to the hub");
        verdict.lost.push(what);
    }
    of_letters(verdict, ledgers, name, times("PARCEL_STORED") > 0);
}

/// A letter once it is inside, and one only.
fn of_letters(verdict: &mut Verdict, ledgers: &Ledgers, name: &str, stored: bool) {
    let address = Order::small(name).email;
    let letters = ledgers.letters.iter().filter(|to| **to == address).count();
    match (stored, letters) {
        (true, 0) => verdict.lost.push(format!("{name}: no letter")),
        (false, 0) | (true, 1) => {}
        (true, _) => verdict.doubled.push(format!("{name}: {letters} letters")),
        (false, _) => verdict.unexplained.push(format!("{name}: a letter, and nothing inside")),
    }
}

/// What the hub once told, it tells for ever.
fn heard(verdict: &mut Verdict, name: &str, hub: &HubParcel, event: &str) {
    let id = event.rsplit(' ').next().unwrap_or_default();
    if !hub.turns.iter().any(|(known, _)| known == id) {
        verdict.lost.push(format!("{name}: its carrier heard {event}, the hub knows of none"));
    }
}

fn pulses(seen: &[AtDoor]) -> Vec<(u16, u64)> {
    let pulses = seen.iter().filter(|at| at.what == Seen::Pulse);
    pulses.map(|at| (at.compartment, at.t_ms)).collect()
}

/// Pulses that no intent accounts for.
pub(crate) fn pulses_without_intent(seen: &[AtDoor], intents: &[Intent]) -> Vec<(u16, u64)> {
    match_pulses(&pulses(seen), intents).0
}

/// The pulses without an intent, and the intents that must have pulsed and did not, with as few of
/// both as can be: both lists are in order, and an intent has one pulse at most.
fn match_pulses(pulses: &[(u16, u64)], intents: &[Intent]) -> (Vec<(u16, u64)>, Vec<Intent>) {
    let goes = |(compartment, t_ms): (u16, u64), intent: &Intent| {
        intent.pulsed != Pulsed::Never
            && intent.compartment == compartment
            && t_ms + CLOCKS_APART_MS >= intent.at_ms
            && t_ms <= intent.at_ms + PULSE_WITHIN_MS
    };
    let price = |intent: &Intent| usize::from(intent.pulsed == Pulsed::Surely);
    // The least that does not fit among the pulses from `p` and the intents from `i` on.
    let mut least = vec![vec![0_usize; intents.len() + 1]; pulses.len() + 1];
    for p in (0..=pulses.len()).rev() {
        for i in (0..=intents.len()).rev() {
            let mut ways = Vec::new();
            if p == pulses.len() && i == intents.len() {
                ways.push(0);
            }
            if p < pulses.len() {
                ways.push(1 + least[p + 1][i]);
            }
            if i < intents.len() {
                ways.push(price(&intents[i]) + least[p][i + 1]);
            }
            if p < pulses.len() && i < intents.len() && goes(pulses[p], &intents[i]) {
                ways.push(least[p + 1][i + 1]);
            }
            least[p][i] = ways.into_iter().min().unwrap_or_default();
        }
    }
    let (mut p, mut i, mut extra, mut missing) = (0, 0, Vec::new(), Vec::new());
    while p < pulses.len() || i < intents.len() {
        let left = least[p][i];
        if p < pulses.len()
            && i < intents.len()
            && goes(pulses[p], &intents[i])
            && left == least[p + 1][i + 1]
        {
            (p, i) = (p + 1, i + 1);
        } else if i < intents.len() && left == price(&intents[i]) + least[p][i + 1] {
            missing.extend((price(&intents[i]) > 0).then_some(intents[i]));
            i += 1;
        } else {
            extra.push(pulses[p]);
            p += 1;
        }
    }
    (extra, missing)
}

#[cfg(test)]
mod tests;
