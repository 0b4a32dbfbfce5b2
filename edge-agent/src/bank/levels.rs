//! What each lock last read, also of locks that no compartment is wired to yet.
//!
//! A bus tells the levels of a board once, when it comes on line. A layout may come later, and the
//! compartments it adds or rewires have doors too.

use std::collections::BTreeMap;

use locker_core::bank::Observation;
use locker_core::compartment::{Door, DoorReading, LockPosition};
use locker_core::journal::View;

/// The last believed reading of every lock on boards that answer.
#[derive(Debug, Default)]
pub(super) struct Levels(BTreeMap<LockPosition, DoorReading>);

impl Levels {
    /// Takes in what a board reports.
    pub(super) fn note(&mut self, observation: &Observation) {
        match observation {
            Observation::Door { lock, reading } => {
                self.0.insert(*lock, *reading);
            }
            Observation::Baseline { board, readings } => {
                self.forget(*board);
                let board = *board;
                let levels = readings.iter();
                self.0
                    .extend(levels.map(|&(lock, reading)| (LockPosition { board, lock }, reading)));
            }
            Observation::Board { board, online: false } => self.forget(*board),
            Observation::Board { online: true, .. }
            | Observation::SensorDoubt { .. }
            | Observation::BoardPower { .. }
            | Observation::PulseSettled { .. }
            | Observation::Power(_)
            | Observation::DeadlinePassed => {}
        }
    }

    /// The baselines that `view` lacks: of doors it does not know although their lock was read.
    pub(super) fn unread(&self, view: &impl View) -> Vec<Observation> {
        let mut boards: BTreeMap<u8, Vec<(u8, DoorReading)>> = BTreeMap::new();
        for held in view.compartments() {
            let LockPosition { board, lock } = held.spec.lock;
            if held.door == Door::Unknown
                && let Some(reading) = self.0.get(&held.spec.lock)
            {
                boards.entry(board).or_default().push((lock, *reading));
            }
        }
        let baseline = |(board, readings)| Observation::Baseline { board, readings };
        boards.into_iter().map(baseline).collect()
    }

    fn forget(&mut self, board: u8) {
        self.0.retain(|lock, _| lock.board != board);
    }
}
