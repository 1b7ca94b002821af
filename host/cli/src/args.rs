//! The command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{
    ArgAction, Args, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use longshore_conformance::Format;
use longshore_http::wire::{HISTORY_PAGE, ResolvedHandle};
use longshore_scaling::WORKERS_LIMIT;

use crate::{commands::author, exit};

/// Keeps as many workers alive as you ask for, on any infrastructure that has a provider.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, after_help = exit::HELP, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The host's socket [default: longshore/host.sock in the user's runtime folder]
    #[arg(long, global = true, env = "LONGSHORE_SOCKET", hide_env = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// A folder to look for plugins in, before all others; may be given again. For up, serve, plugin,
    /// conformance, and for plan where no host listens
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) plugin_path: Vec<PathBuf>,
    /// One JSON document on standard output, instead of text; with --watch or --follow one a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more: details of errors, and more in the log; twice for even more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a host in the foreground with a configuration, and with what the state folder has; when it is interrupted,
    /// stop all workers, which the next host brings back, but those of clusters whose `stop_on_exit` is false
    Up(Up),
    /// Run a host with what the state folder has; when it ends, leave the workers running, but those of clusters whose
    /// `stop_on_exit` is true
    Serve(Serve),
    /// Make providers and clusters as a file says
    Apply(Apply),
    /// Say what `apply` would do, and do nothing; where no host listens, the state folder is not looked at
    Plan(File),
    /// Ask for another number of workers
    Scale(Scale),
    /// Show how clusters are
    Status(Status),
    /// List the containers of a cluster, oldest first
    Workers(Workers),
    /// Say why a cluster is not as asked, or that it is
    Explain(OfCluster),
    /// Run a cluster's expected number of workers
    Start(Change),
    /// Stop all workers of a cluster, and remember how many there shall be
    Stop(Change),
    /// Ask the provider for fresh statuses now, and show them
    Update(OfCluster),
    /// Show a cluster's server: how it is, and where workers and clients reach it
    Server(Server),
    /// Let the provider remove what a cluster's stopped workers and servers left behind
    Cleanup(Cleanup),
    /// Stop all workers of a cluster and its server, let the provider remove all that they left, then forget the cluster
    Delete(Delete),
    /// Show what happened to a cluster, when and why; the latest comes last
    History(History),
    /// Take over a cluster as it runs: its provider says which workers there are, and as many are expected
    Reconnect(Reconnect),
    /// Say what a launch of unknown fate created, where the provider cannot; `explain` names the launch
    Resolve(Resolve),
    /// Change a provider over to another version of its plugin while its workers run: it is loaded, compared with the one that
    /// serves, and watched afterwards; where it fails, the host goes back by itself
    Swap(Swap),
    /// Go back to the version that a provider had before the last swap
    Rollback(OfProvider),
    /// Look after the state folder
    State(State),
    /// Hold a plugin's provider to the contract, clause by clause, each check in a process of its own
    Conformance(Conformance),
    /// Look at plugins, keep them on the host's shelf, release or begin one
    #[command(subcommand)]
    Plugin(Plugin),
}

#[derive(Debug, Args)]
pub(crate) struct File {
    /// The configuration, in TOML
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Where the state is kept.
#[derive(Debug, Args)]
pub(crate) struct Keeping {
    /// The folder that clusters are kept in, and taken up from [default: longshore/host in the user's state folder]
    #[arg(long, value_name = "DIR", conflicts_with = "no_state")]
    pub(crate) state: Option<PathBuf>,
    /// Keep nothing: after a restart a cluster is not known, and its workers are found by the provider's list alone
    #[arg(long)]
    pub(crate) no_state: bool,
}

/// Where the host's figures are told beside its socket.
#[derive(Debug, Args)]
pub(crate) struct Telling {
    /// Serve the host's figures for Prometheus over TCP as well, at this address and port, such as 127.0.0.1:9464, under
    /// /metrics. Whoever can connect there may read them, and do nothing else
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) keeping: Keeping,
    #[command(flatten)]
    pub(crate) telling: Telling,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) config: File,
    #[command(flatten)]
    pub(crate) keeping: Keeping,
    #[command(flatten)]
    pub(crate) telling: Telling,
    /// When it is interrupted, leave the workers running
    #[arg(long)]
    pub(crate) keep: bool,
    /// Do not show how workers come up
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait, at the end, until all workers have stopped
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) stop_timeout: Duration,
}

/// Whether to wait until all is as asked.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Waiting {
    /// Return at once, without waiting until all is as asked
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait, such as `30s` or `1h 30m`; the host goes on nevertheless
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, conflicts_with = "no_wait")]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) config: File,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// The cluster
    pub(crate) cluster: String,
    /// How many workers
    #[arg(value_parser = workers, allow_hyphen_values = true)]
    pub(crate) workers: u32,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
