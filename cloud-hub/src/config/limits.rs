//! The limits and times of the configuration, each with its unit, its default, and the range that
//! makes sense.

use std::time::Duration;

use serde::Deserialize;

use super::Config;
use crate::mqtt::SessionLimits;
use crate::store;
use crate::tls::Limits;

const HOUR_MS: u64 = 3_600_000;
/// Most reminders in one stay: whoever has not come after these will not for one more.
const REMINDERS_MAX: usize = 4;

/// What one bank's session may take; see [`SessionLimits`] for what happens at each limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttLimits {
    /// From the end of the TLS handshake to a complete CONNECT, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Longest keep-alive that a bank may ask for, in seconds.
    pub keep_alive_max_s: u16,
    /// Largest packet after its fixed header, in bytes.
    pub packet_bytes: usize,
    /// Publishes to a bank waiting for its socket.
    pub outbound_messages: usize,
    /// Their size, in bytes.
    pub outbound_bytes: usize,
    /// Time in which a bank's socket must take a write, in milliseconds.
    pub write_timeout_ms: u64,
    /// What banks said and ingest has not taken yet; when full, sessions hold their messages back.
    pub event_queue: usize,
}

impl Default for MqttLimits {
    fn default() -> Self {
        let session = SessionLimits::default();
        Self {
            connect_timeout_ms: millis(session.connect_timeout),
            keep_alive_max_s: session.keep_alive_max_s,
            packet_bytes: session.packet_bytes,
            outbound_messages: session.outbound_messages,
            outbound_bytes: session.outbound_bytes,
            write_timeout_ms: millis(session.write_timeout),
            event_queue: 1_024,
        }
    }
}

impl MqttLimits {
    /// As the sessions take them.
    #[must_use]
    pub fn session(&self) -> SessionLimits {
        SessionLimits {
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            keep_alive_max_s: self.keep_alive_max_s,
            packet_bytes: self.packet_bytes,
            outbound_messages: self.outbound_messages,
            outbound_bytes: self.outbound_bytes,
            write_timeout: Duration::from_millis(self.write_timeout_ms),
            ..SessionLimits::default()
        }
    }
}

/// What a listener lets in; see [`Limits`] for what happens at each limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsLimits {
    /// From accept to the end of the handshake, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// Connections whose handshake has not ended.
    pub pending: usize,
    /// Connections whose handshake has ended.
    pub established: usize,
    /// Connections of one certificate identity.
    pub per_identity: usize,
}

impl Default for TlsLimits {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            handshake_timeout_ms: millis(limits.handshake_timeout),
            pending: limits.pending,
            established: limits.connections,
            per_identity: limits.connections_per_identity,
        }
    }
}

impl TlsLimits {
    /// As the listeners take them.
    #[must_use]
    pub const fn listener(&self) -> Limits {
        Limits {
            handshake_timeout: Duration::from_millis(self.handshake_timeout_ms),
            pending: self.pending,
            connections: self.established,
            connections_per_identity: self.per_identity,
        }
    }
}

/// What the store may take; see [`store::StoreLimits`] for what happens at each limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreLimits {
    /// Writes that may wait.
    pub queued_jobs: usize,
    /// Writes in one transaction.
    pub group_jobs: usize,
    /// How long the first write of a group waits for others, in microseconds.
    pub group_wait_us: u64,
    /// Connections that read.
    pub readers: u32,
    /// How long a reader waits for a connection, in milliseconds.
    pub read_wait_ms: u64,
    /// How long a repeated call is recognised, in hours.
    pub requests_hours: u32,
    /// How long a notice belongs to the deliverer that claimed it, in milliseconds.
    pub notice_lease_ms: u64,
    /// Unreadable messages kept of each bank.
    pub quarantined_per_bank: u32,
    /// Messages kept apart of each bank that may have been copied.
    pub kept_apart_per_bank: u32,
}

impl Default for StoreLimits {
    fn default() -> Self {
        let limits = store::StoreLimits::default();
        Self {
            queued_jobs: limits.queued_jobs,
            group_jobs: limits.group_jobs,
            group_wait_us: u64::try_from(limits.group_wait.as_micros()).unwrap_or(u64::MAX),
            readers: limits.readers,
            read_wait_ms: millis(limits.read_wait),
            requests_hours: u32::try_from(limits.requests_ms / HOUR_MS).unwrap_or(u32::MAX),
            notice_lease_ms: limits.notice_lease_ms,
            quarantined_per_bank: limits.quarantined_per_bank,
            kept_apart_per_bank: limits.kept_apart_per_bank,
        }
    }
}

