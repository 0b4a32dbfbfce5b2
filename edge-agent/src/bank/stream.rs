//! The bank's loop and its stream: what the hub gives back, orders to begin anew, and seals in quiet moments.

use locker_core::bank::{Command, Step};
use locker_core::credential::Action;
use locker_core::fact::Fact;
use locker_core::journal::{View, seal};
use locker_core::session::Actor;
use locker_proto::message::{Restore, RestoreKind};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Bank, BankError};
use crate::store::{CommitError, Run, Taken};

impl Bank {
    /// Keeps what the hub gives back; when all is here, or a new stream is ordered, the agent starts again as soon as nobody
    /// is at the screen.
    pub(super) fn restore(&mut self, restore: &Restore) {
        let done = match &restore.kind {
            RestoreKind::Run { first_seq, previous, records, until } => {
                if !self.parts.ledger.is_restoring() {
                    warn!(
                        from = first_seq,
                        until = until.seq,
                        "hub gives records back, only staff may open doors"
                    );
                }
                let (first_seq, previous, until) = (*first_seq, *previous, *until);
                let taken =
                    self.parts.ledger.take_back(Run { first_seq, previous, records, until });
                taken.map(|taken| taken == Taken::Complete).map_err(|error| in_words(&error))
            }
            RestoreKind::NewStream { reason, common } => {
                let ordered = self.parts.ledger.begin_new_stream(*reason, *common);
                ordered.map(|()| true).map_err(|error| in_words(&error))
            }
        };
        match done {
            Ok(complete) => self.start_again |= complete,
            Err(error) => {
                // The hub begins again after a birth.
                warn!(error, "journal not made whole");
                self.miss();
            }
        }
        self.look_at_restore();
    }

    /// Tells the screen whether the journal is being made whole.
    pub(super) fn look_at_restore(&self) {
        let being_prepared = self.is_being_prepared();
        if self.state.borrow().being_prepared != being_prepared {
            self.publish(|state| state.being_prepared = being_prepared);
        }
    }

    /// Whether the journal is not what the hub was told once.
    fn is_being_prepared(&self) -> bool {
        self.start_again || self.parts.ledger.is_restoring()
    }

    /// The hub goes on with this journal as it is: what it began to give back is of no more use.
    pub(super) fn forget_given_back(&mut self) {
        if self.start_again || !self.parts.ledger.is_restoring() {
            return;
        }
        match self.parts.ledger.forget_given_back() {
            Ok(()) => info!("hub needs to give nothing back"),
            Err(error) => warn!(error = in_words(&error), "records given back not forgotten"),
        }
        self.look_at_restore();
    }

    /// Whether only staff may do this now, because the journal is not what the hub was told once: codes that were used up
    /// may look unused here.
    pub(super) fn bars(&self, command: &Command) -> bool {
        self.is_being_prepared() && is_for_staff(self.parts.ledger.view(), command)
    }

    /// Ends the loop when the next start has something to put in place and nobody is in the middle of anything.
    pub(super) fn start_again_if_due(&self) -> Result<(), BankError> {
        if self.start_again && self.is_quiet() { Err(BankError::StartAgain) } else { Ok(()) }
    }

    fn is_quiet(&self) -> bool {
        self.pulses.is_empty() && self.parts.ledger.view().session().is_none()
    }

    /// How long until a seal is due, if nothing else happens.
    pub(super) fn seal_due(&self) -> Option<Instant> {
        let since = self.unsealed_since.filter(|_| self.is_quiet())?;
        let unsealed = self.parts.ledger.unsealed()?;
        let soon = unsealed >= seal::SEAL_EVERY_RECORDS;
        Some(if soon {
            Instant::now()
        } else {
            since + Duration::from_millis(seal::SEAL_WITHIN_MS)
        })
    }

    pub(super) fn note_unsealed(&mut self) {
        let unsealed = self.parts.ledger.unsealed().is_some();
        self.unsealed_since = unsealed.then(|| self.unsealed_since.unwrap_or_else(Instant::now));
    }

    pub(super) fn seal_if_due(&mut self) -> Result<(), BankError> {
        if self.seal_due().is_some_and(|due| Instant::now() >= due) { self.seal() } else { Ok(()) }
    }

    /// Before the bank introduces itself.
    pub(super) fn seal_at_connect(&mut self) -> Result<(), BankError> {
        let due = self.parts.ledger.unsealed().is_some() && !self.parts.ledger.is_restoring();
        if due && self.is_quiet() { self.seal() } else { Ok(()) }
    }

    fn seal(&mut self) -> Result<(), BankError> {
        let Some(sealed) = self.parts.ledger.seal() else {
            warn!("records not sealed, the device key cannot be used");
            self.unsealed_since = Some(Instant::now());
            return Ok(());
        };
        match self.carry_out(Step { facts: vec![sealed], ..Step::default() }, None) {
            Err(error @ CommitError::OutOfSpace { .. }) => {
                info!(%error, "records not sealed");
                self.unsealed_since = Some(Instant::now());
                Ok(())
            }
            done => Ok(done?),
        }
    }
}

/// Whether only staff may do `command` while the journal is not what the hub was told once.
#[must_use]
pub fn is_for_staff(view: &impl View, command: &Command) -> bool {
    let actor = view.session().map(|session| session.actor);
    let staff = matches!(actor, Some(Actor::Staff { .. }));
    match command {
        Command::Present(token) => !matches!(token.claims().action, Action::Staff),
        Command::Type(_) => true,
        Command::ScanParcel(_)
        | Command::OpenNext
        | Command::Reopen
        | Command::Recall { .. }
        | Command::Inspect(_) => !staff,
        Command::TryAgain
        | Command::ConfirmDeposited { .. }
        | Command::TookBack
        | Command::FoundOccupied
        | Command::DoorWillNotShut
        | Command::DoesNotFit
        | Command::ConfirmTaken
        | Command::NotTaken
        | Command::RefuseParcel
        | Command::FoundEmpty
        | Command::WrongParcel
        | Command::Removed(_)
        | Command::Found(_)
        | Command::ResetBoard(_)
        | Command::ResetKeypad
        | Command::LockDown
        | Command::LiftLockdown
        | Command::Cancel
        | Command::Finish => false,
    }
}

/// Whether `fact` is a seal, which can wait.
pub(super) const fn is_seal(fact: &Fact) -> bool {
    matches!(fact, Fact::Sealed(_))
}

fn in_words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
