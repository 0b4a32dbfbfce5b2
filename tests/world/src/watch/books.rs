//! The books when a history is not the one that it was: the disk was put back to an older copy, the hub gave records
//! back, the bank began another stream, or all is lost. What must hold afterwards is what either history says is dead.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use edge_agent::journal::Journal;
use edge_agent::store::Kept;
use locker_core::bank::{AbortedContent, Finding, PickupEnd, PulseOutcome, RecallEnd};
use locker_core::compartment::{DoorReading, QuarantineReason};
use locker_core::fact::Fact;
use locker_core::ids::{CompartmentNo, ParcelId, StreamId};
use locker_core::journal::{CHAIN_START, ChainHash, MemoryView, Parent, Place, StreamBreak};
use locker_core::journal::{fold, next_hash};
use locker_proto::record::decode_record;

use super::{Invariant, Watch};
use crate::cast::LOCKS;

/// A time after all that a world can promise: whatever lapsed in a book that is read again was judged when it lapsed.
const ANY_TIME_MS: u64 = u64::MAX / 2;

/// Parcels, and where they are.
type Inside = BTreeMap<ParcelId, CompartmentNo>;
/// Those that staff must see first.
type InDoubt = BTreeSet<ParcelId>;

impl Watch {
    /// The books that `log` makes of the present stream.
    fn read(&self, log: &[Arc<[u8]>]) -> Self {
        let mut books = self.base.as_deref().cloned().unwrap_or_default();
        let mut view = MemoryView::default();
        books.base.clone_from(&self.base);
        books.now_ms = ANY_TIME_MS;
        let mut hash = CHAIN_START;
        for bytes in log {
            let Ok(record) = decode_record(bytes) else { continue };
            hash = next_hash(hash, bytes);
            books.stream = Some(record.stream);
            books.fact(&record.fact, &view, record.at, (hash, bytes));
            let changes = fold(&view, &record);
            view.apply(changes);
        }
        books.intended.clear();
        books.last_pulse = books.last_intent;
        books
    }

    /// The books of a stream that begins with `base`.
    fn beginning(base: Self) -> Self {
        Self { base: Some(Box::new(base.clone())), ..base }
    }

    /// Goes on with other books; what was counted, and what broke, stays.
    fn turn_to(&mut self, other: Self) {
        let before = mem::replace(self, other);
        self.broken = before.broken;
        self.told = before.told;
        self.now_ms = before.now_ms;
        self.disk_was_changed = before.disk_was_changed;
        self.may_look_like_two = before.may_look_like_two;
        (self.deposits, self.pickups) = (before.deposits, before.pickups);
        self.pulses_given = before.pulses_given;
        (self.restored, self.branched, self.lost) = (before.restored, before.branched, before.lost);
        self.anew = before.anew;
    }

    /// The bank's disk is again as it was when `log` was all that was on it.
    pub fn put_back(&mut self, log: &[Arc<[u8]>]) {
        self.turn_to(self.read(log));
        (self.disk_was_changed, self.may_look_like_two) = (true, true);
    }

    /// The bank has an empty disk. `known` is what the hub has of it: whatever that says is dead stays so. What is in
    /// the compartments nobody knows before somebody has looked.
    pub fn lost(&mut self, known: &[Arc<[u8]>]) {
        let known = self.read(known);
        let opened = all_opened();
        let digits = mem::take(&mut self.digits);
        let (codes, may_be_dead) = (known.codes, known.may_be_dead);
        let books = Self { codes, may_be_dead, digits, opened, ..Self::default() };
        self.turn_to(Self::beginning(books));
        self.lost += 1;
        (self.disk_was_changed, self.may_look_like_two) = (true, true);
    }

    /// What the last run thought when it died, as it may have kept it beside its journal.
    #[must_use]
    pub fn left_behind(&self) -> Option<Kept> {
        let (view, seq) = (self.left_behind.as_ref()?, self.head());
        let at = Place { seq, hash: self.hash_at(seq)? };
        Some(Kept { stream: self.stream?, at, changes: view.export() })
    }

