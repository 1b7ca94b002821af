//! The documents that cross the socket, all of them JSON but the figures. A field may be added to a document; none is renamed or removed
//! within `/v1`.
//!
//! | route | body | answer |
//! |---|---|---|
//! | `GET /v1/host` | | [`HostInfo`] |
//! | `POST /v1/apply` | [`Config`] | [`Applied`] |
//! | `POST /v1/plan` | [`Config`] | [`Planned`] |
//! | `GET /v1/clusters?name&after&wait_ms` | | [`Clusters`]; see [`ClustersQuery`] |
//! | `GET /v1/clusters/{name}` | | [`ClusterStatus`] |
//! | `DELETE /v1/clusters/{name}?force` | | [`Admitted`]; see [`DeleteQuery`] |
//! | `GET /v1/clusters/{name}/workers?offset&limit` | | [`WorkerPage`]; see [`WorkersQuery`] |
//! | `POST /v1/clusters/{name}/scale` | [`Scale`] | [`Admitted`] |
//! | `POST /v1/clusters/{name}/start` | | [`Admitted`] |
//! | `POST /v1/clusters/{name}/stop` | | [`Admitted`] |
//! | `POST /v1/clusters/{name}/update` | | [`Admitted`] |
//! | `GET /v1/clusters/{name}/server?password` | | [`ServerDetails`]; see [`ServerQuery`] |
//! | `POST /v1/clusters/{name}/cleanup?deep` | | [`CleanedUp`]; see [`CleanUpQuery`] |
//! | `GET /v1/clusters/{name}/history?before&limit` | | [`HistoryPage`]; see [`HistoryQuery`] |
//! | `POST /v1/clusters/{name}/resolve` | [`Resolve`] | [`Admitted`] |
//! | `POST /v1/clusters/{name}/reconnect` | [`Reconnect`] | [`Reconnecting`] |
//! | `GET /v1/providers?runners` | | [`Providers`]; see [`ProvidersQuery`] |
//! | `POST /v1/providers/{name}/swap` | [`Swap`] | [`SwapOutcome`] |
//! | `POST /v1/providers/{name}/rollback` | | [`SwapOutcome`] |
//! | `GET /v1/plugins` | | [`PluginList`] |
//! | `POST /v1/plugins` | [`AddPlugin`] | [`AddedPlugin`] |
//! | `DELETE /v1/plugins/{plugin}` | | [`RemovedPlugin`]; `{plugin}` is `NAME`, `NAME@VERSION`, or a hash |
//! | `POST /v1/plugins/release` | [`Release`] | [`Released`] |
//! | `GET /v1/metrics` | | text: figures for Prometheus, in its own format, or as `OpenMetrics` where that is preferred |
//!
//! An update is answered when the provider has told fresh statuses, or after 30 seconds; a reconnect of a cluster that the
//! host does not have, when the provider has listed its workers; a cleanup when the provider is done; a swap and a rollback
//! when the change is made, while the watch goes on. Every other command is answered when it is admitted; what it asks for
//! comes about later.
//!
//! Whatever goes wrong is told as an [`ErrorBody`], under the status code of its [`ProblemKind`](crate::ProblemKind).

use std::{path::PathBuf, time::Duration};

use longshore_config::Config;
pub use longshore_config::Isolation;
use longshore_plugin_api::MAX_WORKERS_ON_A_HANDLE;
use longshore_providers::MAX_HANDLE_BYTES;
pub use longshore_providers::{FunctionFigures, Latency, LatencyBucket, Resources, RunnerLoad};
pub use longshore_runtime::{
    AddedPlugin, BreakerPhase, BreakerStatus, ClusterStatus, Compared, Effect, Explanation, GenerationState,
    GenerationStatus, HistoryEntry, HistoryPage, Plugin, PluginList, PluginPlace, Preview, ProviderStatus,
    ProviderVersion, QuarantinedLibrary, RefusedPlugin, Released, RemovedPlugin, RolledBack, RunnerPhase,
    RunnerStatus, ServerLife, ServerStatus, ServingStatus, SwapOutcome, TriedStatus, WorkerPage, WorkerPhase,
    WorkerView,
};
use serde::{Deserialize, Serialize};

