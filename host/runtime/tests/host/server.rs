//! The life of a cluster's server: before the first worker, after the last, and over again when it has died.

use std::{sync::Arc, time::Duration};

use longshore_config::Config;
use longshore_runtime::{ClusterStatus, Host, Leaving, ServerLife};
use longshore_scaling::{Command, Reason};
use longshore_store::{Journal, SqliteJournal};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    PATIENCE, config, eventually, host, host_with,
    stage::{BY_STATUS, Stage, TOLD, handles},
    until,
};

fn phase(status: &ClusterStatus) -> Option<ServerLife> {
    status.server.as_ref().map(|server| server.phase)
}

fn starts(status: &ClusterStatus) -> u64 {
    status.server.as_ref().map_or(0, |server| server.starts)
}

fn says(status: &ClusterStatus, words: &str) -> bool {
    status.reasons.iter().any(|reason| reason.text.contains(words))
}

async fn up(host: &Host, workers: u64) -> ClusterStatus {
    until(host, "web", "up", |status| {
        status.converged && status.running == workers && phase(status) == Some(ServerLife::Up)
    })
    .await
}

#[tokio::test]
async fn the_server_comes_first_and_goes_last() {
    let (stage, host) = (Stage::new(), host().await);
    stage.put("slow", "");
    host.apply(stage.web(2, Some(BY_STATUS), TOLD)).await.expect("legal");
    let starting = until(&host, "web", "starting", |status| {
        phase(status) == Some(ServerLife::Starting)
            && says(status, "no worker is launched before the server is up")
    })
    .await;
    assert_eq!((starting.launching, starting.handles, starting.converged), (0, 0, false));
    // The number is kept for when there is one.
    host.command("web", Command::Scale { expected: 3 }).await.expect("legal");
    assert_eq!(stage.count("run"), 0, "{:?}", stage.said());

    stage.remove("slow");
    let status = up(&host, 3).await;
    let server = status.server.expect("it has one");
    assert_eq!((server.address.as_deref(), server.starts), (Some("127.0.0.1:7000"), 1));
    let said = stage.said();
    assert!(said[0].starts_with("run_server") && said[1].starts_with("run 1: 127.0.0.1:7000"), "{said:?}");

    host.command("web", Command::Stop).await.expect("legal");
    let stopped = until(&host, "web", "stopped", |status| status.converged).await;
    assert_eq!((phase(&stopped), stopped.expected, stopped.handles), (Some(ServerLife::Down), 3, 0));
    let said = stage.said();
    assert_eq!(said.iter().position(|line| line == "stop_server"), Some(said.len() - 1), "{said:?}");
    assert_eq!((stage.count("kill"), stage.has("server")), (3, false));

    host.command("web", Command::Start).await.expect("legal");
    up(&host, 3).await;
    assert_eq!((stage.count("run_server"), stage.count("run")), (2, 6));
}

#[tokio::test]
async fn while_the_server_is_down_nobody_is_launched_and_nobody_is_killed() {
    let (stage, host) = (Stage::new(), host().await);
    host.apply(stage.web(3, Some(BY_STATUS), TOLD)).await.expect("legal");
    up(&host, 3).await;
    let before = handles(&host).await;

    stage.put("slow", "");
    stage.remove("server");
    until(&host, "web", "starting", |status| phase(status) == Some(ServerLife::Starting)).await;
    stage.remove(&format!("workers/{}", before[0]));
    let down = until(&host, "web", "short of one", |status| {
        phase(status) == Some(ServerLife::Starting) && status.running == 2
    })
    .await;
    assert_eq!((down.expected, down.launching), (3, 0));
    // A look at everything is taken, and still nobody is launched.
    host.command("web", Command::Refresh).await.expect("legal");
    host.fresh_status("web").await.expect("there");
    assert_eq!((stage.count("run"), stage.count("kill")), (3, 0), "{:?}", stage.said());

    stage.remove("slow");
    let status = up(&host, 3).await;
    assert_eq!(starts(&status), 2);
    let after = handles(&host).await;
    assert!(before[1..].iter().all(|handle| after.contains(handle)), "at the same address they live on");
    assert_eq!((stage.count("run"), stage.count("kill")), (4, 0), "{:?}", stage.said());
}

