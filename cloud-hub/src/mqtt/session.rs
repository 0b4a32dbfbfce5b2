//! One session: three loops on one task, around state that is locked for moments only.
//!
//! The *reader* takes packets and answers PINGREQ; it never waits for ingest or for the writer.
//! The *writer* sends what is owed. The *forwarder* hands arrivals to ingest. The first of them to
//! end, or the first reason given from outside, ends the session.

pub(super) mod loops;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt as _;
use locker_core::ids::BankId;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{ConnAck, Connect, Packet};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, WriteHalf};
use tokio::sync::Notify;
use tracing::{debug, error, info};

use super::authority::{self, ConnectRefusal, Greeting};
use super::counters::Count;
use super::inbox::{AckToken, Inbox};
use super::outbox::{Answer, Outbox, Pushed};
use super::sessions::{Hub, SendError, Sessions};
use super::topic::{BankTopics, DownTopic, down_qos};
use super::wire::{CONNECT_BYTES_MAX, Speaker};
use super::{EndReason, SessionId, SessionLimits};
use crate::tls::Peer;
use loops::{Forwarder, PacketReader, ReadError};

/// Time to tell the other end that we are closing; after it the socket is just dropped.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(250);

/// Serves one connection from CONNECT to its end.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Send>(io: S, peer: Peer, sessions: Sessions) {
    let address = peer.address;
    let identity = peer.identity.clone();
    let (read, mut write) = tokio::io::split(io);
    let mut reader = PacketReader::new(read, Speaker::Bank);
    let greeting = greet(&mut reader, &peer, &sessions.hub().limits).await;
    let silence = greeting.as_ref().map(|greeting| greeting.silence).unwrap_or_default();
    let admitted = greeting
        .and_then(|greeting| sessions.admit(greeting, peer).ok_or(ConnectRefusal::HubStopping));
    let (shared, turn) = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => {
            sessions.hub().counters.add(Count::ConnectRefused, 1);
            debug!(%identity, %address, error = %refusal, "connect refused");
            farewell(reader, write, refusal.return_code().map(|code| ConnAck::new(code, false)))
                .await;
            return;
        }
    };
    debug!(session = %shared.id, bank = %shared.bank, %address, "session began");

    let mut forwarder = Forwarder::new(Arc::clone(&turn));
    let loops = async {
        tokio::select! {
            reason = loops::read(&mut reader, &shared, sessions.hub(), silence) => reason,
            reason = loops::write(&mut write, &shared, &sessions.hub().limits) => reason,
            reason = forwarder.run(&shared, sessions.hub()) => reason,
            () = shared.ended.notified() => EndReason::Fault,
        }
    };
    let reason = AssertUnwindSafe(loops).catch_unwind().await.unwrap_or_else(|_| {
        error!(session = %shared.id, bank = %shared.bank, "session panicked");
        EndReason::Fault
    });
    // The first reason wins: when one was given from outside, the loops' own is not the cause.
    let reason = shared.end(reason);
    count(&reason, sessions.hub());
    info!(session = %shared.id, bank = %shared.bank, %reason, "session ended");
    farewell(reader, write, None).await;
    forwarder.finish(&shared, sessions.hub(), &reason).await;
    sessions.forget(&shared, turn);
}

async fn greet<R: AsyncRead + Unpin>(
    reader: &mut PacketReader<R>,
    peer: &Peer,
    limits: &SessionLimits,
) -> Result<Greeting, ConnectRefusal> {
    let connect = first_packet(reader, limits.connect_timeout).await?;
    authority::connect(&peer.identity, connect, limits)
}

/// The CONNECT that every connection must begin with.
pub(super) async fn first_packet<R: AsyncRead + Unpin>(
    reader: &mut PacketReader<R>,
    within: Duration,
) -> Result<Connect, ConnectRefusal> {
    let first = tokio::time::timeout(within, reader.next(CONNECT_BYTES_MAX))
        .await
        .map_err(|_| ConnectRefusal::Timeout)?
        .map_err(|error| match error {
            ReadError::Lost => ConnectRefusal::ConnectionLost,
            ReadError::Wire(source) => ConnectRefusal::Wire(source),
        })?;
    let Packet::Connect(connect) = first else { return Err(ConnectRefusal::NotConnect) };
    Ok(connect)
}

