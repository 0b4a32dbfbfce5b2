//! The agent's configuration: one TOML file, read once at the start, every limit and time-out named.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use locker_core::governor::{GovernorLimits, Limit, REMEMBERED_MAX};
use locker_core::ids::BankId;
use locker_core::policy::SessionPolicy;
use locker_proto::key_set::RootKey;
use serde::Deserialize;
use thiserror::Error;

use crate::board::CheckBusError;
use crate::journal;
use crate::telemetry::TelemetryLimits;

mod boards;
mod codes;
mod power;

pub use boards::{Board, BoardPolarity, PortAndBoards};
pub use codes::{CodesConfig, KeysFileError};
pub use power::{PowerConfig, StartLimits};

/// Most ports one agent drives.
pub const PORTS_MAX: usize = 10;
/// Most roots that a bank believes at a time: the current one, and the one that replaces it.
const ROOT_KEYS_MAX: usize = 2;
/// Longest time limit of a session, in seconds: a day.
const SESSION_MAX_S: u64 = 86_400;
/// Longest time in which a door counts as pushed shut after it jammed, in milliseconds.
const JAM_MAX_MS: u64 = 60_000;
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// Why a configuration is not usable.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a valid configuration:\n{message}")]
    Syntax { path: PathBuf, message: String },
    #[error("{path}: {key}: {expected}")]
    Value { path: PathBuf, key: &'static str, expected: String },
    #[error("{path}: [[bus]] number {number}")]
    Bus { path: PathBuf, number: usize, source: CheckBusError },
}

/// A checked configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bank's name, as in its certificate.
    #[serde(deserialize_with = "bank_id")]
    pub bank: BankId,
    /// Where the journal, sled and snapshots lie.
    pub data_dir: PathBuf,
    pub hub: HubConfig,
    pub panel: PanelConfig,
    #[serde(default)]
    pub bus: Vec<PortAndBoards>,
    #[serde(default)]
    pub session: SessionLimits,
    #[serde(default)]
    pub governor: OpeningsAllowed,
    #[serde(default)]
    pub codes: CodesConfig,
    #[serde(default)]
    pub power: PowerConfig,
    #[serde(default)]
    pub starts: StartLimits,
    #[serde(default)]
    pub disk: DiskLimits,
    #[serde(default)]
    pub telemetry: TelemetryLimits,
    #[serde(default)]
    pub log: LogConfig,
}

/// How the hub is reached and recognised.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubConfig {
    /// Host name or address; must be in the hub's certificate.
    pub host: String,
    /// MQTT over TLS.
    pub port: u16,
    /// PEM file with the certificate authorities that hubs are signed by.
    pub ca_file: PathBuf,
    /// PEM file with this bank's certificate chain.
    pub certificate_file: PathBuf,
    /// PEM file with this bank's private key.
    pub key_file: PathBuf,
    /// Ed25519 public keys of the hub's root, 64 hex digits each: whose key sets are taken. Two
    /// while one replaces the other.
    #[serde(deserialize_with = "root_keys")]
    pub root_keys: Vec<[u8; 32]>,
    #[serde(default)]
    pub limits: LinkLimits,
}

impl HubConfig {
    /// The first key that is wrong, and what was expected.
    fn mistake(&self) -> Option<(&'static str, &'static str)> {
        let limits = self.limits;
        if self.host.is_empty() {
            Some(("hub.host", "must not be empty"))
        } else if self.port == 0 {
            Some(("hub.port", "must not be 0"))
        } else if !(1..=ROOT_KEYS_MAX).contains(&self.root_keys.len()) {
            Some(("hub.root_keys", "needs one key, or two while one replaces the other"))
        } else if self.root_keys[1..].contains(&self.root_keys[0]) {
            Some(("hub.root_keys", "names a key twice"))
        } else if limits.keep_alive_s < 5 {
            Some(("hub.limits.keep_alive_s", "must be at least 5"))
        } else if limits.connect_timeout_s == 0 || limits.connect_timeout_s > 600 {
            Some(("hub.limits.connect_timeout_s", "must be 1 to 600"))
        } else if limits.backoff_min_ms == 0 || limits.backoff_min_ms > limits.backoff_max_ms {
            let expected = "must be above 0 and not above hub.limits.backoff_max_ms";
            Some(("hub.limits.backoff_min_ms", expected))
        } else {
            None
        }
    }
}

/// Times of the connection to the hub.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkLimits {
    /// MQTT keep-alive, the only heartbeat.
    pub keep_alive_s: u16,
    /// TCP and TLS must be done by then.
    pub connect_timeout_s: u64,
    /// First wait after a lost connection; doubles with each failure.
    pub backoff_min_ms: u64,
    /// Longest wait after a lost connection, without jitter of up to a quarter.
    pub backoff_max_ms: u64,
}

