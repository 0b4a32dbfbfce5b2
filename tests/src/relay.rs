//! The way between a bank and its hub, as networks are: it can come from another address, and it can
//! fall silent without a word to either side.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Bytes moved at a time.
const CHUNK: usize = 16 * 1024;
/// How long the hub may take to end a session.
const END_LIMIT: Duration = Duration::from_secs(10);

/// A relay to a hub, with an address of its own towards both sides.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    silent: Arc<watch::Sender<bool>>,
    /// Sessions that the hub has ended.
    ended: watch::Receiver<u32>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Starts a relay that the hub sees as `from`, an address of the loopback network.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub async fn start(from: IpAddr, hub: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (silent, silence) = watch::channel(false);
        let (ended_to, ended) = watch::channel(0);
        let ended_to = Arc::new(ended_to);
        let task = tokio::spawn(async move {
            let mut relayed = JoinSet::new();
            while let Ok((bank, _)) = listener.accept().await {
                let (silence, ended_to) = (silence.clone(), Arc::clone(&ended_to));
                relayed.spawn(async move {
                    // A bank that cannot be relayed sees its connection close.
                    let _ = relay(bank, from, hub, silence, &ended_to).await;
                });
            }
        });
        Ok(Self { address, silent: Arc::new(silent), ended, task })
    }

    /// Where banks connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing passes in either direction, and nobody is told: to the hub the bank is
    /// there and says nothing.
    pub fn fall_silent(&self) {
        self.silent.send_replace(true);
    }

    /// Waits until the hub has closed a connection.
    ///
    /// # Errors
    ///
    /// It keeps all.
    pub async fn until_hub_ends(&mut self) -> Result<()> {
        let ended = self.ended.wait_for(|ended| *ended > 0);
        tokio::time::timeout(END_LIMIT, ended).await.context("the hub keeps the connection")??;
        Ok(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(
    mut bank: TcpStream,
    from: IpAddr,
    hub: SocketAddr,
    mut silence: watch::Receiver<bool>,
    ended: &watch::Sender<u32>,
) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let mut hub = socket.connect(hub).await?;
    let (mut up, mut down) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        let silent = *silence.borrow();
        tokio::select! {
            read = bank.read(&mut up), if !silent => match read? {
                0 => return Ok(()),
                read => hub.write_all(&up[..read]).await?,
            },
            read = hub.read(&mut down) => match read {
                Ok(0) | Err(_) => {
                    ended.send_modify(|ended| *ended += 1);
                    return Ok(());
                }
                // What the hub says into the silence is lost.
                Ok(read) if !silent => bank.write_all(&down[..read]).await?,
                Ok(_) => {}
            },
            changed = silence.changed(), if !silent => changed?,
        }
    }
}
