//! Plugins that the host keeps on its shelf: providers are made of them, and they stay for as long as they are needed.

use std::{fs, path::Path};

use longshore_config::Trust;
use longshore_providers::Shelf;
use longshore_runtime::{PluginError, PluginPlace, Plugins};

use super::*;

/// Folders without a plugin, and a shelf in a folder of its own.
fn plugins(folder: &Path) -> Plugins {
    Plugins { shelf: Some(Arc::new(Shelf::new(folder.join("shelf")))), ..SearchPath::of([folder]).into() }
}

async fn open(folder: &Path, journal: &Arc<dyn Journal>) -> Host {
    Host::open(plugins(folder), Arc::clone(journal)).await.expect("the journal is sound")
}

/// The memory plugin, as another build of it.
fn build(folder: &Path, mark: &str) -> PathBuf {
    let plugin = fs::read(longshore_support::library("longshore-memory")).expect("it is built");
    let path = folder.join("given");
    fs::write(&path, [&plugin[..], mark.as_bytes()].concat()).expect("the folder can be written");
    path
}

fn provider(plugin: &str) -> Config {
    config(&json!([{ "name": "kept", "plugin": plugin }]), &json!([]))
}

#[tokio::test]
async fn a_plugin_stays_while_a_provider_needs_it_also_one_that_cannot_be_made() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::in_memory());
    let first = open(temp.path(), &journal).await;
    let added = first.add_plugin(build(temp.path(), "kept"), Trust::default()).await.expect("it is a plugin");
    let named = format!("memory@{}", added.version);
    first.apply(provider(&named)).await.expect("it is on the shelf");
    let used = format!("the plugin {named} stays on the shelf, as it is in use: provider `kept` uses it");
    let why = first.remove_plugin(&added.hash).await.expect_err("it is in use").to_string();
    assert_eq!(why, used);
    first.shut_down(Leaving::Workers).await;

    // What was damaged meanwhile is not loaded, and its provider waits for it.
    let content = fs::read(&added.path).expect("it is there");
    let mut spoilt = content.clone();
    *spoilt.last_mut().expect("it is not empty") ^= 1;
    fs::write(&added.path, spoilt).expect("it can be written");
    let second = open(temp.path(), &journal).await;
    let trouble = second.providers()[0].trouble.clone().expect("it is not there").to_string();
    assert!(trouble.contains("not what was put on the shelf"), "{trouble}");
    let why = second.remove_plugin(&named).await.expect_err("it is needed").to_string();
    assert_eq!(why, used);
    let listed = second.plugins().await;
    assert!(listed.plugins.is_empty() && listed.refused.len() == 1, "{listed:?}");

    // Given to the host again it is sound, and the provider comes back by itself.
    let again =
        second.add_plugin(build(temp.path(), "kept"), Trust::default()).await.expect("it is a plugin");
    assert_eq!(again, added);
    eventually("the provider is there", || async { second.providers()[0].trouble.is_none() }).await;
    let listed = second.plugins().await;
    let [plugin] = &listed.plugins[..] else { panic!("one is there: {listed:?}") };
    assert_eq!((plugin.place, &plugin.providers[..]), (PluginPlace::Shelf, &["kept".to_owned()][..]));
    assert_eq!(second.providers()[0].path, added.path);
    second.shut_down(Leaving::Workers).await;
}

#[tokio::test]
async fn a_name_alone_stands_for_the_newest_of_the_shelf() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::in_memory());
    let host = open(temp.path(), &journal).await;
    let missing = host.apply(provider("memory")).await.expect_err("nothing is there").to_string();
    assert!(missing.contains("(the shelf)"), "{missing}");
    let old = host.add_plugin(build(temp.path(), "old"), Trust::default()).await.expect("it is a plugin");
    // Of the same version the one that was given last: a millisecond apart is enough to tell.
    eventually("time passes", || async { longshore_now() > old.added_at }).await;
    let new = host.add_plugin(build(temp.path(), "new"), Trust::default()).await.expect("it is a plugin");
    host.apply(provider("memory")).await.expect("it is on the shelf");
    assert_eq!(host.providers()[0].hash, new.hash);
    let removed = host.remove_plugin(&old.hash).await.expect("nobody uses it");
    assert_eq!((removed.name.as_deref(), &removed.hash), (Some("memory"), &old.hash));
    let why = host.remove_plugin(&old.hash).await.expect_err("it is gone");
    assert!(matches!(&why, PluginError::NotOnShelf(_)), "{why}");
    host.shut_down(Leaving::Workers).await;
}

fn longshore_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later");
    u64::try_from(since.as_millis()).expect("it is not that late")
}

#[tokio::test]
async fn what_is_damaged_beyond_its_card_is_taken_away_by_its_hash() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::in_memory());
    let host = open(temp.path(), &journal).await;
    let added = host.add_plugin(build(temp.path(), ""), Trust::default()).await.expect("it is a plugin");
    fs::write(Path::new(&added.path).with_extension("json"), "no card").expect("it can be written");
    let listed = host.plugins().await;
    assert!(listed.plugins.is_empty(), "{listed:?}");
    assert!(listed.refused[0].why.contains("its card is damaged"), "{listed:?}");
    assert!(host.remove_plugin("memory").await.is_err(), "nobody knows what it is");
    let removed = host.remove_plugin(&added.hash).await.expect("nobody uses it");
    assert_eq!((removed.name, removed.hash), (None, added.hash));
    assert_eq!(host.plugins().await.refused, []);
    host.shut_down(Leaving::Workers).await;
}
