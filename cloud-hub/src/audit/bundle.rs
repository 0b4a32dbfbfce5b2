//! The evidence file: everything about one parcel that somebody needs who has neither a hub nor a network.
//!
//! All numbers have their highest byte first. A list or text begins with its length.
//!
//! ```text
//! file    "POSTERN-EVIDENCE" | version u16 = 1 | name u16 | parcel [16] | certificates u16 | runs u16 | sha256 [32]
//! cert    u16, DER
//! run     bank u16 | stream [16] | first seq u64 | previous hash [32] | keys u16 | records u32 | detached u32
//! key     SubjectPublicKeyInfo of a P-256 key [91]
//! record  u16, bytes as the bank wrote them
//! detached  seq u64 | salt [16] | u16, part
//! ```
//!
//! The SHA-256 at the end, over everything before it, tells a damaged file from a whole one, and proves nothing: what
//! proves are the seals among the records. Frozen; another form gets another version.

use aws_lc_rs::digest;
use locker_core::ids::{BankId, ParcelId, StreamId};
use locker_core::journal::{ChainHash, RECORD_MAX_BYTES};
use thiserror::Error;

use crate::tls::DeviceKey;

/// What every evidence file begins with.
pub const MAGIC: &[u8; 16] = b"POSTERN-EVIDENCE";
/// The version of the form.
pub const VERSION: u16 = 1;
/// Largest file, in bytes: about two million ordinary records.
pub const FILE_MAX_BYTES: usize = 512 << 20;
/// Most certificates in a file.
pub const CERTIFICATES_MAX: usize = 64;
/// Largest certificate, in bytes.
pub const CERTIFICATE_MAX_BYTES: usize = 16 << 10;
/// Most runs in a file.
pub const RUNS_MAX: usize = 256;
/// Most keys of a run.
pub const KEYS_MAX: usize = 256;
/// Longest name of the parcel, in bytes.
pub const NAME_MAX_BYTES: usize = 256;
/// Largest detached part, in bytes, as the bank's journal takes them.
pub const DETACHED_MAX_BYTES: usize = 32 << 10;

const SPKI_BYTES: usize = 91;
const DIGEST_BYTES: usize = 32;

/// What is in an evidence file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// `carriers/{carrier}/parcels/{parcel}`: what the hub calls the parcel. The records know only its id.
    pub name: String,
    /// What the records call it.
    pub parcel: ParcelId,
    /// Certificates of the banks and whoever issued them, DER.
    pub certificates: Vec<Vec<u8>>,
    /// One for each stream that has records about it.
    pub runs: Vec<Run>,
}

/// Records of one stream without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Whose stream it is.
    pub bank: BankId,
    /// Which stream.
    pub stream: StreamId,
    /// The seq of the first record.
    pub first_seq: u64,
    /// The chain's hash before it.
    pub previous: ChainHash,
    /// The device keys that the bank has had.
    pub keys: Vec<DeviceKey>,
    /// Each as the bank wrote it.
    pub records: Vec<Vec<u8>>,
    /// Parts beside the records that were not erased.
    pub detached: Vec<DetachedPart>,
}

/// A part beside a record, of which the record holds only a salted hash.
#[derive(Clone, PartialEq, Eq)]
pub struct DetachedPart {
    /// Whose it is.
    pub seq: u64,
    /// What makes the hash unguessable.
    pub salt: [u8; 16],
    /// The part.
    pub part: Vec<u8>,
}

// It may be somebody's name.
impl std::fmt::Debug for DetachedPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DetachedPart").field("seq", &self.seq).finish_non_exhaustive()
    }
}

