//! One connection, from CONNECT to its end: SUBSCRIBE, SUBACK, birth, first ack, then facts.

use std::sync::Arc;
use std::time::Duration;

use locker_core::journal::ChainHash;
use locker_core::uplink::{STALL_MS, Sender};
use locker_proto::message::{
    Ack, Batch, Birth, Command, Config, Grants, MESSAGE_MAX_BYTES, Nonce, Presence, Restore,
};
use locker_proto::topics::{DownTopic, UpTopic, down_filter};
use rumqttc::{AsyncClient, EventLoop, LastWill, MqttOptions, Packet, QoS, SubscribeReasonCode};
use rumqttc::{TlsConfiguration, Transport};
use rustls::ClientConfig;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{info, warn};

use super::keys::Opened;
use super::tls::Presented;
use super::{Ended, Learned, Link, LinkError, in_words, reading, stopped};
use crate::bank::{Event, Introduction};
use crate::journal::Stored;

/// Requests that may wait in the MQTT client: four batches, the birth, the presence, samples, and
/// room.
const REQUESTS_WAITING_MAX: usize = 20;
/// Samples sent at a time, and the pause until the next few: facts come first.
const SAMPLES_AT_A_TIME: usize = 4;
const SAMPLES_PAUSE: Duration = Duration::from_millis(100);
/// Packets that may wait between the MQTT client's task and this one.
const PACKETS_WAITING_MAX: usize = 16;

/// How long the bank's loop may take to weigh what the hub said of the time.
const WEIGHING_LIMIT: Duration = Duration::from_secs(10);

/// Far beyond any connection, in milliseconds: ten years.
const NEVER_MS: u64 = 10 * 365 * 86_400_000;

/// Runs one connection to its end.
pub(super) async fn run(link: &mut Link, connection_count: u64, learned: &mut Learned) -> Ended {
    let (tls, wary) = link.tls.connection(&link.time);
    let (client, event_loop) =
        AsyncClient::new(options(link, tls, connection_count), REQUESTS_WAITING_MAX);
    let (packets, inbox) = mpsc::channel(PACKETS_WAITING_MAX);
    // `poll` is not cancel-safe, so it has a task of its own.
    let timeout_s = link.limits.connect_timeout_s;
    let poll = tokio::spawn(poll(event_loop, packets, timeout_s));
    let started = Instant::now();
    let mut session = Session {
        client,
        inbox,
        connection_count,
        nonce: Nonce((link.random)()),
        born_at: None,
        sender: Sender::new(0),
        linked: None,
        wary,
        started,
        learned,
        link,
    };
    let end = session.drive().await;
    let linked = session.linked.is_some();
    if end.is_ok() {
        // Only a courtesy: without it the hub sends our last will.
        let _ = session.client.try_disconnect();
        let drained = async { while session.inbox.recv().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_millis(500), drained).await;
    }
    poll.abort();
    match end {
        Ok(()) => Ended::Stopped,
        Err(error) => Ended::Failed { error, linked },
    }
}

fn options(link: &Link, tls: Arc<ClientConfig>, connection_count: u64) -> MqttOptions {
    let bank = &link.bank;
    let mut options = MqttOptions::new(bank.as_str(), &link.host, link.port);
    let offline = Presence { boot: link.boot, online: false, connection_count };
    let will = LastWill::new(UpTopic::Presence.of(bank), offline.encode(), QoS::AtMostOnce, false);
    options
        .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)))
        .set_clean_session(true)
        .set_keep_alive(Duration::from_secs(link.limits.keep_alive_s.into()))
        .set_max_packet_size(MESSAGE_MAX_BYTES * 2, MESSAGE_MAX_BYTES * 2)
        .set_last_will(will);
    options
}

async fn poll(
    mut event_loop: EventLoop,
    packets: mpsc::Sender<Result<Packet, LinkError>>,
    timeout_s: u64,
) {
    event_loop.network_options.set_connection_timeout(timeout_s);
    loop {
        let (packet, ended) = match event_loop.poll().await {
            Ok(rumqttc::Event::Incoming(packet)) => (Ok(packet), false),
            Ok(rumqttc::Event::Outgoing(rumqttc::Outgoing::Disconnect)) => return,
            Ok(rumqttc::Event::Outgoing(_)) => continue,
            Err(error) => (Err(LinkError::Lost(Box::new(error))), true),
        };
        if packets.send(packet).await.is_err() || ended {
            return;
        }
    }
}

