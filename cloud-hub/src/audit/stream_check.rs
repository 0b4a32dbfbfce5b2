//! Holds one stream of a bank's journal against itself: the chain, who opened it, its seals, the states that they name, and
//! how its key was handed on.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use locker_core::clock::TimeQuality;
use locker_core::fact::Fact;
use locker_core::ids::{BankId, StreamId};
use locker_core::journal::seal::{self, SealError, StateCheck};
use locker_core::journal::{
    CHAIN_START, ChainHash, FOLD_VERSION, KeyChanged, MemoryView, Place, Record, Sealed,
    StreamOpened, fold, next_hash,
};
use locker_core::units::UnixMillis;
use locker_proto::record::decode_record;
use thiserror::Error;

use crate::tls::DeviceKey;

/// Findings kept of one stream; of the others it is said how many there are.
pub const FINDINGS_MAX: usize = 50;

/// What does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Finding {
    /// The chain is broken.
    #[error(
        "record {seq} does not follow from the bytes before it: something was changed, dropped or \
         put in at or before record {}", seq.saturating_sub(1)
    )]
    Chain {
        /// Behind the break.
        seq: u64,
    },
    /// The numbers have a gap.
    #[error("where record {expected} belongs stands one that says it is record {says}")]
    Sequence {
        /// Which one should be there.
        expected: u64,
        /// Which one is.
        says: u64,
    },
    /// It belongs elsewhere.
    #[error("record {seq} is of another stream")]
    OtherStream {
        /// Which record.
        seq: u64,
    },
    /// No version of this software would have written it.
    #[error("record {seq} is malformed")]
    Malformed {
        /// Which record.
        seq: u64,
    },
    /// The first record must say whose stream it is.
    #[error("record 1 does not say whose stream this is")]
    NotOpened,
    /// Only the first may.
    #[error("record {seq} opens the stream a second time")]
    OpenedAgain {
        /// Which record.
        seq: u64,
    },
    /// The stream is of another bank.
    #[error("the stream says it is of bank {says}")]
    OtherBank {
        /// Which bank.
        says: BankId,
    },
    /// Seals by it cannot be checked.
    #[error("the stream names device key {}, and no such key was given", crate::alarms::hex(key))]
    UnknownKey {
        /// SHA-256 of its SubjectPublicKeyInfo.
        key: [u8; 32],
    },
    /// A seal does not stand for what is before it.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Only the new key's certificate vouches for the change.
    #[error("the device key changed at record {seq}, and the old one did not sign for it")]
    KeyChangedUnsigned {
        /// Which record.
        seq: u64,
    },
    /// The handing over is not by the key that was in use.
    #[error("the change of the device key at record {seq} is not signed by the key before it")]
    KeyChangeForged {
        /// Which record.
        seq: u64,
    },
    /// Records are missing at the end.
    #[error("{committed} records were promised, and only {came} came")]
    Short {
        /// Up to where there should be records.
        committed: u64,
        /// Up to where there are.
        came: u64,
    },
    /// Whoever handed the records out says another hash.
    #[error("the chain's hash at record {seq} is another than was promised")]
    OtherHead {
        /// At the end.
        seq: u64,
    },
    /// It goes on from a stream that nobody has.
    #[error("the stream goes on from stream {parent}, of which nothing is there")]
    ParentUnknown {
        /// Which stream.
        parent: StreamId,
    },
    /// The place in the parent is another, or not there.
    #[error("the stream goes on from record {seq} of stream {parent}, which has another there")]
    ParentPlace {
        /// Which stream.
        parent: StreamId,
        /// Which record of it.
        seq: u64,
    },
    /// A part beside a record is not the one that the record vouches for.
    #[error("the part that stands beside record {seq} is not the one that the record names")]
    Detached {
        /// Which record.
        seq: u64,
    },
    /// Evidence without anything about the parcel.
    #[error("no record of the run is about the parcel")]
    NothingAbout,
    /// No seal stands for what is told of the parcel.
    #[error("no seal stands for record {seq}, the last about the parcel")]
    NotSealed {
        /// Which record.
        seq: u64,
    },
}

/// A seal that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The record that it is.
    pub seq: u64,
    /// The last record that it stands for.
    pub upto: u64,
    /// SHA-256 of the signing key's SubjectPublicKeyInfo.
    pub key: [u8; 32],
    /// When the last record that it stands for was written, by the bank's clock. The time of the seal's own record is
    /// signed by nobody.
    pub at: UnixMillis,
    /// How far that can be relied on.
    pub quality: TimeQuality,
}

