//! What the hub remembers: raw records, the banks' folded state, parcels, and the event log.
//!
//! One writer groups jobs into transactions ([`StoreLimits`]); whoever asked hears after COMMIT.
//! Events get their position in the transaction that causes them, so a reader that has seen
//! position n never finds a lower one later. Reads go through connections of their own.

mod adopt;
mod alarm_rows;
mod alarms;
mod audit_reads;
mod backup;
mod checkpoint;
mod code_steps;
mod codes;
mod convert;
mod courier_codes;
mod decision_tx;
mod device_keys;
mod entity;
mod error;
mod grant_log;
mod ingest_write;
mod migration;
mod notices;
mod open;
mod personal;
mod projection;
mod queries;
mod requests;
mod restore;
mod rows;
mod safe;
mod spelling;
mod standing;
mod stored_runs;
mod transaction;
mod tx;
mod upkeep;
mod wakes;
mod writer;

pub use alarm_rows::{
    AlarmKind, AlarmParty, AlarmRow, ApartRow, Cleared, Party, STREAMS_CLOSED_MAX,
};
pub use alarms::AlarmFilter;
pub use backup::{BackUpError, Backup, back_up, check as check_backup};
pub use error::{OpenStoreError, ReadError, WriteError};
pub use open::{SQLITE_PRAGMAS, StoreLimits};
pub use personal::{
    DISPLAY_NAME_MAX_CHARS, DisplayName, EMAIL_MAX_BYTES, Email, PersonalDataError, Phone,
};
pub use restore::{
    LockStoreError, RestoreError, Restored, StoreLock, file_of, restore, was_interrupted,
};
pub use rows::{
    BankRow, EventKind, EventParcel, EventRow, HubParcelState, KeypadCouriers, NoticeKind,
    NoticeOutcome, NoticeRow, ParcelAtBank, ParcelRow, RequestKey, StopReason,
};
pub use safe::Watermark;

pub(crate) use adopt::unknown::Unknown;
pub(crate) use alarms::{Apart, ClearByHub, KeepApart, RaiseAlarm};
pub(crate) use audit_reads::HeldStream;
pub(crate) use code_steps::{CodeStep, CodesWrite};
pub(crate) use codes::{CodePool, PlaceSlots, SweepCodes};
pub(crate) use courier_codes::{CarrierCodes, CouriersCodes, NoteCodesRead, PlaceCourierCodes};
pub(crate) use device_keys::LearnKey;
pub(crate) use error::WriteBatchError;
pub(crate) use grant_log::{BeginGrantLog, SweepGrants};
pub(crate) use ingest_write::{EntityKind, EntityRow, FactEffect, FactRow, IngestWrite, Meaning};
pub(crate) use projection::ParcelStep;
pub(crate) use queries::{Downlink, LoadedBank};
pub(crate) use requests::{Call, ParcelAnswer, Seen};
pub(crate) use spelling::{lockdown_reason, quarantine_reason, recall_reason};
pub(crate) use standing::{Introduced, Looking, OpenStream, Standing, StopBank};
pub(crate) use stored_runs::{ReplaceFold, StoredRun};
pub(crate) use tx::{NewEvent, Tx};
pub(crate) use upkeep::{NoteKeySet, Quarantine};
pub(crate) use wakes::Wakes;
pub(crate) use writer::Decision;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};

use locker_core::code::slot::{Sealed, SlotId};
use locker_core::compartment::Compartment;
use locker_core::downlink::GrantPosition;
use locker_core::ids::{BankId, CarrierId, CommandId, HubEpoch, ParcelId};
use locker_core::units::UnixMillis;
use sea_orm::{ColumnTrait, Condition, DatabaseConnection};
use tokio::sync::{mpsc, oneshot, watch};

use crate::codes::mint::BankCodes;
use crate::codes::pepper::CodeMaster;
use convert::int;
use entity::events;
use safe::SafeMarks;
use writer::{Job, Pending, Tally};

/// The hub's store. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub struct Store {
    epoch: HubEpoch,
    readers: DatabaseConnection,
    jobs: mpsc::Sender<Job>,
    committed: watch::Receiver<u64>,
    tally: Tally,
    wakes: Wakes,
    /// Banks that may need code slots.
    minting: Wakes,
    code_master: Option<Arc<CodeMaster>>,
    safe: SafeMarks,
    limits: StoreLimits,
}

impl Store {
    /// Opens the store at `url` (`sqlite://path?mode=rwc`), makes or upgrades its tables, and
    /// starts its writer.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or was written by a newer hub.
    pub async fn open(url: &str, limits: StoreLimits) -> Result<Self, OpenStoreError> {
        Box::pin(open::open(url, limits)).await
    }

