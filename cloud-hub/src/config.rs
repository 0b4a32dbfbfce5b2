//! The hub's configuration file: every address, path, limit and time of it, with its unit in the
//! name and its default here.
//!
//! Unknown keys are refused, so that a typing error is not a silent default. Relative paths count
//! from the file's own folder.

mod backup;
mod codes;
mod limits;
mod live;

pub use backup::Backups;
pub use codes::{Codes, SealingKeyFile};
pub use limits::{GrpcLimits, MqttLimits, NoticeLimits, StopLimits, StoreLimits, TlsLimits};
pub use live::{Live, LiveLimits, LiveOperator};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lettre::message::Mailbox;
use locker_core::credential::KEYS_MAX;
use serde::Deserialize;

use crate::notify::smtp::SmtpSecurity;
use crate::tls::ServerFiles;

/// Longest time for which a pickup code may be made, in hours: a year.
const RETENTION_HOURS_MAX: u32 = 8_760;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where a JSON file with the addresses in use is put once all listeners are up; for ports
    /// given as 0. Nothing is written without it.
    #[serde(default)]
    pub addresses_file: Option<PathBuf>,
    /// The banks' door.
    pub mqtt: Mqtt,
    /// The door of carriers and operators.
    pub grpc: Grpc,
    /// Certificates, for both doors.
    pub tls: Tls,
    /// The store.
    pub store: Store,
    /// The signing keys.
    pub keys: Keys,
    /// What recipients are written, and how; without it notices stay in the store.
    #[serde(default)]
    pub notices: Option<Notices>,
    /// Six-digit codes; without it parcels go with their QR code alone.
    #[serde(default)]
    pub codes: Option<Codes>,
    /// The live lane for operators' own MQTT tools; it is served once it names an operator.
    #[serde(default)]
    pub live: Live,
    /// Rules about parcels.
    #[serde(default)]
    pub parcels: Parcels,
    /// Logs and traces.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// Stopping.
    #[serde(default)]
    pub stop: StopLimits,
}

/// The banks' door.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mqtt {
    /// Address and port; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Bounds of connections and sessions.
    #[serde(default)]
    pub limits: MqttLimits,
    /// Bounds of connections and handshakes.
    #[serde(default)]
    pub connections: TlsLimits,
}

/// The door of carriers and operators.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grpc {
    /// Address and port; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Bounds of calls.
    #[serde(default)]
    pub limits: GrpcLimits,
    /// Bounds of connections and handshakes.
    #[serde(default)]
    pub connections: TlsLimits,
}

/// Certificates, all PEM.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The hub's chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
    /// Authorities of banks, carriers and operators.
    pub client_authorities: PathBuf,
    /// Revocation lists.
    #[serde(default)]
    pub revocation_lists: Vec<PathBuf>,
}

impl Tls {
    /// As the listeners take them.
    #[must_use]
    pub fn server_files(&self) -> ServerFiles {
        ServerFiles {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            client_authorities: self.client_authorities.clone(),
            revocation_lists: self.revocation_lists.clone(),
        }
    }
}

/// The store.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `sqlite://<path>`; the file is made if it is missing.
    pub url: String,
    /// Backups that the hub makes itself; without it none are made.
    #[serde(default)]
    pub backup: Option<Backups>,
    /// Without backups: how long after its commit a record counts as safe, so that its bank may
    /// forget it, in hours.
    #[serde(default = "backup::safe_after_hours")]
    pub safe_after_hours: u32,
    /// Bounds of reading and writing.
    #[serde(default)]
    pub limits: StoreLimits,
}

/// The signing keys, as `cloud-hub pki` makes them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// The key set that the hub's root has signed: the keys that banks believe.
    pub set: PathBuf,
    /// Sign what goes down to banks: newest first, one to four, all named by the set.
    pub command: Vec<KeyFile>,
    /// Sign pickup codes and badges: newest first, one to four, all named by the set.
    pub credential: Vec<KeyFile>,
}

/// A key that signs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// Its key id, which stands in each message or code.
    pub id: u8,
    /// The secret half.
    pub file: PathBuf,
}

/// What recipients are written. One of `mailbox` and `smtp` at least; both may be used.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notices {
    /// The sender, as in `Postern <lockers@example.org>`.
    pub from: String,
    /// Folder that gets one `.eml` file a notice.
    #[serde(default)]
    pub mailbox: Option<PathBuf>,
    /// The relay.
    #[serde(default)]
    pub smtp: Option<SmtpConfig>,
    /// Bounds of delivery.
    #[serde(default)]
    pub limits: NoticeLimits,
}

/// A mail relay.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// Its host name.
    pub host: String,
    /// Its port; 465, 587 or 25 by `security` if left out.
    #[serde(default)]
    pub port: Option<u16>,
    /// `implicit`, `starttls`, or `plain` for a relay on this machine.
    pub security: SmtpSecurity,
    /// User name, if it asks for one.
    #[serde(default)]
    pub user: Option<String>,
    /// File with the password, one line.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Authority of its certificate, PEM; Mozilla's list if left out.
    #[serde(default)]
    pub authority: Option<PathBuf>,
    /// Time for each step of the conversation, in milliseconds.
    #[serde(default = "limits::smtp_timeout_ms")]
    pub timeout_ms: u64,
}

/// Rules about parcels.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parcels {
    /// How long a pickup code works after the deposit, in hours.
    pub retention_hours: u32,
}

