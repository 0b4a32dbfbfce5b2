//! The stories as those who acted them out remember them: what every source must tell, and nothing
//! else.

use locker_proto::wire::carrier::v1::parcel::State;
use serde_json::{Value, json};
use system_tests::callers::Order;

/// One story at one bank. Those that open doors of the same bank are told one after the other, so
/// that their openings are, too.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) bank: String,
    pub(crate) parcels: Vec<Life>,
    /// The numbers on the doors that opened, in order; each opened once and was shut again.
    pub(crate) openings: Vec<u16>,
    /// Where nobody knew what was inside after a deposit, until staff looked.
    pub(crate) quarantined: Vec<u16>,
    /// Compartments that were too small.
    pub(crate) misfits: Vec<u16>,
    /// How often the agent was killed, and started again.
    pub(crate) power_cuts: usize,
    pub(crate) refusals: Vec<Refusal>,
}

/// Something that was shown or typed and opened nothing.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// Where, which may be another bank than the story's.
    pub(crate) bank: String,
    /// Why, by its stable name.
    pub(crate) reason: String,
}

/// What a parcel went through.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) parcel: String,
    pub(crate) email: String,
    pub(crate) turns: Vec<Turn>,
}

/// Something that happened to a parcel, and in which compartment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Announced,
    Booked,
    Cancelled,
    Depositing(u16),
    DidNotFit(u16),
    /// The power failed, and nobody knows whether it is inside.
    Unresolved(u16),
    Stored(u16),
    FoundByStaff(u16),
    Collecting(u16),
    Collected(u16),
}

/// How the hub must tell of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Telling {
    pub(crate) kind: &'static str,
    /// What the parcel then is.
    pub(crate) state: State,
    /// The number on the door behind which it then is, for the carrier; 0 if none.
    pub(crate) inside: u16,
    /// The number on the door where it happened, for operators; 0 if none.
    pub(crate) at: u16,
    /// What operators are told besides.
    pub(crate) detail: &'static str,
}

impl Story {
    pub(crate) fn new(name: &'static str, bank: &str) -> Self {
        Self { name, bank: bank.to_owned(), ..Self::default() }
    }

    /// A parcel was announced and booked.
    pub(crate) fn begin(&mut self, order: &Order) {
        let (parcel, email) = (order.name.clone(), order.email.clone());
        self.parcels.push(Life { parcel, email, turns: vec![Turn::Announced, Turn::Booked] });
    }

    /// A parcel of this story went on.
    pub(crate) fn went_on(&mut self, order: &Order, turns: &[Turn]) {
        let life = self.parcels.iter_mut().find(|life| life.parcel == order.name);
        if let Some(life) = life {
            life.turns.extend(turns);
        }
    }

    /// Where a parcel of this story lies, if it is inside.
    pub(crate) fn place_of(&self, order: &Order) -> Option<u16> {
        let life = self.parcels.iter().find(|life| life.parcel == order.name)?;
        match life.turns.last()? {
            Turn::Stored(inside) | Turn::FoundByStaff(inside) => Some(*inside),
            Turn::Announced
            | Turn::Booked
            | Turn::Cancelled
            | Turn::Depositing(_)
            | Turn::DidNotFit(_)
            | Turn::Unresolved(_)
            | Turn::Collecting(_)
            | Turn::Collected(_) => None,
        }
    }

    pub(crate) fn letters(&self) -> usize {
        self.parcels.iter().map(Life::letters).sum()
    }

    pub(crate) fn counts(&self) -> Value {
        let refusals: Vec<&str> = self.refusals.iter().map(|each| each.reason.as_str()).collect();
        json!({
            "story": self.name,
            "bank": self.bank,
            "parcels": self.parcels.len(),
            "openings": self.openings.len(),
            "letters": self.letters(),
            "quarantines": self.quarantined.len(),
            "misfits": self.misfits.len(),
            "refusals": refusals,
        })
    }
}

impl Life {
    /// Its recipient is told each time it is inside.
    pub(crate) fn letters(&self) -> usize {
        self.turns.iter().filter(|turn| turn.telling().state == State::Stored).count()
    }
}

impl Turn {
    pub(crate) const fn telling(self) -> Telling {
        let (kind, state, inside, at, detail) = match self {
            Self::Announced => ("PARCEL_ANNOUNCED", State::Announced, 0, 0, ""),
            Self::Booked => ("PARCEL_BOOKED", State::Booked, 0, 0, ""),
            Self::Cancelled => ("PARCEL_CANCELLED", State::Cancelled, 0, 0, ""),
            Self::Depositing(no) => ("PARCEL_DEPOSITING", State::Depositing, no, no, ""),
            Self::DidNotFit(no) => ("PARCEL_DEPOSIT_ABORTED", State::Booked, 0, no, "DID_NOT_FIT"),
            Self::Unresolved(no) => ("PARCEL_UNRESOLVED", State::Unresolved, no, no, "INTERRUPTED"),
            Self::Stored(no) => ("PARCEL_STORED", State::Stored, no, no, ""),
            Self::FoundByStaff(no) => ("PARCEL_STORED", State::Stored, no, no, "FOUND_BY_STAFF"),
            Self::Collecting(no) => ("PARCEL_COLLECTING", State::Collecting, no, no, ""),
            Self::Collected(no) => ("PARCEL_COLLECTED", State::Collected, 0, no, ""),
        };
        Telling { kind, state, inside, at, detail }
    }
}
