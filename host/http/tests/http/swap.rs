//! The routes that swap a provider and roll it back.

use std::path::{Path, PathBuf};

use longshore_http::{
    ProblemKind,
    wire::{GenerationState, Swap},
};
use longshore_support::library;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;

use crate::house::House;

/// The memory plugin under another hash: what follows its end is no part of it.
fn another(folder: &TempDir) -> PathBuf {
    let mut bytes = std::fs::read(library("longshore-memory")).expect("it was built");
    bytes.push(0);
    let copy = folder.path().join(format!("another{}", std::env::consts::DLL_SUFFIX));
    std::fs::write(&copy, bytes).expect("a file of our own");
    copy
}

fn to(library: &Path) -> Swap {
    Swap { to: Some(library.display().to_string()), watch_ms: Some(3_600_000), ..Swap::default() }
}

#[tokio::test]
async fn a_provider_is_swapped_and_rolled_back() {
    let (house, folder) = (House::empty().await, tempfile::tempdir().expect("a folder"));
    let config = longshore_config::Config::parse("[[provider]]\nname = \"memory\"\n", Path::new("a.toml"));
    house.client.apply(&config.expect("legal")).await.expect("legal");

    let swapped = house.client.swap("memory", &to(&another(&folder))).await.expect("nobody uses it");
    assert!(swapped.changed && swapped.watch_ms == 3_600_000 && swapped.generation == 2, "{swapped:?}");
    let provider = house.client.providers().await.expect("it answers").providers.remove(0);
    let states: Vec<_> = provider.generations.iter().map(|it| (it.number, it.state)).collect();
    assert_eq!(states, [(2, GenerationState::Serving), (1, GenerationState::Kept)]);
    assert_eq!(provider.hash, swapped.to.hash);
    let watched = house.send(Method::POST, "/v1/providers/memory/swap", "{}").await;
    assert_eq!((watched.status, &watched.json["error"]["kind"]), (StatusCode::CONFLICT, &json!("denied")));
    let back = house.client.rollback("memory").await.expect("it is kept");
    assert_eq!(back.to.hash, swapped.from.expect("it was there").hash);
    let again = house.client.swap("memory", &Swap::default()).await.expect("it serves already");
    assert!(!again.changed, "{again:?}");
}

#[tokio::test]
async fn what_cannot_be_swapped_is_told_by_its_kind() {
    let (house, folder) = (House::with_web().await, tempfile::tempdir().expect("a folder"));
    house.until_converged("web").await;
    let copy = another(&folder).display().to_string();
    let nowhere = folder.path().join("nowhere.so").display().to_string();
    for (path, body, status, kind, words) in [
        ("memroy/swap", json!({}), StatusCode::NOT_FOUND, "no_such_provider", "did you mean `memory`?"),
        ("memroy/rollback", json!({}), StatusCode::NOT_FOUND, "no_such_provider", "there is no provider"),
        ("memory/rollback", json!({}), StatusCode::CONFLICT, "denied", "nothing to go back to"),
        ("memory/swap", json!({ "to": "./x.so" }), StatusCode::BAD_REQUEST, "bad_request", "absolute path"),
        ("memory/swap", json!({ "cluster": "web" }), StatusCode::BAD_REQUEST, "bad_request", "for a canary"),
        ("memory/swap", json!({ "two": 1 }), StatusCode::BAD_REQUEST, "bad_request", "unknown field `two`"),
        (
            "memory/swap",
            json!({ "to": nowhere }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "plugin_not_found",
            "nowhere",
        ),
        (
            "memory/swap",
            json!({ "to": "9.9.9" }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "plugin_not_found",
            "9.9.9",
        ),
        (
            "memory/swap",
            json!({ "to": copy, "sha256": "0" }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "plugin_refused",
            "SHA-256",
        ),
        // Its instances share no workers.
        ("memory/swap", json!({ "to": copy }), StatusCode::BAD_GATEWAY, "provider_failed", "statuses differ"),
        (
            "memory/swap",
            json!({ "to": copy, "canary": true, "cluster": "wbe" }),
            StatusCode::CONFLICT,
            "denied",
            "it serves web",
        ),
    ] {
        let answer = house.send(Method::POST, &format!("/v1/providers/{path}"), body.to_string()).await;
        assert_eq!(
            (answer.status, &answer.json["error"]["kind"]),
            (status, &json!(kind)),
            "{path}: {answer:?}"
        );
        let message = answer.json["error"]["message"].as_str().expect("a text");
        assert!(message.contains(words), "{path}: {message}");
    }
    let strange = house.client.rollback("no/name").await.expect_err("it is no name");
    assert!(
        matches!(strange, longshore_http::ClientError::Refused(it) if it.kind == ProblemKind::NoSuchProvider)
    );
}
