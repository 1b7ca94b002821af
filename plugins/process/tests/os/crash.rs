//! Workers outlive the provider and the host, and are found again, wherever the host was cut off.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::FileExt as _,
    process::{Child, Command},
    thread,
};

use longshore_plugin_api::{Killed, List as _, Provider as _, WorkerStatus, testing};
use serde_json::json;

use crate::support::{CLUSTER, House, call, environment, provider, request, stat, wait_until};

#[test]
fn workers_outlive_their_provider_and_are_listed_by_the_next() {
    let mut house = House::new();
    let mut request = house.request("t", 5, "exec sleep 600");
    request.container.max_workers = Some(2);
    house.try_run(&request).expect("launched");
    house.run("u", 1, "exec sleep 600");
    let alive = house.alive();
    house.create_anew();
    assert_eq!(house.alive(), alive);
    let listed: Vec<_> =
        house.list().into_iter().map(|l| (l.handle, l.token.as_str().to_owned(), l.workers)).collect();
    let entry = |handle: &str, token: &str, workers| (handle.to_owned(), token.to_owned(), workers);
    assert_eq!(
        listed,
        [entry("t-0", "t", 2), entry("t-1", "t", 2), entry("t-2", "t", 1), entry("u-0", "u", 1)]
    );
    assert_eq!(house.status(&["t-0", "u-0"]), [WorkerStatus::Running; 2]);
    house.kill(&["t-0", "t-1", "t-2", "u-0"]);
    assert_eq!(house.list(), []);
}

/// Containers of each launch of the host below.
const CONTAINERS: u32 = 20;

/// This test program again, as a host that launches without end until it is killed.
fn host_to_be_killed(house: &House) -> Child {
    Command::new(std::env::current_exe().expect("it is known"))
        .args(["--exact", "crash::host_that_launches_without_end", "--ignored"])
        .env("LONGSHORE_TEST_ROOT", house.root())
        .env("LONGSHORE_TEST_WORKERS_MARK", house.mark())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it is started")
}

#[test]
#[ignore = "the host of the tests below, in a process of its own"]
fn host_that_launches_without_end() {
    let root = std::env::var_os("LONGSHORE_TEST_ROOT").expect("the tests below set it");
    let mark = std::env::var("LONGSHORE_TEST_WORKERS_MARK").expect("the tests below set it");
    let provider = provider(root.as_ref(), &json!({})).expect("valid");
    for launch in 0..50 {
        let request = request(&mark, &format!("t{launch}"), CONTAINERS, "exec sleep 600");
        call(|ctx| provider.run(ctx, &request)).expect("launched");
    }
}

/// The handles in the environments of the marked processes that lead a session.
fn handles_of_the_living(house: &House) -> BTreeSet<String> {
    let handle = |pid: i32| {
        let environment = String::from_utf8(environment(pid)).ok()?;
        environment.split('\0').find_map(|text| text.strip_prefix("LONGSHORE_HANDLE=")).map(str::to_owned)
    };
    let leads = |pid: &i32| stat(*pid).is_some_and(|stat| stat[3] == pid.to_string());
    house.alive().into_iter().filter(leads).filter_map(handle).collect()
}

#[test]
fn a_host_killed_in_the_midst_of_a_launch_loses_nobody() {
    // Each time it is killed at another point.
    for workers in [1, 4, 9, 19, 20, 23, 31, 47, 52] {
        let mut house = House::new();
        house.close();
        let mut host = host_to_be_killed(&house);
        wait_until("the host has launched so many", || house.alive().len() >= workers);
        host.kill().expect("it was alive");
        host.wait().expect("it is dead");

        house.create_anew();
        let listed: BTreeSet<String> = house.list().into_iter().map(|listed| listed.handle).collect();
        assert_eq!(listed, handles_of_the_living(&house));
        assert!(listed.len() >= workers, "{} are listed", listed.len());

        // Whoever asks for the launches again gets each whole, and no process twice.
        let folders = house.launch_folder("t0");
        let launches = fs::read_dir(folders.parent().expect("a folder")).expect("readable").count();
        for launch in 0..launches {
            let handles = house.run(&format!("t{launch}"), CONTAINERS, "exec sleep 600");
            assert_eq!(handles.len(), CONTAINERS as usize);
        }
        let alive = house.alive().len();
        assert_eq!(alive, launches * CONTAINERS as usize);
        assert_eq!(handles_of_the_living(&house).len(), alive);
        assert_eq!(house.list().len(), alive);
    }
}

/// Makes a launch look as if the system had been started anew since.
fn restart_the_system(house: &House, token: &str) {
    let file = fs::File::options().write(true).open(house.launch_folder(token).join("identities"));
    file.and_then(|file| file.write_all_at(b"another-boot", 0)).expect("the record is changed");
}

