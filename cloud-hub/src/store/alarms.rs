//! Alarms in the store: raised with what gave rise to them, in one transaction, and cleared by a
//! person. What a bank under suspicion says is kept beside, where no fact of it takes effect.

use std::collections::BTreeSet;

use locker_core::ids::BankId;
use locker_core::units::UnixMillis;
use locker_core::uplink::clone::Introduction;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, Order, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::alarm_rows::{AlarmKind, AlarmParty, AlarmRow, ApartRow, Cleared, PARTIES_MAX, Party};
use super::convert::{bytes, damaged, id, int, text, uint};
use super::entity::{alarm_parties, alarms, cursors, kept_apart};
use super::rows::{EventKind, StopReason};
use super::tx::{Insert, NewEvent, Tx};
use super::writer::Decision;
use super::{ReadError, WriteError};

/// Who clears an alarm that what followed has settled.
pub(super) const THE_HUB: &str = "hub";

const PARTIES: Insert = Insert {
    name: "alarm_parties",
    table: "alarm_parties",
    columns: &[
        "alarm",
        "certificate",
        "boot",
        "address",
        "stream",
        "boot_count",
        "connection_count",
        "head_seq",
        "first_seen",
        "last_seen",
    ],
    conflict: "ON CONFLICT (alarm, certificate, boot) DO UPDATE SET address = excluded.address, \
               stream = excluded.stream, boot_count = excluded.boot_count, \
               connection_count = excluded.connection_count, head_seq = excluded.head_seq, \
               last_seen = excluded.last_seen",
};

const APART: Insert = Insert {
    name: "kept_apart",
    table: "kept_apart",
    columns: &["alarm", "bank", "address", "certificate", "boot", "stream", "topic", "bytes", "at"],
    conflict: "",
};

/// A message of somebody who cannot be trusted to be the bank.
#[derive(Clone, Debug)]
pub(crate) struct Apart {
    pub(crate) from: Party,
    pub(crate) topic: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// Keeps a message apart for the open alarm of a kind. Without one, somebody has just cleared it
/// and the message comes again.
#[derive(Clone, Debug)]
pub(crate) struct KeepApart {
    pub(crate) bank: BankId,
    pub(crate) kind: AlarmKind,
    pub(crate) apart: Apart,
    pub(crate) now: UnixMillis,
}

impl Decision for KeepApart {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        if let Some(alarm) = open_alarm(tx, &self.bank, self.kind).await? {
            tx.keep_apart(alarm, &self.bank, &self.apart, self.now).await?;
        }
        Ok(())
    }
}

/// Raises an alarm that stops nothing.
#[derive(Clone, Debug)]
pub(crate) struct RaiseAlarm {
    pub(crate) bank: BankId,
    pub(crate) kind: AlarmKind,
    pub(crate) detail: String,
    pub(crate) now: UnixMillis,
}

impl Decision for RaiseAlarm {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        let Self { bank, kind, detail, now } = self;
        tx.raise(NewAlarm { bank, kind: *kind, detail, parties: &[], now: *now }).await?;
        Ok(())
    }
}

/// Ends the open alarm of a kind, because what followed has settled it.
#[derive(Clone, Debug)]
pub(crate) struct ClearByHub {
    pub(crate) bank: BankId,
    pub(crate) kind: AlarmKind,
    pub(crate) note: String,
    pub(crate) now: UnixMillis,
}

impl Decision for ClearByHub {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        let Some(open) = open_alarm(tx, &self.bank, self.kind).await? else { return Ok(()) };
        let Some(alarm) = one(tx.connection(), uint(open)).await? else { return Ok(()) };
        let cleared = Cleared { at: self.now, by: THE_HUB.to_owned(), note: self.note.clone() };
        tx.clear(&alarm, &cleared).await
    }
}

