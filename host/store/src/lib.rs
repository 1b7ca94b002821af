//! The journal: where a cluster's records are kept, so that what was decided outlives the decision's host.
//!
//! A host writes an intent here before it acts on it. What "kept" means is up to the implementation: [`MemoryJournal`]
//! keeps records for as long as the process lives, and says so.

mod memory;

use std::{future::Future, pin::Pin};

use longshore_scaling::Record;
use serde::{Deserialize, Serialize};

pub use memory::{KEPT_ENTRIES, KEPT_HANDLES, MemoryJournal};

/// One entry of a cluster's journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// What the cluster is, beyond what the core knows of it: a document of the shell's.
    Defined(serde_json::Value),
    /// Something happened to it.
    Happened(Record),
}

/// A journal could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal of cluster {cluster} cannot be {action}: {reason}")]
pub struct JournalError {
    /// Whose journal.
    pub cluster: String,
    /// `written`, `read` or `removed`.
    pub action: &'static str,
    /// Why, and what to do.
    pub reason: String,
}

/// The future of a journal's function.
pub type Journaling<'a, T> = Pin<Box<dyn Future<Output = Result<T, JournalError>> + Send + 'a>>;

/// Keeps the entries of many clusters, each cluster's in order.
pub trait Journal: Send + Sync + 'static {
    /// Adds entries to a cluster's journal. Once the future has resolved they are as safe as this journal makes them;
    /// where it fails, none of them is in the journal.
    fn append<'a>(&'a self, cluster: &'a str, entries: Vec<Entry>) -> Journaling<'a, ()>;

    /// A cluster's entries, oldest first; none where there is no such cluster.
    fn read<'a>(&'a self, cluster: &'a str) -> Journaling<'a, Vec<Entry>>;

    /// The names of all clusters that have entries, in order.
    fn clusters(&self) -> Journaling<'_, Vec<String>>;

    /// Forgets a cluster.
    fn remove<'a>(&'a self, cluster: &'a str) -> Journaling<'a, ()>;
}
