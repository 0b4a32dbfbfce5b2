//! From a scan or the last key to the unlock frame, through the real panel, bank loop, journal and
//! bus: with either family of boards, and by digits.
//!
//! One parcel is stored and its code is shown again and again ("not taken" in between), so that each
//! sample checks a code, makes an intent durable, and pulses. The lock board is the simulator
//! on TCP at the line's pace. The baselines are a bare write of as many bytes with fdatasync, and the
//! time that the unlock frame takes on the wire after its first byte, which no program can shorten.

mod board;
mod rig;

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use edge_agent::board::Profile;
use tokio::time::Instant;

use crate::awake::Awake;
use crate::table::{percentile, print};
use rig::{Code, Rig, Sample};

/// Our own share of the way, at the 99th percentile.
const REST_BUDGET_US: u64 = 1_000;
/// Bits that a byte takes on the line (8N1), and the line's rate.
const BITS_PER_BYTE: u64 = 10;
const BAUD: u64 = 19_200;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many openings to measure of each kind.
    #[arg(long, default_value_t = 300)]
    samples: usize,
    /// A folder on the disk to be measured; removed afterwards.
    #[arg(long, default_value = "target/bench-door")]
    dir: PathBuf,
}

/// Which way to the door is measured.
const WAYS: [(&str, Profile, Code); 3] = [
    ("cu48, QR", Profile::Cu48, Code::Qr),
    ("cu16, QR", Profile::Cu16, Code::Qr),
    ("cu48, digits", Profile::Cu48, Code::Digits),
];

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let awake = Awake::start()?;
    let mut all = Vec::with_capacity(WAYS.len());
    for (_, profile, code) in WAYS {
        all.push(measure(args, profile, code).await?);
    }
    std::fs::create_dir_all(&args.dir)?;
    let baseline = bare_sync(&args.dir, args.samples)?;
    drop(awake);
    std::fs::remove_dir_all(&args.dir)?;
    report(args, &all, baseline)
}

async fn measure(args: &Args, profile: Profile, code: Code) -> anyhow::Result<Vec<Sample>> {
    if args.dir.exists() {
        std::fs::remove_dir_all(&args.dir).context("cannot empty the bench's folder")?;
    }
    std::fs::create_dir_all(&args.dir)?;
    let mut rig = Rig::start(&args.dir, profile).await?;
    rig.store_the_parcel().await?;
    let mut samples = Vec::with_capacity(args.samples);
    for _ in 0..args.samples {
        samples.push(rig.open_by(code).await?);
    }
    rig.stop().await?;
    Ok(samples)
}

type Part = (&'static str, fn(&Sample) -> u64);

const PARTS: [Part; 5] = [
    ("check of the code", |sample| sample.check),
    ("sync of the intent", |sample| sample.sync),
    ("line busy with a poll", |sample| sample.line),
    ("rest (ours)", Sample::rest),
    ("total", |sample| sample.total),
];

fn report(args: &Args, all: &[Vec<Sample>], mut baseline: Vec<u64>) -> anyhow::Result<()> {
    let mut header = vec!["part".to_owned()];
    for (name, _, _) in WAYS {
        header.extend([format!("{name}: p50"), "p99".to_owned()]);
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (name, pick) in PARTS {
        let mut row = vec![name.to_owned()];
        for samples in all {
            let mut values: Vec<u64> = samples.iter().map(pick).collect();
            row.extend([50, 99].map(|percent| percentile(&mut values, percent).to_string()));
        }
        rows.push(row);
    }
    let [p50, p99] = [50, 99].map(|percent| percentile(&mut baseline, percent).to_string());
    rows.push(vec!["bare write + fdatasync".to_owned(), p50, p99]);
    let floor = WAYS.iter().flat_map(|(_, profile, _)| {
        let bytes = u64::try_from(profile.request_bytes()).unwrap_or(u64::MAX);
        let floor_us = bytes.saturating_mul(BITS_PER_BYTE * 1_000_000) / BAUD;
        [floor_us.to_string(), floor_us.to_string()]
    });
    rows.push(["unlock frame on the wire".to_owned()].into_iter().chain(floor).collect());
    let title = format!("bench door, {} openings of each kind, microseconds", args.samples);
    print(&title, &header.iter().map(String::as_str).collect::<Vec<_>>(), &rows);
    for ((name, _, _), samples) in WAYS.iter().zip(all) {
        let rest_us = percentile(&mut samples.iter().map(Sample::rest).collect::<Vec<_>>(), 99);
        if rest_us > REST_BUDGET_US {
            bail!(
                "{name}: our own share is {rest_us} us at p99, the budget is {REST_BUDGET_US} us"
            );
        }
    }
    Ok(())
}

/// The disk alone: as many bytes as an intent's records take, written and synced.
fn bare_sync(dir: &Path, samples: usize) -> anyhow::Result<Vec<u64>> {
    let mut file = File::create(dir.join("bare"))?;
    // Blocks that are written already, so that a sync waits for the data alone.
    let bytes = [0_u8; 512];
    file.write_all(&vec![0; bytes.len() * samples])?;
    file.rewind()?;
    file.sync_all()?;
    let mut taken = Vec::with_capacity(samples);
    for _ in 0..samples {
        let before = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        taken.push(u64::try_from(before.elapsed().as_micros())?);
    }
    Ok(taken)
}
