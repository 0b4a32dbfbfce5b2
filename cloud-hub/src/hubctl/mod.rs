//! `hubctl`: what operators do from a terminal, over the hub's own gRPC interface.
//!
//! [`args`] is the command line, [`run`] does what it says and writes to the streams it is given;
//! nothing here is printed in any other way, so tests read what a person would.

mod alarm;
pub mod args;
mod audit;
mod bank;
mod connection;
mod failure;
mod layout_file;
mod parcel;
mod table;
mod watch;

pub use failure::Failure;

use std::io::Write;

use self::args::{Args, AuditCommand, Command};
use self::connection::Connection;

/// Where results and remarks go.
pub struct Output<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Remarks about what goes on.
    pub remarks: &'a mut dyn Write,
    /// Whether results are JSON.
    pub json: bool,
}

/// Does what the command line says.
///
/// # Errors
/// See [`Failure`]; [`Failure::exit_code`] and its text are what the user gets.
pub async fn run(args: Args, out: &mut dyn Write, remarks: &mut dyn Write) -> Result<(), Failure> {
    let Args { connect, json, command } = args;
    let mut output = Output { out, remarks, json };
    // Whoever checks evidence may have no hub.
    if let Command::Audit { command: AuditCommand::Check { file } } = &command {
        return audit::check(&connect, file, &mut output);
    }
    let connection = Connection::new(&connect)?;
    match command {
        Command::Alarm { command } => alarm::run(&connection, command, &mut output).await,
        Command::Audit { command } => audit::run(&connection, &connect, command, &mut output).await,
        Command::Bank { command } => bank::run(&connection, command, &mut output).await,
        Command::Parcel { command } => parcel::run(&connection, command, &mut output).await,
        Command::Watch(watch) => watch::run(&connection, &watch, &mut output).await,
    }
}

impl Output<'_> {
    /// Writes one JSON value a line.
    fn json(&mut self, value: &serde_json::Value) -> Result<(), Failure> {
        writeln!(self.out, "{value}").map_err(Failure::Output)
    }

    /// Writes a line.
    fn line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.out, "{line}").map_err(Failure::Output)
    }

    fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes()).map_err(Failure::Output)
    }
}

#[cfg(test)]
mod tests;
