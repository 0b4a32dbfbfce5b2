//! What the agent sends next, and what the hub's acks mean for it.
//!
//! After each birth it sends on from the watermark; inside a connection nothing is sent twice. Only
//! the watermark moves things on; a broker's PUBACK does not count.

use thiserror::Error;

use crate::journal::{BATCH_MAX_BYTES, BATCH_MAX_RECORDS, ChainHash};

/// Most batches under way at a time.
pub const BATCHES_OUTSTANDING_MAX: usize = 4;
/// A connection whose watermark stands still this long with batches under way is given up, in
/// milliseconds.
pub const STALL_MS: u64 = 30_000;

/// The part of the journal that may be sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from_seq: u64,
    pub max_records: usize,
    pub max_bytes: usize,
}

/// Why an ack was not taken. The connection should be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AckError {
    #[error("the hub acknowledges {committed}, but this journal ends at {head}")]
    AboveHead { committed: u64, head: u64 },
    #[error("the hub's hash at {committed} is not ours: the streams have forked")]
    Forked { committed: u64 },
}

/// The agent's end of the uplink, for one stream.
#[derive(Clone, Debug, Default)]
pub struct Sender {
    committed: u64,
    link: Option<Link>,
}

/// What is known of the connection under way; gone when it ends.
#[derive(Clone, Debug)]
struct Link {
    /// Set by the first ack.
    next_seq: Option<u64>,
    /// Last seq of each batch under way, oldest first.
    outstanding: Vec<u64>,
    progress_ms: u64,
}

impl Sender {
    /// A sender that believes the hub has everything up to `committed`; the first ack corrects it.
    #[must_use]
    pub const fn new(committed: u64) -> Self {
        Self { committed, link: None }
    }

    /// The highest seq that the hub has said is committed.
    #[must_use]
    pub const fn committed(&self) -> u64 {
        self.committed
    }

    /// A birth went out at monotonic `now_ms`; nothing is sent until it is answered.
    pub fn born(&mut self, now_ms: u64) {
        self.link = Some(Link { next_seq: None, outstanding: Vec::new(), progress_ms: now_ms });
    }

    /// The connection is gone, and with it all that was under way.
    pub fn disconnected(&mut self) {
        self.link = None;
    }

    /// What may be sent now, given that the journal ends at `head`.
    #[must_use]
    pub fn window(&self, head: u64) -> Option<Window> {
        let link = self.link.as_ref()?;
        let from_seq = link.next_seq?;
        let room = link.outstanding.len() < BATCHES_OUTSTANDING_MAX;
        (room && from_seq <= head).then_some(Window {
            from_seq,
            max_records: BATCH_MAX_RECORDS,
            max_bytes: BATCH_MAX_BYTES,
        })
    }

    /// A batch that ends at `last_seq` went out.
    pub fn sent(&mut self, last_seq: u64, now_ms: u64) {
        if let Some(link) = &mut self.link {
            if link.outstanding.is_empty() {
                link.progress_ms = now_ms;
            }
            link.outstanding.push(last_seq);
            link.next_seq = Some(last_seq + 1);
        }
    }

    /// Takes the hub's word that everything up to `committed`, where it has `hash`, is durable
    /// there. `ours` is this journal's hash at that seq, if it still knows it.
    ///
    /// # Errors
    ///
    /// Refuses an ack above the own head and one whose hash differs.
    pub fn acknowledged(
        &mut self,
        committed: u64,
        hash: ChainHash,
        head: u64,
        ours: Option<ChainHash>,
        now_ms: u64,
    ) -> Result<(), AckError> {
        if committed > head {
            return Err(AckError::AboveHead { committed, head });
        }
        if ours.is_some_and(|ours| ours != hash) {
            return Err(AckError::Forked { committed });
        }
        let Some(link) = &mut self.link else { return Ok(()) };
        if link.next_seq.is_none() {
            // The answer to the birth: the hub's watermark counts, even if we believed more.
            self.committed = committed;
            link.next_seq = Some(committed + 1);
            link.progress_ms = now_ms;
        } else if committed > self.committed {
            self.committed = committed;
            link.progress_ms = now_ms;
            // The hub may commit what it was sent before this connection.
            link.next_seq = link.next_seq.max(Some(committed + 1));
            link.outstanding.retain(|last| *last > committed);
        }
        Ok(())
    }

    /// The hub sends records back instead of an answer to the birth: that is progress, too.
    pub fn given_back(&mut self, now_ms: u64) {
        if let Some(link) = &mut self.link {
            link.progress_ms = now_ms;
        }
    }

    /// Whether the connection makes no progress and should be given up.
    #[must_use]
    pub fn stalled(&self, now_ms: u64) -> bool {
        self.stalls_at_ms().is_some_and(|at_ms| now_ms >= at_ms)
    }

    /// When [`Self::stalled`] will turn true unless something moves.
    #[must_use]
    pub fn stalls_at_ms(&self) -> Option<u64> {
        let link = self.link.as_ref()?;
        let waits = link.next_seq.is_none() || !link.outstanding.is_empty();
        waits.then_some(link.progress_ms + STALL_MS)
    }
}

#[cfg(test)]
mod tests;
