//! What each command does to the bank.

use std::time::Duration;

use thiserror::Error;

use super::bank::{Held, SimBank};
use super::board::Selector;
use super::control::{Command, DoorFault, LineFault, LockName, ReplyFault};
use super::door::{Door, DoorFaults, Place};
use super::faults::{LineFaults, ReplyFaults};
use super::occurrence::What;
use super::profile::Profile;

/// Why a command cannot be carried out here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Refused {
    #[error("there is no board {board}; there are {}", list(.boards))]
    NoBoard { board: u8, boards: Vec<u8> },
    #[error("a {profile} board has no lock {lock}; its locks are 0 to {}", .profile.locks() - 1)]
    NoLock { lock: u8, profile: Profile },
    #[error("the door of {board}:{lock} is shut; open it first")]
    Shut { board: u8, lock: usize },
    #[error("{profile} boards have no infrared sensors")]
    NoInfrared { profile: Profile },
    #[error("a {profile} reply has {} bytes, so bits 0 to {}", .profile.reply_bytes(), .profile.reply_bytes() * 8 - 1)]
    BeyondReply { profile: Profile },
    #[error("OTHER has to be one lock, and not the same")]
    OneOther,
    #[error("a board does not clash with itself")]
    ClashWithItself,
}

impl SimBank {
    /// Carries a command out. Those that only ask change nothing here.
    pub(super) fn apply(&mut self, command: Command, now: Duration) -> Result<(), Refused> {
        self.advance(now);
        match command {
            Command::Open(locks) => self.move_doors(locks, true, now)?,
            Command::Close(locks) => self.move_doors(locks, false, now)?,
            Command::Pop(locks, after) => {
                for place in self.places(locks)? {
                    self.at(place).pops_at = Some(now + after);
                }
                self.advance(now);
            }
            Command::Visitor(locks, puts) => {
                for place in self.places(locks)? {
                    self.at(place).visitor_puts = puts;
                }
            }
            Command::Put(locks) => self.move_items(locks, true, now)?,
            Command::Take(locks) => self.move_items(locks, false, now)?,
            Command::Door(locks, fault) => self.break_doors(locks, fault)?,
            Command::Reply(board, fault) => self.spoil_replies(board, fault)?,
            Command::Line(fault) => self.spoil_line(fault),
            Command::Clash { board, other, both } => self.set_selector(board, other, both)?,
            Command::Reboot(board, down_for) => {
                for board in self.board_positions(board)? {
                    self.boards[board].reboot(down_for, now);
                }
            }
            Command::WeakSupply(down_for) => self.weak_supply = down_for,
            Command::Reset => self.reset(),
            Command::State | Command::Log(_) | Command::Help => {}
        }
        Ok(())
    }

    fn move_doors(&mut self, locks: LockName, open: bool, now: Duration) -> Result<(), Refused> {
        for place in self.places(locks)? {
            if let Some(what) = self.at(place).move_by_hand(open, now) {
                self.note(place, what, now);
            }
        }
        self.advance(now);
        Ok(())
    }

    fn move_items(&mut self, locks: LockName, put: bool, now: Duration) -> Result<(), Refused> {
        let places = self.places(locks)?;
        if let Some(shut) = places.iter().copied().find(|place| !self.at(*place).open) {
            return Err(Refused::Shut { board: self.boards[shut.board].addr, lock: shut.lock });
        }
        for place in places {
            if std::mem::replace(&mut self.at(place).item, put) != put {
                self.note(place, if put { What::Put } else { What::Taken }, now);
            }
        }
        Ok(())
    }

    fn break_doors(&mut self, locks: LockName, fault: DoorFault) -> Result<(), Refused> {
        let profile = self.config.profile;
        let mut other = None;
        match fault {
            DoorFault::InfraredStuck(_) if !profile.has_infrared() => {
                return Err(Refused::NoInfrared { profile });
            }
            DoorFault::Sympathetic(Some(name)) => match self.places(name)?.as_slice() {
                [place] => other = Some(*place),
                _ => return Err(Refused::OneOther),
            },
            DoorFault::Jam(_)
            | DoorFault::Crack(_)
            | DoorFault::Slow(_)
            | DoorFault::Sympathetic(None)
            | DoorFault::HookStuckOpen(_)
            | DoorFault::InfraredStuck(_)
            | DoorFault::Invert(_) => {}
        }
        let places = self.places(locks)?;
        if other.is_some_and(|other| places.contains(&other)) {
            return Err(Refused::OneOther);
        }
        for place in places {
            let faults = &mut self.at(place).faults;
            match fault {
                DoorFault::Jam(on) => faults.jammed = on,
                DoorFault::Crack(shut_after) => faults.crack = shut_after,
                DoorFault::Slow(open_after) => faults.slow = open_after,
                DoorFault::Sympathetic(_) => faults.sympathetic = other,
                DoorFault::HookStuckOpen(open) => faults.hook_stuck_open = open,
                DoorFault::InfraredStuck(full) => faults.infrared_stuck = full,
                DoorFault::Invert(on) => faults.inverted = on,
            }
        }
        Ok(())
    }

