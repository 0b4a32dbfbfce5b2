//! The device key as far as the agent signs with it by itself: seals, and the change to another key. TLS has its own hold
//! of the same file.

use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::encoding::PublicKeyX509Der;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

/// Why a file holds no device key.
#[derive(Debug, Error)]
pub enum DeviceKeyError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("the key in {path} is not an ECDSA P-256 key")]
    NotP256 { path: PathBuf },
}

/// Whoever can sign for the bank: a file here, a chip elsewhere.
pub trait Signer: Send {
    /// SHA-256 of the key's SubjectPublicKeyInfo.
    fn key(&self) -> [u8; 32];
    /// ECDSA P-256 over SHA-256 of `message`, r and s; none if the key cannot be used now.
    fn sign(&self, message: &[u8]) -> Option<[u8; 64]>;
}

/// A device key in a PEM file.
pub struct DeviceKey {
    pair: EcdsaKeyPair,
    key: [u8; 32],
}

impl DeviceKey {
    /// Reads a key in PKCS #8 or SEC 1 form.
    ///
    /// # Errors
    ///
    /// Names the file.
    pub fn load(path: &Path) -> Result<Self, DeviceKeyError> {
        let read = |source| DeviceKeyError::Read { path: path.to_owned(), source };
        let not_p256 = || DeviceKeyError::NotP256 { path: path.to_owned() };
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = match PrivateKeyDer::from_pem_file(path).map_err(read)? {
            PrivateKeyDer::Pkcs8(der) => {
                EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der()).ok()
            }
            PrivateKeyDer::Sec1(der) => {
                EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der()).ok()
            }
            PrivateKeyDer::Pkcs1(_) | _ => None,
        };
        let pair = pair.ok_or_else(not_p256)?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| not_p256())?;
        let key = digest(&SHA256, public.as_ref());
        let key = key.as_ref().try_into().map_err(|_| not_p256())?;
        Ok(Self { pair, key })
    }
}

impl Signer for DeviceKey {
    fn key(&self) -> [u8; 32] {
        self.key
    }

    fn sign(&self, message: &[u8]) -> Option<[u8; 64]> {
        let signature = self.pair.sign(&SystemRandom::new(), message).ok()?;
        signature.as_ref().try_into().ok()
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey")
    }
}

#[cfg(test)]
mod tests;
