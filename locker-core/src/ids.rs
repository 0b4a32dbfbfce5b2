//! Names of things. Each kind has its own type, so that a parcel cannot be passed for a session.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use thiserror::Error;

/// Longest name of a bank, carrier or operator, in bytes.
pub const NAME_MAX_BYTES: usize = 32;
/// Longest barcode we take from a scanner or a carrier, in bytes. GS1-128 allows 48 characters.
pub const BARCODE_MAX_BYTES: usize = 64;

/// Why a text is not a name, a barcode or an id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseIdError {
    #[error("a {kind} has 1 to {max} characters")]
    Length { kind: &'static str, max: usize },
    #[error("a {kind} is lower-case letters, digits and inner hyphens")]
    Grammar { kind: &'static str },
    #[error("a {kind} is printable ASCII without spaces")]
    NotPrintable { kind: &'static str },
    #[error("a {kind} is {bytes} bytes")]
    Bytes { kind: &'static str, bytes: usize },
    #[error("a trace parent is `00-<32 hex>-<16 hex>-<2 hex>`")]
    TraceParent,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_name($kind, text).map(Self)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A locker bank: one controller at one position. The name in its certificate.
    BankId,
    "bank id"
);
name!(
    /// A carrier or retailer: the tenant that owns a parcel.
    CarrierId,
    "carrier id"
);
name!(
    /// A person or programme that operates the fleet.
    OperatorId,
    "operator id"
);

impl BankId {
    /// Two hex digits that spread banks over topics and hub replicas: the first byte of
    /// SHA-256 of the name.
    #[must_use]
    pub fn shard(&self) -> String {
        let digest = Sha256::digest(self.0.as_bytes());
        format!("{:02x}", digest[0])
    }

    /// The four bytes that stand for this bank in a pickup token, where every byte costs QR
    /// modules. Two banks may share a tag: a token also names a 128-bit credential that only one
    /// bank holds.
    #[must_use]
    pub fn tag(&self) -> u32 {
        let digest = Sha256::new().chain_update(b"postern-bank:").chain_update(&self.0).finalize();
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }
}

fn parse_name(kind: &'static str, text: &str) -> Result<String, ParseIdError> {
    if text.is_empty() || text.len() > NAME_MAX_BYTES {
        return Err(ParseIdError::Length { kind, max: NAME_MAX_BYTES });
    }
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let ends_well = !text.starts_with('-') && !text.ends_with('-');
    if ends_well && text.bytes().all(inner) {
        Ok(text.to_owned())
    } else {
        Err(ParseIdError::Grammar { kind })
    }
}

macro_rules! id16 {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub [u8; 16]);

        impl TryFrom<&[u8]> for $type {
            type Error = ParseIdError;

            fn try_from(bytes: &[u8]) -> Result<Self, ParseIdError> {
                let bytes = bytes.try_into();
                bytes.map(Self).map_err(|_| ParseIdError::Bytes { kind: $kind, bytes: 16 })
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self)
            }
        }
    };
}

id16!(
    /// A parcel, named by the hub; the carrier's own name for it stays in the hub.
    ParcelId,
    "parcel id"
);
id16!(
    /// A person at the screen, from the first scan until they are done.
    SessionId,
    "session id"
);
id16!(
    /// A pickup authorisation: what a QR token names, instead of the parcel.
    CredentialId,
    "credential id"
);
id16!(
    /// One journal, from the making of its store on. A wiped store is another stream.
    StreamId,
    "stream id"
);
id16!(
    /// One run of the agent.
    BootId,
    "boot id"
);
id16!(
    /// Parcels at one bank for the same person, so that one code can open one after the other.
    GroupId,
    "group id"
);
id16!(
    /// One order of the hub to a bank, so that a repeated one is known.
    CommandId,
    "command id"
);

/// One hub store since it was created or restored: the Unix milliseconds of that moment, so that a
/// later epoch is a higher number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HubEpoch(pub u64);

/// A compartment's number as painted on its door, unique in its bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompartmentNo(pub u16);

impl fmt::Display for CompartmentNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The n-th pulse that this stream intended, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntentId(pub u64);

/// How often the hub has changed what a parcel's holders may do. A bank keeps the highest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32);

/// How often a whole configuration document of one kind has been issued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// What a scanner reads off a parcel's label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Barcode(String);

impl Barcode {
    /// The label's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Barcode {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if text.is_empty() || text.len() > BARCODE_MAX_BYTES {
            return Err(ParseIdError::Length { kind: "barcode", max: BARCODE_MAX_BYTES });
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ParseIdError::NotPrintable { kind: "barcode" });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Barcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A W3C `traceparent` of version 00, so that one trace spans announcement, deposit and pickup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(String);

impl TraceParent {
    /// The header's value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TraceParent {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let hex = |part: &str, digits: usize| {
            part.len() == digits
                && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        // The standard keeps all zeros for "no id".
        let names = |id: &str| id.bytes().any(|digit| digit != b'0');
        let parts: Vec<&str> = text.split('-').collect();
        match parts[..] {
            ["00", trace, span, flags]
                if hex(trace, 32)
                    && hex(span, 16)
                    && hex(flags, 2)
                    && names(trace)
                    && names(span) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(ParseIdError::TraceParent),
        }
    }
}

#[cfg(test)]
mod tests;
