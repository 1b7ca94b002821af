//! That `kill` stops the whole container: every worker on the handle, and what they have started.

use std::time::Instant;

use longshore_plugin_api::Clause;

use crate::{
    bench::Bench,
    verdict::{Verdict, breach, demand, fault, skip},
    watch::{self, Eyes},
    witness::{Temper, Witness},
};

const CLAUSE: Clause = Clause::KillWhole;

/// How many workers may share a container.
const SHARED: u32 = 4;

pub(crate) fn kill_whole_container(bench: &Bench) -> Verdict {
    let expected = "killing a handle stops every worker on it";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let witnesses = bench.quirks().witness.is_some().then(|| bench.witnesses()).transpose()?;
    let mut request = watch::apart(bench, SHARED);
    if let Some(witnesses) = &witnesses {
        request.container = witnesses.container(Temper::Meek, &[], &[])?;
    }
    request.container.max_workers = Some(SHARED);
    let launched = subject.whole(&cluster, &request)?;
    let Some((handle, workers)) = launched.iter().max_by_key(|(_, workers)| *workers).cloned() else {
        return breach(Clause::RunCount, "a run of 4 workers answers with handles", "it answered with none");
    };
    if workers < 2 {
        return skip("the provider gives every worker a container of its own, also where four may share one");
    }
    // A container runs its program once, or once a worker. How often, nobody can know beforehand.
    let mut seen = Vec::new();
    if let Some(witnesses) = &witnesses {
        seen = witnesses.expect(launched.len())?;
        seen.extend(witnesses.hear(SHARED as usize, watch::WATCH)?);
    }
    let handles = [handle.clone()];
    subject.kill_all(&cluster, &handles, CLAUSE)?;
    let end = Instant::now() + bench.quirks().grace;
    subject.wait_stopped(&cluster, &handles, CLAUSE)?;
    if launched.len() == 1 {
        watch::all_end(&seen, &handles, CLAUSE, end)?;
    } else {
        let its_own = |witness: &&Witness| witness.hello.variable("LONGSHORE_HANDLE") == Some(&handle);
        for witness in seen.iter().filter(its_own) {
            demand(witness.ends_within(bench.quirks().grace), CLAUSE, expected, || {
                format!(
                    "status says that {handle:?} has stopped, and process {} of it is alive",
                    witness.hello.pid
                )
            })?;
        }
    }
    if subject.provider().has_list() {
        let listed = subject.listed(&cluster, CLAUSE)?;
        if let Some(entry) = listed.iter().find(|entry| *entry.handle == *handle) {
            let seen = format!(
                "of the {workers} workers on {handle:?} {} are listed after it has stopped",
                entry.workers
            );
            return breach(CLAUSE, expected, seen);
        }
    }
    Ok(())
}

pub(crate) fn kill_children(bench: &Bench) -> Verdict {
    families(bench, Witness::start_child, "the processes that a worker has started end with it")
}

pub(crate) fn kill_children_that_left(bench: &Bench) -> Verdict {
    families(
        bench,
        Witness::start_runaway,
        "the processes that a worker has started end with it, also where they have begun a session of their own",
    )
}

/// Kills a worker with children and a grandchild, which do or do not hear of being asked to end, and demands that all end.
fn families(bench: &Bench, start: fn(&Witness) -> Verdict, expected: &str) -> Verdict {
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let eyes = Eyes::seeing(bench)?;
    for temper in [Temper::Meek, Temper::Stubborn] {
        let crew = eyes.launch(&subject, &cluster, 1, temper)?;
        let mut descendants = Vec::new();
        for _ in 0..2 {
            start(&crew.witnesses[0])?;
            descendants.extend(eyes.hear(1)?);
        }
        let Some(child) = descendants.last() else {
            return fault(
                "a worker's program could not start a child there, or it could not reach the check",
            );
        };
        start(child)?;
        descendants.extend(eyes.hear(1)?);
        subject.kill_all(&cluster, &crew.handles, CLAUSE)?;
        let end = Instant::now() + bench.quirks().grace;
        crew.is_gone(&subject, CLAUSE, end)?;
        for witness in &descendants {
            let limit = (end.max(Instant::now() + watch::NEWS)).saturating_duration_since(Instant::now());
            demand(witness.ends_within(limit), CLAUSE, expected, || {
                format!(
                    "{:?} has stopped, and process {}, a child of its process {}, is alive",
                    crew.handles[0], witness.hello.pid, crew.witnesses[0].hello.pid
                )
            })?;
        }
    }
    Ok(())
}
