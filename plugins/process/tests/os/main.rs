//! The provider against the real operating system. Every test has a state folder of its own, marks its workers in their
//! environment, and fails when one of them is left at its end.

mod crash;
mod kill;
mod launch;
mod server;
mod stress;
mod support;
mod upkeep;
mod worker;
