//! The words that a host and a provider share: containers, hardware, workers, handles. Plain data; every document that
//! crosses the boundary ignores fields that it does not know, so that either side may be the newer one.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most workers that one container may hold, and so the most that one handle stands for.
pub const MAX_WORKERS_ON_A_HANDLE: u32 = 10_000;

/// How a worker is. There is no way back: a worker that has stopped never runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkerStatus {
    /// Asked for, not yet at work.
    Initializing,
    /// At work.
    Running,
    /// Gone for good. Also the status of a handle that the provider has never heard of.
    Stopped,
}

impl fmt::Display for WorkerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Initializing => "initializing",
            Self::Running => "running",
            Self::Stopped => "stopped",
        })
    }
}

/// What runs in a worker's container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Container {
    /// The image, for providers that have such a thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The program to run; `None` leaves it to the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The program's arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Variables for the program's environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The folder that the program starts in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// The most workers that one container may hold, 1 to [`MAX_WORKERS_ON_A_HANDLE`]; `None` is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_workers: Option<u32>,
}

impl Container {
    /// The most workers that one container may hold: at least 1.
    pub fn max_workers(&self) -> u32 {
        self.max_workers.unwrap_or(1).max(1)
    }
}

/// What one worker needs of the machine below it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Hardware {
    /// Cores; 0.5 is half of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// A name that means something to the provider alone: a machine type, a partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Names one launch, for ever. A provider tags what it creates with the token, and never launches one token twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct LaunchToken(String);

impl LaunchToken {
    /// Wraps a token's text: letters, digits and `-`, at most 64 characters, as the host makes them.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The token's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LaunchToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A request for workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// What to run.
    pub container: Container,
    /// On what.
    pub hardware: Hardware,
    /// How many workers: not containers.
    pub workers: u32,
    /// The launch's token.
    pub token: LaunchToken,
}

impl RunRequest {
    /// Splits the workers over containers: full ones first, the rest in a last one that may hold fewer.
    pub fn containers(&self) -> impl Iterator<Item = u32> + use<> {
        let (each, total) = (self.container.max_workers(), self.workers);
        (0..total.div_ceil(each)).map(move |i| each.min(total - i * each))
    }
}

/// Why fewer workers were launched than asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortfall {
    /// For a person.
    pub reason: String,
    /// Whether asking again later may help.
    pub retryable: bool,
}

/// What a `run` created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launch {
    /// One entry a worker. Workers that share a container have the same handle, which then stands once for each.
    pub handles: Vec<String>,
    /// Present exactly when there are fewer entries than workers were asked for.
    pub shortfall: Option<Shortfall>,
}

impl Launch {
    /// All that was asked for: one handle a worker.
    pub fn complete(handles: Vec<String>) -> Self {
        Self { handles, shortfall: None }
    }

    /// Fewer than asked for, and why.
    pub fn partial(handles: Vec<String>, reason: impl Into<String>, retryable: bool) -> Self {
        Self { handles, shortfall: Some(Shortfall { reason: reason.into(), retryable }) }
    }
}

/// What became of one handle in a `kill`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Killed {
    /// Its workers are stopped, or stop within the grace; or there was nothing to kill.
    Yes,
    /// Its workers may still be alive, and why.
    No(String),
}

/// A live handle, as `list` tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedHandle {
    /// The handle.
    pub handle: String,
    /// The token of the launch that created it.
    pub token: LaunchToken,
    /// How many workers it holds.
    pub workers: u32,
}

/// A request for a cluster's server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerRequest {
    /// What to run. Variables of the configuration are filled in already, and `max_workers` means nothing here.
    pub container: Container,
    /// On what.
    pub hardware: Hardware,
    /// The port that the server listens on, 1 to 65535, as the cluster's configuration says: the host fills it in, and a
    /// provider answers with it in [`ServerAddress::port`]. It may publish the port, and answers with another where it
    /// assigns one. `None`: nobody said. A host that is older than this field never sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// Where a cluster's server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerAddress {
    /// A host name or an address, as the workers reach it.
    pub host: String,
    /// The port: the one that the provider assigned, or else the request's; `None` where there was neither.
    pub port: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(workers: u32, max_workers: Option<u32>) -> Vec<u32> {
        let container = Container { max_workers, ..Container::default() };
        let token = LaunchToken::new("t");
        RunRequest { container, hardware: Hardware::default(), workers, token }.containers().collect()
    }

    #[test]
    fn workers_are_split_over_containers() {
        assert_eq!(split(0, Some(4)), [0u32; 0]);
        assert_eq!(split(3, None), [1, 1, 1]);
        assert_eq!(split(4, Some(4)), [4]);
        assert_eq!(split(10, Some(4)), [4, 4, 2]);
        assert_eq!(split(1, Some(u32::MAX)), [1]);
    }

    #[test]
    fn a_document_of_a_newer_side_is_read() {
        let text = r#"{"container":{"command":"sleep","novel":1},"hardware":{},"workers":2,"token":"t-1","more":[]}"#;
        let request: RunRequest = serde_json::from_str(text).expect("unknown fields are ignored");
        assert_eq!(request.container.command.as_deref(), Some("sleep"));
    }

    #[test]
    fn a_server_request_of_an_older_host_has_no_port() {
        let text = r#"{"container":{"command":"serve"},"hardware":{}}"#;
        let request: ServerRequest = serde_json::from_str(text).expect("a missing field is its default");
        assert_eq!(request.port, None);
        assert_eq!(
            serde_json::to_string(&request).expect("it can be written"),
            text,
            "an older side knows no port"
        );
        let request = ServerRequest { port: Some(6379), ..request };
        let text = serde_json::to_string(&request).expect("it can be written");
        assert!(text.contains(r#""port":6379"#), "{text}");
        assert_eq!(serde_json::from_str::<ServerRequest>(&text).expect("it can be read"), request);
    }
}
