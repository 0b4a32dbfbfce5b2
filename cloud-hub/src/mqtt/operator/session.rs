//! One operator's session: a reader, and a writer that empties answers and mailbox.

use std::collections::{BTreeSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use futures::FutureExt as _;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    ConnAck, ConnectReturnCode, Packet, SubAck, Subscribe, SubscribeReasonCode, UnsubAck,
    Unsubscribe,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::sleep as pause;
use tracing::{debug, error, info};

use super::{OperatorLimits, Operators};
use crate::live::{Count, FilterRefusal, Mailbox, OperatorBanks, Seat};
use crate::mqtt::authority::{ConnectRefusal, Violation};
use crate::mqtt::counters::Count as MqttCount;
use crate::mqtt::session::loops::{PacketReader, ReadError};
use crate::mqtt::session::{farewell, first_packet};
use crate::mqtt::wire::Speaker;
use crate::mqtt::{EndReason, Sessions};
use crate::tls::Peer;

/// Answers that may wait for the socket; a tool that asks for more without reading is ended.
const ANSWERS: usize = 32;
/// Bytes gathered before a write; one packet may go beyond.
const WRITE_BYTES: usize = 16 * 1024;
/// How long the first message of a write waits for others. Nobody sees it, and without it a tool that
/// hears thousands a second costs the hub and itself a write for each few of them.
const LINGER: Duration = Duration::from_millis(20);
/// Filters that a session may ask for in its life, as a multiple of those it may have: each new one
/// costs the router time and memory.
const FILTERS_ASKED: usize = 16;

/// What the loops of a session and the register share.
pub(super) struct Session {
    peer: Peer,
    banks: OperatorBanks,
    mailbox: Arc<Mailbox>,
    seat: Seat,
    /// How long the tool may be silent.
    silence: Duration,
    state: Mutex<State>,
    answered: Notify,
    ended: Notify,
}

#[derive(Default)]
struct State {
    answers: VecDeque<Packet>,
    end: Option<EndReason>,
}

/// Serves one connection from CONNECT to its end.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Send>(
    io: S,
    peer: Peer,
    sessions: &Sessions,
    operators: &Operators,
) {
    let (identity, address) = (peer.identity.clone(), peer.address);
    let (read, mut write) = tokio::io::split(io);
    let mut reader = PacketReader::new(read, Speaker::Operator);
    let connect = first_packet(&mut reader, operators.limits().connect_timeout).await;
    let (number, session) = match connect.and_then(|connect| operators.admit(&connect, &peer)) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            operators.count(Count::ConnectRefused);
            debug!(%identity, %address, error = %refusal, "connect refused");
            let answer = refusal.return_code().map(|code| ConnAck::new(code, false));
            farewell(reader, write, answer).await;
            return;
        }
    };
    // A certificate revoked since the handshake was not in the register to be ended.
    if sessions.is_revoked(session.peer()) {
        session.end(EndReason::Revoked);
    }
    operators.count(Count::Connected);
    info!(%identity, %address, session = number, "operator's session began");
    let limits = operators.limits();
    let loops = async {
        tokio::select! {
            reason = session.read(&mut reader, operators) => reason,
            reason = session.write(&mut write, limits) => reason,
            () = session.ended.notified() => EndReason::Fault,
        }
    };
    let reason = AssertUnwindSafe(loops).catch_unwind().await.unwrap_or_else(|_| {
        error!(%identity, session = number, "operator's session panicked");
        EndReason::Fault
    });
    let reason = session.end(reason);
    match reason {
        EndReason::SlowReader => operators.count(Count::SlowReader),
        EndReason::Violation(_) => operators.count(Count::Violation),
        EndReason::Disconnected
        | EndReason::ConnectionLost
        | EndReason::KeepAliveExpired
        | EndReason::TakenOver
        | EndReason::Revoked
        | EndReason::CertificateExpired
        | EndReason::HubStopping
        | EndReason::Fault
        | EndReason::Ingest(_) => {}
    }
    info!(%identity, session = number, %reason, "operator's session ended");
    operators.forget(number);
    farewell(reader, write, None).await;
}

/// Turns a client away once it has said what it is here for.
pub(super) async fn refuse<S: AsyncRead + AsyncWrite + Send>(
    io: S,
    sessions: &Sessions,
    refusal: ConnectRefusal,
) {
    let hub = sessions.hub();
    let (read, write) = tokio::io::split(io);
    let mut reader = PacketReader::new(read, Speaker::Operator);
    let refusal =
        first_packet(&mut reader, hub.limits.connect_timeout).await.err().unwrap_or(refusal);
    hub.counters.add(MqttCount::ConnectRefused, 1);
    let answer = refusal.return_code().map(|code| ConnAck::new(code, false));
    farewell(reader, write, answer).await;
}

