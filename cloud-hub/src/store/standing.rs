//! Who counts as a bank: its streams one after the other, its last introduction, its certificate.

use std::sync::Arc;

use locker_core::code::tag::FINGERPRINT_BYTES;
use locker_core::ids::{BankId, StreamId};
use locker_core::journal::{CHAIN_START, FOLD_VERSION};
use locker_core::units::UnixMillis;
use locker_core::uplink::clone::Introduction;
use locker_core::uplink::inlet::Cursor;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Value};

use super::alarm_rows::{AlarmKind, Cleared, Party, STREAMS_CLOSED_MAX};
use super::alarms::{Apart, NewAlarm, THE_HUB, hash, one, open_alarm};
use super::codes::retire_bound;
use super::convert::{bytes, id, int, uint};
use super::entity::{banks, closed_streams, introductions, revoked_certificates};
use super::ingest_write::{CURSORS, IngestWrite};
use super::rows::{EventKind, StopReason};
use super::tx::{Insert, NewEvent, Tx};
use super::writer::Decision;
use super::{ReadError, WriteError, grant_log};
use crate::codes::pepper::CodeMaster;

const INTRODUCTIONS: Insert = Insert {
    name: "introductions",
    table: "introductions",
    columns: &[
        "bank",
        "address",
        "certificate",
        "boot",
        "stream",
        "boot_count",
        "connection_count",
        "head_seq",
        "at",
        "code_keys",
    ],
    conflict: "ON CONFLICT (bank) DO UPDATE SET address = excluded.address, \
               certificate = excluded.certificate, boot = excluded.boot, \
               stream = excluded.stream, boot_count = excluded.boot_count, \
               connection_count = excluded.connection_count, head_seq = excluded.head_seq, \
               at = excluded.at, code_keys = excluded.code_keys",
};

const CLOSED: Insert = Insert {
    name: "closed_streams",
    table: "closed_streams",
    columns: &["bank", "stream", "committed", "hash", "successor", "closed_at"],
    conflict: "",
};

const REVOKED: Insert = Insert {
    name: "revoked_certificates",
    table: "revoked_certificates",
    columns: &["bank", "certificate", "revoked_at", "revoked_by"],
    conflict: "ON CONFLICT (bank, certificate) DO NOTHING",
};

/// How a bank introduced itself.
#[derive(Clone, Debug)]
pub(crate) struct Introduced {
    pub(crate) party: Party,
    /// The fingerprint of the keys that it hashes six-digit codes with, if it has any.
    pub(crate) code_keys: Option<[u8; FINGERPRINT_BYTES]>,
}

/// What people have decided about a bank, or must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) stopped: Option<StopReason>,
    /// Nobody knows what is inside.
    pub(crate) inventory: bool,
    /// The only certificate that counts, if one was named.
    pub(crate) certificate: Option<[u8; 32]>,
}

pub(super) fn of_row(row: &banks::Model) -> Result<Standing, ReadError> {
    let certificate = row.certificate.clone().map(|value| hash("banks", value));
    Ok(Standing {
        stopped: row.stopped_reason.as_deref().and_then(StopReason::parse),
        inventory: row.inventory,
        certificate: certificate.transpose()?,
    })
}

pub(super) async fn standing(
    db: &impl ConnectionTrait,
    bank: &BankId,
) -> Result<Option<Standing>, ReadError> {
    let row = banks::Entity::find_by_id(bank.as_str()).one(db).await?;
    row.as_ref().map(of_row).transpose()
}

pub(super) async fn last_introduction(
    db: &impl ConnectionTrait,
    bank: &BankId,
) -> Result<Option<Party>, ReadError> {
    const TABLE: &str = "introductions";
    let Some(row) = introductions::Entity::find_by_id(bank.as_str()).one(db).await? else {
        return Ok(None);
    };
    Ok(Some(Party {
        address: row.address,
        certificate: hash(TABLE, row.certificate)?,
        introduction: Introduction {
            stream: id(TABLE, "stream", &row.stream)?,
            boot: id(TABLE, "boot", &row.boot)?,
            boot_count: uint(row.boot_count),
            connection_count: uint(row.connection_count),
        },
        head_seq: uint(row.head_seq),
    }))
}

pub(super) async fn closed_streams_of(
    db: &impl ConnectionTrait,
    bank: &BankId,
) -> Result<Vec<StreamId>, ReadError> {
    let rows = closed_streams::Entity::find()
        .filter(closed_streams::Column::Bank.eq(bank.as_str()))
        .all(db)
        .await?;
    rows.iter().map(|row| id("closed_streams", "stream", &row.stream)).collect()
}

/// All certificates that were revoked for a bank, so that they are refused in the handshake.
pub(super) async fn revoked(db: &impl ConnectionTrait) -> Result<Vec<[u8; 32]>, ReadError> {
    let rows = revoked_certificates::Entity::find().all(db).await?;
    rows.into_iter().map(|row| hash("revoked_certificates", row.certificate)).collect()
}

