//! The hub as a whole: starts its parts in order, and stops them in reverse.
//!
//! Order matters at the end: calls are finished while the store still writes, banks' sessions end
//! while ingest still reads what they sent, and the store closes when nobody writes any more.

use std::fmt;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tracing::{error, info, warn};

use crate::backups::BackupJob;
use crate::codes::couriers::CouriersDesk;
use crate::codes::job::MintingJob;
use crate::codes::sealing::SealingKeys;
use crate::codes::{CodeKeys, LoadCodesError};
use crate::config::{Config, KeyFile, Keys};
use crate::credential_keys::{HubKeys, LoadKeysError};
use crate::grpc::{GrpcListener, ServeGrpcError, Surface, TokenKey};
use crate::ingest::{Ingest, IngestParts, Presence, StartIngestError};
use crate::live::Lane;
use crate::mqtt::{ListenerConfig, MqttListener, Operators};
use crate::notify::{self, Deliverer, Post, SetUpPostError};
use crate::store::{
    LockStoreError, OpenStoreError, ReadError, Store, StoreLock, file_of, was_interrupted,
};
use crate::telemetry::Traces;
use crate::tls::{Alpn, BindError, Revocations, ServerTls, TlsError};
use crate::trace_spans;

/// Records that wait to become spans; one more is dropped and its span with it.
const STAMP_QUEUE: usize = 4_096;

/// Runs the hub until `stop` completes, then stops it within the configured times.
///
/// # Errors
/// When a part cannot be started, or ends by itself: without all of them the hub is none, and
/// whoever watches over the process should start it again.
pub async fn run(
    config: Config,
    traces: Traces,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    if let Some(path) = &config.addresses_file {
        forget_addresses(path)?;
    }
    let running = Box::pin(start(&config, &traces)).await?;
    let ended = Box::pin(running.until(stop, &config)).await;
    if let Some(path) = &config.addresses_file {
        forget_addresses(path)?;
    }
    info!("hub stopped");
    traces.stop(Duration::from_millis(config.stop.telemetry_ms)).await;
    ended
}

/// Checks everything that can be checked without starting: the keys and certificates that the
/// configuration names.
///
/// # Errors
/// When one of them is of no use.
pub fn check(config: &Config) -> Result<(), ServeError> {
    load_keys(config)?;
    load_codes(config)?;
    ServerTls::load(&config.tls.server_files(), Alpn::None, Revocations::default())
        .map_err(ServeError::Tls)?;
    Ok(())
}

/// The parts, in the order in which they were started.
struct Running {
    store: Store,
    /// Nobody else uses the store, until everything has stopped.
    _lock: Option<StoreLock>,
    backups: Option<Part<()>>,
    spans: Part<()>,
    ingest: Part<()>,
    mqtt: Part<()>,
    minting: Option<Part<()>>,
    notices: Option<Part<()>>,
    grpc: Part<Result<(), ServeGrpcError>>,
}

