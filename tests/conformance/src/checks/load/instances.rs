//! LOAD-8: many instances of one library in one process. What one does must not be felt by another, unless both have the same
//! backend, and then both see it.

use std::{fs, sync::Barrier};

use longshore_plugin_api::{Clause, WorkerStatus};
use serde_json::{Map, Value};

use crate::{
    bench::Bench,
    quirks::Outlives,
    subject::{Handle, Subject},
    verdict::{Must as _, OrFault as _, Verdict, breach, demand, fault, skip},
};

const CLAUSE: Clause = Clause::LoadIndependent;

/// What is added to the folders and names of a second instance.
const APART: &str = "apart";

/// How many instances are made at once.
const INSTANCES: u32 = 16;

pub(crate) fn instances_stand_apart(bench: &Bench) -> Verdict {
    let Some(apart) = elsewhere(bench, bench.config()) else {
        return skip(
            "the configuration has neither `${scratch}` nor `${check}`: a second instance with folders or names of its own \
             cannot be made",
        );
    };
    // As with the scratch folder itself, a provider may count on its being there.
    fs::create_dir_all(bench.scratch().join(APART)).or_fault("a folder could not be made")?;
    let expected = "two instances with folders or names of their own do not disturb each other";
    let cluster = bench.cluster();
    let first = bench.provider()?;
    // Both together have no more than may be had, and up to three of them are the second one's.
    let ours = first.up(&cluster, if bench.modest(6) < 6 { 1 } else { 3 })?;
    let second = bench.create(&apart)?.must(CLAUSE, expected)?;
    // The same name of a cluster: what tells them apart is the configuration alone.
    let none = seen(&second, &cluster, &ours)?;
    demand(none.is_empty(), CLAUSE, expected, || {
        format!("the second instance, which has launched nothing, knows the first one's {}", few(&none))
    })?;
    let theirs = second.up(&cluster, bench.modest(2))?;
    let mixed: Vec<_> = theirs.iter().filter(|handle| ours.contains(handle)).cloned().collect();
    demand(mixed.is_empty(), CLAUSE, expected, || format!("both instances gave out {}", few(&mixed)))?;
    let mixed = seen(&first, &cluster, &theirs)?;
    demand(mixed.is_empty(), CLAUSE, expected, || {
        format!("the first instance knows the second one's {}", few(&mixed))
    })?;
    first.wait_running(&cluster, &ours, CLAUSE)?;
    second.wait_running(&cluster, &theirs, CLAUSE)?;
    second.kill_all(&cluster, &theirs, CLAUSE)?;
    second.wait_stopped(&cluster, &theirs, CLAUSE)?;
    all_alive(&first, &cluster, &ours, "the second instance's workers were killed")?;
    // The one that was made first, and may have set up what the other uses, goes first.
    let theirs = second.up(&cluster, bench.modest(2))?;
    demand(
        first.shut_down(),
        Clause::LoadShutdown,
        Clause::LoadShutdown.text(),
        || "the first instance was not gone in time",
    )?;
    all_alive(&second, &cluster, &theirs, "the first instance was dropped")?;
    let more = second.up(&cluster, 1)?;
    let all = [theirs, more].concat();
    second.kill_all(&cluster, &all, CLAUSE)?;
    second.wait_stopped(&cluster, &all, CLAUSE)?;
    demand(
        second.shut_down(),
        Clause::LoadShutdown,
        Clause::LoadShutdown.text(),
        || "the second instance was not gone in time",
    )
}

pub(crate) fn instances_share_a_backend(bench: &Bench) -> Verdict {
    bench.outlives(Outlives::Instance)?;
    let expected = "two instances of one configuration see the same workers";
    let cluster = bench.cluster();
    let pair = [bench.provider()?, another(bench)?];
    let mut all = [Vec::new(), Vec::new()];
    for (which, handles) in all.iter_mut().enumerate() {
        *handles = pair[which].up(&cluster, bench.modest(2))?;
        let other = &pair[1 - which];
        let place = ["first", "second"];
        let statuses = other.status(&cluster, handles).must(CLAUSE, expected)?;
        if let Some(lost) = statuses.iter().position(|status| *status == WorkerStatus::Stopped) {
            let (maker, other) = (place[which], place[1 - which]);
            let seen = format!(
                "the {maker} instance launched {}, and the {other} says that it is stopped",
                handles[lost]
            );
            return breach(CLAUSE, expected, seen);
        }
        if other.provider().has_list() {
            let listed = other.list(&cluster).must(CLAUSE, expected)?;
            let lost: Vec<_> = handles
                .iter()
                .filter(|handle| listed.iter().all(|it| *it.handle != ***handle))
                .cloned()
                .collect();
            demand(lost.is_empty(), CLAUSE, expected, || {
                format!(
                    "the {} instance launched {}, and the {} does not list it",
                    place[which],
                    few(&lost),
                    place[1 - which]
                )
            })?;
        }
    }
    // Each kills what the other one launched, and each is told.
    for (which, handles) in all.iter().enumerate() {
        let (maker, other) = (&pair[which], &pair[1 - which]);
        other.kill_all(&cluster, handles, CLAUSE)?;
        maker.wait_stopped(&cluster, handles, CLAUSE)?;
        other.wait_stopped(&cluster, handles, CLAUSE)?;
    }
    Ok(())
}

