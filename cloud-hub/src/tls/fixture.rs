//! A throw-away PKI and clients of every kind, for the tests of this crate.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Alpn, ClientFiles, Revocations, ServerFiles, ServerTls, client_config};
use crate::pki::{DevPki, Issued, PkiSpec};

pub(crate) struct Fixture {
    pub(crate) directory: TempDir,
    pub(crate) pki: DevPki,
}

impl Fixture {
    /// Banks `bank-1` and `bank-2`, carrier `acme`, operator `olga`.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let spec = PkiSpec {
            banks: vec!["bank-1".parse().unwrap(), "bank-2".parse().unwrap()],
            carriers: vec!["acme".parse().unwrap()],
            operators: vec!["olga".parse().unwrap()],
            ..PkiSpec::default()
        };
        let pki = DevPki::create(directory.path(), &spec).unwrap();
        Self { directory, pki }
    }

    pub(crate) fn server_files(&self) -> ServerFiles {
        let hub = self.pki.hub();
        ServerFiles {
            certificate: hub.certificate,
            key: hub.key,
            client_authorities: self.pki.authority(),
            revocation_lists: Vec::new(),
        }
    }

    pub(crate) fn server(&self, alpn: Alpn) -> ServerTls {
        ServerTls::load(&self.server_files(), alpn, Revocations::default()).unwrap()
    }

    /// `name` as in `banks/bank-1`.
    pub(crate) fn issued(&self, name: &str) -> Issued {
        let path = |extension: &str| -> PathBuf {
            self.directory.path().join(format!("{name}.{extension}"))
        };
        Issued { certificate: path("pem"), key: path("key") }
    }

    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        name: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        connect(address, &self.pki.authority(), &self.issued(name), Alpn::None).await
    }
}

pub(crate) async fn connect(
    address: SocketAddr,
    authorities: &Path,
    client: &Issued,
    alpn: Alpn,
) -> std::io::Result<TlsStream<TcpStream>> {
    let files = ClientFiles {
        authorities: authorities.to_owned(),
        certificate: client.certificate.clone(),
        key: client.key.clone(),
    };
    let config = Arc::new(client_config(&files, alpn).unwrap());
    let tcp = TcpStream::connect(address).await?;
    TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), tcp).await
}
