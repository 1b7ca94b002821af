//! The checks of the family `server`: at most one a cluster, which stops when it is told to, and can be found.

pub(crate) mod life;
mod outage;
mod seen;

use longshore_plugin_api::{Clause, ServerRequest, WorkerStatus};

use crate::{
    bench::Bench,
    checks::watched::WATCH,
    quirks::Outlives,
    subject::Subject,
    verdict::{Must as _, Verdict, breach, demand},
    witness::{Witness, Witnesses},
};

pub(crate) use self::{
    outage::server_in_an_outage,
    seen::{server_at_once, server_own_end, server_sees, server_stops_whole},
};

const ONCE: &str = "run_server of a server that is initializing or running succeeds and leaves it alone: one server a cluster";

/// Again while it starts, and again while it runs.
pub(crate) fn server_once(bench: &Bench) -> Verdict {
    let request = life::request(bench)?;
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    life::run(&subject, &cluster, &request, Clause::ServerOnce)?;
    life::run(&subject, &cluster, &request, Clause::ServerOnce)?;
    let address = life::wait_running(bench, &subject, &cluster, Clause::ServerOnce)?;
    life::run(&subject, &cluster, &request, Clause::ServerOnce)?;
    life::run(&subject, &cluster, &request, Clause::ServerOnce)?;
    life::unharmed(bench, &subject, &cluster, address.as_ref(), Clause::ServerOnce)?;
    if let Some((ears, request)) = life::witnessed(bench)? {
        let cluster = bench.cluster();
        life::run(&subject, &cluster, &request, Clause::ServerOnce)?;
        life::run(&subject, &cluster, &request, Clause::ServerOnce)?;
        let Some(first) = first_of(bench, &ears)? else { return Ok(()) };
        life::run(&subject, &cluster, &request, Clause::ServerOnce)?;
        stays_alone(&subject, &cluster, &ears, &first)?;
    }
    Ok(())
}

/// The server's witness, where it reports.
fn first_of(bench: &Bench, ears: &Witnesses) -> Verdict<Option<Witness>> {
    let first = ears.expect(1)?.pop();
    if first.is_none() {
        bench.note("the server did not run the witness, so that what it does could not be seen from inside");
    }
    Ok(first)
}

/// Demands that no other server reports, and that the first one lives.
fn stays_alone(subject: &Subject<'_>, cluster: &str, ears: &Witnesses, first: &Witness) -> Verdict {
    if let Some(second) = ears.hear(1, WATCH)?.first() {
        let seen = format!(
            "the process {} and the process {} are both the server",
            first.hello.pid, second.hello.pid
        );
        return breach(Clause::ServerOnce, ONCE, seen);
    }
    // A witness listens on no port; a provider may have given it up for that, and then says so.
    let is_given_up = life::status(subject, cluster)? == WorkerStatus::Stopped;
    demand(is_given_up || first.is_alive(), Clause::ServerOnce, ONCE, || {
        format!("the server's process {} has ended, though its status is not stopped", first.hello.pid)
    })
}

/// A second instance, with the first one gone, starts no other server, and can stop the one that is there.
pub(crate) fn server_once_anew(bench: &Bench) -> Verdict {
    let request = life::request(bench)?;
    bench.outlives(Outlives::Instance)?;
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    life::run(&subject, &cluster, &request, Clause::ServerOnce)?;
    let address = life::wait_running(bench, &subject, &cluster, Clause::ServerOnce)?;
    let witnessed = launch_witnessed(bench, &subject)?;
    subject.shut_down();
    let anew = bench.provider()?;
    life::unharmed(bench, &anew, &cluster, address.as_ref(), Clause::ServerOnce)?;
    life::run(&anew, &cluster, &request, Clause::ServerOnce)?;
    life::unharmed(bench, &anew, &cluster, address.as_ref(), Clause::ServerOnce)?;
    if let Some((ears, request, cluster, first)) = witnessed {
        life::run(&anew, &cluster, &request, Clause::ServerOnce)?;
        stays_alone(&anew, &cluster, &ears, &first)?;
    }
    life::stop(bench, &anew, &cluster, Clause::ServerStop)
}

