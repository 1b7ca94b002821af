//! Work in rounds, and what is counted after each. A cache fills up in the first rounds; what has grown in every one of them is
//! a leak.

use std::time::{Duration, Instant};

use longshore_plugin_api::Clause;

use crate::{
    bench::Bench,
    census::{self, Memory, Things},
    verdict::{Verdict, breach, demand},
};

const CLAUSE: Clause = Clause::HygieneLeaks;

/// The rounds that are counted, after one that is not.
pub(super) const ROUNDS: usize = 3;

/// The cycles of a round: at most, as far as they fit into the round's share of the check's time, and at least.
pub(super) const MOST_CYCLES: usize = 25;
const LEAST_CYCLES: usize = 3;

/// How long one round may take, and the share of the check's time that it may take at most.
const ROUND: Duration = Duration::from_millis(600);
const SHARE: u32 = 16;

/// How long the first count waits.
const MOMENT: Duration = Duration::from_millis(100);

/// How much longer it takes with `--long`.
const LONG: usize = 10;

/// The growth of the memory that counts: in a round, and in each of its cycles, in bytes. An allocator gives back in large pieces,
/// and what was asked for and never written to costs little: the C library keeps the stacks of threads that have ended, 2 MiB
/// each, and a busy machine has more of them at once from round to round.
const USED: Growth = Growth { round: 512 << 10, cycle: 16 << 10 };
const ASKED_FOR: Growth = Growth { round: 6 << 20, cycle: 512 << 10 };

#[derive(Clone, Copy)]
struct Growth {
    round: u64,
    cycle: u64,
}

impl Growth {
    /// Whether each step of a series is at least this large.
    fn is_in(self, series: impl Iterator<Item = u64>, cycles: usize) -> bool {
        let least = self.round.max(self.cycle * cycles as u64);
        let series: Vec<u64> = series.collect();
        series.windows(2).all(|pair| pair[1].saturating_sub(pair[0]) >= least)
    }
}

/// How many cycles one round has.
pub(super) struct Round {
    pub(super) cycles: usize,
}

impl Round {
    /// Does as many cycles as fit into a round, which settles how many the others have.
    pub(super) fn first(
        bench: &Bench,
        most: usize,
        mut cycle: impl FnMut(usize) -> Verdict,
    ) -> Verdict<Self> {
        let long = if bench.is_long() { LONG } else { 1 };
        let most = most * long;
        let end = Instant::now() + (ROUND * long as u32).min(bench.quirks().check / SHARE);
        let mut cycles = 0;
        while cycles < LEAST_CYCLES || (cycles < most && Instant::now() < end) {
            cycle(cycles)?;
            cycles += 1;
        }
        Ok(Self { cycles })
    }

    pub(super) fn again(&self, mut cycle: impl FnMut(usize) -> Verdict) -> Verdict {
        (0..self.cycles).try_for_each(&mut cycle)
    }
}

/// A count that gives what is ending the time to end: until there is no more than there was before. The first count has nothing
/// to go by, and waits a moment, lest what ends in it hides a growth afterwards.
pub(super) fn settled(before: Option<&Things>, mut look: impl FnMut() -> Verdict<Things>) -> Verdict<Things> {
    let Some(before) = before.map(Things::count) else {
        std::thread::sleep(MOMENT);
        return look();
    };
    let mut last = Things::default();
    census::settle(|| {
        last = look()?;
        Ok(if last.count() > before { last.clone() } else { Things::default() })
    })?;
    Ok(last)
}

/// Whether there were more after every round.
pub(super) fn has_grown(counts: &[Things]) -> bool {
    counts.windows(2).all(|pair| pair[1].count() > pair[0].count())
}

pub(super) fn in_rounds(counts: &[Things], cycles: usize) -> String {
    let numbers: Vec<_> = counts.iter().map(|things| things.count().to_string()).collect();
    format!("after rounds of {cycles} cycles each there were {}", numbers.join(", "))
}

/// Demands that a series of counts has not grown in every round. What is at work for as long as the grace, such as a thread that
/// waits to use force, is given that time before it counts.
pub(super) fn demand_rest(
    bench: &Bench,
    mut counts: Vec<Things>,
    cycles: usize,
    of: &str,
    look: impl Fn() -> Verdict<Things>,
) -> Verdict {
    if has_grown(&counts) {
        let first = counts.first().map_or(0, Things::count);
        let waited = bench.poll(grace(bench), || {
            let now = look()?;
            let is_gone = now.count() <= first;
            counts.pop();
            counts.push(now);
            Ok(is_gone.then_some(()))
        })?;
        if waited.is_some() {
            return Ok(());
        }
    }
    demand(!has_grown(&counts), CLAUSE, format_args!("many launches and kills leave no {of} behind"), || {
        let new = match &counts[..] {
            [.., before, last] => last.clone().beyond(before),
            _ => Things::default(),
        };
        format!("{}; the last round left {new}", in_rounds(&counts, cycles))
    })
}

/// How long what comes of a kill may be at work: the grace, as far as the check's time allows it.
fn grace(bench: &Bench) -> Duration {
    bench.quirks().grace.min(bench.quirks().check / 4)
}

pub(super) fn demand_memory(bench: &Bench, mut counts: Vec<Memory>, cycles: usize, what: &str) -> Verdict {
    let grown = |counts: &[Memory]| {
        let used = USED.is_in(counts.iter().map(|memory| memory.used), cycles);
        (used, ASKED_FOR.is_in(counts.iter().map(|memory| memory.asked_for), cycles))
    };
    if grown(&counts) == (false, false) {
        return Ok(());
    }
    // As with threads: what belongs to a kill that is at work goes with it.
    let waited = bench.poll(grace(bench), || {
        counts.pop();
        counts.push(census::memory()?);
        Ok((grown(&counts) == (false, false)).then_some(()))
    })?;
    if waited.is_some() {
        return Ok(());
    }
    let (used, _) = grown(&counts);
    let kib = |of: fn(&Memory) -> u64| {
        let numbers: Vec<_> = counts.iter().map(|memory| (of(memory) >> 10).to_string()).collect();
        numbers.join(", ")
    };
    let (numbers, word) = if used {
        (kib(|memory| memory.used), "in use")
    } else {
        (kib(|memory| memory.asked_for), "asked for")
    };
    breach(
        CLAUSE,
        format_args!("the process does not grow with every {what}"),
        format_args!("after rounds of {cycles} each, {numbers} KiB of its memory were {word}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_counts_where_it_is_in_every_round_and_large_enough() {
        let growth = Growth { round: 100, cycle: 10 };
        assert!(growth.is_in([0, 100, 200, 300].into_iter(), 10));
        assert!(!growth.is_in([0, 100, 199, 300].into_iter(), 10), "one round was smaller");
        assert!(!growth.is_in([0, 500, 500, 900].into_iter(), 10), "one round had none");
        assert!(!growth.is_in([0, 100, 200, 300].into_iter(), 11), "less than 10 a cycle");
        assert!(!growth.is_in([300, 200, 100, 0].into_iter(), 1));
    }
}
