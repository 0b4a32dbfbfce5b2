//! A throw-away PKI: made like the one a developer makes with `cloud-hub pki`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cloud_hub::pki::{DevPki, PkiSpec, PublicKey, SigningSeed};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// The operator that every PKI has.
pub const OPERATOR: &str = "olga";

/// Certificates and keys in a folder.
#[derive(Debug)]
pub struct Pki {
    folder: PathBuf,
}

/// The two files of a client.
#[derive(Clone, Debug)]
pub struct ClientFiles {
    /// The chain, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

impl Pki {
    /// Makes a new authority and certificates for all named.
    ///
    /// # Errors
    ///
    /// A name is none, or the files cannot be written.
    pub fn create(folder: &Path, banks: &[&str], carriers: &[&str]) -> Result<Self> {
        let spec = PkiSpec {
            banks: banks.iter().map(|id| id.parse()).collect::<Result<_, _>>()?,
            carriers: carriers.iter().map(|id| id.parse()).collect::<Result<_, _>>()?,
            operators: vec![OPERATOR.parse()?],
            ..PkiSpec::default()
        };
        DevPki::create(folder, &spec).context("cannot make the PKI")?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file of it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The certificate that everybody trusts.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The files of a client; `kind` is `banks`, `carriers` or `operators`.
    #[must_use]
    pub fn client(&self, kind: &str, id: &str) -> ClientFiles {
        let file = |ending: &str| self.file(&format!("{kind}/{id}.{ending}"));
        ClientFiles { certificate: file("pem"), key: file("key") }
    }

    /// What agents know the hub's key sets by, as hex.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn root_public_key(&self) -> Result<String> {
        Ok(PublicKey::load(&self.file("root.pub"))?.to_string())
    }

    /// The key that signs pickup codes, for codes that the hub would never sign.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn credential_seed(&self) -> Result<SigningSeed> {
        Ok(SigningSeed::load(&self.file("credential-1.key"))?)
    }

    /// How a client of this PKI speaks TLS to a hub on this machine.
    ///
    /// # Errors
    ///
    /// The files cannot be read.
    pub fn client_tls(&self, kind: &str, id: &str) -> Result<ClientTlsConfig> {
        let files = self.client(kind, id);
        let identity =
            Identity::from_pem(std::fs::read(files.certificate)?, std::fs::read(files.key)?);
        let authority = Certificate::from_pem(std::fs::read(self.authority())?);
        let tls = ClientTlsConfig::new().ca_certificate(authority).identity(identity);
        Ok(tls.domain_name("localhost"))
    }
}