/// The handles before and after a server died and was started again, at another address where it moved.
async fn after_a_death(policy: &str, moves: bool) -> (Vec<String>, Vec<String>, Vec<String>) {
    let (stage, host) = (Stage::new(), host().await);
    host.apply(stage.web(3, Some(&format!("{BY_STATUS}\n{policy}")), TOLD)).await.expect("legal");
    up(&host, 3).await;
    let before = handles(&host).await;
    let said = stage.said().len();
    if moves {
        stage.put("address", "10.1.2.3:7001");
    }
    stage.remove("server");
    until(&host, "web", "up again", |status| starts(status) == 2 && status.converged).await;
    let after = handles(&host).await;
    assert_eq!(stage.workers(), after, "no more and no fewer than the host knows");
    (before, after, stage.said().split_off(said))
}

#[tokio::test]
async fn a_server_that_moved_has_its_workers_replaced() {
    let (before, after, said) = after_a_death("", true).await;
    assert!(after.iter().all(|handle| !before.contains(handle)), "{before:?}, {after:?}");
    let told: Vec<_> = said.iter().filter(|line| line.starts_with("run ")).collect();
    assert!(told.len() == 3 && told.iter().all(|line| line.contains("10.1.2.3:7001")), "{said:?}");

    let (before, after, _) = after_a_death("", false).await;
    assert_eq!(before, after, "at the same address they live on");
}

#[tokio::test]
async fn what_becomes_of_the_workers_is_the_operators_to_say() {
    let (before, after, _) = after_a_death("on_restart = \"keep\"", true).await;
    assert_eq!(before, after);
    let (before, after, _) = after_a_death("on_restart = \"replace\"", false).await;
    assert!(after.iter().all(|handle| !before.contains(handle)), "{before:?}, {after:?}");
}

#[tokio::test]
async fn a_deleted_cluster_leaves_neither_a_server_nor_what_was_left_behind() {
    let (stage, host) = (Stage::new(), host().await);
    host.apply(stage.web(2, Some(BY_STATUS), TOLD)).await.expect("legal");
    up(&host, 2).await;
    host.command("web", Command::Delete { force: false }).await.expect("legal");
    eventually("deleted", async || host.clusters().is_empty()).await;
    let said = stage.said();
    assert_eq!(said[said.len() - 2..], ["stop_server", "cleanup --deep"]);
    assert!(!stage.has("server") && stage.workers().is_empty());
}

#[tokio::test]
async fn a_cluster_that_is_forgotten_by_force_is_left_as_it_is() {
    let (stage, host) = (Stage::new(), host().await);
    host.apply(stage.web(2, Some(BY_STATUS), TOLD)).await.expect("legal");
    up(&host, 2).await;
    host.command("web", Command::Delete { force: true }).await.expect("legal");
    eventually("forgotten", async || host.clusters().is_empty()).await;
    assert!(stage.has("server") && stage.workers().len() == 2, "{:?}", stage.said());
    assert_eq!(stage.count("cleanup"), 0, "what is given up may be in use still");
}

#[tokio::test]
async fn the_next_host_brings_both_back_that_rested() {
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::in_memory());
    let (stage, first) = (Stage::new(), host_with(Arc::clone(&journal)).await);
    first.apply(stage.web(2, Some(BY_STATUS), TOLD)).await.expect("legal");
    up(&first, 2).await;
    assert!(first.shut_down(Leaving::Nothing { patience: PATIENCE }).await);
    assert_eq!(stage.said().last().map(String::as_str), Some("stop_server"));
    assert!(!stage.has("server") && stage.workers().is_empty());
    drop(first);

    let second = host_with(journal).await;
    let status = up(&second, 2).await;
    assert_eq!((starts(&status), status.resting), (2, false));
    assert_eq!((stage.count("run_server"), stage.count("run")), (2, 4));
}

