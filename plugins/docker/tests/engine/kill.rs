//! How workers end: asked, forced, by themselves, behind the provider's back.

use std::{sync::Barrier, thread, time::Duration};

use longshore_docker::DockerContainers;
use longshore_plugin_api::{Hardware, Killed, Provider as _, WorkerStatus};
use longshore_support::{Engine, until};
use serde_json::json;

use crate::support::{House, MEEK, STUBBORN, call, texts, within};

#[test]
fn a_worker_that_does_not_hear_is_forced_and_keeps_no_other_waiting() {
    let test = "a_worker_that_does_not_hear_is_forced_and_keeps_no_other_waiting";
    let Some(engine) = Engine::or_skip(test) else { return };
    let house = House::with(&engine, json!({"stop_grace": "2s"}));
    let mut handles = house.run("t-1", 3, STUBBORN);
    handles.extend(house.run("t-2", 3, MEEK));
    handles.push("of.nobody".to_owned());
    house.kill(&handles);
    assert_eq!(house.status(&handles), [WorkerStatus::Stopped; 7]);
    assert_eq!(house.containers(), [], "what was killed is removed");
}

#[test]
fn a_call_that_is_too_short_says_no_and_the_end_comes_all_the_same() {
    let test = "a_call_that_is_too_short_says_no_and_the_end_comes_all_the_same";
    let Some(engine) = Engine::or_skip(test) else { return };
    let house = House::with(&engine, json!({"stop_grace": "3s"}));
    let handles = house.run("t-1", 1, STUBBORN);
    let answers = within(Duration::from_secs(1), |ctx| house.provider().kill(ctx, &texts(&handles)));
    let [Killed::No(why)] = &*answers.expect("it answers") else { panic!("it cannot know yet") };
    assert!(why.contains("stop_grace") && why.contains("kill it again"), "{why}");
    // Nobody asks again: the engine goes on by itself.
    house.wait(&handles, WorkerStatus::Stopped);
}

#[test]
fn the_grace_begins_once_however_often_it_is_asked() {
    let Some(engine) = Engine::or_skip("the_grace_begins_once_however_often_it_is_asked") else { return };
    // Each SIGTERM leaves a line.
    let house = House::with(&engine, json!({"stop_grace": "2s"}));
    let handles = house.run("t-1", 1, "trap 'echo asked' TERM; echo ready; while :; do sleep 0.1; done");
    until("it listens", || engine.output(&handles[0]).contains("ready"));
    let barrier = Barrier::new(4);
    let kill = || {
        barrier.wait();
        house.kill(&handles);
    };
    let follow = engine.docker().logs(
        &handles[0],
        Some(bollard::query_parameters::LogsOptions { stdout: true, follow: true, ..Default::default() }),
    );
    let said = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(kill);
        }
        let lines: Result<Vec<_>, _> = engine.wait(futures_util::TryStreamExt::try_collect(follow));
        lines.map_or_else(
            |error| error.to_string(),
            |lines| lines.iter().map(ToString::to_string).collect::<String>(),
        )
    });
    assert_eq!(said.matches("asked").count(), 1, "{said}");
}

#[test]
fn a_container_that_is_removed_or_killed_behind_the_back_has_stopped() {
    let test = "a_container_that_is_removed_or_killed_behind_the_back_has_stopped";
    let Some(engine) = Engine::or_skip(test) else { return };
    let house = House::new(&engine);
    let handles = house.run("t-1", 3, MEEK);
    engine.remove(&handles[0]);
    let options = bollard::query_parameters::KillContainerOptions { signal: "SIGKILL".to_owned() };
    engine.wait(engine.docker().kill_container(&handles[1], Some(options))).expect("it is alive");
    until("the engine has seen it", || {
        house.status(&handles) == [WorkerStatus::Stopped, WorkerStatus::Stopped, WorkerStatus::Running]
    });
    let listed: Vec<String> = house.list().into_iter().map(|one| one.handle).collect();
    assert_eq!(listed, handles[2..]);
    house.kill(&handles);
}

#[test]
fn the_limit_of_memory_ends_a_worker() {
    let Some(engine) = Engine::or_skip("the_limit_of_memory_ends_a_worker") else { return };
    let house = House::with(&engine, json!({"swap": 0}));
    // What `tail` keeps of an endless line is all of it.
    let mut request = house.request("t-1", 1, "exec tail /dev/zero");
    request.hardware = Hardware { memory: Some(16 << 20), ..Hardware::default() };
    let handles = house.try_run(&request).expect("it is launched").handles;
    house.wait(&handles, WorkerStatus::Stopped);
    let state = house.inspect(&handles[0]).state.expect("it has one");
    assert_eq!((state.oom_killed, state.exit_code), (Some(true), Some(137)), "{state:?}");
    assert_eq!(house.list(), []);
}

#[test]
fn one_that_was_never_started_is_removed_and_does_not_start() {
    let Some(engine) = Engine::or_skip("one_that_was_never_started_is_removed_and_does_not_start") else {
        return;
    };
    let house = House::new(&engine);
    let handles = house.run("t-1", 1, MEEK);
    // As it is left by a host that dies between the two steps.
    let made = house.inspect(&handles[0]);
    let labels = made.config.and_then(|config| config.labels).expect("they are there");
    engine.remove(&handles[0]);
    let body = bollard::models::ContainerCreateBody {
        image: Some(house.image.clone()),
        labels: Some(labels),
        ..Default::default()
    };
    let options = bollard::query_parameters::CreateContainerOptions {
        name: Some(handles[0].clone()),
        ..Default::default()
    };
    engine.wait(engine.docker().create_container(Some(options), body)).expect("the name is free");
    // The upkeep may start it at any moment.
    assert_ne!(house.status(&handles), [WorkerStatus::Stopped]);
    assert_eq!(house.list().len(), 1);
    house.kill(&handles);
    assert_eq!(house.containers(), []);
}

#[test]
fn a_second_provider_kills_what_the_first_has_made() {
    let Some(engine) = Engine::or_skip("a_second_provider_kills_what_the_first_has_made") else { return };
    let house = House::new(&engine);
    let handles = house.run("t-1", 2, MEEK);
    let other: DockerContainers = house.another();
    let answers = call(|ctx| other.kill(ctx, &texts(&handles))).expect("it answers");
    assert_eq!(answers, [Killed::Yes, Killed::Yes]);
    assert_eq!(house.status(&handles), [WorkerStatus::Stopped; 2]);
}
