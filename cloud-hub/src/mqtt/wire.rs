//! Bytes to packets, for a peer that may send anything.
//!
//! The codec is rumqttc's. It decodes both directions, so what only a server sends, and what we
//! never speak (QoS 2; UNSUBSCRIBE but for operators), is refused here by its first byte, before it
//! is decoded or even complete.

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::Packet;
use rumqttc::mqttbytes::{Error as CodecError, check};

/// Largest CONNECT after its fixed header: client id, will and an ignored login. It comes before
/// we know that the client is one of ours.
pub(super) const CONNECT_BYTES_MAX: usize = 4 * 1024;

/// The MQTT 3.1.1 protocol level (OASIS MQTT 3.1.1, section 3.1.2.2).
const PROTOCOL_LEVEL: u8 = 4;

/// Takes the first packet off the buffer; `None` asks for more bytes.
///
/// # Errors
/// When what stands at the front can never become a packet that we accept.
pub(super) fn take(
    buffer: &mut BytesMut,
    max_bytes: usize,
    speaker: Speaker,
) -> Result<Option<Packet>, WireError> {
    let Some(first) = buffer.first() else { return Ok(None) };
    let kind = Kind::of(*first, speaker)?;
    let header = match check(buffer.iter(), max_bytes) {
        Ok(header) => header,
        Err(CodecError::InsufficientBytes(_)) => return Ok(None),
        Err(CodecError::PayloadSizeLimitExceeded(bytes)) => {
            return Err(WireError::Oversize { bytes, max_bytes });
        }
        Err(error) => return Err(WireError::malformed(&error)),
    };
    let frame = buffer.get(..header.frame_length()).unwrap_or_default();
    match kind {
        Kind::Connect => check_protocol(frame)?,
        // The codec takes these two by their first byte alone.
        Kind::Empty if frame.len() != 2 => return Err(WireError::Length(*first >> 4)),
        Kind::Empty | Kind::Other => {}
    }
    Packet::read(buffer, max_bytes).map(Some).map_err(|error| WireError::malformed(&error))
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// An agent of ours: it subscribes once and for all.
    Bank,
    /// A tool of an operator, which people click about in.
    Operator,
}

/// What the first byte tells about how to check the rest.
enum Kind {
    Connect,
    /// PINGREQ and DISCONNECT: nothing follows the fixed header.
    Empty,
    Other,
}

impl Kind {
    /// Types and flags that a client may send (OASIS MQTT 3.1.1, sections 2.2.1 and 2.2.2).
    const fn of(first: u8, speaker: Speaker) -> Result<Self, WireError> {
        let (packet_type, flags) = (first >> 4, first & 0x0f);
        match (packet_type, flags) {
            (1, 0) => Ok(Self::Connect),
            (3, _) | (4, 0) | (8, 2) => Ok(Self::Other),
            (10, 2) if matches!(speaker, Speaker::Operator) => Ok(Self::Other),
            (12 | 14, 0) => Ok(Self::Empty),
            (1 | 4 | 8 | 12 | 14, _) => Err(WireError::Flags(packet_type)),
            (2 | 9 | 11 | 13, _) => Err(WireError::ServerPacket(packet_type)),
            _ => Err(WireError::PacketType(packet_type)),
        }
    }
}

/// Another protocol level has another layout after it: say so instead of "malformed".
fn check_protocol(connect: &[u8]) -> Result<(), WireError> {
    let length_bytes = connect.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 1;
    let variable = connect.get(1 + length_bytes..).unwrap_or_default();
    let (level, flags) = match variable {
        [0, 4, b'M', b'Q', b'T', b'T', level, flags, ..] => (*level, *flags),
        [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', level, ..] => (*level, 0),
        _ => return Err(WireError::malformed(&CodecError::InvalidProtocol)),
    };
    if level != PROTOCOL_LEVEL {
        return Err(WireError::ProtocolLevel(level));
    }
    if flags & 1 == 0 { Ok(()) } else { Err(WireError::Flags(1)) }
}

/// Why bytes are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A packet that only a server sends: CONNACK, SUBACK, UNSUBACK, PINGRESP.
    #[error("packet type {0} goes from server to client only")]
    ServerPacket(u8),
    /// A packet that we do not speak: QoS 2's four steps less PUBLISH, UNSUBSCRIBE, reserved types.
    #[error("packet type {0} is not spoken here")]
    PacketType(u8),
    /// Reserved flags are set.
    #[error("reserved flags set on packet type {0}")]
    Flags(u8),
    /// Something follows the fixed header where nothing may.
    #[error("packet type {0} has no content")]
    Length(u8),
    /// Not MQTT 3.1.1.
    #[error("protocol level {0} is not spoken here, only 4 (MQTT 3.1.1)")]
    ProtocolLevel(u8),
    /// Longer than allowed, told by its header before it was read.
    #[error("packet of {bytes} bytes, at most {max_bytes} are allowed")]
    Oversize {
        /// Announced bytes after the fixed header.
        bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// Not decodable.
    #[error("malformed packet: {0}")]
    Malformed(String),
}

impl WireError {
    /// The codec's error as text: it can be neither cloned nor compared.
    fn malformed(error: &CodecError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// Fuzz target: feeds the bytes through the filter and the codec as a session does. It must not
/// panic, and must come to an end.
pub fn fuzz_packets(bytes: &[u8]) {
    const MAX_BYTES: usize = 1024;
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(packet)) = take(&mut buffer, MAX_BYTES, Speaker::Operator) {
        drop(packet);
    }
}

#[cfg(test)]
mod tests;
