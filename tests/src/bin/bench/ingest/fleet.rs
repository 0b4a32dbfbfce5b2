//! Banks that are only channels: they introduce themselves, then send what a day at a bank writes,
//! four batches under way at a time, as the agent does.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use cloud_hub::banks::{NewBank, create_bank};
use cloud_hub::ingest::{Caller, Link, LinkEvent};
use cloud_hub::mqtt::{DownTopic, SendError, UpTopic};
use cloud_hub::parcels::{BookingOrder, NewParcel, book_compartment, create_parcel};
use cloud_hub::store::{DisplayName, ParcelRow, RequestKey, Store};
use locker_core::bank::{BoardChanged, DoorsRead};
use locker_core::clock::TimeQuality;
use locker_core::compartment::{CompartmentSpec, DoorReading, Layout, LockPosition};
use locker_core::downlink::{Booking, ConfigDocument, Grant, GrantAccepted, GrantPosition};
use locker_core::fact::Fact;
use locker_core::ids::GroupId;
use locker_core::ids::{
    BankId, BootId, CompartmentNo, CredentialId, Generation, ParcelId, StreamId,
};
use locker_core::journal::{Booted, CHAIN_START, ChainHash, Record, StreamOpened, next_hash};
use locker_core::parcel::Terms;
use locker_core::units::{Dimensions, Grams, UnixMillis};
use locker_core::uplink::BATCHES_OUTSTANDING_MAX;
use locker_proto::message::{Batch, Birth, Nonce};
use locker_proto::record::encode_record;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::visits::Visits;

/// The time of everything in this bench.
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

type Event = LinkEvent<usize, usize>;

/// What ingest answers: the number of the bank whose message is acknowledged.
pub(crate) struct ChannelLink(mpsc::Sender<usize>);

/// A link, and where its acknowledgements come out; as many fit as can be under way.
pub(crate) fn link(banks: usize) -> (ChannelLink, mpsc::Receiver<usize>) {
    let (sender, receiver) = mpsc::channel(banks * (BATCHES_OUTSTANDING_MAX + 1));
    (ChannelLink(sender), receiver)
}

impl Link for ChannelLink {
    type Session = usize;
    type Token = usize;

    fn send(&self, _: usize, _: DownTopic, payload: Vec<u8>) -> Result<(), SendError> {
        std::hint::black_box(payload);
        Ok(())
    }

    fn room(&self, _: usize) -> Option<usize> {
        Some(64)
    }

    fn acknowledge(&self, bank: usize) {
        // The receiver is gone only when the bench has ended.
        let _ = self.0.try_send(bank);
    }

    fn end(&self, session: usize, reason: &'static str) {
        tracing::error!(session, reason, "ingest ended a session");
    }
}

struct Bank {
    id: BankId,
    stream: StreamId,
    seq: u64,
    hash: ChainHash,
    visits: Visits,
    gseq: u64,
    specs: Vec<CompartmentSpec>,
    parcels: Vec<ParcelRow>,
}

/// What banks have to send, in batches.
pub(crate) struct Written {
    queues: Vec<VecDeque<Vec<u8>>>,
    pub(crate) facts: u64,
}

/// All banks.
pub(crate) struct Fleet {
    banks: Vec<Bank>,
    events: mpsc::Sender<Event>,
    acknowledged: mpsc::Receiver<usize>,
}

impl Fleet {
    /// Makes the banks known, introduces them, and sends what they write before the first parcel.
    pub(crate) async fn connect(
        store: &Store,
        events: mpsc::Sender<Event>,
        acknowledged: mpsc::Receiver<usize>,
        banks: usize,
        compartments: u16,
    ) -> anyhow::Result<Self> {
        let mut fleet = Self { banks: Vec::new(), events, acknowledged };
        for number in 0..banks {
            let bank = Bank::new(number, compartments)?;
            let new = NewBank {
                id: bank.id.clone(),
                display_name: "bench".to_owned(),
                address: String::new(),
                time_zone: cloud_hub::site_zone::SiteZone::UTC,
                compartments: bank.specs.clone(),
            };
            create_bank(store, new, request(number, "bank"), NOW).await?;
            fleet.banks.push(bank);
        }
        for number in 0..banks {
            fleet.introduce(number).await?;
        }
        Ok(fleet)
    }

    async fn introduce(&mut self, number: usize) -> anyhow::Result<()> {
        let (session, bank) = (number, self.banks[number].id.clone());
        let caller =
            Caller { address: ([127, 0, 0, 1], 1).into(), certificate: [0; 32], key: None };
        let connected = LinkEvent::Connected { session, bank: bank.clone(), caller };
        self.say(connected).await?;
        self.say(LinkEvent::Subscribed { session, bank }).await?;
        let birth = self.banks[number].birth().encode();
        self.publish(number, UpTopic::Birth, birth).await?;
        self.await_one().await?;
        let first = self.banks[number].first_facts();
        let batch = self.banks[number].batch(first);
        self.publish(number, UpTopic::Facts, batch).await?;
        self.await_one().await?;
        Ok(())
    }

