//! The harness of everything that needs both sides: it starts the real programs as processes on
//! loopback, with a PKI and a store of their own in one folder, and talks to them as the people
//! around a locker bank would: carrier, operator, courier, recipient.
//!
//! Start at [`world::World`]. Waiting is always for a condition, see [`wait`].

pub mod bank;
pub mod board;
pub mod callers;
pub mod fake_bank;
pub mod fleet_watch;
pub mod hub;
pub mod mailbox;
pub mod panel;
pub mod pki;
pub mod processes;
pub mod proxy;
pub mod records;
pub mod relay;
pub mod tls;
pub mod tokens;
pub mod visit;
pub mod wait;
pub mod watch;
pub mod world;
