//! What is told of a runner and its calls: how long they were inside the plugin, where they are, and what the process takes of the
//! machine.

use std::time::Duration;

use longshore_config::Confinement;
use longshore_providers::{
    CallLimits, FunctionFigures, Housing, Provider, ProviderLoad, Resources, RunnerLoad, RunnerSetup,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{death, does, folder, pid, specimen, until_back, wild};
use crate::{LONG, Way, block_on, either_way, handles, memory, program, request, scope};

/// The figures of one function.
fn figures(provider: &Provider, function: &str) -> FunctionFigures {
    let all = provider.figures_by_function();
    all.into_iter().find(|figures| figures.function == function).expect("it was called")
}

/// Waits until the runner says that its calls are so.
async fn until_counted(provider: &Provider, wanted: RunnerLoad) {
    let found = timeout(LONG, async {
        while provider.runner_load().await != Some(wanted) {
            sleep(Duration::from_millis(5)).await;
        }
    });
    found.await.expect("it comes to be so");
}

fn signal(provider: &Provider, signal: Signal) {
    let process = Pid::from_raw(pid(provider).cast_signed()).expect("it is a number");
    kill_process(process, signal).expect("it is there");
}

/// Whether all threads of a process are stopped: a signal reaches one after the other.
fn stands_still(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it is there");
    let mut states = threads.map(|thread| {
        let status = thread.expect("it is there").path().join("status");
        std::fs::read_to_string(status).unwrap_or_default()
    });
    states.all(|state| state.contains("\nState:\tT"))
}

#[test]
fn the_time_inside_the_plugin_is_told_apart_from_the_whole() {
    const SLEEP: Duration = Duration::from_millis(20);
    const CALLS: u64 = 3;
    either_way(&async |way| {
        let config = json!({ "latency_ms": { "status": SLEEP.as_millis() as u64 } });
        let provider = way.create(&memory(), config, CallLimits::default()).await;
        for _ in 0..CALLS {
            provider.status(&scope(LONG), handles(&["x"])).reply().await.expect("it answers");
        }
        let FunctionFigures { latency, inside, .. } = figures(&provider, "status");
        let (latency, inside) = (latency.expect("it came back"), inside.expect("it was inside"));
        assert_eq!((latency.count, inside.count), (CALLS, CALLS));
        let slept = u64::try_from(SLEEP.as_micros()).expect("it is short");
        assert!(inside.total_us >= slept * CALLS, "it sleeps inside: {inside:?}");
        assert_eq!(inside.up_to(u64::try_from(SLEEP.as_nanos()).expect("it is short") - 1), 0);
    });
}

#[test]
fn what_waits_in_the_queue_is_not_inside() {
    const WAIT: Duration = Duration::from_millis(50);
    either_way(&async |way| {
        let limits = CallLimits { threads: 1, ..CallLimits::default() };
        let provider = way.create(&memory(), json!({ "latency_ms": { "list": 60_000 } }), limits).await;
        let mut first = provider.list(&scope(LONG));
        let mut second = provider.status(&scope(LONG), handles(&["x"]));
        let is_queued = |load: ProviderLoad| (load.busy, load.queued) == (1, 1);
        let queued = timeout(LONG, async {
            while !is_queued(provider.load()) {
                sleep(Duration::from_millis(5)).await;
            }
        });
        queued.await.expect("there is one thread");
        sleep(WAIT).await;
        first.cancel();
        first.reply().await.expect_err("it was cancelled");
        second.reply().await.expect("it has its turn");
        let FunctionFigures { latency, inside, .. } = figures(&provider, "status");
        let (latency, inside) = (latency.expect("it came back"), inside.expect("it was inside"));
        // Each is cut to the microsecond.
        let waited = u64::try_from(WAIT.as_micros()).expect("it is short") - 1;
        assert!(inside.total_us + waited <= latency.total_us, "{inside:?} is a part of {latency:?}");
    });
}

#[test]
fn what_never_gets_into_the_plugin_was_not_inside() {
    either_way(&async |way| {
        let provider = way.create(&memory(), json!({}), CallLimits::default()).await;
        assert!(provider.shut_down(LONG).await);
        let error = provider.list(&scope(LONG)).reply().await.expect_err("it is shut down");
        assert!(error.is_not_sent(), "{error}");
        let FunctionFigures { latency, inside, .. } = figures(&provider, "list");
        assert_eq!((latency, inside), (None, None));
    });
}

#[test]
fn a_call_is_not_inside_for_longer_than_it_lasts_whatever_its_process_says() {
    block_on(async {
        let provider = Way::runner().create(&wild(), json!({}), CallLimits::default()).await;
        assert_eq!(does(&provider, "lie").await.expect("the lie makes sense"), "lie");
        let FunctionFigures { latency, inside, .. } = figures(&provider, "run");
        let (latency, inside) = (latency.expect("it came back"), inside.expect("it says so"));
        assert_eq!((inside.count, inside.total_us, inside.max_us), (1, latency.total_us, latency.max_us));
    });
}

#[test]
fn a_process_that_counts_unasked_makes_no_sense() {
    block_on(async {
        let provider = Way::runner().create(&wild(), json!({}), CallLimits::default()).await;
        let how = death(does(&provider, "count").await);
        assert!(how.starts_with("was ended by the host, for what it says makes no sense"), "{how}");
        until_back(&provider, 1).await;
        until_counted(&provider, RunnerLoad::default()).await;
    });
}

#[test]
fn a_runner_says_how_many_calls_are_inside_while_none_comes_back() {
    block_on(async {
        let config = json!({ "latency_ms": { "list": 60_000 } });
        let provider = Way::runner().create(&memory(), config, CallLimits::default()).await;
        until_counted(&provider, RunnerLoad::default()).await;
        let calls: Vec<_> = (0..3).map(|_| provider.list(&scope(LONG))).collect();
        until_counted(&provider, RunnerLoad { inside: 3, on_the_way: 0 }).await;
        calls.iter().for_each(longshore_providers::Call::cancel);
        for mut call in calls {
            call.reply().await.expect_err("it was cancelled");
        }
        until_counted(&provider, RunnerLoad::default()).await;
    });
}

#[test]
fn a_process_that_stands_still_says_nothing_and_is_measured_all_the_same() {
    block_on(async {
        let provider = Way::runner().create(&memory(), json!({}), CallLimits::default()).await;
        signal(&provider, Signal::STOP);
        let stopped = timeout(LONG, async {
            while !stands_still(pid(&provider)) {
                sleep(Duration::from_millis(5)).await;
            }
        });
        stopped.await.expect("each thread stops once it is its turn");
        assert_eq!(provider.runner_load().await, None);
        assert!(provider.runner_resources().is_some_and(|resources| resources.resident_bytes > 0));
        signal(&provider, Signal::CONT);
        until_counted(&provider, RunnerLoad::default()).await;
    });
}

#[test]
fn what_a_process_takes_is_told() {
    const MIB: u64 = 1 << 20;
    block_on(async {
        let provider = Way::runner().create(&wild(), json!({}), CallLimits::default()).await;
        let before = provider.runner_resources().expect("it is there");
        does(&provider, "take 200").await.expect("there is memory");
        let after = provider.runner_resources().expect("it is there");
        let Resources { resident_bytes, peak_resident_bytes, cpu_ms, threads, descriptors } = after;
        assert!(before.resident_bytes < 200 * MIB && resident_bytes >= 200 * MIB, "{before:?}, {after:?}");
        assert!(peak_resident_bytes.is_some_and(|peak| peak >= resident_bytes), "{after:?}");
        assert!(cpu_ms >= before.cpu_ms && threads >= 1, "{before:?}, {after:?}");
        // Its line and its outputs at least.
        assert!(descriptors.is_some_and(|count| count >= 3), "{after:?}");
        assert!(provider.shut_down(LONG).await);
        assert_eq!(provider.runner_resources(), None, "what is over takes nothing");
    });
}

#[test]
fn a_process_that_may_not_look_at_itself_is_measured_all_the_same() {
    let folder = folder();
    block_on(async {
        let confine = Confinement {
            read: Some(vec![folder.path().to_owned()]),
            write: Some(vec![folder.path().to_owned()]),
            seccomp: true,
            ..Confinement::default()
        };
        let setup = RunnerSetup { program: program(), confine: Some(confine) };
        let (housing, config) = (Housing::Runner(setup), json!({ "root": folder.path() }));
        let limits = CallLimits::default();
        let made = Provider::create_in(&housing, &specimen(), "bound", config, limits, ()).await;
        let provider = made.expect("it may use its folder");
        assert!(provider.runner_resources().is_some_and(|resources| resources.resident_bytes > 0));
        until_counted(&provider, RunnerLoad::default()).await;
    });
}

#[test]
fn a_provider_in_this_process_has_no_process_to_tell_of() {
    block_on(async {
        let provider = Way::here().create(&memory(), json!({}), CallLimits::default()).await;
        assert_eq!((provider.runner_load().await, provider.runner_resources()), (None, None));
        provider.run(&scope(LONG), request("t", 1, 1)).reply().await.expect("it launches");
        assert!(figures(&provider, "run").inside.is_some(), "its calls are inside as any other's");
    });
}
