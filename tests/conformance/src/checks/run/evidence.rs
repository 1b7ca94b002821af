//! What the backend holds, as others than the tried run tell it: the cluster's list, and the workers themselves.

use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

use longshore_plugin_api::{Clause, Container, ListedHandle};

use crate::{
    bench::Bench,
    subject::{Handle, Subject},
    verdict::{Stop, Verdict, breach, demand},
    witness::{Temper, Witness, Witnesses},
};

/// How long to watch for what must not come, at least and at most.
const WATCH: Duration = Duration::from_millis(300);
const LONGEST_WATCH: Duration = Duration::from_secs(5);

/// Each container's handle, with the number of its workers.
pub(super) type Containers = Vec<(Handle, u32)>;

/// The handles alone.
pub(super) fn handles_of(containers: &[(Handle, u32)]) -> Vec<Handle> {
    containers.iter().map(|(handle, _)| Handle::clone(handle)).collect()
}

/// How many workers there are in containers.
pub(super) fn workers_of(containers: &[(Handle, u32)]) -> u64 {
    containers.iter().map(|(_, workers)| u64::from(*workers)).sum()
}

/// Kills what is up where a further launch of so many would be more than the quirks allow.
pub(super) fn make_room(
    bench: &Bench,
    subject: &Subject<'_>,
    cluster: &str,
    up: &mut Containers,
    next: u32,
) -> Verdict {
    if workers_of(up) + u64::from(next) <= u64::from(bench.quirks().most_workers) {
        return Ok(());
    }
    subject.down(cluster, &handles_of(up))?;
    up.clear();
    Ok(())
}

/// The cluster's list, where the plugin has one.
pub(super) fn listed(subject: &Subject<'_>, cluster: &str) -> Verdict<Option<Vec<ListedHandle>>> {
    if !subject.provider().has_list() {
        return Ok(None);
    }
    subject.listed(cluster, Clause::ListComplete).map(Some)
}

/// Demands that the list, where there is one, shows nothing but these containers, now and after a while.
pub(super) fn nothing_beyond(
    subject: &Subject<'_>,
    cluster: &str,
    known: &[(Handle, u32)],
    clause: Clause,
    expected: &str,
) -> Verdict {
    if !subject.provider().has_list() {
        return Ok(());
    }
    nothing_beyond_now(subject, cluster, known, clause, expected)?;
    thread::sleep(WATCH);
    nothing_beyond_now(subject, cluster, known, clause, expected)
}

/// The same at this moment.
pub(super) fn nothing_beyond_now(
    subject: &Subject<'_>,
    cluster: &str,
    known: &[(Handle, u32)],
    clause: Clause,
    expected: &str,
) -> Verdict {
    let known: HashMap<&str, u32> = known.iter().map(|(handle, workers)| (&**handle, *workers)).collect();
    let listed = listed(subject, cluster)?.unwrap_or_default();
    let total: u64 = listed.iter().map(|entry| u64::from(entry.workers)).sum();
    let reported: u64 = known.values().map(|workers| u64::from(*workers)).sum();
    for entry in listed {
        let seen = match known.get(entry.handle.as_str()) {
            Some(workers) if entry.workers <= *workers => continue,
            Some(workers) => {
                format!("{} workers on {}, reported with {workers}", entry.workers, entry.handle)
            }
            None => format!("{}, which was not reported, under the token {}", entry.handle, entry.token),
        };
        return breach(
            clause,
            expected,
            format_args!("{reported} workers were reported; the list has {total}: it shows {seen}"),
        );
    }
    Ok(())
}

/// Witnesses that are counted: those that were launched, and any that were not asked for.
#[derive(Debug)]
pub(super) struct Watch<'b> {
    bench: &'b Bench,
    witnesses: Witnesses,
    /// How long a witness takes to report, as seen so far.
    took: Duration,
    heard: Vec<Witness>,
}

impl<'b> Watch<'b> {
    /// Begins to watch, where workers can run a witness.
    pub(super) fn of(bench: &'b Bench) -> Verdict<Option<Self>> {
        match bench.witnesses() {
            Ok(witnesses) => Ok(Some(Self { bench, witnesses, took: Duration::ZERO, heard: Vec::new() })),
            Err(Stop::Skip(_)) => Ok(None),
            Err(stop) => Err(stop),
        }
    }

    /// A witness's container, one worker in each.
    pub(super) fn container(&self) -> Verdict<Container> {
        let container = self.witnesses.container(Temper::Meek, &[], &[])?;
        Ok(Container { max_workers: None, ..container })
    }

    /// Hears so many more.
    pub(super) fn hear(&mut self, count: usize) -> Verdict {
        let begin = Instant::now();
        let heard = self.witnesses.expect(count)?;
        self.took = self.took.max(begin.elapsed());
        let (got, limit) = (heard.len(), self.bench.quirks().start);
        self.heard.extend(heard);
        demand(got == count, Clause::RunEnvironment, reports(limit), || unheard(got, count))
    }

    /// Demands that nobody else reports, for about as long as a worker takes to start.
    pub(super) fn nobody_else(&mut self, clause: Clause, expected: &str) -> Verdict {
        let more = self.stragglers(1)?;
        demand(more == 0, clause, expected, || {
            format!(
                "a further worker reported by itself, beside the {} that were reported",
                self.heard.len() - 1
            )
        })
    }

    /// Takes in those that report late, and tells how many they were.
    pub(super) fn stragglers(&mut self, most: usize) -> Verdict<usize> {
        let watch = (self.took * 2).clamp(WATCH, LONGEST_WATCH);
        let heard = self.witnesses.hear(most, watch)?;
        let count = heard.len();
        self.heard.extend(heard);
        Ok(count)
    }

    /// Those that live, once at most so many are left or the limit has passed. The others are forgotten.
    pub(super) fn alive(&mut self, few: usize, limit: Duration) -> usize {
        let end = Instant::now() + limit;
        loop {
            self.heard.retain(Witness::is_alive);
            if self.heard.len() <= few || Instant::now() >= end {
                return self.heard.len();
            }
            thread::sleep(self.bench.quirks().poll);
        }
    }
}

/// What is expected of a witness.
pub(super) fn reports(limit: Duration) -> String {
    format!(
        "a worker runs the command of its request: a witness reports within {limit:?} (`start` of the quirks file)"
    )
}

/// What was seen where too few report.
pub(super) fn unheard(heard: usize, count: usize) -> String {
    format!(
        "{heard} of {count} reported; where workers cannot run the witness, or cannot reach this machine, correct \
         `[witness]` of the quirks file"
    )
}
