//! Engines that are away, slow, cut off in the middle, or start again: nothing is taken for dead, and nothing is lost.

use std::{
    thread,
    time::{Duration, Instant},
};

use longshore_plugin_api::{
    ErrorKind, Initialize as _, List as _, Provider as _, Server as _, ServerRequest, WorkerStatus,
    testing::{Call, Cancel},
};
use longshore_support::{Dockerd, Engine, or_skip, until};
use serde_json::json;

use crate::{
    gate::{Gate, Manner},
    support::{CLUSTER, House, MEEK, call, provider_at, texts, within},
};

/// How soon a call is to return that is over: CONC-2, and what a busy machine takes.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn an_engine_that_is_not_there_is_an_error_of_every_call_and_not_of_the_making() {
    let folder = tempfile::tempdir().expect("a folder");
    let provider = provider_at(&folder.path().join("no.sock"));
    let handles = ["x".to_owned()];
    let errors = [
        call(|ctx| provider.status(ctx, &texts(&handles))).expect_err("nobody knows"),
        call(|ctx| provider.kill(ctx, &texts(&handles))).expect_err("nobody knows"),
        call(|ctx| provider.list(ctx)).expect_err("nobody knows"),
        call(|ctx| provider.server_status(ctx)).expect_err("nobody knows"),
        call(|ctx| provider.stop_server(ctx)).expect_err("nobody knows"),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        assert!(error.message().contains("no.sock"), "{error}");
    }
    // There is nothing to prepare.
    call(|ctx| provider.initialize(ctx)).expect("no engine is needed for that");
}

#[test]
fn an_engine_that_is_cut_off_says_stopped_of_nobody() {
    let Some(engine) = Engine::or_skip("an_engine_that_is_cut_off_says_stopped_of_nobody") else { return };
    let gate = Gate::before(&engine);
    let house = House::with(&engine, json!({"host": gate.url()}));
    let handles = house.run("t-1", 2, MEEK);
    house.wait(&handles, WorkerStatus::Running);
    gate.set(Manner::Shut);
    let error = call(|ctx| house.provider().status(ctx, &texts(&handles))).expect_err("nobody knows");
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    let error = house.try_run(&house.request("t-2", 1, MEEK)).expect_err("nobody makes it");
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    gate.set(Manner::Silent);
    let began = Instant::now();
    let error = within(Duration::from_millis(500), |ctx| house.provider().status(ctx, &texts(&handles)));
    let error = error.expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.message().contains("did not answer in time") && began.elapsed() < SOON, "{error}");
    gate.set(Manner::Open);
    assert_eq!(house.status(&handles), [WorkerStatus::Running; 2]);
    assert_eq!(house.list().len(), 2, "what was not made is not there");
    gate.vanish();
    let error = call(|ctx| house.provider().list(ctx)).expect_err("nobody knows");
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
}

#[test]
fn a_container_whose_making_was_not_answered_is_found_and_started() {
    let test = "a_container_whose_making_was_not_answered_is_found_and_started";
    let Some(engine) = Engine::or_skip(test) else { return };
    let gate = Gate::before(&engine);
    let house = House::with(&engine, json!({"host": gate.url()}));
    gate.set(Manner::Loses("/containers/create".to_owned()));
    let handles = house.run("t-1", 3, MEEK);
    gate.set(Manner::Loses("/start".to_owned()));
    let more = house.run("t-2", 2, MEEK);
    gate.set(Manner::Open);
    house.wait(&[handles, more].concat(), WorkerStatus::Running);
    assert_eq!(house.containers().len(), 5);
}

#[test]
fn a_launch_of_which_nobody_knows_is_unknown_and_the_token_finds_out() {
    let test = "a_launch_of_which_nobody_knows_is_unknown_and_the_token_finds_out";
    let Some(engine) = Engine::or_skip(test) else { return };
    let gate = Gate::before(&engine);
    let house = House::with(&engine, json!({"host": gate.url(), "parallel": 1}));
    // The container is made; what comes after it is not heard of, nor can anybody look.
    gate.set(Manner::Slow("/containers/create".to_owned(), Duration::from_secs(1)));
    let error = thread::scope(|scope| {
        let run = scope.spawn(|| house.try_run(&house.request("t-1", 2, MEEK)));
        until("the first is made", || !house.containers().is_empty());
        gate.set(Manner::Shut);
        run.join().expect("it does not panic").expect_err("nobody knows")
    });
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    gate.set(Manner::Open);
    let handles = house.run("t-1", 2, MEEK);
    house.wait(&handles, WorkerStatus::Running);
    assert_eq!(house.containers().len(), 2, "each was made once");
}

