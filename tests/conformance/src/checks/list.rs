//! The checks of the family `list`: what `list` names is compared with what the runs answered, and with the clusters beside.

pub(crate) mod expected;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use longshore_plugin_api::{Clause, LaunchToken, ListedHandle, WorkerStatus};
use longshore_providers::CallError;

use crate::{
    bench::Bench,
    checks::{concurrency::begin, run::crashed::Doomed},
    order::{Brought, Errand},
    quirks::{Outlives, SlowRun},
    subject::{self, Handle, Subject},
    verdict::{Must as _, Stop, Verdict, breach, demand, fault, skip},
    watch,
    witness::{Temper, Witness},
};

use expected::{COMPLETE, Live, ONLY_OURS, shared};

/// Every live handle is listed once: right after each run, once all are running, and for as long as a killed one is alive.
pub(crate) fn list_names_all(bench: &Bench) -> Verdict {
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    let mut live = Live::default();
    let all = bench.modest(9);
    for workers in thirds(all) {
        live.launch(&subject, &cluster, &bench.request(workers))?;
        live.demand(&subject, &cluster, Clause::ListComplete)?;
    }
    subject.wait_running(&cluster, &live.handles(), Clause::ListComplete)?;
    live.demand(&subject, &cluster, Clause::ListComplete)?;
    let killed: Vec<Handle> = live.handles().into_iter().step_by(2).collect();
    subject.kill_all(&cluster, &killed, Clause::KillTrue)?;
    live.forget(&killed);
    listed_while_they_live(bench, &subject, &cluster, &killed)?;
    live.demand(&subject, &cluster, Clause::ListComplete)
}

/// What was killed is alive until status says otherwise, and listed until then.
fn listed_while_they_live(bench: &Bench, subject: &Subject<'_>, cluster: &str, killed: &[Handle]) -> Verdict {
    let gone = bench.poll(bench.quirks().grace, || {
        let listed = subject.listed(cluster, Clause::ListComplete)?;
        // Whoever is alive after the list was alive while it was made: there is no way back from stopped.
        let after = subject.status(cluster, killed).must(Clause::StatusCount, "status answers")?;
        let listed: BTreeSet<&str> = listed.iter().map(|entry| entry.handle.as_str()).collect();
        for (handle, status) in killed.iter().zip(&after) {
            demand(
                *status == WorkerStatus::Stopped || listed.contains(&**handle),
                Clause::ListComplete,
                COMPLETE,
                || format!("{handle} was killed and is not listed, while its status is still {status}"),
            )?;
        }
        Ok(after.iter().all(|status| *status == WorkerStatus::Stopped).then_some(()))
    })?;
    demand(gone.is_some(), Clause::KillTrue, Clause::KillTrue.text(), || {
        format!("{} killed workers had not all stopped within the grace", killed.len())
    })
}

/// Three runs of nearly the same size; of at least one worker each.
fn thirds(workers: u32) -> [u32; 3] {
    let third = (workers / 3).max(1);
    [1, third, workers.saturating_sub(1 + third).max(1)]
}

/// Tokens and counts are each container's own, whatever happens to others of its launch.
pub(crate) fn list_tokens_and_counts(bench: &Bench) -> Verdict {
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    let mut live = Live::default();
    // Containers that are full, one that is not, and some that hold one worker: a count that is guessed is wrong once.
    let sizes: &[(u32, u32)] =
        if bench.modest(12) < 12 { &[(3, 2), (1, 2)] } else { &[(5, 3), (4, 4), (1, 4), (2, 1)] };
    let mut of_launch = BTreeMap::new();
    for (workers, each) in sizes {
        let request = shared(bench, *workers, *each);
        let handles = live.launch(&subject, &cluster, &request)?;
        of_launch.insert(request.token, handles);
        live.demand(&subject, &cluster, Clause::ListComplete)?;
    }
    subject.wait_running(&cluster, &live.handles(), Clause::ListComplete)?;
    live.demand(&subject, &cluster, Clause::ListComplete)?;
    let Some(first) = of_launch.into_values().find(|handles| handles.len() > 1) else { return Ok(()) };
    subject.down(&cluster, &first[..1])?;
    live.forget(&first[..1]);
    live.demand(&subject, &cluster, Clause::ListComplete)
}

