//! Who is at the other end of a TLS connection, as one small value that travels with it.

use std::net::SocketAddr;

use aws_lc_rs::digest;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::{Identity, IdentityError};

/// What the DER bytes of a P-256 public key begin with, before its point (RFC 5480, section 2).
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Bytes of an uncompressed point.
const POINT_BYTES: usize = 65;

/// A public key on P-256 whose private half the other end has proved to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceKey {
    /// SHA-256 of its SubjectPublicKeyInfo's DER bytes: how a bank's journal names it.
    pub hash: [u8; 32],
    /// Uncompressed.
    pub point: [u8; POINT_BYTES],
}

impl DeviceKey {
    /// Reads a SubjectPublicKeyInfo; `None` if it is of another kind.
    #[must_use]
    pub fn of_spki(der: &[u8]) -> Option<Self> {
        let point = der.strip_prefix(&P256_PREFIX)?;
        Some(Self { hash: sha256(&[der]), point: point.try_into().ok()? })
    }

    /// Its SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        [&P256_PREFIX[..], &self.point].concat()
    }
}

/// The holder of a verified client certificate, and where it called from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who the certificate says it is.
    pub identity: Identity,
    /// SHA-256 of the certificate's DER bytes.
    pub certificate: [u8; 32],
    /// SHA-256 over issuer and serial number: how revocation lists name it.
    pub serial: [u8; 32],
    /// Its key, if that is one of a device.
    pub key: Option<DeviceKey>,
    /// When the certificate ends, in seconds since 1970.
    pub expires_s: i64,
    /// The address of the connection.
    pub address: SocketAddr,
}

impl Peer {
    /// Reads what we keep of a certificate whose chain has been verified already.
    ///
    /// # Errors
    /// When the certificate names no identity of ours.
    pub fn of_certificate(der: &[u8], address: SocketAddr) -> Result<Self, IdentityError> {
        let identity = Identity::of_certificate(der)?;
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| IdentityError::Certificate)?;
        Ok(Self {
            identity,
            certificate: sha256(&[der]),
            serial: serial_key(certificate.issuer().as_raw(), certificate.raw_serial()),
            key: DeviceKey::of_spki(certificate.public_key().raw),
            expires_s: certificate.validity().not_after.timestamp(),
            address,
        })
    }
}

/// The key under which a certificate is looked up among the listed ones. The serial goes in
/// without leading zero bytes, whatever its encoder did.
pub(super) fn serial_key(issuer_der: &[u8], serial: &[u8]) -> [u8; 32] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    sha256(&[&sha256(&[issuer_der]), &serial[zeros..]])
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
