//! The repository as the checks see it: its files, and running a program on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    // Set by cargo and nextest when they run a test; a target directory may be shared by two checkouts.
    let manifest_dir =
        std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest_dir).parent().expect("xtask lies in a folder of the repository").into()
}

/// A text file of the repository.
pub(crate) struct SourceFile {
    /// Relative to the root.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All text files that are tracked or would be after `git add`.
pub(crate) fn files() -> Vec<SourceFile> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let list = stdout(Command::new("git").current_dir(root()).args(list));
    let paths = list.split('\0').filter(|path| !path.is_empty());
    // Not text, or removed and not yet committed: nothing to check.
    let read = |path: &str| std::fs::read_to_string(root().join(path)).ok();
    let file = |path: &str| Some(SourceFile { path: path.to_owned(), text: read(path)? });
    paths.filter_map(file).collect()
}

/// Runs `command`, which has to be there.
pub(crate) fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| {
        panic!("could not start {}: {error}", command.get_program().display())
    })
}

/// What `command` wrote; it has to succeed.
pub(crate) fn stdout(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{command:?}: {}", all_text(&output));
    String::from_utf8(output.stdout).expect("programs we run write UTF-8")
}

/// Both streams, for an assertion's message.
pub(crate) fn all_text(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    format!("{}\n{stdout}{}", output.status, String::from_utf8_lossy(&output.stderr))
}
