//! The key set as the hub's root signs it: the one document that a bank takes on nobody's word but the root's.
//!
//! Root keys lie offline and are pinned in each agent's configuration. All keys that are used every day, the command keys
//! and the credential keys, are in the set; so a thief of one of them can neither exchange nor add any.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use locker_core::credential::KeySet;
pub use locker_core::credential::RootKey;
use thiserror::Error;

use crate::convert::{self, Wire};
use crate::document::{decode_key_set, encode_key_set};
use crate::malformed::{FieldProblem, Malformed};
use crate::wire::bank::v1 as wire;

/// What a signature over a key set is for.
const CONTEXT: &[u8] = b"postern-key-set-v1";

/// A key set with a signature that nobody has checked yet: see [`Self::open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedKeySet {
    /// An encoded key set, exactly as it was signed.
    key_set: Vec<u8>,
    root: RootKey,
    signature: [u8; 64],
}

/// Why a key set counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenKeySetError {
    #[error("the key set is signed by the root {root}, which is not known here")]
    UnknownRoot { root: RootKey },
    #[error("the root {root} is not an Ed25519 public key")]
    UnusableRoot { root: RootKey },
    #[error("the key set is not as its root signed it")]
    Altered,
    #[error("the key set is malformed")]
    Malformed(#[from] Malformed),
}

impl SignedKeySet {
    /// Signs `keys`, whoever signed them before. Where this runs, the root's secret is: that should be
    /// no hub.
    #[must_use]
    pub fn sign(root: &SigningKey, keys: &KeySet) -> Self {
        let key_set = encode_key_set(&KeySet { root: None, ..keys.clone() });
        let signature = root.sign(&signed_bytes(&key_set)).to_bytes();
        Self { key_set, root: RootKey(root.verifying_key().to_bytes()), signature }
    }

    /// The key set as it was signed, if one of `roots` signed it: [`Self::root`] tells which. Whether it makes sense is for [`KeySet::is_sound`].
    ///
    /// # Errors
    ///
    /// Nobody we trust signed this, or it is something else.
    pub fn open(&self, roots: &[RootKey]) -> Result<KeySet, OpenKeySetError> {
        let root = self.root;
        if !roots.contains(&root) {
            return Err(OpenKeySetError::UnknownRoot { root });
        }
        let key = VerifyingKey::from_bytes(&root.0);
        let key = key.map_err(|_| OpenKeySetError::UnusableRoot { root })?;
        let signature = Signature::from_bytes(&self.signature);
        key.verify_strict(&signed_bytes(&self.key_set), &signature)
            .map_err(|_| OpenKeySetError::Altered)?;
        // What it says of its root is nobody's word but its own.
        Ok(KeySet { root: None, ..decode_key_set(&self.key_set)? })
    }

    /// Who is said to have signed it.
    #[must_use]
    pub const fn root(&self) -> RootKey {
        self.root
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        convert::encode(self)
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// The bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::from_wire(crate::message::form(bytes)?)
    }
}

impl Wire for SignedKeySet {
    type Form = wire::SignedKeySet;

    fn to_wire(&self) -> Self::Form {
        wire::SignedKeySet {
            key_set: self.key_set.clone(),
            root_key: self.root.0.to_vec(),
            signature: self.signature.to_vec(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        if form.key_set.is_empty() {
            return Err(Malformed::field("SignedKeySet.key_set", FieldProblem::Missing));
        }
        Ok(Self {
            root: RootKey(convert::exact("SignedKeySet.root_key", &form.root_key)?),
            signature: convert::exact("SignedKeySet.signature", &form.signature)?,
            key_set: form.key_set,
        })
    }
}

fn signed_bytes(key_set: &[u8]) -> Vec<u8> {
    [CONTEXT, &[0], key_set].concat()
}
