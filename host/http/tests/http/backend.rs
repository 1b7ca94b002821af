//! The routes about a cluster's server, and about what stopped workers left behind.

use std::path::Path;

use longshore_config::Config;
use longshore_http::{ClientError, ProblemKind};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::house::{Answer, House};

/// The cluster `web` on the memory provider, with a server; and `plain`, which has none, on one whose cleanups fail.
fn config() -> Config {
    let text = r#"
[[provider]]
name = "memory"
[[provider]]
name = "failing"
plugin = "memory"
[provider.config]
fail.cleanup = { every = 2, kind = "unreachable", message = "the disk is away" }

[[cluster]]
name = "web"
provider = "memory"
workers = 2
[cluster.scaling]
busy_poll_interval = "10ms"
[cluster.server]
probe = "status"
port = 7000
password = "swordfish"

[[cluster]]
name = "plain"
provider = "failing"
workers = 1
"#;
    Config::parse(text, Path::new("web.toml")).expect("a good configuration")
}

async fn house() -> House {
    let house = House::empty().await;
    house.client.apply(&config()).await.expect("a good configuration");
    house.until_converged("web").await;
    house.until_converged("plain").await;
    house
}

fn kind(outcome: Result<impl Sized, ClientError>) -> ProblemKind {
    match outcome {
        Err(ClientError::Refused(problem)) => problem.kind,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was not refused"),
    }
}

#[track_caller]
fn refused(answer: &Answer, status: StatusCode, kind: &str, words: &[&str]) {
    assert_eq!((answer.status, &answer.json["error"]["kind"]), (status, &json!(kind)), "{answer:?}");
    let message = answer.json["error"]["message"].as_str().expect("a message");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[tokio::test]
async fn a_server_and_its_password() {
    let house = house().await;
    let answer = house.send(Method::GET, "/v1/clusters/web/server", "").await;
    let since = answer.json["server"]["since"].clone();
    assert!(since.is_u64(), "{answer:?}");
    let server = json!({
        "kind": "managed", "phase": "up", "since": since, "address": "web.memory.invalid:7000", "starts": 1,
    });
    assert_eq!((answer.status, answer.json), (StatusCode::OK, json!({"cluster": "web", "server": server})));
    let answer = house.send(Method::GET, "/v1/clusters/web/server?password=true", "").await;
    assert_eq!(answer.json, json!({"cluster": "web", "server": server, "password": "swordfish"}));

    // Nobody else tells it.
    let status = house.send(Method::GET, "/v1/clusters/web", "").await.json;
    assert_eq!(status["server"], server);
    for path in ["/v1/clusters", "/v1/clusters/web", "/v1/clusters/web/history", "/v1/providers"] {
        let answer = house.send(Method::GET, path, "").await;
        assert!(!answer.json.to_string().contains("swordfish"), "{path}: {answer:?}");
    }
    let history = house.send(Method::GET, "/v1/clusters/web/history", "").await.json;
    assert_eq!(history["entries"][0]["defined"]["server"]["password"], "***", "{history}");
    let body = serde_json::to_string(&config()).expect("it can be written");
    for path in ["/v1/plan", "/v1/apply"] {
        let answer = house.send(Method::POST, path, body.clone()).await;
        assert!(answer.status.is_success() && !answer.json.to_string().contains("swordfish"), "{answer:?}");
    }

    let details = house.client.server("web", false).await.expect("it has one");
    assert_eq!((details.password, details.server.is_up()), (None, true));
    let details = house.client.server("web", true).await.expect("it has one");
    assert_eq!(details.password.as_deref(), Some("swordfish"));
    let plain = house.send(Method::GET, "/v1/clusters/plain", "").await.json;
    assert_eq!(plain.get("server"), None::<&Value>);
    house.end().await;
}

#[tokio::test]
async fn a_cleanup() {
    let house = house().await;
    let answer = house.send(Method::POST, "/v1/clusters/web/cleanup", "").await;
    assert_eq!((answer.status, answer.json), (StatusCode::OK, json!({"cluster": "web", "deep": false})));
    let done = house.client.clean_up("web", true).await.expect("it has a cleanup");
    assert_eq!((done.cluster.as_str(), done.deep), ("web", true));
    house.client.clean_up("plain", false).await.expect("every other one fails");
    let answer = house.send(Method::POST, "/v1/clusters/plain/cleanup?deep=true", "").await;
    refused(
        &answer,
        StatusCode::BAD_GATEWAY,
        "provider_failed",
        &["plain", "could be removed", "the disk is away"],
    );
    house.end().await;
}

#[tokio::test]
async fn what_is_asked_of_what_is_not_there() {
    let house = house().await;
    let before = house.client.cluster("web").await.expect("there");
    let answer = house.send(Method::GET, "/v1/clusters/plain/server", "").await;
    refused(&answer, StatusCode::CONFLICT, "denied", &["plain", "no server", "[cluster.server]"]);
    assert_eq!(kind(house.client.server("plain", true).await), ProblemKind::Denied);
    for (method, path) in [(Method::GET, "server"), (Method::POST, "cleanup")] {
        let answer = house.send(method.clone(), &format!("/v1/clusters/wbe/{path}"), "").await;
        refused(&answer, StatusCode::NOT_FOUND, "no_such_cluster", &["`wbe`", "did you mean `web`"]);
        let wrong = if method == Method::GET { Method::POST } else { Method::GET };
        let answer = house.send(wrong, &format!("/v1/clusters/web/{path}"), "").await;
        refused(&answer, StatusCode::METHOD_NOT_ALLOWED, "wrong_method", &[path]);
        for query in ["password=perhaps", "deep=perhaps", "shallow=true"] {
            let answer = house.send(method.clone(), &format!("/v1/clusters/web/{path}?{query}"), "").await;
            refused(&answer, StatusCode::BAD_REQUEST, "bad_request", &[]);
        }
    }
    let mut other = config();
    other.clusters[0].server.as_mut().expect("it has one").password =
        Some(longshore_config::Secret::new("hunter2"));
    for outcome in [house.client.apply(&other).await.map(drop), house.client.plan(&other).await.map(drop)] {
        let Err(ClientError::Refused(problem)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(problem.kind, ProblemKind::Denied);
        assert!(
            problem.message.contains("longshore stop") && !problem.message.contains("hunter2"),
            "{problem}"
        );
    }
    assert_eq!(house.client.cluster("web").await.expect("there"), before);
    house.end().await;
}

#[tokio::test]
async fn a_password_that_is_wrong_is_not_repeated() {
    let house = House::empty().await;
    let mut document = serde_json::to_value(config()).expect("it can be written");
    for wrong in [json!(" swordfish"), json!(12_345_678), json!(["swordfish"]), json!("")] {
        document["clusters"][0]["server"]["password"] = wrong;
        let answer = house.send(Method::POST, "/v1/apply", document.to_string()).await;
        refused(&answer, StatusCode::UNPROCESSABLE_ENTITY, "bad_config", &["password"]);
        let told = answer.json.to_string();
        assert!(!told.contains("swordfish") && !told.contains("12345678"), "{told}");
    }
    house.end().await;
}
