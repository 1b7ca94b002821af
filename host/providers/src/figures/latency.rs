//! How long calls took, as counts in buckets whose widths grow with the time: four to each doubling, from a microsecond to
//! more than an hour, so that what is read off is at most a quarter more than it was.
//!
//! A crate for this (`hdrhistogram`) counts under a lock or needs a place to record for each thread; these hundred-odd atomics
//! are shared by all, and a call costs three of them.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// The first bucket begins at 2 to the power of so many nanoseconds, a good microsecond; what is less is counted there.
const FIRST: u32 = 10;
/// From there on so many doublings have buckets, up to 73 minutes; what is more is counted in the last.
const DOUBLINGS: u32 = 32;
/// Each doubling has 2 to the power of so many buckets.
const FINENESS: u32 = 2;
const STEPS: usize = 1 << FINENESS;
const BUCKETS: usize = DOUBLINGS as usize * STEPS;

/// Times, in nanoseconds, up to which [`Latency::up_to`] can tell exactly how many calls took no longer: a doubling apart, from
/// 8 µs to 9 minutes. They are what a histogram with fewer buckets than these is told by.
pub const LATENCY_BOUNDS: [u64; 27] = {
    let mut bounds = [1 << 13; 27];
    let mut at = 1;
    while at < bounds.len() {
        bounds[at] = bounds[at - 1] << 1;
        at += 1;
    }
    bounds
};

/// How long calls took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// How many calls there are to speak of: those that came back.
    pub count: u64,
    /// The time that they took together, in microseconds.
    pub total_us: u64,
    /// Half of them took no longer than this, in microseconds; as the next ones, at most a quarter more than it was.
    pub p50_us: u64,
    /// Nine of ten took no longer.
    pub p90_us: u64,
    /// Ninety-nine of a hundred took no longer.
    pub p99_us: u64,
    /// The longest, exactly.
    pub max_us: u64,
    /// How many took how long, by time: the buckets that hold any.
    #[serde(default)]
    pub buckets: Vec<LatencyBucket>,
}

/// The calls that took about as long as each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyBucket {
    /// They took longer than this, in nanoseconds.
    pub above_ns: u64,
    /// They took no longer than this, in nanoseconds; nothing for what has no bound, from 64 minutes on.
    pub upto_ns: Option<u64>,
    /// How many there are, at least one.
    pub count: u64,
}

impl Latency {
    /// How many calls took no longer than so many nanoseconds, as far as whole buckets tell: exactly that many for each of
    /// [`LATENCY_BOUNDS`], and no more than that for any other time.
    pub fn up_to(&self, nanos: u64) -> u64 {
        let within = |bucket: &&LatencyBucket| bucket.upto_ns.is_some_and(|upto| upto <= nanos);
        self.buckets.iter().filter(within).map(|bucket| bucket.count).sum()
    }

    /// How many calls took no longer than each of [`LATENCY_BOUNDS`], and longer than the one before it; and how many took longer
    /// than all of them.
    pub fn by_bounds(&self) -> ([u64; LATENCY_BOUNDS.len()], u64) {
        let mut before = 0;
        let counts = LATENCY_BOUNDS.map(|bound| {
            let up_to = self.up_to(bound);
            up_to - std::mem::replace(&mut before, up_to)
        });
        (counts, self.count.saturating_sub(before))
    }
}

/// Counts how long calls took.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    total_nanos: AtomicU64,
    max_nanos: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            total_nanos: AtomicU64::new(0),
            max_nanos: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    pub(super) fn count(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.max_nanos.fetch_max(nanos, Relaxed);
        self.total_nanos.fetch_add(nanos, Relaxed);
        self.buckets[bucket(nanos)].fetch_add(1, Relaxed);
    }

    /// Nothing where nothing was counted.
    pub(super) fn read(&self) -> Option<Latency> {
        let counts: Vec<_> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let count: u64 = counts.iter().sum();
        if count == 0 {
            return None;
        }
        let max = self.max_nanos.load(Relaxed);
        let percentile = |percent: u64| {
            let wanted = (count * percent).div_ceil(100);
            let mut seen = 0;
            let reached = counts.iter().position(|more| {
                seen += more;
                seen >= wanted
            });
            micros(reached.map_or(max, |reached| end(reached).min(max)))
        };
        let filled = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let told = |(bucket, count): (usize, &u64)| LatencyBucket {
            above_ns: bucket.checked_sub(1).map_or(0, end),
            // What is beyond all buckets is in the last one.
            upto_ns: (bucket + 1 < BUCKETS).then(|| end(bucket)),
            count: *count,
        };
        Some(Latency {
            buckets: filled.map(told).collect(),
            count,
            total_us: micros(self.total_nanos.load(Relaxed)),
            p50_us: percentile(50),
            p90_us: percentile(90),
            p99_us: percentile(99),
            max_us: micros(max),
        })
    }
}

