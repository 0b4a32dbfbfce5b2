//! Whether the device key stands for what a bank has told: seals, and changes of the key itself.
//!
//! What does not hold is stored like everything else, because the bank could never send anything
//! else in its place; but somebody must know, and it is counted.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use locker_core::fact::Fact;
use locker_core::journal::seal::{self, StateCheck};
use locker_core::journal::{FOLD_VERSION, KeyChanged, MemoryView, Record, View as _};

use crate::tls::DeviceKey;

/// What came of the seals in a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seals {
    /// Those that hold; of how many the states were compared, too.
    pub(super) held: u64,
    pub(super) compared: u64,
    /// What is wrong, in words.
    pub(super) broken: Vec<String>,
}

impl Seals {
    /// Looks at a record before it is folded into `view`. `is_whole`: nothing before it was
    /// unreadable, so that the states can be compared.
    pub(super) fn look(
        &mut self,
        view: &MemoryView,
        record: &Record,
        keys: &[DeviceKey],
        is_whole: bool,
    ) {
        if let Fact::KeyChanged(changed) = &record.fact {
            self.look_at_change(record, changed, keys);
        }
        let Fact::Sealed(sealed) = &record.fact else { return };
        let named = view.meta().device_key;
        let state = is_whole.then(|| (FOLD_VERSION, seal::projection(view)));
        let verify = |message: &[u8], signature: &[u8; 64]| {
            let key = keys.iter().find(|key| named == Some(key.hash));
            key.is_some_and(|key| holds(key, message, signature))
        };
        match seal::check(record, sealed, state, verify) {
            Ok(check) => {
                self.held += 1;
                self.compared += u64::from(check == StateCheck::Same);
            }
            Err(error) => self.broken.push(error.to_string()),
        }
    }

    /// A key that the one before it does not vouch for may be a thief's; its certificate was given
    /// out nevertheless, so that only a person can tell.
    fn look_at_change(&mut self, record: &Record, changed: &KeyChanged, keys: &[DeviceKey]) {
        let seq = record.seq;
        let Some((old, signature)) = changed.old.zip(changed.signature) else {
            self.broken.push(format!("device key changed at {seq}, and the old one did not sign"));
            return;
        };
        let message = changed.signed_bytes(record.stream, seq);
        let key = keys.iter().find(|key| key.hash == old);
        if !key.is_some_and(|key| holds(key, &message, &signature)) {
            self.broken.push(format!(
                "the change of the device key at {seq} is not signed by the old one"
            ));
        }
    }
}

fn holds(key: &DeviceKey, message: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.point).verify(message, signature).is_ok()
}
