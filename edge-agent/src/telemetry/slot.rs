//! Bytes of one sample on the disk, frozen as format 1: slots of one size, so that the bytes of a
//! file tell how many samples are in it, and damage to one is damage to no other.
//!
//! All numbers are little-endian.
//!
//! ```text
//! slot    crc32c u32 | taken_ms u64 | sample_len u8 | sample, as sent | zeros up to 128 bytes
//! ```
//!
//! The checksum covers everything behind it. `taken_ms` counts from the start of the run that wrote
//! the slot and means nothing to a later run.

use locker_proto::message::Telemetry;

/// Bytes of a slot. The largest sample there can be today leaves a quarter of it free.
pub const SLOT_BYTES: usize = 128;

const TAKEN_AT: usize = 4;
const LEN_AT: usize = 12;
const SAMPLE_AT: usize = 13;

/// The slot of a sample; `None` if it is too long for one.
pub(super) fn encode(taken_ms: u64, said: &Telemetry) -> Option<[u8; SLOT_BYTES]> {
    let sample = said.encode();
    let mut slot = [0; SLOT_BYTES];
    slot.get_mut(SAMPLE_AT..SAMPLE_AT + sample.len())?.copy_from_slice(&sample);
    slot[LEN_AT] = u8::try_from(sample.len()).ok()?;
    slot[TAKEN_AT..LEN_AT].copy_from_slice(&taken_ms.to_le_bytes());
    let crc = crc32c::crc32c(&slot[TAKEN_AT..]);
    slot[..TAKEN_AT].copy_from_slice(&crc.to_le_bytes());
    Some(slot)
}

/// What is in a slot; `None` if it is damaged.
pub(super) fn decode(slot: &[u8; SLOT_BYTES]) -> Option<(u64, Telemetry)> {
    let crc = u32::from_le_bytes(*slot.first_chunk()?);
    if crc != crc32c::crc32c(&slot[TAKEN_AT..]) {
        return None;
    }
    let taken_ms = u64::from_le_bytes(*slot[TAKEN_AT..].first_chunk()?);
    let sample = slot.get(SAMPLE_AT..SAMPLE_AT + usize::from(slot[LEN_AT]))?;
    Some((taken_ms, Telemetry::decode(sample).ok()?))
}
