//! The forms that leave this machine: what was written once can be read for ever, and what nobody wrote is refused.

#![expect(clippy::unwrap_used, reason = "what cannot be unwrapped fails the test")]

mod arbitrary;
mod golden;
mod key_set;
mod later;
mod malformed;
mod round_trip;
mod samples;
mod signed;
mod topics;
mod v1;
