//! The model: what was launched, killed and seen, and so which answers are allowed. It never calls anything.
//!
//! A worker may be initializing for as long as it likes and run at any time; a kill leaves it *ending*, when it may be in any
//! state until the grace is over. What is stopped stays so. Everything else is a breach.

mod lists;
mod runs;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use longshore_plugin_api::{Clause, Killed, RunRequest, WorkerStatus};

use crate::{
    subject::Handle,
    verdict::{Stop, Verdict, breach},
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

    /// An instance was made anew, by a moment.
    pub(super) fn renewed(&mut self, instance: usize, by: Duration) {
        self.lives[instance] += 1;
        for worker in self.workers.values_mut() {
            worker.seen_by.remove(&instance);
        }
        self.last_renewal = Some(by);
    }
}
