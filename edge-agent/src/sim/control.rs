//! Commands to a simulated bank: one a line, from its control port or from a script.

use std::num::ParseIntError;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use super::faults::{Babble, HalfOpen, Mute};
use super::usage;

/// What `log` tells if it is not said how much.
const LOG_LINES: usize = 20;

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A hand, or a thief, opens a door.
    Open(LockName),
    /// It opens by itself after a while.
    Pop(LockName, Duration),
    /// A hand closes a door.
    Close(LockName),
    /// Something is put behind an open door.
    Put(LockName),
    /// It is taken out.
    Take(LockName),
    /// Who comes when a door opens next puts something in (true) or empties it; none: nobody comes.
    Visitor(LockName, Option<bool>),
    /// A door breaks, or is repaired.
    Door(LockName, DoorFault),
    /// Replies of a board, or of all, are spoiled.
    Reply(Option<u8>, ReplyFault),
    /// The line is spoiled.
    Line(LineFault),
    /// A board takes the address of another for its own.
    Clash {
        /// The board.
        board: u8,
        /// The other; none: it is set right again.
        other: Option<u8>,
        /// It keeps its own beside.
        both: bool,
    },
    /// A board, or all, starts again, which takes so long.
    Reboot(Option<u8>, Duration),
    /// Two locks at once make boards start again.
    WeakSupply(Option<Duration>),
    /// End all faults.
    Reset,
    /// Tell the state.
    State,
    /// Tell what happened last.
    Log(usize),
    /// Tell the commands.
    Help,
}

/// What can break about a door. `None` and `false` repair it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorFault {
    /// A pulse does not open it.
    Jam(bool),
    /// It falls shut so long after it has opened.
    Crack(Option<Duration>),
    /// It opens so long after its pulse.
    Slow(Option<Duration>),
    /// A pulse opens that one, too.
    Sympathetic(Option<LockName>),
    /// Its hook switch reads open, or closed.
    HookStuckOpen(Option<bool>),
    /// Its infrared sensor sees something, or nothing.
    InfraredStuck(Option<bool>),
    /// Its hook switch is of the other kind.
    Invert(bool),
}

/// What can be wrong with replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyFault {
    /// They are lost.
    Mute(Mute),
    /// They begin later.
    Late(Duration),
    /// They break off.
    Truncate(Option<usize>),
    /// A bit of each is turned round.
    Flip(Option<usize>),
    /// Bytes of noise come first.
    Noise(usize),
    /// They are noise.
    Garbage(bool),
}

/// What can be wrong with the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// The agent hears itself.
    Echo(bool),
    /// Each request is answered with the reply to the one before.
    Stale(bool),
    /// Two replies come in one piece.
    Merge(bool),
    /// Each byte comes by itself.
    Split(Option<Duration>),
    /// Bytes come all the time.
    Babble(Option<Babble>),
    /// What the agent sends does not arrive.
    HalfOpen(Option<HalfOpen>),
    /// The cable is out.
    Unplug(bool),
}

/// Locks as named in a command: `3`, `1:3`, `1:*` or `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockName {
    /// The board; none: the first, or all if the lock is none, too.
    pub board: Option<u8>,
    /// The lock, from 0; none: all.
    pub lock: Option<u8>,
}

/// Why a line is no command.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseCommandError {
    /// Nothing but blanks.
    #[error("the line is empty; try help")]
    Empty,
    /// No command of this name.
    #[error("no such command: {0:?}; try help")]
    Unknown(String),
    /// A command with other words than it takes.
    #[error("{problem}; usage: {usage}")]
    Arguments {
        /// What is wrong with them.
        problem: ArgumentProblem,
        /// How the command is written.
        usage: String,
    },
}

