//! The bank's loop and what the machine runs on.

use locker_core::bank::{self as rules, Observation};
use tracing::warn;

use super::{Bank, BankError};
use crate::store::CommitError;

impl Bank {
    /// Records what the machine runs on, if that is news. On a full disk that waits: no parcel is taken
    /// in then, either way.
    pub(super) fn look_at_power(&mut self) -> Result<(), BankError> {
        let Some(source) = self.power else { return Ok(()) };
        let fresh_session = (self.parts.fresh_session)();
        let at = self.moment(fresh_session);
        let step = rules::observe(self.parts.ledger.view(), Observation::Power(source), at);
        if !step.facts.is_empty() {
            warn!(?source, "power source changed");
        }
        match self.carry_out(step, None) {
            Err(error @ CommitError::OutOfSpace { .. }) => {
                warn!(%error, "power source not recorded");
                Ok(())
            }
            done => Ok(done?),
        }
    }
}
