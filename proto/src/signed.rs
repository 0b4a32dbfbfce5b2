//! The envelope of everything the hub tells a bank: signed by the command key for one kind of message and one bank, so
//! that a broker can neither open a door nor forge a policy, nor hand one bank what was meant for another.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
pub use locker_core::credential::CommandKey;
use locker_core::ids::BankId;
use prost::Message;
use thiserror::Error;

use crate::convert;
use crate::key_set::SignedKeySet;
use crate::malformed::Malformed;
use crate::message::{Config, Document};
use crate::topics::DownTopic;
use crate::wire::bank::v1 as wire;

/// Why an envelope was not opened. Its content must not take effect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    #[error("the signed message is malformed")]
    Malformed(#[from] Malformed),
    #[error("the message is signed with key {kid}, which is not known here")]
    UnknownKey { kid: u8 },
    #[error("key {kid} is not an Ed25519 public key")]
    UnusableKey { kid: u8 },
    #[error("the signature does not fit this message, this topic and this bank")]
    Altered,
}

/// Signs `payload` for `bank`, whose agent knows the public half of `key` as `kid`.
#[must_use]
pub fn sign(key: &SigningKey, kid: u8, topic: DownTopic, bank: &BankId, payload: &[u8]) -> Vec<u8> {
    let signature = key.sign(&signed_bytes(topic, bank, payload));
    let form = wire::Signed {
        kid: kid.into(),
        payload: payload.to_vec(),
        signature: signature.to_bytes().to_vec(),
    };
    form.encode_to_vec()
}

/// The payload, if one of `keys` signed it for `topic` and `bank`.
///
/// # Errors
///
/// Nobody we trust signed this, or for another topic or bank.
pub fn open(
    bytes: &[u8],
    topic: DownTopic,
    bank: &BankId,
    keys: &[CommandKey],
) -> Result<Vec<u8>, OpenError> {
    let form: wire::Signed = crate::message::form(bytes)?;
    let kid = convert::byte("Signed.kid", form.kid)?;
    let signature: [u8; 64] = convert::exact("Signed.signature", &form.signature)?;
    let key = keys.iter().find(|key| key.kid == kid).ok_or(OpenError::UnknownKey { kid })?;
    let key = VerifyingKey::from_bytes(&key.public).map_err(|_| OpenError::UnusableKey { kid })?;
    key.verify_strict(
        &signed_bytes(topic, bank, &form.payload),
        &Signature::from_bytes(&signature),
    )
    .map_err(|_| OpenError::Altered)?;
    Ok(form.payload)
}

/// The key set in an envelope of `down/config`, whoever signed the envelope: it has the root's own signature, and a bank
/// that holds no command key yet must be able to learn the first. Nothing else gets out of an unchecked envelope.
#[must_use]
pub fn key_set_in(bytes: &[u8]) -> Option<SignedKeySet> {
    let form: wire::Signed = crate::message::form(bytes).ok()?;
    match Config::decode(&form.payload).ok()?.document {
        Document::KeySet(signed) => Some(signed),
        Document::Layout(_)
        | Document::Mode(_)
        | Document::Quota(_)
        | Document::CourierCodes(_) => None,
    }
}

/// A name has no zero byte, so nothing can be moved from one part to the next.
fn signed_bytes(topic: DownTopic, bank: &BankId, payload: &[u8]) -> Vec<u8> {
    [context(topic).as_bytes(), &[0], bank.as_str().as_bytes(), &[0], payload].concat()
}

/// What a signature is for.
const fn context(topic: DownTopic) -> &'static str {
    match topic {
        DownTopic::Ack => "postern-down-ack-v1",
        DownTopic::Grants => "postern-down-grants-v1",
        DownTopic::Config => "postern-down-config-v1",
        DownTopic::Command => "postern-down-command-v1",
        DownTopic::Restore => "postern-down-restore-v1",
    }
}
