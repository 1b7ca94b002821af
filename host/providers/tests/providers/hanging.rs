//! Calls that take too long: what the host still knows, and what it keeps.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use longshore_plugin_api::ErrorKind;
use longshore_providers::{CallError, CallLimits, Function, NotSent, ProviderLoad};
use longshore_support::until;
use serde_json::{Value, json};

use super::{LONG, block_on, create, handles, memory, mutant, mutants, open, request, scope};

/// Long enough for a call to reach the plugin on a busy machine.
const SHORT: Duration = Duration::from_millis(500);

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A mutant's settings: the function hangs until the file is there.
fn hangs(function: &str, release: &Path) -> Value {
    json!({ "faults": { function: "hang" }, "release": release, "hang_ms": 60_000 })
}

fn let_go(release: &Path) {
    std::fs::write(release, "").expect("the folder can be written");
}

#[test]
fn a_hang_ends_at_the_deadline_and_its_answer_is_had_later() {
    let folder = folder();
    let release = folder.path().join("release");
    block_on(async {
        let provider = mutant(hangs("run", &release)).await;
        let mut call = provider.run(&scope(SHORT), request("t", 4, 2));
        let error = call.reply().await.expect_err("it hangs");
        assert_eq!(error, CallError::Deadline { function: Function::Run, after: SHORT });
        until("the call is stuck", || provider.load().stuck == 1);
        assert_eq!(provider.load(), ProviderLoad { threads: 1, busy: 1, stuck: 1, queued: 0 });
        // The others go on meanwhile.
        let statuses = provider.status(&scope(LONG), handles(&["x"])).reply().await;
        assert_eq!(statuses.expect("it answers").len(), 1);
        assert!(call.reply().await.is_err(), "still no answer");
        let_go(&release);
        let launched = call.late().await.expect("it did launch them");
        assert_eq!(launched.workers(), 4);
        until("nothing is stuck", || provider.load().stuck == 0);
    });
}

#[test]
fn a_call_that_is_dropped_is_made_all_the_same() {
    let folder = folder();
    let release = folder.path().join("release");
    block_on(async {
        let provider = mutant(hangs("run", &release)).await;
        drop(provider.run(&scope(LONG), request("t", 2, 1)));
        let_go(&release);
        // The mutant's next run has the same token, and so the same handles.
        let launched = provider.run(&scope(LONG), request("t", 2, 1)).reply().await;
        assert_eq!(launched.expect("it launches").workers(), 2);
        assert_eq!(provider.list(&scope(LONG)).reply().await.expect("it lists").len(), 2);
    });
}

#[test]
fn a_plugin_that_listens_returns_at_the_deadline() {
    block_on(async {
        let config = json!({ "latency_ms": { "status": 60_000 } });
        let provider = create(&memory(), config, CallLimits::default()).await;
        let mut call = provider.status(&scope(SHORT), handles(&["x"]));
        match call.reply().await.expect_err("it takes a minute") {
            CallError::Deadline { .. } => {
                let error = call.late().await.expect_err("it was cancelled");
                assert!(
                    matches!(&error, CallError::Failed(e) if e.kind() == ErrorKind::Cancelled),
                    "{error}"
                );
            }
            // It may also have noticed first.
            CallError::Failed(error) => assert_eq!(error.kind(), ErrorKind::Cancelled),
            other => panic!("not a deadline: {other}"),
        }
        until("the thread is free", || provider.load().busy == 0);
    });
}

#[test]
fn a_cancelled_call_returns_before_its_deadline() {
    block_on(async {
        let config = json!({ "latency_ms": { "status": 60_000 } });
        let provider = create(&memory(), config, CallLimits::default()).await;
        let mut call = provider.status(&scope(LONG * 60), handles(&["x"]));
        call.cancel();
        let error = call.reply().await.expect_err("it was cancelled");
        assert!(matches!(&error, CallError::Failed(e) if e.kind() == ErrorKind::Cancelled), "{error}");
    });
}

