//! The bank's loop and the hub: its decisions, its time, and what the bank says of itself.

use std::collections::VecDeque;

use locker_core::bank::{CommandAnswer, CommandAnswered, LockdownBegan, LockdownReason, Step};
use locker_core::clock::{SignedTimeError, TimeQuality};
use locker_core::code::tag::TagKeys;
use locker_core::credential::KeySet;
use locker_core::downlink::{apply_courier_codes, apply_grant, apply_key_set, apply_layout};
use locker_core::downlink::{apply_mode, apply_quota, config_epoch};
use locker_core::fact::Fact;
use locker_core::ids::CommandId;
use locker_core::journal::{Meta, View};
use locker_core::units::UnixMillis;
use locker_proto::message::{Command, CommandKind, Config, Document, Grants};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Bank, BankError, Introduction};
use crate::store::CommitError;

/// Orders whose ids are remembered, so that each is answered once; the oldest is forgotten first.
/// Within one connection no more than these are taken, so that none can be followed twice.
pub(super) const COMMANDS_REMEMBERED_MAX: usize = 256;

/// The orders that were answered in this run.
#[derive(Debug, Default)]
pub(super) struct Commands {
    answered: VecDeque<CommandId>,
    since_birth: usize,
}

impl Commands {
    /// Orders of earlier connections are void from here on.
    fn born(&mut self) {
        self.since_birth = 0;
    }

    fn remember(&mut self, id: CommandId) {
        if self.answered.len() >= COMMANDS_REMEMBERED_MAX {
            self.answered.pop_front();
        }
        self.answered.push_back(id);
        self.since_birth += 1;
    }
}

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
            let facts = apply_grant(self.parts.ledger.view(), position, grant);
            if !self.answer(facts)? {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn config(&mut self, config: &Config) -> Result<(), BankError> {
        let (view, epoch) = (self.parts.ledger.view(), config.epoch);
        let fact = match &config.document {
            Document::Layout(layout) => apply_layout(view, epoch, layout),
            // The link takes them out, as Event::KeySet: here nobody could check them.
            Document::KeySet(_) => None,
            Document::Mode(mode) => apply_mode(view, epoch, *mode),
            Document::Quota(quota) => apply_quota(view, epoch, quota),
            Document::CourierCodes(codes) => apply_courier_codes(view, epoch, codes),
        };
        self.answer(fact.into_iter().collect())?;
        // Boards that were read before this layout wired compartments to them.
        for baseline in self.levels.unread(self.parts.ledger.view()) {
            self.observe(baseline)?;
        }
        Ok(())
    }

    pub(super) fn key_set(&mut self, keys: &KeySet) -> Result<(), BankError> {
        let fact = apply_key_set(self.parts.ledger.view(), keys, &self.parts.roots);
        self.answer(fact.into_iter().collect()).map(drop)
    }

    /// The keys that count. A set of a root that is believed no more is as good as none: a thief's
    /// stays where it is until the hub sends its own, and opens nothing meanwhile.
    pub(super) fn keys(&self) -> KeySet {
        let keys = self.parts.ledger.view().meta().keys;
        if keys.is_signed_by(&self.parts.roots) { keys } else { KeySet::default() }
    }

    /// Tells whoever reads the log why scanned codes open nothing.
    pub(super) fn look_at_key_set(&self) {
        let KeySet { generation, root, .. } = self.parts.ledger.view().meta().keys;
        if generation != self.keys().generation {
            let root = root.map_or_else(|| "not recorded".to_owned(), |root| root.to_string());
            warn!(
                generation = generation.0,
                root, "key set held counts for nothing, its root is not in hub.root_keys"
            );
        }
    }

    /// Follows an order, if it is fresh beyond doubt: in time by a clock that is known, and of this
    /// connection. A repeated one says nothing, one that came late is answered and not followed.
    pub(super) fn order(&mut self, command: &Command, current: bool) -> Result<(), BankError> {
        if self.commands.answered.contains(&command.id) {
            return Ok(());
        }
        if self.commands.since_birth >= COMMANDS_REMEMBERED_MAX {
            warn!(command = %command.id, "too many orders in one connection");
            self.miss();
            return Ok(());
        }
        let clock = self.clock.interval(self.monotonic_ms(Instant::now()));
        let (answer, act) = if clock.maybe_past(command.not_after) {
            (CommandAnswer::Expired, None)
        } else if !current {
            (CommandAnswer::OtherConnection, None)
        } else {
            match &command.kind {
                None => (CommandAnswer::NotUnderstood, None),
                Some(CommandKind::LockDown) => (CommandAnswer::Done, self.ordered_lockdown()),
            }
        };
        info!(command = %command.id, ?answer, "order of the hub");
        let answered = Fact::CommandAnswered(CommandAnswered { command: command.id, answer });
        if !self.answer(act.into_iter().chain([answered]).collect())? {
            return Ok(());
        }
        self.commands.remember(command.id);
        Ok(())
    }

    /// None if the bank is locked down already.
    fn ordered_lockdown(&self) -> Option<Fact> {
        let free = self.parts.ledger.view().meta().lockdown.is_none();
        let reason = LockdownReason::Ordered;
        free.then_some(Fact::LockdownBegan(LockdownBegan { reason }))
    }

    /// Asks the link for a new birth, after which the hub sends again what has no answer.
    pub(super) fn miss(&self) {
        self.missed.send_modify(|missed| *missed += 1);
    }

    /// Commits the answer to the hub; false if the disk is full. The reserve is not for the hub's
    /// decisions.
    fn answer(&mut self, facts: Vec<Fact>) -> Result<bool, BankError> {
        let step = Step { facts, ..Step::default() };
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
        let weighed = self.clock.hear(signed, asked_ms, heard_ms);
        self.publish_time();
        match weighed {
            Ok(()) => {
                self.keep_floor()?;
                self.lapse()?;
            }
            Err(error @ SignedTimeError::NeedsSecond { .. }) => info!(%error, "time not taken yet"),
            Err(error) => warn!(%error, "time not taken"),
        }
        Ok(())
    }

    /// Whoever checks certificates goes by what the hub said, not by the operating system.
    fn publish_time(&self) {
        let (at, quality) = self.clock.stamp(self.monotonic_ms(Instant::now()), UnixMillis(0));
        let now = match quality {
            TimeQuality::Unknown => None,
            TimeQuality::Bounded { .. } => Some(at),
        };
        let floor = self.clock.floor();
        self.time.send_modify(|time| time.weigh(floor, now));
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

    pub(super) fn introduction(&mut self) -> Introduction {
        self.commands.born();
        let keys = self.keys();
        let ledger = &self.parts.ledger;
        let Meta { boot_count, grants, layout, mode, quota, parent, device_key, .. } =
            ledger.view().meta();
        Introduction {
            stream: ledger.stream(),
            boot: ledger.boot(),
            boot_count,
            grants,
            layout,
            keys,
            mode: mode.generation,
            quota: quota.generation,
            courier_codes: ledger.view().courier_codes().generation,
            config_epoch: config_epoch(ledger.view()),
            code_keys: self.parts.tag_keys.as_ref().map(TagKeys::fingerprint),
            parent,
            device_key,
            stamp: self.stamp(),
        }
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

/// Whether `fact` answers an order of the hub.
pub(super) const fn answers_command(fact: &Fact) -> bool {
    matches!(fact, Fact::CommandAnswered(_))
}