pub use crate::problem::ErrorBody;

/// The longest that a request for the clusters may wait for a change.
pub const WAIT_LIMIT: Duration = Duration::from_secs(30);
/// The most containers in one page.
pub const WORKERS_PAGE_LIMIT: usize = 10_000;
/// How many containers a page has unless the request says otherwise.
pub const WORKERS_PAGE: usize = 1_000;
/// The most entries of a history in one page.
pub const HISTORY_PAGE_LIMIT: usize = 1_000;
/// How many entries such a page has unless the request says otherwise.
pub const HISTORY_PAGE: usize = 100;

/// The host itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInfo {
    /// Longshore's version.
    pub version: String,
    /// The id of its process.
    pub pid: u32,
    /// For how long it has been listening, in milliseconds.
    pub uptime_ms: u64,
    /// The folders that it looks for plugins in, in order.
    pub plugin_folders: Vec<String>,
}

/// What a configuration did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// To its providers, in its order.
    pub providers: Vec<AppliedProvider>,
    /// To its clusters, in its order.
    pub clusters: Vec<AppliedCluster>,
}

/// What a configuration did to a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedProvider {
    /// The provider's name.
    pub name: String,
    /// What became of it.
    pub effect: Effect,
}

/// What a configuration did to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedCluster {
    /// The cluster's name.
    pub name: String,
    /// What became of it.
    pub effect: Effect,
    /// The generation that a status must have reached to speak of what was asked for here.
    pub generation: u64,
}

/// What a configuration would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// To its clusters, in its order.
    pub clusters: Vec<Preview>,
}

/// Which clusters, and whether to wait for news of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClustersQuery {
    /// This one alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Answer as soon as the version is another than this; at once where it is another already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Wait no longer than so many milliseconds for that, up to [`WAIT_LIMIT`]; without it, do not wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// How clusters are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clusters {
    /// Changes whenever any cluster changes, comes or goes, while the host lives.
    pub version: u64,
    /// The clusters, by name.
    pub clusters: Vec<ClusterStatus>,
}

/// A page of a cluster's containers, oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkersQuery {
    /// How many to pass over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<usize>,
    /// How many to tell of: 1 to [`WORKERS_PAGE_LIMIT`], and [`WORKERS_PAGE`] unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// How a cluster is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeleteQuery {
    /// Forget it at once, with workers that may still be alive.
    pub force: bool,
}

/// What is wanted of a cluster's server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerQuery {
    /// Its password as well.
    pub password: bool,
}

/// A cluster's server, for those who are to report to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerDetails {
    /// The cluster.
    pub cluster: String,
    /// How it is, and where.
    pub server: ServerStatus,
    /// Its password, where it has one and it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// How thoroughly a cluster is cleaned up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CleanUpQuery {
    /// Remove also what further clusters may want again: networks, images, shared folders.
    pub deep: bool,
}

/// What a cluster's stopped workers had left behind is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanedUp {
    /// The cluster.
    pub cluster: String,
    /// Whether also what further clusters may want again.
    pub deep: bool,
}

/// Another number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// How many, 0 to 1,000,000 and within the cluster's own limits.
    pub workers: u32,
}

/// A page of a cluster's history: the latest entries, or the latest of those before one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// Only entries with smaller numbers than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// How many to tell of: 1 to [`HISTORY_PAGE_LIMIT`], and [`HISTORY_PAGE`] unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// What a launch of unknown fate created, as an operator found it in the provider's backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    /// The launch's token.
    pub token: String,
    /// All handles that it created and that the host does not know yet; none where nothing came of it.
    pub handles: Vec<ResolvedHandle>,
}

