//! The handle on all live sessions: what the hub says to banks, and which session is whose.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use locker_core::ids::BankId;
use tokio::sync::mpsc;

use super::authority::Greeting;
use super::counters::{Count, Counters};
use super::inbox::AckToken;
use super::operator::Operators;
use super::session::Shared;
use super::topic::DownTopic;
use super::{EndReason, MqttEvent, SessionId, SessionLimits};
use crate::tls::{Peer, Revocations};

/// All live sessions of a listener. Cheap to clone; no call waits for a bank.
#[derive(Clone)]
pub struct Sessions(Arc<Hub>);

pub(super) struct Hub {
    pub(super) limits: SessionLimits,
    pub(super) events: mpsc::Sender<MqttEvent>,
    pub(super) counters: Counters,
    revocations: Revocations,
    registry: Mutex<Registry>,
    last_session: AtomicU64,
    operators: OnceLock<Operators>,
}

#[derive(Default)]
struct Registry {
    by_bank: HashMap<BankId, Place>,
    by_session: HashMap<SessionId, Arc<Shared>>,
    stopping: bool,
}

/// One bank's place. Whoever holds the turn speaks to ingest for the bank: it is taken before
/// `Connected` and given back after `Ended`, which keeps two sessions of a bank apart even when
/// ingest is far behind.
#[derive(Default)]
struct Place {
    turn: Turn,
    live: Option<Arc<Shared>>,
}

pub(super) type Turn = Arc<tokio::sync::Mutex<()>>;

impl Sessions {
    /// Puts a publish in the session's queue. The QoS is the topic's own.
    ///
    /// # Errors
    /// When the session is gone, has not subscribed to the topic, or cannot take the publish; the
    /// last ends it as a slow reader unless the payload alone is over the limit.
    pub fn send(
        &self,
        session: SessionId,
        topic: DownTopic,
        payload: impl Into<Bytes>,
    ) -> Result<(), SendError> {
        let shared = self.find(session).ok_or(SendError::Gone)?;
        shared.send(topic, payload.into(), &self.0)
    }

    /// How many publishes the session's queue takes without dropping or ending; `None` when the
    /// session is gone. For whoever has a backlog to send.
    #[must_use]
    pub fn room(&self, session: SessionId) -> Option<usize> {
        self.find(session).map(|shared| shared.room(&self.0.limits))
    }

    /// Acknowledges a publish after commit. The PUBACK leaves when all earlier ones of its session
    /// have been acknowledged; a session that has gone needs none.
    pub fn acknowledge(&self, token: AckToken) {
        if let Some(shared) = self.find(token.session) {
            shared.acknowledge(token);
        }
    }

    /// Ends a session; its `Ended` event follows. The first reason given counts.
    pub fn end(&self, session: SessionId, reason: EndReason) {
        if let Some(shared) = self.find(session) {
            shared.end(reason);
        }
    }

    /// Refuses the certificate from now on and ends its live session.
    pub fn revoke(&self, certificate: [u8; 32]) {
        self.0.revocations.revoke(certificate);
        self.end_where(&EndReason::Revoked, |peer| peer.certificate == certificate);
    }

    /// Ends sessions whose certificate is on a list loaded since, or has run out. The listener
    /// does this by itself once a minute.
    pub fn sweep(&self, now_s: i64) {
        self.end_where(&EndReason::Revoked, |peer| self.0.revocations.contains(peer));
        self.end_where(&EndReason::CertificateExpired, |peer| peer.expires_s < now_s);
    }

    /// Lets operators in, too, to listen to the live lane. Only the first call counts.
    pub fn admit_operators(&self, operators: Operators) {
        // A second one would split the sessions among two registers.
        let _ = self.0.operators.set(operators);
    }

    pub(super) fn operators(&self) -> Option<&Operators> {
        self.0.operators.get()
    }

    pub(super) fn is_revoked(&self, peer: &Peer) -> bool {
        self.0.revocations.contains(peer)
    }

    /// The number of live sessions of banks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.registry().by_session.len()
    }

    /// Whether no session is live.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the sessions count.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    pub(super) fn new(
        limits: SessionLimits,
        events: mpsc::Sender<MqttEvent>,
        revocations: Revocations,
    ) -> Self {
        Self(Arc::new(Hub {
            limits,
            events,
            counters: Counters::default(),
            revocations,
            registry: Mutex::default(),
            last_session: AtomicU64::new(0),
            operators: OnceLock::new(),
        }))
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.0
    }

    /// Makes a session of an accepted CONNECT and ends the bank's older one. `None` when stopping.
    pub(super) fn admit(&self, greeting: Greeting, peer: Peer) -> Option<(Arc<Shared>, Turn)> {
        let mut registry = self.registry();
        if registry.stopping {
            return None;
        }
        let id = SessionId(self.0.last_session.fetch_add(1, Ordering::Relaxed) + 1);
        let shared = Arc::new(Shared::new(id, greeting, peer));
        let place = registry.by_bank.entry(shared.bank().clone()).or_default();
        let turn = Arc::clone(&place.turn);
        if let Some(older) = place.live.replace(Arc::clone(&shared)) {
            older.end(EndReason::TakenOver);
        }
        registry.by_session.insert(id, Arc::clone(&shared));
        drop(registry);
        // A certificate revoked between handshake and CONNECT was not in the registry to be ended.
        if self.0.revocations.contains(shared.peer()) {
            shared.end(EndReason::Revoked);
        }
        self.0.counters.add(Count::Connected, 1);
        Some((shared, turn))
    }

    /// Forgets a session that has ended, and its bank's place when nobody else is in it.
    pub(super) fn forget(&self, session: &Shared, turn: Turn) {
        let mut registry = self.registry();
        registry.by_session.remove(&session.id());
        let Some(place) = registry.by_bank.get_mut(session.bank()) else { return };
        place.live.take_if(|live| live.id() == session.id());
        drop(turn);
        if place.live.is_none() && Arc::strong_count(&place.turn) == 1 {
            registry.by_bank.remove(session.bank());
        }
    }

    /// Ends all sessions and admits no more.
    pub(super) fn stop(&self) {
        self.registry().stopping = true;
        self.end_where(&EndReason::HubStopping, |_| true);
    }

    fn end_where(&self, reason: &EndReason, applies: impl Fn(&Peer) -> bool) {
        let registry = self.registry();
        for shared in registry.by_session.values().filter(|shared| applies(shared.peer())) {
            shared.end(reason.clone());
        }
        drop(registry);
        if let Some(operators) = self.operators() {
            operators.end_where(reason, applies);
        }
    }

    fn find(&self, session: SessionId) -> Option<Arc<Shared>> {
        self.registry().by_session.get(&session).map(Arc::clone)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("live", &self.len()).finish_non_exhaustive()
    }
}

/// Why a publish was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The session has ended.
    #[error("session has ended")]
    Gone,
    /// The bank has not subscribed to the topic.
    #[error("bank has not subscribed to {0:?}")]
    NotSubscribed(DownTopic),
    /// The payload alone is over the packet limit.
    #[error("payload of {bytes} bytes is over the packet limit")]
    Oversize {
        /// Its length.
        bytes: usize,
    },
    /// The queue was full; the session has been ended.
    #[error("session's queue is full")]
    SlowReader,
}
