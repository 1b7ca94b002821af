//! A provider is swapped to another version of its plugin: what is refused, what goes on, and what is given up by itself.

use std::{path::Path, time::Duration};

use longshore_runtime::{ApplyError, Canary, Effect, GenerationState, Host, SwapError, SwapRequest};
use longshore_scaling::Command;
use serde_json::json;

use crate::{
    depot::{Depot, bad, built, copied, generations, known, provider, serving, to, version},
    eventually, host, one, until,
};

use GenerationState::{Canary as Trying, Kept, Retiring, Serving};

/// Long enough that no watch of a test ends by itself.
const LONG: Option<Duration> = Some(Duration::from_hours(1));
/// So short that a test sees the end of it.
const SHORT: Option<Duration> = Some(Duration::from_millis(300));

async fn on(depot: &Depot, plugin: &Path, clusters: &[(&str, u32)]) -> Host {
    let host = host().await;
    host.apply(depot.config(plugin, clusters)).await.expect("legal");
    for (cluster, _) in clusters {
        until(&host, cluster, "up", |status| status.converged).await;
    }
    host
}

fn why(refused: Result<longshore_runtime::SwapOutcome, ApplyError>) -> SwapError {
    match refused.expect_err("it is refused") {
        ApplyError::Swap(why) => *why,
        other => panic!("{other}"),
    }
}

fn entry(version: &str, state: GenerationState) -> (String, GenerationState) {
    (version.to_owned(), state)
}

#[tokio::test]
async fn workers_go_on_under_another_version_and_under_the_one_before() {
    let depot = Depot::new();
    let host = on(&depot, &version("1.0.0"), &[("web", 20)]).await;
    let workers = depot.alive();

    let swapped = host.swap(to(&version("2.0.0"))).await.expect("the two agree");
    assert_eq!(swapped.from.map(|from| from.version).as_deref(), Some("1.0.0"));
    assert_eq!((swapped.to.version.as_str(), swapped.generation, swapped.watch_ms), ("2.0.0", 2, 0));
    let compared = swapped.compared.expect("there are workers");
    assert_eq!((compared.clusters, compared.handles, compared.listed), (1, 20, 20));
    assert_eq!(generations(&host), [entry("2.0.0", Serving), entry("1.0.0", Kept)]);
    host.command("web", Command::Scale { expected: 25 }).await.expect("legal");
    until(&host, "web", "scaled", |status| status.converged && status.running == 25).await;
    assert!(depot.alive().is_superset(&workers), "nobody was replaced");

    let again = host.swap(to(&version("2.0.0"))).await.expect("it serves already");
    assert!(!again.changed, "{again:?}");
    let back = host.rollback("depot").await.expect("the one before is kept");
    assert_eq!((back.from.expect("it served").version, back.to.version), ("2.0.0".into(), "1.0.0".into()));
    until(&host, "web", "still there", |status| status.converged && status.running == 25).await;
    eventually("what is not asked any more is gone", async || {
        generations(&host) == [entry("1.0.0", Serving)]
    })
    .await;
    let error = why(host.rollback("depot").await);
    assert!(matches!(error, SwapError::NothingBefore { .. }), "{error}");
    assert_eq!((known(&host).await, depot.killed()), (depot.alive(), 0));
}

