//! The watcher of one bank: books of its own, kept from the records that became durable, against which
//! every promise is held. It never asks the bank what it thinks.

mod books;
mod codes;
mod state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use locker_core::bank::RecallEnd;
use locker_core::bank::{AbortedContent, Finding, OpenerKind, PickupEnd, Pulse, PulseOutcome};
use locker_core::code::slot::SlotId;
use locker_core::compartment::DoorReading;
use locker_core::downlink::ConfigDocument;
use locker_core::fact::Fact;
use locker_core::governor::{GovernorLimits, Limit, REMEMBERED_MAX};
use locker_core::ids::{CompartmentNo, CredentialId, ParcelId, SessionId, StreamId};
use locker_core::journal::{ChainHash, LastPickup, MemoryView, View};
use locker_core::policy::PULSES_PER_OPENING;
use locker_core::session::{Actor, Phase};
use locker_core::units::UnixMillis;

use crate::agent::journal_dir;
use crate::disk::Disk;

/// The hub's clock is never further ahead of the true time.
pub const HUB_AHEAD_MAX_MS: u64 = 600_000;

/// What must hold. The names are those that a counterexample shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// At most one live parcel in a compartment, and both name each other.
    OneParcelACompartment,
    /// Every pulse that a board got has a durable intent of its own, and an opening at most two.
    OwnDurableIntent,
    /// A code that was used up, withdrawn or replaced opens nothing.
    DeadCodeOpensNothing,
    /// A compartment is free only if somebody vouched for it since its door may have been open.
    FreeWithEvidence,
    /// Nobody opens faster than the governor allows.
    WithinGovernor,
    /// What was durable once, and so all that anybody was told, is there after every crash.
    DurableOnceTold,
    /// The hub has no record that the bank has not, and every record that it has, once.
    HubClaimsNoMore,
    /// At the same record hub and bank are in the same state; so is a bank before and after a start.
    SameFold,
    /// When all faults have ended everything is told, decided and answered.
    HealsWhole,
    /// Who holds a good code for a parcel that is inside gets it, network or not.
    GoodCodeServed,
    /// What a person was promised until a time does not end before it.
    NothingLapsesEarly,
    /// Nothing that happens here makes the agent refuse to start.
    AgentStarts,
    /// The hub stops no bank that did nothing wrong.
    HubTrustsBank,
    /// Nothing panics.
    NoPanic,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub invariant: Invariant,
    pub detail: String,
}

/// The books.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    pub broken: Option<Broken>,
    /// Parcels put in and taken out, and pulses given: what a story is worth.
    pub deposits: u64,
    pub pickups: u64,
    pub pulses_given: u64,
    /// Histories that the hub's records made whole, that went on in another stream, and that were lost.
    pub restored: u64,
    pub branched: u64,
    pub lost: u64,
    /// Damaged journals in whose place another was put.
    pub anew: u64,
    /// What became durable since somebody looked, if anybody wants to.
    pub told: Option<Vec<String>>,
    /// The true time.
    pub now_ms: u64,
    /// The stream that the bank writes.
    pub stream: Option<StreamId>,
    /// The chain's hash after each durable record of it, from the first.
    pub chain: Vec<ChainHash>,
    /// These records.
    pub log: Vec<Arc<[u8]>>,
    /// What the books were before the first of them, if the stream goes on from something.
    base: Option<Box<Self>>,
    /// What the hub gave back, by seq, until it is in place.
    given: BTreeMap<u64, Arc<[u8]>>,
    /// The hub has said that the bank is not what it was, and has not linked since: only staff may open doors.
    pub staff_only: bool,
    /// The disk was put back or lost: the hub may find that the bank is not what it was.
    pub disk_was_changed: bool,
    /// The stream goes on from two branches of another.
    of_two_branches: bool,
    /// The hub has not heard from it since then.
    pub may_look_like_two: bool,
    /// What the last run thought when it died.
    pub left_behind: Option<MemoryView>,
    /// Somebody goes on without what is damaged: of the stream until now at least the records up to here count.
    counts_upto: Option<u64>,
    last_intent: u64,
    last_pulse: u64,
    /// Intents that no pulse was given for yet; of one run.
    intended: BTreeMap<u64, CompartmentNo>,
    /// Pulses given in the present opening of a compartment, those not sent taken off.
    pulses: BTreeMap<CompartmentNo, u8>,
    /// Compartments whose door may have been open since anybody last vouched for their content,
    /// and whether it is known that it was.
    opened: BTreeMap<CompartmentNo, bool>,
    actor: Option<Actor>,
    /// Whose a code is, and why it opens nothing any more.
    codes: BTreeMap<CredentialId, (ParcelId, Option<&'static str>)>,
    /// Those that are good by all that must be known, and dead by a record that was damaged: a snapshot may know it.
    may_be_dead: BTreeSet<CredentialId>,
    /// Whose six digits ever were: people know them, whatever becomes of a disk.
    digits: BTreeMap<SlotId, ParcelId>,
    /// A parcel's own code, and where it is if it is inside for its recipient.
    stored: BTreeMap<ParcelId, CompartmentNo>,
    /// Those of them that staff must see first: on one of two branches something was done to where they are.
    doubted: BTreeSet<ParcelId>,
    openings: BTreeMap<OpenerKind, VecDeque<UnixMillis>>,
    grace: Option<LastPickup>,
    /// The session that a recipient's code has opened a door in.
    let_in: Option<SessionId>,
}

