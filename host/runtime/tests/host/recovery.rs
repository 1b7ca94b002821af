//! What becomes of clusters when their host ends without a word: the next one takes them up from the journal.

use std::{sync::Arc, time::Duration};

use longshore_providers::SearchPath;
use longshore_runtime::{ApplyError, ClusterStatus, CommandError, HistoryPage, Host, Leaving};
use longshore_scaling::{Command, Denied, Reason};
use longshore_store::{Journal, SqliteJournal};
use serde_json::{Value, json};

use crate::{PATIENCE, config, eventually, host, host_with, one, until};

fn journal() -> Arc<dyn Journal> {
    Arc::new(SqliteJournal::in_memory())
}

async fn handles(host: &Host) -> Vec<String> {
    let page = host.workers("web", 0, 1_000).await.expect("there");
    page.workers.into_iter().map(|worker| worker.handle).collect()
}

fn texts(page: &HistoryPage) -> Vec<&str> {
    page.entries.iter().map(|entry| entry.text.as_str()).collect()
}

#[tokio::test]
async fn the_next_host_takes_up_clusters_without_being_told_of_them() {
    let journal = journal();
    let settings = json!({ "store": "the_next_host_takes_up_clusters" });
    let first = host_with(Arc::clone(&journal)).await;
    first.apply(one(3, &settings)).await.expect("legal");
    first.command("web", Command::Scale { expected: 5 }).await.expect("legal");
    let before = until(&first, "web", "up", |status| status.converged && status.running == 5).await;
    let names = handles(&first).await;
    // It ends as a process does that is killed: nobody is told.
    drop(first);

    let second = host_with(Arc::clone(&journal)).await;
    assert_eq!(second.providers().len(), 1);
    let status = until(&second, "web", "taken up", |status| status.converged).await;
    assert_eq!((status.expected, status.running, status.generation), (5, 5, before.generation));
    assert_eq!(handles(&second).await, names, "the very same");
    second.command("web", Command::Scale { expected: 1 }).await.expect("it obeys");
    until(&second, "web", "scaled", |status| status.converged && status.running == 1).await;
}

#[tokio::test]
async fn a_launch_that_was_cut_off_is_found_out_and_not_done_twice() {
    let journal = journal();
    let settings = json!({ "store": "a_launch_that_was_cut_off", "latency_ms": { "run": 400, "list": 400 } });
    let first = host_with(Arc::clone(&journal)).await;
    let mut config = one(4, &settings);
    config.clusters[0].policy.poll_interval = Duration::from_millis(20);
    first.apply(config).await.expect("legal");
    until(&first, "web", "launching", |status| status.launching == 4).await;
    drop(first);

    let second = host_with(journal).await;
    let status = second.status("web").await.expect("there");
    assert_eq!((status.launching, status.unknown), (0, 4), "{status:?}");
    until(&second, "web", "up", |status| status.converged && status.running == 4).await;
    let page = second.history("web", None, 1_000).await.expect("there");
    let launched = texts(&page).iter().filter(|text| text.starts_with("launching ")).count();
    assert!(launched <= 2, "at most once more, where the first had not begun: {page:?}");
    assert!(second.shut_down(Leaving::Nothing { patience: PATIENCE }).await);
}

