//! What the hub tells a bank. Each travels as the payload of a [`crate::signed`] message.

use locker_core::code::keypad_code::CourierCodes;
use locker_core::compartment::Layout;
use locker_core::downlink::{GRANTS_PER_BATCH_MAX, Grant, GrantPosition, Mode, Quota};
use locker_core::ids::{HubEpoch, StreamId};
use locker_core::journal::ChainHash;
use locker_core::units::UnixMillis;
use prost::Message;

use super::{DecodeMessageError, Nonce, form};
use crate::convert::{self, Wire, from_list, list, present, required};
use crate::key_set::SignedKeySet;
use crate::malformed::{FieldProblem, Malformed};
use crate::wire::bank::v1 as wire;

/// `down/ack`: what the hub has, and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    pub stream: StreamId,
    /// Everything up to here is durable in the hub.
    pub committed_seq: u64,
    /// The chain's hash there.
    pub committed_hash: ChainHash,
    /// Everything up to here is in a backup of the hub, too.
    pub safe_seq: u64,
    pub epoch: HubEpoch,
    /// Of this connection's birth.
    pub nonce: Nonce,
    /// The hub's time.
    pub at: UnixMillis,
}

impl Ack {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let form = wire::Ack {
            stream_id: self.stream.0.to_vec(),
            committed_seq: self.committed_seq,
            committed_hash: self.committed_hash.0.to_vec(),
            safe_seq: self.safe_seq,
            epoch: self.epoch.0,
            nonce: self.nonce.0.to_vec(),
            at_ms: self.at.0,
        };
        form.encode_to_vec()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// The bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeMessageError> {
        let form: wire::Ack = form(bytes)?;
        Ok(Self {
            stream: convert::id("Ack.stream_id", &form.stream_id)?,
            committed_seq: form.committed_seq,
            committed_hash: convert::hash("Ack.committed_hash", &form.committed_hash)?,
            safe_seq: form.safe_seq,
            epoch: HubEpoch(form.epoch),
            nonce: Nonce(convert::exact("Ack.nonce", &form.nonce)?),
            at: UnixMillis(form.at_ms),
        })
    }
}

/// `down/grants`: a run of the hub's decisions, without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// Where the first one stands.
    pub first: GrantPosition,
    /// In order; 1 to [`GRANTS_PER_BATCH_MAX`].
    pub grants: Vec<Grant>,
    /// The hub's time.
    pub at: UnixMillis,
}

impl Grants {
    /// Each grant with its position.
    pub fn positions(&self) -> impl Iterator<Item = (GrantPosition, &Grant)> {
        let GrantPosition { epoch, gseq } = self.first;
        (gseq..).zip(&self.grants).map(move |(gseq, grant)| (GrantPosition { epoch, gseq }, grant))
    }

    /// As bytes. The caller stays within [`GRANTS_PER_BATCH_MAX`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let form = wire::Grants {
            first: Some(self.first.to_wire()),
            grants: list(&self.grants),
            at_ms: self.at.0,
        };
        form.encode_to_vec()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// The bytes are something else, or above a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeMessageError> {
        let form: wire::Grants = form(bytes)?;
        if form.grants.is_empty() {
            return Err(DecodeMessageError::NoGrants);
        }
        if form.grants.len() > GRANTS_PER_BATCH_MAX {
            return Err(DecodeMessageError::TooManyGrants { grants: form.grants.len() });
        }
        let first = required("Grants.first", form.first)?;
        check_gseq(first)?;
        Ok(Self { first, grants: from_list(form.grants)?, at: UnixMillis(form.at_ms) })
    }
}

/// Numbers begin at 1, and counting up from the first must not overflow.
fn check_gseq(first: GrantPosition) -> Result<(), Malformed> {
    let (min, max) = (1, u64::MAX / 2);
    let problem = FieldProblem::Range { value: first.gseq, min, max };
    let in_range = (min..=max).contains(&first.gseq);
    if in_range { Ok(()) } else { Err(Malformed::field("GrantPosition.gseq", problem)) }
}

/// `down/config`: one whole configuration document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub epoch: HubEpoch,
    pub document: Document,
    /// Of the birth that it answers. Hubs once did not say it.
    pub nonce: Option<Nonce>,
}

/// The documents there are. Whether one makes sense is for the core to say, which answers with a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    Layout(Layout),
    /// Counts for what the root's signature says, whoever signed the message around it.
    KeySet(SignedKeySet),
    Mode(Mode),
    Quota(Quota),
    CourierCodes(CourierCodes),
}

impl Config {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let document = match &self.document {
            Document::Layout(layout) => wire::config::Document::Layout(layout.to_wire()),
            Document::KeySet(keys) => wire::config::Document::SignedKeySet(keys.to_wire()),
            Document::Mode(mode) => wire::config::Document::Mode(mode.to_wire()),
            Document::Quota(quota) => wire::config::Document::Quota(quota.to_wire()),
            Document::CourierCodes(codes) => wire::config::Document::CourierCodes(codes.to_wire()),
        };
        let nonce = self.nonce.map(|nonce| nonce.0.to_vec()).unwrap_or_default();
        wire::Config { epoch: self.epoch.0, document: Some(document), nonce }.encode_to_vec()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// The bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeMessageError> {
        let form: wire::Config = form(bytes)?;
        let document = match present("Config.document", form.document)? {
            wire::config::Document::Layout(form) => Document::Layout(Wire::from_wire(form)?),
            wire::config::Document::KeySet(_) => return Err(DecodeMessageError::UnsignedKeySet),
            wire::config::Document::Mode(form) => Document::Mode(Wire::from_wire(form)?),
            wire::config::Document::Quota(form) => Document::Quota(Wire::from_wire(form)?),
            wire::config::Document::CourierCodes(form) => {
                Document::CourierCodes(Wire::from_wire(form)?)
            }
            wire::config::Document::SignedKeySet(form) => Document::KeySet(Wire::from_wire(form)?),
        };
        let nonce = Some(&form.nonce).filter(|nonce| !nonce.is_empty());
        let nonce = nonce.map(|nonce| convert::exact("Config.nonce", nonce).map(Nonce));
        Ok(Self { epoch: HubEpoch(form.epoch), document, nonce: nonce.transpose()? })
    }
}
