//! What operators are told about the whole fleet, read once from its beginning.

use std::time::Duration;

use anyhow::{Context, Result};
use locker_proto::wire::fleet::v1::{Event, WatchEventsRequest};

use crate::callers::Operator;

/// Every event from the beginning up to the one that is the `last`, which must come.
///
/// # Errors
///
/// The hub refuses the watch, or the last one does not come in time.
pub async fn events_until(
    operator: &Operator,
    what: &str,
    limit: Duration,
    mut last: impl FnMut(&Event) -> bool,
) -> Result<Vec<Event>> {
    let request = WatchEventsRequest { resume_token: String::new(), from_beginning: true };
    let mut events = Vec::new();
    let read = async {
        let mut stream = operator.client().watch_events(request).await?.into_inner();
        loop {
            let message = stream.message().await?.context("the fleet's watch ended")?;
            let Some(event) = message.event else { continue };
            let is_last = last(&event);
            events.push(event);
            if is_last {
                return anyhow::Ok(());
            }
        }
    };
    let done = tokio::time::timeout(limit, read).await;
    done.with_context(|| format!("the fleet's watch never told of {what}"))??;
    Ok(events)
}