/// More handles and more launches than a page of anybody's would hold.
pub(crate) fn list_of_many(bench: &Bench) -> Verdict {
    /// Launches of a worker each, beside a large one.
    const SINGLE: u32 = 20;
    let most = if bench.is_long() { 1_100 } else { 130 };
    let all = bench.afford(100)?.max(most.min(bench.quirks().most_workers));
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    let mut live = Live::default();
    for _ in 0..SINGLE / 2 {
        live.launch(&subject, &cluster, &bench.request(1))?;
    }
    live.launch(&subject, &cluster, &bench.request(all - SINGLE))?;
    for _ in 0..SINGLE / 2 {
        live.launch(&subject, &cluster, &bench.request(1))?;
    }
    live.demand(&subject, &cluster, Clause::ListComplete)
}

/// Lists beside runs may fail, but show what was reported before they were asked for; the last one is complete.
pub(crate) fn list_while_launching(bench: &Bench) -> Verdict {
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    let runs = bench.modest(10);
    let tokens: Mutex<BTreeSet<LaunchToken>> = Mutex::default();
    let reported: Mutex<Vec<Handle>> = Mutex::default();
    let is_done = AtomicBool::new(false);
    let launch = || {
        let mut live = Live::default();
        for _ in 0..runs {
            let request = bench.request(1);
            tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(request.token.clone());
            let handles = live.launch(&subject, &cluster, &request)?;
            reported.lock().unwrap_or_else(PoisonError::into_inner).extend(handles);
        }
        Ok(live)
    };
    let watch = || -> Verdict {
        while !is_done.load(Ordering::Acquire) {
            let before = reported.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let listed = match subject.list(&cluster) {
                Ok(listed) => listed,
                Err(error) if subject::is_panic(&error) => {
                    return Err(error).must(Clause::ListComplete, "a list beside a run answers or fails");
                }
                // It may not be sure in the middle of a launch.
                Err(_) => continue,
            };
            let sent = tokens.lock().unwrap_or_else(PoisonError::into_inner).clone();
            shows(&before, &sent, &listed)?;
            // Not so often that the runs wait for nothing but lists.
            std::thread::yield_now();
        }
        Ok(())
    };
    // The cluster is there before it is listed, as it is where a host lists.
    subject
        .prepare(&cluster)
        .must(Clause::InitializeAgain, "a cluster is initialized before its first run")?;
    let live = std::thread::scope(|scope| {
        let watcher = scope.spawn(watch);
        let live: Verdict<Live> = launch();
        is_done.store(true, Ordering::Release);
        let Ok(seen) = watcher.join() else { return fault("the thread that lists panicked") };
        let live = live?;
        seen.map(|()| live)
    })?;
    live.demand(&subject, &cluster, Clause::ListComplete)?;
    match &bench.quirks().slow_run {
        Some(slow) => match beside_a_long_run(bench, slow) {
            // The run was over too soon; without it much was seen already.
            Err(Stop::Skip(_)) => Ok(()),
            other => other,
        },
        None => Ok(()),
    }
}

/// Beside a run that takes long, a list may fail for a moment, and not for all of the run's time.
fn beside_a_long_run(bench: &Bench, slow: &SlowRun) -> Verdict {
    let expected = "a list is answered while a run is under way, and shows what that has made so far";
    let (subject, cluster) = (bench.provider_with(&slow.config)?, bench.cluster());
    let (running, _) = begin(bench, &subject, slow, &cluster, bench.quirks().call)?;
    let mut asked: Verdict<Option<CallError>> = Ok(None);
    while subject.provider().load().busy > 0 {
        match subject.list(&cluster) {
            Ok(_) => {
                asked = Ok(None);
                break;
            }
            Err(error) if subject::is_panic(&error) => {
                asked = Err(error).must(Clause::ListComplete, expected);
                break;
            }
            Err(error) => asked = Ok(Some(error)),
        }
        std::thread::sleep(bench.quirks().poll);
    }
    running.cancel();
    drop(running.answer()?);
    match asked? {
        Some(error) => {
            let seen = format!("every list failed until the run had ended; the last one said: {error}");
            breach(Clause::ListComplete, expected, seen)
        }
        None => Ok(()),
    }
}

