//! Whether a new handle is known to status at once, and to everybody.

use std::{
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use longshore_plugin_api::{Clause, WorkerStatus};

use super::evidence::{Containers, handles_of, make_room};
use crate::{
    bench::Bench,
    order::{Brought, Errand},
    quirks::{Costly, Outlives},
    subject::{Handle, Subject},
    verdict::{Must as _, Verdict, breach, fault},
};

/// Threads that ask at once. Each call in it is on a thread of its own, so that all but one are not the one of the run.
const ASKING: usize = 4;
/// How long to look whether a handle that was not known becomes known, in order to say so.
const LATER: Duration = Duration::from_secs(2);

/// Demands that no status says "stopped". `by` says who asked.
fn demand_known(
    bench: &Bench,
    subject: &Subject<'_>,
    (cluster, handles): (&str, &[Handle]),
    statuses: &[WorkerStatus],
    by: &str,
) -> Verdict {
    let Some(place) = statuses.iter().position(|status| *status == WorkerStatus::Stopped) else {
        return Ok(());
    };
    let handle = &handles[place];
    let asked = [Handle::clone(handle)];
    let later = bench.poll(LATER, || {
        let status = subject.status(cluster, &asked).ok().and_then(|statuses| statuses.first().copied());
        Ok(status.filter(|status| *status != WorkerStatus::Stopped))
    })?;
    let then = match later {
        Some(status) => format!("a moment later it was {status}"),
        None => "it went on to be stopped; if workers end by themselves, name a `container` in the quirks file that stays alive"
            .to_owned(),
    };
    let seen = format!("right after the run, {by} was told of {handle} that it is stopped; {then}");
    breach(
        Clause::RunKnown,
        "a new handle is initializing or running for the first status after its run, whoever asks",
        seen,
    )
}

/// Asks, and demands that all are known.
fn ask(bench: &Bench, subject: &Subject<'_>, cluster: &str, handles: &[Handle], by: &str) -> Verdict {
    let statuses =
        subject.status(cluster, handles).must(Clause::RunKnown, "status answers right after a run")?;
    demand_known(bench, subject, (cluster, handles), &statuses, by)
}

/// How often to try.
fn rounds(bench: &Bench) -> usize {
    if bench.cheap(Costly::Launches).is_err() { 2 } else { 10 }
}

pub(crate) fn run_is_known_at_once(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let mut up = Containers::new();
    for round in 0..rounds(bench) {
        let workers = bench.modest(2);
        make_room(bench, &subject, &cluster, &mut up, workers)?;
        let launched = subject.whole(&cluster, &bench.request(workers))?;
        let handles = handles_of(&launched);
        up.extend(launched);
        // Who asks first differs, lest one's question makes it known to the others.
        if round % 2 == 0 {
            ask(bench, &subject, &cluster, &handles, "the thread that had launched it")?;
        }
        let one = || ask(bench, &subject, &cluster, &handles, "another thread");
        let answers: Vec<Verdict> = thread::scope(|scope| {
            let threads: Vec<_> = (0..ASKING).map(|_| scope.spawn(one)).collect();
            let joined = threads.into_iter().map(ScopedJoinHandle::join);
            joined.map(|answer| answer.unwrap_or_else(|_| fault("a thread of the check panicked"))).collect()
        });
        answers.into_iter().collect::<Verdict>()?;
    }
    Ok(())
}

pub(crate) fn run_is_known_to_others(bench: &Bench) -> Verdict {
    bench.outlives(Outlives::Instance)?;
    let (launcher, older) = (bench.provider()?, bench.provider()?);
    let cluster = bench.cluster();
    let mut up = Containers::new();
    for round in 0..rounds(bench).div_ceil(2) {
        let workers = bench.modest(2);
        make_room(bench, &launcher, &cluster, &mut up, workers)?;
        let launched = launcher.whole(&cluster, &bench.request(workers))?;
        let handles = handles_of(&launched);
        up.extend(launched);
        if round % 2 == 0 {
            ask(bench, &older, &cluster, &handles, "an instance that was there before")?;
        } else {
            let newer = bench.provider()?;
            ask(bench, &newer, &cluster, &handles, "an instance that was made right after it")?;
        }
    }
    Ok(())
}

pub(crate) fn run_is_known_elsewhere(bench: &Bench) -> Verdict {
    bench.outlives(Outlives::Process)?;
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let handles = subject.up(&cluster, bench.modest(3))?;
    let texts = handles.iter().map(ToString::to_string).collect();
    match bench.elsewhere(Errand::Status { cluster: cluster.clone(), handles: texts })? {
        Brought::Status(statuses) => {
            demand_known(bench, &subject, (&cluster, &handles), &statuses, "another process")
        }
        Brought::Failed(text) => {
            breach(Clause::RunKnown, "status answers from another process", format_args!("it failed: {text}"))
        }
        _ => fault("an errand came back with something else"),
    }
}
