//! A slot: a code that the hub has minted for a bank, before or after anybody needs it.
//!
//! Digits are drawn uniformly and rejected when they lie too near to another live code, so that one
//! slip of a finger never opens somebody else's door. When no digits are to be had the answer is
//! none, and the parcel goes with its QR code alone.

use std::collections::BTreeMap;
use std::fmt;

use subtle::{ConditionallySelectable, ConstantTimeEq};
use thiserror::Error;

use super::digits::{CODES, Digits};
use super::tag::Tag;
use crate::ids::ParseIdError;
use crate::units::UnixMillis;

/// Live codes of one bank differ in at least this many places.
pub const DISTANCE_MIN: usize = 2;
/// Digits that were live are not given out again for this long: 30 days.
pub const REUSE_AFTER_MS: u64 = 30 * 86_400_000;
/// Draws for one code. With [`SLOTS_MAX`] live codes and [`RECENT_MAX`] recent ones a draw fails
/// one time in ten, so running out means that the source of randomness is broken.
pub const DRAWS_MAX: u32 = 64;
/// Most slots of one bank, bound or not. Each rules 55 of the 10^6 codes out.
pub const SLOTS_MAX: usize = 1_000;
/// Most slots of settled parcels that a bank keeps to say that they were used; beyond it those of the
/// parcels that settled first are forgotten, and typed again they are wrong. With a full pool this leaves
/// room for the parcels of 200 compartments; a bank that has more gets a smaller pool.
pub const SPENT_SLOTS_MAX: usize = 200;
/// Most recently used codes of one bank; beyond it none is minted until the oldest have aged.
pub const RECENT_MAX: usize = 50_000;
/// Longest sealed digits, in bytes.
pub const SEALED_MAX_BYTES: usize = 64;

/// The largest multiple of [`CODES`] in 32 bits: a draw at or above it would favour low numbers.
const DRAW_BELOW: u32 = u32::MAX - u32::MAX % CODES;

/// A slot, named by the hub; never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub [u8; 16]);

impl TryFrom<&[u8]> for SlotId {
    type Error = ParseIdError;

    fn try_from(bytes: &[u8]) -> Result<Self, ParseIdError> {
        let bytes = bytes.try_into();
        bytes.map(Self).map_err(|_| ParseIdError::Bytes { kind: "slot id", bytes: 16 })
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotId({self})")
    }
}

/// The digits under a key that only the hub has. A bank hands them back unread.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

/// Why bytes are no sealed digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("sealed digits have 1 to {SEALED_MAX_BYTES} bytes, not {bytes}")]
pub struct SealedError {
    pub bytes: usize,
}

impl TryFrom<Vec<u8>> for Sealed {
    type Error = SealedError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, SealedError> {
        if (1..=SEALED_MAX_BYTES).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(SealedError { bytes: bytes.len() })
        }
    }
}

impl Sealed {
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// All that a bank holds of a code.
#[derive(Clone, Debug)]
pub struct Slot {
    pub id: SlotId,
    pub tag: Tag,
    pub sealed: Sealed,
}

/// For records and tests; a typed code is compared by [`find`].
impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && bool::from(self.tag.ct_eq(&other.tag)) && self.sealed == other.sealed
    }
}

impl Eq for Slot {}

/// The slot that what was typed belongs to. Every slot is looked at in the same time, whichever
/// fits; live tags differ, so at most one does.
#[must_use]
pub fn find<'a>(typed: &Tag, live: impl IntoIterator<Item = (SlotId, &'a Tag)>) -> Option<SlotId> {
    let mut found = [0; 16];
    let mut is_found = subtle::Choice::from(0);
    for (id, tag) in live {
        let fits = typed.ct_eq(tag);
        for (byte, candidate) in found.iter_mut().zip(&id.0) {
            byte.conditional_assign(candidate, fits);
        }
        is_found |= fits;
    }
    bool::from(is_found).then_some(SlotId(found))
}

/// The digits that a bank's codes had, and when each stopped being live.
#[derive(Clone, Debug, Default)]
pub struct RecentlyUsed(BTreeMap<Digits, UnixMillis>);

impl RecentlyUsed {
    /// Of codes that stopped being live at a time each; those long enough ago are left out.
    #[must_use]
    pub fn new(retired: impl IntoIterator<Item = (Digits, UnixMillis)>, now: UnixMillis) -> Self {
        let mut recent = Self::default();
        for (digits, at) in retired {
            if now.since_ms(at) < REUSE_AFTER_MS {
                recent.retire(digits, at);
            }
        }
        recent
    }

    /// `digits` stopped being live.
    pub fn retire(&mut self, digits: Digits, at: UnixMillis) {
        let kept = self.0.entry(digits).or_insert(at);
        *kept = (*kept).max(at);
    }

    /// Forgets what may be used again.
    pub fn forget_old(&mut self, now: UnixMillis) {
        self.0.retain(|_, at| now.since_ms(*at) < REUSE_AFTER_MS);
    }

    #[must_use]
    pub fn contains(&self, digits: &Digits) -> bool {
        self.0.contains_key(digits)
    }
}

/// Draws digits that lie at [`DISTANCE_MIN`] from all of `live` and were not used recently.
/// `random` gives uniform 32-bit numbers. None when the bank has all the codes it may have, or
/// [`DRAWS_MAX`] draws brought nothing: then parcels go with their QR code alone.
///
/// No digits are too simple: a code that is never given out makes all others easier to guess.
pub fn mint(
    live: &[Digits],
    recent: &RecentlyUsed,
    mut random: impl FnMut() -> u32,
) -> Option<Digits> {
    if live.len() >= SLOTS_MAX || recent.0.len() > RECENT_MAX {
        return None;
    }
    (0..DRAWS_MAX).find_map(|_| {
        let draw = Some(random()).filter(|draw| *draw < DRAW_BELOW)?;
        let digits = Digits::from_number(draw % CODES)?;
        let is_apart = live.iter().all(|other| digits.distance(other) >= DISTANCE_MIN);
        (is_apart && !recent.contains(&digits)).then_some(digits)
    })
}

#[cfg(test)]
mod tests;
