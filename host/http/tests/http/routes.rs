//! What the routes answer when all is well.

use std::path::Path;

use longshore_config::Config;
use longshore_http::wire::{Effect, WorkerPhase, WorkersQuery};
use longshore_runtime::CommandError;
use reqwest::{Method, StatusCode};

use crate::house::{House, web};

#[tokio::test]
async fn a_cluster_from_its_making_to_its_end() {
    let house = House::empty().await;
    let applied = house.client.apply(&web(3)).await.expect("a good configuration");
    assert_eq!(applied.providers[0].effect, Effect::Created);
    assert_eq!((applied.clusters[0].name.as_str(), applied.clusters[0].effect), ("web", Effect::Created));
    house.until_converged("web").await;

    let admitted = house.client.scale("web", 7).await.expect("within the limits");
    house.until_converged("web").await;
    let status = house.client.cluster("web").await.expect("the cluster");
    assert_eq!((status.running, status.expected), (7, 7));
    assert!(status.generation >= admitted.generation);

    house.client.stop("web").await.expect("it can be stopped");
    house.until_converged("web").await;
    let status = house.client.cluster("web").await.expect("the cluster");
    assert_eq!((status.running, status.expected), (0, 7), "the expected number is remembered");
    house.client.start("web").await.expect("it can be started");
    house.until_converged("web").await;
    assert_eq!(house.client.cluster("web").await.expect("the cluster").running, 7);

    let before = house.client.cluster("web").await.expect("the cluster");
    house.client.update("web").await.expect("it can be refreshed");
    let after = house.client.cluster("web").await.expect("the cluster");
    assert_eq!(before.generation, after.generation, "looking changes nothing");

    house.client.delete("web", true).await.expect("it can be deleted");
    let mut version = house.host.version();
    while !matches!(house.host.status("web").await, Err(CommandError::NoSuchCluster { .. })) {
        version.changed().await.expect("the host lives");
    }
    house.end().await;
}

#[tokio::test]
async fn an_update_is_answered_when_the_provider_has_been_asked() {
    let house = House::empty().await;
    // Each worker is seen running once and has stopped by the next look, which nobody takes by himself.
    let text = r#"
[[provider]]
name = "brief"
plugin = "memory"
[provider.config]
lifetime = { observations = 1 }
latency_ms = { status = 100 }
[[cluster]]
name = "web"
provider = "brief"
workers = 3
[cluster.scaling]
poll_interval = "1h"
"#;
    let config = Config::parse(text, Path::new("web.toml")).expect("a good configuration");
    house.client.apply(&config).await.expect("a good configuration");
    house.until_converged("web").await;
    let handles = async || {
        let page = house.client.all_workers("web", usize::MAX).await.expect("the cluster");
        page.workers.into_iter().map(|worker| worker.handle).collect::<Vec<_>>()
    };
    let before = handles().await;
    assert_eq!((before.len(), handles().await), (3, before.clone()), "nobody has noticed yet");
    house.client.update("web").await.expect("it can be refreshed");
    let after = handles().await;
    assert!(before.iter().all(|handle| !after.contains(handle)), "{before:?}, {after:?}");
    house.end().await;
}

#[tokio::test]
async fn a_configuration_applied_again_changes_nothing() {
    let house = House::with_web().await;
    house.until_converged("web").await;
    let before = house.client.cluster("web").await.expect("the cluster");
    let planned = house.client.plan(&web(5)).await.expect("a good configuration");
    assert_eq!((planned.clusters[0].target_before, planned.clusters[0].target), (3, 5));
    assert_eq!(house.client.cluster("web").await.expect("the cluster"), before, "a plan does nothing");

    let again = house.client.apply(&web(3)).await.expect("a good configuration");
    assert_eq!(again.clusters[0].effect, Effect::Unchanged);
    assert_eq!(again.clusters[0].generation, before.generation);
    house.end().await;
}

#[tokio::test]
async fn workers_page_by_page() {
    let house = House::with_web().await;
    house.until_converged("web").await;
    let all = house.client.all_workers("web", usize::MAX).await.expect("the cluster");
    assert_eq!((all.total, all.workers.len()), (3, 3));
    assert!(all.workers.iter().all(|worker| worker.phase == WorkerPhase::Running && worker.workers == 1));
    let query = WorkersQuery { offset: Some(1), limit: Some(1) };
    let page = house.client.workers("web", query).await.expect("the cluster");
    assert_eq!((page.total, &page.workers[0].handle), (3, &all.workers[1].handle));
    let two = house.client.all_workers("web", 2).await.expect("the cluster");
    assert_eq!((two.total, two.workers.len()), (3, 2));
    let query = WorkersQuery { offset: Some(9), limit: None };
    let page = house.client.workers("web", query).await.expect("the cluster");
    assert_eq!((page.total, page.workers.len()), (3, 0));
    house.end().await;
}

#[tokio::test]
async fn the_host_its_providers_and_its_plugins() {
    let house = House::with_web().await;
    let info = house.client.host().await.expect("the host");
    assert_eq!(info.pid, std::process::id());
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(info.plugin_folders.len(), 1);

    let providers = house.client.providers().await.expect("the host").providers;
    assert_eq!((providers[0].name.as_str(), providers[0].plugin.as_str()), ("memory", "memory"));
    assert_eq!(providers[0].clusters, ["web"]);

    let plugins = house.client.plugins().await.expect("the host").plugins;
    let memory = plugins.iter().find(|plugin| plugin.name == "memory").expect("it is in the folder");
    assert_eq!(memory.providers, ["memory"]);
    assert_eq!(memory.path, providers[0].path);
    house.end().await;
}

#[tokio::test]
async fn whatever_speaks_http_is_understood() {
    let house = House::with_web().await;
    // No header says that the body is JSON.
    let answer = house.send(Method::POST, "/v1/clusters/web/scale", r#"{"workers":4}"#).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.json["cluster"], "web");
    let answer = house.send(Method::GET, "/v1/clusters", "").await;
    assert_eq!(answer.json["clusters"][0]["expected"], 4);
    house.end().await;
}
