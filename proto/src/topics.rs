//! The MQTT topics between banks and the hub: `lk/{shard}/{bank}/up/{kind}` and `lk/{shard}/{bank}/down/{kind}`.
//!
//! The shard is a function of the bank's name. A topic whose shard does not fit is refused, so that each bank has exactly
//! one place and nothing can be said past the hub replica that owns it.

use locker_core::ids::{BankId, ParseIdError};
use thiserror::Error;

/// What every topic begins with.
const ROOT: &str = "lk";

/// What a bank tells the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpTopic {
    Birth,
    Facts,
    Telemetry,
    Presence,
}

/// What the hub tells a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DownTopic {
    Ack,
    Grants,
    Config,
    Command,
    Restore,
}

/// Why a topic is none of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseTopicError {
    #[error("a topic is `lk/(shard)/(bank)/(up or down)/(kind)`")]
    Shape,
    #[error("the topic's bank is not a name")]
    Bank(#[source] ParseIdError),
    #[error("the topic's shard is not that of its bank")]
    Shard,
    #[error("the topic's direction or kind is not known")]
    Kind,
}

impl UpTopic {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Birth, Self::Facts, Self::Telemetry, Self::Presence];

    /// The topic's last segment.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Birth => "birth",
            Self::Facts => "facts",
            Self::Telemetry => "telemetry",
            Self::Presence => "presence",
        }
    }

    /// The topic of `bank`.
    #[must_use]
    pub fn of(self, bank: &BankId) -> String {
        format!("{ROOT}/{}/{bank}/up/{}", bank.shard(), self.as_str())
    }

    /// Whose topic `text` is, and which.
    ///
    /// # Errors
    ///
    /// It is none of ours, or not one on which banks speak.
    pub fn parse(text: &str) -> Result<(BankId, Self), ParseTopicError> {
        let (bank, kind) = split(text, "up")?;
        let kind = Self::ALL.into_iter().find(|known| known.as_str() == kind);
        Ok((bank, kind.ok_or(ParseTopicError::Kind)?))
    }
}

impl DownTopic {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Ack, Self::Grants, Self::Config, Self::Command, Self::Restore];

    /// The topic's last segment.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Grants => "grants",
            Self::Config => "config",
            Self::Command => "command",
            Self::Restore => "restore",
        }
    }

    /// The topic of `bank`.
    #[must_use]
    pub fn of(self, bank: &BankId) -> String {
        format!("{ROOT}/{}/{bank}/down/{}", bank.shard(), self.as_str())
    }

    /// Whose topic `text` is, and which.
    ///
    /// # Errors
    ///
    /// It is none of ours, or not one on which the hub speaks.
    pub fn parse(text: &str) -> Result<(BankId, Self), ParseTopicError> {
        let (bank, kind) = split(text, "down")?;
        let kind = Self::ALL.into_iter().find(|known| known.as_str() == kind);
        Ok((bank, kind.ok_or(ParseTopicError::Kind)?))
    }
}

/// What a bank subscribes to: all that the hub tells it, and nothing else.
#[must_use]
pub fn down_filter(bank: &BankId) -> String {
    format!("{ROOT}/{}/{bank}/down/+", bank.shard())
}

fn split<'a>(text: &'a str, direction: &str) -> Result<(BankId, &'a str), ParseTopicError> {
    let mut parts = text.split('/');
    let mut next = || parts.next().ok_or(ParseTopicError::Shape);
    let (root, shard, bank, found, kind) = (next()?, next()?, next()?, next()?, next()?);
    if root != ROOT || parts.next().is_some() {
        return Err(ParseTopicError::Shape);
    }
    let bank: BankId = bank.parse().map_err(ParseTopicError::Bank)?;
    if bank.shard() != shard {
        return Err(ParseTopicError::Shard);
    }
    if found == direction { Ok((bank, kind)) } else { Err(ParseTopicError::Kind) }
}
