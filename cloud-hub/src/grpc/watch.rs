//! Watches: the event log as a stream, from a token on, at least once and in order.
//!
//! A watch is pulled by its connection and holds one page of events at most, so a slow reader is
//! slowed by HTTP/2 and costs nothing but its place.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use locker_core::ids::CarrierId;
use tokio::sync::watch as signal;
use tokio::time::Instant;
use tonic::Status;

use super::gate::check_certificate;
use super::{Surface, status};
use crate::identity::Identity;
use crate::store::{EventRow, Store};
use crate::tls::{Peer, Revocations};

/// Opens watches, and counts them by caller.
#[derive(Clone)]
pub(super) struct Watches {
    store: Store,
    revocations: Revocations,
    stopping: signal::Receiver<bool>,
    open: Arc<Mutex<HashMap<Identity, usize>>>,
    per_caller: usize,
    page: u32,
    sign_of_life: Duration,
}

impl Watches {
    pub(super) fn new(
        surface: &Surface,
        revocations: Revocations,
        stopping: signal::Receiver<bool>,
    ) -> Self {
        Self {
            store: surface.store.clone(),
            revocations,
            stopping,
            open: Arc::default(),
            per_caller: surface.limits.watches_per_caller,
            page: surface.limits.watch_page,
            sign_of_life: Duration::from_millis(surface.limits.watch_sign_of_life_ms),
        }
    }

    /// Opens a watch that goes on after `position`, of all events or of one carrier's parcels.
    pub(super) fn open(
        &self,
        peer: Peer,
        carrier: Option<CarrierId>,
        position: u64,
    ) -> Result<Watch, Status> {
        let place = self.take_place(&peer.identity)?;
        Ok(Watch {
            committed: self.store.committed_events(),
            watches: self.clone(),
            peer,
            carrier,
            position,
            read_to: position,
            page: VecDeque::new(),
            sign_at: None,
            _place: place,
        })
    }

    fn take_place(&self, caller: &Identity) -> Result<Place, Status> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(caller.clone()).or_default();
        if *count >= self.per_caller {
            return Err(status::too_many_watches(self.per_caller));
        }
        *count += 1;
        Ok(Place { caller: caller.clone(), open: Arc::clone(&self.open) })
    }
}

/// One open watch.
pub(super) struct Watch {
    watches: Watches,
    peer: Peer,
    carrier: Option<CarrierId>,
    committed: signal::Receiver<u64>,
    /// Everything up to here was given out.
    position: u64,
    /// Everything up to here was read from the log.
    read_to: u64,
    page: VecDeque<EventRow>,
    /// When a sign of life is due; unset until everything was given out once.
    sign_at: Option<Instant>,
    _place: Place,
}

/// What a watch gives out.
#[derive(Debug)]
pub(super) enum Sight {
    Event(Box<EventRow>),
    /// Everything there is has been given out: said once, and then as a sign of life.
    CaughtUp,
}

impl Watch {
    /// Where the watch goes on after what [`Self::next`] gave out last.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Waits for the next event or sign of life.
    pub(super) async fn next(&mut self) -> Result<Sight, Status> {
        loop {
            if let Some(row) = self.page.pop_front() {
                self.position = row.position;
                return Ok(Sight::Event(Box::new(row)));
            }
            // Events of others need not be looked through again.
            self.position = self.position.max(self.read_to);
            let head = *self.committed.borrow_and_update();
            if head > self.position {
                self.read_page(head).await?;
                continue;
            }
            let Some(sign_at) = self.sign_at else { return Ok(self.caught_up()) };
            tokio::select! {
                () = stopped(&mut self.watches.stopping) => return Err(status::stopping()),
                changed = self.committed.changed() => changed.map_err(|_| status::stopping())?,
                () = tokio::time::sleep_until(sign_at) => {
                    check_certificate(&self.peer, &self.watches.revocations)?;
                    return Ok(self.caught_up());
                }
            }
        }
    }

    async fn read_page(&mut self, head: u64) -> Result<(), Status> {
        check_certificate(&self.peer, &self.watches.revocations)?;
        if *self.watches.stopping.borrow() {
            return Err(status::stopping());
        }
        let limit = self.watches.page;
        let store = &self.watches.store;
        let rows = store.events_after(self.position, self.carrier.as_ref(), limit).await;
        self.page = rows.map_err(status::of_read)?.into();
        let full = u32::try_from(self.page.len()).is_ok_and(|count| count >= limit);
        self.read_to = match self.page.back() {
            Some(last) if full => last.position,
            Some(last) => last.position.max(head),
            None => head,
        };
        Ok(())
    }

    fn caught_up(&mut self) -> Sight {
        self.sign_at = Some(Instant::now() + self.watches.sign_of_life);
        Sight::CaughtUp
    }
}

/// Completes when the hub stops, or has gone.
async fn stopped(stopping: &mut signal::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// A caller's taken place, given back when the watch is dropped.
struct Place {
    caller: Identity,
    open: Arc<Mutex<HashMap<Identity, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.caller);
            }
        }
    }
}
