//! The numbers by which a cluster's handles and launches are known.

use serde::{Deserialize, Serialize};

/// A handle's number in its cluster. Numbers grow with time and are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HandleId(pub u64);

/// A launch's number in its cluster, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LaunchId(pub u64);

impl LaunchId {
    /// The token of the launch, in the cluster of that number: what the provider tags its workers with.
    pub fn token(self, uid: u64) -> String {
        format!("{uid:016x}-{:x}", self.0)
    }
}

/// Which of the providers that a cluster has had, one after the other: the first is 0. A cluster has one, and two while it
/// moves. Numbers are never used again, but for the way back to the provider that is being left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Side(pub u32);

impl Side {
    /// Whether it is the first one, which goes without saying: a journal of many handles has no word of it.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands in a reference")]
    pub(crate) fn is_first(&self) -> bool {
        self.0 == 0
    }
}
