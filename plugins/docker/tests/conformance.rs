//! Holds the provider to the contract, a test a check; `quirks.toml` beside `Cargo.toml` says how.

longshore_conformance::main!();
