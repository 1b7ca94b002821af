//! When a runner that has ended is started again, and when it is not. It reads no clock.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long to wait before a runner is started again: at first, and at most. It doubles in between.
pub const RESTART_WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// A runner that has run for so long is well: the next wait is a short one again.
pub const STABLE: Duration = Duration::from_mins(1);
/// So many deaths within [`DEATHS_WINDOW`] are enough: the provider is quarantined.
pub const DEATHS_LIMIT: usize = 5;
/// How long a death is remembered.
pub const DEATHS_WINDOW: Duration = Duration::from_mins(10);

/// What was seen of a provider's runners.
#[derive(Debug)]
pub(crate) struct Patience {
    deaths: VecDeque<Instant>,
    wait: Duration,
}

/// What is done about a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is started again after so long.
    Wait(Duration),
    /// It is not started again.
    Quarantine,
}

impl Default for Patience {
    fn default() -> Self {
        Self { deaths: VecDeque::new(), wait: RESTART_WAIT.0 }
    }
}

impl Patience {
    /// A runner that had run for so long is dead.
    pub(crate) fn died(&mut self, now: Instant, after: Duration) -> Verdict {
        if after >= STABLE {
            self.wait = RESTART_WAIT.0;
        }
        self.deaths.retain(|death| now.saturating_duration_since(*death) < DEATHS_WINDOW);
        self.deaths.push_back(now);
        if self.deaths.len() >= DEATHS_LIMIT {
            return Verdict::Quarantine;
        }
        Verdict::Wait(self.next_wait())
    }

    /// How long to wait after an attempt that failed as it should, with a word of the plugin.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let wait = self.wait;
        self.wait = (wait * 2).min(RESTART_WAIT.1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(1);

    #[test]
    fn each_wait_is_twice_as_long_and_a_quiet_time_makes_it_short_again() {
        let (mut patience, mut now) = (Patience::default(), Instant::now());
        let mut died = |after: Duration| {
            now += DEATHS_WINDOW;
            patience.died(now, after)
        };
        assert_eq!(died(SOON), Verdict::Wait(RESTART_WAIT.0));
        assert_eq!(died(SOON), Verdict::Wait(RESTART_WAIT.0 * 2));
        assert_eq!(died(SOON), Verdict::Wait(RESTART_WAIT.0 * 4));
        assert_eq!(died(STABLE), Verdict::Wait(RESTART_WAIT.0));
        for _ in 0..20 {
            died(SOON);
        }
        assert_eq!(died(SOON), Verdict::Wait(RESTART_WAIT.1), "it grows no further");
    }

    #[test]
    fn repeated_deaths_end_in_quarantine() {
        let (mut patience, mut now) = (Patience::default(), Instant::now());
        for _ in 1..DEATHS_LIMIT {
            now += SOON;
            assert!(matches!(patience.died(now, SOON), Verdict::Wait(_)));
        }
        assert_eq!(patience.died(now, STABLE), Verdict::Quarantine);
    }

    #[test]
    fn a_death_is_forgotten_in_time() {
        let (mut patience, mut now) = (Patience::default(), Instant::now());
        for _ in 0..DEATHS_LIMIT * 3 {
            now += DEATHS_WINDOW / (DEATHS_LIMIT as u32 - 1);
            assert!(matches!(patience.died(now, SOON), Verdict::Wait(_)));
        }
    }
}
