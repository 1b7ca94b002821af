//! The circuit breaker and the figures, with plugins that fail and hang for real.

use std::{path::Path, sync::Arc, time::Duration};

use longshore_plugin_api::{ErrorKind, Killed};
use longshore_providers::{
    BreakerLimits, CallError, CallLimits, Fault, Figures, Function, NotSent, Provider,
};
use longshore_support::until;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{LONG, block_on, create, handles, memory, mutants, request, scope};

/// Long enough for a call to reach the plugin on a busy machine.
const SHORT: Duration = Duration::from_secs(2);
/// A wait that no test sees the end of.
const EVER: Duration = Duration::from_hours(1);

/// A mutant whose breaker opens after so many failures, however fast they come.
async fn mutant(config: Value, failures: u32, wait: (Duration, Duration)) -> Arc<Provider> {
    let breaker = Some(BreakerLimits { failures, over: Duration::ZERO, wait });
    create(&mutants(), config, CallLimits { breaker, ..CallLimits::default() }).await
}

fn hangs(function: &str, release: &Path) -> Value {
    json!({ "faults": { function: "hang" }, "release": release, "hang_ms": 60_000 })
}

fn is_held_back(error: &CallError) -> bool {
    matches!(error, CallError::NotSent { reason: NotSent::BreakerOpen(_) })
}

#[test]
fn it_opens_on_a_backend_out_of_reach_tries_and_closes_when_that_is_back() {
    block_on(async {
        let config = json!({ "faults": { "status": "unreachable" }, "times": 5 });
        let wait = (Duration::from_millis(1), Duration::from_millis(4));
        let provider = mutant(config, 3, wait).await;
        let (mut failed, mut held_back) = (0, 0);
        let one = loop {
            let error = match provider.status(&scope(LONG), handles(&["x"])).reply().await {
                Ok(statuses) => break statuses,
                Err(error) => error,
            };
            match &error {
                CallError::Failed(error) if error.kind() == ErrorKind::Unreachable => failed += 1,
                _ if is_held_back(&error) => held_back += 1,
                other => panic!("{other}"),
            }
            // Of those that were held back, the plugin saw none: it would have counted them.
            assert!(failed <= 5, "{error}");
            assert_eq!(provider.breaker().open.is_some(), failed >= 3, "{error}");
            sleep(Duration::from_micros(200)).await;
        };
        assert_eq!((one.len(), failed), (1, 5));
        let breaker = provider.breaker();
        assert_eq!((breaker.open, breaker.openings, breaker.failures), (None, 1, 0));
        let figures = provider.figures();
        let wanted = Figures { calls: 6 + held_back, failed: 5, not_sent: held_back, ..Figures::default() };
        assert_eq!(figures, wanted);
    });
}

#[test]
fn it_opens_on_calls_that_hang_and_a_kill_tries_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let release = folder.path().join("release");
    block_on(async {
        let provider = mutant(hangs("status", &release), 2, (EVER, EVER)).await;
        for opened in [false, true] {
            let answer = provider.status(&scope(SHORT), handles(&["x"])).reply().await;
            assert!(matches!(answer, Err(CallError::Deadline { .. })), "{answer:?}");
            assert_eq!(provider.breaker().open.is_some(), opened, "it does not wait for them to come back");
        }
        let open = provider.breaker().open.expect("it is open");
        assert_eq!((open.failures, open.function, open.fault), (2, Function::Status, Fault::Deadline));
        let error =
            provider.run(&scope(LONG), request("t", 1, 1)).reply().await.expect_err("it is held back");
        assert!(is_held_back(&error), "{error}");
        let killed = provider.kill(&scope(LONG), handles(&["x"])).reply().await;
        assert_eq!(killed, Ok(vec![Killed::Yes]), "it needs no thread of those that hang, and no wait");
        assert_eq!(provider.breaker().open, None);
        let launched = provider.run(&scope(LONG), request("t", 1, 1)).reply().await;
        assert_eq!(launched.expect("nothing came of the one before").workers(), 1);
        assert_eq!(provider.load().stuck, 2);
        std::fs::write(&release, "").expect("the folder can be written");
        until("nothing is stuck", || provider.load().stuck == 0);
        until("they have ended", || provider.figures().under_way == 0);
        let figures = provider.figures();
        assert_eq!((figures.late, figures.not_sent, figures.calls), (2, 1, 5));
        assert_eq!(provider.breaker().failures, 0, "what comes back late is old news");
    });
}

