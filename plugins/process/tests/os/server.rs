//! A cluster's server: one, whoever asks, found again after any death, and ended with all that it started.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

use longshore_plugin_api::{
    Cleanup as _, ErrorKind, Killed, Provider as _, Server as _, ServerAddress, ServerRequest, WorkerStatus,
    testing,
};
use longshore_process::LocalProcesses;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    CLUSTER, House, call, environment, is_alive, list, number_in, provider, request, signal, stat, wait_until,
};

/// A server that runs a script of the shell.
fn server(house: &House, script: &str, port: Option<u16>) -> ServerRequest {
    let container = house.request("unused", 1, script).container;
    ServerRequest { container, port, ..ServerRequest::default() }
}

#[track_caller]
fn start(house: &House, script: &str) {
    call(|ctx| house.provider().run_server(ctx, &server(house, script, None))).expect("it is started");
}

#[track_caller]
fn stop(house: &House) {
    call(|ctx| house.provider().stop_server(ctx)).expect("it is stopped");
}

#[track_caller]
fn status(provider: &LocalProcesses) -> WorkerStatus {
    call(|ctx| provider.server_status(ctx)).expect("the status is known")
}

#[track_caller]
fn address(provider: &LocalProcesses) -> Option<ServerAddress> {
    call(|ctx| provider.server_address(ctx)).expect("the address is known")
}

/// The folders of the cluster's servers, dead ones too.
fn folders(house: &House) -> Vec<PathBuf> {
    let servers = house.root().join("clusters").join(CLUSTER).join("servers");
    let entries = fs::read_dir(servers).into_iter().flatten();
    entries.map(|entry| entry.expect("readable").path()).collect()
}

/// The only folder of a server.
#[track_caller]
fn folder(house: &House) -> PathBuf {
    let [folder] = <[PathBuf; 1]>::try_from(folders(house)).expect("there is one");
    folder
}

const SLEEPER: &str = "exec sleep 600";

#[test]
fn a_server_lives_and_stops() {
    let house = House::new();
    assert_eq!((status(house.provider()), address(house.provider())), (WorkerStatus::Stopped, None));
    stop(&house);
    assert!(!house.root().join("clusters").join(CLUSTER).exists(), "asking and stopping make nothing");

    let request = server(&house, SLEEPER, Some(6379));
    call(|ctx| house.provider().run_server(ctx, &request)).expect("it is started");
    let at = ServerAddress { host: "127.0.0.1".to_owned(), port: Some(6379) };
    assert_eq!(
        (status(house.provider()), address(house.provider())),
        (WorkerStatus::Running, Some(at.clone()))
    );
    let alive = house.alive();
    assert_eq!(alive.len(), 1);
    // What is asked for meanwhile does not matter: it runs.
    call(|ctx| house.provider().run_server(ctx, &server(&house, "exit 1", Some(1)))).expect("it is there");
    assert_eq!((house.alive(), address(house.provider())), (alive, Some(at)));
    assert_eq!(house.list(), [], "a server is no worker");

    stop(&house);
    assert_eq!((status(house.provider()), address(house.provider())), (WorkerStatus::Stopped, None));
    assert_eq!(house.alive(), [0_i32; 0]);
    stop(&house);
}

#[test]
fn the_next_provider_finds_it_at_its_address() {
    let mut house = House::with(json!({"server_host": "node-1.lan"}));
    let request = server(&house, SLEEPER, Some(8786));
    call(|ctx| house.provider().run_server(ctx, &request)).expect("it is started");
    let alive = house.alive();
    house.create_anew();
    let at = ServerAddress { host: "node-1.lan".to_owned(), port: Some(8786) };
    assert_eq!((status(house.provider()), address(house.provider())), (WorkerStatus::Running, Some(at)));
    call(|ctx| house.provider().run_server(ctx, &request)).expect("it is there");
    assert_eq!(house.alive(), alive);
    let another = house.another();
    call(|ctx| another.stop_server(ctx)).expect("it is stopped");
    assert_eq!(status(house.provider()), WorkerStatus::Stopped);
}

