//! What a bank keeps of a code: a keyed, slow hash.
//!
//! Whoever copies a bank's disk without its pepper learns nothing from tags. With the pepper he can
//! try all 10^6 codes, and no hash that a locker's controller can afford makes that hard: Argon2id
//! with 1 MiB (RFC 9106) takes about a millisecond a code. It is chosen because the hub makes as many tags
//! as there are deposits; 64 MiB would not be a wall either.

use std::fmt;

use argon2::{Algorithm, Argon2, ParamsBuilder, Version};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::digits::Digits;

/// Bytes of a tag.
pub const TAG_BYTES: usize = 16;
/// Bytes of a bank's salt.
pub const SALT_BYTES: usize = 16;
/// Bytes of a bank's pepper.
pub const PEPPER_BYTES: usize = 32;
/// Bytes of the fingerprint of a bank's keys.
pub const FINGERPRINT_BYTES: usize = 8;
/// Argon2's memory, in KiB.
const MEMORY_KIB: u32 = 1024;
/// Argon2's passes.
const PASSES: u32 = 1;
/// Argon2's lanes.
const LANES: u32 = 1;

const FINGERPRINT_DOMAIN: &[u8] = b"postern-tag-keys-v1";

/// What all tags of one bank are made with. The salt may be known; the pepper must not.
#[derive(Clone)]
pub struct TagKeys {
    salt: [u8; SALT_BYTES],
    pepper: Zeroizing<[u8; PEPPER_BYTES]>,
}

impl TagKeys {
    #[must_use]
    pub const fn new(salt: [u8; SALT_BYTES], pepper: Zeroizing<[u8; PEPPER_BYTES]>) -> Self {
        Self { salt, pepper }
    }

    /// The tag of `digits` at this bank. Takes about a millisecond and a mebibyte.
    #[must_use]
    pub fn tag(&self, digits: Digits) -> Tag {
        let mut tag = [0; TAG_BYTES];
        let params = ParamsBuilder::new()
            .m_cost(MEMORY_KIB)
            .t_cost(PASSES)
            .p_cost(LANES)
            .output_len(TAG_BYTES)
            .build()
            .expect("the parameters are constants within RFC 9106, section 3.1");
        Argon2::new_with_secret(&*self.pepper, Algorithm::Argon2id, Version::V0x13, params)
            .and_then(|argon2| argon2.hash_password_into(digits.reveal(), &self.salt, &mut tag))
            .expect("the lengths are constants within RFC 9106, section 3.1");
        Tag(tag)
    }

    /// Tells these keys from others without telling them: a bank and the hub whose fingerprints
    /// differ would make different tags of the same digits. The pepper has 256 bits, which nobody
    /// tries out.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; FINGERPRINT_BYTES] {
        // Every part has a fixed length, and the hash is cut: nothing can be appended to it.
        let hash = Sha256::new()
            .chain_update(FINGERPRINT_DOMAIN)
            .chain_update(self.salt)
            .chain_update(*self.pepper)
            .finalize();
        let mut fingerprint = [0; FINGERPRINT_BYTES];
        fingerprint.copy_from_slice(&hash[..FINGERPRINT_BYTES]);
        fingerprint
    }

    pub(super) const fn salt(&self) -> &[u8; SALT_BYTES] {
        &self.salt
    }

    pub(super) fn pepper(&self) -> &[u8; PEPPER_BYTES] {
        &self.pepper
    }
}

impl fmt::Debug for TagKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TagKeys(..)")
    }
}

/// The keyed hash of six digits at one bank. It prints as nothing and has no `==`: a comparison
/// that stops at the first difference would tell how close a guess was.
#[derive(Clone, Copy)]
pub struct Tag([u8; TAG_BYTES]);

impl Tag {
    #[must_use]
    pub const fn from_bytes(bytes: [u8; TAG_BYTES]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; TAG_BYTES] {
        &self.0
    }
}

impl ConstantTimeEq for Tag {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(..)")
    }
}

#[cfg(test)]
mod tests;