async fn start(config: &Config, traces: &Traces) -> Result<Running, ServeError> {
    let keys = Arc::new(load_keys(config)?);
    let codes = load_codes(config)?;
    let file = file_of(&config.store.url);
    let lock = file.as_deref().map(lock).transpose()?;
    let store = open_store(config, codes.as_ref()).await?;
    let revocations = Revocations::default();
    for certificate in store.revoked_certificates().await.map_err(ServeError::Revoked)? {
        revocations.revoke(certificate);
    }
    let tls = |alpn| {
        ServerTls::load(&config.tls.server_files(), alpn, revocations.clone())
            .map_err(ServeError::Tls)
    };

    let (events, said) = mpsc::channel(config.mqtt.limits.event_queue);
    let listener = ListenerConfig {
        address: config.mqtt.listen,
        tls: config.mqtt.connections.listener(),
        session: config.mqtt.limits.session(),
    };
    let mqtt =
        MqttListener::bind(listener, tls(Alpn::None)?, events).await.map_err(ServeError::Bind)?;
    let grpc =
        GrpcListener::bind(config.grpc.listen, tls(Alpn::H2)?, config.grpc.connections.listener())
            .await
            .map_err(ServeError::Bind)?;
    let addresses = [mqtt.local_address(), grpc.local_address()];

    let (stamps, stamped) = mpsc::channel(STAMP_QUEUE);
    // It ends when ingest has, which holds the other end.
    let spans = Part::start("bank spans", |_| trace_spans::run(traces.clone(), stamped));
    let parts = IngestParts {
        store: store.clone(),
        keys: Arc::clone(&keys),
        sessions: mqtt.sessions(),
        stamps,
    };
    let lane = start_lane(config, &mqtt)?;
    let ingest = Ingest::start(parts).await.map_err(ServeError::Ingest)?.with_lane(lane);
    let (presence, orders) = (ingest.presence(), ingest.orders());
    let present = presence.clone();
    let ingest = Part::start("ingest", |stopped| ingest.run_until(said, stopped));
    let mqtt = Part::start("bank listener", |stopped| mqtt.run(stopped));
    let minting = start_minting(config, codes.as_ref(), &store);
    let backups = start_backups(config, file, &store);
    let sealing = codes.map(|codes| codes.sealing);
    let couriers = config.codes.as_ref().zip(sealing.clone());
    let notices = start_notices(config, &store, &keys, sealing, present)?;
    let surface = Surface {
        store: store.clone(),
        tokens: TokenKey::derive(keys.command_seeds()),
        keys,
        presence,
        orders,
        codes: couriers
            .map(|(codes, sealing)| CouriersDesk { sealing, dark_days: codes.dark_days }),
        traces: traces.clone(),
        limits: config.grpc.limits.clone(),
    };
    let grace = Duration::from_millis(config.stop.calls_ms);
    let grpc = Part::start("call listener", |stopped| grpc.run(surface, stopped, grace));
    tell_addresses(config.addresses_file.as_deref(), addresses)?;
    Ok(Running { store, _lock: lock, backups, spans, ingest, mqtt, minting, notices, grpc })
}

async fn open_store(config: &Config, codes: Option<&CodeKeys>) -> Result<Store, ServeError> {
    let limits = config.store.limits.store(config.parcels.retention_ms());
    let mut store = Store::open(&config.store.url, limits).await.map_err(ServeError::Store)?;
    if let Some(codes) = codes {
        store = store.with_code_master(Arc::clone(&codes.master));
    }
    info!(epoch = store.epoch().0, "store opened");
    let banks = store.banks_catching_up().await.map_err(ServeError::Read)?;
    if banks > 0 {
        warn!(banks, "store was restored, and banks have not told yet what they did meanwhile");
    }
    Ok(store)
}

/// Takes the store for this process alone.
fn lock(file: &Path) -> Result<StoreLock, ServeError> {
    if was_interrupted(file) {
        return Err(ServeError::RestoreInterrupted { path: file.to_owned() });
    }
    StoreLock::take(file).map_err(ServeError::Lock)
}

/// The making of backups, or the coming of age of records instead.
fn start_backups(config: &Config, file: Option<PathBuf>, store: &Store) -> Option<Part<()>> {
    let (backups, safe_after_ms) = (config.store.backup.clone(), config.store.safe_after_ms());
    let job = BackupJob::new(store.clone(), file?, backups, safe_after_ms);
    Some(Part::start("backups", |stopped| job.run(stopped)))
}

/// The minting of six-digit codes, if there are any.
fn start_minting(config: &Config, codes: Option<&CodeKeys>, store: &Store) -> Option<Part<()>> {
    let (settings, codes) = config.codes.as_ref().zip(codes)?;
    let job = MintingJob::new(store.clone(), codes.clone(), settings);
    Some(Part::start("code minting", |stopped| job.run(stopped)))
}

/// The delivery of notices, if it is set up. `sealing` opens the digits in them, `presence` knows
/// which banks are here.
fn start_notices(
    config: &Config,
    store: &Store,
    keys: &Arc<HubKeys>,
    sealing: Option<Arc<SealingKeys>>,
    presence: Presence,
) -> Result<Option<Part<()>>, ServeError> {
    let Some(notices) = &config.notices else { return Ok(None) };
    let post = Post::new(notices, Arc::clone(keys), sealing).map_err(ServeError::Notices)?;
    let deliverer = Deliverer::new(store.clone(), post.knowing(presence));
    Ok(Some(Part::start("notices", |stopped| deliverer.run(stopped))))
}

