//! The `longshore` command: a host in the foreground, and the questions and commands that others send to it. It is thin: what
//! it does is done by the host's crates, and here it is only asked for and shown.

mod args;
mod commands;
mod exit;
mod feed;
mod logging;
mod output;
mod place;
mod progress;
mod render;
mod signals;
mod state;
mod table;
mod wait;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime::{Builder, Runtime};

use crate::{
    args::Cli,
    exit::{Exit, Failure},
    output::Output,
};

/// Threads of the runtime. A host mostly waits; its providers have threads of their own.
const THREADS: usize = 2;

fn main() -> ExitCode {
    // It may be one of its own helpers: a provider's runner, which a host starts, or what `conformance` starts, a check's
    // process or a worker that tells of itself.
    if let Some(code) = longshore_providers::intercept() {
        return code;
    }
    if let Some(code) = longshore_conformance::intercept() {
        return code;
    }
    // Ends with code 2 by itself when it is not understood.
    let cli = Cli::parse();
    let output = Output::new(&cli.global);
    let outcome = logging::start(&cli).and_then(|()| runtime()).and_then(|runtime| {
        let outcome = runtime.block_on(commands::run(&cli, &output));
        // A plugin's library that hangs while it loads is not waited for.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => output.fail(&failure).into(),
    }
}

fn runtime() -> Result<Runtime, Failure> {
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    runtime.map_err(|error| Failure::internal(format_args!("cannot start the runtime: {error}")))
}
