//! The rules of the house, as tests. A rule is a function from what it looks at to its breaches, each a line that says where
//! and what to do; each has a bad sample beside it that it must catch. `tests/house.rs` holds the house to all of them.

pub mod contract;
pub mod dependencies;
pub mod house;
pub mod layout;
pub mod manifests;
pub mod prose;
pub mod purity;
pub mod source;
pub mod unsafety;

pub use house::{House, TextFile};

/// What breaks a rule: one line each; none when the rule is kept.
pub type Breaches = Vec<String>;
