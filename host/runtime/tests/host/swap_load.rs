//! Many swaps and rollbacks under load: the backend counts what was asked of it, and nothing is lost, doubled or failed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use longshore_runtime::Host;
use longshore_scaling::Command;
use tokio::time::sleep;

use crate::{
    depot::{Depot, known, provider, serving, to, version},
    host, until,
};

const WORKERS: u32 = 10_000;
const SWAPS: usize = 100;

/// Scales a cluster down and up again, without rest and each time to the end. Gives how many workers it asked for anew.
async fn scale(host: Arc<Host>, cluster: &'static str, full: u32, by: u32, enough: Arc<AtomicBool>) -> u64 {
    let mut anew = 0;
    while !enough.load(Ordering::Relaxed) {
        for expected in [full - by, full] {
            host.command(cluster, Command::Scale { expected }).await.expect("no request fails");
            until(&host, cluster, "as asked", |status| {
                status.converged && status.running == u64::from(expected)
            })
            .await;
        }
        anew += u64::from(by);
    }
    anew
}

/// Looks at everything without rest. Gives how often.
async fn look(host: Arc<Host>, enough: Arc<AtomicBool>) -> u64 {
    let mut looks = 0;
    while !enough.load(Ordering::Relaxed) {
        for cluster in ["big", "small"] {
            let status = host.status(cluster).await.expect("no request fails");
            assert_eq!((status.unknown, status.strays), (0, 0), "{status:?}");
            let page = host.workers(cluster, 0, 100).await.expect("no request fails");
            assert!(!page.workers.is_empty());
        }
        for generation in provider(&host).generations {
            assert_eq!((generation.errors, generation.violations), (0, 0), "{generation:?}");
        }
        looks += 1;
        sleep(Duration::from_millis(5)).await;
    }
    looks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_swaps_and_rollbacks_under_load_lose_double_and_fail_nothing() {
    let (one, two) = (version("1.0.0"), version("2.0.0"));
    let depot = Depot::new();
    let host = Arc::new(host().await);
    host.apply(depot.config(&one, &[("big", WORKERS), ("small", 50)])).await.expect("legal");
    until(&host, "big", "up", |status| status.converged).await;
    until(&host, "small", "up", |status| status.converged).await;

    let enough = Arc::new(AtomicBool::new(false));
    let big = tokio::spawn(scale(Arc::clone(&host), "big", WORKERS, 300, Arc::clone(&enough)));
    let small = tokio::spawn(scale(Arc::clone(&host), "small", 50, 20, Arc::clone(&enough)));
    let looker = tokio::spawn(look(Arc::clone(&host), Arc::clone(&enough)));
    for _ in 0..SWAPS {
        let swapped = host.swap(to(&two)).await.expect("the two versions agree");
        assert!(swapped.changed && swapped.compared.is_some_and(|it| it.handles > 9_000), "{swapped:?}");
        assert_eq!(serving(&host), "2.0.0");
        let back = host.rollback("depot").await.expect("the one before is kept");
        assert_eq!((back.to.version.as_str(), serving(&host).as_str()), ("1.0.0", "1.0.0"));
    }
    let last = host.swap(to(&two)).await.expect("the two versions agree");
    enough.store(true, Ordering::Relaxed);
    let anew = big.await.expect("no request fails") + small.await.expect("no request fails");
    assert!(looker.await.expect("no request fails") > 0 && anew > 0);
    assert_eq!(last.generation, SWAPS as u64 + 2, "each swap made a generation");

    // What the backend has done is what was asked for, to the worker.
    let (tokens, launched) = depot.launched();
    assert_eq!(launched, u64::from(WORKERS) + 50 + anew, "none was launched that nobody asked for");
    assert_eq!(depot.killed() as u64, anew, "none was killed that nobody asked for");
    assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), tokens.len(), "no launch was carried out twice");
    let alive = depot.alive();
    assert_eq!(alive.len(), WORKERS as usize + 50);
    assert_eq!(known(&host).await, alive, "the host knows each of them");
    for cluster in ["big", "small"] {
        let history = host.history(cluster, None, 1_000).await.expect("there").entries;
        let died = history.iter().find(|entry| entry.text.contains("died"));
        assert!(died.is_none(), "{died:?}");
    }
}
