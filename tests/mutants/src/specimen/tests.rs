//! The honest specimen, called as a host calls it but for the boundary.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use longshore_plugin_api::{
    Cleanup as _, Container, Context, Error, ErrorKind, Hardware, Initialize as _, Killed, Launch,
    LaunchToken, List as _, Log, Provider as _, RunRequest, Server as _, ServerRequest, WorkerStatus,
    testing::{Call, Cancel},
};
use longshore_support::until;
use serde_json::json;
use tempfile::TempDir;

use super::{Config, Specimen};

fn log() -> Log {
    let log = |ctx: &Context<'_>| ctx.log();
    call("c", log)
}

fn specimen(root: &Path, more: &serde_json::Value) -> Specimen {
    let mut config = json!({ "root": root });
    config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let config: Config = serde_json::from_value(config).expect("a configuration");
    Specimen::create(config, log()).expect("it is made")
}

fn call<T>(cluster: &str, work: impl FnOnce(&Context<'_>) -> T) -> T {
    Call::new(cluster).run(work)
}

fn request(token: &str, workers: u32, container: &Container) -> RunRequest {
    RunRequest {
        container: container.clone(),
        hardware: Hardware::default(),
        workers,
        token: LaunchToken::new(token),
    }
}

fn run(specimen: &Specimen, cluster: &str, token: &str, workers: u32) -> Result<Launch, Error> {
    call(cluster, |ctx| specimen.run(ctx, &request(token, workers, &Container::default())))
}

fn statuses(specimen: &Specimen, handles: &[String]) -> Vec<WorkerStatus> {
    let handles: Vec<_> = handles.iter().map(String::as_str).collect();
    call("c", |ctx| specimen.status(ctx, &handles)).expect("it answers")
}

fn kill(specimen: &Specimen, handles: &[String]) -> Vec<Killed> {
    let handles: Vec<_> = handles.iter().map(String::as_str).collect();
    call("c", |ctx| specimen.kill(ctx, &handles)).expect("it answers")
}

fn listed(specimen: &Specimen, cluster: &str) -> Vec<String> {
    let listed = call(cluster, |ctx| specimen.list(ctx)).expect("it lists");
    listed.into_iter().map(|entry| entry.handle).collect()
}

/// How many files and folders there are.
fn entries(folder: &Path) -> usize {
    let paths = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    paths.map(|path| 1 + if path.is_dir() { entries(&path) } else { 0 }).sum()
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn sleeper() -> Container {
    Container { command: Some("/bin/sleep".to_owned()), args: vec!["600".to_owned()], ..Container::default() }
}

/// A shell that runs a script.
fn shell(script: &str, args: &[&str]) -> Container {
    let mut all = vec!["-c".to_owned(), script.to_owned(), "sh".to_owned()];
    all.extend(args.iter().map(|text| (*text).to_owned()));
    Container { command: Some("/bin/sh".to_owned()), args: all, ..Container::default() }
}

#[test]
fn records_live_in_the_folder() {
    let root = folder();
    let one = specimen(root.path(), &json!({}));
    let launch = run(&one, "c", "t", 1_000).expect("it runs");
    assert_eq!((launch.handles.len(), launch.shortfall), (1_000, None));
    assert_eq!(statuses(&one, &launch.handles), vec![WorkerStatus::Running; 1_000]);
    drop(one);
    let other = specimen(root.path(), &json!({}));
    let mut found = listed(&other, "c");
    let mut handles = launch.handles.clone();
    found.sort_unstable();
    handles.sort_unstable();
    assert_eq!(found, handles);
    assert_eq!(listed(&other, "c."), [""; 0]);
    assert_eq!(kill(&other, &launch.handles[..999]), vec![Killed::Yes; 999]);
    assert_eq!(listed(&other, "c"), [launch.handles[999].clone()]);
    assert_eq!(statuses(&other, &launch.handles)[998..], [WorkerStatus::Stopped, WorkerStatus::Running]);
}

#[test]
fn a_token_launches_once_from_however_many_threads() {
    let root = folder();
    let one = specimen(root.path(), &json!({ "latency_ms": 50 }));
    let answers: Vec<Launch> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| run(&one, "c", "t", 5).expect("it runs"))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(listed(&one, "c").len(), 5);
    let other = run(&one, "c", "t", 6).expect_err("it is another launch");
    assert_eq!(other.kind(), ErrorKind::Permanent);
    // The token is known when nothing else of the launch is.
    kill(&one, &answers[0].handles);
    call("c", |ctx| one.cleanup(ctx, false)).expect("it cleans up");
    assert_eq!(run(&one, "c", "t", 5).expect("it runs"), answers[0]);
    assert_eq!(listed(&one, "c"), [""; 0]);
}

#[test]
fn a_run_that_is_cancelled_leaves_nothing() {
    let root = folder();
    let one = specimen(root.path(), &json!({ "latency_ms": 60_000 }));
    let before = entries(root.path());
    for container in [Container::default(), sleeper()] {
        let cancel = Cancel::new();
        std::thread::scope(|scope| {
            let running = scope.spawn(|| {
                Call::new("c").cancelled_by(&cancel).run(|ctx| one.run(ctx, &request("t", 8, &container)))
            });
            until("some are made", || !listed(&one, "c").is_empty());
            cancel.cancel();
            let error = running.join().expect("no panic").expect_err("it was cancelled");
            assert_eq!(error.kind(), ErrorKind::Cancelled);
        });
        assert_eq!(listed(&one, "c"), [""; 0]);
        // But for the file of turns, which is made once.
        assert!(entries(root.path()) <= before + 1);
    }
}

#[test]
fn a_worker_is_a_process_with_all_that_it_was_promised() {
    let root = folder();
    let one = specimen(root.path(), &json!({}));
    let out = root.path().join("out");
    let mut container = shell(
        "{ printf '%s|' \"$@\" \"$ODD\" \"$LONGSHORE_CLUSTER\" \"$LONGSHORE_TOKEN\" \"$LONGSHORE_WORKERS\"; \
         echo \"$LONGSHORE_HANDLE\"; pwd; } > \"$OUT.new\"; mv \"$OUT.new\" \"$OUT\"; sleep 600 & wait",
        &["", "a b", "$HOME\n'\"", "ä"],
    );
    container.env = [("ODD", "x\ny "), ("LONGSHORE_CLUSTER", "mine"), ("OUT", out.to_str().expect("text"))]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    container.working_dir = Some("/usr".to_owned());
    container.max_workers = Some(3);
    let launch = call("c", |ctx| one.run(ctx, &request("t-1", 2, &container))).expect("it runs");
    let handle = &launch.handles[0];
    assert_eq!(launch.handles, [handle.clone(), handle.clone()]);
    assert_eq!(statuses(&one, &launch.handles)[0], WorkerStatus::Running);
    until("the worker has written", || out.exists());
    let seen = std::fs::read_to_string(&out).expect("its output");
    assert_eq!(seen, format!("|a b|$HOME\n'\"|ä|x\ny |c|t-1|2|{handle}\n/usr\n"));
    assert_eq!(kill(&one, &launch.handles[..1]), [Killed::Yes]);
    assert_eq!(statuses(&one, &launch.handles)[0], WorkerStatus::Stopped);
    assert_eq!(with_tag(handle), 0, "its child has ended, too");
}

/// How many processes have a handle's tag.
fn with_tag(handle: &str) -> usize {
    let nobody = super::process::Identity { pid: 0, start: 0 };
    let all = super::process::Process::all().expect("/proc is readable");
    all.iter().filter(|process| process.belongs_to(nobody, handle)).count()
}

#[test]
fn the_stubborn_and_those_in_other_sessions_end_by_the_grace() {
    let root = folder();
    let one = specimen(root.path(), &json!({ "grace_ms": 50 }));
    let ready = root.path().join("ready");
    let mut container =
        shell("trap '' TERM; setsid sleep 600 & touch \"$READY\"; while :; do sleep 1; done", &[]);
    container.env.insert("READY".to_owned(), ready.display().to_string());
    let launch = call("c", |ctx| one.run(ctx, &request("t", 1, &container))).expect("it runs");
    until("it is ready", || ready.exists());
    let killed: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| kill(&one, &launch.handles))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(killed, vec![vec![Killed::Yes]; 4]);
    assert_eq!(with_tag(&launch.handles[0]), 0);
}

