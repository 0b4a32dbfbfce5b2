//! The bank's loop and the room on its disk: what stops first when it runs out.

use std::time::Duration;

use locker_core::fact::Fact;
use tokio::time::Instant;
use tracing::warn;

use super::{Bank, BankError, SPACE_CHECK_MS, doors, hub, stream};
use crate::journal::SpaceError;

impl Bank {
    pub(super) fn check_space(&mut self) -> Result<(), BankError> {
        self.space_due = Instant::now() + Duration::from_millis(SPACE_CHECK_MS);
        let ballast = match self.parts.ledger.restore_ballast() {
            // Somebody else was quicker, or a quota is not what it seems.
            Err(SpaceError::OutOfSpace { .. }) => false,
            done => done?,
        };
        let free_bytes = self.parts.ledger.space()?.free_bytes;
        self.parts.ledger.mind_room(free_bytes)?;
        self.open_deposits(ballast && free_bytes >= self.parts.deposit_reserve_bytes);
        Ok(())
    }

    pub(super) fn open_deposits(&mut self, open: bool) {
        if open != self.deposits_open {
            warn!(open, "deposits opened or closed by the disk's room");
            self.deposits_open = open;
            self.publish(|state| state.deposits_open = open);
        }
    }
}

/// Whether nothing is lost if these facts are not recorded now: another compartment is not begun,
/// the hub sends its decision again, what has lapsed stays so. An order that is followed does not wait.
pub(super) fn can_wait(facts: &[Fact]) -> bool {
    let any = |wanted: fn(&Fact) -> bool| facts.iter().any(wanted);
    any(doors::begins_deposit)
        || any(hub::answers_decision)
        || any(stream::is_seal)
        || any(|fact| matches!(fact, Fact::BookingLapsed(_) | Fact::KeepLapsed(_)))
        || (any(hub::answers_command) && !any(|fact| matches!(fact, Fact::LockdownBegan(_))))
}
