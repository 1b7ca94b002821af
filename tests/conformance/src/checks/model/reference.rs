//! The model: what was launched, killed and seen, and so which answers are allowed. It never calls anything.
//!
//! A worker may be initializing for as long as it likes and run at any time; a kill leaves it *ending*, when it may be in any
//! state until the grace is over. What is stopped stays so. Everything else is a breach.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use longshore_plugin_api::{Clause, ErrorKind, Killed, LaunchToken, ListedHandle, RunRequest, WorkerStatus};
use longshore_providers::{CallError, Launched};

use crate::{
    subject::Handle,
    verdict::{Must as _, Stop, Verdict, breach, demand},
};

use super::{backend::Facts, operation::CLUSTERS};

/// A launch that was answered.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) cluster: usize,
    pub(super) request: RunRequest,
    handles: Vec<(Handle, u32)>,
    /// Whether its token was sent again.
    again: bool,
    /// How often each instance had been made anew by then.
    lives: Vec<u32>,
}

/// A container, with all its workers.
#[derive(Clone, Debug)]
struct Worker {
    cluster: usize,
    launch: usize,
    workers: u32,
    /// What status said last; nothing yet.
    seen: Option<WorkerStatus>,
    /// The instances, as they are made now, that have seen it alive.
    seen_by: BTreeSet<usize>,
    /// When the first kill was answered with yes.
    killed: Option<Duration>,
    /// Whether a kill was answered with no.
    refused: bool,
}

impl Worker {
    fn is_stopped(&self) -> bool {
        self.seen == Some(WorkerStatus::Stopped)
    }

    /// Whether it may be stopped by now without anybody's fault.
    fn may_stop(&self) -> bool {
        self.killed.is_some() || self.refused || self.is_stopped()
    }
}

/// What is not yet as it will be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unsettled {
    pub(super) initializing: usize,
    pub(super) ending: usize,
    pub(super) refused: usize,
}

/// The model of one sequence.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    facts: Facts,
    pub(super) launches: Vec<Launch>,
    workers: BTreeMap<Handle, Worker>,
    /// The handles of each cluster, in the order in which they were made.
    order: [Vec<Handle>; CLUSTERS],
    /// Handles that earlier sequences were given.
    past: BTreeSet<Handle>,
    lives: Vec<u32>,
    /// When the latest kill was answered, and when an instance was made anew: what may have cost lives that it should not.
    last_kill: Option<Duration>,
    last_renewal: Option<Duration>,
}

impl Reference {
    pub(super) fn new(facts: Facts, past: BTreeSet<Handle>) -> Self {
        Self {
            launches: Vec::new(),
            workers: BTreeMap::new(),
            order: Default::default(),
            past,
            lives: std::vec![0; facts.instances],
            last_kill: None,
            last_renewal: None,
            facts,
        }
    }

    /// Every handle that was ever given out, this sequence's among them.
    pub(super) fn into_past(self) -> BTreeSet<Handle> {
        let mut past = self.past;
        past.extend(self.workers.into_keys());
        past
    }

    /// The handles of a cluster, dead ones too, in the order in which they were made.
    pub(super) fn handles(&self, cluster: usize) -> &[Handle] {
        &self.order[cluster]
    }

    /// Those that have not been seen to have stopped.
    pub(super) fn not_stopped(&self, cluster: usize) -> Vec<Handle> {
        let alive = self.order[cluster].iter().filter(|handle| !self.workers[&**handle].is_stopped());
        alive.cloned().collect()
    }

    /// Those whose kill was answered with no, and never with yes.
    pub(super) fn refused(&self, cluster: usize) -> Vec<Handle> {
        let refused = self.order[cluster].iter().filter(|handle| {
            let worker = &self.workers[&**handle];
            worker.refused && worker.killed.is_none() && !worker.is_stopped()
        });
        refused.cloned().collect()
    }

    /// How many workers there may be at the moment.
    pub(super) fn alive(&self) -> u32 {
        self.workers.values().filter(|worker| !worker.is_stopped()).map(|worker| worker.workers).sum()
    }

