//! TLS for every door of the hub: one place that decides which certificates, protocol versions
//! and revocations count, for the bank listener and for gRPC alike.
//!
//! The provider is named explicitly (aws-lc-rs), so nothing depends on a process-wide default.
//! There are no session tickets and no stored sessions: each connection shows its certificate
//! again, and a revoked one cannot come back by resumption.

mod listener;
mod peer;
mod pem;
mod revocation;

pub use listener::{BindError, Counters, Limits, Listener, PeerStream, Refusal};
pub use peer::{DeviceKey, Peer};
pub use revocation::Revocations;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// What a server needs on disk, all PEM.
#[derive(Debug, Clone)]
pub struct ServerFiles {
    /// The server's chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
    /// Every authority whose clients are let in; all certificates of the file count, so that two
    /// authorities can stand side by side while one replaces the other.
    pub client_authorities: PathBuf,
    /// Revocation lists; certificates of an authority without a list are not affected.
    pub revocation_lists: Vec<PathBuf>,
}

/// What a client needs on disk, all PEM.
#[derive(Debug, Clone)]
pub struct ClientFiles {
    /// Every authority that may have issued the server's certificate.
    pub authorities: PathBuf,
    /// The client's chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
}

/// The application protocol offered in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// MQTT names none.
    None,
    /// gRPC.
    H2,
}

impl Alpn {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::None => Vec::new(),
            Self::H2 => vec![b"h2".to_vec()],
        }
    }
}

/// A server's TLS settings, replaceable while listeners use them.
#[derive(Debug, Clone)]
pub struct ServerTls {
    current: Arc<RwLock<Arc<ServerConfig>>>,
    alpn: Alpn,
    revocations: Revocations,
}

impl ServerTls {
    /// Loads the settings. Listeners given the same `revocations` share live revocation.
    ///
    /// # Errors
    /// When a file cannot be read, holds nothing of its kind, or does not fit the others.
    pub fn load(
        files: &ServerFiles,
        alpn: Alpn,
        revocations: Revocations,
    ) -> Result<Self, TlsError> {
        let (config, listed) = server_config(files, alpn)?;
        revocations.replace_listed(listed);
        Ok(Self { current: Arc::new(RwLock::new(Arc::new(config))), alpn, revocations })
    }

    /// Loads the files again; new handshakes use them at once. What stands in a new revocation
    /// list also ends live MQTT sessions, at the next sweep.
    ///
    /// # Errors
    /// As [`Self::load`]; the settings in use stay as they are then.
    pub fn reload(&self, files: &ServerFiles) -> Result<(), TlsError> {
        let (config, listed) = server_config(files, self.alpn)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        self.revocations.replace_listed(listed);
        Ok(())
    }

    /// The live revocations that this server checks after each handshake.
    #[must_use]
    pub const fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Loads a client's settings, for `hubctl` and for tests.
///
/// # Errors
/// When a file cannot be read, holds nothing of its kind, or does not fit the others.
pub fn client_config(files: &ClientFiles, alpn: Alpn) -> Result<ClientConfig, TlsError> {
    let roots = authorities(&files.authorities)?;
    let chain = pem::certificates(&files.certificate)?;
    let key = pem::private_key(&files.key)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|source| TlsError::Pair {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            source,
        })?;
    config.alpn_protocols = alpn.protocols();
    Ok(config)
}

fn server_config(
    files: &ServerFiles,
    alpn: Alpn,
) -> Result<(ServerConfig, Vec<[u8; 32]>), TlsError> {
    let provider = provider();
    let roots = authorities(&files.client_authorities)?;
    let mut lists = Vec::new();
    let mut listed = Vec::new();
    for path in &files.revocation_lists {
        for list in pem::revocation_lists(path)? {
            listed.extend(revocation::serials_of_list(&list, path)?);
            lists.push(list);
        }
    }
    // Unknown status is allowed so that a list of one authority does not shut out the clients of
    // another that has none (yet).
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .with_crls(lists)
            .allow_unknown_revocation_status()
            .build()
            .map_err(|source| TlsError::Verifier {
                path: files.client_authorities.clone(),
                source,
            })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(pem::certificates(&files.certificate)?, pem::private_key(&files.key)?)
        .map_err(|source| TlsError::Pair {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            source,
        })?;
    config.alpn_protocols = alpn.protocols();
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok((config, listed))
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(path)? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::Authority { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Why TLS settings could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not PEM.
    #[error("{} is not a PEM file", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// Where it breaks.
        source: rustls::pki_types::pem::Error,
    },
    /// The file is PEM but holds nothing of the kind that is asked of it.
    #[error("no {wanted} in {}", path.display())]
    Nothing {
        /// Which file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
    /// A certificate of the file cannot serve as an authority.
    #[error("{} holds a certificate that cannot be an authority", path.display())]
    Authority {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// A revocation list cannot be read.
    #[error("{} holds a revocation list that cannot be read", path.display())]
    RevocationList {
        /// Which file.
        path: PathBuf,
    },
    /// The client check cannot be built from authorities and lists.
    #[error("no client check can be built from {} and the revocation lists", path.display())]
    Verifier {
        /// The authorities' file.
        path: PathBuf,
        /// What is missing.
        source: rustls::server::VerifierBuilderError,
    },
    /// Certificate and key do not belong together, or are of a kind we do not speak.
    #[error("{} and {} cannot be used together", certificate.display(), key.display())]
    Pair {
        /// The chain's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What does not fit.
        source: rustls::Error,
    },
    /// The provider cannot speak the default protocol versions.
    #[error("cryptography provider refuses the protocol versions")]
    Provider(#[source] rustls::Error),
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
