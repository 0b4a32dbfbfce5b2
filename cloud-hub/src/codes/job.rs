//! The minting job: keeps every bank supplied with six-digit codes for the days that it may be
//! without the hub, those of recipients and those of couriers.
//!
//! It wakes by the clock, when it looks at all banks, and when deposits are committed. Banks take
//! turns, each with a bounded run off the async runtime; after a run it rests as long as the run
//! took, so that minting never takes more than half a core from ingest.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use locker_core::code::keypad_code::{DAY_MS, DAYS_MAX, Validity, days};
use locker_core::code::pool;
use locker_core::ids::{BankId, CarrierId, Generation};
use locker_core::units::UnixMillis;
use thiserror::Error;
use tokio::task::JoinError;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{error, info, warn};

use super::mint::{MINT_PER_RUN_MAX, MintError, PoolNeeds, courier_codes, top_up};
use super::{CodeKeys, Count, Counters};
use crate::config;
use crate::store::{
    CodePool, CouriersCodes, PlaceCourierCodes, PlaceSlots, ReadError, Store, SweepCodes,
    WriteError,
};
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
            let lacks = |pool: &CodePool| self.is_short(pool, true) || self.lacks_days(pool, now());
            let ours = |pool: &CodePool| pool.holds_keys_of(&self.keys.master);
            for pool in pools.into_iter().filter(lacks).filter(ours) {
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
            Ok(More::Yes) => queue.add(bank, true),
            Err(error) => {
                self.counters.add(Count::Failed, 1);
                error!(%bank, %error, source = error.source(), "codes not minted");
            }
        }
        // After every turn, also one that found nothing to do: deposits wake banks all day long.
        sleep(started.elapsed()).await;
    }

    /// Mints for a bank what it lacks, as much as one run may.
    async fn run_for(&self, bank: &BankId, any_lack: bool) -> Result<More, RunError> {
        let pool = self.store.code_pool(bank, now()).await?;
        // To a bank with other keys than its own every code would be wrong.
        let ours = |pool: &CodePool| pool.holds_keys_of(&self.keys.master);
        let Some(pool) = pool.filter(ours) else { return Ok(More::No) };
        let lacks_days = self.lacks_days(&pool, now());
        let generation = pool.generation;
        if self.is_short(&pool, any_lack) && self.mint_slots(pool).await? == More::Yes {
            return Ok(More::Yes);
        }
        if lacks_days { self.mint_days(bank, generation, now()).await } else { Ok(More::No) }
    }

    async fn mint_slots(&self, pool: CodePool) -> Result<More, RunError> {
        let bank = &pool.bank.clone();
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

    /// Mints for each carrier whose couriers have codes at a bank one for each day from today on.
    async fn mint_days(
        &self,
        bank: &BankId,
        generation: Generation,
        now: UnixMillis,
    ) -> Result<More, RunError> {
        let Some(couriers) = self.store.couriers_codes(bank).await? else { return Ok(More::No) };
        let follows = couriers.codes.generation;
        let wanted = missing_days(&couriers, now, self.dark_days);
        let lack = wanted.len();
        // After what is wanted was read: a code that came between is seen, and counted.
        let (codes, seen) = self.store.bank_codes(bank).await?;
        let keys = self.keys.clone();
        let minted = tokio::task::spawn_blocking(move || {
            let tag_keys = keys.master.tag_keys(&codes.bank, generation);
            courier_codes(&codes, &wanted, &tag_keys, &keys.sealing, now)
        });
        let codes = minted.await??;
        let count = codes.len();
        if count < lack.min(MINT_PER_RUN_MAX) {
            self.counters.add(Count::Exhausted, 1);
            warn!(%bank, missing = lack - count, "no digits to be had for couriers of a bank");
            if count == 0 {
                return Ok(More::No);
            }
        }
        let is_all = count == lack || count < MINT_PER_RUN_MAX;
        let place = PlaceCourierCodes { bank: bank.clone(), generation, follows, codes, seen, now };
        if !self.store.decide(place).await? {
            // Something came between; the next turn sees it.
            return Ok(More::Yes);
        }
        self.counters.add(Count::CourierCodes, u64::try_from(count).unwrap_or(u64::MAX));
        info!(%bank, codes = count, missing = lack - count, "courier codes issued");
        Ok(if is_all { More::No } else { More::Yes })
    }

    /// Whether some courier of a bank lacks a code of the days to come, or has some of days that a
    /// wrong clock made.
    fn lacks_days(&self, pool: &CodePool, now: UnixMillis) -> bool {
        let end = |days: u8| (now.0 / DAY_MS + u64::from(days)) * DAY_MS;
        let fits = end(self.dark_days)..=end(DAYS_MAX);
        pool.couriers_until.is_some_and(|until| !fits.contains(&until.0))
    }

    /// Whether a bank lacks slots, or has none and is to be looked at for it.
    fn is_short(&self, pool: &CodePool, any_lack: bool) -> bool {
        let size = pool::size(&pool.deposits_a_day, pool.compartments, self.dark_days);
        let missing = pool::missing(size, pool.unused, pool.bound);
        let worth = if any_lack { 1 } else { usize::from(size).div_ceil(WAKE_SHARE) };
        missing >= worth || pool.unused == 0
    }
}

/// The days from today on for which a carrier has no code, the nearest first, for all carriers
/// alike.
fn missing_days(
    couriers: &CouriersCodes,
    now: UnixMillis,
    dark_days: u8,
) -> Vec<(Validity, CarrierId)> {
    let CouriersCodes { carriers, codes } = couriers;
    let is_there = |day: &Validity, carrier: &CarrierId| {
        codes.codes.iter().any(|code| code.valid == *day && code.carrier == *carrier)
    };
    let midnight = UnixMillis(now.0 / DAY_MS * DAY_MS);
    days(midnight, dark_days)
        .into_iter()
        .flat_map(|day| carriers.iter().map(move |carrier| (day, carrier.clone())))
        .filter(|(day, carrier)| !is_there(day, carrier))
        .collect()
}

/// Whether the bank needs another turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    Yes,
    No,
}

#[cfg(test)]
mod tests;
