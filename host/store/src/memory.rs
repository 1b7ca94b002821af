//! A journal in memory: for a host that may forget, and for tests. It ends with its process, and keeps the latest entries
//! of a cluster only, so that it is bounded.

use std::{
    collections::{BTreeMap, VecDeque},
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{Entry, Journal, Journaling};

/// How many entries of one cluster are kept; older ones are dropped.
pub const KEPT_ENTRIES: usize = 10_000;

/// Entries in memory, the latest [`KEPT_ENTRIES`] of each cluster.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    clusters: Mutex<BTreeMap<String, VecDeque<Entry>>>,
}

impl MemoryJournal {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, VecDeque<Entry>>> {
        // A panic while it was held cannot have left the map half changed in a way that matters.
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    fn append<'a>(&'a self, cluster: &'a str, entries: Vec<Entry>) -> Journaling<'a, ()> {
        let mut clusters = self.lock();
        let kept = clusters.entry(cluster.to_owned()).or_default();
        kept.extend(entries);
        let surplus = kept.len().saturating_sub(KEPT_ENTRIES);
        kept.drain(..surplus);
        Box::pin(ready(Ok(())))
    }

    fn read<'a>(&'a self, cluster: &'a str) -> Journaling<'a, Vec<Entry>> {
        let entries = self.lock().get(cluster).map(|kept| kept.iter().cloned().collect());
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
    use longshore_scaling::{Change, Time};

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
}
