//! One token, sent again: right away, by another instance, from another process, beside itself, after the end.

use std::{
    sync::Barrier,
    thread::{self, ScopedJoinHandle},
};

use longshore_plugin_api::{Clause, Container, ErrorKind, RunRequest};
use longshore_providers::{CallError, Launched};

use super::{
    evidence::{Containers, Watch, handles_of, nothing_beyond, nothing_beyond_now},
    handles::demand_gone,
};
use crate::{
    bench::Bench,
    order::{Brought, Errand},
    quirks::{Costly, Outlives},
    subject::Subject,
    verdict::{Must as _, Verdict, breach, demand, fault},
};

const ONLY_ONCE: &str = "a token that is sent again launches nothing";
const IDEMPOTENT: &str = "a token that is sent again launches nothing, and is answered with all handles of its first launch, since \
                          the metadata say `idempotent_run`";
const REFUSED: &str = "a token that is sent again launches nothing, and fails with the kind `permanent`, since the metadata do \
                       not say `idempotent_run`";
/// Threads that send one token at once.
const AT_ONCE: usize = 8;

/// What is expected of a token that is sent again.
fn expected(idempotent: bool) -> &'static str {
    if idempotent { IDEMPOTENT } else { REFUSED }
}

/// A token that was launched.
struct First {
    request: RunRequest,
    containers: Containers,
    /// Whether all of its workers have been killed.
    is_dead: bool,
}

impl First {
    fn launch(subject: &Subject<'_>, cluster: &str, request: RunRequest) -> Verdict<Self> {
        Ok(Self { containers: subject.whole(cluster, &request)?, request, is_dead: false })
    }

    /// Sends the token again, and holds the answer to the first one.
    fn again(&self, subject: &Subject<'_>, cluster: &str) -> Verdict {
        let answer = subject.run(cluster, &self.request)?;
        let idempotent = subject.provider().idempotent_run();
        match answer {
            Ok(launched) => {
                self.compare(idempotent, launched.handles.iter().map(|(h, n)| (&**h, *n)).collect())
            }
            Err(CallError::Failed(error)) if error.kind() == ErrorKind::Permanent => {
                self.refused(idempotent, error.message())
            }
            answer => answer.must(Clause::RunOnce, expected(idempotent)).map(drop),
        }
    }

    /// Sends the token again from another process. The request is one of the plain container.
    fn again_elsewhere(&self, bench: &Bench, idempotent: bool, cluster: &str) -> Verdict {
        let (token, workers) = (self.request.token.clone(), self.request.workers);
        match bench.elsewhere(Errand::Run { cluster: cluster.to_owned(), token, workers })? {
            Brought::Run(handles) => {
                self.compare(idempotent, handles.iter().map(|(h, n)| (h.as_str(), *n)).collect())
            }
            Brought::Permanent(text) => self.refused(idempotent, &text),
            Brought::Failed(text) => {
                breach(Clause::RunOnce, expected(idempotent), format_args!("the call failed: {text}"))
            }
            _ => fault("an errand came back with something else"),
        }
    }

    /// Holds the handles of a further answer to those of the first.
    fn compare(&self, idempotent: bool, mut again: Vec<(&str, u32)>) -> Verdict {
        let mut first: Vec<(&str, u32)> = self.containers.iter().map(|(h, n)| (&**h, *n)).collect();
        if let Some((handle, _)) =
            again.iter().find(|(handle, _)| !first.iter().any(|(known, _)| known == handle))
        {
            let seen = format!(
                "for the token {} it answered with {handle}, which the first answer did not name",
                self.request.token
            );
            return breach(Clause::RunOnce, expected(idempotent), seen);
        }
        let token = &self.request.token;
        demand(idempotent, Clause::RunOnce, REFUSED, || {
            format!(
                "the token {token} was answered with {} handles again; where that is meant, say so in the metadata",
                again.len()
            )
        })?;
        first.sort_unstable();
        again.sort_unstable();
        demand(first == again, Clause::RunOnce, IDEMPOTENT, || {
            format!("first {}, and then {}, for the token {token}", counted(&first), counted(&again))
        })
    }

    /// Takes a refusal for good.
    fn refused(&self, idempotent: bool, text: &str) -> Verdict {
        // Of an idempotent provider it says that nothing of the launch is alive.
        demand(!idempotent || self.is_dead, Clause::RunOnce, IDEMPOTENT, || {
            format!(
                "while workers of the launch {} were alive, it failed with the kind `permanent`: {text}",
                self.request.token
            )
        })
    }
}

