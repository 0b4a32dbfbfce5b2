//! Configuration documents taken over or not, in wire form.
//!
//! Banks wrote the first four kinds before documents had an epoch, each under a field of its own. What
//! has no epoch is still written so, and everything else with its epoch.

use locker_core::downlink::{ConfigAccepted, ConfigDocument};
use locker_core::downlink::{ConfigKind, ConfigRefusal, ConfigRefused};
use locker_core::fact::Fact;
use locker_core::ids::{Generation, HubEpoch};

use crate::convert::{Wire, WireEnum, choice, present, same_names};
use crate::malformed::Malformed;
use crate::wire::journal::v1 as wire;
use crate::wire::journal::v1::config_accepted::Document as DocumentForm;
use crate::wire::journal::v1::record::Fact as Form;

pub(super) fn accepted_to_wire(accepted: &ConfigAccepted) -> Form {
    if accepted.epoch != HubEpoch(0) {
        return Form::ConfigAccepted(accepted.to_wire());
    }
    match &accepted.document {
        ConfigDocument::Layout(layout) => Form::LayoutAccepted(layout.to_wire()),
        ConfigDocument::KeySet(keys) => Form::KeySetAccepted(keys.to_wire()),
        ConfigDocument::Mode(mode) => Form::ModeAccepted(mode.to_wire()),
        ConfigDocument::Quota(quota) => Form::QuotaAccepted(quota.to_wire()),
        ConfigDocument::CourierCodes(_) => Form::ConfigAccepted(accepted.to_wire()),
    }
}

/// A document under a field of its own.
pub(super) fn without_epoch<T: Wire>(
    document: impl FnOnce(T) -> ConfigDocument,
    form: T::Form,
) -> Result<Fact, Malformed> {
    Ok(Fact::ConfigAccepted(document(T::from_wire(form)?).into()))
}

impl Wire for ConfigAccepted {
    type Form = wire::ConfigAccepted;

    fn to_wire(&self) -> Self::Form {
        let document = match &self.document {
            ConfigDocument::Layout(layout) => DocumentForm::Layout(layout.to_wire()),
            ConfigDocument::KeySet(keys) => DocumentForm::KeySet(keys.to_wire()),
            ConfigDocument::Mode(mode) => DocumentForm::Mode(mode.to_wire()),
            ConfigDocument::Quota(quota) => DocumentForm::Quota(quota.to_wire()),
            ConfigDocument::CourierCodes(codes) => DocumentForm::CourierCodes(codes.to_wire()),
        };
        wire::ConfigAccepted { epoch: self.epoch.0, document: Some(document) }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        let document = match present("ConfigAccepted.document", form.document)? {
            DocumentForm::Layout(form) => ConfigDocument::Layout(Wire::from_wire(form)?),
            DocumentForm::KeySet(form) => ConfigDocument::KeySet(Wire::from_wire(form)?),
            DocumentForm::Mode(form) => ConfigDocument::Mode(Wire::from_wire(form)?),
            DocumentForm::Quota(form) => ConfigDocument::Quota(Wire::from_wire(form)?),
            DocumentForm::CourierCodes(form) => {
                ConfigDocument::CourierCodes(Wire::from_wire(form)?)
            }
        };
        Ok(Self { epoch: HubEpoch(form.epoch), document })
    }
}

impl Wire for ConfigRefused {
    type Form = wire::ConfigRefused;

    fn to_wire(&self) -> Self::Form {
        wire::ConfigRefused {
            kind: self.kind.number(),
            generation: self.generation.0,
            reason: self.reason.number(),
            epoch: self.epoch.0,
        }
    }

    fn from_wire(form: Self::Form) -> Result<Self, Malformed> {
        Ok(Self {
            kind: choice("ConfigRefused.kind", form.kind)?,
            epoch: HubEpoch(form.epoch),
            generation: Generation(form.generation),
            reason: choice("ConfigRefused.reason", form.reason)?,
        })
    }
}

same_names!(ConfigKind, wire::ConfigKind, Layout, KeySet, Mode, Quota, CourierCodes);
same_names!(ConfigRefusal, wire::ConfigRefusal, Unsound, CompartmentInUse);