#[tokio::test]
async fn what_does_not_agree_is_refused_and_nothing_changes() {
    let depot = Depot::new();
    let host = on(&depot, &version("1.0.0"), &[("web", 20)]).await;
    host.command("web", Command::Scale { expected: 18 }).await.expect("legal");
    until(&host, "web", "scaled", |status| status.converged && status.running == 18).await;
    for (fault, words) in [
        ("loses", "is running, and stopped for the new one"),
        ("finds", "is listed by the new one alone"),
        ("violates", "longshore conformance"),
        ("fails", "the new one cannot tell: the depot fails"),
        ("panics", "the new one cannot tell"),
    ] {
        depot.fault(fault);
        let error = why(host.swap(to(&bad())).await);
        assert!(matches!(error, SwapError::Differs { .. }), "{fault}: {error}");
        let text = error.to_string();
        assert!(text.contains(words) && text.contains("`web`") && text.contains("3.0.0"), "{fault}: {text}");
    }
    let listless = why(host.swap(to(&built("3.0.0", &["--cfg=listless"]))).await);
    assert!(listless.to_string().contains("it has no `list`"), "{listless}");
    let other = why(host.swap(to(&longshore_support::library("longshore-memory"))).await);
    assert!(matches!(other, SwapError::AnotherKind { .. }), "{other}");
    let strict = host.swap(to(&built("3.0.0", &["--cfg=strict"]))).await.expect_err("it must be told more");
    assert!(matches!(strict, ApplyError::Create { .. }) && strict.to_string().contains("zone"), "{strict}");
    let pinned = SwapRequest { sha256: Some("0".repeat(64)), ..to(&version("2.0.0")) };
    let pinned = host.swap(pinned).await.expect_err("it has another hash");
    assert!(matches!(pinned, ApplyError::Load { .. }) && pinned.to_string().contains("SHA-256"), "{pinned}");
    let nobody = SwapRequest { provider: "depto".to_owned(), ..to(&version("2.0.0")) };
    let nobody = why(host.swap(nobody).await);
    assert!(nobody.to_string().contains("did you mean `depot`?"), "{nobody}");

    assert_eq!(generations(&host), [entry("1.0.0", Serving)]);
    let status = until(&host, "web", "as it was", |status| status.converged).await;
    assert_eq!((status.running, depot.alive().len(), depot.killed()), (18, 18, 2));
}

#[tokio::test]
async fn instances_that_do_not_share_their_workers_do_not_agree() {
    let host = host().await;
    host.apply(one(3, &json!({}))).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let copy = copied(&longshore_support::library("longshore-memory"), elsewhere.path(), 1);
    let request = SwapRequest { provider: "memory".to_owned(), ..to(&copy) };
    let error = why(host.swap(request).await);
    assert!(error.to_string().contains("statuses differ"), "{error}");
    assert_eq!(until(&host, "web", "up", |status| status.converged).await.running, 3);
}

#[tokio::test]
async fn a_version_that_turns_bad_is_rolled_back_without_a_person() {
    for (fault, words) in
        [("violates", "broke the contract"), ("fails", "calls went wrong"), ("panics", "panicked or crashed")]
    {
        let depot = Depot::new();
        let host = on(&depot, &version("1.0.0"), &[("web", 200), ("db", 10)]).await;
        let workers = depot.alive();
        host.swap(SwapRequest { watch: LONG, ..to(&bad()) }).await.expect("it passes for good");
        assert_eq!(generations(&host), [entry("3.0.0", Serving), entry("1.0.0", Kept)]);
        assert!(provider(&host).generations[0].watched_ms.is_some());
        let error = why(host.swap(to(&version("2.0.0"))).await);
        assert!(matches!(error, SwapError::OnTrial { .. }), "{error}");

        depot.fault(fault);
        eventually("rolled back", async || serving(&host) == "1.0.0").await;
        let rolled_back = provider(&host).rolled_back.expect("it says so");
        assert!(rolled_back.version == "3.0.0" && rolled_back.reason.contains(words), "{rolled_back:?}");
        for (cluster, running) in [("web", 200), ("db", 10)] {
            until(&host, cluster, "well", |status| status.converged && status.running == running).await;
        }
        assert_eq!((depot.alive(), depot.killed()), (workers, 0), "{fault}");
        host.swap(to(&version("2.0.0"))).await.expect("the next one is welcome");
    }
}

#[tokio::test]
async fn a_version_that_is_well_is_taken_for_good() {
    let depot = Depot::new();
    let host = on(&depot, &version("1.0.0"), &[("web", 20)]).await;
    host.swap(SwapRequest { watch: SHORT, ..to(&version("2.0.0")) }).await.expect("the two agree");
    eventually("watched no more", async || provider(&host).generations[0].watched_ms.is_none()).await;
    assert_eq!(generations(&host), [entry("2.0.0", Serving), entry("1.0.0", Kept)]);
    assert_eq!(provider(&host).rolled_back, None);
}