impl Default for LinkLimits {
    fn default() -> Self {
        Self {
            keep_alive_s: 45,
            connect_timeout_s: 10,
            backoff_min_ms: 500,
            backoff_max_ms: 60_000,
        }
    }
}

/// Where the screen connects.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PanelConfig {
    /// A loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the agent writes the address and the start-up token, for the screen to read. Mode 0600.
    pub access_file: PathBuf,
}

/// Times of a session at the screen.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionLimits {
    /// An idle courier is signed out after this long.
    pub idle_s: u64,
    /// After the door shut, how long the person may take to say what happened.
    pub confirm_s: u64,
    /// A door that stands open this long ends the session.
    pub door_open_s: u64,
    /// How long a person may take to push a stuck door.
    pub retry_s: u64,
    /// Whether a parcel counts as deposited when the courier leaves without a word and its door was
    /// shut before `door_alert_s`.
    pub presume_deposited: bool,
    /// A door that stands open this long raises an alarm.
    pub door_alert_s: u64,
    /// A door that was open for less than this was pushed shut after it jammed; 0 for never.
    pub jam_ms: u64,
}

impl Default for SessionLimits {
    fn default() -> Self {
        let policy = SessionPolicy::default();
        Self {
            idle_s: policy.idle_ms / 1_000,
            confirm_s: policy.confirm_ms / 1_000,
            door_open_s: policy.door_open_ms / 1_000,
            retry_s: policy.retry_ms / 1_000,
            presume_deposited: policy.presume_deposited,
            door_alert_s: policy.door_alert_ms / 1_000,
            jam_ms: policy.jam_ms,
        }
    }
}

impl SessionLimits {
    /// Each time with its key.
    const fn seconds(self) -> [(&'static str, u64); 5] {
        [
            ("session.idle_s", self.idle_s),
            ("session.confirm_s", self.confirm_s),
            ("session.door_open_s", self.door_open_s),
            ("session.retry_s", self.retry_s),
            ("session.door_alert_s", self.door_alert_s),
        ]
    }

    const fn policy(self, governor: GovernorLimits) -> SessionPolicy {
        SessionPolicy {
            idle_ms: self.idle_s * 1_000,
            confirm_ms: self.confirm_s * 1_000,
            door_open_ms: self.door_open_s * 1_000,
            retry_ms: self.retry_s * 1_000,
            presume_deposited: self.presume_deposited,
            door_alert_ms: self.door_alert_s * 1_000,
            jam_ms: self.jam_ms,
            governor,
        }
    }
}

/// How fast doors may be opened, whoever asks. Beyond it openings are refused and an alarm is
/// raised; the third time in an hour the bank locks itself down.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpeningsAllowed {
    pub courier_per_minute: u16,
    pub recipient_per_minute: u16,
    pub recipient_per_hour: u16,
    pub staff_per_minute: u16,
    /// On the hub's word alone.
    pub remote_per_hour: u16,
}

impl Default for OpeningsAllowed {
    fn default() -> Self {
        let GovernorLimits { courier, recipient, staff, remote } = GovernorLimits::default();
        let ([courier], [recipient, recipients]) = (courier, recipient);
        let ([staff], [remote]) = (staff, remote);
        Self {
            courier_per_minute: courier.openings,
            recipient_per_minute: recipient.openings,
            recipient_per_hour: recipients.openings,
            staff_per_minute: staff.openings,
            remote_per_hour: remote.openings,
        }
    }
}

impl OpeningsAllowed {
    /// Each number with its key.
    const fn numbers(self) -> [(&'static str, u16); 5] {
        [
            ("governor.courier_per_minute", self.courier_per_minute),
            ("governor.recipient_per_minute", self.recipient_per_minute),
            ("governor.recipient_per_hour", self.recipient_per_hour),
            ("governor.staff_per_minute", self.staff_per_minute),
            ("governor.remote_per_hour", self.remote_per_hour),
        ]
    }

    fn limits(self) -> GovernorLimits {
        let per_minute = |openings| Limit { openings, within_ms: MINUTE_MS };
        let per_hour = |openings| Limit { openings, within_ms: HOUR_MS };
        GovernorLimits {
            courier: [per_minute(self.courier_per_minute)],
            recipient: [per_minute(self.recipient_per_minute), per_hour(self.recipient_per_hour)],
            staff: [per_minute(self.staff_per_minute)],
            remote: [per_hour(self.remote_per_hour)],
        }
    }
}

/// Room on the disk.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskLimits {
    /// A journal segment that would grow past this is followed by a new one.
    pub segment_bytes: u32,
    /// Kept aside so that pickups go on when the disk is full.
    pub ballast_bytes: u32,
    /// No deposits below this much free space.
    pub deposit_reserve_bytes: u64,
}