/// What was found out about a stream.
#[derive(Clone, Debug)]
pub struct StreamReport {
    /// Which stream.
    pub stream: StreamId,
    /// The first record that was looked at.
    pub first: u64,
    /// The last one, and the chain's hash there.
    pub head: Place,
    /// The first record of the stream, if it was among them.
    pub opened: Option<StreamOpened>,
    /// The chain's hash at the places that were asked for.
    pub places: BTreeMap<u64, ChainHash>,
    /// Seals that hold.
    pub seals: u64,
    /// Of these, those whose state was folded here and is the same.
    pub compared: u64,
    /// The last seal that holds in an unbroken chain.
    pub sealed: Option<Seal>,
    /// Which keys signed, and when the last record before the first seal of each was written.
    pub signers: BTreeMap<[u8; 32], UnixMillis>,
    /// Records that a newer agent wrote and this version cannot read; the chain covers them.
    pub unread: u64,
    /// What does not hold, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more_findings: u64,
}

impl StreamReport {
    /// The last record that a seal stands for; the one before the first if none does.
    #[must_use]
    pub fn sealed_upto(&self) -> u64 {
        self.sealed.map_or(self.first.saturating_sub(1), |seal| seal.upto)
    }

    /// Records behind the last seal: nothing stands for them yet.
    #[must_use]
    pub fn unsealed(&self) -> u64 {
        let last = self.sealed.map_or(self.first.saturating_sub(1), |seal| seal.seq);
        self.head.seq.saturating_sub(last)
    }

    /// Notes what does not hold.
    pub fn find(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }
}

/// Where looking begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The first record.
    pub first: u64,
    /// The chain's hash before it, as whoever hands the records out says.
    pub previous: ChainHash,
}

impl Start {
    /// At the stream's first record.
    pub const BEGINNING: Self = Self { first: 1, previous: CHAIN_START };
}

/// Looks at the records of a stream, one after the other.
#[derive(Debug)]
pub struct StreamCheck<'a> {
    bank: &'a BankId,
    keys: &'a [DeviceKey],
    wanted: BTreeSet<u64>,
    next: u64,
    hash: ChainHash,
    /// What the records add up to; none if they were not all there or could not all be read.
    state: Option<MemoryView>,
    /// The device key in use, as the stream says, or as the first seal shows.
    named: Option<[u8; 32]>,
    /// The time of the record before.
    before: Option<(UnixMillis, TimeQuality)>,
    is_broken: bool,
    report: StreamReport,
}

impl<'a> StreamCheck<'a> {
    /// Begins. `keys` are all that signatures are held against; the hash after each of the records `wanted` is noted.
    #[must_use]
    pub fn new(
        bank: &'a BankId,
        stream: StreamId,
        start: Start,
        keys: &'a [DeviceKey],
        wanted: BTreeSet<u64>,
    ) -> Self {
        let Start { first, previous } = start;
        let report = StreamReport {
            stream,
            first,
            head: Place { seq: first.saturating_sub(1), hash: previous },
            opened: None,
            places: BTreeMap::new(),
            seals: 0,
            compared: 0,
            sealed: None,
            signers: BTreeMap::new(),
            unread: 0,
            findings: Vec::new(),
            more_findings: 0,
        };
        Self {
            bank,
            keys,
            wanted,
            next: first,
            hash: previous,
            state: (start == Start::BEGINNING).then(MemoryView::default),
            named: None,
            before: None,
            is_broken: false,
            report,
        }
    }

    /// Looks at the next record; gives its meaning, if it has one here.
    pub fn record(&mut self, bytes: &[u8]) -> Option<Record> {
        let seq = self.next;
        let record = match decode_record(bytes) {
            Ok(record) => Some(record),
            Err(error) if error.may_be_newer() => {
                self.report.unread += 1;
                self.state = None;
                None
            }
            Err(_) => {
                self.breaks(Finding::Malformed { seq });
                None
            }
        };
        if let Some(record) = &record {
            self.place(record);
            self.opening(record);
            self.key_change(record);
            self.seal(record);
            self.before = Some((record.at, record.quality));
            if let Some(view) = &mut self.state {
                let changes = fold(view, record);
                view.apply(changes);
            }
        } else if seq == 1 {
            self.breaks(Finding::NotOpened);
        }
        // What follows may be of one piece again: one break is said once.
        let before = record.as_ref().map_or(self.hash, |record| record.previous);
        self.hash = next_hash(before, bytes);
        let last = record.as_ref().map_or(seq, |record| record.seq);
        self.report.head = Place { seq: last, hash: self.hash };
        if self.wanted.contains(&last) {
            self.report.places.insert(last, self.hash);
        }
        self.next = last.saturating_add(1);
        record
    }

    /// What was found out.
    #[must_use]
    pub fn end(self) -> StreamReport {
        self.report
    }

    /// As [`Self::end`], for a stream that should end at `promised`.
    #[must_use]
    pub fn end_at(mut self, promised: Place) -> StreamReport {
        let head = self.report.head;
        if head.seq < promised.seq {
            self.report.find(Finding::Short { committed: promised.seq, came: head.seq });
        } else if head.seq == promised.seq && head.hash != promised.hash {
            self.report.find(Finding::OtherHead { seq: head.seq });
        }
        self.report
    }

