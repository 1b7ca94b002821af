//! HYG-2: what is left over when the same is done many times.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use longshore_plugin_api::Clause;

use super::rounds::{MOST_CYCLES, ROUNDS, Round, demand_memory, demand_rest, has_grown, in_rounds, settled};
use crate::{
    bench::Bench,
    census::{self, Memory, Things},
    quirks::Costly,
    subject::{Handle, Subject},
    verdict::{Must as _, Verdict, breach, demand, skip},
};

const CLAUSE: Clause = Clause::HygieneLeaks;

/// The rounds after which a store of files that nothing cleans up must have stopped growing.
const LONGEST_GROWTH: usize = 12;

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

pub(crate) fn cycles_leave_no_descriptors(bench: &Bench) -> Verdict {
    let mut life = Life::begin(bench)?;
    let (counts, cycles) = life.counted(|before| settled(before, census::descriptors))?;
    demand_rest(bench, counts, cycles, "descriptors", census::descriptors)
}

pub(crate) fn cycles_leave_no_threads(bench: &Bench) -> Verdict {
    let mut life = Life::begin(bench)?;
    let (counts, cycles) = life.counted(|before: Option<&(Things, Things)>| {
        let threads = settled(before.map(|it| &it.0), census::threads)?;
        Ok((threads, settled(before.map(|it| &it.1), census::children)?))
    })?;
    let (threads, children): (Vec<_>, Vec<_>) = counts.into_iter().unzip();
    demand_rest(bench, threads, cycles, "threads", census::threads)?;
    demand_rest(bench, children, cycles, "child processes", census::children)
}

pub(crate) fn cycles_leave_no_memory(bench: &Bench) -> Verdict {
    let mut life = Life::begin(bench)?;
    let (counts, cycles) = life.counted(|_| census::memory())?;
    demand_memory(bench, counts, cycles, "cycle of launches and kills")
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
    demand_rest(bench, counts, cycles, "files", || Ok(count()))
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
    let cycles = round.cycles;
    demand_rest(bench, series(|left| &left.threads), cycles, "threads of instances", census::threads)?;
    demand_rest(
        bench,
        series(|left| &left.descriptors),
        cycles,
        "descriptors of instances",
        census::descriptors,
    )?;
    demand_rest(
        bench,
        series(|left| &left.children),
        cycles,
        "child processes of instances",
        census::children,
    )?;
    let memory = counts.iter().map(|left| left.memory).collect();
    demand_memory(bench, memory, cycles, "instance that is made and dropped")
}
