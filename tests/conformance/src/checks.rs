//! The checks themselves, by family. What each is for stands in the table of `check.rs`.

pub(crate) mod cleanup;
pub(crate) mod concurrency;
pub(crate) mod hygiene;
pub(crate) mod initialize;
pub(crate) mod kill;
pub(crate) mod list;
pub(crate) mod load;
pub(crate) mod model;
pub(crate) mod predicates;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod status;
pub(crate) mod watched;
