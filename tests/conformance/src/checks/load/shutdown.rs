//! LOAD-9: the end of an instance. Its threads, descriptors and helpers go; its workers stay.

use std::time::{Duration, Instant};

use longshore_plugin_api::{Clause, WorkerStatus};

use crate::{
    bench::Bench,
    census,
    quirks::Outlives,
    subject::{Handle, SHUTDOWN, Subject},
    verdict::{Must as _, Verdict, breach, demand},
    witness::{Temper, Witness},
};

const CLAUSE: Clause = Clause::LoadShutdown;

/// How long workers are watched after their instance has been dropped: whoever takes them along does it soon.
const WATCH: Duration = Duration::from_millis(300);

/// Uses an instance in every way that takes a thread or a descriptor: launches workers, waits until they run, asks, kills some.
/// Gives back those that are alive.
fn use_it(bench: &Bench, subject: &Subject<'_>, cluster: &str) -> Verdict<Vec<Handle>> {
    let handles = subject.up(cluster, bench.modest(4))?;
    subject.wait_running(cluster, &handles, CLAUSE)?;
    if subject.provider().has_list() {
        subject.list(cluster).must(CLAUSE, "a list of live workers succeeds")?;
    }
    subject.is_running(cluster, &handles).must(CLAUSE, "is_running of live workers succeeds")?;
    let (some, rest) = handles.split_at(handles.len() / 2);
    subject.down(cluster, some)?;
    Ok(rest.to_vec())
}

fn drop_it(subject: Subject<'_>, state: &str) -> Verdict<Duration> {
    let begin = Instant::now();
    let gone = subject.shut_down();
    demand(gone, CLAUSE, format_args!("dropping an instance returns within {SHUTDOWN:?}"), || {
        format!("an instance {state} was not gone after {:?}", begin.elapsed())
    })?;
    Ok(begin.elapsed())
}

/// Kills workers with an instance that is made for it alone.
fn kill_with_another(bench: &Bench, cluster: &str, handles: &[Handle]) -> Verdict {
    if bench.quirks().outlives == Outlives::Nothing || handles.is_empty() {
        return Ok(());
    }
    let subject = bench.provider()?;
    subject.down(cluster, handles)?;
    drop_it(subject, "that has killed another one's workers").map(drop)
}

pub(crate) fn drop_ends_threads(bench: &Bench) -> Verdict {
    let expected = "when an instance that was used has been dropped, the process has the threads that it had before it was made";
    bench.library()?;
    let before = census::threads()?;
    let cluster = bench.cluster();
    let subject = bench.provider()?;
    let alive = use_it(bench, &subject, &cluster)?;
    drop_it(subject, "with live workers")?;
    let left = census::settle(|| Ok(census::threads()?.beyond(&before)))?;
    demand(left.is_empty(), CLAUSE, expected, || format!("left over: {left}"))?;
    kill_with_another(bench, &cluster, &alive)?;
    // One that was never used has threads as well, and so has one that failed.
    drop_it(bench.provider()?, "that was never used")?;
    if let Some(bad) = bench.quirks().bad_config.first() {
        drop(bench.create(&bench.overlaid(&bad.config))?);
    }
    let left = census::settle(|| Ok(census::threads()?.beyond(&before)))?;
    demand(left.is_empty(), CLAUSE, expected, || format!("left over of further instances: {left}"))
}

