//! A bank that can say anything: a real MQTT session with a real certificate, and a journal that is
//! sound until a test breaks it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use locker_core::bank::BoardChanged;
use locker_core::clock::TimeQuality;
use locker_core::downlink::GrantPosition;
use locker_core::fact::Fact;
use locker_core::ids::{BankId, BootId, Generation, HubEpoch, StreamId};
use locker_core::journal::{Booted, CHAIN_START, ChainHash, Record, StreamOpened, next_hash};
use locker_core::units::UnixMillis;
use locker_proto::message::{Ack, Batch, Birth, Nonce};
use locker_proto::record::encode_record;
use locker_proto::signed::{self, CommandKey};
use locker_proto::topics::{DownTopic, UpTopic, down_filter};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, QoS,
    TlsConfiguration, Transport,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::pki::{ClientFiles, Pki};
use crate::tls::client_config;
use crate::wait::now_ms;

/// How long the hub may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Births of this process so far, and one.
static BIRTHS: AtomicU64 = AtomicU64::new(1);
/// What is waiting to be sent or to be read; more waits.
const QUEUE: usize = 64;

/// What a bank hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The hub took the session.
    Connected,
    /// The subscription stands.
    Subscribed,
    /// A message was taken for good.
    Acknowledged,
    /// The hub's watermark, signed.
    Ack(Ack),
    /// Something else, signed.
    Told(DownTopic),
    /// The session is over.
    Ended(String),
}

/// A session.
#[derive(Debug)]
pub struct FakeBank {
    id: BankId,
    client: AsyncClient,
    heard: mpsc::Receiver<Heard>,
    poller: JoinHandle<()>,
}

impl FakeBank {
    /// Connects as `id` with its own certificate and client id, and subscribes to what it may hear.
    ///
    /// # Errors
    ///
    /// The hub refuses.
    pub async fn connect(pki: &Pki, hub: SocketAddr, id: &str) -> Result<Self> {
        let mut bank = Self::call(pki, hub, id, &pki.client("banks", id)).await?;
        bank.until(&Heard::Connected).await?;
        bank.client.subscribe(down_filter(&bank.id), QoS::AtLeastOnce).await?;
        bank.until(&Heard::Subscribed).await?;
        Ok(bank)
    }

    /// Begins a session with the client id `id` and any certificate; what comes of it is heard.
    ///
    /// # Errors
    ///
    /// The certificate cannot be used.
    pub async fn call(pki: &Pki, hub: SocketAddr, id: &str, files: &ClientFiles) -> Result<Self> {
        let key = cloud_hub::pki::PublicKey::load(&pki.file("command-1.pub"))?;
        let keys = vec![CommandKey { kid: 1, public: key.verifying_key().to_bytes() }];
        let id: BankId = id.parse()?;
        let mut options = MqttOptions::new(id.as_str(), hub.ip().to_string(), hub.port());
        let tls = client_config(&pki.authority(), Some(files))?;
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
        options.set_clean_session(true).set_keep_alive(Duration::from_secs(30));
        options.set_max_packet_size(1 << 20, 1 << 20);
        let (client, event_loop) = AsyncClient::new(options, QUEUE);
        let (sender, heard) = mpsc::channel(QUEUE);
        let poller = tokio::spawn(poll(event_loop, id.clone(), keys, sender));
        Ok(Self { id, client, heard, poller })
    }

    /// Says something on one of its own topics, with the topic's quality of service.
    ///
    /// # Errors
    ///
    /// The session is over.
    pub async fn say(&self, topic: UpTopic, payload: Vec<u8>) -> Result<()> {
        self.say_on(&topic.of(&self.id), topic, payload).await
    }

