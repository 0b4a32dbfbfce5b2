//! The three loops of a session. None waits for another: they meet only in the shared state.

use std::time::Duration;

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{Packet, Publish, SubAck, Subscribe, SubscribeReasonCode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::OwnedMutexGuard;

use super::Shared;
use crate::mqtt::authority::{self, Violation};
use crate::mqtt::counters::Count;
use crate::mqtt::inbox::Arrival;
use crate::mqtt::outbox::Answer;
use crate::mqtt::sessions::{Hub, Turn};
use crate::mqtt::topic::{DownFilter, UpTopic};
use crate::mqtt::wire::{self, Speaker, WireError};
use crate::mqtt::{EndReason, MqttEvent, SessionLimits};

/// Room made in the read buffer before each read. Idle sessions keep no more than this.
const READ_BYTES: usize = 1024;
/// Bytes gathered before a write; one packet may go beyond.
const WRITE_BYTES: usize = 16 * 1024;
/// Idle sessions keep no write buffer beyond this.
const WRITE_BYTES_KEPT: usize = 256;

/// Packets off a byte stream.
pub(in crate::mqtt) struct PacketReader<R> {
    io: R,
    buffer: BytesMut,
    speaker: Speaker,
}

/// Why there is no next packet.
pub(in crate::mqtt) enum ReadError {
    Lost,
    Wire(WireError),
}

impl<R: AsyncRead + Unpin> PacketReader<R> {
    pub(in crate::mqtt) fn new(io: R, speaker: Speaker) -> Self {
        Self { io, buffer: BytesMut::new(), speaker }
    }

    /// The next packet. Cancel-safe: what has been read stays in the buffer.
    pub(in crate::mqtt) async fn next(&mut self, max_bytes: usize) -> Result<Packet, ReadError> {
        loop {
            let taken = wire::take(&mut self.buffer, max_bytes, self.speaker);
            if let Some(packet) = taken.map_err(ReadError::Wire)? {
                return Ok(packet);
            }
            if self.buffer.is_empty() && self.buffer.capacity() > READ_BYTES {
                self.buffer = BytesMut::new();
            }
            self.buffer.reserve(READ_BYTES);
            match self.io.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Err(ReadError::Lost),
                Ok(_) => {}
            }
        }
    }
}

/// Reads until the client leaves, falls silent or breaks a rule.
pub(super) async fn read<R: AsyncRead + Unpin>(
    reader: &mut PacketReader<R>,
    shared: &Shared,
    hub: &Hub,
    silence: Duration,
) -> EndReason {
    loop {
        let next = tokio::time::timeout(silence, reader.next(hub.limits.packet_bytes)).await;
        let packet = match next {
            Ok(Ok(packet)) => packet,
            Ok(Err(ReadError::Lost)) => return EndReason::ConnectionLost,
            Ok(Err(ReadError::Wire(source))) => {
                return EndReason::Violation(Violation::Wire(source));
            }
            Err(_) => return EndReason::KeepAliveExpired,
        };
        let taken = match packet {
            Packet::Publish(publish) => shared.take_publish(&publish, hub),
            Packet::Subscribe(subscribe) => shared.take_subscribe(&subscribe),
            Packet::PingReq => shared.owe(Answer::Pong),
            Packet::PubAck(puback) => shared.take_puback(puback.pkid),
            Packet::Disconnect => return EndReason::Disconnected,
            Packet::Connect(_) => Err(Violation::SecondConnect),
            // The wire refuses these by their first byte; were it to change, so do we.
            Packet::ConnAck(_)
            | Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::PubComp(_)
            | Packet::SubAck(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => Err(Violation::QosTwo),
        };
        if let Err(violation) = taken {
            return EndReason::Violation(violation);
        }
    }
}

impl Shared {
    fn take_publish(&self, publish: &Publish, hub: &Hub) -> Result<(), Violation> {
        let topic = authority::publish(&self.topics, publish)?;
        let dropped = self.state().inbox.publish(topic, publish, &hub.limits)?;
        hub.counters.add(Count::UpDropped, dropped);
        self.readable.notify_one();
        Ok(())
    }

    fn take_subscribe(&self, subscribe: &Subscribe) -> Result<(), Violation> {
        let granted = authority::subscribe(&self.topics, subscribe)?;
        let codes = granted.iter().map(|(_, qos)| SubscribeReasonCode::Success(*qos)).collect();
        let mut state = self.state();
        let complete_before = state.subscribed.iter().all(|flag| *flag);
        for (filter, _) in granted {
            match filter {
                DownFilter::All => state.subscribed.fill(true),
                DownFilter::One(topic) => state.subscribed[topic as usize] = true,
            }
        }
        if !complete_before && state.subscribed.iter().all(|flag| *flag) {
            state.inbox.subscribed();
        }
        let answered = state.outbox.answer(Answer::SubAck(SubAck::new(subscribe.pkid, codes)));
        drop(state);
        self.readable.notify_one();
        self.writable.notify_one();
        answered
    }

    fn take_puback(&self, packet_id: u16) -> Result<(), Violation> {
        self.state().outbox.acknowledged(packet_id)?;
        self.writable.notify_one();
        Ok(())
    }

    fn owe(&self, answer: Answer) -> Result<(), Violation> {
        self.state().outbox.answer(answer)?;
        self.writable.notify_one();
        Ok(())
    }

    /// Moves packets that may go into the buffer.
    fn fill(&self, buffer: &mut BytesMut, limits: &SessionLimits) -> Result<(), EndReason> {
        let mut state = self.state();
        while buffer.len() < WRITE_BYTES {
            let Some(packet) = state.outbox.pop(&self.topics, limits) else { break };
            // The codec refuses only what we do not make: packet id zero, 256 MiB.
            packet.write(buffer, usize::MAX).map_err(|_| EndReason::Fault)?;
        }
        Ok(())
    }
}

/// Writes what the client is owed until the socket breaks or stalls.
pub(super) async fn write<W: AsyncWrite + Unpin>(
    io: &mut W,
    shared: &Shared,
    limits: &SessionLimits,
) -> EndReason {
    let mut buffer = BytesMut::new();
    loop {
        if let Err(reason) = shared.fill(&mut buffer, limits) {
            return reason;
        }
        if buffer.is_empty() {
            shared.writable.notified().await;
            continue;
        }
        let sent = async {
            io.write_all(&buffer).await?;
            io.flush().await
        };
        match tokio::time::timeout(limits.write_timeout, sent).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return EndReason::ConnectionLost,
            Err(_) => return EndReason::SlowReader,
        }
        buffer.clear();
        if buffer.capacity() > WRITE_BYTES_KEPT {
            buffer = BytesMut::new();
        }
    }
}

