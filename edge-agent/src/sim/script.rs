//! Scripts: commands with the time at which they are carried out.

use std::time::Duration;

use thiserror::Error;

use super::control::{Command, ParseCommandError, ms};

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
        script.push(parse_line(text).map_err(|source| ParseScriptError { line, source })?);
    }
    script.sort_by_key(|line: &ScriptLine| line.at);
    Ok(script)
}

fn parse_line(text: &str) -> Result<ScriptLine, ParseCommandError> {
    let (at, command) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let usage = || "MILLISECONDS COMMAND".to_owned();
    let at = ms(at).map_err(|problem| ParseCommandError::Arguments { problem, usage: usage() })?;
    Ok(ScriptLine { at, command: command.parse()? })
}
