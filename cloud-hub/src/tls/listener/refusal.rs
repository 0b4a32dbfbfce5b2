//! What a listener turned away, one counter for each reason.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection was closed before a server saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The system could not hand over a connection (out of descriptors, reset in the backlog).
    Accept,
    /// Sent nothing and was the oldest to do so when a place was needed.
    Silent,
    /// Did not end the handshake in time.
    HandshakeTimeout,
    /// No TLS, no certificate, one of a foreign authority, expired, or revoked by a list.
    Handshake,
    /// The certificate names nobody we know how to treat.
    Identity,
    /// The certificate was revoked by hand.
    Revoked,
    /// All places for established connections are taken.
    Connections,
    /// All places of this identity are taken.
    ConnectionsOfIdentity,
}

impl Refusal {
    /// Every reason, for metrics.
    pub const ALL: [Self; 8] = [
        Self::Accept,
        Self::Silent,
        Self::HandshakeTimeout,
        Self::Handshake,
        Self::Identity,
        Self::Revoked,
        Self::Connections,
        Self::ConnectionsOfIdentity,
    ];

    /// The reason as a metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Silent => "silent",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::Handshake => "handshake",
            Self::Identity => "identity",
            Self::Revoked => "revoked",
            Self::Connections => "connections",
            Self::ConnectionsOfIdentity => "connections_of_identity",
        }
    }
}

/// Counts since the listener was bound.
#[derive(Debug, Default)]
pub struct Counters {
    established: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
}

impl Counters {
    /// Connections that were handed to the server.
    #[must_use]
    pub fn established(&self) -> u64 {
        self.established.load(Ordering::Relaxed)
    }

    /// Connections turned away for this reason.
    #[must_use]
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refused[reason as usize].load(Ordering::Relaxed)
    }

    pub(super) fn count_established(&self) {
        self.established.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self, reason: Refusal) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }
}
