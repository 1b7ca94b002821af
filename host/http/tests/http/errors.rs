//! What the routes answer when something is wrong: JSON, under a code that fits, and without any effect.

use longshore_http::wire::ClusterStatus;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::house::{Answer, House, web};

async fn state(house: &House) -> ClusterStatus {
    house.until_converged("web").await;
    house.client.cluster("web").await.expect("the cluster")
}

#[track_caller]
fn refused(answer: &Answer, status: StatusCode, kind: &str, words: &[&str]) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.json["error"]["kind"], kind, "{answer:?}");
    let message = answer.json["error"]["message"].as_str().expect("a message");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[tokio::test]
async fn routes_and_methods_that_are_none() {
    let house = House::with_web().await;
    for path in ["/", "/v1", "/v2/host", "/v1/clusters/web/scale/more", "/v1/hosts"] {
        let answer = house.send(Method::GET, path, "").await;
        refused(&answer, StatusCode::NOT_FOUND, "no_such_route", &[path]);
    }
    for (method, path) in [
        (Method::DELETE, "/v1/host"),
        (Method::GET, "/v1/apply"),
        (Method::PUT, "/v1/clusters/web"),
        (Method::GET, "/v1/clusters/web/scale"),
    ] {
        let answer = house.send(method.clone(), path, "").await;
        refused(&answer, StatusCode::METHOD_NOT_ALLOWED, "wrong_method", &[path, method.as_str()]);
    }
    house.end().await;
}

#[tokio::test]
async fn bodies_and_queries_that_are_not_understood() {
    let house = House::with_web().await;
    let before = state(&house).await;
    let scale = "/v1/clusters/web/scale";
    let bodies: [&[u8]; 9] = [
        b"",
        b"three",
        b"{\"workers\":",
        b"{\"workers\":-3}",
        b"{\"workers\":3.5}",
        b"{\"workers\":99999999999}",
        b"{\"worker\":3}",
        b"{\"workers\":3,\"force\":true}",
        b"{\"workers\":3}\xff",
    ];
    for body in bodies {
        let answer = house.send(Method::POST, scale, body).await;
        refused(&answer, StatusCode::BAD_REQUEST, "bad_request", &["the body"]);
    }
    for query in ["limit=0", "limit=10001", "limit=many", "limit=-1", "offset=x", "skip=3"] {
        let answer = house.send(Method::GET, &format!("/v1/clusters/web/workers?{query}"), "").await;
        refused(&answer, StatusCode::BAD_REQUEST, "bad_request", &[]);
    }
    let answer = house.send(Method::DELETE, "/v1/clusters/web?force=perhaps", "").await;
    refused(&answer, StatusCode::BAD_REQUEST, "bad_request", &["force"]);
    let answer = house.send(Method::GET, "/v1/clusters/%ff", "").await;
    refused(&answer, StatusCode::BAD_REQUEST, "bad_request", &["path"]);
    assert_eq!(state(&house).await, before);
    house.end().await;
}

#[tokio::test]
async fn a_body_that_is_too_large() {
    let house = House::with_web().await;
    let before = state(&house).await;
    let body = format!("{{\"workers\":3{}}}", " ".repeat(100_000));
    let answer = house.send(Method::POST, "/v1/clusters/web/scale", body).await;
    refused(&answer, StatusCode::PAYLOAD_TOO_LARGE, "too_large", &[]);
    assert_eq!(state(&house).await, before);
    house.end().await;
}

#[tokio::test]
async fn clusters_that_are_none_and_numbers_that_are_denied() {
    let house = House::with_web().await;
    let before = state(&house).await;
    for (method, path) in [
        (Method::GET, "/v1/clusters/wbe"),
        (Method::DELETE, "/v1/clusters/wbe?force=true"),
        (Method::GET, "/v1/clusters/wbe/workers"),
        (Method::POST, "/v1/clusters/wbe/start"),
        (Method::POST, "/v1/clusters/wbe/stop"),
        (Method::POST, "/v1/clusters/wbe/update"),
        (Method::GET, "/v1/clusters?name=wbe"),
    ] {
        let answer = house.send(method, path, "").await;
        refused(&answer, StatusCode::NOT_FOUND, "no_such_cluster", &["`wbe`", "did you mean `web`"]);
    }
    for workers in [11, 4_000_000_000_u32] {
        let body = json!({ "workers": workers }).to_string();
        let answer = house.send(Method::POST, "/v1/clusters/web/scale", body).await;
        refused(&answer, StatusCode::CONFLICT, "denied", &["web", "0 to 10", &workers.to_string()]);
    }
    assert_eq!(state(&house).await, before);
    house.end().await;
}

#[tokio::test]
async fn configurations_that_are_wrong() {
    let house = House::with_web().await;
    let before = state(&house).await;
    let good = serde_json::to_value(web(5)).expect("it can be written");
    let changed = |pointer: &str, value: Value| {
        let mut config = good.clone();
        *config.pointer_mut(pointer).expect("it is there") = value;
        config.to_string()
    };
    let cases = [
        ("{".to_owned(), "bad_config", vec![]),
        ("\"web\"".to_owned(), "bad_config", vec![]),
        (changed("/clusters/0/workers", json!(-1)), "bad_config", vec!["workers"]),
        (changed("/clusters/0/workers", json!(11)), "bad_config", vec!["11", "10"]),
        (changed("/clusters/0/provider", json!("memori")), "bad_config", vec!["memori"]),
        (changed("/clusters/0", json!({"nmae": "web"})), "bad_config", vec![]),
        (changed("/providers/0/plugin", json!("memori")), "plugin_not_found", vec!["did you mean `memory`"]),
        (changed("/providers/0/plugin", json!("Cargo.toml")), "plugin_not_found", vec!["Cargo.toml"]),
        (changed("/providers/0/plugin", json!(house.socket())), "plugin_refused", vec!["host.sock"]),
        (
            changed("/providers/0", json!({"name": "new", "plugin": "memory", "config": {"capasity": 3}})),
            "bad_config",
            vec!["memory"],
        ),
    ];
    for (body, kind, words) in cases {
        for path in ["/v1/apply", "/v1/plan"] {
            let answer = house.send(Method::POST, path, body.clone()).await;
            refused(&answer, StatusCode::UNPROCESSABLE_ENTITY, kind, &words);
        }
    }
    let answer = house.send(Method::POST, "/v1/apply", changed("/clusters/0/workers", json!(11))).await;
    assert!(answer.json["error"]["faults"][0]["message"].is_string(), "each fault is told: {answer:?}");
    let new = json!({"providers": [{"name": "new", "plugin": "memory", "config": {"capasity": 3}}]});
    let answer = house.send(Method::POST, "/v1/apply", new.to_string()).await;
    refused(&answer, StatusCode::UNPROCESSABLE_ENTITY, "provider_config", &["new", "capasity"]);
    let used = changed("/providers/0/config", json!({"capacity": 3}));
    let answer = house.send(Method::POST, "/v1/apply", used).await;
    refused(&answer, StatusCode::CONFLICT, "denied", &["memory", "web"]);
    assert_eq!(state(&house).await, before);
    house.end().await;
}
