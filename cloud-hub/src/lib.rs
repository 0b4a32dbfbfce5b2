//! The hub: takes in what banks report, issues signed pickup codes, and serves carriers,
//! retailers and operators over gRPC.

pub mod alarms;
pub mod audit;
pub mod backups;
pub mod banks;
pub mod codes;
pub mod config;
pub mod credential_keys;
pub mod grpc;
pub mod hubctl;
pub mod identity;
pub mod ingest;
pub mod live;
pub mod mqtt;
pub mod notify;
pub mod parcels;
pub mod pki;
pub mod serve;
pub mod site_zone;
pub mod store;
pub mod store_cli;
pub mod telemetry;
pub mod tls;
pub mod trace_spans;
mod wall_clock;