    /// Whether the records up to `upto` have a start of the agent: before it the state of a stream is not whole.
    #[must_use]
    pub fn has_started(&self, upto: u64) -> bool {
        let upto = usize::try_from(upto).unwrap_or(usize::MAX).min(self.log.len());
        self.log[..upto].iter().any(|bytes| {
            decode_record(bytes).is_ok_and(|record| matches!(record.fact, Fact::Booted(_)))
        })
    }

    /// Somebody is about to put a new journal in the place of the damaged one. The records up to `upto` must count in it:
    /// what was behind may be lost. Of several tries one has come to its end, nobody knows which.
    pub fn begins_anew(&mut self, upto: u64) {
        self.counts_upto = Some(self.counts_upto.map_or(upto, |before| before.min(upto)));
    }

    /// The bank goes on from what was left of a damaged journal. What that says is dead stays so; what is in the
    /// compartments nobody knows before somebody has looked.
    fn without_damaged(&mut self, parent: Parent) {
        let common = parent.common.unwrap_or(Place { seq: 0, hash: CHAIN_START });
        if self.hash_at(common.seq) != Some(common.hash) {
            let what = format!("begun anew from {common:?}, which never was");
            self.breaks(Invariant::DurableOnceTold, what);
        }
        let upto = usize::try_from(self.counts_upto.unwrap_or(0)).unwrap_or(usize::MAX);
        let known = self.read(&self.log[..upto.min(self.log.len())]);
        let mut may_be_dead = known.may_be_dead;
        let dead = self.codes.iter().filter(|(_, (_, dead))| dead.is_some());
        may_be_dead.extend(dead.map(|(code, _)| *code));
        let books = Self {
            stream: self.stream,
            of_two_branches: true,
            codes: known.codes,
            may_be_dead,
            digits: mem::take(&mut self.digits),
            opened: all_opened(),
            openings: known.openings,
            last_intent: known.last_intent,
            last_pulse: known.last_pulse,
            ..Self::default()
        };
        self.turn_to(Self::beginning(books));
        self.disk_was_changed = true;
        self.anew += 1;
    }

    /// Somebody has emptied every compartment and shut its door.
    pub fn emptied(&mut self) {
        self.opened.clear();
        if let Some(base) = &mut self.base {
            base.opened.clear();
        }
    }

    /// The bank has taken these records back; they are not in place yet.
    pub fn given_back(&mut self, first_seq: u64, records: &[Vec<u8>]) {
        let records = records.iter().map(|bytes| Arc::from(&bytes[..]));
        self.given.extend((first_seq..).zip(records));
    }

    /// Nothing waits to be put in place any more.
    pub fn all_in_place(&mut self) {
        self.given.clear();
    }

    /// What was given back that goes on from record `seq` of these books, as far as it does.
    fn given_above(&self, seq: u64) -> Vec<Arc<[u8]>> {
        let Some(mut hash) = self.hash_at(seq) else { return Vec::new() };
        let mut run: Vec<Arc<[u8]>> = Vec::new();
        for (due, (at, bytes)) in (seq + 1..).zip(self.given.range(seq + 1..)) {
            let fits = decode_record(bytes).is_ok_and(|record| record.previous == hash);
            if *at != due || !fits {
                break;
            }
            hash = next_hash(hash, bytes);
            run.push(Arc::clone(bytes));
        }
        run
    }

    /// Holds the journal that a start has found, or made whole, against the books.
    pub fn opened(&mut self, journal: &Journal) {
        let stream = StreamId(journal.stream_id());
        match self.stream.replace(stream) {
            None => {}
            // Of a journal without a record nobody was told.
            Some(_) if self.log.is_empty() => {}
            Some(known) if known != stream => self.other_stream(journal, known),
            Some(_) => self.same_stream(journal),
        }
    }

