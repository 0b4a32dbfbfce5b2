//! The third ledger: a bank's journal, read from a copy of its folder as an auditor would, so that
//! the agent that has it open is not in the way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use edge_agent::journal::{Journal, Limits, Verify};
use locker_core::bank::{AbortedContent, Alarm, Finding, PickupEnd, PulseOutcome};
use locker_core::downlink::Grant;
use locker_core::fact::Fact;
use locker_core::ids::{CompartmentNo, IntentId, ParcelId};
use locker_core::journal::Record;
use locker_proto::record::decode_record;
use serde::{Deserialize, Serialize};
use system_tests::callers::Order;

/// Records read at a time.
const RUN_RECORDS: usize = 256;
const RUN_BYTES: usize = 1 << 20;

/// What a journal says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    pub(crate) head_seq: u64,
    /// How often the agent started.
    pub(crate) starts: usize,
    /// In order.
    pub(crate) intents: Vec<Intent>,
    /// What happened to each parcel, by the carrier's name for it, as the hub's events are called.
    pub(crate) lives: BTreeMap<String, Vec<Turn>>,
    /// Alarms that are due: doors that stood open while the agent was away, and too many starts.
    pub(crate) alarms: usize,
    /// Facts that nothing in these runs should bring about.
    pub(crate) strange: Vec<String>,
}

/// A pulse that was meant, and whether there must have been one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) compartment: u16,
    pub(crate) at_ms: u64,
    pub(crate) pulsed: Pulsed,
}

/// What an outcome says about the pulse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulsed {
    Surely,
    /// The agent stopped before it heard.
    Perhaps,
    Never,
}

/// Something that happened to a parcel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) kind: String,
    pub(crate) compartment: u16,
}

/// Reads the journal in `dir`, which stays as it is: a copy of it is opened.
pub(crate) fn read(dir: &Path) -> Result<Book> {
    let copy = tempfile::tempdir()?;
    for entry in fs::read_dir(dir).with_context(|| format!("no journal in {}", dir.display()))? {
        let entry = entry?;
        // Not the ballast, which is large, and not the lock, which is somebody's.
        if entry.file_name().to_string_lossy().starts_with("seg-") {
            fs::copy(entry.path(), copy.path().join(entry.file_name()))?;
        }
    }
    let limits = Limits { ballast_bytes: 0, ..Limits::default() };
    let (journal, _) = Journal::open(copy.path(), limits, Verify::All)
        .with_context(|| format!("the journal in {} is damaged", dir.display()))?;
    let mut book = Book { head_seq: journal.head_seq(), ..Book::default() };
    let mut reader = Reader::default();
    let mut next = journal.oldest_seq();
    while next <= book.head_seq {
        for stored in journal.read(next, RUN_RECORDS, RUN_BYTES)? {
            reader.take(&mut book, &decode_record(&stored.record)?);
            next = stored.seq + 1;
        }
    }
    book.intents = reader.intents.into_values().collect();
    Ok(book)
}

/// The carrier's name for the parcel with this label.
fn name_of(barcode: &str) -> String {
    let name = barcode.trim_start_matches("PKT-").to_lowercase();
    debug_assert_eq!(Order::small(&name).barcode, barcode, "labels are made so");
    name
}

/// What must be remembered to tell a parcel's life.
#[derive(Default)]
struct Reader {
    names: BTreeMap<[u8; 16], String>,
    intents: BTreeMap<u64, Intent>,
    /// What was last thought to be inside.
    inside: BTreeMap<u16, ParcelId>,
    /// Parcels that somebody said were inside.
    stored: BTreeSet<[u8; 16]>,
}

impl Reader {
    fn take(&mut self, book: &mut Book, record: &Record) {
        let fact = &record.fact;
        if let Fact::Booted(_) = fact {
            book.starts += 1;
        } else if let Fact::GrantAccepted(accepted) = fact {
            if let Grant::Book(booking) = &accepted.grant {
                let name = name_of(&booking.barcode.to_string());
                book.lives.entry(name.clone()).or_default();
                self.names.insert(booking.parcel.0, name);
            }
        } else if let Fact::PulseIntended(intended) = fact {
            let (compartment, at_ms) = (intended.compartment.0, record.at.0);
            let intent = Intent { compartment, at_ms, pulsed: Pulsed::Perhaps };
            self.intents.insert(intended.intent.0, intent);
        } else if let Fact::PulseSettled(settled) = fact {
            self.settle(settled.intent, settled.outcome);
        } else if let Fact::Alarm(Alarm::Restarting | Alarm::DoorOpenTooLong(_)) = fact {
            // Whoever is killed again and again starts again and again, and finds doors as they are.
            book.alarms += 1;
        } else if let Fact::GrantRefused(_) | Fact::ConfigRefused(_) | Fact::Alarm(_) = fact {
            book.strange.push(format!("record {}: {fact:?}", record.seq));
        } else {
            self.handover(book, fact);
        }
    }

