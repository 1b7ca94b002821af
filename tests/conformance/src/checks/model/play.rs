//! Plays one sequence against a backend and the model, and writes down what was done, in words. After the last step
//! everything is looked at from every side, killed, and looked at again.

use std::{collections::BTreeSet, time::Duration};

use longshore_plugin_api::{Clause, WorkerStatus};
use longshore_providers::{CallError, Launched};

use crate::{
    subject::Handle,
    verdict::{Breach, Must as _, Stop, Verdict, breach, demand},
};

use super::{
    backend::{Backend, Facts},
    operation::{CLUSTERS, Op, Pick},
    reference::Reference,
};

/// How a sequence went.
#[derive(Clone, Debug)]
pub(super) struct Played {
    /// What was done, step by step; the last one is the one that failed, where one did.
    pub(super) steps: Vec<String>,
    pub(super) breach: Option<Breach>,
    /// Every handle that was ever given out.
    pub(super) past: BTreeSet<Handle>,
}

/// Plays a sequence. An error is the harness's.
pub(super) fn play(ops: &[Op], backend: &mut dyn Backend, past: BTreeSet<Handle>) -> Verdict<Played> {
    backend.begin()?;
    let facts = backend.facts();
    let mut game = Game { facts, reference: Reference::new(facts, past), backend, steps: Vec::new() };
    let verdict = ops.iter().try_for_each(|op| game.step(op)).and_then(|()| game.finish());
    let Game { backend, reference, steps, .. } = game;
    backend.end();
    let breach = match verdict {
        Ok(()) => None,
        Err(Stop::Breach(breach)) => Some(breach),
        Err(other) => return Err(other),
    };
    Ok(Played { steps, breach, past: reference.into_past() })
}

/// A sequence that is being played.
struct Game<'g> {
    facts: Facts,
    backend: &'g mut dyn Backend,
    reference: Reference,
    steps: Vec<String>,
}