impl Default for DiskLimits {
    fn default() -> Self {
        let limits = journal::Limits::default();
        Self {
            segment_bytes: limits.segment_bytes,
            ballast_bytes: limits.ballast_bytes,
            deposit_reserve_bytes: 32 << 20,
        }
    }
}

impl DiskLimits {
    /// As the journal wants it.
    #[must_use]
    pub fn journal(self) -> journal::Limits {
        journal::Limits {
            segment_bytes: self.segment_bytes,
            ballast_bytes: self.ballast_bytes,
            ..journal::Limits::default()
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// A tracing filter, such as `info` or `edge_agent=debug`.
    pub filter: String,
    /// One JSON object a line instead of text.
    pub json: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), json: false }
    }
}

impl Config {
    /// Reads and checks `path`.
    ///
    /// # Errors
    ///
    /// Says which key is wrong and what was expected.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(read)?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let path_of_error = || path.to_owned();
        let config: Self = toml::from_str(text).map_err(|error| match retired(text) {
            Some((key, expected)) => {
                ConfigError::Value { path: path_of_error(), key, expected: expected.to_owned() }
            }
            None => ConfigError::Syntax { path: path_of_error(), message: error.to_string() },
        })?;
        config.check(path)?;
        Ok(config)
    }

    /// The roots whose key sets are taken.
    #[must_use]
    pub fn root_keys(&self) -> Vec<RootKey> {
        self.hub.root_keys.iter().map(|key| RootKey(*key)).collect()
    }

    /// Time limits, choices and the governor's numbers, as the core wants them.
    #[must_use]
    pub fn policy(&self) -> SessionPolicy {
        self.session.policy(self.governor.limits())
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let wrong = |key, expected: String| {
            Err(ConfigError::Value { path: path.to_owned(), key, expected })
        };
        if !self.panel.listen.ip().is_loopback() {
            return wrong("panel.listen", "must be a loopback address".to_owned());
        }
        if let Some((key, expected)) = self.hub.mistake() {
            return wrong(key, expected.to_owned());
        }
        let mistakes = [self.telemetry.mistake(), self.power.mistake(), self.starts.mistake()];
        if let Some((key, expected)) = mistakes.into_iter().flatten().next() {
            return wrong(key, expected.to_owned());
        }
        for (key, seconds) in self.session.seconds() {
            if !(1..=SESSION_MAX_S).contains(&seconds) {
                return wrong(key, format!("must be 1 to {SESSION_MAX_S}"));
            }
        }
        if self.session.jam_ms > JAM_MAX_MS {
            return wrong("session.jam_ms", format!("must be 0 to {JAM_MAX_MS}"));
        }
        for (key, openings) in self.governor.numbers() {
            if !(1..=REMEMBERED_MAX).contains(&usize::from(openings)) {
                return wrong(key, format!("must be 1 to {REMEMBERED_MAX}"));
            }
        }
        if self.bus.is_empty() || self.bus.len() > PORTS_MAX {
            return wrong("bus", format!("needs 1 to {PORTS_MAX} entries"));
        }
        for (number, bus) in (1..).zip(&self.bus) {
            let invalid = |source| ConfigError::Bus { path: path.to_owned(), number, source };
            if let Some((key, expected)) = bus.mistake() {
                return wrong(key, expected);
            }
            bus.check().map_err(invalid)?;
        }
        if !boards::addrs_are_unique(&self.bus) {
            return wrong("bus.boards.addr", "must be unique in the whole bank".to_owned());
        }
        Ok(())
    }
}

fn bank_id<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BankId, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// A key of earlier versions that is in `text`, and what took its place.
fn retired(text: &str) -> Option<(&'static str, &'static str)> {
    let table: toml::Table = text.parse().ok()?;
    let has = |section: &str, key: &str| table.get(section).is_some_and(|at| at.get(key).is_some());
    if has("telemetry", "kept_samples") {
        let instead = "gave way to telemetry.kept_bytes: samples wait on the disk, 128 bytes each";
        return Some(("telemetry.kept_samples", instead));
    }
    if !has("hub", "command_keys") {
        return None;
    }
    let instead = "gave way to hub.root_keys: write the public key of the hub's root there, the \
                   line of hex in root.pub; command keys come from the hub, in the key set that the \
                   root has signed";
    Some(("hub.command_keys", instead))
}

fn root_keys<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<[u8; 32]>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let expected = || serde::de::Error::custom("expected 64 hex digits");
    texts.iter().map(|text| unhex32(text).ok_or_else(expected)).collect()
}

fn unhex32(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
