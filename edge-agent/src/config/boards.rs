//! The ports and the lock boards of a bank, as a technician writes them down.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use crate::board::{
    Backoff, BoardAddr, BoardConfig, BusConfig, BusTiming, CheckBusError, Echo, LineConfig,
    LockConfig, LockIndex, Polarity, PollForm, PortConfig, Profile,
};

/// A port and the boards behind it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortAndBoards {
    pub port: PortConfig,
    /// The family of the boards.
    #[serde(default)]
    pub profile: Profile,
    /// Whether the adapter gives back what it is sent.
    #[serde(default)]
    pub echo: Echo,
    pub boards: Vec<Board>,
    #[serde(default)]
    pub timing: BusTiming,
}

/// One lock board.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Its selector; unique in the whole bank, since layouts name locks by it.
    pub addr: BoardAddr,
    /// How many locks are wired, from lock 0 on.
    pub locks: u8,
    /// What a hook bit means.
    pub polarity: BoardPolarity,
    /// Locks whose switch is of the other kind.
    #[serde(default)]
    pub inverted: Vec<LockIndex>,
    /// The form of poll of a CU48; a CU16 has only one.
    #[serde(default)]
    pub poll: PollForm,
}

/// What the hook bits of a board mean: written down, or found by `edge-agent commission`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "PolarityName")]
pub enum BoardPolarity {
    /// 1 is locked.
    OneIsLocked,
    /// 0 is locked.
    ZeroIsLocked,
    /// Each lock's own, as found by commissioning; nothing before that.
    Learned(BTreeMap<LockIndex, Polarity>),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PolarityName {
    OneIsLocked,
    ZeroIsLocked,
    Learned,
}

impl From<PolarityName> for BoardPolarity {
    fn from(name: PolarityName) -> Self {
        match name {
            PolarityName::OneIsLocked => Self::OneIsLocked,
            PolarityName::ZeroIsLocked => Self::ZeroIsLocked,
            PolarityName::Learned => Self::Learned(BTreeMap::new()),
        }
    }
}

impl PortAndBoards {
    /// As the bus wants it; without jitter, which the start-up code adds. A lock whose polarity is not
    /// known is left out: it cannot be opened, and its sensor says nothing.
    #[must_use]
    pub fn bus_config(&self) -> BusConfig {
        self.with_locks(|board| {
            let known = |index| Some(LockConfig { index, polarity: board.polarity_of(index)? });
            board.wired().filter_map(known).collect()
        })
    }

    /// For commissioning: every hook bit of every board as it is, wired or not.
    pub(crate) fn raw_bus_config(&self) -> BusConfig {
        self.with_locks(|_| LockIndex::first(self.profile.locks()).map(raw).collect())
    }

    /// What is wrong with these boards, beside what is wrong between ports.
    pub(super) fn check(&self) -> Result<(), CheckBusError> {
        self.with_locks(|board| board.wired().map(raw).collect()).check()
    }

    /// The key that is wrong, and what was expected.
    pub(super) fn mistake(&self) -> Option<(&'static str, String)> {
        let most = self.profile.locks();
        self.boards.iter().find_map(|board| {
            if board.locks > most {
                Some(("bus.boards.locks", format!("must be at most {most} with this profile")))
            } else if board.inverted.iter().any(|lock| lock.get() >= board.locks) {
                Some(("bus.boards.inverted", "must be among the wired locks".to_owned()))
            } else if matches!(board.polarity, BoardPolarity::Learned(_))
                && !board.inverted.is_empty()
            {
                let expected = "must be left out where polarity is learned".to_owned();
                Some(("bus.boards.inverted", expected))
            } else {
                None
            }
        })
    }

    fn with_locks(&self, locks: impl Fn(&Board) -> Vec<LockConfig>) -> BusConfig {
        let board =
            |board: &Board| BoardConfig { addr: board.addr, locks: locks(board), poll: board.poll };
        BusConfig {
            port: self.port.clone(),
            boards: self.boards.iter().map(board).collect(),
            line: LineConfig { profile: self.profile, echo: self.echo },
            timing: self.timing.clone(),
            backoff: Backoff::default(),
        }
    }
}

impl Board {
    /// The locks that are wired.
    pub(crate) fn wired(&self) -> impl Iterator<Item = LockIndex> + use<> {
        LockIndex::first(self.locks)
    }

    /// What the hook bit of a lock means, if that is known.
    #[must_use]
    pub fn polarity_of(&self, lock: LockIndex) -> Option<Polarity> {
        match (&self.polarity, self.inverted.contains(&lock)) {
            (BoardPolarity::OneIsLocked, false) | (BoardPolarity::ZeroIsLocked, true) => {
                Some(Polarity::OneIsLocked)
            }
            (BoardPolarity::ZeroIsLocked, false) | (BoardPolarity::OneIsLocked, true) => {
                Some(Polarity::ZeroIsLocked)
            }
            (BoardPolarity::Learned(found), _) => found.get(&lock).copied(),
        }
    }
}

/// Whether all boards of a bank have addresses of their own.
pub(super) fn addrs_are_unique(ports: &[PortAndBoards]) -> bool {
    let mut seen = HashSet::new();
    ports.iter().flat_map(|port| &port.boards).all(|board| seen.insert(board.addr))
}

const fn raw(index: LockIndex) -> LockConfig {
    LockConfig { index, polarity: Polarity::OneIsLocked }
}
