//! Providers that each break one clause of the contract, for the tests of whoever must catch them.
//!
//! The code is here; the libraries are the examples of this crate, `examples/*.rs`, since cargo makes several libraries of
//! one crate in that way alone. `mutant` breaks what its configuration says, function by function (see
//! [`settings::Settings`]), and is honest otherwise. `specimen` keeps the whole contract, but for the one clause that the
//! [`Mutation`] in its configuration breaks, or it crashes,
//! takes from everybody what all need, or answers nonsense ([`Crash`]). Libraries that are wrong before anything can be
//! created have a file each.
//! [`catalogue`] has them all, with the clause that each breaks.

pub mod catalogue;
mod crash;
mod faulty;
mod greed;
mod load;
mod mutant;
mod mutated;
mod mutation;
mod raw;
pub mod settings;
mod specimen;
mod spoilt;
#[cfg(test)]
mod tests;

pub use crash::{Crash, How};
pub use faulty::mutant;
pub use load::{LoadMutation, Place, VARIABLE, constructor, spoilt_load};
pub use longshore_plugin_abi::abi_stable::library::LibHeader;
pub use mutation::Mutation;
pub use specimen::Config;
pub use spoilt::specimen;
