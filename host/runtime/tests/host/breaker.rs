//! A provider whose backend is out of reach: its circuit breaker holds the calls of all its clusters back, and they say so.

use std::{sync::Arc, time::Duration};

use longshore_providers::{BreakerLimits, SearchPath};
use longshore_runtime::{BreakerPhase, BreakerStatus, ClusterStatus, Host, Plugins};
use longshore_scaling::Command;
use longshore_store::SqliteJournal;
use serde_json::json;

use crate::{config, folder, until};

/// A host whose providers' breakers open at the first failure.
async fn host(wait: Duration) -> Host {
    let breaker = BreakerLimits { failures: 1, over: Duration::ZERO, wait: (wait, wait) };
    let plugins = Plugins { search: SearchPath::of([folder()]), breaker, ..Plugins::default() };
    Host::open(plugins, Arc::new(SqliteJournal::in_memory())).await.expect("the journal is sound")
}

fn breaker(host: &Host) -> BreakerStatus {
    host.providers()[0].breaker.clone().expect("the provider is there")
}

fn says(status: &ClusterStatus, words: &str) -> bool {
    status.reasons.iter().any(|reason| reason.text.contains(words))
}

#[tokio::test]
async fn an_open_breaker_is_told_of_to_every_cluster_and_nobody_is_lost() {
    let host = host(Duration::from_hours(1)).await;
    let settings = json!({ "fail": { "run": { "every": 3, "kind": "unreachable", "message": "hunter2" } } });
    let both = config(
        &json!([{ "name": "memory", "plugin": "memory", "config": settings }]),
        &json!([
            { "name": "web", "provider": "memory", "workers": 2 },
            { "name": "db", "provider": "memory", "workers": 3 },
        ]),
    );
    host.apply(both).await.expect("legal");
    for (name, workers) in [("web", 2), ("db", 3)] {
        until(&host, name, "up", |status| status.converged && status.running == workers).await;
    }
    assert_eq!(breaker(&host).phase, BreakerPhase::Closed);

    // The third launch fails.
    host.command("web", Command::Scale { expected: 4 }).await.expect("legal");
    let held = |status: &ClusterStatus| {
        says(status, "the provider's circuit breaker is open since")
            && says(status, "as 1 call failed (the last: run could not reach its backend)")
            && says(status, "it is tried again from")
    };
    let web = until(&host, "web", "held back", held).await;
    assert_eq!((web.running, web.converged), (2, false));
    host.command("db", Command::Scale { expected: 5 }).await.expect("legal");
    let db = until(&host, "db", "held back", held).await;
    assert_eq!(
        (db.running, says(&db, "hunter2")),
        (3, false),
        "what one was told is not the other's: {db:?}"
    );
    let told = breaker(&host);
    assert_eq!((told.phase, told.failures, told.openings), (BreakerPhase::Open, 1, 1));
    assert!(told.since < told.until && told.why.is_some(), "{told:?}");
    let provider = host.providers().remove(0);
    let run = provider.functions.iter().find(|figures| figures.function == "run").expect("it was called");
    assert_eq!((run.answered, run.failed["unreachable"]), (2, 1));
    assert!(run.not_sent["breaker_open"] >= 2, "{run:?}");

    // What costs can be ended meanwhile, and ends the doubt as well.
    host.command("db", Command::Scale { expected: 1 }).await.expect("legal");
    until(&host, "db", "scaled down", |status| status.converged && status.running == 1).await;
    assert_eq!(breaker(&host).phase, BreakerPhase::Closed);
    until(&host, "web", "scaled up", |status| status.converged && status.running == 4).await;
}

#[tokio::test]
async fn a_backend_that_is_back_is_used_again_by_itself() {
    let host = host(Duration::from_millis(20)).await;
    let settings = json!({ "fail": { "run": { "first": 2, "kind": "unreachable" } } });
    let mut one = config(
        &json!([{ "name": "memory", "plugin": "memory", "config": settings }]),
        &json!([{ "name": "web", "provider": "memory", "workers": 3 }]),
    );
    one.clusters[0].policy.backoff = Duration::from_millis(10);
    one.clusters[0].policy.backoff_max = Duration::from_millis(20);
    host.apply(one).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.running == 3).await;
    let told = breaker(&host);
    assert_eq!((told.phase, told.failures), (BreakerPhase::Closed, 0));
    assert!(told.openings >= 1, "{told:?}");
}
