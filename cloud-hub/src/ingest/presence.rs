//! Which banks have a session right now. Kept in memory only: after a start nobody is connected.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use locker_core::ids::BankId;

/// The connected banks. Cheap to clone; all clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Presence(Arc<RwLock<BTreeSet<BankId>>>);

impl Presence {
    /// Whether the bank has a session whose birth was accepted.
    #[must_use]
    pub fn is_connected(&self, bank: &BankId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(bank)
    }

    /// How many banks have one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn set(&self, bank: &BankId, connected: bool) {
        let mut banks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if connected {
            banks.insert(bank.clone());
        } else {
            banks.remove(bank);
        }
    }
}
