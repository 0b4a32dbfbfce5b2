//! What ingest counts, one counter for each thing that can be lost, refused or stopped.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Records committed.
    Facts,
    /// Batches committed; one that was cut, once all of it is.
    Batches,
    /// Batches that waited for their bank's turn.
    Waited,
    /// Batches of which everything was known.
    Duplicates,
    /// Batches that began above what comes next.
    Gaps,
    /// Messages that could not be read.
    Unreadable,
    /// Records that this hub cannot read yet.
    UnreadRecords,
    /// Banks stopped.
    Stopped,
    /// Sessions of banks that nobody made known.
    UnknownBanks,
    /// Facts that came before an accepted birth.
    EarlyFacts,
    /// Batches that could not be committed.
    CommitFailed,
    /// Trace stamps dropped because the channel was full.
    StampsDropped,
    /// Samples of telemetry heard.
    Telemetry,
    /// Banks of which there seem to be two.
    Clones,
    /// Messages of such banks.
    KeptApart,
    /// Births with a certificate that another has replaced.
    ReplacedCertificates,
    /// Grants of code slots that banks refused.
    SlotsRefused,
    /// Banks that were given records back.
    Restores,
    /// Seals that hold.
    SealsHeld,
    /// Those of them whose state is ours, too.
    StatesCompared,
    /// Seals, or changes of a device key, that do not hold.
    SealsBroken,
}

impl Count {
    /// Everything that is counted, for metrics.
    pub const ALL: [Self; 21] = [
        Self::Facts,
        Self::Batches,
        Self::Waited,
        Self::Duplicates,
        Self::Gaps,
        Self::Unreadable,
        Self::UnreadRecords,
        Self::Stopped,
        Self::UnknownBanks,
        Self::EarlyFacts,
        Self::CommitFailed,
        Self::StampsDropped,
        Self::Telemetry,
        Self::Clones,
        Self::KeptApart,
        Self::ReplacedCertificates,
        Self::SlotsRefused,
        Self::Restores,
        Self::SealsHeld,
        Self::StatesCompared,
        Self::SealsBroken,
    ];

    /// The count as a metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Facts => "facts",
            Self::Batches => "batches",
            Self::Waited => "waited",
            Self::Duplicates => "duplicates",
            Self::Gaps => "gaps",
            Self::Unreadable => "unreadable",
            Self::UnreadRecords => "unread_records",
            Self::Stopped => "stopped",
            Self::UnknownBanks => "unknown_banks",
            Self::EarlyFacts => "early_facts",
            Self::CommitFailed => "commit_failed",
            Self::StampsDropped => "stamps_dropped",
            Self::Telemetry => "telemetry",
            Self::Clones => "clones",
            Self::KeptApart => "kept_apart",
            Self::ReplacedCertificates => "replaced_certificates",
            Self::SlotsRefused => "slots_refused",
            Self::Restores => "restores",
            Self::SealsHeld => "seals_held",
            Self::StatesCompared => "states_compared",
            Self::SealsBroken => "seals_broken",
        }
    }
}

/// Counts since ingest began.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; Count::ALL.len()]);

impl Counters {
    /// The present count.
    #[must_use]
    pub fn get(&self, count: Count) -> u64 {
        self.0[count as usize].load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, count: Count, amount: u64) {
        self.0[count as usize].fetch_add(amount, Ordering::Relaxed);
    }
}