/// A launch is cut off by the death of its process, and its workers tell of themselves: the list of an instance that has not
/// heard of it has them. That is all by which the next host finds out what such a launch has made.
pub(crate) fn list_after_a_crash(bench: &Bench) -> Verdict {
    /// Workers of a run that is not declared to be slow: so many that the first is at work before the last is made.
    const SOME: u32 = 40;
    /// How often to try, as the run may be over too soon.
    const TRIES: u32 = 3;
    let expected = "a launch that was cut off shows in the list what it had made, from the moment in which the backend has it";
    bench.outlives(Outlives::Process)?;
    let witnesses = bench.witnesses()?;
    let subject = bench.provider()?;
    let doomed = Doomed::of(bench, SOME);
    for _ in 0..TRIES {
        let (cluster, token) = (bench.cluster(), bench.token());
        let container = witnesses.container(Temper::Meek, &[], &[])?;
        let mut alive = Vec::new();
        let is_time = || {
            alive.extend(witnesses.hear(1, Duration::ZERO)?);
            Ok(!alive.is_empty())
        };
        let was_cut = doomed.launch(bench, &subject, (&cluster, &token), container, is_time)?;
        alive.extend(witnesses.hear(doomed.workers as usize, watch::WATCH)?);
        let listed = subject.listed(&cluster, Clause::ListComplete)?;
        // Whoever is alive after the list was alive while it was made.
        alive.retain(Witness::is_alive);
        let of_this = listed.iter().filter(|entry| entry.token == token);
        let shown: u64 = of_this.map(|entry| u64::from(entry.workers)).sum();
        demand(alive.len() as u64 <= shown, Clause::ListComplete, expected, || {
            let pids: Vec<_> = alive.iter().map(|witness| witness.hello.pid).collect();
            format!(
                "{shown} workers of the launch {token} are listed, and {} are alive: the processes {pids:?}",
                alive.len()
            )
        })?;
        let all: Vec<Handle> = listed.into_iter().map(|entry| entry.handle.into()).collect();
        subject.down(&cluster, &all)?;
        if was_cut && !alive.is_empty() {
            return Ok(());
        }
    }
    skip("no run was still going on when the first of its workers told the check of itself")
}

/// A list that was asked for after `before` was reported, and before any but the tokens `sent` were sent.
fn shows(before: &[Handle], sent: &BTreeSet<LaunchToken>, listed: &[ListedHandle]) -> Verdict {
    let handles: BTreeSet<&str> = listed.iter().map(|entry| entry.handle.as_str()).collect();
    if let Some(missing) = before.iter().find(|handle| !handles.contains(&***handle)) {
        let seen = format!(
            "{missing}, which a run had answered with before, is not in a list that was asked for during another run; {} of \
             {} were",
            before.iter().filter(|handle| handles.contains(&***handle)).count(),
            before.len()
        );
        return breach(Clause::ListComplete, COMPLETE, seen);
    }
    let stranger = listed.iter().find(|entry| !sent.contains(&entry.token));
    match stranger {
        Some(entry) => {
            let seen =
                format!("{} is listed with the token {}, which nobody sent", entry.handle, entry.token);
            breach(Clause::ListComplete, COMPLETE, seen)
        }
        None => Ok(()),
    }
}

/// Clusters whose names begin with one another's, or differ by a sign or by capitals alone.
pub(crate) fn list_other_clusters(bench: &Bench) -> Verdict {
    /// A host's cluster names are no longer.
    const LONGEST: usize = 63;
    let subject = bench.provider()?;
    let stem = bench.cluster();
    let similar = ["a", "-a", ".a", "_a", "a-a"].map(|end| format!("{stem}{end}"));
    let mut names: Vec<String> =
        similar.into_iter().chain([format!("{stem}A"), format!("{stem}-a.a")]).collect();
    names.retain(|name| name.len() <= LONGEST);
    names.truncate(bench.modest(7) as usize);
    let mut clusters = Vec::new();
    for name in names {
        let mut live = Live::default();
        live.launch(&subject, &name, &bench.request(1))?;
        clusters.push((name, live));
    }
    let of_another = |entry: &ListedHandle| {
        clusters.iter().find(|(_, live)| live.handles().iter().any(|handle| **handle == *entry.handle))
    };
    for (name, live) in &clusters {
        let listed = subject.listed(name, Clause::ListOnlyOurs)?;
        let own = live.handles();
        let stranger = listed.iter().find(|entry| !own.iter().any(|handle| **handle == *entry.handle));
        if let Some(entry) = stranger {
            let whose = of_another(entry).map_or("nobody", |(other, _)| other.as_str());
            let seen =
                format!("the list of the cluster {name} names {}, which belongs to {whose}", entry.handle);
            return breach(Clause::ListOnlyOurs, ONLY_OURS, seen);
        }
        live.compare(&listed, Clause::ListComplete)?;
    }
    // And one that has none, whose name the others begin with.
    subject.prepare(&stem).must(Clause::InitializeAgain, "a cluster can be initialized")?;
    Live::default().demand(&subject, &stem, Clause::ListOnlyOurs)
}

