//! An ordered map whose entries lie close together: at most [`RUN`] to a run of memory, the runs in a B-tree by their first
//! key. Where keys only grow, as numbers and times do, runs are full; where entries go, thin neighbours become one. So it
//! takes hardly more memory than its entries, however they came and went, at the price of moving up to a run's entries for
//! each that goes. The B-tree of the standard library leaves half of each node empty when keys only grow.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    ops::Bound,
};

/// The most entries of one run. More take a little less memory and a little longer to move.
const RUN: usize = 64;
/// Neighbours that together have no more than this become one run. Less than [`RUN`], so that an entry that comes right
/// after does not split it again.
const JOINED: usize = RUN * 3 / 4;
/// A run begins with room for so many: most clusters are small.
const FIRST: usize = 4;

/// Entries by their keys, in the keys' order. With `V = ()` it is a set.
#[derive(Clone)]
pub(crate) struct Ordered<K, V> {
    /// By a key that no entry of the run is below, and that all entries of earlier runs are. None is empty.
    runs: BTreeMap<K, Run<K, V>>,
    len: usize,
}

/// Some neighbours, in order: the values beside their keys.
#[derive(Clone)]
struct Run<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Self { runs: BTreeMap::new(), len: 0 }
    }
}

impl<K: Copy + Ord, V> Ordered<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        let (_, run) = self.runs.range(..=key).next_back()?;
        run.values.get(run.keys.binary_search(&key).ok()?)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let (_, run) = self.runs.range_mut(..=key).next_back()?;
        run.values.get_mut(run.keys.binary_search(&key).ok()?)
    }

    /// All entries, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.runs.values().flat_map(|run| run.keys.iter().copied().zip(&run.values))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = K> {
        self.runs.values().flat_map(|run| run.keys.iter().copied())
    }

    /// Adds an entry, unless there is one of that key; whether it did.
    pub(crate) fn insert(&mut self, key: K, value: V) -> bool {
        let in_last = self.runs.last_key_value().is_some_and(|(&last, _)| last <= key);
        let Some((_, run)) = self.runs.range_mut(..=key).next_back() else {
            return self.insert_first(key, value);
        };
        let Err(place) = run.keys.binary_search(&key) else { return false };
        self.len += 1;
        if run.keys.len() < RUN {
            run.insert(place, key, value);
            return true;
        }
        if in_last && place == RUN {
            // Whatever comes will come after this one: the run stays full.
            self.runs.insert(key, Run::of(key, value));
            return true;
        }
        let mut upper = run.split();
        if place <= run.keys.len() {
            run.insert(place, key, value);
        } else {
            upper.insert(place - run.keys.len(), key, value);
        }
        self.runs.insert(upper.keys[0], upper);
        true
    }

    /// Adds an entry below all others.
    fn insert_first(&mut self, key: K, value: V) -> bool {
        self.len += 1;
        let run = match self.runs.first_entry() {
            Some(first) if first.get().keys.len() < RUN => {
                let mut run = first.remove();
                run.insert(0, key, value);
                run
            }
            _ => Run::of(key, value),
        };
        self.runs.insert(key, run);
        true
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let (&start, run) = self.runs.range_mut(..=key).next_back()?;
        let value = run.remove(run.keys.binary_search(&key).ok()?);
        self.len -= 1;
        if run.keys.is_empty() {
            self.runs.remove(&start);
        } else if run.keys.len() <= RUN / 2 {
            run.shrink();
            self.join(start);
        }
        Some(value)
    }

    /// Makes one of a thin run and its neighbour, where the two have room in one.
    fn join(&mut self, start: K) {
        let len = |(&start, run): (&K, &Run<K, V>)| (start, run.keys.len());
        let Some((_, here)) = self.runs.get_key_value(&start).map(len) else { return };
        let fits = |(_, there): &(K, usize)| here + there <= JOINED;
        let later = self.runs.range((Bound::Excluded(start), Bound::Unbounded)).next().map(len).filter(fits);
        let earlier = || self.runs.range(..start).next_back().map(len).filter(fits);
        let (first, second) = match later {
            Some((later, _)) => (start, later),
            None => match earlier() {
                Some((earlier, _)) => (earlier, start),
                None => return,
            },
        };
        if let Some(second) = self.runs.remove(&second)
            && let Entry::Occupied(mut first) = self.runs.entry(first)
        {
            first.get_mut().extend(second);
        }
    }
}

impl<K: Copy, V> Run<K, V> {
    fn of(key: K, value: V) -> Self {
        let mut run = Self { keys: Vec::new(), values: Vec::new() };
        run.insert(0, key, value);
        run
    }

    fn insert(&mut self, place: usize, key: K, value: V) {
        // Twice the room, as a `Vec` makes it, but never beyond the run's end.
        if self.keys.len() == self.keys.capacity() {
            let more = self.keys.len().max(FIRST).min(RUN - self.keys.len());
            self.keys.reserve_exact(more);
            self.values.reserve_exact(more);
        }
        self.keys.insert(place, key);
        self.values.insert(place, value);
    }

    fn remove(&mut self, place: usize) -> V {
        self.keys.remove(place);
        self.values.remove(place)
    }

    fn split(&mut self) -> Self {
        let half = self.keys.len() / 2;
        let upper = Self { keys: self.keys.split_off(half), values: self.values.split_off(half) };
        self.shrink();
        upper
    }

    fn extend(&mut self, other: Self) {
        self.keys.reserve_exact(other.keys.len());
        self.values.reserve_exact(other.values.len());
        self.keys.extend(other.keys);
        self.values.extend(other.values);
    }

    /// Gives room back once most of it is unused.
    fn shrink(&mut self) {
        let room = (self.keys.len() * 5 / 4).max(FIRST);
        if self.keys.capacity() > 2 * self.keys.len().max(FIRST) {
            self.keys.shrink_to(room);
            self.values.shrink_to(room);
        }
    }
}

impl<K: Copy + Ord, V: PartialEq> PartialEq for Ordered<K, V> {
    /// Whether the entries are the same, however they are cut into runs.
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Copy + Ord + Eq, V: Eq> Eq for Ordered<K, V> {}

impl<K: Copy + Ord + fmt::Debug, V: fmt::Debug> fmt::Debug for Ordered<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
