//! Evidence: whether a bank's records hold against their chain, their seals and the bank's keys, told by whoever reads
//! them, without trusting the hub that hands them out.
//!
//! Nothing here talks to anybody: [`StreamCheck`] is given records one by one, [`bundle`] is the format of evidence files,
//! [`evidence`] checks one, [`anchor()`] holds a key against certificates, [`story`] says in words what records are about.

pub mod anchor;
pub mod bundle;
pub mod evidence;
pub mod story;
mod stream_check;

pub use anchor::{AnchorError, anchor};
pub use story::is_about;
pub use stream_check::{
    FINDINGS_MAX, Finding, Seal, Start, StreamCheck, StreamReport, check_parents,
};

use locker_core::ids::StreamId;

/// A stream's id as it is shown: 32 hex digits.
#[must_use]
pub fn stream_id(text: &str) -> Option<StreamId> {
    let digits = text.as_bytes();
    if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut id = [0; 16];
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(StreamId(id))
}

#[cfg(test)]
pub(crate) mod tests;