    fn same_stream(&mut self, journal: &Journal) {
        let (had, has) = (self.head(), journal.head_seq());
        let same = |seq| journal.hash_at(seq).ok().map(ChainHash) == self.hash_at(seq);
        if has >= had && same(had) {
            return;
        }
        let lowest = journal.oldest_seq() - 1;
        let common = (lowest..=had.min(has)).rev().find(|seq| same(*seq));
        let Some(common) = common.filter(|_| !self.given.is_empty()) else {
            let what =
                format!("{had} records were durable, {has} are there, common up to {common:?}");
            self.breaks(Invariant::DurableOnceTold, what);
            return;
        };
        let at = |seq: u64| usize::try_from(seq).unwrap_or(usize::MAX);
        let mut log = self.log[..at(common)].to_vec();
        if let Some(lost) = self.log[at(common)..].iter().find_map(|bytes| was_told(bytes)) {
            let what = format!("taken back above {common}: {lost:?}");
            self.breaks(Invariant::DurableOnceTold, what);
        }
        log.extend(self.given_above(common));
        log.truncate(at(has));
        let books = self.read(&log);
        if books.hash_at(has) != journal.hash_at(has).ok().map(ChainHash) {
            let what = format!("record {has} is neither what was written nor what was given back");
            self.breaks(Invariant::DurableOnceTold, what);
            return;
        }
        let given = mem::take(&mut self.given);
        self.turn_to(books);
        // A start that dies on the way has not put all in place.
        self.given = given;
        self.restored += 1;
    }

    /// The bank has begun another stream: with a parent it takes everything along.
    fn other_stream(&mut self, journal: &Journal, known: StreamId) {
        let first = journal.read(1, 1, usize::MAX).ok().and_then(|run| run.into_iter().next());
        let opened = first.and_then(|stored| decode_record(&stored.record).ok());
        let parent = opened.and_then(|record| match record.fact {
            Fact::StreamOpened(opened) => opened.parent,
            _ => None,
        });
        let Some(parent) = parent.filter(|parent| parent.stream == known) else {
            self.breaks(Invariant::AgentStarts, "the journal is gone");
            return;
        };
        if parent.reason == Some(StreamBreak::Damaged) {
            self.without_damaged(parent);
            return;
        }
        let theirs = parent.common.map(|common| {
            let common_at = usize::try_from(common.seq).unwrap_or(usize::MAX).min(self.log.len());
            let mut log = self.log[..common_at].to_vec();
            log.extend(self.given_above(common.seq));
            self.read(&log)
        });
        let common = parent.common.map(|common| common.seq);
        let (stored, doubted) = self.inside_on_both(theirs.as_ref(), common);
        let theirs = theirs.unwrap_or_default();
        let mut codes = mem::take(&mut self.codes);
        for (code, (parcel, dead)) in theirs.codes {
            let held = codes.entry(code).or_insert((parcel, dead));
            held.1 = held.1.or(dead);
        }
        let mut digits = mem::take(&mut self.digits);
        digits.extend(theirs.digits);
        let mut opened = mem::take(&mut self.opened);
        for (no, seen) in theirs.opened {
            *opened.entry(no).or_default() |= seen;
        }
        let books = Self {
            stream: self.stream,
            of_two_branches: true,
            codes,
            may_be_dead: self.may_be_dead.union(&theirs.may_be_dead).copied().collect(),
            digits,
            opened,
            stored,
            doubted,
            openings: mem::take(&mut self.openings),
            last_intent: self.last_intent.max(theirs.last_intent),
            last_pulse: self.last_pulse.max(theirs.last_pulse),
            ..Self::default()
        };
        self.turn_to(Self::beginning(books));
        self.branched += 1;
    }
}

/// Every door may have been open, and was for all that anybody knows.
fn all_opened() -> BTreeMap<CompartmentNo, bool> {
    (1..=u16::from(LOCKS)).map(|no| (CompartmentNo(no), true)).collect()
}

impl Watch {
    /// Whether staff must look first whether `parcel` is where it should be.
    #[must_use]
    pub fn is_in_doubt(&self, parcel: ParcelId) -> bool {
        self.doubted.contains(&parcel)
    }

    /// Somebody has put a parcel in, or found it.
    pub(super) fn seen_inside(&mut self, fact: &Fact) {
        let parcel = match fact {
            Fact::DepositConfirmed(confirmed) => confirmed.parcel,
            Fact::InspectionSettled(settled) => match settled.finding {
                Finding::Holds(parcel) => parcel,
                Finding::Empty
                | Finding::TakenOut(_)
                | Finding::HandedOver(_)
                | Finding::NotOpened
                | Finding::Unfinished => return,
            },
            _ => return,
        };
        self.doubted.remove(&parcel);
    }

