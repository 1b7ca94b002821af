//! Exponential backoff with jitter, as a value. The jitter comes from a seed, so that a replay waits as long as the
//! original did; the idea of drawing from the upper half is "equal jitter" of the AWS Architecture Blog (2015).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// How often something has failed in a row, and until when it is left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    failures: u32,
    last: Time,
    until: Time,
}

impl Backoff {
    /// How often it has failed since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When it last failed.
    pub fn last(&self) -> Time {
        self.last
    }

    /// Until when to wait, if that is still ahead.
    pub fn until(&self, now: Time) -> Option<Time> {
        (self.failures > 0 && self.until > now).then_some(self.until)
    }

    /// Counts a failure. The first `free` failures in a row cost no wait; each further one doubles it, from `first` up to
    /// `longest`.
    pub(crate) fn fail(&mut self, now: Time, first: Duration, longest: Duration, free: u32, seed: u64) {
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        let Some(doublings) = self.failures.checked_sub(free + 1) else {
            self.until = now;
            return;
        };
        let full = first.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(longest);
        let half = full / 2;
        let spread = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let jitter = mix(seed ^ u64::from(self.failures)) % spread;
        self.until = now + half + Duration::from_millis(jitter);
    }

    /// Waits until `until` whatever was reckoned: for failures that no soon retry can mend.
    pub(crate) fn extend(&mut self, until: Time) {
        self.until = self.until.max(until);
    }

    /// Ends the wait, and keeps the count: the next failure waits for longer still.
    pub(crate) fn hurry(&mut self) {
        self.until = Time::default();
    }

    /// Counts a success.
    pub(crate) fn succeed(&mut self) {
        *self = Self::default();
    }
}

/// The finalizer of `SplitMix64` (Steele, Lea and Flood 2014): every bit of the input moves every bit of the output.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_mins(1);

    #[test]
    fn waits_grow_within_their_halves_and_stop_at_the_longest() {
        let now = Time::from_millis(1_000_000);
        for seed in 0..200 {
            let mut backoff = Backoff::default();
            for n in 0..40_u32 {
                backoff.fail(now, FIRST, LONGEST, 0, seed);
                let full = Duration::from_secs(1 << n.min(6)).min(LONGEST);
                let wait = backoff.until(now).expect("it waits").since(now);
                assert!(wait >= full / 2 && wait <= full, "failure {n}: {wait:?} outside {full:?}");
            }
        }
    }

    #[test]
    fn free_failures_cost_nothing_and_success_forgets() {
        let now = Time::from_millis(5);
        let mut backoff = Backoff::default();
        backoff.fail(now, FIRST, LONGEST, 1, 7);
        assert_eq!((backoff.failures(), backoff.until(now)), (1, None));
        backoff.fail(now, FIRST, LONGEST, 1, 7);
        assert!(backoff.until(now).is_some());
        backoff.succeed();
        assert_eq!((backoff.failures(), backoff.until(now)), (0, None));
    }

    #[test]
    fn the_jitter_differs_between_clusters() {
        let now = Time::default();
        let waits = (0..50).map(|seed| {
            let mut backoff = Backoff::default();
            backoff.fail(now, FIRST, LONGEST, 0, seed);
            backoff.until(now)
        });
        assert!(waits.collect::<std::collections::HashSet<_>>().len() > 30);
    }
}
