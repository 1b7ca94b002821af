//! What goes wrong between two hosts, two requests, or a host and its journal: each once, and none twice.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use longshore_providers::SearchPath;
use longshore_runtime::{ApplyError, CommandError, Host, Leaving, OpenError};
use longshore_scaling::{Change, Command, Denied, Desired, State, Time};
use longshore_store::{Entry, Journal, SqliteJournal};
use serde_json::{Value, json};
use tokio::{task::yield_now, time::timeout};

use crate::{PATIENCE, config, eventually, folder, fragile::Fragile, host, host_with, one, until};

fn journal() -> Arc<dyn Journal> {
    Arc::new(SqliteJournal::in_memory())
}

async fn replayed(journal: &dyn Journal, name: &str) -> State {
    let kept = journal.claim(name).await.expect("it can be claimed").kept;
    let mut state = kept.snapshot.map(|it| State::restore(it).expect("sound")).unwrap_or_default();
    for record in &kept.tail {
        state.apply(record);
    }
    state
}

#[tokio::test]
async fn two_who_take_a_cluster_over_at_once_make_it_once() {
    let settings = json!({ "store": "two_who_take_a_cluster_over", "latency_ms": { "list": 100 } });
    let first = host().await;
    first.apply(one(4, &settings)).await.expect("legal");
    until(&first, "web", "up", |status| status.converged).await;
    drop(first);

    let second = host().await;
    let (one_of_them, other) = tokio::join!(
        second.reconnect("web", Some(one(1, &settings))),
        second.reconnect("web", Some(one(1, &settings))),
    );
    let mut found = [one_of_them.expect("it runs"), other.expect("it runs")];
    found.sort_unstable();
    assert_eq!(found, [None, Some(4)], "one makes it, the other finds it made");
    let status = until(&second, "web", "taken over", |status| status.converged).await;
    assert_eq!((status.expected, status.running), (4, 4));
    let page = second.history("web", None, 1_000).await.expect("there");
    let made = page.entries.iter().filter(|entry| entry.text.starts_with("made")).count();
    assert_eq!(made, 1, "{page:?}");
    assert!(second.shut_down(Leaving::Nothing { patience: PATIENCE }).await);
}

#[tokio::test]
async fn a_name_is_free_only_when_the_journal_has_forgotten_it() {
    let journal = Arc::new(Fragile::default());
    let host = host_with(Arc::clone(&journal) as Arc<dyn Journal>).await;
    host.apply(one(3, &json!({}))).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    journal.keeps.store(true, Ordering::SeqCst);
    host.command("web", Command::Delete { force: true }).await.expect("admitted");
    let status = until(&host, "web", "kept by the journal", |status| {
        status.reasons.iter().any(|reason| reason.text.contains("no space left on device"))
    })
    .await;
    assert_eq!((status.desired, status.converged, status.handles), (Desired::Deleted, false, 0));
    let again = host.apply(one(2, &json!({}))).await;
    let denied = |error: &ApplyError| {
        matches!(error, ApplyError::Command(CommandError::Denied { denied: Denied::BeingDeleted, .. }))
    };
    assert!(again.as_ref().is_err_and(denied), "{again:?}");
    host.command("web", Command::Delete { force: false }).await.expect("as asked already");

    journal.keeps.store(false, Ordering::SeqCst);
    eventually("gone", async || host.clusters().is_empty()).await;
    host.apply(one(2, &json!({}))).await.expect("its name is free");
    let live = until(&host, "web", "up", |status| status.converged).await;
    drop(host);
    let state = replayed(&*journal, "web").await;
    assert_eq!((state.generation(), state.handle_count()), (live.generation, 2));
}

#[tokio::test]
async fn a_deleted_cluster_that_the_journal_keeps_does_not_hold_up_the_end() {
    let journal = Arc::new(Fragile::default());
    let host = host_with(Arc::clone(&journal) as Arc<dyn Journal>).await;
    host.apply(one(1, &json!({}))).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    journal.keeps.store(true, Ordering::SeqCst);
    host.command("web", Command::Delete { force: true }).await.expect("admitted");
    let leaving = Leaving::Nothing { patience: Duration::from_hours(1) };
    assert!(timeout(PATIENCE, host.shut_down(leaving)).await.expect("it ends"), "nothing is left to stop");
}

