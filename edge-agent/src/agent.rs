//! Starts the agent's tasks in order, stops them in reverse, and says which failure ends the process.

use std::collections::HashMap;
use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use locker_core::ids::{BootId, SessionId, StreamId};
use locker_core::units::UnixMillis;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

use crate::bank::{
    self, Bank, BankError, EVENTS_WAITING_MAX, Event, Floor, FloorError, LASTING_MS, PulseTiming,
    Starts,
};
use crate::board::{Bus, BusEvent, Jitter, PortConnector};
use crate::config::Config;
use crate::journal::Disk;
use crate::link::{self, Link, TrustedKeys, tls};
use crate::panel::{self, Access, AccessError};
use crate::power;
use crate::store::begin_anew;
use crate::store::{BeginAnewError, CommitError, Keeper, Ledger, OpenLedgerError, Stamp};
use crate::telemetry::{self, Samples, Sampling, Sources};

/// How long the link and the panel may take to say good-bye, in milliseconds.
const GOODBYE_MS: u64 = 2_000;
/// Events of one port that may wait before the bus does.
const BUS_EVENTS_WAITING_MAX: usize = 64;

/// Why the agent did not start, or ended by itself.
#[derive(Debug, Error)]
pub enum AgentError {
    #[error("the bank's identity cannot be loaded")]
    Identity(#[from] tls::IdentityError),
    #[error("the bank's store cannot be opened")]
    Ledger(#[from] OpenLedgerError),
    #[error("the device key's change cannot be recorded")]
    Attest(#[from] CommitError),
    #[error("no new stream can be begun")]
    BeginAnew(#[from] BeginAnewError),
    #[error("the clock's floor cannot be read")]
    Floor(#[from] FloorError),
    #[error("cannot listen on {address} for the screen")]
    Listen { address: std::net::SocketAddr, source: io::Error },
    #[error("the screen's access file cannot be written")]
    Access(#[from] AccessError),
    #[error("cannot start the bank's thread")]
    Thread(#[source] io::Error),
    #[error("no randomness from the system")]
    Random,
    #[error("the bank ended")]
    Bank(#[from] BankError),
    #[error("the bank's thread died")]
    BankDied,
    #[error("{path} cannot be made")]
    DataDir { path: PathBuf, source: io::Error },
}

/// A running agent.
pub struct Agent {
    /// How the screen gets in.
    pub access: Access,
    events: mpsc::Sender<Event>,
    stop: watch::Sender<bool>,
    bank: oneshot::Receiver<Result<(), BankError>>,
    tasks: Vec<JoinHandle<()>>,
    starts: Arc<Mutex<Starts>>,
}

impl Agent {
    /// Opens the store, settles what the last run left open, and starts every task. `timings` gets
    /// the timing of each pulse that a person asked for.
    ///
    /// # Errors
    ///
    /// The store, the identity, or the screen's port. A board or a hub that does not answer is no
    /// error.
    pub async fn start(
        config: &Config,
        timings: Option<mpsc::Sender<PulseTiming>>,
    ) -> Result<Self, AgentError> {
        let identity =
            tls::load(&config.hub.ca_file, &config.hub.certificate_file, &config.hub.key_file)?;
        let listen = |source| AgentError::Listen { address: config.panel.listen, source };
        let listener = TcpListener::bind(config.panel.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let access = Access::new(address, random()?);
        let (events, inbox) = mpsc::channel(EVENTS_WAITING_MAX);
        let (stop, stopped) = watch::channel(false);
        // The ports come after the store: a second agent by mistake ends at the store's lock, and
        // never takes the lock boards away from the one that runs.
        let store = open_store(config, identity.device_key).await?;
        access.write(&config.panel.access_file)?;
        let (reader, boot) = (store.ledger.reader(), store.ledger.boot());
        let (ports, buses) = start_buses(config, &events);
        let starts = Arc::clone(&store.starts);
        let (bank, watches) = start_bank(config, store, buses, timings).await?;
        let bank = run_bank(bank, inbox)?;

        let mut tasks = Vec::new();
        let mut panel_stop = stopped.clone();
        let until = async move {
            let _ = panel_stop.wait_for(|stop| *stop).await;
        };
        let served = panel::serve(listener, access.clone(), events.clone(), watches.state, until);
        tasks.push(tokio::spawn(async move {
            if let Err(error) = served.await {
                warn!(%error, "panel ended");
            }
        }));
        tasks.push(tokio::spawn(power::run(config.power.clone(), events.clone(), stopped.clone())));
        tasks.push(tokio::spawn(outlast(Arc::clone(&starts), stopped.clone())));
        let samples = Samples::default();
        tasks.push(tokio::spawn(telemetry::run(Sampling {
            limits: config.telemetry,
            sources: Sources::of_this_machine(&config.data_dir),
            buses: ports,
            head: watches.head.clone(),
            system_time,
            medium: Arc::new(Disk),
            samples: samples.clone(),
            stop: stopped.clone(),
        })));
        tasks.push(tokio::spawn(link::run(Link {
            bank: config.bank.clone(),
            boot,
            host: config.hub.host.clone(),
            port: config.hub.port,
            tls: identity.tls,
            keys: TrustedKeys::new(config.root_keys()),
            limits: config.hub.limits,
            reader,
            head: watches.head,
            missed: watches.missed,
            time: watches.time,
            samples,
            events: events.clone(),
            jitter: jitter(),
            random: drawn,
            stop: stopped,
        })));
        info!(bank = %config.bank, panel = %address, "agent started");
        Ok(Self { access, events, stop, bank, tasks, starts })
    }

    /// Waits until the bank ends by itself, which it does only when its truth is in doubt.
    ///
    /// # Errors
    ///
    /// Always: nobody asked it to end.
    pub async fn failed(&mut self) -> AgentError {
        match (&mut self.bank).await {
            Ok(Err(error)) => error.into(),
            Ok(Ok(())) | Err(_) => AgentError::BankDied,
        }
    }

    /// Whether the agent ended only to start again with a journal that is whole.
    #[must_use]
    pub const fn is_to_start_again(error: &AgentError) -> bool {
        matches!(error, AgentError::Bank(BankError::StartAgain))
    }

    /// Stops every task; what is committed stays, what is not was never answered.
    ///
    /// # Errors
    ///
    /// The bank had failed before.
    pub async fn stop(self) -> Result<(), AgentError> {
        self.stop.send_replace(true);
        let _ = self.events.send(Event::Stop).await;
        let ended = self.bank.await.map_err(|_| AgentError::BankDied)?;
        drop(self.events);
        let goodbye = Instant::now() + Duration::from_millis(GOODBYE_MS);
        for mut task in self.tasks {
            if timeout_at(goodbye, &mut task).await.is_err() {
                task.abort();
            }
        }
        if ended.is_ok() {
            forget(self.starts).await;
        }
        info!("agent stopped");
        Ok(ended?)
    }
}

/// Counts no start any more once this run has lasted.
async fn outlast(starts: Arc<Mutex<Starts>>, mut stop: watch::Receiver<bool>) {
    let lasted = tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(LASTING_MS)) => true,
        // An agent that is gone without a word has stopped, too.
        _ = stop.wait_for(|stop| *stop) => false,
    };
    if lasted {
        forget(starts).await;
    }
}

/// Writes a file, so off the runtime.
async fn forget(starts: Arc<Mutex<Starts>>) {
    let forget = move || starts.lock().unwrap_or_else(PoisonError::into_inner).forget();
    if tokio::task::spawn_blocking(forget).await.is_err() {
        warn!("starts not forgotten");
    }
}

/// What the bank keeps on its disk.
struct Store {
    ledger: Ledger,
    floor: Floor,
    starts: Arc<Mutex<Starts>>,
}

/// Puts a new stream in the place of a damaged journal, with the content of every compartment in doubt: a person's
/// decision. Answers the stream that it goes on from. The agent must not run.
///
/// # Errors
///
/// The journal is whole, nothing of the bank's state is left, or the disk refuses.
pub fn begin_stream_anew(config: &Config) -> Result<StreamId, AgentError> {
    let hub = &config.hub;
    let identity = tls::load(&hub.ca_file, &hub.certificate_file, &hub.key_file)?;
    let keeper = keeper(config, identity.device_key)?;
    let floor = Floor::open(&config.data_dir)?;
    let quality = locker_core::clock::TimeQuality::Unknown;
    let stamp = Stamp { at: system_time().max(floor.get()), quality };
    let parent = begin_anew(&config.data_dir, config.disk.journal(), &keeper, stamp)?;
    Ok(parent.stream)
}

fn keeper(config: &Config, device_key: [u8; 32]) -> Result<Keeper, AgentError> {
    Ok(Keeper {
        bank: config.bank.clone(),
        device_key,
        boot: BootId(random()?),
        fresh_stream: StreamId(random()?),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Reads and writes files, so off the runtime.
async fn open_store(config: &Config, device_key: [u8; 32]) -> Result<Store, AgentError> {
    let config = config.clone();
    let keeper = keeper(&config, device_key)?;
    let work = tokio::task::spawn_blocking(move || {
        let path = config.data_dir.clone();
        let data_dir = |source| AgentError::DataDir { path, source };
        std::fs::create_dir_all(&config.data_dir).map_err(data_dir)?;
        let floor = Floor::open(&config.data_dir)?;
        let at = system_time().max(floor.get());
        let stamp = Stamp { at, quality: locker_core::clock::TimeQuality::Unknown };
        let (mut ledger, found) =
            Ledger::open(&config.data_dir, config.disk.journal(), &keeper, stamp)?;
        ledger.attest_with_file(&config.hub.key_file, stamp)?;
        info!(
            stream = %found.stream,
            new_stream = found.new_stream,
            boot_count = found.boot_count,
            torn_bytes = found.torn_bytes,
            replayed = found.replayed,
            rebuilt = found.rebuilt,
            healed = ?found.healed,
            "store opened"
        );
        // Behind the store's lock: a second agent by mistake is no start.
        let starts = Starts::count(&config.data_dir);
        Ok(Store { ledger, floor, starts: Arc::new(Mutex::new(starts)) })
    });
    work.await.map_err(|_| AgentError::BankDied)?
}

/// Settles the last run, which the disk must be waited for.
async fn start_bank(
    config: &Config,
    store: Store,
    buses: HashMap<u8, Bus>,
    timings: Option<mpsc::Sender<PulseTiming>>,
) -> Result<(Bank, bank::Watches), AgentError> {
    let keys = config.codes.load().unwrap_or_else(|error| {
        // Scanned codes open all the same, so this is no reason to stay away.
        error!(%error, cause = error.source(), "keypad stays off");
        None
    });
    let parts = bank::Parts {
        bank: config.bank.clone(),
        ledger: store.ledger,
        buses,
        policy: config.policy(),
        roots: config.root_keys(),
        floor: store.floor,
        fresh_session: Box::new(|| SessionId(drawn())),
        system_time: Box::new(system_time),
        deposit_reserve_bytes: config.disk.deposit_reserve_bytes,
        tag_keys: keys,
        timings,
    };
    let is_loop = store.starts.lock().unwrap_or_else(PoisonError::into_inner).is_loop();
    let calm = Duration::from_secs(if is_loop { config.starts.calm_s } else { 0 });
    let work = tokio::task::spawn_blocking(move || {
        let (mut bank, watches) = Bank::start(parts)?;
        bank.calm_down(calm)?;
        Ok::<_, BankError>((bank, watches))
    });
    Ok(work.await.map_err(|_| AgentError::BankDied)??)
}

/// The bank waits for the disk at every step, so it gets a thread of its own.
fn run_bank(
    bank: Bank,
    inbox: mpsc::Receiver<Event>,
) -> Result<oneshot::Receiver<Result<(), BankError>>, AgentError> {
    let (ended, end) = oneshot::channel();
    let runtime = Handle::current();
    let body = move || {
        let _ = ended.send(runtime.block_on(bank.run(inbox)));
    };
    let thread = thread::Builder::new().name("bank".to_owned()).spawn(body);
    thread.map_err(AgentError::Thread)?;
    Ok(end)
}

/// One bus a port, and the same by board. Each ends by itself once the bank and the sampling, which
/// hold its handles, are gone.
fn start_buses(config: &Config, events: &mpsc::Sender<Event>) -> (Vec<Bus>, HashMap<u8, Bus>) {
    let (mut ports, mut buses) = (Vec::new(), HashMap::new());
    for port in &config.bus {
        let mut bus_config = port.bus_config();
        bus_config.backoff.jitter = jitter();
        let addrs: Vec<u8> = bus_config.boards.iter().map(|board| board.addr.get()).collect();
        let connector = PortConnector::new(bus_config.port.clone());
        let (outbox, inbox) = mpsc::channel(BUS_EVENTS_WAITING_MAX);
        let (bus, _task) = Bus::spawn(bus_config, connector, outbox);
        tokio::spawn(forward(inbox, events.clone()));
        for addr in addrs {
            buses.insert(addr, bus.clone());
        }
        ports.push(bus);
    }
    (ports, buses)
}

async fn forward(mut inbox: mpsc::Receiver<BusEvent>, events: mpsc::Sender<Event>) {
    while let Some(event) = inbox.recv().await {
        if events.send(Event::Bus(event)).await.is_err() {
            return;
        }
    }
}

fn jitter() -> Jitter {
    Jitter::new(|bound_ms| u64::from_le_bytes(drawn()) % (bound_ms + 1))
}

fn random<const N: usize>() -> Result<[u8; N], AgentError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| AgentError::Random)?;
    Ok(bytes)
}

/// As [`random`], once the agent has started: a system that gave randomness goes on giving it.
fn drawn<const N: usize>() -> [u8; N] {
    random().expect("the system's randomness was there at the start")
}

fn system_time() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
