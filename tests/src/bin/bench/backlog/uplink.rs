//! The banks' side: what an agent does that comes back with a journal, and what one does that is live.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use cloud_hub::ingest::{Caller, LinkEvent};
use cloud_hub::mqtt::UpTopic;
use locker_core::ids::BankId;
use locker_core::journal::BATCH_MAX_RECORDS;
use locker_core::units::UnixMillis;
use locker_core::uplink::BATCHES_OUTSTANDING_MAX;
use locker_proto::message::Telemetry;
use locker_proto::topics::down_filter;
use rumqttc::{
    AsyncClient, Event as MqttEvent, EventLoop, MqttOptions, Packet, QoS, TlsConfiguration,
    Transport,
};
use system_tests::pki::ClientFiles;
use system_tests::tls::client_config;
use system_tests::wait::now_ms;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use super::journal::Journal;
use super::link::{Answer, Event, Heard, Session, Token, put_sample, queue};

/// How an agent sends samples that waited.
const SAMPLES_AT_A_TIME: u64 = 4;
const SAMPLES_PAUSE: Duration = Duration::from_millis(100);
/// What may wait in a client.
const CLIENT_QUEUE: usize = 64;

/// How a bank comes to ingest.
pub(super) enum Gate {
    Real { pki: PathBuf, hub: SocketAddr },
    Injected { number: usize, events: mpsc::Sender<Event>, answers: mpsc::Receiver<Answer> },
}

/// A bank that has nothing more to say.
pub(super) struct Drained {
    pub(super) facts: u64,
    pub(super) batches: u64,
    pub(super) samples: u64,
    /// The longest time without a watermark.
    pub(super) silence: Duration,
    /// When its last fact was committed.
    pub(super) ended: Instant,
}

/// A door that has moved.
pub(super) struct LiveFact {
    pub(super) moved: Instant,
    /// Until the hub acknowledged it.
    pub(super) took: Duration,
}

/// Comes back and sends all of its journal, four batches under way at a time.
pub(super) async fn drain(
    mut journal: Journal,
    gate: Gate,
    batch: usize,
    samples: u64,
) -> anyhow::Result<Drained> {
    let began = Instant::now();
    let mut uplink = Uplink::connect(&journal.bank, gate).await?;
    uplink.say(UpTopic::Birth, journal.birth().encode()).await?;
    let heard = uplink.acknowledged().await?;
    let silence = heard - began;
    let mut drained = Drained { facts: 0, batches: 0, samples: 0, silence, ended: heard };
    let mut tick = interval(SAMPLES_PAUSE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut under_way, mut progress) = (0, heard);
    loop {
        while under_way < BATCHES_OUTSTANDING_MAX {
            let Some(written) = journal.batch(batch)? else { break };
            drained.facts += written.facts;
            drained.batches += 1;
            uplink.say(UpTopic::Facts, written.bytes).await?;
            under_way += 1;
        }
        if under_way == 0 && drained.samples == samples {
            return Ok(drained);
        }
        tokio::select! {
            heard = uplink.heard(), if under_way > 0 => match heard? {
                Heard::Done(at) => {
                    drained.ended = at;
                    under_way -= 1;
                }
                Heard::Watermark(at) => {
                    drained.silence = drained.silence.max(at - progress);
                    progress = at;
                }
            },
            _ = tick.tick(), if drained.samples < samples => {
                for _ in 0..SAMPLES_AT_A_TIME.min(samples - drained.samples) {
                    uplink.tell(historical_sample(samples - drained.samples).encode());
                    drained.samples += 1;
                }
            }
        }
    }
}