#[test]
fn after_a_restart_of_the_system_everybody_is_dead() {
    let mut house = House::new();
    let handles = house.run("t", 2, "exec sleep 600");
    let processes = house.alive();
    house.close();
    restart_the_system(&house, "t");
    house.create_anew();
    assert_eq!(house.status(&handles), [WorkerStatus::Stopped; 2]);
    assert_eq!(house.list(), []);
    house.kill(&handles);
    assert_eq!(house.run("t", 2, "exec sleep 600"), handles);
    assert_eq!(house.alive(), processes, "processes of another time are neither signalled nor added to");
    house.slay();
}

/// Makes a launch look as if its host had been killed after the first containers. It is done while nobody tidies up.
fn cut_off(house: &mut House, token: &str, containers: u64) {
    house.close();
    let folder = house.launch_folder(token);
    fs::remove_file(folder.join("outcome.json")).expect("it was settled");
    let file = fs::File::options().write(true).open(folder.join("identities")).expect("there");
    file.set_len(512 * (containers + 1)).expect("cut off");
    house.create_anew();
}

#[test]
fn a_launch_cut_off_goes_on_but_not_after_a_restart_of_the_system() {
    let mut house = House::new();
    for token in ["t", "u"] {
        house.run(token, 3, "exec sleep 600");
        house.kill(&[format!("{token}-0"), format!("{token}-1"), format!("{token}-2")]);
        cut_off(&mut house, token, 2);
    }
    house.close();
    restart_the_system(&house, "u");
    house.create_anew();

    let waiting = [WorkerStatus::Stopped, WorkerStatus::Stopped, WorkerStatus::Initializing];
    assert_eq!(house.status(&["t-0", "t-1", "t-2"]), waiting);
    assert_eq!(house.run("t", 3, "exec sleep 600"), ["t-0", "t-1", "t-2"]);
    assert_eq!(handles_of_the_living(&house), BTreeSet::from(["t-2".to_owned()]));

    assert_eq!(house.status(&["u-0", "u-1", "u-2"]), [WorkerStatus::Stopped; 3]);
    let request = house.request("u", 3, "exec sleep 600");
    let launch = house.try_run(&request).expect("it is answered");
    assert_eq!(launch.handles, ["u-0", "u-1"]);
    assert!(launch.shortfall.as_ref().is_some_and(|short| short.retryable), "{launch:?}");
    assert_eq!(house.try_run(&request).expect("it is answered"), launch);
    assert_eq!(house.alive().len(), 1);
}

#[test]
fn a_container_that_was_killed_before_it_started_never_starts() {
    let mut house = House::new();
    house.run("t", 3, "exec sleep 600");
    house.kill(&["t-0", "t-1", "t-2"]);
    cut_off(&mut house, "t", 1);
    assert_eq!(house.status(&["t-1"]), [WorkerStatus::Initializing]);
    house.kill(&["t-1"]);
    assert_eq!(house.status(&["t-1", "t-2"]), [WorkerStatus::Stopped, WorkerStatus::Initializing]);
    assert_eq!(house.run("t", 3, "exec sleep 600"), ["t-0", "t-1", "t-2"]);
    assert_eq!(handles_of_the_living(&house), BTreeSet::from(["t-2".to_owned()]));
}

#[test]
fn a_list_waits_for_the_children_of_a_dead_host_and_for_no_other() {
    let mut house = House::new();
    house.run("t", 3, "exec sleep 600");
    house.kill(&["t-2"]);
    cut_off(&mut house, "t", 2);
    // What a child has of its host's lock until it has become its program.
    let file = fs::File::options().read(true).write(true).open(house.launch_folder("t").join("identities"));
    let file = file.expect("there");
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).expect("locked");
    assert_eq!(house.list().len(), 2, "the host that launches is alive: this is what it has made so far");

    file.write_all_at(b"1 1\n", 256).expect("the record is changed");
    let brief = std::time::Duration::from_millis(50);
    testing::call(CLUSTER, brief, |ctx| house.provider().list(ctx)).expect_err("it would miss the child");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| house.list().len());
        rustix::fs::flock(&file, rustix::fs::FlockOperation::Unlock).expect("unlocked");
        assert_eq!(waiting.join().expect("no panic"), 2);
    });
}

#[test]
fn a_damaged_record_is_an_error_and_not_an_answer() {
    let mut house = House::new();
    house.run("t", 1, "exec sleep 600");
    let path = house.launch_folder("t").join("identities");
    let good = fs::read(&path).expect("readable");
    let mut bad = good.clone();
    bad[512..520].copy_from_slice(b"nonsense");
    fs::write(&path, &bad).expect("written");
    house.create_anew();
    call(|ctx| {
        house.provider().status(ctx, &["t-0"]).expect_err("nobody knows");
        house.provider().list(ctx).expect_err("it may be incomplete");
        let answers = house.provider().kill(ctx, &["t-0"]).expect("an answer for each");
        assert!(matches!(answers[..], [Killed::No(_)]), "{answers:?}");
    });
    assert_eq!(house.alive().len(), 1);
    fs::write(&path, &good).expect("written");
    assert_eq!(house.status(&["t-0"]), [WorkerStatus::Running]);
}
