//! Many swaps and rollbacks under load, and versions that turn bad in the midst of it, with the providers in this process and in
//! processes of their own: the backend counts what was asked of it, and nothing is lost, doubled or failed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use longshore_config::Isolation;
use longshore_runtime::{HistoryEntry, Host, SwapRequest};
use longshore_scaling::Command;
use longshore_store::SqliteJournal;
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    depot::{Depot, bad, known, provider, serving, to, version},
    eventually, host_with_runners, until,
};

const SWAPS: usize = 100;
/// The clusters: their names, how many workers they have, and how many of those come and go.
const CLUSTERS: [(&str, u32, u32); 2] = [("big", 10_000, 300), ("small", 50, 20)];
/// Entries of a history that are read at once.
const PAGE: usize = 1_000;

/// What is asked of the host without rest.
struct Load {
    host: Host,
    /// Whether it shall end.
    enough: AtomicBool,
    /// Whether the version that serves does wrong: what it fails at is none of the others' doing.
    is_bad: AtomicBool,
    /// How often each cluster was scaled down and up again, to the end.
    rounds: [AtomicU64; CLUSTERS.len()],
}

impl Load {
    fn is_enough(&self) -> bool {
        self.enough.load(Ordering::SeqCst)
    }

    fn rounds(&self) -> [u64; CLUSTERS.len()] {
        self.rounds.each_ref().map(|rounds| rounds.load(Ordering::SeqCst))
    }

    /// Scales one of the clusters down and up again, each time to the end. Every request counts.
    async fn scale(self: Arc<Self>, number: usize) {
        let (cluster, full, by) = CLUSTERS[number];
        let first = self.host.status(cluster).await.expect("no request fails").generation;
        let mut asked = 0;
        while !self.is_enough() {
            for expected in [full - by, full] {
                let command = Command::Scale { expected };
                let generation = self.host.command(cluster, command).await.expect("no request fails");
                asked += 1;
                assert_eq!(generation, first + asked, "none is lost, and none counts twice");
                until(&self.host, cluster, "as asked", |status| {
                    status.converged && status.running == u64::from(expected)
                })
                .await;
            }
            self.rounds[number].fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Looks at everything. Gives how often.
    async fn look(self: Arc<Self>) -> u64 {
        let mut looks = 0;
        while !self.is_enough() {
            for (cluster, ..) in CLUSTERS {
                let was_bad = self.is_bad.load(Ordering::SeqCst);
                let status = self.host.status(cluster).await.expect("no request fails");
                // What is asked of a process that dies has no answer, and is found out.
                let may_be_unknown = was_bad || self.is_bad.load(Ordering::SeqCst);
                assert!(status.unknown == 0 || may_be_unknown, "{status:?}");
                assert_eq!(status.strays, 0, "{status:?}");
                let page = self.host.workers(cluster, 0, 100).await.expect("no request fails");
                assert!(!page.workers.is_empty());
            }
            for generation in provider(&self.host).generations.iter().filter(|it| it.version != "3.0.0") {
                assert_eq!((generation.errors, generation.violations), (0, 0), "{generation:?}");
            }
            looks += 1;
            sleep(Duration::from_millis(5)).await;
        }
        looks
    }

    /// Waits until each cluster was scaled down and up again twice more: once at least from beginning to end.
    async fn more_rounds(&self) {
        let before = self.rounds();
        eventually("the load goes on", async || {
            self.rounds().iter().zip(before).all(|(rounds, before)| *rounds > before + 1)
        })
        .await;
    }
}

/// All that is kept of a cluster's history, newest page first.
async fn history(host: &Host, cluster: &str) -> Vec<HistoryEntry> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = host.history(cluster, before, PAGE).await.expect("no request fails").entries;
        let Some(first) = page.first() else { return all };
        before = Some(first.entry.number);
        all.extend(page);
    }
}

