//! `meshproof`: checks an implementation of the specification in `spec/`.
//!
//! Without arguments it starts the reference implementation in this process, shows on it what the protocol does, checks
//! it, plants a fault for each requirement, checks that the fault is found, and writes a report. `run` checks somebody
//! else's. Exit codes: 0 conformant; 1 not conformant, or a stale expectation; 2 usage; 3 incomplete, or nothing ran;
//! 4 a fault in the kit.

#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod out;

mod args;
mod commands;
mod embedded;
mod matrix;
mod progress;
mod shim;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command, Shim};
use commands::NoAnswer;
use meshproof_kit::text::printable;

/// Exit code for a command that cannot be carried out as given.
const USAGE: u8 = 2;
/// Exit code for a target that is not there.
const INCOMPLETE: u8 = 3;
/// Exit code for words that could not be written.
const KIT_FAULT: u8 = 4;

fn main() -> ExitCode {
    let args = Args::parse();
    // The only failure is that a provider is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let done = match args.command.unwrap_or(Command::SelfTest(args.self_test)) {
        Command::SelfTest(options) => commands::self_test::execute(&options),
        Command::Run(options) => commands::run::execute(&options),
        Command::List(options) => commands::list::execute(&options),
        Command::Explain(options) => commands::explain::execute(&options),
        Command::Compare { reports, all } => commands::compare::execute(&reports, all),
        Command::Replay { file, report } => commands::replay::execute(&file, &report),
        Command::Minimise(options) => commands::minimise::execute(&options),
        Command::Freeze { version, directory } => commands::freeze::execute(&version, &directory),
        Command::Coverage => Ok(commands::coverage::execute()),
        Command::Vectors(options) => commands::vectors::execute(&options),
        Command::Bench(options) => commands::bench::execute(&options),
        Command::Timing(options) => commands::timing::execute(&options),
        Command::Worker => matrix::serve(),
        Command::Fuzz(options) => commands::fuzz::execute(&options),
        Command::Shim(Shim::Serve) => commands::shim::serve(),
        Command::Shim(Shim::Check { command }) => commands::shim::check(&command),
    };
    let code = match done {
        Ok(code) => code,
        Err(error) => {
            complain!("meshproof: {}", printable(&format!("{error:#}")));
            if error.is::<NoAnswer>() { INCOMPLETE } else { USAGE }
        }
    };
    if let Some(error) = out::failure() {
        complain!("meshproof: cannot write to standard output: {error}");
        return ExitCode::from(KIT_FAULT);
    }
    ExitCode::from(code)
}
