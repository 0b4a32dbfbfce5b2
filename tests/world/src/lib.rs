//! A world in one thread and virtual time, made from one seed: banks, the hub, the network between
//! them, disks, lock boards, and people, all of whom fail in every way that they can.
//!
//! What is real: the rules, the fold, the clock, the governor, the sender, the inlet, the judge of
//! clones, the wire forms and the journal. What is written again or left out: the agent's loop and the
//! hub's store (in memory), sled, sockets, TLS and the signatures of the hub's messages, and the slow
//! hash of six digits.
//!
//! A [`step::Step`] is one thing that happens. [`plot::Plot`] makes them up from a seed,
//! [`world::World`] does them, [`watch::Watch`] keeps books of its own and says which promise is broken.
//! [`run`] brings them together and, when something breaks, finds the shortest script for it.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the watcher reads some facts, a place some steps"
)]

pub mod agent;
pub mod cast;
pub mod disk;
pub mod hub;
pub mod net;
pub mod plot;
pub mod rng;
pub mod run;
pub mod site;
pub mod step;
pub mod watch;
pub mod world;