impl Default for Parcels {
    fn default() -> Self {
        Self { retention_hours: 168 }
    }
}

impl Parcels {
    /// The same in milliseconds.
    #[must_use]
    pub const fn retention_ms(&self) -> u64 {
        self.retention_hours as u64 * 3_600_000
    }
}

/// Logs and traces.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// `text` for people, `json` for machines; on standard error.
    pub log: LogFormat,
    /// What is logged, in the syntax of tracing's `EnvFilter`.
    pub filter: String,
    /// Where spans are sent by OTLP over gRPC, as in `http://127.0.0.1:4317`; nowhere if left out.
    pub otlp_endpoint: Option<String>,
}

impl Default for Telemetry {
    fn default() -> Self {
        let filter = "info,sea_orm_migration=warn".to_owned();
        Self { log: LogFormat::Text, filter, otlp_endpoint: None }
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it cannot be read, is not such a file, or holds a value that cannot be used; the error
    /// names the file, the key, and what is expected.
    pub fn load(path: &Path) -> Result<Self, LoadConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| LoadConfigError::Read { path: path.to_owned(), source })?;
        let mut config: Self = toml::from_str(&text).map_err(|error| LoadConfigError::Syntax {
            path: path.to_owned(),
            explanation: error.to_string().trim_end().to_owned(),
        })?;
        config.check().map_err(|(key, expected)| LoadConfigError::Value {
            path: path.to_owned(),
            key,
            expected,
        })?;
        config.count_paths_from(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// The first key with a value that cannot be used, and what is expected of it.
    fn check(&self) -> Result<(), (String, String)> {
        let wrong = |key: &str, expected: String| Err((key.to_owned(), expected));
        if !(1..=RETENTION_HOURS_MAX).contains(&self.parcels.retention_hours) {
            let expected = format!("1 to {RETENTION_HOURS_MAX} hours");
            return wrong("parcels.retention_hours", expected);
        }
        if !self.store.url.starts_with("sqlite:") {
            return wrong("store.url", "sqlite://<path>".to_owned());
        }
        let (command, credential) = (&self.keys.command, &self.keys.credential);
        for (key, files) in [("keys.command", command), ("keys.credential", credential)] {
            if !(1..=KEYS_MAX).contains(&files.len()) {
                return wrong(key, format!("1 to {KEYS_MAX} keys, newest first"));
            }
        }
        if let Some(notices) = &self.notices {
            if notices.from.parse::<Mailbox>().is_err() {
                return wrong("notices.from", "a sender such as `Name <name@host>`".to_owned());
            }
            if notices.mailbox.is_none() && notices.smtp.is_none() {
                return wrong("notices", "a `mailbox` folder, or `[notices.smtp]`".to_owned());
            }
            if let Some(smtp) = &notices.smtp
                && smtp.user.is_some() != smtp.password_file.is_some()
            {
                return wrong("notices.smtp", "`user` and `password_file` together".to_owned());
            }
        }
        if let Some(endpoint) = &self.telemetry.otlp_endpoint
            && !endpoint.starts_with("http://")
        {
            return wrong("telemetry.otlp_endpoint", "an http:// address".to_owned());
        }
        live::check(&self.live)?;
        backup::check(&self.store)?;
        self.codes.iter().try_for_each(codes::check)?;
        limits::check(self)
    }

    fn count_paths_from(&mut self, folder: &Path) {
        let mut paths = vec![
            &mut self.tls.certificate,
            &mut self.tls.key,
            &mut self.tls.client_authorities,
            &mut self.keys.set,
        ];
        paths.extend(self.keys.command.iter_mut().map(|key| &mut key.file));
        paths.extend(self.keys.credential.iter_mut().map(|key| &mut key.file));
        paths.extend(&mut self.tls.revocation_lists);
        paths.extend(&mut self.addresses_file);
        if let Some(codes) = &mut self.codes {
            paths.push(&mut codes.master_file);
            paths.extend(codes.sealing.iter_mut().map(|key| &mut key.file));
        }
        paths.extend(self.store.backup.iter_mut().map(|backup| &mut backup.folder));
        if let Some(notices) = &mut self.notices {
            paths.extend(&mut notices.mailbox);
            if let Some(smtp) = &mut notices.smtp {
                paths.extend(&mut smtp.password_file);
                paths.extend(&mut smtp.authority);
            }
        }
        for path in paths {
            *path = folder.join(&*path);
        }
        self.store.url = sqlite_url(&self.store.url, folder);
    }
}

/// The URL with its path counted from `folder`, and leave to make the file.
fn sqlite_url(url: &str, folder: &Path) -> String {
    let rest = url.strip_prefix("sqlite:").unwrap_or(url);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, query) = rest.split_once('?').unwrap_or((rest, "mode=rwc"));
    if path == ":memory:" {
        return url.to_owned();
    }
    format!("sqlite://{}?{query}", folder.join(path).display())
}

/// Why a configuration file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum LoadConfigError {
    /// It could not be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no TOML, has a key that is not known, lacks one, or one is of the wrong type.
    #[error("{}: {explanation}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and what, with the line itself.
        explanation: String,
    },
    /// A value is out of bounds or does not fit the others.
    #[error("{}: {key}: expected {expected}", path.display())]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: String,
        /// What would do.
        expected: String,
    },
}

#[cfg(test)]
mod tests;
