//! Benchmarks, each against a peer or a stated aim: what several of them need.

mod cluster;
mod heap;
mod runs;

pub use cluster::{Cluster, name_of};
pub use heap::Heap;
pub use runs::{Millis, Runs};
