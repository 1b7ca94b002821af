//! What `kill` answers: yes or no for each handle in its place, and yes where there is nothing left to stop.

use std::time::Instant;

use longshore_plugin_api::{Clause, Killed};

use crate::{
    bench::Bench,
    order::{Brought, Errand},
    quirks::Outlives,
    subject::{Handle, Subject},
    texts,
    verdict::{Must as _, Verdict, breach},
    watch::{self, Crew, Eyes},
    witness::Temper,
};

/// How many handles a host kills at once, in a large cluster.
const MANY: usize = 10_000;

/// How many orders are thrown.
const ORDERS: u64 = 3;

/// Kills, and demands a yes for each. Where the call fails, the handle that it fails for is looked for.
fn yes_for_each(
    subject: &Subject<'_>,
    cluster: &str,
    handles: &[Handle],
    clause: Clause,
    expected: &str,
) -> Verdict {
    let killed = texts::answered(handles, clause, expected, |handles| subject.kill(cluster, handles))?;
    for (place, (handle, killed)) in handles.iter().zip(killed).enumerate() {
        if let Killed::No(why) = killed {
            return breach(
                clause,
                expected,
                format_args!("in place {place}, for {}, it answered no: {why}", texts::shown(handle)),
            );
        }
    }
    Ok(())
}

/// Every second of the handles of a cluster with so many workers, which are dead, and the others, which are alive.
fn half_dead<'b>(
    bench: &'b Bench,
    subject: &Subject<'b>,
    eyes: &Eyes<'b>,
    cluster: &str,
) -> Verdict<(Vec<Handle>, Crew)> {
    let half = bench.modest(6).min(6) / 2;
    let dead = subject.up_of(cluster, &watch::apart(bench, half))?;
    let live = eyes.launch(subject, cluster, half, Temper::Meek)?;
    subject.down(cluster, &dead)?;
    Ok((dead, live))
}

pub(crate) fn kill_order(bench: &Bench) -> Verdict {
    let clause = Clause::KillCount;
    let expected = "kill answers for each handle, and kills those that are alive";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let eyes = Eyes::open(bench)?;
    let (dead, live) = half_dead(bench, &subject, &eyes, &cluster)?;
    let bystander = eyes.launch(&subject, &cluster, 1, Temper::Meek)?;
    // The host's own check holds the number and the values of the answers to the clause, in each of these calls.
    for number in 0..ORDERS {
        let nobodys = texts::nobodys(&cluster, 5);
        let order = texts::shuffled(&[&*dead, &*nobodys].concat(), bench.seed() ^ number);
        yes_for_each(&subject, &cluster, &order, clause, expected)?;
    }
    let all = [&*live.handles, &*dead, &*texts::nobodys(&cluster, 5)].concat();
    let order = texts::shuffled(&all, bench.seed());
    yes_for_each(&subject, &cluster, &order, clause, expected)?;
    live.is_gone(&subject, clause, Instant::now() + bench.quirks().grace)?;
    bystander.is_well(&subject, clause, "kill answers for the handles of its request, and for no others")
}

pub(crate) fn kill_of_none(bench: &Bench) -> Verdict {
    let clause = Clause::KillCount;
    let expected = "asked to kill no handles, kill answers with none and stops nobody";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    subject.prepare(&cluster).must(clause, "the cluster is initialized")?;
    subject.kill(&cluster, &[]).must(clause, expected)?;
    let crew = Eyes::open(bench)?.launch(&subject, &cluster, bench.modest(2).min(2), Temper::Meek)?;
    subject.kill(&cluster, &[]).must(clause, expected)?;
    watch::watch(bench, || crew.is_well(&subject, clause, expected))
}

pub(crate) fn kill_of_many(bench: &Bench) -> Verdict {
    let clause = Clause::KillCount;
    let expected = "kill answers for each of 10,000 handles, in one call";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let eyes = Eyes::open(bench)?;
    let live = eyes.launch(&subject, &cluster, 1, Temper::Meek)?;
    let handles = texts::nobodys(&cluster, MANY);
    let killed = subject.kill(&cluster, &handles).must(clause, expected)?;
    for (handle, killed) in handles.iter().zip(killed) {
        if let Killed::No(why) = killed {
            return breach(
                clause,
                expected,
                format_args!("for {handle:?}, which nobody gave out, it answered no: {why}"),
            );
        }
    }
    live.is_well(&subject, clause, "killing 10,000 handles of nobody's stops nobody")
}

pub(crate) fn kill_unknown(bench: &Bench) -> Verdict {
    let clause = Clause::KillUnknown;
    let expected = "killing a handle that is not known succeeds";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    subject.prepare(&cluster).must(clause, "the cluster is initialized")?;
    let strangers = [texts::foreign(&cluster), texts::nobodys(&cluster, 5)].concat();
    // In a cluster that never had a worker, beside one, and each alone.
    yes_for_each(&subject, &cluster, &strangers, clause, expected)?;
    let crew = Eyes::open(bench)?.launch(&subject, &cluster, 1, Temper::Meek)?;
    yes_for_each(&subject, &cluster, &strangers, clause, expected)?;
    for stranger in &strangers {
        yes_for_each(&subject, &cluster, std::slice::from_ref(stranger), clause, expected)?;
    }
    crew.is_well(&subject, Clause::KillNobodyElse, "killing handles that nobody gave out stops nobody")
}

