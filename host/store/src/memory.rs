//! A journal in memory: for a host that may forget, and for tests. It ends with its process, and keeps the latest entries
//! of a cluster only, so that it is bounded: what it kept can be read, but not always be replayed.

use std::{
    collections::{BTreeMap, VecDeque},
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{Entry, Journal, Journaling};

/// How many entries of one cluster are kept; older ones are dropped.
pub const KEPT_ENTRIES: usize = 10_000;
/// How many handles the kept entries of one cluster may name, all together; older entries are dropped.
pub const KEPT_HANDLES: usize = 1_000_000;

/// Entries in memory, the latest [`KEPT_ENTRIES`] of each cluster.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    clusters: Mutex<BTreeMap<String, Kept>>,
}

/// The entries of one cluster, oldest first.
#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Entry>,
    /// How many handles they name.
    handles: usize,
}

impl Kept {
    fn add(&mut self, entry: Entry) {
        self.handles += handles(&entry);
        self.entries.push_back(entry);
        // The latest is kept however large it is.
        while self.entries.len() > 1 && (self.entries.len() > KEPT_ENTRIES || self.handles > KEPT_HANDLES) {
            let oldest = self.entries.pop_front();
            self.handles -= oldest.as_ref().map_or(0, handles);
        }
    }
}

fn handles(entry: &Entry) -> usize {
    match entry {
        Entry::Happened(record) => record.change.handles(),
        Entry::Defined(_) => 0,
    }
}

impl MemoryJournal {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        // A panic while it was held cannot have left the map half changed in a way that matters.
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    fn append<'a>(&'a self, cluster: &'a str, entries: Vec<Entry>) -> Journaling<'a, ()> {
        let mut clusters = self.lock();
        let kept = clusters.entry(cluster.to_owned()).or_default();
        for entry in entries {
            kept.add(entry);
        }
        Box::pin(ready(Ok(())))
    }

    fn read<'a>(&'a self, cluster: &'a str) -> Journaling<'a, Vec<Entry>> {
        let entries = self.lock().get(cluster).map(|kept| kept.entries.iter().cloned().collect());
        Box::pin(ready(Ok(entries.unwrap_or_default())))
    }

    fn clusters(&self) -> Journaling<'_, Vec<String>> {
        let names = self.lock().keys().cloned().collect();
        Box::pin(ready(Ok(names)))
    }

    fn remove<'a>(&'a self, cluster: &'a str) -> Journaling<'a, ()> {
        self.lock().remove(cluster);
        Box::pin(ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_scaling::{Change, HandleId, Time};

    fn entry(expected: u32) -> Entry {
        Entry::Happened(Change::Scaled { expected }.at(Time::default()))
    }

    #[tokio::test]
    async fn clusters_are_kept_apart_and_in_order() {
        let journal = MemoryJournal::default();
        journal.append("a", vec![entry(1), entry(2)]).await.expect("memory");
        journal.append("b", vec![entry(9)]).await.expect("memory");
        journal.append("a", vec![entry(3)]).await.expect("memory");
        assert_eq!(journal.read("a").await.expect("memory"), [entry(1), entry(2), entry(3)]);
        assert_eq!(journal.clusters().await.expect("memory"), ["a", "b"]);
        journal.remove("a").await.expect("memory");
        assert_eq!(journal.read("a").await.expect("memory"), []);
    }

    #[tokio::test]
    async fn the_oldest_are_dropped_beyond_the_limit() {
        let journal = MemoryJournal::default();
        let all = (0..KEPT_ENTRIES as u32 + 5).map(entry);
        journal.append("a", all.collect()).await.expect("memory");
        let kept = journal.read("a").await.expect("memory");
        assert_eq!((kept.len(), &kept[0]), (KEPT_ENTRIES, &entry(5)));
    }

    #[tokio::test]
    async fn entries_that_name_many_handles_push_out_others() {
        let journal = MemoryJournal::default();
        let many = || {
            let handles = (0..KEPT_HANDLES as u64 * 2 / 3).map(HandleId).collect();
            Entry::Happened(Change::KillAnswered { handles }.at(Time::default()))
        };
        journal.append("a", vec![entry(1), many(), entry(2)]).await.expect("memory");
        assert_eq!(journal.read("a").await.expect("memory").len(), 3);
        journal.append("a", vec![many()]).await.expect("memory");
        let kept = journal.read("a").await.expect("memory");
        assert_eq!((kept.len(), &kept[0]), (2, &entry(2)));
    }
}
