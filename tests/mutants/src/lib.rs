//! Providers that each break one clause of the contract, for the tests of whoever must catch them.
//!
//! The code is here; the libraries are the examples of this crate, `examples/*.rs`, since cargo makes several libraries of
//! one crate in that way alone. `mutant` breaks what its configuration says, function by function (see
//! [`settings::Settings`]), and is honest otherwise. Libraries that are wrong before anything can be created have a file
//! each.

mod faulty;
mod mutant;
mod raw;
pub mod settings;
#[cfg(test)]
mod tests;

pub use faulty::mutant;
pub use longshore_plugin_abi::abi_stable::library::LibHeader;