/// Hands arrivals to ingest, in order, between `Connected` and `Ended`.
pub(super) struct Forwarder {
    turn: Turn,
    /// Held from before `Connected` until after `Ended`.
    speaking: Option<OwnedMutexGuard<()>>,
    connected: bool,
}

impl Forwarder {
    pub(super) const fn new(turn: Turn) -> Self {
        Self { turn, speaking: None, connected: false }
    }

    /// Runs until ingest is gone. Cancel-safe: an arrival leaves the inbox only with a place in
    /// the channel in hand.
    pub(super) async fn run(&mut self, shared: &Shared, hub: &Hub) -> EndReason {
        self.speaking = Some(self.turn.clone().lock_owned().await);
        let Ok(place) = hub.events.reserve().await else { return EndReason::HubStopping };
        place.send(MqttEvent::Connected {
            session: shared.id,
            bank: shared.bank.clone(),
            peer: shared.peer.address,
            certificate: shared.peer.certificate,
            key: shared.peer.key,
        });
        self.connected = true;
        loop {
            // A session holds a place in the channel only while it has something for it.
            if shared.state().inbox.is_empty() {
                shared.readable.notified().await;
                continue;
            }
            let Ok(place) = hub.events.reserve().await else { return EndReason::HubStopping };
            let arrival = shared.state().inbox.pop();
            if let Some(arrival) = arrival {
                place.send(shared.event(arrival));
            }
        }
    }

    /// Hands over what is left and says that the session is over. A session that never said
    /// `Connected` says nothing now: all it sent is unacknowledged and comes again.
    pub(super) async fn finish(self, shared: &Shared, hub: &Hub, reason: &EndReason) {
        if self.connected {
            for event in shared.last_events(reason) {
                if hub.events.send(event).await.is_err() {
                    break;
                }
            }
        }
        drop(self.speaking);
    }
}

impl Shared {
    fn event(&self, arrival: Arrival) -> MqttEvent {
        let (session, bank) = (self.id, self.bank.clone());
        match arrival {
            Arrival::Subscribed => MqttEvent::Subscribed { session, bank },
            Arrival::Publish { topic, payload, ack } => {
                MqttEvent::Publish { session, bank, topic, payload, ack }
            }
        }
    }

    fn last_events(&self, reason: &EndReason) -> Vec<MqttEvent> {
        let mut events = Vec::new();
        let mut state = self.state();
        if *reason == EndReason::Revoked {
            state.inbox.clear();
        }
        while let Some(arrival) = state.inbox.pop() {
            events.push(self.event(arrival));
        }
        let will = state.will.take();
        drop(state);
        // OASIS MQTT 3.1.1, section 3.1.2.5: every end but a DISCONNECT publishes the will.
        let owed = !matches!(reason, EndReason::Disconnected | EndReason::Revoked);
        if let Some(payload) = will.filter(|_| owed) {
            events.push(self.event(Arrival::Publish {
                topic: UpTopic::Presence,
                payload,
                ack: None,
            }));
        }
        let (session, bank) = (self.id, self.bank.clone());
        events.push(MqttEvent::Ended { session, bank, reason: reason.clone() });
        events
    }
}
