//! Flash that forgets what it had for certain: a byte of a record that was durable, and behind which others are.

use std::path::Path;

use super::{Disk, State};
use crate::rng::Rng;

/// Bytes of a segment's header and of a frame's head, as the journal's format has them.
const HEADER_BYTES: usize = 66;
const HEAD_BYTES: usize = 20;

/// A frame of a segment.
struct Frame {
    at: usize,
    bytes: usize,
    /// Whether it is the last one of its call.
    ends_call: bool,
}

impl Disk {
    /// A bit of a record in one of the journal's segments in `dir` changes. In the last segment it is none of the latest
    /// two calls: what the last one wrote might as well never have arrived.
    pub fn damage(&self, dir: &Path, coin: &mut Rng) {
        let mut state = self.state();
        let segments = state.segments(dir);
        let nth = coin.index(segments.len());
        let Some(&(first_seq, id)) = segments.get(nth) else { return };
        let is_last = nth + 1 == segments.len();
        let Some(file) = state.files.get_mut(&id) else { return };
        let mut frames = frames(&file.durable);
        if is_last {
            let ends: Vec<usize> = (0..frames.len()).filter(|n| frames[*n].ends_call).collect();
            frames.truncate(ends.iter().rev().nth(2).map_or(0, |end| end + 1));
        }
        if frames.is_empty() {
            return;
        }
        let hit = coin.index(frames.len());
        let at = frames[hit].at + coin.index(frames[hit].bytes);
        let flip = 1 << coin.below(8);
        for bytes in [&mut file.durable, &mut file.live] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= flip;
            }
        }
        let seq = first_seq + hit as u64;
        state.damaged = Some(state.damaged.map_or(seq, |known| known.min(seq)));
    }

    /// The first record that is damaged, as far as it was not seen to be gone.
    #[must_use]
    pub fn damaged(&self) -> Option<u64> {
        self.state().damaged
    }

    /// What was damaged is not in the journal any more.
    pub fn is_whole_again(&self) {
        self.state().damaged = None;
    }
}

impl State {
    /// First seq and file of each segment that is there for certain, in order.
    fn segments(&self, dir: &Path) -> Vec<(u64, u64)> {
        let held = self.names.held(dir).into_iter().filter(|(.., certain)| *certain);
        let segments = held.filter_map(|(name, id, _)| {
            let seq = name.strip_prefix("seg-")?.strip_suffix(".log")?.parse().ok()?;
            Some((seq, id))
        });
        segments.collect()
    }
}

/// The frames behind a segment's header, as far as their lengths lead.
fn frames(bytes: &[u8]) -> Vec<Frame> {
    let (mut found, mut at) = (Vec::new(), HEADER_BYTES);
    while let Some(head) = bytes.get(at..at + HEAD_BYTES) {
        let record = usize::from(u16::from_le_bytes([head[0], head[1]]));
        let detached = usize::from(u16::from_le_bytes([head[8], head[9]]));
        let whole = HEAD_BYTES + record + detached;
        if record == 0 || at + whole > bytes.len() {
            break;
        }
        found.push(Frame { at, bytes: whole, ends_call: head[10] == 0 });
        at += whole;
    }
    found
}
