//! The routes about plugins: which there are, putting one on the shelf and taking it off.

use std::fs;

use longshore_http::{
    ClientError, ProblemKind,
    wire::{AddPlugin, PluginPlace},
};
use longshore_support::library;
use reqwest::{Method, StatusCode};

use crate::house::House;

/// Why it was refused.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (ProblemKind, String) {
    match answer {
        Err(ClientError::Refused(problem)) => (problem.kind, problem.message),
        other => panic!("it is refused: {other:?}"),
    }
}

fn file(path: impl Into<std::path::PathBuf>) -> AddPlugin {
    AddPlugin { path: path.into(), sha256: None, signed_by: Vec::new() }
}

#[tokio::test]
async fn a_plugin_is_put_on_the_shelf_listed_and_taken_off() {
    let house = House::empty().await;
    let added = house.client.add_plugin(&file(library("longshore-memory"))).await.expect("it is a plugin");
    assert_eq!((added.name.as_str(), added.signer), ("memory", None));
    let listed = house.client.plugins().await.expect("the host");
    assert_eq!(listed.shelf, Some(house.shelf().display().to_string()));
    let kept = listed.plugins.iter().find(|it| it.place == PluginPlace::Shelf).expect("it is on the shelf");
    assert_eq!((&kept.hash, &kept.path), (&Some(added.hash.clone()), &added.path));
    let folder = listed.plugins.iter().find(|it| it.place == PluginPlace::Folder && it.name == "memory");
    assert_eq!(folder.expect("it is in the folder").hash, kept.hash);
    let named = format!("memory@{}", added.version);
    let removed = house.client.remove_plugin(&named).await.expect("nobody uses it");
    assert_eq!(removed.hash, added.hash);
    let (kind, text) = refused(house.client.remove_plugin(&named).await);
    assert_eq!(kind, ProblemKind::PluginNotFound, "{text}");
    house.end().await;
}

#[tokio::test]
async fn what_cannot_be_done_says_why() {
    let house = House::with_web().await;
    let missing = house.shelf().with_file_name("missing.so");
    let (kind, text) = refused(house.client.add_plugin(&file(&missing)).await);
    assert!(kind == ProblemKind::PluginRefused && text.contains("missing.so"), "{text}");
    let pinned = AddPlugin { sha256: Some("0".repeat(64)), ..file(library("longshore-memory")) };
    let (kind, text) = refused(house.client.add_plugin(&pinned).await);
    assert!(kind == ProblemKind::PluginRefused && text.contains("is asked for"), "{text}");
    for plugin in ["", "..", "a/b", "a b", "ä"] {
        let (kind, text) = refused(house.client.remove_plugin(plugin).await);
        assert!(kind == ProblemKind::PluginNotFound && text.contains("NAME@VERSION"), "{text}");
    }
    let relative = house.send(Method::POST, "/v1/plugins", r#"{"path":"memory.so"}"#).await;
    assert_eq!(
        (relative.status, &relative.json["error"]["kind"]),
        (StatusCode::BAD_REQUEST, &"bad_request".into())
    );
    let slip = house.send(Method::POST, "/v1/plugins", r#"{"path":"/m.so","sha":"0"}"#).await;
    assert_eq!(slip.status, StatusCode::BAD_REQUEST, "{slip:?}");

    // The provider of the cluster was made of the same bytes, from a folder.
    let added = house.client.add_plugin(&file(library("longshore-memory"))).await.expect("it is a plugin");
    let (kind, text) = refused(house.client.remove_plugin(&added.hash[..12]).await);
    assert!(kind == ProblemKind::Denied && text.contains("provider `memory` uses it"), "{text}");
    // A shelf that is no folder any more.
    fs::remove_dir_all(house.shelf()).expect("it is ours");
    fs::write(house.shelf(), "no folder").expect("it is ours");
    let (kind, text) = refused(house.client.remove_plugin("memory").await);
    assert!(kind == ProblemKind::Shelf && text.contains("cannot be read"), "{text}");
    let listed = house.client.plugins().await.expect("the rest is listed");
    assert!(listed.refused.iter().any(|it| it.why.contains("the shelf cannot be used")), "{listed:?}");
    house.end().await;
}
