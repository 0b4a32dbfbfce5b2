//! By which rules a state was folded, as seals, snapshots and stores say it.
//!
//! A bank whose oldest records are gone cannot fold anew when the rules change. It goes on from the state that
//! older rules came to, and says so: such a state is held against nobody else's.

/// The version of [`fold`](super::fold)'s results. Raise it whenever the same records would fold differently.
///
/// What a state is made of may only grow: an entity that older rules wrote keeps its meaning, because a bank that
/// has pruned its journal goes on with it.
pub const FOLD_VERSION: u32 = 6;

/// Which rules had a part in a state.
///
/// As a number it is the version of the rules; if older ones had a part in it, too, the oldest of them stands in the
/// upper 16 bits, so that it is no version at all to whoever compares. Frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoldedBy {
    newest: u32,
    oldest: u32,
}

impl FoldedBy {
    /// These rules, from the first record on.
    pub const THESE: Self = Self { newest: FOLD_VERSION, oldest: FOLD_VERSION };

    /// Reads a [`Self::number`].
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        let (oldest, newest) = (number >> 16, number & 0xffff);
        Self { newest, oldest: if oldest == 0 { newest } else { oldest } }
    }

    /// What stands in seals, snapshots and stores.
    #[must_use]
    pub const fn number(self) -> u32 {
        if self.newest == self.oldest { self.newest } else { (self.oldest << 16) | self.newest }
    }

    /// The rules that folded last.
    #[must_use]
    pub const fn newest(self) -> u32 {
        self.newest
    }

    /// Whether no other rules than these had a part in it.
    #[must_use]
    pub const fn is_by_these_alone(self) -> bool {
        self.newest == FOLD_VERSION && self.oldest == FOLD_VERSION
    }

    /// Whether these rules can go on from such a state. Not if it comes from rules that are newer.
    #[must_use]
    pub const fn can_go_on(self) -> bool {
        self.newest <= FOLD_VERSION
    }

    /// What becomes of it when these rules go on from it.
    #[must_use]
    pub const fn and_these(self) -> Self {
        Self { newest: FOLD_VERSION, oldest: self.oldest }
    }
}

#[cfg(test)]
mod tests;
