//! How facts travel from a bank to the hub so that each takes effect once: the agent's
//! [`Sender`] and the hub's [`inlet`] and [`clone`], all without I/O.

pub mod clone;
pub mod inlet;
mod sender;

pub use sender::{AckError, BATCHES_OUTSTANDING_MAX, STALL_MS, Sender, Window};
