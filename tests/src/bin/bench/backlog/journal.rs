//! A bank's journal, written as it is sent: a thousand of three days each would fill the memory.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, ensure};
use locker_core::bank::{BoardChanged, DoorMoved, DoorsRead};
use locker_core::clock::TimeQuality;
use locker_core::compartment::{CompartmentSpec, DoorReading, Layout, LockPosition};
use locker_core::downlink::{Booking, ConfigDocument, Grant, GrantAccepted, GrantPosition};
use locker_core::fact::Fact;
use locker_core::ids::{
    BankId, BootId, CompartmentNo, CredentialId, Generation, HubEpoch, IntentId, ParcelId,
    ParseIdError, StreamId, Version,
};
use locker_core::journal::{
    BATCH_MAX_BYTES, BATCH_MAX_RECORDS, Booted, CHAIN_START, ChainHash, Record, StreamOpened,
    next_hash,
};
use locker_core::parcel::Terms;
use locker_core::units::{Dimensions, Grams, UnixMillis};
use locker_proto::message::{Batch, Birth, Nonce};
use locker_proto::record::encode_record;
use system_tests::wait::now_ms;

use crate::visits::Visits;

const BOOT: BootId = BootId([1; 16]);
pub(super) const COMPARTMENTS: u16 = 48;
/// Parcels that a courier brings before the first of them is fetched.
const PARCELS_A_ROUND: u64 = 24;
/// What the journal of a parcel's way takes: a grant, and two visits of eight.
const RECORDS_A_PARCEL: u64 = 17;

/// A bank by its number.
pub(super) fn bank(number: usize) -> Result<BankId, ParseIdError> {
    format!("bench-{number}").parse()
}

/// The id of a bank's `n`th parcel and of its credential. The store makes the same.
pub(super) fn parcel_id(number: usize, n: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(format!("{number:08x}{n:08x}").as_bytes());
    id
}

pub(super) fn time_before(away: Duration) -> UnixMillis {
    let away = u64::try_from(away.as_millis()).unwrap_or(0);
    UnixMillis(now_ms().saturating_sub(away))
}

/// The compartments of every bank.
pub(super) fn specs() -> Vec<CompartmentSpec> {
    let inside = Dimensions { length_mm: 400, width_mm: 400, height_mm: 200 };
    let spec = |no| {
        let lock = LockPosition { board: 0, lock: u8::try_from(no - 1).unwrap_or(0) };
        CompartmentSpec { no: CompartmentNo(no), inside, lock }
    };
    (1..=COMPARTMENTS).map(spec).collect()
}

pub(super) struct Journal {
    pub(super) bank: BankId,
    number: usize,
    stream: StreamId,
    seq: u64,
    hash: ChainHash,
    visits: Visits,
    begin: UnixMillis,
    step_ms: u64,
    written: u64,
    parcels: u64,
    doors: u64,
    facts: VecDeque<Fact>,
    /// What the birth says: the journal is there before anything of it is sent.
    head: (u64, ChainHash),
}

/// Some of a journal, encoded.
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    pub(super) facts: u64,
}

impl Journal {
    /// A journal in which `parcels` come and go in the time from `begin` on.
    pub(super) fn new(
        number: usize,
        parcels: u64,
        begin: UnixMillis,
        away: Duration,
    ) -> anyhow::Result<Self> {
        let mut whole = Self::begun(number, parcels, begin, away)?;
        while let Some(fact) = whole.next_fact()? {
            whole.record(fact);
        }
        let head = (whole.seq, whole.hash);
        Ok(Self { head, ..Self::begun(number, parcels, begin, away)? })
    }

    fn begun(
        number: usize,
        parcels: u64,
        begin: UnixMillis,
        away: Duration,
    ) -> anyhow::Result<Self> {
        let bank = bank(number)?;
        let away_ms = u64::try_from(away.as_millis())?;
        let facts = first_facts(&bank).into();
        Ok(Self {
            bank,
            number,
            stream: StreamId(u128::try_from(number + 1)?.to_be_bytes()),
            seq: 0,
            hash: CHAIN_START,
            visits: Visits::default(),
            begin,
            step_ms: away_ms / (parcels * RECORDS_A_PARCEL + 16),
            written: 0,
            parcels,
            doors: 0,
            facts,
            head: (0, CHAIN_START),
        })
    }

