//! Servers that others run, and whether one can be reached: real sockets of this machine.

use longshore_config::Config;
use longshore_runtime::{ClusterStatus, Host, ServerLife};
use longshore_scaling::{Command, ServerKind};

use crate::{
    host,
    stage::{Listening, Stage, handles},
    until,
};

const TOLD: &str = "args = [\"${server.host}:${server.port}\"]";

fn phase(status: &ClusterStatus) -> Option<ServerLife> {
    status.server.as_ref().map(|server| server.phase)
}

fn external(stage: &Stage, workers: u32, port: u16, more: &str) -> Config {
    stage.web(workers, Some(&format!("external = \"127.0.0.1:{port}\"\n{more}")), TOLD)
}

async fn up(host: &Host, workers: u64) -> ClusterStatus {
    until(host, "web", "up", |status| status.converged && status.running == workers).await
}

#[tokio::test]
async fn workers_wait_for_a_server_of_others_and_outlive_its_absence() {
    let (stage, host) = (Stage::new(), host().await);
    let port = Listening::at(0).await.end().await;
    host.apply(external(&stage, 2, port, "")).await.expect("legal");
    let waiting = until(&host, "web", "waiting", |status| {
        let told = format!("127.0.0.1:{port} cannot be reached: Connection refused");
        status.reasons.iter().any(|reason| reason.text.contains(&told))
    })
    .await;
    assert_eq!((waiting.launching, waiting.handles, waiting.expected), (0, 0, 2));
    assert_eq!(phase(&waiting), Some(ServerLife::Down));

    let listening = Listening::at(port).await;
    let status = up(&host, 2).await;
    let server = status.server.expect("it has one");
    assert_eq!(server.kind, ServerKind::External);
    assert_eq!(server.address, Some(format!("127.0.0.1:{port}")));
    let before = handles(&host).await;

    listening.end().await;
    until(&host, "web", "without a server", |status| phase(status) == Some(ServerLife::Lost)).await;
    host.command("web", Command::Scale { expected: 4 }).await.expect("legal");
    host.command("web", Command::Refresh).await.expect("legal");
    let without = host.fresh_status("web").await.expect("there");
    assert_eq!((without.expected, without.running, without.launching), (4, 2, 0), "{without:?}");
    assert_eq!((stage.count("run"), handles(&host).await), (2, before.clone()), "who lives is left alone");

    // It is back: those of before are launched no second time.
    let _listening = Listening::at(port).await;
    up(&host, 4).await;
    let after = handles(&host).await;
    assert!(before.iter().all(|handle| after.contains(handle)), "{before:?}, {after:?}");

    host.command("web", Command::Stop).await.expect("legal");
    until(&host, "web", "stopped", |status| status.converged && status.handles == 0).await;
    assert_eq!(stage.count("run_server") + stage.count("stop_server"), 0, "it is none of ours");
}

#[tokio::test]
async fn another_server_has_the_workers_replaced_unless_they_are_kept() {
    for (policy, is_kept) in
        [("", false), ("on_restart = \"replace\"", false), ("on_restart = \"keep\"", true)]
    {
        let (stage, host) = (Stage::new(), host().await);
        let (one, other) = (Listening::at(0).await, Listening::at(0).await);
        host.apply(external(&stage, 2, one.port, policy)).await.expect("legal");
        up(&host, 2).await;
        let before = handles(&host).await;
        host.apply(external(&stage, 3, other.port, policy)).await.expect("it is not ours to stop");
        let address = Some(format!("127.0.0.1:{}", other.port));
        until(&host, "web", "at the other one", |status| {
            let is_there = status.server.as_ref().is_some_and(|server| server.address == address);
            is_there && status.converged && status.running == 3
        })
        .await;
        let kept = handles(&host).await.iter().filter(|handle| before.contains(handle)).count();
        assert_eq!(kept, if is_kept { 2 } else { 0 }, "{policy}");
        let told = stage.said().into_iter().filter(|line| line.ends_with(&other.port.to_string())).count();
        assert_eq!(told, if is_kept { 1 } else { 3 }, "{policy}: {:?}", stage.said());
    }
}

#[tokio::test]
async fn a_server_of_ours_is_up_when_it_can_be_reached() {
    let (stage, host) = (Stage::new(), host().await);
    let port = Listening::at(0).await.end().await;
    host.apply(stage.web(2, Some(&format!("port = {port}")), TOLD)).await.expect("legal");
    let starting = until(&host, "web", "out of reach", |status| {
        status.reasons.iter().any(|reason| reason.text.contains("Connection refused"))
    })
    .await;
    assert_eq!((phase(&starting), starting.handles), (Some(ServerLife::Starting), 0));
    assert!(stage.has("server"), "its provider says that it runs");

    let listening = Listening::at(port).await;
    up(&host, 2).await;
    let before = handles(&host).await;
    // It runs, and takes no connections: it may be busy, and another one in its place would lose what it knows.
    listening.end().await;
    until(&host, "web", "out of reach", |status| phase(status) == Some(ServerLife::Lost)).await;
    let _listening = Listening::at(port).await;
    let status = up(&host, 2).await;
    assert_eq!((status.server.map(|server| server.starts), handles(&host).await), (Some(1), before));
    assert_eq!((stage.count("run_server"), stage.count("stop_server"), stage.count("run")), (1, 0, 2));
}

#[tokio::test]
async fn a_server_without_a_port_says_what_is_missing() {
    let (stage, host) = (Stage::new(), host().await);
    host.apply(stage.web(1, Some(""), "args = [\"${server.host}\"]")).await.expect("legal");
    let status = until(&host, "web", "told of", |status| {
        status.reasons.iter().any(|reason| reason.text.contains("give the server a `port`"))
    })
    .await;
    assert_eq!(status.handles, 0);
    // Where nobody connects, none is needed; but a worker that is told of it cannot be.
    let other = host.apply(stage.web(1, Some("probe = \"status\""), TOLD)).await;
    other.expect("what it runs is as before");
    let status = until(&host, "web", "told of", |status| {
        status.reasons.iter().any(|reason| reason.text.contains("set `port` in [cluster.server]"))
    })
    .await;
    assert_eq!((status.handles, phase(&status)), (0, Some(ServerLife::Up)), "{status:?}");
    host.apply(stage.web(1, Some("probe = \"status\""), "args = [\"${server.host}\"]")).await.expect("legal");
    up(&host, 1).await;
}