pub(crate) struct OfCluster {
    /// The cluster
    pub(crate) cluster: String,
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// The cluster
    pub(crate) cluster: String,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The cluster
    pub(crate) cluster: String,
    /// Show its password as well
    #[arg(long)]
    pub(crate) show_password: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Cleanup {
    /// The cluster
    pub(crate) cluster: String,
    /// Remove also what further clusters may want again: networks, images, shared folders
    #[arg(long)]
    pub(crate) deep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The cluster
    pub(crate) cluster: String,
    /// Forget it at once, with workers that may still be alive
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// This cluster alone
    pub(crate) cluster: Option<String>,
    /// Show it again whenever it changes
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Workers {
    /// The cluster
    pub(crate) cluster: String,
    /// So many of them at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// The cluster
    pub(crate) cluster: String,
    /// So many entries at most
    #[arg(long, value_name = "N", default_value_t = HISTORY_PAGE as u32, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Only entries before the one with this number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) before: Option<u64>,
    /// Go on, and show what happens from now on; with --json one document a line
    #[arg(short, long, conflicts_with = "before")]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Reconnect {
    /// The cluster
    pub(crate) cluster: String,
    /// What the cluster is, where the host does not have it: a file in TOML with it and its provider. Its number of workers
    /// is not heeded
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
pub(crate) struct Resolve {
    /// The cluster
    pub(crate) cluster: String,
    /// The launch's token, as `longshore explain` tells it
    pub(crate) token: String,
    /// Nothing of it is there
    #[arg(long, required_unless_present = "handles", conflicts_with = "handles")]
    pub(crate) none: bool,
    /// A handle of it that is there and that `longshore workers` does not list, and how many workers share it, 1 unless it is
    /// said; may be given again. A handle that itself ends in `=` and a number is written with both: `web=3=1`
    #[arg(long = "handle", value_name = "NAME[=WORKERS]", value_parser = handle, allow_hyphen_values = true)]
    pub(crate) handles: Vec<ResolvedHandle>,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
pub(crate) struct OfProvider {
    /// The provider
    pub(crate) provider: String,
}

#[derive(Debug, Args)]
pub(crate) struct Swap {
    /// The provider
    pub(crate) provider: String,
    /// A version, a plugin's name and version such as `memory@1.2.0`, or the path of a file [default: what the provider's
    /// configuration names by now]
    #[arg(long, value_name = "VERSION|FILE")]
    pub(crate) to: Option<String>,
    /// The SHA-256 that the file must have, in place of the one that the configuration asks for
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    pub(crate) sha256: Option<String>,
    /// Let one cluster try it first, for as long as it is watched: this one, or the smallest that has workers
    #[arg(long, value_name = "CLUSTER", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) canary: Option<String>,
    /// For how long it is watched; `0s` for not at all
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub(crate) watch: Duration,
    /// Return once the change is made, without waiting until the watch is over
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct State {
    /// The folder that clusters are kept in [default: longshore/host in the user's state folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: StateCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Look at all that is kept, and tell of everything that is damaged; a host may be using it
    Check,
    /// Write all that is kept as text; a host may be using it. It is a whole backup, and so has the passwords of servers in
    /// it: keep it where nobody else reads it
    Export {
        /// Where to, rather than to standard output; a new file is its owner's alone. A file that is there is replaced when
        /// the new one is complete, and keeps its permissions
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Make the state of what was exported, in a folder that has none yet
    Import {
        /// What was exported; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Conformance {
    /// The plugin's name, or the path of its library
    #[arg(value_name = "LIB", required_unless_present = "list")]
    pub(crate) lib: Option<String>,
    /// The provider's configuration: a file in TOML, or in JSON where its name ends so, with what `[provider.config]` would
    /// have [default: that of the quirks]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How the provider is to be tried [default: NAME.quirks.toml beside libNAME.so, where it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) quirks: Option<PathBuf>,
    /// These checks alone: a pattern of their names, such as `run-*`, or a clause, such as `RUN-1`; may be given again
    #[arg(long, value_name = "GLOB")]
    pub(crate) filter: Vec<String>,
    /// The form of the report [default: human, or what the file of --output ends in: .json, .xml or .tap]
    #[arg(long, value_name = "FORMAT", value_parser = format())]
    pub(crate) format: Option<Format>,
    /// Write the report to this file when it is complete, and show the run for people on standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// How many checks may run side by side [default: as many as there are processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Let checks take their time and the provider's: larger launches, what the quirks call costly, ten times the limits
    #[arg(long)]
    pub(crate) long: bool,
    /// What random checks begin with [default: another one each time]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// End the run with the first check that fails
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// List the checks, and run none
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Plugin {
    /// List the plugins that a configuration can name, and the files that are refused, with the reason
    List,
    /// Put a copy of a plugin on the host's shelf, from where a configuration names it as NAME or NAME@VERSION
    Add(AddPlugin),
    /// Take a plugin off the host's shelf, if nobody uses it
    Remove {
        /// NAME where there is but one of it, NAME@VERSION, or the first digits of its hash
        #[arg(value_name = "PLUGIN")]
        plugin: String,
    },
    /// Show a provider of the host: where it runs, what its calls came to and how long they took, and whether they are held
    /// back
    Show {
        /// The provider
        #[arg(value_name = "PROVIDER")]
        provider: String,
    },
    /// Load a plugin, and show what it says of itself and what its configuration may hold
    Inspect {
        /// The plugin's name, or the path of its library
        #[arg(value_name = "LIB")]
        lib: String,
    },
    /// Let a library be run again that is quarantined, since what ran it died too often
    Release {
        /// Its hash, at least 12 digits of it, or a provider that it is quarantined for; `plugin list` shows them
        #[arg(value_name = "HASH|PROVIDER")]
        library: String,
    },
    /// Make a provider's crate to begin with, in a new folder: it builds, and passes the conformance checks
    New(NewPlugin),
}

#[derive(Debug, Args)]
pub(crate) struct AddPlugin {
    /// The library
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The SHA-256 that it must have
    #[arg(long, value_name = "HASH", value_parser = sha256)]
    pub(crate) sha256: Option<String>,
    /// A public key of minisign that must have signed it, in FILE.minisig beside it; may be given again: one of them must
    #[arg(long, value_name = "KEY")]
    pub(crate) signed_by: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct NewPlugin {
    /// The plugin's name, its crate's and the new folder's: lower-case letters, digits and `-`
    #[arg(value_parser = author::name)]
    pub(crate) name: String,
    /// The checkout of Longshore that the crate depends on [default: the one that this program was built from]
    #[arg(long, value_name = "DIR")]
    pub(crate) longshore: Option<PathBuf>,
}

/// The names of the formats, which are the harness's to give.
fn format() -> impl TypedValueParser<Value = Format> {
    let names = Format::ALL.iter().map(|format| format.name());
    PossibleValuesParser::new(names).map(|name| Format::named(&name).unwrap_or(Format::Human))
}

fn workers(text: &str) -> Result<u32, String> {
    let whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    whole
        .then(|| text.parse().ok())
        .flatten()
        .filter(|workers| *workers <= WORKERS_LIMIT)
        .ok_or_else(|| format!("workers must be a whole number from 0 to {WORKERS_LIMIT}"))
}

fn handle(text: &str) -> Result<ResolvedHandle, String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (handle, workers) = match text.rsplit_once('=') {
        Some((handle, workers)) if is_number(workers) => {
            // What does not fit is too large for a container as well.
            (handle, workers.parse().unwrap_or(u32::MAX))
        }
        _ => (text, 1),
    };
    let handle = ResolvedHandle { handle: handle.to_owned(), workers };
    handle.check().map(|()| handle)
}

fn sha256(text: &str) -> Result<String, String> {
    let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| text.to_ascii_lowercase()).ok_or_else(|| "a SHA-256 has 64 hexadecimal digits".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a duration such as `30s`, `5m` or `1h 30m`"))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, error::ErrorKind};

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_handle_has_a_name_and_a_number() {
        for (text, name, workers) in [
            ("a", "a", 1),
            ("a=3", "a", 3),
            ("a=b", "a=b", 1),
            ("a=3=1", "a=3", 1),
            ("-x=2", "-x", 2),
            ("a=", "a=", 1),
        ] {
            let wanted = ResolvedHandle { handle: name.to_owned(), workers };
            assert_eq!(handle(text), Ok(wanted), "{text}");
        }
        for (text, words) in [
            ("", "empty"),
            ("=3", "empty"),
            ("a=0", "cannot hold 0"),
            ("a=99999999999", "1 to 10000"),
            ("a\nb", "control"),
        ] {
            let what = handle(text).expect_err("no handle");
            assert!(what.contains(words), "{text}: {what}");
        }
    }

    #[test]
    fn a_hash_is_told_from_what_is_none() {
        assert_eq!(sha256(&"Ab".repeat(32)), Ok("ab".repeat(32)));
        for text in ["", "ab", &"ab".repeat(33), &"xy".repeat(32)] {
            assert!(sha256(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_of_workers_is_told_from_what_is_none() {
        for text in ["-3", "3.5", "many", "", "1000001", "99999999999999999999", "+3", "1e3"] {
            let error = Cli::try_parse_from(["longshore", "scale", "web", text]).expect_err("not a number");
            assert_eq!(error.kind(), ErrorKind::ValueValidation, "{text}");
            let told = "workers must be a whole number from 0 to 1000000";
            assert!(error.to_string().contains(told), "{text}: {error}");
        }
        for (text, number) in [("0", 0), ("1000000", 1_000_000)] {
            let cli =
                Cli::try_parse_from(["longshore", "scale", "web", text, "--no-wait"]).expect("a number");
            assert!(
                matches!(cli.command, Command::Scale(scale) if scale.workers == number && scale.waiting.no_wait)
            );
        }
    }
}
