//! The password of a server: made once, kept, told to its containers and to whoever asks for it, and to nobody else.

use std::sync::Arc;

use longshore_runtime::{ApplyError, CommandError, Host};
use longshore_scaling::{Command, Denied};
use longshore_store::{Journal, SqliteJournal};

use crate::{
    eventually, host, host_with,
    stage::{BY_STATUS, Listening, Stage, TOLD},
    until,
};

async fn password(host: &Host) -> Option<String> {
    let (_, password) = host.server("web").await.expect("it has a server");
    password.map(|password| password.reveal().to_owned())
}

async fn up(host: &Host) {
    until(host, "web", "up", |status| status.converged && status.running > 0).await;
}

/// Stops the cluster, and starts it again.
async fn again(host: &Host) {
    host.command("web", Command::Stop).await.expect("legal");
    until(host, "web", "stopped", |status| status.converged && status.handles == 0).await;
    host.command("web", Command::Start).await.expect("legal");
    up(host).await;
}

const SERVER: &str =
    "probe = \"status\"\nport = 7000\n[cluster.server.container]\nargs = [\"${server.password}\"]";

#[tokio::test]
async fn one_is_made_and_kept() {
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::in_memory());
    let (stage, first) = (Stage::new(), host_with(Arc::clone(&journal)).await);
    let config = stage.web(2, Some(SERVER), TOLD);
    let planned = first.plan(config.clone()).await.expect("legal");
    assert!(!format!("{planned:?}").contains("assword"), "{planned:?}");
    first.apply(config.clone()).await.expect("legal");
    up(&first).await;
    let made = password(&first).await.expect("one was made");
    assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "128 random bits");
    let said = stage.said();
    assert!(said.iter().all(|line| line.contains(&made)), "all are told the same: {said:?}");

    first.apply(config.clone()).await.expect("legal");
    assert_eq!(password(&first).await.as_ref(), Some(&made), "applied again");
    again(&first).await;
    drop(first);
    let second = host_with(journal).await;
    up(&second).await;
    assert_eq!(password(&second).await.as_ref(), Some(&made), "the next host");
    let unchanged = second.apply(config.clone()).await.expect("legal");
    assert_eq!(unchanged.clusters[0].1, longshore_runtime::Effect::Unchanged);
    let mut more = config.clone();
    more.clusters[0].workers = 5;
    second.apply(more).await.expect("legal");
    until(&second, "web", "up", |status| status.running == 5).await;
    assert_eq!(password(&second).await.as_ref(), Some(&made), "applied anew");
    assert!(
        stage
            .said()
            .iter()
            .filter(|line| *line != "kill" && *line != "stop_server")
            .all(|it| it.contains(&made))
    );

    second.command("web", Command::Delete { force: false }).await.expect("legal");
    eventually("deleted", async || second.clusters().is_empty()).await;
    second.apply(config).await.expect("legal");
    assert_ne!(password(&second).await.as_ref(), Some(&made), "another cluster has another");
}

#[tokio::test]
async fn one_that_is_given_is_taken_and_changes_when_the_server_is_down() {
    let (stage, host) = (Stage::new(), host().await);
    let given = |password: &str| {
        let server = format!("password = {password:?}\n{SERVER}");
        stage.web(1, Some(&server), TOLD)
    };
    host.apply(given("swordfish")).await.expect("legal");
    up(&host).await;
    assert_eq!(password(&host).await.as_deref(), Some("swordfish"));
    // Left out, it is what it was.
    host.apply(stage.web(1, Some(SERVER), TOLD)).await.expect("legal");
    assert_eq!(password(&host).await.as_deref(), Some("swordfish"));
    let refused = host.apply(given("hunter2")).await;
    let is_there = |error: &ApplyError| {
        matches!(error, ApplyError::Command(CommandError::Denied { denied: Denied::ServerIsThere, .. }))
    };
    assert!(refused.as_ref().is_err_and(is_there), "{refused:?}");
    assert_eq!(password(&host).await.as_deref(), Some("swordfish"));

    host.command("web", Command::Stop).await.expect("legal");
    until(&host, "web", "stopped", |status| status.converged && status.handles == 0).await;
    host.apply(given("hunter2")).await.expect("nobody knows the other one any more");
    host.command("web", Command::Start).await.expect("legal");
    up(&host).await;
    assert_eq!(password(&host).await.as_deref(), Some("hunter2"));
    let said = stage.said();
    assert!(said[said.len() - 2].starts_with("run_server: hunter2"), "{said:?}");
}

