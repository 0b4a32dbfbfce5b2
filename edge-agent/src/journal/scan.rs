//! Reading a whole segment: what stands in it, where it ends, and whether the end is torn.
//!
//! Only one call of `append` can be on its way to the disk at a time, and its sectors may arrive
//! in any order. So bytes that make no sense are a torn call, never acknowledged, exactly when
//! nothing of a later call stands behind them; a later call was begun only after this one was
//! durable. Anything else is damage.

use std::ops::Range;

use super::{
    error::Damage,
    format::{Frame, FrameFault, HEAD_BYTES, HEADER_BYTES, Head, Header, call_tag, chain_hash},
};

/// A mark is kept for each so many records, so that a seq is found without reading a segment.
pub(super) const MARK_EVERY: u64 = 64;

const MIN_FRAME_BYTES: usize = HEAD_BYTES + 1;

/// Where a record starts, and the chain's hash before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) offset: u64,
    pub(super) prev_hash: [u8; 32],
}

/// What a segment holds up to its last whole call.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) next_seq: u64,
    /// Hash of the chain at `next_seq - 1`.
    pub(super) hash: [u8; 32],
    /// Bytes up to here are header and whole calls.
    pub(super) end: u64,
    pub(super) marks: Vec<Mark>,
    /// Detached parts marked as erased whose bytes are still there.
    pub(super) unfinished: Vec<Range<u64>>,
    pub(super) tail: Tail,
}

/// What comes after the last whole call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    Clean,
    /// A call that never became durable; `damage` says how it fails.
    Torn {
        at: Spot,
    },
    Damaged {
        at: Spot,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) offset: u64,
    pub(super) seq: u64,
    pub(super) damage: Damage,
}

/// Parses arbitrary bytes as a segment, for fuzzing: it may refuse, it may not panic.
pub fn fuzz_segment(bytes: &[u8]) {
    if let Ok(header) = Header::decode(bytes) {
        let scan = scan(bytes, &header);
        assert!(scan.end <= bytes.len() as u64, "a scan ends inside its bytes");
    }
    has_frames(bytes);
}

/// Reads the frames behind the header.
pub(super) fn scan(bytes: &[u8], header: &Header) -> Scan {
    let mut run = Run::new(bytes, header);
    let tail = loop {
        if run.at == bytes.len() {
            break match run.call {
                None => Tail::Clean,
                Some(_) => Tail::Torn { at: run.spot(Damage::Cut) },
            };
        }
        match Frame::decode(&bytes[run.at..]) {
            Ok(frame) if run.is_due(&frame.head) => run.take(&frame),
            Ok(_) => break Tail::Damaged { at: run.spot(Damage::Order) },
            Err(fault) if run.later_call_behind(fault) => {
                break Tail::Damaged { at: run.spot(fault.into()) };
            }
            Err(fault) => break Tail::Torn { at: run.spot(fault.into()) },
        }
    };
    Scan { tail, ..run.whole_calls() }
}

/// Whether any frame stands anywhere in `bytes`.
pub(super) fn has_frames(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|at| Frame::decode(&bytes[at..]).is_ok())
}

/// A scan on its way.
struct Run<'a> {
    bytes: &'a [u8],
    at: usize,
    first_seq: u64,
    seq: u64,
    hash: [u8; 32],
    marks: Vec<Mark>,
    unfinished: Vec<Range<u64>>,
    /// The call that has begun and not ended: its first seq and the frames still due.
    call: Option<(u64, u8)>,
    /// State after the last whole call: place, seq, hash and the lengths of both lists.
    whole: (usize, u64, [u8; 32], usize, usize),
}

impl<'a> Run<'a> {
    fn new(bytes: &'a [u8], header: &Header) -> Self {
        let at = HEADER_BYTES;
        let (seq, hash) = (header.first_seq, header.prev_hash);
        let whole = (at, seq, hash, 0, 0);
        let (marks, unfinished) = (Vec::new(), Vec::new());
        Self { bytes, at, first_seq: seq, seq, hash, marks, unfinished, call: None, whole }
    }

    fn is_due(&self, head: &Head) -> bool {
        match self.call {
            None => head.call == call_tag(self.seq),
            Some((first_seq, left)) => {
                head.call == call_tag(first_seq) && left.checked_sub(1) == Some(head.left)
            }
        }
    }

    fn take(&mut self, frame: &Frame<'_>) {
        let (first_seq, _) = self.call.unwrap_or((self.seq, 0));
        if (self.seq - self.first_seq).is_multiple_of(MARK_EVERY) {
            self.marks.push(Mark { offset: self.at as u64, prev_hash: self.hash });
        }
        let end = self.at + frame.head.frame_bytes();
        if frame.head.erased && frame.detached.iter().any(|&byte| byte != 0) {
            self.unfinished.push((end - frame.detached.len()) as u64..end as u64);
        }
        self.at = end;
        self.seq += 1;
        self.hash = chain_hash(&self.hash, frame.record);
        self.call = Some((first_seq, frame.head.left)).filter(|(_, left)| *left > 0);
        if self.call.is_none() {
            self.whole = (self.at, self.seq, self.hash, self.marks.len(), self.unfinished.len());
        }
    }

    /// Whether a frame of a later call stands behind the bad bytes here.
    ///
    /// Behind a head that holds, the search goes on after its frame, so that bytes inside a record
    /// are not taken for a frame. A frame found must also claim a seq that there is room for.
    fn later_call_behind(&self, fault: FrameFault) -> bool {
        let mut at = self.at
            + match fault {
                FrameFault::Head => 1,
                FrameFault::Cut { .. } => return false,
                FrameFault::Record { frame_bytes } | FrameFault::Detached { frame_bytes } => {
                    frame_bytes
                }
            };
        let this_call = call_tag(self.call.map_or(self.seq, |(first_seq, _)| first_seq));
        while let Some(rest) = self.bytes.get(at..).filter(|rest| rest.len() >= MIN_FRAME_BYTES) {
            match Frame::decode(rest) {
                Ok(frame) if frame.head.call == this_call => at += frame.head.frame_bytes(),
                Ok(frame) => {
                    let ahead = frame.head.call.wrapping_sub(call_tag(self.seq));
                    if ahead > 0 && usize::from(ahead) <= (at - self.at) / MIN_FRAME_BYTES {
                        return true;
                    }
                    at += 1;
                }
                Err(_) => at += 1,
            }
        }
        false
    }

    fn spot(&self, damage: Damage) -> Spot {
        Spot { offset: self.at as u64, seq: self.seq, damage }
    }

    fn whole_calls(mut self) -> Scan {
        let (end, next_seq, hash, marks, unfinished) = self.whole;
        self.marks.truncate(marks);
        self.unfinished.truncate(unfinished);
        Scan {
            next_seq,
            hash,
            end: end as u64,
            marks: self.marks,
            unfinished: self.unfinished,
            tail: Tail::Clean,
        }
    }
}

impl From<FrameFault> for Damage {
    fn from(fault: FrameFault) -> Self {
        match fault {
            FrameFault::Head => Self::Head,
            FrameFault::Cut { .. } => Self::Cut,
            FrameFault::Record { .. } => Self::Record,
            FrameFault::Detached { .. } => Self::Detached,
        }
    }
}
