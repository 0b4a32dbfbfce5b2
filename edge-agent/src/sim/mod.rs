//! Simulated lock boards: the bytes, the pace and the doors of Kerong's CU16 and CU48, without the
//! steel.
//!
//! Tests, the demo and anybody without a locker run the agent against them. They keep the awkward
//! habits of real boards: an unlock is never answered, bytes take their time, and doors move when
//! they like; and whatever goes wrong with locks, boards and lines can be switched on here. They
//! stand on the vendor's frames alone, not on the agent's own encoder and decoder, so that a mistake
//! in one of them does not cancel itself out.

mod apply;
mod bank;
mod board;
mod control;
mod door;
mod faults;
mod gateway;
mod occurrence;
mod profile;
mod pty;
mod script;
mod serve;
mod shared;
mod state;
mod usage;

pub use bank::{SimBank, SimConfig};
pub use control::{
    ArgumentProblem, Command, DoorFault, LineFault, LockName, ParseCommandError, ReplyFault,
};
pub use faults::{Babble, HalfOpen, Mute};
pub use gateway::{serve_control, serve_tcp};
pub use occurrence::{Occurrence, What};
pub use profile::{Profile, Request, RequestReader};
pub use pty::PtyPort;
pub use script::{ParseScriptError, ScriptLine, parse_script};
pub use serve::serve;
pub use shared::Sim;

#[cfg(test)]
mod tests;
