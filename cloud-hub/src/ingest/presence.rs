//! Which banks have a session right now. Kept in memory only: after a start nobody is connected.
//!
//! What operators hear of it by the live lane is made here, of births and ends of sessions. A bank's
//! own presence message and its last will are hints that can be late.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use locker_core::ids::{BankId, BootId};
use locker_core::uplink::clone::Introduction;
use locker_proto::message::{self, Birth};

use super::Ingest;
use super::link::Link;

/// The connected banks. Cheap to clone; all clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Presence(Arc<RwLock<BTreeMap<BankId, Connection>>>);

/// Which connection of which run a bank is here by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Connection {
    boot: BootId,
    count: u64,
}

impl Presence {
    /// Whether the bank has a session whose birth was answered.
    #[must_use]
    pub fn is_connected(&self, bank: &BankId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(bank)
    }

    /// Whether the bank is here by the connection on which it introduced itself so.
    #[must_use]
    pub fn is_here_as(&self, bank: &BankId, introduction: Introduction) -> bool {
        let Introduction { boot, connection_count: count, .. } = introduction;
        let banks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        banks.get(bank) == Some(&Connection { boot, count })
    }

    /// How many banks have one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn enter(&self, bank: &BankId, connection: Connection) {
        let mut banks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        banks.insert(bank.clone(), connection);
    }

    fn leave(&self, bank: &BankId) -> Option<Connection> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(bank)
    }
}

impl<L: Link> Ingest<L> {
    /// The bank has introduced itself.
    pub(super) fn arrive(&mut self, bank: &BankId, birth: &Birth) {
        let connection = Connection { boot: birth.boot, count: birth.connection_count };
        self.presence.enter(bank, connection);
        self.outages.came(bank);
        self.lane.presence(bank, connection.said(true));
    }

    /// The bank's session is over.
    pub(super) fn leave(&mut self, bank: &BankId) {
        if let Some(connection) = self.presence.leave(bank) {
            self.outages.left(bank);
            self.lane.presence(bank, connection.said(false));
        }
    }
}

impl Connection {
    const fn said(self, online: bool) -> message::Presence {
        message::Presence { boot: self.boot, online, connection_count: self.count }
    }
}
