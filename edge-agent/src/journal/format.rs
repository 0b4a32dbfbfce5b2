//! Bytes of a segment file: its header and its frames, frozen as format 1.
//!
//! All numbers are little-endian. A frame's head says which call of `append` it belongs to and how
//! many frames of that call follow, so that after a power cut a reader can tell a call that never
//! was acknowledged (cut it off) from damage to one that was (stop). Seq is not written: it is the
//! header's `first_seq` and counting.
//!
//! ```text
//! header  magic "PSTJ" | format_version u16 | stream_id [16] | first_seq u64 | prev_hash [32]
//!         | crc32c u32
//! frame   head [20] | record | detached
//! head    record_len u16 | call u16 | record_crc u32
//!         | detached_len u16 | left u8 | state u8 | detached_crc u32 | head_crc u32
//! ```

use locker_core::journal::{CHAIN_START, ChainHash, next_hash};

pub use locker_core::journal::RECORD_MAX_BYTES;

use super::Entry;

/// Largest detached part.
pub const DETACHED_MAX_BYTES: usize = 32 << 10;
/// Most entries of one call of `append`; `left` in a frame's head has one byte for them.
pub const CALL_MAX_ENTRIES: usize = 256;
/// The chain's hash before seq 1.
pub const GENESIS_HASH: [u8; 32] = CHAIN_START.0;

pub(super) const SEGMENT_MAGIC: [u8; 4] = *b"PSTJ";
pub(super) const SEGMENT_FORMAT: u16 = 1;
pub(super) const HEADER_BYTES: usize = 66;
pub(super) const HEAD_BYTES: usize = 20;
/// Place of the state byte inside a frame's head.
pub(super) const STATE_AT: usize = 11;
pub(super) const STATE_LIVE: u8 = 0x00;
/// Far from `STATE_LIVE` in bits, so that one flipped bit is not taken for an erasure.
pub(super) const STATE_ERASED: u8 = 0xe5;

const HEADER_CRC_AT: usize = HEADER_BYTES - 4;
const HEAD_CRC_AT: usize = HEAD_BYTES - 4;

/// The chain's hash after `record`: SHA-256 of the hash before it and the record as written.
pub fn chain_hash(prev: &[u8; 32], record: &[u8]) -> [u8; 32] {
    next_hash(ChainHash(*prev), record).0
}

/// The header of a segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) stream_id: [u8; 16],
    pub(super) first_seq: u64,
    /// Hash of the chain at `first_seq - 1`.
    pub(super) prev_hash: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// Too short, not ours, or its checksum is wrong.
    Unreadable,
    /// Whole or not, it names a format this code does not know.
    Newer(u16),
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&SEGMENT_MAGIC);
        bytes[4..6].copy_from_slice(&SEGMENT_FORMAT.to_le_bytes());
        bytes[6..22].copy_from_slice(&self.stream_id);
        bytes[22..30].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[30..HEADER_CRC_AT].copy_from_slice(&self.prev_hash);
        let crc = crc32c::crc32c(&bytes[..HEADER_CRC_AT]);
        bytes[HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The version is read before the checksum: a newer format may keep its checksum elsewhere.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let magic: [u8; 4] = take(bytes, 0).ok_or(HeaderFault::Unreadable)?;
        let version = take(bytes, 4).map(u16::from_le_bytes).ok_or(HeaderFault::Unreadable)?;
        if magic != SEGMENT_MAGIC {
            return Err(HeaderFault::Unreadable);
        }
        if version > SEGMENT_FORMAT {
            return Err(HeaderFault::Newer(version));
        }
        let fields = || {
            let crc = take(bytes, HEADER_CRC_AT).map(u32::from_le_bytes)?;
            (version == SEGMENT_FORMAT && crc == crc32c::crc32c(&bytes[..HEADER_CRC_AT]))
                .then_some(())?;
            Some(Self {
                stream_id: take(bytes, 6)?,
                first_seq: take(bytes, 22).map(u64::from_le_bytes)?,
                prev_hash: take(bytes, 30)?,
            })
        };
        fields().filter(|header| header.first_seq > 0).ok_or(HeaderFault::Unreadable)
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) record_len: u16,
    /// Low half-word of the seq of the first entry of this frame's call.
    pub(super) call: u16,
    pub(super) record_crc: u32,
    pub(super) detached_len: u16,
    /// Frames of the same call that follow this one.
    pub(super) left: u8,
    pub(super) erased: bool,
    pub(super) detached_crc: u32,
}