impl StoreLimits {
    /// As the store takes them.
    #[must_use]
    pub fn store(&self, retention_ms: u64) -> store::StoreLimits {
        store::StoreLimits {
            queued_jobs: self.queued_jobs,
            group_jobs: self.group_jobs,
            group_wait: Duration::from_micros(self.group_wait_us),
            readers: self.readers,
            read_wait: Duration::from_millis(self.read_wait_ms),
            retention_ms,
            requests_ms: u64::from(self.requests_hours) * HOUR_MS,
            notice_lease_ms: self.notice_lease_ms,
            quarantined_per_bank: self.quarantined_per_bank,
            kept_apart_per_bank: self.kept_apart_per_bank,
        }
    }
}

/// What calls may take.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcLimits {
    /// Longest time for the answer of a call, whatever its caller allows, in milliseconds; then
    /// DEADLINE_EXCEEDED.
    pub call_timeout_ms: u64,
    /// Largest request, in bytes; a larger one answers RESOURCE_EXHAUSTED.
    pub request_bytes: usize,
    /// Calls at a time on one connection; HTTP/2 holds more back at the client.
    pub calls_per_connection: u32,
    /// Watches at a time of one caller; one more answers RESOURCE_EXHAUSTED.
    pub watches_per_caller: usize,
    /// Events that a watch reads from the store at a time, and holds at most.
    pub watch_page: u32,
    /// A quiet watch gives a sign of life this often, in milliseconds.
    pub watch_sign_of_life_ms: u64,
    /// A connection is asked whether it lives this often, in milliseconds.
    pub keep_alive_ms: u64,
    /// It must answer within this time, in milliseconds, or is closed.
    pub keep_alive_timeout_ms: u64,
}

impl Default for GrpcLimits {
    fn default() -> Self {
        Self {
            call_timeout_ms: 30_000,
            request_bytes: 256 * 1024,
            calls_per_connection: 128,
            watches_per_caller: 16,
            watch_page: 128,
            watch_sign_of_life_ms: 20_000,
            keep_alive_ms: 30_000,
            keep_alive_timeout_ms: 20_000,
        }
    }
}

/// How notices are delivered.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoticeLimits {
    /// Notices claimed at a time.
    pub claim: u32,
    /// How often due notices are looked for when nothing else wakes the deliverer, in
    /// milliseconds.
    pub look_every_ms: u64,
    /// Pause after the first failed attempt, in milliseconds; doubled after each.
    pub retry_first_ms: u64,
    /// Longest pause between attempts, in milliseconds.
    pub retry_max_ms: u64,
    /// Attempts; then the notice is given up and an error logged.
    pub attempts: u32,
    /// When a recipient is reminded, in percent of the time that the parcel may stay; ascending, at
    /// most four, none for no reminders.
    pub remind_at_percent: Vec<u8>,
}

impl Default for NoticeLimits {
    fn default() -> Self {
        Self {
            claim: 32,
            look_every_ms: 5_000,
            retry_first_ms: 5_000,
            retry_max_ms: 900_000,
            attempts: 100,
            remind_at_percent: vec![50, 80],
        }
    }
}

/// How long stopping may take.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StopLimits {
    /// For calls that are under way, in milliseconds; then they are cut off.
    pub calls_ms: u64,
    /// For banks' sessions to end and for what they sent to be committed, in milliseconds.
    pub sessions_ms: u64,
    /// For spans to leave, in milliseconds.
    pub telemetry_ms: u64,
}

impl Default for StopLimits {
    fn default() -> Self {
        Self { calls_ms: 5_000, sessions_ms: 15_000, telemetry_ms: 3_000 }
    }
}

pub(super) const fn smtp_timeout_ms() -> u64 {
    15_000
}

/// The first limit that makes no sense, and what would.
pub(super) fn check(config: &Config) -> Result<(), (String, String)> {
    let mut rows = check_doors(config);
    rows.extend(check_store_and_stop(config));
    if let Some(notices) = &config.notices {
        let limits = &notices.limits;
        rows.extend([
            row("notices.limits.claim", limits.claim, 1, 1_000),
            row("notices.limits.look_every_ms", limits.look_every_ms, 10, HOUR_MS),
            row("notices.limits.retry_first_ms", limits.retry_first_ms, 10, HOUR_MS),
            row("notices.limits.retry_max_ms", limits.retry_max_ms, 10, 24 * HOUR_MS),
            row("notices.limits.attempts", limits.attempts, 1, 100_000),
        ]);
        check_reminders(&limits.remind_at_percent)?;
        rows.extend(
            notices
                .smtp
                .as_ref()
                .map(|smtp| row("notices.smtp.timeout_ms", smtp.timeout_ms, 100, HOUR_MS)),
        );
    }
    rows.into_iter().try_for_each(Row::check)
}

