//! What a provider's calls came to, counted where each of them ends: how many there were, how many went wrong and in what
//! way, how long they took, and how much of that inside the plugin. It judges nothing, and a call waits for nobody here: it costs
//! a few atomics, and a lock only where its answer broke the contract.

mod latency;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use longshore_plugin_api::{Clause, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::{
    call::Answer,
    error::{CallError, Function, NotSent},
};
use latency::Histogram;
pub use latency::{LATENCY_BOUNDS, Latency, LatencyBucket};

/// What a provider's calls came to since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Calls that have ended, however they did.
    pub calls: u64,
    /// Calls that have not ended: they wait for a thread, or are inside the plugin.
    pub under_way: u64,
    /// Of those that ended: the provider said that it failed.
    pub failed: u64,
    /// It panicked.
    pub panicked: u64,
    /// Its answer came after the deadline, whatever it was.
    pub late: u64,
    /// Its answer broke the contract.
    pub violations: u64,
    /// It never reached the plugin, though the plugin has the function.
    pub not_sent: u64,
    /// Its answer is lost.
    pub lost: u64,
}

impl Figures {
    /// Calls that went wrong, in whatever way.
    pub const fn errors(&self) -> u64 {
        self.failed + self.panicked + self.late + self.violations + self.not_sent + self.lost
    }
}

/// What the calls of one function came to. Each call that ended is in exactly one of these, but for `latency`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionFigures {
    /// The function's name.
    pub function: String,
    /// Calls that have ended, however they did.
    pub calls: u64,
    /// Calls that have not ended.
    pub under_way: u64,
    /// Sound answers in time.
    pub answered: u64,
    /// The provider said that it failed, or panicked; by the kind of its error.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<String, u64>,
    /// Answers that broke the contract, by the clause.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub violations: BTreeMap<String, u64>,
    /// Answers that came after the deadline, whatever they were.
    pub late: u64,
    /// The plugin's process ended meanwhile.
    pub died: u64,
    /// The answer was lost in another way.
    pub lost: u64,
    /// Calls that never reached the plugin, by the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_sent: BTreeMap<String, u64>,
    /// How long those took that came back, their time in the queue included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// How much of that they were inside the plugin: what is left is the queue, the socket of a runner and its threads. A runner
    /// measures it, and is believed no more than the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<Latency>,
}

/// How long a call took that came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Took {
    /// From its beginning to its end, as the host sees it.
    pub(crate) whole: Duration,
    /// Inside the plugin, as whoever called into it says, where that is known.
    pub(crate) inside: Option<Duration>,
}

/// The kinds of a provider's error, and what each is called. One that this host does not know is counted as the first.
const KINDS: [(ErrorKind, &str); 8] = [
    (ErrorKind::Other, "other"),
    (ErrorKind::Retryable, "retryable"),
    (ErrorKind::Permanent, "permanent"),
    (ErrorKind::Unreachable, "unreachable"),
    (ErrorKind::Cancelled, "cancelled"),
    (ErrorKind::Unknown, "unknown"),
    (ErrorKind::Config, "config"),
    (PANIC, "panic"),
];
const PANIC: ErrorKind = ErrorKind::Panic;

/// Why calls never reach a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    QueueFull,
    OutOfTime,
    /// Whoever called went away.
    GivenUp,
    ShutDown,
    Missing,
    NoThread,
    RunnerDown,
    Quarantined,
    BreakerOpen,
    TooLarge,
    TurnedDown,
    Unwritable,
}

impl Unsent {
    const ALL: [Self; 12] = [
        Self::QueueFull,
        Self::OutOfTime,
        Self::GivenUp,
        Self::ShutDown,
        Self::Missing,
        Self::NoThread,
        Self::RunnerDown,
        Self::Quarantined,
        Self::BreakerOpen,
        Self::TooLarge,
        Self::TurnedDown,
        Self::Unwritable,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::OutOfTime => "out_of_time",
            Self::GivenUp => "given_up",
            Self::ShutDown => "shut_down",
            Self::Missing => "missing",
            Self::NoThread => "no_thread",
            Self::RunnerDown => "runner_down",
            Self::Quarantined => "quarantined",
            Self::BreakerOpen => "breaker_open",
            Self::TooLarge => "too_large",
            Self::TurnedDown => "turned_down",
            Self::Unwritable => "unwritable",
        }
    }

    const fn of(reason: &NotSent) -> Self {
        match reason {
            NotSent::QueueFull { .. } => Self::QueueFull,
            NotSent::OutOfTime { .. } => Self::OutOfTime,
            NotSent::ShutDown => Self::ShutDown,
            NotSent::Missing(_) => Self::Missing,
            NotSent::NoThread(_) => Self::NoThread,
            NotSent::RunnerDown { .. } => Self::RunnerDown,
            NotSent::Quarantined { .. } => Self::Quarantined,
            NotSent::BreakerOpen(_) => Self::BreakerOpen,
            NotSent::TooLarge => Self::TooLarge,
            NotSent::TurnedDown { .. } => Self::TurnedDown,
            NotSent::Unwritable(_) => Self::Unwritable,
        }
    }
}

/// Counts the calls of one provider.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    functions: [OfFunction; Function::ALL.len()],
}