#[tokio::test]
async fn that_of_a_server_of_others_is_not_taken_for_ours() {
    let (stage, host) = (Stage::new(), host().await);
    let listening = Listening::at(0).await;
    let external = format!("external = \"127.0.0.1:{}\"", listening.port);
    let without = "args = [\"${server.host}\"]";
    host.apply(stage.web(1, Some(&external), without)).await.expect("legal");
    assert_eq!(password(&host).await, None, "none is made for a server of others");
    let theirs = format!("{external}\npassword = \"swordfish\"");
    host.apply(stage.web(1, Some(&theirs), TOLD)).await.expect("legal");
    until(&host, "web", "up", |status| status.running == 1).await;
    assert_eq!(password(&host).await.as_deref(), Some("swordfish"));
    host.apply(stage.web(1, Some(BY_STATUS), TOLD)).await.expect("nothing of ours is there");
    let ours = password(&host).await.expect("one was made");
    assert_ne!(ours, "swordfish");
}

#[tokio::test]
async fn nothing_that_is_told_has_it() {
    let (stage, host) = (Stage::new(), host().await);
    let server = format!("password = \"correct horse\"\n{SERVER}");
    host.apply(stage.web(2, Some(&server), TOLD)).await.expect("legal");
    up(&host).await;
    // From here on every answer of the provider is an error that repeats all that it was told.
    stage.put("tattle", "");
    host.command("web", Command::Scale { expected: 3 }).await.expect("legal");
    let status = until(&host, "web", "told of", |status| {
        let told = |what: &str| status.reasons.iter().any(|reason| reason.text.contains(what));
        told("run was told")
            && told("status was told")
            && told("list was told")
            && told("server_status was told")
    })
    .await;
    host.command("web", Command::Stop).await.expect("legal");
    until(&host, "web", "told of", |status| {
        status.reasons.iter().any(|reason| reason.text.contains("kill was told"))
    })
    .await;
    let cleaning = host.clean_up("web", true).await.expect_err("it fails");
    let history = host.history("web", None, 1_000).await.expect("there");
    let documents = [
        serde_json::to_string(&host.status("web").await.expect("there")).expect("it can be written"),
        serde_json::to_string(&status).expect("it can be written"),
        serde_json::to_string(&history).expect("it can be written"),
        format!("{cleaning} {cleaning:?}"),
        format!("{:?} {:?}", host.providers(), host.clusters()),
        format!("{:?}", host.plan(stage.web(1, Some(&server), TOLD)).await),
    ];
    for document in &documents {
        assert!(!document.contains("correct horse"), "{document}");
    }
    for told in &documents[..4] {
        assert!(told.contains("***"), "it is hidden, and not only absent: {told}");
    }
    stage.remove("tattle");
    until(&host, "web", "stopped", |status| status.converged).await;
}

#[tokio::test]
async fn one_that_is_not_known_is_not_made_up_for_a_server_that_runs() {
    let (stage, first) = (Stage::new(), host().await);
    let config = stage.web(2, Some(SERVER), TOLD);
    first.apply(config.clone()).await.expect("legal");
    up(&first).await;
    let made = password(&first).await.expect("one was made");
    // The host is lost, and its state with it.
    drop(first);

    let second = host().await;
    let refused = [
        second.plan(config.clone()).await.map(drop),
        second.apply(config.clone()).await.map(drop),
        second.reconnect("web", Some(config.clone())).await.map(drop),
    ];
    for outcome in &refused {
        assert!(
            matches!(outcome, Err(ApplyError::PasswordUnknown { cluster }) if cluster == "web"),
            "{outcome:?}"
        );
    }
    assert!(second.clusters().is_empty() && stage.count("run_server") == 1);
    // Where nobody is told of it, it does not matter.
    let untold = stage.web(2, Some(BY_STATUS), "args = []");
    second.plan(untold).await.expect("legal");
    let given = stage.web(2, Some(&format!("password = {made:?}\n{SERVER}")), TOLD);
    assert_eq!(second.reconnect("web", Some(given)).await.expect("it runs"), Some(2));
    up(&second).await;
    second.command("web", Command::Scale { expected: 3 }).await.expect("legal");
    until(&second, "web", "up", |status| status.converged && status.running == 3).await;
    assert_eq!((stage.count("run_server"), stage.count("run")), (1, 3));
    assert!(stage.said().iter().all(|line| line.contains(&made)), "{:?}", stage.said());
}
