//! The circuit breaker of a provider, across the clusters that it serves: while nothing but failures that speak of the plugin
//! or its backend has come of its calls for a while, further calls are held back, and one at a time tries whether it is over.
//!
//! It stands beside the wait that each cluster has for itself, which deals with single failures and with what a cluster's own
//! request is at fault for. So only an unbroken run of failures opens it, never a share of them: a function that always fails, or
//! a cluster whose requests do, must not take the calls away that work. What counts, `Fault` says.
//!
//! *What is held back.* A call that is held back never reaches the plugin, and nothing has happened, for certain: no handle is
//! dead for it, and a launch of unknown fate stays unknown, with its room held, until a call gets through. What ends or removes
//! something that costs (`kill`, `stop_server`, `cleanup`) is not made to wait until the next try: it is the try, whenever it
//! comes, unless another is under way.
//!
//! `machine` decides, and is a value that is told the time; here are the lock around it and what others see of it.

mod machine;

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use longshore_plugin_api::{Clause, ErrorKind};

use crate::{
    call::Answer,
    error::{CallError, Function, NotSent},
};
pub(crate) use machine::Pass;
use machine::{Machine, Turn};

/// So many failures in a row open the breaker, unless said otherwise.
pub const BREAKER_FAILURES: u32 = 5;
/// For so long nothing else may have come of any call before it opens: shorter troubles are the clusters' own to wait for.
pub const BREAKER_OVER: Duration = Duration::from_secs(10);
/// How long it is open before a call tries whether it is over: at first, and at most. It doubles in between, so that a wait
/// is never longer than the trouble was.
pub const BREAKER_WAIT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));

/// When a provider's breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerLimits {
    /// So many failures in a row open it, at least 1.
    pub failures: u32,
    /// For so long nothing but failures must have come of calls.
    pub over: Duration,
    /// How long it is open before a call tries whether it is over: at first, and at most.
    pub wait: (Duration, Duration),
}

impl Default for BreakerLimits {
    fn default() -> Self {
        Self { failures: BREAKER_FAILURES, over: BREAKER_OVER, wait: BREAKER_WAIT }
    }
}

/// A failure that speaks of the plugin or its backend, and not of one request. Nothing of what the provider said is in it: that
/// is told to other clusters and in the log, and may hold what only one of them may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The provider could not reach its backend.
    Unreachable,
    /// It does not know whether the request took effect.
    Unknown,
    /// It panicked.
    Panicked,
    /// It did not answer in time.
    Deadline,
    /// Its answer broke a clause of the contract.
    Violation(Clause),
    /// Its process ended, or its answer was lost. A death counts only of a call that tries: the runner has a wait and a
    /// quarantine of its own for it, which would not be reached where calls came too seldom.
    Lost,
    /// No thread came free for it. This, too, counts only of a call that tries: calls that keep the threads are counted themselves.
    NoThread,
}

impl fmt::Display for Fault {
    /// Words that follow the function's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("could not reach its backend"),
            Self::Unknown => f.write_str("could not tell whether it took effect"),
            Self::Panicked => f.write_str("panicked"),
            Self::Deadline => f.write_str("did not answer in time"),
            Self::Violation(clause) => write!(f, "broke {} with its answer", clause.id()),
            Self::Lost => f.write_str("lost its answer"),
            Self::NoThread => f.write_str("had no thread in time"),
        }
    }
}

/// What a call that ended says of the plugin and its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// They are well.
    Well,
    /// They are not.
    Fault(Fault),
    /// They are not, as far as a call can tell that was to try it; of any other it says nothing.
    FaultOfTry(Fault),
    /// Nothing: the request itself was at fault, or somebody else than the plugin.
    Nothing,
}

impl News {
    /// What an answer says, `late` where it came after its deadline.
    pub(crate) fn of<T>(answer: &Answer<T>, late: bool) -> Self {
        match answer {
            Err(CallError::Violation(violation)) => Self::Fault(Fault::Violation(violation.clause)),
            Err(CallError::Failed(error)) if error.kind() == ErrorKind::Panic => Self::Fault(Fault::Panicked),
            Err(CallError::Deadline { .. }) => Self::Fault(Fault::Deadline),
            Err(CallError::Died { .. } | CallError::Gone) => Self::FaultOfTry(Fault::Lost),
            Err(CallError::NotSent { reason }) => match reason {
                NotSent::QueueFull { .. } | NotSent::OutOfTime { .. } | NotSent::NoThread(_) => {
                    Self::FaultOfTry(Fault::NoThread)
                }
                // The runner's state says for itself when calls get through again.
                _ => Self::Nothing,
            },
            Ok(_) | Err(CallError::Failed(_)) if late => Self::Fault(Fault::Deadline),
            Ok(_) => Self::Well,
            Err(CallError::Failed(error)) => match error.kind() {
                ErrorKind::Unreachable => Self::Fault(Fault::Unreachable),
                ErrorKind::Unknown => Self::Fault(Fault::Unknown),
                // Of capacity, of one cluster's request, or nobody knows: each cluster waits for itself.
                _ => Self::Nothing,
            },
        }
    }
}

