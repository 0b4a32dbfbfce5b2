//! Which certificates no longer count, for connections that are up already: rustls checks
//! revocation lists in the handshake only, and a bank's session can live for weeks.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::peer::serial_key;
use super::{Peer, TlsError};

/// The set of revoked certificates, shared by all listeners and sessions of a hub. Its size is
/// that of the revocation lists plus what was revoked by hand since.
#[derive(Debug, Clone, Default)]
pub struct Revocations(Arc<RwLock<Sets>>);

#[derive(Debug, Default)]
struct Sets {
    /// SHA-256 of certificates revoked one by one.
    certificates: HashSet<[u8; 32]>,
    /// Issuer and serial of what the loaded revocation lists name.
    listed: HashSet<[u8; 32]>,
}

impl Revocations {
    /// Refuses this certificate from now on.
    pub fn revoke(&self, certificate: [u8; 32]) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).certificates.insert(certificate);
    }

    /// Whether the peer's certificate has been revoked in either way.
    #[must_use]
    pub fn contains(&self, peer: &Peer) -> bool {
        let sets = self.0.read().unwrap_or_else(PoisonError::into_inner);
        sets.certificates.contains(&peer.certificate) || sets.listed.contains(&peer.serial)
    }

    /// Puts what the newly loaded lists name in place of what the old ones named.
    pub(super) fn replace_listed(&self, listed: Vec<[u8; 32]>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).listed =
            listed.into_iter().collect();
    }
}

/// The keys of everything that a revocation list names.
pub(super) fn serials_of_list(der: &[u8], path: &Path) -> Result<Vec<[u8; 32]>, TlsError> {
    let (_, list) = CertificateRevocationList::from_der(der)
        .map_err(|_| TlsError::RevocationList { path: path.to_owned() })?;
    let issuer = list.issuer().as_raw();
    Ok(list
        .iter_revoked_certificates()
        .map(|revoked| serial_key(issuer, revoked.raw_serial()))
        .collect())
}
