//! Certificates and keys for development and tests: one authority, one hub, and whoever connects.
//!
//! This is not how a fleet is run: here the authority's key lies beside everything else. The files
//! are the same kinds in the same places, though, so what works with them works with real ones.
//!
//! ```text
//! ca.pem ca.key           the authority (ECDSA P-256)
//! hub.pem hub.key         the hub: server names, and urn:postern:hub:dev
//! banks/<id>.pem .key     clients, each with its urn:postern:<kind>:<id>
//! carriers/<id>.pem .key
//! operators/<id>.pem .key
//! root.key .pub           Ed25519, the hub's root: signs the key set; agents pin its public half
//! key-set.signed          the keys that banks believe, with a generation; signed by the root
//! command-<id>.key .pub   Ed25519, signs what goes down to banks
//! credential-<id>.key .pub    Ed25519, signs pickup codes and badges
//! codes-master.key        256 bits that the banks' peppers come from
//! sealing-1.key           256 bits that keep six digits readable for the hub alone
//! ```

pub mod cli;
mod files;
mod keys;
mod set_file;
mod signing;

pub use keys::KeyKind;
pub use set_file::{KeySetFile, KeySetFileError};
pub use signing::{PublicKey, SigningKeyError, SigningSeed};

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use locker_core::credential::KEYS_MAX;
use locker_core::ids::{BankId, CarrierId, OperatorId};
use locker_proto::key_set::RootKey;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, RevokedCertParams, SanType, SerialNumber,
};
use x509_parser::pem::Pem;
use x509_parser::time::ASN1Time;

use crate::codes::key_file::SecretFileError;
use crate::identity::{HubId, Identity};

/// The hub's name in a development certificate.
const HUB_NAME: &str = "dev";
/// Certificates count from a little before they are made: clocks of two machines differ.
const BACKDATED: Duration = Duration::from_secs(3_600);
/// Life of the authority.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Life of all others; development outlives a year seldom, and expiry should be seen.
const LEAF_LIFE: Duration = Duration::from_secs(365 * 86_400);
/// Time until a development revocation list asks to be made again.
const LIST_LIFE: Duration = Duration::from_secs(30 * 86_400);

/// What [`DevPki::create`] makes.
#[derive(Debug, Clone)]
pub struct PkiSpec {
    /// Names of the hub beside `localhost` and 127.0.0.1: host names or addresses.
    pub hub_names: Vec<String>,
    /// Banks to issue for.
    pub banks: Vec<BankId>,
    /// Carriers to issue for.
    pub carriers: Vec<CarrierId>,
    /// Operators to issue for.
    pub operators: Vec<OperatorId>,
    /// Key id of the first credential key.
    pub credential_key_id: u8,
}

impl Default for PkiSpec {
    fn default() -> Self {
        Self {
            hub_names: Vec::new(),
            banks: Vec::new(),
            carriers: Vec::new(),
            operators: Vec::new(),
            credential_key_id: 1,
        }
    }
}

/// Where a certificate and its key lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The chain, leaf first, PEM.
    pub certificate: PathBuf,
    /// The key, PKCS#8 PEM, readable by its owner only.
    pub key: PathBuf,
}

/// A directory with a development authority.
#[derive(Debug)]
pub struct DevPki {
    directory: PathBuf,
    authority: Issuer<'static, KeyPair>,
}

impl DevPki {
    /// Makes an authority, the hub's certificate, the signing keys and all clients of the spec.
    ///
    /// # Errors
    /// When any file that would be written exists, or a file cannot be written. What was written
    /// before the failure stays.
    pub fn create(directory: impl Into<PathBuf>, spec: &PkiSpec) -> Result<Self, PkiError> {
        let directory = directory.into();
        files::make_directory(&directory)?;
        let key = new_key()?;
        let params = authority_params(&key);
        let certificate = params.self_signed(&key).map_err(PkiError::Make)?;
        let issued = place(&directory, "ca");
        files::write_pair(&issued, &certificate.pem(), &key.serialize_pem())?;
        let pki = Self { directory, authority: Issuer::new(params, key) };
        pki.issue_hub(&spec.hub_names)?;
        pki.create_keys(spec.credential_key_id)?;
        for bank in &spec.banks {
            pki.issue_bank(bank)?;
        }
        for carrier in &spec.carriers {
            pki.issue_carrier(carrier)?;
        }
        for operator in &spec.operators {
            pki.issue_operator(operator)?;
        }
        Ok(pki)
    }