pub(crate) fn instances_in_number(bench: &Bench) -> Verdict {
    let count = bench.modest(INSTANCES) as usize;
    let barrier = Barrier::new(count);
    // What is wrong with the configuration, or with any instance, is no matter of their number.
    bench.provider()?.shut_down();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(|| one_of_many(bench, &barrier))).collect();
        let ended = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| fault("a thread of the check panicked")));
        // All of them are waited for, whatever the first one came to.
        ended.collect::<Vec<Verdict>>().into_iter().collect()
    })
}

/// A life of an instance beside others of the same configuration.
fn one_of_many(bench: &Bench, barrier: &Barrier) -> Verdict {
    let expected = "an instance made beside others launches, sees and kills its own workers";
    let cluster = bench.cluster();
    barrier.wait();
    let subject = another(bench)?;
    let handles = subject.up(&cluster, 1)?;
    let listed = if subject.provider().has_list() {
        let listed = subject.list(&cluster).must(CLAUSE, expected)?;
        listed.into_iter().map(|entry| Handle::from(entry.handle)).collect()
    } else {
        handles.clone()
    };
    demand(listed == handles, CLAUSE, expected, || {
        format!("it launched {} and lists {}", few(&handles), few(&listed))
    })?;
    subject.wait_running(&cluster, &handles, CLAUSE)?;
    subject.kill_all(&cluster, &handles, CLAUSE)?;
    subject.wait_stopped(&cluster, &handles, CLAUSE)?;
    demand(
        subject.shut_down(),
        Clause::LoadShutdown,
        Clause::LoadShutdown.text(),
        || "one of many instances was not gone in time",
    )
}

/// One more instance of the configuration.
fn another(bench: &Bench) -> Verdict<Subject<'_>> {
    bench.create(bench.config())?.must(CLAUSE, "an instance can be made while there are others")
}

/// A configuration whose folders and names are another's, or nothing where it has none of its own.
fn elsewhere(bench: &Bench, config: &Map<String, Value>) -> Option<Map<String, Value>> {
    let scratch = bench.scratch();
    let (folder, name) = (scratch.to_str()?, bench.order().unique.as_str());
    let mut moved = Value::Object(config.clone());
    let mut changes = 0;
    rename(&mut moved, &mut |text| {
        // A folder may have the name in it: what is in a folder is in the other folder, whatever it is called.
        let renamed = match text.split_once(folder) {
            Some((before, after)) => format!("{before}{folder}/{APART}{after}"),
            None => text.replace(name, &format!("{name}-{APART}")),
        };
        changes += usize::from(renamed != *text);
        *text = renamed;
    });
    match moved {
        Value::Object(moved) if changes > 0 => Some(moved),
        _ => None,
    }
}

fn rename(value: &mut Value, change: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, change)),
        Value::Object(fields) => fields.values_mut().for_each(|field| rename(field, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Those of some handles that an instance lists, or, where it cannot list, those that are not stopped to it. (A handle may be
/// known beyond its cluster and its configuration, by the system that gave it out; a list is by these alone.)
fn seen(subject: &Subject<'_>, cluster: &str, handles: &[Handle]) -> Verdict<Vec<Handle>> {
    let expected = "an instance answers for its own configuration";
    if subject.provider().has_list() {
        let listed = subject.list(cluster).must(CLAUSE, expected)?;
        let is_listed = |handle: &&Handle| listed.iter().any(|entry| *entry.handle == ***handle);
        return Ok(handles.iter().filter(is_listed).cloned().collect());
    }
    let statuses = subject.status(cluster, handles).must(CLAUSE, expected)?;
    let both = handles.iter().zip(statuses);
    Ok(both
        .filter(|(_, status)| *status != WorkerStatus::Stopped)
        .map(|(handle, _)| handle.clone())
        .collect())
}

/// Demands that workers live on after something was done to others.
fn all_alive(subject: &Subject<'_>, cluster: &str, handles: &[Handle], after: &str) -> Verdict {
    let expected = "what one instance does is not felt by the workers of another";
    let statuses = subject.status(cluster, handles).must(CLAUSE, expected)?;
    let dead: Vec<_> = handles
        .iter()
        .zip(statuses)
        .filter(|(_, status)| *status == WorkerStatus::Stopped)
        .map(|(handle, _)| handle.clone())
        .collect();
    demand(dead.is_empty(), CLAUSE, expected, || format!("after {after}, {} had stopped", few(&dead)))
}

/// Some handles, for a person.
fn few(handles: &[Handle]) -> String {
    const SHOWN: usize = 3;
    let shown = handles.iter().take(SHOWN).map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    match handles.len().saturating_sub(SHOWN) {
        0 if handles.is_empty() => "nothing".to_owned(),
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
