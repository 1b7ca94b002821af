//! How many workers a run launches and tells of.

use longshore_plugin_api::{Clause, Container, ErrorKind};
use longshore_providers::CallError;

use super::evidence::{Containers, Watch, handles_of, listed, make_room, nothing_beyond, nothing_beyond_now};
use crate::{
    bench::Bench,
    subject::Subject,
    verdict::{Breach, Must as _, Stop, Verdict, breach, demand, skip},
};

/// What the host says where a plugin gave no reason for a shortfall.
const NO_REASON: &str = "the provider gave no reason";

const EXACTLY: &str = "the backend has the workers that were asked for, and no more";
const NOTHING: &str = "a run of no workers leaves nothing in the backend";

pub(crate) fn run_few(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let mut up = Containers::new();
    for size in sizes(bench, &[1, 2, 10, 11]) {
        make_room(bench, &subject, &cluster, &mut up, size)?;
        let launched = subject.whole(&cluster, &bench.request(size))?;
        // An entry that stands for no worker would fill up the count as well.
        subject.wait_running(&cluster, &handles_of(&launched), Clause::RunCount)?;
        let again = launched.iter().find(|(handle, _)| up.iter().any(|(known, _)| known == handle));
        if let Some((handle, _)) = again {
            let expected = "each entry of an answer is a worker of this launch";
            return breach(
                Clause::RunCount,
                expected,
                format_args!("{handle} stands for a worker of an earlier launch"),
            );
        }
        up.extend(launched);
    }
    Ok(())
}

/// The sizes that can be had, each once.
fn sizes(bench: &Bench, wanted: &[u32]) -> Vec<u32> {
    let mut sizes: Vec<u32> = wanted.iter().map(|size| bench.modest(*size)).collect();
    sizes.dedup();
    sizes
}

pub(crate) fn run_falls_short(bench: &Bench) -> Verdict {
    let Some(short) = &bench.quirks().shortfall else {
        return skip("the quirks file has no `[shortfall]`: nobody knows how to have a run fall short");
    };
    let subject = bench.provider_with(&short.config)?;
    let cluster = bench.cluster();
    let asked = short.workers;
    let expected = format!(
        "a run of {asked} workers, which are more than can be had (`shortfall` of the quirks file), answers with those \
         that it launched, and with a shortfall"
    );
    let launched = match subject.run(&cluster, &bench.request(asked))? {
        // All or nothing is allowed as well; but then it is nothing, unless the provider says that it does not know.
        Err(CallError::Failed(error)) if error.kind() != ErrorKind::Panic => {
            bench.note(format!("a run of more than can be had fails as a whole: {error}"));
            if error.kind() == ErrorKind::Unknown {
                return Ok(());
            }
            let expected = "a run that fails has left nothing";
            return nothing_beyond(&subject, &cluster, &[], Clause::RunFailureClean, expected);
        }
        answer => answer.must(Clause::RunCount, &expected)?,
    };
    let Some(shortfall) = &launched.shortfall else {
        return breach(Clause::RunCount, expected, format_args!("all {asked} workers, and no shortfall"));
    };
    let expected = "a shortfall says why, for a person";
    demand(shortfall.reason != NO_REASON, Clause::RunCount, expected, || "an empty reason")?;
    let expected = "a run that fell short has launched what it answered with, and no more";
    nothing_beyond(&subject, &cluster, &launched.handles, Clause::RunFailureClean, expected)?;
    subject.wait_running(&cluster, &handles_of(&launched.handles), Clause::RunCount)?;
    subject.down(&cluster, &handles_of(&launched.handles))
}

pub(crate) fn run_never_more(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let mut watch = Watch::of(bench)?;
    if watch.is_none() && !subject.provider().has_list() {
        return skip(
            "the provider has no list and the quirks file no `[witness]`: nobody can count its workers",
        );
    }
    count_listed(bench, &subject)?;
    let Some(watch) = &mut watch else { return Ok(()) };
    let cluster = bench.cluster();
    for size in sizes(bench, &[1, 3]) {
        let launched = subject.whole(&cluster, &bench.request_of(watch.container()?, size))?;
        watch.hear(launched.len())?;
    }
    let expected = "no more workers run than were asked for";
    watch.nobody_else(Clause::RunNeverMore, expected)
}

/// Counts by the list, with and without workers that share a container.
fn count_listed(bench: &Bench, subject: &Subject<'_>) -> Verdict {
    let expected = EXACTLY;
    let cluster = bench.cluster();
    let mut up = Containers::new();
    for max_workers in [None, Some(4)] {
        for size in sizes(bench, &[1, 3, 7]) {
            make_room(bench, subject, &cluster, &mut up, size)?;
            let container = Container { max_workers, ..bench.quirks().container.clone() };
            let request = bench.request_of(container, size);
            up.extend(subject.whole(&cluster, &request)?);
            let listed = listed(subject, &cluster)?.unwrap_or_default();
            let of_this = listed.iter().filter(|entry| entry.token == request.token);
            let count: u64 = of_this.map(|entry| u64::from(entry.workers)).sum();
            demand(count <= u64::from(size), Clause::RunNeverMore, expected, || {
                format!("asked for {size} workers, it launched {count} under the token {}", request.token)
            })?;
        }
    }
    nothing_beyond(subject, &cluster, &up, Clause::RunNeverMore, expected)?;
    let others = bench.cluster();
    let expected = "a launch leaves nothing in a cluster that it is not for";
    nothing_beyond_now(subject, &others, &[], Clause::RunNeverMore, expected)?;
    subject.down(&cluster, &handles_of(&up))
}

pub(crate) fn run_none(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let expected = "a run of no workers answers with no handle and no shortfall";
    // In a cluster that is new, and in one that has workers.
    let (empty, peopled) = (bench.cluster(), bench.cluster());
    let up = subject.whole(&peopled, &bench.request(bench.modest(2)))?;
    // What is there too much already has nothing to do with runs of nothing.
    nothing_beyond_now(&subject, &peopled, &up, Clause::RunNeverMore, EXACTLY)?;
    let mut watch = Watch::of(bench)?;
    for (cluster, up) in [(&empty, &Containers::new()), (&peopled, &up)] {
        let mut requests = vec![bench.request(0)];
        if let Some(watch) = &watch {
            requests.push(bench.request_of(watch.container()?, 0));
        }
        for request in requests {
            let answer = subject.run(cluster, &request)?.must(Clause::RunZero, expected);
            answer.map_err(|stop| for_clause(stop, expected))?;
        }
        nothing_beyond_now(&subject, cluster, up, Clause::RunZero, NOTHING)?;
    }
    nothing_beyond(&subject, &empty, &[], Clause::RunZero, NOTHING)?;
    nothing_beyond_now(&subject, &peopled, &up, Clause::RunZero, NOTHING)?;
    watch
        .as_mut()
        .map_or(Ok(()), |watch| watch.nobody_else(Clause::RunZero, "a run of no workers starts none"))
}

/// What the host finds wrong with the answer to a run of nothing is a breach of RUN-3, whatever else it breaks.
fn for_clause(stop: Stop, expected: &str) -> Stop {
    match stop {
        Stop::Breach(found) => {
            Stop::Breach(Breach { clause: Clause::RunZero, expected: expected.to_owned(), ..found })
        }
        other => other,
    }
}
