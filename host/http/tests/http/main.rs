//! The routes, the client and the server together, with a host and the memory plugin in this process.

mod backend;
mod client;
mod errors;
mod house;
mod metrics;
mod news;
mod plugins;
mod quarantine;
mod recovery;
mod routes;
mod swap;
