//! Runs that are cut off in the middle, by a cancellation or by their deadline.

use std::{
    thread,
    time::{Duration, Instant},
};

use longshore_plugin_api::{Clause, ErrorKind, RunRequest};
use longshore_providers::{CallError, Launched};
use serde_json::Map;

use super::evidence::{Containers, Watch, handles_of, listed, nothing_beyond};
use crate::{
    bench::Bench,
    subject::Subject,
    verdict::{Must as _, Verdict, demand, skip},
};

/// How a run is cut off.
#[derive(Clone, Copy)]
enum Cut {
    Cancelled,
    OutOfTime,
}

impl Cut {
    const fn words(self) -> &'static str {
        match self {
            Self::Cancelled => "was cancelled",
            Self::OutOfTime => "ran out of time",
        }
    }
}

/// The parts of a run's time after which it is cut off.
const PARTS: [f64; 5] = [0.1, 0.3, 0.5, 0.7, 0.9];
/// The same of a run that the quirks declare to be slow, which takes seconds.
const PARTS_OF_A_SLOW_ONE: [f64; 2] = [0.05, 0.4];
/// How long a run takes at least that the quirks declare to be slow.
const SLOW: Duration = Duration::from_secs(2);
/// A run that takes less cannot be cut off in the middle.
const TOO_QUICK: Duration = Duration::from_micros(200);
/// Workers of a run that is not declared to be slow.
const SOME: u32 = 8;

pub(crate) fn run_cancelled_leaves_nothing(bench: &Bench) -> Verdict {
    interrupt(bench, Cut::Cancelled)
}

pub(crate) fn run_late_leaves_nothing(bench: &Bench) -> Verdict {
    interrupt(bench, Cut::OutOfTime)
}

fn interrupt(bench: &Bench, cut: Cut) -> Verdict {
    let slow = bench.quirks().slow_run.as_ref();
    let subject = bench.provider_with(slow.map_or(&Map::new(), |slow| &slow.config))?;
    let workers = slow.map_or_else(|| bench.modest(SOME), |slow| slow.workers);
    // Workers tell of themselves only where the plain configuration is tried: what slows a run down may do without.
    let mut watch = if slow.is_none() { Watch::of(bench)? } else { None };
    let (whole, parts) = match slow {
        Some(_) => (SLOW, &PARTS_OF_A_SLOW_ONE[..]),
        None => (time_of_a_run(bench, &subject, workers, &mut watch)?, &PARTS[..]),
    };
    let mut was_cut = false;
    if whole > TOO_QUICK {
        for part in parts {
            was_cut |= once(bench, &subject, workers, (cut, whole.mul_f64(*part)), &mut watch)?;
        }
    }
    if was_cut {
        return Ok(());
    }
    skip(format_args!(
        "no run could be cut off: {workers} workers are launched in {whole:?}, and the quirks file has no `[slow_run]`"
    ))
}

/// A request for plain workers, or for witnesses.
fn request(bench: &Bench, workers: u32, watch: Option<&Watch<'_>>) -> Verdict<RunRequest> {
    Ok(match watch {
        Some(watch) => bench.request_of(watch.container()?, workers),
        None => bench.request(workers),
    })
}

/// How long a run takes that nobody cuts off.
fn time_of_a_run(
    bench: &Bench,
    subject: &Subject<'_>,
    workers: u32,
    watch: &mut Option<Watch<'_>>,
) -> Verdict<Duration> {
    let cluster = bench.cluster();
    subject.prepare(&cluster).must(Clause::InitializeAgain, "initialize succeeds")?;
    let request = request(bench, workers, watch.as_ref())?;
    let begin = Instant::now();
    let handles = subject.up_of(&cluster, &request)?;
    let took = begin.elapsed();
    if let Some(watch) = watch {
        watch.hear(handles.len())?;
    }
    subject.down(&cluster, &handles)?;
    Ok(took)
}

