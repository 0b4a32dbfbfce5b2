//! buf's rules over our .proto files, as set in buf.yaml.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::repository::{all_text, output, root};

#[test]
fn proto_files_pass_buf_lint() {
    let lint = output(Command::new(buf()).current_dir(root()).arg("lint"));
    assert!(lint.status.success(), "{}", all_text(&lint));
}

/// The buf of the venv that `cargo xtask setup` makes.
fn buf() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    let venv = std::env::var_os("POSTERN_VENV").map_or_else(
        || target.expect("it lies in the target directory").join("setup/venv"),
        PathBuf::from,
    );
    let buf = venv.join("bin/buf");
    assert!(buf.exists(), "there is no {}: run `cargo xtask setup`", buf.display());
    buf
}