    /// Announces and books a parcel for each compartment.
    pub(crate) async fn book(&mut self, store: &Store) -> anyhow::Result<()> {
        let all = self.banks.iter().enumerate().map(|(number, bank)| async move {
            let mut rows = Vec::with_capacity(bank.specs.len());
            for n in 0..bank.specs.len() {
                let name = format!("p-{number}-{n}");
                rows.push(announce_and_book(store, &bank.id, number, n, &name).await?);
            }
            anyhow::Ok(rows)
        });
        let booked = futures::future::try_join_all(all).await?;
        for (bank, rows) in self.banks.iter_mut().zip(booked) {
            bank.parcels = rows;
        }
        Ok(())
    }

    /// Writes every parcel's way through its bank, which is the banks' work and not the hub's.
    pub(crate) fn write(&mut self, batch_records: usize) -> anyhow::Result<Written> {
        let mut queues: Vec<VecDeque<Vec<u8>>> = Vec::new();
        let mut facts = 0;
        for bank in &mut self.banks {
            let all = bank.parcel_facts()?;
            facts += all.len() as u64;
            queues.push(all.chunks(batch_records).map(|run| bank.batch(run.to_vec())).collect());
        }
        Ok(Written { queues, facts })
    }

    /// Sends what was written, a batch of a bank after one of another, in `span`; a bank with too
    /// much under way holds up all. Answers how many facts that were.
    pub(crate) async fn send_in(
        &mut self,
        written: Written,
        span: Duration,
    ) -> anyhow::Result<u64> {
        let Written { mut queues, facts } = written;
        let batches: usize = queues.iter().map(VecDeque::len).sum();
        let mut under_way: HashMap<usize, usize> = HashMap::new();
        let mut tick = tokio::time::interval(span / u32::try_from(batches.max(1))?);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            let mut sent = false;
            for (number, queue) in queues.iter_mut().enumerate() {
                let Some(batch) = queue.pop_front() else { continue };
                tick.tick().await;
                while let Ok(number) = self.acknowledged.try_recv() {
                    *under_way.entry(number).or_default() -= 1;
                }
                while under_way.get(&number).is_some_and(|count| *count >= BATCHES_OUTSTANDING_MAX)
                {
                    *under_way.entry(self.await_one().await?).or_default() -= 1;
                }
                self.publish(number, UpTopic::Facts, batch).await?;
                *under_way.entry(number).or_default() += 1;
                sent = true;
            }
            if !sent {
                break;
            }
        }
        for _ in 0..under_way.values().sum() {
            self.await_one().await?;
        }
        Ok(facts)
    }

    /// Sends what was written; answers how many facts that were.
    pub(crate) async fn send(&mut self, written: Written) -> anyhow::Result<u64> {
        let Written { mut queues, facts } = written;
        let mut under_way: HashMap<usize, usize> = HashMap::new();
        for (number, queue) in queues.iter_mut().enumerate() {
            let begin = queue.len().min(BATCHES_OUTSTANDING_MAX);
            for batch in queue.drain(..begin) {
                self.publish(number, UpTopic::Facts, batch).await?;
                *under_way.entry(number).or_default() += 1;
            }
        }
        while !under_way.is_empty() {
            let number = self.await_one().await?;
            if let Some(batch) = queues[number].pop_front() {
                self.publish(number, UpTopic::Facts, batch).await?;
                continue;
            }
            let left = under_way.get_mut(&number).context("an acknowledgement too many")?;
            *left -= 1;
            if *left == 0 {
                under_way.remove(&number);
            }
        }
        Ok(facts)
    }

    async fn publish(
        &mut self,
        number: usize,
        topic: UpTopic,
        payload: Vec<u8>,
    ) -> anyhow::Result<()> {
        let bank = self.banks[number].id.clone();
        let payload = Bytes::from(payload);
        self.say(LinkEvent::Publish { session: number, bank, topic, payload, ack: Some(number) })
            .await
    }

    async fn say(&self, event: Event) -> anyhow::Result<()> {
        self.events.send(event).await.ok().context("ingest has ended")
    }

    async fn await_one(&mut self) -> anyhow::Result<usize> {
        let limit = Duration::from_secs(30);
        match tokio::time::timeout(limit, self.acknowledged.recv()).await {
            Ok(Some(number)) => Ok(number),
            Ok(None) | Err(_) => bail!("ingest acknowledges nothing any more"),
        }
    }
}

impl Bank {
    fn new(number: usize, compartments: u16) -> anyhow::Result<Self> {
        let inside = Dimensions { length_mm: 400, width_mm: 400, height_mm: 200 };
        let spec = |n: u16| CompartmentSpec {
            no: CompartmentNo(n + 1),
            inside,
            lock: LockPosition {
                board: u8::try_from(n / 48).unwrap_or(9),
                lock: u8::try_from(n % 48).unwrap_or(0),
            },
        };
        Ok(Self {
            id: format!("bench-{number}").parse()?,
            stream: StreamId(u128::try_from(number)?.to_be_bytes()),
            seq: 0,
            hash: CHAIN_START,
            visits: Visits::default(),
            gseq: 0,
            specs: (0..compartments).map(spec).collect(),
            parcels: Vec::new(),
        })
    }