struct Session<'a> {
    link: &'a mut Link,
    learned: &'a mut Learned,
    client: AsyncClient,
    inbox: mpsc::Receiver<Result<Packet, LinkError>>,
    connection_count: u64,
    nonce: Nonce,
    born_at: Option<Instant>,
    sender: Sender,
    /// When the hub answered the birth.
    linked: Option<Instant>,
    /// What the hub presented, as long as the bank does not know the time: until then it says birth,
    /// and hears what needs no time: an ack, records given back, a key set that a root has signed.
    wary: Option<Presented>,
    started: Instant,
}

impl Session<'_> {
    /// Runs until stopped (`Ok`) or until the connection is of no more use.
    async fn drive(&mut self) -> Result<(), LinkError> {
        let mut stop = self.link.stop.clone();
        let mut head = self.link.head.clone();
        let mut missed = self.link.missed.clone();
        // What was missed before is made good by this birth.
        missed.mark_unchanged();
        let samples = self.link.samples.clone();
        let mut samples_due = self.started;
        loop {
            self.send_facts().await?;
            let stalls_at = self.started + Duration::from_millis(self.stalls_at_ms());
            tokio::select! {
                packet = self.inbox.recv() => match packet {
                    Some(packet) => self.packet(packet?).await?,
                    None => return Err(LinkError::QueueFull),
                },
                changed = head.changed() => changed.map_err(|_| LinkError::BankStopped)?,
                changed = missed.changed() => {
                    return Err(changed.map_or(LinkError::BankStopped, |()| LinkError::DecisionMissed));
                }
                () = tokio::time::sleep_until(stalls_at) => {
                    if self.now_ms() >= self.stalls_at_ms() {
                        return Err(LinkError::Stalled);
                    }
                }
                () = samples.ready(samples_due), if self.linked.is_some() => {
                    self.send_samples();
                    samples_due = Instant::now() + SAMPLES_PAUSE;
                }
                () = stopped(&mut stop) => return Ok(()),
            }
        }
    }

    /// Until the birth is out it is the hub that must move: accept, and answer the subscription.
    fn stalls_at_ms(&self) -> u64 {
        let until_birth_ms = self.link.limits.connect_timeout_s.saturating_mul(1_000) + STALL_MS;
        let unborn = self.born_at.is_none().then_some(until_birth_ms);
        self.sender.stalls_at_ms().or(unborn).unwrap_or(NEVER_MS)
    }

    async fn packet(&mut self, packet: Packet) -> Result<(), LinkError> {
        match packet {
            Packet::ConnAck(_) => {
                let filter = down_filter(&self.link.bank);
                let subscribed = self.client.try_subscribe(filter, QoS::AtLeastOnce);
                subscribed.map_err(|_| LinkError::QueueFull)
            }
            Packet::SubAck(ack) => {
                let granted =
                    |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
                if !ack.return_codes.iter().all(granted) {
                    return Err(LinkError::SubscriptionRefused);
                }
                self.be_born().await
            }
            Packet::Publish(publish) => {
                let Ok((bank, topic)) = DownTopic::parse(&publish.topic) else {
                    warn!(topic = publish.topic, "message on a foreign topic ignored");
                    return Ok(());
                };
                if bank != self.link.bank {
                    warn!(topic = publish.topic, "message for another bank ignored");
                    return Ok(());
                }
                self.message(topic, &publish.topic, &publish.payload).await
            }
            Packet::Connect(_)
            | Packet::PubAck(_)
            | Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::PubComp(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingReq
            | Packet::PingResp
            | Packet::Disconnect => Ok(()),
        }
    }

    async fn be_born(&mut self) -> Result<(), LinkError> {
        let (reply, answer) = oneshot::channel();
        let asked = self.link.events.send(Event::Introduce { reply }).await;
        asked.map_err(|_| LinkError::BankStopped)?;
        let introduction = answer.await.map_err(|_| LinkError::BankStopped)?;
        let boot = introduction.boot;
        self.link.keys.learn(&introduction.keys);
        let birth = self.birth(introduction).await?;
        // Before it can leave: the hub's time counts from here.
        self.born_at = Some(Instant::now());
        let connection_count = self.connection_count;
        let online = Presence { boot, online: true, connection_count };
        self.publish(UpTopic::Presence, QoS::AtMostOnce, online.encode())?;
        self.publish(UpTopic::Birth, QoS::AtLeastOnce, birth.encode())?;
        self.sender.born(self.now_ms());
        Ok(())
    }

    async fn birth(&mut self, said: Introduction) -> Result<Birth, LinkError> {
        let reader = &self.link.reader;
        let (head_seq, head_hash) = reader.head();
        let oldest_seq = reader.oldest_seq();
        let rungs = reading::rungs(reader, head_seq, self.learned.doubted).await?;
        if let Some(error) = &rungs.unreadable
            && !std::mem::replace(&mut self.learned.unreadable_said, true)
        {
            warn!(error = in_words(error), "part of the journal cannot be read");
        }
        Ok(Birth {
            stream: said.stream,
            parent: said.parent,
            boot: said.boot,
            boot_count: said.boot_count,
            connection_count: self.connection_count,
            nonce: self.nonce,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            oldest_seq,
            head_seq,
            head_hash: ChainHash(head_hash),
            grants: said.grants,
            layout: said.layout,
            key_set: said.keys.generation,
            kids: said.keys.keys.iter().map(|key| key.kid).collect(),
            at: said.stamp.at,
            quality: said.stamp.quality,
            mode: Some(said.mode),
            quota: Some(said.quota),
            courier_codes: Some(said.courier_codes),
            code_keys: said.code_keys,
            config_epoch: said.config_epoch,
            device_key: said.device_key,
            ladder: rungs.places,
        })
    }

    async fn message(
        &mut self,
        topic: DownTopic,
        name: &str,
        envelope: &[u8],
    ) -> Result<(), LinkError> {
        let (bank, keys) = (&self.link.bank, &mut self.link.keys);
        let unsigned = |source| LinkError::Unsigned { topic: name.to_owned(), source };
        let unreadable = |source| LinkError::Unreadable { topic: name.to_owned(), source };
        let payload = match keys.open(topic, bank, envelope).map_err(unsigned)? {
            Opened::Payload(payload) => payload,
            Opened::KeySet(keys) => return self.tell(Event::KeySet(keys)).await,
            Opened::ForeignKeySet(root) => {
                warn!(%root, "key set of a root that is not in hub.root_keys ignored");
                return Ok(());
            }
        };
        // Records given back come instead of an ack: they are signed for this birth, and chained.
        let timeless = matches!(topic, DownTopic::Ack | DownTopic::Restore);
        if self.wary.is_some() && !timeless {
            info!(topic = name, "message ignored, the time is not known");
            return Ok(());
        }
        match topic {
            DownTopic::Ack => {
                let ack = Ack::decode(&payload).map_err(unreadable)?;
                self.acknowledged(ack).await
            }
            DownTopic::Grants => {
                let grants = Grants::decode(&payload).map_err(unreadable)?;
                self.tell(Event::Grants(grants)).await
            }
            DownTopic::Config => {
                let config = Config::decode(&payload).map_err(unreadable)?;
                if config.nonce != Some(self.nonce) {
                    warn!("document for another connection ignored");
                    return Ok(());
                }
                self.tell(Event::Config(config)).await
            }
            DownTopic::Restore => {
                let restore = Restore::decode(&payload).map_err(unreadable)?;
                self.given_back(restore).await
            }
            DownTopic::Command => {
                let command = Command::decode(&payload).map_err(unreadable)?;
                // Signed for this bank, so another name in it is the hub's slip: not ours to follow.
                let current = command.nonce == self.nonce && command.bank == self.link.bank;
                self.tell(Event::Command { command, current }).await
            }
        }
    }

    /// The hub gives records back instead of answering the birth.
    async fn given_back(&mut self, restore: Restore) -> Result<(), LinkError> {
        if restore.nonce != self.nonce || restore.stream.0 != self.link.reader.stream_id() {
            warn!(stream = %restore.stream, "records for another connection or stream ignored");
            return Ok(());
        }
        let now_ms = self.now_ms();
        self.sender.given_back(now_ms);
        self.tell(Event::Restore(restore)).await
    }

    async fn acknowledged(&mut self, ack: Ack) -> Result<(), LinkError> {
        let heard_at = Instant::now();
        let Some(asked_at) = self.born_at.filter(|_| ack.nonce == self.nonce) else {
            // Of an earlier connection; its time may be old.
            return Ok(());
        };
        if ack.stream.0 != self.link.reader.stream_id() {
            return Err(LinkError::OtherStream);
        }
        let (head, _) = self.link.reader.head();
        let ours = reading::hash_at(&self.link.reader, ack.committed_seq).await?;
        let now_ms = self.now_ms();
        let taken =
            self.sender.acknowledged(ack.committed_seq, ack.committed_hash, head, ours, now_ms);
        if taken.is_err() {
            self.learned.doubted = Some(ack.committed_seq);
        }
        taken?;
        self.link.samples.committed(ack.committed_seq);
        if self.linked.is_none() {
            self.linked = Some(heard_at);
            info!(committed = ack.committed_seq, head, "hub connected");
            let weighed = self.link.time.borrow().weighed();
            self.tell(Event::Heard { signed: ack.at, asked_at, heard_at }).await?;
            self.trust_after(weighed).await?;
            self.tell(Event::Linked(true)).await?;
        }
        // What is not committed is in no backup, whatever the hub says.
        self.tell(Event::Safe { safe: ack.safe_seq.min(ack.committed_seq) }).await
    }

    /// A bank that did not know the time waits until it has weighed what the hub said, one time more
    /// than `weighed`, and weighs the hub's certificate by that: more than an ack is heard only of a hub
    /// that counts today.
    async fn trust_after(&mut self, weighed: u64) -> Result<(), LinkError> {
        let Some(presented) = &self.wary else { return Ok(()) };
        let mut time = self.link.time.clone();
        let told = time.wait_for(|time| time.weighed() > weighed);
        let told = tokio::time::timeout(WEIGHING_LIMIT, told).await;
        let told =
            *told.map_err(|_| LinkError::TimeNotTaken)?.map_err(|_| LinkError::BankStopped)?;
        let now = told.now().ok_or(LinkError::TimeNotTaken)?;
        presented.holds_at(now).map_err(LinkError::Certificate)?;
        self.wary = None;
        Ok(())
    }

    async fn tell(&self, event: Event) -> Result<(), LinkError> {
        self.link.events.send(event).await.map_err(|_| LinkError::BankStopped)
    }

    /// Sends batches as long as the window allows.
    async fn send_facts(&mut self) -> Result<(), LinkError> {
        loop {
            let head = *self.link.head.borrow_and_update();
            let Some(window) = self.sender.window(head) else { return Ok(()) };
            let (previous, run) = reading::run_of(&self.link.reader, window).await?;
            let Some(Stored { seq: last_seq, .. }) = run.last() else { return Ok(()) };
            let last_seq = *last_seq;
            let batch = Batch {
                stream: locker_core::ids::StreamId(self.link.reader.stream_id()),
                first_seq: window.from_seq,
                previous,
                records: run.into_iter().map(|stored| stored.record).collect(),
            };
            self.publish(UpTopic::Facts, QoS::AtLeastOnce, batch.encode())?;
            self.sender.sent(last_seq, self.now_ms());
        }
    }

    /// Sends a few samples. One that finds no room is lost, which is what QoS 0 is for.
    fn send_samples(&self) {
        let Some(linked) = self.linked else { return };
        let topic = UpTopic::Telemetry.of(&self.link.bank);
        for _ in 0..SAMPLES_AT_A_TIME {
            let Some(sample) = self.link.samples.next(linked) else { return };
            let _ = self.client.try_publish(&topic, QoS::AtMostOnce, false, sample.encode());
        }
    }

    fn publish(&self, topic: UpTopic, qos: QoS, payload: Vec<u8>) -> Result<(), LinkError> {
        let topic = topic.of(&self.link.bank);
        let queued = self.client.try_publish(topic, qos, false, payload);
        queued.map_err(|_| LinkError::QueueFull)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
