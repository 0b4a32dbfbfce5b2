//! Rows of reminders, and of the letters that take one back.
//!
//! A parcel has no row for this when it is put in: ingest has enough to write. The letter that says
//! that it waits leaves one behind once it went out, which moves on with each reminder; most parcels
//! are gone before it is looked at for the first time.

use locker_core::ids::ParcelId;
use locker_core::units::UnixMillis;
use locker_core::uplink::clone::Introduction;
use sea_orm::{EntityTrait, Value};

use crate::store::convert::{bytes, int, uint};
use crate::store::entity::parcels;
use crate::store::notice_rows::NoticeKind;
use crate::store::rows::{BankRow, HubParcelState};
use crate::store::tx::Tx;
use crate::store::{ReadError, WriteError, queries, standing};

/// How a bank last introduced itself, if all that it had to tell then was taken in and understood.
pub(super) async fn told_all(tx: &Tx, bank: &BankRow) -> Result<Option<Introduction>, ReadError> {
    let last = standing::last_introduction(tx.connection(), &bank.id).await?;
    let understood = bank.stopped_reason.is_none() && !bank.incomplete;
    let told = last.filter(|last| {
        let same = bank.stream == Some(last.introduction.stream);
        understood && same && bank.committed_seq >= last.head_seq
    });
    Ok(told.map(|last| last.introduction))
}

impl Tx {
    /// The recipient is to be reminded at this time, and not at another one.
    pub(super) async fn remind(
        &mut self,
        parcel: ParcelId,
        at: UnixMillis,
    ) -> Result<(), WriteError> {
        let sql = "INSERT INTO notices (parcel, kind, version, due_at, attempts, moment_at) \
                   VALUES ($1, $2, 0, $3, 0, $4) \
                   ON CONFLICT (parcel, kind, version) DO UPDATE SET due_at = excluded.due_at, \
                   attempts = 0, moment_at = excluded.moment_at, outcome = NULL";
        let kind = NoticeKind::ParcelReminder;
        self.execute("notices", sql, of_no_version(parcel, kind, at, at)).await?;
        Ok(())
    }

    /// A reminder is for another moment.
    pub(super) async fn move_reminder(
        &mut self,
        id: u64,
        to: UnixMillis,
    ) -> Result<(), WriteError> {
        let sql = "UPDATE notices SET moment_at = $1, attempts = 0 WHERE id = $2";
        self.execute("notices", sql, [int(to.0).into(), int(id).into()]).await?;
        Ok(())
    }

    /// A notice was looked at, and nothing was tried.
    pub(super) async fn uncount_attempt(&mut self, id: u64) -> Result<(), WriteError> {
        let sql = "UPDATE notices SET attempts = attempts - 1 WHERE id = $1 AND attempts > 0";
        self.execute("notices", sql, [int(id).into()]).await?;
        Ok(())
    }

    /// A letter went out that says that the parcel is inside.
    pub(super) async fn note_reminded(
        &mut self,
        uid: ParcelId,
        at: UnixMillis,
    ) -> Result<(), WriteError> {
        let sql = "UPDATE parcels SET reminded_at = $1 WHERE uid = $2";
        self.execute("parcels", sql, [int(at.0).into(), bytes(&uid.0)]).await?;
        let parcel = queries::parcel_by_uid(self.connection(), uid).await?;
        let is_out = |state| matches!(state, HubParcelState::Collected | HubParcelState::Recalled);
        if parcel.is_some_and(|parcel| is_out(parcel.state)) {
            // Its bank told so while the letter was handed over.
            self.correct_reminder(uid, at, at).await?;
        }
        Ok(())
    }

    /// The parcel was taken out at this time, as far as that is known: takes back what a letter said
    /// of it later.
    pub(in crate::store) async fn correct_letters_after(
        &mut self,
        uid: ParcelId,
        taken_out_at: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let row = parcels::Entity::find_by_id(uid.0.to_vec()).one(self.connection()).await?;
        let Some(letter_at) = row.and_then(|row| row.reminded_at) else { return Ok(()) };
        let letter_at = UnixMillis(uint(letter_at));
        if taken_out_at.is_none_or(|at| at <= letter_at) {
            self.correct_reminder(uid, letter_at, now).await?;
        }
        Ok(())
    }

    /// Takes back the letter that went out at `letter_at`. A parcel has one such row, so that nobody
    /// is told twice.
    pub(in crate::store) async fn correct_reminder(
        &mut self,
        uid: ParcelId,
        letter_at: UnixMillis,
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let sql = "INSERT INTO notices (parcel, kind, version, due_at, attempts, moment_at) \
                   VALUES ($1, $2, 0, $3, 0, $4) \
                   ON CONFLICT (parcel, kind, version) DO UPDATE SET due_at = excluded.due_at, \
                   attempts = 0, moment_at = excluded.moment_at, outcome = NULL \
                   WHERE notices.outcome = 'UNNEEDED'";
        let kind = NoticeKind::ReminderCorrected;
        self.execute("notices", sql, of_no_version(uid, kind, now, letter_at)).await?;
        Ok(())
    }
}

/// The values of a row of which a parcel has one.
fn of_no_version(
    parcel: ParcelId,
    kind: NoticeKind,
    due: UnixMillis,
    moment: UnixMillis,
) -> [Value; 4] {
    [bytes(&parcel.0), kind.as_str().into(), int(due.0).into(), int(moment.0).into()]
}
