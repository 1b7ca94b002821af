//! What a cluster's history and its status say of its provider's swaps: once, durably, and to those clusters that are concerned.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use longshore_providers::SearchPath;
use longshore_runtime::{Canary, Host, Leaving, ServingStatus, SwapRequest};
use longshore_scaling::{Command, Standing};
use longshore_store::{Journal, SqliteJournal};

use crate::{
    depot::{Depot, bad, provider, serving, to, told, version},
    eventually,
    fragile::Fragile,
    until,
};

const LONG: Duration = Duration::from_hours(1);
const SHORT: Duration = Duration::from_millis(300);
const BEGUN: &str = "serves with 1.0.0";

async fn open(journal: Arc<dyn Journal>) -> Host {
    Host::open(SearchPath::default(), journal).await.expect("the journal is sound")
}

/// A host with these clusters on version 1.0.0.
async fn on(depot: &Depot, journal: Arc<dyn Journal>, clusters: &[(&str, u32)]) -> Host {
    let host = open(journal).await;
    host.apply(depot.config(&version("1.0.0"), clusters)).await.expect("legal");
    for (cluster, _) in clusters {
        until(&host, cluster, "up", |status| status.converged).await;
    }
    host
}

fn memory() -> Arc<SqliteJournal> {
    Arc::new(SqliteJournal::in_memory())
}

fn watched(library: &std::path::Path, watch: Duration) -> SwapRequest {
    SwapRequest { watch: Some(watch), ..to(library) }
}

async fn at_hand(host: &Host, cluster: &str) -> ServingStatus {
    host.status(cluster).await.expect("it is there").serving.expect("its provider is there")
}

/// What a history has said in the end: what is told to a cluster reaches it in turn.
async fn says(host: &Host, cluster: &str, wanted: &[&str]) {
    eventually(&format!("{cluster} has {wanted:?}"), async || told(host, cluster).await == wanted).await;
}

#[tokio::test]
async fn a_swap_its_proof_and_its_rollback_are_in_the_history_and_in_the_status() {
    let depot = Depot::new();
    let host = on(&depot, memory(), &[("web", 8)]).await;
    assert_eq!(told(&host, "web").await, [BEGUN], "it is said with the cluster's first word");
    let first = at_hand(&host, "web").await;
    assert_eq!((first.generation, first.version.as_str(), first.standing), (1, "1.0.0", Standing::Settled));
    assert_eq!(first.hash, provider(&host).hash);

    host.swap(watched(&version("2.0.0"), LONG)).await.expect("the two agree");
    let on_trial = until(&host, "web", "swapped", |status| {
        status.serving.as_ref().is_some_and(|serving| serving.standing == Standing::Watched)
    });
    let on_trial = on_trial.await.serving.expect("it is there");
    assert_eq!((on_trial.generation, on_trial.version.as_str(), on_trial.tried), (2, "2.0.0", None));
    assert!(on_trial.watched_until.is_some());
    let listed = host.clusters().remove(0).serving.expect("it is there");
    assert_eq!(listed.generation, 2, "the list of all clusters has it as well");
    host.rollback("depot").await.expect("the one before is kept");
    host.swap(watched(&version("2.0.0"), SHORT)).await.expect("the two agree");
    let swapped = "was swapped from 1.0.0 to 2.0.0; it is watched";
    let rolled_back = "was rolled back from 2.0.0 to 1.0.0, as somebody asked";
    let proved = "keeps 2.0.0, which has proved itself";
    says(&host, "web", &[BEGUN, swapped, rolled_back, swapped, proved]).await;
    let settled = at_hand(&host, "web").await;
    assert_eq!((settled.generation, settled.standing, settled.watched_until), (3, Standing::Settled, None));

    // A cluster that comes later begins with what there is.
    host.apply(depot.config(&version("2.0.0"), &[("db", 2)])).await.expect("legal");
    says(&host, "db", &["serves with 2.0.0"]).await;
    // For a program, each has the whole hash.
    let entries = host.history("web", None, 1_000).await.expect("it is there").entries;
    let document = serde_json::to_string(&entries).expect("it can be written");
    assert!(document.contains("\"served\"") && document.contains(&settled.hash), "{document}");
}

