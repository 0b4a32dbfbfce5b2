//! The hub's signing keys: one signs what goes down to banks, the others sign pickup codes and
//! badges.
//!
//! A token is signed with the newest key that the bank holds: what the bank cannot check, its
//! recipient cannot use.

use std::fmt;
use std::path::Path;

use locker_core::credential::{self, Action, Claims, CredentialKey, KeySet, SignError};
use locker_core::ids::{BankId, CredentialId, Generation};
use locker_core::units::UnixMillis;
use locker_proto::signed::{self, CommandKey};
use locker_proto::topics::DownTopic;
use thiserror::Error;

use crate::pki::{SigningKeyError, SigningSeed};

/// The id under which banks know the command key until command keys are rolled.
pub const COMMAND_KID: u8 = 1;

/// The keys that a hub signs with.
#[derive(Clone)]
pub struct HubKeys {
    command: SigningSeed,
    /// Newest first.
    credential: Vec<(u8, SigningSeed)>,
}

impl HubKeys {
    /// Reads the key that signs what goes down, and the keys that sign codes: each with its id,
    /// newest first.
    ///
    /// # Errors
    ///
    /// When a file is of no use, or the credential keys would not make a sound key set.
    pub fn load(command: &Path, credential: &[(u8, &Path)]) -> Result<Self, LoadKeysError> {
        let command = SigningSeed::load(command).map_err(LoadKeysError::File)?;
        let load = |&(kid, path): &(u8, &Path)| SigningSeed::load(path).map(|seed| (kid, seed));
        let credential: Result<_, _> = credential.iter().map(load).collect();
        let keys = Self { command, credential: credential.map_err(LoadKeysError::File)? };
        if keys.key_set(Generation(0)).is_sound() { Ok(keys) } else { Err(LoadKeysError::Unsound) }
    }

    /// The public halves of the credential keys, as a document of `generation`.
    #[must_use]
    pub fn key_set(&self, generation: Generation) -> KeySet {
        let public = |(kid, seed): &(u8, SigningSeed)| CredentialKey {
            kid: *kid,
            public: seed.public().verifying_key().to_bytes(),
        };
        KeySet { generation, keys: self.credential.iter().map(public).collect() }
    }

    /// Signs the code that opens what `credential` names at `bank`, with the newest key that the
    /// bank holds according to `held`.
    ///
    /// # Errors
    ///
    /// When the bank holds none of our keys.
    pub fn sign_pickup(
        &self,
        bank: &BankId,
        held: &KeySet,
        credential: CredentialId,
        expires: UnixMillis,
    ) -> Result<String, SignTokenError> {
        self.sign_token(bank, held, credential, expires, Action::Pickup)
    }

    pub(crate) fn sign_token(
        &self,
        bank: &BankId,
        held: &KeySet,
        credential: CredentialId,
        expires: UnixMillis,
        action: Action,
    ) -> Result<String, SignTokenError> {
        let ours = self.key_set(held.generation).keys;
        // The same id with other bytes would be a key that was replaced without a new id.
        let common = ours.iter().position(|key| held.keys.contains(key));
        let (kid, seed) = &self.credential[common.ok_or(SignTokenError::NoCommonKey)?];
        let claims = Claims { credential, bank_tag: bank.tag(), expires, action };
        credential::sign(seed.signing_key(), *kid, &claims).map_err(SignTokenError::Sign)
    }

    /// What banks check messages to them with, as they know it.
    #[must_use]
    pub fn command_key(&self) -> CommandKey {
        CommandKey { kid: COMMAND_KID, public: self.command.public().verifying_key().to_bytes() }
    }

    /// Signs a message to `bank`, for one topic.
    pub(crate) fn sign_down(&self, topic: DownTopic, bank: &BankId, payload: &[u8]) -> Vec<u8> {
        signed::sign(self.command.signing_key(), COMMAND_KID, topic, bank, payload)
    }
}

impl fmt::Debug for HubKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids: Vec<u8> = self.credential.iter().map(|(kid, _)| *kid).collect();
        f.debug_struct("HubKeys").field("credential", &kids).finish_non_exhaustive()
    }
}

/// Why the keys cannot be used.
#[derive(Debug, Error)]
pub enum LoadKeysError {
    #[error("a key file is of no use")]
    File(#[source] SigningKeyError),
    #[error("there must be one to {} credential keys with different ids", credential::KEYS_MAX)]
    Unsound,
}

/// Why a code was not signed.
#[derive(Debug, Error)]
pub enum SignTokenError {
    #[error("the bank holds none of this hub's credential keys yet")]
    NoCommonKey,
    #[error("the code could not be signed")]
    Sign(#[source] SignError),
}

#[cfg(test)]
pub(crate) mod tests;
