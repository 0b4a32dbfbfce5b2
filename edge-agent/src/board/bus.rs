//! The task that owns a port, and the handle by which the rest of the agent speaks to it.
//!
//! It only does what the [`Schedule`] says, one thing after the other, and so a poll in flight is
//! never cut short and two frames never meet. If its owner takes no events, it stands still: a
//! bank that cannot record what a door did opens none.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::config::{Backoff, BusConfig, BusTiming, Echo};
use super::counters::BusCounters;
use super::event::{BusEvent, UnlockRefused, UnlockRequest};
use super::line::{Line, LineLost};
use super::port::{Connect, ConnectError, Port};
use super::position::{BoardAddr, LockIndex};
use super::profile::{Frame, Profile};
use super::schedule::{Queued, Schedule, Step};

/// Unlock requests that may wait on one port. At 0.6 s a pulse and 2 s of patience only a few can
/// be sent anyway; one too many is refused.
pub const UNLOCK_QUEUE_REQUESTS: usize = 16;

/// A handle to a bus. When the last one is dropped, the bus sees its pulses through and ends.
#[derive(Clone, Debug)]
pub struct Bus {
    requests: mpsc::Sender<Queued>,
    places: Arc<Semaphore>,
    /// The unlock frame of every configured lock: there is no other way to get one.
    locks: Arc<HashMap<(BoardAddr, LockIndex), Frame>>,
    /// Bounded by the number of locks.
    confirmed: Arc<Mutex<HashSet<(BoardAddr, LockIndex)>>>,
    counters: Arc<Mutex<BusCounters>>,
}

impl Bus {
    /// Starts the task for one port. Call [`BusConfig::check`] on the configuration before.
    ///
    /// The task opens the port, and again whenever it is lost, until all handles or the receiver of
    /// the events are dropped. `events` is bounded by its maker; while it is full the bus waits.
    pub fn spawn<C: Connect>(
        config: BusConfig,
        connect: C,
        events: mpsc::Sender<BusEvent>,
    ) -> (Self, JoinHandle<()>) {
        let (requests, inbox) = mpsc::channel(UNLOCK_QUEUE_REQUESTS);
        let counters = Arc::default();
        let confirmed = Arc::default();
        let bus = Self {
            requests,
            places: Arc::new(Semaphore::new(UNLOCK_QUEUE_REQUESTS)),
            locks: Arc::new(unlock_frames(&config)),
            confirmed: Arc::clone(&confirmed),
            counters: Arc::clone(&counters),
        };
        let actor = Actor {
            may_deliver_late: connect.may_deliver_late(),
            connect,
            empty_addr: config.empty_addr(),
            profile: config.line.profile,
            echo: config.line.echo,
            schedule: Schedule::new(config.boards, config.timing.clone(), Instant::now()),
            owner: Owner { inbox, confirmed, events, stopping: false, counters },
            timing: config.timing,
            backoff: config.backoff,
        };
        (bus, tokio::spawn(actor.run()))
    }

    /// Asks for one pulse. If taken, exactly one `Settled` event follows.
    ///
    /// # Errors
    /// When the queue is full, the lock is not on this port, or the bus has ended.
    pub fn try_unlock(&self, request: UnlockRequest) -> Result<(), UnlockRefused> {
        let Some(frame) = self.locks.get(&(request.board, request.lock)).copied() else {
            let (board, lock) = (request.board.get(), request.lock.get());
            return Err(UnlockRefused::UnknownLock { board, lock });
        };
        if self.requests.is_closed() {
            return Err(UnlockRefused::Stopped);
        }
        let place =
            Arc::clone(&self.places).try_acquire_owned().map_err(|_| UnlockRefused::QueueFull)?;
        let queued = Queued { request, frame, queued_at: Instant::now(), place: Some(place) };
        self.requests.try_send(queued).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => UnlockRefused::QueueFull,
            mpsc::error::TrySendError::Closed(_) => UnlockRefused::Stopped,
        })
    }

    /// Tells the bus that a person went on as if a door had opened at its last pulse, whatever its
    /// sensor says: a parcel was put in or taken out, and the person said so. Sensors that such people
    /// contradict again and again are reported. Of several such words before the bus hears them one
    /// counts.
    pub fn note_confirmed_opening(&self, board: BoardAddr, lock: LockIndex) {
        if self.locks.contains_key(&(board, lock)) {
            let mut confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
            confirmed.insert((board, lock));
        }
    }

    /// What went over the bus so far.
    #[must_use]
    pub fn counters(&self) -> BusCounters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Actor<C> {
    connect: C,
    may_deliver_late: bool,
    profile: Profile,
    echo: Echo,
    /// Where an echo is probed for.
    empty_addr: Option<BoardAddr>,
    schedule: Schedule,
    owner: Owner,
    timing: BusTiming,
    backoff: Backoff,
}

