//! How long a hot swap holds up a cluster with 10,000 live workers: how much longer its requests take while its provider is swapped
//! to another version and back than while nothing happens. The aim: nobody waits more than 20 ms beyond the provider's own time.
//! It measures and prints; it judges nothing.
//!
//! Requests are made one after the other, without rest: a `status`, which the cluster's loop answers by itself, and a *look*, which
//! has the provider asked for all workers. The provider is the one that the runtime's own tests swap; its backend is a few files.
//! Quiet times and swaps take turns. A request counts as one of a swap where any part of it was during one, and a rollback is a
//! swap, too.
//!
//! `cargo run --release --package longshore-bench --bin swap_pause [FOLDER]`: without a folder, on the disk of this program.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use longshore_bench::{Millis, Runs, place};
use longshore_config::Config;
use longshore_providers::RunnerProgram;
use longshore_runtime::{ClusterStatus, Host, Leaving, Plugins, SwapRequest};
use longshore_scaling::Command;
use longshore_store::SqliteJournal;
use longshore_support::{PATIENCE, fixture_of_version};
use serde_json::json;
use tokio::{
    runtime::Builder,
    time::{sleep, timeout},
};

const WORKERS: u32 = 10_000;
/// Swaps, and as many rollbacks.
const ROUNDS: usize = 25;
/// How long nothing happens between them.
const QUIET: Duration = Duration::from_millis(200);
/// A provider's plugin in two versions.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../host/runtime/tests/fixtures/depot.rs");
/// Where the provider runs, and so what its cluster is called.
const ISOLATIONS: [&str; 2] = ["in-process", "subprocess"];

fn main() -> ExitCode {
    // The runner is this program, too.
    if let Some(code) = longshore_providers::intercept() {
        return code;
    }
    let versions = ["1.0.0", "2.0.0"].map(|version| fixture_of_version(Path::new(SOURCE), &[], version));
    let folder = tempfile::Builder::new().prefix("bench-swap-").tempdir_in(place()).expect("a folder");
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let host = Arc::new(host(folder.path()).await);
        host.apply(config(&versions[0], folder.path())).await.expect("it is legal");
        for cluster in ISOLATIONS {
            let up = |status: &ClusterStatus| status.converged && status.running == u64::from(WORKERS);
            until(&host, cluster, up).await;
        }
        for cluster in ISOLATIONS {
            print(cluster, &measure(&host, cluster, &versions).await);
        }
        assert!(host.shut_down(Leaving::Workers).await, "nothing hangs");
    });
    ExitCode::SUCCESS
}

async fn host(folder: &Path) -> Host {
    let runner = Some(RunnerProgram::own().expect("the system knows this program"));
    let journal = SqliteJournal::open(&folder.join("state")).expect("a journal");
    Host::open(Plugins { runner, ..Plugins::default() }, Arc::new(journal)).await.expect("it is empty")
}

/// A cluster for each isolation, with a provider of the same name, whose workers are all looked at when somebody asks.
fn config(plugin: &Path, folder: &Path) -> Config {
    let provider = |name: &&str| {
        let config = json!({ "folder": folder.join(name) });
        json!({ "name": name, "plugin": plugin, "isolation": name, "config": config })
    };
    let cluster = |name: &&str| json!({ "name": name, "provider": name, "workers": WORKERS });
    let providers: Vec<_> = ISOLATIONS.iter().map(provider).collect();
    let clusters: Vec<_> = ISOLATIONS.iter().map(cluster).collect();
    serde_json::from_value(json!({ "providers": providers, "clusters": clusters })).expect("it is legal")
}

