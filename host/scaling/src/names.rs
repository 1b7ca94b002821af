//! Which handle has a name: a table of numbers, each with a part of its name's hash. The names themselves stay with their
//! handles, so that nothing is kept twice. Nothing walks over the table: what order it has never shows.

use std::hash::{DefaultHasher, Hash, Hasher};

use hashbrown::{HashTable, hash_table::Entry};

use crate::ids::HandleId;

/// A table that is filled by less than one part in so many is made smaller.
const SPARSE: usize = 8;
/// A table with room for no more than this is not made smaller.
const SMALL: usize = 64;

/// Handles by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    table: HashTable<Named>,
}

/// In twelve bytes rather than sixteen: a number and a half of its name's hash, with which the table can grow without a look
/// at the names, and most names that are others are told apart.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Named {
    hash: u32,
    id: [u32; 2],
}

impl Named {
    fn new(hash: u32, HandleId(id): HandleId) -> Self {
        Self { hash, id: [(id >> 32) as u32, id as u32] }
    }

    fn id(self) -> HandleId {
        let [high, low] = self.id;
        HandleId(u64::from(high) << 32 | u64::from(low))
    }
}

impl Names {
    /// How many names it has room for.
    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.table.capacity()
    }

    /// Makes room for so many more at once.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.table.reserve(more, |named| spread(named.hash));
    }

    /// The handle of this name; `has` tells whether a handle has it.
    pub(crate) fn find(&self, name: &str, has: impl Fn(HandleId) -> bool) -> Option<HandleId> {
        let hash = hash(name);
        let found = self.table.find(spread(hash), |named| named.hash == hash && has(named.id()));
        found.map(|named| named.id())
    }

    /// Gives a name to a handle, unless another one has it; whether it did.
    pub(crate) fn insert(&mut self, name: &str, id: HandleId, has: impl Fn(HandleId) -> bool) -> bool {
        let hash = hash(name);
        let same = |named: &Named| named.hash == hash && has(named.id());
        match self.table.entry(spread(hash), same, |named| spread(named.hash)) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(Named::new(hash, id));
                true
            }
        }
    }

    /// Forgets the name of a handle.
    pub(crate) fn remove(&mut self, name: &str, id: HandleId) {
        let hash = hash(name);
        if let Ok(found) = self.table.find_entry(spread(hash), |named| *named == Named::new(hash, id)) {
            found.remove();
        }
        let (len, room) = (self.table.len(), self.table.capacity());
        if room > SMALL && len < room / SPARSE {
            self.table.shrink_to(len * 2, |named| spread(named.hash));
        }
    }
}

/// Half of a name's hash. It is the same in every run and is written nowhere.
pub(crate) fn hash(name: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish() as u32
}

/// The table wants its hash's highest bits to tell names apart as well as its lowest: so it is multiplied by an odd number
/// near 2⁶⁴ divided by the golden ratio (D. Knuth, *The Art of Computer Programming*, volume 3, 6.4).
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
