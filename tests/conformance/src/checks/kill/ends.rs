//! That a yes means what it says: the worker is stopped within the grace, whatever it is like and whoever asks.

use std::time::Instant;

use longshore_plugin_api::{Clause, Killed, WorkerStatus};
use longshore_providers::CallError;

use crate::{
    bench::Bench,
    order::{Brought, Errand},
    quirks::Outlives,
    subject::{Handle, is_panic},
    verdict::{Must as _, Verdict, breach, demand},
    watch::{self, Eyes},
    witness::Temper,
};

/// Demands that others than the instance that killed see the workers stopped by `end`, too: they may hear of it later.
fn others_see_it(bench: &Bench, cluster: &str, handles: &[Handle], end: Instant) -> Verdict {
    let clause = Clause::KillTrue;
    let expected = "after a yes the worker is stopped within the grace, whoever looks";
    let see = |who: &str, look: &dyn Fn() -> Verdict<Vec<WorkerStatus>>| {
        let mut alive = String::new();
        let gone = bench.poll(end.saturating_duration_since(Instant::now()), || {
            let statuses = look()?;
            let found = handles.iter().zip(statuses).find(|(_, status)| *status != WorkerStatus::Stopped);
            let Some((handle, status)) = found else { return Ok(Some(())) };
            alive = format!("{handle:?} is still {status} for {who}");
            Ok(None)
        })?;
        demand(gone.is_some(), clause, expected, || alive)
    };
    if bench.outlives(Outlives::Instance).is_ok() {
        let anew = bench.provider()?;
        see("an instance that is made anew", &|| anew.status(cluster, handles).must(clause, expected))?;
    }
    if bench.outlives(Outlives::Process).is_ok() {
        let texts: Vec<String> = handles.iter().map(ToString::to_string).collect();
        see("another process", &|| match bench
            .elsewhere(Errand::Status { cluster: cluster.to_owned(), handles: texts.clone() })?
        {
            Brought::Status(statuses) => Ok(statuses),
            other => breach(clause, expected, format_args!("another process brought {other:?}")),
        })?;
    }
    Ok(())
}

pub(crate) fn kill_stops(bench: &Bench) -> Verdict {
    let clause = Clause::KillTrue;
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let eyes = Eyes::open(bench)?;
    let plain = subject.up_of(&cluster, &watch::apart(bench, bench.modest(2).min(2)))?;
    let crew = eyes.launch(&subject, &cluster, bench.modest(2).min(2), Temper::Meek)?;
    let handles = [&*plain, &*crew.handles].concat();
    subject.wait_running(&cluster, &handles, clause)?;
    subject.kill_all(&cluster, &handles, clause)?;
    let end = Instant::now() + bench.quirks().grace;
    subject.wait_stopped(&cluster, &handles, clause)?;
    watch::all_end(&crew.witnesses, &crew.handles, clause, end)?;
    others_see_it(bench, &cluster, &handles, end)?;
    if !subject.provider().has_list() {
        return Ok(());
    }
    // A provider that takes its own yes for the truth tells it by what else it says of the backend.
    let mut alive = None;
    let gone = bench.poll(end.saturating_duration_since(Instant::now()), || {
        let listed = subject.listed(&cluster, clause)?;
        alive = handles.iter().find(|handle| listed.iter().any(|entry| *entry.handle == ***handle));
        Ok(alive.is_none().then_some(()))
    })?;
    demand(gone.is_some(), clause, "after a yes the worker is stopped within the grace", || {
        let handle = alive.map_or("", AsRef::as_ref);
        format!("status says that {handle:?} has stopped, and list names it among the live ones")
    })
}

pub(crate) fn kill_stops_the_stubborn(bench: &Bench) -> Verdict {
    let clause = Clause::KillTrue;
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let eyes = Eyes::seeing(bench)?;
    let crew = eyes.launch(&subject, &cluster, 1, Temper::Stubborn)?;
    subject.kill_all(&cluster, &crew.handles, clause)?;
    let end = Instant::now() + bench.quirks().grace;
    // Its own word first, as that of status may be a hope.
    let expected = "a worker that does not hear of being asked to end is forced to within the grace";
    for witness in &crew.witnesses {
        let limit = end.saturating_duration_since(Instant::now());
        demand(witness.ends_within(limit), clause, expected, || {
            let status = subject.status(&cluster, &crew.handles).map(|all| all[0].to_string());
            let status = status.unwrap_or_else(|error| format!("an error: {error}"));
            let grace = bench.quirks().grace;
            format!(
                "{grace:?} after a yes process {} of {:?} is alive; status says {status}",
                witness.hello.pid, crew.handles[0]
            )
        })?;
    }
    crew.is_gone(&subject, clause, end)
}

