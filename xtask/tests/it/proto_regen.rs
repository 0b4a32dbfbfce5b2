//! The generated code that is checked in is what the .proto files say.

use std::process::Command;

use crate::repository::{all_text, output};

#[test]
fn generated_code_is_up_to_date() {
    let check = output(Command::new(env!("CARGO_BIN_EXE_xtask")).args(["proto", "--check"]));
    assert!(check.status.success(), "{}", all_text(&check));
}
