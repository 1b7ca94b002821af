//! What is seen of a server from inside: that there is one, what it was started with, and that it ends with all that it
//! started. The server of these checks is a witness.

use std::{
    sync::Barrier,
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use longshore_plugin_api::{Clause, ErrorKind, ServerRequest, WorkerStatus};
use longshore_providers::CallError;

use super::{first_of, life, stays_alone, stays_stopped};
use crate::{
    bench::Bench,
    checks::run::witnessed::{odd_arguments, odd_variables, same_arguments, same_variables},
    subject::Subject,
    verdict::{Must as _, Verdict, breach, demand, fault, skip},
    watch::NEWS,
    witness::{Temper, Witness},
};

/// How many threads ask for a server at once.
const AT_ONCE: usize = 8;
/// For how long it is watched that a server which has ended is not started again.
const RESTART_WATCH: Duration = Duration::from_secs(1);

/// A server of the quirks file, and one that tells of itself where it can.
pub(crate) fn server_at_once(bench: &Bench) -> Verdict {
    let clause = Clause::ServerOnce;
    let request = life::request(bench)?;
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    ask_at_once(bench, &subject, &cluster, &request)?;
    let address = life::wait_running(bench, &subject, &cluster, clause)?;
    life::unharmed(bench, &subject, &cluster, address.as_ref(), clause)?;
    life::stop(bench, &subject, &cluster, Clause::ServerStop)?;
    if let Some((ears, request)) = life::witnessed(bench)? {
        let cluster = bench.cluster();
        ask_at_once(bench, &subject, &cluster, &request)?;
        let Some(first) = first_of(bench, &ears)? else { return Ok(()) };
        stays_alone(&subject, &cluster, &ears, &first)?;
    }
    Ok(())
}

/// Asks from many threads. Each may wait for another, or be told to ask again; somebody succeeds, if not now then next.
fn ask_at_once(bench: &Bench, subject: &Subject<'_>, cluster: &str, request: &ServerRequest) -> Verdict {
    let clause = Clause::ServerOnce;
    // Before the threads come, so that none is ahead of it.
    subject.prepare(cluster).must(Clause::InitializeAgain, "initialize succeeds")?;
    let barrier = Barrier::new(AT_ONCE);
    let ask = || {
        barrier.wait();
        subject.run_server(cluster, request)
    };
    let answers: Verdict<Vec<Result<(), CallError>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(ask)).collect();
        let joined = threads.into_iter().map(ScopedJoinHandle::join);
        joined.map(|answer| answer.unwrap_or_else(|_| fault("a thread of the check panicked"))).collect()
    });
    for answer in answers? {
        match answer {
            // Another one is at work.
            Err(CallError::Failed(error))
                if matches!(error.kind(), ErrorKind::Retryable | ErrorKind::Unknown) => {}
            Err(CallError::Deadline { .. }) => {}
            other => {
                other
                    .must(clause, "run_server that is called from many threads at once starts one server")?;
            }
        }
    }
    life::run_again(bench, subject, cluster, request, clause)
}

/// A server that hears of being asked to end and one that does not, with children, grandchildren, and some that left.
pub(crate) fn server_stops_whole(bench: &Bench) -> Verdict {
    let clause = Clause::ServerStop;
    let expected =
        "everything that a server has started ends with it, also what has begun a session of its own";
    let subject = bench.provider()?;
    for temper in [Temper::Meek, Temper::Stubborn] {
        let cluster = bench.cluster();
        let (ears, request) = life::witness(bench, temper, &[], &[])?;
        life::run(&subject, &cluster, &request, clause)?;
        let Some(first) = first_of(bench, &ears)? else { return Ok(()) };
        let mut family: Vec<Witness> = Vec::new();
        for start in [Witness::start_child, Witness::start_runaway] {
            start(&first)?;
            let Some(child) = ears.expect(1)?.pop() else {
                return fault(
                    "the server's program could not start a child there, or it could not reach the check",
                );
            };
            child.start_child()?;
            family.extend(ears.expect(1)?);
            family.push(child);
        }
        life::stop(bench, &subject, &cluster, clause)?;
        let end = Instant::now() + NEWS;
        demand(first.ends_within(NEWS), clause, expected, || {
            format!("server_status says stopped, and its process {} is alive", first.hello.pid)
        })?;
        for witness in &family {
            let left = end.saturating_duration_since(Instant::now());
            demand(witness.ends_within(left), clause, expected, || {
                format!(
                    "server_status says stopped, and process {}, which the server's process {} or a child of it started, is \
                     alive",
                    witness.hello.pid, first.hello.pid
                )
            })?;
        }
    }
    Ok(())
}

