//! Tokens that a caller gives back to go on where it was: opaque, not forgeable, and of no use for
//! anything but what they were given out for.

use std::fmt;

use aws_lc_rs::hmac;
use locker_core::ids::{BankId, HubEpoch};

use crate::pki::SigningSeed;

/// What the key is derived for; a change ends all tokens.
const PURPOSE: &[u8] = b"postern grpc tokens v1";
/// Bytes of the authentication code that are kept: forging one takes 2^128 calls.
const CODE_BYTES: usize = 16;
/// Longest token that is looked at, in characters.
const TEXT_MAX: usize = 512;

const KIND_RESUME: u8 = 1;
const KIND_PAGE: u8 = 2;

/// The keys that make tokens, newest first; older ones only read them. The same for a hub that is
/// started again.
#[derive(Clone)]
pub struct TokenKey(Vec<hmac::Key>);

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenError {
    /// Not made here, altered, or made for somebody else.
    Malformed,
    /// Made before the store was restored.
    OtherEpoch,
}

impl TokenKey {
    /// Derives them from the command keys, newest first, so that there is no further secret to
    /// look after. A token ends with the key that it was made from.
    #[must_use]
    pub fn derive<'a>(command: impl Iterator<Item = &'a SigningSeed>) -> Self {
        let derived = |seed: &SigningSeed| {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, &seed.signing_key().to_bytes());
            hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&secret, PURPOSE).as_ref())
        };
        Self(command.map(derived).collect())
    }

    /// A place in the event log, for one `audience`.
    pub(super) fn resume(&self, epoch: HubEpoch, position: u64, audience: &str) -> String {
        let body = [&[KIND_RESUME][..], &epoch.0.to_be_bytes(), &position.to_be_bytes()].concat();
        self.seal(&body, audience)
    }

    /// The position that a resume token stands for.
    pub(super) fn read_resume(
        &self,
        token: &str,
        epoch: HubEpoch,
        audience: &str,
    ) -> Result<u64, TokenError> {
        let body = self.open(token, audience).ok_or(TokenError::Malformed)?;
        let [KIND_RESUME, rest @ ..] = &body[..] else { return Err(TokenError::Malformed) };
        let (made_in, position) = rest.split_at_checked(8).ok_or(TokenError::Malformed)?;
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes);
        match (number(made_in), number(position)) {
            (Ok(made_in), Ok(position)) if made_in == epoch.0 => Ok(position),
            (Ok(_), Ok(_)) => Err(TokenError::OtherEpoch),
            _ => Err(TokenError::Malformed),
        }
    }

    /// The bank after which a list goes on.
    pub(super) fn page(&self, after: &BankId, audience: &str) -> String {
        self.seal(&[&[KIND_PAGE], after.as_str().as_bytes()].concat(), audience)
    }

    /// The bank that a page token stands for.
    pub(super) fn read_page(&self, token: &str, audience: &str) -> Result<BankId, TokenError> {
        let body = self.open(token, audience).ok_or(TokenError::Malformed)?;
        let [KIND_PAGE, bank @ ..] = &body[..] else { return Err(TokenError::Malformed) };
        let bank = std::str::from_utf8(bank).ok().and_then(|bank| bank.parse().ok());
        bank.ok_or(TokenError::Malformed)
    }

    fn seal(&self, body: &[u8], audience: &str) -> String {
        let code = code(&self.0[0], body, audience);
        let mut text = String::with_capacity(2 * (body.len() + CODE_BYTES));
        for byte in body.iter().chain(&code.as_ref()[..CODE_BYTES]) {
            text.extend([byte >> 4, byte & 0xf].map(|half| char::from(HEX[usize::from(half)])));
        }
        text
    }

    fn open(&self, token: &str, audience: &str) -> Option<Vec<u8>> {
        if token.len() > TEXT_MAX || !token.len().is_multiple_of(2) || !token.is_ascii() {
            return None;
        }
        let halves: Option<Vec<u8>> = token.bytes().map(half).collect();
        let bytes: Vec<u8> = halves?.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        let (body, code) = bytes.split_at_checked(bytes.len().checked_sub(CODE_BYTES)?)?;
        let made_by = |key: &hmac::Key| {
            let expected = self::code(key, body, audience);
            let expected = &expected.as_ref()[..CODE_BYTES];
            aws_lc_rs::constant_time::verify_slices_are_equal(expected, code).is_ok()
        };
        self.0.iter().any(made_by).then(|| body.to_vec())
    }
}

fn code(key: &hmac::Key, body: &[u8], audience: &str) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(audience.as_bytes());
    context.update(&[0]);
    context.update(body);
    context.sign()
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Upper case is refused: a token has one spelling.
fn half(character: u8) -> Option<u8> {
    HEX.iter().position(|digit| *digit == character).and_then(|at| u8::try_from(at).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EPOCH: HubEpoch = HubEpoch(1_795_000_000_000);

    fn key(seed: u8) -> TokenKey {
        TokenKey::derive([SigningSeed::of([seed; 32])].iter())
    }

    #[test]
    fn a_token_is_read_as_long_as_the_hub_has_the_key_it_was_made_from() {
        let seeds = [2, 1].map(|seed| SigningSeed::of([seed; 32]));
        let rolled = TokenKey::derive(seeds.iter());
        let old = key(1).resume(EPOCH, 42, "carrier:acme");
        assert_eq!(rolled.read_resume(&old, EPOCH, "carrier:acme"), Ok(42));
        let new = rolled.resume(EPOCH, 43, "carrier:acme");
        assert_eq!(key(2).read_resume(&new, EPOCH, "carrier:acme"), Ok(43));
        assert!(key(1).read_resume(&new, EPOCH, "carrier:acme").is_err());
    }

    #[test]
    fn a_token_leads_back_to_its_place() {
        let token = key(1).resume(EPOCH, 42, "carrier:acme");
        assert_eq!(key(1).read_resume(&token, EPOCH, "carrier:acme"), Ok(42));
        let bank: BankId = "bank-1".parse().unwrap();
        let token = key(1).page(&bank, "banks");
        assert_eq!(key(1).read_page(&token, "banks"), Ok(bank));
    }

    #[test]
    fn another_audience_key_or_kind_is_malformed() {
        let token = key(1).resume(EPOCH, 42, "carrier:acme");
        let malformed = Err(TokenError::Malformed);
        assert_eq!(key(1).read_resume(&token, EPOCH, "carrier:other"), malformed);
        assert_eq!(key(2).read_resume(&token, EPOCH, "carrier:acme"), malformed);
        assert_eq!(key(1).read_page(&token, "carrier:acme"), Err(TokenError::Malformed));
        assert_eq!(key(1).read_resume(&token.to_uppercase(), EPOCH, "carrier:acme"), malformed);
    }

    #[test]
    fn another_epoch_is_told_apart_from_a_forgery() {
        let token = key(1).resume(HubEpoch(7), 42, "a");
        assert_eq!(key(1).read_resume(&token, EPOCH, "a"), Err(TokenError::OtherEpoch));
    }

    proptest! {
        #[test]
        fn one_changed_character_is_malformed(at in 0..66_usize, to in "[0-9a-f]") {
            let token = key(1).resume(EPOCH, 42, "a");
            let mut altered = token.clone();
            altered.replace_range(at..=at, &to);
            let read = key(1).read_resume(&altered, EPOCH, "a");
            prop_assert_eq!(read.is_ok(), altered == token);
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            prop_assert!(key(1).read_resume(&text, EPOCH, "a").is_err());
            prop_assert!(key(1).read_page(&text, "a").is_err());
        }
    }
}
