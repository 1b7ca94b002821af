//! How long the core takes to plan the halving of a cluster of a million workers, and how much memory beyond its state: the
//! whole plan first, then the choice of handles alone. The aim is 50 ms on a machine of two cores, far below 100 MB. It
//! measures and prints; it judges nothing.
//!
//! `cargo run --release --package longshore-bench --bin plan_halving`

use std::{hint::black_box, time::Instant};

use longshore_bench::{Cluster, Heap, Millis, Runs};
use longshore_scaling::{
    Action, Change, State, Time, plan,
    victims::{Candidate, Prefer, choose},
};

#[global_allocator]
static HEAP: Heap = Heap::new();

/// Odd, so that the median is one of the runs.
const RUNS: usize = 11;
/// How long a handle's name is.
const NAME_BYTES: usize = 32;

fn main() {
    let handles = 250_000;
    let small = workers(handles, 8, 1_000_000);
    heading("plan");
    for (layout, batches) in [("one launch", 1), ("300 launches", 300), ("a launch a handle", handles)] {
        measure_plan(&format!("1,000,000 workers on 250,000 handles of 1-8, {layout}"), &small, batches);
    }
    heading("choose");
    for (layout, batches) in [("one class", 1), ("300 classes", 300), ("a class a handle", handles)] {
        let name = format!("1,000,000 workers on 250,000 handles of 1-8, {layout}");
        measure(&name, &candidates(&small, batches));
    }
    let handles = 10_000;
    let wide = workers(handles, 1_000, 5_000_000);
    // Multiples of 7 but for one handle: most sums cannot be made up, so nothing cuts the search short.
    let mut sevens: Vec<u32> = wide.iter().map(|&workers| workers.div_ceil(7) * 7).collect();
    sevens[0] = 999;
    for (layout, batches) in [("one class", 1), ("300 classes", 300), ("a class a handle", handles)] {
        measure(&format!("10,000 handles of 1-1,000, {layout}"), &candidates(&wide, batches));
        measure(&format!("10,000 handles of 7-1,001 by sevens, {layout}"), &candidates(&sevens, batches));
    }
}

fn heading(what: &str) {
    println!("{what:<66} {:>9} {:>9} {:>9} {:>9}", "median ms", "min ms", "max ms", "peak MB");
}

/// Prints what halving the candidates takes.
fn measure(name: &str, candidates: &[Candidate<u64>]) {
    let total: u64 = candidates.iter().map(|it| u64::from(it.workers)).sum();
    measure_runs(name, || {
        let choice = choose(black_box(candidates), total / 2, Prefer::Newest);
        assert!(choice.workers <= total / 2, "never more than the surplus");
        choice
    });
}

/// Prints what planning the halving of a whole cluster takes, and what its state weighs.
fn measure_plan(name: &str, workers: &[u32], batches: usize) {
    let empty = HEAP.restart();
    let (state, now) = halved(workers, batches);
    let weight = HEAP.used() - empty;
    measure_runs(name, || {
        let (plan, report) = plan(black_box(&state), now);
        let is_kill = |action: &Action| matches!(action, Action::Kill { handles, .. } if !handles.is_empty());
        assert!(plan.actions.iter().any(is_kill), "nothing is killed: {report}");
        plan
    });
    println!("  its state takes {:.0} bytes a handle", weight as f64 / workers.len() as f64);
}

/// A cluster with a handle for each of the numbers, launched in so many batches, told to have half as many workers.
fn halved(workers: &[u32], batches: usize) -> (State, Time) {
    let total = workers.iter().sum();
    let (mut cluster, _) = Cluster::of(total, NAME_BYTES);
    for workers in workers.chunks(workers.len().div_ceil(batches)) {
        cluster.launch(workers);
    }
    cluster.run();
    cluster.take(Change::Scaled { expected: total / 2 });
    (cluster.state, cluster.now)
}

/// Prints time and extra memory of one piece of work.
fn measure_runs<T>(name: &str, work: impl Fn() -> T) {
    let mut times = Runs::default();
    let mut peak = 0;
    for _ in 0..RUNS {
        let before = HEAP.restart();
        let start = Instant::now();
        let done = work();
        times.add(start.elapsed());
        peak = peak.max(HEAP.peak() - before);
        black_box(done);
    }
    let [median, min, max] = [50, 0, 100].map(|part| Millis(times.percentile(part)));
    println!("{name:<66} {median:>9} {min:>9} {max:>9} {:>9.1}", peak as f64 / 1e6);
}

/// A handle for each of the numbers of workers, launched in so many batches; every tenth batch is initializing.
fn candidates(workers: &[u32], batches: usize) -> Vec<Candidate<u64>> {
    (0..)
        .zip(workers)
        .map(|(id, &workers)| {
            // A prime that divides no number of batches: they are of equal size, and their ages are not in the order of ids.
            let launched_at = id * 7919 % batches as u64;
            Candidate { id, workers, initializing: launched_at % 10 == 9, launched_at }
        })
        .collect()
}

/// The workers on each of the handles: 1 to `most`, mixed, and `total` in all.
fn workers(handles: usize, most: u32, total: u64) -> Vec<u32> {
    let mut random = Random(1);
    let mut workers: Vec<u32> = (0..handles).map(|_| 1 + random.below(most.into()) as u32).collect();
    let mut sum: u64 = workers.iter().map(|&workers| u64::from(workers)).sum();
    while sum != total {
        let it = &mut workers[random.below(handles as u64) as usize];
        if sum > total && *it > 1 {
            (*it, sum) = (*it - 1, sum - 1);
        } else if sum < total && *it < most {
            (*it, sum) = (*it + 1, sum + 1);
        }
    }
    workers
}

/// S. Vigna's `SplitMix64`: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