#[test]
fn of_many_calls_at_once_one_starts_it() {
    let house = House::new();
    let providers: Vec<_> = (0..4).map(|_| house.another()).collect();
    let request = server(&house, SLEEPER, None);
    for _ in 0..10 {
        thread::scope(|scope| {
            for caller in 0..16 {
                let (provider, request) = (&providers[caller % providers.len()], &request);
                scope.spawn(move || {
                    call(|ctx| {
                        provider.run_server(ctx, request).expect("one is there");
                        assert_eq!(provider.server_status(ctx), Ok(WorkerStatus::Running));
                    });
                });
            }
        });
        assert_eq!(house.alive().len(), 1);
        // Starting and stopping beside each other, too, and the end is the stop's.
        thread::scope(|scope| {
            for provider in &providers {
                scope.spawn(|| call(|ctx| provider.stop_server(ctx)).expect("it is stopped"));
                scope.spawn(|| call(|ctx| provider.run_server(ctx, &request)).expect("one is there"));
            }
        });
        stop(&house);
        assert_eq!(house.alive(), [0_i32; 0]);
    }
}

#[test]
fn stopping_it_ends_its_children_and_those_that_left() {
    let house = House::with(json!({"grace": "300ms"}));
    let (child, runaway) = (house.file("child"), house.file("runaway"));
    let stubborn = "trap '' TERM; while :; do sleep 1; done";
    start(
        &house,
        &format!(
            "({stubborn}) & echo $! > {}; setsid sh -c 'echo $$ > {}; {}' & {stubborn}",
            child.display(),
            runaway.display(),
            stubborn.replace('\'', "'\\''"),
        ),
    );
    let family = [number_in(&child), number_in(&runaway)];
    assert!(family.iter().all(|pid| is_alive(*pid)));
    stop(&house);
    assert!(!family.iter().any(|pid| is_alive(*pid)));
    assert_eq!(house.alive(), [0_i32; 0]);
}

#[test]
fn one_that_died_stays_dead_until_it_is_asked_for_and_leaves_nobody() {
    let house = House::with(json!({"grace": "200ms"}));
    let child = house.file("child");
    start(
        &house,
        &format!("(trap '' TERM; while :; do sleep 1; done) & echo $! > {}; exit 3", child.display()),
    );
    let child = number_in(&child);
    wait_until("it is dead", || status(house.provider()) == WorkerStatus::Stopped);
    assert_eq!(address(house.provider()), None);
    start(&house, SLEEPER);
    assert!(!is_alive(child), "what the one before left is gone before the next begins");
    assert_eq!((status(house.provider()), house.alive().len()), (WorkerStatus::Running, 1));
    stop(&house);
}

#[test]
fn what_cannot_be_started_leaves_nothing() {
    let house = House::new();
    let mut request = server(&house, "", None);
    request.container.command = Some("/longshore/no/such/program".to_owned());
    let error = call(|ctx| house.provider().run_server(ctx, &request)).expect_err("there is no program");
    assert_eq!(error.kind(), ErrorKind::Permanent);
    request.container.command = None;
    let error = call(|ctx| house.provider().run_server(ctx, &request)).expect_err("there is no program");
    assert_eq!(error.kind(), ErrorKind::Permanent);
    assert!(!house.root().join("clusters").join(CLUSTER).exists());
    assert_eq!(status(house.provider()), WorkerStatus::Stopped);
}

#[test]
fn no_handle_reaches_it() {
    let house = House::new();
    start(&house, SLEEPER);
    let token = folder(&house).file_name().expect("a name").to_str().expect("text").to_owned();
    let handles = [format!("{token}-0"), token, "server".to_owned(), "the server of cluster c1".to_owned()];
    assert_eq!(house.status(&handles), [WorkerStatus::Stopped; 4]);
    house.kill(&handles);
    assert_eq!(house.alive().len(), 1);
    // Nor does a worker's token that is the server's.
    let worker = house.run(&handles[1], 1, SLEEPER);
    house.kill(&worker);
    assert_eq!((house.alive().len(), status(house.provider())), (1, WorkerStatus::Running));
    stop(&house);
}