#[tokio::test]
async fn what_the_journal_has_of_an_earlier_life_is_not_mixed_with_the_new_one() {
    let journal = journal();
    let host = host_with(Arc::clone(&journal)).await;
    // It came into the journal behind the host's back: as the end of a cluster whose removal was lost.
    let lease = journal.claim("web").await.expect("memory").lease;
    let at = Time::from_millis(1);
    let left = [Change::DesiredSet { desired: Desired::Deleted }, Change::Forgotten];
    let left = left.into_iter().map(|change| Entry::Happened(change.at(at))).collect();
    journal.append(&lease, left).await.expect("memory");

    host.apply(one(2, &json!({}))).await.expect("legal");
    let live = until(&host, "web", "up", |status| status.converged).await;
    let page = host.history("web", None, 1_000).await.expect("there");
    assert!(page.entries[0].text.starts_with("defined"), "{page:?}");
    drop(host);
    assert_eq!(replayed(&*journal, "web").await.generation(), live.generation);
}

#[tokio::test]
async fn a_provider_that_can_do_less_than_before_is_asked_for_no_more() {
    let journal = journal();
    let first = host_with(Arc::clone(&journal)).await;
    first.apply(one(2, &json!({}))).await.expect("legal");
    until(&first, "web", "up", |status| status.converged).await;
    first.command("web", Command::Stop).await.expect("legal");
    until(&first, "web", "down", |status| status.converged).await;
    drop(first);

    // While no host ran, its library became one that cannot list.
    let plugin = longshore_support::example("longshore-mutants", "bare");
    let other = config(&json!([{ "name": "memory", "plugin": plugin }]), &json!([]));
    let definition = serde_json::to_value(&other.providers[0]).expect("it can be written");
    journal.define_provider("memory", Some(definition)).await.expect("memory");
    let second = host_with(journal).await;
    second.command("web", Command::Start).await.expect("legal");
    until(&second, "web", "up", |status| status.converged && status.running == 2).await;
}

#[tokio::test]
async fn a_cluster_that_another_host_has_taken_is_left_alone_and_says_so() {
    let journal = journal();
    let host = host_with(Arc::clone(&journal)).await;
    host.apply(one(2, &json!({}))).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    journal.claim("web").await.expect("memory");
    for _ in 0..2 {
        let refused = host.command("web", Command::Scale { expected: 3 }).await;
        assert!(matches!(refused, Err(CommandError::TakenAway { .. })), "{refused:?}");
    }
    let refused = host.apply(one(3, &json!({}))).await;
    assert!(matches!(refused, Err(ApplyError::Command(CommandError::TakenAway { .. }))), "{refused:?}");
    for status in [host.status("web").await.expect("there"), host.clusters().remove(0)] {
        assert!(!status.converged && status.reasons.len() == 1, "{status:?}");
        assert!(status.reasons[0].text.contains("another host has taken the cluster"), "{status:?}");
    }
    host.fresh_status("web").await.expect("it is answered");
    let leaving = Leaving::Nothing { patience: Duration::from_hours(1) };
    assert!(timeout(PATIENCE, host.shut_down(leaving)).await.expect("it ends"), "it is not ours to stop");
}

#[tokio::test]
async fn who_stops_waiting_leaves_nothing_half_done() {
    let journal = journal();
    let host = host_with(Arc::clone(&journal)).await;
    let mut apply = Box::pin(host.apply(one(2, &json!({}))));
    loop {
        let is_done = tokio::select! { biased; _ = &mut apply => true, () = yield_now() => false };
        if is_done || !journal.clusters().await.expect("memory").is_empty() {
            break;
        }
    }
    drop(apply);
    eventually("in the host as in the journal", async || host.clusters().len() == 1).await;
    until(&host, "web", "up", |status| status.converged && status.running == 2).await;
}

fn hanging(settings: &Value) -> longshore_config::Config {
    let plugin = longshore_support::example("longshore-mutants", "mutant");
    let mut config = config(
        &json!([{ "name": "memory", "plugin": plugin, "config": settings }]),
        &json!([{ "name": "web", "provider": "memory", "workers": 1 }]),
    );
    config.providers[0].create_timeout = Some(Duration::from_hours(1));
    config
}

