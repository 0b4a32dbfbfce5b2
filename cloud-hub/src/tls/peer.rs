//! Who is at the other end of a TLS connection, as one small value that travels with it.

use std::net::SocketAddr;

use aws_lc_rs::digest;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::{Identity, IdentityError};

/// The holder of a verified client certificate, and where it called from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who the certificate says it is.
    pub identity: Identity,
    /// SHA-256 of the certificate's DER bytes.
    pub certificate: [u8; 32],
    /// SHA-256 over issuer and serial number: how revocation lists name it.
    pub serial: [u8; 32],
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