/// Closes the connection so that the other end sees an end and not a reset, if it listens.
pub(super) async fn farewell<S: AsyncRead + AsyncWrite>(
    reader: PacketReader<tokio::io::ReadHalf<S>>,
    mut write: WriteHalf<S>,
    refusal: Option<ConnAck>,
) {
    let close = async {
        if let Some(refusal) = refusal {
            let mut bytes = BytesMut::new();
            // Writing into a buffer cannot fail for a CONNACK; without one we just close.
            let _ = refusal.write(&mut bytes);
            write.write_all(&bytes).await?;
        }
        write.shutdown().await
    };
    // Nothing is left to do for a peer that does not take our goodbye.
    let _ = tokio::time::timeout(FAREWELL_TIMEOUT, close).await;
    drop(reader);
}

fn count(reason: &EndReason, hub: &Hub) {
    let count = match reason {
        EndReason::TakenOver => Count::TakenOver,
        EndReason::Violation(_) => Count::Violation,
        EndReason::KeepAliveExpired => Count::KeepAliveExpired,
        EndReason::SlowReader => Count::SlowReader,
        EndReason::Revoked | EndReason::CertificateExpired => Count::Revoked,
        EndReason::Disconnected
        | EndReason::ConnectionLost
        | EndReason::HubStopping
        | EndReason::Fault
        | EndReason::Ingest(_) => return,
    };
    hub.counters.add(count, 1);
}

/// What a session's loops and the handle share.
pub(super) struct Shared {
    id: SessionId,
    bank: BankId,
    peer: Peer,
    topics: BankTopics,
    state: Mutex<State>,
    /// The writer may have something to do.
    writable: Notify,
    /// The forwarder may have something to do.
    readable: Notify,
    /// A reason was given.
    ended: Notify,
}

struct State {
    inbox: Inbox,
    outbox: Outbox,
    will: Option<Bytes>,
    /// One flag for each of [`DownTopic::ALL`], in its order.
    subscribed: [bool; DownTopic::ALL.len()],
    end: Option<EndReason>,
}

impl Shared {
    pub(super) fn new(id: SessionId, greeting: Greeting, peer: Peer) -> Self {
        let mut outbox = Outbox::default();
        // An empty outbox takes an answer.
        let _ = outbox.answer(Answer::Welcome);
        let state = State {
            inbox: Inbox::new(id),
            outbox,
            will: greeting.will,
            subscribed: [false; DownTopic::ALL.len()],
            end: None,
        };
        Self {
            id,
            bank: greeting.bank,
            peer,
            topics: greeting.topics,
            state: Mutex::new(state),
            writable: Notify::new(),
            readable: Notify::new(),
            ended: Notify::new(),
        }
    }

    pub(super) const fn id(&self) -> SessionId {
        self.id
    }

    pub(super) const fn bank(&self) -> &BankId {
        &self.bank
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

    pub(super) fn send(
        &self,
        topic: DownTopic,
        payload: Bytes,
        hub: &Hub,
    ) -> Result<(), SendError> {
        if payload.len() > hub.limits.packet_bytes {
            return Err(SendError::Oversize { bytes: payload.len() });
        }
        let mut state = self.state();
        if state.end.is_some() {
            return Err(SendError::Gone);
        }
        if !state.subscribed[topic as usize] {
            return Err(SendError::NotSubscribed(topic));
        }
        let pushed = state.outbox.push(topic, payload, &hub.limits);
        drop(state);
        match pushed {
            Pushed::Queued { dropped } => {
                hub.counters.add(Count::DownDropped, dropped);
                self.writable.notify_one();
                Ok(())
            }
            // Losing one more ack in a full queue is what QoS 0 is for; the next one replaces it.
            Pushed::Full if down_qos(topic) == QoS::AtMostOnce => {
                hub.counters.add(Count::DownDropped, 1);
                Ok(())
            }
            Pushed::Full => {
                self.end(EndReason::SlowReader);
                Err(SendError::SlowReader)
            }
        }
    }

    pub(super) fn room(&self, limits: &SessionLimits) -> usize {
        self.state().outbox.room(limits)
    }

    pub(super) fn acknowledge(&self, token: AckToken) {
        let mut state = self.state();
        let ready = state.inbox.acknowledge(token);
        let flooded =
            ready.into_iter().find_map(|id| state.outbox.answer(Answer::PubAck(id)).err());
        drop(state);
        match flooded {
            Some(violation) => drop(self.end(EndReason::Violation(violation))),
            None => self.writable.notify_one(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