#[tokio::test]
async fn an_end_does_not_wait_for_a_provider_that_hangs() {
    let host = host().await;
    let mut config = hanging(&json!({ "faults": { "create": "hang" }, "hang_ms": 2_000 }));
    // A name that no other test of this process has.
    (config.providers[0].name, config.clusters[0].provider) = ("sleeper".to_owned(), "sleeper".to_owned());
    let apply = Box::pin(host.apply(config));
    let end = async {
        eventually("under way", async || threads_of("sleeper-create") > 0).await;
        host.shut_down(Leaving::Workers).await
    };
    let (applied, done) = timeout(PATIENCE, async { tokio::join!(apply, end) }).await.expect("it ends");
    assert!(matches!(applied, Err(ApplyError::Command(CommandError::ShuttingDown))), "{applied:?}");
    assert!(done && host.clusters().is_empty());
}

#[tokio::test]
async fn a_provider_is_not_made_again_while_an_earlier_making_hangs() {
    let host = host().await;
    let mut config = hanging(&json!({ "faults": { "create": "hang" }, "hang_ms": 5_000 }));
    config.providers[0].create_timeout = Some(Duration::from_millis(100));
    let first = host.apply(config.clone()).await;
    assert!(matches!(first, Err(ApplyError::Create { .. })), "{first:?}");
    let second = host.apply(config).await;
    assert!(matches!(second, Err(ApplyError::StillBeingMade { .. })), "{second:?}");
    // It is over in the end.
    host.apply(one(1, &json!({}))).await.expect("there is a place again");
}

/// How many threads of this process have such a name, or one that is cut off from it.
fn threads_of(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the threads of this process");
    let names = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|found| found.contains(&name[..8])).count()
}

#[tokio::test]
async fn a_lost_provider_that_may_have_workers_comes_back_as_it_was() {
    let journal = journal();
    let store = |name: &str| json!({ "store": format!("a_lost_provider_{name}") });
    let first = host_with(Arc::clone(&journal)).await;
    first.apply(one(2, &store("old"))).await.expect("legal");
    until(&first, "web", "up", |status| status.converged).await;
    drop(first);

    let empty = tempfile::tempdir().expect("a folder");
    let second = Host::open(SearchPath::of([empty.path().to_owned()]), journal).await.expect("it begins");
    let elsewhere = |settings: &Value| {
        let mut config = one(2, settings);
        config.providers[0].plugin = longshore_support::library("longshore-memory").display().to_string();
        config
    };
    let other = second.apply(elsewhere(&store("new"))).await;
    assert!(matches!(other, Err(ApplyError::ProviderInUse { what: "configuration", .. })), "{other:?}");
    let mut config = elsewhere(&store("old"));
    config.providers[0].plugin =
        longshore_support::example("longshore-mutants", "bare").display().to_string();
    config.providers[0].config = json!({});
    let other = second.apply(config).await;
    assert!(matches!(other, Err(ApplyError::ProviderInUse { .. } | ApplyError::Create { .. })), "{other:?}");
    second.apply(elsewhere(&store("old"))).await.expect("the same plugin, from elsewhere");
    until(&second, "web", "up again", |status| status.converged && status.running == 2).await;
    assert!(second.shut_down(Leaving::Nothing { patience: PATIENCE }).await);
}

async fn refused(entry: Entry) -> OpenError {
    let journal = journal();
    let lease = journal.claim("web").await.expect("memory").lease;
    journal.append(&lease, vec![entry]).await.expect("memory");
    let opened = Host::open(SearchPath::of([folder()]), journal).await;
    opened.err().expect("it makes no sense")
}

#[tokio::test]
async fn a_definition_that_is_missing_or_of_another_name_is_told() {
    let missing = refused(Entry::Happened(Change::Forgotten.at(Time::from_millis(1)))).await;
    assert!(matches!(&missing, OpenError::NoDefinition { cluster } if cluster == "web"), "{missing}");
    let mut other = one(1, &json!({})).clusters.remove(0);
    other.name = "db".to_owned();
    let other = refused(Entry::Defined(serde_json::to_value(other).expect("it can be written"))).await;
    assert!(matches!(&other, OpenError::OtherName { defined, .. } if defined == "db"), "{other}");
}
