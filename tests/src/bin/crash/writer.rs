//! A process that does nothing but append to a bank's journal, and says what `append` has promised:
//! as little as possible between a promise and the power cut.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use edge_agent::journal::{Disk, Entry, Journal, Limits, Medium, OpenError, Verify};

use crate::lying::LyingDisk;

/// Small segments, so that the power goes while one is begun, too.
pub(crate) const LIMITS: Limits =
    Limits { segment_bytes: 64 << 10, call_bytes: 16 << 10, ballast_bytes: 0 };
/// What a record of a bank has, about.
const RECORD_BYTES: usize = 300;

/// What `append` has promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) seq: u64,
    pub(crate) hash: [u8; 32],
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.seq)?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Promise {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let (seq, digits) = line.split_once(' ').context("no promise")?;
        let mut hash = [0; 32];
        for (at, byte) in hash.iter_mut().enumerate() {
            let digits = digits.get(2 * at..2 * at + 2).context("a hash is longer")?;
            *byte = u8::from_str_radix(digits, 16)?;
        }
        Ok(Self { seq: seq.parse()?, hash })
    }
}

/// Appends until it is killed.
pub(crate) fn run(
    dir: &Path,
    without_fdatasync: bool,
    mut promise: impl FnMut(Promise),
) -> Result<()> {
    let medium: Arc<dyn Medium> =
        if without_fdatasync { Arc::new(LyingDisk) } else { Arc::new(Disk) };
    let open = || Journal::open_on(Arc::clone(&medium), dir, LIMITS, Verify::All);
    let mut journal = match open() {
        Err(OpenError::NotCreated { .. }) => {
            // Made well in any case: what is tried is what `append` promises.
            drop(Journal::create(dir, [7; 16], LIMITS)?);
            open()?.0
        }
        opened => opened?.0,
    };
    loop {
        let seq = journal.head_seq() + 1;
        let record: Vec<u8> = seq.to_le_bytes().into_iter().cycle().take(RECORD_BYTES).collect();
        let appended = journal.append(&[Entry { record: &record, detached: None }])?;
        promise(Promise { seq: appended.last_seq, hash: appended.head_hash });
    }
}
