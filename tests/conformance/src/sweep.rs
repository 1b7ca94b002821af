//! Sweeps up after a check: kills what its ledger names, last in, first out, and tells what is still alive then.

use std::{collections::BTreeSet, time::Instant};

use longshore_plugin_api::WorkerStatus;
use longshore_providers::CallError;
use serde_json::{Map, Value};

use crate::{
    bench::Bench,
    ledger::{self, Entry, Place},
    quirks::Outlives,
    subject::{Handle, Subject},
    verdict::{Leftover, Stop, Verdict},
};

/// The most handles of one call.
const AT_ONCE: usize = 10_000;

/// Kills everything that the ledger names and that a list of its clusters shows, and tells what is left.
pub(crate) fn sweep(bench: &Bench) -> Verdict<Vec<Leftover>> {
    let entries = ledger::entries(&bench.order().ledger)?;
    bench.mend(&entries);
    if entries.is_empty() || bench.quirks().outlives == Outlives::Nothing {
        return Ok(Vec::new());
    }
    let places = ledger::places(&entries);
    let mut left = BTreeSet::new();
    // Dropped when everything has been killed: a drop may be what ends the process.
    let mut held = Vec::new();
    let mut done: Vec<&Option<Map<String, Value>>> = Vec::new();
    for Place { config, .. } in &places {
        if done.contains(&config) {
            continue;
        }
        done.push(config);
        let here: Vec<&Place> = places.iter().filter(|place| place.config == *config).collect();
        left.extend(sweep_with(bench, &entries, config.as_ref(), &here, &mut held)?);
    }
    for subject in held {
        subject.shut_down();
    }
    Ok(left.into_iter().collect())
}

/// Sweeps with a provider of one configuration, or of the check's own, what was made by such a one.
fn sweep_with<'b>(
    bench: &'b Bench,
    entries: &[Entry],
    config: Option<&Map<String, Value>>,
    places: &[&Place],
    held: &mut Vec<Subject<'b>>,
) -> Verdict<Vec<Leftover>> {
    let create = || config.map_or_else(|| bench.provider(), |config| bench.provider_of(config));
    let mut subject = create();
    if matches!(subject, Err(Stop::Breach(_))) && !held.is_empty() {
        // Perhaps there can be one at a time.
        for subject in held.drain(..) {
            subject.shut_down();
        }
        subject = create();
    }
    let subject = match subject {
        Ok(subject) => subject,
        Err(Stop::Fault(what)) => return Err(Stop::Fault(what)),
        Err(_) => {
            // Nobody can say what became of them; better said than kept quiet.
            let here = entries.iter().filter(|entry| places.iter().any(|place| entry.is_at(place)));
            let here: Vec<Entry> = here.cloned().collect();
            return Ok(ledger::left(&here, "no provider could be made to kill it"));
        }
    };
    let mut left = Vec::new();
    for place in places {
        let Place { cluster, .. } = place;
        let mut handles: Vec<Handle> =
            ledger::made(entries, place).iter().map(|handle| Handle::from(handle.as_str())).collect();
        // A run whose token was sent again names them again; a host asks for each once.
        let mut known = BTreeSet::new();
        handles.retain(|handle| known.insert(Handle::clone(handle)));
        let listed = listed(bench, &subject, cluster, &ledger::unsettled(entries, place))?;
        handles.extend(listed.into_iter().filter(|handle| !known.contains(handle)));
        handles.reverse();
        for some in handles.chunks(AT_ONCE) {
            left.extend(stop(bench, &subject, cluster, some)?);
        }
        if ledger::has_server(entries, place) {
            left.extend(stop_server(bench, &subject, cluster)?);
        }
        if subject.provider().has_cleanup() {
            // Its faults are the business of the checks of its clauses.
            drop(subject.cleanup(cluster, false));
        }
    }
    held.push(subject);
    Ok(left)
}

/// What a list shows beside what is known. Where launches were cut off it alone can tell what they made: it is asked again
/// where it fails, and where there is none that is said.
fn listed(bench: &Bench, subject: &Subject<'_>, cluster: &str, cut_off: &[&str]) -> Verdict<Vec<Handle>> {
    let mut why = "the provider has no `list`".to_owned();
    let mut handles = None;
    if subject.provider().has_list() {
        let limit = if cut_off.is_empty() { std::time::Duration::ZERO } else { bench.quirks().grace };
        handles = bench.poll(limit, || match subject.list(cluster) {
            Ok(listed) => Ok(Some(listed.into_iter().map(|entry| Handle::from(entry.handle)).collect())),
            Err(error) => {
                why = format!("`list` fails: {error}");
                let may_succeed = matches!(error, CallError::Failed(_));
                Ok((!may_succeed).then(Vec::new))
            }
        })?;
    }
    if handles.is_none()
        && let Some(token) = cut_off.last()
    {
        bench.note(format!(
            "{} of the cluster {cluster} were cut off, the last under the token {token}, and {why}: look yourself whether \
             they left workers behind",
            match cut_off.len() {
                1 => "1 launch".to_owned(),
                count => format!("{count} launches"),
            }
        ));
    }
    Ok(handles.unwrap_or_default())
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

fn stop_server(bench: &Bench, subject: &Subject<'_>, cluster: &str) -> Verdict<Option<Leftover>> {
    if !subject.provider().has_server() {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        order::{Order, Task},
        quirks::{Outage, Quirks},
    };

    #[test]
    fn an_outage_that_a_check_was_cut_off_in_is_ended() {
        for (begun, is_mended) in
            [(&[true][..], true), (&[true, false], false), (&[true, false, true], true), (&[], false)]
        {
            let folder = tempfile::tempdir().expect("a folder");
            let mended = folder.path().join("mended");
            let words = |words: [&str; 2]| words.map(str::to_owned).to_vec();
            let end = words(["touch", mended.to_str().expect("a path of text")]);
            let outage = Outage { begin: words(["touch", "/dev/null"]), end, ..Outage::default() };
            let quirks = Quirks { outage: Some(outage), outlives: Outlives::Nothing, ..Quirks::default() };
            let order = Order {
                task: Task::Sweep,
                library: "none.so".into(),
                config: Map::new(),
                quirks,
                folder: folder.path().to_owned(),
                ledger: folder.path().join("ledger"),
                unique: "ls-test".to_owned(),
                long: false,
                seed: 0,
            };
            let bench = Bench::new(order).expect("a bench");
            for is_begun in begun {
                bench.ledger().note(&Entry::Outage { is_begun: *is_begun }).expect("it is written");
            }
            assert_eq!(sweep(&bench), Ok(Vec::new()));
            assert_eq!(fs::exists(&mended).expect("it can be asked"), is_mended, "{begun:?}");
        }
    }
}
