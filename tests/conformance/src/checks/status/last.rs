//! That a worker which has stopped stays stopped, whoever ended it.

use std::time::Duration;

use longshore_plugin_api::{Clause, WorkerStatus};

use crate::{
    bench::Bench,
    order::{Brought, Errand},
    quirks::{Outlives, Variant},
    subject::{Handle, Subject},
    texts,
    verdict::{Must as _, Verdict, breach, demand, skip},
    watch::{self, Eyes},
    witness::Temper,
};

const CLAUSE: Clause = Clause::StatusFinal;
const EXPECTED: &str = "a worker that has stopped stays stopped";

/// For how long it is watched that a worker which has stopped is not started again: supervisors wait a moment before they do.
const RESTART_WATCH: Duration = Duration::from_secs(1);

/// Demands that all are stopped now; `when` follows "…is running".
fn are_stopped(subject: &Subject<'_>, cluster: &str, handles: &[Handle], when: &str) -> Verdict {
    let statuses = subject.status(cluster, handles).must(CLAUSE, EXPECTED)?;
    one_answer(handles, &statuses, when)
}

fn one_answer(handles: &[Handle], statuses: &[WorkerStatus], when: &str) -> Verdict {
    let alive = handles.iter().zip(statuses).find(|(_, status)| **status != WorkerStatus::Stopped);
    match alive {
        None => Ok(()),
        Some((handle, status)) => breach(
            CLAUSE,
            EXPECTED,
            format_args!("{} had stopped, and is {status} {when}", texts::shown(handle)),
        ),
    }
}

/// The same from an instance that is made anew, and from another process, where workers outlive as much.
fn are_stopped_anew(bench: &Bench, cluster: &str, handles: &[Handle]) -> Verdict {
    if bench.outlives(Outlives::Instance).is_ok() {
        are_stopped(&bench.provider()?, cluster, handles, "for an instance that is made anew")?;
    }
    if bench.outlives(Outlives::Process).is_ok() {
        let texts = handles.iter().map(ToString::to_string).collect();
        match bench.elsewhere(Errand::Status { cluster: cluster.to_owned(), handles: texts })? {
            Brought::Status(statuses) => one_answer(handles, &statuses, "for another process")?,
            Brought::Failed(error) => {
                return breach(CLAUSE, EXPECTED, format_args!("in another process, status failed: {error}"));
            }
            other => return breach(CLAUSE, EXPECTED, format_args!("another process brought {other:?}")),
        }
    }
    Ok(())
}

pub(crate) fn status_stopped_is_final(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let eyes = Eyes::open(bench)?;
    let crew = eyes.launch(&subject, &cluster, bench.modest(2).min(2), Temper::Meek)?;
    subject.wait_running(&cluster, &crew.handles, CLAUSE)?;
    subject.down(&cluster, &crew.handles)?;
    let end = std::time::Instant::now() + bench.quirks().grace;
    watch::all_end(&crew.witnesses, &crew.handles, CLAUSE, end)?;
    watch::watch_for(bench, RESTART_WATCH, || {
        are_stopped(&subject, &cluster, &crew.handles, "a moment later")
    })?;

    // What a host does next: it asks in another order and beside others, launches more, and kills once again.
    let more = eyes.launch(&subject, &cluster, 1, Temper::Meek)?;
    are_stopped(&subject, &cluster, &crew.handles, "after another launch")?;
    let mixed = [&*more.handles, &*texts::shuffled(&crew.handles, bench.seed())].concat();
    let statuses = subject.status(&cluster, &mixed).must(CLAUSE, EXPECTED)?;
    one_answer(&mixed[1..], &statuses[1..], "when it is asked for beside another")?;
    drop(subject.kill(&cluster, &crew.handles));
    are_stopped(&subject, &cluster, &crew.handles, "after it was killed once more")?;
    are_stopped_anew(bench, &cluster, &crew.handles)?;
    subject.down(&cluster, &more.handles)?;
    if subject.provider().has_cleanup() {
        // Its faults are the business of the checks of its clauses.
        drop(subject.cleanup(&cluster, true));
        are_stopped(&subject, &cluster, &crew.handles, "after a cleanup")?;
    }
    eyes.nobody_comes(watch::WATCH, CLAUSE, EXPECTED)
}

pub(crate) fn status_own_end_is_final(bench: &Bench) -> Verdict {
    let has_witness = bench.quirks().witness.is_some();
    if let Some(brief) = &bench.quirks().brief {
        ends_by_itself(bench, brief)?;
    } else if !has_witness {
        return skip(
            "the quirks file has neither `[brief]` nor `[witness]`: no worker can be made to end by itself",
        );
    }
    if has_witness { ends_when_told(bench) } else { Ok(()) }
}

/// A worker that ends on its own, as the quirks file has it.
fn ends_by_itself(bench: &Bench, brief: &Variant) -> Verdict {
    let subject = bench.provider_with(&brief.config)?;
    let cluster = bench.cluster();
    let mut request = watch::apart(bench, 1);
    if let Some(container) = &brief.container {
        request.container = container.clone();
    }
    let handles = subject.up_of(&cluster, &request)?;
    stops(bench, &subject, &cluster, &handles, "`[brief]` of the quirks file, which ends within `start`")?;
    watch::watch_for(bench, RESTART_WATCH, || {
        are_stopped(&subject, &cluster, &handles, "a moment after it ended by itself")
    })?;
    are_stopped_anew(bench, &cluster, &handles)
}

/// A worker whose program ends with success, as it was told to.
fn ends_when_told(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let eyes = Eyes::seeing(bench)?;
    let crew = eyes.launch(&subject, &cluster, 1, Temper::Meek)?;
    for witness in &crew.witnesses {
        witness.end()?;
    }
    stops(bench, &subject, &cluster, &crew.handles, "the worker's program ended with success")?;
    eyes.nobody_comes(RESTART_WATCH, CLAUSE, EXPECTED)?;
    are_stopped(&subject, &cluster, &crew.handles, "a moment after it ended by itself")?;
    are_stopped_anew(bench, &cluster, &crew.handles)
}

/// Waits until all have stopped, unasked.
fn stops(bench: &Bench, subject: &Subject<'_>, cluster: &str, handles: &[Handle], why: &str) -> Verdict {
    let expected = "a worker that ends by itself is stopped";
    let limit = bench.quirks().start.max(bench.quirks().grace);
    let mut last = Vec::new();
    let stopped = bench.poll(limit, || {
        last = subject.status(cluster, handles).must(CLAUSE, expected)?;
        Ok(last.iter().all(|status| *status == WorkerStatus::Stopped).then_some(()))
    })?;
    demand(stopped.is_some(), CLAUSE, expected, || {
        let alive = last.iter().position(|status| *status != WorkerStatus::Stopped).unwrap_or_default();
        format!("{:?} was still {} {limit:?} later ({why})", handles[alive], last[alive])
    })
}