#[test]
fn a_kill_that_has_no_time_says_no_and_the_next_goes_on() {
    let root = folder();
    let one = specimen(root.path(), &json!({ "grace_ms": 400 }));
    let ready = root.path().join("ready");
    let mut container = shell("trap '' TERM; touch \"$READY\"; while :; do sleep 1; done", &[]);
    container.env.insert("READY".to_owned(), ready.display().to_string());
    let launch = call("c", |ctx| one.run(ctx, &request("t", 1, &container))).expect("it runs");
    until("it is ready", || ready.exists());
    let handles = [launch.handles[0].as_str()];
    let began = Instant::now();
    let killed = Call::new("c").budget(Duration::from_millis(50)).run(|ctx| one.kill(ctx, &handles));
    assert!(matches!(killed.as_deref(), Ok([Killed::No(_)])), "{killed:?}");
    assert_eq!(kill(&one, &launch.handles), [Killed::Yes]);
    assert!(began.elapsed() >= Duration::from_millis(400), "the grace is the worker's");
    assert_eq!(with_tag(&launch.handles[0]), 0);
}

#[test]
fn a_program_that_cannot_be_started_leaves_nothing() {
    let root = folder();
    let one = specimen(root.path(), &json!({}));
    let container = Container { command: Some("/of/nobody".to_owned()), ..Container::default() };
    let error = call("c", |ctx| one.run(ctx, &request("t", 3, &container))).expect_err("it cannot start");
    assert_eq!(error.kind(), ErrorKind::Permanent);
    assert!(error.message().contains("/of/nobody"), "{error}");
    assert_eq!(listed(&one, "c"), [""; 0]);
}