async fn swapped_and_rolled_back(isolation: Isolation, faults: [(&str, &str); 2]) {
    let (one, two) = (version("1.0.0"), version("2.0.0"));
    let depot = Depot::new();
    let host = host_with_runners(Arc::new(SqliteJournal::in_memory())).await;
    let mut config = depot.config(&one, &CLUSTERS.map(|(cluster, workers, _)| (cluster, workers)));
    config.providers[0].isolation = Some(isolation);
    for cluster in &mut config.clusters {
        // Statuses of ten thousand are asked for often enough, and the machine's time is for what is to be seen here.
        cluster.policy.poll_interval = Duration::from_millis(200);
        cluster.policy.list_interval = Duration::from_secs(1);
    }
    host.apply(config).await.expect("legal");
    for (cluster, ..) in CLUSTERS {
        until(&host, cluster, "up", |status| status.converged).await;
    }
    assert_eq!(provider(&host).isolation, Some(isolation));

    let load = Arc::new(Load {
        host,
        enough: AtomicBool::new(false),
        is_bad: AtomicBool::new(false),
        rounds: Default::default(),
    });
    let scaling: [JoinHandle<()>; CLUSTERS.len()] =
        std::array::from_fn(|number| tokio::spawn(Arc::clone(&load).scale(number)));
    let looking = tokio::spawn(Arc::clone(&load).look());
    let host = &load.host;
    for _ in 0..SWAPS {
        let swapped = host.swap(to(&two)).await.expect("the two versions agree");
        assert!(swapped.changed && swapped.compared.is_some_and(|it| it.handles > 9_000), "{swapped:?}");
        assert_eq!(serving(host), "2.0.0");
        let back = host.rollback("depot").await.expect("the one before is kept");
        assert_eq!((back.to.version.as_str(), serving(host).as_str()), ("1.0.0", "1.0.0"));
    }
    let last = host.swap(to(&two)).await.expect("the two versions agree");
    assert_eq!(last.generation, SWAPS as u64 + 2, "each swap made a generation");
    // There was a load all the while, and nothing of it is stuck.
    load.more_rounds().await;

    // Versions that turn bad are given up by the host alone, and those whom they served lose nothing.
    for (fault, words) in faults {
        let watched = SwapRequest { watch: Some(Duration::from_hours(1)), ..to(&bad()) };
        host.swap(watched).await.expect("it passes for good");
        assert_eq!(serving(host), "3.0.0");
        load.more_rounds().await;
        load.is_bad.store(true, Ordering::SeqCst);
        depot.fault(fault);
        eventually("rolled back", async || serving(host) == "2.0.0").await;
        let rolled_back = provider(host).rolled_back.expect("it says so");
        assert!(rolled_back.version == "3.0.0" && rolled_back.reason.contains(words), "{rolled_back:?}");
        load.more_rounds().await;
        depot.fault("");
        load.is_bad.store(false, Ordering::SeqCst);
        load.more_rounds().await;
    }
    load.enough.store(true, Ordering::SeqCst);
    for task in scaling {
        task.await.expect("no request fails");
    }
    assert!(looking.await.expect("no request fails") > 0);

    // What the backend has done is what was asked for, to the worker.
    let all: u64 = CLUSTERS.iter().map(|(_, workers, _)| u64::from(*workers)).sum();
    let anew: u64 =
        CLUSTERS.iter().zip(load.rounds()).map(|((.., by), rounds)| u64::from(*by) * rounds).sum();
    let (tokens, launched) = depot.launched();
    assert_eq!(launched, all + anew, "none was launched that nobody asked for");
    assert_eq!(depot.killed() as u64, anew, "none was killed that nobody asked for");
    assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), tokens.len(), "no launch was carried out twice");
    let alive = depot.alive();
    assert_eq!(alive.len() as u64, all);
    assert_eq!(known(host).await, alive, "the host knows each of them");
    for (cluster, ..) in CLUSTERS {
        let history = history(host, cluster).await;
        let died = history.iter().find(|entry| entry.text.contains("died"));
        assert!(died.is_none(), "{died:?}");
    }
    // Of all the versions there is but the one that serves: what was rolled back from is gone, and what went before it as well.
    eventually("all others are gone", async || {
        let instances = depot.instances();
        instances.len() == 1 && instances[0].0 == "2.0.0"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_swaps_and_rollbacks_under_load_lose_double_and_fail_nothing() {
    let faults = [("violates", "broke the contract"), ("panics", "panicked or crashed")];
    swapped_and_rolled_back(Isolation::InProcess, faults).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_swaps_and_rollbacks_of_providers_that_run_apart_lose_double_and_fail_nothing() {
    let faults = [("violates", "broke the contract"), ("dies", "panicked or crashed")];
    swapped_and_rolled_back(Isolation::Subprocess, faults).await;
}