/// An open breaker, as whoever is turned down is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerOpen {
    /// Since when it is open.
    pub since: SystemTime,
    /// When the next call is let through, to try.
    pub until: SystemTime,
    /// Whether a call tries right now.
    pub is_trying: bool,
    /// How many calls in a row have failed.
    pub failures: u32,
    /// What the last of them called.
    pub function: Function,
    /// What came of that.
    pub fault: Fault,
}

impl fmt::Display for BreakerOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since, until, is_trying, failures, function, fault } = self;
        let calls = if *failures == 1 { "call" } else { "calls in a row" };
        write!(
            f,
            "the provider's circuit breaker is open since {}, as {failures} {calls} failed (the last: {function} {fault}); ",
            when(*since)
        )?;
        if *is_trying {
            f.write_str("a call tries right now whether it is over")
        } else {
            write!(f, "it is tried again from {} on", when(*until))
        }
    }
}

impl std::error::Error for BreakerOpen {}

fn when(time: SystemTime) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(time)
}

/// How a breaker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerState {
    /// Failures in a row so far.
    pub failures: u32,
    /// Where it is open: since when, and why.
    pub open: Option<BreakerOpen>,
    /// How often it has opened.
    pub openings: u64,
}

/// A provider's breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// The round of the machine, doubled, and one more where nothing is amiss: then a call needs no lock.
    glance: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    machine: Machine,
    openings: u64,
    /// A moment of both clocks: when it opened.
    moment: (Instant, SystemTime),
}

impl Breaker {
    /// Without limits it never opens.
    pub(crate) fn new(limits: Option<BreakerLimits>) -> Self {
        let machine = Machine::new(limits);
        let glance = AtomicU64::new(glance(&machine));
        let moment = (Instant::now(), SystemTime::now());
        Self { glance, kept: Mutex::new(Kept { machine, openings: 0, moment }) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing that panics is done under this lock.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call through, or says why not.
    pub(crate) fn admit(&self, function: Function, budget: Duration) -> Result<Pass, BreakerOpen> {
        let glance = self.glance.load(Ordering::Relaxed);
        if glance & 1 == 1 {
            return Ok(Pass::usual(glance >> 1));
        }
        let mut kept = self.kept();
        let admitted = kept.machine.admit(function, budget, Instant::now());
        self.look_at(&kept);
        match (admitted, kept.open()) {
            (Some(pass), _) => Ok(pass),
            (None, Some(open)) => Err(open),
            // It holds nothing back where it is not open.
            (None, None) => Ok(Pass::usual(kept.machine.round())),
        }
    }

    /// What a call came to that was let through. Told once of each.
    pub(crate) fn told(&self, provider: &str, pass: Pass, function: Function, news: News) {
        let is_calm = self.glance.load(Ordering::Relaxed) == pass.round() << 1 | 1;
        let changes_nothing = match news {
            News::Well => is_calm,
            News::Fault(_) => false,
            News::FaultOfTry(_) | News::Nothing => !pass.is_try(),
        };
        if changes_nothing {
            return;
        }
        let now = Instant::now();
        let mut kept = self.kept();
        let turn = kept.machine.told(pass, function, news, now);
        if turn == Some(Turn::Opened) {
            kept.moment = (now, SystemTime::now());
            kept.openings += 1;
        }
        self.look_at(&kept);
        let open = kept.open();
        drop(kept);
        match (turn, open) {
            (Some(Turn::Opened), Some(open)) => tracing::error!(provider, "{open}"),
            (Some(Turn::Closed { after }), _) => tracing::info!(
                provider,
                "the provider's circuit breaker is closed again, after {}: {function} was answered",
                humantime::format_duration(Duration::from_secs(after.as_secs()))
            ),
            _ => {}
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        let kept = self.kept();
        BreakerState { failures: kept.machine.failures(), open: kept.open(), openings: kept.openings }
    }

    /// Lets others know without the lock whether anything is amiss.
    fn look_at(&self, kept: &Kept) {
        self.glance.store(glance(&kept.machine), Ordering::Relaxed);
    }
}

/// What is seen of a machine without its lock.
fn glance(machine: &Machine) -> u64 {
    machine.round() << 1 | u64::from(machine.is_calm())
}

impl Kept {
    fn open(&self) -> Option<BreakerOpen> {
        let open = self.machine.open()?;
        let (instant, wall) = self.moment;
        let wall = |at: Instant| wall + at.saturating_duration_since(instant);
        Some(BreakerOpen {
            since: wall(open.since),
            until: wall(open.until),
            is_trying: open.is_trying(),
            failures: open.failures,
            function: open.function,
            fault: open.fault,
        })
    }
}

#[cfg(test)]
mod tests;