/// What is wrong with the words after a command.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ArgumentProblem {
    /// Too few or too many.
    #[error("wrong number of words")]
    Count,
    /// A word that should be a number.
    #[error("{word:?} is not a number, or out of range")]
    Number {
        /// The word.
        word: String,
        /// Why it is none.
        source: ParseIntError,
    },
    /// A word that is none of those that are possible.
    #[error("{0:?} is not possible here")]
    Word(String),
}

impl FromStr for Command {
    type Err = ParseCommandError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, words) = words.split_first().ok_or(ParseCommandError::Empty)?;
        let usage =
            usage::of(name).ok_or_else(|| ParseCommandError::Unknown((*name).to_owned()))?;
        parse(name, words).map_err(|problem| ParseCommandError::Arguments { problem, usage })
    }
}

impl FromStr for LockName {
    type Err = ArgumentProblem;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let (board, lock) = match word.split_once(':') {
            Some((board, lock)) => (Some(number(board)?), lock),
            None => (None, word),
        };
        let lock = if lock == "*" { None } else { Some(number(lock)?) };
        Ok(Self { board, lock })
    }
}

type Parsed<T> = Result<T, ArgumentProblem>;

fn parse(name: &str, words: &[&str]) -> Parsed<Command> {
    match name {
        "open" | "close" | "put" | "take" => {
            let (lock, []) = with_lock(words)?;
            Ok(match name {
                "open" => Command::Open(lock),
                "close" => Command::Close(lock),
                "put" => Command::Put(lock),
                _ => Command::Take(lock),
            })
        }
        "pop" => {
            let (lock, [after]) = with_lock(words)?;
            Ok(Command::Pop(lock, ms(after)?))
        }
        "visitor" => {
            let (lock, [what]) = with_lock(words)?;
            Ok(Command::Visitor(lock, unless_off(what, |what| one_of(what, "put", "take"))?))
        }
        "jam" | "crack" | "slow" | "sympathetic" | "hook" | "infrared" | "invert" => {
            let (lock, [how]) = with_lock(words)?;
            Ok(Command::Door(lock, door_fault(name, how)?))
        }
        "mute" | "late" | "truncate" | "flip" | "noise" | "garbage" => {
            let (board, [how]) = with_board(words)?;
            Ok(Command::Reply(board, reply_fault(name, how)?))
        }
        "clash" => clash(words),
        "reboot" => {
            let (board, [down_for]) = with_board(words)?;
            Ok(Command::Reboot(board, ms(down_for)?))
        }
        "weak-supply" => {
            let [how] = only(words)?;
            Ok(Command::WeakSupply(unless_off(how, ms)?))
        }
        "unplug" | "replug" => {
            let [] = only(words)?;
            Ok(Command::Line(LineFault::Unplug(name == "unplug")))
        }
        "reset" | "state" | "help" => {
            let [] = only(words)?;
            Ok(match name {
                "reset" => Command::Reset,
                "state" => Command::State,
                _ => Command::Help,
            })
        }
        "log" => match words {
            [] => Ok(Command::Log(LOG_LINES)),
            [count] => Ok(Command::Log(number(count)?)),
            _ => Err(ArgumentProblem::Count),
        },
        _ => {
            let [how] = only(words)?;
            Ok(Command::Line(line_fault(name, how)?))
        }
    }
}

fn door_fault(name: &str, how: &str) -> Parsed<DoorFault> {
    Ok(match name {
        "jam" => DoorFault::Jam(switch(how)?),
        "crack" => DoorFault::Crack(unless_off(how, ms)?),
        "slow" => DoorFault::Slow(unless_off(how, ms)?),
        "sympathetic" => DoorFault::Sympathetic(unless_off(how, str::parse)?),
        "hook" => DoorFault::HookStuckOpen(unless_off(how, |how| one_of(how, "open", "closed"))?),
        "infrared" => {
            DoorFault::InfraredStuck(unless_off(how, |how| one_of(how, "full", "empty"))?)
        }
        _ => DoorFault::Invert(switch(how)?),
    })
}

