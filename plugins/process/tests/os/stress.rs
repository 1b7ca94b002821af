//! Many threads at once, and many times over.

use std::{fs, process::Command, thread};

use longshore_plugin_api::{
    Cleanup as _, Killed, List as _, Provider as _, Server as _, ServerRequest, WorkerStatus, testing,
};
use serde_json::json;

use crate::support::{House, call, provider, request, texts, wait_until};

#[test]
fn many_threads_run_and_kill_at_once() {
    let house = House::with(json!({"keep_stopped": 3}));
    let (house, provider) = (&house, house.provider());
    thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for round in 0..12 {
                    let token = format!("t{thread}-{round}");
                    let script = ["exec sleep 600", "sleep 600 & wait", "exit"][(thread + round) % 3];
                    let handles = house.run(&token, 3, script);
                    let statuses = house.status(&handles);
                    assert!(!statuses.contains(&WorkerStatus::Initializing), "{statuses:?}");
                    let listed = call(|ctx| provider.list(ctx)).expect("complete");
                    if script != "exit" {
                        for handle in &handles {
                            assert!(
                                listed.iter().any(|listed| listed.handle == *handle),
                                "{handle} is missing"
                            );
                        }
                    }
                    house.kill(&handles);
                    assert_eq!(house.status(&handles), [WorkerStatus::Stopped; 3]);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..20 {
                call(|ctx| provider.cleanup(ctx, false)).expect("cleaned");
            }
        });
    });
    assert_eq!(house.list(), []);
    wait_until("nobody is left", || house.alive().is_empty());
}

#[test]
fn many_cycles_leak_nothing() {
    // In a process of its own, where no other test opens files and starts threads meanwhile.
    let house = House::new();
    let output = Command::new(std::env::current_exe().expect("it is known"))
        .args(["--exact", "stress::cycles", "--ignored"])
        .env("LONGSHORE_TEST_ROOT", house.root())
        .env("LONGSHORE_TEST_WORKERS_MARK", house.mark())
        .output()
        .expect("it is started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// This process's open descriptors, threads and children.
fn holdings() -> [usize; 3] {
    let count = |path: &str| fs::read_dir(path).expect("readable").count();
    let children = fs::read_dir("/proc/self/task").expect("readable").map(|task| {
        let path = task.expect("readable").path().join("children");
        fs::read_to_string(path).unwrap_or_default().split_whitespace().count()
    });
    [count("/proc/self/fd"), count("/proc/self/task"), children.sum()]
}

#[test]
#[ignore = "the process of the test above"]
fn cycles() {
    let root = std::env::var_os("LONGSHORE_TEST_ROOT").expect("the test above sets it");
    let mark = std::env::var("LONGSHORE_TEST_WORKERS_MARK").expect("the test above sets it");
    let before = holdings();
    for instance in 0..3 {
        let provider = provider(root.as_ref(), &json!({})).expect("valid");
        for round in 0..30 {
            let request = request(&mark, &format!("t{instance}-{round}"), 2, "sleep 600 & wait");
            testing::call("c9", std::time::Duration::from_secs(30), |ctx| {
                let handles = provider.run(ctx, &request).expect("launched").handles;
                provider.status(ctx, &texts(&handles)).expect("known");
                let answers = provider.kill(ctx, &texts(&handles)).expect("killed");
                assert_eq!(answers, [Killed::Yes, Killed::Yes]);
                let server =
                    ServerRequest { container: request.container.clone(), ..ServerRequest::default() };
                provider.run_server(ctx, &server).expect("started");
                provider.server_address(ctx).expect("known").expect("it runs");
                provider.stop_server(ctx).expect("stopped");
            });
        }
        testing::call("c9", std::time::Duration::from_secs(30), |ctx| provider.cleanup(ctx, true))
            .expect("cleaned");
    }
    assert_eq!(holdings(), before);
    assert!(!std::path::Path::new(&root).join("clusters/c9").exists());
}

#[test]
#[ignore = "a thousand processes at once: by hand, with --nocapture to see the times"]
fn a_thousand_workers() {
    let house = House::with(json!({"grace": 2}));
    let mut began = std::time::Instant::now();
    let mut took = |what: &str| {
        println!("{what}: {:?}", began.elapsed());
        began = std::time::Instant::now();
    };
    let peaceful = house.run("peaceful", 900, "exec sleep 600");
    took("run of 900");
    let stubborn = house.run("stubborn", 100, "trap '' TERM; while :; do sleep 1; done");
    took("run of 100");
    let all: Vec<&String> = peaceful.iter().chain(&stubborn).collect();
    assert_eq!(house.status(&all), [WorkerStatus::Running; 1_000]);
    took("status of 1,000");
    assert_eq!(house.list().len(), 1_000);
    took("list of 1,000");
    house.kill(&all);
    took("kill of 1,000, of which 100 wait for the end of the grace of 2 s");
    assert_eq!(house.status(&all), [WorkerStatus::Stopped; 1_000]);
    took("status of 1,000 that have stopped");
}
