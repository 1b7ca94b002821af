//! What `status` answers for workers of the cluster: a value for each in its place, true, and without any effect.

use std::collections::HashSet;

use longshore_plugin_api::{Clause, WorkerStatus};

use crate::{
    bench::Bench,
    quirks::{Costly, Outlives},
    subject::{Handle, Subject},
    texts,
    verdict::{Must as _, Verdict, breach, demand, fault},
    watch::{self, Eyes},
    witness::Temper,
};

use WorkerStatus::{Initializing, Running, Stopped};

/// How many orders are thrown.
const ORDERS: u64 = 8;

/// How many handles a host asks for at once, in a large cluster.
const MANY: usize = 10_000;

/// How many threads ask, and how often each of them does.
const ASKERS: usize = 4;
const QUESTIONS: usize = 25;
const COSTLY_QUESTIONS: usize = 3;

pub(crate) fn status_order(bench: &Bench) -> Verdict {
    let expected = "each status stands in the place of its handle";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let handles = subject.up_of(&cluster, &watch::apart(bench, bench.modest(6)))?;
    let halves = handles.iter().enumerate();
    let (dead, live): (Vec<_>, Vec<_>) = halves.partition(|(place, _)| place % 2 == 0);
    let dead: Vec<Handle> = dead.into_iter().map(|(_, handle)| Handle::clone(handle)).collect();
    let live: Vec<Handle> = live.into_iter().map(|(_, handle)| Handle::clone(handle)).collect();
    subject.down(&cluster, &dead)?;

    // As they were launched, the other way round, the living first, the dead first, one alone, and as thrown.
    let backwards = handles.iter().rev().cloned().collect();
    let mut orders = vec![handles.clone(), backwards, [&*live, &*dead].concat(), [&*dead, &*live].concat()];
    orders.extend(handles.iter().map(|handle| vec![Handle::clone(handle)]));
    orders.extend((0..ORDERS).map(|number| texts::shuffled(&handles, bench.seed() ^ number)));
    let dead: HashSet<Handle> = dead.into_iter().collect();
    for order in orders {
        let statuses = subject.status(&cluster, &order).must(Clause::StatusCount, expected)?;
        for (place, (handle, status)) in order.iter().zip(statuses).enumerate() {
            let is_dead = dead.contains(handle);
            demand((status == Stopped) == is_dead, Clause::StatusCount, expected, || {
                let fate = if is_dead { "has been killed and had stopped" } else { "is alive" };
                format!(
                    "asked for {} handles, it answered {status} in place {place}, for {handle:?}, which {fate}",
                    order.len()
                )
            })?;
        }
    }
    Ok(())
}

pub(crate) fn status_of_none(bench: &Bench) -> Verdict {
    let expected = "asked for no handles, status answers with none";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    subject.prepare(&cluster).must(Clause::StatusCount, "the cluster is initialized")?;
    // The host's own check sees to the number: what is left is that it is no error, in a cluster without workers and with.
    subject.status(&cluster, &[]).must(Clause::StatusCount, expected)?;
    subject.up(&cluster, 1)?;
    subject.status(&cluster, &[]).must(Clause::StatusCount, expected)?;
    Ok(())
}

pub(crate) fn status_of_many(bench: &Bench) -> Verdict {
    let expected = "status answers for each of 10,000 handles in its place";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let live = subject.up_of(&cluster, &watch::apart(bench, bench.modest(8)))?;
    let mut handles = texts::nobodys(&cluster, MANY - live.len());
    // Scattered, with one at either end.
    let gap = MANY / live.len();
    for (number, handle) in live.iter().enumerate() {
        handles.insert((number * gap).min(handles.len()), Handle::clone(handle));
    }
    if live.len() > 1 {
        handles.swap(gap, MANY - 1);
    }
    let places: HashSet<&Handle> = live.iter().collect();
    let statuses = subject.status(&cluster, &handles).must(Clause::StatusCount, expected)?;
    for (place, (handle, status)) in handles.iter().zip(statuses).enumerate() {
        let is_live = places.contains(handle);
        demand((status != Stopped) == is_live, Clause::StatusCount, expected, || {
            let what = if is_live { "a live worker" } else { "nobody's" };
            format!("it answered {status} in place {place}, for {handle:?}, which is {what}")
        })?;
    }
    Ok(())
}

