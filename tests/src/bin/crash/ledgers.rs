//! The fifth process: it has taken part in nothing, reads what the other four have written, and says
//! whether it is one story. The people's diary and the lock boards' log are files, the journals are
//! copied from the agents' disks, and the hub is asked over its interface.

mod compare;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use locker_proto::wire::fleet::v1::fleet_service_client::FleetServiceClient;
use locker_proto::wire::fleet::v1::{FindParcelRequest, GetBankRequest};
use serde::{Deserialize, Serialize};
use system_tests::bank::BankSpec;
use system_tests::board::read_log;
use system_tests::callers::timed;
use system_tests::mailbox::letters;
use system_tests::pki::OPERATOR;
use system_tests::wait::wait_for;
use system_tests::world::CARRIER;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::diary::{self, Entry};
use crate::journal::{self, Book, Turn};

pub(crate) use compare::{PULSE_WITHIN_MS, Verdict, pulses_without_intent};

/// How long the hub may take until it has all that the banks have recorded.
const CAUGHT_UP_LIMIT: Duration = Duration::from_secs(30);

/// Where the four ledgers are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Places {
    pub(crate) diary: PathBuf,
    pub(crate) banks: Vec<BankPlaces>,
    pub(crate) mailbox: PathBuf,
    /// `https://..`.
    pub(crate) hub: String,
    pub(crate) pki: PathBuf,
}

/// Where one bank's ledgers are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BankPlaces {
    pub(crate) id: String,
    /// How its compartments are wired: board and lock of each, in order.
    pub(crate) wired: Vec<(u8, u8)>,
    pub(crate) board_log: PathBuf,
    pub(crate) journal: PathBuf,
}

/// The four ledgers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledgers {
    pub(crate) people: Vec<Entry>,
    /// By bank.
    pub(crate) boards: BTreeMap<String, Vec<AtDoor>>,
    /// By bank.
    pub(crate) journals: BTreeMap<String, Book>,
    pub(crate) hub: Hub,
    /// Who got a letter, once for each.
    pub(crate) letters: Vec<String>,
}

/// Something that a lock board saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AtDoor {
    pub(crate) t_ms: u64,
    /// 0 if no door hangs there.
    pub(crate) compartment: u16,
    pub(crate) what: Seen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Pulse,
    Open,
    Shut,
    Put,
    Taken,
    Fault,
}

