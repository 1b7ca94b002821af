//! Watches a generation of a provider that has just begun to take calls, and judges it by what they come to.
//!
//! It is given up
//! - at once when an answer of it breaks the contract, when it panics, or when an answer is lost, as those of a crashed
//!   runner are, unless the one before it did the like;
//! - when more than [`TOLERANCE`] percent of its calls go wrong beyond the share that did of the one before, as soon as it had
//!   [`ENOUGH_CALLS`] of them; at the end of the watch, however few there were. A call that is past its deadline and has not
//!   returned counts as one that went wrong.
//!
//! The calls by which it was compared before are not counted.

use std::{sync::Arc, time::Duration};

use longshore_providers::{Figures, Provider, RunnerState};
use tokio::time::{Instant, interval};

/// How many percent of the calls may go wrong beyond the share that did before.
const TOLERANCE: u64 = 20;
/// From how many calls on the share is believed before the watch ends.
const ENOUGH_CALLS: u64 = 5;
/// How often is looked.
const LOOK: Duration = Duration::from_millis(200);

/// What the calls of a generation came to, as far as it is judged by them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conduct {
    calls: u64,
    errors: u64,
    violations: u64,
    /// Panics and lost answers.
    crashes: u64,
}

impl Conduct {
    /// What came of all calls of a provider so far.
    pub(crate) fn of(provider: &Provider) -> Self {
        Self::told(provider.figures(), provider.load().stuck as u64)
    }

    fn told(figures: Figures, stuck: u64) -> Self {
        Self {
            calls: figures.calls + stuck,
            errors: figures.errors() + stuck,
            violations: figures.violations,
            crashes: figures.panicked + figures.lost,
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            // A call that was stuck may have ended meanwhile.
            calls: self.calls.saturating_sub(before.calls),
            errors: self.errors.saturating_sub(before.errors),
            violations: self.violations.saturating_sub(before.violations),
            crashes: self.crashes.saturating_sub(before.crashes),
        }
    }

    /// Why it is given up, where it is; `old` is the conduct of the one before.
    fn fault(self, old: Self, is_over: bool) -> Option<String> {
        let Self { calls, errors, violations, crashes } = self;
        if violations > 0 && old.violations == 0 {
            return Some(format!("{} broke the contract", some(violations, "answer of it", "answers of it")));
        }
        if crashes > 0 && old.crashes == 0 {
            return Some(format!("it panicked or crashed in {}", some(crashes, "call", "calls")));
        }
        let is_enough = calls >= if is_over { 1 } else { ENOUGH_CALLS };
        let usual = percent(old.errors, old.calls);
        let share = percent(errors, calls);
        (is_enough && share > usual + TOLERANCE).then(|| {
            format!(
                "{errors} of its {calls} calls went wrong, and {usual} percent of those of the one before"
            )
        })
    }
}

fn percent(part: u64, of: u64) -> u64 {
    (part * 100).checked_div(of).unwrap_or(0)
}

fn some(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("one {one}") } else { format!("{count} {many}") }
}

/// Watches a provider for so long. The error says why it is to be given up.
pub(crate) async fn watch(
    provider: &Arc<Provider>,
    begun: Conduct,
    old: Conduct,
    period: Duration,
) -> Result<(), String> {
    let end = Instant::now() + period;
    let mut looks = interval(LOOK.min(period.max(Duration::from_millis(1))));
    loop {
        let now = looks.tick().await;
        let is_over = now >= end;
        let conduct = Conduct::of(provider).since(begun);
        if let Some(fault) = conduct.fault(old, is_over) {
            return Err(fault);
        }
        // One may die while nobody asks anything of it.
        let state = provider.runner().map(|state| state.borrow().clone());
        if let Some(RunnerState::Quarantined { why }) = state {
            return Err(format!("its process died too often: {why}"));
        }
        if is_over {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conduct(calls: u64, errors: u64) -> Conduct {
        Conduct { calls, errors, ..Conduct::default() }
    }

    #[test]
    fn one_breach_or_crash_is_enough_where_the_one_before_had_none() {
        let breach = Conduct { violations: 1, ..conduct(1_000, 1) };
        assert_eq!(
            breach.fault(conduct(9, 0), false).as_deref(),
            Some("one answer of it broke the contract")
        );
        assert_eq!(breach.fault(Conduct { violations: 3, ..conduct(9, 3) }, false), None);
        let crash = Conduct { crashes: 2, ..conduct(1_000, 2) };
        assert_eq!(crash.fault(conduct(9, 0), false).as_deref(), Some("it panicked or crashed in 2 calls"));
        assert_eq!(crash.fault(Conduct { crashes: 1, ..conduct(9, 1) }, false), None);
    }

    #[test]
    fn a_share_of_errors_counts_beyond_that_of_before_and_only_of_enough_calls() {
        assert_eq!(conduct(4, 4).fault(conduct(100, 0), false), None, "too few to tell");
        assert!(conduct(4, 4).fault(conduct(100, 0), true).is_some(), "at the end they must do");
        assert!(conduct(5, 2).fault(conduct(100, 0), false).is_some());
        assert_eq!(conduct(5, 1).fault(conduct(100, 0), false), None, "20 percent are borne");
        assert_eq!(conduct(10, 6).fault(conduct(10, 5), false), None, "the one before was no better");
        assert_eq!(conduct(0, 0).fault(conduct(0, 0), true), None, "nobody asked it anything");
    }

    #[test]
    fn a_call_that_hangs_counts_as_one_that_went_wrong() {
        let hanging = Conduct::told(Figures { calls: 1, under_way: 4, ..Figures::default() }, 4);
        assert_eq!(hanging, conduct(5, 4));
        assert!(hanging.fault(conduct(5, 0), false).is_some());
    }
}
