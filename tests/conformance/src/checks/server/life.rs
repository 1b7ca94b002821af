//! A cluster's server as the checks handle it: started, looked at, stopped, and seen by its own witness where it can run one.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};

use longshore_plugin_api::{Clause, Container, ErrorKind, ServerAddress, ServerRequest, WorkerStatus};
use longshore_providers::CallError;

use crate::{
    bench::Bench,
    checks::watched::WATCH,
    quirks::Costly,
    subject::Subject,
    verdict::{Must as _, OrFault as _, Verdict, breach, demand, skip},
    witness::{Temper, Witnesses},
};

/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(2);

/// Whether there is a server to be tried beside the workers.
pub(crate) fn is_at_hand(bench: &Bench, subject: &Subject<'_>) -> bool {
    subject.provider().has_server() && request(bench).is_ok()
}

/// What stands for the port of a request in its container.
const PORT: &str = "${port}";

/// What the server of one cluster runs, with a port that is free at this moment; or a reason to skip.
pub(crate) fn request(bench: &Bench) -> Verdict<ServerRequest> {
    let Some(quirks) = &bench.quirks().server else {
        return skip("the quirks file has no `[server]`: what a server runs there is not known");
    };
    bench.cheap(Costly::Servers)?;
    let port = free_port()?;
    let container = with_port(&quirks.container, port);
    Ok(ServerRequest { container, hardware: quirks.hardware.clone(), port: Some(port) })
}

/// A port that nobody has. Somebody may take it before the server does: the system gives each out in turn, so that it takes a
/// while.
fn free_port() -> Verdict<u16> {
    let found = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|listener| listener.local_addr());
    Ok(found.or_fault("no port is free for a server")?.port())
}

/// A container with the port wherever its texts ask for it.
fn with_port(container: &Container, port: u16) -> Container {
    let fill = |text: &String| text.replace(PORT, &port.to_string());
    Container {
        image: container.image.clone(),
        command: container.command.as_ref().map(fill),
        args: container.args.iter().map(fill).collect(),
        env: container.env.iter().map(|(name, value)| (name.clone(), fill(value))).collect(),
        working_dir: container.working_dir.as_ref().map(fill),
        max_workers: container.max_workers,
    }
}

/// A server that is a witness, and where it reports: for providers whose workers can run one, and which have servers.
pub(crate) fn witnessed(bench: &Bench) -> Verdict<Option<(Witnesses, ServerRequest)>> {
    if bench.quirks().witness.is_none() {
        return request(bench).map(|_| None);
    }
    witness(bench, Temper::Meek, &[], &[]).map(Some)
}

/// A server that is a witness, with arguments and variables; a reason to skip where there can be none.
pub(crate) fn witness(
    bench: &Bench,
    temper: Temper,
    args: &[&str],
    env: &[(&str, &str)],
) -> Verdict<(Witnesses, ServerRequest)> {
    let request = request(bench)?;
    let ears = bench.witnesses()?;
    let container = ears.container(temper, args, env)?;
    Ok((ears, ServerRequest { container, ..request }))
}

pub(crate) fn run(subject: &Subject<'_>, cluster: &str, request: &ServerRequest, clause: Clause) -> Verdict {
    subject.run_server(cluster, request)?.must(clause, "run_server succeeds")
}

/// Starts a server where one may still be stopping: what the provider calls retryable is tried again.
pub(crate) fn run_again(
    bench: &Bench,
    subject: &Subject<'_>,
    cluster: &str,
    request: &ServerRequest,
    clause: Clause,
) -> Verdict {
    let mut last = None;
    let started = bench.poll(bench.quirks().start, || match subject.run_server(cluster, request)? {
        Err(CallError::Failed(error)) if error.kind() == ErrorKind::Retryable => {
            last = Some(error);
            Ok(None)
        }
        other => other.must(clause, "a server that has stopped can be started again").map(Some),
    })?;
    demand(started.is_some(), clause, "a server that has stopped can be started again", || {
        last.map_or_else(String::new, |error| format!("run_server goes on failing: {error}"))
    })
}

pub(crate) fn status(subject: &Subject<'_>, cluster: &str) -> Verdict<WorkerStatus> {
    subject
        .server_status(cluster)
        .must(Clause::ServerStatus, "server_status answers, also where there is no server")
}

/// How the server is, where that can be asked again; nothing where it still fails.
pub(crate) fn back(subject: &Subject<'_>, cluster: &str) -> Verdict<Option<WorkerStatus>> {
    match subject.server_status(cluster) {
        Err(CallError::Failed(_) | CallError::Deadline { .. }) => Ok(None),
        other => other.must(Clause::ServerStatus, "server_status answers after an outage").map(Some),
    }
}