/// Writes how banks introduced themselves, in the transaction of what follows from it, and what is
/// wrong with what they sealed.
pub(super) async fn write_introductions(
    tx: &mut Tx,
    batches: &[&IngestWrite],
) -> Result<(), WriteError> {
    let mut values: Vec<Value> = Vec::new();
    for batch in batches {
        for detail in &batch.alarms {
            let IngestWrite { bank, now, .. } = batch;
            tx.raise(NewAlarm { bank, kind: AlarmKind::Seal, detail, parties: &[], now: *now })
                .await?;
        }
        let Some(Introduced { party, code_keys }) = &batch.introduced else { continue };
        let Introduction { stream, boot, boot_count, connection_count } = party.introduction;
        values.extend([
            batch.bank.as_str().into(),
            party.address.as_str().into(),
            bytes(&party.certificate),
            bytes(&boot.0),
            bytes(&stream.0),
            int(boot_count).into(),
            int(connection_count).into(),
            int(party.head_seq).into(),
            int(batch.now.0).into(),
            code_keys.map(|keys| keys.to_vec()).into(),
        ]);
    }
    Ok(tx.insert(&INTRODUCTIONS, values).await?)
}

/// What a person must look at when a bank has begun a new stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looking {
    Nowhere,
    /// Compartments whose history was lost; the bank keeps them shut to couriers itself.
    WhereHistoryIsLost,
    /// Nobody knows what is inside: the bank is told nothing before.
    Everywhere,
}

/// Closes a bank's stream and begins another: what the old one added up to is folded no more, its
/// records stay.
#[derive(Clone, Debug)]
pub(crate) struct OpenStream {
    pub(crate) bank: BankId,
    pub(crate) closes: Cursor,
    pub(crate) opens: StreamId,
    /// What a person must look at.
    pub(crate) looking: Looking,
    /// The new stream takes over what the old one added up to.
    pub(crate) carries: bool,
    pub(crate) party: Party,
    /// What six-digit codes are made with, if there are any.
    pub(crate) code_master: Option<Arc<CodeMaster>>,
    pub(crate) event_id: String,
    pub(crate) now: UnixMillis,
}

impl Decision for OpenStream {
    /// Whether it was opened: not if the bank has closed as many as it may.
    type Answer = bool;

    async fn decide(&self, tx: &mut Tx) -> Result<bool, WriteError> {
        let bank = self.bank.as_str();
        let sql = "UPDATE banks SET streams_closed = streams_closed + 1, codes_refused = NULL, \
                   folded_by = $1 WHERE id = $2 AND streams_closed < $3";
        let max = int(STREAMS_CLOSED_MAX);
        let values = [i64::from(FOLD_VERSION).into(), bank.into(), max.into()];
        let counted = tx.execute("banks", sql, values);
        if counted.await?.rows_affected() == 0 {
            return Ok(false);
        }
        let Cursor { stream, committed, hash } = self.closes;
        let closed = vec![
            bank.into(),
            bytes(&stream.0),
            int(committed).into(),
            bytes(&hash.0),
            bytes(&self.opens.0),
            int(self.now.0).into(),
        ];
        tx.insert(&CLOSED, closed).await?;
        let sql = "DELETE FROM bank_entities WHERE bank = $1";
        tx.execute("bank_entities", sql, [bank.into()]).await?;
        if self.carries {
            grant_log::wait_for_stream(tx, &self.bank).await?;
        } else {
            retire_bound(tx, &self.bank, self.now).await?;
            let master = self.code_master.as_deref();
            grant_log::begin_for_stream(tx, &self.bank, master, self.now).await?;
        }
        let cursor = vec![
            bank.into(),
            bytes(&self.opens.0),
            0_i64.into(),
            bytes(&CHAIN_START.0),
            false.into(),
            int(self.now.0).into(),
        ];
        tx.insert(&CURSORS, cursor).await?;
        let detail = format!("{} after {stream} at {committed}", self.opens);
        tx.event(NewEvent {
            event_id: self.event_id.clone(),
            kind: EventKind::BankStreamOpened,
            bank: Some(&self.bank),
            compartment: None,
            parcel: None,
            detail: detail.clone(),
            occurred_at: self.now,
            recorded_at: self.now,
        });
        self.settle_fork(tx).await?;
        if self.looking == Looking::Everywhere {
            let sql = "UPDATE banks SET inventory = TRUE WHERE id = $1";
            tx.execute("banks", sql, [bank.into()]).await?;
        }
        if self.looking != Looking::Nowhere {
            let (kind, parties) = (AlarmKind::Inventory, std::slice::from_ref(&self.party));
            let alarm =
                NewAlarm { bank: &self.bank, kind, detail: &detail, parties, now: self.now };
            tx.raise(alarm).await?;
        }
        Ok(true)
    }
}