#[tokio::test]
async fn a_canary_goes_first_and_comes_back_alone() {
    let depot = Depot::new();
    let host = on(&depot, &version("1.0.0"), &[("web", 20), ("db", 5), ("job", 9)]).await;
    let canary = Some(Canary::Smallest);
    let swapped =
        host.swap(SwapRequest { watch: LONG, canary, ..to(&bad()) }).await.expect("it passes for good");
    assert_eq!(swapped.canary.as_deref(), Some("db"));
    assert_eq!(generations(&host), [entry("3.0.0", Trying), entry("1.0.0", Serving)]);
    assert_eq!(serving(&host), "1.0.0");
    depot.fault("violates");
    eventually("given up", async || {
        let generations = generations(&host);
        generations.first() == Some(&entry("1.0.0", Serving))
            || generations.contains(&entry("3.0.0", Retiring))
    })
    .await;
    assert!(provider(&host).rolled_back.is_some_and(|it| it.version == "3.0.0"));

    // One that is well is what all have in the end.
    let canary = Some(Canary::Cluster("web".to_owned()));
    let request = SwapRequest { watch: SHORT, canary, ..to(&version("2.0.0")) };
    assert_eq!(host.swap(request).await.expect("the two agree").canary.as_deref(), Some("web"));
    eventually("taken for good", async || {
        serving(&host) == "2.0.0" && provider(&host).generations[0].watched_ms.is_none()
    })
    .await;
    let strange = SwapRequest { canary: Some(Canary::Cluster("wbe".to_owned())), ..to(&version("1.0.0")) };
    let error = why(host.swap(strange).await);
    assert!(error.to_string().contains("it serves db, job, web"), "{error}");
    for (cluster, running) in [("web", 20), ("db", 5), ("job", 9)] {
        until(&host, cluster, "well", |status| status.converged && status.running == running).await;
    }
    assert_eq!((depot.alive().len(), depot.killed()), (34, 0));
}

#[tokio::test]
async fn a_canary_can_be_called_back() {
    let depot = Depot::new();
    let host = on(&depot, &version("1.0.0"), &[("web", 8), ("db", 5)]).await;
    let canary = Some(Canary::Smallest);
    host.swap(SwapRequest { watch: LONG, canary, ..to(&version("2.0.0")) }).await.expect("the two agree");
    let back = host.rollback("depot").await.expect("there is a canary");
    assert_eq!(
        (back.from.expect("it was tried").version.as_str(), back.to.version.as_str()),
        ("2.0.0", "1.0.0")
    );
    eventually("gone", async || generations(&host) == [entry("1.0.0", Serving)]).await;
    assert_eq!(provider(&host).rolled_back, None, "an operator did it");
    host.swap(to(&version("2.0.0"))).await.expect("it is welcome again");
}

#[tokio::test]
async fn launches_and_kills_under_way_end_on_the_version_that_they_began_with() {
    let depot = Depot::new();
    let host = on(&depot, &version("1.0.0"), &[("web", 10), ("db", 6)]).await;
    depot.put("hold");
    host.command("web", Command::Scale { expected: 14 }).await.expect("legal");
    host.command("db", Command::Scale { expected: 2 }).await.expect("legal");
    let begun = |what: &str| depot.said().iter().any(|line| *line == format!("begun {what}"));
    eventually("both are under way", async || begun("run") && begun("kill")).await;

    host.swap(to(&version("2.0.0"))).await.expect("the two agree");
    host.swap(to(&bad())).await.expect("these two as well");
    assert_eq!(
        generations(&host),
        [entry("3.0.0", Serving), entry("2.0.0", Kept), entry("1.0.0", Retiring)],
        "what has calls under way does not go"
    );
    assert_eq!(provider(&host).generations[2].under_way, 2);
    depot.remove("hold");
    until(&host, "web", "launched", |status| status.converged && status.running == 14).await;
    until(&host, "db", "killed", |status| status.converged && status.running == 2).await;
    eventually("it goes", async || generations(&host) == [entry("3.0.0", Serving), entry("2.0.0", Kept)])
        .await;
    assert_eq!((depot.launched().1, depot.killed(), known(&host).await), (20, 4, depot.alive()));
}

