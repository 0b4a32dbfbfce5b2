//! Whose word counts as the hub's: the command keys of the newest key set that a pinned root has signed.

use locker_core::credential::KeySet;
use locker_core::ids::BankId;
use locker_proto::key_set::{OpenKeySetError, RootKey, SignedKeySet};
use locker_proto::signed::{self, OpenError};
use locker_proto::topics::DownTopic;
use thiserror::Error;
use tracing::info;

/// See the module's text. Outlives connections: a newer key set counts from when it was heard, also while the bank cannot
/// make it durable.
#[derive(Clone, Debug)]
pub struct TrustedKeys {
    roots: Vec<RootKey>,
    held: KeySet,
}

/// What was in a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// Signed with a command key that is held.
    Payload(Vec<u8>),
    /// Signed by a root; new or not, sound or not.
    KeySet(KeySet),
    /// Signed by a root that is not pinned here, in a message of a hub that is believed.
    ForeignKeySet(RootKey),
}

/// Why a message counts for nothing.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum DistrustError {
    #[error("no command key of the key set held has signed it")]
    Envelope(#[from] OpenError),
    #[error("no root of hub.root_keys has signed the key set in it")]
    KeySet(#[from] OpenKeySetError),
}

impl TrustedKeys {
    /// No message counts yet, but a key set that one of `roots` has signed.
    #[must_use]
    pub fn new(roots: Vec<RootKey>) -> Self {
        Self { roots, held: KeySet::default() }
    }

    /// A key set that was checked against the roots, now or in an earlier run, when they may have been others. An older one
    /// changes nothing: keys that were taken out stay out.
    pub(super) fn learn(&mut self, keys: &KeySet) {
        let newer = keys.generation > self.held.generation;
        if newer && keys.is_sound() && keys.is_signed_by(&self.roots) {
            let kids: Vec<u8> = keys.command.iter().map(|key| key.kid).collect();
            info!(generation = keys.generation.0, ?kids, "command keys of the hub");
            self.held.clone_from(keys);
        }
    }

    /// What is in a message of the hub.
    ///
    /// # Errors
    ///
    /// Nobody we trust signed it, or for another topic or bank.
    pub(super) fn open(
        &mut self,
        topic: DownTopic,
        bank: &BankId,
        envelope: &[u8],
    ) -> Result<Opened, DistrustError> {
        let key_set = (topic == DownTopic::Config).then(|| signed::key_set_in(envelope)).flatten();
        if let Some(key_set) = key_set {
            return self.key_set(&key_set, topic, bank, envelope);
        }
        Ok(Opened::Payload(signed::open(envelope, topic, bank, &self.held.command)?))
    }

    fn key_set(
        &mut self,
        key_set: &SignedKeySet,
        topic: DownTopic,
        bank: &BankId,
        envelope: &[u8],
    ) -> Result<Opened, DistrustError> {
        let root = key_set.root();
        match key_set.open(&self.roots) {
            Ok(keys) => {
                let keys = KeySet { root: Some(root), ..keys };
                self.learn(&keys);
                Ok(Opened::KeySet(keys))
            }
            // A bank that was forgotten when the root was rolled goes on with the keys it holds: it must not fall silent.
            Err(OpenKeySetError::UnknownRoot { .. })
                if signed::open(envelope, topic, bank, &self.held.command).is_ok() =>
            {
                Ok(Opened::ForeignKeySet(root))
            }
            Err(error) => Err(error.into()),
        }
    }
}
