//! The minting job's core: what a bank holds in, the slots it lacks out. It keeps nothing and knows
//! no store, so the job around it is: read, call, write the slots and their grants in one
//! transaction.
//!
//! Each slot costs a tag, that is a millisecond or two of one core; [`MINT_PER_RUN_MAX`] bounds how
//! long one bank keeps the others waiting. Run it off the async runtime.

use aws_lc_rs::rand;
use locker_core::code::digits::Digits;
use locker_core::code::keypad_code::{KeypadCode, Validity};
use locker_core::code::pool;
use locker_core::code::slot::{self, DRAWS_MAX, RecentlyUsed, Sealed, Slot, SlotId};
use locker_core::code::tag::TagKeys;
use locker_core::ids::{BankId, CarrierId};
use locker_core::units::UnixMillis;
use thiserror::Error;

use super::sealing::{OpenSealedError, SealError, SealingKeys};

/// Most slots of one run for one bank; the rest comes with the next run. One message of grants.
pub const MINT_PER_RUN_MAX: usize = locker_core::downlink::GRANTS_PER_BATCH_MAX;

/// Bytes of randomness for one slot: its name, and all the draws that its digits may take.
const RANDOM_BYTES: usize = 16 + 4 * DRAWS_MAX as usize;

/// Of a slot, what the hub's store keeps and this job needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSlot {
    pub id: SlotId,
    pub sealed: Sealed,
}

/// A bank's codes as the hub's store has them.
#[derive(Clone, Debug)]
pub struct BankCodes {
    pub bank: BankId,
    /// Granted or about to be, and not yet bound to a deposit.
    pub unused: Vec<HeldSlot>,
    /// Bound to a parcel, or kept by the bank to say that it was used.
    pub in_use: Vec<HeldSlot>,
    /// Couriers' codes that the bank holds or is to hold. They take no place among its slots.
    pub couriers: Vec<HeldSlot>,
    /// Out of use, and since when. What is older than
    /// [`REUSE_AFTER_MS`](locker_core::code::slot::REUSE_AFTER_MS) may be left out.
    pub retired: Vec<(HeldSlot, UnixMillis)>,
}

impl BankCodes {
    /// Of a bank that has none.
    #[must_use]
    pub const fn none(bank: BankId) -> Self {
        Self {
            bank,
            unused: Vec::new(),
            in_use: Vec::new(),
            couriers: Vec::new(),
            retired: Vec::new(),
        }
    }
}

/// How many slots a bank should hold.
#[derive(Clone, Debug)]
pub struct PoolNeeds {
    /// Deposits of each of the bank's days, oldest first, days without any included.
    pub deposits_a_day: Vec<u16>,
    pub compartments: u16,
    /// How many days the bank is to last without the hub.
    pub dark_days: u8,
}

/// What a run brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    pub slots: Vec<Slot>,
    /// How many more the bank lacks, for the next run.
    pub still_missing: usize,
    /// No digits were to be had: further parcels go with their QR code alone. Count it.
    pub is_exhausted: bool,
}

