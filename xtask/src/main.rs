//! `cargo xtask`: every chore and check of this repository behind one command, so that a newcomer, a developer and CI type
//! the same words. It names none of our crates, so that it builds in seconds and works while they do not compile.
//!
//! All it says itself goes to standard error; standard output belongs to the program it runs (`demo --json`).
#![expect(clippy::print_stderr, reason = "a command line tool talks to its user")]

mod check;
mod crash;
mod process;
mod proto;
mod run;
mod setup;
mod workspace;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Check { skip_tests } => check::check(skip_tests),
        Task::Test { filters } => check::test(&filters),
        Task::Setup => setup::setup().map(drop),
        Task::Demo { args } => run::demo(&args),
        Task::Bench { what, args } => run::bench(what, &args),
        Task::Crash { long, seed } => crash::crash(long, seed),
        Task::World(world) => world::world(&world),
        Task::Proto { check } => proto::proto(check),
        Task::Fix => check::fix(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The chores and checks of Postern.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Everything that must be green before a commit: format, arrows and tidy, clippy, tests, edge cases, docs,
    /// dependencies
    ///
    /// Runs the cheap checks first, stops at the first red one and prints how long each took.
    Check {
        /// Leave the tests out (CI runs `cargo xtask test` after this)
        #[arg(long)]
        skip_tests: bool,
    },
    /// Sets up what the tests need, builds, and runs the tests
    ///
    /// Uses cargo-nextest if it is installed, else `cargo test`. The tests find Python and buf through POSTERN_VENV and
    /// our programs through POSTERN_BIN_DIR.
    ///
    /// Without a filter and with cargo-nextest, fails also if an edge case has no test that passed: each case of deposit
    /// (D), pickup (K), codes (C) and lock board (H) has one whose name begins with its id, as in `d05_`.
    Test {
        /// Run only the tests whose name contains one of these
        filters: Vec<String>,
    },
    /// Lists what the tests need beyond Rust and a C compiler, and installs what is missing
    ///
    /// Debian packages are installed when run as root; otherwise it prints the commands and stops. The Python packages of
    /// xtask/requirements.txt go into setup/venv under the target directory. Does nothing when all is there.
    Setup,
    /// Builds hub, agent and simulated lock board, and runs parcels through them
    ///
    /// Arguments go to the demo as they are: `--once` exits when the stories have been told, `--json` prints counts as JSON
    /// on standard output. Without them it stays until Ctrl-C.
    Demo {
        /// Arguments of the demo, such as --once and --json
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Builds with --release and measures against the budgets
    Bench {
        what: run::Bench,
        /// Further arguments of the benchmark
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Kills the real programs at random moments and cuts the power under their disks, while people use them
    ///
    /// The four ledgers that people, lock boards, agents and hub leave are compared each time. Power cuts need root, an
    /// ext4 image in a loop device, and mount. Counts go to standard output, one JSON object a line.
    Crash {
        /// 300 kills and 100 power cuts of each kind instead of 30 and 10: most of an hour
        #[arg(long)]
        long: bool,
        /// What chance begins with
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Runs banks, hub, network, disks and people from a seed, in one thread and virtual time
    ///
    /// Says how many steps held; when a promise breaks, which one, and the shortest script that breaks it. The same seed
    /// is the same story.
    World(world::World),
    /// Makes the Rust code in proto/src/gen anew from the .proto files
    ///
    /// Needs no protoc. Run it after every change of a .proto file and commit the result.
    Proto {
        /// Write nothing; fail if the files in proto/src/gen differ from what would be written
        #[arg(long)]
        check: bool,
    },
    /// Formats and applies what clippy can fix by itself
    Fix,
}
