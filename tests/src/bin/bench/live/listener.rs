//! One operator over real TLS who subscribes to everything and counts what comes.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};
use bytes::{Buf, BytesMut};
use cloud_hub::live::{Lane, LaneLimits, OperatorBanks};
use cloud_hub::mqtt::{ListenerConfig, MqttListener, OperatorLimits, Operators, SessionLimits};
use cloud_hub::tls::{Alpn, Limits, Revocations, ServerFiles, ServerTls};
use rustls::pki_types::ServerName;
use system_tests::pki::ClientFiles;
use system_tests::tls::client_config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// As in its certificate.
pub(super) const OPERATOR: &str = "olga";

/// CONNECT with a keep-alive of an hour, and SUBSCRIBE to `lk/+/+/up/telemetry`.
const REQUESTS: &[u8] =
    b"\x10\x11\x00\x04MQTT\x04\x02\x0e\x10\x00\x05bench\x82\x18\x00\x01\x00\x13lk/+/+/up/telemetry\x00";
/// CONNACK and SUBACK with QoS 0.
const ANSWERS: &[u8] = b"\x20\x02\x00\x00\x90\x03\x00\x01\x00";

/// The hub's door for operators, and one operator.
pub(super) struct Listener {
    lane: Lane,
    heard: Arc<AtomicU64>,
    tasks: [JoinHandle<()>; 2],
}

impl Listener {
    pub(super) async fn start(pki: &Path) -> anyhow::Result<Self> {
        let lane = Lane::start(LaneLimits::default())?;
        let files = ServerFiles {
            certificate: pki.join("hub.pem"),
            key: pki.join("hub.key"),
            client_authorities: pki.join("ca.pem"),
            revocation_lists: Vec::new(),
        };
        let tls = ServerTls::load(&files, Alpn::None, Revocations::default())?;
        let config = ListenerConfig {
            address: ([127, 0, 0, 1], 0).into(),
            tls: Limits::default(),
            session: SessionLimits::default(),
        };
        let (events, _) = mpsc::channel(1);
        let door = MqttListener::bind(config, tls, events).await?;
        let banks = OperatorBanks::new(["*".parse()?]);
        let limits = OperatorLimits::default();
        let operators = Operators::new(lane.clone(), limits, [(OPERATOR.parse()?, banks)]);
        door.sessions().admit_operators(operators);
        let address = door.local_address();
        let door = tokio::spawn(door.run(std::future::pending()));
        let stream = connect(pki, address).await?;
        let heard = Arc::new(AtomicU64::new(0));
        let reader = tokio::spawn(read(stream, Arc::clone(&heard)));
        Ok(Self { lane, heard, tasks: [door, reader] })
    }

    pub(super) fn lane(&self) -> Lane {
        self.lane.clone()
    }

    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn connect(pki: &Path, address: SocketAddr) -> anyhow::Result<TlsStream<TcpStream>> {
    let mut stream = dial(pki, address).await?;
    stream.write_all(REQUESTS).await?;
    stream.flush().await?;
    let mut answers = [0; ANSWERS.len()];
    stream.read_exact(&mut answers).await.context("the hub closed the connection")?;
    ensure!(answers == *ANSWERS, "the hub answers {answers:x?}");
    Ok(stream)
}

pub(super) async fn dial(pki: &Path, address: SocketAddr) -> anyhow::Result<TlsStream<TcpStream>> {
    let file = |name: &str| pki.join("operators").join(name);
    let files = ClientFiles { certificate: file("olga.pem"), key: file("olga.key") };
    let tls = client_config(&pki.join("ca.pem"), Some(&files))?;
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost")?;
    Ok(TlsConnector::from(tls).connect(name, tcp).await?)
}

/// Counts packets; all are PUBLISH, and shorter than 16,384 bytes.
pub(super) async fn read(mut stream: TlsStream<TcpStream>, heard: Arc<AtomicU64>) {
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    loop {
        buffer.reserve(16 * 1024);
        if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
        let mut count = 0;
        while let Some(length) = packet_length(&buffer) {
            if buffer.len() < length {
                break;
            }
            buffer.advance(length);
            count += 1;
        }
        heard.fetch_add(count, Ordering::Relaxed);
    }
}

/// The length of the packet at the front, header included, once enough of it is there.
fn packet_length(bytes: &[u8]) -> Option<usize> {
    let (low, high) = (usize::from(*bytes.get(1)?), bytes.get(2));
    if low & 0x80 == 0 {
        return Some(2 + low);
    }
    Some(3 + (low & 0x7f) + usize::from(*high?) * 0x80)
}
