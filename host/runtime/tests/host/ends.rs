//! How hosts and clusters end, and what must not happen after it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use longshore_runtime::{ApplyError, CommandError, Leaving};
use longshore_scaling::Command;
use longshore_store::Journal;
use serde_json::json;
use tokio::time::timeout;

use crate::{PATIENCE, eventually, fragile::Fragile, host, host_with, one, until};

#[tokio::test]
async fn nothing_is_applied_after_the_end() {
    let host = host().await;
    host.apply(one(2, &json!({}))).await.expect("legal");
    host.shut_down(Leaving::Workers).await;
    let late = host.apply(one(2, &json!({}))).await;
    assert!(matches!(late, Err(ApplyError::Command(CommandError::ShuttingDown))), "{late:?}");
    assert!(host.clusters().is_empty());
}

#[tokio::test]
async fn a_stop_that_was_refused_is_not_done() {
    let journal = Arc::new(Fragile::default());
    let host = host_with(Arc::clone(&journal) as Arc<dyn Journal>).await;
    host.apply(one(2, &json!({}))).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    journal.broken.store(true, Ordering::SeqCst);
    let done = host.shut_down(Leaving::Nothing { patience: Duration::from_secs(1) }).await;
    assert!(!done, "two workers run");
}

#[tokio::test]
async fn a_stop_waits_until_the_journal_works_again() {
    let journal = Arc::new(Fragile::default());
    let host = host_with(Arc::clone(&journal) as Arc<dyn Journal>).await;
    host.apply(one(2, &json!({}))).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    journal.broken.store(true, Ordering::SeqCst);
    let mend = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        journal.broken.store(false, Ordering::SeqCst);
    };
    let (done, ()) = tokio::join!(host.shut_down(Leaving::Nothing { patience: PATIENCE }), mend);
    assert!(done);
}

#[tokio::test]
async fn a_host_ends_though_its_journal_hangs() {
    let journal = Arc::new(Fragile::default());
    let host = host_with(Arc::clone(&journal) as Arc<dyn Journal>).await;
    host.apply(one(2, &json!({}))).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    journal.hangs.store(true, Ordering::SeqCst);
    let leaving = Leaving::Nothing { patience: Duration::from_secs(1) };
    let done = timeout(PATIENCE, host.shut_down(leaving)).await.expect("it ends");
    assert!(!done, "two workers run");
}

#[tokio::test]
async fn what_waits_for_a_thread_is_not_launched_for_a_deleted_cluster() {
    let host = host().await;
    // One thread, which the first launch keeps busy.
    let settings = json!({ "store": "what_waits_for_a_thread", "latency_ms": { "run": 500 } });
    let mut config = one(4, &settings);
    config.providers[0].threads = Some(1);
    config.clusters[0].policy.launch_batch = 1;
    host.apply(config.clone()).await.expect("legal");
    until(&host, "web", "launching", |status| status.launching == 4).await;
    host.command("web", Command::Delete { force: true }).await.expect("legal");
    eventually("gone", async || host.clusters().is_empty()).await;
    // The provider answers in turn: this list comes after whatever was still waiting.
    config.clusters[0].workers = 0;
    let preview = host.plan(config).await.expect("legal");
    assert!(preview[0].live <= 1, "{} workers of a cluster that was deleted", preview[0].live);
}

#[tokio::test]
async fn a_dropped_host_decides_nothing_any_more() {
    let first = host().await;
    let mut config = one(2, &json!({ "lifetime": { "observations": 30 } }));
    config.clusters[0].policy.poll_interval = Duration::from_millis(20);
    first.apply(config).await.expect("legal");
    until(&first, "web", "up", |status| status.running == 2).await;
    let mut version = first.version();
    drop(first);
    // The last sender goes with the last of its loops.
    let ended = timeout(PATIENCE, async { while version.changed().await.is_ok() {} }).await;
    assert!(ended.is_ok(), "its loops live on");
}