#[tokio::test]
async fn the_next_host_finds_both_that_were_left() {
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::in_memory());
    let (stage, first) = (Stage::new(), host_with(Arc::clone(&journal)).await);
    first.apply(stage.web(2, Some(BY_STATUS), TOLD)).await.expect("legal");
    up(&first, 2).await;
    let before = handles(&first).await;
    assert!(first.shut_down(Leaving::Workers).await);
    drop(first);

    let second = host_with(Arc::clone(&journal)).await;
    let status = up(&second, 2).await;
    assert_eq!((starts(&status), handles(&second).await), (1, before.clone()));
    // As after a death: nobody is told.
    drop(second);
    // While there is no host, the server dies; its workers live on.
    stage.remove("server");
    let third = host_with(journal).await;
    let status = until(&third, "web", "up again", |status| status.converged && starts(status) == 2).await;
    assert_eq!((status.running, handles(&third).await), (2, before));
    assert_eq!((stage.count("run_server"), stage.count("run"), stage.count("kill")), (2, 2, 0));
}

#[tokio::test]
async fn each_cluster_is_left_as_its_own_configuration_says() {
    for (unless_said, left) in [(true, ["goes"].as_slice()), (false, &["goes", "unsaid"])] {
        let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::in_memory());
        let host = host_with(journal).await;
        let stages = [("goes", Some(false)), ("stays", Some(true)), ("unsaid", None)];
        let stages = stages.map(|(name, stop_on_exit)| (name, stop_on_exit, Stage::new()));
        for (name, stop_on_exit, stage) in &stages {
            let mut config = stage.cluster(name, 1, Some(BY_STATUS), TOLD);
            config.clusters[0].stop_on_exit = *stop_on_exit;
            host.apply(config).await.expect("legal");
            until(&host, name, "up", |status| status.converged).await;
        }
        assert_eq!(host.left_running(unless_said).await, left);
        assert!(host.shut_down(Leaving::AsEachSays { unless_said, patience: PATIENCE }).await);
        for (name, _, stage) in &stages {
            let is_there = (stage.has("server"), stage.workers().len());
            let wanted = if left.contains(name) { (true, 1) } else { (false, 0) };
            assert_eq!(is_there, wanted, "{name}, {unless_said}");
        }
    }
}

fn with_server(plugin: &Value, settings: &Value, server: &Value) -> Config {
    let cluster = json!({ "name": "web", "provider": "there", "workers": 2, "server": server });
    let mut config =
        config(&json!([{ "name": "there", "plugin": plugin, "config": settings }]), &json!([cluster]));
    let policy = &mut config.clusters[0].policy;
    policy.busy_poll_interval = Duration::from_millis(10);
    (policy.backoff, policy.backoff_max) = (Duration::from_millis(10), Duration::from_millis(50));
    config
}

#[tokio::test]
async fn a_server_that_fails_to_start_is_tried_again_and_told_of() {
    let host = host().await;
    let failures =
        json!({ "fail": { "server": { "first": 4, "kind": "retryable", "message": "no machine is free" } } });
    let server = json!({ "source": { "managed": {} }, "probe": "status" });
    host.apply(with_server(&json!("memory"), &failures, &server)).await.expect("legal");
    let status = up(&host, 2).await;
    let address = status.server.and_then(|server| server.address);
    assert_eq!(address.as_deref(), Some("web.memory.invalid"), "without a port, where none is known");
    let page = host.history("web", None, 1_000).await.expect("there");
    let tried = page.entries.iter().filter(|entry| entry.text == "starting the server").count();
    assert!(tried > 1, "{page:?}");
}

