//! A plugin with nothing optional, and nothing wrong.

#[path = "shared/bare.rs"]
mod bare;

longshore_plugin_api::export_provider!(bare::Bare);