    pub(super) fn birth(&self) -> Birth {
        let (head_seq, head_hash) = self.head;
        Birth {
            stream: self.stream,
            parent: None,
            boot: BOOT,
            boot_count: 1,
            connection_count: 1,
            nonce: Nonce([2; 16]),
            agent_version: "bench".to_owned(),
            oldest_seq: 1,
            head_seq,
            head_hash,
            grants: GrantPosition::default(),
            layout: Generation(1),
            key_set: Generation(0),
            kids: Vec::new(),
            at: UnixMillis(now_ms()),
            quality: TimeQuality::Bounded { within_ms: 10 },
            mode: None,
            quota: None,
            courier_codes: None,
            code_keys: None,
            config_epoch: HubEpoch(0),
            device_key: None,
            ladder: Vec::new(),
        }
    }

    /// Somebody opens a door, or shuts it again.
    pub(super) fn move_door(&mut self) {
        let reading =
            if self.doors.is_multiple_of(2) { DoorReading::Open } else { DoorReading::Closed };
        self.doors += 1;
        let cause = Some(IntentId(self.doors.div_ceil(2)));
        let compartment = CompartmentNo(1);
        self.facts.push_back(Fact::DoorMoved(DoorMoved {
            compartment,
            reading,
            cause,
            class: None,
        }));
    }

    /// The next batch; `None` at the end.
    pub(super) fn batch(&mut self, max_records: usize) -> anyhow::Result<Option<Written>> {
        let (first_seq, previous) = (self.seq + 1, self.hash);
        let mut records = Vec::new();
        while records.len() < max_records.min(BATCH_MAX_RECORDS) {
            let Some(fact) = self.next_fact()? else { break };
            records.push(self.record(fact));
        }
        if records.is_empty() {
            return Ok(None);
        }
        let bytes: usize = records.iter().map(Vec::len).sum();
        ensure!(bytes <= BATCH_MAX_BYTES, "a batch of {bytes} bytes is one that no agent sends");
        let facts = u64::try_from(records.len())?;
        let batch = Batch { stream: self.stream, first_seq, previous, records };
        Ok(Some(Written { bytes: batch.encode(), facts }))
    }

    fn next_fact(&mut self) -> anyhow::Result<Option<Fact>> {
        if self.facts.is_empty() && self.written < self.parcels {
            self.write_round()?;
        }
        Ok(self.facts.pop_front())
    }

    /// A courier brings some parcels, and people fetch them.
    fn write_round(&mut self) -> anyhow::Result<()> {
        let round = self.written..self.parcels.min(self.written + PARCELS_A_ROUND);
        let mut facts = Vec::new();
        for n in round.clone() {
            facts.push(Fact::GrantAccepted(booked(self.number, n)?));
        }
        for is_pickup in [false, true] {
            for n in round.clone() {
                let id = parcel_id(self.number, n);
                let compartment = CompartmentNo(u16::try_from(n % u64::from(COMPARTMENTS))? + 1);
                let pickup = is_pickup.then_some(CredentialId(id));
                self.visits.write(&mut facts, ParcelId(id), compartment, pickup);
            }
        }
        self.written = round.end;
        self.facts.extend(facts);
        Ok(())
    }

    fn record(&mut self, fact: Fact) -> Vec<u8> {
        self.seq += 1;
        let bytes = encode_record(&Record {
            stream: self.stream,
            seq: self.seq,
            boot: BOOT,
            at: self.begin.plus_ms(self.seq * self.step_ms),
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

fn first_facts(bank: &BankId) -> Vec<Fact> {
    let specs = specs();
    let readings = specs.iter().map(|spec| (spec.no, DoorReading::Closed)).collect();
    let layout = Layout { generation: Generation(1), compartments: specs };
    let (bank, device_key) = (bank.clone(), [0; 32]);
    vec![
        Fact::StreamOpened(StreamOpened { bank, device_key, parent: None }),
        Fact::Booted(Booted { boot: BOOT, boot_count: 1, agent_version: "bench".to_owned() }),
        Fact::ConfigAccepted(ConfigDocument::Layout(layout).into()),
        Fact::BoardChanged(BoardChanged { board: 0, online: true }),
        Fact::DoorsRead(DoorsRead { readings }),
    ]
}

fn booked(number: usize, n: u64) -> anyhow::Result<GrantAccepted> {
    let id = parcel_id(number, n);
    let booking = Booking {
        parcel: ParcelId(id),
        version: Version(1),
        carrier: "acme".parse().context("a carrier's name")?,
        barcode: format!("P-{number}-{n}").parse()?,
        size: Dimensions { length_mm: 100, width_mm: 100, height_mm: 100 },
        weight: Grams(500),
        credential: CredentialId(id),
        trace: None,
        terms: Terms::default(),
    };
    let position = GrantPosition { epoch: HubEpoch(1), gseq: n + 1 };
    Ok(GrantAccepted { position, grant: Grant::Book(booking) })
}
