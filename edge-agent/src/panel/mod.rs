//! The port that a screen, a scanner or a keypad talks to: HTTP on loopback, JSON, and a stream of
//! the screen's state.
//!
//! Whoever calls must know the token that this run of the agent made and name the host it expects:
//! a page in some browser on the same machine can then do nothing.

mod access;
mod body;
mod routes;

pub use access::{Access, AccessError};
pub use routes::{PanelError, serve};

/// Longest request body, in bytes. A scan is at most a few hundred.
pub const BODY_MAX_BYTES: usize = 4 * 1024;
/// Screens that may follow the state at a time.
pub const STREAMS_MAX: usize = 8;

#[cfg(test)]
mod tests;
