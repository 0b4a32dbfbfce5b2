//! The lane's thread: feeds the router, watches whether it lives, and replaces it.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use locker_core::ids::BankId;
use rumqttd::Notification;
use rumqttd::local::LinkRx;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep as pause};
use tracing::{error, info, warn};

use super::Core;
use super::counters::Count;
use super::queue::{Kind, Note};
use super::router::{Router, To};
use super::seat::{self, Hall, Opening};

/// Orders that may wait; whoever brings one more is refused.
pub(super) const ORDERS_WAITING_MAX: usize = 64;
/// How long the first note of a batch waits for others. Nobody sees it, and without it each note
/// would wake three threads.
const LINGER: Duration = Duration::from_millis(20);
/// Notes given to the router at a time.
const BATCH_NOTES: usize = 1_024;
/// Notes that the router has not looked at; with more the rest stays in the lane's own queue.
const ROUTER_WAITING_MAX: usize = 2_048;
/// How often the router is asked whether it lives.
const CANARY_EVERY: Duration = Duration::from_secs(1);
/// A router that has not answered for this long is dead.
const CANARY_LATE: Duration = Duration::from_secs(5);
/// Where it is asked: no filter of an operator reaches outside `lk/`.
const CANARY_TOPIC: &str = "canary";
/// Pause before a thread or a router that ended at once is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(100);
/// Topics kept ready, by bank; with more all are made anew.
const TOPICS_KEPT_BANKS: usize = 20_000;

/// What the lane is told by its handles.
#[derive(Debug)]
pub(super) enum Order {
    Open(Opening),
    #[cfg(test)]
    KillRouter,
}

/// Starts the thread. It ends when all senders of `inbox` have gone.
pub(super) fn start(core: Arc<Core>, mut inbox: mpsc::Receiver<Order>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let body = move || {
        loop {
            let run = || runtime.block_on(run(&core, &mut inbox));
            match std::panic::catch_unwind(AssertUnwindSafe(run)) {
                Ok(()) => return,
                Err(_) => error!("live lane panicked, starting it again"),
            }
            runtime.block_on(pause(RESTART_PAUSE));
        }
    };
    thread::Builder::new().name("live-lane".to_owned()).spawn(body).map(drop)
}

async fn run(core: &Arc<Core>, inbox: &mut mpsc::Receiver<Order>) {
    let router = Router::start(&core.limits);
    let (routers, watching) = watch::channel(router.clone());
    let hall = Hall {
        core: Arc::clone(core),
        routers: watching,
        suspicion: Arc::new(Notify::new()),
        seen: Arc::default(),
        names: Arc::new(Mutex::new((0..core.limits.sessions).rev().collect())),
    };
    let topics = Topics::default();
    let mut runner = Runner { hall, inbox, seats: JoinSet::new(), topics };
    let mut router = router;
    loop {
        let count = match runner.serve(&router).await {
            Left::Stopped => break,
            Left::Died => Count::RouterDied,
            Left::WornOut => Count::RouterWornOut,
        };
        core.counters.add(count, 1);
        warn!(reason = count.label(), "live lane's router replaced");
        let old = std::mem::replace(&mut router, Router::start(&core.limits));
        runner.hall.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
        routers.send_replace(router.clone());
        if count == Count::RouterWornOut {
            old.end().await;
        } else {
            pause(RESTART_PAUSE).await;
        }
    }
    // The last router's thread goes on until the process ends: to end it means to make it panic.
    info!("live lane stopped");
}

struct Runner<'a> {
    hall: Hall,
    inbox: &'a mut mpsc::Receiver<Order>,
    seats: JoinSet<()>,
    topics: Topics,
}

/// Why a router is not served any more.
enum Left {
    Stopped,
    Died,
    WornOut,
}

impl Runner<'_> {
    async fn serve(&mut self, router: &Router) -> Left {
        let Some((mut to, mut from)) = router.link("hub".to_owned()).await else {
            return Left::Died;
        };
        if to.subscribe(CANARY_TOPIC).is_err() {
            return Left::Died;
        }
        let core = Arc::clone(&self.hall.core);
        let suspicion = Arc::clone(&self.hall.suspicion);
        let mut canary = interval(CANARY_EVERY);
        canary.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        loop {
            let lives = tokio::select! {
                order = self.inbox.recv() => match order {
                    Some(order) => self.obey(order, router).await,
                    None => return Left::Stopped,
                },
                () = core.queue.filled() => {
                    pause(LINGER).await;
                    self.feed(&mut to)
                }
                heard = next(&mut from) => {
                    heard_at = Instant::now();
                    heard
                }
                () = suspicion.notified() => ask(&mut to),
                _ = canary.tick() => heard_at.elapsed() < CANARY_LATE && ask(&mut to),
                Some(ended) = self.seats.join_next() => {
                    if let Err(error) = ended {
                        error!(%error, "place at the live lane failed");
                    }
                    true
                }
            };
            if !lives {
                return Left::Died;
            }
            let seen = self.hall.seen.lock().unwrap_or_else(PoisonError::into_inner).len();
            if seen > core.limits.filters {
                return Left::WornOut;
            }
        }
    }

    async fn obey(&mut self, order: Order, router: &Router) -> bool {
        match order {
            Order::Open(opening) => {
                self.seats.spawn(seat::serve(self.hall.clone(), opening));
            }
            #[cfg(test)]
            Order::KillRouter => router.end().await,
        }
        // Only the tests' order needs it.
        let _ = router;
        true
    }

    /// Gives the router what has come, as far as it keeps up.
    fn feed(&mut self, to: &mut To) -> bool {
        if to.waiting() > ROUTER_WAITING_MAX {
            return true;
        }
        let notes = self.hall.core.queue.take(BATCH_NOTES);
        let count = u64::try_from(notes.len()).unwrap_or(u64::MAX);
        let topics = &mut self.topics;
        let published = to.publish(notes.into_iter().map(|note| topics.address(note))).is_ok();
        let count_as = if published { Count::Published } else { Count::QueueDropped };
        self.hall.core.counters.add(count_as, count);
        published
    }
}

/// Whether the router took the question.
fn ask(to: &mut To) -> bool {
    let topic = Bytes::from_static(CANARY_TOPIC.as_bytes());
    to.publish([(topic, Bytes::from_static(b"?"))]).is_ok()
}

/// The hub's own link hears the canary and what keeps its delivery going; whether the router lives.
async fn next(from: &mut LinkRx) -> bool {
    match from.next().await {
        Ok(Some(Notification::Unschedule)) => from.wake().await.is_ok(),
        Ok(_) => true,
        Err(_) => false,
    }
}

/// Topics by bank: the shard in them is a hash.
#[derive(Default)]
struct Topics(HashMap<BankId, [Bytes; Kind::ALL.len()]>);

impl Topics {
    fn address(&mut self, note: Note) -> (Bytes, Bytes) {
        let Note { bank, kind, payload } = note;
        if self.0.len() >= TOPICS_KEPT_BANKS && !self.0.contains_key(&bank) {
            self.0.clear();
        }
        let topics = self.0.entry(bank).or_insert_with_key(|bank| {
            let shard = bank.shard();
            Kind::ALL.map(|kind| {
                let [first, second] = kind.levels();
                format!("lk/{shard}/{bank}/{first}/{second}").into()
            })
        });
        (topics[kind as usize].clone(), payload)
    }
}
