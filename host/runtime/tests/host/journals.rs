//! A journal that fails: nothing is done that it did not take, and nothing is lost that was seen meanwhile.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use longshore_runtime::CommandError;
use longshore_scaling::Command;
use longshore_store::Journal;
use serde_json::json;

use crate::{fragile::Fragile, host_with, one, until};

#[tokio::test]
async fn nothing_is_done_that_the_journal_did_not_take() {
    let journal = Arc::new(Fragile::default());
    let host = host_with(Arc::clone(&journal) as Arc<dyn Journal>).await;
    host.apply(one(2, &json!({}))).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;

    journal.broken.store(true, Ordering::SeqCst);
    let refused = host.command("web", Command::Scale { expected: 5 }).await;
    assert!(matches!(refused, Err(CommandError::Journal(_))), "{refused:?}");
    let status = host.status("web").await.expect("there");
    assert_eq!((status.expected, status.running, status.launching), (2, 2, 0));

    journal.broken.store(false, Ordering::SeqCst);
    host.command("web", Command::Scale { expected: 5 }).await.expect("the journal works again");
    until(&host, "web", "scaled", |status| status.running == 5).await;
}

#[tokio::test]
async fn what_was_seen_while_the_journal_failed_is_not_lost() {
    let journal = Arc::new(Fragile::default());
    let host = host_with(Arc::clone(&journal) as Arc<dyn Journal>).await;
    let mut config = one(2, &json!({ "latency_ms": { "run": 300 } }));
    config.clusters[0].policy.poll_interval = Duration::from_millis(20);
    host.apply(config).await.expect("legal");
    until(&host, "web", "launching", |status| status.launching == 2).await;
    // The answer comes while it cannot be recorded; nobody commands anything, and nothing is launched a second time.
    journal.broken.store(true, Ordering::SeqCst);
    let status = until(&host, "web", "unable to record it", |status| {
        status.reasons.iter().any(|reason| reason.text.contains("no space left on device"))
    })
    .await;
    assert_eq!((status.launching, status.handles), (2, 0));
    journal.broken.store(false, Ordering::SeqCst);
    let status = until(&host, "web", "up", |status| status.converged && status.running == 2).await;
    assert_eq!(status.handles, 2);
}

#[tokio::test]
async fn a_journal_that_fails_is_explained() {
    let journal = Arc::new(Fragile::default());
    let host = host_with(Arc::clone(&journal) as Arc<dyn Journal>).await;
    let mut config = one(3, &json!({ "lifetime": { "observations": 3 } }));
    config.clusters[0].policy.poll_interval = Duration::from_millis(50);
    host.apply(config).await.expect("legal");
    until(&host, "web", "up", |status| status.running == 3).await;
    journal.broken.store(true, Ordering::SeqCst);
    // A worker dies, and its death cannot be recorded.
    let status = until(&host, "web", "in trouble", |status| {
        status.reasons.iter().any(|reason| reason.text.contains("no space left on device"))
    })
    .await;
    assert!(!status.converged);
    journal.broken.store(false, Ordering::SeqCst);
    until(&host, "web", "well again", |status| {
        status.reasons.iter().all(|reason| !reason.text.contains("no space left"))
    })
    .await;
}
