//! The provider as a host uses it, without one.

use std::time::Duration;

use longshore_plugin_api::{
    Cleanup as _, Container, Context, Error, ErrorKind, Hardware, Initialize as _, Killed, Launch,
    LaunchToken, List as _, Log, Provider as _, RunRequest, Server as _, ServerRequest, WorkerStatus,
    testing,
};
use serde_json::json;

use crate::Memory;

use WorkerStatus::{Initializing, Running, Stopped};

fn try_memory(settings: serde_json::Value) -> Result<Memory, Error> {
    Memory::create(serde_json::from_value(settings).expect("the settings are well-formed"), Log::silent())
}

fn memory(settings: serde_json::Value) -> Memory {
    try_memory(settings).expect("the settings are sensible")
}

/// One call for the cluster `c`.
fn call<T>(work: impl FnOnce(&Context<'_>) -> T) -> T {
    testing::call("c", Duration::from_mins(1), work)
}

fn request(token: &str, workers: u32, max_workers: u32) -> RunRequest {
    let container = Container { max_workers: Some(max_workers), ..Container::default() };
    let token = LaunchToken::new(token);
    RunRequest { container, hardware: Hardware::default(), workers, token }
}

fn try_run(memory: &Memory, token: &str, workers: u32, max_workers: u32) -> Result<Launch, Error> {
    call(|ctx| memory.run(ctx, &request(token, workers, max_workers)))
}

fn run(memory: &Memory, token: &str, workers: u32) -> Vec<String> {
    try_run(memory, token, workers, 1).expect("it runs").handles
}

fn status(memory: &Memory, handles: &[String]) -> Vec<WorkerStatus> {
    let handles: Vec<&str> = handles.iter().map(String::as_str).collect();
    call(|ctx| memory.status(ctx, &handles)).expect("status answers")
}

fn kill(memory: &Memory, handle: &str) -> Killed {
    call(|ctx| memory.kill(ctx, &[handle])).expect("kill answers").remove(0)
}

fn listed(memory: &Memory) -> Vec<(String, u32)> {
    let listed = call(|ctx| memory.list(ctx)).expect("list answers");
    listed.into_iter().map(|entry| (entry.handle, entry.workers)).collect()
}

#[test]
fn workers_share_containers() {
    let memory = memory(json!({}));
    let launch = try_run(&memory, "t", 5, 2).expect("it runs");
    assert_eq!(launch, Launch::complete(["t.0", "t.0", "t.1", "t.1", "t.2"].map(str::to_owned).into()));
    assert_eq!(listed(&memory), [("t.0".to_owned(), 2), ("t.1".to_owned(), 2), ("t.2".to_owned(), 1)]);
    assert_eq!(kill(&memory, "t.0"), Killed::Yes);
    assert_eq!(status(&memory, &launch.handles), [Stopped, Stopped, Running, Running, Running]);
    assert_eq!(listed(&memory).len(), 2);
}

#[test]
fn what_is_not_known_is_stopped_and_killing_it_succeeds() {
    let memory = memory(json!({}));
    run(&memory, "t", 2);
    let unknown = ["t", "t.", "t.2", "t.01", "t.+1", "u.0", "", "."].map(str::to_owned);
    assert_eq!(status(&memory, &unknown), [Stopped; 8]);
    for handle in &unknown {
        assert_eq!(kill(&memory, handle), Killed::Yes);
    }
    assert_eq!(listed(&memory).len(), 2);
}

#[test]
fn observations_alone_move_a_worker_and_predicates_do_not() {
    let memory = memory(json!({ "start_after": { "observations": 2 }, "lifetime": { "observations": 3 } }));
    let handles = run(&memory, "t", 1);
    for _ in 0..9 {
        assert_eq!(call(|ctx| memory.is_initializing(ctx, &["t.0"])), Ok(vec![true]));
    }
    let seen: Vec<_> = (0..7).flat_map(|_| status(&memory, &handles)).collect();
    assert_eq!(seen, [Initializing, Initializing, Running, Running, Running, Stopped, Stopped]);
    assert_eq!(call(|ctx| memory.is_stopped(ctx, &["t.0"])), Ok(vec![true]));
    assert_eq!(listed(&memory), []);
}

#[test]
fn the_clock_moves_a_worker_where_it_is_to() {
    let memory = memory(json!({ "start_after": { "ms": 20 }, "lifetime": { "ms": 20 } }));
    let asked = std::time::Instant::now();
    run(&memory, "t", 1);
    while call(|ctx| memory.is_stopped(ctx, &["t.0"])) == Ok(vec![false]) {
        assert!(asked.elapsed() < Duration::from_secs(30), "it never stopped");
        std::thread::yield_now();
    }
    assert!(asked.elapsed() >= Duration::from_millis(40), "it stopped too early");
}

#[test]
fn a_killed_worker_stops_when_its_time_has_come() {
    let memory = memory(json!({ "stop_after": { "observations": 2 }, "kill_refusals": 1 }));
    let handles = run(&memory, "t", 1);
    assert_eq!(kill(&memory, "t.0"), Killed::No("refusal 1 of 1".to_owned()));
    assert_eq!(status(&memory, &handles), [Running]);
    assert_eq!(kill(&memory, "t.0"), Killed::Yes);
    assert_eq!(status(&memory, &handles), [Running]);
    assert_eq!(kill(&memory, "t.0"), Killed::Yes);
    assert_eq!(status(&memory, &handles), [Running]);
    assert_eq!(status(&memory, &handles), [Stopped]);
}

#[test]
fn one_token_launches_once() {
    let memory = memory(json!({}));
    let first = try_run(&memory, "t", 3, 2).expect("it runs");
    assert_eq!(try_run(&memory, "t", 3, 2).as_ref(), Ok(&first));
    assert_eq!(listed(&memory).len(), 2);
    kill(&memory, "t.0");
    kill(&memory, "t.1");
    assert_eq!(try_run(&memory, "t", 3, 2).as_ref(), Ok(&first), "also when its workers are gone");
    assert_eq!(status(&memory, &first.handles), [Stopped; 3]);
    let other = try_run(&memory, "t", 4, 2).expect_err("another request under the same token");
    assert_eq!(other.kind(), ErrorKind::Permanent);
}

#[test]
fn a_full_store_falls_short_and_says_so() {
    let memory = memory(json!({ "capacity": 5, "lifetime": { "observations": 1 } }));
    let first = run(&memory, "a", 3);
    let second = try_run(&memory, "b", 4, 1).expect("it runs in part");
    assert_eq!(
        second,
        Launch::partial(vec!["b.0".into(), "b.1".into()], "the store has no room for 2 more", true)
    );
    assert_eq!(try_run(&memory, "b", 4, 1).as_ref(), Ok(&second));
    let none = try_run(&memory, "c", 1, 1).expect("it falls short");
    assert_eq!((none.handles.len(), none.shortfall.is_some()), (0, true));
    status(&memory, &first);
    assert_eq!(run(&memory, "c", 3).len(), 3, "the first three are over, though nobody has seen it");
    assert_eq!(try_run(&memory, "d", 0, 1), Ok(Launch::default()));
}

#[test]
fn instances_share_a_store_by_name_only() {
    let shared = json!({ "store": "instances_share_a_store_by_name_only" });
    run(&memory(shared.clone()), "t", 2);
    assert_eq!(listed(&memory(shared)).len(), 2);
    assert_eq!(listed(&memory(json!({ "store": "another one" }))), []);
    assert_eq!(listed(&memory(json!({}))), []);
    assert_eq!(try_memory(json!({ "store": "" })).expect_err("no name").field(), Some("store"));
}

#[test]
fn clusters_are_apart() {
    let memory = memory(json!({}));
    run(&memory, "t", 1);
    let other = testing::call("d", Duration::from_mins(1), |ctx| memory.list(ctx));
    assert_eq!(other, Ok(Vec::new()));
    let again = testing::call("d", Duration::from_mins(1), |ctx| memory.run(ctx, &request("t", 1, 1)));
    assert_eq!(again.expect_err("the token is another cluster's").kind(), ErrorKind::Permanent);
}

#[test]
fn calls_fail_as_configured_and_do_nothing() {
    let memory = memory(json!({
        "fail": { "run": { "first": 1, "every": 3, "kind": "retryable", "message": "busy" } }
    }));
    let kinds = (1..=6).map(|i| try_run(&memory, &format!("t{i}"), 1, 1).map_err(|e| e.kind()).err());
    let retryable = Some(ErrorKind::Retryable);
    assert_eq!(kinds.collect::<Vec<_>>(), [retryable, None, retryable, None, None, retryable]);
    assert_eq!(listed(&memory).len(), 3);
}

#[test]
fn a_reply_may_get_lost() {
    let memory =
        memory(json!({ "fail": { "run": { "first": 1, "kind": "unknown", "takes_effect": true } } }));
    let error = try_run(&memory, "t", 2, 1).expect_err("the reply is lost");
    assert_eq!(error.kind(), ErrorKind::Unknown);
    assert_eq!(listed(&memory).len(), 2);
    assert_eq!(run(&memory, "t", 2).len(), 2);
    assert_eq!(listed(&memory).len(), 2);
    let lie = json!({ "fail": { "kill": { "first": 1, "kind": "retryable", "takes_effect": true } } });
    assert_eq!(try_memory(lie).expect_err("it would be a lie").field(), Some("fail.kill.takes_effect"));
}

#[test]
fn a_slow_call_ends_with_its_deadline_and_leaves_nothing() {
    let memory = memory(json!({ "latency_ms": { "run": 600_000 } }));
    let error = testing::call("c", Duration::from_millis(5), |ctx| memory.run(ctx, &request("t", 1, 1)));
    assert_eq!(error.expect_err("out of time").kind(), ErrorKind::Cancelled);
    let cancel = testing::Cancel::new();
    cancel.cancel();
    let error = testing::Call::new("c").cancelled_by(&cancel).run(|ctx| memory.run(ctx, &request("t", 1, 1)));
    assert_eq!(error.expect_err("cancelled").kind(), ErrorKind::Cancelled);
    assert_eq!(listed(&memory), []);
}

#[test]
fn a_server_starts_once_and_stops() {
    let memory = memory(json!({ "start_after": { "observations": 1 }, "stop_after": { "observations": 1 } }));
    let state = || call(|ctx| memory.server_status(ctx)).expect("it answers");
    let address =
        || call(|ctx| memory.server_address(ctx)).expect("it answers").map(|found| (found.host, found.port));
    let known = Some(("c.memory.invalid".to_owned(), Some(6379)));
    let start = || {
        let request = ServerRequest { port: Some(6379), ..ServerRequest::default() };
        call(|ctx| memory.run_server(ctx, &request))
    };
    assert_eq!(state(), Stopped);
    call(|ctx| memory.stop_server(ctx)).expect("there is none");
    start().expect("it starts");
    assert_eq!((address(), state()), (None, Initializing));
    assert_eq!((address(), state()), (known, Running));
    start().expect("it is there already");
    assert_eq!(state(), Running);
    call(|ctx| memory.stop_server(ctx)).expect("it stops");
    assert_eq!(start().expect_err("it is stopping").kind(), ErrorKind::Retryable);
    assert_eq!((state(), state()), (Running, Stopped));
    start().expect("it starts anew");
    assert_eq!(state(), Initializing);
}

#[test]
fn cleanup_spares_what_lives() {
    let memory = memory(json!({}));
    call(|ctx| memory.initialize(ctx)).expect("it initializes");
    run(&memory, "t", 2);
    kill(&memory, "t.0");
    call(|ctx| memory.cleanup(ctx, true)).expect("it cleans up");
    assert_eq!(listed(&memory), [("t.1".to_owned(), 1)]);
    kill(&memory, "t.1");
    call(|ctx| memory.cleanup(ctx, true)).expect("it cleans up");
    assert_eq!(listed(&memory), []);
    call(|ctx| memory.initialize(ctx)).expect("it initializes again");
    assert_eq!(status(&memory, &run(&memory, "t", 2)), [Stopped; 2], "the token is remembered");
}

#[test]
fn only_the_latest_finished_tokens_are_remembered() {
    let memory = memory(json!({}));
    let count = crate::store::MAX_FINISHED + 1;
    for i in 0..count {
        run(&memory, &format!("t{i}"), 1);
        kill(&memory, &format!("t{i}.0"));
    }
    assert_eq!(memory.store.lock().launches(), count - 1);
}