#[test]
fn a_launch_that_is_out_of_time_says_what_it_has() {
    let Some(engine) = Engine::or_skip("a_launch_that_is_out_of_time_says_what_it_has") else { return };
    let gate = Gate::before(&engine);
    let house = House::with(&engine, json!({"host": gate.url(), "parallel": 1}));
    gate.set(Manner::Slow("/containers/create".to_owned(), Duration::from_millis(700)));
    let request = house.request("t-1", 100, MEEK);
    let launch = within(Duration::from_secs(20), |ctx| house.provider().run(ctx, &request));
    let launch = launch.expect("some are there");
    let shortfall = launch.shortfall.expect("not all are");
    assert!(shortfall.retryable && shortfall.reason.contains("of 100 containers"), "{shortfall:?}");
    assert!(!launch.handles.is_empty());
    let mut listed: Vec<String> = house.list().into_iter().map(|one| one.handle).collect();
    let mut told = launch.handles;
    listed.sort();
    told.sort();
    assert_eq!(listed, told);
}

#[test]
fn a_launch_that_is_cancelled_returns_soon_whatever_the_engine_does() {
    let test = "a_launch_that_is_cancelled_returns_soon_whatever_the_engine_does";
    let Some(engine) = Engine::or_skip(test) else { return };
    let gate = Gate::before(&engine);
    let house = House::with(&engine, json!({"host": gate.url()}));
    gate.set(Manner::Slow("/containers/create".to_owned(), Duration::from_secs(8)));
    let cancel = Cancel::new();
    let request = house.request("t-1", 2, MEEK);
    let (error, took) = thread::scope(|scope| {
        let run = || Call::new(CLUSTER).cancelled_by(&cancel).run(|ctx| house.provider().run(ctx, &request));
        let run = scope.spawn(run);
        // Until it is on its way; should it not be yet, it is cancelled all the same.
        thread::sleep(Duration::from_millis(500));
        cancel.cancel();
        let began = Instant::now();
        let answer = run.join().expect("it does not panic");
        (answer.expect_err("nothing is there yet"), began.elapsed())
    });
    assert!(matches!(error.kind(), ErrorKind::Unknown | ErrorKind::Cancelled), "{error}");
    assert!(took < SOON, "{took:?}");
    gate.set(Manner::Open);
    // What was on its way comes to its end, and is not started.
    let handles = house.run("t-1", 2, MEEK);
    house.wait(&handles, WorkerStatus::Running);
    assert_eq!(house.containers().len(), 2);
}

#[test]
fn a_server_whose_start_was_given_up_is_stopped_all_the_same() {
    let test = "a_server_whose_start_was_given_up_is_stopped_all_the_same";
    let Some(engine) = Engine::or_skip(test) else { return };
    let gate = Gate::before(&engine);
    let house = House::with(&engine, json!({"host": gate.url()}));
    let container = house.request("unused", 1, MEEK).container;
    let request = ServerRequest { container, ..ServerRequest::default() };
    gate.set(Manner::Slow("/containers/create".to_owned(), Duration::from_secs(8)));
    let error = within(Duration::from_secs(4), |ctx| house.provider().run_server(ctx, &request));
    assert_eq!(error.expect_err("it is not there in time").kind(), ErrorKind::Unknown);
    let status = || call(|ctx| house.provider().server_status(ctx)).expect("it is known");
    assert_eq!(status(), WorkerStatus::Initializing, "it may come yet");
    call(|ctx| house.provider().stop_server(ctx)).expect("it stops");
    assert_eq!((status(), house.containers()), (WorkerStatus::Stopped, vec![]));
}

#[test]
fn an_engine_that_starts_again_is_as_it_was() {
    let test = "an_engine_that_starts_again_is_as_it_was";
    let Some(mut dockerd) = or_skip(test, Dockerd::start()) else { return };
    {
        let engine = dockerd.engine();
        let house = House::new(&engine);
        let handles = house.run("t-1", 2, MEEK);
        house.wait(&handles, WorkerStatus::Running);
        dockerd.stop();
        let error = call(|ctx| house.provider().status(ctx, &texts(&handles))).expect_err("nobody knows");
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        let error = house.try_run(&house.request("t-2", 1, MEEK)).expect_err("nobody makes it");
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        dockerd.start_again();
        // An engine that ends takes its containers along, and starts none of them again.
        house.wait(&handles, WorkerStatus::Stopped);
        assert_eq!(house.list(), []);
        assert_eq!(house.run("t-1", 2, MEEK), handles, "it remembers");
        let more = house.run("t-3", 1, MEEK);
        house.wait(&more, WorkerStatus::Running);
        house.kill(&more);
    }
    drop(dockerd);
}