    /// Opens a directory that [`Self::create`] made, to issue more.
    ///
    /// # Errors
    /// When the authority's files are missing or cannot be used.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, PkiError> {
        let directory = directory.into();
        let issued = place(&directory, "ca");
        let certificate = files::read(&issued.certificate)?;
        let unusable = |path: &Path, source| PkiError::Unusable { path: path.to_owned(), source };
        let key = KeyPair::from_pem(&files::read(&issued.key)?)
            .map_err(|source| unusable(&issued.key, source))?;
        let authority = Issuer::from_ca_cert_pem(&certificate, key)
            .map_err(|source| unusable(&issued.certificate, source))?;
        Ok(Self { directory, authority })
    }

    /// The authority's certificate: what the other side of each connection trusts.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        place(&self.directory, "ca").certificate
    }

    /// The hub's certificate and key.
    #[must_use]
    pub fn hub(&self) -> Issued {
        place(&self.directory, "hub")
    }

    /// Issues for a bank.
    ///
    /// # Errors
    /// When its files exist already or cannot be written.
    pub fn issue_bank(&self, id: &BankId) -> Result<Issued, PkiError> {
        self.issue_client("banks", id.as_str(), &Identity::Bank(id.clone()))
    }

    /// Issues for a carrier.
    ///
    /// # Errors
    /// When its files exist already or cannot be written.
    pub fn issue_carrier(&self, id: &CarrierId) -> Result<Issued, PkiError> {
        self.issue_client("carriers", id.as_str(), &Identity::Carrier(id.clone()))
    }

    /// Issues for an operator.
    ///
    /// # Errors
    /// When its files exist already or cannot be written.
    pub fn issue_operator(&self, id: &OperatorId) -> Result<Issued, PkiError> {
        self.issue_client("operators", id.as_str(), &Identity::Operator(id.clone()))
    }

    /// Writes `crl.pem`, which names the given certificates and replaces an older list.
    ///
    /// # Errors
    /// When a certificate cannot be read or the list not written.
    pub fn write_revocation_list(&self, certificates: &[&Path]) -> Result<PathBuf, PkiError> {
        let now = ASN1Time::now().to_datetime();
        let mut revoked_certs = Vec::new();
        for path in certificates {
            let text = files::read(path)?;
            let unreadable = || PkiError::Certificate { path: (*path).to_owned() };
            let pem = Pem::iter_from_buffer(text.as_bytes())
                .next()
                .and_then(Result::ok)
                .ok_or_else(unreadable)?;
            let certificate = pem.parse_x509().map_err(|_| unreadable())?;
            revoked_certs.push(RevokedCertParams {
                serial_number: SerialNumber::from_slice(certificate.raw_serial()),
                revocation_time: now,
                reason_code: None,
                invalidity_date: None,
            });
        }
        let list = CertificateRevocationListParams {
            this_update: now - BACKDATED,
            next_update: now + LIST_LIFE,
            crl_number: SerialNumber::from_slice(&now.unix_timestamp().to_be_bytes()),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.authority).map_err(PkiError::Make)?;
        let path = self.directory.join("crl.pem");
        files::replace(&path, &list.pem().map_err(PkiError::Make)?)?;
        Ok(path)
    }

    fn issue_hub(&self, names: &[String]) -> Result<Issued, PkiError> {
        let hub: HubId = HUB_NAME.parse().map_err(|_| PkiError::Name(HUB_NAME.to_owned()))?;
        let mut params = leaf_params(&Identity::Hub(hub), ExtendedKeyUsagePurpose::ServerAuth)?;
        let always = ["localhost", "127.0.0.1"].map(str::to_owned);
        for name in always.iter().chain(names) {
            let san = match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(
                    name.as_str().try_into().map_err(|_| PkiError::Name(name.clone()))?,
                ),
            };
            if !params.subject_alt_names.contains(&san) {
                params.subject_alt_names.push(san);
            }
        }
        self.issue(&self.hub(), &params)
    }

    fn issue_client(
        &self,
        folder: &str,
        name: &str,
        identity: &Identity,
    ) -> Result<Issued, PkiError> {
        let folder = self.directory.join(folder);
        files::make_directory(&folder)?;
        let params = leaf_params(identity, ExtendedKeyUsagePurpose::ClientAuth)?;
        self.issue(&place(&folder, name), &params)
    }

    fn issue(&self, issued: &Issued, params: &CertificateParams) -> Result<Issued, PkiError> {
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.authority).map_err(PkiError::Make)?;
        files::write_pair(issued, &certificate.pem(), &key.serialize_pem())?;
        Ok(issued.clone())
    }
}