/// The variables of Longshore in a process's environment.
fn variables(pid: i32) -> BTreeSet<String> {
    let environment = String::from_utf8(environment(pid)).expect("text");
    let names = environment.split('\0').filter_map(|variable| Some(variable.split_once('=')?.0.to_owned()));
    names.filter(|name| name.starts_with("LONGSHORE_") && !name.starts_with("LONGSHORE_TEST_")).collect()
}

/// This test program again, as a host of its own that does what a test below says.
fn host(house: &House, name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("it is known"));
    // What the run of the tests has in its own environment, the engines it found say, is none of the host's.
    for (variable, _) in std::env::vars_os() {
        if variable.as_encoded_bytes().starts_with(b"LONGSHORE_") {
            command.env_remove(variable);
        }
    }
    command
        .args(["--exact", name, "--ignored"])
        .env("LONGSHORE_TEST_ROOT", house.root())
        .env("LONGSHORE_TEST_WORKERS_MARK", house.mark())
        .stdout(Stdio::null());
    command
}

/// In such a host: its provider, and a request for a server.
fn in_a_host() -> (LocalProcesses, ServerRequest) {
    let root = std::env::var_os("LONGSHORE_TEST_ROOT").expect("the tests below set it");
    let mark = std::env::var("LONGSHORE_TEST_WORKERS_MARK").expect("the tests below set it");
    let container = request(&mark, "unused", 1, SLEEPER).container;
    let request = ServerRequest { container, ..ServerRequest::default() };
    (provider(root.as_ref(), &json!({})).expect("valid"), request)
}

#[test]
#[ignore = "the host of the test below, in a process of its own"]
fn host_that_starts_a_server() {
    let (provider, request) = in_a_host();
    call(|ctx| provider.run_server(ctx, &request)).expect("started");
}

#[test]
fn it_sees_its_cluster_and_nothing_of_a_worker() {
    let mut house = House::new();
    house.close();
    let mut host = host(&house, "server::host_that_starts_a_server");
    // A host may be a worker of another one.
    host.env("LONGSHORE_TOKEN", "t").env("LONGSHORE_HANDLE", "t-0").env("LONGSHORE_WORKERS", "7");
    host.env("LONGSHORE_CLUSTER", "outer").env("LONGSHORE_TAG", "outer/0");
    assert!(host.status().expect("it is started").success());
    house.create_anew();
    let alive = house.alive();
    let of_ours = ["LONGSHORE_CLUSTER".to_owned(), "LONGSHORE_TAG".to_owned()];
    assert_eq!(variables(alive[0]), BTreeSet::from(of_ours));
    let text = String::from_utf8(environment(alive[0])).expect("text");
    assert!(text.split('\0').any(|variable| variable == format!("LONGSHORE_CLUSTER={CLUSTER}")), "{text}");
    stop(&house);
}

/// How many clusters the host below starts servers for.
const CLUSTERS: usize = 200;

#[test]
#[ignore = "the host of the test below, in a process of its own"]
fn host_that_starts_servers_without_end() {
    let (provider, request) = in_a_host();
    for cluster in 0..CLUSTERS {
        testing::Call::new(&format!("k{cluster}"))
            .run(|ctx| provider.run_server(ctx, &request))
            .expect("started");
    }
}

/// The clusters in the environments of the marked processes that lead a session, each as often as it is there.
fn clusters_of_the_living(house: &House) -> Vec<String> {
    let cluster = |pid: i32| {
        let environment = String::from_utf8(environment(pid)).ok()?;
        environment.split('\0').find_map(|text| text.strip_prefix("LONGSHORE_CLUSTER=")).map(str::to_owned)
    };
    let leads = |pid: &i32| stat(*pid).is_some_and(|stat| stat[3] == pid.to_string());
    let mut clusters: Vec<_> = house.alive().into_iter().filter(leads).filter_map(cluster).collect();
    clusters.sort_unstable();
    clusters
}

