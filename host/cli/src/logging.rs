//! The log of the host, and of the plugins in it: on standard error, as `LONGSHORE_LOG` and `--verbose` say.

use std::{env, io};

use anstream::{AutoStream, ColorChoice};
use longshore_providers::LOG_TARGET;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::{
    args::{Cli, Command},
    exit::Failure,
    progress,
};

/// The variable that says what is logged.
const VARIABLE: &str = "LONGSHORE_LOG";

/// Starts to log.
pub(crate) fn start(cli: &Cli) -> Result<(), Failure> {
    let filter = match env::var(VARIABLE) {
        Ok(filter) if !filter.is_empty() => filter,
        _ => usual(cli),
    };
    let filter = EnvFilter::try_new(&filter).map_err(|error| {
        Failure::usage(format_args!("{VARIABLE} is `{filter}`, which is no filter: {error}"))
    })?;
    let colours = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(AboveProgress).init();
    Ok(())
}

fn usual(cli: &Cli) -> String {
    let level = match (&cli.command, cli.global.verbose) {
        // What comes up and goes down is shown anyway; what plugins say is not.
        (Command::Up(_), 0) => return format!("warn,{LOG_TARGET}=info"),
        (Command::Serve(_), 0) | (Command::Up(_), 1) => "info",
        (Command::Serve(_), 1) | (Command::Up(_), 2) => "info,longshore=debug",
        (Command::Serve(_) | Command::Up(_), _) => "debug,longshore=trace",
        (_, 0 | 1) => "warn",
        (_, 2) => "warn,longshore=debug",
        _ => "debug",
    };
    level.to_owned()
}

/// Keeps the log and the line of progress apart.
struct AboveProgress;

impl io::Write for AboveProgress {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        progress::above(text)?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for AboveProgress {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}
