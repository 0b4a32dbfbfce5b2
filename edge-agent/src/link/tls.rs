//! The bank's identity on the network, and whom it takes for the hub.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// Why the bank's identity could not be loaded.
#[derive(Debug, Error)]
pub enum IdentityError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{path} holds no certificate")]
    NoCertificate { path: PathBuf },
    #[error("{path} cannot be used")]
    Unusable { path: PathBuf, source: rustls::Error },
    #[error("the key in {path} has no public half")]
    NoPublicKey { path: PathBuf },
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// The bank's identity.
#[derive(Clone, Debug)]
pub struct Identity {
    pub tls: Arc<ClientConfig>,
    /// SHA-256 of the device key's SubjectPublicKeyInfo.
    pub device_key: [u8; 32],
}

/// Loads certificates and key.
///
/// # Errors
///
/// Names the file that is wrong.
pub fn load(ca: &Path, certificate: &Path, key: &Path) -> Result<Identity, IdentityError> {
    let mut roots = RootCertStore::empty();
    for anchor in certificates(ca)? {
        let unusable = |source| IdentityError::Unusable { path: ca.to_owned(), source };
        roots.add(anchor).map_err(unusable)?;
    }
    let chain = certificates(certificate)?;
    let read = |source| IdentityError::Read { path: key.to_owned(), source };
    let private = PrivateKeyDer::from_pem_file(key).map_err(read)?;
    let unusable = |source| IdentityError::Unusable { path: key.to_owned(), source };
    let provider = Arc::new(default_provider());
    let signing = provider.key_provider.load_private_key(private.clone_key()).map_err(unusable)?;
    let no_public_key = || IdentityError::NoPublicKey { path: key.to_owned() };
    let public = signing.public_key().ok_or_else(no_public_key)?;
    let hash = digest(&SHA256, public.as_ref());
    let device_key = hash.as_ref().try_into().map_err(|_| no_public_key())?;
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(IdentityError::Tls)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, private)
        .map_err(unusable)?;
    Ok(Identity { tls: Arc::new(tls), device_key })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let read = |source| IdentityError::Read { path: path.to_owned(), source };
    let found = CertificateDer::pem_file_iter(path).map_err(read)?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(read)?;
    if found.is_empty() {
        return Err(IdentityError::NoCertificate { path: path.to_owned() });
    }
    Ok(found)
}
