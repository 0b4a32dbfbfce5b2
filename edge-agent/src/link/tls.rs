//! The bank's identity on the network, and whom it takes for the hub.
//!
//! A certificate is weighed by what the hub said of the time, never by the operating system's clock,
//! which after a power cut may say anything. A bank that does not know the time checks a certificate at
//! the earliest moment that it can be good for: not before the highest time ever heard, nor before the
//! certificate itself. That proves whose key it is and not that it still counts, so such a connection is
//! for birth and ack alone until [`Presented::holds_at`] the time that the ack told.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use locker_core::units::UnixMillis;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore};
use rustls::{Error as TlsError, SignatureScheme};
use thiserror::Error;
use tokio::sync::watch;

use crate::bank::KnownTime;

/// Certificates of a chain that may each be newer than the one before.
const CHAIN_MAX: usize = 8;

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
    #[error("{path} holds nothing that a hub could be recognised by")]
    NoAnchor { path: PathBuf, source: rustls::client::VerifierBuilderError },
}

/// The bank's identity.
#[derive(Clone, Debug)]
pub struct Identity {
    pub tls: HubTls,
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
    let no_anchor = |source| IdentityError::NoAnchor { path: ca.to_owned(), source };
    let anchored =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let anchored = anchored.build().map_err(no_anchor)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(IdentityError::Tls)?
        .with_webpki_verifier(Arc::clone(&anchored))
        .with_client_auth_cert(chain, private)
        .map_err(unusable)?;
    Ok(Identity { tls: HubTls { config, anchored }, device_key })
}

/// How the bank connects to its hub, whatever it knows of the time.
#[derive(Clone, Debug)]
pub struct HubTls {
    config: ClientConfig,
    anchored: Arc<WebPkiServerVerifier>,
}

impl HubTls {
    /// For one connection. If the bank does not know the time, also what the hub will have presented in
    /// it, to be weighed again.
    #[must_use]
    pub fn connection(
        &self,
        time: &watch::Receiver<KnownTime>,
    ) -> (Arc<ClientConfig>, Option<Presented>) {
        let unknown = time.borrow().now().is_none();
        let presented = Presented { anchored: Arc::clone(&self.anchored), chain: Arc::default() };
        let chain = unknown.then(|| Arc::clone(&presented.chain));
        let by_known_time =
            ByKnownTime { anchored: Arc::clone(&self.anchored), time: time.clone(), chain };
        let mut config = self.config.clone();
        config.dangerous().set_certificate_verifier(Arc::new(by_known_time));
        if unknown {
            // Whoever resumes a session is not asked for a certificate any more.
            config.resumption = Resumption::disabled();
        }
        (Arc::new(config), unknown.then_some(presented))
    }
}

/// What a hub presented to a bank that did not know the time.
#[derive(Clone, Debug)]
pub struct Presented {
    anchored: Arc<WebPkiServerVerifier>,
    chain: Arc<Mutex<Option<Chain>>>,
}

#[derive(Clone, Debug)]
struct Chain {
    end_entity: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    name: ServerName<'static>,
}

impl Presented {
    /// Weighs the same certificates again, now that the bank knows the time.
    ///
    /// # Errors
    ///
    /// They do not count at that time, or there were none.
    pub fn holds_at(&self, now: UnixMillis) -> Result<(), TlsError> {
        let chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(Chain { end_entity, intermediates, name }) = chain else {
            return Err(TlsError::NoCertificatesPresented);
        };
        let (end_entity, now) = (&end_entity, unix_time(now));
        self.anchored
            .verify_server_cert(end_entity, &intermediates, &name, &[], now)
            .map(|ServerCertVerified { .. }| ())
    }
}

/// The usual checks, by the bank's own time.
#[derive(Debug)]
struct ByKnownTime {
    anchored: Arc<WebPkiServerVerifier>,
    time: watch::Receiver<KnownTime>,
    /// Where to put what was presented, if the time was not known.
    chain: Option<Arc<Mutex<Option<Chain>>>>,
}

impl ServerCertVerifier for ByKnownTime {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _system_time: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let at = |now| {
            let (anchored, name) = (&self.anchored, server_name);
            anchored.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
        };
        let time = *self.time.borrow();
        let Some(chain) = &self.chain else {
            return at(unix_time(time.now().unwrap_or_else(|| time.floor())));
        };
        let verified = at_the_earliest(unix_time(time.floor()), at)?;
        let own = |certificate: &CertificateDer<'_>| certificate.clone().into_owned();
        *chain.lock().unwrap_or_else(PoisonError::into_inner) = Some(Chain {
            end_entity: own(end_entity),
            intermediates: intermediates.iter().map(own).collect(),
            name: server_name.to_owned(),
        });
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.anchored.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.anchored.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.anchored.supported_verify_schemes()
    }
}

/// At `floor`, or as soon after it as every certificate has begun to count.
fn at_the_earliest(
    floor: UnixTime,
    at: impl Fn(UnixTime) -> Result<ServerCertVerified, TlsError>,
) -> Result<ServerCertVerified, TlsError> {
    let mut now = floor;
    for _ in 0..CHAIN_MAX {
        match at(now) {
            Err(TlsError::InvalidCertificate(CertificateError::NotValidYetContext {
                not_before,
                ..
            })) if not_before > now => now = not_before,
            done => return done,
        }
    }
    at(now)
}

const fn unix_time(at: UnixMillis) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(at.0))
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
