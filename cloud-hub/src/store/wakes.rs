//! Tells whoever talks to the banks which of them have something new to be told.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use locker_core::ids::BankId;
use tokio::sync::Notify;

/// Banks with news. Bounded by the number of banks: one that waits already is not added again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wakes(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    banks: Mutex<BTreeSet<BankId>>,
    notify: Notify,
}

impl Wakes {
    pub(super) fn wake(&self, banks: BTreeSet<BankId>) {
        if !banks.is_empty() {
            self.0.banks.lock().unwrap_or_else(PoisonError::into_inner).extend(banks);
            self.0.notify.notify_one();
        }
    }

    /// Waits until there is one, and takes all. Cancelling it loses nothing.
    pub(crate) async fn next(&self) -> BTreeSet<BankId> {
        loop {
            let taken =
                std::mem::take(&mut *self.0.banks.lock().unwrap_or_else(PoisonError::into_inner));
            if !taken.is_empty() {
                return taken;
            }
            self.0.notify.notified().await;
        }
    }
}
