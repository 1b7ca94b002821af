//! Finds, checks, loads and calls provider plugins.
