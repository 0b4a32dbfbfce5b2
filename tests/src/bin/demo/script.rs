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
    /// Where nobody knew what was inside, until staff looked.
    pub(crate) quarantined: Vec<u16>,
    /// Why something that was shown or typed opened nothing.
    pub(crate) refusals: Vec<String>,
}

/// What a parcel went through.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) parcel: String,
    pub(crate) email: String,
    pub(crate) states: Vec<State>,
}

impl Story {
    pub(crate) fn new(name: &'static str, bank: &str) -> Self {
        Self { name, bank: bank.to_owned(), ..Self::default() }
    }

    /// A parcel was announced and booked.
    pub(crate) fn begin(&mut self, order: &Order) {
        let (parcel, email) = (order.name.clone(), order.email.clone());
        self.parcels.push(Life { parcel, email, states: vec![State::Announced, State::Booked] });
    }

    /// A parcel of this story went on.
    pub(crate) fn went_on(&mut self, order: &Order, states: &[State]) {
        let life = self.parcels.iter_mut().find(|life| life.parcel == order.name);
        if let Some(life) = life {
            life.states.extend(states);
        }
    }

    pub(crate) fn letters(&self) -> usize {
        self.parcels.iter().map(Life::letters).sum()
    }

    pub(crate) fn counts(&self) -> Value {
        json!({
            "story": self.name,
            "bank": self.bank,
            "parcels": self.parcels.len(),
            "openings": self.openings.len(),
            "letters": self.letters(),
            "quarantines": self.quarantined.len(),
            "refusals": self.refusals,
        })
    }
}

impl Life {
    /// Its recipient is told each time it is inside.
    pub(crate) fn letters(&self) -> usize {
        self.states.iter().filter(|state| **state == State::Stored).count()
    }
}
