//! The decisions about banks, each in one transaction.

use locker_core::compartment::{CompartmentSpec, Layout};
use locker_core::credential::{CredentialKey, KeySet};
use locker_core::downlink::{Mode, Quota};
use locker_core::ids::{BankId, CredentialId, Generation};
use locker_core::units::UnixMillis;
use serde::{Deserialize, Serialize};

use super::{CreateBankError, IssueBadgeError, SetLayoutError};
use crate::credential_keys::SignTokenError;
use crate::site_zone::SiteZone;
use crate::store::{
    BankRow, Call, Decision, EventKind, KeypadCouriers, NewEvent, Seen, Tx, WriteError,
};

/// What is kept of an answer: the layout's generation. All else of a bank is as it is now.
type LayoutAnswer = u64;

pub(super) struct Create {
    pub(super) call: Call,
    pub(super) id: BankId,
    pub(super) display_name: String,
    pub(super) address: String,
    pub(super) time_zone: SiteZone,
    pub(super) layout: Layout,
    pub(super) now: UnixMillis,
}

impl Decision for Create {
    type Answer = Result<BankRow, CreateBankError>;

    async fn decide(&self, tx: &mut Tx) -> Result<Self::Answer, WriteError> {
        let known = tx.bank(&self.id).await?;
        match (self.call.seen::<LayoutAnswer>(tx).await?, known) {
            (Seen::Answered(_), Some(bank)) => {
                return Ok(Ok(BankRow { layout: self.layout.clone(), ..bank }));
            }
            (Seen::Other, _) => return Ok(Err(CreateBankError::RequestIdReused)),
            (Seen::Never, Some(_)) => return Ok(Err(CreateBankError::Exists)),
            (Seen::Never | Seen::Answered(_), None) => {}
        }
        let bank = BankRow {
            id: self.id.clone(),
            display_name: self.display_name.clone(),
            address: self.address.clone(),
            time_zone: self.time_zone.clone(),
            layout: self.layout.clone(),
            layout_held: Generation(0),
            keys_held: KeySet::default(),
            mode: Mode::default(),
            mode_held: Mode::default(),
            quota: Quota::default(),
            quota_held: Quota::default(),
            keypad: KeypadCouriers::default(),
            lockdown: None,
            stream: None,
            committed_seq: 0,
            stopped_reason: None,
            incomplete: false,
            last_seen: None,
            created_at: self.now,
        };
        tx.save_bank(&bank).await?;
        decided(tx, EventKind::BankCreated, &bank, String::new(), self.now);
        layout_issued(tx, &bank, self.now);
        self.call.answered(tx, &bank.layout.generation.0, self.now).await?;
        Ok(Ok(bank))
    }
}

pub(super) struct SetLayout {
    pub(super) call: Call,
    pub(super) bank: BankId,
    pub(super) compartments: Vec<CompartmentSpec>,
    pub(super) now: UnixMillis,
}

impl Decision for SetLayout {
    type Answer = Result<BankRow, SetLayoutError>;

    async fn decide(&self, tx: &mut Tx) -> Result<Self::Answer, WriteError> {
        let Some(known) = tx.bank(&self.bank).await? else {
            return Ok(Err(SetLayoutError::NotFound));
        };
        let layout = |generation| Layout { generation, compartments: self.compartments.clone() };
        match self.call.seen::<LayoutAnswer>(tx).await? {
            Seen::Answered(generation) => {
                return Ok(Ok(BankRow { layout: layout(Generation(generation)), ..known }));
            }
            Seen::Other => return Ok(Err(SetLayoutError::RequestIdReused)),
            Seen::Never => {}
        }
        let layout = layout(Generation(known.layout.generation.0 + 1));
        let bank = BankRow { layout, ..known };
        tx.issue_layout(&bank.id, &bank.layout, self.now).await?;
        layout_issued(tx, &bank, self.now);
        self.call.answered(tx, &bank.layout.generation.0, self.now).await?;
        Ok(Ok(bank))
    }
}

pub(super) struct Badge {
    pub(super) call: Call,
    pub(super) bank: BankId,
    /// The keys that can sign it.
    pub(super) ours: Vec<CredentialKey>,
    pub(super) fresh: CredentialId,
    pub(super) expires_at: UnixMillis,
    pub(super) now: UnixMillis,
}

/// What a badge is signed from.
pub(super) struct BadgeClaims {
    pub(super) id: CredentialId,
    pub(super) expires_at: UnixMillis,
    pub(super) held: KeySet,
    pub(super) time_zone: SiteZone,
}

#[derive(Serialize, Deserialize)]
struct BadgeAnswer {
    id: [u8; 16],
    expires_at: u64,
}

impl Decision for Badge {
    type Answer = Result<BadgeClaims, IssueBadgeError>;

    async fn decide(&self, tx: &mut Tx) -> Result<Self::Answer, WriteError> {
        let Some(bank) = tx.bank(&self.bank).await? else {
            return Ok(Err(IssueBadgeError::NotFound));
        };
        let answer = match self.call.seen(tx).await? {
            Seen::Answered(answer) => answer,
            Seen::Other => return Ok(Err(IssueBadgeError::RequestIdReused)),
            // Not kept as an answer: the bank may take a key over and the caller ask again.
            Seen::Never if !self.ours.iter().any(|key| bank.keys_held.keys.contains(key)) => {
                return Ok(Err(IssueBadgeError::Sign(SignTokenError::NoCommonKey)));
            }
            Seen::Never => {
                let first = BadgeAnswer { id: self.fresh.0, expires_at: self.expires_at.0 };
                self.call.answered(tx, &first, self.now).await?;
                first
            }
        };
        let (id, expires_at) = (CredentialId(answer.id), UnixMillis(answer.expires_at));
        Ok(Ok(BadgeClaims { id, expires_at, held: bank.keys_held, time_zone: bank.time_zone }))
    }
}

fn layout_issued(tx: &mut Tx, bank: &BankRow, now: UnixMillis) {
    let detail = format!("generation {}", bank.layout.generation.0);
    decided(tx, EventKind::BankLayoutIssued, bank, detail, now);
}

pub(super) fn decided(
    tx: &mut Tx,
    kind: EventKind,
    bank: &BankRow,
    detail: String,
    now: UnixMillis,
) {
    tx.event(NewEvent {
        event_id: uuid::Uuid::new_v4().simple().to_string(),
        kind,
        bank: Some(&bank.id),
        compartment: None,
        parcel: None,
        detail,
        occurred_at: now,
        recorded_at: now,
    });
}
