//! What an evidence file proves about its parcel.

use std::collections::{BTreeMap, BTreeSet};

use locker_core::clock::TimeQuality;
use locker_core::ids::{BankId, ParcelId};
use locker_core::journal::{ChainHash, detached_commitment};
use locker_core::units::UnixMillis;

use super::bundle::{Bundle, Run};
use super::story::{Story, is_about};
use super::{Finding, Start, StreamCheck, StreamReport};

/// What one run of records proves.
#[derive(Clone, Debug)]
pub struct CheckedRun {
    /// The bank, as the file says; a certificate of the signing key can confirm it.
    pub bank: BankId,
    /// Whether the stream's own opening, which names the bank, is among the records.
    pub names_bank: bool,
    /// Chain and seals.
    pub report: StreamReport,
    /// What happened, in the order in which it did.
    pub story: Vec<Told>,
    /// Detached parts that are there and are the ones that were written.
    pub detached: usize,
}

/// Something that happened to the parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which record says so.
    pub seq: u64,
    /// When, by the bank's clock.
    pub at: UnixMillis,
    /// How far that can be relied on.
    pub quality: TimeQuality,
    /// What, in words.
    pub what: String,
    /// A seal stands for it.
    pub is_sealed: bool,
}

/// Checks all runs of a file. Whose keys they are is not known from the file alone: see [`super::anchor()`].
#[must_use]
pub fn check(bundle: &Bundle) -> Vec<CheckedRun> {
    bundle.runs.iter().map(|run| check_run(run, bundle.parcel)).collect()
}

fn check_run(run: &Run, parcel: ParcelId) -> CheckedRun {
    let start = Start { first: run.first_seq, previous: run.previous };
    let mut check = StreamCheck::new(&run.bank, run.stream, start, &run.keys, BTreeSet::default());
    let mut story = Story::new(parcel);
    let mut told = Vec::new();
    let mut last_about = None;
    let mut commitments: BTreeMap<u64, ChainHash> = BTreeMap::new();
    for bytes in &run.records {
        let Some(record) = check.record(bytes) else { continue };
        commitments.extend(record.detached.map(|hash| (record.seq, hash)));
        if is_about(&record.fact, parcel) {
            last_about = Some(record.seq);
        }
        let (seq, at, quality) = (record.seq, record.at, record.quality);
        let line = story.told(&record.fact);
        told.extend(line.map(|what| Told { seq, at, quality, what, is_sealed: false }));
    }
    let mut report = check.end();
    let upto = report.sealed_upto();
    for line in &mut told {
        line.is_sealed = line.seq <= upto;
    }
    match last_about {
        None => report.find(Finding::NothingAbout),
        Some(seq) if seq > upto => report.find(Finding::NotSealed { seq }),
        Some(_) => {}
    }
    let mut detached = 0;
    for part in &run.detached {
        let written = detached_commitment(&part.salt, &part.part);
        if commitments.get(&part.seq) == Some(&written) {
            detached += 1;
        } else {
            report.find(Finding::Detached { seq: part.seq });
        }
    }
    let names_bank = report.opened.as_ref().is_some_and(|opened| opened.bank == run.bank);
    CheckedRun { bank: run.bank.clone(), names_bank, report, story: told, detached }
}