#[tokio::test]
async fn a_cluster_that_is_stopped_stays_stopped_and_one_that_rests_comes_back() {
    let journal = journal();
    let settings = json!({ "store": "stopped_and_resting" });
    let first = host_with(Arc::clone(&journal)).await;
    let both = config(
        &json!([{ "name": "memory", "plugin": "memory", "config": settings }]),
        &json!([
            { "name": "web", "provider": "memory", "workers": 2 },
            { "name": "db", "provider": "memory", "workers": 2 },
        ]),
    );
    first.apply(both).await.expect("legal");
    first.command("db", Command::Stop).await.expect("legal");
    until(&first, "web", "up", |status| status.converged && status.running == 2).await;
    assert!(first.shut_down(Leaving::Nothing { patience: PATIENCE }).await, "no worker is left");
    drop(first);

    let second = host_with(journal).await;
    until(&second, "web", "back", |status| status.converged && status.running == 2).await;
    let stopped = until(&second, "db", "at rest", |status| status.converged).await;
    assert_eq!((stopped.running, stopped.expected), (0, 2));
    assert!(second.shut_down(Leaving::Nothing { patience: PATIENCE }).await);
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_waited_for_and_nothing_is_forgotten() {
    let journal = journal();
    let settings = json!({ "store": "a_provider_that_is_not_there" });
    let first = host_with(Arc::clone(&journal)).await;
    first.apply(one(2, &settings)).await.expect("legal");
    until(&first, "web", "up", |status| status.converged).await;
    drop(first);

    // The plugin is found nowhere.
    let empty = tempfile::tempdir().expect("a folder");
    let second = Host::open(SearchPath::of([empty.path().to_owned()]), journal).await.expect("it begins");
    let trouble = second.providers()[0].trouble.clone().expect("it is not there");
    assert!(trouble.text.contains("memory"), "{trouble}");
    let status = second.status("web").await.expect("the cluster is there");
    assert_eq!((status.expected, status.running), (2, 2));
    let told = until(&second, "web", "explained", |status| {
        status.reasons.iter().any(|reason| reason.text.contains("`longshore apply` can bring another"))
    })
    .await;
    assert!(!told.converged);
    // It obeys nevertheless, for later.
    second.command("web", Command::Scale { expected: 3 }).await.expect("admitted");

    // Somebody puts the plugin in its place.
    let library = longshore_support::library("longshore-memory");
    std::fs::copy(&library, empty.path().join(library.file_name().expect("a file"))).expect("room");
    until(&second, "web", "up again", |status| status.converged && status.running == 3).await;
    assert_eq!(second.providers()[0].trouble, None);
    assert!(second.shut_down(Leaving::Nothing { patience: PATIENCE }).await);
}

#[tokio::test]
async fn an_empty_host_takes_over_what_runs() {
    let settings = json!({ "store": "an_empty_host_takes_over" });
    let first = host().await;
    first.apply(one(4, &settings)).await.expect("legal");
    until(&first, "web", "up", |status| status.converged).await;
    let names = handles(&first).await;
    drop(first);

    let second = host().await;
    let unknown = second.reconnect("web", None).await;
    assert!(matches!(unknown, Err(ApplyError::Command(CommandError::NoSuchCluster { .. }))), "{unknown:?}");
    let other = config(
        &json!([{ "name": "memory", "plugin": "memory", "config": settings }]),
        &json!([{ "name": "other", "provider": "memory", "workers": 1 }]),
    );
    let nothing = second.reconnect("other", Some(other.clone())).await;
    assert!(matches!(nothing, Err(ApplyError::NothingRuns { .. })), "{nothing:?}");
    let missing = second.reconnect("web", Some(other)).await;
    assert!(matches!(missing, Err(ApplyError::NotConfigured { .. })), "{missing:?}");
    let mut small = one(1, &settings);
    small.clusters[0].policy.max = 3;
    let denied = second.reconnect("web", Some(small)).await;
    assert!(
        matches!(
            &denied,
            Err(ApplyError::Command(CommandError::Denied {
                denied: Denied::OutOfLimits { expected: 4, .. },
                ..
            }))
        ),
        "{denied:?}"
    );
    assert!(second.clusters().is_empty() && second.providers().is_empty(), "nothing has changed");

    // The file says one worker; four run, and four there shall be.
    assert_eq!(second.reconnect("web", Some(one(1, &settings))).await.expect("it runs"), Some(4));
    let status = until(&second, "web", "taken over", |status| status.converged).await;
    assert_eq!((status.expected, status.running), (4, 4));
    assert_eq!(handles(&second).await, names);
    let page = second.history("web", None, 1_000).await.expect("there");
    assert!(
        texts(&page).iter().all(|text| !text.starts_with("launching") && !text.starts_with("killing")),
        "{page:?}"
    );
    assert!(second.shut_down(Leaving::Nothing { patience: PATIENCE }).await);
}

fn token_held(status: &ClusterStatus) -> String {
    let held = status.reasons.iter().find_map(|reason| match &reason.reason {
        Reason::HeldForUnknown { token, .. } => Some(token.clone()),
        _ => None,
    });
    held.expect("it is explained")
}

fn bare(settings: &Value) -> longshore_config::Config {
    let plugin = longshore_support::example("longshore-mutants", "bare");
    config(
        &json!([{ "name": "bare", "plugin": plugin, "config": settings }]),
        &json!([{ "name": "web", "provider": "bare", "workers": 2 }]),
    )
}

#[tokio::test]
async fn what_a_provider_cannot_tell_is_held_over_a_restart_until_an_operator_does() {
    let journal = journal();
    let first = host_with(Arc::clone(&journal)).await;
    first.apply(bare(&json!({ "lose_replies": 1 }))).await.expect("legal");
    until(&first, "web", "in doubt", |status| status.unknown == 2).await;
    drop(first);

    let second = host_with(journal).await;
    let status = until(&second, "web", "in doubt", |status| status.unknown == 2).await;
    let token = token_held(&status);
    assert_eq!(status.launching, 0, "nothing is launched in their place");

    let resolve = |token: &str, handles: &[(&str, u32)]| Command::Resolve {
        token: token.to_owned(),
        handles: handles.iter().map(|(name, workers)| ((*name).into(), *workers)).collect(),
    };
    let wrong = second.command("web", resolve("0-7", &[])).await;
    assert!(
        matches!(wrong, Err(CommandError::Denied { denied: Denied::NoSuchLaunch { .. }, .. })),
        "{wrong:?}"
    );
    let many = second.command("web", resolve(&token, &[("a", 3)])).await;
    assert!(matches!(many, Err(CommandError::Denied { denied: Denied::TooMany { .. }, .. })), "{many:?}");
    second.command("web", resolve(&token, &[])).await.expect("nothing came of it");
    // The next launch is lost as well; this time its workers are there, and somebody has seen them.
    let in_doubt = |status: &ClusterStatus| status.unknown == 2 && token_held(status) != token;
    let again = token_held(&until(&second, "web", "in doubt again", in_doubt).await);
    let (one, two) = (format!("{again}.0"), format!("{again}.1"));
    second.command("web", resolve(&again, &[(&one, 1), (&two, 1)])).await.expect("they are known now");
    let status = until(&second, "web", "up", |status| status.converged).await;
    assert_eq!((status.unknown, status.running), (0, 2));
    assert_eq!(handles(&second).await, [one, two]);
    let page = second.history("web", None, 1_000).await.expect("there");
    assert!(texts(&page).iter().any(|text| text.contains("an operator says")), "{page:?}");
}

#[tokio::test]
async fn a_history_tells_what_was_decided_and_why() {
    let host = host().await;
    host.apply(one(3, &json!({}))).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    host.command("web", Command::Scale { expected: 1 }).await.expect("legal");
    until(&host, "web", "scaled", |status| status.converged && status.running == 1).await;
    let page = host.history("web", None, 1_000).await.expect("there");
    let told = texts(&page);
    assert!(
        told[0].starts_with("defined") && told[1].starts_with("made, with 3 workers expected"),
        "{told:#?}"
    );
    assert!(
        told.iter()
            .any(|text| text.starts_with("launching 3 workers")
                && text.ends_with("3 wanted, and there were 0")),
        "{told:#?}"
    );
    assert!(told.contains(&"scaled: 1 worker expected"), "{told:#?}");
    let killing = told.iter().find(|text| text.starts_with("killing ")).expect("two are killed");
    assert!(
        killing.ends_with("1 wanted, and there were 3") && !killing.contains("no. "),
        "by name: {killing}"
    );
    let numbers: Vec<_> = page.entries.iter().map(|entry| entry.entry.number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    // In pages, the same; and who is killed in the last page came in an earlier one.
    let last = host.history("web", None, 2).await.expect("there");
    assert_eq!(last.entries[..], page.entries[page.entries.len() - 2..]);
    let before = host.history("web", Some(last.entries[0].entry.number), 3).await.expect("there");
    assert_eq!(before.entries[..], page.entries[page.entries.len() - 5..page.entries.len() - 2]);
    let unknown = host.history("wbe", None, 10).await;
    assert!(matches!(unknown, Err(CommandError::NoSuchCluster { .. })), "{unknown:?}");
}

#[tokio::test]
async fn a_cluster_that_was_deleted_is_not_taken_up() {
    let journal = journal();
    let first = host_with(Arc::clone(&journal)).await;
    first.apply(one(1, &json!({}))).await.expect("legal");
    first.command("web", Command::Delete { force: false }).await.expect("legal");
    eventually("deleted", async || first.clusters().is_empty()).await;
    drop(first);
    let second = host_with(journal).await;
    assert!(second.clusters().is_empty());
    second.apply(one(1, &json!({}))).await.expect("its name is free");
    until(&second, "web", "up", |status| status.converged).await;
}

#[tokio::test]
async fn what_a_configuration_changes_before_the_beginning_counts_from_the_first_step_on() {
    let journal = journal();
    let store = |name: &str| json!({ "store": format!("before_the_beginning_{name}") });
    let first = host_with(Arc::clone(&journal)).await;
    first.apply(one(4, &store("old"))).await.expect("legal");
    until(&first, "web", "up", |status| status.converged).await;
    assert!(first.shut_down(Leaving::Nothing { patience: PATIENCE }).await);

    // No worker is left, so that even the provider may be another one.
    let second = Host::prepare_to_begin(SearchPath::of([crate::folder()]), Arc::clone(&journal));
    let second = second.await.expect("sound");
    second.apply(one(1, &store("new"))).await.expect("it is not in use");
    assert_eq!(second.status("web").await.expect("there").launching, 0, "nothing is done yet");
    second.begin();
    until(&second, "web", "up", |status| status.converged && status.running == 1).await;
    let page = second.history("web", None, 1_000).await.expect("there");
    let told = texts(&page);
    let taken_up = told.iter().position(|text| text.starts_with("taken up")).expect("it was");
    assert!(
        told[taken_up..].iter().all(|text| !text.starts_with("launching 4") && !text.starts_with("killing")),
        "{told:#?}"
    );
    let in_use = second.apply(one(1, &store("old"))).await;
    assert!(matches!(in_use, Err(ApplyError::ProviderInUse { .. })), "{in_use:?}");
    drop(second);

    // With workers it is in use, begun or not; and who leaves before it began has launched nothing.
    let third = Host::prepare_to_begin(SearchPath::of([crate::folder()]), journal).await.expect("sound");
    let in_use = third.apply(one(1, &store("old"))).await;
    assert!(matches!(in_use, Err(ApplyError::ProviderInUse { .. })), "{in_use:?}");
    third.command("web", Command::Scale { expected: 3 }).await.expect("legal");
    assert!(third.shut_down(Leaving::Nothing { patience: PATIENCE }).await);
}