/// Why bytes are no evidence file, or something does not fit into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BundleError {
    /// Something else.
    #[error("this is no evidence file")]
    NotEvidence,
    /// Made by a newer version.
    #[error("the file has form {found}, and this version knows {VERSION}")]
    Newer {
        /// Its form.
        found: u16,
    },
    /// Some byte is not what was written.
    #[error("the file is damaged: it is not what was written")]
    Damaged,
    /// It ends too early or too late.
    #[error("the file does not end where it should")]
    Length,
    /// A limit.
    #[error("too much: {what}, of which there may be {max}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much there may be.
        max: usize,
    },
    /// No version would have written it.
    #[error("the file's {what} is malformed")]
    Malformed {
        /// What.
        what: &'static str,
    },
}

impl Bundle {
    /// The file's bytes.
    ///
    /// # Errors
    ///
    /// Something is beyond a limit.
    pub fn encode(&self) -> Result<Vec<u8>, BundleError> {
        let mut out = Writer(Vec::new());
        out.0.extend_from_slice(MAGIC);
        out.0.extend(VERSION.to_be_bytes());
        out.text("name", self.name.as_bytes(), NAME_MAX_BYTES)?;
        out.0.extend(self.parcel.0);
        out.count("certificates", self.certificates.len(), CERTIFICATES_MAX)?;
        for certificate in &self.certificates {
            out.text("bytes of a certificate", certificate, CERTIFICATE_MAX_BYTES)?;
        }
        out.count("runs", self.runs.len(), RUNS_MAX)?;
        for run in &self.runs {
            run.encode(&mut out)?;
        }
        let digest = sha256(&out.0);
        out.0.extend(digest);
        if out.0.len() > FILE_MAX_BYTES {
            return Err(BundleError::TooMuch { what: "bytes of a file", max: FILE_MAX_BYTES });
        }
        Ok(out.0)
    }

    /// What is in a file.
    ///
    /// # Errors
    ///
    /// See [`BundleError`].
    pub fn decode(file: &[u8]) -> Result<Self, BundleError> {
        if file.len() > FILE_MAX_BYTES {
            return Err(BundleError::TooMuch { what: "bytes of a file", max: FILE_MAX_BYTES });
        }
        let mut version = Reader(file.strip_prefix(MAGIC).ok_or(BundleError::NotEvidence)?);
        let found = version.u16()?;
        if found != VERSION {
            return Err(BundleError::Newer { found });
        }
        let (written, digest) =
            file.split_last_chunk::<DIGEST_BYTES>().ok_or(BundleError::Length)?;
        if sha256(written) != *digest {
            return Err(BundleError::Damaged);
        }
        let mut from = Reader(written.get(MAGIC.len() + 2..).ok_or(BundleError::Length)?);
        let name = from.text("name", NAME_MAX_BYTES)?;
        let name = str::from_utf8(name).map_err(|_| BundleError::Malformed { what: "name" })?;
        let name = name.to_owned();
        let parcel = ParcelId(from.array()?);
        let certificates = from.count("certificates", CERTIFICATES_MAX)?;
        let certificates = (0..certificates)
            .map(|_| from.text("bytes of a certificate", CERTIFICATE_MAX_BYTES).map(<[u8]>::to_vec))
            .collect::<Result<_, _>>()?;
        let runs = from.count("runs", RUNS_MAX)?;
        let runs = (0..runs).map(|_| Run::decode(&mut from)).collect::<Result<_, _>>()?;
        if from.0.is_empty() {
            Ok(Self { name, parcel, certificates, runs })
        } else {
            Err(BundleError::Length)
        }
    }
}

