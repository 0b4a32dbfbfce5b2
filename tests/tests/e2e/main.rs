//! The stories that need both sides, each on real programs: hub, agent and simulated lock board as
//! processes with their own certificates and stores, talking over loopback.

mod bad_board;
mod bad_codes;
mod bad_line;
mod bad_parcels;
mod begun_anew;
mod clones;
mod courier_codes;
mod crashes;
mod cu16;
mod demo;
mod digits;
mod first_parcel;
mod foreign_readers;
mod hub_down;
mod keys;
mod kill_loop;
mod live;
mod one_trace;
mod other_endings;
mod power_cuts;
mod python_client;
mod strangers;
mod unreadable;
mod venv;
mod whole_history;