impl Watch {
    /// Notes that a promise was broken, if it is the first.
    pub fn breaks(&mut self, invariant: Invariant, detail: impl Into<String>) {
        if self.broken.is_none() {
            self.broken = Some(Broken { invariant, detail: detail.into() });
        }
    }

    fn must(&mut self, holds: bool, invariant: Invariant, detail: impl FnOnce() -> String) {
        if !holds {
            self.breaks(invariant, detail());
        }
    }

    /// Records that were durable.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.chain.len() as u64
    }

    /// The chain's hash after record `seq`, if it was durable.
    #[must_use]
    pub fn hash_at(&self, seq: u64) -> Option<ChainHash> {
        match usize::try_from(seq).ok()?.checked_sub(1) {
            None => Some(locker_core::journal::CHAIN_START),
            Some(at) => self.chain.get(at).copied(),
        }
    }

    /// A record became durable at `at`; `before` is the bank before it.
    pub fn fact(
        &mut self,
        fact: &Fact,
        before: &impl View,
        at: UnixMillis,
        (hash, bytes): (ChainHash, &[u8]),
    ) {
        self.chain.push(hash);
        self.log.push(bytes.into());
        if let Some(told) = &mut self.told {
            told.push(format!("{fact:?}"));
        }
        self.openings_of(fact, before);
        self.codes_of(fact, at);
        self.seen_inside(fact);
        self.lapse_of(fact, before);
        match fact {
            Fact::PulseIntended(intended) => {
                let (intent, no) = (intended.intent.0, intended.compartment);
                let fresh = intent > self.last_intent;
                let last = self.last_intent;
                self.must(fresh, Invariant::OwnDurableIntent, || {
                    format!("intent {intent} after {last}")
                });
                self.last_intent = intent;
                self.intended.insert(intent, no);
                self.opening_at(at);
            }
            Fact::SessionStarted(started) => self.actor = Some(started.actor.clone()),
            Fact::SessionEnded(_) => self.actor = None,
            Fact::Booted(_) => self.intended.clear(),
            _ => {}
        }
    }

    /// A board got a pulse.
    pub fn pulse(&mut self, pulse: Pulse, disk: &Disk) {
        self.pulses_given += 1;
        let intent = pulse.intent.0;
        let intended = self.intended.remove(&intent);
        let durable = disk.is_durable(&journal_dir(), "seg-");
        self.must(durable, Invariant::OwnDurableIntent, || {
            format!("pulse {intent} before its intent was durable")
        });
        let own = intended == Some(pulse.compartment);
        self.must(own, Invariant::OwnDurableIntent, || {
            format!("pulse {intent} on {} has the intent of {intended:?}", pulse.compartment)
        });
        let fresh = intent > self.last_pulse;
        let last = self.last_pulse;
        self.must(fresh, Invariant::OwnDurableIntent, || format!("pulse {intent} after {last}"));
        self.last_pulse = intent;
    }

    /// Another opening by whoever is at the screen.
    fn opening_at(&mut self, at: UnixMillis) {
        let Some(actor) = &self.actor else { return };
        let kind = OpenerKind::of(actor);
        let openings = self.openings.entry(kind).or_default();
        openings.push_back(at);
        if openings.len() > REMEMBERED_MAX {
            openings.pop_front();
        }
        let broken = limits(kind).into_iter().find_map(|limit| {
            let recent = openings.iter().filter(|then| at.0.abs_diff(then.0) < limit.within_ms);
            let count = recent.count();
            (count > usize::from(limit.openings)).then_some((count, limit))
        });
        if let Some((count, limit)) = broken {
            self.breaks(Invariant::WithinGovernor, format!("{count} by {kind:?}, {limit:?}"));
        }
    }

    /// A booking or a stay has ended by itself.
    fn lapse_of(&mut self, fact: &Fact, before: &impl View) {
        let due = match fact {
            Fact::BookingLapsed(lapsed) => {
                before.parcel(lapsed.parcel).and_then(|parcel| parcel.terms.book_until)
            }
            // A stay that counts from the deposit counts by the clock that the bank had then.
            Fact::KeepLapsed(lapsed) => {
                before.parcel(lapsed.parcel).and_then(|parcel| parcel.terms.keep_until)
            }
            _ => None,
        };
        let Some(due) = due else { return };
        let latest_ms = self.now_ms + HUB_AHEAD_MAX_MS;
        self.must(due.0 < latest_ms, Invariant::NothingLapsesEarly, || {
            format!("due in {} ms", due.0.saturating_sub(latest_ms))
        });
    }

    /// Whether `code` is good, and where its parcel is.
    #[must_use]
    pub fn good_code(&self, code: CredentialId) -> Option<(ParcelId, CompartmentNo)> {
        let alive = |(_, dead): &&(ParcelId, Option<&str>)| dead.is_none();
        let (parcel, _) = self.codes.get(&code).filter(alive)?;
        if self.may_be_dead.contains(&code) {
            return None;
        }
        self.stored.get(parcel).map(|no| (*parcel, *no))
    }

    /// What a record says of doors, for evidence.
    fn openings_of(&mut self, fact: &Fact, before: &impl View) {
        match fact {
            Fact::DepositStarted(started) => drop(self.pulses.insert(started.compartment, 0)),
            Fact::PickupStarted(started) => drop(self.pulses.insert(started.compartment, 0)),
            Fact::RecallStarted(started) => drop(self.pulses.insert(started.compartment, 0)),
            Fact::InspectionStarted(started) => drop(self.pulses.insert(started.compartment, 0)),
            Fact::PulseIntended(intended) => self.pulsed(intended.compartment, before),
            Fact::PulseSettled(settled) => self.outcome(settled.compartment, settled.outcome),
            Fact::DoorMoved(moved) if moved.reading == DoorReading::Open => {
                self.opened.insert(moved.compartment, true);
            }
            Fact::DoorsRead(read) => {
                let open = read.readings.iter().filter(|(_, door)| *door == DoorReading::Open);
                self.opened.extend(open.map(|(no, _)| (*no, true)));
            }
            Fact::BoardChanged(changed) if !changed.online => {
                // A stuck door that was pushed while nobody looked may have sprung open.
                let session = before.session();
                let opening = session.as_ref().and_then(|session| session.opening());
                if let Some(opening) = opening.filter(|opening| opening.phase == Phase::Stuck) {
                    let no = opening.compartment;
                    let board = before.compartment(no).map(|held| held.spec.lock.board);
                    if board == Some(changed.board) {
                        self.opened.insert(no, true);
                    }
                }
            }
            // Who adds a compartment that only the other branch had vouches for it.
            Fact::ConfigAccepted(accepted) if self.of_two_branches => {
                if let ConfigDocument::Layout(layout) = &accepted.document {
                    let known = |no| before.compartment(no).is_some();
                    let added = layout.compartments.iter().filter(|spec| !known(spec.no));
                    for spec in added {
                        self.opened.remove(&spec.no);
                    }
                }
            }
            Fact::DepositMisfit(misfit) => drop(self.opened.remove(&misfit.compartment)),
            Fact::DepositConfirmed(confirmed) => drop(self.opened.remove(&confirmed.compartment)),
            Fact::DepositAborted(aborted) if aborted.content == AbortedContent::TakenBack => {
                self.opened.remove(&aborted.compartment);
            }
            Fact::RecallSettled(settled) => match settled.end {
                RecallEnd::Removed | RecallEnd::NotTaken => {
                    self.opened.remove(&settled.compartment);
                }
                RecallEnd::FoundEmpty | RecallEnd::NotOpened | RecallEnd::Interrupted => {}
            },
            Fact::InspectionSettled(settled) => match settled.finding {
                Finding::Empty
                | Finding::Holds(_)
                | Finding::TakenOut(_)
                | Finding::HandedOver(_) => drop(self.opened.remove(&settled.compartment)),
                Finding::NotOpened | Finding::Unfinished => {}
            },
            Fact::PickupSettled(settled) => match settled.end {
                PickupEnd::Collected { .. } | PickupEnd::NotTaken | PickupEnd::Refused => {
                    self.opened.remove(&settled.compartment);
                }
                PickupEnd::CollectedDoorOpen
                | PickupEnd::NotOpened
                | PickupEnd::Interrupted
                | PickupEnd::Unconfirmed
                | PickupEnd::FoundEmpty
                | PickupEnd::WrongParcel => {}
            },
            _ => {}
        }
    }

    fn pulsed(&mut self, no: CompartmentNo, before: &impl View) {
        // Opened again after it was shut: a new opening.
        let again = self.opened.get(&no) == Some(&true);
        let session = before.session();
        let phase = session.as_ref().and_then(|session| session.opening()).map(|held| held.phase);
        let pulses = self.pulses.entry(no).or_default();
        *pulses = if again && phase == Some(Phase::Shut) { 1 } else { *pulses + 1 };
        let count = *pulses;
        self.must(count <= PULSES_PER_OPENING, Invariant::OwnDurableIntent, || {
            format!("pulse {count} of one opening of {no}")
        });
        self.opened.entry(no).or_insert(false);
    }

    fn outcome(&mut self, no: CompartmentNo, outcome: PulseOutcome) {
        match outcome {
            PulseOutcome::NotOpened | PulseOutcome::NotSent => {
                if self.opened.get(&no) == Some(&false) {
                    self.opened.remove(&no);
                }
                if outcome == PulseOutcome::NotSent {
                    let pulses = self.pulses.entry(no).or_default();
                    *pulses = pulses.saturating_sub(1);
                }
            }
            PulseOutcome::Opened { .. }
            | PulseOutcome::AlreadyOpen
            | PulseOutcome::Unknown
            | PulseOutcome::Recovered => {
                if let Some(seen) = self.opened.get_mut(&no) {
                    *seen = true;
                }
            }
        }
    }
}

fn limits(kind: OpenerKind) -> Vec<Limit> {
    let limits = GovernorLimits::default();
    match kind {
        OpenerKind::Courier => limits.courier.to_vec(),
        OpenerKind::Recipient => limits.recipient.to_vec(),
        OpenerKind::Staff => limits.staff.to_vec(),
        OpenerKind::Remote => limits.remote.to_vec(),
    }
}

#[cfg(test)]
mod tests;