/// The banks that were ever heard of, and whether there is an open alarm that they are not.
pub(super) async fn heard_of(db: &impl ConnectionTrait) -> Result<Vec<(BankId, bool)>, ReadError> {
    let open = alarms::Entity::find()
        .filter(alarms::Column::Kind.eq(AlarmKind::Unreachable.as_str()))
        .filter(alarms::Column::ClearedAt.is_null());
    let open: BTreeSet<String> = open.all(db).await?.into_iter().map(|row| row.bank).collect();
    let rows = cursors::Entity::find().all(db).await?;
    let bank =
        |row: cursors::Model| Ok((text("cursors", "bank", &row.bank)?, open.contains(&row.bank)));
    rows.into_iter().map(bank).collect()
}

/// What an alarm is raised with.
pub(super) struct NewAlarm<'a> {
    pub(super) bank: &'a BankId,
    pub(super) kind: AlarmKind,
    pub(super) detail: &'a str,
    pub(super) parties: &'a [Party],
    pub(super) now: UnixMillis,
}

impl Tx {
    /// Raises an alarm, with its event, unless one of the kind is open; gives the open one.
    pub(super) async fn raise(&mut self, new: NewAlarm<'_>) -> Result<i64, WriteError> {
        let NewAlarm { bank, kind, detail, parties, now } = new;
        let alarm = match open_alarm(self, bank, kind).await? {
            Some(open) => open,
            None => self.new_alarm(bank, kind, detail, now).await?,
        };
        for party in parties {
            self.name_party(alarm, party, now).await?;
        }
        Ok(alarm)
    }

    async fn new_alarm(
        &mut self,
        bank: &BankId,
        kind: AlarmKind,
        detail: &str,
        now: UnixMillis,
    ) -> Result<i64, WriteError> {
        let sql = "INSERT INTO alarms (bank, kind, detail, raised_at, dropped) \
                   VALUES ($1, $2, $3, $4, 0) RETURNING id";
        let values = [bank.as_str().into(), kind.as_str().into(), detail.into(), int(now.0).into()];
        let rows = self.query(sql, values).await?;
        let row = rows.first().ok_or_else(|| WriteError::from(damaged("alarms", "id")))?;
        let alarm: i64 = row.try_get_by("id")?;
        self.event(NewEvent {
            event_id: format!("alarm:{alarm}:raised"),
            kind: EventKind::BankAlarmRaised,
            bank: Some(bank),
            compartment: None,
            parcel: None,
            detail: format!("{}: {detail}", kind.as_str()),
            occurred_at: now,
            recorded_at: now,
        });
        Ok(alarm)
    }

    /// Adds a party to an alarm, or notes that it was seen again; one beyond the limit is left out.
    async fn name_party(
        &mut self,
        alarm: i64,
        party: &Party,
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let place = (alarm, party.certificate.to_vec(), party.introduction.boot.0.to_vec());
        let known = alarm_parties::Entity::find_by_id(place).one(self.connection()).await?;
        let others = alarm_parties::Entity::find().filter(alarm_parties::Column::Alarm.eq(alarm));
        if known.is_none() && int(others.count(self.connection()).await?) >= PARTIES_MAX {
            return Ok(());
        }
        let Introduction { stream, boot, boot_count, connection_count } = party.introduction;
        let row = vec![
            alarm.into(),
            bytes(&party.certificate),
            bytes(&boot.0),
            party.address.as_str().into(),
            bytes(&stream.0),
            int(boot_count).into(),
            int(connection_count).into(),
            int(party.head_seq).into(),
            int(now.0).into(),
            int(now.0).into(),
        ];
        Ok(self.insert(&PARTIES, row).await?)
    }

