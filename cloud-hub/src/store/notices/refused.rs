//! Decisions that a bank does not take over, or never hears of: no letter tells of them, whoever
//! watches the parcel must know, and the hub does not go on as if they held.

use locker_core::downlink::{Grant, GrantPosition};
use locker_core::ids::{BankId, ParcelId, Version};
use locker_core::units::UnixMillis;
use sea_orm::EntityTrait;

use super::{ABANDONED, known_at};
use crate::store::convert::{bytes, damaged, id, int};
use crate::store::entity::grants;
use crate::store::rows::{EventKind, ParcelRow};
use crate::store::tx::{NewEvent, Tx};
use crate::store::{ReadError, WriteError, queries};

impl Tx {
    /// The bank has refused a decision about a parcel. Puts right what was noted of it, and says
    /// whether a notice was given up with it.
    pub(in crate::store) async fn decision_refused(
        &mut self,
        bank: &BankId,
        parcel: &mut ParcelRow,
        position: GrantPosition,
    ) -> Result<bool, WriteError> {
        // Those of a log that has ended may be gone, and their notices were given up then.
        let Some(grant) = self.granted(bank, position).await? else { return Ok(false) };
        let version = match grant {
            Grant::Keep { version, .. } | Grant::Reissue { version, .. } => version,
            Grant::Book(_)
            | Grant::Cancel { .. }
            | Grant::Recall { .. }
            | Grant::Delegate { .. }
            | Grant::Revoke { .. }
            | Grant::Slots(_) => return Ok(false),
        };
        if let Some(known) = known_at(self, bank, parcel.uid).await? {
            // A hub that was restored may count behind the bank, which would refuse all it decides.
            parcel.version = parcel.version.max(known.version);
            match grant {
                Grant::Keep { until, .. } if parcel.terms.keep_until == Some(until) => {
                    parcel.terms.keep_until = known.terms.keep_until;
                    parcel.expires_at = known.keep_until().or(parcel.expires_at);
                }
                Grant::Reissue { credential, .. } if parcel.credential == Some(credential) => {
                    parcel.credential = Some(known.credential);
                }
                Grant::Keep { .. }
                | Grant::Reissue { .. }
                | Grant::Book(_)
                | Grant::Cancel { .. }
                | Grant::Recall { .. }
                | Grant::Delegate { .. }
                | Grant::Revoke { .. }
                | Grant::Slots(_) => {}
            }
        }
        self.abandon(parcel.uid, version).await
    }

    async fn granted(
        &self,
        bank: &BankId,
        position: GrantPosition,
    ) -> Result<Option<Grant>, ReadError> {
        let place = (bank.as_str().to_owned(), int(position.epoch.0), int(position.gseq));
        let row = grants::Entity::find_by_id(place).one(self.connection()).await?;
        let grant = row.map(|row| locker_proto::decode_grant(&row.bytes)).transpose();
        grant.map_err(|_| damaged("grants", "bytes"))
    }

    /// Gives up what waits until the bank has taken a version over. Says whether anything did.
    async fn abandon(&mut self, parcel: ParcelId, version: Version) -> Result<bool, WriteError> {
        let sql = "UPDATE notices SET outcome = $1 \
                   WHERE parcel = $2 AND version = $3 AND due_at IS NULL AND outcome IS NULL";
        let values = [ABANDONED.into(), bytes(&parcel.0), i64::from(version.0).into()];
        Ok(self.execute("notices", sql, values).await?.rows_affected() > 0)
    }

    /// The bank's log of grants has ended: gives up what waits until it has taken something over
    /// that it will not hear of any more.
    pub(in crate::store) async fn abandon_waiting(
        &mut self,
        bank: &BankId,
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let sql = "SELECT notices.id, notices.parcel, notices.version FROM notices \
                   JOIN parcels ON parcels.uid = notices.parcel WHERE parcels.bank = $1 \
                   AND notices.due_at IS NULL AND notices.outcome IS NULL ORDER BY notices.id";
        for row in self.query(sql, [bank.as_str().into()]).await? {
            let uid: Vec<u8> = row.try_get_by("parcel")?;
            let (number, version): (i64, i64) = (row.try_get_by("id")?, row.try_get_by("version")?);
            let version = u32::try_from(version).map_err(|_| damaged("notices", "version"))?;
            let uid: ParcelId = id("notices", "parcel", &uid)?;
            let parcel = queries::parcel_by_uid(self.connection(), uid).await?;
            let parcel = parcel.ok_or(damaged("notices", "parcel"))?;
            if !self.abandon(uid, Version(version)).await? {
                continue;
            }
            self.event(NewEvent {
                event_id: format!("notice:{number}:abandoned"),
                kind: EventKind::ParcelNoticeFailed,
                bank: Some(bank),
                compartment: parcel.compartment,
                parcel: Some(&parcel),
                detail: "GRANTS_BEGAN_ANEW".to_owned(),
                occurred_at: now,
                recorded_at: now,
            });
        }
        Ok(())
    }
}