    pub(super) fn unsettled(&self, cluster: usize) -> Unsettled {
        let mut unsettled = Unsettled::default();
        for worker in self.order[cluster].iter().map(|handle| &self.workers[handle]) {
            match worker.seen {
                Some(WorkerStatus::Stopped) => {}
                _ if worker.killed.is_some() => unsettled.ending += 1,
                _ if worker.refused => unsettled.refused += 1,
                Some(WorkerStatus::Running) => {}
                _ => unsettled.initializing += 1,
            }
        }
        unsettled
    }

    /// A handle's name in the steps, such as `w1.3`: the third of the first cluster. Nobody's handle is its own name.
    pub(super) fn short(&self, handle: &str) -> String {
        let places = self.order.iter().enumerate().find_map(|(cluster, handles)| {
            let place = handles.iter().position(|known| **known == *handle)?;
            Some((cluster + 1, place + 1))
        });
        places.map_or_else(|| format!("`{handle}`"), |(cluster, place)| format!("w{cluster}.{place}"))
    }

    /// The name with the handle's own text.
    pub(super) fn name(&self, handle: &Handle) -> String {
        if self.workers.contains_key(handle) {
            format!("{} (`{handle}`)", self.short(handle))
        } else {
            format!("`{handle}`, which nobody gave out,")
        }
    }

    /// Whether nobody gave out one of the handles.
    pub(super) fn has_unknown(&self, handles: &[Handle]) -> bool {
        handles.iter().any(|handle| !self.workers.contains_key(handle))
    }

    /// A run of a fresh token was answered.
    pub(super) fn launched(
        &mut self,
        cluster: usize,
        request: &RunRequest,
        answer: Result<Launched, CallError>,
    ) -> Verdict {
        let expected = format!("a run of {} workers launches them", request.workers);
        let launched = answer.must(Clause::RunCount, &expected)?;
        let number = self.launches.len();
        let mut reused = None;
        for (handle, workers) in &launched.handles {
            if self.workers.contains_key(handle) || self.past.contains(handle) {
                reused.get_or_insert_with(|| Handle::clone(handle));
                continue;
            }
            let worker = Worker {
                cluster,
                launch: number,
                workers: *workers,
                seen: None,
                seen_by: BTreeSet::new(),
                killed: None,
                refused: false,
            };
            self.workers.insert(Handle::clone(handle), worker);
            self.order[cluster].push(Handle::clone(handle));
        }
        self.launches.push(Launch {
            cluster,
            request: request.clone(),
            handles: launched.handles,
            again: false,
            lives: self.lives.clone(),
        });
        if let Some(handle) = reused {
            let seen =
                format!("run answered with {}, which an earlier run had answered with", self.name(&handle));
            return breach(Clause::RunFresh, Clause::RunFresh.text(), seen);
        }
        if let Some(shortfall) = launched.shortfall {
            let seen = format!(
                "it fell short: {}; where fewer may be had, say `most_workers` in the quirks file",
                shortfall.reason
            );
            return breach(Clause::RunCount, expected, seen);
        }
        Ok(())
    }

    /// A run was answered whose token had been sent before.
    pub(super) fn again(&mut self, launch: usize, answer: Result<Launched, CallError>) -> Verdict {
        self.launches[launch].again = true;
        let Launch { request, handles, .. } = &self.launches[launch];
        let token = &request.token;
        let expected = if self.facts.idempotent {
            "a token that is sent again is answered with the first launch's handles, as the metadata say `idempotent_run`"
        } else {
            "a token that is sent again is refused with the kind `permanent`, as the metadata do not say `idempotent_run`"
        };
        match answer {
            Ok(launched) if self.facts.idempotent => {
                let mut first = handles.clone();
                let mut second = launched.handles;
                first.sort_unstable();
                second.sort_unstable();
                demand(first == second, Clause::RunOnce, expected, || {
                    format!(
                        "the first answer for {token} was {}, the second {}",
                        words(&first),
                        words(&second)
                    )
                })
            }
            Ok(launched) => {
                let seen = format!("it was answered with {}", words(&launched.handles));
                breach(Clause::RunOnce, expected, seen)
            }
            Err(CallError::Failed(error)) if error.kind() == ErrorKind::Permanent => {
                let alive = handles.iter().find(|(handle, _)| !self.workers[handle].may_stop());
                demand(!self.facts.idempotent || alive.is_none(), Clause::RunOnce, expected, || {
                    let name = alive.map_or_else(String::new, |(handle, _)| self.name(handle));
                    format!(
                        "it was refused for good, which says that nothing of {token} is alive, and {name} is"
                    )
                })
            }
            Err(other) => Err(other).must(Clause::RunOnce, expected),
        }
    }

