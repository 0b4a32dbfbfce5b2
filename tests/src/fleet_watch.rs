//! What operators are told about the whole fleet, read once from its beginning.

use std::time::Duration;

use anyhow::{Context, Result};
use locker_proto::wire::fleet::v1::{Event, WatchEventsRequest};

use crate::callers::Operator;

/// Every event from the beginning up to the one named `last`, which must be there.
///
/// # Errors
///
/// The hub refuses the watch, or `last` does not come in time.
pub async fn events_up_to(operator: &Operator, last: &str, limit: Duration) -> Result<Vec<Event>> {
    let request = WatchEventsRequest { resume_token: String::new(), from_beginning: true };
    let mut events = Vec::new();
    let read = async {
        let mut stream = operator.client().watch_events(request).await?.into_inner();
        loop {
            let message = stream.message().await?.context("the fleet's watch ended")?;
            let Some(event) = message.event else { continue };
            let is_last = event.event_id == last;
            events.push(event);
            if is_last {
                return anyhow::Ok(());
            }
        }
    };
    let done = tokio::time::timeout(limit, read).await;
    done.with_context(|| format!("the fleet's watch never told of {last}"))??;
    Ok(events)
}
