//! The host's HTTP interface over a Unix socket: the wire types, the routes, the socket itself and a typed client.
//!
//! It decides nothing: a request becomes a call of [`longshore_runtime::Host`], and what the host says becomes JSON, or figures
//! for Prometheus. The routes and the documents are described in [`wire`].

#[cfg(unix)]
mod backend;
mod client;
mod extract;
mod metrics;
mod plugins;
mod problem;
mod recovery;
mod routes;
#[cfg(unix)]
mod server;
#[cfg(unix)]
pub mod socket;
mod swap;
pub mod wire;

#[cfg(unix)]
pub use client::{Client, ClientError};
pub use problem::{Problem, ProblemKind, full};
pub use routes::apply_config;
#[cfg(unix)]
pub use server::{CONNECTIONS, GRACE, serve, serve_metrics};
#[cfg(unix)]
pub use socket::{Socket, SocketError};
