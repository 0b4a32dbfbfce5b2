//! The single writer: jobs come in through a bounded queue, are grouped into transactions, and
//! hear after COMMIT. When a group fails each of its jobs is tried alone, so that one bad job
//! costs only itself.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use sea_orm::DatabaseConnection;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tracing::{error, warn};

use super::error::WriteBatchError;
use super::ingest_write::{IngestWrite, write_batches};
use super::transaction::Transaction;
use super::tx::{Effects, Tx, TxContext};
use super::wakes::Wakes;
use super::{StoreLimits, WriteError};

/// Rows written and committed so far, by table.
pub(super) type Tally = Arc<Mutex<BTreeMap<&'static str, u64>>>;

/// A decision of the hub: reads and writes in one transaction. It may be run more than once, of
/// which at most one run is committed; what it refuses it says in its answer, having written
/// nothing.
pub(crate) trait Decision: Send + Sync + 'static {
    type Answer: Send + 'static;

    fn decide<'a>(
        &'a self,
        tx: &'a mut Tx,
    ) -> impl Future<Output = Result<Self::Answer, WriteError>> + Send + 'a;
}

/// Hears what became of a batch.
type BatchReply = oneshot::Sender<Result<(), WriteBatchError>>;

/// Something to be written.
pub(super) enum Job {
    Ingest(Box<IngestWrite>, BatchReply),
    Decision(Box<dyn AnyDecision>),
    /// Write what waits, then end.
    Close(oneshot::Sender<()>),
}

/// A decision with its answer's type hidden.
pub(super) trait AnyDecision: Send {
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), WriteError>>;
    fn reply(self: Box<Self>, outcome: Result<(), WriteError>);
}

pub(super) struct Pending<D: Decision> {
    pub(super) decision: D,
    pub(super) answer: Option<D::Answer>,
    pub(super) reply: oneshot::Sender<Result<D::Answer, WriteError>>,
}

impl<D: Decision> AnyDecision for Pending<D> {
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(async {
            self.answer = Some(self.decision.decide(tx).await?);
            Ok(())
        })
    }

    fn reply(self: Box<Self>, outcome: Result<(), WriteError>) {
        let Self { answer, reply, .. } = *self;
        // Whoever asked may have given up; what is committed stays.
        let _ = reply.send(outcome.and_then(|()| answer.ok_or(WriteError::Closed)));
    }
}

pub(super) struct Writer {
    pub(super) database: DatabaseConnection,
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) limits: StoreLimits,
    pub(super) context: TxContext,
    pub(super) committed: watch::Sender<u64>,
    /// Rows written since the start, for whoever checkpoints.
    pub(super) rows_written: watch::Sender<u64>,
    pub(super) tally: Tally,
    pub(super) wakes: Wakes,
    pub(super) minting: Wakes,
}

/// Jobs of one transaction, ingest apart because it is written in bulk.
#[derive(Default)]
struct Group {
    batches: Vec<(Box<IngestWrite>, BatchReply)>,
    decisions: Vec<Box<dyn AnyDecision>>,
}

impl Group {
    fn len(&self) -> usize {
        self.batches.len() + self.decisions.len()
    }
}

impl Writer {
    pub(super) async fn run(mut self) {
        let mut closing = Vec::new();
        while let Some(first) = self.jobs.recv().await {
            let mut group = Group::default();
            let deadline = Instant::now() + self.limits.group_wait;
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    Job::Ingest(write, reply) => group.batches.push((write, reply)),
                    Job::Decision(decision) => group.decisions.push(decision),
                    Job::Close(done) => {
                        self.jobs.close();
                        closing.push(done);
                    }
                }
                let full = group.len() >= self.limits.group_jobs;
                next = if full { None } else { self.another(deadline).await };
            }
            if group.len() > 0 {
                self.write(group).await;
            }
        }
        if let Err(error) = self.database.close().await {
            warn!(%error, "the store's writing connection did not close");
        }
        for done in closing {
            let _ = done.send(());
        }
    }

    async fn another(&mut self, deadline: Instant) -> Option<Job> {
        timeout_at(deadline, self.jobs.recv()).await.ok().flatten()
    }

    async fn write(&mut self, mut group: Group) {
        match self.attempt(&mut group).await {
            Ok(results) => reply(group, results),
            Err(error) if group.len() == 1 => {
                error!(%error, cause = ?std::error::Error::source(&error), "write failed");
                let batches = group.batches.len();
                let mut results: Vec<_> = Vec::with_capacity(batches);
                if let Some(decision) = group.decisions.pop() {
                    decision.reply(Err(error));
                } else {
                    results.push(Err(WriteBatchError::Write(error)));
                }
                reply(group, results);
            }
            Err(error) => {
                warn!(%error, jobs = group.len(), "group failed, each job is tried alone");
                for batch in group.batches {
                    let alone = Group { batches: vec![batch], decisions: Vec::new() };
                    Box::pin(self.write(alone)).await;
                }
                for decision in group.decisions {
                    let alone = Group { batches: Vec::new(), decisions: vec![decision] };
                    Box::pin(self.write(alone)).await;
                }
            }
        }
    }

    /// Writes a group in one transaction. Batches that do not follow what is stored fail on their
    /// own: the outcome of each comes back.
    async fn attempt(
        &mut self,
        group: &mut Group,
    ) -> Result<Vec<Result<(), WriteBatchError>>, WriteError> {
        let transaction = Transaction::begin(self.database.clone()).await?;
        let mut tx = Tx::new(transaction, std::mem::take(&mut self.context));
        let outcome = run(&mut tx, group).await;
        let results = match outcome {
            Ok(results) => results,
            Err(error) => {
                self.context = tx.roll_back().await;
                return Err(error);
            }
        };
        let (context, committed) = tx.commit().await;
        self.context = context;
        self.publish(committed?);
        Ok(results)
    }

    fn publish(&self, effects: Effects) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let rows: u64 = effects.rows.values().sum();
        for (table, rows) in effects.rows {
            *tally.entry(table).or_default() += rows;
        }
        *tally.entry("transactions").or_default() += 1;
        drop(tally);
        self.rows_written.send_modify(|written| *written += rows);
        self.committed.send_if_modified(|position| {
            std::mem::replace(position, effects.last_event) != effects.last_event
        });
        self.wakes.wake(effects.woken);
        self.minting.wake(effects.minting);
    }
}

fn run<'a>(
    tx: &'a mut Tx,
    group: &'a mut Group,
) -> BoxFuture<'a, Result<Vec<Result<(), WriteBatchError>>, WriteError>> {
    Box::pin(async move {
        let batches: Vec<&IngestWrite> = group.batches.iter().map(|(write, _)| &**write).collect();
        let results = write_batches(tx, &batches).await?;
        for decision in &mut group.decisions {
            decision.run(tx).await?;
        }
        Ok(results)
    })
}

fn reply(group: Group, results: Vec<Result<(), WriteBatchError>>) {
    for ((_, reply), result) in group.batches.into_iter().zip(results) {
        let _ = reply.send(result);
    }
    for decision in group.decisions {
        decision.reply(Ok(()));
    }
}
