//! A provider that breaks the contract: the host names the clause, and the command that shows the breach again, wherever it
//! tells of it.

use std::time::Duration;

use longshore_config::Config;
use longshore_runtime::{ApplyError, Host};
use longshore_scaling::Command;
use serde_json::{Value, json};

use crate::{config, eventually, host, until};

/// How often is looked, and how long a kill may take.
const SOON: Duration = Duration::from_millis(50);

/// A cluster `web` on the mutant that breaks what the settings say.
fn web(settings: &Value) -> Config {
    let plugin = longshore_support::example("longshore-mutants", "mutant");
    let mut config = config(
        &json!([{ "name": "bad", "plugin": plugin, "config": settings }]),
        &json!([{ "name": "web", "provider": "bad", "workers": 2 }]),
    );
    let policy = &mut config.clusters[0].policy;
    policy.poll_interval = SOON;
    policy.busy_poll_interval = SOON;
    policy.kill_retry = SOON;
    config
}

fn command(clause: &str) -> String {
    let plugin = longshore_support::example("longshore-mutants", "mutant");
    format!("longshore conformance {} --filter {clause}", plugin.display())
}

async fn begun(settings: &Value) -> Host {
    let host = host().await;
    host.apply(web(settings)).await.expect("the mutant is a plugin like others");
    host
}

#[tokio::test]
async fn a_status_tells_how_to_see_it_again() {
    let host = begun(&json!({ "faults": { "status": "bad_value" } })).await;
    let told =
        |clause: &str, check: Option<&str>| clause == "STATUS-2" && check == Some(&command("STATUS-2"));
    let status = until(&host, "web", "told", |status| {
        status.reasons.iter().any(|it| told(it.reason.clause().unwrap_or_default(), it.check.as_deref()))
    });
    let status = status.await;
    let breach = status.reasons.iter().find(|it| it.check.is_some()).expect("it was seen");
    assert_eq!(breach.text.matches("STATUS-2").count(), 1, "{}", breach.text);
    assert!(status.reasons.iter().all(|it| it.check.is_some() == it.reason.clause().is_some()));
    let document = serde_json::to_value(breach).expect("it can be written");
    assert_eq!(document["check"], command("STATUS-2"));
}

#[tokio::test]
async fn a_history_tells_how_to_see_it_again() {
    let host = begun(&json!({ "faults": { "run": "fewer" }, "times": 1 })).await;
    until(&host, "web", "up", |status| status.converged).await;
    let page = host.history("web", None, 1_000).await.expect("there");
    let breaches: Vec<_> = page.entries.iter().filter(|entry| entry.check.is_some()).collect();
    assert_eq!(breaches.len(), 1, "{page:?}");
    assert_eq!(breaches[0].check, Some(command("RUN-1")));
    assert_eq!(breaches[0].text.matches("RUN-1").count(), 1, "{}", breaches[0].text);
}

#[tokio::test]
async fn a_refusal_to_take_over_tells_how_to_see_it_again() {
    let settings = json!({ "faults": { "list": "duplicate" }, "after": 1 });
    let host = begun(&settings).await;
    until(&host, "web", "up", |status| status.converged).await;
    host.command("web", Command::Delete { force: true }).await.expect("legal");
    eventually("forgotten", async || host.clusters().is_empty()).await;
    let refused = host.reconnect("web", Some(web(&settings))).await;
    let error = refused.expect_err("the list cannot be used");
    assert!(matches!(error, ApplyError::CannotLook { .. }), "{error}");
    let told = error.to_string();
    assert!(told.ends_with(&format!("; to see it again: {}", command("LIST-1"))), "{told}");
}

#[tokio::test]
async fn a_kill_that_kills_nobody_names_the_clause() {
    let host = begun(&json!({ "faults": { "kill": "lie" } })).await;
    until(&host, "web", "up", |status| status.converged).await;
    host.command("web", Command::Stop).await.expect("legal");
    until(&host, "web", "doubted", |status| {
        status.reasons.iter().any(|it| it.check == Some(command("KILL-4")))
    })
    .await;
}
