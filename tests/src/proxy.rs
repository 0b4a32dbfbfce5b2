//! A bad line between a bank and its hub: it cuts, stalls, delivers late, delivers twice, and keeps
//! what a thief on the line would keep. Nothing here knows of MQTT or TLS: it moves bytes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Bytes moved at a time.
const CHUNK_BYTES: usize = 4 * 1024;
/// What is kept of one connection, from its beginning; the rest is moved and forgotten.
const KEPT_BYTES: usize = 256 * 1024;
/// Connections of which something is kept: the first ones.
const KEPT_CONNECTIONS: usize = 64;

/// What the line does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Everything passes.
    Fair,
    /// Nothing passes in either direction and nobody is told. What was said comes later, in order.
    Stalled,
    /// As [`Self::Stalled`], but only from the hub to the bank: answers do not come.
    Deaf,
    /// Everything comes so much later.
    Late(Duration),
    /// Nobody gets through, and who was through is cut off.
    Down,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// What happened on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Connections that came.
    pub connections: u64,
    /// Those that were cut off here.
    pub cut: u64,
    /// Chunks that came late or were held back.
    pub late: u64,
    /// Chunks that were delivered twice.
    pub twice: u64,
}

#[derive(Clone, Copy, Debug)]
struct Orders {
    line: Line,
    /// Raised to cut off everybody who is connected.
    cuts: u64,
}

#[derive(Debug, Default)]
struct Shared {
    connections: AtomicU64,
    cut: AtomicU64,
    late: AtomicU64,
    twice: AtomicU64,
    /// Chunks from the bank that are still to be delivered twice.
    repeat: AtomicU64,
    /// What banks said, by connection.
    kept: Mutex<Vec<Vec<u8>>>,
}

/// The line.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A fair line to `hub`.
    ///
    /// # Errors
    ///
    /// No port is free.
    pub async fn start(hub: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (orders, told) = watch::channel(Orders { line: Line::Fair, cuts: 0 });
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(accept(listener, hub, told, Arc::clone(&shared)));
        Ok(Self { address, orders, shared, task })
    }

    /// Where banks connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the line is so.
    pub fn turn(&self, line: Line) {
        self.orders.send_modify(|orders| orders.line = line);
    }

    /// Everybody who is connected is cut off, in the middle of whatever they say.
    pub fn cut(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// The next `chunks` from a bank are delivered twice.
    pub fn repeat(&self, chunks: u64) {
        self.shared.repeat.fetch_add(chunks, Ordering::Relaxed);
    }

    /// What happened so far.
    #[must_use]
    pub fn moved(&self) -> Moved {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Shared { connections, cut, late, twice, .. } = &*self.shared;
        Moved { connections: of(connections), cut: of(cut), late: of(late), twice: of(twice) }
    }

    /// What banks said, by connection, as a thief on the line has it.
    #[must_use]
    pub fn kept(&self) -> Vec<Vec<u8>> {
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    hub: SocketAddr,
    told: watch::Receiver<Orders>,
    shared: Arc<Shared>,
) {
    let mut relayed = JoinSet::new();
    while let Ok((bank, _)) = listener.accept().await {
        while relayed.try_join_next().is_some() {}
        if told.borrow().line == Line::Down {
            continue;
        }
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let (told, shared) = (told.clone(), Arc::clone(&shared));
        relayed.spawn(async move {
            // Who cannot be relayed sees the connection close.
            let _ = relay(bank, hub, told, &shared).await;
        });
    }
}

async fn relay(
    bank: TcpStream,
    hub: SocketAddr,
    told: watch::Receiver<Orders>,
    shared: &Arc<Shared>,
) -> Result<()> {
    let hub = TcpStream::connect(hub).await?;
    bank.set_nodelay(true)?;
    hub.set_nodelay(true)?;
    let place = {
        let mut kept = shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.len() < KEPT_CONNECTIONS).then(|| kept.push(Vec::new())).map(|()| kept.len() - 1)
    };
    let (from_bank, to_bank) = bank.into_split();
    let (from_hub, to_hub) = hub.into_split();
    let mut cut = told.clone();
    let cuts = cut.borrow_and_update().cuts;
    let up = Pump { way: Way::Up, told: told.clone(), shared: Arc::clone(shared), place };
    let down = Pump { way: Way::Down, told, shared: Arc::clone(shared), place: None };
    tokio::select! {
        // Either side hung up, which ends both.
        ended = up.run(from_bank, to_hub) => ended,
        ended = down.run(from_hub, to_bank) => ended,
        _ = cut.wait_for(|orders| orders.cuts > cuts || orders.line == Line::Down) => {
            shared.cut.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }
}

/// One direction of one connection.
struct Pump {
    way: Way,
    told: watch::Receiver<Orders>,
    shared: Arc<Shared>,
    /// Where what passes is kept, if it is.
    place: Option<usize>,
}

impl Pump {
    async fn run(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            let chunk = &buffer[..read];
            self.keep(chunk);
            self.hold_back().await?;
            to.write_all(chunk).await?;
            if self.is_twice() {
                to.write_all(chunk).await?;
            }
        }
    }

    /// Until the line lets it pass.
    async fn hold_back(&mut self) -> Result<()> {
        let line = self.told.borrow().line;
        if line != Line::Fair {
            self.shared.late.fetch_add(1, Ordering::Relaxed);
        }
        if let Line::Late(by) = line {
            tokio::time::sleep(by).await;
        }
        let way = self.way;
        self.told.wait_for(|orders| passes(orders.line, way)).await?;
        Ok(())
    }

    fn keep(&self, chunk: &[u8]) {
        let Some(place) = self.place else { return };
        let mut kept = self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT_BYTES.saturating_sub(kept[place].len());
        kept[place].extend_from_slice(&chunk[..chunk.len().min(room)]);
    }

    fn is_twice(&self) -> bool {
        let one_less = |left: u64| left.checked_sub(1);
        let repeat = &self.shared.repeat;
        let twice = self.way == Way::Up
            && repeat.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok();
        if twice {
            self.shared.twice.fetch_add(1, Ordering::Relaxed);
        }
        twice
    }
}

fn passes(line: Line, way: Way) -> bool {
    match line {
        Line::Fair | Line::Late(_) => true,
        Line::Stalled | Line::Down => false,
        Line::Deaf => way == Way::Up,
    }
}
