//! The checks of the family `predicates`.

use std::collections::HashSet;

use longshore_plugin_api::{Clause, WorkerStatus};
use longshore_providers::CallError;

use crate::{
    bench::Bench,
    quirks::Outlives,
    subject::{Handle, Subject, is_panic},
    texts,
    verdict::{Must as _, Verdict, breach, demand},
    watch,
};

use WorkerStatus::{Initializing, Running, Stopped};

/// How many orders are thrown.
const ORDERS: u64 = 4;

/// Each predicate, with the status that it says yes to.
const PREDICATES: [(WorkerStatus, &str); 3] =
    [(Initializing, "is_initializing"), (Running, "is_running"), (Stopped, "is_stopped")];

/// Asks the predicate of a status.
fn ask(
    subject: &Subject<'_>,
    of: WorkerStatus,
    cluster: &str,
    handles: &[Handle],
) -> Result<Vec<bool>, CallError> {
    match of {
        Initializing => subject.is_initializing(cluster, handles),
        Running => subject.is_running(cluster, handles),
        Stopped => subject.is_stopped(cluster, handles),
    }
}

fn yes_or_no(answer: bool) -> &'static str {
    if answer { "yes" } else { "no" }
}

pub(crate) fn predicates_count(bench: &Bench) -> Verdict {
    let clause = Clause::PredicateCount;
    let expected = "a predicate answers for each handle in its place, and with none for none";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    subject.prepare(&cluster).must(clause, "the cluster is initialized")?;
    for (of, _) in PREDICATES {
        ask(&subject, of, &cluster, &[]).must(clause, expected)?;
    }
    let half = bench.modest(6).min(6) / 2;
    let live = subject.up_of(&cluster, &watch::apart(bench, half))?;
    let dead = subject.up_of(&cluster, &watch::apart(bench, half))?;
    subject.down(&cluster, &dead)?;
    subject.wait_running(&cluster, &live, clause)?;
    let alive: HashSet<&Handle> = live.iter().collect();
    let strangers = texts::nobodys(&cluster, 3);
    for (of, name) in PREDICATES {
        ask(&subject, of, &cluster, &[]).must(clause, expected)?;
        let all = [&*live, &*dead, &*strangers].concat();
        let mut orders = vec![all.clone(), all.iter().rev().cloned().collect()];
        orders.extend(all.iter().map(|handle| vec![Handle::clone(handle)]));
        orders.extend((0..ORDERS).map(|number| texts::shuffled(&all, bench.seed() ^ number)));
        for order in orders {
            let answers = ask(&subject, of, &cluster, &order).must(clause, expected)?;
            for (place, (handle, answer)) in order.iter().zip(answers).enumerate() {
                let is = if alive.contains(handle) { Running } else { Stopped };
                demand(answer == (is == of), clause, expected, || {
                    format!(
                        "asked for {} handles, {name} answered {} in place {place}, for {handle:?}, which is {is}",
                        order.len(),
                        yes_or_no(answer)
                    )
                })?;
            }
        }
    }
    Ok(())
}

