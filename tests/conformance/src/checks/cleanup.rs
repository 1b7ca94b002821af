//! The checks of the family `cleanup`: what lives is left alone, and what is dead may be cleaned up as often as one likes.

use std::sync::atomic::{AtomicBool, Ordering};

use longshore_plugin_api::{Clause, WorkerStatus};

use crate::{
    bench::Bench,
    checks::{
        list::expected::Live,
        server::life,
        watched::{WATCH, Watched},
    },
    quirks::Outlives,
    subject::Subject,
    verdict::{Must as _, Stop, Verdict, breach, demand, fault},
};

const SUCCEEDS: &str = "cleanup succeeds at any time; what is still in use is no failure";

fn clean(subject: &Subject<'_>, cluster: &str, deep: bool) -> Verdict {
    let expected = format!("{SUCCEEDS} ({})", kind(deep));
    subject.cleanup(cluster, deep).must(Clause::CleanupAgain, expected)
}

fn kind(deep: bool) -> &'static str {
    if deep { "a deep cleanup" } else { "a cleanup" }
}

pub(crate) fn cleanup_spares_workers(bench: &Bench) -> Verdict {
    spares(bench, false)
}

pub(crate) fn cleanup_deep_spares_workers(bench: &Bench) -> Verdict {
    spares(bench, true)
}

/// Workers that run, one that is just starting, dead ones among them, another cluster's: cleaned up after by the instance that
/// made them, and by one that has heard of nobody.
fn spares(bench: &Bench, deep: bool) -> Verdict {
    let subject = bench.provider()?;
    let mut here = Watched::launch(bench, &subject, bench.modest(5).saturating_sub(2).max(1))?;
    let there = Watched::launch(bench, &subject, 1)?;
    let cluster = here.cluster.clone();
    let dead = subject.up(&cluster, 1)?;
    subject.down(&cluster, &dead)?;
    let starting = here.live.launch(&subject, &cluster, &bench.request(1))?;
    clean(&subject, &cluster, deep)?;
    subject.wait_running(&cluster, &starting, Clause::CleanupSpares)?;
    clean(&subject, &cluster, deep)?;
    if bench.quirks().outlives >= Outlives::Instance {
        clean(&bench.provider()?, &cluster, deep)?;
    }
    let after = format!("after {}", kind(deep));
    here.unharmed(bench, &subject, Clause::CleanupSpares, &after)?;
    let elsewhere = format!("{after} of another cluster");
    there.unharmed(bench, &subject, Clause::CleanupSpares, &elsewhere)?;
    let statuses = subject.status(&cluster, &dead).must(Clause::CleanupSpares, "status answers")?;
    demand(statuses == [WorkerStatus::Stopped], Clause::StatusFinal, Clause::StatusFinal.text(), || {
        format!("the killed worker {} is {:?} {after}", dead[0], statuses)
    })?;
    here.end(bench, &subject, Clause::CleanupSpares, &after)?;
    there.end(bench, &subject, Clause::CleanupSpares, &elsewhere)
}

pub(crate) fn cleanup_spares_the_server(bench: &Bench) -> Verdict {
    let request = life::request(bench)?;
    let (subject, cluster, other) = (bench.provider()?, bench.cluster(), bench.cluster());
    life::run(&subject, &cluster, &request, Clause::CleanupSpares)?;
    let address = life::wait_running(bench, &subject, &cluster, Clause::CleanupSpares)?;
    let mut witness = None;
    if let Some((ears, request)) = life::witnessed(bench)? {
        life::run(&subject, &other, &request, Clause::CleanupSpares)?;
        witness = ears.expect(1)?.pop();
    } else {
        life::run(&subject, &other, &life::request(bench)?, Clause::CleanupSpares)?;
        life::wait_running(bench, &subject, &other, Clause::CleanupSpares)?;
    }
    for deep in [false, true] {
        clean(&subject, &cluster, deep)?;
        clean(&subject, &other, deep)?;
        if bench.quirks().outlives >= Outlives::Instance {
            let anew = bench.provider()?;
            clean(&anew, &cluster, deep)?;
            clean(&anew, &other, deep)?;
        }
        life::unharmed(bench, &subject, &cluster, address.as_ref(), Clause::CleanupSpares)?;
        let is_alive = witness.as_ref().is_none_or(crate::witness::Witness::is_alive);
        let is_given_up = life::status(&subject, &other)? == WorkerStatus::Stopped;
        demand(is_alive || is_given_up, Clause::CleanupSpares, "a running server is left alone", || {
            let pid = witness.as_ref().map_or(0, |witness| witness.hello.pid);
            format!("the server's process {pid} ended with {}", kind(deep))
        })?;
    }
    if bench.quirks().server.as_ref().is_some_and(|server| server.connects)
        && let Some(address) = &address
    {
        life::connect(bench, address, Clause::CleanupSpares)?;
    }
    life::stop(bench, &subject, &cluster, Clause::CleanupSpares)
}