impl Game<'_> {
    fn step(&mut self, op: &Op) -> Verdict {
        match op {
            Op::Run { instance, cluster, workers, each } => self.run(*instance, *cluster, *workers, *each),
            Op::Again { instance, launch } => self.again(*instance, *launch),
            Op::Status { instance, cluster, picks } => {
                let handles = self.picked(*cluster, picks);
                self.status(*instance, *cluster, &handles)
            }
            Op::Kill { instance, cluster, picks } => {
                let handles = self.picked(*cluster, picks);
                self.kill(*instance, *cluster, &handles)
            }
            Op::List { instance, cluster } => self.list(*instance, *cluster),
            Op::Settle => self.settle(),
            Op::Renew { instance } => self.renew(*instance),
        }
    }

    /// Looks at everything, kills it, and looks again; an instance that has heard of nobody looks, too.
    fn finish(&mut self) -> Verdict {
        // By then what a kill has done shows, too.
        self.settle()?;
        self.look()?;
        for cluster in 0..CLUSTERS {
            let handles = self.reference.not_stopped(cluster);
            self.kill(0, cluster, &handles)?;
        }
        self.settle()?;
        self.look()?;
        if self.facts.renews {
            self.renew(self.facts.instances - 1)?;
            self.look()?;
        }
        Ok(())
    }

    fn renew(&mut self, instance: usize) -> Verdict {
        self.steps.push(format!("instance {} is dropped and made anew", letter(instance)));
        self.backend.renew(instance)?;
        self.reference.renewed(instance, self.backend.now());
        Ok(())
    }

    /// Asks every instance for everything.
    fn look(&mut self) -> Verdict {
        for instance in 0..self.facts.instances {
            for cluster in 0..CLUSTERS {
                let handles = self.reference.handles(cluster).to_vec();
                self.status(instance, cluster, &handles)?;
                if self.facts.lists {
                    self.list(instance, cluster)?;
                }
            }
        }
        Ok(())
    }

    fn run(&mut self, instance: usize, cluster: usize, workers: u32, each: u32) -> Verdict {
        let room = self.facts.most.saturating_sub(self.reference.alive());
        if workers > 0 && room == 0 {
            return Ok(());
        }
        let request = self.backend.request(workers.min(room), each);
        let shared = if each == 1 { String::new() } else { format!(", at most {each} in a container,") };
        self.begin(
            instance,
            cluster,
            &format!("run of {} workers{shared} under {}", request.workers, request.token),
        );
        let answer = self.backend.run(instance, cluster, &request)?;
        let told = answer.clone();
        let verdict = self.reference.launched(cluster, &request, answer);
        self.end(&self.launched(&told));
        verdict
    }

    fn again(&mut self, instance: usize, launch: usize) -> Verdict {
        let count = self.reference.launches.len();
        // A run of no workers launched nothing that its token could name.
        let Some(found) = self.reference.launches.get(launch.checked_rem(count).unwrap_or_default()) else {
            return Ok(());
        };
        if found.request.workers == 0 {
            return Ok(());
        }
        let (cluster, request) = (found.cluster, found.request.clone());
        self.begin(instance, cluster, &format!("run under {} again", request.token));
        let answer = self.backend.run(instance, cluster, &request)?;
        self.end(&self.launched(&answer));
        self.reference.again(launch % count, answer)
    }

    fn status(&mut self, instance: usize, cluster: usize, handles: &[Handle]) -> Verdict {
        if handles.is_empty() {
            return Ok(());
        }
        let names = self.names(handles);
        self.begin(instance, cluster, &format!("status of {names}"));
        let at = self.backend.now();
        let answer = self.backend.status(instance, cluster, handles);
        let clause =
            if self.reference.has_unknown(handles) { Clause::StatusUnknown } else { Clause::StatusCount };
        let statuses = answer.must(clause, "status answers for every handle, known or not")?;
        self.end(&statuses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        let mut before = self.reference.clone();
        let Err((stop, handle)) = self.reference.status(instance, handles, &statuses, at) else {
            return Ok(());
        };
        if handles.len() == 1 {
            return Err(stop);
        }
        // It may only be told of in another's place: then it is right when it is asked for alone.
        let at = self.backend.now();
        let alone = self.backend.status(instance, cluster, std::slice::from_ref(&handle)).unwrap_or_default();
        let [status] = alone.as_slice() else { return Err(stop) };
        if before.status(instance, std::slice::from_ref(&handle), &alone, at).is_err() {
            return Err(stop);
        }
        let Stop::Breach(Breach { seen, .. }) = stop else { return Err(stop) };
        let seen = format!(
            "among others, {seen}; asked for alone right afterwards, it is {status}, as it should be"
        );
        breach(Clause::StatusCount, Clause::StatusCount.text(), seen)
    }

    fn kill(&mut self, instance: usize, cluster: usize, handles: &[Handle]) -> Verdict {
        if handles.is_empty() {
            return Ok(());
        }
        let names = self.names(handles);
        self.begin(instance, cluster, &format!("kill of {names}"));
        let answer = self.backend.kill(instance, cluster, handles);
        let clause =
            if self.reference.has_unknown(handles) { Clause::KillUnknown } else { Clause::KillCount };
        let killed = answer.must(clause, "kill answers for every handle, known or not")?;
        let by = self.backend.now();
        let word = |killed: &_| if *killed == longshore_plugin_api::Killed::Yes { "yes" } else { "no" };
        self.end(&killed.iter().map(word).collect::<Vec<_>>().join(", "));
        self.reference.killed(handles, &killed, by)
    }

    fn list(&mut self, instance: usize, cluster: usize) -> Verdict {
        self.begin(instance, cluster, "list");
        let entries = self.backend.list(instance, cluster)?;
        let words: Vec<_> = entries
            .iter()
            .map(|entry| {
                format!("{} ×{} of {}", self.reference.short(&entry.handle), entry.workers, entry.token)
            })
            .collect();
        self.end(&if words.is_empty() { "nothing".to_owned() } else { words.join(", ") });
        let missing = self.reference.listed(cluster, &entries)?;
        if missing.is_empty() {
            return Ok(());
        }
        // Who is alive after the list was alive when it was made: there is no way back from stopped.
        let at = self.backend.now();
        let answer = self.backend.status(instance, cluster, &missing);
        let statuses = answer.must(Clause::StatusCount, "status answers for every handle, known or not")?;
        let alive = missing.iter().zip(&statuses).find(|(_, status)| **status != WorkerStatus::Stopped);
        if let Some((handle, status)) = alive {
            return self.reference.unlisted(instance, handle, *status);
        }
        self.reference.status(instance, &missing, &statuses, at).map_err(|(stop, _)| stop)
    }

    /// Waits until all that was launched runs and all that was killed has stopped.
    fn settle(&mut self) -> Verdict {
        if (0..CLUSTERS).all(|cluster| self.reference.not_stopped(cluster).is_empty()) {
            return Ok(());
        }
        self.steps.push("wait until what was launched runs, and what was killed has stopped".to_owned());
        let place = self.steps.len();
        let Facts { start, grace, .. } = self.facts;
        let began = self.backend.now();
        for cluster in 0..CLUSTERS {
            loop {
                let handles = self.reference.not_stopped(cluster);
                // A moment before the look, so that the last one comes after the limit.
                let waited = self.backend.now().saturating_sub(began);
                self.status(0, cluster, &handles)?;
                let left = self.reference.unsettled(cluster);
                if left.initializing + left.ending + left.refused == 0 {
                    break;
                }
                self.steps.truncate(place);
                let expected = format!("workers run within {start:?} (`start` of the quirks file)");
                demand(left.initializing == 0 || waited <= start, Clause::StatusValue, expected, || {
                    format!(
                        "{} workers in c{} were initializing all the time",
                        left.initializing,
                        cluster + 1
                    )
                })?;
                if left.refused > 0 {
                    self.demand_kill(cluster, left.refused, waited, grace)?;
                }
                self.backend.pause();
            }
            self.steps.truncate(place);
        }
        Ok(())
    }

    /// Kills again what was not killed, as a host does.
    fn demand_kill(&mut self, cluster: usize, refused: usize, waited: Duration, grace: Duration) -> Verdict {
        let expected = format!(
            "a kill that is asked for again and again succeeds within {grace:?} (`grace` of the quirks file)"
        );
        demand(waited <= grace, Clause::KillTrue, expected, || {
            format!("for {refused} handles of c{} it goes on answering no", cluster + 1)
        })?;
        let handles = self.reference.refused(cluster);
        self.kill(0, cluster, &handles)
    }

    /// The handles that are meant: of the cluster's, so far as it has any, and nobody's. Each once, as a host asks.
    fn picked(&self, cluster: usize, picks: &[Pick]) -> Vec<Handle> {
        let made = self.reference.handles(cluster);
        let mut handles = Vec::new();
        for pick in picks {
            let handle = match pick {
                Pick::Made(_) if made.is_empty() => continue,
                Pick::Made(number) => Handle::clone(&made[number % made.len()]),
                Pick::Unknown(number) => self.backend.nobody(*number),
            };
            if !handles.contains(&handle) {
                handles.push(handle);
            }
        }
        handles
    }

    fn names(&self, handles: &[Handle]) -> String {
        let all: Vec<String> = handles.iter().map(|handle| self.reference.short(handle)).collect();
        all.join(", ")
    }

    /// What a run came to: each new handle's name with its text.
    fn launched(&self, answer: &Result<Launched, CallError>) -> String {
        match answer {
            Err(error) => error.to_string(),
            Ok(launched) if launched.handles.is_empty() => "nothing".to_owned(),
            Ok(launched) => {
                let all = launched.handles.iter();
                let all: Vec<String> = all
                    .map(|(handle, workers)| {
                        format!("{} ×{workers} (`{handle}`)", self.reference.short(handle))
                    })
                    .collect();
                all.join(", ")
            }
        }
    }

    /// Writes down what is about to be done, and by which instance where there are several.
    fn begin(&mut self, instance: usize, cluster: usize, what: &str) {
        let by =
            if self.facts.instances > 1 { format!("instance {}, ", letter(instance)) } else { String::new() };
        self.steps.push(format!("{by}c{}: {what}", cluster + 1));
    }

    /// Writes down what came of it.
    fn end(&mut self, words: &str) {
        if let Some(step) = self.steps.last_mut() {
            step.push_str(" → ");
            step.push_str(words);
        }
    }
}

fn letter(instance: usize) -> char {
    if instance == 0 { 'A' } else { 'B' }
}
