//! What a launch makes, and what it leaves when it cannot.

use std::{collections::BTreeSet, thread, time::Duration};

use longshore_plugin_api::{ErrorKind, Hardware, LaunchToken, ListedHandle, WorkerStatus};
use longshore_support::{Engine, until};
use serde_json::json;

use crate::{
    gate::{Gate, Manner},
    support::{CLUSTER, House, MEEK, call},
};

#[test]
fn workers_share_containers_and_are_told_how_many_they_are() {
    let Some(engine) = Engine::or_skip("workers_share_containers_and_are_told_how_many_they_are") else {
        return;
    };
    let house = House::new(&engine);
    let mut request = house.request("t-1", 10, "env; sleep 3600");
    request.container.max_workers = Some(4);
    request.container.env =
        [("A".to_owned(), "b c=d".to_owned()), ("LONGSHORE_TOKEN".to_owned(), "x".to_owned())].into();
    request.container.working_dir = Some("/tmp".to_owned());
    let launch = house.try_run(&request).expect("it is launched");
    assert_eq!((launch.handles.len(), &launch.shortfall), (10, &None));
    let unique: Vec<String> = launch.handles.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    let own = |index: u32| format!("{}.{CLUSTER}.t-1.{index}", house.namespace);
    assert_eq!(unique, [own(0), own(1), own(2)]);
    house.wait(&unique, WorkerStatus::Running);
    let listed =
        |index, workers| ListedHandle { handle: own(index), token: LaunchToken::new("t-1"), workers };
    assert_eq!(house.list(), [listed(0, 4), listed(1, 4), listed(2, 2)]);
    let seen = || engine.output(&own(2));
    until("it has said what it sees", || seen().contains("LONGSHORE_WORKERS="));
    let seen = seen();
    for line in [
        "A=b c=d".to_owned(),
        "PWD=/tmp".to_owned(),
        "LONGSHORE_WORKERS=2".to_owned(),
        "LONGSHORE_TOKEN=t-1".to_owned(),
        format!("LONGSHORE_CLUSTER={CLUSTER}"),
        format!("LONGSHORE_HANDLE={}", own(2)),
    ] {
        assert!(seen.lines().any(|one| one == line), "{line} is missing in {seen}");
    }
}

#[test]
fn several_are_made_at_once_and_no_more_than_the_limit() {
    let Some(engine) = Engine::or_skip("several_are_made_at_once_and_no_more_than_the_limit") else { return };
    let gate = Gate::before(&engine);
    let house = House::with(&engine, json!({"host": gate.url(), "parallel": 3}));
    // Long enough for those that may to be under way together.
    gate.set(Manner::Slow("/containers/create".to_owned(), Duration::from_secs(1)));
    // By all calls together, not by each.
    thread::scope(|scope| {
        for token in ["t-1", "t-2"] {
            let house = &house;
            scope.spawn(move || house.run(token, 4, MEEK));
        }
    });
    assert_eq!((gate.most_held(), house.list().len()), (3, 8));
}

#[test]
fn the_engine_holds_a_container_to_its_hardware_and_the_configuration() {
    let test = "the_engine_holds_a_container_to_its_hardware_and_the_configuration";
    let Some(engine) = Engine::or_skip(test) else { return };
    let house = House::with(
        &engine,
        json!({
            "read_only": true, "cap_drop": ["ALL"], "user": "65534:65534", "labels": {"team": "x"},
            "security_opt": ["no-new-privileges"], "shm_size": "1 MiB",
            "mounts": [{"type": "tmpfs", "target": "/scratch", "size": "1 MiB"}],
        }),
    );
    let script =
        "touch /here || echo root is read-only; touch /scratch/it && echo scratch is not; id -u; sleep 3600";
    let mut request = house.request("t-1", 2, script);
    request.container.max_workers = Some(2);
    request.hardware = Hardware { cpu: Some(0.25), memory: Some(32 << 20), id: None };
    let launch = house.try_run(&request).expect("it is launched");
    let shown = house.inspect(&launch.handles[0]);
    let host = shown.host_config.expect("it is there");
    assert_eq!((host.nano_cpus, host.memory), (Some(500_000_000), Some(64 << 20)));
    assert_eq!(host.shm_size, Some(1 << 20));
    let labels = shown.config.and_then(|config| config.labels).expect("they are there");
    assert_eq!(labels.get("team").map(String::as_str), Some("x"));
    let said = || engine.output(&launch.handles[0]);
    until("it has said all", || said().contains("65534"));
    assert!(said().contains("root is read-only") && said().contains("scratch is not"), "{}", said());
}

#[test]
fn the_same_token_again_starts_nothing_and_is_answered_as_before() {
    let test = "the_same_token_again_starts_nothing_and_is_answered_as_before";
    let Some(engine) = Engine::or_skip(test) else { return };
    let house = House::new(&engine);
    let handles = house.run("t-1", 3, MEEK);
    house.kill(&handles[1..2]);
    // Somebody removes one by hand.
    engine.remove(&handles[2]);
    assert_eq!(house.run("t-1", 3, MEEK), handles, "dead or alive");
    house.kill(&handles);
    assert_eq!(house.run("t-1", 3, MEEK), handles, "all dead");
    assert_eq!(house.containers(), []);
    let other = house.try_run(&house.request("t-1", 4, MEEK)).expect_err("it is another launch");
    assert_eq!(other.kind(), ErrorKind::Permanent);
}

