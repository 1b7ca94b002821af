//! What a host and its runner say to each other. The host speaks first: which version, which plugin, what for; the runner
//! answers once the plugin's instance is there, and from then on each says what it has to say when it has it.
//!
//! Both are the same program as a rule, and the version is there for the exception. The host believes a runner nothing that
//! it can check: what a plugin answered comes as it is, and is held against the contract in the host; what a runner says of time
//! and numbers is cut down to what the host has seen itself.

use std::time::Duration;

use longshore_config::Guard;
use longshore_plugin_abi::{
    Failure, KillReply, ListReply, Listed, Reason, RunReply, Shortfall,
    abi_stable::std_types::{ROption, RStr},
};
use serde::{Deserialize, Serialize};

use super::few::Few;
use crate::{
    ask::{Ask, Named, Raw, Texts, bytes},
    call::Answer,
    check::{self, MAX_ENTRIES},
    error::{CallError, Function, LoadErrorKind, NotSent, cut},
};

/// What every version begins with: it is spoken by runners alone.
const MAGIC: [u8; 4] = *b"LsRn";

/// The version of all that follows. The second packs handles in batches, and tells how long a call was inside the plugin and how
/// many are.
pub(crate) const VERSION: u32 = 2;

/// What the host's first frame begins with, in every version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opening {
    magic: [u8; 4],
    version: u32,
}

impl Opening {
    pub(crate) const OURS: Self = Self { magic: MAGIC, version: VERSION };
}

/// What a runner is for: the rest of the host's first frame. The plugin's bytes come beside it, as a descriptor.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello<'a> {
    /// The file that the plugin was read from, for messages alone.
    pub(crate) path: &'a str,
    pub(crate) hash: &'a str,
    /// What it may not do: the JSON document of a `Confinement`.
    pub(crate) confine: Option<&'a str>,
    /// `None` to look at the plugin, and no more.
    pub(crate) serve: Option<Serve<'a>>,
}

/// The instance that a runner makes and serves.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Serve<'a> {
    pub(crate) provider: &'a str,
    /// A JSON document.
    pub(crate) config: &'a str,
    /// The most calls that it is let have at once.
    pub(crate) threads: usize,
    pub(crate) idle: Duration,
    /// The most talkative level that the host listens to.
    pub(crate) level: u8,
}

/// What the host says later on. A call's [`Body`] follows it in the same frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToRunner {
    Call {
        id: u64,
        /// By the machine's own clock, which both read.
        deadline: u64,
    },
    Cancel {
        id: u64,
    },
    /// Lets the instance end, and the runner with it.
    ShutDown,
    /// Wants to know how many calls are inside the plugin. It is asked again only once it has answered.
    Count,
}

/// What a call hands to the plugin.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Body<'a, H = Texts<'a>> {
    pub(crate) cluster: &'a str,
    pub(crate) verbose: u8,
    pub(crate) level: u8,
    #[serde(borrow)]
    pub(crate) ask: Ask<H, &'a str>,
}

