//! One container in memory: how it starts, ages and stops. It moves when it is looked at, by the rules of its launch.

use std::time::{Duration, Instant};

use longshore_plugin_api::{Killed, WorkerStatus};

use crate::settings::{After, Lifetime, Settings};

/// How the workers of one launch behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    start_after: After,
    lifetime: Lifetime,
    stop_after: After,
    kill_refusals: u32,
}

impl Rules {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            start_after: settings.start_after,
            lifetime: settings.lifetime,
            stop_after: settings.stop_after,
            kill_refusals: settings.kill_refusals,
        }
    }

    /// The same for a server, which neither ends by itself nor refuses to.
    pub(crate) fn for_a_server(self) -> Self {
        Self { lifetime: Lifetime::default(), kill_refusals: 0, ..self }
    }
}

/// A container's state.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    status: WorkerStatus,
    /// Killed, and not yet stopped.
    dying: bool,
    /// How often `status` told of it, and since when, in this part of its life.
    seen: u32,
    since: Instant,
    refused: u32,
}

impl Worker {
    pub(crate) fn new(now: Instant) -> Self {
        Self { status: WorkerStatus::Initializing, dying: false, seen: 0, since: now, refused: 0 }
    }

    pub(crate) fn is_dying(&self) -> bool {
        self.dying
    }

    /// Whether it was seen to have stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.status == WorkerStatus::Stopped
    }

    /// Looks without leaving a trace.
    pub(crate) fn peek(&mut self, rules: &Rules, now: Instant) -> WorkerStatus {
        let elapsed = now.saturating_duration_since(self.since);
        if self.dying {
            if rules.stop_after.has_passed(self.seen, elapsed) {
                self.status = WorkerStatus::Stopped;
            }
            return self.status;
        }
        if self.status == WorkerStatus::Initializing && rules.start_after.has_passed(self.seen, elapsed) {
            self.status = WorkerStatus::Running;
            self.seen = 0;
            // By the clock alone it began to run when its time was over, not when somebody looked.
            self.since = match rules.start_after {
                After { observations: 0, ms } => self.since + Duration::from_millis(ms),
                After { .. } => now,
            };
        }
        let elapsed = now.saturating_duration_since(self.since);
        if self.status == WorkerStatus::Running && rules.lifetime.is_over(self.seen, elapsed) {
            self.status = WorkerStatus::Stopped;
        }
        self.status
    }

    /// Looks, and counts the look as one observation.
    pub(crate) fn observe(&mut self, rules: &Rules, now: Instant) -> WorkerStatus {
        let status = self.peek(rules, now);
        self.seen = self.seen.saturating_add(1);
        status
    }

    /// Begins its end, unless it refuses.
    pub(crate) fn kill(&mut self, rules: &Rules, now: Instant) -> Killed {
        if self.dying || self.peek(rules, now) == WorkerStatus::Stopped {
            return Killed::Yes;
        }
        if self.refused < rules.kill_refusals {
            self.refused += 1;
            return Killed::No(format!("refusal {} of {}", self.refused, rules.kill_refusals));
        }
        (self.dying, self.seen, self.since) = (true, 0, now);
        Killed::Yes
    }
}