#[test]
fn a_launch_that_was_cut_off_is_completed() {
    let Some(engine) = Engine::or_skip("a_launch_that_was_cut_off_is_completed") else { return };
    let house = House::new(&engine);
    let handles = house.run("t-1", 3, MEEK);
    // As a host leaves it that dies on the way: no receipt, one not made, one not started.
    let [receipt] = &*house.volumes() else { panic!("there is one receipt") };
    house.remove_volume(receipt);
    engine.remove(&handles[2]);
    let before = house.containers();
    assert_eq!(house.run("t-1", 3, MEEK), handles);
    let after = house.containers();
    assert_eq!((before.len(), after.len()), (2, 3));
    assert!(
        before.iter().all(|one| after.iter().any(|other| other.id == one.id)),
        "those that are there stay"
    );
    house.wait(&handles, WorkerStatus::Running);
}

#[test]
fn a_name_that_somebody_else_has_is_told_and_spared() {
    let Some(engine) = Engine::or_skip("a_name_that_somebody_else_has_is_told_and_spared") else { return };
    let house = House::with(&engine, json!({"parallel": 1}));
    // The one of the place 1 is somebody else's.
    let label = format!("io.longshore.owner={}", house.namespace);
    let (name, value) = label.split_once('=').expect("it is a label");
    let foreign = engine.start(&house.image, &["sleep", "3600"], &[(name, value)]);
    let own = format!("{}.{CLUSTER}.t-1.1", house.namespace);
    let renamed = bollard::query_parameters::RenameContainerOptions { name: own.clone() };
    engine.wait(engine.docker().rename_container(&foreign, renamed)).expect("nobody has the name");
    let launch = house.try_run(&house.request("t-1", 3, MEEK)).expect("one of them is made");
    let shortfall = launch.shortfall.expect("two are not");
    assert!(!shortfall.retryable && shortfall.reason.contains("the name clashes"), "{shortfall:?}");
    assert_eq!(launch.handles, [format!("{}.{CLUSTER}.t-1.0", house.namespace)]);
    assert_eq!(house.list().len(), 1, "nothing else is there");
    assert_eq!(house.status(&[own]), [WorkerStatus::Stopped], "it is none of ours");
    assert!(house.containers().iter().any(|one| one.id == foreign && one.state == "running"));
}

#[test]
fn what_cannot_be_started_leaves_nothing() {
    let Some(engine) = Engine::or_skip("what_cannot_be_started_leaves_nothing") else { return };
    let house = House::new(&engine);
    let mut no_program = house.request("t-1", 3, MEEK);
    no_program.container.command = Some("/no/such/program".to_owned());
    let mut no_image = house.request("t-2", 3, MEEK);
    no_image.container.image = Some("longshore-test/of-nobody:1".to_owned());
    for request in [no_program, no_image] {
        let error = house.try_run(&request).expect_err("it cannot be");
        assert_eq!(error.kind(), ErrorKind::Permanent, "{error}");
        assert!(error.message().contains("no such") || error.message().contains("No such"), "{error}");
    }
    // No machine has such a GPU; one without any has no driver either, and its engine knows that.
    let picky = House::with(&engine, json!({"gpus": ["of-nobody"]}));
    let error = picky.try_run(&picky.request("t-3", 2, MEEK)).expect_err("it cannot be");
    assert!(error.message().contains("start the container"), "{error}");
    for house in [house, picky] {
        assert_eq!((house.containers(), house.volumes()), (vec![], vec![]));
    }
}

#[test]
fn a_worker_whose_health_is_checked_runs_once_it_is_healthy() {
    let Some(engine) = Engine::or_skip("a_worker_whose_health_is_checked_runs_once_it_is_healthy") else {
        return;
    };
    let mut house = House::new(&engine);
    // An image with a check is made of a container.
    let plain = engine.start(&house.image, &["true"], &[("io.longshore.owner", &house.namespace)]);
    let name = format!("longshore-test/{}", house.namespace);
    let options = bollard::query_parameters::CommitContainerOptions {
        container: Some(plain),
        repo: Some(name.clone()),
        tag: Some("1".to_owned()),
        ..Default::default()
    };
    let healthy = bollard::models::HealthConfig {
        test: Some(vec!["CMD".to_owned(), "test".to_owned(), "-f".to_owned(), "/tmp/healthy".to_owned()]),
        interval: Some(200_000_000),
        retries: Some(1000),
        ..Default::default()
    };
    let config = bollard::models::ContainerConfig { healthcheck: Some(healthy), ..Default::default() };
    engine.wait(engine.docker().commit_container(options, config)).expect("it is made");
    house.image = format!("{name}:1");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    let script = format!("until [ -f {path}/go ]; do sleep 0.05; done; touch /tmp/healthy; sleep 3600");
    let mount = json!([{"type": "bind", "source": path, "target": path}]);
    let checked = House::with(&engine, json!({"mounts": mount}));
    let mut request = checked.request("t-1", 1, &script);
    request.container.image = Some(house.image.clone());
    let handles = checked.try_run(&request).expect("it is launched").handles;
    until("the engine has begun to check", || checked.status(&handles) == [WorkerStatus::Initializing]);
    assert_eq!(call(|_| checked.list()).len(), 1);
    std::fs::write(folder.path().join("go"), "").expect("it is ours");
    checked.wait(&handles, WorkerStatus::Running);
    drop(checked);
    let removed = house.image.clone();
    drop(house);
    engine.remove_image(&removed);
}