/// What a runner says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromRunner<'a> {
    /// It speaks another version, this one. It is the first in every version.
    OtherVersion(u32),
    /// What confines it is not all in force: what is lacking, for a person.
    Lacking(#[serde(borrow)] Few<&'a str, { Guard::ALL.len() }>),
    /// It does not go on, for it is not confined as it must be: why, for a person.
    Unconfined(&'a str),
    /// The plugin is refused.
    Refused { kind: LoadErrorKind, message: &'a str, detail: Option<&'a str> },
    /// The plugin is sound, and says this of itself.
    Examined { document: &'a str },
    /// The instance is there.
    Created,
    /// The plugin did not make it.
    NotCreated(#[serde(borrow)] Failed<'a>),
    /// What came of a call: its [`Outcome`] follows in the same frame. With it comes how long it was inside the plugin, in
    /// nanoseconds, where it got there: the runner alone can tell that from the way there and back, and a frame of its own would
    /// cost more than many a call.
    Ended { id: u64, inside: Option<u64> },
    /// The plugin logs a line, in a call or on a thread of its own; and so many lines before it are left out, for they were
    /// too many.
    Log { call: Option<u64>, missed: u64, level: u8, target: &'a str, line: &'a str },
    /// So many calls are inside the plugin: the answer to [`ToRunner::Count`].
    Inside { calls: u64 },
}

/// What came of a call, as the plugin left it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Outcome<'a> {
    Nothing,
    Values(#[serde(serialize_with = "bytes")] &'a [u8]),
    Run {
        #[serde(borrow)]
        handles: Named<'a>,
        shortfall: Option<(&'a str, bool)>,
    },
    Kill {
        #[serde(serialize_with = "bytes")]
        answers: &'a [u8],
        #[serde(borrow)]
        reasons: Few<(u64, &'a str), MAX_ENTRIES>,
    },
    /// Handle, token, workers.
    List(#[serde(borrow)] Few<(&'a str, &'a str, u32), MAX_ENTRIES>),
    Status(u8),
    Document(Option<&'a str>),
    Failed(#[serde(borrow)] Failed<'a>),
    NotMade(#[serde(borrow)] NotMade<'a>),
    /// Nobody knows.
    Lost,
}

/// A failure as it crosses the boundary.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failed<'a> {
    pub(crate) kind: u8,
    pub(crate) message: &'a str,
    pub(crate) field: &'a str,
}

/// Why the plugin never saw a call.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NotMade<'a> {
    OutOfTime,
    ShutDown,
    TurnedDown(&'a str),
}

impl<'a> From<&'a Failure> for Failed<'a> {
    fn from(failure: &'a Failure) -> Self {
        Self { kind: failure.kind, message: &failure.message, field: &failure.field }
    }
}

impl From<Failed<'_>> for Failure {
    fn from(Failed { kind, message, field }: Failed<'_>) -> Self {
        Self { kind, message: cut(message).into(), field: cut(field).into() }
    }
}

impl<'a> From<&'a Raw> for Outcome<'a> {
    fn from(raw: &'a Raw) -> Self {
        match raw {
            Raw::Nothing => Self::Nothing,
            Raw::Values(values) => Self::Values(values),
            Raw::Run(RunReply { handles, shortfall }) => Self::Run {
                handles: Texts::from(handles.as_slice()).into(),
                shortfall: shortfall.as_ref().map(|short| (&*short.reason, short.retryable)).into_option(),
            },
            Raw::Kill(KillReply { answers, reasons }) => Self::Kill {
                answers,
                reasons: reasons.iter().map(|reason| (reason.index, &*reason.text)).collect(),
            },
            Raw::List(ListReply { entries }) => Self::List(
                entries.iter().map(|entry| (&*entry.handle, &*entry.token, entry.workers)).collect(),
            ),
            Raw::Status(value) => Self::Status(*value),
            Raw::Document(document) => Self::Document(document.as_ref().map(|text| &**text).into_option()),
        }
    }
}

impl Outcome<'_> {
    /// What the host makes of it. A call that was not made had so much time. An answer of more entries than any may have is
    /// refused here, before it takes its room.
    pub(crate) fn into_answer(self, budget: Duration) -> Answer<Raw> {
        let text = |text: &str| text.into();
        let refused = |function, entries| {
            Err(CallError::Violation(check::too_many(function, entries, std::iter::empty())))
        };
        Ok(match self {
            Self::Nothing => Raw::Nothing,
            Self::Values(values) => Raw::Values(values.into()),
            Self::Run { handles, .. } if !handles.is_whole() => {
                // Those that it did name may be alive.
                let named = handles.texts.0.iter().map(RStr::as_str);
                let violation = check::too_many(Function::Run, handles.count, named);
                return Err(CallError::Violation(violation));
            }
            Self::Kill { reasons, .. } if !reasons.is_whole() => {
                return refused(Function::Kill, reasons.count());
            }
            Self::List(entries) if !entries.is_whole() => return refused(Function::List, entries.count()),
            Self::Run { handles, shortfall } => Raw::Run(RunReply {
                handles: handles.texts.0.into_iter().map(RStr::into).collect(),
                shortfall: shortfall
                    .map(|(reason, retryable)| Shortfall { reason: cut(reason).into(), retryable })
                    .into(),
            }),
            Self::Kill { answers, reasons } => {
                let reason = |(index, text): (u64, &str)| Reason { index, text: cut(text).into() };
                Raw::Kill(KillReply {
                    answers: answers.into(),
                    reasons: reasons.into_kept().into_iter().map(reason).collect(),
                })
            }
            Self::List(entries) => {
                let listed = |(handle, token, workers): (&str, &str, u32)| Listed {
                    handle: handle.into(),
                    token: token.into(),
                    workers,
                };
                Raw::List(ListReply { entries: entries.into_kept().into_iter().map(listed).collect() })
            }
            Self::Status(value) => Raw::Status(value),
            Self::Document(document) => Raw::Document(ROption::from(document.map(text))),
            Self::Failed(failed) => return Err(CallError::Failed(Failure::from(failed).into())),
            Self::NotMade(why) => {
                let reason = match why {
                    NotMade::OutOfTime => NotSent::OutOfTime { waited: budget },
                    NotMade::ShutDown => NotSent::ShutDown,
                    NotMade::TurnedDown(text) => NotSent::TurnedDown { why: cut(text).into_owned() },
                };
                return Err(CallError::NotSent { reason });
            }
            Self::Lost => return Err(CallError::Gone),
        })
    }
}

#[cfg(test)]
mod tests;
