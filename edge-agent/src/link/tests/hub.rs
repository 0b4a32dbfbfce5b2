//! A hub that does nothing by itself: the test reads what the bank says and says what it likes.

use std::time::Duration;

use bytes::BytesMut;
use ed25519_dalek::SigningKey;
use locker_core::credential::{CommandKey, CredentialKey, KeySet, RootKey};
use locker_core::ids::{BankId, Generation, HubEpoch, StreamId};
use locker_core::journal::ChainHash;
use locker_core::units::UnixMillis;
use locker_proto::key_set::SignedKeySet;
use locker_proto::message::{Ack, Batch, Birth, Config, Document, Nonce};
use locker_proto::signed;
use locker_proto::topics::{DownTopic, UpTopic};
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, Packet, PubAck, Publish, SubAck, SubscribeReasonCode,
};
use rumqttc::mqttbytes::{Error as CodecError, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Longer than anything here takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing must be said to count as silence.
const SILENCE: Duration = Duration::from_millis(150);

pub(super) fn bank() -> BankId {
    "lobby-1".parse().unwrap()
}

pub(super) fn command_key() -> SigningKey {
    SigningKey::from_bytes(&[4; 32])
}

pub(super) fn root() -> SigningKey {
    SigningKey::from_bytes(&[5; 32])
}

/// With command keys of these ids and secrets.
pub(super) fn key_set(generation: u64, command: &[(u8, &SigningKey)]) -> KeySet {
    let public = |key: &SigningKey| key.verifying_key().to_bytes();
    let command = command.iter().map(|(kid, key)| CommandKey { kid: *kid, public: public(key) });
    let keys = vec![CredentialKey { kid: 1, public: [1; 32] }];
    let root = Some(RootKey(root().verifying_key().to_bytes()));
    KeySet { generation: Generation(generation), keys, command: command.collect(), root }
}

/// As the hub sends it.
pub(super) fn signed_key_set(keys: &KeySet) -> Vec<u8> {
    config(SignedKeySet::sign(&root(), keys))
}

pub(super) fn config(key_set: SignedKeySet) -> Vec<u8> {
    Config { epoch: HubEpoch(1), document: Document::KeySet(key_set), nonce: None }.encode()
}

pub(super) struct Hub {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl Hub {
    pub(super) async fn bind(port: u16, tls: TlsAcceptor) -> Self {
        Self { listener: TcpListener::bind(("127.0.0.1", port)).await.unwrap(), tls }
    }

    pub(super) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// The next TLS connection; none if the handshake fails.
    pub(super) async fn handshake(&self) -> Option<Session> {
        let (tcp, _) = timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap();
        let stream = self.tls.accept(tcp).await.ok()?;
        Some(Session { stream, buffer: BytesMut::new(), next_id: 1 })
    }

    /// A connection with CONNECT, SUBSCRIBE and birth behind it.
    pub(super) async fn born(&self) -> (Session, Birth) {
        let mut session = self.handshake().await.expect("a handshake");
        session.connected().await;
        session.subscribed(SubscribeReasonCode::Success(QoS::AtLeastOnce)).await;
        let birth = session.birth().await;
        (session, birth)
    }
}

pub(super) struct Session {
    stream: TlsStream<TcpStream>,
    buffer: BytesMut,
    next_id: u16,
}

impl Session {
    /// The next packet but PINGREQ and PUBACK; none when the bank has closed the connection.
    pub(super) async fn next(&mut self) -> Option<Packet> {
        loop {
            match Packet::read(&mut self.buffer, usize::MAX) {
                Ok(Packet::PingReq | Packet::PubAck(_)) => continue,
                Ok(packet) => return Some(packet),
                Err(CodecError::InsufficientBytes(_)) => {}
                Err(error) => panic!("{error}"),
            }
            let read = self.stream.read_buf(&mut self.buffer);
            match timeout(PATIENCE, read).await.expect("a packet or the end") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The bank closes the connection, whatever it still says before.
    pub(super) async fn ends(mut self) {
        while self.next().await.is_some() {}
    }

    /// The bank says nothing of its own.
    pub(super) async fn is_quiet(&mut self) {
        let said = timeout(SILENCE, self.next()).await;
        assert!(said.is_err(), "{said:?}");
    }

    pub(super) async fn connected(&mut self) -> Connect {
        let Some(Packet::Connect(connect)) = self.next().await else { panic!("no CONNECT") };
        let code = ConnectReturnCode::Success;
        self.send(Packet::ConnAck(ConnAck { session_present: false, code })).await;
        connect
    }

    pub(super) async fn subscribed(&mut self, answer: SubscribeReasonCode) -> String {
        let Some(Packet::Subscribe(subscribe)) = self.next().await else { panic!("no SUBSCRIBE") };
        assert_eq!(subscribe.filters.len(), 1);
        self.send(Packet::SubAck(SubAck { pkid: subscribe.pkid, return_codes: vec![answer] }))
            .await;
        subscribe.filters[0].path.clone()
    }

    pub(super) async fn birth(&mut self) -> Birth {
        let presence = self.published().await;
        assert_eq!(UpTopic::parse(&presence.topic).unwrap(), (bank(), UpTopic::Presence));
        let birth = self.published().await;
        assert_eq!(UpTopic::parse(&birth.topic).unwrap(), (bank(), UpTopic::Birth));
        Birth::decode(&birth.payload).unwrap()
    }

    pub(super) async fn batch(&mut self) -> Batch {
        let facts = self.published().await;
        assert_eq!(UpTopic::parse(&facts.topic).unwrap(), (bank(), UpTopic::Facts));
        assert_eq!(facts.qos, QoS::AtLeastOnce);
        Batch::decode(&facts.payload).unwrap()
    }

    pub(super) async fn published(&mut self) -> Publish {
        let packet = self.next().await;
        let Some(Packet::Publish(publish)) = packet else { panic!("no PUBLISH: {packet:?}") };
        if publish.qos == QoS::AtLeastOnce {
            self.send(Packet::PubAck(PubAck::new(publish.pkid))).await;
        }
        publish
    }

    pub(super) async fn ack(&mut self, birth: &Birth, seq: u64, hash: ChainHash) {
        self.say(DownTopic::Ack, &ack(birth.stream, birth.nonce, seq, hash).encode()).await;
    }

    /// Signed as it should be.
    pub(super) async fn say(&mut self, topic: DownTopic, payload: &[u8]) {
        self.say_with(&command_key(), 1, topic, payload).await;
    }

    /// Signed by the root.
    pub(super) async fn say_key_set(&mut self, keys: &KeySet) {
        self.say(DownTopic::Config, &signed_key_set(keys)).await;
    }

    /// Signed with a key of the test's choice.
    pub(super) async fn say_with(
        &mut self,
        key: &SigningKey,
        kid: u8,
        topic: DownTopic,
        payload: &[u8],
    ) {
        let envelope = signed::sign(key, kid, topic, &bank(), payload);
        self.publish(&topic.of(&bank()), envelope).await;
    }

    pub(super) async fn publish(&mut self, topic: &str, payload: Vec<u8>) {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload);
        publish.pkid = self.next_id;
        self.next_id += 1;
        self.send(Packet::Publish(publish)).await;
    }

    async fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, usize::MAX).unwrap();
        // A bank that has hung up shows at the next read.
        let _ = self.stream.write_all(&bytes).await;
        let _ = self.stream.flush().await;
    }
}

pub(super) fn ack(stream: StreamId, nonce: Nonce, seq: u64, hash: ChainHash) -> Ack {
    Ack {
        stream,
        committed_seq: seq,
        committed_hash: hash,
        safe_seq: u64::MAX,
        epoch: HubEpoch(1),
        nonce,
        at: UnixMillis(1_800_000_000_000),
    }
}
