//! The accepting task: pending connections, their deadlines, and who makes room for whom.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use super::{Counters, Limits, PeerStream, Places, Refusal};
use crate::tls::{Peer, ServerTls};

/// Pause after the system failed to hand over a connection: such failures (no descriptors left)
/// come in floods and end only when something closes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What each pending connection needs to become an established one.
pub(super) struct Gate {
    pub(super) tls: ServerTls,
    pub(super) limits: Limits,
    pub(super) places: Places,
    pub(super) counters: Arc<Counters>,
    pub(super) sender: mpsc::Sender<PeerStream>,
}

/// Accepts until the listener is dropped.
pub(super) async fn accept_all(tcp: TcpListener, gate: Arc<Gate>) {
    let mut pending = Pending::default();
    loop {
        tokio::select! {
            () = gate.sender.closed() => return,
            Some(ended) = pending.tasks.join_next() => pending.forget(ended.ok()),
            accepted = tcp.accept(), if pending.has_room(gate.limits.pending) => match accepted {
                Ok((stream, address)) => {
                    pending.make_room(&gate).await;
                    pending.start(stream, address, &gate);
                }
                Err(error) => {
                    gate.counters.count(Refusal::Accept);
                    warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// The connections whose handshake has not ended, oldest first.
#[derive(Default)]
struct Pending {
    tasks: JoinSet<u64>,
    entries: BTreeMap<u64, Entry>,
    next: u64,
}

struct Entry {
    spoke: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Pending {
    fn has_room(&self, limit: usize) -> bool {
        self.entries.len() < limit || self.oldest_silent().is_some()
    }

    /// Closes the oldest silent connection if all places are taken. It may have spoken since there
    /// was room: then the new one waits for any to end, which takes no longer than a handshake may.
    async fn make_room(&mut self, gate: &Gate) {
        while self.entries.len() >= gate.limits.pending {
            let silent = self.oldest_silent().and_then(|number| self.entries.remove(&number));
            if let Some(entry) = silent {
                entry.task.abort();
                gate.counters.count(Refusal::Silent);
            } else if let Some(ended) = self.tasks.join_next().await {
                self.forget(ended.ok());
            }
        }
    }

    fn oldest_silent(&self) -> Option<u64> {
        let silent = |entry: &Entry| !entry.spoke.load(Ordering::Relaxed);
        self.entries.iter().find(|(_, entry)| silent(entry)).map(|(number, _)| *number)
    }

    fn start(&mut self, stream: TcpStream, address: SocketAddr, gate: &Arc<Gate>) {
        let number = self.next;
        self.next += 1;
        let spoke = Arc::new(AtomicBool::new(false));
        let (gate, heard) = (Arc::clone(gate), Arc::clone(&spoke));
        let task = self.tasks.spawn(async move {
            if let Err(reason) = gate.admit(stream, address, &heard).await {
                gate.counters.count(reason);
                debug!(%address, reason = reason.label(), "connection refused");
            }
            number
        });
        self.entries.insert(number, Entry { spoke, task });
    }

    /// `None` is a task that was aborted, whose entry is gone already, or one that panicked.
    fn forget(&mut self, number: Option<u64>) {
        match number {
            Some(number) => drop(self.entries.remove(&number)),
            None => self.entries.retain(|_, entry| !entry.task.is_finished()),
        }
    }
}

impl Gate {
    async fn admit(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        spoke: &AtomicBool,
    ) -> Result<(), Refusal> {
        if self.places.exhausted() {
            return Err(Refusal::Connections);
        }
        let handshake = async {
            // Latency of small packets matters more here than their number.
            stream.set_nodelay(true)?;
            // Not `readable`: that may be said of a socket that has nothing.
            if stream.peek(&mut [0]).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            spoke.store(true, Ordering::Relaxed);
            TlsAcceptor::from(self.tls.config()).accept(stream).await
        };
        let tls = tokio::time::timeout(self.limits.handshake_timeout, handshake)
            .await
            .map_err(|_| Refusal::HandshakeTimeout)?
            .map_err(|error| {
                debug!(%address, %error, "handshake failed");
                Refusal::Handshake
            })?;
        let chain = tls.get_ref().1.peer_certificates().unwrap_or_default();
        let leaf = chain.first().ok_or(Refusal::Handshake)?;
        let peer = Peer::of_certificate(leaf, address).map_err(|error| {
            debug!(%address, %error, "certificate without identity");
            Refusal::Identity
        })?;
        if self.tls.revocations().contains(&peer) {
            return Err(Refusal::Revoked);
        }
        let place = self.places.take(&peer.identity, self.limits.connections_per_identity)?;
        // A failed send means that the listener is gone, and everything with it.
        if self.sender.send(PeerStream { tls, peer, _place: place }).await.is_ok() {
            self.counters.count_established();
        }
        Ok(())
    }
}