/// Rounded up, so that nothing takes no time.
fn micros(nanos: u64) -> u64 {
    nanos.div_ceil(1000)
}

/// The bucket of a time. Its end is the longest time that belongs to it, as in the histograms of Prometheus.
fn bucket(nanos: u64) -> usize {
    let nanos = nanos.saturating_sub(1).clamp(1 << FIRST, (1 << (FIRST + DOUBLINGS)) - 1);
    let doubling = nanos.ilog2();
    // The bits below the leading one say which quarter of the doubling it is.
    let step = (nanos >> (doubling - FINENESS)) as usize % STEPS;
    (doubling - FIRST) as usize * STEPS + step
}

/// Where a bucket ends: what takes so many nanoseconds still belongs to it.
fn end(bucket: usize) -> u64 {
    ((STEPS + bucket % STEPS + 1) as u64) << (FIRST as usize + bucket / STEPS - FINENESS as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(times: &[u64]) -> Latency {
        let histogram = Histogram::default();
        for nanos in times {
            histogram.count(Duration::from_nanos(*nanos));
        }
        histogram.read().expect("there are some")
    }

    #[test]
    fn nothing_is_said_of_no_calls() {
        assert_eq!(Histogram::default().read(), None);
    }

    #[test]
    fn one_call_is_told_as_it_was() {
        let ms = 1_000_000;
        let bucket = LatencyBucket { above_ns: 6_291_456, upto_ns: Some(7_340_032), count: 1 };
        let wanted = Latency {
            count: 1,
            total_us: 7_000,
            p50_us: 7_000,
            p90_us: 7_000,
            p99_us: 7_000,
            max_us: 7_000,
            buckets: vec![bucket],
        };
        assert_eq!(read(&[7 * ms]), wanted);
    }

    #[test]
    fn what_is_beyond_all_buckets_is_counted_all_the_same() {
        let latency = read(&[0, 1, u64::MAX]);
        assert_eq!((latency.count, latency.max_us), (3, u64::MAX.div_ceil(1000)));
        let first = LatencyBucket { above_ns: 0, upto_ns: Some(1_280), count: 2 };
        let last = LatencyBucket { above_ns: end(BUCKETS - 2), upto_ns: None, count: 1 };
        assert_eq!(latency.buckets, [first, last]);
        assert_eq!(latency.up_to(u64::MAX), 2, "of what has no bound nobody says that it took no longer");
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for bucket in 0..BUCKETS - 1 {
            let end = end(bucket);
            assert_eq!((super::bucket(end), super::bucket(end + 1)), (bucket, bucket + 1), "at {end} ns");
        }
    }

    #[test]
    fn each_bound_is_the_end_of_a_bucket() {
        for bound in LATENCY_BOUNDS {
            assert_eq!(end(bucket(bound)), bound);
        }
        assert!(LATENCY_BOUNDS.is_sorted());
    }

    proptest! {
        #[test]
        fn a_percentile_is_never_less_than_it_was_nor_much_more(
            mut times in prop::collection::vec(1_024_u64..1 << 40, 1..200),
        ) {
            let latency = read(&times);
            times.sort_unstable();
            for (percent, told) in [(50, latency.p50_us), (90, latency.p90_us), (99, latency.p99_us)] {
                let exact = times[(times.len() * percent).div_ceil(100) - 1];
                prop_assert!(told >= micros(exact), "p{percent}: {told} of {exact} ns");
                prop_assert!(told <= micros(exact + exact / 4 + 1), "p{percent}: {told} of {exact} ns");
            }
            prop_assert_eq!(latency.max_us, micros(times[times.len() - 1]));
        }

        #[test]
        fn the_buckets_hold_each_call_once_and_tell_exactly_how_many_took_no_longer(
            times in prop::collection::vec(prop_oneof![0_u64..1 << 44, prop::sample::select(&LATENCY_BOUNDS[..])], 1..200),
        ) {
            let latency = read(&times);
            prop_assert_eq!(latency.buckets.iter().map(|bucket| bucket.count).sum::<u64>(), times.len() as u64);
            for bucket in &latency.buckets {
                let LatencyBucket { above_ns, upto_ns, count } = *bucket;
                // What takes no time at all belongs to the first.
                let within = |nanos: &&u64| (**nanos).max(1) > above_ns && upto_ns.is_none_or(|upto| **nanos <= upto);
                prop_assert_eq!(times.iter().filter(within).count() as u64, count);
            }
            for bound in LATENCY_BOUNDS {
                let exact = times.iter().filter(|nanos| **nanos <= bound).count() as u64;
                prop_assert_eq!(latency.up_to(bound), exact, "up to {} ns", bound);
            }
        }
    }
}
