//! Providers that each break one clause of the contract, for the tests of whoever must catch them.
//!
//! This library breaks what its configuration says, function by function (see [`settings::Settings`]), and is honest
//! otherwise. Libraries that are wrong before anything can be created are in `examples/`, one file each.

mod mutant;
mod raw;
pub mod settings;
#[cfg(test)]
mod tests;
