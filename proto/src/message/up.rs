//! What a bank tells the hub.

use locker_core::clock::TimeQuality;
use locker_core::code::tag::FINGERPRINT_BYTES;
use locker_core::credential::KEYS_MAX;
use locker_core::downlink::GrantPosition;
use locker_core::ids::{BootId, Generation, HubEpoch, StreamId};
use locker_core::journal::stream::RUNGS_MAX;
use locker_core::journal::{BATCH_MAX_BYTES, BATCH_MAX_RECORDS, ChainHash, RECORD_MAX_BYTES};
use locker_core::journal::{Parent, Place};
use locker_core::units::UnixMillis;
use locker_core::uplink::inlet;
use prost::Message;

use super::{AGENT_VERSION_MAX_BYTES, DecodeMessageError, FORMAT_VERSION, Nonce, form};
use crate::convert::{self, Wire, required};
use crate::malformed::{FieldProblem, Malformed};
use crate::wire::bank::v1 as wire;

/// `up/birth`: a bank introduces itself on each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Birth {
    pub stream: StreamId,
    /// The journal that this one continues.
    pub parent: Option<Parent>,
    pub boot: BootId,
    /// Starts of the agent in this stream.
    pub boot_count: u64,
    /// Connections of this run, from 1.
    pub connection_count: u64,
    pub nonce: Nonce,
    /// At most [`AGENT_VERSION_MAX_BYTES`].
    pub agent_version: String,
    /// The lowest seq still held.
    pub oldest_seq: u64,
    pub head_seq: u64,
    pub head_hash: ChainHash,
    /// The last grant that was answered.
    pub grants: GrantPosition,
    /// The layout held; 0 before the first.
    pub layout: Generation,
    /// The credential keys held; 0 before the first.
    pub key_set: Generation,
    /// By which one-byte ids it knows those keys.
    pub kids: Vec<u8>,
    /// The bank's clock, and how far to trust it.
    pub at: UnixMillis,
    pub quality: TimeQuality,
    /// The mode held, 0 before the first; none if the agent is too old to say. So the next two.
    pub mode: Option<Generation>,
    pub quota: Option<Generation>,
    /// None if the agent is too old to know couriers' codes: such a one must not be sent any.
    pub courier_codes: Option<Generation>,
    /// The fingerprint of the keys that six-digit codes are hashed with, if the bank has any.
    pub code_keys: Option<[u8; FINGERPRINT_BYTES]>,
    /// The lowest hub epoch of the documents held, the key set left aside; 0 if none is held or one
    /// of them came in no epoch.
    pub config_epoch: HubEpoch,
    /// SHA-256 of the device key's SubjectPublicKeyInfo; none if the agent is too old to say.
    pub device_key: Option<[u8; 32]>,
    /// The journal's hashes at the seqs of [`locker_core::journal::stream::ladder`], highest first, at most
    /// [`RUNGS_MAX`]. Empty if the agent is too old to be given records back.
    pub ladder: Vec<Place>,
}

impl Birth {
    /// The part that the inlet judges.
    #[must_use]
    pub const fn journal(&self) -> inlet::Birth {
        inlet::Birth {
            stream: self.stream,
            parent: self.parent,
            oldest: self.oldest_seq,
            head: self.head_seq,
            head_hash: self.head_hash,
        }
    }

