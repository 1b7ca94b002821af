//! What a plugin says of itself before anything is created.

use serde::{Deserialize, Serialize};

/// How a plugin was built to panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PanicStrategy {
    /// A panic unwinds and is contained in the plugin.
    Unwind,
    /// A panic ends the whole process: a host refuses such a plugin in its own process.
    Abort,
}

/// A plugin's metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// The provider's short name: `process`, `docker`.
    pub name: String,
    /// The plugin's version, by the rules of semantic versioning.
    pub version: String,
    /// One line on what it is.
    pub description: String,
    /// The version of the contract that it was built for.
    pub contract: u32,
    /// The version of this crate that it was built with.
    pub api_version: String,
    /// How it was built to panic.
    pub panic: PanicStrategy,
    /// The ids of the interfaces that it has.
    pub interfaces: Vec<String>,
    /// Whether `run` with the same token again returns the first launch's handles and launches nothing more.
    pub idempotent_run: bool,
    /// The JSON Schema of its configuration.
    pub config_schema: serde_json::Value,
}

impl Metadata {
    /// Whether the plugin has an interface.
    pub fn has(&self, id: &str) -> bool {
        self.interfaces.iter().any(|known| known == id)
    }
}