/// A server that has reported itself, in a cluster of its own.
fn launch_witnessed(
    bench: &Bench,
    subject: &Subject<'_>,
) -> Verdict<Option<(Witnesses, ServerRequest, String, Witness)>> {
    let Some((ears, request)) = life::witnessed(bench)? else { return Ok(None) };
    let cluster = bench.cluster();
    life::run(subject, &cluster, &request, Clause::ServerOnce)?;
    let first = first_of(bench, &ears)?;
    Ok(first.map(|first| (ears, request, cluster, first)))
}

/// While it runs, while it starts, twice, and then it starts again.
pub(crate) fn server_stops(bench: &Bench) -> Verdict {
    let request = life::request(bench)?;
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    life::run(&subject, &cluster, &request, Clause::ServerStop)?;
    life::wait_running(bench, &subject, &cluster, Clause::ServerStop)?;
    life::stop(bench, &subject, &cluster, Clause::ServerStop)?;
    stays_stopped(bench, &subject, &cluster, Clause::ServerStop)?;
    subject.stop_server(&cluster).must(Clause::ServerStop, "stopping a server that has stopped succeeds")?;
    life::run_again(bench, &subject, &cluster, &request, Clause::ServerStop)?;
    life::wait_running(bench, &subject, &cluster, Clause::ServerStop)?;
    // A second stop begins nothing anew.
    subject.stop_server(&cluster).must(Clause::ServerStop, "stop_server succeeds")?;
    life::stop(bench, &subject, &cluster, Clause::ServerStop)?;

    let starting = bench.cluster();
    life::run(&subject, &starting, &life::request(bench)?, Clause::ServerStop)?;
    life::stop(bench, &subject, &starting, Clause::ServerStop)?;
    stays_stopped(bench, &subject, &starting, Clause::ServerStop)?;

    if let Some((_ears, _, cluster, first)) = launch_witnessed(bench, &subject)? {
        life::stop(bench, &subject, &cluster, Clause::ServerStop)?;
        let grace = bench.quirks().grace;
        demand(first.ends_within(grace), Clause::ServerStop, "a server that was stopped has ended", || {
            format!(
                "server_status says stopped, and its process {} is alive after {grace:?}",
                first.hello.pid
            )
        })?;
    }
    Ok(())
}

fn stays_stopped(bench: &Bench, subject: &Subject<'_>, cluster: &str, clause: Clause) -> Verdict {
    let back = bench.poll(WATCH, || {
        let status = life::status(subject, cluster)?;
        Ok((status != WorkerStatus::Stopped).then_some(status))
    })?;
    demand(back.is_none(), clause, "a server that has stopped stays stopped", || {
        back.map_or_else(String::new, |status| format!("it came back: {status}"))
    })
}

pub(crate) fn server_stop_of_none(bench: &Bench) -> Verdict {
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    subject.prepare(&cluster).must(Clause::InitializeAgain, "a cluster can be initialized")?;
    let none = |clause: Clause, when: &str| {
        let status = life::status(&subject, &cluster)?;
        demand(status == WorkerStatus::Stopped, clause, "there is no server", || {
            format!("{when}, server_status says {status}")
        })
    };
    none(Clause::ServerStatus, "in a cluster that never had any")?;
    for time in ["once", "twice"] {
        let expected = "stopping the server of a cluster that has none succeeds, and again";
        subject.stop_server(&cluster).must(Clause::ServerStop, expected)?;
        none(Clause::ServerStop, &format!("stopped {time}"))?;
    }
    // Workers are no server.
    let handles = subject.up(&cluster, 1)?;
    subject
        .stop_server(&cluster)
        .must(Clause::ServerStop, "stopping the server of a cluster that has none succeeds")?;
    subject.wait_running(&cluster, &handles, Clause::ServerStop)
}