/// What the hub says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hub {
    /// By the carrier's name.
    pub(crate) parcels: BTreeMap<String, HubParcel>,
    /// By bank.
    pub(crate) banks: BTreeMap<String, HubBank>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct HubParcel {
    pub(crate) state: String,
    pub(crate) compartment: u16,
    /// With the id of each event.
    pub(crate) turns: Vec<(String, Turn)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct HubBank {
    pub(crate) committed_seq: u64,
    pub(crate) stopped_reason: String,
    /// Compartment, allocation, the carrier's name for the parcel.
    pub(crate) compartments: Vec<(u16, String, String)>,
}

impl BankPlaces {
    pub(crate) fn of(spec: &BankSpec, board_log: &Path, data_dir: &Path) -> Self {
        Self {
            id: spec.id.clone(),
            wired: spec.boards.wiring(spec.rooms.len()),
            board_log: board_log.to_owned(),
            journal: data_dir.join("journal"),
        }
    }

    pub(crate) fn read_board(&self) -> Result<Vec<AtDoor>> {
        let at_door = |line: system_tests::board::LogLine| {
            let number = (1_u16..).zip(&self.wired).find(|(_, at)| **at == (line.board, line.lock));
            let what = match (line.pulse, line.door.as_deref(), line.item.as_deref()) {
                (Some(_), None, None) => Seen::Pulse,
                (None, Some("open"), None) => Seen::Open,
                (None, Some("closed"), None) => Seen::Shut,
                (None, None, Some("put")) => Seen::Put,
                (None, None, Some("taken")) => Seen::Taken,
                _ => Seen::Fault,
            };
            AtDoor { t_ms: line.t_ms, compartment: number.map_or(0, |(number, _)| number), what }
        };
        Ok(read_log(&self.board_log)?.into_iter().map(at_door).collect())
    }
}

/// Reads all four and compares them.
pub(crate) async fn audit(places: &Places) -> Result<Verdict> {
    let mut client = FleetServiceClient::new(channel(places)?);
    let mut ledgers = Ledgers { people: diary::read(&places.diary)?, ..Ledgers::default() };
    for bank in &places.banks {
        let what = format!("the hub has all that {} has recorded", bank.id);
        let (book, known) = wait_for(&what, CAUGHT_UP_LIMIT, async || {
            let Ok(known) = ask_bank(&mut client, &bank.id).await else { return Ok(None) };
            let book = journal::read(&bank.journal)?;
            let stopped = !known.stopped_reason.is_empty();
            Ok((stopped || known.committed_seq == book.head_seq).then_some((book, known)))
        })
        .await?;
        ledgers.journals.insert(bank.id.clone(), book);
        ledgers.hub.banks.insert(bank.id.clone(), known);
        ledgers.boards.insert(bank.id.clone(), bank.read_board()?);
    }
    let named = ledgers.people.iter().map(|entry| entry.parcel.clone());
    let booked = ledgers.journals.values().flat_map(|book| book.lives.keys().cloned());
    let mut names: Vec<String> = named.chain(booked).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let parcel = ask_parcel(&mut client, &name).await?;
        ledgers.hub.parcels.insert(name, parcel);
    }
    ledgers.letters = letters(&places.mailbox)?.into_iter().map(|letter| letter.to).collect();
    Ok(compare::compare(&ledgers))
}

async fn ask_bank(client: &mut FleetServiceClient<Channel>, id: &str) -> Result<HubBank> {
    let request = GetBankRequest { name: format!("banks/{id}") };
    let bank = client.get_bank(timed(request)).await?.into_inner();
    let compartment = |held: locker_proto::wire::fleet::v1::Compartment| {
        let parcel = held.parcel.strip_prefix(&parcel_name("")).unwrap_or(&held.parcel).to_owned();
        Ok((u16::try_from(held.number)?, held.allocation, parcel))
    };
    Ok(HubBank {
        committed_seq: bank.committed_seq,
        stopped_reason: bank.stopped_reason,
        compartments: bank.compartments.into_iter().map(compartment).collect::<Result<_>>()?,
    })
}

async fn ask_parcel(client: &mut FleetServiceClient<Channel>, name: &str) -> Result<HubParcel> {
    let request = FindParcelRequest { name: parcel_name(name) };
    let found = match client.find_parcel(timed(request)).await {
        Ok(found) => found.into_inner(),
        Err(status) if status.code() == tonic::Code::NotFound => return Ok(HubParcel::default()),
        Err(status) => return Err(status.into()),
    };
    let turn = |event: locker_proto::wire::fleet::v1::Event| {
        let compartment = u16::try_from(event.compartment)?;
        Ok((event.event_id, Turn { kind: event.kind, compartment }))
    };
    Ok(HubParcel {
        state: found.state,
        compartment: u16::try_from(found.compartment)?,
        turns: found.events.into_iter().map(turn).collect::<Result<_>>()?,
    })
}

fn parcel_name(name: &str) -> String {
    format!("carriers/{CARRIER}/parcels/{name}")
}

fn channel(places: &Places) -> Result<Channel> {
    let file = |name: &str| {
        let path = places.pki.join(name);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let certificate = file(&format!("operators/{OPERATOR}.pem"))?;
    let identity = Identity::from_pem(certificate, file(&format!("operators/{OPERATOR}.key"))?);
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(file("ca.pem")?))
        .identity(identity)
        .domain_name("localhost");
    Ok(Endpoint::from_shared(places.hub.clone())?.tls_config(tls)?.connect_lazy())
}
