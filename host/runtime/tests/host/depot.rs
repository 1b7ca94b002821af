//! Clusters on the provider of `fixtures/depot.rs`, which comes in versions that share one backend: a test sees what was done in
//! it, whichever version did it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use longshore_config::Config;
use longshore_runtime::{GenerationState, GenerationStatus, Host, ProviderStatus, SwapRequest};
use longshore_support::fixture_of_version;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::config;

/// A version that is as it should be.
pub(crate) fn version(version: &str) -> PathBuf {
    built(version, &[])
}

/// Version 3.0.0, which is as it should be until [`Depot::fault`] says otherwise.
pub(crate) fn bad() -> PathBuf {
    built("3.0.0", &["--cfg=bad"])
}

/// A version that was built otherwise.
pub(crate) fn built(version: &str, flags: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/depot.rs");
    fixture_of_version(&source, flags, version)
}

/// The same library under another hash: what follows its end is no part of it.
pub(crate) fn copied(library: &Path, folder: &Path, number: usize) -> PathBuf {
    let mut bytes = fs::read(library).expect("it was built");
    bytes.resize(bytes.len() + number, 0);
    let copy = folder.join(format!("copy-{number}{}", std::env::consts::DLL_SUFFIX));
    fs::write(&copy, bytes).expect("a file of our own");
    copy
}

/// The backend.
pub(crate) struct Depot {
    folder: TempDir,
}

impl Depot {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::with_prefix("longshore-depot-").expect("a temporary folder") }
    }

    /// The provider `depot` with these clusters, looked after without rest.
    pub(crate) fn config(&self, plugin: &Path, clusters: &[(&str, u32)]) -> Config {
        let cluster =
            |(name, workers): &(&str, u32)| json!({ "name": name, "provider": "depot", "workers": workers });
        let clusters: Vec<_> = clusters.iter().map(cluster).collect();
        let mut config = config(&self.provider(plugin), &json!(clusters));
        for cluster in &mut config.clusters {
            let policy = &mut cluster.policy;
            policy.poll_interval = std::time::Duration::from_millis(20);
            policy.busy_poll_interval = std::time::Duration::from_millis(10);
            policy.list_interval = std::time::Duration::from_millis(200);
        }
        config
    }

    fn provider(&self, plugin: &Path) -> Value {
        json!([{ "name": "depot", "plugin": plugin, "config": { "folder": self.folder.path() } }])
    }

    pub(crate) fn put(&self, name: &str) {
        fs::write(self.folder.path().join(name), "").expect("a file in a folder of our own");
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).expect("the file was put there");
    }

    /// Lets [`bad`] do this wrong from now on; nothing, where it is empty.
    pub(crate) fn fault(&self, fault: &str) {
        // It is there whole or not at all.
        let unfinished = self.folder.path().join("unfinished");
        fs::write(&unfinished, fault).expect("a file in a folder of our own");
        fs::rename(unfinished, self.folder.path().join("fault")).expect("a folder of our own");
    }

    /// Loses all workers, as a backend that is another one does.
    pub(crate) fn forget(&self) {
        fs::write(self.folder.path().join("workers"), "").expect("a file in a folder of our own");
    }

    /// What was done so far, a line each.
    pub(crate) fn said(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The tokens of all launches, each as often as it was carried out, and the workers that they brought.
    pub(crate) fn launched(&self) -> (Vec<String>, u64) {
        let said = self.said();
        let launches = said.iter().filter_map(|line| line.strip_prefix("run ")?.split_once(' '));
        let launches: Vec<_> = launches.collect();
        let workers = launches.iter().map(|(_, workers)| workers.parse::<u64>().expect("a number"));
        (launches.iter().map(|(token, _)| (*token).to_owned()).collect(), workers.sum())
    }

    /// The instances that were made and not let go, each by its version and the process that it is in. One whose process has died
    /// is not there.
    pub(crate) fn instances(&self) -> Vec<(String, u32)> {
        let text = fs::read_to_string(self.folder.path().join("lives")).unwrap_or_default();
        let mut living = Vec::new();
        for line in text.lines() {
            let mut words = line.split(' ');
            let mut next = || words.next().unwrap_or_default();
            let (what, version, process) = (next(), next(), next());
            let instance = (version.to_owned(), process.parse::<u32>().expect("a number"));
            if what == "made" {
                living.push(instance);
            } else if let Some(at) = living.iter().position(|it| *it == instance) {
                living.swap_remove(at);
            }
        }
        living.retain(|(_, process)| Path::new("/proc").join(process.to_string()).join("exe").exists());
        living.sort();
        living
    }

    /// How many workers were killed.
    pub(crate) fn killed(&self) -> usize {
        self.said().iter().filter(|line| line.starts_with("kill ")).count()
    }

    /// The handles of the workers that live.
    pub(crate) fn alive(&self) -> BTreeSet<String> {
        let workers = fs::read(self.folder.path().join("workers")).expect("the provider has made it");
        let alive = workers.iter().enumerate().filter(|(_, worker)| **worker == 1);
        alive.map(|(number, _)| format!("w{number}")).collect()
    }
}

/// A request for another library, which nobody watches.
pub(crate) fn to(library: &Path) -> SwapRequest {
    SwapRequest {
        provider: "depot".to_owned(),
        to: Some(library.display().to_string()),
        watch: Some(std::time::Duration::ZERO),
        ..SwapRequest::default()
    }
}

pub(crate) fn provider(host: &Host) -> ProviderStatus {
    host.providers().into_iter().next().expect("there is one")
}

/// The version that serves.
pub(crate) fn serving(host: &Host) -> String {
    provider(host).version
}

/// The versions of the generations that are there, the newest first.
pub(crate) fn generations(host: &Host) -> Vec<(String, GenerationState)> {
    let told = |it: GenerationStatus| (it.version, it.state);
    provider(host).generations.into_iter().map(told).collect()
}

/// What a cluster's history says of its provider, oldest first, without the hashes.
pub(crate) async fn told(host: &Host, cluster: &str) -> Vec<String> {
    let entries = host.history(cluster, None, 1_000).await.expect("the cluster is there").entries;
    let texts = entries.into_iter().map(|entry| entry.text);
    let of_provider = texts.filter_map(|text| text.strip_prefix("provider `depot` ").map(str::to_owned));
    of_provider.map(|text| without_hashes(&text)).collect()
}

fn without_hashes(text: &str) -> String {
    let mut parts = text.split(" (sha256 ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once(')').expect("a hash in brackets").1);
    }
    plain
}

/// The handles of all clusters, as the host knows them.
pub(crate) async fn known(host: &Host) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for cluster in host.clusters() {
        let page = host.workers(&cluster.name, 0, 1_000_000).await.expect("the cluster is there");
        known.extend(page.workers.into_iter().map(|worker| worker.handle));
    }
    known
}
