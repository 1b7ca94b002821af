//! Sweeps up after a check: kills what its ledger names, last in, first out, and tells what is still alive then.

use std::{collections::BTreeSet, time::Instant};

use longshore_plugin_api::WorkerStatus;

use crate::{
    bench::Bench,
    ledger::{self, Entry},
    quirks::Outlives,
    subject::{Handle, Subject},
    verdict::{Leftover, Stop, Verdict},
};

/// The most handles of one call.
const AT_ONCE: usize = 10_000;

/// Kills everything that the ledger names and that a list of its clusters shows, and tells what is left.
pub(crate) fn sweep(bench: &Bench) -> Verdict<Vec<Leftover>> {
    let entries = ledger::entries(&bench.order().ledger())?;
    if entries.is_empty() || bench.quirks().outlives == Outlives::Nothing {
        return Ok(Vec::new());
    }
    let subject = match bench.provider() {
        Ok(subject) => subject,
        Err(Stop::Fault(what)) => return Err(Stop::Fault(what)),
        Err(_) => {
            // Nobody can say what became of them; better said than kept quiet.
            let what = "no provider could be made to kill it".to_owned();
            let handles = made(&entries).into_iter();
            let left = handles.map(|(cluster, handle)| Leftover {
                cluster,
                handle: Some(handle.to_string()),
                what: what.clone(),
            });
            return Ok(left.collect());
        }
    };
    let mut left = Vec::new();
    for cluster in clusters(&entries) {
        let mut handles: Vec<Handle> =
            made(&entries).into_iter().filter(|(of, _)| *of == cluster).map(|(_, handle)| handle).collect();
        if subject.provider().has_list() {
            let known: BTreeSet<Handle> = handles.iter().cloned().collect();
            let listed = subject.list(&cluster).unwrap_or_default();
            let more = listed.into_iter().map(|entry| Handle::from(entry.handle));
            handles.extend(more.filter(|handle| !known.contains(handle)));
        }
        handles.reverse();
        for some in handles.chunks(AT_ONCE) {
            left.extend(stop(bench, &subject, &cluster, some)?);
        }
        left.extend(stop_server(bench, &subject, &entries, &cluster)?);
        if subject.provider().has_cleanup() {
            // Its faults are the business of the checks of its clauses.
            drop(subject.cleanup(&cluster, false));
        }
    }
    subject.shut_down();
    Ok(left)
}

/// The clusters that something was made in, the latest first.
fn clusters(entries: &[Entry]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let names = entries.iter().rev().map(|entry| match entry {
        Entry::Launching { cluster, .. } | Entry::Made { cluster, .. } | Entry::Server { cluster } => cluster,
    });
    names.filter(|name| seen.insert((*name).clone())).cloned().collect()
}

/// The handles that were made, with their clusters, the earliest first.
fn made(entries: &[Entry]) -> Vec<(String, Handle)> {
    let all = entries.iter().flat_map(|entry| match entry {
        Entry::Made { cluster, handles } => {
            handles.iter().map(|handle| (cluster.clone(), Handle::from(handle.as_str()))).collect()
        }
        _ => Vec::new(),
    });
    all.collect()
}

/// Kills handles until they have stopped, for at most the grace.
fn stop(bench: &Bench, subject: &Subject<'_>, cluster: &str, handles: &[Handle]) -> Verdict<Vec<Leftover>> {
    let mut alive: Vec<(Handle, String)> =
        handles.iter().map(|handle| (Handle::clone(handle), String::new())).collect();
    let mut next_kill = Instant::now();
    bench.poll(bench.quirks().grace, || {
        let asked: Vec<Handle> = alive.iter().map(|(handle, _)| Handle::clone(handle)).collect();
        if Instant::now() >= next_kill {
            // Again from time to time: a kill that failed may succeed the next time.
            drop(subject.kill(cluster, &asked));
            next_kill = Instant::now() + bench.quirks().grace / 4;
        }
        let said: Vec<String> = match subject.status(cluster, &asked) {
            Ok(statuses) => statuses
                .iter()
                .map(
                    |status| {
                        if *status == WorkerStatus::Stopped { String::new() } else { status.to_string() }
                    },
                )
                .collect(),
            Err(error) => vec![format!("status fails: {error}"); asked.len()],
        };
        alive = asked.into_iter().zip(said).filter(|(_, said)| !said.is_empty()).collect();
        Ok(alive.is_empty().then_some(()))
    })?;
    let left = alive.into_iter().map(|(handle, what)| Leftover {
        cluster: cluster.to_owned(),
        handle: Some(handle.to_string()),
        what,
    });
    Ok(left.collect())
}

fn stop_server(
    bench: &Bench,
    subject: &Subject<'_>,
    entries: &[Entry],
    cluster: &str,
) -> Verdict<Option<Leftover>> {
    let has_one = entries.iter().any(|entry| matches!(entry, Entry::Server { cluster: of } if of == cluster));
    if !has_one || !subject.provider().has_server() {
        return Ok(None);
    }
    let mut what = String::new();
    let stopped = bench.poll(bench.quirks().grace, || {
        drop(subject.stop_server(cluster));
        what = match subject.server_status(cluster) {
            Ok(WorkerStatus::Stopped) => return Ok(Some(())),
            Ok(status) => status.to_string(),
            Err(error) => format!("server_status fails: {error}"),
        };
        Ok(None)
    })?;
    Ok(stopped.is_none().then(|| Leftover { cluster: cluster.to_owned(), handle: None, what }))
}
