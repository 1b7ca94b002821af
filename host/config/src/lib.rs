//! What an operator writes: providers and clusters, as a TOML file and as the JSON that crosses the host's socket.
//!
//! A [`Config`] is the normalised form of both; [`keys`] says what the file may hold. All that is wrong is found from the
//! text alone, and told with the file, the line, the key and what to write instead. Nothing here starts, asks or changes
//! anything.
//!
//! ```
//! use std::path::Path;
//! use longshore_config::Config;
//!
//! let text = r#"
//! [[provider]]
//! name = "process"
//!
//! [[cluster]]
//! name = "web"
//! provider = "process"
//! wrokers = 3
//! "#;
//! let error = Config::parse(text, Path::new("longshore.toml")).expect_err("a slip");
//! assert_eq!(
//!     error.to_string(),
//!     "longshore.toml: unknown key `wrokers` in [[cluster]] \"web\", line 8; did you mean `workers`?"
//! );
//! ```

mod check;
mod config;
mod error;
mod file;
mod isolation;
pub mod keys;
mod notes;
mod secret;
mod section;
mod server;
mod spot;
mod variables;
mod wire;

pub use check::{NAME_LIMIT, PATHS_LIMIT, SIGNERS_LIMIT, THREADS_LIMIT, is_name};
pub use config::{ClusterConfig, Config, Deadlines, ProviderConfig};
pub use error::{ConfigError, FAULTS_LIMIT, Fault, Faults};
pub use file::FILE_LIMIT;
pub use isolation::{Confinement, Guard, Isolation, Trust};
pub use secret::{HIDDEN, Secret, cut, cut_off};
pub use server::{PASSWORD_LIMIT, Probe, ServerConfig, ServerSource, redact_definition};
pub use variables::{FillError, ServerValues, VARIABLES_LIMIT, Values, Variable, fill, uses};
