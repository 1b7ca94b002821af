//! The checks of the family `initialize`: it may be called at any time, and changes nothing when it has been called before.

use longshore_plugin_api::{Clause, WorkerStatus};

use crate::{
    bench::Bench,
    checks::{server::life, watched::Watched},
    order::{Brought, Errand},
    quirks::Outlives,
    subject::{Subject, is_panic},
    verdict::{Must as _, Stop, Verdict, breach, demand, fault},
};

const AGAIN: &str = "initialize succeeds however often it was called, and runs succeed after it";

fn initialize(subject: &Subject<'_>, cluster: &str) -> Verdict {
    subject.initialize(cluster).must(Clause::InitializeAgain, AGAIN)
}

/// Again before the first run, between runs, after a failure, from a new instance and from another process.
pub(crate) fn initialize_again(bench: &Bench) -> Verdict {
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    if bench.quirks().outage.is_some() {
        fail_first(bench, &subject, &cluster)?;
    }
    initialize(&subject, &cluster)?;
    initialize(&subject, &cluster)?;
    let mut handles = subject.up(&cluster, 1)?;
    initialize(&subject, &cluster)?;
    handles.extend(subject.up(&cluster, 1)?);
    let subject = if bench.quirks().outlives >= Outlives::Instance {
        subject.shut_down();
        let anew = bench.provider()?;
        initialize(&anew, &cluster)?;
        handles.extend(anew.up(&cluster, 1)?);
        anew
    } else {
        subject
    };
    if bench.quirks().outlives >= Outlives::Process && bench.quirks().most_workers >= 4 {
        // The process of the errand has not initialized anything, and does so before it launches, as a host after a restart.
        let errand = Errand::Run { cluster: cluster.clone(), token: bench.token(), workers: 1 };
        match bench.elsewhere(errand)? {
            Brought::Run(made) => handles.extend(made.into_iter().map(|(handle, _)| handle.into())),
            Brought::Failed(text) => {
                let seen =
                    format!("another process that initialized the cluster and launched was refused: {text}");
                return breach(Clause::InitializeAgain, AGAIN, seen);
            }
            other => return fault(format_args!("a run came back as {other:?}")),
        }
    }
    let statuses = subject.status(&cluster, &handles).must(Clause::InitializeAgain, "status answers")?;
    let stopped = handles.iter().zip(&statuses).find(|(_, status)| **status == WorkerStatus::Stopped);
    demand(stopped.is_none(), Clause::InitializeAgain, Clause::InitializeAgain.text(), || {
        let handle = stopped.map_or("", |(handle, _)| handle);
        format!(
            "the worker {handle} has stopped, after the cluster was initialized again and more were launched"
        )
    })
}

/// Tries it while the backend is out of reach, which may fail, and must not spoil the next call.
fn fail_first(bench: &Bench, subject: &Subject<'_>, cluster: &str) -> Verdict {
    let tried = bench.out_of_reach(subject, |cut_off| match cut_off.initialize(cluster) {
        Err(error) if is_panic(&error) => Err(error).must(Clause::InitializeAgain, AGAIN),
        _ => Ok(()),
    });
    match tried {
        Err(Stop::Skip(_)) => Ok(()),
        other => other,
    }
}

/// Workers that run, one that is just starting, a server, and another cluster's worker: all stay as they are.
pub(crate) fn initialize_spares_workers(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let mut here = Watched::launch(bench, &subject, bench.modest(5).saturating_sub(2).max(1))?;
    let there = Watched::launch(bench, &subject, 1)?;
    let served = if life::is_at_hand(bench, &subject) {
        let request = life::request(bench)?;
        life::run(&subject, &here.cluster, &request, Clause::InitializeAgain)?;
        Some(life::wait_running(bench, &subject, &here.cluster, Clause::InitializeAgain)?)
    } else {
        None
    };
    let cluster = here.cluster.clone();
    let starting = here.live.launch(&subject, &cluster, &bench.request(1))?;
    initialize(&subject, &cluster)?;
    subject.wait_running(&cluster, &starting, Clause::InitializeAgain)?;
    if bench.quirks().outlives >= Outlives::Instance {
        initialize(&bench.provider()?, &cluster)?;
    }
    here.unharmed(bench, &subject, Clause::InitializeAgain, "when the cluster is initialized again")?;
    there.unharmed(bench, &subject, Clause::InitializeAgain, "when another cluster is initialized again")?;
    if let Some(address) = served {
        life::unharmed(bench, &subject, &cluster, address.as_ref(), Clause::InitializeAgain)?;
    }
    Ok(())
}
