//! Notices: what a recipient is written when a parcel waits for them.
//!
//! A notice is a row that is committed with the event that causes it; a reminder's, with the note that
//! the letter before it went out. The [`Deliverer`] claims rows
//! that are due, writes each as a [`letter`] with the pickup code signed, and the six digits opened,
//! at that moment, and hands it over through [`Post`]. Neither is ever stored in the clear or logged.

pub mod counters;
mod due;
pub mod letter;
pub mod mailbox;
mod post;
pub mod qr;
pub mod smtp;
pub mod when;

pub use counters::{Count, Counters};
pub use post::{Post, SetUpPostError};

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use locker_core::units::UnixMillis;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::store::{NoticeOutcome, Store, WriteError};
use crate::wall_clock::now;

/// Time to stop in: the letters that are being handed over, and noting what became of them.
pub const STOP_TIMEOUT: Duration = post::ATTEMPT_TIMEOUT.saturating_add(Duration::from_secs(5));

/// After an event, other events are waited for this long: a claim is a write, and a busy hub
/// commits many times a second.
const GATHER: Duration = Duration::from_millis(50);

/// Delivers what is due until it is told to stop.
#[derive(Debug)]
pub struct Deliverer {
    store: Store,
    post: Post,
}

impl Deliverer {
    /// A deliverer of the store's notices.
    #[must_use]
    pub const fn new(store: Store, post: Post) -> Self {
        Self { store, post }
    }

    /// Runs until `stop` completes or the store has been closed. Letters that are being handed over
    /// are finished first: a letter that was cut off would be sent again.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut committed = self.store.committed_events();
        let pause = Duration::from_millis(self.post.limits().look_every_ms);
        info!(ways = self.post.ways(), "notices are delivered");
        while stop.as_mut().now_or_never().is_none() {
            match self.round(now()).await {
                Ok(more) if more => {}
                Err(WriteError::Closed) => break,
                result => {
                    if let Err(error) = result {
                        warn!(%error, "due notices cannot be claimed or settled");
                    }
                    tokio::select! {
                        () = &mut stop => break,
                        changed = committed.changed() => {
                            if changed.is_err() {
                                break;
                            }
                            tokio::time::sleep(GATHER).await;
                        }
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
        info!("notices are no longer delivered");
    }

    /// Claims what is due and delivers it. Says whether more may be due.
    async fn round(&self, now: UnixMillis) -> Result<bool, WriteError> {
        let limit = self.post.limits().claim;
        let due = self.store.due_notices(now, limit).await?;
        let more = u32::try_from(due.len()).is_ok_and(|count| count >= limit);
        let began = Instant::now();
        let settled = join_all(due.iter().map(async |notice| {
            let outcome = self.post.attempt(notice, now).await;
            // Whatever happened at the bank until then was not known when the letter went out.
            let now = now.plus_ms(millis(began.elapsed()));
            let sent = outcome == NoticeOutcome::Sent;
            let remind_at = self.post.reminder_after(notice, now).filter(|_| sent);
            self.store.settle_letter(notice.id, outcome, remind_at, now).await
        }));
        settled.await.into_iter().collect::<Result<(), _>>()?;
        Ok(more)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
