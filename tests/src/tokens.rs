//! Codes that no hub would sign, for what a bank must refuse.

use anyhow::Result;
use locker_core::credential::{Action, Claims, sign};
use locker_core::ids::{BankId, CredentialId};
use locker_core::units::UnixMillis;

use crate::pki::Pki;
use crate::wait::now_ms;

/// A pickup code for `bank` with a good signature that expires `expires_in_s` from now.
///
/// # Errors
///
/// The signing key cannot be read.
pub fn pickup_code(
    pki: &Pki,
    bank: &str,
    credential: [u8; 16],
    expires_in_s: i64,
) -> Result<String> {
    let bank: BankId = bank.parse()?;
    let expires = now_ms().saturating_add_signed(expires_in_s * 1_000);
    let claims = Claims {
        credential: CredentialId(credential),
        bank_tag: bank.tag(),
        expires: UnixMillis(expires),
        action: Action::Pickup,
    };
    Ok(sign(pki.credential_seed()?.signing_key(), 1, &claims)?)
}

/// `code` with one character in the middle of its signature changed.
#[must_use]
pub fn altered(code: &str) -> String {
    let at = code.len() - 20;
    let new = if &code[at..=at] == "A" { "B" } else { "A" };
    format!("{}{new}{}", &code[..at], &code[at + 1..])
}
