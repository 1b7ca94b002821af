//! End to end: the real command, real plugins, real processes.

mod bad_input;
mod bad_plugins;
mod bad_providers;
mod damage;
mod discovery;
mod lifecycle;
mod metrics;
mod moves;
mod outside;
mod processes;
mod recovery;
mod servers;
mod swap;