/// The side of the task that faces the handles and the receiver of the events.
struct Owner {
    inbox: mpsc::Receiver<Queued>,
    confirmed: Arc<Mutex<HashSet<(BoardAddr, LockIndex)>>>,
    events: mpsc::Sender<BusEvent>,
    stopping: bool,
    counters: Arc<Mutex<BusCounters>>,
}

/// Why the task ends.
enum Ended {
    /// No handle is left and no outcome is owed.
    Stopped,
    /// Nobody takes the events.
    OwnerGone,
}

/// Why a connection ends.
enum Left {
    Lost(LineLost),
    Ended(Ended),
}

impl<C: Connect> Actor<C> {
    async fn run(mut self) {
        match self.serve().await {
            Ok(never) => match never {},
            Err(Ended::Stopped) => info!("lock bus stopped"),
            Err(Ended::OwnerGone) => warn!("lock bus stopped because nobody takes its events"),
        }
    }

    async fn serve(&mut self) -> Result<Infallible, Ended> {
        let mut failures = None;
        loop {
            let port = self.open(&mut failures).await?;
            self.schedule.port_up(Instant::now());
            info!("lock bus port open");
            let echo = self.echo == Echo::On;
            let mut line = Line::new(port, self.timing.clone(), self.profile, echo);
            let left = match self.probe_echo(&mut line).await {
                Ok(()) => self.work(&mut line).await,
                Err(lost) => Left::Lost(lost),
            };
            // Close first: a descriptor that is still held makes the kernel give the device a new name.
            drop(line);
            if self.schedule.heard_anyone() {
                failures = Some(0);
            }
            match left {
                Left::Ended(ended) => return Err(ended),
                Left::Lost(lost) => {
                    let reason = in_words(&lost);
                    warn!(reason, "lock bus port lost");
                    self.schedule.port_down(reason);
                }
            }
        }
    }

    /// Opens the port however long it takes, waiting longer after each failure in a row.
    async fn open(&mut self, failures: &mut Option<u32>) -> Result<Box<dyn Port>, Ended> {
        loop {
            let wait = failures.map_or(Duration::ZERO, |failures| self.backoff.wait(failures));
            *failures = Some(failures.map_or(0, |failures| failures.saturating_add(1)));
            let attempt = async {
                sleep(wait).await;
                self.connect.connect().await
            };
            match meanwhile(attempt, &mut self.owner, &mut self.schedule).await? {
                Ok(port) => return Ok(port),
                Err(error) => {
                    let reason = in_words(&error);
                    warn!(reason, "lock bus port does not open");
                    self.schedule.port_down(reason);
                }
            }
        }
    }

    /// Finds out whether the line echoes, if that is to be found out.
    async fn probe_echo(&mut self, line: &mut Line) -> Result<(), LineLost> {
        let Some(empty) = self.empty_addr.filter(|_| self.echo == Echo::Probe) else {
            return Ok(());
        };
        let echo = line.probe_echo(empty).await?;
        info!(echo, "lock bus probed for an echo");
        Ok(())
    }

    /// Works on an open port until it is lost.
    async fn work(&mut self, line: &mut Line) -> Left {
        loop {
            if let Err(ended) = self.owner.settle_up(&mut self.schedule).await {
                return Left::Ended(ended);
            }
            let done = match self.schedule.next_step(Instant::now()) {
                Step::Unlock(queued) => self.unlock(line, queued).await,
                Step::Poll(board) => self.poll(line, board).await,
                Step::Idle(until) => self.idle(line, until).await,
            };
            if let Err(lost) = done {
                return Left::Lost(lost);
            }
        }
    }