/// The live lane, if there is an operator to listen to it.
fn start_lane(config: &Config, mqtt: &MqttListener) -> Result<Lane, ServeError> {
    if config.live.operators.is_empty() {
        return Ok(Lane::deaf());
    }
    let limits = &config.live.limits;
    let lane = Lane::start(limits.lane()).map_err(ServeError::Lane)?;
    let operators = Operators::new(lane.clone(), limits.operators(), config.live.banks());
    mqtt.sessions().admit_operators(operators);
    info!(operators = config.live.operators.len(), "live lane started");
    Ok(lane)
}

impl Running {
    /// Waits for `stop`, or for a part that ends by itself; then stops what runs.
    async fn until(
        mut self,
        stop: impl Future<Output = ()> + Send,
        config: &Config,
    ) -> Result<(), ServeError> {
        let ended = tokio::select! {
            // When one part takes others with it, the first of them here is the cause.
            biased;
            () = stop => {
                info!("hub stops");
                Ok(())
            }
            () = closed(self.store.committed_events()) => Err(ServeError::StoreFailed),
            result = &mut self.grpc.task => Err(match result {
                Ok(Err(error)) => ServeError::Grpc(error),
                Ok(Ok(())) => ServeError::Ended { part: self.grpc.name },
                Err(error) => ServeError::Panicked { part: self.grpc.name, source: error },
            }),
            error = self.mqtt.end() => Err(error),
            error = self.ingest.end() => Err(error),
            error = self.spans.end() => Err(error),
            error = end_of(&mut self.minting) => Err(error),
            error = end_of(&mut self.notices) => Err(error),
            error = end_of(&mut self.backups) => Err(error),
        };
        if let Err(error) = &ended {
            error!(%error, "part of the hub failed, stopping the rest");
        }
        self.stop(config).await;
        ended
    }

    async fn stop(self, config: &Config) {
        let Self { store, _lock, backups, spans, ingest, mqtt, minting, notices, grpc } = self;
        let calls = Duration::from_millis(config.stop.calls_ms);
        let sessions = Duration::from_millis(config.stop.sessions_ms);
        let doors_end = async {
            for job in [minting, backups].into_iter().flatten() {
                job.stop(sessions).await;
            }
            // The call listener keeps to its own grace; this is for what may hang beyond it.
            grpc.stop(calls + Duration::from_secs(1)).await;
            mqtt.stop(sessions).await;
            // The sessions have ended: what they said is all there, and ingest takes it in first.
            ingest.stop(sessions).await;
            spans.stop(Duration::from_millis(config.stop.telemetry_ms)).await;
        };
        // Meanwhile: a letter that a relay has taken and nobody noted would be sent again.
        let notices_end = async {
            if let Some(notices) = notices {
                notices.stop(notify::STOP_TIMEOUT).await;
            }
        };
        tokio::join!(doors_end, notices_end);
        if tokio::time::timeout(sessions, store.close()).await.is_err() {
            warn!("store not closed in time");
        }
    }
}

/// A part of the hub that runs as a task of its own.
struct Part<T> {
    name: &'static str,
    stop: oneshot::Sender<()>,
    task: JoinHandle<T>,
}

impl<T: Send + 'static> Part<T> {
    fn start<F>(name: &'static str, run: impl FnOnce(Stopped) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let stopped: Stopped = Box::pin(async move {
            // A dropped sender is as good a signal.
            let _ = stopped.await;
        });
        Self { name, stop, task: tokio::spawn(run(stopped)) }
    }

    async fn stop(self, within: Duration) {
        let Self { name, stop, mut task } = self;
        let _ = stop.send(());
        if task.is_finished() {
            return;
        }
        match tokio::time::timeout(within, &mut task).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => error!(part = name, %error, "part failed while stopping"),
            Err(_) => {
                task.abort();
                warn!(part = name, "part cut off at stop");
            }
        }
    }

    /// Waits until the part ends by itself.
    async fn end(&mut self) -> ServeError {
        match (&mut self.task).await {
            Ok(_) => ServeError::Ended { part: self.name },
            Err(source) => ServeError::Panicked { part: self.name, source },
        }
    }
}