/// Clusters with similar names: a server is found under its own alone.
pub(crate) fn server_of_its_cluster(bench: &Bench) -> Verdict {
    let request = life::request(bench)?;
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    let (other, none) = (format!("{cluster}-1"), format!("{cluster}-11"));
    life::run(&subject, &cluster, &request, Clause::ServerStop)?;
    life::wait_running(bench, &subject, &cluster, Clause::ServerStop)?;
    life::run(&subject, &other, &life::request(bench)?, Clause::ServerStop)?;
    let address = life::wait_running(bench, &subject, &other, Clause::ServerStop)?;
    subject.prepare(&none).must(Clause::InitializeAgain, "a cluster can be initialized")?;
    let status = life::status(&subject, &none)?;
    demand(
        status == WorkerStatus::Stopped,
        Clause::ServerStatus,
        "a cluster has no server but its own",
        || {
            format!(
                "the clusters {cluster} and {other} have servers; {none} has none, and server_status says {status}"
            )
        },
    )?;
    subject
        .stop_server(&none)
        .must(Clause::ServerStop, "stopping the server of a cluster that has none succeeds")?;
    life::stop(bench, &subject, &cluster, Clause::ServerStop)?;
    life::unharmed(bench, &subject, &other, address.as_ref(), Clause::ServerStop)?;
    if bench.quirks().server.as_ref().is_some_and(|server| server.connects)
        && let Some(address) = &address
    {
        life::connect(bench, address, Clause::ServerStop)?;
    }
    Ok(())
}

pub(crate) fn server_address(bench: &Bench) -> Verdict {
    let expected = "a running server has an address, the same whenever it is asked for";
    let request = life::request(bench)?;
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    life::run(&subject, &cluster, &request, Clause::ServerAddress)?;
    // While it starts there may be none; if there is one, it can be read.
    life::address(&subject, &cluster)?;
    let found = life::wait_running(bench, &subject, &cluster, Clause::ServerAddress)?;
    let Some(address) = &found else {
        return breach(Clause::ServerAddress, expected, "it is running and has none");
    };
    let asked = request.port.map_or_else(String::new, |port| format!("{port}"));
    demand(
        request.port.is_none() || address.port.is_some(),
        Clause::ServerAddress,
        "the address of a server has the port of its request, or one that the provider assigned",
        || format!("the request's port is {asked}, and the address is {}", life::words(Some(address))),
    )?;
    life::unharmed(bench, &subject, &cluster, found.as_ref(), Clause::ServerAddress)?;
    if bench.quirks().outlives >= Outlives::Instance {
        let beside = life::address(&bench.provider()?, &cluster)?;
        demand(beside == found, Clause::ServerAddress, expected, || {
            let (here, there) = (life::words(Some(address)), life::words(beside.as_ref()));
            format!("one instance says {here}, another one of the same configuration {there}")
        })?;
    }
    if bench.quirks().server.as_ref().is_some_and(|server| server.connects) {
        life::connect(bench, address, Clause::ServerAddress)?;
    }
    Ok(())
}

pub(crate) fn server_status_of_none(bench: &Bench) -> Verdict {
    let expected = "the server of a cluster that has none is stopped";
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    subject.prepare(&cluster).must(Clause::InitializeAgain, "a cluster can be initialized")?;
    let look = |when: &str| {
        let status = subject.server_status(&cluster).must(Clause::ServerStatus, expected)?;
        demand(status == WorkerStatus::Stopped, Clause::ServerStatus, expected, || {
            format!("{when} it is {status}")
        })?;
        life::address(&subject, &cluster).map(drop)
    };
    look("in a cluster without anything")?;
    let handles = subject.up(&cluster, 1)?;
    subject.wait_running(&cluster, &handles, Clause::StatusValue)?;
    look("in a cluster with a worker")?;
    if life::is_at_hand(bench, &subject) {
        let other = bench.cluster();
        life::run(&subject, &other, &life::request(bench)?, Clause::ServerStatus)?;
        life::wait_running(bench, &subject, &other, Clause::ServerStatus)?;
        look("beside a cluster that has one")?;
    }
    Ok(())
}

/// From the moment in which it was started: initializing, running, and running on.
pub(crate) fn server_status_comes_to_run(bench: &Bench) -> Verdict {
    let request = life::request(bench)?;
    let (subject, cluster) = (bench.provider()?, bench.cluster());
    life::run(&subject, &cluster, &request, Clause::ServerStatus)?;
    if bench.quirks().outlives >= Outlives::Instance {
        // What another instance says is no slower.
        let status = life::status(&bench.provider()?, &cluster)?;
        demand(
            status != WorkerStatus::Stopped,
            Clause::ServerStatus,
            "a server that was started is known to all instances",
            || "another instance of the same configuration says stopped",
        )?;
    }
    let address = life::wait_running(bench, &subject, &cluster, Clause::ServerStatus)?;
    life::unharmed(bench, &subject, &cluster, address.as_ref(), Clause::ServerStatus)
}
