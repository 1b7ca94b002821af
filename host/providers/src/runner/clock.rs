//! The machine's own clock, which two processes read alike: a deadline that one of them sets holds for the other.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since some moment that is the same for all processes.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // It counts from the machine's start, and is not negative.
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// The moment after so long.
pub(crate) fn after(time: Duration) -> u64 {
    now().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// How long it is until a moment; nothing when it has passed.
pub(crate) fn until(moment: u64) -> Duration {
    Duration::from_nanos(moment.saturating_sub(now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_comes_nearer_and_passes() {
        let minute = Duration::from_mins(1);
        let left = until(after(minute));
        assert!(left > Duration::ZERO && left <= minute, "{left:?}");
        assert_eq!(until(0), Duration::ZERO);
    }
}