fn reply_fault(name: &str, how: &str) -> Parsed<ReplyFault> {
    Ok(match name {
        "mute" => ReplyFault::Mute(match how {
            "on" => Mute::On,
            "off" | "0" => Mute::Off,
            count => Mute::Next(number(count)?),
        }),
        "late" => ReplyFault::Late(unless_off(how, ms)?.unwrap_or_default()),
        "truncate" => ReplyFault::Truncate(unless_off(how, number)?),
        "flip" => ReplyFault::Flip(unless_off(how, number)?),
        // As many as fit into a u16: more is a line that babbles.
        "noise" => ReplyFault::Noise(usize::from(unless_off(how, number::<u16>)?.unwrap_or(0))),
        _ => ReplyFault::Garbage(switch(how)?),
    })
}

fn line_fault(name: &str, how: &str) -> Parsed<LineFault> {
    Ok(match name {
        "echo" => LineFault::Echo(switch(how)?),
        "stale" => LineFault::Stale(switch(how)?),
        "merge" => LineFault::Merge(switch(how)?),
        "split" => LineFault::Split(unless_off(how, ms)?),
        "babble" => LineFault::Babble(match how {
            "noise" => Some(Babble::Noise),
            "off" => None,
            byte => Some(Babble::Byte(number(byte)?)),
        }),
        _ => LineFault::HalfOpen(match how {
            "swallow" => Some(HalfOpen::Swallow),
            "hold" => Some(HalfOpen::Hold),
            "off" => None,
            other => return Err(ArgumentProblem::Word(other.to_owned())),
        }),
    })
}

fn clash(words: &[&str]) -> Parsed<Command> {
    let (board, other, both) = match words {
        [board, other] => (board, other, false),
        [board, other, "both"] => (board, other, true),
        [_, _, how] => return Err(ArgumentProblem::Word((*how).to_owned())),
        _ => return Err(ArgumentProblem::Count),
    };
    Ok(Command::Clash { board: number(board)?, other: unless_off(other, number)?, both })
}

/// A lock, in one word or in two, and then so many words more.
fn with_lock<'a, const MORE: usize>(words: &[&'a str]) -> Parsed<(LockName, [&'a str; MORE])> {
    match words {
        [lock, more @ ..] if more.len() == MORE => Ok((lock.parse()?, only(more)?)),
        [board, lock, more @ ..] if more.len() == MORE => {
            Ok((format!("{board}:{lock}").parse()?, only(more)?))
        }
        _ => Err(ArgumentProblem::Count),
    }
}

/// Perhaps a board, and then so many words more.
fn with_board<'a, const MORE: usize>(words: &[&'a str]) -> Parsed<(Option<u8>, [&'a str; MORE])> {
    match words {
        [board, more @ ..] if more.len() == MORE => Ok((Some(number(board)?), only(more)?)),
        more => Ok((None, only(more)?)),
    }
}

fn only<'a, const COUNT: usize>(words: &[&'a str]) -> Parsed<[&'a str; COUNT]> {
    words.try_into().map_err(|_| ArgumentProblem::Count)
}

fn unless_off<T>(word: &str, parse: impl Fn(&str) -> Parsed<T>) -> Parsed<Option<T>> {
    if word == "off" { Ok(None) } else { parse(word).map(Some) }
}

fn switch(word: &str) -> Parsed<bool> {
    one_of(word, "on", "off")
}

fn one_of(word: &str, yes: &str, no: &str) -> Parsed<bool> {
    if word != yes && word != no {
        return Err(ArgumentProblem::Word(word.to_owned()));
    }
    Ok(word == yes)
}

/// Up to seven weeks: no clock runs over.
pub(super) fn ms(word: &str) -> Parsed<Duration> {
    Ok(Duration::from_millis(u64::from(number::<u32>(word)?)))
}

fn number<N: FromStr<Err = ParseIntError>>(word: &str) -> Parsed<N> {
    word.parse().map_err(|source| ArgumentProblem::Number { word: word.to_owned(), source })
}
