//! Libraries that are quarantined, as the journal of a host before says: who died of one is not made again, and nobody else
//! begins with it, until an operator releases it. Nothing of the clusters is forgotten meanwhile.

use std::sync::{Arc, atomic::Ordering};

use longshore_config::Config;
use longshore_providers::SearchPath;
use longshore_runtime::{ApplyError, CommandError, Host, LibraryRecord, OpenError, Quarantine};
use longshore_scaling::{Command, Time};
use longshore_store::Journal;
use serde_json::{Value, json};

use crate::{config, folder, host_with, journals::Fragile, one, until};

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
