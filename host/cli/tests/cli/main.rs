//! The real `longshore` command, with the memory plugin: its exit codes, its documents, its manners.

mod authoring;
mod codes;
mod conformance;
mod documents;
mod house;
mod living;
mod manners;
mod servers;
mod shelf;
mod states;
mod swaps;
