//! The listener in front of gRPC and MQTT: no client can hold up another.
//!
//! A connection is *pending* until its handshake has ended and *established* afterwards. Each
//! pending connection is a task of its own with a deadline. When as many are pending as the limit
//! allows, a new one takes the place of the oldest that has not sent a single byte; only if all of
//! them have spoken does it wait in the kernel's backlog. What is over the limit of established
//! connections is closed and counted.

mod accept;
mod refusal;

pub use refusal::{Counters, Refusal};

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::{Peer, ServerTls};
use crate::identity::Identity;

/// Established connections waiting for the server to take them; when full, handshakes that have
/// ended stay pending.
const ESTABLISHED_QUEUE: usize = 64;

/// The bounds of one listener.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From accept to the end of the handshake.
    pub handshake_timeout: Duration,
    /// Pending connections.
    pub pending: usize,
    /// Established connections.
    pub connections: usize,
    /// Established connections of one identity, so that nobody uses up the places of all.
    pub connections_per_identity: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(5),
            pending: 512,
            connections: 12_000,
            connections_per_identity: 16,
        }
    }
}

/// A bound port that yields TLS connections whose clients have shown who they are.
#[derive(Debug)]
pub struct Listener {
    local_address: SocketAddr,
    established: mpsc::Receiver<PeerStream>,
    counters: Arc<Counters>,
}

impl Listener {
    /// Binds the address and starts to accept, on a task that ends with the listener.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(
        address: SocketAddr,
        tls: ServerTls,
        limits: Limits,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError { address, source };
        let tcp = TcpListener::bind(address).await.map_err(failed)?;
        let local_address = tcp.local_addr().map_err(failed)?;
        let counters = Arc::new(Counters::default());
        let (sender, established) = mpsc::channel(ESTABLISHED_QUEUE);
        let places = Places {
            connections: Arc::new(Semaphore::new(limits.connections)),
            identities: Arc::default(),
        };
        let gate = accept::Gate { tls, limits, places, counters: Arc::clone(&counters), sender };
        tokio::spawn(accept::accept_all(tcp, Arc::new(gate)));
        Ok(Self { local_address, established, counters })
    }

    /// The address in use, with the port that the system gave for port 0.
    #[must_use]
    pub const fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// What this listener has let in and turned away.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// The next established connection; `None` once the accepting task has gone. Cancel-safe.
    pub async fn accept(&mut self) -> Option<PeerStream> {
        self.established.recv().await
    }

    /// The connections as tonic's `serve_with_incoming` takes them.
    pub fn into_incoming(self) -> impl Stream<Item = Result<PeerStream, Infallible>> + Send {
        use tokio_stream::StreamExt as _;
        ReceiverStream::new(self.established).map(Ok)
    }
}

/// An established TLS connection together with who is at its other end.
#[derive(Debug)]
pub struct PeerStream {
    tls: TlsStream<TcpStream>,
    peer: Peer,
    _place: Place,
}

impl PeerStream {
    /// Who is at the other end.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }
}

/// Handlers find the [`Peer`] in the extensions of each request.
impl Connected for PeerStream {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buffer)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}

/// The places for established connections.
#[derive(Debug, Clone)]
struct Places {
    connections: Arc<Semaphore>,
    identities: Arc<Mutex<HashMap<Identity, usize>>>,
}

impl Places {
    fn exhausted(&self) -> bool {
        self.connections.available_permits() == 0
    }

    fn take(&self, identity: &Identity, per_identity: usize) -> Result<Place, Refusal> {
        let connection =
            Arc::clone(&self.connections).try_acquire_owned().map_err(|_| Refusal::Connections)?;
        let mut identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = identities.entry(identity.clone()).or_default();
        if *taken >= per_identity {
            return Err(Refusal::ConnectionsOfIdentity);
        }
        *taken += 1;
        drop(identities);
        Ok(Place {
            identity: identity.clone(),
            identities: Arc::clone(&self.identities),
            _connection: connection,
        })
    }
}

/// One taken place, given back when the connection is dropped.
#[derive(Debug)]
struct Place {
    identity: Identity,
    identities: Arc<Mutex<HashMap<Identity, usize>>>,
    _connection: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = identities.get_mut(&self.identity) {
            *taken -= 1;
            if *taken == 0 {
                identities.remove(&self.identity);
            }
        }
    }
}

/// Why a listener could not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address asked for.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}
