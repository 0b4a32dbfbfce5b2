//! The bank's loop and the hub: its decisions, its time, and what the bank says of itself.

use locker_core::bank::Step;
use locker_core::clock::SignedTimeError;
use locker_core::downlink::{apply_grant, apply_key_set, apply_layout};
use locker_core::fact::Fact;
use locker_core::journal::{Meta, View};
use locker_core::units::UnixMillis;
use locker_proto::message::{Config, Document, Grants};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Bank, BankError, Introduction};
use crate::store::CommitError;

impl Bank {
    pub(super) fn grants(&mut self, grants: &Grants) -> Result<(), BankError> {
        for (position, grant) in grants.positions() {
            let held = self.parts.ledger.view().meta().grants;
            let next = if position.epoch == held.epoch { held.gseq + 1 } else { 1 };
            if position.epoch >= held.epoch && position.gseq > next {
                warn!(next, got = position.gseq, "grants skip");
                self.miss();
                return Ok(());
            }
            let fact = apply_grant(self.parts.ledger.view(), position, grant);
            if !self.answer(fact)? {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn config(&mut self, config: &Config) -> Result<(), BankError> {
        let view = self.parts.ledger.view();
        let fact = match &config.document {
            Document::Layout(layout) => apply_layout(view, layout),
            Document::KeySet(keys) => apply_key_set(view, keys),
        };
        self.answer(fact)?;
        // Boards that were read before this layout wired compartments to them.
        for baseline in self.levels.unread(self.parts.ledger.view()) {
            self.observe(baseline)?;
        }
        Ok(())
    }

    /// Asks the link for a new birth, after which the hub sends again what has no answer.
    fn miss(&self) {
        self.missed.send_modify(|missed| *missed += 1);
    }

    /// Commits the answer to the hub; false if the disk is full. The reserve is not for the hub's
    /// decisions.
    fn answer(&mut self, fact: Option<Fact>) -> Result<bool, BankError> {
        let step = Step { facts: fact.into_iter().collect(), ..Step::default() };
        match self.carry_out(step, None) {
            Err(error @ CommitError::OutOfSpace { .. }) => {
                warn!(%error, "hub's decision not taken");
                self.miss();
                Ok(false)
            }
            done => Ok(done.map(|()| true)?),
        }
    }

    pub(super) fn heard(
        &mut self,
        signed: UnixMillis,
        asked_at: Instant,
        heard_at: Instant,
    ) -> Result<(), BankError> {
        let (asked_ms, heard_ms) = (self.monotonic_ms(asked_at), self.monotonic_ms(heard_at));
        match self.clock.hear(signed, asked_ms, heard_ms) {
            Ok(()) => self.keep_floor()?,
            Err(error @ SignedTimeError::NeedsSecond { .. }) => info!(%error, "time not taken yet"),
            Err(error) => warn!(%error, "time not taken"),
        }
        Ok(())
    }

    fn keep_floor(&mut self) -> Result<(), BankError> {
        match self.parts.floor.raise(self.clock.floor()) {
            // Load, not damage: it is tried again with the next signed time.
            Err(error) if error.is_out_of_space() => {
                warn!(%error, "clock's floor not kept");
                Ok(())
            }
            done => Ok(done?),
        }
    }

    pub(super) fn introduction(&self) -> Introduction {
        let ledger = &self.parts.ledger;
        let Meta { boot_count, grants, layout, keys, .. } = ledger.view().meta();
        let (stream, boot) = (ledger.stream(), ledger.boot());
        Introduction { stream, boot, boot_count, grants, layout, keys, stamp: self.stamp() }
    }
}

/// Whether `fact` answers a decision of the hub, which can wait.
pub(super) const fn answers_hub(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::GrantAccepted(_)
            | Fact::GrantRefused(_)
            | Fact::ConfigAccepted(_)
            | Fact::ConfigRefused(_)
    )
}
