//! Letters by SMTP, to the relay that the operator names.

use std::error::Error as _;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use serde::Deserialize;

/// Mailbox unavailable, not local, or its name not allowed (RFC 5321, section 4.2.3).
const RECIPIENT_CODES: [&str; 3] = ["550", "551", "553"];
/// Bad sender addresses and policy (RFC 3463, sections 3.2 and 3.8): with them, the codes above are
/// about us.
const ABOUT_US: [&str; 3] = ["5.1.7", "5.1.8", "5.7."];

/// How the connection to the relay is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpSecurity {
    /// TLS from the first byte (RFC 8314), port 465.
    Implicit,
    /// STARTTLS, required (RFC 3207), port 587.
    Starttls,
    /// None: only for a relay on this machine, port 25.
    Plain,
}

impl SmtpSecurity {
    /// The port that is usual for it.
    #[must_use]
    pub const fn usual_port(self) -> u16 {
        match self {
            Self::Implicit => 465,
            Self::Starttls => 587,
            Self::Plain => 25,
        }
    }
}

/// Where and how letters are handed over.
#[derive(Clone)]
pub struct SmtpRelay {
    /// Its host name, which is also what its certificate must say.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: SmtpSecurity,
    /// User name and password, if it asks for them.
    pub credentials: Option<(String, String)>,
    /// PEM file of the authority that issued its certificate; without it, Mozilla's list counts.
    pub authority: Option<PathBuf>,
    /// Time for each step of the conversation.
    pub timeout: Duration,
}

/// The way to a relay. A connection is made for each letter: they are few.
#[derive(Debug, Clone)]
pub struct Smtp(AsyncSmtpTransport<Tokio1Executor>);

impl Smtp {
    /// Prepares the way. Nothing is connected yet.
    ///
    /// # Errors
    /// When the relay would be spoken to in the clear over a network, or its authority's file is
    /// of no use.
    pub fn new(relay: &SmtpRelay) -> Result<Self, SmtpSetupError> {
        let tls = match relay.security {
            SmtpSecurity::Implicit => Tls::Wrapper(tls_parameters(relay)?),
            SmtpSecurity::Starttls => Tls::Required(tls_parameters(relay)?),
            SmtpSecurity::Plain if is_this_machine(&relay.host) => Tls::None,
            SmtpSecurity::Plain => return Err(SmtpSetupError::PlainOverNetwork),
        };
        let mut builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(relay.host.as_str())
                .port(relay.port)
                .tls(tls)
                .timeout(Some(relay.timeout));
        if let Some((user, password)) = &relay.credentials {
            builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
        }
        Ok(Self(builder.build()))
    }

    /// Hands one letter over.
    ///
    /// # Errors
    /// When the relay does not take it, now or ever.
    pub async fn deliver(&self, letter: Message) -> Result<(), SmtpError> {
        match self.0.send(letter).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() && is_about_recipient(&error) => {
                Err(SmtpError::Refused(error))
            }
            Err(error) if error.is_permanent() => Err(SmtpError::Denied(error)),
            Err(error) if error.is_transient() => Err(SmtpError::NotNow(error)),
            Err(error) => Err(SmtpError::Unreachable(error)),
        }
    }
}

/// Whether a 5yz answer says that the recipient gets no mail. All others, such as a wrong password,
/// a sender that is not allowed or a relay that is closed, are the operator's to put right.
fn is_about_recipient(error: &lettre::transport::smtp::Error) -> bool {
    let code = error.status().map(|code| code.to_string());
    let words = error.source().map(ToString::to_string).unwrap_or_default();
    let about_us = ABOUT_US.iter().any(|status| words.trim_start().starts_with(status));
    code.is_some_and(|code| RECIPIENT_CODES.contains(&code.as_str())) && !about_us
}

fn tls_parameters(relay: &SmtpRelay) -> Result<TlsParameters, SmtpSetupError> {
    let mut builder = TlsParameters::builder(relay.host.clone());
    if let Some(path) = &relay.authority {
        let unusable = |reason: String| SmtpSetupError::Authority { path: path.clone(), reason };
        let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
        let certificate =
            Certificate::from_pem(&pem).map_err(|error| unusable(error.to_string()))?;
        builder =
            builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(SmtpSetupError::Tls)
}

fn is_this_machine(host: &str) -> bool {
    let loopback = |address: std::net::IpAddr| address.is_loopback();
    host == "localhost" || host.parse().is_ok_and(loopback)
}

impl fmt::Debug for SmtpRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpRelay")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

/// Why the way to a relay could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum SmtpSetupError {
    /// Codes would cross a network in the clear.
    #[error(
        "plain SMTP is only for a relay on this machine; use security \"starttls\" or \"implicit\""
    )]
    PlainOverNetwork,
    /// The authority's file is of no use.
    #[error("{} is not a certificate in PEM: {reason}", path.display())]
    Authority {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error("TLS towards the relay cannot be set up")]
    Tls(#[source] lettre::transport::smtp::Error),
}

/// Why a letter was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// The relay said that the recipient gets no mail.
    #[error("the relay refused the recipient")]
    Refused(#[source] lettre::transport::smtp::Error),
    /// The relay said no (RFC 5321, 5yz), and not because of the recipient.
    #[error("the relay does not take letters from us")]
    Denied(#[source] lettre::transport::smtp::Error),
    /// The relay said not now (RFC 5321, 4yz).
    #[error("the relay does not take the letter now")]
    NotNow(#[source] lettre::transport::smtp::Error),
    /// There was no proper conversation: no connection, a timeout, TLS, or nonsense.
    #[error("the relay cannot be spoken to")]
    Unreachable(#[source] lettre::transport::smtp::Error),
}

#[cfg(test)]
pub(super) mod tests;
