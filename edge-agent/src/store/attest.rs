//! What the device key signs in the journal: seals, and the change to another key.

use locker_core::fact::Fact;
use locker_core::journal::{FOLD_VERSION, KeyChanged, Sealed, View, seal};

use super::{CommitError, Ledger, Stamp};
use crate::device_key::Signer;

impl Ledger {
    /// Seals with `signer` from here on. If the stream names another key, the change is recorded, signed by `old` if that
    /// is the one the stream names.
    ///
    /// # Errors
    ///
    /// See [`CommitError::is_final`].
    pub fn attest(
        &mut self,
        signer: Box<dyn Signer>,
        old: Option<&dyn Signer>,
        stamp: Stamp,
    ) -> Result<bool, CommitError> {
        let (named, new) = (self.view().meta().device_key, signer.key());
        self.signer = Some(signer);
        if named == Some(new) {
            return Ok(false);
        }
        let mut changed = KeyChanged { old: named, new, signature: None };
        if let Some(old) = old.filter(|old| named == Some(old.key())) {
            let seq = self.head().0 + 1;
            changed.signature = old.sign(&changed.signed_bytes(self.stream(), seq));
        }
        self.commit(&[Fact::KeyChanged(changed)], None, stamp)?;
        Ok(true)
    }

    /// How many records wait for a seal, if any do and there is something to sign with.
    #[must_use]
    pub fn unsealed(&self) -> Option<u64> {
        let unsealed = self.head().0.saturating_sub(self.view().meta().sealed);
        (self.signer.is_some() && unsealed > 0).then_some(unsealed)
    }

    /// The seal for all that is in the journal now; none if there is nothing to seal or nothing to sign with. It must be
    /// the next record.
    #[must_use]
    pub fn seal(&self) -> Option<Fact> {
        let (upto, hash) = self.head();
        if self.view().meta().sealed == upto {
            return None;
        }
        let signer = self.signer.as_ref()?;
        let projection = seal::projection(self.view());
        let fold_version = FOLD_VERSION;
        let mut sealed = Sealed { upto, hash, fold_version, projection, signature: [0; 64] };
        sealed.signature = signer.sign(&sealed.signed_bytes(self.stream()))?;
        Some(Fact::Sealed(sealed))
    }
}
