//! Sealed digits: how the hub reads a code again that it drew weeks ago, without keeping it in the
//! clear.
//!
//! A bank hands the sealed digits back when it binds a slot, so any replica, and a hub restored
//! from a backup, can send the code. They are bound to the bank and the slot: what is sealed for one
//! cannot pass for another's.

use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use locker_core::code::digits::{DIGITS, Digits};
use locker_core::code::slot::{Sealed, SlotId};
use locker_core::ids::BankId;
use thiserror::Error;
use zeroize::Zeroizing;

use super::key_file::{Secret, SecretFileError};

/// Most sealing keys at a time: the one in use and older ones that live or recent codes are sealed
/// with. A key may seal 2^32 codes with random nonces (NIST SP 800-38D, section 8.3).
pub const SEALING_KEYS_MAX: usize = 8;

/// Bytes of an AES-GCM tag.
const TAG_BYTES: usize = 16;
/// Key id, nonce, ciphertext, tag.
const SEALED_BYTES: usize = 1 + NONCE_LEN + DIGITS + TAG_BYTES;
const CONTEXT: &[u8] = b"postern-sealed-digits-v1";

/// The keys that digits are sealed with. The first one seals, all of them open.
#[derive(Debug)]
pub struct SealingKeys {
    /// Newest first; never empty.
    keys: Vec<(u8, RandomizedNonceKey)>,
}

impl SealingKeys {
    /// Of secrets with their ids, newest first.
    ///
    /// # Errors
    ///
    /// When there is none, more than [`SEALING_KEYS_MAX`], or an id comes twice.
    pub fn new(secrets: &[(u8, Secret)]) -> Result<Self, SealingKeysError> {
        let mut ids: Vec<u8> = secrets.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() != secrets.len() || !(1..=SEALING_KEYS_MAX).contains(&ids.len()) {
            return Err(SealingKeysError::Unsound);
        }
        let key = |(id, secret): &(u8, Secret)| {
            let key = RandomizedNonceKey::new(&AES_256_GCM, secret.bytes());
            key.map(|key| (*id, key)).map_err(|_| SealingKeysError::Unusable { id: *id })
        };
        Ok(Self { keys: secrets.iter().map(key).collect::<Result<_, _>>()? })
    }

    /// Reads each key's file.
    ///
    /// # Errors
    ///
    /// When a file is of no use, or as [`SealingKeys::new`].
    pub fn load(files: &[(u8, &Path)]) -> Result<Self, SealingKeysError> {
        let load = |&(id, path): &(u8, &Path)| Secret::load(path).map(|secret| (id, secret));
        let secrets: Result<Vec<_>, _> = files.iter().map(load).collect();
        Self::new(&secrets.map_err(SealingKeysError::File)?)
    }

    /// Seals the digits of a slot of a bank with the newest key.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub fn seal(&self, bank: &BankId, slot: SlotId, digits: Digits) -> Result<Sealed, SealError> {
        let (id, key) = self.keys.first().ok_or(SealError)?;
        let mut text = Zeroizing::new([0; DIGITS]);
        text.copy_from_slice(digits.reveal());
        let (nonce, tag) = key
            .seal_in_place_separate_tag(Aad::from(aad(*id, bank, slot)), &mut *text)
            .map_err(|_| SealError)?;
        let mut bytes = Vec::with_capacity(SEALED_BYTES);
        bytes.push(*id);
        bytes.extend_from_slice(nonce.as_ref());
        bytes.extend_from_slice(&*text);
        bytes.extend_from_slice(tag.as_ref());
        Sealed::try_from(bytes).map_err(|_| SealError)
    }

    /// Reads the digits of a slot of a bank.
    ///
    /// # Errors
    ///
    /// When they were not sealed by one of these keys for this slot of this bank.
    pub fn open(
        &self,
        bank: &BankId,
        slot: SlotId,
        sealed: &Sealed,
    ) -> Result<Digits, OpenSealedError> {
        let Some((&[id], rest)) = sealed.as_bytes().split_first_chunk() else {
            return Err(OpenSealedError::Malformed);
        };
        let Some((nonce, body)) = rest.split_first_chunk::<NONCE_LEN>() else {
            return Err(OpenSealedError::Malformed);
        };
        if sealed.as_bytes().len() != SEALED_BYTES {
            return Err(OpenSealedError::Malformed);
        }
        let key = self.keys.iter().find(|(known, _)| *known == id);
        let (_, key) = key.ok_or(OpenSealedError::UnknownKey { id })?;
        let mut body = Zeroizing::new(body.to_vec());
        let text = key
            .open_in_place(Nonce::from(nonce), Aad::from(aad(id, bank, slot)), &mut body)
            .map_err(|_| OpenSealedError::Altered)?;
        Digits::try_from(&*text).map_err(|_| OpenSealedError::Altered)
    }
}

/// A bank's name has no zero byte, and the rest has a fixed length: nothing can be moved from one
/// part to the next.
fn aad(id: u8, bank: &BankId, slot: SlotId) -> Vec<u8> {
    [CONTEXT, &[0, id], &slot.0, bank.as_str().as_bytes()].concat()
}

/// Why sealing keys cannot be used.
#[derive(Debug, Error)]
pub enum SealingKeysError {
    #[error("a sealing key's file is of no use")]
    File(#[source] SecretFileError),
    #[error("there must be one to {SEALING_KEYS_MAX} sealing keys with different ids")]
    Unsound,
    #[error("the sealing key {id} cannot be used")]
    Unusable { id: u8 },
}

/// The system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the digits could not be sealed")]
pub struct SealError;

/// Why sealed digits could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenSealedError {
    #[error("these are no sealed digits")]
    Malformed,
    #[error("the digits are sealed with the key {id}, which is not here")]
    UnknownKey { id: u8 },
    #[error("the digits were changed, or are another slot's")]
    Altered,
}

#[cfg(test)]
mod tests;
