//! Which banks an operator may listen to, and whether a filter keeps to them: pure rules.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use locker_core::ids::BankId;

use super::queue::Kind;

/// What every topic of the lane begins with.
const ROOT: &str = "lk";
/// Levels of every topic of the lane: root, shard, bank, and two for what it is.
const LEVELS: usize = 5;
/// Longest filter that can name a topic of the lane, in bytes, with room to spare.
const FILTER_BYTES_MAX: usize = 96;

/// The banks of one operator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorBanks(Vec<BankPattern>);

impl OperatorBanks {
    /// All banks that any of the patterns takes in.
    #[must_use]
    pub fn new(patterns: impl IntoIterator<Item = BankPattern>) -> Self {
        Self(patterns.into_iter().collect())
    }

    /// Whether the filter can match topics of these banks only, and matches some of the lane's.
    ///
    /// It is held against the operator's banks level by level. A wildcard in the bank's place takes
    /// in banks that may not be his, so only whoever has all banks may use it there. In the other
    /// places wildcards are free: below a bank there is nothing on the lane that is not for him.
    ///
    /// # Errors
    /// When it reaches further, or nowhere.
    pub fn check(&self, filter: &str) -> Result<(), FilterRefusal> {
        if filter.len() > FILTER_BYTES_MAX || !filter.is_ascii() {
            return Err(FilterRefusal::Malformed);
        }
        let mut levels: Vec<&str> = filter.split('/').collect();
        let open_ended = levels.last() == Some(&"#");
        if open_ended {
            levels.pop();
        }
        let fits = if open_ended { levels.len() < LEVELS } else { levels.len() == LEVELS };
        if levels.iter().any(|level| level.contains('#') || is_mixed(level)) {
            return Err(FilterRefusal::Malformed);
        }
        if !fits || levels.first() != Some(&ROOT) {
            return Err(FilterRefusal::OffTheLane);
        }
        let level = |at: usize| levels.get(at).copied().unwrap_or("+");
        self.check_bank(level(1), level(2))?;
        let kinds = Kind::ALL.map(Kind::levels);
        let reaches = |[first, second]: &[&str; 2]| {
            (level(3) == "+" || level(3) == *first) && (level(4) == "+" || level(4) == *second)
        };
        if kinds.iter().any(reaches) { Ok(()) } else { Err(FilterRefusal::OffTheLane) }
    }

    fn check_bank(&self, shard: &str, bank: &str) -> Result<(), FilterRefusal> {
        let is_shard = |text: &str| text.len() == 2 && text.bytes().all(is_lower_hex);
        if shard != "+" && !is_shard(shard) {
            return Err(FilterRefusal::OffTheLane);
        }
        if bank == "+" {
            let has_all = self.0.contains(&BankPattern::All);
            return if has_all { Ok(()) } else { Err(FilterRefusal::OtherBanks) };
        }
        let bank: BankId = bank.parse().map_err(|_| FilterRefusal::OffTheLane)?;
        if !self.0.iter().any(|pattern| pattern.takes_in(&bank)) {
            return Err(FilterRefusal::OtherBanks);
        }
        if shard == "+" || shard == bank.shard() { Ok(()) } else { Err(FilterRefusal::OffTheLane) }
    }
}

const fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'a'..=b'f')
}

/// A wildcard must be the whole level (OASIS MQTT 3.1.1, section 4.7.1.3).
fn is_mixed(level: &str) -> bool {
    level.len() > 1 && level.contains('+')
}

/// One bank, all whose names begin alike, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BankPattern {
    /// `*`
    All,
    /// `berlin-*`
    Prefix(Box<str>),
    /// `berlin-07`
    One(BankId),
}

impl BankPattern {
    fn takes_in(&self, bank: &BankId) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => bank.as_str().starts_with(&**prefix),
            Self::One(one) => one == bank,
        }
    }
}

impl FromStr for BankPattern {
    type Err = ParseBankPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_suffix('*') {
            Some("") => Ok(Self::All),
            Some(prefix) => {
                // What stands for a name's beginning must be able to begin one.
                let probe: Result<BankId, _> = format!("{prefix}0").parse();
                probe.map(|_| Self::Prefix(prefix.into())).map_err(|_| ParseBankPatternError)
            }
            None => text.parse().map(Self::One).map_err(|_| ParseBankPatternError),
        }
    }
}

impl fmt::Display for BankPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::One(bank) => bank.fmt(f),
        }
    }
}

/// Text that names no banks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a bank's name, the beginning of one with `*` after it, or `*`")]
pub struct ParseBankPatternError;

/// Why a filter is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FilterRefusal {
    /// No filter of MQTT, or longer than any that could match.
    #[error("filter is malformed")]
    Malformed,
    /// It matches nothing that the lane carries.
    #[error("filter matches nothing on the live lane")]
    OffTheLane,
    /// It matches topics of banks that are not this operator's.
    #[error("filter reaches beyond the operator's banks")]
    OtherBanks,
    /// The session has as many filters as it may have.
    #[error("too many filters")]
    TooMany,
}

/// The filters of one session, without doubles.
pub(super) type Filters = BTreeSet<String>;

#[cfg(test)]
mod tests;
