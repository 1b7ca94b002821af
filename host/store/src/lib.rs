//! The journal: where a cluster's records are kept.