#[tokio::test]
async fn a_canary_is_told_where_it_is_and_of_its_promotion_all_hear() {
    let depot = Depot::new();
    let host = on(&depot, memory(), &[("web", 8), ("db", 3)]).await;
    let canary = Some(Canary::Cluster("db".to_owned()));
    let request = SwapRequest { canary: canary.clone(), ..watched(&bad(), LONG) };
    host.swap(request).await.expect("it passes for good");
    let tries = "was swapped from 1.0.0 to 3.0.0; this cluster alone tries it, and it is watched";
    says(&host, "db", &[BEGUN, tries]).await;
    let tried = at_hand(&host, "db").await;
    assert_eq!((tried.generation, tried.version.as_str(), tried.standing), (2, "3.0.0", Standing::Tried));
    assert!(tried.watched_until.is_some() && tried.tried.is_none());
    let elsewhere = until(&host, "web", "told of it", |status| {
        status.serving.as_ref().is_some_and(|serving| serving.tried.is_some())
    });
    let elsewhere = elsewhere.await.serving.expect("it is there");
    assert_eq!((elsewhere.generation, elsewhere.version.as_str()), (1, "1.0.0"));
    let other = elsewhere.tried.expect("another one tries it");
    assert_eq!((other.cluster.as_str(), other.generation, other.version.as_str()), ("db", 2, "3.0.0"));

    depot.fault("violates");
    eventually("given up", async || provider(&host).rolled_back.is_some()).await;
    let why = provider(&host).rolled_back.expect("it was").reason;
    let rolled_back = format!("was rolled back from 3.0.0 to 1.0.0 by the host itself: {why}");
    says(&host, "db", &[BEGUN, tries, &rolled_back]).await;
    assert!(why.contains("broke the contract"), "{why}");
    until(&host, "web", "told of nothing", |status| {
        status.serving.as_ref().is_some_and(|serving| serving.tried.is_none())
    })
    .await;
    assert_eq!(told(&host, "web").await, [BEGUN], "it never had another one");

    let request = SwapRequest { canary, ..watched(&version("2.0.0"), SHORT) };
    host.swap(request).await.expect("the two agree");
    let tries_again = "was swapped from 1.0.0 to 2.0.0; this cluster alone tries it, and it is watched";
    let promoted = "goes on with 2.0.0, which was well here: all its clusters have it now; it is watched";
    let proved = "keeps 2.0.0, which has proved itself";
    says(&host, "db", &[BEGUN, tries, &rolled_back, tries_again, promoted, proved]).await;
    let swapped = "was swapped from 1.0.0 to 2.0.0, with which cluster `db` was well; it is watched";
    says(&host, "web", &[BEGUN, swapped, proved]).await;
}

#[tokio::test]
async fn what_a_host_that_was_cut_off_had_on_trial_the_next_one_tells_of_once() {
    let (depot, journal) = (Depot::new(), memory());
    let host = on(&depot, Arc::clone(&journal) as Arc<dyn Journal>, &[("web", 8)]).await;
    host.swap(watched(&version("2.0.0"), LONG)).await.expect("the two agree");
    let swapped = "was swapped from 1.0.0 to 2.0.0; it is watched";
    says(&host, "web", &[BEGUN, swapped]).await;
    // In order: the trial goes on, and there is nothing to tell.
    assert!(host.shut_down(Leaving::Workers).await);
    let host = open(Arc::clone(&journal) as Arc<dyn Journal>).await;
    let up = until(&host, "web", "up", |status| status.converged).await;
    assert_eq!(up.serving.expect("it is there").standing, Standing::Watched);
    assert_eq!(told(&host, "web").await, [BEGUN, swapped]);
    // Cut off: the one before is the safe one.
    drop(host);
    let why = "its host was cut off while it still had to prove itself";
    let rolled_back = format!("was rolled back from 2.0.0 to 1.0.0 by the host itself: {why}");
    for _ in 0..2 {
        let host = open(Arc::clone(&journal) as Arc<dyn Journal>).await;
        until(&host, "web", "up", |status| status.converged).await;
        assert_eq!(told(&host, "web").await, [BEGUN, swapped, &rolled_back]);
        assert_eq!(provider(&host).rolled_back.map(|it| it.reason).as_deref(), Some(why));
        drop(host);
    }
    assert_eq!((depot.launched().1, depot.killed()), (8, 0));
}

#[tokio::test]
async fn a_swap_that_the_journal_does_not_take_is_told_as_soon_as_it_does_and_nothing_is_done_before() {
    let (depot, journal) = (Depot::new(), Arc::new(Fragile::default()));
    let host = on(&depot, Arc::clone(&journal) as Arc<dyn Journal>, &[("web", 8)]).await;
    // Of clusters nothing can be written; the provider's own definition can.
    journal.broken.store(true, Ordering::SeqCst);
    host.swap(to(&version("2.0.0"))).await.expect("the two agree");
    assert_eq!(serving(&host), "2.0.0");
    until(&host, "web", "held up", |status| {
        status.reasons.iter().any(|reason| reason.text.contains("no space left on device"))
    })
    .await;
    assert_eq!(told(&host, "web").await, [BEGUN]);
    journal.broken.store(false, Ordering::SeqCst);
    says(&host, "web", &[BEGUN, "was swapped from 1.0.0 to 2.0.0"]).await;
    host.command("web", Command::Scale { expected: 9 }).await.expect("legal");
    until(&host, "web", "scaled", |status| status.converged && status.running == 9).await;
}
