//! Each bank's pepper and salt, derived from one master secret, so that there is one file to guard
//! and to back up, and a bank that is stolen gives nothing away about the others.

use std::path::Path;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use locker_core::code::tag::{PEPPER_BYTES, SALT_BYTES, TagKeys};
use locker_core::ids::{BankId, Generation};
use zeroize::Zeroizing;

use super::key_file::{Secret, SecretFileError, push_hex_line};

/// HKDF's salt (RFC 5869): what the master secret is for.
const PURPOSE: &[u8] = b"postern-codes-v1";

/// The master secret of all tags. Prints as nothing.
#[derive(Clone, Debug)]
pub struct CodeMaster(Secret);

impl CodeMaster {
    #[must_use]
    pub const fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// Reads its file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or does not hold exactly one secret.
    pub fn load(path: &Path) -> Result<Self, SecretFileError> {
        Secret::load(path).map(Self)
    }

    /// What the tags of a bank are made with. A new generation, for a bank whose disk was seen by
    /// others, has nothing in common with the one before; slots of both may be live meanwhile.
    #[must_use]
    pub fn tag_keys(&self, bank: &BankId, generation: Generation) -> TagKeys {
        let (salt, pepper) = self.salt_and_pepper(bank, generation);
        TagKeys::new(salt, pepper)
    }

    /// The same as the bank's agent reads it: comment lines, the salt, the pepper.
    #[must_use]
    pub fn file_text(&self, bank: &BankId, generation: Generation) -> Zeroizing<String> {
        let (salt, pepper) = self.salt_and_pepper(bank, generation);
        let mut text = Zeroizing::new(format!(
            "# Postern keys of six-digit codes for bank {bank}, generation {}: keep them secret\n",
            generation.0
        ));
        // It must not grow, or copies stay behind in memory.
        text.reserve_exact(2 * (SALT_BYTES + PEPPER_BYTES) + 2);
        push_hex_line(&mut text, &salt);
        push_hex_line(&mut text, &*pepper);
        text
    }

    fn salt_and_pepper(
        &self,
        bank: &BankId,
        generation: Generation,
    ) -> ([u8; SALT_BYTES], Zeroizing<[u8; PEPPER_BYTES]>) {
        let master = Salt::new(HKDF_SHA256, PURPOSE).extract(self.0.bytes());
        let mut pepper = Zeroizing::new([0; PEPPER_BYTES]);
        let mut salt = [0; SALT_BYTES];
        derive(&master, b"pepper", bank, generation, &mut *pepper);
        derive(&master, b"salt", bank, generation, &mut salt);
        (salt, pepper)
    }
}

fn derive(master: &Prk, what: &[u8], bank: &BankId, generation: Generation, out: &mut [u8]) {
    // Neither `what` nor a bank's name has a zero byte.
    let info: [&[u8]; 5] =
        [what, &[0], bank.as_str().as_bytes(), &[0], &generation.0.to_be_bytes()];
    master
        .expand(&info, Length(out.len()))
        .and_then(|derived| derived.fill(out))
        .expect("HKDF gives up to 255 hashes (RFC 5869, section 2.3), and this is one");
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests;
