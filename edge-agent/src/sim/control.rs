//! Commands to a simulated bank: one a line, from its control port or from a script.

use std::num::ParseIntError;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use super::bank::SimBank;

/// What `help` answers.
const HELP: &str = "commands: open LOCK | close LOCK | jam LOCK on|off | mute [BOARD] on|off | \
    garbage on|off | late MS | truncate BYTES|off | flip BIT|off | state | help; \
    LOCK is 3 or 1:3 (board 1), counted from 0";

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Open a door by hand.
    Open(LockName),
    /// Close a door by hand.
    Close(LockName),
    /// A pulse does not open the door, or does again.
    Jam(LockName, bool),
    /// Replies of a board, or of all, are lost, or are not any more.
    Mute(Option<u8>, bool),
    /// Noise in place of replies, or not any more.
    Garbage(bool),
    /// Replies begin later.
    Late(Duration),
    /// Replies break off.
    Truncate(Option<usize>),
    /// A bit of each reply is turned round.
    Flip(Option<usize>),
    /// Tell the state.
    State,
    /// Tell the commands.
    Help,
}

/// A lock as named in a command: `3`, or `1:3` on board 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockName {
    /// The board; none: the first.
    pub board: Option<u8>,
    /// The lock, from 0.
    pub lock: u8,
}

/// Why a line is no command.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseCommandError {
    /// No such command, or not with these words.
    #[error("no such command: {0:?}; try help")]
    Unknown(String),
    /// A word that should be a number.
    #[error("not a number: {word:?}")]
    Number {
        /// The word.
        word: String,
        /// Why it is none.
        source: ParseIntError,
    },
    /// A word that should be on or off.
    #[error("neither on nor off: {0:?}")]
    Switch(String),
}

impl FromStr for Command {
    type Err = ParseCommandError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(match words.as_slice() {
            ["open", lock] => Self::Open(lock.parse()?),
            ["close", lock] => Self::Close(lock.parse()?),
            ["jam", lock, switch] => Self::Jam(lock.parse()?, on_or_off(switch)?),
            ["mute", switch] => Self::Mute(None, on_or_off(switch)?),
            ["mute", board, switch] => Self::Mute(Some(number(board)?), on_or_off(switch)?),
            ["garbage", switch] => Self::Garbage(on_or_off(switch)?),
            ["late", ms] => Self::Late(Duration::from_millis(number(ms)?)),
            ["truncate", "off"] => Self::Truncate(None),
            ["truncate", bytes] => Self::Truncate(Some(number(bytes)?)),
            ["flip", "off"] => Self::Flip(None),
            ["flip", bit] => Self::Flip(Some(number(bit)?)),
            ["state"] => Self::State,
            ["help"] => Self::Help,
            _ => return Err(ParseCommandError::Unknown(line.trim().to_owned())),
        })
    }
}

impl FromStr for LockName {
    type Err = ParseCommandError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Ok(match word.split_once(':') {
            Some((board, lock)) => Self { board: Some(number(board)?), lock: number(lock)? },
            None => Self { board: None, lock: number(word)? },
        })
    }
}

impl Command {
    /// Carries the command out; the answer begins with `ok` or `error`.
    pub fn apply(self, bank: &mut SimBank, now: Duration) -> String {
        bank.advance(now);
        let done = match self {
            Self::Open(name) => bank.move_door(name.board, name.lock, true, now),
            Self::Close(name) => bank.move_door(name.board, name.lock, false, now),
            Self::Jam(name, jammed) => bank.jam(name.board, name.lock, jammed),
            Self::Mute(board, muted) => bank.mute(board, muted),
            Self::Garbage(on) => {
                bank.faults.garbage = on;
                true
            }
            Self::Late(late) => {
                bank.faults.late = late;
                true
            }
            Self::Truncate(bytes) => {
                bank.faults.truncate_bytes = bytes;
                true
            }
            Self::Flip(bit) => {
                bank.faults.flip_bit = bit;
                true
            }
            Self::State => return format!("ok {}", bank.to_json()),
            Self::Help => return format!("ok {HELP}"),
        };
        if done { "ok".to_owned() } else { "error no such board or lock".to_owned() }
    }
}

/// A command of a script with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptLine {
    /// When, from the start.
    pub at: Duration,
    /// What.
    pub command: Command,
}

/// Why a script is not one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line} of the script is not `MILLISECONDS COMMAND`")]
pub struct ParseScriptError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub source: ParseCommandError,
}

/// Reads a script: lines of `MILLISECONDS COMMAND`, counted from the start; empty lines and lines
/// that begin with `#` are skipped.
///
/// # Errors
/// Names the first line that is not one.
pub fn parse_script(text: &str) -> Result<Vec<ScriptLine>, ParseScriptError> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let lines = lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
    let mut script = Vec::new();
    for (line, text) in lines {
        script.push(parse_script_line(text).map_err(|source| ParseScriptError { line, source })?);
    }
    script.sort_by_key(|line: &ScriptLine| line.at);
    Ok(script)
}

fn parse_script_line(text: &str) -> Result<ScriptLine, ParseCommandError> {
    let (ms, command) =
        text.split_once(' ').ok_or_else(|| ParseCommandError::Unknown(text.to_owned()))?;
    Ok(ScriptLine { at: Duration::from_millis(number(ms)?), command: command.parse()? })
}

fn number<N: FromStr<Err = ParseIntError>>(word: &str) -> Result<N, ParseCommandError> {
    word.parse().map_err(|source| ParseCommandError::Number { word: word.to_owned(), source })
}

fn on_or_off(word: &str) -> Result<bool, ParseCommandError> {
    match word {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(ParseCommandError::Switch(word.to_owned())),
    }
}

#[cfg(test)]
mod tests;