#[tokio::test]
async fn versions_whose_calls_hang_are_bounded_in_number() {
    let (depot, copies) = (Depot::new(), tempfile::tempdir().expect("a folder"));
    let library = version("1.0.0");
    let host = host().await;
    let mut config = depot.config(&library, &[("web", 1)]);
    config.clusters[0].policy.launches_in_flight = 20;
    host.apply(config).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    depot.put("hold");
    let mut hanging = 0;
    let error = loop {
        // Each version has a launch that hangs in it.
        let before = depot.said().len();
        host.command("web", Command::Scale { expected: 2 + hanging }).await.expect("legal");
        eventually("one more launch hangs", async || depot.said().len() > before).await;
        hanging += 1;
        assert!(hanging < 20, "there is no end to it");
        match host.swap(to(&copied(&library, copies.path(), hanging as usize))).await {
            Ok(_) => {}
            refused => break why(refused),
        }
    };
    assert!(matches!(error, SwapError::TooManyGenerations { count: 7, .. }), "{error}");
    depot.remove("hold");
    until(&host, "web", "up", |status| status.converged && status.running == u64::from(1 + hanging)).await;
    assert_eq!((depot.launched().1, depot.killed()), (u64::from(1 + hanging), 0));
    eventually("the calls are back", async || generations(&host).len() == 2).await;
    host.swap(to(&version("2.0.0"))).await.expect("there is room again");
}

#[tokio::test]
async fn an_unchanged_configuration_keeps_the_version_and_another_file_is_sent_to_swap() {
    let depot = Depot::new();
    let (first, second) = (version("1.0.0"), version("2.0.0"));
    let host = on(&depot, &first, &[("web", 3)]).await;
    host.swap(to(&second)).await.expect("the two agree");
    let applied =
        host.apply(depot.config(&first, &[("web", 3)])).await.expect("nothing is other than before");
    assert_eq!(applied.providers, [("depot".to_owned(), Effect::Unchanged)]);
    assert_eq!(serving(&host), "2.0.0");

    // Whoever writes down what serves changes nothing, and that is what counts from then on.
    let applied = host.apply(depot.config(&second, &[("web", 3)])).await.expect("it serves already");
    assert_eq!(applied.providers, [("depot".to_owned(), Effect::Unchanged)]);
    let error = host.apply(depot.config(&first, &[("web", 3)])).await.expect_err("it is in use");
    assert!(error.to_string().contains("`longshore swap depot --to FILE`"), "{error}");
    assert_eq!(serving(&host), "2.0.0");
}

#[tokio::test]
async fn a_version_is_found_by_its_number() {
    let depot = Depot::new();
    let plugins = tempfile::tempdir().expect("a folder");
    let put = |name: &str, library: &Path| {
        let file = plugins.path().join(format!("{name}{}", std::env::consts::DLL_SUFFIX));
        std::fs::copy(library, file).expect("a folder of our own");
    };
    put("depot", &version("1.0.0"));
    put("depot-2.0.0", &version("2.0.0"));
    put("depot-9.9.9", &bad());
    let journal = std::sync::Arc::new(longshore_store::SqliteJournal::in_memory());
    let search = longshore_providers::SearchPath::of([plugins.path()]);
    let host = Host::open(search, journal).await.expect("sound");
    let mut named = depot.config(Path::new("depot"), &[("web", 3)]);
    named.providers[0].plugin = "depot".to_owned();
    host.apply(named).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;

    let swap = async |to: &str| {
        let to = Some(to.to_owned());
        let provider = "depot".to_owned();
        host.swap(SwapRequest { provider, to, watch: Some(Duration::ZERO), ..SwapRequest::default() }).await
    };
    assert_eq!(swap("2.0.0").await.expect("its file is there").to.version, "2.0.0");
    assert_eq!(swap("depot@1.0.0").await.expect("it served before").to.version, "1.0.0");
    let error = why(swap("9.9.9").await);
    assert!(error.to_string().contains("is 3.0.0"), "{error}");
    let error = why(swap("3.1.4").await);
    assert!(error.to_string().contains("depot 3.1.4 is not to be found"), "{error}");
    let error = swap("./nowhere.so").await.expect_err("there is no such file");
    assert!(matches!(error, ApplyError::NotFound { .. }), "{error}");
    // Without a word, it is what the configuration names by now.
    put("depot", &version("2.0.0"));
    let request = SwapRequest { provider: "depot".to_owned(), ..SwapRequest::default() };
    assert_eq!(host.swap(request).await.expect("the two agree").to.version, "2.0.0");
}

