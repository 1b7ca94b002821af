//! A cluster that moves to another provider, as an operator has it do: by a configuration that names that one.

use std::{sync::Arc, time::Duration};

use longshore_config::Config;
use longshore_runtime::{ApplyError, CommandError, Effect, GenerationState, Host, SwapRequest};
use longshore_scaling::{Denied, Reason};
use longshore_store::SqliteJournal;
use serde_json::json;

use crate::{
    config,
    depot::{Depot, to, version},
    eventually, host, host_with,
    stage::{BY_STATUS, Stage},
    until,
};

/// A cluster of so many workers on one of three providers of the memory plugin. The third one starts nobody.
fn on(provider: &str, workers: u32) -> Config {
    let fails = json!({ "fail": { "run": { "every": 1 } } });
    let mut config = config(
        &json!([
            { "name": "a", "plugin": "memory" },
            { "name": "b", "plugin": "memory" },
            { "name": "broken", "plugin": "memory", "config": fails },
        ]),
        &json!([{ "name": "web", "provider": provider, "workers": workers }]),
    );
    let policy = &mut config.clusters[0].policy;
    (policy.surge, policy.poll_interval) = (Some(2), Duration::from_millis(50));
    (policy.busy_poll_interval, policy.list_interval) =
        (Duration::from_millis(10), Duration::from_millis(100));
    config
}

fn users(host: &Host, provider: &str) -> Vec<String> {
    let found = host.providers().into_iter().find(|it| it.name == provider);
    found.map(|it| it.clusters).unwrap_or_default()
}

async fn denied(host: &Host, config: Config) -> Denied {
    match host.apply(config).await {
        Err(ApplyError::Command(CommandError::Denied { denied, .. })) => denied,
        other => panic!("it should be denied: {other:?}"),
    }
}

#[tokio::test]
async fn another_provider_in_the_configuration_is_a_move() {
    let host = host().await;
    host.apply(on("a", 6)).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.running == 6).await;

    let preview = &host.plan(on("b", 6)).await.expect("legal")[0];
    assert_eq!((preview.effect, preview.kill), (Effect::Updated, 0), "{preview:?}");
    let moving = preview.reasons.iter().any(|it| matches!(it.reason, Reason::Moving { left: 6, .. }));
    assert!(moving, "{preview:?}");

    let applied = host.apply(on("b", 6)).await.expect("legal");
    assert_eq!(applied.clusters, [("web".to_owned(), Effect::Updated)]);
    let status = until(&host, "web", "moved", |status| status.leaving.is_none()).await;
    assert_eq!(status.provider, "b");
    until(&host, "web", "up there", |status| status.converged && status.running == 6).await;
    assert_eq!((users(&host, "a"), users(&host, "b")), (vec![], vec!["web".to_owned()]));

    let page = host.history("web", None, 1_000).await.expect("there");
    let texts: Vec<_> = page.entries.iter().map(|entry| entry.text.as_str()).collect();
    let place = |what: &str| texts.iter().position(|text| *text == what);
    let (began, ended) =
        (place("moving from provider `a` to `b`"), place("moved: nothing is left on provider `a`"));
    assert!(began.is_some() && began < ended, "{texts:?}");
    // To apply it once more changes nothing.
    let again = host.apply(on("b", 6)).await.expect("legal");
    assert_eq!(again.clusters, [("web".to_owned(), Effect::Unchanged)]);
}

#[tokio::test]
async fn a_move_that_comes_to_nothing_can_be_turned_back() {
    let host = host().await;
    host.apply(on("a", 4)).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.running == 4).await;
    host.apply(on("broken", 4)).await.expect("legal");
    let stuck = until(&host, "web", "failing", |status| {
        status.reasons.iter().any(|it| matches!(it.reason, Reason::BackingOff { failures: 2.., .. }))
    })
    .await;
    let left = stuck.leaving.expect("it has not arrived");
    assert_eq!((left.provider.as_str(), left.left, stuck.running), ("a", 4, 4), "nobody went");
    assert_eq!(users(&host, "a"), ["web"], "it is in use still");

    let third = denied(&host, on("b", 4)).await;
    assert_eq!(third, Denied::IsMoving { from: "a".to_owned(), left: 4 });
    let before = host.workers("web", 0, 10).await.expect("there").workers;
    host.apply(on("a", 4)).await.expect("the way back is open");
    let back = until(&host, "web", "back", |status| status.leaving.is_none() && status.converged).await;
    assert_eq!((back.provider.as_str(), back.running), ("a", 4));
    let after = host.workers("web", 0, 10).await.expect("there").workers;
    let names =
        |of: &[longshore_runtime::WorkerView]| of.iter().map(|it| it.handle.clone()).collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after), "the very same");
}

/// The cluster of a stage, whose provider has a name of its own.
fn staged(stage: &Stage, provider: &str, workers: u32, server: Option<&str>) -> Config {
    let mut config = stage.web(workers, server, "");
    provider.clone_into(&mut config.providers[0].name);
    provider.clone_into(&mut config.clusters[0].provider);
    config.clusters[0].policy.surge = Some(1);
    config
}

