//! The bank's loop after one start too many: doors wait until the supply had time to recover.

use std::time::Duration;

use locker_core::bank::{Alarm, Step};
use locker_core::fact::Fact;
use locker_core::refusal::Refusal;
use tokio::time::Instant;
use tracing::warn;

use super::{Ask, Bank, BankError};
use crate::store::CommitError;

impl Bank {
    /// Opens no door for the next `calm`, and raises an alarm. To be called before [`Self::run`].
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn calm_down(&mut self, calm: Duration) -> Result<(), BankError> {
        if calm.is_zero() {
            return Ok(());
        }
        warn!(calm_s = calm.as_secs(), "started again and again, doors wait");
        let until = Instant::now() + calm;
        self.calm_until = Some(until);
        self.publish(|state| state.calm_until = Some(until));
        let facts = vec![Fact::Alarm(Alarm::Restarting)];
        match self.carry_out(Step { facts, ..Step::default() }, None) {
            Err(error @ CommitError::OutOfSpace { .. }) => {
                warn!(%error, "alarm not recorded");
                Ok(())
            }
            done => Ok(done?),
        }
    }

    /// Whether no door may be opened yet.
    pub(super) fn is_calming(&self) -> bool {
        self.calm_until.is_some_and(|until| Instant::now() < until)
    }

    /// Digits are not even weighed while nothing can be opened: whether they were right is told by a
    /// door alone.
    pub(super) fn may_ask(&self, ask: &Ask) -> Result<(), Refusal> {
        let typed = matches!(ask, Ask::Keypad { .. });
        if typed && self.is_calming() { Err(Refusal::JustStarted) } else { Ok(()) }
    }

    /// Whether a step that somebody asked for may be made now. One that is refused leaves no trace:
    /// the same is asked again in a moment.
    pub(super) fn may_open(&self, step: &Step) -> Result<(), Refusal> {
        let opens = step.pulse.is_some();
        if opens && self.is_calming() { Err(Refusal::JustStarted) } else { Ok(()) }
    }

    /// Tells the screen when doors open again.
    pub(super) fn look_at_calm(&mut self) {
        if self.calm_until.is_some() && !self.is_calming() {
            self.calm_until = None;
            self.publish(|state| state.calm_until = None);
        }
    }
}
