//! HYG-2: what is left over when the same is done many times. The work comes in rounds, and something is counted after each.
//! A cache fills up in the first rounds; what has grown in every one of them is a leak.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use longshore_plugin_api::Clause;

use crate::{
    bench::Bench,
    census::{self, Memory, Things},
    quirks::Costly,
    subject::{Handle, Subject},
    verdict::{Must as _, Verdict, breach, demand, skip},
};

const CLAUSE: Clause = Clause::HygieneLeaks;

/// The rounds that are counted, after one that is not.
const ROUNDS: usize = 3;

/// The cycles of a round: at most, as far as they fit into the round's share of the check's time, and at least.
const MOST_CYCLES: usize = 25;
const LEAST_CYCLES: usize = 3;

/// The rounds after which a store of files that nothing cleans up must have stopped growing.
const LONGEST_GROWTH: usize = 12;

/// How long one round may take, and the share of the check's time that it may take at most.
const ROUND: Duration = Duration::from_millis(600);
const SHARE: u32 = 16;

/// How long the first count waits.
const MOMENT: Duration = Duration::from_millis(100);

/// How much longer it takes with `--long`.
const LONG: usize = 10;

/// The growth of the memory that counts: in a round, and in each of its cycles, in bytes. An allocator gives back in large pieces,
/// and what was asked for and never written to costs little.
const USED: Growth = Growth { round: 512 << 10, cycle: 16 << 10 };
const ASKED_FOR: Growth = Growth { round: 2 << 20, cycle: 64 << 10 };

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
struct Round {
    cycles: usize,
}

impl Round {
    /// Does as many cycles as fit into a round, which settles how many the others have.
    fn first(bench: &Bench, most: usize, mut cycle: impl FnMut(usize) -> Verdict) -> Verdict<Self> {
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

    fn again(&self, mut cycle: impl FnMut(usize) -> Verdict) -> Verdict {
        (0..self.cycles).try_for_each(&mut cycle)
    }
}

/// Workers that come and go.
struct Life<'b> {
    bench: &'b Bench,
    subject: Subject<'b>,
    cluster: String,
    /// How many workers a cycle has.
    workers: u32,
    /// Killed, and not yet seen to have stopped.
    dying: Vec<Handle>,
}

impl<'b> Life<'b> {
    fn begin(bench: &'b Bench) -> Verdict<Self> {
        bench.cheap(Costly::Launches)?;
        let (cluster, workers) = (bench.cluster(), bench.modest(3));
        Ok(Self { bench, subject: bench.provider()?, cluster, workers, dying: Vec::new() })
    }

    /// Launches workers, asks for them in every way, and kills them. The first cycle of a round waits until they run, and has a
    /// run that fails, where the quirks say how: what is opened on the way to a failure has to be closed as well.
    fn cycle(&mut self, number: usize) -> Verdict {
        let expected = "a call of a plain life of workers succeeds";
        let (subject, cluster) = (&self.subject, self.cluster.as_str());
        if self.dying.len() + self.workers as usize > self.bench.quirks().most_workers as usize {
            subject.wait_stopped(cluster, &self.dying, CLAUSE)?;
            self.dying.clear();
        }
        let handles = subject.up(cluster, self.workers)?;
        if number == 0 {
            subject.wait_running(cluster, &handles, CLAUSE)?;
            self.fail()?;
        }
        let subject = &self.subject;
        subject.status(&self.cluster, &handles).must(CLAUSE, expected)?;
        subject.is_stopped(&self.cluster, &handles).must(CLAUSE, expected)?;
        if subject.provider().has_list() {
            subject.list(&self.cluster).must(CLAUSE, expected)?;
        }
        subject.kill_all(&self.cluster, &handles, CLAUSE)?;
        self.dying.extend(handles);
        Ok(())
    }