    /// Says something on any topic, as if it were `like`.
    ///
    /// # Errors
    ///
    /// The session is over.
    pub async fn say_on(&self, topic: &str, like: UpTopic, payload: Vec<u8>) -> Result<()> {
        let qos = match like {
            UpTopic::Birth | UpTopic::Facts => QoS::AtLeastOnce,
            UpTopic::Telemetry | UpTopic::Presence => QoS::AtMostOnce,
        };
        Ok(self.client.publish(topic, qos, false, payload).await?)
    }

    /// Subscribes to any filter.
    ///
    /// # Errors
    ///
    /// The session is over.
    pub async fn subscribe(&self, filter: &str) -> Result<()> {
        Ok(self.client.subscribe(filter, QoS::AtLeastOnce).await?)
    }

    /// Introduces itself with `journal` and waits for the answer.
    ///
    /// # Errors
    ///
    /// The birth is not answered.
    pub async fn be_born(&mut self, journal: &FakeJournal) -> Result<Ack> {
        self.say(UpTopic::Birth, journal.birth().encode()).await?;
        self.until_committed(0).await
    }

    /// Waits for a watermark of at least `seq`.
    ///
    /// # Errors
    ///
    /// The session ends, or the time is over.
    pub async fn until_committed(&mut self, seq: u64) -> Result<Ack> {
        loop {
            match self.next().await? {
                Heard::Ack(ack) if ack.committed_seq >= seq => return Ok(ack),
                Heard::Ended(reason) => bail!("the session ended: {reason}"),
                Heard::Connected
                | Heard::Subscribed
                | Heard::Acknowledged
                | Heard::Told(_)
                | Heard::Ack(_) => {}
            }
        }
    }

    /// Waits for one thing; others are passed over.
    ///
    /// # Errors
    ///
    /// The session ends, or the time is over.
    pub async fn until(&mut self, wanted: &Heard) -> Result<()> {
        loop {
            let heard = self.next().await?;
            if heard == *wanted {
                return Ok(());
            }
            if let Heard::Ended(reason) = heard {
                bail!("the session ended: {reason}");
            }
        }
    }

    /// Waits for the end of the session; gives everything heard before.
    ///
    /// # Errors
    ///
    /// It does not end in time.
    pub async fn until_ended(&mut self) -> Result<Vec<Heard>> {
        let mut before = Vec::new();
        loop {
            let heard = self.next().await?;
            if matches!(heard, Heard::Ended(_)) {
                return Ok(before);
            }
            before.push(heard);
        }
    }

    async fn next(&mut self) -> Result<Heard> {
        let next = tokio::time::timeout(ANSWER_LIMIT, self.heard.recv()).await;
        next.context("the hub says nothing")?.context("the session is over")
    }
}

impl Drop for FakeBank {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

async fn poll(
    mut events: EventLoop,
    id: BankId,
    keys: Vec<CommandKey>,
    heard: mpsc::Sender<Heard>,
) {
    loop {
        let next = match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => Heard::Connected,
            Ok(Event::Incoming(Packet::SubAck(_))) => Heard::Subscribed,
            Ok(Event::Incoming(Packet::PubAck(_))) => Heard::Acknowledged,
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                read(&publish.topic, &publish.payload, &id, &keys)
                    .unwrap_or_else(|error| Heard::Ended(format!("nonsense: {error:#}")))
            }
            Ok(_) => continue,
            Err(ConnectionError::ConnectionRefused(code)) => Heard::Ended(refusal(code)),
            Err(error) => Heard::Ended(error.to_string()),
        };
        let is_end = matches!(next, Heard::Ended(_));
        if heard.send(next).await.is_err() || is_end {
            return;
        }
    }
}

fn read(topic: &str, payload: &[u8], id: &BankId, keys: &[CommandKey]) -> Result<Heard> {
    let (bank, topic) = DownTopic::parse(topic)?;
    if bank != *id {
        bail!("a message for {bank}");
    }
    let payload = signed::open(payload, topic, id, keys)?;
    Ok(match topic {
        DownTopic::Ack => Heard::Ack(Ack::decode(&payload)?),
        DownTopic::Grants | DownTopic::Config | DownTopic::Command | DownTopic::Restore => {
            Heard::Told(topic)
        }
    })
}

