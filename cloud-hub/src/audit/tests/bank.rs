//! A bank with a device key of its own, whose journal tests may meddle with.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use locker_core::clock::TimeQuality;
use locker_core::fact::Fact;
use locker_core::ids::{BankId, BootId, StreamId};
use locker_core::journal::{
    Booted, CHAIN_START, ChainHash, FOLD_VERSION, MemoryView, Parent, Record, Sealed, StreamOpened,
    fold, next_hash, seal,
};
use locker_core::units::UnixMillis;
use locker_proto::record::{decode_record, encode_record};

use crate::tls::DeviceKey;

pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

pub(crate) fn bank_id() -> BankId {
    "bank-1".parse().unwrap()
}

/// A device key.
pub(crate) struct Device(EcdsaKeyPair);

impl Device {
    pub(crate) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// The key of a PEM file with a PKCS#8 key.
    pub(crate) fn of_pem(text: &[u8]) -> Self {
        let (_, pem) = x509_parser::pem::parse_x509_pem(text).unwrap();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        Self(EcdsaKeyPair::from_pkcs8(algorithm, &pem.contents).unwrap())
    }

    pub(crate) fn key(&self) -> DeviceKey {
        let point = self.0.public_key().as_ref().try_into().unwrap();
        DeviceKey::of_spki(&DeviceKey { hash: [0; 32], point }.spki()).unwrap()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(&SystemRandom::new(), message).unwrap().as_ref().try_into().unwrap()
    }
}

/// A journal as its bank wrote it.
#[derive(Clone)]
pub(crate) struct Journal {
    pub(crate) stream: StreamId,
    pub(crate) records: Vec<Vec<u8>>,
    /// The hash after each record; the first is before all.
    pub(crate) hashes: Vec<ChainHash>,
    pub(crate) at: UnixMillis,
}

impl Journal {
    pub(crate) fn opened(stream: u8, device: &Device, parent: Option<Parent>) -> Self {
        let (stream, hashes) = (StreamId([stream; 16]), vec![CHAIN_START]);
        let mut journal = Self { stream, records: Vec::new(), hashes, at: NOW };
        let device_key = device.key().hash;
        journal.append(Fact::StreamOpened(StreamOpened { bank: bank_id(), device_key, parent }));
        let (boot, agent_version) = (BootId([1; 16]), "0.1.0".to_owned());
        journal.append(Fact::Booted(Booted { boot, boot_count: 1, agent_version }));
        journal
    }

    pub(crate) fn head(&self) -> u64 {
        self.records.len() as u64
    }

    pub(crate) fn hash(&self) -> ChainHash {
        *self.hashes.last().unwrap()
    }

    pub(crate) fn append(&mut self, fact: Fact) {
        self.append_with(fact, None);
    }

    pub(crate) fn append_with(&mut self, fact: Fact, detached: Option<ChainHash>) {
        let seq = self.head() + 1;
        let record = Record {
            stream: self.stream,
            seq,
            boot: BootId([1; 16]),
            at: self.at.plus_ms(seq),
            quality: TimeQuality::Bounded { within_ms: 100 },
            previous: self.hash(),
            trace: None,
            detached,
            fact,
        };
        let bytes = encode_record(&record);
        self.hashes.push(next_hash(self.hash(), &bytes));
        self.records.push(bytes);
    }

    /// A seal; `meddle` changes it before it is signed.
    pub(crate) fn seal(&mut self, device: &Device, meddle: impl FnOnce(&mut Sealed)) {
        let mut view = MemoryView::default();
        for bytes in &self.records {
            if let Ok(record) = decode_record(bytes) {
                view.apply(fold(&view, &record));
            }
        }
        let mut sealed = Sealed {
            upto: self.head(),
            hash: self.hash(),
            fold_version: FOLD_VERSION,
            projection: seal::projection(&view),
            signature: [0; 64],
        };
        meddle(&mut sealed);
        sealed.signature = device.sign(&sealed.signed_bytes(self.stream));
        self.append(Fact::Sealed(sealed));
    }
}
