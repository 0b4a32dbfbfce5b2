//! What the device key signs in the journal: seals, and the change to another key.

use std::path::Path;

use locker_core::fact::Fact;
use locker_core::journal::{KeyChanged, Sealed, View, seal};
use tracing::warn;

use super::{CommitError, Ledger, Stamp};
use crate::device_key::{DeviceKey, Signer};

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

    /// As [`Self::attest`] with the key in this file; the one before it may lie beside it, with `.old` behind its name. A key
    /// that cannot sign is no reason to stay away: then nothing is sealed.
    ///
    /// # Errors
    ///
    /// As for [`Self::attest`], but a full disk is none.
    pub fn attest_with_file(&mut self, path: &Path, stamp: Stamp) -> Result<(), CommitError> {
        let signer = match DeviceKey::load(path) {
            Ok(signer) => signer,
            Err(error) => {
                warn!(%error, "records are not sealed");
                return Ok(());
            }
        };
        let mut beside = path.as_os_str().to_owned();
        beside.push(".old");
        let old = DeviceKey::load(Path::new(&beside)).ok();
        let old = old.as_ref().map(|old| old as &dyn Signer);
        match self.attest(Box::new(signer), old, stamp) {
            Ok(true) => warn!("device key is another one"),
            Ok(false) => {}
            // The next start says it.
            Err(error @ CommitError::OutOfSpace { .. }) => {
                warn!(%error, "change of keys not recorded")
            }
            Err(error) => return Err(error),
        }
        Ok(())
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
        let fold_version = self.fold.folded_by().number();
        let mut sealed = Sealed { upto, hash, fold_version, projection, signature: [0; 64] };
        sealed.signature = signer.sign(&sealed.signed_bytes(self.stream()))?;
        Some(Fact::Sealed(sealed))
    }
}
