//! What a check finds, and how that is written down: a breach of a clause, a reason to skip, or a fault of the harness itself.

use std::{fmt, time::Duration};

use longshore_plugin_api::{Clause, ErrorKind};
use longshore_providers::{CallError, CreateError, NotSent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A clause that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Breach {
    /// The clause, such as `RUN-1`.
    #[schemars(with = "String")]
    pub clause: Clause,
    /// What the contract has to be seen, in one or two sentences.
    pub expected: String,
    /// What was seen.
    pub seen: String,
}

/// Why a check ends before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The provider broke a clause.
    Breach(Breach),
    /// It cannot be tried here, for this reason: said after "skipped, because".
    Skip(String),
    /// The harness itself could not go on. It says nothing of the provider.
    Fault(String),
}

/// Why a check is skipped that the user did not wait for.
pub(crate) const INTERRUPTED: &str = "the run was interrupted";

/// How a check, or a step of it, ends.
pub(crate) type Verdict<T = ()> = Result<T, Stop>;

/// A breach of a clause, to be returned.
pub(crate) fn breach<T>(clause: Clause, expected: impl fmt::Display, seen: impl fmt::Display) -> Verdict<T> {
    Err(Stop::Breach(Breach { clause, expected: expected.to_string(), seen: seen.to_string() }))
}

/// A reason to skip, to be returned; it follows "skipped, because".
pub(crate) fn skip<T>(because: impl fmt::Display) -> Verdict<T> {
    Err(Stop::Skip(because.to_string()))
}

/// A fault of the harness, to be returned.
pub(crate) fn fault<T>(what: impl fmt::Display) -> Verdict<T> {
    Err(Stop::Fault(what.to_string()))
}

/// Demands that a condition holds. `seen` is asked for only where it does not.
pub(crate) fn demand<S: fmt::Display>(
    holds: bool,
    clause: Clause,
    expected: impl fmt::Display,
    seen: impl FnOnce() -> S,
) -> Verdict {
    if holds { Ok(()) } else { breach(clause, expected, seen()) }
}

/// Turns an answer that is none into a breach of a clause.
pub(crate) trait Must<T> {
    /// The answer, or a breach: of the clause that the host itself found broken, and otherwise of this one.
    fn must(self, clause: Clause, expected: impl fmt::Display) -> Verdict<T>;
}

impl<T> Must<T> for Result<T, CallError> {
    fn must(self, clause: Clause, expected: impl fmt::Display) -> Verdict<T> {
        self.or_else(|error| match error {
            CallError::Violation(violation) => {
                let seen = format!("{} answered: {}", violation.function, violation.detail);
                breach(violation.clause, violation.clause.text(), seen)
            }
            CallError::NotSent { reason: NotSent::Missing(function) } => {
                skip(format_args!("the plugin does not have {function}"))
            }
            CallError::NotSent {
                reason: reason @ (NotSent::NoThread(_) | NotSent::Unwritable(_) | NotSent::TurnedDown { .. }),
            } => fault(reason),
            CallError::Failed(error) if error.kind() == ErrorKind::Panic => {
                breach(clause, expected, format_args!("the call panicked: {}", error.message()))
            }
            other => breach(clause, expected, format_args!("the call failed: {other}")),
        })
    }
}

impl<T> Must<T> for Result<T, CreateError> {
    fn must(self, clause: Clause, expected: impl fmt::Display) -> Verdict<T> {
        self.or_else(|error| match error {
            CreateError::Thread { reason } => fault(format_args!("no thread could be had: {reason}")),
            other => breach(clause, expected, format_args!("create failed: {other}")),
        })
    }
}

/// What the operating system, or a library of the harness, refused.
pub(crate) trait OrFault<T> {
    /// The value, or a fault of the harness that names what was tried.
    fn or_fault(self, what: impl fmt::Display) -> Verdict<T>;
}

impl<T, E: fmt::Display> OrFault<T> for Result<T, E> {
    fn or_fault(self, what: impl fmt::Display) -> Verdict<T> {
        self.or_else(|error| fault(format_args!("{what}: {error}")))
    }
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The provider keeps the clauses, as far as this check can tell.
    Passed,
    /// It breaks one that it MUST keep.
    Failed(Breach),
    /// It breaks one that it SHOULD keep.
    Warning(Breach),
    /// The process of the check ended in the middle of it.
    Crashed {
        /// How: the signal's name, or the exit code.
        how: String,
        /// The call that was under way, where one was.
        #[serde(skip_serializing_if = "Option::is_none")]
        during: Option<String>,
    },
    /// It did not end within its limit, and its process group was ended.
    TimedOut {
        /// The limit, in milliseconds.
        limit_ms: u64,
        /// The call that was under way, where one was.
        #[serde(skip_serializing_if = "Option::is_none")]
        during: Option<String>,
    },
    /// It was not tried.
    Skipped {
        /// Why not.
        because: String,
    },
    /// The harness failed, which says nothing of the provider.
    HarnessFault {
        /// How.
        what: String,
    },
}

impl Outcome {
    /// Whether the provider is at fault, in something that it must do.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Crashed { .. } | Self::TimedOut { .. })
    }

    /// The outcome in one word, as every format writes it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Warning(_) => "warning",
            Self::Crashed { .. } => "crashed",
            Self::TimedOut { .. } => "timed-out",
            Self::Skipped { .. } => "skipped",
            Self::HarnessFault { .. } => "harness-fault",
        }
    }
}

/// A worker, or a server, that is still alive after everything was done to stop it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Leftover {
    /// The cluster that it belongs to.
    pub cluster: String,
    /// Its handle; absent for the cluster's server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
    /// What was last heard of it.
    pub what: String,
}

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The check's name.
    pub check: String,
    /// Whether it is about what a provider must do; otherwise about what it should.
    pub must: bool,
    /// The clauses that it looks at.
    #[schemars(with = "Vec<String>")]
    pub clauses: Vec<Clause>,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What it made and could not stop.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<Leftover>,
    /// What the provider wrote to its output and to the host's log meanwhile: the last lines.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log: String,
    /// What a person may want to know beside the outcome, such as the seed of a random check.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A duration as a report writes it.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
