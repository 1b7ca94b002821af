//! What a journal is: the entries of many clusters, each written by one host at a time, and the snapshots that stand for
//! the oldest of them.

use std::{future::Future, pin::Pin, sync::Arc};

use longshore_scaling::{Record, Snapshot};
use serde::{Deserialize, Serialize};

use crate::JournalError;

/// One entry of a cluster's journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all entries are records, which a box would only move elsewhere"
)]
pub enum Entry {
    /// What the cluster is, beyond what the core knows of it: a document of the shell's. The latest one counts.
    Defined(serde_json::Value),
    /// Something happened to it.
    Happened(Record),
}

/// The right to write one cluster's journal. A later claim of the same cluster ends it, as a fencing token does (Kleppmann,
/// "How to do distributed locking", 2016): whoever was taken for dead and is not can write no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The cluster.
    pub cluster: Arc<str>,
    /// Grows with every claim in this journal, of whichever cluster; never used twice.
    pub term: u64,
}

/// What a journal holds of one cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// The latest definition.
    pub definition: Option<serde_json::Value>,
    /// The latest snapshot.
    pub snapshot: Option<Snapshot>,
    /// The records after it, oldest first; all of them where there is no snapshot.
    pub tail: Vec<Record>,
}

/// A cluster, claimed.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// The right to write it.
    pub lease: Lease,
    /// What is there; nothing where there was no such cluster.
    pub kept: Kept,
}

/// What came of an append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// The records since the last snapshot have outgrown it: [`Journal::compact`] is worth while now.
    pub compaction_due: bool,
}

/// An entry of a cluster's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Numbered {
    /// Its number in its cluster: the first is 1, and none is left out.
    pub number: u64,
    /// What it says.
    #[serde(flatten)]
    pub entry: Entry,
}

/// The future of a journal's function.
pub type Journaling<'a, T> = Pin<Box<dyn Future<Output = Result<T, JournalError>> + Send + 'a>>;

/// Keeps the entries of many clusters, each cluster's in order, the definitions of the providers that they run on, and what is
/// known of the libraries that those are made of.
///
/// Once a future has resolved without an error, what it wrote outlives this process and the machine's power. Where it fails
/// nothing of it counts for this process; after a failure of the disk a later host may find it nevertheless, so that what
/// is written must be an intent that a host can come back to. A future that is dropped may or may not have had its effect.
pub trait Journal: Send + Sync + 'static {
    /// The definitions of all providers, by name.
    fn providers(&self) -> Journaling<'_, Vec<(String, serde_json::Value)>>;

    /// Keeps a provider's definition in the place of the one before, or forgets it.
    fn define_provider<'a>(
        &'a self,
        name: &'a str,
        definition: Option<serde_json::Value>,
    ) -> Journaling<'a, ()>;

    /// What is known of libraries, by the SHA-256 of their bytes in hexadecimal.
    fn libraries(&self) -> Journaling<'_, Vec<(String, serde_json::Value)>>;

    /// Keeps what is known of a library in the place of what was known before, or forgets it. At most
    /// [`LIBRARIES_LIMIT`](crate::LIBRARIES_LIMIT) are kept, of [`LIBRARY_BYTES`](crate::LIBRARY_BYTES) each; one more is refused.
    fn define_library<'a>(&'a self, hash: &'a str, document: Option<serde_json::Value>)
    -> Journaling<'a, ()>;

    /// The names of all clusters that have entries, in order.
    fn clusters(&self) -> Journaling<'_, Vec<String>>;

    /// Takes the right to write a cluster, which ends everybody else's, and tells what is there. That of a cluster without
    /// entries is good for its first.
    fn claim<'a>(&'a self, cluster: &'a str) -> Journaling<'a, Claimed>;

    /// Adds entries to a cluster's journal: all, or none.
    fn append<'a>(&'a self, lease: &'a Lease, entries: Vec<Entry>) -> Journaling<'a, Appended>;

    /// Lets a snapshot stand for all entries that were appended so far. The latest of them stay for the history, up to a
    /// limit; older ones are dropped.
    fn compact<'a>(&'a self, lease: &'a Lease, snapshot: Snapshot) -> Journaling<'a, ()>;

    /// At most `limit` entries of a cluster's history before a number, or its latest; the oldest of them first.
    fn history<'a>(
        &'a self,
        cluster: &'a str,
        before: Option<u64>,
        limit: usize,
    ) -> Journaling<'a, Vec<Numbered>>;

    /// Forgets a cluster, its history as well.
    fn remove<'a>(&'a self, lease: &'a Lease) -> Journaling<'a, ()>;
}