pub(crate) fn status_comes_to_run(bench: &Bench) -> Verdict {
    let expected = "a worker is initializing or running, comes to run within its time, and never goes back";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let handles = subject.up_of(&cluster, &watch::apart(bench, bench.modest(3)))?;
    let mut before = vec![Initializing; handles.len()];
    let came = bench.poll(bench.quirks().start, || {
        step(&subject, &cluster, &handles, &mut before, false, expected)?;
        Ok(before.iter().all(|status| *status == Running).then_some(()))
    })?;
    demand(came.is_some(), Clause::StatusValue, expected, || {
        let limit = bench.quirks().start;
        format!("after {limit:?} (`start` of the quirks file) {}", told(&handles, &before))
    })?;
    watch::watch(bench, || step(&subject, &cluster, &handles, &mut before, false, expected))?;
    // Another instance has not seen how it came to run.
    if bench.outlives(Outlives::Instance).is_ok() {
        step(&bench.provider()?, &cluster, &handles, &mut before, false, expected)?;
    }
    // From here on it may be running or stopped, in this order.
    subject.kill_all(&cluster, &handles, Clause::KillTrue)?;
    bench.poll(bench.quirks().grace, || {
        step(&subject, &cluster, &handles, &mut before, true, expected)?;
        Ok(before.iter().all(|status| *status == Stopped).then_some(()))
    })?;
    Ok(())
}

/// Asks once more, and demands that no worker has gone back, nor stopped where it may not.
fn step(
    subject: &Subject<'_>,
    cluster: &str,
    handles: &[Handle],
    before: &mut Vec<WorkerStatus>,
    may_stop: bool,
    expected: &str,
) -> Verdict {
    let now = subject.status(cluster, handles).must(Clause::StatusValue, expected)?;
    for ((handle, before), now) in handles.iter().zip(&*before).zip(&now) {
        let is_back = rank(*now) < rank(*before);
        let is_over = *now == Stopped && !may_stop;
        demand(!is_back && !is_over, Clause::StatusValue, expected, || {
            format!("{handle:?} was {before} (or had just been launched), and then {now}")
        })?;
    }
    *before = now;
    Ok(())
}

fn rank(status: WorkerStatus) -> u8 {
    match status {
        Initializing => 0,
        Running => 1,
        Stopped => 2,
    }
}

fn told(handles: &[Handle], statuses: &[WorkerStatus]) -> String {
    let all = handles.iter().zip(statuses).take(4);
    all.map(|(handle, status)| format!("{handle:?} was {status}")).collect::<Vec<_>>().join(", ")
}

pub(crate) fn status_changes_nothing(bench: &Bench) -> Verdict {
    let expected = "asking starts, stops, restarts and removes nothing";
    let clause = Clause::StatusReadOnly;
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let eyes = Eyes::open(bench)?;
    let dead = eyes.launch(&subject, &cluster, 1, Temper::Meek)?;
    subject.down(&cluster, &dead.handles)?;
    let live = eyes.launch(&subject, &cluster, bench.modest(3).min(3), Temper::Meek)?;
    subject.wait_running(&cluster, &live.handles, clause)?;
    let before = listed(&subject, &cluster)?;

    let handles = [&*live.handles, &*dead.handles, &*texts::nobodys(&cluster, 3)].concat();
    let alive: HashSet<&Handle> = live.handles.iter().collect();
    let is_costly = bench.quirks().is_costly(Costly::Calls) && !bench.is_long();
    let questions = if is_costly { COSTLY_QUESTIONS } else { QUESTIONS };
    let ask = |asker: usize| -> Verdict {
        for number in 0..questions {
            let order = texts::shuffled(&handles, (asker * QUESTIONS + number) as u64);
            let statuses = subject.status(&cluster, &order).must(clause, expected)?;
            for (handle, status) in order.iter().zip(statuses) {
                let is_right = status == if alive.contains(handle) { Running } else { Stopped };
                demand(is_right, clause, expected, || {
                    let was = if alive.contains(handle) { "was running" } else { "was stopped" };
                    format!("{handle:?} {was}, and after some {} questions {status}", number * ASKERS)
                })?;
            }
            // They ask as well.
            match number % 3 {
                0 => subject.is_initializing(&cluster, &order).must(clause, expected)?,
                1 => subject.is_running(&cluster, &order).must(clause, expected)?,
                _ => subject.is_stopped(&cluster, &order).must(clause, expected)?,
            };
        }
        Ok(())
    };
    std::thread::scope(|scope| -> Verdict {
        let askers: Vec<_> = (0..ASKERS).map(|asker| scope.spawn(move || ask(asker))).collect();
        for asker in askers {
            asker.join().unwrap_or_else(|_| fault("a thread of the check panicked"))?;
        }
        Ok(())
    })?;

    // What asking has begun may take a moment to show.
    watch::watch(bench, || live.is_well(&subject, clause, expected))?;
    eyes.nobody_comes(watch::WATCH, clause, expected)?;
    let after = listed(&subject, &cluster)?;
    if before != after {
        let seen = format!("the list had {before:?} before, and {after:?} after");
        return breach(clause, expected, seen);
    }
    Ok(())
}

/// What the list names, in order, where there is one.
fn listed(subject: &Subject<'_>, cluster: &str) -> Verdict<Option<Vec<(String, u32)>>> {
    if !subject.provider().has_list() {
        return Ok(None);
    }
    let listed = subject.listed(cluster, Clause::StatusReadOnly)?;
    let mut listed: Vec<_> = listed.into_iter().map(|entry| (entry.handle, entry.workers)).collect();
    listed.sort_unstable();
    Ok(Some(listed))
}