    /// A run that fails, of this very instance.
    fn fail(&mut self) -> Verdict {
        let Some(bad) = self.bench.quirks().bad_run.as_ref().filter(|bad| bad.config.is_empty()) else {
            return Ok(());
        };
        let Some(container) = &bad.container else { return Ok(()) };
        let request = self.bench.request_of(container.clone(), 1);
        // Where it succeeds all the same, its worker stops by itself, or is killed like the others.
        let launched =
            self.subject.run(&self.cluster, &request)?.map(|launched| launched.handles).unwrap_or_default();
        let handles: Vec<Handle> = launched.into_iter().map(|(handle, _)| handle).collect();
        self.subject.kill_all(&self.cluster, &handles, CLAUSE)?;
        self.dying.extend(handles);
        Ok(())
    }

    /// Comes to rest: all workers have stopped, what they left behind is cleaned up, and the call threads, which are the
    /// harness's own, have ended.
    fn rest(&mut self) -> Verdict {
        self.subject.wait_stopped(&self.cluster, &self.dying, CLAUSE)?;
        self.dying.clear();
        if self.subject.provider().has_cleanup() {
            self.subject.cleanup(&self.cluster, false).must(CLAUSE, "a cleanup succeeds")?;
        }
        let end = Instant::now() + census::SETTLE;
        while self.subject.provider().load().threads > 0 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Does the rounds, and counts after each: the first count is that after the round which only makes warm.
    fn counted<T>(&mut self, mut count: impl FnMut(Option<&T>) -> Verdict<T>) -> Verdict<(Vec<T>, usize)> {
        let round = Round::first(self.bench, MOST_CYCLES, |number| self.cycle(number))?;
        self.rest()?;
        let mut counts = vec![count(None)?];
        for _ in 0..ROUNDS {
            round.again(|number| self.cycle(number))?;
            self.rest()?;
            let next = count(counts.last())?;
            counts.push(next);
        }
        Ok((counts, round.cycles))
    }
}

/// A count that gives what is ending the time to end: until there is no more than there was before. The first count has nothing
/// to go by, and waits a moment, lest what ends in it hides a growth afterwards.
fn settled(before: Option<&Things>, mut look: impl FnMut() -> Verdict<Things>) -> Verdict<Things> {
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
fn has_grown(counts: &[Things]) -> bool {
    counts.windows(2).all(|pair| pair[1].count() > pair[0].count())
}

fn in_rounds(counts: &[Things], cycles: usize) -> String {
    let numbers: Vec<_> = counts.iter().map(|things| things.count().to_string()).collect();
    format!("after rounds of {cycles} cycles each there were {}", numbers.join(", "))
}

/// Demands that a series of counts has not grown in every round.
fn demand_rest(counts: &[Things], cycles: usize, of: &str) -> Verdict {
    demand(!has_grown(counts), CLAUSE, format_args!("many launches and kills leave no {of} behind"), || {
        let new = match counts {
            [.., before, last] => last.clone().beyond(before),
            _ => Things::default(),
        };
        format!("{}; the last round left {new}", in_rounds(counts, cycles))
    })
}

pub(crate) fn cycles_leave_no_descriptors(bench: &Bench) -> Verdict {
    let mut life = Life::begin(bench)?;
    let (counts, cycles) = life.counted(|before| settled(before, census::descriptors))?;
    demand_rest(&counts, cycles, "descriptors")
}

pub(crate) fn cycles_leave_no_threads(bench: &Bench) -> Verdict {
    let mut life = Life::begin(bench)?;
    let (counts, cycles) = life.counted(|before: Option<&(Things, Things)>| {
        let threads = settled(before.map(|it| &it.0), census::threads)?;
        Ok((threads, settled(before.map(|it| &it.1), census::children)?))
    })?;
    let (threads, children): (Vec<_>, Vec<_>) = counts.into_iter().unzip();
    demand_rest(&threads, cycles, "threads")?;
    demand_rest(&children, cycles, "child processes")
}

pub(crate) fn cycles_leave_no_memory(bench: &Bench) -> Verdict {
    let mut life = Life::begin(bench)?;
    let (counts, cycles) = life.counted(|_| census::memory())?;
    demand_memory(&counts, cycles, "cycle of launches and kills")
}

fn demand_memory(counts: &[Memory], cycles: usize, what: &str) -> Verdict {
    let used = USED.is_in(counts.iter().map(|memory| memory.used), cycles);
    let asked_for = ASKED_FOR.is_in(counts.iter().map(|memory| memory.asked_for), cycles);
    if !used && !asked_for {
        return Ok(());
    }
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
        format_args!("the process does not grow by every {what}"),
        format_args!("after rounds of {cycles} each, {numbers} KiB were {word}"),
    )
}

pub(crate) fn cycles_leave_no_files(bench: &Bench) -> Verdict {
    let mut folders = vec![bench.scratch()];
    folders.extend(bench.quirks().files.iter().map(PathBuf::from));
    let count = || census::files(&folders);
    let mut life = Life::begin(bench)?;
    let (mut counts, cycles) = life.counted(|_| Ok(count()))?;
    if counts.iter().all(Things::is_empty) && bench.quirks().files.is_empty() {
        return skip(
            "there is no file in the scratch folder, and the quirks file names no other folders in `files`",
        );
    }
    let has_cleanup = life.subject.provider().has_cleanup();
    // Where nothing can be cleaned up, what stopped workers left may be kept for a while, but not for ever.
    while !has_cleanup && has_grown(&counts) && counts.len() < LONGEST_GROWTH {
        for number in 0..cycles {
            life.cycle(number)?;
        }
        life.rest()?;
        counts.push(count());
    }
    if has_cleanup && has_grown(&counts) {
        // What a launch has to be remembered by, lest its token launch again, may stay until a deep one.
        life.subject.cleanup(&life.cluster, true).must(CLAUSE, "a deep cleanup succeeds")?;
        let left = count();
        if left.count() <= counts[0].count() {
            bench.note("what launches leave in files goes with a deep cleanup only");
            return Ok(());
        }
        counts.push(left);
        let expected =
            "after many launches and kills and a deep cleanup there are as many files as after the first";
        let [before, .., last] = &counts[..] else { return Ok(()) };
        let new = last.clone().beyond(before);
        return breach(CLAUSE, expected, format_args!("{}; left are {new}", in_rounds(&counts, cycles)));
    }
    demand_rest(&counts, cycles, "files")
}

/// What instances may leave behind.
struct Left {
    threads: Things,
    descriptors: Things,
    children: Things,
    memory: Memory,
}

pub(crate) fn instances_leave_nothing(bench: &Bench) -> Verdict {
    const MOST: usize = 8;
    let cluster = bench.cluster();
    let with_workers = bench.cheap(Costly::Launches).is_ok();
    let expected = "an instance that is made anew works";
    let life = |_| {
        let subject = bench.provider()?;
        if with_workers {
            let handles = subject.up(&cluster, 1)?;
            subject.status(&cluster, &handles).must(CLAUSE, expected)?;
            subject.down(&cluster, &handles)?;
        } else {
            subject.status(&cluster, &[]).must(CLAUSE, expected)?;
        }
        if subject.provider().has_cleanup() {
            subject.cleanup(&cluster, false).must(CLAUSE, expected)?;
        }
        demand(
            subject.shut_down(),
            Clause::LoadShutdown,
            Clause::LoadShutdown.text(),
            || "an instance was not gone in time",
        )
    };
    let count = |before: Option<&Left>| -> Verdict<Left> {
        Ok(Left {
            threads: settled(before.map(|it| &it.threads), census::threads)?,
            descriptors: settled(before.map(|it| &it.descriptors), census::descriptors)?,
            children: settled(before.map(|it| &it.children), census::children)?,
            memory: census::memory()?,
        })
    };
    let round = Round::first(bench, MOST, life)?;
    let mut counts = vec![count(None)?];
    for _ in 0..ROUNDS {
        round.again(life)?;
        let next = count(counts.last())?;
        counts.push(next);
    }
    let series = |of: fn(&Left) -> &Things| counts.iter().map(|left| of(left).clone()).collect::<Vec<_>>();
    demand_rest(&series(|left| &left.threads), round.cycles, "threads of instances")?;
    demand_rest(&series(|left| &left.descriptors), round.cycles, "descriptors of instances")?;
    demand_rest(&series(|left| &left.children), round.cycles, "child processes of instances")?;
    let memory: Vec<_> = counts.iter().map(|left| left.memory).collect();
    demand_memory(&memory, round.cycles, "instance that is made and dropped")
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
