//! The description in its normalised form: every default filled in, every relative path made absolute.
//!
//! A document that a newer or an older version wrote is read as well: what it lacks has its default, and what it has beyond
//! is ignored.

use std::{path::PathBuf, time::Duration};

use longshore_plugin_api::{Container, Hardware};
use longshore_scaling::Policy;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    isolation::{Confinement, Isolation, Trust},
    server::ServerConfig,
};

/// All that a configuration file says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The providers, in the file's order. Their names differ.
    pub providers: Vec<ProviderConfig>,
    /// The clusters, in the file's order. Their names differ, and each one's provider is among the providers.
    pub clusters: Vec<ClusterConfig>,
}

/// A provider: an instance of a plugin, with a configuration of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProviderConfig {
    /// What clusters call it.
    pub name: String,
    /// The plugin's name, looked for in the plugin folders, or the absolute path of its file.
    pub plugin: String,
    /// The provider's own configuration: an object, as the plugin's schema demands it.
    #[serde(default = "empty_object")]
    pub config: Value,
    /// The most threads that call it at once; `None` leaves it to the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// How long the plugin may take to make it; `None` leaves it to the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_timeout: Option<Duration>,
    /// How long a call may still be inside the plugin after its deadline before the runner is ended, where it runs in one; `None`
    /// leaves it to the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hang_grace: Option<Duration>,
    /// Where its code runs; `None` leaves it to the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// What its library must be.
    #[serde(default, skip_serializing_if = "is_default")]
    pub trust: Trust,
    /// What its runner may not do, where it runs in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confine: Option<Confinement>,
    /// A folder that is watched for newer versions of its plugin, which it is then swapped to: an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<PathBuf>,
}

/// A cluster: a set of workers with one provider, container, hardware and expected number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterConfig {
    /// Its name.
    pub name: String,
    /// The name of its provider.
    pub provider: String,
    /// How many workers are expected.
    pub workers: u32,
    /// How it is scaled.
    #[serde(default)]
    pub policy: Policy,
    /// What its workers run.
    #[serde(default)]
    pub container: Container,
    /// What one worker needs of the machine below it.
    #[serde(default)]
    pub hardware: Hardware,
    /// The server that its workers report to; `None` where they need none, or find it by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerConfig>,
    /// How long the calls of its provider may take.
    #[serde(default)]
    pub deadlines: Deadlines,
    /// How much its provider says in the log: 0 for little, 1 as usual, 2 and up for ever more.
    #[serde(default = "usual_verbosity")]
    pub verbose: u8,
    /// Whether it starts out stopped: it is made and remembered, and has no workers until it is started.
    #[serde(default)]
    pub stopped: bool,
    /// Whether its workers, and its server, stop when the host ends; `None` leaves it to how the host was begun: `longshore
    /// up` stops them, `longshore serve` does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_on_exit: Option<bool>,
}

/// How long each function of a provider may take. A call that takes longer is given up: what it did is then not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deadlines {
    /// To launch workers: 5 minutes unless said otherwise.
    pub run: Duration,
    /// To tell statuses, also by the predicates: 30 seconds.
    pub status: Duration,
    /// To kill workers: 1 minute.
    pub kill: Duration,
    /// To name all workers: 1 minute.
    pub list: Duration,
    /// To prepare for the cluster: 5 minutes.
    pub initialize: Duration,
    /// To remove what the cluster left behind: 5 minutes.
    pub cleanup: Duration,
    /// To start the cluster's server, and to stop it: 2 minutes. Asking how and where it is counts as a status.
    pub server: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            run: Duration::from_mins(5),
            status: Duration::from_secs(30),
            kill: Duration::from_mins(1),
            list: Duration::from_mins(1),
            initialize: Duration::from_mins(5),
            cleanup: Duration::from_mins(5),
            server: Duration::from_mins(2),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn empty_object() -> Value {
    Value::Object(Map::new())
}

fn usual_verbosity() -> u8 {
    1
}