fn check_reminders(percent: &[u8]) -> Result<(), (String, String)> {
    let ascending = percent.is_sorted_by(|before, after| before < after);
    let inside = percent.iter().all(|percent| (1..=99).contains(percent));
    if ascending && inside && percent.len() <= REMINDERS_MAX {
        return Ok(());
    }
    let expected =
        format!("up to {REMINDERS_MAX} percentages of 1 to 99, ascending, found {percent:?}");
    Err(("notices.limits.remind_at_percent".to_owned(), expected))
}

fn check_doors(config: &Config) -> Vec<Row> {
    let (mqtt, grpc) = (&config.mqtt.limits, &config.grpc.limits);
    let mut rows = vec![
        row("mqtt.limits.connect_timeout_ms", mqtt.connect_timeout_ms, 100, HOUR_MS),
        row("mqtt.limits.keep_alive_max_s", mqtt.keep_alive_max_s, 5, 3_600),
        row("mqtt.limits.packet_bytes", mqtt.packet_bytes, 70_000, 16 << 20),
        row("mqtt.limits.outbound_messages", mqtt.outbound_messages, 4, 100_000),
        row("mqtt.limits.outbound_bytes", mqtt.outbound_bytes, 70_000, 1 << 30),
        row("mqtt.limits.write_timeout_ms", mqtt.write_timeout_ms, 100, HOUR_MS),
        row("mqtt.limits.event_queue", mqtt.event_queue, 1, 1_000_000),
        row("grpc.limits.call_timeout_ms", grpc.call_timeout_ms, 100, HOUR_MS),
        row("grpc.limits.request_bytes", grpc.request_bytes, 1_024, 64 << 20),
        row("grpc.limits.calls_per_connection", grpc.calls_per_connection, 1, 10_000),
        row("grpc.limits.watches_per_caller", grpc.watches_per_caller, 1, 10_000),
        row("grpc.limits.watch_page", grpc.watch_page, 1, 10_000),
        row("grpc.limits.watch_sign_of_life_ms", grpc.watch_sign_of_life_ms, 10, HOUR_MS),
        row("grpc.limits.keep_alive_ms", grpc.keep_alive_ms, 1_000, HOUR_MS),
        row("grpc.limits.keep_alive_timeout_ms", grpc.keep_alive_timeout_ms, 1_000, HOUR_MS),
    ];
    for (door, limits) in [("mqtt", &config.mqtt.connections), ("grpc", &config.grpc.connections)] {
        let key = |name: &str| format!("{door}.connections.{name}");
        rows.extend([
            row(key("handshake_timeout_ms"), limits.handshake_timeout_ms, 100, HOUR_MS),
            row(key("pending"), limits.pending, 1, 1_000_000),
            row(key("established"), limits.established, 1, 1_000_000),
            row(key("per_identity"), limits.per_identity, 1, 1_000_000),
        ]);
    }
    rows
}

fn check_store_and_stop(config: &Config) -> [Row; 12] {
    let (store, stop) = (&config.store.limits, &config.stop);
    [
        row("store.limits.queued_jobs", store.queued_jobs, 1, 1_000_000),
        row("store.limits.group_jobs", store.group_jobs, 1, 100_000),
        row("store.limits.group_wait_us", store.group_wait_us, 0, 10_000_000),
        row("store.limits.readers", store.readers, 1, 1_000),
        row("store.limits.read_wait_ms", store.read_wait_ms, 10, HOUR_MS),
        row("store.limits.requests_hours", store.requests_hours, 1, 8_760),
        row("store.limits.notice_lease_ms", store.notice_lease_ms, 40_000, HOUR_MS),
        row("store.limits.quarantined_per_bank", store.quarantined_per_bank, 0, 10_000),
        row("store.limits.kept_apart_per_bank", store.kept_apart_per_bank, 0, 10_000),
        row("stop.calls_ms", stop.calls_ms, 0, HOUR_MS),
        row("stop.sessions_ms", stop.sessions_ms, 0, HOUR_MS),
        row("stop.telemetry_ms", stop.telemetry_ms, 0, HOUR_MS),
    ]
}

/// A limit as found, and the least and most of it that make sense.
pub(super) struct Row {
    key: String,
    found: u64,
    least: u64,
    most: u64,
}

pub(super) fn row(key: impl Into<String>, found: impl TryInto<u64>, least: u64, most: u64) -> Row {
    Row { key: key.into(), found: found.try_into().unwrap_or(u64::MAX), least, most }
}

impl Row {
    pub(super) fn check(self) -> Result<(), (String, String)> {
        let Self { key, found, least, most } = self;
        if (least..=most).contains(&found) {
            Ok(())
        } else {
            Err((key, format!("{least} to {most}, found {found}")))
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