    fn birth(&self) -> Birth {
        Birth {
            stream: self.stream,
            parent: None,
            boot: BootId([1; 16]),
            boot_count: 1,
            connection_count: 1,
            nonce: Nonce([2; 16]),
            agent_version: "bench".to_owned(),
            oldest_seq: 1,
            head_seq: 0,
            head_hash: CHAIN_START,
            grants: GrantPosition::default(),
            layout: Generation(0),
            key_set: Generation(0),
            kids: Vec::new(),
            at: NOW,
            quality: TimeQuality::Bounded { within_ms: 10 },
            mode: None,
            quota: None,
            courier_codes: None,
            code_keys: None,
            config_epoch: locker_core::ids::HubEpoch(0),
            device_key: None,
            ladder: Vec::new(),
        }
    }

    fn first_facts(&self) -> Vec<Fact> {
        let boot = BootId([1; 16]);
        let layout = Layout { generation: Generation(1), compartments: self.specs.clone() };
        let shut = |spec: &CompartmentSpec| (spec.no, DoorReading::Closed);
        vec![
            Fact::StreamOpened(StreamOpened {
                bank: self.id.clone(),
                device_key: [0; 32],
                parent: None,
            }),
            Fact::Booted(Booted { boot, boot_count: 1, agent_version: "bench".to_owned() }),
            Fact::ConfigAccepted(ConfigDocument::Layout(layout).into()),
            Fact::BoardChanged(BoardChanged { board: 0, online: true }),
            Fact::DoorsRead(DoorsRead { readings: self.specs.iter().map(shut).collect() }),
        ]
    }

    fn parcel_facts(&mut self) -> anyhow::Result<Vec<Fact>> {
        let mut facts = Vec::new();
        for n in 0..self.parcels.len() {
            let (row, spec) = (self.parcels[n].clone(), self.specs[n]);
            let credential = row.credential.context("a booked parcel has a credential")?;
            self.gseq += 1;
            let booking = Booking {
                parcel: row.uid,
                version: row.version,
                carrier: row.carrier.clone(),
                barcode: row.barcode.clone(),
                size: row.size,
                weight: row.weight,
                credential,
                trace: None,
                terms: Terms::default(),
            };
            let position = GrantPosition { epoch: locker_core::ids::HubEpoch(1), gseq: self.gseq };
            let grant = Grant::Book(booking);
            facts.push(Fact::GrantAccepted(GrantAccepted { position, grant }));
            self.visits.write(&mut facts, row.uid, spec.no, None);
            self.visits.write(&mut facts, row.uid, spec.no, Some(credential));
        }
        Ok(facts)
    }

    fn batch(&mut self, facts: Vec<Fact>) -> Vec<u8> {
        let (stream, first_seq, previous) = (self.stream, self.seq + 1, self.hash);
        let records = facts.into_iter().map(|fact| self.record(fact)).collect();
        Batch { stream, first_seq, previous, records }.encode()
    }

    fn record(&mut self, fact: Fact) -> Vec<u8> {
        self.seq += 1;
        let bytes = encode_record(&Record {
            stream: self.stream,
            seq: self.seq,
            boot: BootId([1; 16]),
            at: NOW.plus_ms(self.seq),
            quality: TimeQuality::Bounded { within_ms: 10 },
            previous: self.hash,
            trace: None,
            detached: None,
            fact,
        });
        self.hash = next_hash(self.hash, &bytes);
        bytes
    }
}

async fn announce_and_book(
    store: &Store,
    bank: &BankId,
    number: usize,
    n: usize,
    name: &str,
) -> anyhow::Result<ParcelRow> {
    let mut uid = [3; 16];
    uid[..4].copy_from_slice(&u32::try_from(number)?.to_be_bytes());
    uid[4..8].copy_from_slice(&u32::try_from(n)?.to_be_bytes());
    let new = NewParcel {
        uid: ParcelId(uid),
        carrier: "acme".parse()?,
        name: name.to_owned(),
        barcode: name.to_ascii_uppercase().parse()?,
        size: Dimensions { length_mm: 100, width_mm: 100, height_mm: 100 },
        weight: Grams(500),
        email: "someone@example.org".parse()?,
        display_name: DisplayName::default(),
        phone: None,
        trace: None,
    };
    let carrier = new.carrier.clone();
    create_parcel(store, new, request(number, &format!("create-{n}")), NOW).await?;
    let key = request(number, &format!("book-{n}"));
    let order = BookingOrder {
        bank: bank.clone(),
        hard: false,
        book_until: None,
        keep_ms: None,
        connected: false,
        fresh: CredentialId(uid),
        fresh_group: GroupId(uid),
    };
    Ok(book_compartment(store, &carrier, name, order, key, NOW).await?)
}

fn request(number: usize, what: &str) -> RequestKey {
    RequestKey { principal: "bench".to_owned(), request_id: format!("{number}-{what}") }
}