pub(crate) fn kill_from_a_new_instance(bench: &Bench) -> Verdict {
    bench.outlives(Outlives::Instance)?;
    let clause = Clause::KillTrue;
    let cluster = bench.cluster();
    let eyes = Eyes::open(bench)?;

    // The instance that launched is gone.
    let first = bench.provider()?;
    let crew = eyes.launch(&first, &cluster, 1, Temper::Meek)?;
    first.wait_running(&cluster, &crew.handles, clause)?;
    first.shut_down();
    let second = bench.provider()?;
    second.kill_all(&cluster, &crew.handles, clause)?;
    crew.is_gone(&second, clause, Instant::now() + bench.quirks().grace)?;

    // It is there, and learns of it.
    let crew = eyes.launch(&second, &cluster, 1, Temper::Meek)?;
    second.wait_running(&cluster, &crew.handles, clause)?;
    let third = bench.provider()?;
    third.kill_all(&cluster, &crew.handles, clause)?;
    crew.is_gone(&third, clause, Instant::now() + bench.quirks().grace)?;
    second.wait_stopped(&cluster, &crew.handles, clause)?;

    // From another process.
    if bench.outlives(Outlives::Process).is_err() {
        return Ok(());
    }
    let crew = eyes.launch(&third, &cluster, 1, Temper::Meek)?;
    third.wait_running(&cluster, &crew.handles, clause)?;
    let texts = crew.handles.iter().map(ToString::to_string).collect();
    match bench.elsewhere(Errand::Kill { cluster: cluster.clone(), handles: texts })? {
        Brought::Kill(killed) if killed == [true] => {}
        other => {
            let expected = "another process can kill a worker of this one";
            return breach(clause, expected, format_args!("for {:?} it came to {other:?}", crew.handles[0]));
        }
    }
    crew.is_gone(&third, clause, Instant::now() + bench.quirks().grace)
}

pub(crate) fn kill_initializing(bench: &Bench) -> Verdict {
    let clause = Clause::KillInitializing;
    let expected = "a worker that is killed while it is initializing stops, and does not start afterwards";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let eyes = Eyes::open(bench)?;
    // The first is killed; by the second, launched with it, is seen when the first would have started.
    let handles = subject.up_of(&cluster, &watch::apart(bench, 2))?;
    let [killed, spared] = handles.as_slice() else {
        return breach(
            Clause::RunCount,
            "a run of 2 workers answers with 2 handles",
            format_args!("{handles:?}"),
        );
    };
    let (killed, spared) = (std::slice::from_ref(killed), std::slice::from_ref(spared));
    subject.kill_all(&cluster, killed, clause)?;
    let end = Instant::now() + bench.quirks().grace;
    subject.wait_stopped(&cluster, killed, clause)?;
    subject.wait_running(&cluster, spared, clause)?;
    watch::watch(bench, || {
        let statuses = subject.status(&cluster, killed).must(clause, expected)?;
        demand(statuses[0] == WorkerStatus::Stopped, clause, expected, || {
            format!("{:?} had stopped, and is {} now", killed[0], statuses[0])
        })
    })?;
    others_see_it(bench, &cluster, killed, end)?;

    // The same through the eyes of the worker, whose program may have begun, but not go on.
    let Some(witnesses) = bench.quirks().witness.is_some().then(|| bench.witnesses()).transpose()? else {
        return Ok(());
    };
    let mut request = watch::apart(bench, 1);
    request.container = witnesses.container(Temper::Meek, &[], &[])?;
    request.container.max_workers = None;
    let handles = subject.up_of(&cluster, &request)?;
    subject.kill_all(&cluster, &handles, clause)?;
    subject.wait_stopped(&cluster, &handles, clause)?;
    let began = witnesses.hear(1, watch::WATCH)?;
    watch::all_end(&began, &handles, clause, Instant::now())?;
    // Whoever is heard from now on was started after it had stopped.
    let again = eyes.launch(&subject, &cluster, 1, Temper::Meek)?;
    subject.down(&cluster, &again.handles)?;
    let late = witnesses.hear(2, watch::WATCH)?;
    demand(late.iter().all(|witness| !witness.is_alive()), clause, expected, || {
        format!("the program of {:?} was started after it had stopped", handles[0])
    })
}

pub(crate) fn kill_in_an_outage(bench: &Bench) -> Verdict {
    let clause = Clause::KillTrue;
    let expected = "kill does not say yes for what it cannot stop";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let eyes = Eyes::open(bench)?;
    let crew = eyes.launch(&subject, &cluster, bench.modest(2).min(2), Temper::Meek)?;
    subject.wait_running(&cluster, &crew.handles, clause)?;
    let promised = std::sync::Mutex::new(Vec::new());
    bench.out_of_reach(&subject, |cut_off| {
        match cut_off.kill(&cluster, &crew.handles) {
            Ok(answers) => {
                let yes = crew.handles.iter().zip(answers).filter(|(_, killed)| *killed == Killed::Yes);
                let yes = yes.map(|(handle, _)| Handle::clone(handle));
                promised.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(yes);
            }
            Err(CallError::Deadline { .. }) => {}
            Err(error @ CallError::Failed(_)) if !is_panic(&error) => {}
            Err(error) => return Err::<(), _>(error).must(clause, expected),
        }
        Ok(())
    })?;
    let promised = promised.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !promised.is_empty() {
        // Where the way to the worker was open all the same, a yes is as good as any.
        subject.wait_stopped(&cluster, &promised, clause)?;
    }
    Ok(())
}