#[test]
fn a_worker_that_ends_by_itself_has_stopped() {
    let root = folder();
    let one = specimen(root.path(), &json!({}));
    let container = Container { command: Some("/bin/true".to_owned()), ..Container::default() };
    let launch = call("c", |ctx| one.run(ctx, &request("t", 2, &container))).expect("it runs");
    until("both have ended", || statuses(&one, &launch.handles) == [WorkerStatus::Stopped; 2]);
    assert_eq!(kill(&one, &launch.handles), [Killed::Yes, Killed::Yes]);
}

#[test]
fn cleanup_leaves_the_living_and_nothing_else() {
    let root = folder();
    let one = specimen(root.path(), &json!({}));
    let cycle = |token: &str| {
        let launch = run(&one, "c", token, 3).expect("it runs");
        kill(&one, &launch.handles);
        call("c", |ctx| one.cleanup(ctx, true)).expect("it cleans up");
    };
    cycle("first");
    let before = entries(root.path());
    (0..20).for_each(|number| cycle(&format!("t-{number}")));
    assert_eq!(entries(root.path()), before);
    let launch = run(&one, "c", "kept", 2).expect("it runs");
    kill(&one, &launch.handles[..1]);
    call("c", |ctx| one.cleanup(ctx, true)).expect("it cleans up");
    assert_eq!(listed(&one, "c"), launch.handles[1..]);
}

#[test]
fn a_cluster_has_one_server_at_an_address_of_its_own() {
    let root = folder();
    let one = specimen(root.path(), &json!({}));
    let request = ServerRequest { container: sleeper(), ..ServerRequest::default() };
    call("c", |ctx| {
        assert_eq!(one.server_status(ctx).expect("it answers"), WorkerStatus::Stopped);
        one.stop_server(ctx).expect("there is none");
        one.run_server(ctx, &request).expect("it starts");
        let address = one.server_address(ctx).expect("it answers").expect("it has one");
        let port = address.port.expect("it has a port");
        std::net::TcpStream::connect((address.host.as_str(), port)).expect("it is reached there");
        let again = specimen(root.path(), &json!({}));
        again.run_server(ctx, &request).expect("it is there");
        assert_eq!(again.server_address(ctx).expect("it answers"), Some(address));
        one.cleanup(ctx, true).expect("it cleans up");
        assert_eq!(one.server_status(ctx).expect("it answers"), WorkerStatus::Running);
        assert_eq!(one.kill(ctx, &["server.0", "server"]).expect("it answers"), [Killed::Yes, Killed::Yes]);
        assert_eq!(one.server_status(ctx).expect("it answers"), WorkerStatus::Running);
        again.stop_server(ctx).expect("it stops");
        assert_eq!(one.server_status(ctx).expect("it answers"), WorkerStatus::Stopped);
        assert_eq!(one.server_address(ctx).expect("it answers"), None);
    });
}