impl Head {
    /// A live head. The checksum leaves the state byte out (takes it as live): erasing then changes
    /// a single byte, which no power cut can tear. `detached_crc` may stay when the bytes go: four
    /// bytes of the erased random salt are enough to make it independent of what was said.
    fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..2].copy_from_slice(&self.record_len.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.call.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.record_crc.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.detached_len.to_le_bytes());
        bytes[10] = self.left;
        bytes[12..HEAD_CRC_AT].copy_from_slice(&self.detached_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..HEAD_CRC_AT]);
        bytes[HEAD_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes: [u8; HEAD_BYTES] = take(bytes, 0)?;
        let state = std::mem::replace(&mut bytes[STATE_AT], STATE_LIVE);
        let head = Self {
            record_len: u16::from_le_bytes(take(&bytes, 0)?),
            call: u16::from_le_bytes(take(&bytes, 2)?),
            record_crc: u32::from_le_bytes(take(&bytes, 4)?),
            detached_len: u16::from_le_bytes(take(&bytes, 8)?),
            left: bytes[10],
            erased: state == STATE_ERASED,
            detached_crc: u32::from_le_bytes(take(&bytes, 12)?),
        };
        let sizes_fit = (1..=RECORD_MAX_BYTES).contains(&usize::from(head.record_len))
            && usize::from(head.detached_len) <= DETACHED_MAX_BYTES;
        let state_fits = state == STATE_LIVE || (head.erased && head.detached_len > 0);
        let crc = u32::from_le_bytes(take(&bytes, HEAD_CRC_AT)?);
        (sizes_fit && state_fits && crc == crc32c::crc32c(&bytes[..HEAD_CRC_AT])).then_some(head)
    }

    pub(super) fn frame_bytes(&self) -> usize {
        HEAD_BYTES + usize::from(self.record_len) + usize::from(self.detached_len)
    }
}

/// A whole frame whose checksums hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) head: Head,
    pub(super) record: &'a [u8],
    /// Not checked, and meant to be zero, when the head says erased.
    pub(super) detached: &'a [u8],
}

/// Why there is no frame here. From `Cut` on the head was whole, so its sizes can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameFault {
    Head,
    /// The bytes end inside the frame.
    Cut {
        frame_bytes: usize,
    },
    Record {
        frame_bytes: usize,
    },
    Detached {
        frame_bytes: usize,
    },
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, FrameFault> {
        let head = Head::decode(bytes).ok_or(FrameFault::Head)?;
        Self::behind(head, bytes)
    }

    /// As [`Self::decode`], where the part has been erased since its head was read.
    pub(super) fn decode_erased(bytes: &'a [u8]) -> Result<Self, FrameFault> {
        let head = Head::decode(bytes).ok_or(FrameFault::Head)?;
        Self::behind(Head { erased: true, ..head }, bytes)
    }

    fn behind(head: Head, bytes: &'a [u8]) -> Result<Self, FrameFault> {
        let frame_bytes = head.frame_bytes();
        let body = bytes.get(HEAD_BYTES..frame_bytes).ok_or(FrameFault::Cut { frame_bytes })?;
        let (record, detached) = body.split_at(usize::from(head.record_len));
        if crc32c::crc32c(record) != head.record_crc {
            return Err(FrameFault::Record { frame_bytes });
        }
        if !head.erased && crc32c::crc32c(detached) != head.detached_crc {
            return Err(FrameFault::Detached { frame_bytes });
        }
        Ok(Self { head, record, detached })
    }
}

/// Bytes that `entry` takes in a segment.
pub(super) fn entry_bytes(entry: &Entry<'_>) -> usize {
    HEAD_BYTES + entry.record.len() + entry.detached.map_or(0, <[u8]>::len)
}

/// Adds the frame of `entry` to `buf`. The caller has checked the sizes.
pub(super) fn put_frame(buf: &mut Vec<u8>, call_first_seq: u64, left: u8, entry: &Entry<'_>) {
    let detached = entry.detached.unwrap_or_default();
    let head = Head {
        record_len: u16::try_from(entry.record.len()).expect("records are at most 32 KiB"),
        call: call_tag(call_first_seq),
        record_crc: crc32c::crc32c(entry.record),
        detached_len: u16::try_from(detached.len()).expect("detached parts are at most 32 KiB"),
        left,
        erased: false,
        detached_crc: crc32c::crc32c(detached),
    };
    buf.extend_from_slice(&head.encode());
    buf.extend_from_slice(entry.record);
    buf.extend_from_slice(detached);
}

/// What a frame's head says of the seq its call began with.
pub(super) fn call_tag(call_first_seq: u64) -> u16 {
    let [low, high, ..] = call_first_seq.to_le_bytes();
    u16::from_le_bytes([low, high])
}

pub(super) fn segment_name(first_seq: u64) -> String {
    format!("seg-{first_seq:020}.log")
}

/// The first seq that a segment's name claims; `None` for files that are not segments.
pub(super) fn segment_seq(name: &str) -> Option<u64> {
    numbered(name, "seg-", ".log")
}

/// The number in a file name of 20 digits between `before` and `after`.
pub(super) fn numbered(name: &str, before: &str, after: &str) -> Option<u64> {
    let digits = name.strip_prefix(before)?.strip_suffix(after)?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// `N` bytes of `bytes` from `at`, if there are as many.
pub(super) fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