fn start_host_without_end(house: &House) -> Child {
    host(house, "server::host_that_starts_servers_without_end").spawn().expect("it is started")
}

#[test]
fn a_host_killed_in_the_midst_of_a_start_leaves_one_or_none() {
    // Each time it is killed at another point.
    for servers in [1, 2, 3, 5, 8, 13] {
        let mut house = House::new();
        house.close();
        let mut host = start_host_without_end(&house);
        wait_until("the host has started so many", || house.alive().len() >= servers);
        host.kill().expect("it was alive");
        host.wait().expect("it is dead");

        house.create_anew();
        let provider = house.provider();
        let request = server(&house, SLEEPER, None);
        let names: Vec<_> = (0..servers + 3).map(|number| format!("k{number}")).collect();
        for name in &names {
            testing::Call::new(name).run(|ctx| {
                provider.run_server(ctx, &request).expect("it is there, or is started");
                assert_eq!(provider.server_status(ctx), Ok(WorkerStatus::Running));
            });
        }
        // A process that becomes another program just now has no environment to be seen by.
        let mut living = Vec::new();
        wait_until("all of them are seen", || {
            living = clusters_of_the_living(&house);
            names.iter().all(|name| living.contains(name))
        });
        let all = living.len();
        living.dedup();
        assert_eq!(all, living.len(), "one a cluster");
        for name in (0..CLUSTERS).map(|number| format!("k{number}")) {
            let name = name.as_str();
            testing::Call::new(name).run(|ctx| provider.stop_server(ctx)).expect("it is stopped");
        }
        assert_eq!(house.alive(), [0_i32; 0]);
    }
}

#[test]
fn a_start_that_was_cut_off_never_goes_on() {
    let mut house = House::new();
    start(&house, SLEEPER);
    let old = folder(&house);
    stop(&house);
    house.close();
    // As if its host had been killed before its process was made.
    fs::remove_file(old.join("outcome.json")).expect("it was settled");
    let identities = fs::File::options().read(true).write(true).open(old.join("identities")).expect("there");
    identities.set_len(512).expect("cut off");

    // What its child would have of its host's lock until it has become its program.
    rustix::fs::flock(&identities, rustix::fs::FlockOperation::LockExclusive).expect("locked");
    // Nobody tidies up meanwhile.
    let upkeep = fs::File::open(house.root().join("upkeep")).expect("there");
    rustix::fs::flock(&upkeep, rustix::fs::FlockOperation::LockExclusive).expect("locked");
    house.create_anew();
    assert_eq!((status(house.provider()), address(house.provider())), (WorkerStatus::Initializing, None));
    rustix::fs::flock(&identities, rustix::fs::FlockOperation::Unlock).expect("unlocked");
    wait_until("nobody is on its way", || status(house.provider()) == WorkerStatus::Stopped);
    start(&house, SLEEPER);
    assert_eq!((status(house.provider()), house.alive().len()), (WorkerStatus::Running, 1));
    assert!(old.exists());
    drop(upkeep);
    wait_until("its folder is gone", || !old.exists());
    stop(&house);
}

#[test]
fn a_stop_that_was_cut_off_is_finished_by_the_next_start() {
    let mut house = House::with(json!({"grace": "5s"}));
    // It takes note of being asked to end, and goes on.
    let asked = house.file("asked");
    let script = format!("trap 'echo 1 > {}' TERM; while :; do sleep 0.05; done", asked.display());
    start(&house, &script);
    wait_until("its trap is set", || {
        house.alive().first().is_some_and(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t"));
            caught
                .and_then(|mask| u64::from_str_radix(mask, 16).ok())
                .is_some_and(|mask| mask & (1 << 14) != 0)
        })
    });
    let first = house.alive();
    let brief = std::time::Duration::from_millis(100);
    testing::call(CLUSTER, brief, |ctx| house.provider().stop_server(ctx)).expect_err("it has its grace");
    number_in(&asked);
    house.close();
    house.create_anew();
    assert_eq!(status(house.provider()), WorkerStatus::Running, "it is alive");
    start(&house, SLEEPER);
    assert_eq!(status(house.provider()), WorkerStatus::Running);
    assert!(!first.iter().any(|pid| is_alive(*pid)), "the one that was to stop has stopped");
    assert_eq!(house.alive().len(), 1);
    stop(&house);
}