    fn settle(&mut self, intent: IntentId, outcome: PulseOutcome) {
        let pulsed = match outcome {
            PulseOutcome::Opened { .. } | PulseOutcome::NotOpened => Pulsed::Surely,
            PulseOutcome::AlreadyOpen | PulseOutcome::Unknown | PulseOutcome::Recovered => {
                Pulsed::Perhaps
            }
            PulseOutcome::NotSent => Pulsed::Never,
        };
        if let Some(intent) = self.intents.get_mut(&intent.0) {
            intent.pulsed = pulsed;
        }
    }

    fn handover(&mut self, book: &mut Book, fact: &Fact) {
        if let Fact::DepositStarted(started) = fact {
            self.inside.insert(started.compartment.0, started.parcel);
            self.turn(book, started.parcel, "PARCEL_DEPOSITING", started.compartment);
        } else if let Fact::DepositConfirmed(confirmed) = fact {
            self.stored.insert(confirmed.parcel.0);
            self.turn(book, confirmed.parcel, "PARCEL_STORED", confirmed.compartment);
        } else if let Fact::DepositAborted(aborted) = fact {
            if let AbortedContent::Unknown(_) = aborted.content {
                self.turn(book, aborted.parcel, "PARCEL_UNRESOLVED", aborted.compartment);
            } else {
                self.inside.remove(&aborted.compartment.0);
                self.turn(book, aborted.parcel, "PARCEL_DEPOSIT_ABORTED", aborted.compartment);
            }
        } else if let Fact::PickupStarted(started) = fact {
            self.turn(book, started.parcel, "PARCEL_COLLECTING", started.compartment);
        } else if let Fact::PickupSettled(settled) = fact {
            let kind = match settled.end {
                PickupEnd::Collected { .. } | PickupEnd::CollectedDoorOpen => {
                    self.inside.remove(&settled.compartment.0);
                    "PARCEL_COLLECTED"
                }
                PickupEnd::NotTaken
                | PickupEnd::NotOpened
                | PickupEnd::Interrupted
                | PickupEnd::Unconfirmed => "PARCEL_PICKUP_ABORTED",
                PickupEnd::Refused => "PARCEL_REFUSED",
                PickupEnd::FoundEmpty | PickupEnd::WrongParcel => "PARCEL_DISPUTED",
            };
            self.turn(book, settled.parcel, kind, settled.compartment);
        } else if let Fact::InspectionSettled(settled) = fact {
            self.found(book, settled.compartment, settled.finding);
        }
    }

    fn found(&mut self, book: &mut Book, compartment: CompartmentNo, finding: Finding) {
        match finding {
            Finding::Holds(parcel) => {
                self.inside.insert(compartment.0, parcel);
                self.stored.insert(parcel.0);
                self.turn(book, parcel, "PARCEL_STORED", compartment);
            }
            Finding::Empty => {
                if let Some(gone) = self.inside.remove(&compartment.0) {
                    // Never seen inside: the courier still has it.
                    let was_inside = self.stored.contains(&gone.0);
                    let kind =
                        if was_inside { "PARCEL_DISPUTED" } else { "PARCEL_DEPOSIT_ABORTED" };
                    self.turn(book, gone, kind, compartment);
                }
            }
            Finding::TakenOut(_) | Finding::HandedOver(_) => {
                book.strange.push(format!("{finding:?} in {compartment}"));
            }
            Finding::NotOpened | Finding::Unfinished => {}
        }
    }

    fn turn(&self, book: &mut Book, parcel: ParcelId, kind: &str, compartment: CompartmentNo) {
        let Some(name) = self.names.get(&parcel.0) else {
            book.strange.push(format!("{kind} of a parcel that was never granted"));
            return;
        };
        let turn = Turn { kind: kind.to_owned(), compartment: compartment.0 };
        book.lives.entry(name.clone()).or_default().push(turn);
    }
}