/// Waits until a part ends by itself that there may be.
async fn end_of(part: &mut Option<Part<()>>) -> ServeError {
    match part {
        Some(part) => part.end().await,
        None => pending().await,
    }
}

type Stopped = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Completes when the store's writer has gone: after a failed write nothing it says counts.
async fn closed(mut committed: watch::Receiver<u64>) {
    while committed.changed().await.is_ok() {}
}

fn load_keys<'a>(config: &'a Config) -> Result<HubKeys, ServeError> {
    let Keys { set, command, credential } = &config.keys;
    let path_of = |key: &'a KeyFile| (key.id, key.file.as_path());
    let command: Vec<_> = command.iter().map(path_of).collect();
    let credential: Vec<_> = credential.iter().map(path_of).collect();
    HubKeys::load(set, &command, &credential).map_err(ServeError::Keys)
}

fn load_codes(config: &Config) -> Result<Option<CodeKeys>, ServeError> {
    config.codes.as_ref().map(CodeKeys::load).transpose().map_err(ServeError::Codes)
}

/// Removes the file, also an older one: whoever waits for it must not read an earlier run's.
fn forget_addresses(path: &Path) -> Result<(), ServeError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ServeError::Addresses { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

fn tell_addresses(path: Option<&Path>, [mqtt, grpc]: [SocketAddr; 2]) -> Result<(), ServeError> {
    info!(%mqtt, %grpc, "hub started");
    let Some(path) = path else { return Ok(()) };
    let failed = |source| ServeError::Addresses { path: path.to_owned(), source };
    let text = json!({ "mqtt": mqtt, "grpc": grpc, "pid": std::process::id() }).to_string();
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, text + "\n").map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)
}

/// Why the hub does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A signing key is of no use.
    #[error("the signing keys cannot be used")]
    Keys(#[source] LoadKeysError),
    /// A key of six-digit codes is of no use.
    #[error("the keys of six-digit codes cannot be used")]
    Codes(#[source] LoadCodesError),
    /// Another process uses the store.
    #[error("the store is not free")]
    Lock(#[source] LockStoreError),
    /// Only half of a restore was done.
    #[error(
        "there is no store at {}, because a restore was cut short: run `cloud-hub store restore` \
         again",
        path.display()
    )]
    RestoreInterrupted {
        /// Where the store should be.
        path: PathBuf,
    },
    /// The store cannot be used.
    #[error("the store cannot be used")]
    Store(#[source] OpenStoreError),
    /// It cannot be read how the banks stand.
    #[error("the banks cannot be read")]
    Read(#[source] ReadError),
    /// It cannot be read which certificates count no more.
    #[error("the revoked certificates cannot be read")]
    Revoked(#[source] ReadError),
    /// A certificate is of no use.
    #[error("the certificates cannot be used")]
    Tls(#[source] TlsError),
    /// An address cannot be bound.
    #[error("a door cannot be opened")]
    Bind(#[source] BindError),
    /// Ingest cannot start from what is stored.
    #[error("ingest cannot start")]
    Ingest(#[source] StartIngestError),
    /// The live lane cannot start.
    #[error("the live lane cannot start")]
    Lane(#[source] io::Error),
    /// Notices cannot be sent.
    #[error("notices cannot be sent")]
    Notices(#[source] SetUpPostError),
    /// The addresses in use cannot be told.
    #[error("cannot write {}", path.display())]
    Addresses {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Calls can no longer be answered.
    #[error("calls can no longer be answered")]
    Grpc(#[source] ServeGrpcError),
    /// The store's writer gave up; the log says why.
    #[error("the store failed and takes no more writes")]
    StoreFailed,
    /// A part ended that should not.
    #[error("the {part} ended by itself")]
    Ended {
        /// Which part.
        part: &'static str,
    },
    /// A part panicked: a bug.
    #[error("the {part} panicked")]
    Panicked {
        /// Which part.
        part: &'static str,
        /// What is known of it.
        source: JoinError,
    },
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