/// A handle that a launch of unknown fate created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolvedHandle {
    /// The provider's handle: 1 to 256 bytes without control characters.
    pub handle: String,
    /// How many workers share it: 1 to 10,000.
    pub workers: u32,
}

impl ResolvedHandle {
    /// Holds it to the limits that the contract sets to a provider's own handles.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for a person.
    pub fn check(&self) -> Result<(), String> {
        let Self { handle, workers } = self;
        if handle.is_empty() {
            return Err("a handle is empty".to_owned());
        }
        if handle.len() > MAX_HANDLE_BYTES {
            return Err(format!("a handle is {} bytes long, of at most {MAX_HANDLE_BYTES}", handle.len()));
        }
        if handle.chars().any(char::is_control) {
            return Err(format!("a handle contains a control character: {handle:?}"));
        }
        if !(1..=MAX_WORKERS_ON_A_HANDLE).contains(workers) {
            let range = format!("1 to {MAX_WORKERS_ON_A_HANDLE} workers");
            return Err(format!("the handle {handle} cannot hold {workers}: a container holds {range}"));
        }
        Ok(())
    }
}

/// A cluster is to be taken over as it runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconnect {
    /// What the cluster is, where the host does not have it: a configuration with it and its provider, whatever else there is
    /// in it. The number of workers goes by what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Config>,
}

/// A cluster is being taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconnecting {
    /// The cluster.
    pub cluster: String,
    /// The generation of a status that speaks of the cluster as it was taken over.
    pub generation: u64,
    /// How many workers the provider listed, of a cluster that was made for them; null of one that the host had.
    pub found: Option<u32>,
}

/// A command was admitted; what it asks for comes about later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// The cluster.
    pub cluster: String,
    /// The generation that a status must have reached to speak of what was asked for here.
    pub generation: u64,
}

/// What is wanted of providers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProvidersQuery {
    /// Also what their processes say of their calls and take of the machine, for which each of them is asked: one that does not
    /// answer holds the answer up for half a second.
    pub runners: bool,
}

/// How providers are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Providers {
    /// All of them, by name.
    pub providers: Vec<ProviderStatus>,
}

/// A library that is to be run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Its hash, at least 12 digits of it, or a provider that it is quarantined for.
    pub library: String,
}

/// A provider is to be swapped to another version of its plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Swap {
    /// A version, a plugin's name and version (`memory@1.2.0`), or the absolute path of a file; null for what the provider's
    /// configuration names by now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The SHA-256 that the library must have, in place of the one that the configuration asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// For how long it is watched, in milliseconds; null for a minute, 0 for not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch_ms: Option<u64>,
    /// Whether one cluster tries it first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub canary: bool,
    /// Which one; null for the smallest that has workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