    fn breaks(&mut self, finding: Finding) {
        self.is_broken = true;
        self.state = None;
        self.report.find(finding);
    }

    fn place(&mut self, record: &Record) {
        let expected = self.next;
        if record.seq != expected {
            self.breaks(Finding::Sequence { expected, says: record.seq });
        } else if record.previous != self.hash {
            self.breaks(Finding::Chain { seq: expected });
        }
        if record.stream != self.report.stream {
            self.breaks(Finding::OtherStream { seq: expected });
        }
    }

    fn opening(&mut self, record: &Record) {
        let is_first = self.next == 1;
        let Fact::StreamOpened(opened) = &record.fact else {
            if is_first {
                self.breaks(Finding::NotOpened);
            }
            return;
        };
        if !is_first {
            self.report.find(Finding::OpenedAgain { seq: record.seq });
            return;
        }
        if opened.bank != *self.bank {
            self.report.find(Finding::OtherBank { says: opened.bank.clone() });
        }
        self.use_key(opened.device_key);
        self.report.opened = Some(opened.clone());
    }

    fn use_key(&mut self, key: [u8; 32]) {
        self.named = Some(key);
        if self.keys.iter().all(|known| known.hash != key) {
            self.report.find(Finding::UnknownKey { key });
        }
    }

    fn key_change(&mut self, record: &Record) {
        let Fact::KeyChanged(changed) = &record.fact else { return };
        let KeyChanged { old, new, signature } = changed;
        let seq = record.seq;
        match old.zip(*signature) {
            None => self.report.find(Finding::KeyChangedUnsigned { seq }),
            Some((old, signature)) => {
                let message = changed.signed_bytes(record.stream, seq);
                let is_in_use = self.named.is_none_or(|named| named == old);
                let key = self.keys.iter().find(|key| key.hash == old).filter(|_| is_in_use);
                if !key.is_some_and(|key| holds(key, &message, &signature)) {
                    self.report.find(Finding::KeyChangeForged { seq });
                }
            }
        }
        self.use_key(*new);
    }

    fn seal(&mut self, record: &Record) {
        let Fact::Sealed(sealed) = &record.fact else { return };
        let ours = |view: &MemoryView| (FOLD_VERSION, seal::projection(view));
        let state = self.state.as_ref().filter(|_| sealed.fold_version == FOLD_VERSION).map(ours);
        let mut signer = None;
        let checked = seal::check(record, sealed, state, |message, signature| {
            let mut in_use =
                self.keys.iter().filter(|key| self.named.is_none_or(|named| named == key.hash));
            signer = in_use.find(|key| holds(key, message, signature)).map(|key| key.hash);
            signer.is_some()
        });
        match (checked, signer) {
            (Ok(check), Some(key)) => self.sealed(record, sealed, check, key),
            // Said once already, and it is no word against the seal.
            (Err(SealError::Signature { .. }), _) if self.lacks_key() => {}
            (Err(error), _) => self.report.find(Finding::Seal(error)),
            (Ok(_), None) => {
                self.report.find(Finding::Seal(SealError::Signature { seq: record.seq }));
            }
        }
    }

    fn sealed(&mut self, record: &Record, sealed: &Sealed, check: StateCheck, key: [u8; 32]) {
        self.named = Some(key);
        self.report.seals += 1;
        self.report.compared += u64::from(check == StateCheck::Same);
        let (at, quality) = self.before.unwrap_or((record.at, record.quality));
        self.report.signers.entry(key).or_insert(at);
        if !self.is_broken {
            let seq = record.seq;
            self.report.sealed = Some(Seal { seq, upto: sealed.upto, key, at, quality });
        }
    }

    /// Whether the key in use was said to be unknown.
    fn lacks_key(&self) -> bool {
        self.named.is_some_and(|named| self.keys.iter().all(|key| key.hash != named))
    }
}

/// Holds each stream's word on what it goes on from against the streams before it.
pub fn check_parents(reports: &mut [StreamReport]) {
    for at in 0..reports.len() {
        let parent = reports[at].opened.as_ref().and_then(|opened| opened.parent);
        let Some(parent) = parent else { continue };
        let known = reports[..at].iter().find(|report| report.stream == parent.stream);
        let finding = match (known, parent.common) {
            (None, _) => Some(Finding::ParentUnknown { parent: parent.stream }),
            (Some(_), None) => None,
            (Some(known), Some(Place { seq, hash })) => {
                let held =
                    if seq == 0 { Some(CHAIN_START) } else { known.places.get(&seq).copied() };
                (held != Some(hash)).then_some(Finding::ParentPlace { parent: parent.stream, seq })
            }
        };
        if let Some(finding) = finding {
            reports[at].find(finding);
        }
    }
}

fn holds(key: &DeviceKey, message: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.point).verify(message, signature).is_ok()
}
