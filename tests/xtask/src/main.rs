//! The project's own commands: `cargo xtask demo`, `test`, `engine`, `ci`, `bench` and `matrix`. Each builds what it needs, says what it runs,
//! and ends with an error where something it ran did.

mod bench;
mod cargo;
mod demo;
mod engines;
mod failure;
mod packages;
mod steps;
mod test;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

pub(crate) use cargo::{cargo, root, target};
pub(crate) use failure::Failure;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Do the main job on real input: worker processes are started, scaled, killed and replaced, and the result is checked
    Demo,
    /// Run all tests, or those whose names contain one of the words. What they need of the machine is installed before, where
    /// it may be, and a container engine runs meanwhile
    Test {
        /// Parts of the names of tests
        filters: Vec<String>,
    },
    /// Run a command while container engines run as they do for tests: `cargo xtask engine cargo test -p longshore-docker`
    Engine {
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Run all that must pass before a change is taken: format, lints, documentation, tests
    Ci,
    /// Try every mutant with the conformance checks, and write what caught it to `tests/conformance/MATRIX.md`
    Matrix,
    /// Measure, and print the figures
    Bench {
        /// The names of benchmarks; all where none is given
        names: Vec<String>,
    },
    /// A worker of the demonstration
    #[command(hide = true)]
    DemoWorker { spool: PathBuf, root: PathBuf, pace_ms: u64 },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo => demo::run(),
        Command::Test { filters } => test::run(&filters),
        Command::Engine { command } => test::with_engines(&command),
        Command::Ci => steps::ci(),
        Command::Matrix => matrix(),
        Command::Bench { names } => bench::run(&names),
        Command::DemoWorker { spool, root, pace_ms } => {
            demo::work(&spool, &root, Duration::from_millis(pace_ms))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Has the tests of the matrix write what they find, rather than hold it against what stands there.
fn matrix() -> Result<(), Failure> {
    let arguments = ["test", "--package", "longshore-conformance", "--test", "matrix"];
    let mut command = cargo::command(&arguments);
    command.env("LONGSHORE_MATRIX_WRITE", "1");
    cargo::run(command, &arguments)
}
