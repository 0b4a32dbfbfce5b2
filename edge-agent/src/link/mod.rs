//! The connection to the hub: introduces the bank, sends what the hub lacks, takes what it decides.
//!
//! Each connection has a fresh MQTT client; nothing of an old one is trusted. What to send and what
//! an ack means is decided by [`locker_core::uplink::Sender`]; this module moves the bytes.

mod keys;
mod reading;
mod session;
pub mod tls;

pub use keys::{DistrustError, TrustedKeys};

use std::time::Duration;

use locker_core::ids::{BankId, BootId};
use locker_core::uplink::AckError;
use locker_proto::message::DecodeMessageError;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::bank::{Event, KnownTime};
use crate::board::Jitter;
use crate::config::LinkLimits;
use crate::journal::{JournalReader, ReadError};
use crate::telemetry::Samples;

/// A connection that held this long was a good one, and the next wait is the shortest again. One
/// that ends at once, answered or not, must not be tried in a tight loop.
const STEADY: Duration = Duration::from_secs(10);

/// What the link is made of.
pub struct Link {
    pub bank: BankId,
    pub boot: BootId,
    pub host: String,
    pub port: u16,
    pub tls: tls::HubTls,
    pub keys: TrustedKeys,
    pub limits: LinkLimits,
    pub reader: JournalReader,
    /// The journal's last seq.
    pub head: watch::Receiver<u64>,
    /// Decisions of the hub that the bank did not take.
    pub missed: watch::Receiver<u64>,
    /// What the bank takes the time for.
    pub time: watch::Receiver<KnownTime>,
    /// What the machine tells of itself, for when there is a connection.
    pub samples: Samples,
    pub events: mpsc::Sender<Event>,
    pub jitter: Jitter,
    /// Random bytes for nonces.
    pub random: fn() -> [u8; 16],
    /// Turns true when the agent stops.
    pub stop: watch::Receiver<bool>,
}

/// Why a connection ended.
#[derive(Debug, Error)]
pub enum LinkError {
    #[error("connection lost")]
    Lost(#[source] Box<rumqttc::ConnectionError>),
    #[error("the hub refused the subscription")]
    SubscriptionRefused,
    #[error("the hub made no progress for {} s", locker_core::uplink::STALL_MS / 1_000)]
    Stalled,
    #[error("a message on {topic} is not the hub's word")]
    Unsigned { topic: String, source: DistrustError },
    #[error("a message on {topic} cannot be read")]
    Unreadable { topic: String, source: DecodeMessageError },
    #[error("the hub's acknowledgement does not fit this journal")]
    Ack(#[from] AckError),
    #[error("the hub acknowledges another stream")]
    OtherStream,
    #[error("the journal cannot be read")]
    Journal(#[from] ReadError),
    #[error("more is waiting to be sent than can be")]
    QueueFull,
    #[error("the bank did not take the time that the hub said, and knows none")]
    TimeNotTaken,
    #[error("the hub's certificate does not count at the time that the hub said")]
    Certificate(#[source] rustls::Error),
    #[error("the bank could not take what the hub decided")]
    DecisionMissed,
    #[error("the bank has stopped")]
    BankStopped,
}

/// How a connection came to its end.
enum Ended {
    Stopped,
    /// `linked`: the hub had answered the birth.
    Failed {
        error: LinkError,
        linked: bool,
    },
}

/// What one connection leaves to the next.
#[derive(Debug, Default)]
struct Learned {
    /// A place at which the hub's hash was not ours.
    doubted: Option<u64>,
    /// It was said that a part of the journal cannot be read.
    unreadable_said: bool,
}

/// Keeps the bank connected until told to stop.
pub async fn run(mut link: Link) {
    let mut failures = 0;
    let mut learned = Learned::default();
    for connection_count in 1.. {
        let began = Instant::now();
        match session::run(&mut link, connection_count, &mut learned).await {
            Ended::Stopped => return,
            Ended::Failed { error, linked } => {
                let steady = linked && began.elapsed() >= STEADY;
                failures = if steady { 0 } else { failures + 1 };
                log_end(&error, linked);
                if link.events.send(Event::Linked(false)).await.is_err() {
                    return;
                }
                // Every connection would end there: only the next start, and a person, can help.
                if let LinkError::Journal(damage @ ReadError::Damaged { .. }) = error
                    && link.events.send(Event::Damaged(damage)).await.is_err()
                {
                    return;
                }
            }
        }
        let wait = backoff(link.limits, &link.jitter, failures);
        let mut stop = link.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An agent that is gone without a word has stopped, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn log_end(error: &LinkError, linked: bool) {
    let source = std::error::Error::source(error).map(in_words);
    match error {
        LinkError::Lost(_) => info!(%error, source, linked, "hub connection ended"),
        LinkError::SubscriptionRefused
        | LinkError::Stalled
        | LinkError::Unsigned { .. }
        | LinkError::Unreadable { .. }
        | LinkError::Ack(_)
        | LinkError::OtherStream
        | LinkError::Journal(_)
        | LinkError::QueueFull
        | LinkError::TimeNotTaken
        | LinkError::Certificate(_)
        | LinkError::DecisionMissed
        | LinkError::BankStopped => warn!(%error, source, linked, "hub connection given up"),
    }
}

/// An error with all that brought it about, for the log.
fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Doubles with each failure, up to the limit; jitter of up to a quarter keeps a fleet from
/// returning in step.
fn backoff(limits: LinkLimits, jitter: &Jitter, failures: u32) -> Duration {
    let doubled = limits.backoff_min_ms.saturating_mul(1 << failures.min(20));
    let base_ms = doubled.min(limits.backoff_max_ms);
    Duration::from_millis(base_ms + jitter.draw_ms(base_ms / 4))
}

#[cfg(test)]
pub(crate) mod tests;
