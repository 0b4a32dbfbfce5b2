//! The minting job: keeps every bank supplied with six-digit codes for the days that it may be
//! without the hub.
//!
//! It wakes by the clock, when it looks at all banks, and when deposits are committed. Banks take
//! turns, each with a bounded run off the async runtime; after a run it rests as long as the run
//! took, so that minting never takes more than half a core from ingest.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use locker_core::code::pool;
use locker_core::ids::BankId;
use thiserror::Error;
use tokio::task::JoinError;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{error, info, warn};

use super::mint::{MintError, PoolNeeds, top_up};
use super::{CodeKeys, Count, Counters};
use crate::config;
use crate::store::{CodePool, PlaceSlots, ReadError, Store, SweepCodes, WriteError};
use crate::wall_clock::now;

/// Banks that a round reads at a time.
const ROUND_PAGE: u32 = 64;
/// A deposit wakes minting once this part of a bank's pool is missing; a smaller lack waits for the
/// next round, so that not every deposit costs a run.
const WAKE_SHARE: usize = 8;

/// See the module's text.
#[derive(Debug)]
pub struct MintingJob {
    store: Store,
    keys: CodeKeys,
    dark_days: u8,
    every: Duration,
    counters: Arc<Counters>,
}

/// Banks that wait for their run, at most all there are. `true` if any lack is to be filled.
#[derive(Debug, Default)]
struct Queue {
    banks: BTreeMap<BankId, bool>,
    last: Option<BankId>,
}

impl Queue {
    fn add(&mut self, bank: BankId, any_lack: bool) {
        *self.banks.entry(bank).or_default() |= any_lack;
    }

    /// The bank after the one before, so that no bank waits for another twice.
    fn next(&mut self) -> Option<(BankId, bool)> {
        let behind = self.last.take().map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.banks.range((behind, Bound::Unbounded)).next().or(self.banks.iter().next());
        let bank = next.map(|(bank, _)| bank.clone())?;
        let any_lack = self.banks.remove(&bank)?;
        self.last = Some(bank.clone());
        Some((bank, any_lack))
    }
}

/// Why a run came to nothing.
#[derive(Debug, Error)]
enum RunError {
    #[error("the bank's codes cannot be read")]
    Read(#[from] ReadError),
    #[error("no code was minted")]
    Mint(#[from] MintError),
    #[error("minting broke off")]
    BrokeOff(#[from] JoinError),
    #[error("the codes were not written")]
    Write(#[from] WriteError),
}

impl MintingJob {
    #[must_use]
    pub fn new(store: Store, keys: CodeKeys, settings: &config::Codes) -> Self {
        let (dark_days, every) = (settings.dark_days, Duration::from_secs(settings.mint_every_s));
        Self { store, keys, dark_days, every, counters: Arc::default() }
    }

    /// What is counted.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Runs until `stop` completes. What a run has not written by then is lost, and minted again.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.work() => {}
        }
    }

    async fn work(&self) {
        let wakes = self.store.minting();
        let mut tick = interval(self.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut queue = Queue::default();
        loop {
            tokio::select! {
                _ = tick.tick() => self.look_at_all(&mut queue).await,
                banks = wakes.next() => self.wake(&mut queue, banks),
                () = std::future::ready(()), if !queue.banks.is_empty() => {
                    self.take_turn(&mut queue).await;
                }
            }
        }
    }

    fn wake(&self, queue: &mut Queue, banks: BTreeSet<BankId>) {
        for bank in banks {
            queue.add(bank, false);
        }
    }

    /// Finds the banks that lack something, and forgets what is old.
    async fn look_at_all(&self, queue: &mut Queue) {
        let mut after = None;
        loop {
            let pools = match self.store.code_pools(after.as_ref(), ROUND_PAGE, now()).await {
                Ok(pools) => pools,
                Err(error) => {
                    error!(%error, source = error.source(), "code pools cannot be read");
                    return;
                }
            };
            let Some(last) = pools.last() else { break };
            after = Some(last.bank.clone());
            for pool in pools.into_iter().filter(|pool| self.is_short(pool, true)) {
                queue.add(pool.bank, true);
            }
        }
        loop {
            match self.store.decide(SweepCodes { now: now() }).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    error!(%error, source = error.source(), "old codes not forgotten");
                    return;
                }
            }
        }
    }

    async fn take_turn(&self, queue: &mut Queue) {
        let Some((bank, any_lack)) = queue.next() else { return };
        let started = Instant::now();
        match self.run_for(&bank, any_lack).await {
            Ok(More::No) => {}
            Ok(More::Yes) => {
                queue.add(bank, true);
                sleep(started.elapsed()).await;
            }
            Err(error) => {
                self.counters.add(Count::Failed, 1);
                error!(%bank, %error, source = error.source(), "code slots not minted");
            }
        }
    }

    /// Mints for a bank what it lacks, as much as one run may.
    async fn run_for(&self, bank: &BankId, any_lack: bool) -> Result<More, RunError> {
        let pool = self.store.code_pool(bank, now()).await?;
        let Some(pool) = pool.filter(|pool| self.is_short(pool, any_lack)) else {
            return Ok(More::No);
        };
        let (codes, seen) = self.store.bank_codes(bank).await?;
        let CodePool { generation, compartments, deposits_a_day, .. } = pool;
        let needs = PoolNeeds { deposits_a_day, compartments, dark_days: self.dark_days };
        let keys = self.keys.clone();
        let minted = tokio::task::spawn_blocking(move || {
            let tag_keys = keys.master.tag_keys(&codes.bank, generation);
            top_up(&codes, &needs, &tag_keys, &keys.sealing, now())
        });
        let minted = minted.await??;
        if minted.is_exhausted {
            self.counters.add(Count::Exhausted, 1);
            warn!(%bank, missing = minted.still_missing, "no digits to be had for a bank");
        }
        let count = minted.slots.len();
        if count == 0 {
            return Ok(More::No);
        }
        let place =
            PlaceSlots { bank: bank.clone(), generation, slots: minted.slots, seen, now: now() };
        if !self.store.decide(place).await? {
            // Something came between; the next turn sees it.
            return Ok(More::Yes);
        }
        self.counters.add(Count::Minted, u64::try_from(count).unwrap_or(u64::MAX));
        info!(%bank, slots = count, missing = minted.still_missing, "code slots granted");
        let is_done = minted.still_missing == 0 || minted.is_exhausted;
        Ok(if is_done { More::No } else { More::Yes })
    }

    /// Whether a bank lacks slots, or has none and is to be looked at for it.
    fn is_short(&self, pool: &CodePool, any_lack: bool) -> bool {
        let size = pool::size(&pool.deposits_a_day, pool.compartments, self.dark_days);
        let missing = pool::missing(size, pool.unused, pool.bound);
        let worth = if any_lack { 1 } else { usize::from(size).div_ceil(WAKE_SHARE) };
        missing >= worth || pool.unused == 0
    }
}

/// Whether the bank needs another turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    Yes,
    No,
}

#[cfg(test)]
mod tests;
