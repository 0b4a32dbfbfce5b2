//! Both ends of a session for the tests: a hub whose events are read by hand, and a bank that can
//! send anything.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::tls::{Alpn, Counters, ServerTls};

/// Longer than anything here takes.
pub(in crate::mqtt) const PATIENCE: Duration = Duration::from_secs(20);

pub(in crate::mqtt) fn shard(bank: &str) -> String {
    bank.parse::<BankId>().unwrap().shard()
}

pub(in crate::mqtt) fn bytes_of(packet: &Packet) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, usize::MAX).unwrap();
    bytes.to_vec()
}

pub(in crate::mqtt) struct Hub {
    pub(in crate::mqtt) fixture: Fixture,
    pub(in crate::mqtt) address: SocketAddr,
    pub(in crate::mqtt) sessions: Sessions,
    pub(in crate::mqtt) tls: ServerTls,
    pub(in crate::mqtt) tls_counters: Arc<Counters>,
    pub(in crate::mqtt) stop: Option<oneshot::Sender<()>>,
    pub(in crate::mqtt) task: JoinHandle<()>,
    events: mpsc::Receiver<MqttEvent>,
}

impl Hub {
    pub(in crate::mqtt) async fn start() -> Self {
        Self::start_with(SessionLimits::default(), 64).await
    }

    pub(in crate::mqtt) async fn start_with(session: SessionLimits, queue: usize) -> Self {
        let fixture = Fixture::new();
        let (sender, events) = mpsc::channel(queue);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = ListenerConfig { address, tls: Limits::default(), session };
        let tls = fixture.server(Alpn::None);
        let listener = MqttListener::bind(config, tls.clone(), sender).await.unwrap();
        let (address, sessions) = (listener.local_address(), listener.sessions());
        let tls_counters = listener.tls_counters();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(listener.run(async move {
            let _ = stopped.await;
        }));
        let stop = Some(stop);
        Self { fixture, address, sessions, tls, tls_counters, stop, task, events }
    }

    /// A TLS connection with this certificate, and nothing said yet.
    pub(in crate::mqtt) async fn call(&self, certificate: &str) -> Bank {
        let stream = self.fixture.connect(self.address, certificate).await.unwrap();
        Bank::new(stream, certificate.rsplit('/').next().unwrap())
    }

    /// A session of the bank, with its `Connected` event taken.
    pub(in crate::mqtt) async fn connect(&mut self, bank: &str) -> (Bank, SessionId) {
        let mut client = self.call(&format!("banks/{bank}")).await;
        let mut asked = Connect::new(bank);
        asked.keep_alive = 300;
        client.send(Packet::Connect(asked)).await;
        client.welcome().await;
        let event = self.event().await;
        let MqttEvent::Connected { session, bank: of, .. } = event else { panic!("{event:?}") };
        assert_eq!(of.as_str(), bank);
        (client, session)
    }

    pub(in crate::mqtt) async fn event(&mut self) -> MqttEvent {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("an event").unwrap()
    }

    pub(in crate::mqtt) async fn publish_event(&mut self) -> (UpTopic, Bytes, Option<AckToken>) {
        let event = self.event().await;
        let MqttEvent::Publish { topic, payload, ack, .. } = event else { panic!("{event:?}") };
        (topic, payload, ack)
    }

    pub(in crate::mqtt) async fn ended(&mut self) -> (SessionId, EndReason) {
        let event = self.event().await;
        let MqttEvent::Ended { session, reason, .. } = event else { panic!("{event:?}") };
        (session, reason)
    }
}

pub(in crate::mqtt) struct Bank {
    stream: TlsStream<TcpStream>,
    buffer: BytesMut,
    root: String,
}

impl Bank {
    pub(in crate::mqtt) fn new(stream: TlsStream<TcpStream>, bank: &str) -> Self {
        let root = format!("lk/{}/{bank}/", shard(bank));
        Self { stream, buffer: BytesMut::new(), root }
    }

    pub(in crate::mqtt) fn topic(&self, rest: &str) -> String {
        format!("{}{rest}", self.root)
    }

    pub(in crate::mqtt) async fn send(&mut self, packet: Packet) {
        self.send_bytes(&bytes_of(&packet)).await;
    }

    pub(in crate::mqtt) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// With packet id 0 as QoS 0.
    pub(in crate::mqtt) async fn publish(&mut self, topic: &str, packet_id: u16, payload: &[u8]) {
        let qos = if packet_id == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let mut publish = Publish::new(self.topic(&format!("up/{topic}")), qos, payload);
        publish.pkid = packet_id;
        self.send(Packet::Publish(publish)).await;
    }

    pub(in crate::mqtt) async fn subscribe_all(&mut self) {
        let mut subscribe = Subscribe::new(self.topic("down/+"), QoS::AtLeastOnce);
        subscribe.pkid = 1;
        self.send(Packet::Subscribe(subscribe)).await;
        assert!(matches!(self.receive().await, Some(Packet::SubAck(suback)) if suback.pkid == 1));
    }

    /// Sends PINGREQ; the very next packet must be its answer.
    pub(in crate::mqtt) async fn ping(&mut self) {
        self.send(Packet::PingReq).await;
        assert_eq!(self.receive().await, Some(Packet::PingResp));
    }

    pub(in crate::mqtt) async fn welcome(&mut self) {
        assert_eq!(self.refusal().await, ConnectReturnCode::Success);
    }

    pub(in crate::mqtt) async fn refusal(&mut self) -> ConnectReturnCode {
        match self.receive().await {
            Some(Packet::ConnAck(connack)) => connack.code,
            other => panic!("{other:?}"),
        }
    }

    /// The next packet; `None` when the hub has closed the connection.
    pub(in crate::mqtt) async fn receive(&mut self) -> Option<Packet> {
        loop {
            match Packet::read(&mut self.buffer, usize::MAX) {
                Ok(packet) => return Some(packet),
                Err(rumqttc::mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => panic!("{error}"),
            }
            let read = self.stream.read_buf(&mut self.buffer);
            match tokio::time::timeout(PATIENCE, read).await.expect("a packet or the end") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}