/// Counts the calls of one function.
#[derive(Debug, Default)]
struct OfFunction {
    begun: AtomicU64,
    ended: AtomicU64,
    answered: AtomicU64,
    failed: [AtomicU64; KINDS.len()],
    late: AtomicU64,
    died: AtomicU64,
    lost: AtomicU64,
    not_sent: [AtomicU64; Unsent::ALL.len()],
    violations: Mutex<BTreeMap<Clause, u64>>,
    latency: Histogram,
    inside: Histogram,
}

impl Tally {
    fn of(&self, function: Function) -> &OfFunction {
        // The functions are numbered as they are listed.
        &self.functions[function as usize]
    }

    /// Counts a call that begins.
    pub(crate) fn begun(&self, function: Function) {
        add(&self.of(function).begun);
    }

    /// Counts a call that ends, `late` where that is after its deadline.
    pub(crate) fn ended<T>(&self, function: Function, answer: &Answer<T>, late: bool, took: Took) {
        let of = self.of(function);
        match answer {
            Err(CallError::NotSent { reason }) => return self.not_sent(function, Unsent::of(reason)),
            Err(CallError::Died { .. }) => add(&of.died),
            Err(CallError::Gone) => add(&of.lost),
            Err(CallError::Violation(violation)) => {
                of.took(took);
                let mut violations = of.violations.lock().unwrap_or_else(PoisonError::into_inner);
                *violations.entry(violation.clause).or_default() += 1;
            }
            Err(CallError::Failed(error)) if error.kind() == PANIC => {
                of.took(took);
                add(of.of_kind(PANIC));
            }
            Err(CallError::Deadline { .. }) => add(&of.late),
            Ok(_) | Err(CallError::Failed(_)) if late => {
                of.took(took);
                add(&of.late);
            }
            Err(CallError::Failed(error)) => {
                of.took(took);
                add(of.of_kind(error.kind()));
            }
            Ok(_) => {
                of.took(took);
                add(&of.answered);
            }
        }
        of.has_ended();
    }

    /// Counts a call that began and never reached the plugin.
    pub(crate) fn not_sent(&self, function: Function, why: Unsent) {
        let of = self.of(function);
        add(&of.not_sent[why as usize]);
        of.has_ended();
    }

    /// Counts a call that was turned down where it began.
    pub(crate) fn turned_down(&self, function: Function, reason: &NotSent) {
        self.begun(function);
        self.not_sent(function, Unsent::of(reason));
    }

    /// All functions together.
    pub(crate) fn figures(&self) -> Figures {
        let mut all = Figures::default();
        for of in &self.functions {
            let (calls, under_way) = of.ended_and_not();
            // A part before the whole that it is taken from: both may grow meanwhile.
            let (panicked, shut_down) =
                (read(of.of_kind(PANIC)), read(&of.not_sent[Unsent::ShutDown as usize]));
            let failed: u64 = of.failed.iter().map(read).sum();
            let not_sent: u64 = of.not_sent.iter().map(read).sum();
            let violations: u64 = of.violations().values().sum();
            all.calls += calls;
            all.under_way += under_way;
            all.failed += failed - panicked;
            all.panicked += panicked;
            all.late += read(&of.late);
            all.violations += violations;
            // A call that was turned down because its provider leaves is nobody's fault.
            all.not_sent += not_sent - shut_down;
            all.lost += read(&of.died) + read(&of.lost);
        }
        all
    }

    /// Each function that was called.
    pub(crate) fn by_function(&self) -> Vec<FunctionFigures> {
        let told = |function: &Function| {
            let of = self.of(*function);
            let (calls, under_way) = of.ended_and_not();
            let some = |(name, count): (&str, u64)| (count > 0).then(|| (name.to_owned(), count));
            let failed = KINDS.iter().zip(&of.failed).map(|((_, name), count)| (*name, read(count)));
            let not_sent = Unsent::ALL.iter().zip(&of.not_sent).map(|(why, count)| (why.name(), read(count)));
            let violations = of.violations();
            FunctionFigures {
                function: function.name().to_owned(),
                calls,
                under_way,
                answered: read(&of.answered),
                failed: failed.filter_map(some).collect(),
                violations: violations
                    .iter()
                    .map(|(clause, count)| (clause.id().to_owned(), *count))
                    .collect(),
                late: read(&of.late),
                died: read(&of.died),
                lost: read(&of.lost),
                not_sent: not_sent.filter_map(some).collect(),
                latency: of.latency.read(),
                inside: of.inside.read(),
            }
        };
        let all = Function::ALL.iter().map(told);
        all.filter(|figures| figures.calls + figures.under_way > 0).collect()
    }
}

impl OfFunction {
    fn took(&self, Took { whole, inside }: Took) {
        self.latency.count(whole);
        if let Some(inside) = inside {
            // A runner's word goes no further than what the host has seen itself: no call is inside for longer than it lasts.
            self.inside.count(inside.min(whole));
        }
    }

    fn of_kind(&self, kind: ErrorKind) -> &AtomicU64 {
        let place = KINDS.iter().position(|(known, _)| *known == kind);
        &self.failed[place.unwrap_or(0)]
    }

    fn violations(&self) -> BTreeMap<Clause, u64> {
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn has_ended(&self) {
        // Released, so that who sees a call as ended sees how.
        self.ended.fetch_add(1, Release);
    }

    fn ended_and_not(&self) -> (u64, u64) {
        // The ended first, so that there are never fewer begun.
        let ended = self.ended.load(Acquire);
        (ended, read(&self.begun).saturating_sub(ended))
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

#[cfg(test)]
mod tests;