/// Handles with their workers, in words.
fn counted(containers: &[(&str, u32)]) -> String {
    let some: Vec<String> =
        containers.iter().take(4).map(|(handle, workers)| format!("{workers} on {handle}")).collect();
    let more = if containers.len() > some.len() { ", …" } else { "" };
    format!("{} handles ({}{more})", containers.len(), some.join(", "))
}

/// Two launches, four workers in all: of containers of one, and of a container of two. Witnesses where they can be.
fn two_launches(
    bench: &Bench,
    subject: &Subject<'_>,
    cluster: &str,
    watch: &mut Option<Watch<'_>>,
) -> Verdict<[First; 2]> {
    let container = match watch {
        Some(watch) => watch.container()?,
        None => bench.quirks().container.clone(),
    };
    let shared = Container { max_workers: Some(2), ..container.clone() };
    let alone = Container { max_workers: None, ..container };
    let launches = [
        First::launch(subject, cluster, bench.request_of(alone, 2))?,
        First::launch(subject, cluster, bench.request_of(shared, 2))?,
    ];
    if let Some(watch) = watch {
        watch.hear(launches.iter().map(|launch| launch.containers.len()).sum())?;
    }
    // What is there too much already has nothing to do with tokens that are sent again.
    let expected = "the backend has the workers that were asked for, and no more";
    nothing_beyond_now(subject, cluster, &containers_of(&launches), Clause::RunNeverMore, expected)?;
    Ok(launches)
}

/// What all of them launched.
fn containers_of(launches: &[First]) -> Containers {
    launches.iter().flat_map(|launch| launch.containers.clone()).collect()
}

/// Demands that there is nothing but these launches.
fn only(subject: &Subject<'_>, cluster: &str, launches: &[First], watch: &mut Option<Watch<'_>>) -> Verdict {
    nothing_beyond(subject, cluster, &containers_of(launches), Clause::RunOnce, ONLY_ONCE)?;
    watch.as_mut().map_or(Ok(()), |watch| watch.nobody_else(Clause::RunOnce, ONLY_ONCE))
}

pub(crate) fn run_token_twice(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let mut watch = Watch::of(bench)?;
    let launches = two_launches(bench, &subject, &cluster, &mut watch)?;
    for _ in 0..2 {
        for launch in &launches {
            launch.again(&subject, &cluster)?;
        }
    }
    only(&subject, &cluster, &launches, &mut watch)
}

pub(crate) fn run_token_twice_anew(bench: &Bench) -> Verdict {
    bench.outlives(Outlives::Instance)?;
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let mut watch = Watch::of(bench)?;
    let launches = two_launches(bench, &subject, &cluster, &mut watch)?;
    demand_gone(subject)?;
    let subject = bench.provider()?;
    for launch in launches.iter().rev() {
        launch.again(&subject, &cluster)?;
    }
    only(&subject, &cluster, &launches, &mut watch)
}

pub(crate) fn run_token_twice_elsewhere(bench: &Bench) -> Verdict {
    bench.outlives(Outlives::Process)?;
    let subject = bench.provider()?;
    let idempotent = subject.provider().idempotent_run();
    let cluster = bench.cluster();
    // What was launched here is sent again there.
    let launches = [First::launch(&subject, &cluster, bench.request(bench.modest(3)))?];
    launches[0].again_elsewhere(bench, idempotent, &cluster)?;
    only(&subject, &cluster, &launches, &mut None)?;
    launches[0].again(&subject, &cluster)?;
    // And what was launched there, here.
    let request = bench.request(1);
    let (token, workers) = (request.token.clone(), request.workers);
    let brought = bench.elsewhere(Errand::Run { cluster: cluster.clone(), token, workers })?;
    let containers = match brought {
        Brought::Run(handles) => {
            handles.into_iter().map(|(handle, workers)| (handle.into(), workers)).collect()
        }
        Brought::Failed(text) | Brought::Permanent(text) => {
            return breach(Clause::RunCount, "a run from another process launches its workers", text);
        }
        _ => return fault("an errand came back with something else"),
    };
    let there = First { request, containers, is_dead: false };
    there.again(&subject, &cluster)?;
    let [here] = launches;
    only(&subject, &cluster, &[here, there], &mut None)
}