/// Why nothing was minted. The bank goes on with the slots it has.
#[derive(Debug, Error)]
pub enum MintError {
    /// Without them nobody knows which digits are taken. Older sealing keys are kept until the last
    /// code that they sealed may be used again.
    #[error("the digits of slot {slot} cannot be read")]
    Unreadable { slot: SlotId, source: OpenSealedError },
    #[error("no random bytes to be had")]
    Random,
    #[error("the digits of a new slot were not sealed")]
    Seal(#[source] SealError),
}

/// Mints what the bank's pool lacks, at most [`MINT_PER_RUN_MAX`].
///
/// # Errors
///
/// When the digits of a slot cannot be read, or there is no randomness.
pub fn top_up(
    codes: &BankCodes,
    needs: &PoolNeeds,
    tag_keys: &TagKeys,
    sealing: &SealingKeys,
    now: UnixMillis,
) -> Result<Minted, MintError> {
    let size = pool::size(&needs.deposits_a_day, needs.compartments, needs.dark_days);
    let missing = pool::missing(size, codes.unused.len(), codes.in_use.len());
    let mut mint = Mint::open(codes, tag_keys, sealing, now)?;
    let wanted = missing.min(MINT_PER_RUN_MAX);
    let slots = mint.slots(wanted)?;
    let is_exhausted = slots.len() < wanted || (missing == 0 && codes.unused.is_empty());
    Ok(Minted { still_missing: missing - slots.len(), slots, is_exhausted })
}

/// Mints a keypad code for each of `wanted`, the first [`MINT_PER_RUN_MAX`] of them. Fewer come back
/// when no digits are to be had: those couriers need their badges.
///
/// # Errors
///
/// As [`top_up`].
pub fn courier_codes(
    codes: &BankCodes,
    wanted: &[(Validity, CarrierId)],
    tag_keys: &TagKeys,
    sealing: &SealingKeys,
    now: UnixMillis,
) -> Result<Vec<KeypadCode>, MintError> {
    let mut mint = Mint::open(codes, tag_keys, sealing, now)?;
    let slots = mint.slots(wanted.len().min(MINT_PER_RUN_MAX))?;
    let code = |(slot, (valid, carrier)): (Slot, &(Validity, CarrierId))| KeypadCode {
        slot,
        carrier: carrier.clone(),
        valid: *valid,
    };
    Ok(slots.into_iter().zip(wanted).map(code).collect())
}

/// One bank's digits in the clear, for as long as a run takes.
struct Mint<'a> {
    bank: &'a BankId,
    tag_keys: &'a TagKeys,
    sealing: &'a SealingKeys,
    live: Vec<Digits>,
    recent: RecentlyUsed,
}

impl<'a> Mint<'a> {
    fn open(
        codes: &'a BankCodes,
        tag_keys: &'a TagKeys,
        sealing: &'a SealingKeys,
        now: UnixMillis,
    ) -> Result<Self, MintError> {
        let bank = &codes.bank;
        let digits = |held: &HeldSlot| {
            let unreadable = |source| MintError::Unreadable { slot: held.id, source };
            sealing.open(bank, held.id, &held.sealed).map_err(unreadable)
        };
        let live = codes.unused.iter().chain(&codes.in_use).chain(&codes.couriers).map(digits);
        let live = live.collect::<Result<_, _>>()?;
        let retired = codes.retired.iter().map(|(held, at)| Ok((digits(held)?, *at)));
        let recent = RecentlyUsed::new(retired.collect::<Result<Vec<_>, MintError>>()?, now);
        Ok(Self { bank, tag_keys, sealing, live, recent })
    }

    /// Up to `wanted` slots; fewer when no digits are to be had.
    fn slots(&mut self, wanted: usize) -> Result<Vec<Slot>, MintError> {
        let mut slots = Vec::with_capacity(wanted);
        while slots.len() < wanted {
            let Some(slot) = self.slot()? else { break };
            slots.push(slot);
        }
        Ok(slots)
    }

    fn slot(&mut self) -> Result<Option<Slot>, MintError> {
        let mut random = [0; RANDOM_BYTES];
        rand::fill(&mut random).map_err(|_| MintError::Random)?;
        let (id, draws) = random.split_first_chunk::<16>().ok_or(MintError::Random)?;
        let mut draws = draws.as_chunks::<4>().0.iter().map(|draw| u32::from_be_bytes(*draw));
        // `mint` draws at most as often as there are draws; a number too high would be no code.
        let digits = slot::mint(&self.live, &self.recent, || draws.next().unwrap_or(u32::MAX));
        let Some(digits) = digits else { return Ok(None) };
        self.live.push(digits);
        let id = SlotId(*id);
        let sealed = self.sealing.seal(self.bank, id, digits).map_err(MintError::Seal)?;
        Ok(Some(Slot { id, tag: self.tag_keys.tag(digits), sealed }))
    }
}

#[cfg(test)]
mod tests;