/// Cuts one run off after a while, in a cluster of its own, and looks at what is left. Whether it was cut off at all.
fn once(
    bench: &Bench,
    subject: &Subject<'_>,
    workers: u32,
    (cut, after): (Cut, Duration),
    watch: &mut Option<Watch<'_>>,
) -> Verdict<bool> {
    let cluster = bench.cluster();
    let request = request(bench, workers, watch.as_ref())?;
    let budget = match cut {
        Cut::Cancelled => bench.quirks().call,
        Cut::OutOfTime => after,
    };
    let running = match subject.begin_run(&cluster, &request, budget)? {
        Ok(running) => running,
        Err(error) => return Err(error).must(Clause::InitializeAgain, "initialize succeeds"),
    };
    if matches!(cut, Cut::Cancelled) {
        thread::sleep(after);
        running.cancel();
    }
    let answer = running.answer()?;
    let how = format!("of {workers} workers that {} after {after:?}", cut.words());
    look(bench, subject, (&cluster, &request), &how, answer, watch)
}

/// Looks at what a run that was cut off has left, and kills it. Whether it was cut off at all.
fn look(
    bench: &Bench,
    subject: &Subject<'_>,
    (cluster, request): (&str, &RunRequest),
    how: &str,
    answer: Result<Launched, CallError>,
    watch: &mut Option<Watch<'_>>,
) -> Verdict<bool> {
    let (reported, was_cut): (Containers, bool) = match answer {
        Ok(launched) => (launched.handles, launched.shortfall.is_some()),
        Err(CallError::Failed(error)) if error.kind() == ErrorKind::Unknown => {
            return find_out(subject, cluster, request, how).map(|()| true);
        }
        Err(CallError::Failed(error)) if error.kind() != ErrorKind::Panic => (Containers::new(), true),
        // The plugin never saw it.
        Err(CallError::NotSent { .. }) => (Containers::new(), false),
        other => {
            let expected = format!("a run {how} answers, or fails");
            return other.must(Clause::RunFailureClean, expected).map(|_| true);
        }
    };
    let expected = if reported.is_empty() {
        format!("a run {how}, and then failed, has left nothing")
    } else {
        format!("a run {how} has left nothing beyond what it answered with")
    };
    nothing_beyond(subject, cluster, &reported, Clause::RunFailureClean, &expected)?;
    if let Some(watch) = watch {
        watch.stragglers(request.workers as usize)?;
        // A worker that was removed may take its time to end.
        let alive = watch.alive(reported.len(), bench.quirks().grace);
        demand(alive <= reported.len(), Clause::RunFailureClean, &expected, || {
            format!("{} workers were reported, and {alive} are alive", reported.len())
        })?;
    }
    subject.down(cluster, &handles_of(&reported))?;
    if let Some(watch) = watch {
        watch.alive(0, bench.quirks().grace);
    }
    Ok(was_cut)
}

/// Finds out what came of a run that says "unknown", as a host does: by a list, and by the token where that is harmless.
fn find_out(subject: &Subject<'_>, cluster: &str, request: &RunRequest, how: &str) -> Verdict {
    if subject.provider().idempotent_run() {
        // It may complete the launch, or fail again; the list tells.
        drop(subject.run(cluster, request)?);
    }
    let listed = listed(subject, cluster)?.unwrap_or_default();
    let of_this = listed.iter().filter(|entry| entry.token == request.token);
    let workers: u64 = of_this.map(|entry| u64::from(entry.workers)).sum();
    let expected = format!("a run {how}, and says `unknown`, has launched no more than was asked for");
    demand(workers <= u64::from(request.workers), Clause::RunNeverMore, expected, || {
        format!("the list has {workers} workers of the token {}", request.token)
    })?;
    let handles: Vec<_> = listed.into_iter().map(|entry| entry.handle.into()).collect();
    subject.down(cluster, &handles)
}
