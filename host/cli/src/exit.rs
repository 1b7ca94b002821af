//! How the command ends: the exit codes, which are part of its interface, and the failures that lead to them.

use std::{fmt, io, process::ExitCode};

use longshore_config::{ConfigError, Fault};
use longshore_http::{ClientError, Problem, ProblemKind, SocketError};
use longshore_providers::{LoadError, NotFound};
use longshore_runtime::ApplyError;
use serde::Serialize;

/// What `--help` says of them.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  an internal failure
  2  the command line is wrong
  3  the configuration is wrong
  4  no host listens, or it went away
  5  there is no such cluster or provider
  6  the host denies it: outside the cluster's limits, for instance
  7  gave up waiting: --timeout has passed, or it was interrupted
  8  a plugin cannot be found, loaded or made a provider of; the provider fails, or is rolled back while it is watched
  9  the socket cannot be used: a live host has it, for instance
  10 the state cannot be used: a live host has its folder, or it is damaged, for instance
  11 a provider does not keep the contract, as `conformance` found

Environment:
  LONGSHORE_SOCKET       the host's socket, as --socket
  LONGSHORE_STATE        the state folder, as --state
  LONGSHORE_PLUGIN_PATH  more plugin folders, separated as in PATH
  LONGSHORE_LOG          what is logged to standard error, such as `info` or `warn,longshore_runtime=debug`
  LONGSHORE_ALLOW_WRITABLE_PLUGINS
                         set to 1: plugins are loaded that other users can write or replace, too
  NO_COLOR               no colours";

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    Internal = 1,
    Usage = 2,
    Config = 3,
    NoHost = 4,
    NoCluster = 5,
    Denied = 6,
    GaveUp = 7,
    Plugin = 8,
    Socket = 9,
    State = 10,
    Conformance = 11,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<ProblemKind> for Exit {
    fn from(kind: ProblemKind) -> Self {
        match kind {
            ProblemKind::BadConfig | ProblemKind::TooLarge => Self::Config,
            ProblemKind::ShuttingDown => Self::NoHost,
            ProblemKind::NoSuchCluster | ProblemKind::NoSuchProvider => Self::NoCluster,
            ProblemKind::Denied => Self::Denied,
            ProblemKind::Timeout => Self::GaveUp,
            ProblemKind::ProviderConfig
            | ProblemKind::PluginNotFound
            | ProblemKind::PluginRefused
            | ProblemKind::PluginFailed
            | ProblemKind::ProviderFailed => Self::Plugin,
            ProblemKind::Journal | ProblemKind::Shelf => Self::State,
            _ => Self::Internal,
        }
    }
}

/// What kind of failure: the host's, or one that is found on this side of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Kind {
    Host(ProblemKind),
    Here(&'static str),
}

/// Why the command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) kind: Kind,
    /// What, where and what to do.
    pub(crate) message: String,
    /// The full story, for `--verbose`.
    pub(crate) detail: Option<String>,
    /// Where a configuration is wrong.
    pub(crate) faults: Vec<Fault>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, kind: &'static str, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        Self { exit, kind: Kind::Here(kind), message, detail: None, faults: Vec::new() }
    }

    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        Self::new(Exit::Internal, "internal", message)
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// Of a configuration that is no host's.
    pub(crate) fn config(message: impl fmt::Display) -> Self {
        Self::new(Exit::Config, "bad_config", message)
    }

    /// Of the state, or of an export of it.
    pub(crate) fn state(error: &dyn std::error::Error) -> Self {
        Self::new(Exit::State, "state", longshore_http::full(error))
    }

    pub(crate) fn gave_up(message: impl fmt::Display) -> Self {
        Self::new(Exit::GaveUp, "gave_up", message)
    }

    /// A failure that was told of already, at length.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self::new(exit, "", "")
    }

    /// There is nobody to tell, since the reader of standard output has gone, or nothing left to tell.
    pub(crate) fn is_silent(&self) -> bool {
        self.message.is_empty()
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let Problem { kind, message, detail, faults } = problem;
        Self { exit: kind.into(), kind: Kind::Host(kind), message, detail, faults }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Problem::from(error).into()
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        Problem::from(error).into()
    }
}

impl From<NotFound> for Failure {
    fn from(error: NotFound) -> Self {
        Problem::new(ProblemKind::PluginNotFound, error).into()
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let detail = error.detail().map(str::to_owned);
        Problem { detail, ..Problem::new(ProblemKind::PluginRefused, error) }.into()
    }
}

impl From<SocketError> for Failure {
    fn from(error: SocketError) -> Self {
        Self::new(Exit::Socket, "socket", longshore_http::full(&error))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let (exit, kind) = match error {
            ClientError::Refused(problem) => return (*problem).into(),
            ClientError::Path(error) => return error.into(),
            ClientError::NoHost { .. } => (Exit::NoHost, "no_host"),
            ClientError::Unreachable { .. } => (Exit::Socket, "unreachable"),
            ClientError::Lost { .. } => (Exit::NoHost, "lost"),
            ClientError::TimedOut { .. } => (Exit::GaveUp, "timed_out"),
            _ => (Exit::Internal, "broken_answer"),
        };
        Self::new(exit, kind, longshore_http::full(&error))
    }
}

/// Of writing to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::silent(Exit::Ok);
        }
        Self::internal(format_args!("cannot write to standard output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_help() {
        let codes = [
            Exit::Ok,
            Exit::Internal,
            Exit::Usage,
            Exit::Config,
            Exit::NoHost,
            Exit::NoCluster,
            Exit::Denied,
            Exit::GaveUp,
            Exit::Plugin,
            Exit::Socket,
            Exit::State,
            Exit::Conformance,
        ];
        let listed = HELP.lines().filter_map(|line| line.trim().split_once(' ')?.0.parse::<u8>().ok());
        assert_eq!(listed.collect::<Vec<_>>(), codes.map(|code| code as u8));
    }
}