async fn until(host: &Host, cluster: &str, is: impl Fn(&ClusterStatus) -> bool) {
    let wait = async {
        while !is(&host.status(cluster).await.expect("it is there")) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("the cluster comes up");
}

/// What requests of one kind took.
#[derive(Default)]
struct Requests {
    quiet: Runs,
    swapping: Runs,
}

#[derive(Default)]
struct Measured {
    status: Requests,
    look: Requests,
    swap: Runs,
    rollback: Runs,
}

/// Odd while a swap is under way, and higher by two with each.
type Phase = Arc<AtomicU64>;

async fn measure(host: &Arc<Host>, cluster: &'static str, versions: &[PathBuf; 2]) -> Measured {
    let (phase, enough) = (Phase::default(), Arc::new(AtomicU64::new(0)));
    let asking = tokio::spawn(ask(Arc::clone(host), cluster, Arc::clone(&phase), Arc::clone(&enough)));
    let (mut swap, mut rollback) = (Runs::default(), Runs::default());
    for _ in 0..ROUNDS {
        sleep(QUIET).await;
        let request = SwapRequest {
            provider: cluster.to_owned(),
            to: Some(versions[1].display().to_string()),
            watch: Some(Duration::ZERO),
            ..SwapRequest::default()
        };
        swap.add(during(&phase, host.swap(request)).await.expect("the two versions agree"));
        sleep(QUIET).await;
        rollback.add(during(&phase, host.rollback(cluster)).await.expect("the one before is kept"));
    }
    enough.store(1, Ordering::Relaxed);
    let [status, look] = asking.await.expect("no request fails");
    Measured { status, look, swap, rollback }
}

/// How long a change took, during which it is one.
async fn during<T, E>(phase: &Phase, change: impl Future<Output = Result<T, E>>) -> Result<Duration, E> {
    phase.fetch_add(1, Ordering::SeqCst);
    let begun = Instant::now();
    let changed = change.await;
    let took = begun.elapsed();
    phase.fetch_add(1, Ordering::SeqCst);
    changed.map(|_| took)
}

/// Makes requests, without rest.
async fn ask(host: Arc<Host>, cluster: &str, phase: Phase, enough: Phase) -> [Requests; 2] {
    let mut asked = [Requests::default(), Requests::default()];
    while enough.load(Ordering::Relaxed) == 0 {
        for (look, requests) in asked.iter_mut().enumerate() {
            let (before, begun) = (phase.load(Ordering::SeqCst), Instant::now());
            let status = if look == 0 {
                host.status(cluster).await
            } else {
                host.command(cluster, Command::Refresh).await.expect("it is there");
                host.fresh_status(cluster).await
            };
            let (took, after) = (begun.elapsed(), phase.load(Ordering::SeqCst));
            let status = status.expect("it is there");
            assert_eq!((status.running, status.unknown), (u64::from(WORKERS), 0), "nobody is lost");
            let is_quiet = before == after && before % 2 == 0;
            if is_quiet { &mut requests.quiet } else { &mut requests.swapping }.add(took);
        }
    }
    asked
}

fn print(cluster: &str, measured: &Measured) {
    println!(
        "{:<44} {:>8} {:>9} {:>9} {:>9} {:>17}",
        format!("{WORKERS} workers, {cluster}, {ROUNDS} swaps and back"),
        "requests",
        "p50 ms",
        "p99 ms",
        "longest",
        "longest beyond p50"
    );
    for (name, requests) in [("status", &measured.status), ("look", &measured.look)] {
        for (when, runs) in
            [("while nothing happens", &requests.quiet), ("during a swap", &requests.swapping)]
        {
            let [p50, p99, longest] = [50, 99, 100].map(|part| runs.percentile(part));
            let beyond = Millis(longest.saturating_sub(requests.quiet.median()));
            println!(
                "{:<44} {:>8} {:>9} {:>9} {:>9} {beyond:>17}",
                format!("{name}, {when}"),
                runs.len(),
                Millis(p50),
                Millis(p99),
                Millis(longest)
            );
        }
    }
    for (name, runs) in [("a swap itself", &measured.swap), ("a rollback itself", &measured.rollback)] {
        let [p50, p99, longest] = [50, 99, 100].map(|part| Millis(runs.percentile(part)));
        println!("{name:<44} {:>8} {p50:>9} {p99:>9} {longest:>9}", runs.len());
    }
    println!();
}