pub(crate) fn drop_closes_descriptors(bench: &Bench) -> Verdict {
    let expected = "when an instance that was used has been dropped, the process has the descriptors and child processes that \
                    it had before it was made";
    bench.library()?;
    // What a process has once (a log of a library's, a source of random numbers) comes with the first instance.
    let cluster = bench.cluster();
    let subject = bench.provider()?;
    let alive = use_it(bench, &subject, &cluster)?;
    subject.down(&cluster, &alive)?;
    drop_it(subject, "without workers")?;
    let (descriptors, children) = (census::descriptors()?, census::settled_children()?);
    for leave_some in [false, true] {
        let subject = bench.provider()?;
        let alive = use_it(bench, &subject, &cluster)?;
        if !leave_some {
            subject.down(&cluster, &alive)?;
        }
        let state = if leave_some { "with live workers" } else { "whose workers had stopped" };
        drop_it(subject, state)?;
        let left = census::settle(|| Ok(census::descriptors()?.more_than(&descriptors)))?;
        demand(left.is_empty(), CLAUSE, expected, || format!("an instance {state} left open: {left}"))?;
        if leave_some {
            // A worker may be a child of the process: it counts when it is dead.
            kill_with_another(bench, &cluster, &alive)?;
        }
        let left = census::settle(|| Ok(census::children()?.beyond(&children)))?;
        demand(left.is_empty(), CLAUSE, expected, || format!("an instance {state} left over: {left}"))?;
    }
    Ok(())
}

pub(crate) fn drop_leaves_workers(bench: &Bench) -> Verdict {
    bench.outlives(Outlives::Instance)?;
    let expected = "workers live on when their instance has been dropped, and the next instance finds them";
    let cluster = bench.cluster();
    let subject = bench.provider()?;
    let mut handles = subject.up(&cluster, bench.modest(3))?;
    let witness = witness(bench, &subject, &cluster, &mut handles)?;
    subject.wait_running(&cluster, &handles, CLAUSE)?;
    drop_it(subject, "with live workers")?;
    let next = bench.provider()?;
    let end = Instant::now() + WATCH;
    loop {
        let is_last = Instant::now() >= end;
        let statuses = next.status(&cluster, &handles).must(CLAUSE, expected)?;
        if let Some(place) = statuses.iter().position(|status| *status == WorkerStatus::Stopped) {
            return breach(CLAUSE, expected, format_args!("the worker {} has stopped", handles[place]));
        }
        if let Some(witness) = &witness {
            demand(
                witness.is_alive(),
                CLAUSE,
                expected,
                || "a worker that told the check of itself ended when its instance was dropped",
            )?;
        }
        if is_last {
            break;
        }
        std::thread::sleep(bench.quirks().poll.min(WATCH));
    }
    if next.provider().has_list() {
        let listed = next.list(&cluster).must(CLAUSE, expected)?;
        let lost = handles.iter().find(|handle| listed.iter().all(|entry| *entry.handle != ***handle));
        demand(lost.is_none(), CLAUSE, expected, || {
            format!("the next instance does not list {}", lost.map_or("", AsRef::as_ref))
        })?;
    }
    next.kill_all(&cluster, &handles, CLAUSE)?;
    next.wait_stopped(&cluster, &handles, CLAUSE)?;
    let Some(witness) = witness else { return Ok(()) };
    demand(
        witness.ends_within(bench.quirks().grace),
        CLAUSE,
        "the next instance kills the workers",
        || "it says that a worker has stopped, which has not",
    )
}

/// A worker that tells the check of itself, where the quirks say how.
fn witness(
    bench: &Bench,
    subject: &Subject<'_>,
    cluster: &str,
    handles: &mut Vec<Handle>,
) -> Verdict<Option<Witness>> {
    if bench.quirks().witness.is_none() {
        return Ok(None);
    }
    let witnesses = bench.witnesses()?;
    let container = witnesses.container(Temper::Meek, &[], &[])?;
    handles.extend(subject.up_of(cluster, &bench.request_of(container, 1))?);
    Ok(witnesses.expect(1)?.pop())
}

pub(crate) fn drop_is_quick(bench: &Bench) -> Verdict {
    let cluster = bench.cluster();
    drop_it(bench.provider()?, "that was never used")?;
    let subject = bench.provider()?;
    let handles = subject.up(&cluster, bench.modest(6))?;
    drop_it(subject, "whose workers had just been launched")?;
    kill_with_another(bench, &cluster, &handles)?;
    let subject = bench.provider()?;
    use_it(bench, &subject, &cluster)?;
    drop_it(subject, "with live workers").map(drop)
}