pub(crate) fn kill_stopped(bench: &Bench) -> Verdict {
    let clause = Clause::KillUnknown;
    let expected = "killing a worker that has stopped succeeds";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let mut handles = subject.up_of(&cluster, &watch::apart(bench, bench.modest(2).min(2)))?;
    subject.down(&cluster, &handles)?;
    yes_for_each(&subject, &cluster, &handles, clause, expected)?;
    // One that ended by itself, where that can be had.
    if bench.quirks().witness.is_some() {
        let crew = Eyes::seeing(bench)?.launch(&subject, &cluster, 1, Temper::Meek)?;
        for witness in &crew.witnesses {
            witness.end()?;
            witness.ends_within(bench.quirks().grace);
        }
        yes_for_each(&subject, &cluster, &crew.handles, clause, expected)?;
        subject.wait_stopped(&cluster, &crew.handles, Clause::StatusFinal)?;
        yes_for_each(&subject, &cluster, &crew.handles, clause, expected)?;
        handles.extend(crew.handles);
    }
    if subject.provider().has_cleanup() {
        // Its faults are the business of the checks of its clauses; here it removes what is known of the dead.
        drop(subject.cleanup(&cluster, true));
        yes_for_each(
            &subject,
            &cluster,
            &handles,
            clause,
            "killing a worker whose traces are removed succeeds",
        )?;
    }
    if bench.outlives(Outlives::Instance).is_ok() {
        yes_for_each(&bench.provider()?, &cluster, &handles, clause, expected)?;
    }
    if bench.outlives(Outlives::Process).is_ok() {
        let texts = handles.iter().map(ToString::to_string).collect();
        match bench.elsewhere(Errand::Kill { cluster, handles: texts })? {
            Brought::Kill(killed) if killed.iter().all(|yes| *yes) => {}
            other => {
                return breach(clause, expected, format_args!("in another process it came to {other:?}"));
            }
        }
    }
    Ok(())
}

pub(crate) fn kill_odd_text(bench: &Bench) -> Verdict {
    let clause = Clause::KillUnknown;
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let crew = Eyes::open(bench)?.launch(&subject, &cluster, bench.modest(2).min(2), Temper::Meek)?;
    let expected = "killing a handle that is not known succeeds, whatever its text";
    yes_for_each(&subject, &cluster, &texts::odd(), clause, expected)?;
    watch::watch(bench, || {
        crew.is_well(&subject, Clause::KillNobodyElse, "killing handles of odd text stops nobody")
    })
}

pub(crate) fn kill_mixed(bench: &Bench) -> Verdict {
    let clause = Clause::KillPartial;
    let expected = "what one handle is like costs no other its answer, nor its kill";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let eyes = Eyes::open(bench)?;
    // Strangers first, then the living; the living first; and all mixed.
    for number in 0..ORDERS {
        let (dead, live) = half_dead(bench, &subject, &eyes, &cluster)?;
        let strangers = [texts::odd(), texts::foreign(&cluster), dead].concat();
        let order = match number {
            0 => [&*strangers, &*live.handles].concat(),
            1 => [&*live.handles, &*strangers].concat(),
            _ => texts::shuffled(&[&*strangers, &*live.handles].concat(), bench.seed()),
        };
        // Not one by one where it fails: the living are to be killed among the others.
        let killed = subject.kill(&cluster, &order).must(clause, expected)?;
        for (handle, killed) in order.iter().zip(killed) {
            if let Killed::No(why) = killed {
                let what = if live.handles.contains(handle) { "alive" } else { "not alive" };
                let seen = format!("for {}, which was {what}, it answered no: {why}", texts::shown(handle));
                return breach(clause, expected, seen);
            }
        }
        live.is_gone(&subject, clause, Instant::now() + bench.quirks().grace)?;
    }
    Ok(())
}

pub(crate) fn kill_fails_for_one(bench: &Bench) -> Verdict {
    let clause = Clause::KillPartial;
    let expected =
        "a handle that cannot be killed is answered with no, and the others are killed and answered with yes";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let eyes = Eyes::open(bench)?;
    // By itself: what keeps it from being killed may be its launch's.
    let failing = subject.up_of(&cluster, &watch::apart(bench, 1))?;
    let live = eyes.launch(&subject, &cluster, bench.modest(2).min(2), Temper::Meek)?;
    let [stuck] = failing.as_slice() else {
        let seen = format_args!("{failing:?}");
        return breach(Clause::RunCount, "a run of one worker answers with one handle", seen);
    };
    // Among the others, so that it shows whether those before it and those after it are spared.
    let (before, after) = live.handles.split_at(1);
    let order = [before, &failing, after].concat();
    let killed = bench.while_kill_fails(stuck, || subject.kill(&cluster, &order).must(clause, expected))?;
    for (handle, killed) in order.iter().zip(&killed) {
        match killed {
            Killed::No(why) if handle != stuck => {
                let what = texts::shown(handle);
                let seen = format!("for {what}, which nothing kept from being killed, it answered no: {why}");
                return breach(clause, expected, seen);
            }
            Killed::No(why) if why.trim().is_empty() => {
                return breach(clause, expected, "it gave no reason for the no");
            }
            _ => {}
        }
    }
    live.is_gone(&subject, clause, Instant::now() + bench.quirks().grace)?;
    if killed[before.len()] == Killed::Yes {
        // Where it could be killed all the same, a yes is as good as any.
        subject.wait_stopped(&cluster, &failing, clause)?;
        bench.note("the commands of `[bad_kill]` did not keep the worker from being killed");
    }
    subject.kill_all(&cluster, &failing, clause)?;
    subject.wait_stopped(&cluster, &failing, clause)
}