    async fn unlock(&mut self, line: &mut Line, mut queued: Queued) -> Result<(), LineLost> {
        let written = line.unlock(&queued.frame).await;
        queued.place = None;
        match written {
            Ok(written) => {
                self.schedule.written(&queued, &written);
                Ok(())
            }
            Err(lost) => {
                self.schedule.write_failed(&queued, Instant::now());
                Err(lost)
            }
        }
    }

    async fn poll(&mut self, line: &mut Line, index: usize) -> Result<(), LineLost> {
        let asked = Instant::now();
        let board = self.schedule.poll_target(index);
        let (addr, form) = (board.addr, board.poll);
        let result = line.poll(addr, form).await?;
        for (kind, amount) in result.errors {
            self.schedule.note(kind, amount);
        }
        let now = Instant::now();
        self.schedule.polled(index, result.bits, asked, now);
        match self.schedule.why_abort(now).filter(|_| self.may_deliver_late) {
            Some(lost) => Err(lost),
            None => Ok(()),
        }
    }

    async fn idle(&mut self, line: &mut Line, until: Instant) -> Result<(), LineLost> {
        tokio::select! {
            biased;
            () = self.owner.request(&mut self.schedule) => {}
            stray = line.stray() => self.schedule.stray(stray?),
            () = sleep_until(until) => {}
        }
        Ok(())
    }
}

impl Owner {
    /// Waits for one request, or learns that no handle is left.
    async fn request(&mut self, schedule: &mut Schedule) {
        if self.stopping {
            return std::future::pending().await;
        }
        match self.inbox.recv().await {
            Some(queued) => schedule.accept(queued, Instant::now()),
            None => self.stopping = true,
        }
    }

    /// Takes all requests, lets lapse what is over, and delivers what happened.
    async fn settle_up(&mut self, schedule: &mut Schedule) -> Result<(), Ended> {
        loop {
            match self.inbox.try_recv() {
                Ok(queued) => schedule.accept(queued, Instant::now()),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.stopping = true;
                    break;
                }
            }
        }
        let confirmed =
            std::mem::take(&mut *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner));
        for (board, lock) in confirmed {
            schedule.confirmed(board, lock);
        }
        if self.stopping {
            schedule.stop();
        }
        schedule.lapse(Instant::now());
        let idle = schedule.is_idle();
        while let Some(event) = schedule.outbox.pop_front() {
            self.events.send(event).await.map_err(|_| Ended::OwnerGone)?;
        }
        for report in schedule.due_reports(Instant::now()) {
            if let Err(error) = self.events.try_send(report) {
                schedule.undelivered(&error.into_inner());
            }
        }
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner) = schedule.counters;
        if self.events.is_closed() {
            return Err(Ended::OwnerGone);
        }
        if self.stopping && idle { Err(Ended::Stopped) } else { Ok(()) }
    }
}

/// The unlock frame of each configured lock that boards of the family have.
fn unlock_frames(config: &BusConfig) -> HashMap<(BoardAddr, LockIndex), Frame> {
    let frame = |addr: BoardAddr, lock: LockIndex| {
        Some(((addr, lock), config.line.profile.unlock(addr, lock).ok()?))
    };
    let boards = config.boards.iter();
    boards
        .flat_map(|board| board.locks.iter().filter_map(move |lock| frame(board.addr, lock.index)))
        .collect()
}

/// Awaits an attempt to open the port, and keeps up with the owner at the same time.
async fn meanwhile(
    attempt: impl Future<Output = Result<Box<dyn Port>, ConnectError>>,
    owner: &mut Owner,
    schedule: &mut Schedule,
) -> Result<Result<Box<dyn Port>, ConnectError>, Ended> {
    tokio::pin!(attempt);
    loop {
        owner.settle_up(schedule).await?;
        let until = schedule.idle_until(Instant::now());
        tokio::select! {
            biased;
            opened = &mut attempt => return Ok(opened),
            () = owner.request(schedule) => {}
            () = sleep_until(until) => {}
        }
    }
}

/// An error with its causes.
fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests;