    /// With the master secret of six-digit codes, so that bookings ask for phone digits.
    #[must_use]
    pub fn with_code_master(self, master: Arc<CodeMaster>) -> Self {
        Self { code_master: Some(master), ..self }
    }

    /// When this store was created or restored: a higher epoch wins over any number.
    #[must_use]
    pub const fn epoch(&self) -> HubEpoch {
        self.epoch
    }

    /// The highest event position; changes after each commit that had events.
    #[must_use]
    pub fn committed_events(&self) -> watch::Receiver<u64> {
        self.committed.clone()
    }

    /// Up to `limit` events above `position`, oldest first; those of one carrier's parcels if one
    /// is named.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn events_after(
        &self,
        position: u64,
        carrier: Option<&CarrierId>,
        limit: u32,
    ) -> Result<Vec<EventRow>, ReadError> {
        let mut condition = Condition::all().add(events::Column::Position.gt(int(position)));
        if let Some(carrier) = carrier {
            condition = condition.add(events::Column::Carrier.eq(carrier.as_str()));
        }
        queries::events_where(&self.readers, condition, Some(u64::from(limit))).await
    }

    /// The highest event position; 0 before the first.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn last_event(&self) -> Result<u64, ReadError> {
        queries::last_event(&self.readers).await
    }

    /// A carrier's parcel by the carrier's own name for it.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn parcel(
        &self,
        carrier: &CarrierId,
        name: &str,
    ) -> Result<Option<ParcelRow>, ReadError> {
        queries::parcel(&self.readers, carrier, name).await
    }

    /// A parcel by the hub's id.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn parcel_by_uid(&self, uid: ParcelId) -> Result<Option<ParcelRow>, ReadError> {
        queries::parcel_by_uid(&self.readers, uid).await
    }

    /// The sealed digits that open a parcel now, with the bank and the slot that they are sealed
    /// for; none if it has its QR code alone.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn code_of(
        &self,
        parcel: ParcelId,
    ) -> Result<Option<(BankId, SlotId, Sealed)>, ReadError> {
        queries::code_of(&self.readers, parcel).await
    }

    /// Everything that happened to a parcel, oldest first.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn parcel_events(&self, uid: ParcelId) -> Result<Vec<EventRow>, ReadError> {
        let condition = Condition::all().add(events::Column::Parcel.eq(uid.0.to_vec()));
        queries::events_where(&self.readers, condition, None).await
    }

    /// A bank.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn bank(&self, id: &BankId) -> Result<Option<BankRow>, ReadError> {
        queries::bank(&self.readers, id).await
    }

    /// Up to `limit` banks by name, from the one behind `after` on.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn banks(
        &self,
        after: Option<&BankId>,
        limit: u32,
    ) -> Result<Vec<BankRow>, ReadError> {
        queries::banks(&self.readers, after, limit).await
    }

    /// What a bank answered to an order, if it has.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn command_answer(
        &self,
        bank: &BankId,
        command: CommandId,
    ) -> Result<Option<String>, ReadError> {
        let prefix = format!("{command} ");
        let condition = Condition::all()
            .add(events::Column::Bank.eq(bank.as_str()))
            .add(events::Column::Kind.eq(EventKind::BankCommandAnswered.as_str()))
            .add(events::Column::Detail.starts_with(&prefix));
        let found = queries::events_where(&self.readers, condition, Some(1)).await?;
        Ok(found.first().and_then(|event| event.detail.strip_prefix(&prefix)).map(str::to_owned))
    }

    /// A bank's compartments by number, as folded from what is committed.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn compartments(&self, bank: &BankId) -> Result<Vec<Compartment>, ReadError> {
        queries::compartments(&self.readers, bank).await
    }

    /// Up to `limit` notices that are due, each leased to the caller for
    /// [`StoreLimits::notice_lease_ms`].
    ///
    /// # Errors
    ///
    /// When the lease cannot be written or the notices not be read.
    pub async fn due_notices(
        &self,
        now: UnixMillis,
        limit: u32,
    ) -> Result<Vec<NoticeRow>, WriteError> {
        let lease_ms = self.limits.notice_lease_ms;
        let code_master = self.code_master.clone();
        self.decide(notices::ClaimNotices { now, lease_ms, limit, code_master }).await
    }

    /// Notes what became of a notice. It is given out no more unless it failed; if it was abandoned
    /// an event says so.
    ///
    /// # Errors
    ///
    /// When that cannot be written; the notice is then given out again after its lease.
    pub async fn settle_notice(&self, id: u64, outcome: NoticeOutcome) -> Result<(), WriteError> {
        let event_id = uuid::Uuid::new_v4().simple().to_string();
        let now = crate::wall_clock::now();
        self.decide(notices::SettleNotice { id, outcome, event_id, now }).await
    }

    /// Up to `limit` alarms, newest first.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn alarms(
        &self,
        filter: &AlarmFilter,
        limit: u32,
    ) -> Result<Vec<AlarmRow>, ReadError> {
        alarms::list(&self.readers, filter, limit).await
    }

    /// What was kept apart for an alarm, oldest first: none of it took effect.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn kept_apart(&self, alarm: u64) -> Result<Vec<ApartRow>, ReadError> {
        alarms::apart(&self.readers, alarm).await
    }

    /// The banks that were ever heard of, and whether an outage of them is known.
    pub(crate) async fn banks_heard_of(&self) -> Result<Vec<(BankId, bool)>, ReadError> {
        alarms::heard_of(&self.readers).await
    }

    /// The certificates that count no more, as SHA-256 of their DER bytes.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn revoked_certificates(&self) -> Result<Vec<[u8; 32]>, ReadError> {
        standing::revoked(&self.readers).await
    }

    /// Rows inserted, changed or deleted and committed since the store was opened, by table.
    #[must_use]
    pub fn rows_written(&self) -> BTreeMap<&'static str, u64> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes what waits and ends the writer; later writes answer [`WriteError::Closed`].
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.jobs.send(Job::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
        if let Err(error) = self.readers.close_by_ref().await {
            tracing::warn!(%error, "the store's readers did not close");
        }
    }

    /// Runs a decision in a transaction of the writer; answers after COMMIT.
    pub(crate) async fn decide<D: Decision>(&self, decision: D) -> Result<D::Answer, WriteError> {
        let (reply, answer) = oneshot::channel();
        let pending = Pending { decision, answer: None, reply };
        let job = Job::Decision(Box::new(pending));
        self.jobs.send(job).await.map_err(|_| WriteError::Closed)?;
        answer.await.map_err(|_| WriteError::Closed)?
    }

    /// Puts a batch in the queue, waiting while it is full. Batches are written in this order; the
    /// receiver hears after COMMIT.
    pub(crate) async fn ingest(
        &self,
        write: IngestWrite,
    ) -> Result<oneshot::Receiver<Result<(), WriteBatchError>>, WriteError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Ingest(Box::new(write), reply);
        self.jobs.send(job).await.map_err(|_| WriteError::Closed)?;
        Ok(answer)
    }

    pub(crate) async fn load_bank(&self, bank: &BankId) -> Result<Option<LoadedBank>, ReadError> {
        queries::load_bank(&self.readers, bank).await
    }

    pub(crate) async fn standing(&self, bank: &BankId) -> Result<Option<Standing>, ReadError> {
        standing::standing(&self.readers, bank).await
    }

    pub(crate) async fn downlink(
        &self,
        bank: &BankId,
        held: GrantPosition,
        limit: usize,
    ) -> Result<Option<Downlink>, ReadError> {
        queries::downlink(&self.readers, bank, held, limit).await
    }

    pub(crate) fn wakes(&self) -> Wakes {
        self.wakes.clone()
    }

    /// Banks that may need code slots. Bounded by the number of banks, also when nobody mints.
    pub(crate) fn minting(&self) -> Wakes {
        self.minting.clone()
    }

    pub(crate) fn code_master(&self) -> Option<Arc<CodeMaster>> {
        self.code_master.clone()
    }

    pub(crate) async fn code_pools(
        &self,
        after: Option<&BankId>,
        limit: u32,
        now: UnixMillis,
    ) -> Result<Vec<CodePool>, ReadError> {
        codes::pools(&self.readers, after, limit, now).await
    }

    pub(crate) async fn code_pool(
        &self,
        bank: &BankId,
        now: UnixMillis,
    ) -> Result<Option<CodePool>, ReadError> {
        codes::pool(&self.readers, bank, now).await
    }

    /// A bank's couriers and their codes, if there is such a bank.
    pub(crate) async fn couriers_codes(
        &self,
        bank: &BankId,
    ) -> Result<Option<CouriersCodes>, ReadError> {
        courier_codes::of_bank(&self.readers, bank).await
    }

    /// A carrier's codes at a bank, if it has any there or will.
    pub(crate) async fn carrier_codes(
        &self,
        bank: &BankId,
        carrier: &CarrierId,
    ) -> Result<Option<CarrierCodes>, ReadError> {
        courier_codes::of_carrier(&self.readers, bank, carrier).await
    }

    pub(crate) async fn bank_codes(&self, bank: &BankId) -> Result<(BankCodes, usize), ReadError> {
        codes::bank_codes(&self.readers, bank).await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
