//! What can still be told of a journal that is damaged: whose it is, how far it is whole, and every record that can be read.
//! Nothing is changed.

use std::path::Path;

use super::{
    error::{Act, DiskFault},
    format::{Frame, HEADER_BYTES, Header, chain_hash, segment_name, segment_seq},
    medium::Medium,
    scan::{Tail, scan},
};

/// A damaged journal, as far as it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salvage {
    pub stream_id: [u8; 16],
    /// The oldest record that was not pruned, readable or not.
    pub oldest_seq: u64,
    /// The last record before the first damage, and the chain's hash there; none if it begins with the damage.
    pub last: Option<(u64, [u8; 32])>,
}

/// A record that can be read and that was acknowledged. Those around it may be lost.
#[derive(Clone, Copy, Debug)]
pub struct Salvaged<'a> {
    pub seq: u64,
    /// The chain's hash before it.
    pub previous: [u8; 32],
    pub record: &'a [u8],
}

/// Reads the journal in `dir` and hands its readable records to `each`, in order: of every segment those before the first
/// damage in it. None if not one segment's header can be read.
///
/// # Errors
///
/// The disk refuses.
pub fn salvage_on(
    medium: &dyn Medium,
    dir: &Path,
    mut each: impl FnMut(Salvaged<'_>),
) -> Result<Option<Salvage>, DiskFault> {
    let names = medium.list(dir).map_err(DiskFault::new(Act::List, dir))?;
    let mut seqs: Vec<u64> = names.iter().filter_map(|name| segment_seq(name)).collect();
    seqs.sort_unstable();
    let (Some(&oldest_seq), Some(&newest)) = (seqs.first(), seqs.last()) else { return Ok(None) };
    let mut found: Option<Salvage> = None;
    // Whether nothing was damaged up to here, and what comes next then.
    let (mut whole, mut due) = (true, None);
    for seq in seqs {
        let path = dir.join(segment_name(seq));
        let file = medium.open_read(&path).map_err(DiskFault::new(Act::Open, &path))?;
        let bytes = file.read_whole().map_err(DiskFault::new(Act::Read, &path))?;
        let header = Header::decode(&bytes).ok().filter(|header| header.first_seq == seq);
        let Some(header) = header else {
            whole = false;
            continue;
        };
        let stream_id = header.stream_id;
        let found = found.get_or_insert(Salvage { stream_id, oldest_seq, last: None });
        if found.stream_id != stream_id {
            whole = false;
            continue;
        }
        let scan = scan(&bytes, &header);
        // What stands before the damage in its own call was durable, too: others followed.
        let end = match scan.tail {
            Tail::Damaged { at } => at.offset,
            Tail::Torn { at } if seq != newest => at.offset,
            Tail::Torn { .. } | Tail::Clean => scan.end,
        };
        let next = hand_out(&bytes, &header, end, &mut each);
        let here = (header.first_seq, header.prev_hash);
        whole &= due.is_none_or(|due| due == here);
        if whole {
            due = Some(next);
            found.last = Some((next.0 - 1, next.1)).filter(|(last, _)| *last > 0);
            whole = scan.tail == Tail::Clean;
        }
    }
    Ok(found)
}

/// Hands out the records that end at `end`; answers the seq that comes next, and the chain's hash before it.
fn hand_out(
    bytes: &[u8],
    header: &Header,
    end: u64,
    each: &mut impl FnMut(Salvaged<'_>),
) -> (u64, [u8; 32]) {
    let (mut at, mut seq, mut previous) = (HEADER_BYTES, header.first_seq, header.prev_hash);
    while (at as u64) < end
        && let Ok(frame) = Frame::decode(&bytes[at..])
    {
        each(Salvaged { seq, previous, record: frame.record });
        previous = chain_hash(&previous, frame.record);
        seq += 1;
        at += frame.head.frame_bytes();
    }
    (seq, previous)
}
