//! Whether a device key is a bank's: some authority says so in a certificate, or nobody does.

use std::sync::Arc;

use locker_core::ids::BankId;
use locker_core::units::UnixMillis;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::Identity;
use crate::tls::DeviceKey;

/// Why a key does not count as the bank's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnchorError {
    /// No authority was given, or it is none.
    #[error("the authorities given cannot be used: {0}")]
    Authorities(String),
    /// There is no certificate for it.
    #[error("no certificate of bank {bank} for the key is there")]
    NoCertificate {
        /// Whose it should be.
        bank: BankId,
    },
    /// The certificate does not count.
    #[error("the certificate of bank {bank} for the key does not hold: {reason}")]
    NotIssued {
        /// Whose it is.
        bank: BankId,
        /// What is wrong with it.
        reason: String,
    },
}

/// Whether one of `certificates` says that the key is the bank's and was, at the time `at`, good by the word of one of
/// `authorities`. The others serve as intermediate ones.
///
/// # Errors
///
/// See [`AnchorError`].
pub fn anchor(
    authorities: &[Vec<u8>],
    certificates: &[Vec<u8>],
    bank: &BankId,
    key: &[u8; 32],
    at: UnixMillis,
) -> Result<(), AnchorError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        let added = roots.add(CertificateDer::from(authority.clone()));
        added.map_err(|error| AnchorError::Authorities(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| AnchorError::Authorities(error.to_string()))?;
    let all: Vec<CertificateDer<'static>> =
        certificates.iter().cloned().map(CertificateDer::from).collect();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_millis(at.0));
    let mut found = AnchorError::NoCertificate { bank: bank.clone() };
    for leaf in all.iter().filter(|der| is_of(der, bank, key)) {
        match verifier.verify_client_cert(leaf, &all, now) {
            Ok(_) => return Ok(()),
            Err(error) => {
                let (bank, reason) = (bank.clone(), error.to_string());
                found = AnchorError::NotIssued { bank, reason };
            }
        }
    }
    Err(found)
}

fn is_of(der: &[u8], bank: &BankId, key: &[u8; 32]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    let held = DeviceKey::of_spki(certificate.public_key().raw);
    held.is_some_and(|held| held.hash == *key)
        && Identity::of_certificate(der) == Ok(Identity::Bank(bank.clone()))
}