/// The address of a server, once it has one.
pub(crate) fn address(subject: &Subject<'_>, cluster: &str) -> Verdict<Option<ServerAddress>> {
    subject
        .server_address(cluster)
        .must(Clause::ServerAddress, "server_address answers, also where there is none")
}

/// Waits until the server runs, without a way back; its address then. Where it is stopped instead, `clause` is broken.
pub(crate) fn wait_running(
    bench: &Bench,
    subject: &Subject<'_>,
    cluster: &str,
    clause: Clause,
) -> Verdict<Option<ServerAddress>> {
    let limit = bench.quirks().start;
    let expected = format!(
        "a server that was started is initializing, then runs, within {limit:?} (`start` of the quirks file)"
    );
    let mut last = WorkerStatus::Initializing;
    let running = bench.poll(limit, || {
        last = status(subject, cluster)?;
        demand(last != WorkerStatus::Stopped, clause, &expected, || "it is stopped")?;
        Ok((last == WorkerStatus::Running).then_some(()))
    })?;
    demand(running.is_some(), Clause::ServerStatus, &expected, || format!("it is still {last}"))?;
    let (first, second) = (address(subject, cluster)?, address(subject, cluster)?);
    demand(first == second, Clause::ServerAddress, "a running server has one address", || {
        format!("it was {}, and at once afterwards {}", words(first.as_ref()), words(second.as_ref()))
    })?;
    Ok(second)
}

/// Demands that the server goes on running at its address, and watches for a while that it stays so.
pub(crate) fn unharmed(
    bench: &Bench,
    subject: &Subject<'_>,
    cluster: &str,
    before: Option<&ServerAddress>,
    clause: Clause,
) -> Verdict {
    let expected = "the server goes on running, at the same address";
    let end = Instant::now() + WATCH;
    loop {
        let is_last = Instant::now() >= end;
        let now = status(subject, cluster)?;
        demand(now == WorkerStatus::Running, clause, expected, || format!("it was running, and is {now}"))?;
        if is_last {
            break;
        }
        std::thread::sleep(bench.quirks().poll);
    }
    let after = address(subject, cluster)?;
    demand(after.as_ref() == before, clause, expected, || {
        format!("its address was {}, and is {}", words(before), words(after.as_ref()))
    })
}

/// Waits until the server has stopped, for at most the grace.
pub(crate) fn wait_stopped(bench: &Bench, subject: &Subject<'_>, cluster: &str, clause: Clause) -> Verdict {
    let limit = bench.quirks().grace;
    let mut last = WorkerStatus::Running;
    let stopped = bench.poll(limit, || {
        last = status(subject, cluster)?;
        Ok((last == WorkerStatus::Stopped).then_some(()))
    })?;
    let expected =
        format!("a server that was stopped has stopped within {limit:?} (`grace` of the quirks file)");
    demand(stopped.is_some(), clause, expected, || format!("server_status still says {last}"))
}

/// Stops the server, and demands that it stops.
pub(crate) fn stop(bench: &Bench, subject: &Subject<'_>, cluster: &str, clause: Clause) -> Verdict {
    subject.stop_server(cluster).must(clause, "stop_server succeeds")?;
    wait_stopped(bench, subject, cluster, clause)
}

/// Connects to the server, within the time that it may take to start.
pub(crate) fn connect(bench: &Bench, address: &ServerAddress, clause: Clause) -> Verdict {
    let expected = "the server's address takes connections (`server.connects` of the quirks file)";
    let Some(port) = address.port else {
        return breach(clause, expected, format_args!("the address {} has no port", words(Some(address))));
    };
    let mut why = String::new();
    let connected = bench.poll(bench.quirks().start, || {
        let found = (address.host.as_str(), port).to_socket_addrs();
        let tried = found.and_then(|mut all| {
            all.next().map_or_else(
                || Err(std::io::Error::other("the name has no address")),
                |one| TcpStream::connect_timeout(&one, CONNECT),
            )
        });
        Ok(tried.map_err(|error| why = error.to_string()).ok())
    })?;
    demand(connected.is_some(), clause, expected, || format!("{}: {why}", words(Some(address))))
}

pub(crate) fn words(address: Option<&ServerAddress>) -> String {
    match address {
        None => "none".to_owned(),
        Some(ServerAddress { host, port: None }) => format!("{host} without a port"),
        Some(ServerAddress { host, port: Some(port) }) => format!("{host}:{port}"),
    }
}
