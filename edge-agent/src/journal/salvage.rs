//! What can still be told of a journal that is damaged: whose it is, and how far it is whole. Nothing is changed.

use std::path::Path;

use super::{
    error::{Act, DiskFault},
    format::{Header, segment_name, segment_seq},
    medium::Medium,
    scan::{Tail, scan},
};

/// A damaged journal, as far as it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salvage {
    pub stream_id: [u8; 16],
    /// The last record before the damage, and the chain's hash there.
    pub last: (u64, [u8; 32]),
}

/// Reads the journal in `dir` from its oldest record up to the first damage; none if not even its first segment's header
/// can be read.
///
/// # Errors
///
/// The disk refuses.
pub fn salvage_on(medium: &dyn Medium, dir: &Path) -> Result<Option<Salvage>, DiskFault> {
    let names = medium.list(dir).map_err(DiskFault::new(Act::List, dir))?;
    let mut seqs: Vec<u64> = names.iter().filter_map(|name| segment_seq(name)).collect();
    seqs.sort_unstable();
    let mut found: Option<Salvage> = None;
    for seq in seqs {
        let path = dir.join(segment_name(seq));
        let file = medium.open_read(&path).map_err(DiskFault::new(Act::Open, &path))?;
        let bytes = file.read_whole().map_err(DiskFault::new(Act::Read, &path))?;
        let Ok(header) = Header::decode(&bytes) else { break };
        let follows = found.is_none_or(|found| {
            let due = (found.last.0 + 1, found.last.1);
            found.stream_id == header.stream_id && due == (header.first_seq, header.prev_hash)
        });
        if !follows {
            break;
        }
        let scan = scan(&bytes, &header);
        let (stream_id, last) = (header.stream_id, (scan.next_seq - 1, scan.hash));
        found = Some(Salvage { stream_id, last });
        if scan.tail != Tail::Clean {
            break;
        }
    }
    Ok(found)
}