/// A cluster that never was, one whose workers are dead, the same again, and then it is used anew.
pub(crate) fn cleanup_again(bench: &Bench) -> Verdict {
    let (subject, cluster, never) = (bench.provider()?, bench.cluster(), bench.cluster());
    for deep in [false, true, true, false] {
        clean(&subject, &never, deep)?;
    }
    let dead = subject.up(&cluster, bench.modest(3))?;
    subject.down(&cluster, &dead)?;
    for deep in [false, false, true, true] {
        clean(&subject, &cluster, deep)?;
        subject.kill_all(&cluster, &dead, Clause::KillUnknown)?;
        let statuses = subject.status(&cluster, &dead).must(Clause::StatusUnknown, "status answers")?;
        let back = dead.iter().zip(&statuses).find(|(_, status)| **status != WorkerStatus::Stopped);
        if let Some((handle, status)) = back {
            let seen = format!("{handle} had stopped, and is {status} after {}", kind(deep));
            return breach(Clause::StatusFinal, Clause::StatusFinal.text(), seen);
        }
        if subject.provider().has_list() {
            Live::default().demand(&subject, &cluster, Clause::ListOnlyOurs)?;
        }
    }
    if bench.quirks().outlives >= Outlives::Instance {
        clean(&bench.provider()?, &cluster, true)?;
    }
    for (cluster, was) in [(&cluster, "was cleaned up"), (&never, "was cleaned up and never had any")] {
        // As a host does before the first run of a cluster that it takes up anew.
        let expected = format!("a cluster that {was} can be initialized and have workers");
        if subject.provider().has_initialize() {
            subject.initialize(cluster).must(Clause::CleanupAgain, &expected)?;
        }
        let handles = subject.up(cluster, 1).map_err(|stop| match stop {
            Stop::Breach(mut found) if found.clause == Clause::RunCount => {
                (found.clause, found.expected) = (Clause::CleanupAgain, expected);
                Stop::Breach(found)
            }
            other => other,
        })?;
        subject.wait_running(cluster, &handles, Clause::CleanupAgain)?;
    }
    Ok(())
}

/// Cleanups of both kinds beside runs and kills of their cluster.
pub(crate) fn cleanup_beside_run(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    // Somebody who is there all the time: what the cluster needs is in use.
    let resident = Watched::launch(bench, &subject, 1)?;
    let cluster = &resident.cluster;
    let rounds = (bench.modest(12) / 2).max(1);
    let is_done = AtomicBool::new(false);
    let cleaner = || -> Verdict<u32> {
        let mut times = 0;
        while !is_done.load(Ordering::Acquire) || times < 2 {
            clean(&subject, cluster, times % 2 == 1)?;
            times += 1;
            std::thread::yield_now();
        }
        Ok(times)
    };
    let launch = || -> Verdict<Live> {
        let mut kept = Live::default();
        for round in 0..rounds {
            let handles = kept.launch(&subject, cluster, &bench.request(1))?;
            let statuses = subject.status(cluster, &handles).must(Clause::CleanupSpares, "status answers")?;
            demand(
                !statuses.contains(&WorkerStatus::Stopped),
                Clause::CleanupSpares,
                Clause::CleanupSpares.text(),
                || format!("the worker {} was stopped right after its launch, beside a cleanup", handles[0]),
            )?;
            if round % 2 == 1 {
                subject.down(cluster, &handles)?;
                kept.forget(&handles);
            }
        }
        Ok(kept)
    };
    let kept = std::thread::scope(|scope| {
        let cleaner = scope.spawn(cleaner);
        let kept = launch();
        is_done.store(true, Ordering::Release);
        let Ok(times) = cleaner.join() else { return fault("the thread that cleans up panicked") };
        // Who fails first is not known; what the runs saw says more.
        let kept = kept?;
        times.map(|_| kept)
    })?;
    let handles = kept.handles();
    subject.wait_running(cluster, &handles, Clause::CleanupSpares)?;
    // Stragglers of a cleanup.
    std::thread::sleep(WATCH);
    subject.wait_running(cluster, &handles, Clause::CleanupSpares)?;
    subject.down(cluster, &handles)?;
    resident.unharmed(bench, &subject, Clause::CleanupSpares, "beside cleanups")
}
