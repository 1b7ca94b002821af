//! Runs that are cut off by the death of the process that they are in: as a host finds them that is started again.

use std::time::{Duration, Instant};

use longshore_plugin_api::{Clause, Container, ErrorKind, LaunchToken, RunRequest};
use longshore_providers::{CallError, Launched};
use serde_json::{Map, Value};

use super::evidence::{handles_of, listed, nothing_beyond};
use crate::{
    bench::Bench,
    order::Errand,
    quirks::Outlives,
    subject::{Handle, Subject},
    verdict::{Must as _, Verdict, breach, demand, skip},
};

/// How long after its run has begun a process is ended: at once, and in the midst of a run that takes two seconds.
const AFTER: [Duration; 3] = [Duration::ZERO, Duration::from_millis(3), Duration::from_millis(15)];
const AFTER_OF_A_SLOW_ONE: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(800)];
/// Workers of a run that is not declared to be slow.
const SOME: u32 = 8;

const COMPLETED: &str = "a token whose launch was cut off is completed when it is sent again: the backend has the workers that were \
                         asked for, and no more";

/// Launches that are cut off by the death of their process.
pub(crate) struct Doomed {
    pub(crate) workers: u32,
    config: Map<String, Value>,
}

impl Doomed {
    /// Launches of so many workers, unless the quirks say what takes long.
    pub(crate) fn of(bench: &Bench, workers: u32) -> Self {
        match &bench.quirks().slow_run {
            Some(slow) => Self { workers: slow.workers, config: bench.overlaid(&slow.config) },
            None => Self { workers: bench.modest(workers), config: bench.config().clone() },
        }
    }

    /// Launches, and has the process end when it is time. Whether it was still at it; its answer is lost in any case.
    pub(crate) fn launch(
        &self,
        bench: &Bench,
        subject: &Subject<'_>,
        (cluster, token): (&str, &LaunchToken),
        container: Container,
        is_time: impl FnMut() -> Verdict<bool>,
    ) -> Verdict<bool> {
        // Here as well: the process may end before it comes to that.
        subject.prepare(cluster).must(Clause::InitializeAgain, "initialize succeeds")?;
        let errand = Errand::Run { cluster: cluster.to_owned(), token: token.clone(), workers: self.workers };
        bench.cut_off_elsewhere(errand, container, &self.config, is_time)
    }
}

pub(crate) fn run_token_after_a_crash(bench: &Bench) -> Verdict {
    bench.outlives(Outlives::Process)?;
    let subject = bench.provider()?;
    let doomed = Doomed::of(bench, SOME);
    let moments = if bench.quirks().slow_run.is_some() { &AFTER_OF_A_SLOW_ONE[..] } else { &AFTER[..] };
    let mut was_cut = false;
    for after in moments {
        let (cluster, token) = (bench.cluster(), bench.token());
        let container = bench.quirks().container.clone();
        let mut begun = None;
        let is_time = || Ok(begun.get_or_insert_with(Instant::now).elapsed() >= *after);
        was_cut |= doomed.launch(bench, &subject, (&cluster, &token), container, is_time)?;
        find_out(bench, &subject, &cluster, &token, doomed.workers)?;
    }
    if was_cut {
        return Ok(());
    }
    skip(format_args!(
        "no run could be cut off: {} workers are launched too soon, and the quirks file has no `[slow_run]`",
        doomed.workers
    ))
}

/// Finds out what came of a launch, as the next host does: by a list, and by its token.
fn find_out(
    bench: &Bench,
    subject: &Subject<'_>,
    cluster: &str,
    token: &LaunchToken,
    workers: u32,
) -> Verdict {
    no_more(subject, cluster, token, workers)?;
    let request = RunRequest { token: token.clone(), ..bench.request(workers) };
    match again(bench, subject, cluster, &request)? {
        Some(launched) => {
            nothing_beyond(subject, cluster, &launched.handles, Clause::RunOnce, COMPLETED)?;
            all_listed(subject, cluster, &handles_of(&launched.handles))?;
            subject.wait_running(cluster, &handles_of(&launched.handles), Clause::RunOnce)?;
        }
        // Of an idempotent provider it says that nothing of the launch is alive; another one may refuse it in any case.
        None if subject.provider().idempotent_run() => {
            let expected =
                "a token that is refused has no live worker, since the metadata say `idempotent_run`";
            nothing_beyond(subject, cluster, &[], Clause::RunOnce, expected)?;
        }
        None => no_more(subject, cluster, token, workers)?,
    }
    let left: Vec<Handle> =
        listed(subject, cluster)?.unwrap_or_default().into_iter().map(|entry| entry.handle.into()).collect();
    subject.down(cluster, &left)?;
    let expected = "once all that was listed has been killed, nothing is left of a launch that was cut off";
    nothing_beyond(subject, cluster, &[], Clause::ListComplete, expected)
}

/// Sends the token again, for as long as that leaves open what becomes of it. Nothing where it is refused for good.
fn again(
    bench: &Bench,
    subject: &Subject<'_>,
    cluster: &str,
    request: &RunRequest,
) -> Verdict<Option<Launched>> {
    let expected = "a token whose launch was cut off is answered, or refused with the kind `permanent`, if not at once, then \
                    after a while";
    let mut last = String::new();
    let answer = bench.poll(bench.quirks().start, || match subject.run(cluster, request)? {
        Err(CallError::Failed(error)) if error.kind() == ErrorKind::Permanent => Ok(Some(None)),
        Err(CallError::Failed(error)) if error.kind() != ErrorKind::Panic => {
            last = error.to_string();
            Ok(None)
        }
        answer => answer.must(Clause::RunOnce, expected).map(|launched| Some(Some(launched))),
    })?;
    match answer {
        Some(answer) => Ok(answer),
        None => breach(Clause::RunOnce, expected, last),
    }
}

/// The list has no more workers of the token than were asked for, and nobody else's.
fn no_more(subject: &Subject<'_>, cluster: &str, token: &LaunchToken, workers: u32) -> Verdict {
    let listed = listed(subject, cluster)?.unwrap_or_default();
    let expected = "a launch that was cut off shows in the list under its token, with no more workers than were asked for";
    let stranger = listed.iter().find(|entry| entry.token != *token);
    demand(stranger.is_none(), Clause::RunOnce, expected, || {
        stranger.map_or_else(String::new, |entry| format!("{} is listed under {}", entry.handle, entry.token))
    })?;
    let count: u64 = listed.iter().map(|entry| u64::from(entry.workers)).sum();
    demand(count <= u64::from(workers), Clause::RunOnce, expected, || {
        format!("{workers} were asked for, and {count} are listed")
    })
}

/// Every container of a completed launch is listed.
fn all_listed(subject: &Subject<'_>, cluster: &str, handles: &[Handle]) -> Verdict {
    let listed = listed(subject, cluster)?.unwrap_or_default();
    let lost = handles.iter().find(|handle| listed.iter().all(|entry| *entry.handle != ***handle));
    demand(lost.is_none(), Clause::RunOnce, COMPLETED, || {
        format!("{} was answered, and is not listed", lost.map_or("", AsRef::as_ref))
    })
}
