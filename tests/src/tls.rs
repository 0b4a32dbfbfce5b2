//! TLS as a client of our own making, so that it can be wrong in every way.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::pki::ClientFiles;

/// How long a server may take to turn a stranger away.
const REFUSAL_LIMIT: Duration = Duration::from_secs(5);

/// Settings that trust `authority`, with a client certificate or without.
///
/// # Errors
///
/// A file cannot be used.
pub fn client_config(authority: &Path, client: Option<&ClientFiles>) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for anchor in certificates(authority)? {
        roots.add(anchor)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match client {
        Some(files) => {
            let key = PrivateKeyDer::from_pem_file(&files.key)?;
            builder.with_client_auth_cert(certificates(&files.certificate)?, key)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// Whether the server at `address` turns a client with these settings away: by a failed handshake,
/// or, as TLS 1.3 lets the client believe that all is well first, by closing right after it.
///
/// # Errors
///
/// It does neither in time, or nobody listens.
pub async fn is_turned_away(address: SocketAddr, config: Arc<ClientConfig>) -> Result<bool> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost")?;
    let refusal = async {
        let Ok(mut stream) = TlsConnector::from(config).connect(name, stream).await else {
            return true;
        };
        !matches!(stream.read(&mut [0; 1]).await, Ok(1..))
    };
    tokio::time::timeout(REFUSAL_LIMIT, refusal).await.context("the server keeps the connection")
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>()?;
    Ok(found)
}
