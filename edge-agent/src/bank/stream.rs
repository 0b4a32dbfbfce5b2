//! The bank's loop and its stream: what the hub gives back, orders to begin anew, and seals in quiet moments.

use locker_core::bank::{Command, Step};
use locker_core::credential::Action;
use locker_core::fact::Fact;
use locker_core::journal::{View, seal};
use locker_core::session::Actor;
use locker_proto::message::{Restore, RestoreKind};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{Bank, BankError};
use crate::journal::ReadError;
use crate::store::{CommitError, Run, Taken};

/// What is known to be wrong with the journal.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// The hub has said that it is not what it was told once, and has not linked since: whatever became of the records that it
    /// gave back.
    not_as_told: bool,
    /// The next start has something to put in place.
    start_again: bool,
    /// It is damaged where the hub needs it; the next start knows.
    damage: Option<ReadError>,
}

impl Bank {
    /// Keeps what the hub gives back; when all is here, or a new stream is ordered, the agent starts again as soon as nobody
    /// is at the screen. From the hub's word on only staff may open doors, also where nothing of it can be kept.
    pub(super) fn restore(&mut self, restore: &Restore) {
        let known = self.is_being_prepared();
        self.doubts.not_as_told = true;
        let done = match &restore.kind {
            RestoreKind::Run { first_seq, previous, records, until } => {
                if !known {
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
                if !known {
                    warn!("hub orders a new stream, only staff may open doors");
                }
                let ordered = self.parts.ledger.begin_new_stream(*reason, *common);
                ordered.map(|()| true).map_err(|error| in_words(&error))
            }
        };
        match done {
            Ok(complete) => self.doubts.start_again |= complete,
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
        self.doubts.not_as_told || self.doubts.start_again || self.parts.ledger.is_restoring()
    }

    pub(super) fn linked(&mut self, linked: bool) {
        if linked {
            self.doubts.not_as_told = false;
            self.forget_given_back();
            self.look_at_restore();
        }
        self.publish(|state| state.hub_connected = linked);
    }

    /// The hub goes on with this journal as it is: what it began to give back is of no more use.
    fn forget_given_back(&mut self) {
        if self.doubts.start_again || !self.parts.ledger.is_restoring() {
            return;
        }
        match self.parts.ledger.forget_given_back() {
            Ok(()) => info!("hub needs to give nothing back"),
            Err(error) => warn!(error = in_words(&error), "records given back not forgotten"),
        }
    }

    /// What the hub has safe may go. It may be damaged: nothing of it is read.
    pub(super) fn safe(&mut self, safe: u64) {
        if let Err(error) = self.parts.ledger.prune(safe) {
            warn!(%error, "journal not pruned");
        }
    }

    /// Without these records the hub hears nothing more of the bank. A person must know, so the agent ends; not without the note
    /// for the next start, which would come up as if nothing were wrong.
    pub(super) fn damaged(&mut self, damage: ReadError) {
        if self.doubts.damage.is_some() {
            return;
        }
        let place = in_words(&damage);
        match self.parts.ledger.suspect(&damage) {
            Ok(()) => {
                error!(place, "journal damaged where the hub needs it");
                self.doubts.damage = Some(damage);
            }
            // The link comes to that place again.
            Err(error) => warn!(place, %error, "damage of the journal not noted"),
        }
    }

    /// Whether only staff may do this now, because the journal is not what the hub was told once: codes that were used up
    /// may look unused here.
    pub(super) fn bars(&self, command: &Command) -> bool {
        self.is_being_prepared() && is_for_staff(self.parts.ledger.view(), command)
    }

    /// Ends the loop when the next start has something to put in place, or to refuse, and nobody is in the middle of anything.
    pub(super) fn end_if_due(&mut self) -> Result<(), BankError> {
        if !self.is_quiet() {
            return Ok(());
        }
        if let Some(damage) = self.doubts.damage.take() {
            return Err(BankError::Damaged(damage));
        }
        if self.doubts.start_again { Err(BankError::StartAgain) } else { Ok(()) }
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
        let due = self.parts.ledger.unsealed().is_some() && !self.is_being_prepared();
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
