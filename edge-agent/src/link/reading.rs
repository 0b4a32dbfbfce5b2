//! What the link reads of the journal, away from the runtime: the ladder of a birth, one hash, and the records that go out.

use locker_core::journal::stream::ladder;
use locker_core::journal::{ChainHash, Place};
use locker_core::uplink::Window;
use tokio::task::spawn_blocking;

use super::LinkError;
use crate::journal::{JournalReader, ReadError, Stored};

/// A journal's ladder, as far as it can be read.
pub(super) struct Rungs {
    pub(super) places: Vec<Place>,
    /// Why the first of those that are missing is; none if that is nothing but pruning.
    pub(super) unreadable: Option<ReadError>,
}

/// The rungs between the journal's oldest record and `head`, and the one at `asked`. One that is damaged, or that the disk
/// does not read, is left out: the hub compares the others, and may have had those records for long. The head's and the one
/// below the oldest record need no reading, so there always is one.
pub(super) async fn rungs(
    reader: &JournalReader,
    head: u64,
    asked: Option<u64>,
) -> Result<Rungs, LinkError> {
    let reader = reader.clone();
    let read = spawn_blocking(move || {
        let mut rungs = Rungs { places: Vec::new(), unreadable: None };
        for seq in ladder(reader.oldest_seq(), head, asked) {
            match reader.hash_at(seq) {
                Ok(hash) => rungs.places.push(Place { seq, hash: ChainHash(hash) }),
                // Pruned since the look at the oldest.
                Err(ReadError::Pruned { .. } | ReadError::BeyondHead { .. }) => {}
                Err(error @ (ReadError::Damaged { .. } | ReadError::Disk(_))) => {
                    rungs.unreadable.get_or_insert(error);
                }
                Err(error @ ReadError::Failed) => return Err(error),
            }
        }
        Ok(rungs)
    });
    Ok(read.await.map_err(|_| LinkError::BankStopped)??)
}

/// The journal's hash at `seq`; none if it is pruned or was never written.
pub(super) async fn hash_at(
    reader: &JournalReader,
    seq: u64,
) -> Result<Option<ChainHash>, LinkError> {
    let reader = reader.clone();
    let read = spawn_blocking(move || reader.hash_at(seq));
    match read.await.map_err(|_| LinkError::BankStopped)? {
        Ok(hash) => Ok(Some(ChainHash(hash))),
        Err(ReadError::Pruned { .. } | ReadError::BeyondHead { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The records of `window`, and the chain's hash before them.
pub(super) async fn run_of(
    reader: &JournalReader,
    window: Window,
) -> Result<(ChainHash, Vec<Stored>), LinkError> {
    let reader = reader.clone();
    let read = spawn_blocking(move || {
        let previous = reader.hash_at(window.from_seq - 1)?;
        let run = reader.read(window.from_seq, window.max_records, window.max_bytes)?;
        Ok::<_, ReadError>((ChainHash(previous), run))
    });
    Ok(read.await.map_err(|_| LinkError::BankStopped)??)
}
