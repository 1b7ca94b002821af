//! Providers in processes of their own, as a host has them: what is told of them, and what becomes of clusters when one dies.

use std::{process, sync::Arc};

use longshore_config::{Config, Isolation};
use longshore_runtime::{ApplyError, Host, Leaving, RunnerPhase, RunnerStatus};
use longshore_scaling::Command;
use longshore_store::SqliteJournal;
use serde_json::json;

use crate::{PATIENCE, config, eventually, host, host_with_runners, one, until};

/// A host that can start runners, and remembers nothing.
async fn runners() -> Host {
    host_with_runners(Arc::new(SqliteJournal::in_memory())).await
}

/// Three workers that outlive their provider: records in a folder.
fn durable(root: &std::path::Path) -> Config {
    let plugin = longshore_support::example("longshore-mutants", "specimen");
    config(
        &json!([{ "name": "files", "plugin": plugin, "config": { "root": root } }]),
        &json!([{ "name": "web", "provider": "files", "workers": 3 }]),
    )
}

fn runner(host: &Host) -> RunnerStatus {
    host.providers()[0].runner.clone().expect("it runs in a process of its own")
}

#[tokio::test]
async fn a_provider_runs_apart_where_that_can_be_unless_it_is_to_run_here() {
    let host = runners().await;
    host.apply(one(2, &json!({}))).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.running == 2).await;
    assert_eq!(host.providers()[0].isolation, Some(Isolation::Subprocess));
    let apart = runner(&host);
    assert_eq!((apart.phase, apart.restarts), (RunnerPhase::Running, 0));
    assert!(apart.pid.is_some_and(|pid| pid != process::id()), "{apart:?}");
    assert!(host.shut_down(Leaving::Nothing { patience: PATIENCE }).await);

    let host = runners().await;
    let mut config = one(2, &json!({}));
    config.providers[0].isolation = Some(Isolation::InProcess);
    host.apply(config).await.expect("legal");
    let status = &host.providers()[0];
    assert_eq!((status.isolation, &status.runner), (Some(Isolation::InProcess), &None));
}

#[tokio::test]
async fn a_runner_is_asked_and_measured_by_who_wants_to_know() {
    let host = runners().await;
    let mut config = one(2, &json!({ "latency_ms": { "run": 20 } }));
    let mut here = config.providers[0].clone();
    (here.name, here.isolation) = ("with-us".to_owned(), Some(Isolation::InProcess));
    config.providers.push(here);
    host.apply(config).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.running == 2).await;
    assert_eq!((runner(&host).calls, runner(&host).resources), (None, None), "nobody has asked");
    let told = host.providers_with_runners().await;
    assert_eq!(told.len(), 2);
    for status in &told {
        let Some(runner) = &status.runner else {
            assert_eq!(status.name, "with-us");
            continue;
        };
        assert!(runner.calls.is_some(), "it answers: {runner:?}");
        assert!(runner.resources.is_some_and(|it| it.resident_bytes > 0 && it.threads > 0), "{runner:?}");
        let run = status.functions.iter().find(|figures| figures.function == "run").expect("it was called");
        let (whole, inside) =
            (run.latency.as_ref().expect("it came back"), run.inside.as_ref().expect("and says so"));
        assert!(inside.total_us >= 20_000 * inside.count && inside.total_us <= whole.total_us, "{run:?}");
    }
    assert!(host.shut_down(Leaving::Nothing { patience: PATIENCE }).await);
}

#[tokio::test]
async fn a_provider_that_must_run_apart_is_refused_where_that_cannot_be() {
    let host = host().await;
    let mut config = one(2, &json!({}));
    config.providers[0].isolation = Some(Isolation::Subprocess);
    let refused = host.apply(config).await.expect_err("this program is no runner");
    assert!(matches!(refused, ApplyError::NoRunner { .. }), "{refused}");
    assert!(refused.to_string().contains("isolation = \"in-process\""), "{refused}");
    assert!(host.providers().is_empty() && host.clusters().is_empty(), "nothing has changed");
}

#[tokio::test]
async fn a_provider_whose_process_dies_is_back_and_no_worker_is_lost_or_doubled() {
    let root = tempfile::tempdir().expect("a folder");
    let host = runners().await;
    host.apply(durable(root.path())).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.running == 3).await;
    let before = host.workers("web", 0, 10).await.expect("there").workers;
    for deaths in 1..=2_u32 {
        let pid = runner(&host).pid.expect("it is there").to_string();
        let killed = process::Command::new("kill").args(["-9", &pid]).status().expect("there is a kill");
        assert!(killed.success());
        eventually("it is back", async || {
            let runner = runner(&host);
            runner.restarts >= u64::from(deaths) && runner.phase == RunnerPhase::Running
        })
        .await;
        host.command("web", Command::Scale { expected: 3 + deaths }).await.expect("legal");
        until(&host, "web", "scaled", |status| status.converged && status.running == u64::from(3 + deaths))
            .await;
    }
    let after = host.workers("web", 0, 10).await.expect("there").workers;
    assert_eq!(after.len(), 5);
    assert!(before.iter().all(|worker| after.iter().any(|it| it.handle == worker.handle)), "{after:?}");
    assert!(host.shut_down(Leaving::Nothing { patience: PATIENCE }).await);
}
