//! A journal that fails: nothing is done that it did not take, and nothing is lost that was seen meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use longshore_runtime::CommandError;
use longshore_scaling::{Command, Snapshot};
use longshore_store::{
    Appended, Claimed, Entry, Journal, JournalError, JournalErrorKind, Journaling, Lease, Numbered,
    SqliteJournal,
};
use serde_json::{Value, json};

use crate::{host_with, one, until};

/// A journal that can be broken and mended, or whose device stops answering.
pub(crate) struct Fragile {
    inner: SqliteJournal,
    pub(crate) broken: AtomicBool,
    pub(crate) hangs: AtomicBool,
    /// Whether it takes new entries and cannot remove old ones.
    pub(crate) keeps: AtomicBool,
}

impl Default for Fragile {
    fn default() -> Self {
        let inner = SqliteJournal::in_memory();
        Self {
            inner,
            broken: AtomicBool::default(),
            hangs: AtomicBool::default(),
            keeps: AtomicBool::default(),
        }
    }
}

impl Fragile {
    async fn check(&self, cluster: &str) -> Result<(), JournalError> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.broken.load(Ordering::SeqCst) { Err(full(cluster, "written")) } else { Ok(()) }
    }
}

fn full(cluster: &str, action: &'static str) -> JournalError {
    JournalError::of_cluster(cluster, action, JournalErrorKind::NoRoom, "no space left on device")
}

impl Journal for Fragile {
    fn providers(&self) -> Journaling<'_, Vec<(String, Value)>> {
        self.inner.providers()
    }

    fn define_provider<'a>(&'a self, name: &'a str, definition: Option<Value>) -> Journaling<'a, ()> {
        self.inner.define_provider(name, definition)
    }

    fn libraries(&self) -> Journaling<'_, Vec<(String, Value)>> {
        self.inner.libraries()
    }

    fn define_library<'a>(&'a self, hash: &'a str, document: Option<Value>) -> Journaling<'a, ()> {
        Box::pin(async move {
            self.check("web").await?;
            self.inner.define_library(hash, document).await
        })
    }

    fn clusters(&self) -> Journaling<'_, Vec<String>> {
        self.inner.clusters()
    }

    fn claim<'a>(&'a self, cluster: &'a str) -> Journaling<'a, Claimed> {
        self.inner.claim(cluster)
    }

    fn append<'a>(&'a self, lease: &'a Lease, entries: Vec<Entry>) -> Journaling<'a, Appended> {
        Box::pin(async move {
            self.check(&lease.cluster).await?;
            self.inner.append(lease, entries).await
        })
    }

    fn compact<'a>(&'a self, lease: &'a Lease, snapshot: Snapshot) -> Journaling<'a, ()> {
        self.inner.compact(lease, snapshot)
    }

    fn history<'a>(
        &'a self,
        cluster: &'a str,
        before: Option<u64>,
        limit: usize,
    ) -> Journaling<'a, Vec<Numbered>> {
        self.inner.history(cluster, before, limit)
    }

    fn remove<'a>(&'a self, lease: &'a Lease) -> Journaling<'a, ()> {
        Box::pin(async move {
            if self.keeps.load(Ordering::SeqCst) {
                return Err(full(&lease.cluster, "removed"));
            }
            self.inner.remove(lease).await
        })
    }
}

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
