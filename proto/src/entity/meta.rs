//! What there is one of in a bank, in wire form.

use locker_core::downlink::ConfigEpochs;
use locker_core::governor::{Governor, REMEMBERED_MAX, TRIPS_MAX};
use locker_core::ids::{Generation, HubEpoch, IntentId};
use locker_core::journal::{LastPickup, Lockdown, Meta, Parent, Place, StreamBreak};
use locker_core::units::UnixMillis;

use crate::convert::unless_default;
use crate::convert::{self, Wire, WireEnum, choice, or_default, required, same_names};
use crate::malformed::Malformed;
use crate::wire::journal::v1 as wire;

impl Wire for Meta {
    type Form = wire::Meta;

    fn to_wire(&self) -> Self::Form {
        wire::Meta {
            last_intent: self.last_intent.0,
            boot_count: self.boot_count,
            grants: Some(self.grants.to_wire()),
            layout_generation: self.layout.0,
            keys: Some(self.keys.to_wire()),
            mode: unless_default(&self.mode),
            quota: unless_default(&self.quota),
            lockdown: self.lockdown.as_ref().map(Wire::to_wire),
            config_epochs: unless_default(&self.config_epochs),
            last_pickup: self.last_pickup.as_ref().map(Wire::to_wire),
            on_battery: self.on_battery,
            device_key_sha256: self.device_key.map(|key| key.to_vec()).unwrap_or_default(),
            parent: self.parent.as_ref().map(Wire::to_wire),
            sealed_seq: self.sealed,
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            last_intent: IntentId(form.last_intent),
            boot_count: form.boot_count,
            grants: required("Meta.grants", form.grants)?,
            layout: Generation(form.layout_generation),
            keys: required("Meta.keys", form.keys)?,
            mode: or_default(form.mode)?,
            quota: or_default(form.quota)?,
            lockdown: form.lockdown.map(Wire::from_wire).transpose()?,
            config_epochs: or_default(form.config_epochs)?,
            last_pickup: form.last_pickup.map(Wire::from_wire).transpose()?,
            on_battery: form.on_battery,
            device_key: convert::maybe_exact("Meta.device_key_sha256", &form.device_key_sha256)?,
            parent: form.parent.map(Wire::from_wire).transpose()?,
            sealed: form.sealed_seq,
        })
    }
}

impl Wire for Place {
    type Form = wire::Place;

    fn to_wire(&self) -> Self::Form {
        wire::Place { seq: self.seq, hash: self.hash.0.to_vec() }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self { seq: form.seq, hash: convert::hash("Place.hash", &form.hash)? })
    }
}

same_names!(StreamBreak, wire::StreamBreak, Forked, Damaged, Replaced);

impl Wire for Parent {
    type Form = wire::Parent;

    fn to_wire(&self) -> Self::Form {
        wire::Parent {
            stream_id: self.stream.0.to_vec(),
            common: self.common.as_ref().map(Wire::to_wire),
            reason: convert::maybe_number(self.reason),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            stream: convert::id("Parent.stream_id", &form.stream_id)?,
            common: form.common.map(Wire::from_wire).transpose()?,
            reason: convert::maybe_choice("Parent.reason", form.reason)?,
        })
    }
}

impl Wire for ConfigEpochs {
    type Form = wire::ConfigEpochs;

    fn to_wire(&self) -> Self::Form {
        wire::ConfigEpochs {
            layout: self.layout.0,
            mode: self.mode.0,
            quota: self.quota.0,
            courier_codes: self.courier_codes.0,
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            layout: HubEpoch(form.layout),
            mode: HubEpoch(form.mode),
            quota: HubEpoch(form.quota),
            courier_codes: HubEpoch(form.courier_codes),
        })
    }
}

impl Wire for LastPickup {
    type Form = wire::LastPickup;

    fn to_wire(&self) -> Self::Form {
        wire::LastPickup {
            parcel_id: self.parcel.0.to_vec(),
            compartment: self.compartment.0.into(),
            credential_id: self.credential.0.to_vec(),
            until_ms: self.until.0,
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            parcel: convert::id("LastPickup.parcel_id", &form.parcel_id)?,
            compartment: convert::compartment("LastPickup.compartment", form.compartment)?,
            credential: convert::id("LastPickup.credential_id", &form.credential_id)?,
            until: UnixMillis(form.until_ms),
        })
    }
}

impl Wire for Lockdown {
    type Form = wire::Lockdown;

    fn to_wire(&self) -> Self::Form {
        let asked_by = self.lift_asked_by.map(|id| id.0.to_vec());
        wire::Lockdown {
            since_ms: self.since.0,
            reason: self.reason.number(),
            lift_asked_by_badge_id: asked_by.unwrap_or_default(),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        const ASKED_BY: &str = "Lockdown.lift_asked_by_badge_id";
        Ok(Self {
            since: UnixMillis(form.since_ms),
            reason: choice("Lockdown.reason", form.reason)?,
            lift_asked_by: convert::maybe_id(ASKED_BY, &form.lift_asked_by_badge_id)?,
        })
    }
}

impl Wire for Governor {
    type Form = wire::Governor;

    fn to_wire(&self) -> Self::Form {
        let ms = |times: &[UnixMillis]| times.iter().map(|at| at.0).collect();
        wire::Governor {
            courier_at_ms: ms(&self.courier),
            recipient_at_ms: ms(&self.recipient),
            staff_at_ms: ms(&self.staff),
            remote_at_ms: ms(&self.remote),
            trip_at_ms: ms(&self.trips),
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            courier: times("Governor.courier_at_ms", form.courier_at_ms, REMEMBERED_MAX)?,
            recipient: times("Governor.recipient_at_ms", form.recipient_at_ms, REMEMBERED_MAX)?,
            staff: times("Governor.staff_at_ms", form.staff_at_ms, REMEMBERED_MAX)?,
            remote: times("Governor.remote_at_ms", form.remote_at_ms, REMEMBERED_MAX)?,
            trips: times("Governor.trip_at_ms", form.trip_at_ms, TRIPS_MAX)?,
        })
    }
}

/// The governor forgets one time for each that it adds: more than `max` would stay for ever.
fn times(field: &'static str, ms: Vec<u64>, max: usize) -> Result<Vec<UnixMillis>, Malformed> {
    Ok(convert::at_most(field, ms, max)?.into_iter().map(UnixMillis).collect())
}
