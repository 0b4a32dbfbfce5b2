//! Six-digit codes: what a person can type where a QR code cannot be scanned.
//!
//! Six digits carry no signature, so a code is a *slot* that the hub minted beforehand and the bank
//! holds as a keyed hash: [`slot`], [`tag`]. Each deposit binds the next slot, online or not. Six
//! digits can also be guessed, so what a bank answers is rationed: [`budget`]; what that leaves to
//! a vandal is computed in [`odds`] and published in `docs/security.md`.

pub mod budget;
pub mod digits;
pub mod keypad_code;
pub mod odds;
pub mod pool;
pub mod second_factor;
pub mod slot;
pub mod tag;
