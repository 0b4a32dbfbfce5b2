//! What a bank has sent and ingest has not read, and what of it is owed a PUBACK.
//!
//! Pure: the session locks it for a moment at a time, so a slow ingest never blocks the reader.

use std::collections::VecDeque;

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::Publish;

use super::authority::Violation;
use super::topic::UpTopic;
use super::{SessionId, SessionLimits};

/// Births that may be unacknowledged at a time.
const UNACKNOWLEDGED_BIRTHS: usize = 1;

/// The right to acknowledge one publish, once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a publish that is never acknowledged stalls its session"]
pub struct AckToken {
    pub(super) session: SessionId,
    serial: u64,
}

/// Something for ingest.
#[derive(Debug)]
pub(super) enum Arrival {
    Subscribed,
    Publish { topic: UpTopic, payload: Bytes, ack: Option<AckToken> },
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Inbox {
    session: SessionId,
    queue: VecDeque<Arrival>,
    lossy_messages: usize,
    lossy_bytes: usize,
    unanswered: VecDeque<Unanswered>,
    next_serial: u64,
}

/// A QoS 1 publish whose PUBACK has not been queued, in order of arrival.
#[derive(Debug)]
struct Unanswered {
    serial: u64,
    packet_id: u16,
    topic: UpTopic,
    committed: bool,
}

impl Inbox {
    pub(super) const fn new(session: SessionId) -> Self {
        Self {
            session,
            queue: VecDeque::new(),
            lossy_messages: 0,
            lossy_bytes: 0,
            unanswered: VecDeque::new(),
            next_serial: 0,
        }
    }

    pub(super) fn subscribed(&mut self) {
        self.queue.push_back(Arrival::Subscribed);
    }

    /// Takes a publish in; returns how many older QoS 0 ones had to go for it.
    pub(super) fn publish(
        &mut self,
        topic: UpTopic,
        publish: &Publish,
        limits: &SessionLimits,
    ) -> Result<u64, Violation> {
        // A copy of exact size: a slice would keep the session's whole read buffer alive.
        let payload = Bytes::copy_from_slice(&publish.payload);
        match publish.qos {
            QoS::AtMostOnce => Ok(self.lossy(topic, payload, limits)),
            QoS::AtLeastOnce => self.owed(topic, payload, publish.pkid, limits).map(|()| 0),
            QoS::ExactlyOnce => Err(Violation::QosTwo),
        }
    }

    /// Marks one publish as committed; returns the packet ids to acknowledge now, in order.
    pub(super) fn acknowledge(&mut self, token: AckToken) -> Vec<u16> {
        let AckToken { session: _, serial } = token;
        let mut ready = Vec::new();
        if let Some(entry) = self.unanswered.iter_mut().find(|entry| entry.serial == serial) {
            entry.committed = true;
        }
        while let Some(entry) = self.unanswered.pop_front_if(|entry| entry.committed) {
            ready.push(entry.packet_id);
        }
        ready
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<Arrival> {
        let arrival = self.queue.pop_front()?;
        self.count_out(&arrival);
        Some(arrival)
    }

    pub(super) fn clear(&mut self) {
        self.queue = VecDeque::new();
        self.lossy_messages = 0;
        self.lossy_bytes = 0;
    }

    fn lossy(&mut self, topic: UpTopic, payload: Bytes, limits: &SessionLimits) -> u64 {
        let mut dropped = 0;
        while self.lossy_messages > 0
            && (self.lossy_messages >= limits.lossy_messages
                || self.lossy_bytes + payload.len() > limits.lossy_bytes)
        {
            self.drop_oldest_lossy();
            dropped += 1;
        }
        self.lossy_messages += 1;
        self.lossy_bytes += payload.len();
        self.queue.push_back(Arrival::Publish { topic, payload, ack: None });
        dropped
    }

    /// Presence goes only when there is no telemetry left to go.
    fn drop_oldest_lossy(&mut self) {
        let oldest = |wanted: UpTopic| {
            self.queue.iter().position(|arrival| match arrival {
                Arrival::Publish { topic, .. } => *topic == wanted,
                Arrival::Subscribed => false,
            })
        };
        let place = oldest(UpTopic::Telemetry).or_else(|| oldest(UpTopic::Presence));
        if let Some(arrival) = place.and_then(|place| self.queue.remove(place)) {
            self.count_out(&arrival);
        }
    }

    fn count_out(&mut self, arrival: &Arrival) {
        if let Arrival::Publish { payload, ack: None, .. } = arrival {
            self.lossy_messages -= 1;
            self.lossy_bytes -= payload.len();
        }
    }

    fn owed(
        &mut self,
        topic: UpTopic,
        payload: Bytes,
        packet_id: u16,
        limits: &SessionLimits,
    ) -> Result<(), Violation> {
        if self.unanswered.iter().any(|entry| entry.packet_id == packet_id) {
            return Err(Violation::PacketIdInUse(packet_id));
        }
        let waiting = self.unanswered.iter().filter(|entry| entry.topic == topic).count();
        let (limit, violation) = match topic {
            UpTopic::Birth => (UNACKNOWLEDGED_BIRTHS, Violation::TooManyBirths),
            UpTopic::Facts => (limits.unacknowledged_facts, Violation::TooManyFacts),
            UpTopic::Telemetry | UpTopic::Presence => (0, Violation::Qos { topic }),
        };
        if waiting >= limit {
            return Err(violation);
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        self.unanswered.push_back(Unanswered { serial, packet_id, topic, committed: false });
        let ack = Some(AckToken { session: self.session, serial });
        self.queue.push_back(Arrival::Publish { topic, payload, ack });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