#[test]
fn a_full_queue_and_a_wait_beyond_the_budget_never_reach_the_plugin() {
    let folder = folder();
    let release = folder.path().join("release");
    block_on(async {
        let limits = CallLimits { threads: 1, queue: 1, ..CallLimits::default() };
        let provider = create(&mutants(), hangs("run", &release), limits).await;
        let mut stuck = provider.run(&scope(SHORT), request("a", 1, 1));
        assert!(matches!(stuck.reply().await, Err(CallError::Deadline { .. })));
        let mut waiting = provider.run(&scope(SHORT), request("b", 1, 1));
        let mut refused = provider.run(&scope(LONG), request("c", 1, 1));
        let error = refused.reply().await.expect_err("the queue is full");
        assert_eq!(error, CallError::NotSent { reason: NotSent::QueueFull { threads: 1, queued: 1 } });
        let error = waiting.reply().await.expect_err("its time runs out in the queue");
        assert_eq!(error, CallError::NotSent { reason: NotSent::OutOfTime { waited: SHORT } });
        assert_eq!(waiting.late().await, Err(error), "and so it stays");
        let_go(&release);
        stuck.late().await.expect("it did launch");
        // Of the three, the plugin has seen the first alone.
        let listed = provider.list(&scope(LONG)).reply().await.expect("it lists");
        let tokens: Vec<_> = listed.iter().map(|entry| entry.token.as_str()).collect();
        assert_eq!(tokens, ["a"]);
    });
}

#[test]
fn one_hanging_provider_is_no_matter_for_another() {
    let folder = folder();
    let release = folder.path().join("release");
    block_on(async {
        let hanging = mutant(hangs("status", &release)).await;
        let sound = mutant(json!({})).await;
        let mut stuck: Vec<_> = (0..20).map(|_| hanging.status(&scope(LONG), handles(&["x"]))).collect();
        let launched = sound.run(&scope(LONG), request("t", 3, 1)).reply().await;
        assert_eq!(launched.expect("it launches").workers(), 3);
        let_go(&release);
        for call in &mut stuck {
            call.reply().await.expect("all are answered in the end");
        }
    });
}

#[test]
fn a_stuck_instance_is_kept_until_its_call_returns() {
    let folder = folder();
    let release = folder.path().join("release");
    block_on(async {
        let provider = mutant(hangs("status", &release)).await;
        let mut call = provider.status(&scope(SHORT), handles(&["x"]));
        assert!(matches!(call.reply().await, Err(CallError::Deadline { .. })));
        assert!(!provider.shut_down(SHORT).await, "a call is inside the plugin");
        let_go(&release);
        assert!(provider.shut_down(LONG).await, "nothing keeps it any more");
        call.late().await.expect("the answer was not lost");
    });
}

/// Where the next process finds the mutants, so that it need not build them.
const MUTANTS: &str = "LONGSHORE_TEST_MUTANTS";

/// Not a test of its own: what the next one runs in a process of its own.
#[test]
#[ignore = "it leaves a thread that hangs; the next test runs it as a process"]
fn leaves_a_hung_call_behind() {
    let folder = folder();
    let library = open(Path::new(&std::env::var_os(MUTANTS).expect("the next test names them")));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
    let runtime = runtime.expect("a runtime can be made");
    runtime.block_on(async {
        let faults = json!({ "status": "hang", "drop": "hang" });
        let config = json!({ "faults": faults, "hang_ms": 600_000, "release": folder.path().join("never") });
        let provider = create(&library, config, CallLimits::default()).await;
        let mut call = provider.status(&scope(SHORT), handles(&["x"]));
        assert!(matches!(call.reply().await, Err(CallError::Deadline { .. })));
        assert!(!provider.shut_down(SHORT).await);
    });
    drop(runtime);
    println!("the host ends");
}

#[test]
fn a_hung_call_does_not_keep_the_process() {
    let own = std::env::current_exe().expect("the test's own path");
    let mut child = Command::new(own)
        .args(["--ignored", "--exact", "hanging::leaves_a_hung_call_behind", "--nocapture"])
        .env(MUTANTS, longshore_support::example("longshore-mutants", "mutant"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test can be run");
    // The hang is ten minutes long, so that this only comes about when the process ends with the thread in it.
    until("the process ends", || child.try_wait().expect("it can be waited for").is_some());
    let output = child.wait_with_output().expect("it has ended");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("the host ends"), "{text}");
}
