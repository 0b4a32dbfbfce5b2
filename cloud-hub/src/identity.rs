//! Who a client certificate says its holder is.
//!
//! Topics, calls and audit entries all hang on this one answer, so it is taken from exactly one
//! place: the URI subject alternative name `urn:postern:<kind>:<id>`. The common name is for
//! people only and never read.

use std::fmt;
use std::str::FromStr;

use locker_core::ids::{BankId, CarrierId, OperatorId};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What every identity URI starts with.
pub const URI_PREFIX: &str = "urn:postern:";

/// The longest id that the grammar allows, in bytes.
const ID_BYTES_MAX: usize = 32;

/// The holder of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A locker bank's agent.
    Bank(BankId),
    /// A carrier's system.
    Carrier(CarrierId),
    /// A person or tool of the operator.
    Operator(OperatorId),
    /// A hub; agents check it, the hub itself accepts none as a client.
    Hub(HubId),
}

impl Identity {
    /// The kind as it stands in the URI.
    #[must_use]
    pub const fn kind(&self) -> IdentityKind {
        match self {
            Self::Bank(_) => IdentityKind::Bank,
            Self::Carrier(_) => IdentityKind::Carrier,
            Self::Operator(_) => IdentityKind::Operator,
            Self::Hub(_) => IdentityKind::Hub,
        }
    }

    /// Reads the identity out of a DER certificate whose chain has been verified already.
    ///
    /// # Errors
    /// When the certificate is not readable, or does not carry exactly one well-formed
    /// `urn:postern:` URI.
    pub fn of_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| IdentityError::Certificate)?;
        if !rest.is_empty() {
            return Err(IdentityError::Certificate);
        }
        let names =
            certificate.subject_alternative_name().map_err(|_| IdentityError::Certificate)?;
        let mut found = None;
        for name in names.iter().flat_map(|extension| &extension.value.general_names) {
            let GeneralName::URI(uri) = name else { continue };
            // The scheme and namespace of a URN compare without case: a mixed-case spelling must
            // not slip past as "some other URI".
            let prefix = uri.get(..URI_PREFIX.len()).unwrap_or_default();
            if !prefix.eq_ignore_ascii_case(URI_PREFIX) {
                continue;
            }
            if found.replace(uri.parse()?).is_some() {
                return Err(IdentityError::Several);
            }
        }
        found.ok_or(IdentityError::Missing)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        let malformed = || IdentityError::Malformed(clipped(uri));
        let (kind, id) = uri
            .strip_prefix(URI_PREFIX)
            .and_then(|rest| rest.split_once(':'))
            .ok_or_else(malformed)?;
        match kind {
            "bank" => id.parse().map(Self::Bank).map_err(|_| malformed()),
            "carrier" => id.parse().map(Self::Carrier).map_err(|_| malformed()),
            "operator" => id.parse().map(Self::Operator).map_err(|_| malformed()),
            "hub" => id.parse().map(Self::Hub),
            _ => Err(malformed()),
        }
    }
}

/// The URI, as it stands in certificates, logs and audit entries.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Bank(id) => write!(f, "{URI_PREFIX}{kind}:{id}"),
            Self::Carrier(id) => write!(f, "{URI_PREFIX}{kind}:{id}"),
            Self::Operator(id) => write!(f, "{URI_PREFIX}{kind}:{id}"),
            Self::Hub(id) => write!(f, "{URI_PREFIX}{kind}:{id}"),
        }
    }
}

/// The kind of an [`Identity`], without its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdentityKind {
    /// See [`Identity::Bank`].
    Bank,
    /// See [`Identity::Carrier`].
    Carrier,
    /// See [`Identity::Operator`].
    Operator,
    /// See [`Identity::Hub`].
    Hub,
}

impl fmt::Display for IdentityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bank => "bank",
            Self::Carrier => "carrier",
            Self::Operator => "operator",
            Self::Hub => "hub",
        })
    }
}

/// The name of a hub: `[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?`, as all ids here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HubId(Box<str>);

impl FromStr for HubId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=ID_BYTES_MAX).contains(&text.len())
            && text.bytes().all(inner)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if fits { Ok(Self(text.into())) } else { Err(IdentityError::Malformed(clipped(text))) }
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a certificate names nobody we know how to treat.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not a certificate, or its alternative names cannot be read.
    #[error("certificate cannot be read")]
    Certificate,
    /// No `urn:postern:` URI among the alternative names.
    #[error("certificate has no urn:postern: name")]
    Missing,
    /// More than one `urn:postern:` URI: no rule would say which one counts.
    #[error("certificate has more than one urn:postern: name")]
    Several,
    /// An unknown kind, or an id outside the grammar.
    #[error("identity {0:?} is not urn:postern:(bank|carrier|operator|hub):<id>")]
    Malformed(String),
}

/// Foreign text for an error message: at most 64 characters of it.
fn clipped(text: &str) -> String {
    const CHARS: usize = 64;
    text.chars().take(CHARS).collect()
}

#[cfg(test)]
mod tests;
