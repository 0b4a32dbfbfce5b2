//! What the router has for one operator's session and its socket has not taken: bounded, and the
//! oldest go first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::sync::Notify;

use super::counters::{Count, Counters};

/// First byte of a PUBLISH of QoS 0 (OASIS MQTT 3.1.1, section 3.3.1).
const PUBLISH_QOS_0: u8 = 0x30;

/// See the module's text.
#[derive(Debug)]
pub struct Mailbox {
    letters: Mutex<Letters>,
    messages_max: usize,
    bytes_max: usize,
    filled: Notify,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Letters {
    queue: VecDeque<(Bytes, Bytes)>,
    bytes: usize,
}

impl Mailbox {
    /// With room for this much.
    #[must_use]
    pub fn new(messages_max: usize, bytes_max: usize, lane: &super::Lane) -> Self {
        let counters = Arc::clone(lane.counters());
        let (letters, filled) = (Mutex::default(), Notify::new());
        Self { letters, messages_max, bytes_max, filled, counters }
    }

    /// Completes when something may have come since the mailbox was seen empty. For one reader.
    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Writes what is there as PUBLISH packets, until the buffer has `buffer_bytes` or more.
    pub(crate) fn take_into(&self, buffer: &mut BytesMut, buffer_bytes: usize) {
        let mut letters = self.letters();
        while buffer.len() < buffer_bytes {
            let Some((topic, payload)) = letters.queue.pop_front() else { break };
            letters.bytes -= topic.len() + payload.len();
            write_publish(buffer, &topic, &payload);
        }
    }

    pub(super) fn put(&self, topic: Bytes, payload: Bytes) {
        let size = topic.len() + payload.len();
        let mut dropped = 0;
        let mut letters = self.letters();
        while letters.queue.len() >= self.messages_max || letters.bytes + size > self.bytes_max {
            let Some((topic, payload)) = letters.queue.pop_front() else { break };
            letters.bytes -= topic.len() + payload.len();
            dropped += 1;
        }
        let was_empty = letters.queue.is_empty();
        letters.bytes += size;
        letters.queue.push_back((topic, payload));
        drop(letters);
        self.counters.add(Count::Delivered, 1);
        self.counters.add(Count::MailboxDropped, dropped);
        if was_empty {
            self.filled.notify_one();
        }
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By hand, because the codec wants the topic in a string of its own. Topics of the lane are far
/// shorter than the 65,535 bytes that fit.
fn write_publish(buffer: &mut BytesMut, topic: &[u8], payload: &[u8]) {
    let topic_bytes = u16::try_from(topic.len()).unwrap_or(u16::MAX);
    buffer.put_u8(PUBLISH_QOS_0);
    let mut remaining = 2 + topic.len() + payload.len();
    loop {
        // The lowest seven bits, and whether more follow (section 2.2.3).
        let low = u8::try_from(remaining & 0x7f).unwrap_or(0);
        remaining >>= 7;
        buffer.put_u8(if remaining > 0 { low | 0x80 } else { low });
        if remaining == 0 {
            break;
        }
    }
    buffer.put_u16(topic_bytes);
    buffer.put_slice(topic);
    buffer.put_slice(payload);
}

#[cfg(test)]
mod tests;
