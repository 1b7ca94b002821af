//! What an operator writes: providers and clusters, as a TOML file and as the JSON that crosses the host's socket.
//!
//! A [`Config`] is the normalised form of both. All that is wrong with one is found from its text alone, and told with the
//! file, the line, the key and what to write instead. Nothing here starts, asks or changes anything.

mod config;
mod error;

pub use config::{ClusterConfig, Config, Deadlines, ProviderConfig};
pub use error::{ConfigError, FAULTS_LIMIT, Fault, Faults};