impl Run {
    fn encode(&self, out: &mut Writer) -> Result<(), BundleError> {
        out.text("name", self.bank.as_str().as_bytes(), NAME_MAX_BYTES)?;
        out.0.extend(self.stream.0);
        out.0.extend(self.first_seq.to_be_bytes());
        out.0.extend(self.previous.0);
        out.count("keys", self.keys.len(), KEYS_MAX)?;
        for key in &self.keys {
            out.0.extend(key.spki());
        }
        out.long_count("records", self.records.len())?;
        for record in &self.records {
            out.text("bytes of a record", record, RECORD_MAX_BYTES)?;
        }
        out.long_count("detached parts", self.detached.len())?;
        for DetachedPart { seq, salt, part } in &self.detached {
            out.0.extend(seq.to_be_bytes());
            out.0.extend(salt);
            out.text("bytes of a detached part", part, DETACHED_MAX_BYTES)?;
        }
        Ok(())
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, BundleError> {
        let bank = str::from_utf8(from.text("name", NAME_MAX_BYTES)?).ok();
        let bank = bank.and_then(|bank| bank.parse().ok());
        let bank = bank.ok_or(BundleError::Malformed { what: "bank" })?;
        let stream = StreamId(from.array()?);
        let first_seq = u64::from_be_bytes(from.array()?);
        let previous = ChainHash(from.array()?);
        let keys = from.count("keys", KEYS_MAX)?;
        let keys = (0..keys).map(|_| from.key()).collect::<Result<_, _>>()?;
        // Nothing is set aside by a count that nothing stands behind: each item takes bytes of the file.
        let records = u32::from_be_bytes(from.array()?);
        let records = (0..records)
            .map(|_| from.text("bytes of a record", RECORD_MAX_BYTES).map(<[u8]>::to_vec))
            .collect::<Result<_, _>>()?;
        let detached = u32::from_be_bytes(from.array()?);
        let detached = (0..detached).map(|_| from.detached()).collect::<Result<_, _>>()?;
        Ok(Self { bank, stream, first_seq, previous, keys, records, detached })
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn count(&mut self, what: &'static str, count: usize, max: usize) -> Result<(), BundleError> {
        let fits = u16::try_from(count).ok().filter(|_| count <= max);
        self.0.extend(fits.ok_or(BundleError::TooMuch { what, max })?.to_be_bytes());
        Ok(())
    }

    fn long_count(&mut self, what: &'static str, count: usize) -> Result<(), BundleError> {
        let max = FILE_MAX_BYTES;
        let count = u32::try_from(count).map_err(|_| BundleError::TooMuch { what, max })?;
        self.0.extend(count.to_be_bytes());
        Ok(())
    }

    fn text(&mut self, what: &'static str, text: &[u8], max: usize) -> Result<(), BundleError> {
        self.count(what, text.len(), max)?;
        self.0.extend_from_slice(text);
        Ok(())
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], BundleError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(BundleError::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BundleError> {
        self.take(N)?.try_into().map_err(|_| BundleError::Length)
    }

    fn u16(&mut self) -> Result<u16, BundleError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn count(&mut self, what: &'static str, max: usize) -> Result<usize, BundleError> {
        let count = usize::from(self.u16()?);
        if count > max { Err(BundleError::TooMuch { what, max }) } else { Ok(count) }
    }

    fn text(&mut self, what: &'static str, max: usize) -> Result<&'a [u8], BundleError> {
        let count = self.count(what, max)?;
        self.take(count)
    }

    fn key(&mut self) -> Result<DeviceKey, BundleError> {
        DeviceKey::of_spki(self.take(SPKI_BYTES)?).ok_or(BundleError::Malformed { what: "key" })
    }

    fn detached(&mut self) -> Result<DetachedPart, BundleError> {
        let (seq, salt) = (u64::from_be_bytes(self.array()?), self.array()?);
        let part = self.text("bytes of a detached part", DETACHED_MAX_BYTES)?.to_vec();
        Ok(DetachedPart { seq, salt, part })
    }
}

fn sha256(bytes: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut hash = [0; DIGEST_BYTES];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// A target for fuzzing: any bytes in, no panic; what was understood is written the same way again, and can be checked.
pub fn fuzz_bundle(bytes: &[u8]) {
    // A fuzzer would not come past the hash.
    let whole = [bytes, &sha256(bytes)].concat();
    for file in [bytes, &whole] {
        if let Ok(bundle) = Bundle::decode(file) {
            assert_eq!(bundle.encode().as_deref(), Ok(file), "written again, it is another");
            let _ = super::evidence::check(&bundle);
        }
    }
}
