//! What the hub decides, as it travels to a bank and as it stands in journals: grants, layouts, keys.

use locker_core::compartment::{CompartmentSpec, Layout, LockPosition};
use locker_core::credential::{CredentialKey, KeySet};
use locker_core::downlink::{Booking, Grant, GrantPosition};
use locker_core::ids::{Generation, HubEpoch, Version};
use locker_core::units::{Dimensions, Grams};

use crate::convert::{self, Wire, from_list, list, present, required};
use crate::malformed::Malformed;
use crate::wire::journal::v1 as wire;

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

/// A layout as the hub and the bank keep it.
#[must_use]
pub fn encode_layout(layout: &Layout) -> Vec<u8> {
    convert::encode(layout)
}

/// Reads what [`encode_layout`] wrote.
///
/// # Errors
///
/// The bytes are something else. Whether the layout makes sense is for [`Layout::is_sound`].
pub fn decode_layout(bytes: &[u8]) -> Result<Layout, Malformed> {
    convert::decode(bytes)
}

/// A key set as the hub and the bank keep it.
#[must_use]
pub fn encode_key_set(keys: &KeySet) -> Vec<u8> {
    convert::encode(keys)
}

/// Reads what [`encode_key_set`] wrote.
///
/// # Errors
///
/// The bytes are something else. Whether the set makes sense is for [`KeySet::is_sound`].
pub fn decode_key_set(bytes: &[u8]) -> Result<KeySet, Malformed> {
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
        let grant = match self {
            Self::Book(booking) => wire::grant::Grant::Book(booking.to_wire()),
            Self::Cancel { parcel, version } => wire::grant::Grant::Cancel(wire::Cancellation {
                parcel_id: parcel.0.to_vec(),
                version: version.0,
            }),
        };
        wire::Grant { grant: Some(grant) }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(match present("Grant.grant", form.grant)? {
            wire::grant::Grant::Book(booking) => Self::Book(Booking::from_wire(booking)?),
            wire::grant::Grant::Cancel(cancellation) => Self::Cancel {
                parcel: convert::id("Cancellation.parcel_id", &cancellation.parcel_id)?,
                version: Version(cancellation.version),
            },
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

impl Wire for CompartmentSpec {
    type Form = wire::CompartmentSpec;

    fn to_wire(&self) -> Self::Form {
        wire::CompartmentSpec {
            no: self.no.0.into(),
            inside: Some(self.inside.to_wire()),
            board: self.lock.board.into(),
            lock: self.lock.lock.into(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            no: convert::compartment("CompartmentSpec.no", form.no)?,
            inside: required("CompartmentSpec.inside", form.inside)?,
            lock: LockPosition {
                board: convert::byte("CompartmentSpec.board", form.board)?,
                lock: convert::byte("CompartmentSpec.lock", form.lock)?,
            },
        })
    }
}

impl Wire for Layout {
    type Form = wire::Layout;

    fn to_wire(&self) -> Self::Form {
        wire::Layout { generation: self.generation.0, compartments: list(&self.compartments) }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        let compartments = from_list(form.compartments)?;
        Ok(Self { generation: Generation(form.generation), compartments })
    }
}

impl Wire for CredentialKey {
    type Form = wire::CredentialKey;

    fn to_wire(&self) -> Self::Form {
        wire::CredentialKey { kid: self.kid.into(), public_key: self.public.to_vec() }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            kid: convert::byte("CredentialKey.kid", form.kid)?,
            public: convert::exact("CredentialKey.public_key", &form.public_key)?,
        })
    }
}

impl Wire for KeySet {
    type Form = wire::KeySet;

    fn to_wire(&self) -> Self::Form {
        wire::KeySet { generation: self.generation.0, keys: list(&self.keys) }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self { generation: Generation(form.generation), keys: from_list(form.keys)? })
    }
}
