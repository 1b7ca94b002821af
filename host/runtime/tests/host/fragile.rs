//! A journal in memory that fails as a test wants it to: it can be broken and mended, stop answering, refuse to forget, and cut
//! its host off at the writing of a provider's definition.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use longshore_scaling::Snapshot;
use longshore_store::{
    Appended, Claimed, Entry, Journal, JournalError, JournalErrorKind, Journaling, Lease, Numbered,
    SqliteJournal,
};
use serde_json::Value;

/// A journal that fails. By itself it is sound.
pub(crate) struct Fragile {
    inner: Arc<SqliteJournal>,
    /// Whether nothing can be written of clusters and libraries.
    pub(crate) broken: AtomicBool,
    /// Whether its device does not answer.
    pub(crate) hangs: AtomicBool,
    /// Whether it takes new entries and cannot remove old ones.
    pub(crate) keeps: AtomicBool,
    cut: Option<Cut>,
}

/// Where a host is cut off. Nothing of that definition comes back to it, nor of any later one.
struct Cut {
    /// So many definitions of providers are still written.
    left: AtomicUsize,
    /// Whether the one at which it is cut off is written.
    is_written: bool,
    is_reached: AtomicBool,
}

impl Default for Fragile {
    fn default() -> Self {
        Self::around(Arc::new(SqliteJournal::in_memory()), None)
    }
}

impl Fragile {
    /// A journal that cuts its host off once `left` definitions of providers are written, before the next one or after it. What was
    /// written is in `inner`, for the next host.
    pub(crate) fn cut_after(inner: Arc<SqliteJournal>, left: usize, is_written: bool) -> Self {
        let cut = Cut { left: AtomicUsize::new(left), is_written, is_reached: AtomicBool::new(false) };
        Self::around(inner, Some(cut))
    }

    fn around(inner: Arc<SqliteJournal>, cut: Option<Cut>) -> Self {
        Self {
            inner,
            broken: AtomicBool::default(),
            hangs: AtomicBool::default(),
            keeps: AtomicBool::default(),
            cut,
        }
    }

    /// Whether its host has been cut off.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.as_ref().is_some_and(|cut| cut.is_reached.load(Ordering::SeqCst))
    }

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

impl Cut {
    /// Whether the host is cut off at this definition.
    fn is_now(&self) -> bool {
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
    }
}

impl Journal for Fragile {
    fn providers(&self) -> Journaling<'_, Vec<(String, Value)>> {
        self.inner.providers()
    }

    fn define_provider<'a>(&'a self, name: &'a str, definition: Option<Value>) -> Journaling<'a, ()> {
        Box::pin(async move {
            let Some(cut) = self.cut.as_ref().filter(|cut| cut.is_now()) else {
                return self.inner.define_provider(name, definition).await;
            };
            if cut.is_written {
                self.inner.define_provider(name, definition).await?;
            }
            cut.is_reached.store(true, Ordering::SeqCst);
            std::future::pending().await
        })
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
