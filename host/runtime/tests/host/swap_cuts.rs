//! A host that is cut off in the middle of a swap, wherever that is: the next one has either version, and every worker.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use longshore_providers::SearchPath;
use longshore_runtime::{GenerationState, Host, Leaving, SwapRequest};
use longshore_store::{Journal, SqliteJournal};

use crate::{
    depot::{Depot, bad, copied, generations, known, provider, serving, to, version},
    eventually,
    fragile::Fragile,
    until,
};

async fn open(journal: Arc<dyn Journal>) -> Host {
    Host::open(SearchPath::default(), journal).await.expect("the journal is sound")
}

fn watched(library: &std::path::Path, watch: Duration) -> SwapRequest {
    SwapRequest { watch: Some(watch), ..to(library) }
}

const LONG: Duration = Duration::from_hours(1);

/// The next host has the version, and all is well under it.
async fn comes_back(journal: &Arc<SqliteJournal>, depot: &Depot, wanted: &str, workers: u32) -> Host {
    let host = open(Arc::clone(journal) as Arc<dyn Journal>).await;
    assert_eq!(serving(&host), wanted);
    let up = until(&host, "web", "up", |status| status.converged && status.running == u64::from(workers));
    assert_eq!(up.await.unknown, 0);
    assert_eq!(known(&host).await, depot.alive());
    let (tokens, launched) = depot.launched();
    assert_eq!(
        (tokens.len(), launched, depot.killed()),
        (1, u64::from(workers), 0),
        "nothing was done twice"
    );
    host
}

#[tokio::test]
async fn a_host_that_is_cut_off_at_any_step_of_the_journal_comes_back_with_one_of_the_two() {
    const SHORT: Duration = Duration::from_millis(50);
    // (definitions that are written before the cut, whether that of the cut is, the watch, what is done, the version after)
    let (swap, rollback) = (false, true);
    for (left, is_written, watch, then_back, wanted) in [
        // The provider itself is the first to be defined, and then what shall serve.
        (1, false, Duration::ZERO, swap, "1.0.0"),
        (1, true, Duration::ZERO, swap, "2.0.0"),
        (1, false, LONG, swap, "1.0.0"),
        // On trial: whether the new one brought the host down, nobody knows.
        (1, true, LONG, swap, "1.0.0"),
        (2, false, LONG, swap, "1.0.0"),
        // At the end of the trial.
        (2, false, SHORT, swap, "1.0.0"),
        (2, true, SHORT, swap, "2.0.0"),
        // At a rollback.
        (2, false, Duration::ZERO, rollback, "2.0.0"),
        (2, true, Duration::ZERO, rollback, "1.0.0"),
        (2, false, LONG, rollback, "1.0.0"),
        (2, true, LONG, rollback, "1.0.0"),
    ] {
        let (depot, journal) = (Depot::new(), Arc::new(SqliteJournal::in_memory()));
        let cut = Arc::new(Fragile::cut_after(Arc::clone(&journal), left, is_written));
        let host = open(Arc::clone(&cut) as Arc<dyn Journal>).await;
        host.apply(depot.config(&version("1.0.0"), &[("web", 8)])).await.expect("legal");
        until(&host, "web", "up", |status| status.converged).await;

        let host = Arc::new(host);
        let doing = tokio::spawn({
            let host = Arc::clone(&host);
            async move {
                let _ = host.swap(watched(&version("2.0.0"), watch)).await;
                if then_back {
                    let _ = host.rollback("depot").await;
                }
            }
        });
        // Where a trial has no end, it is cut off while it is under way.
        let on_trial = || watch == LONG && doing.is_finished();
        eventually("cut off", async || cut.is_cut() || on_trial()).await;
        doing.abort();
        drop(host);
        drop(comes_back(&journal, &depot, wanted, 8).await);
    }
}

