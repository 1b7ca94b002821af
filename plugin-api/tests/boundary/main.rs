//! A provider, called through the tables that it exports, as a host calls it.
#![expect(unsafe_code, reason = "the tests stand on the host's side of the boundary")]

mod calls;
mod documents;
mod exported;
mod host;
mod logging;
mod panics;
mod probe;

longshore_plugin_api::export_provider!(probe::Probe, capabilities = [Initialize, List, Server, Cleanup]);
