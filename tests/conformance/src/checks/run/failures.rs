//! Runs that cannot succeed.

use longshore_plugin_api::{Clause, Container, ErrorKind};
use longshore_providers::CallError;
use serde_json::Map;

use super::evidence::{Containers, handles_of, nothing_beyond};
use crate::{
    bench::Bench,
    subject::Subject,
    verdict::{Must as _, Verdict, skip},
};

/// A program that no system has.
const NO_PROGRAM: &str = "/longshore/conformance/no such program";

pub(crate) fn run_that_fails_leaves_nothing(bench: &Bench) -> Verdict {
    let plain = &bench.quirks().container;
    let declared = bench.quirks().bad_run.as_ref();
    // Where no way to fail is declared, there is one that works with whatever runs programs.
    let nobodys = || Container { command: Some(NO_PROGRAM.to_owned()), args: Vec::new(), ..plain.clone() };
    let container = match declared {
        Some(bad) => bad.container.clone().unwrap_or_else(|| plain.clone()),
        None => nobodys(),
    };
    let subject = bench.provider_with(declared.map_or(&Map::new(), |bad| &bad.config))?;
    if !subject.provider().has_list() {
        return skip("the provider has no list: what a run leaves that fails cannot be seen");
    }
    let mut failed = fails_clean(bench, &subject, &container, bench.modest(4))?;
    let in_one = Container { max_workers: Some(4), ..container };
    failed |= fails_clean(bench, &subject, &in_one, bench.modest(4))?;
    failed |= fails_in_an_outage(bench)?;
    if !failed && declared.is_none() {
        return skip(
            "no run failed: the provider takes a container whose program does not exist, and the quirks file has no \
             `[bad_run]`",
        );
    }
    Ok(())
}

/// Runs a container that cannot be started, in a cluster of its own. Whether the run failed.
fn fails_clean(bench: &Bench, subject: &Subject<'_>, container: &Container, workers: u32) -> Verdict<bool> {
    let cluster = bench.cluster();
    let answer = subject.run(&cluster, &bench.request_of(container.clone(), workers))?;
    let reported = match answer {
        // It says itself that something may be left.
        Err(CallError::Failed(error)) if error.kind() == ErrorKind::Unknown => return Ok(true),
        Err(CallError::Failed(error)) if error.kind() != ErrorKind::Panic => {
            let expected = format!("a run of {workers} workers that failed ({error}) has left nothing");
            nothing_beyond(subject, &cluster, &[], Clause::RunFailureClean, &expected)?;
            return Ok(true);
        }
        answer => {
            answer.must(Clause::RunFailureClean, "a run of a container that cannot be started answers")?
        }
    };
    let fell_short = reported.shortfall.is_some();
    stop_reported(subject, &cluster, &reported.handles)?;
    Ok(fell_short)
}

/// What was reported can be killed, and nothing else is there.
fn stop_reported(subject: &Subject<'_>, cluster: &str, reported: &Containers) -> Verdict {
    let expected = "a run of a container that cannot be started leaves nothing that it did not report";
    nothing_beyond(subject, cluster, reported, Clause::RunFailureClean, expected)?;
    let handles = handles_of(reported);
    subject.kill_all(cluster, &handles, Clause::RunFailureClean)?;
    subject.wait_stopped(cluster, &handles, Clause::RunFailureClean)
}

/// Where an instance can be made whose backend is out of reach: of a run that fails there, the backend has nothing. Whether
/// it failed.
fn fails_in_an_outage(bench: &Bench) -> Verdict<bool> {
    let Some(outage) = bench.quirks().outage.as_ref().filter(|outage| !outage.config.is_empty()) else {
        return Ok(false);
    };
    // A provider may refuse to be made then.
    let Ok(cut_off) = bench.create(&bench.overlaid(&outage.config))? else { return Ok(false) };
    let cluster = bench.cluster();
    let answer = cut_off.run(&cluster, &bench.request(bench.modest(2)))?;
    let subject = bench.provider()?;
    match answer {
        // The outage may be one of status and list alone.
        Ok(launched) => stop_reported(&subject, &cluster, &launched.handles).map(|()| false),
        Err(CallError::Failed(error)) if error.kind() == ErrorKind::Unknown => Ok(true),
        Err(CallError::Failed(error)) if error.kind() != ErrorKind::Panic => {
            let expected =
                format!("a run that failed while the backend was out of reach ({error}) has left nothing");
            nothing_beyond(&subject, &cluster, &[], Clause::RunFailureClean, &expected)?;
            Ok(true)
        }
        Err(CallError::Deadline { .. }) => Ok(true),
        other => {
            let expected = "a run whose backend is out of reach fails";
            other.must(Clause::RunFailureClean, expected).map(|_| true)
        }
    }
}