#[test]
fn capacity_outage_and_limit_are_what_they_are_said_to_be() {
    let root = folder();
    let small = specimen(root.path(), &json!({ "capacity": 3 }));
    assert_eq!(run(&small, "c", "t", 2).expect("it runs").handles.len(), 2);
    let launch = run(&small, "d", "u", 2).expect("it runs");
    let reason = launch.shortfall.as_ref().expect("it falls short").reason.clone();
    assert_eq!((launch.handles.len(), reason.is_empty()), (1, false));
    assert!(run(&small, "d", "v", 2).expect("it runs").handles.is_empty());
    assert_eq!(run(&small, "d", "u", 2).expect("it is known"), launch);
    let away = specimen(root.path(), &json!({ "outage": true }));
    let kinds = call("c", |ctx| {
        [
            away.status(ctx, &[]).map(drop),
            away.kill(ctx, &[]).map(drop),
            away.list(ctx).map(drop),
            away.initialize(ctx),
            away.cleanup(ctx, false),
            away.server_status(ctx).map(drop),
            away.is_running(ctx, &[]).map(drop),
        ]
    });
    assert!(
        kinds.iter().all(|it| it.as_ref().is_err_and(|e| e.kind() == ErrorKind::Unreachable)),
        "{kinds:?}"
    );
    for (field, value) in [("limit", json!(101)), ("limit", json!(0)), ("root", json!("relative"))] {
        let mut config = json!({ "root": root.path() });
        config[field] = value;
        let config: Config = serde_json::from_value(config).expect("it has the form");
        let error = Specimen::create(config, log()).map(drop).expect_err("it is wrong");
        assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some(field)));
    }
}

#[test]
fn a_folder_that_is_gone_is_not_an_empty_one() {
    let root = folder();
    let one = specimen(&root.path().join("r"), &json!({}));
    let launch = run(&one, "c", "t", 1).expect("it runs");
    std::fs::remove_dir_all(root.path().join("r")).expect("it can be removed");
    call("c", |ctx| {
        let error = one.status(ctx, &[&launch.handles[0]]).expect_err("it cannot be asked");
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert!(one.list(ctx).is_err());
    });
}

#[test]
fn a_launch_whose_host_died_in_the_midst_of_it_is_completed() {
    use super::record::{Line, Moment, Record};
    let root = folder();
    let one = specimen(root.path(), &json!({}));
    let launch = run(&one, "c", "t", 4).expect("it runs");
    let record = one.folder.of_token("c", "t").expect("readable").remove(0);
    let mut intent = record.intent.clone();
    intent.token = "u".to_owned();
    intent.name = "u.0".to_owned();
    one.folder.begin(&intent).expect("it begins");
    let half: Record = one.folder.of_token("c", "u").expect("readable").remove(0);
    half.append(&Line::Made { from: 0, to: 2, at: Moment::now() }).expect("it is written");
    // The end of a line that was never finished.
    let mut file = half.open().expect("a file");
    std::io::Write::write_all(&mut file, b"\n{\"over\":{\"indi").expect("it is written");
    assert_eq!(listed(&one, "c").len(), 6);
    let again = run(&one, "c", "u", 4).expect("it is completed");
    assert_eq!(again.handles, ["u.0.0", "u.0.1", "u.0.2", "u.0.3"]);
    assert_eq!(listed(&one, "c").len(), 8);
    assert_eq!(launch.handles.len(), 4);
}
