//! A carrier that follows its parcels: it keeps its resume token and every event it was told, and
//! comes back after the hub was gone.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use locker_proto::wire::carrier::v1::parcel::State;
use locker_proto::wire::carrier::v1::watch_parcels_response::Message;
use locker_proto::wire::carrier::v1::{WatchParcelsRequest, WatchParcelsResponse};
use tonic::{Code, Status, Streaming};

use crate::callers::Carrier;
use crate::wait::{now_ms, wait_for};

/// How long the hub may take to answer a watch.
const OPEN_LIMIT: Duration = Duration::from_secs(20);

/// An event as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name for ever.
    pub event_id: String,
    /// The carrier's name for the parcel.
    pub parcel: String,
    /// What happened, such as `PARCEL_STORED`.
    pub kind: String,
    /// What the parcel then was.
    pub state: State,
    /// `banks/{bank}`, or empty.
    pub bank: String,
    /// The number on the door; 0 if none.
    pub compartment: u32,
    /// When it came, in milliseconds since 1970.
    pub came_ms: u64,
    /// It had come before: the hub may repeat itself after a restart.
    pub repeated: bool,
}

/// A watch that survives the hub.
#[derive(Debug)]
pub struct Watch {
    carrier: Carrier,
    token: String,
    stream: Option<Streaming<WatchParcelsResponse>>,
    ids: HashSet<String>,
    /// Everything that came, in order.
    pub seen: Vec<Seen>,
}

impl Watch {
    /// From the beginning of the log; connects when first asked for something.
    #[must_use]
    pub fn from_beginning(carrier: &Carrier) -> Self {
        let (token, ids, seen) = (String::new(), HashSet::new(), Vec::new());
        Self { carrier: carrier.clone(), token, stream: None, ids, seen }
    }

    /// The token that continues after what came last.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Goes on until an event that is `wanted` comes; gives it.
    ///
    /// # Errors
    ///
    /// The time is over, or the hub refuses the watch for good.
    pub async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(&Seen) -> bool,
    ) -> Result<Seen> {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let next = tokio::time::timeout(left, self.next()).await;
            let next = next.with_context(|| {
                format!("waited in vain for {what}; the last events were {:#?}", self.tail())
            })??;
            if let Next::Event(seen) = next
                && wanted(&seen)
            {
                return Ok(seen);
            }
        }
    }

    /// Goes on until the hub says that nothing more is known.
    ///
    /// # Errors
    ///
    /// The time is over, or the hub refuses the watch for good.
    pub async fn until_caught_up(&mut self, limit: Duration) -> Result<()> {
        // What an open stream says is of the past: ask anew.
        self.stream = None;
        let caught_up = async {
            while let Next::Event(_) = self.next().await? {}
            anyhow::Ok(())
        };
        let waited = tokio::time::timeout(limit, caught_up).await;
        waited.context("the watch never caught up")?
    }

    /// What a parcel was, one state after the other, repeats left out.
    #[must_use]
    pub fn states_of(&self, parcel: &str) -> Vec<State> {
        let of = self.seen.iter().filter(|seen| seen.parcel == parcel && !seen.repeated);
        of.map(|seen| seen.state).collect()
    }

    fn tail(&self) -> &[Seen] {
        &self.seen[self.seen.len().saturating_sub(5)..]
    }

    async fn next(&mut self) -> Result<Next> {
        loop {
            if self.stream.is_none() {
                self.stream = Some(self.open().await?);
            }
            let Some(stream) = &mut self.stream else { continue };
            match stream.message().await {
                Ok(Some(message)) => return self.take(message),
                Ok(None) => self.stream = None,
                Err(status) if is_passing(&status) => self.stream = None,
                Err(status) => bail!("the watch ended: {status:?}"),
            }
        }
    }

    fn take(&mut self, message: WatchParcelsResponse) -> Result<Next> {
        self.token = message.resume_token;
        let event = match message.message.context("a watch's message is empty")? {
            Message::CaughtUp(_) => return Ok(Next::CaughtUp),
            Message::Event(event) => event,
        };
        let parcel = event.parcel.context("an event has no parcel")?;
        let prefix = self.carrier.parcel("");
        let name = parcel.name.strip_prefix(&prefix);
        let name = name.with_context(|| format!("an event of a foreign parcel: {parcel:?}"))?;
        let seen = Seen {
            repeated: !self.ids.insert(event.event_id.clone()),
            event_id: event.event_id,
            kind: event.kind,
            parcel: name.to_owned(),
            state: parcel.state(),
            bank: parcel.bank,
            compartment: parcel.compartment,
            came_ms: now_ms(),
        };
        self.seen.push(seen.clone());
        Ok(Next::Event(seen))
    }

    async fn open(&self) -> Result<Streaming<WatchParcelsResponse>> {
        let (parent, resume_token) = (self.carrier.resource(), self.token.clone());
        let request = WatchParcelsRequest { parent, resume_token };
        wait_for("the hub takes the watch", OPEN_LIMIT, async || {
            match self.carrier.client().watch_parcels(request.clone()).await {
                Ok(stream) => Ok(Some(stream.into_inner())),
                Err(status) if is_passing(&status) => Ok(None),
                Err(status) => bail!("the hub refuses the watch: {status:?}"),
            }
        })
        .await
    }
}

enum Next {
    Event(Seen),
    CaughtUp,
}

/// Whether a hub that dies or is not there looks like this to a client.
fn is_passing(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled)
}
