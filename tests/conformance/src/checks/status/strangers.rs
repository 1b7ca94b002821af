//! What `status` says of handles that nobody gave out: stopped, and no more.

use longshore_plugin_api::{Clause, WorkerStatus};

use crate::{
    bench::Bench,
    subject::{Handle, Subject},
    texts,
    verdict::{Must as _, Verdict, demand},
    watch,
};

/// Demands that all of these are stopped, while `live` in the same call are not.
fn are_stopped(subject: &Subject<'_>, cluster: &str, strangers: &[Handle], live: &[Handle]) -> Verdict {
    let clause = Clause::StatusUnknown;
    let expected = "a handle that is not known is stopped, and hides no other answer";
    let mut handles = strangers.to_vec();
    // In the middle, where an answer that is too short or too long shows.
    handles.splice(strangers.len() / 2..strangers.len() / 2, live.iter().cloned());
    let statuses = texts::answered(&handles, clause, expected, |handles| subject.status(cluster, handles))?;
    for (handle, status) in handles.iter().zip(statuses) {
        let is_live = live.contains(handle);
        demand((status != WorkerStatus::Stopped) == is_live, clause, expected, || {
            let what = if is_live { "a live worker" } else { "not known to anybody" };
            let beside = if is_live || live.is_empty() {
                String::new()
            } else {
                format!(" (alive are {})", watch::some(live))
            };
            format!("{} is {what}, and it is said to be {status}{beside}", texts::shown(handle))
        })?;
    }
    Ok(())
}

pub(crate) fn status_of_unknown(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    subject.prepare(&cluster).must(Clause::StatusUnknown, "the cluster is initialized")?;
    let strangers = [texts::foreign(&cluster), texts::nobodys(&cluster, 5)].concat();
    // In a cluster that never had a worker, in one that has, and in one that had.
    are_stopped(&subject, &cluster, &strangers, &[])?;
    let live = subject.up_of(&cluster, &watch::apart(bench, bench.modest(2)))?;
    are_stopped(&subject, &cluster, &strangers, &live)?;
    for stranger in &strangers {
        are_stopped(&subject, &cluster, std::slice::from_ref(stranger), &[])?;
    }
    subject.down(&cluster, &live)?;
    if subject.provider().has_cleanup() {
        // Its faults are the business of the checks of its clauses; here it only removes what it knows of the dead.
        drop(subject.cleanup(&cluster, true));
    }
    are_stopped(&subject, &cluster, &[&*strangers, &*live].concat(), &[])
}

pub(crate) fn status_of_odd_text(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let live = subject.up_of(&cluster, &watch::apart(bench, bench.modest(2)))?;
    are_stopped(&subject, &cluster, &texts::odd(), &live)
}

pub(crate) fn status_of_near_misses(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    // Two launches, so that handles differ in all that they may differ in.
    let mut live = subject.up_of(&cluster, &watch::apart(bench, bench.modest(2)))?;
    live.extend(subject.up_of(&cluster, &watch::apart(bench, 1))?);
    are_stopped(&subject, &cluster, &texts::all_misses(&live), &live)
}