#[test]
fn a_try_that_hangs_keeps_it_open_and_one_that_is_answered_closes_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let release = folder.path().join("release");
    block_on(async {
        let provider = mutant(hangs("kill", &release), 1, (EVER, EVER)).await;
        for failures in 1..=2 {
            let answer = provider.kill(&scope(SHORT), handles(&["x"])).reply().await;
            assert!(matches!(answer, Err(CallError::Deadline { .. })), "{answer:?}");
            assert_eq!(provider.breaker().open.map(|open| open.failures), Some(failures));
        }
        let held_back = provider.status(&scope(LONG), handles(&["x"])).reply().await;
        assert!(is_held_back(&held_back.expect_err("it is open")));
        std::fs::write(&release, "").expect("the folder can be written");
        let killed = provider.kill(&scope(LONG), handles(&["x"])).reply().await;
        assert_eq!(killed, Ok(vec![Killed::Yes]), "it is the next try");
        assert_eq!(provider.breaker().open, None);
        let statuses = provider.status(&scope(LONG), handles(&["x"])).reply().await;
        assert_eq!(statuses.expect("it is let through").len(), 1);
    });
}

#[test]
fn a_request_that_is_at_fault_itself_does_not_open_it() {
    block_on(async {
        for fault in ["permanent", "retryable", "other", "config", "cancelled"] {
            let provider = mutant(json!({ "faults": { "run": fault } }), 1, (EVER, EVER)).await;
            for _ in 0..3 {
                let answer = provider.run(&scope(LONG), request("t", 1, 1)).reply().await;
                assert!(matches!(answer, Err(CallError::Failed(_))), "{fault}: {answer:?}");
            }
            assert_eq!(provider.breaker().open, None, "{fault}");
        }
        for (fault, wanted) in [("panic", Fault::Panicked), ("unknown", Fault::Unknown)] {
            let provider = mutant(json!({ "faults": { "run": fault } }), 1, (EVER, EVER)).await;
            provider.run(&scope(LONG), request("t", 1, 1)).reply().await.expect_err("it fails");
            assert_eq!(provider.breaker().open.map(|open| open.fault), Some(wanted), "{fault}");
        }
    });
}

#[test]
fn who_is_shut_down_says_so_although_the_breaker_is_open() {
    block_on(async {
        let provider = mutant(json!({ "faults": { "run": "panic" } }), 1, (EVER, EVER)).await;
        provider.run(&scope(LONG), request("t", 1, 1)).reply().await.expect_err("it panics");
        assert!(provider.shut_down(LONG).await);
        let answer = provider.run(&scope(LONG), request("t", 1, 1)).reply().await;
        assert_eq!(answer.expect_err("it is gone"), CallError::NotSent { reason: NotSent::ShutDown });
    });
}

#[test]
fn figures_add_up_whoever_calls() {
    const TASKS: u64 = 16;
    const CALLS: u64 = 50;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build();
    runtime.expect("a runtime can be made").block_on(async {
        let config = json!({ "fail": { "list": { "every": 1, "kind": "retryable" } } });
        let provider = create(&memory(), config, CallLimits::default()).await;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..TASKS {
            let provider = Arc::clone(&provider);
            tasks.spawn(async move {
                for _ in 0..CALLS {
                    let _place = provider.place(Function::Status, LONG).await.expect("there is one soon");
                    provider.status(&scope(LONG), handles(&["x"])).reply().await.expect("it answers");
                    provider.list(&scope(LONG)).reply().await.expect_err("it fails");
                }
            });
        }
        tasks.join_all().await;
        let calls = TASKS * CALLS;
        assert_eq!(provider.figures(), Figures { calls: 2 * calls, failed: calls, ..Figures::default() });
        let told = provider.figures_by_function();
        let names: Vec<_> = told.iter().map(|figures| figures.function.as_str()).collect();
        assert_eq!(names, ["status", "list"]);
        assert_eq!((told[0].answered, told[1].failed["retryable"]), (calls, calls));
        for figures in &told {
            let latency = figures.latency.as_ref().expect("they came back");
            assert_eq!(latency.count, calls);
            let in_order = [latency.p50_us, latency.p90_us, latency.p99_us, latency.max_us];
            assert!(in_order.is_sorted() && latency.p50_us > 0, "{latency:?}");
        }
    });
}
