//! How streams begin and are sealed, in wire form: the opening with what it goes on from, seals, changed keys, and state that
//! is carried over.

use locker_core::journal::{KeyChanged, Parent, Sealed, StateCarried, StreamOpened};

use crate::convert::{self, Wire};
use crate::entity::{entity_from_wire, entity_to_wire};
use crate::malformed::Malformed;
use crate::wire::journal::v1 as wire;

impl Wire for StreamOpened {
    type Form = wire::StreamOpened;

    fn to_wire(&self) -> Self::Form {
        let parent = self.parent.as_ref();
        wire::StreamOpened {
            bank: self.bank.as_str().to_owned(),
            device_key_sha256: self.device_key.to_vec(),
            parent_stream_id: parent.map(|parent| parent.stream.0.to_vec()).unwrap_or_default(),
            parent_common: parent.and_then(|parent| parent.common).map(|common| common.to_wire()),
            parent_reason: convert::maybe_number(parent.and_then(|parent| parent.reason)),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        let device_key = &form.device_key_sha256;
        let stream = convert::maybe_id("StreamOpened.parent_stream_id", &form.parent_stream_id)?;
        let common = form.parent_common.map(Wire::from_wire).transpose()?;
        let reason = convert::maybe_choice("StreamOpened.parent_reason", form.parent_reason)?;
        Ok(Self {
            bank: convert::text("StreamOpened.bank", &form.bank)?,
            device_key: convert::exact("StreamOpened.device_key_sha256", device_key)?,
            parent: stream.map(|stream| Parent { stream, common, reason }),
        })
    }
}

impl Wire for Sealed {
    type Form = wire::Sealed;

    fn to_wire(&self) -> Self::Form {
        wire::Sealed {
            upto_seq: self.upto,
            hash: self.hash.0.to_vec(),
            fold_version: self.fold_version,
            projection: self.projection.to_vec(),
            signature: self.signature.to_vec(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            upto: form.upto_seq,
            hash: convert::hash("Sealed.hash", &form.hash)?,
            fold_version: form.fold_version,
            projection: convert::exact("Sealed.projection", &form.projection)?,
            signature: convert::exact("Sealed.signature", &form.signature)?,
        })
    }
}

impl Wire for KeyChanged {
    type Form = wire::KeyChanged;

    fn to_wire(&self) -> Self::Form {
        wire::KeyChanged {
            old_key_sha256: self.old.map(|old| old.to_vec()).unwrap_or_default(),
            new_key_sha256: self.new.to_vec(),
            signature: self.signature.map(|signature| signature.to_vec()).unwrap_or_default(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            old: convert::maybe_exact("KeyChanged.old_key_sha256", &form.old_key_sha256)?,
            new: convert::exact("KeyChanged.new_key_sha256", &form.new_key_sha256)?,
            signature: convert::maybe_exact("KeyChanged.signature", &form.signature)?,
        })
    }
}

impl Wire for StateCarried {
    type Form = wire::StateCarried;

    fn to_wire(&self) -> Self::Form {
        let entities = self.entities().iter();
        // Nothing that is carried removes anything, so nothing is left out.
        wire::StateCarried {
            entities: entities.filter_map(|one| entity_to_wire(one).ok()).collect(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        let entities = form.entities.into_iter().map(entity_from_wire);
        Ok(Self::new(entities.collect::<Result<_, _>>()?))
    }
}