    fn spoil_replies(&mut self, board: Option<u8>, fault: ReplyFault) -> Result<(), Refused> {
        let profile = self.config.profile;
        let reply_bytes = profile.reply_bytes();
        let beyond = match fault {
            ReplyFault::Truncate(bytes) => bytes.is_some_and(|bytes| bytes > reply_bytes),
            ReplyFault::Flip(bit) => bit.is_some_and(|bit| bit >= reply_bytes * 8),
            ReplyFault::Mute(_)
            | ReplyFault::Late(_)
            | ReplyFault::Noise(_)
            | ReplyFault::Garbage(_) => false,
        };
        if beyond {
            return Err(Refused::BeyondReply { profile });
        }
        for board in self.board_positions(board)? {
            let faults = &mut self.boards[board].faults;
            match fault {
                ReplyFault::Mute(mute) => faults.mute = mute,
                ReplyFault::Late(late) => faults.late = late,
                ReplyFault::Truncate(bytes) => faults.truncate_bytes = bytes,
                ReplyFault::Flip(bit) => faults.flip_bit = bit,
                ReplyFault::Noise(bytes) => faults.noise_bytes = bytes,
                ReplyFault::Garbage(on) => faults.garbage = on,
            }
        }
        Ok(())
    }

    fn spoil_line(&mut self, fault: LineFault) {
        match fault {
            LineFault::Echo(on) => self.line.echo = on,
            LineFault::Stale(on) => {
                self.line.stale = on;
                self.held.stale.clear();
            }
            LineFault::Merge(on) => {
                self.line.merge = on;
                self.held.unmerged = None;
            }
            LineFault::Split(gap) => self.line.split = gap,
            LineFault::Babble(babble) => self.line.babble = babble,
            LineFault::HalfOpen(half_open) => self.line.half_open = half_open,
            LineFault::Unplug(out) => {
                self.line.unplugs += u64::from(out && !self.line.unplugged);
                self.line.unplugged = out;
            }
        }
    }

    fn set_selector(&mut self, board: u8, other: Option<u8>, both: bool) -> Result<(), Refused> {
        if other == Some(board) {
            return Err(Refused::ClashWithItself);
        }
        if other.is_some() {
            self.board_positions(other)?;
        }
        for position in self.board_positions(Some(board))? {
            self.boards[position].selector = match other {
                None => Selector::Own,
                Some(other) if both => Selector::Both(other),
                Some(other) => Selector::WrongBoard(other),
            };
        }
        Ok(())
    }

    fn reset(&mut self) {
        for board in &mut self.boards {
            board.faults = ReplyFaults::default();
            board.selector = Selector::Own;
            board.end_reboot();
            for door in &mut board.doors {
                door.faults = DoorFaults::default();
                door.pops_at = None;
            }
        }
        self.weak_supply = None;
        self.held = Held::default();
        self.line = LineFaults { unplugs: self.line.unplugs, ..LineFaults::default() };
    }

    fn places(&self, name: LockName) -> Result<Vec<Place>, Refused> {
        let profile = self.config.profile;
        let first = self.boards.first().map(|board| board.addr);
        let board = if name.lock.is_some() { name.board.or(first) } else { name.board };
        let locks = match name.lock {
            Some(lock) if lock >= profile.locks() => return Err(Refused::NoLock { lock, profile }),
            Some(lock) => lock..lock + 1,
            None => 0..profile.locks(),
        };
        let boards = self.board_positions(board)?.into_iter();
        let of = |board| locks.clone().map(move |lock| Place { board, lock: usize::from(lock) });
        Ok(boards.flat_map(of).collect())
    }

    fn board_positions(&self, named: Option<u8>) -> Result<Vec<usize>, Refused> {
        let is_meant = |(_, addr): &(usize, u8)| named.is_none_or(|named| named == *addr);
        let boards: Vec<u8> = self.boards.iter().map(|board| board.addr).collect();
        let found: Vec<usize> = boards
            .iter()
            .copied()
            .enumerate()
            .filter(is_meant)
            .map(|(position, _)| position)
            .collect();
        match named {
            Some(board) if found.is_empty() => Err(Refused::NoBoard { board, boards }),
            Some(_) | None => Ok(found),
        }
    }

    fn at(&mut self, place: Place) -> &mut Door {
        self.door_mut(place).expect("places come from the bank's own boards and locks")
    }
}

fn list(boards: &[u8]) -> String {
    boards.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")
}
