//! The hash chain that makes a journal one piece: nobody can change, drop or insert a record
//! without every later hash telling.

use std::fmt;

use sha2::{Digest, Sha256};

/// A SHA-256 in a chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash(pub [u8; 32]);

/// What the first record of a stream follows.
pub const CHAIN_START: ChainHash = ChainHash([0; 32]);

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainHash({self})")
    }
}

/// The chain's hash after `record`, whose bytes are exactly as the bank wrote them.
#[must_use]
pub fn next_hash(previous: ChainHash, record: &[u8]) -> ChainHash {
    ChainHash(Sha256::new().chain_update(previous.0).chain_update(record).finalize().into())
}

/// What a record says of its detached part: with the random `salt` erased together with the part,
/// nothing can be guessed from it any more.
#[must_use]
pub fn detached_commitment(salt: &[u8; 16], part: &[u8]) -> ChainHash {
    ChainHash(Sha256::new().chain_update(salt).chain_update(part).finalize().into())
}
