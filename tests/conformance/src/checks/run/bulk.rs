//! Launches in bulk: as many as a host may ask for at once.

use longshore_plugin_api::Clause;
use longshore_providers::CallError;

use super::evidence::{Containers, handles_of, workers_of};
use crate::{
    bench::Bench,
    subject::Subject,
    verdict::{Must as _, Verdict, breach, demand, skip},
};

/// The handles of one call, as a host sends them.
const STATUS_AT_ONCE: usize = 10_000;
const KILL_AT_ONCE: usize = 1_000;
/// How often a launch that fell short is asked for the rest.
const MOST_RUNS: usize = 100;

pub(crate) fn run_hundred(bench: &Bench) -> Verdict {
    bulk(bench, 100)
}

pub(crate) fn run_thousand(bench: &Bench) -> Verdict {
    bulk(bench, 1_000)
}

pub(crate) fn run_hundred_thousand(bench: &Bench) -> Verdict {
    bulk(bench, 100_000)
}

fn bulk(bench: &Bench, workers: u32) -> Verdict {
    let workers = bench.afford(workers)?;
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let containers = launch(bench, &subject, &cluster, workers)?;
    let handles = handles_of(&containers);
    let expected = "each container of a launch has a handle of its own";
    let mut distinct = handles.clone();
    distinct.sort_unstable();
    distinct.dedup();
    demand(distinct.len() == handles.len(), Clause::RunCount, expected, || {
        format!("{} entries name {} containers", handles.len(), distinct.len())
    })?;
    for some in handles.chunks(STATUS_AT_ONCE) {
        subject.wait_running(&cluster, some, Clause::RunCount)?;
    }
    for some in handles.chunks(KILL_AT_ONCE) {
        subject.kill_all(&cluster, some, Clause::KillTrue)?;
    }
    for some in handles.chunks(STATUS_AT_ONCE) {
        subject.wait_stopped(&cluster, some, Clause::KillTrue)?;
    }
    Ok(())
}

/// Launches so many workers. Like a host, it asks for the rest where a run falls short and says that this may help.
fn launch(bench: &Bench, subject: &Subject<'_>, cluster: &str, workers: u32) -> Verdict<Containers> {
    let expected =
        format!("{workers} workers can be launched, as `most_workers` of the quirks file allows it");
    let mut containers = Containers::new();
    let mut missing = workers;
    let mut runs = 0;
    while missing > 0 {
        runs += 1;
        let answer = subject.run(cluster, &bench.request(missing))?;
        if let Err(CallError::Deadline { after, .. }) = &answer {
            return skip(format_args!(
                "a run of {missing} workers does not answer within {after:?} (`call` of the quirks file)"
            ));
        }
        let launched = answer.must(Clause::RunCount, &expected)?;
        // The host's own check holds that there are no more than asked for.
        let came = u32::try_from(launched.workers()).unwrap_or(missing);
        containers.extend(launched.handles);
        missing -= came;
        if let Some(shortfall) = launched.shortfall
            && (came == 0 || !shortfall.retryable || runs == MOST_RUNS)
        {
            let seen = format!(
                "{} of them in {runs} runs, and then the shortfall: {}",
                workers_of(&containers),
                shortfall.reason
            );
            return breach(Clause::RunCount, expected, seen);
        }
    }
    Ok(containers)
}
