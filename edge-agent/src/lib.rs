//! The agent on a locker bank.
//!
//! It drives the lock boards, keeps the bank's truth in an append-only journal with sled as its
//! fold, serves the screen, and tells the hub what happened whenever there is a network.
//!
//! Tasks: one [`board::Bus`] a port, the [`bank`] loop on a thread of its own, the [`link`] to the
//! hub, the [`panel`] for the screen. They meet in [`bank::Event`] only; [`agent`] starts and stops
//! them.

pub mod agent;
pub mod bank;
pub mod board;
pub mod commission;
pub mod config;
pub mod device_key;
pub mod journal;
pub mod link;
pub mod panel;
pub mod power;
pub mod sim;
pub mod store;
pub mod telemetry;
