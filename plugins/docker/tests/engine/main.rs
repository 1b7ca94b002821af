//! The provider on real engines: what it makes there, what it leaves, and what it says when an engine misbehaves.

mod faults;
mod gate;
mod kill;
mod launch;
mod networks;
mod podman;
mod pull;
mod remains;
mod server;
mod support;
mod tls;