#[test]
fn after_a_restart_of_the_system_it_is_dead() {
    let mut house = House::new();
    start(&house, SLEEPER);
    let process = house.alive();
    let identities = fs::File::options().write(true).open(folder(&house).join("identities"));
    house.close();
    identities.and_then(|file| file.write_all_at(b"another-boot", 0)).expect("the record is changed");
    house.create_anew();
    assert_eq!((status(house.provider()), address(house.provider())), (WorkerStatus::Stopped, None));
    stop(&house);
    assert_eq!(house.alive(), process, "a process of another time is not signalled");
    house.slay();
}

#[test]
fn a_damaged_record_is_an_error_and_not_an_answer() {
    let mut house = House::new();
    start(&house, SLEEPER);
    let path = folder(&house).join("identities");
    let good = fs::read(&path).expect("readable");
    let mut bad = good.clone();
    bad[512..520].copy_from_slice(b"nonsense");
    fs::write(&path, &bad).expect("written");
    house.create_anew();
    call(|ctx| {
        let request = server(&house, SLEEPER, None);
        house.provider().server_status(ctx).expect_err("nobody knows");
        house.provider().server_address(ctx).expect_err("nobody knows");
        house.provider().run_server(ctx, &request).expect_err("there may be one");
        house.provider().stop_server(ctx).expect_err("it may be alive");
    });
    assert_eq!(house.alive().len(), 1);
    fs::write(&path, &good).expect("written");
    assert_eq!(status(house.provider()), WorkerStatus::Running);
    stop(&house);
}

#[test]
fn cleaning_up_spares_it_and_removes_what_the_dead_left() {
    let house = House::new();
    start(&house, "echo first; exit");
    wait_until("it is dead", || status(house.provider()) == WorkerStatus::Stopped);
    let dead = folder(&house);
    assert_eq!(fs::read_to_string(dead.join("0.out")).expect("its log"), "first\n");
    start(&house, "echo second; exec sleep 600");
    let process = house.alive();
    for deep in [false, true] {
        call(|ctx| house.provider().cleanup(ctx, deep)).expect("cleaned");
        assert!(!dead.exists());
        assert_eq!((house.alive(), status(house.provider())), (process.clone(), WorkerStatus::Running));
        assert!(folder(&house).join("0.out").exists());
    }
    stop(&house);
    call(|ctx| house.provider().cleanup(ctx, true)).expect("cleaned");
    assert!(!house.root().join("clusters").join(CLUSTER).exists(), "nothing of the cluster is left");
}

#[test]
fn only_so_many_dead_ones_are_kept() {
    let house = House::new();
    for _ in 0..6 {
        start(&house, "exit");
        wait_until("it is dead", || status(house.provider()) == WorkerStatus::Stopped);
    }
    wait_until("the oldest are gone", || folders(&house).len() == 3);
    start(&house, SLEEPER);
    assert_eq!(house.alive().len(), 1);
    stop(&house);
}

#[test]
fn one_that_is_killed_behind_our_back_is_stopped() {
    let house = House::new();
    start(&house, SLEEPER);
    let worker = house.run("t", 1, SLEEPER);
    let is_server = |pid: &i32| !variables(*pid).contains("LONGSHORE_TOKEN");
    let server = house.alive().into_iter().find(is_server).expect("it is alive");
    signal(server, Signal::KILL);
    wait_until("it is dead", || status(house.provider()) == WorkerStatus::Stopped);
    assert_eq!(list(house.provider()).len(), 1);
    assert_eq!(call(|ctx| house.provider().kill(ctx, &[&worker[0]])), Ok(vec![Killed::Yes]));
}