/// What was compared so far, and of which statuses.
#[derive(Debug, Default)]
struct Compared(HashSet<&'static str>);

impl Compared {
    /// Asks for the status, the predicates, and the status again. Where it was the same both times it was so in between,
    /// as there is no way back. Gives the status of each.
    fn look(
        &mut self,
        subject: &Subject<'_>,
        cluster: &str,
        handles: &[Handle],
    ) -> Verdict<Vec<WorkerStatus>> {
        let clause = Clause::PredicateAgrees;
        let expected = "exactly one predicate says yes, the one of the status";
        let before = subject.status(cluster, handles).must(clause, expected)?;
        let mut said = Vec::with_capacity(PREDICATES.len());
        for (of, _) in PREDICATES {
            said.push(ask(subject, of, cluster, handles).must(clause, expected)?);
        }
        let after = subject.status(cluster, handles).must(clause, expected)?;
        for (place, handle) in handles.iter().enumerate() {
            let status = before[place];
            if status != after[place] {
                continue;
            }
            for ((of, name), answers) in PREDICATES.iter().zip(&said) {
                let answer = answers[place];
                demand(answer == (*of == status), clause, expected, || {
                    format!("status says that {handle:?} is {status}, and {name} says {}", yes_or_no(answer))
                })?;
                if answer {
                    self.0.insert(name);
                }
            }
        }
        Ok(after)
    }
}

pub(crate) fn predicates_agree(bench: &Bench) -> Verdict {
    let clause = Clause::PredicateAgrees;
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let mut compared = Compared::default();
    let live = subject.up_of(&cluster, &watch::apart(bench, bench.modest(4).min(4)))?;
    // One that stays, and one of nobody's, so that answers differ.
    let stays = live.last().cloned().into_iter().collect::<Vec<_>>();
    let handles = [texts::nobodys(&cluster, 1), live.clone()].concat();
    let running = bench.poll(bench.quirks().start, || {
        let statuses = compared.look(&subject, &cluster, &handles)?;
        Ok(statuses[1..].iter().all(|status| *status == Running).then_some(()))
    })?;
    demand(running.is_some(), clause, "workers come to run", || "some had not in their time")?;
    compared.look(&subject, &cluster, &handles)?;
    if bench.outlives(Outlives::Instance).is_ok() {
        compared.look(&bench.provider()?, &cluster, &handles)?;
    }
    let dying: Vec<Handle> = live.iter().filter(|handle| !stays.contains(handle)).cloned().collect();
    subject.kill_all(&cluster, &dying, Clause::KillTrue)?;
    let stopped = bench.poll(bench.quirks().grace, || {
        let statuses = compared.look(&subject, &cluster, &handles)?;
        let dead = statuses.iter().filter(|status| **status == Stopped).count();
        Ok((dead > dying.len()).then_some(()))
    })?;
    demand(
        stopped.is_some(),
        Clause::KillTrue,
        "killed workers stop within the grace",
        || "some had not in their time",
    )?;
    compared.look(&subject, &cluster, &handles)?;
    subject.down(&cluster, &stays)?;
    if subject.provider().has_cleanup() {
        // Its faults are the business of the checks of its clauses.
        drop(subject.cleanup(&cluster, true));
    }
    compared.look(&subject, &cluster, &handles)?;
    for (_, name) in PREDICATES {
        if !compared.0.contains(name) {
            bench.note(format!("{name} was never asked while it had to say yes: the workers were too fast"));
        }
    }
    Ok(())
}

pub(crate) fn predicates_of_unknown(bench: &Bench) -> Verdict {
    let clause = Clause::PredicateAgrees;
    let expected = "of a handle that is not known is_stopped says yes, and no other predicate does";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    subject.prepare(&cluster).must(clause, "the cluster is initialized")?;
    let strangers = [texts::foreign(&cluster), texts::nobodys(&cluster, 3), texts::odd()].concat();
    are_stopped(&subject, &cluster, &strangers, clause, expected)?;
    let live = subject.up_of(&cluster, &watch::apart(bench, bench.modest(2).min(2)))?;
    are_stopped(&subject, &cluster, &strangers, clause, expected)?;
    are_stopped(&subject, &cluster, &texts::all_misses(&live), clause, expected)
}

fn are_stopped(
    subject: &Subject<'_>,
    cluster: &str,
    strangers: &[Handle],
    clause: Clause,
    expected: &str,
) -> Verdict {
    for (of, name) in PREDICATES {
        let answers =
            texts::answered(strangers, clause, expected, |handles| ask(subject, of, cluster, handles))?;
        for (handle, answer) in strangers.iter().zip(answers) {
            demand(answer == (of == Stopped), clause, expected, || {
                format!(
                    "{name} says {} for {}, which nobody gave out",
                    yes_or_no(answer),
                    texts::shown(handle)
                )
            })?;
        }
    }
    Ok(())
}

pub(crate) fn predicates_in_an_outage(bench: &Bench) -> Verdict {
    let clause = Clause::PredicateAgrees;
    let expected = "a predicate fails where status does, as while the backend cannot be asked";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let handles = subject.up_of(&cluster, &watch::apart(bench, bench.modest(2).min(2)))?;
    subject.wait_running(&cluster, &handles, clause)?;
    bench.out_of_reach(&subject, |cut_off| {
        for (of, name) in PREDICATES {
            match ask(cut_off, of, &cluster, &handles) {
                // One that is late is an error for a host, too.
                Err(CallError::Deadline { .. }) => {}
                Err(error @ CallError::Failed(_)) if !is_panic(&error) => {}
                Err(error) => return Err::<(), _>(error).must(clause, expected),
                Ok(answers) => {
                    let answer = yes_or_no(answers[0]);
                    let seen = format!("{name} says {answer} for {:?}, which is running", handles[0]);
                    return breach(clause, expected, seen);
                }
            }
        }
        Ok(())
    })
}
