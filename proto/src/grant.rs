//! What the hub decides, mostly about one parcel, as it travels to a bank and as it stands in journals.

use locker_core::downlink::{Booking, GRANTS_PER_BATCH_MAX, Grant, GrantPosition};
use locker_core::ids::{HubEpoch, ParcelId, Version};
use locker_core::parcel::{RecallReason, Terms};
use locker_core::units::{Dimensions, Grams, UnixMillis};

use crate::convert::{
    self, Wire, WireEnum, choice, from_list, list, present, required, same_names,
};
use crate::malformed::Malformed;
use crate::wire::journal::v1 as wire;
use crate::wire::journal::v1::grant::Grant as Form;

/// A grant as the hub keeps it in its log.
#[must_use]
pub fn encode_grant(grant: &Grant) -> Vec<u8> {
    convert::encode(grant)
}

/// Reads what [`encode_grant`] wrote.
///
/// # Errors
///
/// The bytes are something else.
pub fn decode_grant(bytes: &[u8]) -> Result<Grant, Malformed> {
    convert::decode(bytes)
}

impl Wire for GrantPosition {
    type Form = wire::GrantPosition;

    fn to_wire(&self) -> Self::Form {
        wire::GrantPosition { epoch: self.epoch.0, gseq: self.gseq }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self { epoch: HubEpoch(form.epoch), gseq: form.gseq })
    }
}

impl Wire for Grant {
    type Form = wire::Grant;

    fn to_wire(&self) -> Self::Form {
        let about = self.about().map(|(parcel, version)| (parcel.0.to_vec(), version.0));
        let (parcel_id, version) = about.unwrap_or_default();
        let grant = match self {
            Self::Book(booking) => Form::Book(booking.to_wire()),
            Self::Cancel { .. } => Form::Cancel(wire::Cancellation { parcel_id, version }),
            Self::Keep { until, .. } => {
                Form::Keep(wire::Keep { parcel_id, version, until_ms: until.0 })
            }
            Self::Recall { reason, .. } => {
                Form::Recall(wire::Recall { parcel_id, version, reason: reason.number() })
            }
            Self::Reissue { credential, .. } => {
                let credential_id = credential.0.to_vec();
                Form::Reissue(wire::Reissue { parcel_id, version, credential_id })
            }
            Self::Delegate { credential, until, .. } => {
                let (credential_id, until_ms) = (credential.0.to_vec(), until.0);
                Form::Delegate(wire::Delegation { parcel_id, version, credential_id, until_ms })
            }
            Self::Revoke { credential, .. } => {
                let credential_id = credential.0.to_vec();
                Form::Revoke(wire::Revocation { parcel_id, version, credential_id })
            }
            Self::Slots(slots) => Form::Slots(wire::Slots { slots: list(slots) }),
        };
        wire::Grant { grant: Some(grant) }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        let parcel = |field, bytes: &[u8]| convert::id::<ParcelId>(field, bytes);
        Ok(match present("Grant.grant", form.grant)? {
            Form::Book(form) => Self::Book(Booking::from_wire(form)?),
            Form::Cancel(form) => Self::Cancel {
                parcel: parcel("Cancellation.parcel_id", &form.parcel_id)?,
                version: Version(form.version),
            },
            Form::Keep(form) => Self::Keep {
                parcel: parcel("Keep.parcel_id", &form.parcel_id)?,
                version: Version(form.version),
                until: UnixMillis(form.until_ms),
            },
            Form::Recall(form) => Self::Recall {
                parcel: parcel("Recall.parcel_id", &form.parcel_id)?,
                version: Version(form.version),
                reason: choice("Recall.reason", form.reason)?,
            },
            Form::Reissue(form) => Self::Reissue {
                parcel: parcel("Reissue.parcel_id", &form.parcel_id)?,
                version: Version(form.version),
                credential: convert::id("Reissue.credential_id", &form.credential_id)?,
            },
            Form::Delegate(form) => Self::Delegate {
                parcel: parcel("Delegation.parcel_id", &form.parcel_id)?,
                version: Version(form.version),
                credential: convert::id("Delegation.credential_id", &form.credential_id)?,
                until: UnixMillis(form.until_ms),
            },
            Form::Revoke(form) => Self::Revoke {
                parcel: parcel("Revocation.parcel_id", &form.parcel_id)?,
                version: Version(form.version),
                credential: convert::id("Revocation.credential_id", &form.credential_id)?,
            },
            Form::Slots(form) => {
                // As many as grants in a message: so a record of its acceptance stays small.
                let slots = convert::at_most("Slots.slots", form.slots, GRANTS_PER_BATCH_MAX)?;
                Self::Slots(from_list(slots)?)
            }
        })
    }
}

impl Wire for Booking {
    type Form = wire::Booking;

    fn to_wire(&self) -> Self::Form {
        wire::Booking {
            parcel_id: self.parcel.0.to_vec(),
            version: self.version.0,
            carrier: self.carrier.as_str().to_owned(),
            barcode: self.barcode.as_str().to_owned(),
            size: Some(self.size.to_wire()),
            weight_g: self.weight.0,
            credential_id: self.credential.0.to_vec(),
            traceparent: convert::trace_to_wire(self.trace.as_ref()),
            terms: convert::unless_default(&self.terms),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            parcel: convert::id("Booking.parcel_id", &form.parcel_id)?,
            version: Version(form.version),
            carrier: convert::text("Booking.carrier", &form.carrier)?,
            barcode: convert::text("Booking.barcode", &form.barcode)?,
            size: required("Booking.size", form.size)?,
            weight: Grams(form.weight_g),
            credential: convert::id("Booking.credential_id", &form.credential_id)?,
            trace: convert::trace("Booking.traceparent", &form.traceparent)?,
            terms: convert::or_default(form.terms)?,
        })
    }
}

impl Wire for Terms {
    type Form = wire::Terms;

    fn to_wire(&self) -> Self::Form {
        wire::Terms {
            hard: self.hard,
            book_until_ms: self.book_until.map(|until| until.0),
            keep_ms: self.keep_ms,
            keep_until_ms: self.keep_until.map(|until| until.0),
            group_id: self.group.map(|id| id.0.to_vec()).unwrap_or_default(),
            suffix_tag: convert::suffix_to_wire(self.suffix),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            hard: form.hard,
            book_until: form.book_until_ms.map(UnixMillis),
            keep_ms: form.keep_ms,
            keep_until: form.keep_until_ms.map(UnixMillis),
            group: convert::maybe_id("Terms.group_id", &form.group_id)?,
            suffix: convert::maybe_suffix("Terms.suffix_tag", &form.suffix_tag)?,
        })
    }
}

impl Wire for Dimensions {
    type Form = wire::Dimensions;

    fn to_wire(&self) -> Self::Form {
        let &Self { length_mm, width_mm, height_mm } = self;
        wire::Dimensions { length_mm, width_mm, height_mm }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        let wire::Dimensions { length_mm, width_mm, height_mm } = form;
        Ok(Self { length_mm, width_mm, height_mm })
    }
}

same_names!(RecallReason, wire::RecallReason, Expired, Sender, Safety, Refused);