    /// Status was asked for at a moment, and answered. What is wrong comes with the handle that it is about.
    pub(super) fn status(
        &mut self,
        instance: usize,
        asked: &[Handle],
        answers: &[WorkerStatus],
        at: Duration,
    ) -> Result<(), (Stop, Handle)> {
        for (handle, answer) in asked.iter().zip(answers) {
            self.status_of(instance, handle, *answer, at).map_err(|stop| (stop, Handle::clone(handle)))?;
        }
        Ok(())
    }

    fn status_of(&mut self, instance: usize, handle: &Handle, answer: WorkerStatus, at: Duration) -> Verdict {
        let name = self.name(handle);
        let grace = self.facts.grace;
        // What a kill does, or the end of an instance, it does within the grace.
        let is_recent = |what: Option<Duration>| what.is_some_and(|then| at <= then + grace);
        let (after_kill, after_renewal) = (is_recent(self.last_kill), is_recent(self.last_renewal));
        let tell = |clause: Clause, seen: String| breach(clause, clause.text(), seen);
        let Some(worker) = self.workers.get_mut(handle) else {
            if answer == WorkerStatus::Stopped {
                return Ok(());
            }
            return tell(Clause::StatusUnknown, format!("{name} is {answer}"));
        };
        match (worker.seen, answer) {
            (Some(WorkerStatus::Stopped), WorkerStatus::Stopped) => {}
            (Some(WorkerStatus::Stopped), _) => {
                return tell(Clause::StatusFinal, format!("{name} had stopped, and is {answer}"));
            }
            (_, WorkerStatus::Stopped) if worker.may_stop() => worker.seen = Some(answer),
            (seen, WorkerStatus::Stopped) => {
                let was = seen.map_or_else(|| "was just launched".to_owned(), |seen| format!("was {seen}"));
                let (clause, why) = if after_kill {
                    (Clause::KillNobodyElse, "others were killed not long before")
                } else if after_renewal {
                    (Clause::LoadShutdown, "an instance was made anew not long before")
                } else if worker.seen_by.contains(&instance) {
                    (Clause::StatusReadOnly, "it was asked for, and nothing else was done to it")
                } else {
                    (Clause::RunKnown, "this instance has never known it")
                };
                return tell(clause, format!("{name} {was} and is stopped; nobody killed it, and {why}"));
            }
            (Some(WorkerStatus::Running), WorkerStatus::Initializing) => {
                let seen = format!("{name} was running, and is initializing; there is no way back");
                return tell(Clause::StatusValue, seen);
            }
            (_, alive) => {
                if let Some(killed) = worker.killed
                    && at > killed + grace
                {
                    let late = at.saturating_sub(killed);
                    let seen =
                        format!("{name} is still {alive} {late:?} after its kill was answered with yes");
                    return tell(Clause::KillTrue, seen);
                }
                worker.seen = Some(alive);
                worker.seen_by.insert(instance);
            }
        }
        Ok(())
    }

    /// A kill was answered, by a moment.
    pub(super) fn killed(&mut self, asked: &[Handle], answers: &[Killed], by: Duration) -> Verdict {
        self.last_kill = Some(by);
        for (handle, answer) in asked.iter().zip(answers) {
            let name = self.name(handle);
            let no = |clause: Clause, what: &str, why: &str| {
                breach(clause, clause.text(), format_args!("for {name}, {what}, kill answered no: {why}"))
            };
            match (self.workers.get_mut(handle), answer) {
                (None, Killed::No(why)) => return no(Clause::KillUnknown, "and therefore unknown", why),
                (Some(worker), Killed::No(why)) if worker.is_stopped() => {
                    return no(Clause::KillUnknown, "which has stopped", why);
                }
                (Some(worker), Killed::No(why)) if worker.killed.is_some() => {
                    return no(Clause::KillIdempotent, "which it had answered yes for before", why);
                }
                (Some(worker), Killed::No(_)) => worker.refused = true,
                (Some(worker), Killed::Yes) => {
                    worker.killed.get_or_insert(by);
                }
                (None, Killed::Yes) => {}
            }
        }
        Ok(())
    }