    /// Keeps a message for an alarm. When its bank has as many as are kept, the oldest one of a
    /// cleared alarm makes room; without such a one the new one is only counted, because what was
    /// said first tells most, and a bank keeps what was not acknowledged.
    pub(super) async fn keep_apart(
        &mut self,
        alarm: i64,
        bank: &BankId,
        apart: &Apart,
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let Apart { from, topic, bytes: message } = apart;
        self.name_party(alarm, from, now).await?;
        let kept = kept_apart::Entity::find().filter(kept_apart::Column::Bank.eq(bank.as_str()));
        if kept.count(self.connection()).await? >= u64::from(self.context.kept_apart_per_bank) {
            let sql = "DELETE FROM kept_apart WHERE id = (SELECT MIN(kept_apart.id) FROM kept_apart \
                       JOIN alarms ON alarms.id = kept_apart.alarm \
                       WHERE kept_apart.bank = $1 AND alarms.cleared_at IS NOT NULL)";
            let gone = self.execute("kept_apart", sql, [bank.as_str().into()]).await?;
            if gone.rows_affected() == 0 {
                let sql = "UPDATE alarms SET dropped = dropped + 1 WHERE id = $1";
                self.execute("alarms", sql, [alarm.into()]).await?;
                return Ok(());
            }
        }
        let row = vec![
            alarm.into(),
            bank.as_str().into(),
            from.address.as_str().into(),
            bytes(&from.certificate),
            bytes(&from.introduction.boot.0),
            bytes(&from.introduction.stream.0),
            (*topic).into(),
            bytes(message),
            int(now.0).into(),
        ];
        Ok(self.insert(&APART, row).await?)
    }

    /// Ends an alarm with its event.
    pub(crate) async fn clear(
        &mut self,
        alarm: &AlarmRow,
        cleared: &Cleared,
    ) -> Result<(), WriteError> {
        let sql = "UPDATE alarms SET cleared_at = $1, cleared_by = $2, note = $3 WHERE id = $4";
        let Cleared { at, by, note } = cleared;
        let values =
            [int(at.0).into(), by.as_str().into(), note.as_str().into(), int(alarm.id).into()];
        self.execute("alarms", sql, values).await?;
        self.event(NewEvent {
            event_id: format!("alarm:{}:cleared", alarm.id),
            kind: EventKind::BankAlarmCleared,
            bank: Some(&alarm.bank),
            compartment: None,
            parcel: None,
            detail: format!("{} by {by}: {note}", alarm.kind.as_str()),
            occurred_at: *at,
            recorded_at: *at,
        });
        Ok(())
    }

    /// Lets a bank go on after its alarm was cleared, and wakes whoever talks to it.
    pub(crate) async fn let_go_on(&mut self, alarm: &AlarmRow) -> Result<(), WriteError> {
        let bank = alarm.bank.as_str();
        match alarm.kind {
            AlarmKind::Inventory => {
                let sql = "UPDATE banks SET inventory = FALSE WHERE id = $1";
                self.execute("banks", sql, [bank.into()]).await?;
                self.count_streams_anew(&alarm.bank).await?;
            }
            AlarmKind::Stopped(reason) => {
                let sql = "UPDATE banks SET stopped_reason = NULL \
                           WHERE id = $1 AND stopped_reason = $2";
                self.execute("banks", sql, [bank.into(), reason.as_str().into()]).await?;
                if reason == StopReason::Clone {
                    // Whoever comes next is the one that counts from now on.
                    let sql = "DELETE FROM introductions WHERE bank = $1";
                    self.execute("introductions", sql, [bank.into()]).await?;
                }
                if matches!(reason, StopReason::Successor | StopReason::Unrelated) {
                    self.count_streams_anew(&alarm.bank).await?;
                }
            }
            // They stop nothing.
            AlarmKind::UnknownParcels | AlarmKind::Unreachable | AlarmKind::Seal => {}
        }
        self.wake(&alarm.bank);
        Ok(())
    }

    pub(crate) async fn alarm(&self, id: u64) -> Result<Option<AlarmRow>, ReadError> {
        one(self.connection(), id).await
    }
}

/// The open alarm of a kind.
pub(super) async fn open_alarm(
    tx: &Tx,
    bank: &BankId,
    kind: AlarmKind,
) -> Result<Option<i64>, WriteError> {
    let open = alarms::Entity::find()
        .filter(alarms::Column::Bank.eq(bank.as_str()))
        .filter(alarms::Column::Kind.eq(kind.as_str()))
        .filter(alarms::Column::ClearedAt.is_null());
    Ok(open.one(tx.connection()).await?.map(|row| row.id))
}

pub(super) async fn one(db: &impl ConnectionTrait, id: u64) -> Result<Option<AlarmRow>, ReadError> {
    match alarms::Entity::find_by_id(int(id)).one(db).await? {
        Some(row) => read(db, row).await.map(Some),
        None => Ok(None),
    }
}

