//! Benchmarks, each against a peer or a stated aim.
