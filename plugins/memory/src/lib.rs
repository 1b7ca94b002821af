//! A provider whose workers exist in memory alone, for tests and benchmarks.