pub(crate) fn run_token_twice_after_kill(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let mut watch = Watch::of(bench)?;
    let mut launches = two_launches(bench, &subject, &cluster, &mut watch)?;
    // One of the first launch dies, which lives on; the second dies as a whole.
    let [first, second] = &mut launches;
    subject.down(&cluster, &handles_of(&first.containers[..1]))?;
    subject.down(&cluster, &handles_of(&second.containers))?;
    second.is_dead = true;
    first.again(&subject, &cluster)?;
    second.again(&subject, &cluster)?;
    subject.down(&cluster, &handles_of(&first.containers))?;
    first.is_dead = true;
    first.again(&subject, &cluster)?;
    // Neither are they brought back under the handles that they had.
    let expected = "a token that is sent again starts nothing under the handles of the dead";
    nothing_beyond(&subject, &cluster, &[], Clause::RunOnce, expected)?;
    subject.wait_stopped(&cluster, &handles_of(&containers_of(&launches)), Clause::RunOnce)?;
    watch.as_mut().map_or(Ok(()), |watch| watch.nobody_else(Clause::RunOnce, expected))
}

pub(crate) fn run_token_at_once(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    // Before the threads come, so that none is ahead of it.
    subject.prepare(&cluster).must(Clause::InitializeAgain, "initialize succeeds")?;
    let is_costly = bench.cheap(Costly::Launches).is_err();
    let rounds = if is_costly { 1 } else { 4 };
    let each = if bench.quirks().most_workers >= 8 { bench.modest(2) } else { 1 };
    let mut watch = Watch::of(bench)?;
    let mut launches = Vec::new();
    for round in 0..rounds {
        let container = match &watch {
            // Once with workers that tell of themselves, then with plain ones, which are quicker.
            Some(watch) if round == 0 => watch.container()?,
            _ => Container { max_workers: None, ..bench.quirks().container.clone() },
        };
        let request = bench.request_of(container, each);
        let containers = at_once(&subject, &cluster, &request)?;
        let launch = First { request, containers, is_dead: false };
        if let Some(watch) = watch.as_mut().filter(|_| round == 0) {
            watch.hear(launch.containers.len())?;
        }
        launch.again(&subject, &cluster)?;
        launches.push(launch);
        let known = containers_of(&launches);
        nothing_beyond_now(&subject, &cluster, &known, Clause::RunOnce, ONLY_ONCE)?;
    }
    only(&subject, &cluster, &launches, &mut watch)
}

/// Sends one token from many threads at once. What was launched then, by all answers.
fn at_once(subject: &Subject<'_>, cluster: &str, request: &RunRequest) -> Verdict<Containers> {
    let idempotent = subject.provider().idempotent_run();
    let barrier = Barrier::new(AT_ONCE);
    let send = || {
        barrier.wait();
        subject.run(cluster, request)
    };
    let answers: Verdict<Vec<Result<Launched, CallError>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(send)).collect();
        let joined = threads.into_iter().map(ScopedJoinHandle::join);
        joined.map(|answer| answer.unwrap_or_else(|_| fault("a thread of the check panicked"))).collect()
    });
    let mut launched: Option<Containers> = None;
    let mut refused = None;
    for answer in answers? {
        match answer {
            Ok(answer) => match &launched {
                None if answer.shortfall.is_none() => launched = Some(answer.handles),
                None => {
                    let seen = format!("it fell short of {} workers", request.workers);
                    return breach(Clause::RunCount, "a run launches its workers", seen);
                }
                Some(handles) => {
                    let first =
                        First { request: request.clone(), containers: handles.clone(), is_dead: false };
                    first.compare(idempotent, answer.handles.iter().map(|(h, n)| (&**h, *n)).collect())?;
                }
            },
            Err(CallError::Failed(error)) if error.kind() == ErrorKind::Permanent => refused = Some(error),
            // While another thread's is under way, it may fail in any way that leaves open what becomes of it.
            Err(CallError::Failed(error)) if error.kind() != ErrorKind::Panic => {}
            Err(CallError::Deadline { .. }) => {}
            other => {
                other.must(Clause::RunOnce, "a token that is sent from many threads launches once")?;
            }
        }
    }
    if let Some(error) = refused.filter(|_| idempotent) {
        let seen = format!("one of {AT_ONCE} threads was told, with the kind `permanent`: {error}");
        return breach(Clause::RunOnce, IDEMPOTENT, seen);
    }
    match launched {
        Some(handles) => Ok(handles),
        // Nobody has an answer yet: then the next one to ask gets it.
        None => subject.whole(cluster, request),
    }
}
