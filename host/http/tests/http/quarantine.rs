//! Libraries that are quarantined, over the socket: who is told of them, and how one is released.

use std::sync::Arc;

use longshore_http::{ClientError, ProblemKind};
use longshore_store::{Journal as _, SqliteJournal};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::house::{House, web};

#[tokio::test]
async fn a_library_that_is_quarantined_is_listed_explained_and_released() {
    let journal = Arc::new(SqliteJournal::in_memory());
    let before = House::on(Arc::clone(&journal)).await;
    before.client.apply(&web(3)).await.expect("a good configuration");
    let hash = before.client.providers().await.expect("they are told").providers[0].hash.clone();
    before.end().await;
    let record = json!({
        "plugin": "memory", "version": "0.1.0", "path": "/p/libmemory.so",
        "quarantined": { "why": "signal 11", "since": 7, "deaths": 5, "providers": ["memory"] },
    });
    journal.define_library(&hash, Some(record)).await.expect("memory");

    let house = House::on(journal).await;
    let told = json!({
        "hash": hash, "plugin": "memory", "version": "0.1.0", "path": "/p/libmemory.so",
        "why": "signal 11", "since": 7, "deaths": 5, "providers": ["memory"],
    });
    let plugins = house.send(Method::GET, "/v1/plugins", "").await;
    assert_eq!(plugins.json["quarantined"], json!([told]));
    let providers = house.send(Method::GET, "/v1/providers", "").await;
    assert_eq!(providers.json["providers"][0]["quarantined"], told);
    let refused = house.client.apply(&web(3)).await.expect_err("it is quarantined");
    let ClientError::Refused(problem) = refused else { panic!("{refused}") };
    assert_eq!(problem.kind, ProblemKind::PluginRefused);

    let path = "/v1/plugins/release";
    let refused = house.send(Method::POST, path, r#"{"library": "nobody"}"#).await;
    assert_eq!((refused.status, &refused.json["error"]["kind"]), (StatusCode::CONFLICT, &json!("denied")));
    let refused = house.send(Method::POST, path, r#"{"hash": "nobody"}"#).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
    let released = house.send(Method::POST, path, format!(r#"{{"library": "{hash}"}}"#)).await;
    let mut expected = told;
    expected["tried_again"] = json!(["memory"]);
    assert_eq!((released.status, &released.json), (StatusCode::OK, &expected));
    house.until_converged("web").await;
    let refused = house.client.release(&hash).await.expect_err("it is released already");
    assert!(refused.to_string().contains("names no library that is quarantined"), "{refused}");
    house.end().await;
}