#[tokio::test]
async fn a_host_that_ends_on_the_way_is_followed_by_one_that_goes_on() {
    let (old, new) = (Stage::new(), Stage::new());
    let journal: Arc<dyn longshore_store::Journal> = Arc::new(SqliteJournal::in_memory());
    let mut first = host_with(Arc::clone(&journal)).await;
    first.apply(staged(&old, "old", 8, None)).await.expect("legal");
    until(&first, "web", "up", |status| status.converged && status.running == 8).await;
    first.apply(staged(&new, "new", 8, None)).await.expect("legal");
    // It ends as a process does that is killed, again and again, a little further each time.
    for arrived in [1, 3, 6] {
        eventually("some have arrived", async || new.workers().len() >= arrived).await;
        drop(first);
        assert!(old.workers().len() + new.workers().len() <= 9, "eight, and a surge of one");
        first = host_with(Arc::clone(&journal)).await;
    }
    let status = until(&first, "web", "moved", |status| status.leaving.is_none() && status.converged).await;
    assert_eq!((status.running, status.provider.as_str()), (8, "new"));
    assert_eq!((old.workers().len(), new.workers().len()), (0, 8));
    eventually("it is tidied up there", async || old.said().contains(&"cleanup --deep".to_owned())).await;
}

#[tokio::test]
async fn a_cluster_with_a_server_of_its_provider_is_stopped_before_it_moves() {
    let (old, new) = (Stage::new(), Stage::new());
    let host = host().await;
    host.apply(staged(&old, "old", 2, Some(BY_STATUS))).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.running == 2).await;
    let there = staged(&new, "new", 2, Some(BY_STATUS));
    assert_eq!(denied(&host, there.clone()).await, Denied::ServerStaysBehind { from: "old".to_owned() });
    host.command("web", longshore_scaling::Command::Stop).await.expect("legal");
    until(&host, "web", "stopped", |status| status.converged).await;
    host.apply(there).await.expect("nothing is there any more");
    host.command("web", longshore_scaling::Command::Start).await.expect("legal");
    until(&host, "web", "up there", |status| status.converged && status.running == 2).await;
    assert!(new.has("server") && !old.has("server"));
    assert_eq!((old.workers().len(), new.workers().len()), (0, 2));
}

/// The cluster of a depot, whose provider has a name of its own.
fn stored(depot: &Depot, provider: &str) -> Config {
    let mut config = depot.config(&version("1.0.0"), &[("web", 8)]);
    provider.clone_into(&mut config.providers[0].name);
    provider.clone_into(&mut config.clusters[0].provider);
    config.clusters[0].policy.surge = Some(1);
    config
}

/// The versions of a provider's generations, the newest first.
fn generations(host: &Host, provider: &str) -> Vec<(String, GenerationState)> {
    let found = host.providers().into_iter().find(|it| it.name == provider).expect("it is there");
    found.generations.into_iter().map(|it| (it.version, it.state)).collect()
}

#[tokio::test]
async fn each_of_its_two_providers_is_swapped_under_a_cluster_that_moves() {
    let (old, new) = (Depot::new(), Depot::new());
    let host = host().await;
    host.apply(stored(&old, "old")).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.running == 8).await;
    // Nobody arrives before this says so.
    new.put("hold");
    host.apply(stored(&new, "new")).await.expect("legal");
    eventually("the first is launched there", async || new.said().contains(&"begun run".to_owned())).await;

    for (provider, handles) in [("old", 8), ("new", 0)] {
        for next in ["2.0.0", "2.1.0"] {
            let request = SwapRequest { provider: provider.to_owned(), ..to(&version(next)) };
            let swapped = host.swap(request).await.expect("the two agree");
            let compared = swapped.compared.expect("both are there");
            assert_eq!((compared.clusters, compared.handles), (1, handles), "{provider}: its own side alone");
        }
        assert_eq!(users(&host, provider), ["web"]);
    }
    let is_left = [("2.1.0", GenerationState::Serving), ("2.0.0", GenerationState::Kept)];
    let is_left = is_left.map(|(version, state)| (version.to_owned(), state));
    // What a cluster still called would be there, retiring.
    eventually("the first version is let go of", async || generations(&host, "old") == is_left).await;
    let retiring = ("1.0.0".to_owned(), GenerationState::Retiring);
    assert_eq!(generations(&host, "new")[2], retiring, "a launch of it is under way");

    new.remove("hold");
    let moved = until(&host, "web", "moved", |status| status.leaving.is_none() && status.converged).await;
    assert_eq!((moved.running, moved.provider.as_str()), (8, "new"));
    eventually("the first version is let go of", async || generations(&host, "new") == is_left).await;
    assert_eq!((old.alive().len(), old.killed(), new.alive().len(), new.killed()), (0, 8, 8, 0));
}