/// Which alarms are asked for.
#[derive(Clone, Debug, Default)]
pub struct AlarmFilter {
    /// Of this bank only.
    pub bank: Option<BankId>,
    /// Those that were cleared, too.
    pub with_cleared: bool,
    /// Those older than this one.
    pub before: Option<u64>,
}

pub(super) async fn list(
    db: &impl ConnectionTrait,
    filter: &AlarmFilter,
    limit: u32,
) -> Result<Vec<AlarmRow>, ReadError> {
    let mut query =
        alarms::Entity::find().order_by(alarms::Column::Id, Order::Desc).limit(u64::from(limit));
    if let Some(bank) = &filter.bank {
        query = query.filter(alarms::Column::Bank.eq(bank.as_str()));
    }
    if !filter.with_cleared {
        query = query.filter(alarms::Column::ClearedAt.is_null());
    }
    if let Some(before) = filter.before {
        query = query.filter(alarms::Column::Id.lt(int(before)));
    }
    let mut all = Vec::new();
    for row in query.all(db).await? {
        all.push(read(db, row).await?);
    }
    Ok(all)
}

async fn read(db: &impl ConnectionTrait, row: alarms::Model) -> Result<AlarmRow, ReadError> {
    let parties = alarm_parties::Entity::find()
        .filter(alarm_parties::Column::Alarm.eq(row.id))
        .order_by(alarm_parties::Column::FirstSeen, Order::Asc)
        .all(db)
        .await?;
    let kept = kept_apart::Entity::find().filter(kept_apart::Column::Alarm.eq(row.id));
    Ok(AlarmRow {
        id: uint(row.id),
        bank: text("alarms", "bank", &row.bank)?,
        kind: AlarmKind::parse(&row.kind).ok_or(damaged("alarms", "kind"))?,
        detail: row.detail,
        raised_at: UnixMillis(uint(row.raised_at)),
        parties: parties.into_iter().map(party).collect::<Result<_, _>>()?,
        kept: kept.count(db).await?,
        dropped: uint(row.dropped),
        cleared: row.cleared_at.map(|at| Cleared {
            at: UnixMillis(uint(at)),
            by: row.cleared_by.unwrap_or_default(),
            note: row.note.unwrap_or_default(),
        }),
    })
}

fn party(row: alarm_parties::Model) -> Result<AlarmParty, ReadError> {
    const TABLE: &str = "alarm_parties";
    Ok(AlarmParty {
        party: Party {
            address: row.address,
            certificate: hash(TABLE, row.certificate)?,
            introduction: Introduction {
                stream: id(TABLE, "stream", &row.stream)?,
                boot: id(TABLE, "boot", &row.boot)?,
                boot_count: uint(row.boot_count),
                connection_count: uint(row.connection_count),
            },
            head_seq: uint(row.head_seq),
        },
        first_seen: UnixMillis(uint(row.first_seen)),
        last_seen: UnixMillis(uint(row.last_seen)),
    })
}

/// What is kept apart for an alarm, oldest first.
pub(super) async fn apart(
    db: &impl ConnectionTrait,
    alarm: u64,
) -> Result<Vec<ApartRow>, ReadError> {
    const TABLE: &str = "kept_apart";
    let rows = kept_apart::Entity::find()
        .filter(kept_apart::Column::Alarm.eq(int(alarm)))
        .order_by(kept_apart::Column::Id, Order::Asc)
        .all(db)
        .await?;
    let read = |row: kept_apart::Model| {
        Ok(ApartRow {
            alarm,
            address: row.address,
            certificate: hash(TABLE, row.certificate)?,
            boot: id(TABLE, "boot", &row.boot)?,
            stream: id(TABLE, "stream", &row.stream)?,
            topic: row.topic,
            bytes: row.bytes,
            at: UnixMillis(uint(row.at)),
        })
    };
    rows.into_iter().map(read).collect()
}

pub(super) fn hash(table: &'static str, value: Vec<u8>) -> Result<[u8; 32], ReadError> {
    value.try_into().map_err(|_| damaged(table, "certificate"))
}
