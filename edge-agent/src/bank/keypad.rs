//! The bank's loop and the keypad: what was typed becomes tags, and the screen is told whether a try
//! is taken at all.

use std::time::Duration;

use locker_core::bank::{self as rules, Typed};
use locker_core::code::budget::{self, Closed, Now};
use locker_core::code::digits::Digits;
use locker_core::code::second_factor::PhoneSuffix;
use locker_core::fact::Fact;
use locker_core::journal::View;
use locker_core::refusal::Refusal;
use tokio::time::Instant;

use super::{Bank, PanelKeypad};

impl Bank {
    /// Hashes what was typed, if a try is taken at all. Right and wrong digits take the same time,
    /// which is this thread's: one keypad types slower than the bank hashes.
    pub(super) fn typed(
        &self,
        digits: Digits,
        phone: Option<PhoneSuffix>,
    ) -> Result<Typed, Refusal> {
        let keys = self.parts.tag_keys.as_ref().ok_or(Refusal::KeypadClosed)?;
        let suffix = phone.map(|phone| phone.tag(keys));
        let now = self.budget_moment();
        rules::may_type(self.parts.ledger.view(), suffix, &now)?;
        Ok(Typed { tag: keys.tag(digits), suffix, now })
    }

    /// Tells the screen if the keypad opened or closed meanwhile.
    pub(super) fn look_at_keypad(&self) {
        let (keypad, until) = self.keypad();
        let told = |state: &super::PanelState| (state.keypad, state.keypad_until);
        if told(&self.state.borrow()) != (keypad, until) {
            self.publish(|state| (state.keypad, state.keypad_until) = (keypad, until));
        }
    }

    /// Whether the keypad takes a try of somebody who types phone digits, and when it does again if
    /// it only waits.
    fn keypad(&self) -> (PanelKeypad, Option<Instant>) {
        if self.parts.tag_keys.is_none() {
            return (PanelKeypad::Absent, None);
        }
        let now = self.budget_moment();
        match budget::admit(&self.parts.ledger.view().budget(), None, &now) {
            Ok(()) | Err(Closed::AloneUsedUp | Closed::SuffixUsedUp) => (PanelKeypad::Open, None),
            Err(Closed::Lockout) => (PanelKeypad::Closed, None),
            Err(Closed::Wait { left_ms }) => {
                // Counted from the start, so that it is the same whenever it is looked at.
                let until_ms = now.uptime_ms.saturating_add(left_ms);
                (PanelKeypad::Wait, Some(self.started + Duration::from_millis(until_ms)))
            }
        }
    }

    fn budget_moment(&self) -> Now {
        let uptime_ms = self.monotonic_ms(Instant::now());
        let clock = self.clock.interval(uptime_ms);
        Now { clock, boot: self.parts.ledger.boot(), uptime_ms }
    }
}

/// Whether `fact` may open or close the keypad.
pub(super) const fn changes_keypad(fact: &Fact) -> bool {
    matches!(fact, Fact::CodeTyped(_) | Fact::KeypadReset(_))
}