/// Sends what happens as it happens, until it is told to stop. A door moves when it does, whether or not
/// the one before was acknowledged: what waits goes with the next batch.
pub(super) async fn live_one(
    mut journal: Journal,
    gate: Gate,
    first: Duration,
    every: Duration,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<Vec<LiveFact>> {
    let mut uplink = Uplink::connect(&journal.bank, gate).await?;
    uplink.say(UpTopic::Birth, journal.birth().encode()).await?;
    uplink.acknowledged().await?;
    let mut tick = interval_at(Instant::now() + first, every);
    let mut facts = Vec::new();
    let mut waiting: Vec<Instant> = Vec::new();
    let mut under_way: VecDeque<Vec<Instant>> = VecDeque::new();
    let mut is_stopping = false;
    loop {
        if under_way.len() < BATCHES_OUTSTANDING_MAX
            && let Some(written) = journal.batch(BATCH_MAX_RECORDS)?
        {
            uplink.say(UpTopic::Facts, written.bytes).await?;
            under_way.push_back(std::mem::take(&mut waiting));
        }
        if is_stopping && under_way.is_empty() && waiting.is_empty() {
            return Ok(facts);
        }
        tokio::select! {
            heard = uplink.acknowledged(), if !under_way.is_empty() => {
                let heard = heard?;
                let batch = under_way.pop_front().unwrap_or_default();
                facts.extend(batch.into_iter().map(|moved| LiveFact { moved, took: heard - moved }));
            }
            moved = tick.tick(), if !is_stopping => {
                journal.move_door();
                waiting.push(moved);
            }
            _ = stopped.wait_for(|stop| *stop), if !is_stopping => is_stopping = true,
        }
    }
}

fn historical_sample(minutes_ago: u64) -> Telemetry {
    Telemetry {
        at: UnixMillis(now_ms().saturating_sub(minutes_ago * 60_000)),
        resident_bytes: Some(14 << 20),
        disk_free_bytes: Some(3 << 30),
        backlog_records: Some(3_000),
        temperature_mdeg_c: Some(41_500),
        mains: Some(true),
        rssi_dbm: Some(-67),
        longest_poll_ms: Some(260),
        bus_errors: Some(12),
        historical: true,
        samples_dropped: 0,
    }
}

/// A bank's connection, or what stands for one.
struct Uplink {
    bank: BankId,
    way: Way,
    answers: mpsc::Receiver<Answer>,
}

enum Way {
    Real { client: AsyncClient, poller: JoinHandle<()> },
    Injected { number: usize, queue: mpsc::Sender<Event> },
}

impl Uplink {
    async fn connect(bank: &BankId, gate: Gate) -> anyhow::Result<Self> {
        match gate {
            Gate::Real { pki, hub } => Self::call(bank, &pki, hub).await,
            Gate::Injected { number, events, answers } => {
                let (session, queue) = (Session::Injected(number), queue(events));
                let caller =
                    Caller { address: ([127, 0, 0, 1], 1).into(), certificate: [0; 32], key: None };
                for event in [
                    LinkEvent::Connected { session, bank: bank.clone(), caller },
                    LinkEvent::Subscribed { session, bank: bank.clone() },
                ] {
                    queue.send(event).await.ok().context("ingest has ended")?;
                }
                let way = Way::Injected { number, queue };
                Ok(Self { bank: bank.clone(), way, answers })
            }
        }
    }

    async fn call(bank: &BankId, pki: &Path, hub: SocketAddr) -> anyhow::Result<Self> {
        let file = |ending: &str| pki.join("banks").join(format!("{bank}.{ending}"));
        let files = ClientFiles { certificate: file("pem"), key: file("key") };
        let tls = client_config(&pki.join("ca.pem"), Some(&files))?;
        let mut options = MqttOptions::new(bank.as_str(), hub.ip().to_string(), hub.port());
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
        options.set_clean_session(true).set_keep_alive(Duration::from_secs(30));
        options.set_max_packet_size(1 << 20, 1 << 20);
        let (client, events) = AsyncClient::new(options, CLIENT_QUEUE);
        let (answer, mut answers) = mpsc::channel(CLIENT_QUEUE);
        let poller = tokio::spawn(poll(events, answer));
        client.subscribe(down_filter(bank), QoS::AtLeastOnce).await?;
        // The subscription is answered first.
        next(&mut answers).await?;
        Ok(Self { bank: bank.clone(), way: Way::Real { client, poller }, answers })
    }

    /// Says something that is acknowledged.
    async fn say(&self, topic: UpTopic, payload: Vec<u8>) -> anyhow::Result<()> {
        match &self.way {
            Way::Real { client, .. } => {
                client.publish(topic.of(&self.bank), QoS::AtLeastOnce, false, payload).await?;
            }
            Way::Injected { number, queue } => {
                let said = self.said(*number, topic, payload, Some(Token::Injected(*number)));
                queue.send(said).await.ok().context("ingest has ended")?;
            }
        }
        Ok(())
    }

    /// Says something that may be lost.
    fn tell(&self, sample: Vec<u8>) {
        let topic = UpTopic::Telemetry;
        // What finds no room is lost, as with an agent.
        match &self.way {
            Way::Real { client, .. } => {
                let _ = client.try_publish(topic.of(&self.bank), QoS::AtMostOnce, false, sample);
            }
            Way::Injected { number, queue } => {
                let _ = put_sample(queue, self.said(*number, topic, sample, None));
            }
        }
    }

    fn said(&self, number: usize, topic: UpTopic, payload: Vec<u8>, ack: Option<Token>) -> Event {
        let (session, bank) = (Session::Injected(number), self.bank.clone());
        LinkEvent::Publish { session, bank, topic, payload: payload.into(), ack }
    }

    /// When the oldest thing that waits for it was acknowledged.
    async fn acknowledged(&mut self) -> anyhow::Result<Instant> {
        loop {
            if let Heard::Done(at) = self.heard().await? {
                return Ok(at);
            }
        }
    }

    async fn heard(&mut self) -> anyhow::Result<Heard> {
        next(&mut self.answers).await.with_context(|| format!("session of {}", self.bank))
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        if let Way::Real { poller, .. } = &self.way {
            poller.abort();
        }
    }
}

async fn next(answers: &mut mpsc::Receiver<Answer>) -> anyhow::Result<Heard> {
    match answers.recv().await {
        Some(Ok(at)) => Ok(at),
        Some(Err(reason)) => bail!("the hub ended the session: {reason}"),
        None => bail!("the session is over"),
    }
}

/// Runs a client until its session ends.
async fn poll(mut events: EventLoop, answers: mpsc::Sender<Answer>) {
    loop {
        let answer = match events.poll().await {
            Ok(MqttEvent::Incoming(Packet::SubAck(_) | Packet::PubAck(_))) => {
                Ok(Heard::Done(Instant::now()))
            }
            Ok(MqttEvent::Incoming(Packet::Publish(said))) if said.topic.ends_with("/ack") => {
                Ok(Heard::Watermark(Instant::now()))
            }
            Ok(_) => continue,
            Err(error) => Err(error.to_string()),
        };
        let is_end = answer.is_err();
        if answers.send(answer).await.is_err() || is_end {
            return;
        }
    }
}