#[tokio::test]
async fn a_swap_that_is_dropped_at_any_moment_is_done_whole_or_not_at_all() {
    let copies = tempfile::tempdir().expect("a folder");
    let (one, two) = (version("1.0.0"), version("2.0.0"));
    let (depot, journal) = (Depot::new(), Arc::new(SqliteJournal::in_memory()));
    let host = open(Arc::clone(&journal) as Arc<dyn Journal>).await;
    host.apply(depot.config(&one, &[("web", 8)])).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    let mut done = 0;
    for polls in 1.. {
        let library = copied(if done % 2 == 0 { &two } else { &one }, copies.path(), polls);
        let before = provider(&host).hash;
        let complete = {
            let mut swap = pin!(host.swap(to(&library)));
            let mut left = polls;
            poll_fn(|context| match swap.as_mut().poll(context) {
                Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                Poll::Pending if left == 1 => Poll::Ready(None),
                Poll::Pending => {
                    left -= 1;
                    Poll::Pending
                }
            })
            .await
        };
        // What had begun is carried out; the next in turn waits for that.
        let as_configured = host.apply(depot.config(&one, &[("web", 8)])).await;
        let after = provider(&host).hash;
        let document = journal.providers().await.expect("memory").remove(0).1;
        if after == before {
            assert!(complete.is_none(), "{complete:?}");
            assert_ne!(document["swapped"]["serving"]["hash"], provider_hash(&library));
        } else {
            as_configured.expect("what was swapped is kept");
            assert_eq!(after, provider_hash(&library));
            assert_eq!(document["swapped"]["serving"]["hash"], after);
            done += 1;
        }
        until(&host, "web", "well", |status| status.converged && status.running == 8).await;
        if complete.is_some() {
            break;
        }
        assert!(polls < 200, "it never ends");
    }
    assert!(done > 0);
    assert_eq!((depot.launched().1, depot.killed()), (8, 0));
}

fn provider_hash(library: &std::path::Path) -> String {
    longshore_providers::Library::open(library).expect("a plugin").hash().to_owned()
}

#[tokio::test]
async fn a_trial_goes_on_under_the_next_host_where_the_one_before_ended_in_order() {
    let (depot, journal) = (Depot::new(), Arc::new(SqliteJournal::in_memory()));
    let host = open(Arc::clone(&journal) as Arc<dyn Journal>).await;
    host.apply(depot.config(&version("1.0.0"), &[("web", 8)])).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    host.swap(watched(&bad(), LONG)).await.expect("the two agree");
    assert!(host.shut_down(Leaving::Workers).await);

    let host = comes_back(&journal, &depot, "3.0.0", 8).await;
    assert!(provider(&host).generations[0].watched_ms.is_some(), "{:?}", provider(&host));
    depot.fault("violates");
    eventually("rolled back, with what the journal names alone", async || serving(&host) == "1.0.0").await;
    assert!(provider(&host).rolled_back.is_some());
    until(&host, "web", "well", |status| status.converged && status.running == 8).await;
    drop(host);
    drop(comes_back(&journal, &depot, "1.0.0", 8).await);
}

#[tokio::test]
async fn a_host_goes_back_to_what_an_earlier_one_had_before() {
    let (depot, journal) = (Depot::new(), Arc::new(SqliteJournal::in_memory()));
    let host = open(Arc::clone(&journal) as Arc<dyn Journal>).await;
    host.apply(depot.config(&version("1.0.0"), &[("web", 8)])).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    host.swap(to(&version("2.0.0"))).await.expect("the two agree");
    assert!(host.shut_down(Leaving::Workers).await);
    let host = comes_back(&journal, &depot, "2.0.0", 8).await;
    let back = host.rollback("depot").await.expect("the journal names it");
    assert_eq!(back.to.version, "1.0.0");
    assert_eq!(generations(&host)[0], ("1.0.0".to_owned(), GenerationState::Serving));
    until(&host, "web", "well", |status| status.converged && status.running == 8).await;
    assert_eq!((depot.launched().1, depot.killed()), (8, 0));
}

#[tokio::test]
async fn a_library_that_is_gone_or_another_by_now_leaves_the_place_to_the_next_best() {
    let files = tempfile::tempdir().expect("a folder");
    let (one, two) = (version("1.0.0"), copied(&version("2.0.0"), files.path(), 1));
    let (depot, journal) = (Depot::new(), Arc::new(SqliteJournal::in_memory()));
    let host = open(Arc::clone(&journal) as Arc<dyn Journal>).await;
    host.apply(depot.config(&one, &[("web", 8)])).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    host.swap(to(&two)).await.expect("the two agree");
    drop(host);
    // Somebody has put another version in its place, which nobody has compared.
    std::fs::copy(bad(), &two).expect("a file of our own");
    drop(comes_back(&journal, &depot, "1.0.0", 8).await);
    std::fs::remove_file(&two).expect("it is there");
    drop(comes_back(&journal, &depot, "1.0.0", 8).await);
}
