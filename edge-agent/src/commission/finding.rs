//! What can be wrong with a locker, in words for the person who wired it.

use std::fmt;

use thiserror::Error;

use super::bench::At;
use crate::board::{NotSentReason, Polarity};

/// One thing that is wrong. Locks are counted from 0, as in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Finding {
    #[error("{}: the pulse was not sent ({reason:?})", Place(*.at))]
    NotSent { at: At, reason: NotSentReason },
    #[error(
        "{}: no sensor of the bank moved. If the door did open, its sensor is not connected; if not, \
         its lock is not, or the door jams, or the locks have no power",
        Place(*.at)
    )]
    NoSensor { at: At },
    #[error(
        "{}: the sensor of {} moved instead of its own. Their sensors, or their locks, are swapped, or \
         two boards have one address",
        Place(*.at), Place(*.moved)
    )]
    OtherSensor { at: At, moved: At },
    #[error(
        "{}: {} sensors moved for one pulse: {}. Two boards with one address do that, and so do \
         neighbouring doors that pop open together",
        Place(*.at), .moved.len(), Places(.moved)
    )]
    SeveralSensors { at: At, moved: Vec<At> },
    #[error(
        "{}: one sensor moved, but not this one door opened. If two doors opened, two boards have one \
         address; if another did, locks and sensors are swapped in pairs or the doors are mislabelled",
        Place(*.at)
    )]
    OtherDoor { at: At },
    #[error(
        "{}: its sensor reads the other way round than the configuration says: it is {}",
        Place(*.at), in_config(*.found)
    )]
    OtherPolarity { at: At, found: Polarity },
    #[error("{}: its sensor did not return when the door was shut", Place(*.at))]
    NotShut { at: At },
}

impl Finding {
    const fn at(&self) -> At {
        match self {
            Self::NotSent { at, .. }
            | Self::NoSensor { at }
            | Self::OtherSensor { at, .. }
            | Self::SeveralSensors { at, .. }
            | Self::OtherDoor { at }
            | Self::OtherPolarity { at, .. }
            | Self::NotShut { at } => *at,
        }
    }
}

/// Everything that is wrong: at most two a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub(super) fn about(&self, at: At) -> Option<&Finding> {
        self.0.iter().find(|finding| finding.at() == at)
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong, in the order it was found.
    #[must_use]
    pub fn all(&self) -> &[Finding] {
        &self.0
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, finding) in (1..).zip(&self.0) {
            writeln!(f, "{number:>4}. {finding}")?;
        }
        Ok(())
    }
}

struct Place(At);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lock {} of board {}", self.0.1.get(), self.0.0.get())
    }
}

struct Places<'a>(&'a [At]);

impl fmt::Display for Places<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, at) in self.0.iter().enumerate() {
            write!(f, "{}{}", if number == 0 { "" } else { ", " }, Place(*at))?;
        }
        Ok(())
    }
}

const fn in_config(polarity: Polarity) -> &'static str {
    match polarity {
        Polarity::OneIsLocked => "one_is_locked",
        Polarity::ZeroIsLocked => "zero_is_locked",
    }
}