    /// What is inside by both branches, and what of it staff must see first: all where nobody knows the other branch, and
    /// that in compartments that either has touched since record `common`.
    fn inside_on_both(&self, theirs: Option<&Self>, common: Option<u64>) -> (Inside, InDoubt) {
        let mut stored = self.stored.clone();
        let Some((theirs, common)) = theirs.zip(common) else {
            let doubted = stored.keys().copied().collect();
            return (stored, doubted);
        };
        stored.retain(|parcel, no| theirs.stored.get(parcel) == Some(no));
        let above = |log: &[Arc<[u8]>]| {
            let first = usize::try_from(common).unwrap_or(usize::MAX).min(log.len());
            let facts = log[first..].iter().filter_map(|bytes| decode_record(bytes).ok());
            facts.flat_map(|record| compartments_of(&record.fact)).collect::<Vec<_>>()
        };
        let touched = [above(&self.log), above(&theirs.log)].concat();
        let shut =
            |no: &CompartmentNo| !self.opened.contains_key(no) && !theirs.opened.contains_key(no);
        let in_doubt = stored.iter().filter(|(_, no)| touched.contains(no) || !shut(no));
        let mut doubted: InDoubt = in_doubt.map(|(parcel, _)| *parcel).collect();
        doubted.extend(self.doubted.union(&theirs.doubted));
        (stored, doubted)
    }
}

/// Where something was done, or seen open.
fn compartments_of(fact: &Fact) -> Vec<CompartmentNo> {
    match fact {
        Fact::DepositStarted(it) => vec![it.compartment],
        Fact::DepositMisfit(it) => vec![it.compartment],
        Fact::DepositAborted(it) => vec![it.compartment],
        Fact::DepositConfirmed(it) => vec![it.compartment],
        Fact::PickupStarted(it) => vec![it.compartment],
        Fact::PickupSettled(it) => vec![it.compartment],
        Fact::PulseIntended(it) => vec![it.compartment],
        Fact::PulseSettled(it) => vec![it.compartment],
        Fact::DoorMoved(it) => vec![it.compartment],
        Fact::RecallStarted(it) => vec![it.compartment],
        Fact::RecallSettled(it) => vec![it.compartment],
        Fact::InspectionStarted(it) => vec![it.compartment],
        Fact::InspectionSettled(it) => vec![it.compartment],
        Fact::DoorsRead(read) => {
            let open = read.readings.iter().filter(|(_, door)| *door == DoorReading::Open);
            open.map(|(no, _)| *no).collect()
        }
        _ => Vec::new(),
    }
}

/// What a record says that somebody may have been told, or that a door did: it must never be taken back. The product has
/// a list of its own of what may be; this one is by what people are promised.
fn was_told(bytes: &[u8]) -> Option<Fact> {
    let fact = decode_record(bytes).ok()?.fact;
    let harmless = match &fact {
        // A start, what a sensor, a board or the mains says: it is seen again.
        Fact::Booted(_) | Fact::DoorsRead(_) | Fact::BoardChanged(_) | Fact::PowerChanged(_) => {
            true
        }
        // What the hub has decided, it says again; what has lapsed lapses again.
        Fact::GrantAccepted(_)
        | Fact::GrantRefused(_)
        | Fact::ConfigAccepted(_)
        | Fact::ConfigRefused(_)
        | Fact::CompartmentReserved(_)
        | Fact::BookingLapsed(_)
        | Fact::KeepLapsed(_)
        | Fact::SessionEnded(_)
        | Fact::Sealed(_)
        | Fact::KeyChanged(_) => true,
        // Nobody was there any more to be told.
        Fact::PulseSettled(it) => it.outcome == PulseOutcome::Recovered,
        Fact::DepositAborted(it) => {
            it.content == AbortedContent::Unknown(QuarantineReason::Interrupted)
        }
        Fact::PickupSettled(it) => it.end == PickupEnd::Interrupted,
        Fact::RecallSettled(it) => it.end == RecallEnd::Interrupted,
        Fact::InspectionSettled(it) => it.finding == Finding::Unfinished,
        _ => false,
    };
    (!harmless).then_some(fact)
}
