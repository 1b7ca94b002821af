//! Everything that the author of a Longshore provider needs, and nothing else.
//!
//! A provider starts container workers somewhere, tells how they are, and kills them. Write a type, implement
//! [`Provider`] for it, and end the file with one [`export_provider!`] line; `crate-type = ["cdylib"]` makes the library
//! that a host loads. What a host may expect of it is numbered, clause by clause, in `CONTRACT.md` beside this crate;
//! `README.md` there leads from nothing to a provider that a host uses, and `longshore plugin new NAME` makes a crate to begin
//! with.
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::{Mutex, PoisonError};
//! use longshore_plugin_api::{export_provider, schemars::JsonSchema, serde::Deserialize};
//! use longshore_plugin_api::{Context, Error, Killed, Launch, Log, Provider, RunRequest, WorkerStatus};
//!
//! /// Workers that are entries in a map.
//! #[derive(Default)]
//! struct Memory {
//!     workers: Mutex<HashMap<String, WorkerStatus>>,
//! }
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(crate = "longshore_plugin_api::serde", deny_unknown_fields)]
//! #[schemars(crate = "longshore_plugin_api::schemars")]
//! struct Settings {}
//!
//! impl Provider for Memory {
//!     const NAME: &'static str = "tiny";
//!     type Config = Settings;
//!
//!     fn create(_settings: Settings, _log: Log) -> Result<Self, Error> {
//!         Ok(Self::default())
//!     }
//!
//!     fn run(&self, _ctx: &Context<'_>, request: &RunRequest) -> Result<Launch, Error> {
//!         let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
//!         let handles: Vec<_> = (0..request.workers).map(|i| format!("{}-{i}", request.token)).collect();
//!         workers.extend(handles.iter().map(|handle| (handle.clone(), WorkerStatus::Running)));
//!         Ok(Launch::complete(handles))
//!     }
//!
//!     fn status(&self, _ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<WorkerStatus>, Error> {
//!         let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
//!         Ok(handles.iter().map(|h| workers.get(*h).copied().unwrap_or(WorkerStatus::Stopped)).collect())
//!     }
//!
//!     fn kill(&self, _ctx: &Context<'_>, handles: &[&str]) -> Result<Vec<Killed>, Error> {
//!         let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
//!         Ok(handles.iter().map(|h| { workers.remove(*h); Killed::Yes }).collect())
//!     }
//! }
//!
//! export_provider!(Memory);
//! # fn main() {}
//! ```
//!
//! # Capabilities
//!
//! What is optional is a trait of its own: [`Initialize`], [`List`], [`Server`], [`Cleanup`]. Implement one and name it in
//! the export line: `export_provider!(Memory, capabilities = [List])`. A provider with [`List`] can be trusted with more:
//! only by listing can a host learn what became of a launch whose reply was lost.
//!
//! # Logging
//!
//! Use the `tracing` macros inside a call: their events end up in the host's log, under the provider's name and the
//! cluster's. A thread of the provider's own takes [`Log::scope`] first.
//!
//! # Panics
//!
//! A panic in any function of a provider becomes an error of that call, with its place, and the instance is used on. So
//! take a poisoned lock for what it is, as the example does, rather than panic again in every call after the first.

/// The guide's own code.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Guide;

mod capabilities;
mod clauses;
mod contain;
mod context;
mod error;
mod export;
mod log;
mod metadata;
mod model;
mod provider;
pub mod testing;

pub use capabilities::{Cleanup, Initialize, List, Server};
pub use clauses::{Clause, Level};
pub use context::Context;
pub use error::{Error, ErrorKind, Result};
pub use log::Log;
pub use metadata::{Metadata, PanicStrategy};
pub use model::{
    Container, Hardware, Killed, Launch, LaunchToken, ListedHandle, MAX_WORKERS_ON_A_HANDLE, RunRequest,
    ServerAddress, ServerRequest, Shortfall, WorkerStatus,
};
pub use provider::Provider;
pub use {schemars, serde, tracing};

/// What [`export_provider!`] expands to; not for direct use.
#[doc(hidden)]
pub mod __private {
    pub use crate::export::{Capability, Export, LibHeader, Package, capability, header, root_module};
    pub use longshore_plugin_abi::ids;
}
