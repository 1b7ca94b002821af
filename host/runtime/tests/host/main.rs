//! The host as a library, with the memory plugin loaded from its shared library.

mod backend;
mod breaches;
mod breaker;
mod depot;
mod ends;
mod faults;
mod fragile;
mod journals;
mod many;
mod moves;
mod outside;
mod passwords;
mod plugins;
mod quarantine;
mod recovery;
mod runners;
mod server;
mod stage;
mod swap;
mod swap_beside;
mod swap_cuts;
mod swap_ends;
mod swap_load;
mod swap_told;

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use longshore_config::Config;
use longshore_providers::{RunnerProgram, SearchPath};
use longshore_runtime::{
    ApplyError, ClusterStatus, CommandError, Effect, Host, Leaving, Plugins, WorkerPhase,
};
use longshore_scaling::{Command, Denied, Desired, State};
use longshore_store::{Journal, SqliteJournal};
use serde_json::{Value, json};
use tokio::time::timeout;

/// Long enough for a busy machine: only what never happens fails.
const PATIENCE: Duration = Duration::from_mins(1);

fn folder() -> PathBuf {
    let library = longshore_support::library("longshore-memory");
    library.parent().expect("a library is in a folder").to_owned()
}

async fn host_with(journal: Arc<dyn Journal>) -> Host {
    Host::open(SearchPath::of([folder()]), journal).await.expect("the journal is sound")
}

async fn host() -> Host {
    host_with(Arc::new(SqliteJournal::in_memory())).await
}

/// A host whose providers run in processes of their own, unless they are to run in this one.
async fn host_with_runners(journal: Arc<dyn Journal>) -> Host {
    let program = RunnerProgram::at(longshore_support::program("longshore-cli", "longshore"));
    let plugins = Plugins { search: SearchPath::of([folder()]), runner: Some(program), ..Plugins::default() };
    Host::open(plugins, journal).await.expect("the journal is sound")
}

fn config(providers: &Value, clusters: &Value) -> Config {
    serde_json::from_value(json!({ "providers": providers, "clusters": clusters }))
        .expect("a legal configuration")
}

fn one(workers: u32, settings: &Value) -> Config {
    config(
        &json!([{ "name": "memory", "plugin": "memory", "config": settings }]),
        &json!([{ "name": "web", "provider": "memory", "workers": workers }]),
    )
}

async fn until(host: &Host, cluster: &str, what: &str, is: impl Fn(&ClusterStatus) -> bool) -> ClusterStatus {
    let mut version = host.version();
    let wait = async {
        loop {
            version.mark_unchanged();
            let status = host.status(cluster).await.expect("the cluster is there");
            if is(&status) {
                return status;
            }
            // What changes by time alone is looked at as well.
            let _ = timeout(Duration::from_millis(100), version.changed()).await;
        }
    };
    let waited = timeout(PATIENCE, wait).await;
    let Ok(status) = waited else { panic!("never {what}: {:?}", host.status(cluster).await) };
    status
}

async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "never: {what}");
}

#[tokio::test]
async fn a_cluster_is_brought_up_scaled_and_taken_down() {
    let host = host().await;
    let applied = host.apply(one(3, &json!({}))).await.expect("legal");
    assert_eq!(applied.clusters, [("web".to_owned(), Effect::Created)]);
    until(&host, "web", "up", |status| status.converged && status.running == 3).await;

    let before = host.status("web").await.expect("there").generation;
    let generation = host.command("web", Command::Scale { expected: 8 }).await.expect("legal");
    assert_eq!(generation, before + 1);
    until(&host, "web", "scaled up", |status| status.converged && status.running == 8).await;
    host.command("web", Command::Scale { expected: 2 }).await.expect("legal");
    until(&host, "web", "scaled down", |status| status.converged && status.running == 2).await;

    let page = host.workers("web", 1, 10).await.expect("there");
    assert_eq!((page.total, page.workers.len()), (2, 1));
    assert_eq!(page.workers[0].phase, WorkerPhase::Running);
    assert!(page.workers[0].token.is_some());

    host.command("web", Command::Stop).await.expect("legal");
    let stopped = until(&host, "web", "stopped", |status| status.converged).await;
    assert_eq!((stopped.expected, stopped.handles, stopped.desired), (2, 0, Desired::Stopped));
    host.command("web", Command::Start).await.expect("legal");
    until(&host, "web", "started", |status| status.converged && status.running == 2).await;

    host.command("web", Command::Delete { force: false }).await.expect("legal");
    eventually("deleted", async || host.clusters().is_empty()).await;
    let gone = host.command("web", Command::Stop).await;
    assert!(matches!(gone, Err(CommandError::NoSuchCluster { .. })), "{gone:?}");
}

