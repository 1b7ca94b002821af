//! Libraries that are quarantined, as the journal of a host before says: who died of one is not made again, and nobody else
//! begins with it, until an operator releases it. Nothing of the clusters is forgotten meanwhile.

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use longshore_config::Config;
use longshore_providers::SearchPath;
use longshore_runtime::{ApplyError, CommandError, Host, LibraryRecord, OpenError, Quarantine};
use longshore_scaling::{Command, Time};
use longshore_store::Journal;
use longshore_support::example;
use serde_json::{Value, json};

use crate::{config, eventually, folder, fragile::Fragile, host_with, host_with_runners, one, until};

/// A journal in which a cluster has three workers on a provider whose library is quarantined for these, with the library's hash.
async fn quarantined(settings: &Value, providers: &[&str]) -> (Arc<Fragile>, String) {
    let journal = Arc::new(Fragile::default());
    let host = host_with(Arc::clone(&journal) as Arc<dyn Journal>).await;
    host.apply(one(3, settings)).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.running == 3).await;
    let hash = host.providers()[0].hash.clone();
    drop(host);
    let record = LibraryRecord {
        plugin: "memory".to_owned(),
        version: "0.1.0".to_owned(),
        path: "/plugins/libmemory.so".to_owned(),
        quarantined: Some(Quarantine {
            why: "signal 11 (SIGSEGV)".to_owned(),
            since: Time::from_millis(7),
            deaths: 5,
            providers: providers.iter().map(ToString::to_string).collect(),
        }),
    };
    let document = serde_json::to_value(&record).expect("it can be written");
    journal.define_library(&hash, Some(document)).await.expect("memory");
    (journal, hash)
}

fn another() -> Config {
    config(&json!([{ "name": "another", "plugin": "memory" }]), &json!([]))
}

#[tokio::test]
async fn who_died_of_a_library_is_not_made_again_until_it_is_released() {
    let settings = json!({ "store": "who_died_of_a_library" });
    let (journal, hash) = quarantined(&settings, &["memory"]).await;
    let host = host_with(Arc::clone(&journal) as Arc<dyn Journal>).await;
    let status = &host.providers()[0];
    let held = status.quarantined.as_ref().expect("it is quarantined");
    assert_eq!((&held.hash, held.quarantine.deaths), (&hash, 5));
    let why = status.trouble.as_ref().expect("it is not there").to_string();
    for part in ["is quarantined", "signal 11 (SIGSEGV)", "longshore plugin release", &hash[..12]] {
        assert!(why.contains(part), "{part} is not in: {why}");
    }
    // Nothing is forgotten, what is asked for is remembered, and why nothing comes of it is said.
    host.command("web", Command::Scale { expected: 4 }).await.expect("legal");
    let waits = |status: &longshore_runtime::ClusterStatus| {
        status.reasons.iter().any(|reason| reason.text.contains("longshore plugin release"))
    };
    let status = until(&host, "web", "explained", waits).await;
    assert_eq!((status.handles, status.expected), (3, 4), "{status:?}");

    let released = host.release("memory").await.expect("it is quarantined");
    assert_eq!(
        (&released.library.hash, released.tried_again.as_slice()),
        (&hash, &["memory".to_owned()][..])
    );
    let status = until(&host, "web", "up again", |status| status.converged && status.running == 4).await;
    assert_eq!(status.handles, 4, "the three that ran, and one more");
    assert_eq!(journal.libraries().await.expect("memory"), []);
    assert_eq!((host.quarantined(), host.providers()[0].quarantined.clone()), (vec![], None));
}

#[tokio::test]
async fn nobody_begins_with_a_library_that_is_quarantined() {
    let settings = json!({ "store": "nobody_begins_with_a_library" });
    let (journal, hash) = quarantined(&settings, &["memory"]).await;
    let host = host_with(Arc::clone(&journal) as Arc<dyn Journal>).await;
    for wanted in [another(), one(3, &settings)] {
        let refused = host.apply(wanted.clone()).await.expect_err("it is quarantined");
        assert!(matches!(&refused, ApplyError::Quarantined { .. }), "{refused}");
        let refused = host.plan(wanted).await.expect_err("it is quarantined");
        assert!(refused.to_string().contains("longshore plugin release"), "{refused}");
    }
    host.release(&hash[..12]).await.expect("it is quarantined");
    host.apply(another()).await.expect("it is released");
}

