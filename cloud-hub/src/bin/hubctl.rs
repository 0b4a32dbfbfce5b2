//! The operator's command line; everything of it is in [`cloud_hub::hubctl`].
#![expect(clippy::print_stderr, reason = "a command line talks on standard error")]

use std::process::ExitCode;

use clap::Parser as _;
use cloud_hub::hubctl::{self, args::Args};

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("hubctl: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut out, mut remarks) = (std::io::stdout(), std::io::stderr());
    match runtime.block_on(hubctl::run(args, &mut out, &mut remarks)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("hubctl: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