#[tokio::test]
async fn a_request_is_met_at_once_and_not_at_the_next_tick() {
    let host = host().await;
    let mut config = one(3, &json!({}));
    let policy = &mut config.clusters[0].policy;
    let hour = Duration::from_hours(1);
    (policy.poll_interval, policy.busy_poll_interval, policy.list_interval) = (hour, hour, hour);
    host.apply(config).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.running == 3).await;
    host.command("web", Command::Scale { expected: 8 }).await.expect("legal");
    until(&host, "web", "scaled up", |status| status.converged && status.running == 8).await;
    host.command("web", Command::Scale { expected: 1 }).await.expect("legal");
    until(&host, "web", "scaled down", |status| status.converged && status.running == 1).await;
}

#[tokio::test]
async fn two_instances_of_one_plugin_serve_three_clusters() {
    let host = host().await;
    let config = config(
        &json!([
            { "name": "plain", "plugin": "memory" },
            { "name": "slow", "plugin": "memory", "config": { "start_after": { "observations": 2 } } },
        ]),
        &json!([
            { "name": "a", "provider": "plain", "workers": 4 },
            { "name": "b", "provider": "slow", "workers": 5 },
            { "name": "c", "provider": "plain", "workers": 6, "container": { "max_workers": 4 } },
        ]),
    );
    host.apply(config).await.expect("legal");
    for (name, workers, handles) in [("a", 4, 4), ("b", 5, 5), ("c", 6, 2)] {
        let status = until(&host, name, "up", |status| status.converged).await;
        assert_eq!((status.running, status.handles), (workers, handles), "{name}");
    }
    let providers = host.providers();
    assert_eq!(providers.iter().map(|it| it.clusters.len()).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(providers[0].hash, providers[1].hash);
}

#[tokio::test]
async fn a_cluster_in_trouble_does_not_disturb_the_others() {
    let host = host().await;
    let config = config(
        &json!([
            { "name": "good", "plugin": "memory" },
            { "name": "bad", "plugin": "memory", "config": { "fail": { "run": { "every": 1, "kind": "retryable" } } } },
        ]),
        &json!([
            { "name": "calm", "provider": "good", "workers": 2 },
            { "name": "rough", "provider": "bad", "workers": 2 },
        ]),
    );
    host.apply(config).await.expect("legal");
    until(&host, "calm", "up", |status| status.converged).await;
    let rough = until(&host, "rough", "backing off", |status| {
        status.reasons.iter().any(|reason| reason.text.contains("launching failed"))
    })
    .await;
    assert_eq!(rough.running, 0);
    host.command("calm", Command::Scale { expected: 5 }).await.expect("legal");
    until(&host, "calm", "scaled", |status| status.running == 5).await;
}

#[tokio::test]
async fn workers_that_die_are_replaced() {
    let host = host().await;
    let settings = json!({ "lifetime": { "observations": 3 } });
    let mut config = one(3, &settings);
    config.clusters[0].policy.poll_interval = Duration::from_millis(20);
    // They die young: without this, the crash loop would be slowed down more and more.
    config.clusters[0].policy.backoff = Duration::from_millis(10);
    config.clusters[0].policy.backoff_max = Duration::from_millis(20);
    host.apply(config).await.expect("legal");
    until(&host, "web", "up", |status| status.running == 3).await;
    let first = host.workers("web", 0, 1).await.expect("there").workers[0].handle.clone();
    let host = &host;
    eventually("replaced", async || {
        let page = host.workers("web", 0, 10).await.expect("there");
        page.workers.iter().all(|worker| worker.handle != first) && page.total == 3
    })
    .await;
}

#[tokio::test]
async fn applying_the_same_again_changes_nothing_and_a_change_is_told() {
    let host = host().await;
    host.apply(one(3, &json!({}))).await.expect("legal");
    let again = host.apply(one(3, &json!({}))).await.expect("legal");
    assert_eq!(again.providers, [("memory".to_owned(), Effect::Unchanged)]);
    assert_eq!(again.clusters, [("web".to_owned(), Effect::Unchanged)]);
    let changed = host.apply(one(4, &json!({}))).await.expect("legal");
    assert_eq!(changed.clusters, [("web".to_owned(), Effect::Updated)]);
    until(&host, "web", "up", |status| status.running == 4).await;

    // Another container changes nothing for those that run, and counts for those that come.
    let mut other = one(6, &json!({}));
    other.clusters[0].container.max_workers = Some(2);
    let mut same_number = other.clone();
    same_number.clusters[0].workers = 4;
    assert_eq!(host.plan(same_number.clone()).await.expect("legal")[0].effect, Effect::Updated);
    assert_eq!(host.apply(same_number).await.expect("legal").clusters, [("web".to_owned(), Effect::Updated)]);
    assert_eq!(host.status("web").await.expect("there").handles, 4);
    host.apply(other).await.expect("legal");
    let status = until(&host, "web", "up", |status| status.running == 6).await;
    assert_eq!(status.handles, 5, "four of one worker, one of two");
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let host = host().await;
    host.apply(one(2, &json!({}))).await.expect("legal");
    let two = |clusters: Value| config(&json!([{ "name": "memory", "plugin": "memory" }]), &clusters);

    let unknown = one(2, &json!({ "latency": 3 }));
    let error = host.apply(unknown).await.expect_err("an unknown setting");
    assert!(matches!(error, ApplyError::Create { .. }) && error.to_string().contains("latency"), "{error}");

    let other = one(2, &json!({ "capacity": 7 }));
    let error = host.apply(other).await.expect_err("the provider is in use");
    assert!(matches!(error, ApplyError::ProviderInUse { what: "configuration", .. }), "{error}");

    let mut other = one(2, &json!({}));
    other.providers[0].hang_grace = Some(Duration::from_secs(7));
    let error = host.apply(other).await.expect_err("its limits are part of its configuration");
    assert!(matches!(error, ApplyError::ProviderInUse { what: "configuration", .. }), "{error}");

    let missing = config(
        &json!([{ "name": "new", "plugin": "memori" }]),
        &json!([{ "name": "x", "provider": "new", "workers": 1 }]),
    );
    let error = host.apply(missing).await.expect_err("no such plugin");
    assert!(error.to_string().contains("memori") && error.to_string().contains("memory"), "{error}");

    // One good cluster beside one bad: neither comes.
    let mixed = two(json!([
        { "name": "good", "provider": "memory", "workers": 1 },
        { "name": "bad", "provider": "nowhere", "workers": 1 },
    ]));
    assert!(host.apply(mixed).await.is_err());
    let outside = two(json!([{ "name": "web", "provider": "memory", "workers": 9, "policy": { "max": 5 } }]));
    assert!(host.apply(outside).await.is_err());
    let denied = host.command("web", Command::Scale { expected: 2_000_000 }).await;
    assert!(
        matches!(denied, Err(CommandError::Denied { denied: Denied::OutOfLimits { .. }, .. })),
        "{denied:?}"
    );

    let names: Vec<_> = host.clusters().into_iter().map(|cluster| cluster.name).collect();
    assert_eq!(names, ["web"]);
    assert_eq!(host.providers().len(), 1);
    let status = until(&host, "web", "up", |status| status.converged).await;
    assert_eq!(status.running, 2);
    let error = host.command("wep", Command::Stop).await.expect_err("no such cluster");
    assert!(error.to_string().contains("did you mean `web`"), "{error}");
}

#[tokio::test]
async fn a_plan_says_what_would_come_and_does_nothing() {
    let host = host().await;
    let previews = host.plan(one(3, &json!({}))).await.expect("legal");
    assert_eq!((previews[0].effect, previews[0].launch, previews[0].target), (Effect::Created, 3, 3));
    assert!(host.clusters().is_empty() && host.providers().is_empty());
    host.apply(one(3, &json!({}))).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    let previews = host.plan(one(1, &json!({}))).await.expect("legal");
    assert_eq!((previews[0].effect, previews[0].live, previews[0].kill), (Effect::Updated, 3, 2));
    assert_eq!(host.status("web").await.expect("there").running, 3);
}

#[tokio::test]
async fn the_next_host_finds_the_workers_of_the_last() {
    let settings = json!({ "store": "the_next_host_finds_the_workers_of_the_last" });
    let first = host().await;
    first.apply(one(4, &settings)).await.expect("legal");
    until(&first, "web", "up", |status| status.converged).await;
    let names =
        first.workers("web", 0, 10).await.expect("there").workers.into_iter().map(|worker| worker.handle);
    let names: Vec<_> = names.collect();
    assert!(first.shut_down(Leaving::Workers).await);

    let second = host().await;
    let previews = second.plan(one(5, &settings)).await.expect("legal");
    assert_eq!((previews[0].live, previews[0].launch), (4, 1));
    second.apply(one(5, &settings)).await.expect("legal");
    until(&second, "web", "up", |status| status.converged && status.running == 5).await;
    let now = second.workers("web", 0, 10).await.expect("there").workers;
    assert!(names.iter().all(|name| now.iter().any(|worker| worker.handle == *name)));
    let nothing = Leaving::Nothing { patience: PATIENCE };
    assert!(second.shut_down(nothing).await, "all are stopped");
}

#[tokio::test]
async fn the_journal_replays_to_the_same_numbers() {
    let journal = Arc::new(SqliteJournal::in_memory());
    let host = host_with(Arc::clone(&journal) as Arc<dyn Journal>).await;
    host.apply(one(6, &json!({}))).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    host.command("web", Command::Scale { expected: 4 }).await.expect("legal");
    let status = until(&host, "web", "scaled", |status| status.converged).await;
    let claimed = journal.claim("web").await.expect("memory");
    let state = State::replay(&claimed.kept.tail);
    assert_eq!((state.tally().running, state.expected()), (4, 4));
    assert_eq!((state.generation(), state.handle_count()), (status.generation, status.handles));
}
