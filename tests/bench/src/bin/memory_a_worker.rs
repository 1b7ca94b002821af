//! How much memory the core takes for each worker of a cluster, with what the allocator adds: while all are at work, while
//! all are initializing, and after all were told to stop. The aim is under 200 bytes with one worker a handle. Each case has a
//! process of its own, so that what the system says is resident can be set beside the allocator's own count. It measures and
//! prints; it judges nothing.
//!
//! `cargo run --release --package longshore-bench --bin memory_a_worker`

use std::process::Command;

use longshore_bench::{Cluster, Heap, resident};
use longshore_scaling::{Aim, Change, KillReason};

#[global_allocator]
static HEAP: Heap = Heap::new();

/// Workers in one launch.
const BATCH: u32 = 1_000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [workers, per_handle, name_bytes] = &args[..] {
        let number = |text: &str| text.parse().expect("a number");
        return measure(number(workers), number(per_handle), number(name_bytes) as usize);
    }
    println!("bytes a worker{}", if Heap::WHOLE { "" } else { ", without what the allocator adds" });
    println!(
        "{:>9} {:>16} {:>12} {:>9} {:>13} {:>9} {:>9}",
        "workers", "workers a handle", "bytes a name", "running", "initializing", "stopping", "resident"
    );
    let program = std::env::current_exe().expect("the system knows this program");
    for workers in [100_000, 1_000_000] {
        for (per_handle, name_bytes) in [(1, 28), (1, 32), (1, 40), (1, 64), (4, 32), (8, 32)] {
            let args = [workers, per_handle, name_bytes].map(|number: u32| number.to_string());
            let status = Command::new(&program).args(args).status().expect("this program runs again");
            assert!(status.success(), "it measured");
        }
    }
}

fn measure(workers: u32, per_handle: u32, name_bytes: usize) {
    let (used, resident) = (HEAP.used(), resident(std::process::id()));
    let each = |bytes: usize| bytes as f64 / f64::from(workers);
    let (mut cluster, _) = Cluster::of(workers, name_bytes);
    for begun in (0..workers).step_by(BATCH as usize) {
        let wanted = BATCH.min(workers - begun);
        cluster.launch(&vec![per_handle; (wanted / per_handle) as usize]);
    }
    let initializing = each(HEAP.used() - used);
    cluster.run();
    let running = each(HEAP.used() - used);
    let resident = grown(resident).map_or("-".to_owned(), |bytes| format!("{:.0}", each(bytes)));
    let names: usize = cluster.state.handles().map(|(_, handle)| handle.name.len()).sum();
    assert_eq!(names / cluster.state.handle_count(), name_bytes, "all names have the length that is printed");
    for ids in cluster.ids().chunks(BATCH as usize) {
        let handles = ids.to_vec();
        cluster.take(Change::KillStarted { handles, why: KillReason::Surplus, aim: Aim::default() });
        cluster.take(Change::KillAnswered { handles: ids.to_vec() });
    }
    let stopping = each(HEAP.used() - used);
    assert_eq!(cluster.state.tally().terminating, u64::from(workers), "nothing is lost");
    println!(
        "{workers:>9} {per_handle:>16} {name_bytes:>12} {running:>9.0} {initializing:>13.0} {stopping:>9.0} {resident:>9}"
    );
}

fn grown(before: Option<usize>) -> Option<usize> {
    Some(resident(std::process::id())?.saturating_sub(before?))
}