/// A plugin is to be put on the shelf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddPlugin {
    /// Its file, by its absolute path on the host's machine.
    pub path: PathBuf,
    /// The SHA-256 that it must have, in 64 lower-case hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Public keys of minisign, one of which must have signed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<String>,
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(document: &T, wanted: &Value) {
        let text = serde_json::to_string(document).expect("a document can be written");
        assert_eq!(&serde_json::from_str::<Value>(&text).expect("it is JSON"), wanted);
        assert_eq!(&serde_json::from_str::<T>(&text).expect("it can be read again"), document);
    }

    #[test]
    fn documents_keep_their_shape() {
        let provider = AppliedProvider { name: "memory".into(), effect: Effect::Created };
        let cluster = AppliedCluster { name: "web".into(), effect: Effect::Unchanged, generation: 3 };
        round_trip(
            &Applied { providers: vec![provider], clusters: vec![cluster] },
            &json!({
                "providers": [{"name": "memory", "effect": "created"}],
                "clusters": [{"name": "web", "effect": "unchanged", "generation": 3}],
            }),
        );
        round_trip(
            &Admitted { cluster: "web".into(), generation: 9 },
            &json!({"cluster": "web", "generation": 9}),
        );
        round_trip(&Scale { workers: 8 }, &json!({"workers": 8}));
        let info = HostInfo {
            version: "0.1.0".into(),
            pid: 42,
            uptime_ms: 1_500,
            plugin_folders: vec!["plugins".into()],
        };
        round_trip(
            &info,
            &json!({"version": "0.1.0", "pid": 42, "uptime_ms": 1500, "plugin_folders": ["plugins"]}),
        );
    }

    #[test]
    fn documents_of_recovery_keep_their_shape() {
        let resolve = Resolve {
            token: "a-1".into(),
            handles: vec![ResolvedHandle { handle: "box".into(), workers: 3 }],
        };
        let wanted = json!({"token": "a-1", "handles": [{"handle": "box", "workers": 3}]});
        round_trip(&resolve, &wanted);
        round_trip(
            &Reconnecting { cluster: "web".into(), generation: 2, found: Some(5) },
            &json!({"cluster": "web", "generation": 2, "found": 5}),
        );
        round_trip(&Reconnect::default(), &json!({}));
    }

    #[test]
    fn documents_of_plugins_keep_their_shape() {
        round_trip(
            &AddPlugin { path: "/x.so".into(), sha256: Some("ab".into()), signed_by: vec!["RW".into()] },
            &json!({"path": "/x.so", "sha256": "ab", "signed_by": ["RW"]}),
        );
        let plugin = Plugin {
            name: "memory".into(),
            version: Some("1.0.0".into()),
            hash: Some("ab".into()),
            place: PluginPlace::Shelf,
            path: "/ab.so".into(),
            providers: vec!["p".into()],
        };
        let refused = RefusedPlugin {
            path: "/x.so".into(),
            place: PluginPlace::Folder,
            why: "it is bad".into(),
            providers: vec![],
        };
        let plugins = PluginList {
            folders: vec!["/plugins".into()],
            shelf: Some("/state/plugins".into()),
            plugins: vec![plugin],
            refused: vec![refused],
            quarantined: vec![],
        };
        round_trip(
            &plugins,
            &json!({
                "folders": ["/plugins"],
                "shelf": "/state/plugins",
                "plugins": [{
                    "name": "memory", "version": "1.0.0", "hash": "ab", "place": "shelf", "path": "/ab.so",
                    "providers": ["p"],
                }],
                "refused": [{"path": "/x.so", "place": "folder", "why": "it is bad", "providers": []}],
                "quarantined": [],
            }),
        );
        // As a host of before the shelf wrote it.
        let older = r#"{"folders":[],"plugins":[{"name":"memory","path":"/m.so","providers":[]}]}"#;
        let older: PluginList = serde_json::from_str(older).expect("it is understood");
        assert_eq!((older.plugins[0].place, &older.shelf), (PluginPlace::Folder, &None));
        round_trip(
            &RemovedPlugin { name: None, version: None, hash: "ab".into() },
            &json!({"name": null, "version": null, "hash": "ab"}),
        );
    }

    #[test]
    fn a_handle_is_held_to_the_contract() {
        let check = |handle: &str, workers| ResolvedHandle { handle: handle.into(), workers }.check();
        for (handle, workers) in [("x", 1), (&*"x".repeat(256), 10_000), ("ä=b c", 2)] {
            assert_eq!(check(handle, workers), Ok(()));
        }
        for (handle, workers, words) in [
            ("", 1, "empty"),
            (&*"x".repeat(257), 1, "257 bytes"),
            ("a\nb", 1, "control character"),
            ("x", 0, "cannot hold 0"),
            ("x", 10_001, "1 to 10000 workers"),
        ] {
            let what = check(handle, workers).expect_err("it breaks the contract");
            assert!(what.contains(words), "{what}");
        }
    }

    #[test]
    fn a_slip_in_a_body_is_not_taken_for_a_default() {
        let error = serde_json::from_str::<Scale>(r#"{"worker": 3}"#).expect_err("a slip");
        assert!(error.to_string().contains("unknown field `worker`"), "{error}");
    }
}