/// What has stopped is not listed: killed, ended by itself, or both, and by nobody's memory.
pub(crate) fn list_none_that_stopped(bench: &Bench) -> Verdict {
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    let mut live = Live::default();
    live.launch(&subject, &cluster, &shared(bench, bench.modest(6).div_ceil(2), 1))?;
    live.launch(&subject, &cluster, &shared(bench, bench.modest(6) / 2, 2))?;
    let dead: Vec<Handle> = live.handles().into_iter().step_by(2).collect();
    subject.down(&cluster, &dead)?;
    live.forget(&dead);
    live.demand(&subject, &cluster, Clause::ListComplete)?;
    if let Some(brief) = &bench.quirks().brief {
        let (subject, cluster) = (bench.provider_with(&brief.config)?, bench.cluster());
        let container = brief.container.as_ref().unwrap_or(&bench.quirks().container);
        let ended = subject.up_of(&cluster, &bench.request_of(container.clone(), 1))?;
        let gone = bench.poll(bench.quirks().start, || {
            let statuses = subject.status(&cluster, &ended).must(Clause::StatusCount, "status answers")?;
            Ok(statuses.iter().all(|status| *status == WorkerStatus::Stopped).then_some(()))
        })?;
        // Where it does not end, other checks say so.
        if gone.is_some() {
            Live::default().demand(&subject, &cluster, Clause::ListComplete)?;
        }
    }
    let subject = if bench.quirks().outlives >= Outlives::Instance {
        subject.shut_down();
        let anew = bench.provider()?;
        live.demand(&anew, &cluster, Clause::ListComplete)?;
        anew
    } else {
        subject
    };
    let rest = live.handles();
    subject.down(&cluster, &rest)?;
    live.forget(&rest);
    live.demand(&subject, &cluster, Clause::ListComplete)
}

/// The workers of a provider's first life, which its next ones must list: launches of several shapes, one handle killed.
fn first_life(bench: &Bench, subject: &Subject<'_>, cluster: &str) -> Verdict<Live> {
    let mut live = Live::default();
    live.launch(subject, cluster, &shared(bench, bench.modest(8) - 1, 2))?;
    let single = live.launch(subject, cluster, &bench.request(1))?;
    if live.handles().len() > 2 {
        subject.down(cluster, &single)?;
        live.forget(&single);
    }
    Ok(live)
}

pub(crate) fn list_anew(bench: &Bench) -> Verdict {
    bench.outlives(Outlives::Instance)?;
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    let mut live = first_life(bench, &subject, &cluster)?;
    subject.shut_down();
    let second = bench.provider()?;
    // The first call of its life: nothing has told it of any handle.
    live.demand(&second, &cluster, Clause::ListSurvives)?;
    live.launch(&second, &cluster, &bench.request(1))?;
    live.demand(&second, &cluster, Clause::ListComplete)?;
    second.shut_down();
    live.demand(&bench.provider()?, &cluster, Clause::ListSurvives)
}

pub(crate) fn list_elsewhere(bench: &Bench) -> Verdict {
    bench.outlives(Outlives::Process)?;
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    let live = first_life(bench, &subject, &cluster)?;
    let mut why = String::new();
    let listed = bench.poll(bench.quirks().start, || {
        match bench.elsewhere(Errand::List { cluster: cluster.clone() })? {
            Brought::List(listed) => Ok(Some(listed)),
            Brought::Failed(text) => {
                why = text;
                Ok(None)
            }
            other => fault(format_args!("a list came back as {other:?}")),
        }
    })?;
    match listed {
        Some(listed) => live.compare(&listed, Clause::ListSurvives),
        None => breach(
            Clause::ListSurvives,
            Clause::ListSurvives.text(),
            format_args!("in another process it fails: {why}"),
        ),
    }
}

/// A list of a backend that is out of reach is an error, of a cluster that has workers and of one that has none.
pub(crate) fn list_in_an_outage(bench: &Bench) -> Verdict {
    let expected = "list fails while the backend is out of reach (`outage` of the quirks file)";
    let (subject, cluster, empty) = (bench.provider()?, bench.cluster(), bench.cluster());
    let mut live = Live::default();
    if bench.quirks().outage.is_some() {
        live.launch(&subject, &cluster, &bench.request(bench.modest(3)))?;
        subject.prepare(&empty).must(Clause::InitializeAgain, "a cluster can be initialized")?;
    }
    bench.out_of_reach(&subject, |cut_off| {
        for cluster in [&cluster, &empty] {
            match cut_off.list(cluster) {
                Ok(listed) => {
                    let seen = format!("it answered, with {} handles", listed.len());
                    return breach(Clause::ListFailure, expected, seen);
                }
                Err(error) if subject::is_panic(&error) => {
                    return Err::<(), _>(error).must(Clause::ListFailure, expected);
                }
                Err(_) => {}
            }
        }
        Ok(())
    })?;
    live.demand(&subject, &cluster, Clause::ListComplete)
}
