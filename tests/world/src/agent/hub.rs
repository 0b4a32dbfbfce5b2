//! What the hub decides, issues and orders, as the agent's loop takes it.

use locker_core::bank::{CommandAnswer, CommandAnswered, LockdownBegan, LockdownReason, Step};
use locker_core::credential::{KeySet, RootKey};
use locker_core::downlink::{apply_courier_codes, apply_grant, apply_key_set, apply_layout};
use locker_core::downlink::{apply_mode, apply_quota};
use locker_core::fact::Fact;
use locker_core::journal::View;
use locker_core::units::UnixMillis;
use locker_proto::message::{Command, CommandKind, Config, Document, Grants};

use super::{Agent, Around, Died, Made};

/// Orders whose ids are remembered.
const COMMANDS_REMEMBERED_MAX: usize = 256;
/// The floor is kept again when it has risen this far.
const KEEP_FLOOR_EVERY_MS: u64 = 10 * 60 * 1_000;

impl Agent {
    pub(super) fn grants(&mut self, around: &mut Around<'_>, grants: &Grants) -> Result<(), Died> {
        for (position, grant) in grants.positions() {
            let held = self.view.meta().grants;
            let next = if position.epoch == held.epoch { held.gseq + 1 } else { 1 };
            if position.epoch >= held.epoch && position.gseq > next {
                self.missed = true;
                return Ok(());
            }
            let facts = apply_grant(&self.view, position, grant);
            if !self.answer(around, facts)? {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn config(
        &mut self,
        around: &mut Around<'_>,
        config: &Config,
        root: RootKey,
    ) -> Result<(), Died> {
        let (view, epoch) = (&self.view, config.epoch);
        let fact = match &config.document {
            Document::Layout(layout) => apply_layout(view, epoch, layout),
            Document::KeySet(signed) => match signed.open(&[root]) {
                Ok(keys) => apply_key_set(view, &KeySet { root: Some(root), ..keys }, &[root]),
                Err(_) => None,
            },
            Document::Mode(mode) => apply_mode(view, epoch, *mode),
            Document::Quota(quota) => apply_quota(view, epoch, quota),
            Document::CourierCodes(codes) => apply_courier_codes(view, epoch, codes),
        };
        self.answer(around, fact.into_iter().collect()).map(drop)
    }

    /// Follows an order, if it is fresh beyond doubt.
    pub(super) fn order(
        &mut self,
        around: &mut Around<'_>,
        command: &Command,
        current: bool,
    ) -> Result<(), Died> {
        if self.answered.contains(&command.id) {
            return Ok(());
        }
        let (answer, act) = if self.clock(around.now_ms).maybe_past(command.not_after) {
            (CommandAnswer::Expired, None)
        } else if !current {
            (CommandAnswer::OtherConnection, None)
        } else {
            match &command.kind {
                None => (CommandAnswer::NotUnderstood, None),
                Some(CommandKind::LockDown) => (CommandAnswer::Done, self.ordered_lockdown()),
            }
        };
        let answered = Fact::CommandAnswered(CommandAnswered { command: command.id, answer });
        if self.answer(around, act.into_iter().chain([answered]).collect())? {
            if self.answered.len() >= COMMANDS_REMEMBERED_MAX {
                self.answered.pop_front();
            }
            self.answered.push_back(command.id);
        }
        Ok(())
    }

    fn ordered_lockdown(&self) -> Option<Fact> {
        let free = self.view.meta().lockdown.is_none();
        let reason = LockdownReason::Ordered;
        free.then_some(Fact::LockdownBegan(LockdownBegan { reason }))
    }

    /// Takes over the hub's time.
    pub(super) fn heard(
        &mut self,
        around: &mut Around<'_>,
        signed: UnixMillis,
        asked_at_ms: u64,
    ) -> Result<(), Died> {
        let (asked, heard) = (self.monotonic_ms(asked_at_ms), self.monotonic_ms(around.now_ms));
        if self.clock.hear(signed, asked, heard).is_err() {
            return Ok(());
        }
        let floor = self.clock.floor();
        if floor.since_ms(*around.floor) >= KEEP_FLOOR_EVERY_MS {
            *around.floor = floor;
        }
        self.lapse(around)
    }

    /// Gives up records that are in a backup and in two snapshots.
    pub(super) fn prune(&mut self, safe: u64) {
        // It is tried again with the next ack.
        let _ = self.history.prune(safe, self.covered_seq);
    }

    /// Commits the answer to the hub; false if the disk is full.
    fn answer(&mut self, around: &mut Around<'_>, facts: Vec<Fact>) -> Result<bool, Died> {
        let made = self.carry_out(around, Step { facts, ..Step::default() })?;
        self.missed |= made == Made::Full;
        Ok(made == Made::Done)
    }
}

/// Whether `fact` answers a decision of the hub, which can wait.
pub(super) const fn answers_decision(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::GrantAccepted(_)
            | Fact::GrantRefused(_)
            | Fact::ConfigAccepted(_)
            | Fact::ConfigRefused(_)
    )
}
