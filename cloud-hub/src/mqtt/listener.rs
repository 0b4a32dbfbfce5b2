//! The banks' door: takes TLS connections and runs a session for each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use super::session::serve;
use super::{MqttEvent, SessionLimits, Sessions, operator};
use crate::identity::IdentityKind;
use crate::tls::{BindError, Counters, Limits, Listener, ServerTls};

/// How often live sessions are held against revocation lists and expiry.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Time for sessions to end when the hub stops; ingest must still read events meanwhile.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Where and within which bounds banks are served.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// The address to bind.
    pub address: SocketAddr,
    /// Bounds of connections and handshakes.
    pub tls: Limits,
    /// Bounds of each session.
    pub session: SessionLimits,
}

/// A bound listener for banks.
#[derive(Debug)]
pub struct MqttListener {
    listener: Listener,
    sessions: Sessions,
}

impl MqttListener {
    /// Binds the address. Connections are taken once [`Self::run`] is polled.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(
        config: ListenerConfig,
        tls: ServerTls,
        events: mpsc::Sender<MqttEvent>,
    ) -> Result<Self, BindError> {
        let sessions = Sessions::new(config.session, events, tls.revocations().clone());
        let listener = Listener::bind(config.address, tls, config.tls).await?;
        Ok(Self { listener, sessions })
    }

    /// The address in use.
    #[must_use]
    pub const fn local_address(&self) -> SocketAddr {
        self.listener.local_address()
    }

    /// The handle on the live sessions.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        self.sessions.clone()
    }

    /// What was turned away before it could be a session.
    #[must_use]
    pub fn tls_counters(&self) -> Arc<Counters> {
        self.listener.counters()
    }

    /// Serves until `shutdown` completes, then ends all sessions and returns.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut tasks = JoinSet::new();
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shutdown = std::pin::pin!(shutdown);
        info!(address = %self.local_address(), "bank listener started");
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(ended) = tasks.join_next() => log_panic(ended),
                _ = sweep.tick() => self.sessions.sweep(now_s()),
                accepted = self.listener.accept() => match accepted {
                    Some(stream) => {
                        let peer = stream.peer().clone();
                        let (sessions, identity) = (self.sessions.clone(), &peer.identity);
                        if identity.kind() == IdentityKind::Operator {
                            tasks.spawn(operator::serve(stream, peer, sessions));
                        } else {
                            tasks.spawn(serve(stream, peer, sessions));
                        }
                    }
                    None => {
                        error!("accepting task has gone");
                        break;
                    }
                },
            }
        }
        drop(self.listener);
        self.sessions.stop();
        let all_ended = async {
            while let Some(ended) = tasks.join_next().await {
                log_panic(ended);
            }
        };
        if tokio::time::timeout(STOP_TIMEOUT, all_ended).await.is_err() {
            warn!(left = tasks.len(), "sessions cut off at stop");
        }
        info!("bank listener stopped");
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(%error, "session task failed");
    }
}

/// A clock before 1970 counts as 1970: then no certificate is taken for expired.
fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