impl Session {
    pub(super) fn new(
        peer: Peer,
        banks: OperatorBanks,
        mailbox: Arc<Mailbox>,
        seat: Seat,
        silence: Duration,
    ) -> Self {
        let welcome = Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, false));
        let state = Mutex::new(State { answers: VecDeque::from([welcome]), end: None });
        let (answered, ended) = (Notify::new(), Notify::new());
        Self { peer, banks, mailbox, seat, silence, state, answered, ended }
    }

    pub(super) const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Ends the session unless it has ended already; returns the reason that counts.
    pub(super) fn end(&self, reason: EndReason) -> EndReason {
        let reason = self.state().end.get_or_insert(reason).clone();
        self.ended.notify_one();
        reason
    }

    /// Reads until the tool leaves, falls silent or breaks a rule.
    async fn read<R: AsyncRead + Unpin>(
        &self,
        reader: &mut PacketReader<R>,
        operators: &Operators,
    ) -> EndReason {
        let max_bytes = operators.limits().packet_bytes;
        let mut filters = OwnFilters::default();
        loop {
            let packet = match tokio::time::timeout(self.silence, reader.next(max_bytes)).await {
                Ok(Ok(packet)) => packet,
                Ok(Err(ReadError::Lost)) => return EndReason::ConnectionLost,
                Ok(Err(ReadError::Wire(source))) => {
                    return EndReason::Violation(Violation::Wire(source));
                }
                Err(_) => return EndReason::KeepAliveExpired,
            };
            let taken = match packet {
                Packet::Subscribe(asked) => self.subscribe(asked, &mut filters, operators).await,
                Packet::Unsubscribe(asked) => self.unsubscribe(asked, &mut filters).await,
                Packet::PingReq => self.answer(Packet::PingResp),
                Packet::Disconnect => return EndReason::Disconnected,
                Packet::Publish(_) => Err(EndReason::Violation(Violation::MayNotPublish)),
                Packet::Connect(_) => Err(EndReason::Violation(Violation::SecondConnect)),
                Packet::PubAck(ack) => {
                    Err(EndReason::Violation(Violation::UnknownPacketId(ack.pkid)))
                }
                // The wire refuses these by their first byte; were it to change, so do we.
                Packet::ConnAck(_)
                | Packet::PubRec(_)
                | Packet::PubRel(_)
                | Packet::PubComp(_)
                | Packet::SubAck(_)
                | Packet::UnsubAck(_)
                | Packet::PingResp => Err(EndReason::Violation(Violation::QosTwo)),
            };
            if let Err(reason) = taken {
                return reason;
            }
        }
    }

    /// Each filter is granted or refused for itself, with QoS 0 whatever was asked: a server may
    /// grant less (OASIS MQTT 3.1.1, section 3.8.4).
    async fn subscribe(
        &self,
        asked: Subscribe,
        own: &mut OwnFilters,
        operators: &Operators,
    ) -> Result<(), EndReason> {
        if asked.pkid == 0 {
            return Err(EndReason::Violation(Violation::PacketIdZero));
        }
        own.asked += asked.filters.len();
        if own.asked > operators.limits().filters.saturating_mul(FILTERS_ASKED) {
            return Err(EndReason::Violation(Violation::TooManyFilters));
        }
        let (mut granted, mut codes) = (Vec::new(), Vec::new());
        for filter in asked.filters {
            let checked = self.check(&filter.path, own, operators.limits().filters);
            codes.push(match checked {
                Ok(()) => {
                    own.filters.insert(filter.path.clone());
                    granted.push(filter.path);
                    SubscribeReasonCode::Success(QoS::AtMostOnce)
                }
                Err(refusal) => {
                    operators.count(Count::FilterRefused);
                    let filter: String = filter.path.chars().take(96).collect();
                    info!(identity = %self.peer.identity, filter, error = %refusal, "filter refused");
                    SubscribeReasonCode::Failure
                }
            });
        }
        if !granted.is_empty() {
            self.seat.subscribe(granted).await.map_err(|_| EndReason::Fault)?;
        }
        self.answer(Packet::SubAck(SubAck::new(asked.pkid, codes)))
    }

    fn check(&self, filter: &str, own: &OwnFilters, max: usize) -> Result<(), FilterRefusal> {
        self.banks.check(filter)?;
        let fits = own.filters.contains(filter) || own.filters.len() < max;
        if fits { Ok(()) } else { Err(FilterRefusal::TooMany) }
    }

    async fn unsubscribe(&self, asked: Unsubscribe, own: &mut OwnFilters) -> Result<(), EndReason> {
        if asked.pkid == 0 {
            return Err(EndReason::Violation(Violation::PacketIdZero));
        }
        for filter in &asked.topics {
            own.filters.remove(filter);
        }
        self.seat.unsubscribe(asked.topics).await.map_err(|_| EndReason::Fault)?;
        self.answer(Packet::UnsubAck(UnsubAck::new(asked.pkid)))
    }

    fn answer(&self, answer: Packet) -> Result<(), EndReason> {
        let mut state = self.state();
        if state.answers.len() >= ANSWERS {
            return Err(EndReason::Violation(Violation::Flood));
        }
        state.answers.push_back(answer);
        drop(state);
        self.answered.notify_one();
        Ok(())
    }

    /// Writes answers and then the mailbox until the socket breaks or stalls.
    async fn write<W: AsyncWrite + Unpin>(&self, io: &mut W, limits: &OperatorLimits) -> EndReason {
        let mut buffer = BytesMut::new();
        loop {
            let answers = std::mem::take(&mut self.state().answers);
            for answer in answers {
                if answer.write(&mut buffer, usize::MAX).is_err() {
                    return EndReason::Fault;
                }
            }
            self.mailbox.take_into(&mut buffer, WRITE_BYTES);
            if buffer.is_empty() {
                tokio::select! {
                    () = self.answered.notified() => {}
                    () = self.mailbox.filled() => tokio::select! {
                        () = self.answered.notified() => {}
                        () = pause(LINGER) => {}
                    },
                }
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
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a session has subscribed to.
#[derive(Default)]
struct OwnFilters {
    filters: BTreeSet<String>,
    /// All that were asked for, granted or not.
    asked: usize,
}
