//! That the server's functions fail while the backend cannot be asked: a host that reads "stopped" starts a second server, and
//! one that reads "done" leaves the first behind.

use std::cell::Cell;

use longshore_plugin_api::{Clause, ErrorKind, WorkerStatus};
use longshore_providers::CallError;

use super::life;
use crate::{
    bench::Bench,
    subject::is_panic,
    verdict::{Must as _, Verdict, breach, demand},
};

pub(crate) fn server_in_an_outage(bench: &Bench) -> Verdict {
    let clause = Clause::ServerStatus;
    let request = life::request(bench)?;
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    life::run(&subject, &cluster, &request, clause)?;
    let address = life::wait_running(bench, &subject, &cluster, clause)?;

    let expected = "server_status fails while the backend cannot be asked";
    bench.out_of_reach(&subject, |cut_off| {
        // Once more, lest the first error end with a guess.
        for _ in 0..2 {
            match cut_off.server_status(&cluster) {
                Err(CallError::Failed(error)) if error.kind() == ErrorKind::Unreachable => {}
                Err(error @ CallError::Failed(_)) if !is_panic(&error) => {
                    let note = "the error of server_status in an outage is not of the kind `unreachable`, which tells a host more";
                    if !bench.notes().iter().any(|known| known.starts_with(note)) {
                        bench.note(format!("{note}: {error}"));
                    }
                }
                // It was late. A host takes that for an error, too.
                Err(CallError::Deadline { .. }) => {}
                Err(error) => return Err::<(), _>(error).must(clause, expected),
                Ok(status) => {
                    return breach(clause, expected, format_args!("it answered {status} for a server that is running"));
                }
            }
        }
        Ok(())
    })?;
    comes_back(bench, || {
        Ok(life::back(&subject, &cluster)?.filter(|status| *status == WorkerStatus::Running))
    })?;
    life::unharmed(bench, &subject, &cluster, address.as_ref(), clause)?;

    let said_yes = Cell::new(false);
    bench.out_of_reach(&subject, |cut_off| {
        match cut_off.stop_server(&cluster) {
            Ok(()) => said_yes.set(true),
            Err(CallError::Failed(error)) if error.kind() != ErrorKind::Panic => {}
            Err(CallError::Deadline { .. }) => {}
            Err(error) => {
                return Err::<(), _>(error).must(Clause::ServerStop, "stop_server fails in an outage");
            }
        }
        Ok(())
    })?;
    let after = comes_back(bench, || life::back(&subject, &cluster))?;
    if said_yes.get() && after != WorkerStatus::Stopped {
        life::wait_stopped(bench, &subject, &cluster, Clause::ServerStop)?;
    }
    life::stop(bench, &subject, &cluster, Clause::ServerStop)
}

/// Waits for what is to be seen once the outage is over.
fn comes_back(bench: &Bench, look: impl FnMut() -> Verdict<Option<WorkerStatus>>) -> Verdict<WorkerStatus> {
    let clause = Clause::ServerStatus;
    let expected = "after an outage the server is as it was, and its status can be asked";
    let found = bench.poll(bench.quirks().start, look)?;
    demand(
        found.is_some(),
        clause,
        expected,
        || "server_status went on failing, or did not say running again",
    )?;
    Ok(found.unwrap_or(WorkerStatus::Stopped))
}