/// It ends with success, as it was told to; nobody starts it again but the host.
pub(crate) fn server_own_end(bench: &Bench) -> Verdict {
    let clause = Clause::ServerStatus;
    let expected = "a server that ends by itself is stopped";
    let (ears, request) = life::witness(bench, Temper::Meek, &[], &[])?;
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    life::run(&subject, &cluster, &request, clause)?;
    let Some(first) = first_of(bench, &ears)? else { return Ok(()) };
    if !first.is_alive() {
        return skip("the server's program was ended before it could end by itself");
    }
    first.end()?;
    let limit = bench.quirks().start.max(bench.quirks().grace);
    let mut last = WorkerStatus::Running;
    let stopped = bench.poll(limit, || {
        last = life::status(&subject, &cluster)?;
        Ok((last == WorkerStatus::Stopped).then_some(()))
    })?;
    demand(stopped.is_some(), clause, expected, || {
        format!("{limit:?} after its program has ended server_status still says {last}")
    })?;
    if let Some(second) = ears.hear(1, RESTART_WATCH)?.first() {
        let seen = format!("its program was started once more: process {}", second.hello.pid);
        return breach(clause, "a server that has ended is started by run_server alone", seen);
    }
    stays_stopped(bench, &subject, &cluster, clause)?;
    // Whatever it says of the one that is gone, it can be read.
    life::address(&subject, &cluster)?;

    let expected = "run_server starts another server in the place of one that has ended by itself";
    life::run_again(bench, &subject, &cluster, &request, clause)?;
    let Some(second) = ears.expect(1)?.pop() else {
        return breach(clause, expected, "run_server succeeded, and no program was started");
    };
    let status = life::status(&subject, &cluster)?;
    demand(status != WorkerStatus::Stopped || !second.is_alive(), clause, expected, || {
        format!("its process {} is alive, and server_status says {status}", second.hello.pid)
    })?;
    life::stop(bench, &subject, &cluster, Clause::ServerStop)?;
    demand(second.ends_within(NEWS), Clause::ServerStop, "a server that was stopped has ended", || {
        format!("server_status says stopped, and its process {} is alive", second.hello.pid)
    })
}

/// Once plain, once with odd arguments and variables, and with a name that is not the cluster's.
pub(crate) fn server_sees(bench: &Bench) -> Verdict {
    let clause = Clause::ServerEnvironment;
    let subject = bench.provider()?;
    let (args, env) = (odd_arguments(), odd_variables());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut env: Vec<(&str, &str)> =
        env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let look = |args: &[&str], env: &[(&str, &str)]| {
        let cluster = bench.cluster();
        let (ears, request) = life::witness(bench, Temper::Meek, args, env)?;
        life::run(&subject, &cluster, &request, clause)?;
        let first = ears.expect(1)?.pop();
        Ok((cluster, first.map(|first| first.hello)))
    };
    // First one without anything odd: if that does not report, the fault lies elsewhere.
    let (cluster, Some(hello)) = look(&[], &[])? else {
        bench.note("the server did not run the witness, so that what it sees could not be seen");
        return skip("no server reported");
    };
    same_variables(&[("LONGSHORE_CLUSTER", &cluster)], &hello, clause)?;
    let (_, Some(hello)) = look(&args, &env)? else {
        let expected = "a server runs its command with the arguments and variables of its request";
        return breach(
            clause,
            expected,
            "one whose arguments and variables are plain reports; with odd ones it does not",
        );
    };
    same_arguments(&args, &hello, clause)?;
    same_variables(&env, &hello, clause)?;
    env = vec![("LONGSHORE_CLUSTER", "wrong")];
    let (cluster, Some(hello)) = look(&[], &env)? else {
        return breach(
            clause,
            Clause::ServerEnvironment.text(),
            "with LONGSHORE_CLUSTER in its container no server reports",
        );
    };
    same_variables(&[("LONGSHORE_CLUSTER", &cluster)], &hello, clause)?;
    Ok(())
}
