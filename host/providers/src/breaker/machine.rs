//! What opens a breaker, tries it and closes it again, as a value that reads no clock.
//!
//! ```text
//!            enough failures in a row             the wait is over, or a call that ends something
//!   closed ───────────────────────────▶ open ────────────────────────────────────────────▶ open, and tried
//!     ▲                                   ▲                                                       │ │
//!     │                                   └──── the try failed: the wait doubles ─────────────────┘ │
//!     └───────────────────────────────────────── the try was answered ──────────────────────────────┘
//! ```
//!
//! Each change begins a *round*. What a call of an earlier round comes to is old news, and changes nothing.

use std::time::{Duration, Instant};

use super::{BreakerLimits, Fault, News};
use crate::error::Function;

/// How long after its deadline a try is given up that nobody tells of.
const SILENCE: Duration = Duration::from_secs(1);

/// That a call was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    round: u64,
    is_try: bool,
}

impl Pass {
    /// Of a call like any other.
    pub(super) const fn usual(round: u64) -> Self {
        Self { round, is_try: false }
    }

    pub(super) const fn round(self) -> u64 {
        self.round
    }

    /// Whether the call tries if it is over.
    pub(super) const fn is_try(self) -> bool {
        self.is_try
    }
}

/// What has changed for those who use the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Opened,
    Closed {
        /// How long it was open.
        after: Duration,
    },
}

/// The breaker itself.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    limits: Option<BreakerLimits>,
    phase: Phase,
    round: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed(Option<Run>),
    Open(Open),
}

/// Failures with nothing else in between.
#[derive(Clone, Copy, Debug)]
struct Run {
    failures: u32,
    since: Instant,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) since: Instant,
    pub(super) until: Instant,
    pub(super) failures: u32,
    /// What failed last, and how.
    pub(super) function: Function,
    pub(super) fault: Fault,
    wait: Duration,
    attempt: Option<Attempt>,
}

/// A call that tries.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    function: Function,
    /// When it is given up, unless it was heard of.
    by: Instant,
    /// Whether it came before its time, being one that is not made to wait.
    is_early: bool,
}

impl Open {
    pub(super) const fn is_trying(&self) -> bool {
        self.attempt.is_some()
    }

    /// The call that tried has ended, and what failed, unless it told nothing. One that came before its time failed for itself
    /// alone: others try when they would have.
    fn attempt_ended(&mut self, failure: Option<(Function, Fault)>, limits: &BreakerLimits, now: Instant) {
        let Some(attempt) = self.attempt.take() else { return };
        let Some((function, fault)) = failure else { return };
        self.failures = self.failures.saturating_add(1);
        (self.function, self.fault) = (function, fault);
        if !attempt.is_early {
            self.wait = (self.wait * 2).min(limits.wait.1);
            self.until = now + self.wait;
        }
    }
}

impl Machine {
    pub(super) const fn new(limits: Option<BreakerLimits>) -> Self {
        Self { limits, phase: Phase::Closed(None), round: 0 }
    }

    pub(super) const fn round(&self) -> u64 {
        self.round
    }

    /// Whether there is nothing to remember.
    pub(super) const fn is_calm(&self) -> bool {
        matches!(self.phase, Phase::Closed(None))
    }

    pub(super) const fn open(&self) -> Option<&Open> {
        match &self.phase {
            Phase::Closed(_) => None,
            Phase::Open(open) => Some(open),
        }
    }

    pub(super) fn failures(&self) -> u32 {
        match &self.phase {
            Phase::Closed(run) => run.map_or(0, |run| run.failures),
            Phase::Open(open) => open.failures,
        }
    }

    /// Lets a call through that may take so long; nothing where it is held back.
    pub(super) fn admit(&mut self, function: Function, budget: Duration, now: Instant) -> Option<Pass> {
        let (Phase::Open(open), Some(limits)) = (&mut self.phase, &self.limits) else {
            return Some(Pass::usual(self.round));
        };
        if let Some(silent) = open.attempt.filter(|attempt| attempt.by <= now) {
            open.attempt_ended(Some((silent.function, Fault::Deadline)), limits, now);
            self.round += 1;
        }
        let is_early = now < open.until;
        if open.is_trying() || (is_early && !function.is_ending()) {
            return None;
        }
        open.attempt = Some(Attempt { function, by: now + budget + SILENCE, is_early });
        self.round += 1;
        Some(Pass { round: self.round, is_try: true })
    }

    /// What came of a call that was let through.
    pub(super) fn told(&mut self, pass: Pass, function: Function, news: News, now: Instant) -> Option<Turn> {
        let limits = self.limits.as_ref().filter(|_| pass.round == self.round)?;
        match (&mut self.phase, news) {
            (Phase::Closed(run), News::Well) => {
                *run = None;
                None
            }
            (Phase::Closed(run), News::Fault(fault)) => {
                let Run { failures, since } = run.unwrap_or(Run { failures: 0, since: now });
                let failures = failures.saturating_add(1);
                *run = Some(Run { failures, since });
                if failures < limits.failures || now.saturating_duration_since(since) < limits.over {
                    return None;
                }
                let wait = limits.wait.0;
                let until = now + wait;
                self.phase =
                    Phase::Open(Open { since: now, until, failures, function, fault, wait, attempt: None });
                self.round += 1;
                Some(Turn::Opened)
            }
            (Phase::Closed(_), News::FaultOfTry(_) | News::Nothing) => None,
            // Only of a try: others are of an earlier round.
            (Phase::Open(_), _) if !pass.is_try => None,
            (Phase::Open(open), News::Well) => {
                let after = now.saturating_duration_since(open.since);
                self.close();
                Some(Turn::Closed { after })
            }
            (Phase::Open(open), News::Fault(fault) | News::FaultOfTry(fault)) => {
                open.attempt_ended(Some((function, fault)), limits, now);
                self.round += 1;
                None
            }
            (Phase::Open(open), News::Nothing) => {
                // The next call tries.
                open.attempt_ended(None, limits, now);
                self.round += 1;
                None
            }
        }
    }

    /// Closes it, and forgets what has failed.
    fn close(&mut self) {
        self.phase = Phase::Closed(None);
        self.round += 1;
    }
}
