//! The configuration of six-digit codes.

use std::path::PathBuf;

use locker_core::code::keypad_code::DAYS_MAX;
use serde::Deserialize;

use super::limits::row;
use crate::codes::sealing::SEALING_KEYS_MAX;

/// Longest time between two looks at all banks, in seconds: an hour.
const MINT_EVERY_MAX_S: u64 = 3_600;

/// Six-digit codes. `cloud-hub codes init` makes the files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Codes {
    /// The master secret, from which each bank's keys are derived.
    pub master_file: PathBuf,
    /// Seal the digits in the store: newest first, one to eight. An older one stays until the last
    /// code that it sealed may be used again, that is 30 days after the parcel has left.
    pub sealing: Vec<SealingKeyFile>,
    /// How many days a bank is to last without the hub; a parcel beyond its codes goes with its QR
    /// code alone.
    #[serde(default = "dark_days")]
    pub dark_days: u8,
    /// How often all banks are looked at, in seconds; busy ones are looked at in between.
    #[serde(default = "mint_every_s")]
    pub mint_every_s: u64,
}

/// A key that digits are sealed with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealingKeyFile {
    /// Its key id, which stands before what it has sealed.
    pub id: u8,
    /// The secret.
    pub file: PathBuf,
}

const fn dark_days() -> u8 {
    3
}

const fn mint_every_s() -> u64 {
    300
}

/// The first key with a value that cannot be used, and what is expected of it.
pub(super) fn check(codes: &Codes) -> Result<(), (String, String)> {
    if !(1..=SEALING_KEYS_MAX).contains(&codes.sealing.len()) {
        let expected = format!("1 to {SEALING_KEYS_MAX} keys, newest first");
        return Err(("codes.sealing".to_owned(), expected));
    }
    row("codes.dark_days", codes.dark_days, 1, DAYS_MAX.into()).check()?;
    row("codes.mint_every_s", codes.mint_every_s, 1, MINT_EVERY_MAX_S).check()
}
