//! The configuration: how the workers of this provider behave, and how the provider itself misbehaves on purpose.

use std::{num::NonZeroU32, time::Duration};

use longshore_plugin_api::Error;
use schemars::JsonSchema;
use serde::Deserialize;

/// Workers that exist in memory alone. All settings have a default: workers that run at once and for ever, without delay.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The name of a store of workers. Instances of one process with the same name share their workers, so that a provider
    /// that is created anew finds them again. Without a name the workers belong to the instance and end with
    /// it, which is the one clause of the contract (LOAD-9) that such an instance does not keep.
    pub store: Option<String>,
    /// The most workers that the store may hold; a run beyond it falls short.
    pub capacity: u64,
    /// How long a worker, or a server, is initializing.
    pub start_after: After,
    /// When a running worker stops by itself. A server never does.
    pub lifetime: Lifetime,
    /// How long a killed worker takes to stop.
    pub stop_after: After,
    /// How many times each handle answers a kill with "no" before it gives in.
    pub kill_refusals: u32,
    /// How long each function takes, in milliseconds. A deadline or a cancellation ends it early, with nothing done.
    pub latency_ms: PerFunction<u64>,
    /// Which calls of each function fail, and how.
    pub fail: PerFunction<Option<Failures>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            store: None,
            capacity: 10_000_000,
            start_after: After::default(),
            lifetime: Lifetime::default(),
            stop_after: After::default(),
            kill_refusals: 0,
            latency_ms: PerFunction::default(),
            fail: PerFunction::default(),
        }
    }
}

/// A wait that is over when both have passed.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct After {
    /// This many answers of `status` for the handle; the next one tells the change. It makes a test independent of time.
    pub observations: u32,
    /// This many milliseconds.
    pub ms: u64,
}

impl After {
    pub(crate) fn has_passed(self, seen: u32, elapsed: Duration) -> bool {
        seen >= self.observations && elapsed >= Duration::from_millis(self.ms)
    }
}

/// An end that comes with the first of the two; without either, never.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Lifetime {
    /// This many answers of `status` that say "running"; the next one says "stopped".
    pub observations: Option<u32>,
    /// This many milliseconds after it began to run.
    pub ms: Option<u64>,
}

impl Lifetime {
    pub(crate) fn is_over(self, seen: u32, elapsed: Duration) -> bool {
        self.observations.is_some_and(|limit| seen >= limit)
            || self.ms.is_some_and(|limit| elapsed >= Duration::from_millis(limit))
    }
}

/// One value for each function of the provider.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PerFunction<T: Default> {
    /// For `run`.
    pub run: T,
    /// For `status` and the predicates.
    pub status: T,
    /// For `kill`.
    pub kill: T,
    /// For `list`.
    pub list: T,
    /// For `initialize`.
    pub initialize: T,
    /// For the four functions of the server, which count as one.
    pub server: T,
    /// For `cleanup`.
    pub cleanup: T,
}

/// A function, as an index into the values of [`PerFunction`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Function {
    Run,
    Status,
    Kill,
    List,
    Initialize,
    Server,
    Cleanup,
}

impl Function {
    pub(crate) const COUNT: usize = Self::Cleanup as usize + 1;
}

impl<T: Default> PerFunction<T> {
    pub(crate) fn of(&self, function: Function) -> &T {
        match function {
            Function::Run => &self.run,
            Function::Status => &self.status,
            Function::Kill => &self.kill,
            Function::List => &self.list,
            Function::Initialize => &self.initialize,
            Function::Server => &self.server,
            Function::Cleanup => &self.cleanup,
        }
    }
}

/// Which calls of a function fail. Calls are counted from 1, an instance of the provider at a time.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Failures {
    /// The first so many calls fail.
    pub first: u32,
    /// Every so manieth call fails.
    pub every: Option<NonZeroU32>,
    /// How they fail.
    pub kind: FailureKind,
    /// The words of the error.
    pub message: Option<String>,
    /// Whether the call takes effect before it fails, as when its reply is lost. For the kind "unknown" only, since any
    /// other says that nothing was done.
    pub takes_effect: bool,
}

/// The kinds of errors that a host treats differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Nothing more is known.
    #[default]
    Other,
    /// Trying again later may help.
    Retryable,
    /// It can never succeed.
    Permanent,
    /// The backend could not be reached.
    Unreachable,
    /// Whether it took effect is not known.
    Unknown,
}

impl Failures {
    pub(crate) fn hit(&self, call: u64) -> bool {
        call <= u64::from(self.first)
            || self.every.is_some_and(|every| call.is_multiple_of(u64::from(every.get())))
    }

    pub(crate) fn error(&self, call: u64) -> Error {
        let text = self.message.as_deref().unwrap_or("a failure that the configuration asks for");
        let text = format!("{text} (call {call})");
        match self.kind {
            FailureKind::Other => Error::other(text),
            FailureKind::Retryable => Error::retryable(text),
            FailureKind::Permanent => Error::permanent(text),
            FailureKind::Unreachable => Error::unreachable(text),
            FailureKind::Unknown => Error::unknown(text),
        }
    }
}

impl Settings {
    /// What a schema cannot say.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.store.as_deref() == Some("") {
            return Err(Error::config("store", "a store's name is not empty"));
        }
        let fail = &self.fail;
        let named = [
            ("run", &fail.run),
            ("status", &fail.status),
            ("kill", &fail.kill),
            ("list", &fail.list),
            ("initialize", &fail.initialize),
            ("server", &fail.server),
            ("cleanup", &fail.cleanup),
        ];
        for (name, failures) in named {
            if failures.as_ref().is_some_and(|f| f.takes_effect && f.kind != FailureKind::Unknown) {
                let text = "only a failure of the kind \"unknown\" may take effect";
                return Err(Error::config(format!("fail.{name}.takes_effect"), text));
            }
        }
        Ok(())
    }
}