fn refusal(code: ConnectReturnCode) -> String {
    format!("refused: {code:?}")
}

/// A journal in memory.
#[derive(Clone, Debug)]
pub struct FakeJournal {
    stream: StreamId,
    boot: BootId,
    /// With the chain's hash after each.
    records: Vec<(Vec<u8>, ChainHash)>,
}

impl FakeJournal {
    /// The first two records of every journal.
    ///
    /// # Errors
    ///
    /// `bank` is no name.
    pub fn begin(bank: &str) -> Result<Self> {
        let (stream, boot) = (StreamId(random()), BootId(random()));
        let mut journal = Self { stream, boot, records: Vec::new() };
        let bank = bank.parse()?;
        journal.append(Fact::StreamOpened(StreamOpened {
            bank,
            device_key: [1; 32],
            parent: None,
        }));
        let agent_version = "0.0.0-fake".to_owned();
        journal.append(Fact::Booted(Booted { boot, boot_count: 1, agent_version }));
        Ok(journal)
    }

    /// The last seq.
    #[must_use]
    pub fn head(&self) -> u64 {
        u64::try_from(self.records.len()).unwrap_or(u64::MAX)
    }

    /// Adds `count` records that say nothing of importance.
    pub fn add(&mut self, count: usize) {
        for _ in 0..count {
            self.append(Fact::BoardChanged(BoardChanged { board: 9, online: true }));
        }
    }

    /// Forgets everything above `seq`, so that the journal can go on differently.
    pub fn cut(&mut self, seq: usize) {
        self.records.truncate(seq);
    }

    /// The records from seq `first` on.
    #[must_use]
    pub fn batch_from(&self, first: usize) -> Batch {
        let records = self.records.iter().skip(first - 1);
        Batch {
            stream: self.stream,
            first_seq: u64::try_from(first).unwrap_or(u64::MAX),
            previous: self.hash_at(first - 1),
            records: records.map(|(record, _)| record.clone()).collect(),
        }
    }

    /// How it introduces itself.
    #[must_use]
    pub fn birth(&self) -> Birth {
        Birth {
            stream: self.stream,
            parent: None,
            boot: self.boot,
            boot_count: 1,
            // Each birth is of a later connection than all before, as an agent's are.
            connection_count: BIRTHS.fetch_add(1, Ordering::Relaxed),
            nonce: Nonce(random()),
            agent_version: "0.0.0-fake".to_owned(),
            oldest_seq: 1,
            head_seq: self.head(),
            head_hash: self.hash_at(self.records.len()),
            grants: GrantPosition::default(),
            layout: Generation(0),
            key_set: Generation(0),
            kids: Vec::new(),
            at: UnixMillis(now_ms()),
            quality: TimeQuality::Unknown,
            mode: None,
            quota: None,
            courier_codes: None,
            code_keys: None,
            config_epoch: HubEpoch(0),
            device_key: None,
            ladder: Vec::new(),
        }
    }

    fn append(&mut self, fact: Fact) {
        let previous = self.hash_at(self.records.len());
        let record = Record {
            stream: self.stream,
            seq: self.head() + 1,
            boot: self.boot,
            at: UnixMillis(now_ms()),
            quality: TimeQuality::Unknown,
            previous,
            trace: None,
            detached: None,
            fact,
        };
        let bytes = encode_record(&record);
        let hash = next_hash(previous, &bytes);
        self.records.push((bytes, hash));
    }

    fn hash_at(&self, seq: usize) -> ChainHash {
        seq.checked_sub(1)
            .and_then(|at| self.records.get(at))
            .map_or(CHAIN_START, |(_, hash)| *hash)
    }
}

fn random() -> [u8; 16] {
    *Uuid::new_v4().as_bytes()
}
