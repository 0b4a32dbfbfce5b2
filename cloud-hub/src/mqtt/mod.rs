//! The banks' connections: MQTT 3.1.1 sessions over mutual TLS, without a broker.
//!
//! [`MqttListener`] runs the sessions. What banks say arrives as [`MqttEvent`]s on one bounded
//! channel; what the hub says goes through [`Sessions`]. A bank may publish under its own `up/` and
//! subscribe to its own `down/`, nothing else, and a QoS 1 publish is acknowledged only when its
//! [`AckToken`] comes back, that is after commit.
//!
//! A session never stops reading, however far ingest is behind: what waits is bounded per session
//! by the limit of unacknowledged publishes, which the agent keeps to, and by dropping the oldest
//! telemetry, which is counted.
//!
//! Operators' own tools may come through the same door, with sessions of their own ([`Operators`]):
//! they listen to the live lane and say nothing.

mod authority;
mod counters;
mod inbox;
mod listener;
mod operator;
mod outbox;
mod session;
mod sessions;
mod topic;
mod wire;

pub use authority::{ConnectRefusal, Violation};
pub use counters::{Count, Counters};
pub use inbox::AckToken;
pub use listener::{ListenerConfig, MqttListener};
pub use operator::{OperatorLimits, Operators};
pub use sessions::{SendError, Sessions};
pub use topic::{DownTopic, UpTopic};
pub use wire::{WireError, fuzz_packets};

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use locker_core::ids::BankId;

use crate::tls::DeviceKey;

/// One MQTT session, unique within the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What sessions tell ingest. For each session: `Connected` first, `Ended` last, both exactly
/// once; for each bank: the `Ended` of a session before the `Connected` of the next.
#[derive(Debug)]
pub enum MqttEvent {
    /// A bank's session has begun.
    Connected {
        /// The session.
        session: SessionId,
        /// The bank of its certificate.
        bank: BankId,
        /// Where it called from.
        peer: SocketAddr,
        /// SHA-256 of the certificate's DER bytes.
        certificate: [u8; 32],
        /// The certificate's key, if that is one of a device.
        key: Option<DeviceKey>,
    },
    /// All `down/` topics are subscribed to; a birth is answered only after this.
    Subscribed {
        /// The session.
        session: SessionId,
        /// Its bank.
        bank: BankId,
    },
    /// The bank published, or its session's end delivered the will it left (presence).
    Publish {
        /// The session.
        session: SessionId,
        /// Its bank.
        bank: BankId,
        /// Which of the bank's topics.
        topic: UpTopic,
        /// The bytes as sent.
        payload: Bytes,
        /// Present for QoS 1: give it to [`Sessions::acknowledge`] after commit.
        ack: Option<AckToken>,
    },
    /// The session is over; nothing more comes from it and nothing reaches it.
    Ended {
        /// The session.
        session: SessionId,
        /// Its bank.
        bank: BankId,
        /// Why.
        reason: EndReason,
    },
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndReason {
    /// The bank sent DISCONNECT: the only end that does not deliver its will.
    #[error("bank disconnected")]
    Disconnected,
    /// The connection broke or was closed without DISCONNECT.
    #[error("connection lost")]
    ConnectionLost,
    /// Nothing came for one and a half keep-alive times.
    #[error("keep-alive expired")]
    KeepAliveExpired,
    /// A newer session of the same identity took its place.
    #[error("taken over by a newer session")]
    TakenOver,
    /// Its certificate was revoked; what it had sent and was not read yet is discarded.
    #[error("certificate revoked")]
    Revoked,
    /// Its certificate has run out.
    #[error("certificate expired")]
    CertificateExpired,
    /// It did not take what we sent: queue full, or the socket stalled.
    #[error("bank reads too slowly")]
    SlowReader,
    /// The hub is stopping.
    #[error("hub is stopping")]
    HubStopping,
    /// It broke a rule of the protocol.
    #[error("protocol violation")]
    Violation(#[source] Violation),
    /// The session's own code failed: a bug, logged as one.
    #[error("internal fault")]
    Fault,
    /// Ingest ended it, for the reason given in a fixed phrase.
    #[error("ended by ingest: {0}")]
    Ingest(&'static str),
}

/// The bounds of one session.
#[derive(Debug, Clone)]
pub struct SessionLimits {
    /// From the end of the TLS handshake to a complete CONNECT.
    pub connect_timeout: Duration,
    /// Longest keep-alive that a bank may ask for, in seconds.
    pub keep_alive_max_s: u16,
    /// Largest packet after its fixed header.
    pub packet_bytes: usize,
    /// Unacknowledged batches of facts; one more is a violation.
    pub unacknowledged_facts: usize,
    /// QoS 0 publishes waiting for ingest; one more drops the oldest, telemetry first.
    pub lossy_messages: usize,
    /// Their bytes; the same rule, but the newest always stays.
    pub lossy_bytes: usize,
    /// Publishes to the bank waiting for the socket; one more drops the oldest QoS 0, and without
    /// one ends the session as a slow reader.
    pub outbound_messages: usize,
    /// Their bytes; the same rule, but a single one is always taken.
    pub outbound_bytes: usize,
    /// Outbound QoS 1 publishes without PUBACK; more wait.
    pub outbound_window: usize,
    /// Time in which the socket must take a write.
    pub write_timeout: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            keep_alive_max_s: 300,
            packet_bytes: 128 * 1024,
            unacknowledged_facts: 4,
            lossy_messages: 16,
            lossy_bytes: 128 * 1024,
            outbound_messages: 64,
            outbound_bytes: 512 * 1024,
            outbound_window: 16,
            write_timeout: Duration::from_secs(20),
        }
    }
}

#[cfg(test)]
mod tests;
