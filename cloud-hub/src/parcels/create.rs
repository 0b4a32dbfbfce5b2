//! Announcing a parcel.

use locker_core::ids::Version;
use locker_core::parcel::Terms;
use locker_core::units::UnixMillis;

use super::{CreateParcelError, NewParcel, decided};
use crate::store::{
    Call, Decision, EventKind, HubParcelState, ParcelAnswer, ParcelRow, RequestKey, Seen, Tx,
    Unknown, WriteError,
};

pub(super) struct Create {
    call: Call,
    new: NewParcel,
    now: UnixMillis,
}

impl Create {
    pub(super) fn new(new: NewParcel, request: RequestKey, now: UnixMillis) -> Self {
        let edges = [new.size.length_mm, new.size.width_mm, new.size.height_mm, new.weight.0];
        let edges: Vec<u8> = edges.into_iter().flat_map(u32::to_be_bytes).collect();
        let mut content = vec![
            new.carrier.as_str().as_bytes(),
            new.name.as_bytes(),
            new.barcode.as_str().as_bytes(),
            &edges,
            new.email.as_str().as_bytes(),
            new.display_name.as_str().as_bytes(),
        ];
        content.extend(new.phone.as_ref().map(|phone| phone.as_str().as_bytes()));
        Self { call: Call::new(request, "CreateParcel", &content), new, now }
    }
}

impl Decision for Create {
    type Answer = Result<ParcelRow, CreateParcelError>;

    async fn decide(&self, tx: &mut Tx) -> Result<Self::Answer, WriteError> {
        match self.call.seen::<ParcelAnswer>(tx).await? {
            Seen::Answered(answer) => return Ok(Ok(answer.parcel(tx).await?)),
            Seen::Other => return Ok(Err(CreateParcelError::RequestIdReused)),
            Seen::Never => {}
        }
        let NewParcel { uid, carrier, name, barcode, size, weight, .. } = self.new.clone();
        let NewParcel { email, display_name, phone, trace, .. } = self.new.clone();
        if tx.parcel(&carrier, &name).await?.is_some() {
            return Ok(Err(CreateParcelError::Exists));
        }
        let mut parcel = ParcelRow {
            uid,
            carrier,
            name,
            barcode,
            size,
            weight,
            email,
            display_name,
            terms: Terms::default(),
            phone,
            state: HubParcelState::Announced,
            recall: None,
            bank: None,
            compartment: None,
            version: Version(1),
            credential: None,
            trace,
            created_at: self.now,
            updated_at: self.now,
            expires_at: None,
        };
        // A bank may have it since before the store was lost.
        let unknown = tx.unknown(&parcel).await?;
        parcel.uid = unknown.as_ref().map_or(parcel.uid, Unknown::uid);
        tx.save_parcel(&parcel).await?;
        decided(tx, EventKind::ParcelAnnounced, &parcel, "", self.now);
        if let Some(unknown) = unknown {
            tx.recognise(&mut parcel, &unknown, self.now).await?;
        }
        self.call.answered(tx, &ParcelAnswer::of(&parcel), self.now).await?;
        Ok(Ok(parcel))
    }
}