#[tokio::test]
async fn a_provider_that_cannot_tell_is_mended_by_a_swap() {
    let depot = Depot::new();
    let host = host().await;
    let mut config = depot.config(&bad(), &[("web", 20)]);
    config.clusters[0].deadlines.status = Duration::from_millis(500);
    host.apply(config).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    for fault in ["fails", "hangs", "violates"] {
        depot.fault(fault);
        host.swap(to(&version("2.0.0"))).await.expect("the one that serves cannot tell, and this one can");
        until(&host, "web", "well", |status| status.converged && status.running == 20).await;
        host.rollback("depot").await.expect("it is kept");
    }
    assert_eq!((depot.alive().len(), depot.killed()), (20, 0));

    // Nor can that one be held to anything which forgets most of what the host knows.
    let elsewhere = Depot::new();
    let host = on(&elsewhere, &bad(), &[("web", 20)]).await;
    elsewhere.fault("fails");
    elsewhere.forget();
    let error = why(host.swap(to(&version("2.0.0"))).await);
    assert!(error.to_string().contains("20 of 20 containers have stopped"), "{error}");
}

#[tokio::test]
async fn one_that_serves_nobody_is_swapped_as_well() {
    let depot = Depot::new();
    let host = host().await;
    host.apply(depot.config(&version("1.0.0"), &[])).await.expect("legal");
    let canary = Some(Canary::Smallest);
    let swapped = host.swap(SwapRequest { canary, ..to(&version("2.0.0")) }).await.expect("nothing differs");
    assert_eq!((swapped.canary, swapped.compared.map(|it| it.clusters)), (None, Some(0)));
}

#[tokio::test]
async fn a_watched_folder_brings_newer_versions_and_nothing_else() {
    let (depot, folder) = (Depot::new(), tempfile::tempdir().expect("a folder"));
    let host = host().await;
    let mut config = depot.config(&version("1.0.0"), &[("web", 5)]);
    config.providers[0].watch = Some(folder.path().to_owned());
    host.apply(config.clone()).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    let put = |name: &str, library: &Path| {
        let unfinished = folder.path().join(".unfinished");
        std::fs::copy(library, &unfinished).expect("a folder of our own");
        let file = folder.path().join(format!("{name}{}", std::env::consts::DLL_SUFFIX));
        std::fs::rename(unfinished, file).expect("a folder of our own");
    };
    std::fs::write(folder.path().join("half.so"), "half of one").expect("a folder of our own");
    put("a-other", &longshore_support::library("longshore-memory"));
    put("b-same", &copied(&version("1.0.0"), tempfile::tempdir().expect("a folder").path(), 1));
    put("c-newer", &version("2.0.0"));
    eventually("the newer one serves", async || serving(&host) == "2.0.0").await;
    assert_eq!(generations(&host), [entry("2.0.0", Serving), entry("1.0.0", Kept)], "the others never did");
    assert!(provider(&host).generations[0].watched_ms.is_some(), "as if an operator had asked for it");
    until(&host, "web", "well", |status| status.converged && status.running == 5).await;

    // Who watches no more takes no more.
    config.providers[0].watch = None;
    host.apply(config).await.expect("it is the same provider");
    assert_eq!(serving(&host), "2.0.0");
    assert_eq!((depot.launched().1, depot.killed()), (5, 0));
}
