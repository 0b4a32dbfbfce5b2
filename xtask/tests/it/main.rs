//! Checks of the repository itself, as tests, so that whoever runs the tests has run the checks: who may depend on whom, tidy
//! sources, generated code, .proto files, systemd units.

mod arch;
mod buf;
mod proto_comments;
mod proto_regen;
mod repository;
mod systemd;
mod tidy;
