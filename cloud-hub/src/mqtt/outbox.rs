//! What a bank is owed: answers first, then publishes within the window.
//!
//! Pure, like the inbox. Packet ids are given here and nowhere else, when a publish leaves.

use std::collections::VecDeque;

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{ConnAck, ConnectReturnCode, Packet, PubAck, Publish, SubAck};

use super::SessionLimits;
use super::authority::Violation;
use super::topic::{BankTopics, DownTopic, down_qos};

/// Answers that may wait for the socket. A bank is owed at most one for each unacknowledged
/// publish, one SUBACK and a PINGRESP; beyond this it asks without reading.
const ANSWERS: usize = 32;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    answers: VecDeque<Answer>,
    publishes: VecDeque<(DownTopic, Bytes)>,
    publish_bytes: usize,
    in_flight: Vec<u16>,
    last_packet_id: u16,
}

/// A packet that answers one of the bank's.
#[derive(Debug)]
pub(super) enum Answer {
    Welcome,
    Pong,
    PubAck(u16),
    SubAck(SubAck),
}

/// What became of a publish that was put in the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It is queued, and this many older QoS 0 ones went for it.
    Queued { dropped: u64 },
    /// There was no room, and nothing that may be dropped.
    Full,
}

impl Outbox {
    pub(super) fn answer(&mut self, answer: Answer) -> Result<(), Violation> {
        if self.answers.len() >= ANSWERS {
            return Err(Violation::Flood);
        }
        self.answers.push_back(answer);
        Ok(())
    }

    pub(super) fn push(
        &mut self,
        topic: DownTopic,
        payload: Bytes,
        limits: &SessionLimits,
    ) -> Pushed {
        let mut dropped = 0;
        while self.is_full_for(payload.len(), limits) {
            let lossy = |(topic, _): &(DownTopic, Bytes)| down_qos(*topic) == QoS::AtMostOnce;
            let Some(place) = self.publishes.iter().position(lossy) else {
                return Pushed::Full;
            };
            if let Some((_, old)) = self.publishes.remove(place) {
                self.publish_bytes -= old.len();
                dropped += 1;
            }
        }
        self.publish_bytes += payload.len();
        self.publishes.push_back((topic, payload));
        Pushed::Queued { dropped }
    }

    /// Publishes that [`Self::push`] would still take without dropping any, each with its even share
    /// of the bytes: a few large ones fill the queue as well.
    pub(super) fn room(&self, limits: &SessionLimits) -> usize {
        let messages = limits.outbound_messages.saturating_sub(self.publishes.len());
        let bytes = limits.outbound_bytes.saturating_sub(self.publish_bytes);
        let shares = bytes.saturating_mul(limits.outbound_messages) / limits.outbound_bytes.max(1);
        messages.min(shares)
    }

    /// Notes that the bank has a publish.
    pub(super) fn acknowledged(&mut self, packet_id: u16) -> Result<(), Violation> {
        let place = self.in_flight.iter().position(|id| *id == packet_id);
        let place = place.ok_or(Violation::UnknownPacketId(packet_id))?;
        self.in_flight.swap_remove(place);
        Ok(())
    }

    /// The next packet to write, if any may go now.
    pub(super) fn pop(&mut self, topics: &BankTopics, limits: &SessionLimits) -> Option<Packet> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(match answer {
                Answer::Welcome => Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, false)),
                Answer::Pong => Packet::PingResp,
                Answer::PubAck(packet_id) => Packet::PubAck(PubAck::new(packet_id)),
                Answer::SubAck(suback) => Packet::SubAck(suback),
            });
        }
        // Behind a full window QoS 0 may still pass: an ack that waits for grants helps nobody.
        let window_open = self.in_flight.len() < limits.outbound_window;
        let may_go =
            |(topic, _): &(DownTopic, Bytes)| window_open || down_qos(*topic) == QoS::AtMostOnce;
        let place = self.publishes.iter().position(may_go)?;
        let (topic, payload) = self.publishes.remove(place)?;
        self.publish_bytes -= payload.len();
        let mut publish = Publish::from_bytes(topics.down(topic), down_qos(topic), payload);
        if publish.qos == QoS::AtLeastOnce {
            publish.pkid = self.next_packet_id();
            self.in_flight.push(publish.pkid);
        }
        Some(Packet::Publish(publish))
    }

    fn is_full_for(&self, bytes: usize, limits: &SessionLimits) -> bool {
        let crowded = self.publishes.len() >= limits.outbound_messages;
        let heavy = self.publish_bytes + bytes > limits.outbound_bytes;
        crowded || (heavy && !self.publishes.is_empty())
    }

    /// The next id that is neither zero nor in flight; the window is far smaller than the ids.
    fn next_packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if !self.in_flight.contains(&self.last_packet_id) {
                return self.last_packet_id;
            }
        }
    }
}

#[cfg(test)]
mod tests;
