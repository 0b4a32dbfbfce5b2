//! What the lane is compared with: the same packets at the same pace from a bare TLS server, so that
//! a client that reads ten thousand messages a second is in both runs and the lane in one.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;

use super::listener::{dial, read};

/// As often as the hub writes to an operator who hears much.
const TICK: Duration = Duration::from_millis(20);

/// The server, and its one client.
pub(super) struct BareFeed {
    heard: Arc<AtomicU64>,
    tasks: [JoinHandle<()>; 2],
}

impl BareFeed {
    /// Sends `packet` so often that it comes `per_second` times.
    pub(super) async fn start(
        pki: &Path,
        packet: Vec<u8>,
        per_second: usize,
    ) -> anyhow::Result<Self> {
        let door = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = door.local_addr()?;
        let acceptor = acceptor(pki)?;
        let ticks = usize::try_from(1_000 / TICK.as_millis()).unwrap_or(1);
        let burst = packet.repeat(per_second.div_ceil(ticks));
        let feeder = tokio::spawn(async move {
            let served = serve(&door, &acceptor, &burst).await;
            // Until the client has gone, which is how it ends.
            drop(served);
        });
        let stream = dial(pki, address).await.context("the bare server does not answer")?;
        let heard = Arc::new(AtomicU64::new(0));
        let reader = tokio::spawn(read(stream, Arc::clone(&heard)));
        Ok(Self { heard, tasks: [feeder, reader] })
    }

    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }
}

impl Drop for BareFeed {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn serve(door: &TcpListener, acceptor: &TlsAcceptor, burst: &[u8]) -> anyhow::Result<()> {
    let (tcp, _) = door.accept().await?;
    let mut stream = acceptor.accept(tcp).await?;
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tick.tick().await;
        stream.write_all(burst).await?;
        stream.flush().await?;
    }
}

fn acceptor(pki: &Path) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(pki.join("hub.pem"))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(pki.join("hub.key"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
