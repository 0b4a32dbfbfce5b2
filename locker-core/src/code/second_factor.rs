//! The last four digits of the recipient's phone number, which a keypad asks for besides the code.
//!
//! A bank keeps them, and the suffixes that people typed wrongly, only as a keyed hash. Whoever has
//! the bank's pepper can undo it: there are ten thousand.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::digits::{DigitsError, digits_of};
use super::tag::TagKeys;

/// Digits of a phone number that are asked for.
pub const SUFFIX_DIGITS: usize = 4;
/// How many there are.
pub const SUFFIXES: u64 = 10_000;
/// Bytes of a suffix's keyed hash.
pub const SUFFIX_TAG_BYTES: usize = 8;

const DOMAIN: &[u8] = b"postern-phone-suffix-v1";

/// Four digits of somebody's phone number. Prints as nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PhoneSuffix([u8; SUFFIX_DIGITS]);

impl PhoneSuffix {
    /// What was typed at the keypad, read as leniently as a code.
    ///
    /// # Errors
    ///
    /// When it is not exactly four digits.
    pub fn typed(input: &str) -> Result<Self, DigitsError> {
        let digits = digits_of(input)?;
        let found = digits.len();
        digits.try_into().map(Self).map_err(|_| DigitsError::Length { digits: found })
    }

    /// The end of a phone number in any notation; none if it has fewer than four digits.
    #[must_use]
    pub fn of_number(number: &str) -> Option<Self> {
        let digits: Vec<u8> = number.bytes().filter(u8::is_ascii_digit).collect();
        digits.last_chunk().copied().map(Self)
    }

    /// Its keyed hash at one bank.
    #[must_use]
    pub fn tag(self, keys: &TagKeys) -> SuffixTag {
        // Every part has a fixed length, and the hash is cut: nothing can be appended to it.
        let hash = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(keys.pepper())
            .chain_update(keys.salt())
            .chain_update(self.0)
            .finalize();
        let mut tag = [0; SUFFIX_TAG_BYTES];
        tag.copy_from_slice(&hash[..SUFFIX_TAG_BYTES]);
        SuffixTag(tag)
    }
}

impl fmt::Debug for PhoneSuffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneSuffix(..)")
    }
}

/// The keyed hash of four phone digits at one bank. Prints as nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SuffixTag(pub [u8; SUFFIX_TAG_BYTES]);

impl ConstantTimeEq for SuffixTag {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for SuffixTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SuffixTag(..)")
    }
}

/// Whether what was typed besides the digits is what the code asks for. A suffix typed for a code
/// that asks for none does not fit: otherwise codes without a phone could be guessed within the
/// whole budget instead of a quarter of it.
#[must_use]
pub fn fits(asked: Option<SuffixTag>, typed: Option<SuffixTag>) -> bool {
    match (asked, typed) {
        (Some(asked), Some(typed)) => asked.ct_eq(&typed).into(),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests;
