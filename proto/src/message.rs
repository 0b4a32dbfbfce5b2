//! What a bank and the hub tell each other, checked: who holds one of these needs to check no length and no limit again.
//!
//! Whether a message is true is not decided here: who sent it says the connection, what follows from it the core.

mod command;
mod down;
mod restore;
mod telemetry;
mod up;

pub use command::{Command, CommandKind};
pub use down::{Ack, Config, Document, Grants};
pub use restore::{Restore, RestoreKind};
pub use telemetry::{Presence, Telemetry};
pub use up::{Batch, Birth};

use locker_core::journal::{BATCH_MAX_BYTES, BATCH_MAX_RECORDS};
use prost::Message;
use thiserror::Error;

use crate::malformed::Malformed;

/// The version of these messages that this software speaks.
pub const FORMAT_VERSION: u32 = 1;

/// Longest version text of an agent, in bytes.
pub const AGENT_VERSION_MAX_BYTES: usize = 64;

/// Bytes that protobuf puts before one record of a batch: tag, and a length below 2^21.
const RECORD_FRAME_BYTES: usize = 4;

/// Room for everything in a message but a batch's records, in bytes: headers, and the envelope of a signed message.
const HEADER_MAX_BYTES: usize = 1024;

/// Largest message of any kind, in bytes; both ends refuse an MQTT packet with a larger payload.
pub const MESSAGE_MAX_BYTES: usize =
    BATCH_MAX_BYTES + BATCH_MAX_RECORDS * RECORD_FRAME_BYTES + HEADER_MAX_BYTES;

/// Sixteen random bytes of a birth that the hub signs back, so that its time and its commands are known to be fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce(pub [u8; 16]);

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeMessageError {
    #[error("the message is malformed")]
    Malformed(#[from] Malformed),
    #[error("the agent speaks format {found}, and this hub {FORMAT_VERSION}")]
    FormatVersion { found: u32 },
    #[error("the batch has no records")]
    EmptyBatch,
    #[error("the batch has {records} records, more than {BATCH_MAX_RECORDS}")]
    TooManyRecords { records: usize },
    #[error("the batch has {bytes} bytes of records, more than {BATCH_MAX_BYTES}")]
    TooManyRecordBytes { bytes: usize },
    #[error("a record has {bytes} bytes, more than {}", locker_core::journal::RECORD_MAX_BYTES)]
    RecordTooLarge { bytes: usize },
    #[error("there are no grants in it")]
    NoGrants,
    #[error("it has {grants} grants, more than {}", locker_core::downlink::GRANTS_PER_BATCH_MAX)]
    TooManyGrants { grants: usize },
    #[error("the key set in it is not signed by the hub's root")]
    UnsignedKeySet,
}

/// Reads a form after holding the message's size against the limit.
pub(crate) fn form<T: Message + Default>(bytes: &[u8]) -> Result<T, Malformed> {
    if bytes.len() > MESSAGE_MAX_BYTES {
        let max_bytes = MESSAGE_MAX_BYTES;
        return Err(Malformed::TooLarge { bytes: bytes.len(), max_bytes });
    }
    T::decode(bytes).map_err(Malformed::NotProtobuf)
}