#[tokio::test]
async fn whoever_ran_it_without_harm_goes_on_and_is_left_alone() {
    let settings = json!({ "store": "whoever_ran_it_without_harm" });
    let (journal, _) = quarantined(&settings, &["somebody-else"]).await;
    let host = host_with(journal).await;
    until(&host, "web", "up", |status| status.converged && status.running == 3).await;
    assert_eq!(host.quarantined().len(), 1);
    // It is as it was; another one is not made.
    host.apply(one(2, &settings)).await.expect("the provider is there");
    let refused = host.apply(another()).await.expect_err("it is quarantined");
    assert!(matches!(refused, ApplyError::Quarantined { .. }), "{refused}");
}

#[tokio::test]
async fn a_release_that_cannot_be_made_durable_is_none() {
    let settings = json!({ "store": "a_release_that_cannot_be" });
    let (journal, hash) = quarantined(&settings, &["memory"]).await;
    let host = host_with(Arc::clone(&journal) as Arc<dyn Journal>).await;
    journal.broken.store(true, Ordering::SeqCst);
    let refused = host.release(&hash).await.expect_err("the journal is broken");
    assert!(matches!(refused, CommandError::Journal(_)), "{refused}");
    assert!(host.providers()[0].quarantined.is_some() && host.quarantined().len() == 1);
    journal.broken.store(false, Ordering::SeqCst);
    let refused = host.release("nobody").await.expect_err("nothing is called so");
    assert!(
        matches!(&refused, CommandError::NotQuarantined { hashes, .. } if hashes[0] == hash[..12]),
        "{refused}"
    );
    host.release(&hash).await.expect("the journal works again");
    until(&host, "web", "up again", |status| status.converged && status.running == 3).await;
    let refused = host.release(&hash).await.expect_err("it is released already");
    assert!(refused.to_string().contains("there is none"), "{refused}");
}

#[tokio::test]
async fn what_is_known_of_a_library_must_make_sense() {
    let journal = Arc::new(Fragile::default());
    journal.define_library("a1", Some(json!({ "plugin": 7 }))).await.expect("memory");
    let refused = Host::open(SearchPath::of([folder()]), journal).await.err().expect("it makes no sense");
    assert!(
        matches!(&refused, OpenError::Definition { what: "library", name, .. } if name == "a1"),
        "{refused}"
    );
}

/// A cluster of records on a specimen that ends its process in a function, unless a file of the folder mends it.
fn dying(folder: &Path, function: &str) -> Config {
    let crash = json!({ "function": function, "how": "abort", "unless": folder.join("mended") });
    let mut config = config(
        &json!([{
            "name": "bad",
            "plugin": example("longshore-mutants", "specimen"),
            "config": { "root": folder.join("root"), "crash": crash },
        }]),
        &json!([{ "name": "web", "provider": "bad", "workers": 3 }]),
    );
    config.clusters[0].policy.poll_interval = Duration::from_millis(50);
    config
}

#[tokio::test]
async fn a_quarantine_that_the_journal_does_not_take_counts_all_the_same_and_is_written_later() {
    let (folder, journal) = (tempfile::tempdir().expect("a folder"), Arc::new(Fragile::default()));
    let mended = folder.path().join("mended");
    fs::write(&mended, "").expect("a file");
    let host = host_with_runners(Arc::clone(&journal) as Arc<dyn Journal>).await;
    host.apply(dying(folder.path(), "status")).await.expect("it is mended");
    until(&host, "web", "up", |status| status.converged && status.running == 3).await;

    journal.broken.store(true, Ordering::SeqCst);
    fs::remove_file(&mended).expect("it is there");
    eventually("it is quarantined", async || host.providers()[0].quarantined.is_some()).await;
    assert_eq!(journal.libraries().await.expect("memory"), [], "nothing can be written");
    assert_eq!(host.status("web").await.expect("there").handles, 3);
    journal.broken.store(false, Ordering::SeqCst);
    eventually("it is written", async || journal.libraries().await.expect("memory").len() == 1).await;
    fs::write(&mended, "").expect("a file");
    host.release("bad").await.expect("it is quarantined");
    until(&host, "web", "up again", |status| status.converged && status.running == 3).await;
    assert_eq!(journal.libraries().await.expect("memory"), []);
}

