//! A simulated lock board: the bytes, the pace and the doors of a Kerong CU48, without the steel.
//!
//! Tests, the demo and anybody without a locker run the agent against it. It keeps the real board's
//! awkward habits: it never answers an unlock, its bytes take their time, and doors move when they
//! like. It stands on the vendor document alone, not on the agent's own encoder and decoder, so
//! that a mistake in one of them does not cancel itself out.

mod bank;
mod control;
mod serve;
mod shared;

pub use bank::{Faults, Occurrence, Request, RequestReader, SimBank, SimConfig, What};
pub use control::{
    Command, LockName, ParseCommandError, ParseScriptError, ScriptLine, parse_script,
};
pub use serve::{PtyPort, serve, serve_control, serve_tcp};
pub use shared::Sim;
