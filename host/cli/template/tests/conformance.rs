//! Holds the provider to Longshore's contract: one test a check, tried as `quirks.toml` says.

longshore_conformance::main!();
