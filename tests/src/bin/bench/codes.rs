//! What six digits at the keypad cost: the keyed hash of what was typed, the comparison with every
//! live slot, and both with the reading of the digits, beside one bare SHA-256 of the same bytes.
//!
//! The hash is the column *check* of a door that is opened by digits, and the price that the hub
//! pays for each slot that it mints.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, ensure};
use locker_core::code::digits::{Digits, normalise};
use locker_core::code::slot::{SlotId, find};
use locker_core::code::tag::{Tag, TagKeys};
use sha2::{Digest, Sha256};

use crate::table::{percentile, print};

/// The whole check at the 99th percentile: a fifth of what a person takes for immediate.
const CHECK_BUDGET_NS: u64 = 20_000_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many tries to measure.
    #[arg(long, default_value_t = 1_000)]
    samples: u32,
    /// Live slots that each try is compared with.
    #[arg(long, default_value_t = 200)]
    slots: u16,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let (salt, pepper) = ([1_u8; 16], [2_u8; 32]);
    let keys = TagKeys::new(salt, pepper.into());
    let live = live_slots(args.slots, &keys)?;
    let mut rows = Vec::new();
    let mut row = |name: &str, samples: &mut Vec<u64>| {
        let microseconds = |ns: u64| format!("{}.{}", ns / 1_000, ns % 1_000 / 100);
        let (p50, p99) = (percentile(samples, 50), percentile(samples, 99));
        rows.push(vec![name.to_owned(), microseconds(p50), microseconds(p99)]);
        p99
    };

    let mut bare = measure(args, |digits, _| {
        let hash = Sha256::new().chain_update(pepper).chain_update(salt);
        Ok(black_box(hash.chain_update(digits.reveal()).finalize())[0])
    })?;
    row("bare SHA-256", &mut bare);
    let mut tags = measure(args, |digits, _| Ok(keys.tag(digits).as_bytes()[0]))?;
    row("tag: Argon2id, 1 MiB, 1 pass", &mut tags);
    let typed = keys.tag(number(0)?);
    let mut finds = measure(args, |_, _| Ok(find(black_box(&typed), live_tags(&live))))?;
    row(&format!("comparison with {} slots", live.len()), &mut finds);
    let mut checks =
        measure(args, |_, text| Ok(find(&keys.tag(normalise(text)?), live_tags(&live))))?;
    let check_p99_ns = row("whole check", &mut checks);

    let title = format!("bench codes, {} tries, microseconds", args.samples);
    print(&title, &["part", "p50", "p99"], &rows);
    ensure!(
        check_p99_ns <= CHECK_BUDGET_NS,
        "a check takes {check_p99_ns} ns at p99, the budget is {CHECK_BUDGET_NS} ns"
    );
    Ok(())
}

fn live_slots(slots: u16, keys: &TagKeys) -> anyhow::Result<Vec<(SlotId, Tag)>> {
    let slot = |slot: u16| {
        let id = SlotId(u128::from(slot).to_be_bytes());
        Ok((id, keys.tag(number(999_999 - u32::from(slot))?)))
    };
    (0..slots).map(slot).collect()
}

fn live_tags(live: &[(SlotId, Tag)]) -> impl Iterator<Item = (SlotId, &Tag)> {
    live.iter().map(|(id, tag)| (*id, tag))
}

fn number(number: u32) -> anyhow::Result<Digits> {
    Digits::from_number(number).context("a code has six digits")
}

/// Nanoseconds of each try, with ever new digits.
fn measure<T>(
    args: &Args,
    mut work: impl FnMut(Digits, &str) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<u64>> {
    (0..args.samples)
        .map(|sample| {
            let digits = number(sample)?;
            let text = format!("{:03} {:03}", sample / 1_000, sample % 1_000);
            let before = Instant::now();
            black_box(work(black_box(digits), black_box(&text))?);
            Ok(u64::try_from(before.elapsed().as_nanos())?)
        })
        .collect()
}
