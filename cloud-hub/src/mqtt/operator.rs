//! Operators' own MQTT tools: sessions that listen to the live lane, by the banks' door.
//!
//! An operator may subscribe to what its banks say on the lane, and to nothing else; it may publish
//! nothing. Everything is QoS 0. A session has a bounded mailbox; when its socket stalls the oldest
//! go first, and when it has stalled for the write timeout the session ends. Banks' sessions and
//! ingest have no part in any of it.

mod session;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use locker_core::ids::OperatorId;
use rumqttc::mqttbytes::v4::Connect;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::authority::ConnectRefusal;
use super::{EndReason, Sessions};
use crate::identity::Identity;
use crate::live::{Count, Lane, Mailbox, OperatorBanks};
use crate::tls::Peer;
use session::Session;

/// The bounds of operators' sessions.
#[derive(Debug, Clone)]
pub struct OperatorLimits {
    /// From the end of the TLS handshake to a complete CONNECT.
    pub connect_timeout: Duration,
    /// Longest keep-alive that a tool may ask for, in seconds.
    pub keep_alive_max_s: u16,
    /// Largest packet of a tool after its fixed header.
    pub packet_bytes: usize,
    /// Sessions of all operators; one more is refused.
    pub sessions: usize,
    /// Sessions of one operator; one more is refused.
    pub sessions_per_operator: usize,
    /// Filters of one session; one more is answered with failure.
    pub filters: usize,
    /// Messages waiting for the socket; one more drops the oldest.
    pub outbound_messages: usize,
    /// Their bytes; the same rule, but the newest always stays.
    pub outbound_bytes: usize,
    /// Time in which the socket must take a write; then the session ends as a slow reader.
    pub write_timeout: Duration,
}

impl Default for OperatorLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            keep_alive_max_s: 3_600,
            packet_bytes: 16 * 1024,
            sessions: 16,
            sessions_per_operator: 4,
            filters: 32,
            outbound_messages: 8_192,
            outbound_bytes: 1024 * 1024,
            write_timeout: Duration::from_secs(5),
        }
    }
}

/// Which operators may listen to which banks, and who of them does. Cheap to clone.
#[derive(Clone)]
pub struct Operators(Arc<Inner>);

struct Inner {
    lane: Lane,
    limits: OperatorLimits,
    register: Mutex<Register>,
}

#[derive(Default)]
struct Register {
    banks: HashMap<OperatorId, OperatorBanks>,
    live: HashMap<u64, Arc<Session>>,
    last: u64,
    stopping: bool,
}

impl Operators {
    /// With these operators and no others.
    #[must_use]
    pub fn new(
        lane: Lane,
        limits: OperatorLimits,
        banks: impl IntoIterator<Item = (OperatorId, OperatorBanks)>,
    ) -> Self {
        let register = Register { banks: banks.into_iter().collect(), ..Register::default() };
        Self(Arc::new(Inner { lane, limits, register: Mutex::new(register) }))
    }

    /// Puts other banks in place of an operator's, or takes them all away. Its sessions end, so that
    /// nothing is heard by an old right.
    pub fn set_banks(&self, operator: &OperatorId, banks: Option<OperatorBanks>) {
        let mut register = self.register();
        match banks {
            Some(banks) => drop(register.banks.insert(operator.clone(), banks)),
            None => drop(register.banks.remove(operator)),
        }
        drop(register);
        let is_operator = |peer: &Peer| peer.identity == Identity::Operator(operator.clone());
        self.end_where(&EndReason::Revoked, is_operator);
    }

    /// The number of live sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.register().live.len()
    }

    /// Whether no session is live.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn end_where(&self, reason: &EndReason, applies: impl Fn(&Peer) -> bool) {
        let mut register = self.register();
        register.stopping |= *reason == EndReason::HubStopping;
        for session in register.live.values().filter(|session| applies(session.peer())) {
            session.end(reason.clone());
        }
    }

    fn lane(&self) -> &Lane {
        &self.0.lane
    }

    fn limits(&self) -> &OperatorLimits {
        &self.0.limits
    }

    /// Decides on a CONNECT. The client id is free: a person may run several tools.
    fn admit(&self, connect: &Connect, peer: &Peer) -> Result<(u64, Arc<Session>), ConnectRefusal> {
        let limits = self.limits();
        let Identity::Operator(operator) = &peer.identity else {
            return Err(ConnectRefusal::NotABank(peer.identity.kind()));
        };
        if !connect.clean_session {
            return Err(ConnectRefusal::StoredSession);
        }
        if connect.keep_alive == 0 || connect.keep_alive > limits.keep_alive_max_s {
            return Err(ConnectRefusal::KeepAlive { seconds: connect.keep_alive });
        }
        if connect.last_will.is_some() {
            return Err(ConnectRefusal::Will);
        }
        let mut register = self.register();
        if register.stopping {
            return Err(ConnectRefusal::HubStopping);
        }
        let banks = register.banks.get(operator).cloned().ok_or(ConnectRefusal::NoBanks)?;
        let own = register.live.values().filter(|live| live.peer().identity == peer.identity);
        if own.count() >= limits.sessions_per_operator || register.live.len() >= limits.sessions {
            return Err(ConnectRefusal::TooManySessions);
        }
        let (messages, bytes) = (limits.outbound_messages, limits.outbound_bytes);
        let mailbox = Arc::new(Mailbox::new(messages, bytes, self.lane()));
        let seat = self.lane().seat(&mailbox).ok_or(ConnectRefusal::TooManySessions)?;
        register.last += 1;
        let number = register.last;
        let silence = Duration::from_secs(connect.keep_alive.into()) * 3 / 2;
        let session = Arc::new(Session::new(peer.clone(), banks, mailbox, seat, silence));
        register.live.insert(number, Arc::clone(&session));
        Ok((number, session))
    }

    fn forget(&self, number: u64) {
        self.register().live.remove(&number);
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.0.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Operators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operators").field("live", &self.len()).finish_non_exhaustive()
    }
}

/// Serves one connection of an operator from CONNECT to its end.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Send>(io: S, peer: Peer, sessions: Sessions) {
    match sessions.operators() {
        Some(operators) => session::serve(io, peer, &sessions, operators).await,
        None => {
            debug!(identity = %peer.identity, "connect refused, no live lane");
            session::refuse(io, &sessions, ConnectRefusal::NotABank(peer.identity.kind())).await;
        }
    }
}

impl Operators {
    fn count(&self, count: Count) {
        self.lane().counters().add(count, 1);
    }
}

#[cfg(test)]
mod tests;