    /// As bytes, in [`FORMAT_VERSION`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let parent = self.parent;
        let form = wire::Birth {
            format_version: FORMAT_VERSION,
            stream_id: self.stream.0.to_vec(),
            parent_stream_id: parent.map(|parent| parent.stream.0.to_vec()).unwrap_or_default(),
            boot_id: self.boot.0.to_vec(),
            boot_count: self.boot_count,
            connection_count: self.connection_count,
            nonce: self.nonce.0.to_vec(),
            agent_version: self.agent_version.clone(),
            oldest_seq: self.oldest_seq,
            head_seq: self.head_seq,
            head_hash: self.head_hash.0.to_vec(),
            grants: Some(self.grants.to_wire()),
            layout_generation: self.layout.0,
            key_set_generation: self.key_set.0,
            kids: self.kids.iter().copied().map(u32::from).collect(),
            at_ms: self.at.0,
            within_ms: convert::within_ms(self.quality),
            mode_generation: self.mode.map(|held| held.0),
            quota_generation: self.quota.map(|held| held.0),
            courier_codes_generation: self.courier_codes.map(|held| held.0),
            code_keys: self.code_keys.map(|keys| keys.to_vec()).unwrap_or_default(),
            config_epoch: self.config_epoch.0,
            parent_common: parent.and_then(|parent| parent.common).map(|common| common.to_wire()),
            parent_reason: convert::maybe_number(parent.and_then(|parent| parent.reason)),
            device_key_sha256: self.device_key.map(|key| key.to_vec()).unwrap_or_default(),
            ladder: convert::list(&self.ladder),
        };
        form.encode_to_vec()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// The bytes are something else, or of a version that we do not speak.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeMessageError> {
        let form: wire::Birth = form(bytes)?;
        if form.format_version != FORMAT_VERSION {
            return Err(DecodeMessageError::FormatVersion { found: form.format_version });
        }
        let parent = convert::maybe_id("Birth.parent_stream_id", &form.parent_stream_id)?;
        let common = form.parent_common.map(Wire::from_wire).transpose()?;
        let reason = convert::maybe_choice("Birth.parent_reason", form.parent_reason)?;
        let ladder = convert::at_most("Birth.ladder", form.ladder, RUNGS_MAX)?;
        Ok(Self {
            stream: convert::id("Birth.stream_id", &form.stream_id)?,
            parent: parent.map(|stream| Parent { stream, common, reason }),
            boot: convert::id("Birth.boot_id", &form.boot_id)?,
            boot_count: form.boot_count,
            connection_count: form.connection_count,
            nonce: Nonce(convert::exact("Birth.nonce", &form.nonce)?),
            agent_version: agent_version(form.agent_version)?,
            oldest_seq: form.oldest_seq,
            head_seq: form.head_seq,
            head_hash: convert::hash("Birth.head_hash", &form.head_hash)?,
            grants: required("Birth.grants", form.grants)?,
            layout: Generation(form.layout_generation),
            key_set: Generation(form.key_set_generation),
            kids: kids(&form.kids)?,
            at: UnixMillis(form.at_ms),
            quality: convert::quality(form.within_ms),
            mode: form.mode_generation.map(Generation),
            quota: form.quota_generation.map(Generation),
            courier_codes: form.courier_codes_generation.map(Generation),
            code_keys: code_keys(&form.code_keys)?,
            config_epoch: HubEpoch(form.config_epoch),
            device_key: convert::maybe_exact("Birth.device_key_sha256", &form.device_key_sha256)?,
            ladder: convert::from_list(ladder)?,
        })
    }
}

fn code_keys(keys: &[u8]) -> Result<Option<[u8; FINGERPRINT_BYTES]>, Malformed> {
    if keys.is_empty() { Ok(None) } else { convert::exact("Birth.code_keys", keys).map(Some) }
}

fn agent_version(version: String) -> Result<String, Malformed> {
    let (bytes, max_bytes) = (version.len(), AGENT_VERSION_MAX_BYTES);
    let too_long = FieldProblem::TooLong { bytes, max_bytes };
    let fits = bytes <= max_bytes;
    fits.then_some(version).ok_or(Malformed::field("Birth.agent_version", too_long))
}

fn kids(kids: &[u32]) -> Result<Vec<u8>, Malformed> {
    if kids.len() > KEYS_MAX {
        let too_many = FieldProblem::TooMany { entries: kids.len(), max: KEYS_MAX };
        return Err(Malformed::field("Birth.kids", too_many));
    }
    kids.iter().map(|kid| convert::byte("Birth.kids", *kid)).collect()
}

/// `up/facts`: a run of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub stream: StreamId,
    /// The seq of the first record.
    pub first_seq: u64,
    /// The chain's hash before it.
    pub previous: ChainHash,
    /// Each as the bank wrote it; never decoded and encoded again.
    pub records: Vec<Vec<u8>>,
}

impl Batch {
    /// What the inlet judges.
    #[must_use]
    pub fn as_inlet(&self) -> inlet::Batch<'_> {
        inlet::Batch {
            stream: self.stream,
            first_seq: self.first_seq,
            previous: self.previous,
            records: &self.records,
        }
    }

    /// As bytes. The caller stays within [`BATCH_MAX_RECORDS`] and [`BATCH_MAX_BYTES`].
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let form = wire::Batch {
            stream_id: self.stream.0.to_vec(),
            first_seq: self.first_seq,
            previous_hash: self.previous.0.to_vec(),
            records: self.records,
        };
        form.encode_to_vec()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// The bytes are something else, or above a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeMessageError> {
        let form: wire::Batch = form(bytes)?;
        check_limits(&form.records)?;
        Ok(Self {
            stream: convert::id("Batch.stream_id", &form.stream_id)?,
            first_seq: form.first_seq,
            previous: convert::hash("Batch.previous_hash", &form.previous_hash)?,
            records: form.records,
        })
    }
}

pub(super) fn check_limits(records: &[Vec<u8>]) -> Result<(), DecodeMessageError> {
    if records.is_empty() {
        return Err(DecodeMessageError::EmptyBatch);
    }
    if records.len() > BATCH_MAX_RECORDS {
        return Err(DecodeMessageError::TooManyRecords { records: records.len() });
    }
    if let Some(large) = records.iter().find(|record| record.len() > RECORD_MAX_BYTES) {
        return Err(DecodeMessageError::RecordTooLarge { bytes: large.len() });
    }
    let bytes = records.iter().map(Vec::len).sum();
    let fits = bytes <= BATCH_MAX_BYTES;
    if fits { Ok(()) } else { Err(DecodeMessageError::TooManyRecordBytes { bytes }) }
}