    /// A list was answered. The handles that it lacks: of those who are alive after it, it had to name each.
    pub(super) fn listed(&self, cluster: usize, entries: &[ListedHandle]) -> Verdict<Vec<Handle>> {
        for entry in entries {
            self.listed_one(cluster, entry)?;
        }
        let listed: BTreeSet<&str> = entries.iter().map(|entry| entry.handle.as_str()).collect();
        let missing = self.not_stopped(cluster).into_iter().filter(|handle| !listed.contains(&**handle));
        Ok(missing.collect())
    }

    /// An instance did not list a handle that is alive.
    pub(super) fn unlisted(&self, instance: usize, handle: &Handle, status: WorkerStatus) -> Verdict {
        let Some(worker) = self.workers.get(handle) else { return Ok(()) };
        let was_renewed = self.launches[worker.launch].lives[instance] < self.lives[instance];
        let clause = if was_renewed { Clause::ListSurvives } else { Clause::ListComplete };
        let seen = format!("{} was not listed, and its status afterwards is {status}", self.name(handle));
        breach(clause, clause.text(), seen)
    }

    fn listed_one(&self, cluster: usize, entry: &ListedHandle) -> Verdict {
        let ListedHandle { handle, token, workers } = entry;
        let handle = Handle::from(handle.as_str());
        let name = self.name(&handle);
        let Some(worker) = self.workers.get(&handle) else {
            let (clause, why) = self.stranger(cluster, token);
            let seen =
                format!("`{handle}` is listed, with {workers} workers and the token {token}, and {why}");
            return breach(clause, clause.text(), seen);
        };
        demand(worker.cluster == cluster, Clause::ListOnlyOurs, Clause::ListOnlyOurs.text(), || {
            format!("{name} is listed for c{}", cluster + 1)
        })?;
        demand(!worker.is_stopped(), Clause::ListOnlyOurs, Clause::ListOnlyOurs.text(), || {
            format!("{name} had stopped, and is listed")
        })?;
        let of = &self.launches[worker.launch].request.token;
        demand(
            of == token && worker.workers == *workers,
            Clause::ListComplete,
            Clause::ListComplete.text(),
            || {
                format!(
                    "{name} holds {} workers of {of}, and is listed with {workers} workers of {token}",
                    worker.workers
                )
            },
        )
    }

    /// What it means that a handle is listed that no run answered with.
    fn stranger(&self, cluster: usize, token: &LaunchToken) -> (Clause, String) {
        let Some(launch) = self.launches.iter().find(|launch| launch.request.token == *token) else {
            return (
                Clause::RunNeverMore,
                "nobody sent that token, so that it is more than was asked for".to_owned(),
            );
        };
        if launch.cluster != cluster {
            return (Clause::ListOnlyOurs, format!("that token is one of c{}", launch.cluster + 1));
        }
        match launch.request.workers {
            _ if launch.again => (
                Clause::RunOnce,
                "the first run under that token, which was sent again, did not name it".to_owned(),
            ),
            0 => (Clause::RunZero, "the run under that token asked for no workers".to_owned()),
            asked => (
                Clause::RunNeverMore,
                format!("the run under that token asked for {asked} workers and did not name it"),
            ),
        }
    }

    /// An instance was made anew, by a moment.
    pub(super) fn renewed(&mut self, instance: usize, by: Duration) {
        self.lives[instance] += 1;
        for worker in self.workers.values_mut() {
            worker.seen_by.remove(&instance);
        }
        self.last_renewal = Some(by);
    }
}

/// Handles and their workers, in a few words.
fn words(handles: &[(Handle, u32)]) -> String {
    if handles.is_empty() {
        return "nothing".to_owned();
    }
    let all: Vec<String> = handles
        .iter()
        .map(
            |(handle, workers)| {
                if *workers == 1 { handle.to_string() } else { format!("{handle} ×{workers}") }
            },
        )
        .collect();
    all.join(", ")
}
