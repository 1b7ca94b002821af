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