#[tokio::test]
async fn who_dies_again_and_again_while_it_is_made_is_quarantined_too() {
    let (folder, journal) = (tempfile::tempdir().expect("a folder"), Arc::new(Fragile::default()));
    let mended = folder.path().join("mended");
    fs::write(&mended, "").expect("a file");
    let before = host_with_runners(Arc::clone(&journal) as Arc<dyn Journal>).await;
    before.apply(dying(folder.path(), "create")).await.expect("it is mended");
    until(&before, "web", "up", |status| status.converged && status.running == 3).await;
    drop(before);
    fs::remove_file(&mended).expect("it is there");
    let host = host_with_runners(Arc::clone(&journal) as Arc<dyn Journal>).await;
    eventually("it is quarantined", async || host.providers()[0].quarantined.is_some()).await;
    let why = host.quarantined().remove(0).quarantine.why;
    assert!(why.contains("5 times") && why.contains("signal 6 (SIGABRT)"), "{why}");
    let explained = host.status("web").await.expect("there");
    assert_eq!(explained.handles, 3, "{explained:?}");
    fs::write(&mended, "").expect("a file");
    host.release("bad").await.expect("it is quarantined");
    until(&host, "web", "up again", |status| status.converged && status.running == 3).await;
}

#[tokio::test]
async fn a_provider_that_is_lost_while_it_is_left_holds_up_its_own_side_alone() {
    let (folder, journal) = (tempfile::tempdir().expect("a folder"), Arc::new(Fragile::default()));
    let mended = folder.path().join("mended");
    fs::write(&mended, "").expect("a file");
    let host = host_with_runners(Arc::clone(&journal) as Arc<dyn Journal>).await;
    let on = |provider: &str, workers: u32| {
        let mut config = dying(folder.path(), "status");
        // Nobody is at work there while this test lasts, so that nobody goes from where they are.
        let slow = one(0, &json!({ "start_after": { "ms": 3_600_000 } }));
        config.providers.extend(slow.providers);
        let cluster = &mut config.clusters[0];
        provider.clone_into(&mut cluster.provider);
        (cluster.workers, cluster.policy.surge) = (workers, Some(1));
        config
    };
    host.apply(on("bad", 3)).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.running == 3).await;
    host.apply(on("memory", 3)).await.expect("legal");
    until(&host, "web", "under way", |status| status.handles == 4).await;

    fs::remove_file(&mended).expect("it is there");
    let waits = |status: &longshore_runtime::ClusterStatus| {
        status.reasons.iter().any(|reason| reason.text.contains("longshore plugin release"))
    };
    until(&host, "web", "explained", waits).await;
    // Whoever is there stays, and others come to be on the provider that is not lost.
    host.command("web", Command::Scale { expected: 6 }).await.expect("legal");
    let stuck = until(&host, "web", "grown", |status| status.handles == 7).await;
    let left = stuck.leaving.expect("nobody goes");
    assert_eq!((left.provider.as_str(), left.left, stuck.provider.as_str()), ("bad", 3, "memory"));

    fs::write(&mended, "").expect("a file");
    host.release("bad").await.expect("it is quarantined");
    host.apply(on("bad", 6)).await.expect("the way back is open");
    let back = until(&host, "web", "back", |status| status.leaving.is_none() && status.converged).await;
    assert_eq!((back.provider.as_str(), back.running, back.handles), ("bad", 6, 6));
}