impl OpenStream {
    /// A new stream is how a bank gets out of a fork.
    async fn settle_fork(&self, tx: &mut Tx) -> Result<(), WriteError> {
        let fork = StopReason::Fork;
        let sql = "UPDATE banks SET stopped_reason = NULL WHERE id = $1 AND stopped_reason = $2";
        tx.execute("banks", sql, [self.bank.as_str().into(), fork.as_str().into()]).await?;
        let Some(open) = open_alarm(tx, &self.bank, AlarmKind::Stopped(fork)).await? else {
            return Ok(());
        };
        let Some(alarm) = one(tx.connection(), uint(open)).await? else { return Ok(()) };
        let note = format!("the bank opened stream {}", self.opens);
        tx.clear(&alarm, &Cleared { at: self.now, by: THE_HUB.to_owned(), note }).await
    }
}

impl Tx {
    /// Somebody has looked at the bank: it may close as many streams again, but one. Those that it has
    /// closed stay so, and 0 would say that there are none.
    pub(super) async fn count_streams_anew(&mut self, bank: &BankId) -> Result<(), WriteError> {
        let sql = "UPDATE banks SET streams_closed = 1 WHERE id = $1 AND streams_closed > 1";
        self.execute("banks", sql, [bank.as_str().into()]).await?;
        Ok(())
    }

    pub(crate) async fn is_revoked(
        &self,
        bank: &BankId,
        certificate: [u8; 32],
    ) -> Result<bool, WriteError> {
        let place = (bank.as_str().to_owned(), certificate.to_vec());
        let row = revoked_certificates::Entity::find_by_id(place).one(self.connection()).await?;
        Ok(row.is_some())
    }

    /// Makes a certificate the only one that counts for a bank; gives all that have counted, or
    /// that an alarm names, and are revoked with it.
    pub(crate) async fn replace_certificate(
        &mut self,
        bank: &BankId,
        certificate: [u8; 32],
        by: &str,
        now: UnixMillis,
    ) -> Result<Vec<[u8; 32]>, WriteError> {
        let name: Value = bank.as_str().into();
        let sql = "SELECT certificate FROM banks WHERE id = $1 AND certificate IS NOT NULL \
                   UNION SELECT certificate FROM introductions WHERE bank = $2 \
                   UNION SELECT alarm_parties.certificate FROM alarm_parties \
                   JOIN alarms ON alarms.id = alarm_parties.alarm WHERE alarms.bank = $3";
        let rows = self.query(sql, [name.clone(), name.clone(), name.clone()]).await?;
        let mut revoked = Vec::new();
        for row in rows {
            let known = hash("introductions", row.try_get_by("certificate")?)?;
            if known != certificate {
                revoked.push(known);
            }
        }
        for old in &revoked {
            let row = vec![name.clone(), bytes(old), int(now.0).into(), by.into()];
            self.insert(&REVOKED, row).await?;
        }
        let sql = "UPDATE banks SET certificate = $1 WHERE id = $2";
        self.execute("banks", sql, [bytes(&certificate), name]).await?;
        self.wake(bank);
        Ok(revoked)
    }
}

/// Marks a bank as one that the hub takes no facts from, raises the alarm that says so, and keeps
/// the message that gave rise to it.
#[derive(Clone, Debug)]
pub(crate) struct StopBank {
    pub(crate) bank: BankId,
    pub(crate) reason: StopReason,
    pub(crate) detail: String,
    /// Who is concerned, if more than the bank itself.
    pub(crate) parties: Vec<Party>,
    pub(crate) apart: Option<Apart>,
    pub(crate) event_id: String,
    pub(crate) now: UnixMillis,
}

impl Decision for StopBank {
    type Answer = ();

    /// A clone is worse than whatever a bank was stopped for before.
    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        let Self { bank, reason, detail, parties, now, .. } = self;
        let sql = "UPDATE banks SET stopped_reason = $1 WHERE id = $2 \
                   AND (stopped_reason IS NULL OR ($3 AND stopped_reason <> $4))";
        let worse = *reason == StopReason::Clone;
        let values =
            [reason.as_str().into(), bank.as_str().into(), worse.into(), reason.as_str().into()];
        let stopped = tx.execute("banks", sql, values).await?.rows_affected() > 0;
        let kind = AlarmKind::Stopped(*reason);
        if !stopped && open_alarm(tx, bank, kind).await?.is_none() {
            return Ok(());
        }
        let alarm = tx.raise(NewAlarm { bank, kind, detail, parties, now: *now }).await?;
        if let Some(apart) = &self.apart {
            tx.keep_apart(alarm, bank, apart, *now).await?;
        }
        if stopped {
            tx.event(NewEvent {
                event_id: self.event_id.clone(),
                kind: EventKind::BankStopped,
                bank: Some(bank),
                compartment: None,
                parcel: None,
                detail: format!("{}: {detail}", reason.as_str()),
                occurred_at: *now,
                recorded_at: *now,
            });
        }
        Ok(())
    }
}
