//! Resource names, there and back: `carriers/{carrier}/parcels/{parcel}`, `banks/{bank}`.

use std::str::FromStr;

use locker_core::ids::{BankId, CarrierId};

/// Longest name that a carrier may give a parcel, in bytes (RFC 1123 labels).
const PARCEL_ID_MAX_BYTES: usize = 63;

/// A carrier's parcel, by the carrier's own name for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParcelName {
    pub(super) carrier: CarrierId,
    pub(super) parcel: String,
}

/// What is expected where a name is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub(super) struct NameError(&'static str);

pub(super) fn bank(name: &str) -> Result<BankId, NameError> {
    after(name, "banks/", "`banks/{bank}`")
}

pub(super) fn carrier(name: &str) -> Result<CarrierId, NameError> {
    after(name, "carriers/", "`carriers/{carrier}`")
}

pub(super) fn parcel(name: &str) -> Result<ParcelName, NameError> {
    let wrong = NameError("`carriers/{carrier}/parcels/{parcel}`");
    let (carrier, parcel) = name
        .strip_prefix("carriers/")
        .and_then(|rest| rest.split_once("/parcels/"))
        .ok_or(wrong)?;
    let carrier = carrier.parse().map_err(|_| wrong)?;
    Ok(ParcelName { carrier, parcel: parcel_id(parcel)? })
}

pub(super) fn parcel_id(text: &str) -> Result<String, NameError> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=PARCEL_ID_MAX_BYTES).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-');
    let wrong = NameError("lower-case letters, digits and inner hyphens, 1 to 63");
    if fits { Ok(text.to_owned()) } else { Err(wrong) }
}

pub(super) fn of_bank(id: &BankId) -> String {
    format!("banks/{id}")
}

pub(super) fn of_carrier(id: &CarrierId) -> String {
    format!("carriers/{id}")
}

pub(super) fn of_parcel(carrier: &CarrierId, parcel: &str) -> String {
    format!("carriers/{carrier}/parcels/{parcel}")
}

fn after<T: FromStr>(name: &str, prefix: &str, expected: &'static str) -> Result<T, NameError> {
    let id = name.strip_prefix(prefix).and_then(|id| id.parse().ok());
    id.ok_or(NameError(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        assert_eq!(of_bank(&bank("banks/b-1").unwrap()), "banks/b-1");
        let name = parcel("carriers/acme/parcels/p-1").unwrap();
        assert_eq!(of_parcel(&name.carrier, &name.parcel), "carriers/acme/parcels/p-1");
    }

    #[test]
    fn what_is_no_name_says_what_is_expected() {
        for text in ["", "banks/", "banks/A", "bank/b", "banks/b/c", "banks/-b", "carriers/b"] {
            assert_eq!(bank(text).unwrap_err().to_string(), "expected `banks/{bank}`", "{text}");
        }
        for text in
            ["", "carriers/a", "carriers/a/parcels/", "carriers//parcels/p", "carriers/a/parcels/P"]
        {
            assert!(parcel(text).is_err(), "{text}");
        }
        assert!(parcel_id(&"p".repeat(64)).is_err());
        assert!(parcel_id(&"p".repeat(63)).is_ok());
    }
}
