//! One operator's place at the router: moves what matches its filters into its mailbox, and takes
//! its filters along to the next router when one dies.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use rumqttd::Notification;
use rumqttd::local::LinkRx;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::filter::Filters;
use super::router::{Router, RouterGone, To};
use super::{Core, Mailbox};

/// Wishes of a session that may wait; it waits for each to be granted.
const WISHES_WAITING_MAX: usize = 1;

/// A session's side of its place. The place is free again when this is dropped.
#[derive(Debug)]
pub struct Seat(mpsc::Sender<Wish>);

/// What the lane's thread needs to serve a place.
#[derive(Debug)]
pub(super) struct Opening {
    mailbox: Arc<Mailbox>,
    wishes: mpsc::Receiver<Wish>,
}

#[derive(Debug)]
enum Wish {
    Subscribe(Vec<String>, oneshot::Sender<()>),
    Unsubscribe(Vec<String>, oneshot::Sender<()>),
}

/// Both ends of a new place.
pub(super) fn open(mailbox: &Arc<Mailbox>) -> (Seat, Opening) {
    let (sender, wishes) = mpsc::channel(WISHES_WAITING_MAX);
    (Seat(sender), Opening { mailbox: Arc::clone(mailbox), wishes })
}

impl Seat {
    /// Adds filters, which the caller has checked. When it returns they are in force.
    ///
    /// # Errors
    /// The lane has no place for this session, or has ended.
    pub async fn subscribe(&self, filters: Vec<String>) -> Result<(), SeatLost> {
        self.wish(|granted| Wish::Subscribe(filters, granted)).await
    }

    /// Takes filters away.
    ///
    /// # Errors
    /// As [`Self::subscribe`].
    pub async fn unsubscribe(&self, filters: Vec<String>) -> Result<(), SeatLost> {
        self.wish(|granted| Wish::Unsubscribe(filters, granted)).await
    }

    async fn wish(&self, wish: impl FnOnce(oneshot::Sender<()>) -> Wish) -> Result<(), SeatLost> {
        let (granted, answer) = oneshot::channel();
        self.0.send(wish(granted)).await.map_err(|_| SeatLost)?;
        answer.await.map_err(|_| SeatLost)
    }
}

/// The lane serves this session no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("live lane serves this session no longer")]
pub struct SeatLost;

/// What all places share.
#[derive(Clone)]
pub(super) struct Hall {
    pub(super) core: Arc<Core>,
    pub(super) routers: watch::Receiver<Router>,
    /// A link ended that should not: the router may be dead.
    pub(super) suspicion: Arc<Notify>,
    /// Filters that the present router has seen; it forgets none.
    pub(super) seen: Arc<Mutex<BTreeSet<String>>>,
    /// Names of links that nobody uses; the router forgets none of these either.
    pub(super) names: Arc<Mutex<Vec<usize>>>,
}

/// Serves a place until its session has gone. A place for which there is no name is not served,
/// which its session finds out at once.
pub(super) async fn serve(hall: Hall, opening: Opening) {
    let free = hall.names.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let Some(number) = free else { return };
    let name = Name { number, hall: hall.clone() };
    let (filters, listening) = (Filters::new(), None);
    let mut place = Place { hall, opening, filters, listening };
    while place.at_one_router(&name).await.is_some() {}
}

/// A name in use.
struct Name {
    number: usize,
    hall: Hall,
}

impl Drop for Name {
    fn drop(&mut self) {
        self.hall.names.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
    }
}

/// Counts as a listener while it lives.
struct Listening(Arc<Core>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Place {
    hall: Hall,
    opening: Opening,
    filters: Filters,
    listening: Option<Listening>,
}

impl Place {
    /// Serves until the router has been replaced; `None` when the session has gone.
    async fn at_one_router(&mut self, name: &Name) -> Option<()> {
        let router = self.hall.routers.borrow_and_update().clone();
        let linked = router.link(format!("seat-{}", name.number)).await;
        let Some((mut to, from)) = linked else { return self.await_router().await };
        let known: Vec<String> = self.filters.iter().cloned().collect();
        if known.iter().any(|filter| self.see(filter, &mut to).is_err()) {
            return self.await_router().await;
        }
        match self.at_link(&mut to, from).await {
            Left::Session => {
                // Nothing is said on this link after it.
                let _ = to.disconnect().await;
                None
            }
            Left::Replaced => Some(()),
            Left::Lost => self.await_router().await,
        }
    }

    async fn at_link(&mut self, to: &mut To, mut from: LinkRx) -> Left {
        loop {
            tokio::select! {
                wish = self.opening.wishes.recv() => {
                    let Some(wish) = wish else { return Left::Session };
                    if self.grant(wish, Some(to)).is_err() {
                        return Left::Lost;
                    }
                }
                replaced = self.hall.routers.changed() => {
                    return replaced.map_or(Left::Session, |()| Left::Replaced);
                }
                heard = from.next() => match heard {
                    Ok(Some(Notification::Forward(forward))) => {
                        let publish = forward.publish;
                        self.opening.mailbox.put(publish.topic, publish.payload);
                    }
                    // Delivery stops until it is answered.
                    Ok(Some(Notification::Unschedule)) => {
                        if from.wake().await.is_err() {
                            return Left::Lost;
                        }
                    }
                    Ok(Some(Notification::Disconnect(..))) | Err(_) => return Left::Lost,
                    Ok(_) => {}
                },
            }
        }
    }

    /// Waits for a router that lives; wishes are noted meanwhile.
    async fn await_router(&mut self) -> Option<()> {
        self.hall.suspicion.notify_one();
        loop {
            tokio::select! {
                replaced = self.hall.routers.changed() => return replaced.ok(),
                wish = self.opening.wishes.recv() => {
                    // Without a link nothing can fail.
                    let _ = self.grant(wish?, None);
                }
            }
        }
    }

    fn grant(&mut self, wish: Wish, mut to: Option<&mut To>) -> Result<(), RouterGone> {
        let granted = match wish {
            Wish::Subscribe(filters, granted) => {
                for filter in filters {
                    if let Some(to) = to.as_deref_mut() {
                        self.see(&filter, to)?;
                    }
                    self.filters.insert(filter);
                }
                granted
            }
            Wish::Unsubscribe(filters, granted) => {
                for filter in filters {
                    if self.filters.remove(&filter)
                        && let Some(to) = to.as_deref_mut()
                    {
                        to.unsubscribe(&filter)?;
                    }
                }
                granted
            }
        };
        let listens = !self.filters.is_empty();
        if listens != self.listening.is_some() {
            self.listening = listens.then(|| {
                self.hall.core.listeners.fetch_add(1, Ordering::Relaxed);
                Listening(Arc::clone(&self.hall.core))
            });
        }
        // The session may have gone meanwhile.
        let _ = granted.send(());
        Ok(())
    }

    fn see(&self, filter: &str, to: &mut To) -> Result<(), RouterGone> {
        self.hall.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(filter.to_owned());
        to.subscribe(filter)
    }
}

/// Why a link is not served any more.
enum Left {
    Session,
    Replaced,
    Lost,
}