#[tokio::test]
async fn a_server_that_can_never_start_says_so_and_can_be_mended_without_a_stop() {
    let host = host().await;
    let plugin = json!(longshore_support::example("longshore-mutants", "mutant"));
    let settings = json!({ "faults": { "run_server": "permanent" } });
    let server =
        |arg: &str| json!({ "source": { "managed": { "container": { "args": [arg] } } }, "probe": "status" });
    let mut config = with_server(&plugin, &settings, &server("one"));
    config.clusters[0].policy.backoff_max = Duration::from_mins(5);
    host.apply(config).await.expect("legal");
    let status = until(&host, "web", "told of", |status| says(status, "the server failed to start")).await;
    assert!(says(&status, "the mutant fails in RunServer"), "{status:?}");
    assert_eq!((status.handles, phase(&status)), (0, Some(ServerLife::Down)));
    // Nothing is there that another one could come into conflict with.
    host.apply(with_server(&plugin, &settings, &server("two"))).await.expect("it can be mended");
    host.command("web", Command::Delete { force: false }).await.expect("legal");
    eventually("deleted", async || host.clusters().is_empty()).await;
}

#[tokio::test]
async fn a_start_that_hangs_is_told_of_and_ends_well() {
    let folder = tempdir().expect("a temporary folder");
    let (release, entered) = (folder.path().join("release"), folder.path().join("entered"));
    let settings =
        json!({ "faults": { "run_server": "hang" }, "times": 1, "release": release, "entered": entered });
    let plugin = json!(longshore_support::example("longshore-mutants", "mutant"));
    let server = json!({ "source": { "managed": {} }, "probe": "status" });
    let mut config = with_server(&plugin, &settings, &server);
    config.clusters[0].deadlines.server = Duration::from_millis(50);
    let host = host().await;
    host.apply(config).await.expect("legal");
    let status = until(&host, "web", "told of", |status| {
        status.reasons.iter().any(|reason| matches!(reason.reason, Reason::ServerHangs))
    })
    .await;
    assert_eq!((status.handles, status.converged, entered.exists()), (0, false, true));
    // Who stops it meanwhile waits for what may yet come of that call, and has nothing left behind.
    host.command("web", Command::Stop).await.expect("legal");
    let waiting = host.status("web").await.expect("there");
    assert!(!waiting.converged && phase(&waiting) != Some(ServerLife::Down), "{waiting:?}");
    std::fs::write(&release, "").expect("a file in a folder of our own");
    let stopped = until(&host, "web", "stopped", |status| status.converged).await;
    assert_eq!(phase(&stopped), Some(ServerLife::Down));
    host.command("web", Command::Start).await.expect("legal");
    up(&host, 2).await;
}

#[tokio::test]
async fn a_host_ends_though_the_start_of_a_server_hangs() {
    let folder = tempdir().expect("a temporary folder");
    let release = folder.path().join("release");
    let settings = json!({ "faults": { "run_server": "hang" }, "release": release, "hang_ms": 5_000 });
    let plugin = json!(longshore_support::example("longshore-mutants", "mutant"));
    let server = json!({ "source": { "managed": {} }, "probe": "status" });
    let host = host().await;
    host.apply(with_server(&plugin, &settings, &server)).await.expect("legal");
    until(&host, "web", "starting", |status| phase(status) == Some(ServerLife::Starting)).await;
    let leaving = Leaving::Nothing { patience: Duration::from_millis(200) };
    let done = tokio::time::timeout(PATIENCE, host.shut_down(leaving)).await.expect("it ends");
    assert!(!done, "what came of the call is not known");
    std::fs::write(&release, "").expect("a file in a folder of our own");
}

#[tokio::test]
async fn a_server_that_is_not_up_in_time_is_started_anew() {
    let (stage, host) = (Stage::new(), host().await);
    stage.put("slow", "");
    let server = format!("{BY_STATUS}\nstart_timeout = \"1s\"");
    host.apply(stage.web(1, Some(&server), TOLD)).await.expect("legal");
    eventually("stopped", async || stage.count("stop_server") > 0).await;
    stage.remove("slow");
    up(&host, 1).await;
    assert!(stage.count("run_server") > 1, "{:?}", stage.said());
    let page = host.history("web", None, 1_000).await.expect("there");
    assert!(page.entries.iter().any(|entry| entry.text == "stopping the server, which was not up in time"));
}