fn place(folder: &Path, name: &str) -> Issued {
    Issued {
        certificate: folder.join(format!("{name}.pem")),
        key: folder.join(format!("{name}.key")),
    }
}

fn new_key() -> Result<KeyPair, PkiError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(PkiError::Make)
}

/// Each authority has a name of its own: revocation lists are matched to certificates by the
/// issuer's name, and a list that is signed by a namesake shuts the door on everybody.
fn authority_params(key: &KeyPair) -> CertificateParams {
    let mut params = dated_params(AUTHORITY_LIFE);
    let mark = params
        .key_identifier(key)
        .iter()
        .take(4)
        .fold(String::new(), |mark, byte| format!("{mark}{byte:02x}"));
    let name = format!("Postern development CA {mark}");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(
    identity: &Identity,
    purpose: ExtendedKeyUsagePurpose,
) -> Result<CertificateParams, PkiError> {
    let uri = identity.to_string();
    let mut params = dated_params(LEAF_LIFE);
    params.distinguished_name.push(DnType::CommonName, uri.as_str());
    let name = uri.as_str().try_into().map_err(|_| PkiError::Name(uri.clone()))?;
    params.subject_alt_names.push(SanType::URI(name));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn dated_params(life: Duration) -> CertificateParams {
    let now = ASN1Time::now().to_datetime();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = now - BACKDATED;
    params.not_after = now + life;
    params
}

/// Why something of the PKI could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The file exists: keys are never overwritten.
    #[error("{} exists already; keys are never overwritten", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file could not be read.
    #[error("cannot read {}; has `pki init` been run there?", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The authority's file is there but cannot be used.
    #[error("{} cannot be used", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: rcgen::Error,
    },
    /// The certificate to revoke cannot be read.
    #[error("{} is not a certificate", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
    },
    /// Not a host name or address.
    #[error("{0:?} is neither a host name nor an address")]
    Name(String),
    /// The certificate could not be made.
    #[error("cannot make the certificate")]
    Make(#[source] rcgen::Error),
    /// A signing key could not be made or read.
    #[error("a signing key is of no use")]
    SigningKey(#[source] SigningKeyError),
    /// A secret could not be made.
    #[error("cannot make a secret")]
    Secret(#[source] SecretFileError),
    /// The key set to change is of no use.
    #[error("there is no key set to change")]
    KeySet(#[source] KeySetFileError),
    /// The key set to change was signed by somebody else: it would be signed unseen.
    #[error(
        "{} is signed by the root {root}, whose public half is not here: put the right file back, \
         or the root's .pub beside it",
        path.display()
    )]
    ForeignSet {
        /// Which file.
        path: PathBuf,
        /// Who signed it.
        root: RootKey,
    },
    /// Another root than the one that is to sign has signed the set.
    #[error(
        "the key set was last signed by the root {root}; name it with --root, or use `pki sign` to \
         change roots"
    )]
    OtherRoot {
        /// Who signed it.
        root: RootKey,
    },
    /// The set names a key of this id.
    #[error("the key set has a {kind} key {id} already: take another id, never one of before")]
    KeyInSet {
        /// `command` or `credential`.
        kind: &'static str,
        /// Its id.
        id: u8,
    },
    /// The set names as many keys as a bank holds.
    #[error("the key set has {KEYS_MAX} {kind} keys, which is all a bank holds: retire one first")]
    SetFull {
        /// `command` or `credential`.
        kind: &'static str,
    },
    /// The set names no key of this id.
    #[error("the key set has no {kind} key {id}")]
    KeyNotInSet {
        /// `command` or `credential`.
        kind: &'static str,
        /// Its id.
        id: u8,
    },
    /// The set would be left without a key of a kind.
    #[error("{kind} key {id} is the last of its kind: make another with `pki {kind}-key` first")]
    LastKey {
        /// `command` or `credential`.
        kind: &'static str,
        /// Its id.
        id: u8,
    },
}

#[cfg(test)]
mod tests;
