//! The hub's signing keys: one kind signs what goes down to banks, the other pickup codes and badges.
//!
//! Banks believe a key once they hold a key set that names it; the hub's root signs that, offline.
//! So everything is signed with the newest key of a kind that the bank holds: what the bank cannot
//! check, it does not follow, and its recipient cannot use.

use std::fmt;
use std::path::{Path, PathBuf};

use locker_core::credential::{
    self, Action, Claims, CommandKey, CredentialKey, KEYS_MAX, KeySet, SignError,
};
use locker_core::ids::{BankId, CredentialId};
use locker_core::units::UnixMillis;
use locker_proto::key_set::SignedKeySet;
use locker_proto::signed;
use locker_proto::topics::DownTopic;
use thiserror::Error;

use crate::pki::{KeyKind, KeySetFile, KeySetFileError, SigningKeyError, SigningSeed};

/// The keys that a hub signs with, and the set that banks believe them by.
#[derive(Clone)]
pub struct HubKeys {
    set: KeySetFile,
    /// Newest first.
    command: Vec<(u8, SigningSeed)>,
    /// Newest first.
    credential: Vec<(u8, SigningSeed)>,
}

/// Which command key signs what one bank is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommandSigner(usize);

impl CommandSigner {
    /// The newest key, which banks hold that hold our key set.
    pub(crate) const NEWEST: Self = Self(0);
}

impl HubKeys {
    /// Reads the key set, the keys that sign what goes down, and the keys that sign codes: each
    /// with its id, newest first.
    ///
    /// # Errors
    ///
    /// When a file is of no use, or the set does not name one of the keys. The set may name more:
    /// ones that other hubs have, or that retire.
    pub fn load(
        set: &Path,
        command: &[(u8, &Path)],
        credential: &[(u8, &Path)],
    ) -> Result<Self, LoadKeysError> {
        let file = KeySetFile::load(set).map_err(LoadKeysError::Set)?;
        let keys = &file.keys;
        let named: Vec<_> = keys.command.iter().map(|key| (key.kid, key.public)).collect();
        let command = load_kind(KeyKind::Command, command, &named, (set, keys))?;
        let named: Vec<_> = keys.keys.iter().map(|key| (key.kid, key.public)).collect();
        let credential = load_kind(KeyKind::Credential, credential, &named, (set, keys))?;
        Ok(Self { set: file, command, credential })
    }

    /// The keys of a folder that `cloud-hub pki init` made, before any was rolled.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn of_new_pki(folder: &Path) -> Result<Self, LoadKeysError> {
        let [set, command, credential] =
            ["key-set.signed", "command-1.key", "credential-1.key"].map(|name| folder.join(name));
        Self::load(&set, &[(1, &command)], &[(1, &credential)])
    }

    /// What banks are to hold.
    #[must_use]
    pub const fn key_set(&self) -> &KeySet {
        &self.set.keys
    }

    /// The same as they get it.
    pub(crate) const fn signed_key_set(&self) -> &SignedKeySet {
        &self.set.signed
    }

    /// The public halves of the keys that this hub signs codes with, newest first.
    #[must_use]
    pub fn credential_keys(&self) -> Vec<CredentialKey> {
        let keys = self.credential.iter();
        keys.map(|(kid, seed)| CredentialKey { kid: *kid, public: public(seed) }).collect()
    }

    /// The keys that sign what goes down, newest first.
    pub fn command_seeds(&self) -> impl Iterator<Item = &SigningSeed> {
        self.command.iter().map(|(_, seed)| seed)
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
        // The same id with other bytes would be a key that was replaced without a new id.
        let ours = self.credential_keys();
        let common = ours.iter().position(|key| held.keys.contains(key));
        let (kid, seed) = &self.credential[common.ok_or(SignTokenError::NoCommonKey)?];
        let claims = Claims { credential, bank_tag: bank.tag(), expires, action };
        credential::sign(seed.signing_key(), *kid, &claims).map_err(SignTokenError::Sign)
    }

    /// The newest of our command keys that a bank believes that holds `held`; none if there is
    /// none.
    pub(crate) fn command_signer(&self, held: &KeySet) -> Option<CommandSigner> {
        let mut keys = self.command.iter();
        let is_held = |(kid, seed): &(u8, SigningSeed)| {
            held.command.contains(&CommandKey { kid: *kid, public: public(seed) })
        };
        keys.position(is_held).map(CommandSigner)
    }

    /// Signs a message to `bank`, for one topic.
    pub(crate) fn sign_down(
        &self,
        signer: CommandSigner,
        topic: DownTopic,
        bank: &BankId,
        payload: &[u8],
    ) -> Vec<u8> {
        let (kid, seed) = &self.command[signer.0];
        signed::sign(seed.signing_key(), *kid, topic, bank, payload)
    }
}

/// Reads the keys of one kind and holds them against those that the set names.
fn load_kind(
    kind: KeyKind,
    files: &[(u8, &Path)],
    named: &[(u8, [u8; 32])],
    (set, keys): (&Path, &KeySet),
) -> Result<Vec<(u8, SigningSeed)>, LoadKeysError> {
    let kind = kind.as_str();
    if !(1..=KEYS_MAX).contains(&files.len()) {
        return Err(LoadKeysError::Number { kind });
    }
    let mut loaded: Vec<(u8, SigningSeed)> = Vec::new();
    for &(kid, path) in files {
        let seed = SigningSeed::load(path).map_err(LoadKeysError::File)?;
        if loaded.iter().any(|(other, _)| *other == kid) {
            return Err(LoadKeysError::Twice { kind, kid });
        }
        if !named.contains(&(kid, public(&seed))) {
            let (file, set) = (path.to_owned(), set.to_owned());
            let generation = keys.generation.0;
            let known: Vec<u8> = named.iter().map(|(kid, _)| *kid).collect();
            return Err(LoadKeysError::NotInSet { kind, kid, file, set, generation, known });
        }
        loaded.push((kid, seed));
    }
    Ok(loaded)
}

fn public(seed: &SigningSeed) -> [u8; 32] {
    seed.public().verifying_key().to_bytes()
}

impl fmt::Debug for HubKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids =
            |keys: &[(u8, SigningSeed)]| keys.iter().map(|(kid, _)| *kid).collect::<Vec<_>>();
        f.debug_struct("HubKeys")
            .field("generation", &self.set.keys.generation.0)
            .field("command", &kids(&self.command))
            .field("credential", &kids(&self.credential))
            .finish_non_exhaustive()
    }
}

/// Why the keys cannot be used.
#[derive(Debug, Error)]
pub enum LoadKeysError {
    #[error("a key file is of no use")]
    File(#[source] SigningKeyError),
    #[error("the key set is of no use; `cloud-hub pki` makes it, as key-set.signed")]
    Set(#[source] KeySetFileError),
    #[error("there must be one to {KEYS_MAX} {kind} keys")]
    Number { kind: &'static str },
    #[error("{kind} key {kid} is there twice")]
    Twice { kind: &'static str, kid: u8 },
    #[error(
        "{} is not {kind} key {kid} of the key set {} (generation {generation}, {kind} keys \
         {known:?}), so no bank would believe it: give the hub the key-set.signed that `cloud-hub \
         pki {kind}-key {kid}` wrote beside this key, or the key that belongs to this set",
        file.display(), set.display()
    )]
    NotInSet {
        kind: &'static str,
        kid: u8,
        file: PathBuf,
        set: PathBuf,
        generation: u64,
        known: Vec<u8>,
    },
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
