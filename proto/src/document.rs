//! The hub's whole documents for a bank, each with its generation: layout, keys, mode, quota,
//! couriers' codes.

use locker_core::code::keypad_code::{COURIER_CODES_MAX, CourierCodes, KeypadCode, Validity};
use locker_core::compartment::{CompartmentSpec, Layout, LockPosition};
use locker_core::credential::{CommandKey, CredentialKey, KeySet, RootKey};
use locker_core::downlink::{Mode, Quota};
use locker_core::ids::Generation;
use locker_core::units::UnixMillis;

use crate::convert::{self, Wire, from_list, list, required};
use crate::malformed::Malformed;
use crate::wire::journal::v1 as wire;

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

/// A mode as the hub and the bank keep it.
#[must_use]
pub fn encode_mode(mode: &Mode) -> Vec<u8> {
    convert::encode(mode)
}

/// Reads what [`encode_mode`] wrote.
///
/// # Errors
///
/// The bytes are something else.
pub fn decode_mode(bytes: &[u8]) -> Result<Mode, Malformed> {
    convert::decode(bytes)
}

/// A quota as the hub and the bank keep it.
#[must_use]
pub fn encode_quota(quota: &Quota) -> Vec<u8> {
    convert::encode(quota)
}

/// Reads what [`encode_quota`] wrote.
///
/// # Errors
///
/// The bytes are something else. Whether the quota makes sense is for [`Quota::is_sound`].
pub fn decode_quota(bytes: &[u8]) -> Result<Quota, Malformed> {
    convert::decode(bytes)
}

/// Couriers' codes as the hub and the bank keep them.
#[must_use]
pub fn encode_courier_codes(codes: &CourierCodes) -> Vec<u8> {
    convert::encode(codes)
}

/// Reads what [`encode_courier_codes`] wrote.
///
/// # Errors
///
/// The bytes are something else. Whether they make sense is for [`CourierCodes::is_sound`].
pub fn decode_courier_codes(bytes: &[u8]) -> Result<CourierCodes, Malformed> {
    convert::decode(bytes)
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

impl Wire for CommandKey {
    type Form = wire::CommandKey;

    fn to_wire(&self) -> Self::Form {
        wire::CommandKey { kid: self.kid.into(), public_key: self.public.to_vec() }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            kid: convert::byte("CommandKey.kid", form.kid)?,
            public: convert::exact("CommandKey.public_key", &form.public_key)?,
        })
    }
}

impl Wire for KeySet {
    type Form = wire::KeySet;

    fn to_wire(&self) -> Self::Form {
        wire::KeySet {
            generation: self.generation.0,
            keys: list(&self.keys),
            command: list(&self.command),
            root_key: self.root.map(|RootKey(key)| key.to_vec()).unwrap_or_default(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        let root = (!form.root_key.is_empty())
            .then(|| convert::exact("KeySet.root_key", &form.root_key).map(RootKey));
        Ok(Self {
            generation: Generation(form.generation),
            keys: from_list(form.keys)?,
            command: from_list(form.command)?,
            root: root.transpose()?,
        })
    }
}

impl Wire for Mode {
    type Form = wire::Mode;

    fn to_wire(&self) -> Self::Form {
        wire::Mode { generation: self.generation.0, maintenance: self.maintenance }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self { generation: Generation(form.generation), maintenance: form.maintenance })
    }
}

impl Wire for Quota {
    type Form = wire::Quota;

    fn to_wire(&self) -> Self::Form {
        let ceded = self.ceded.iter().map(|(size, count)| wire::CededSize {
            inside: Some(size.to_wire()),
            count: (*count).into(),
        });
        wire::Quota { generation: self.generation.0, ceded: ceded.collect() }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        let ceded = form.ceded.into_iter().map(|ceded| {
            let size = required("CededSize.inside", ceded.inside)?;
            Ok((size, convert::short("CededSize.count", ceded.count)?))
        });
        let ceded = ceded.collect::<Result<_, _>>()?;
        Ok(Self { generation: Generation(form.generation), ceded })
    }
}

impl Wire for KeypadCode {
    type Form = wire::KeypadCode;

    fn to_wire(&self) -> Self::Form {
        wire::KeypadCode {
            slot: Some(self.slot.to_wire()),
            carrier: self.carrier.as_str().to_owned(),
            from_ms: self.valid.from.0,
            until_ms: self.valid.until.0,
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        let (from, until) = (UnixMillis(form.from_ms), UnixMillis(form.until_ms));
        Ok(Self {
            slot: required("KeypadCode.slot", form.slot)?,
            carrier: convert::text("KeypadCode.carrier", &form.carrier)?,
            valid: Validity { from, until },
        })
    }
}

impl Wire for CourierCodes {
    type Form = wire::CourierCodes;

    fn to_wire(&self) -> Self::Form {
        wire::CourierCodes { generation: self.generation.0, codes: list(&self.codes) }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        // So a record of its acceptance stays small.
        let codes = convert::at_most("CourierCodes.codes", form.codes, COURIER_CODES_MAX)?;
        Ok(Self { generation: Generation(form.generation), codes: from_list(codes)? })
    }
}
