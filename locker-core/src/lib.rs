//! The rules of parcel lockers.
//!
//! Nothing in this crate reads a clock, draws a random number, or touches a file or a socket: time,
//! ids and keys are arguments. So the same rules run in the agent on a bank, in the hub, and in the
//! simulator that tries to break them.
//!
//! Start at [`bank`]: a command or an observation gives a [`bank::Step`], whose facts the caller
//! makes durable before it acts. [`journal::fold`] turns facts into state.

pub mod bank;
pub mod clock;
pub mod code;
pub mod compartment;
pub mod credential;
pub mod downlink;
pub mod fact;
pub mod governor;
pub mod ids;
pub mod journal;
pub mod parcel;
pub mod policy;
pub mod refusal;
pub mod session;
pub mod units;
pub mod uplink;
