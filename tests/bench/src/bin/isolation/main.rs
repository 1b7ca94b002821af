//! What each way to run a plugin costs a call: a `status` of 1, 1,000 and 100,000 handles through the bare table of functions,
//! through `longshore-providers` with the plugin in this process and in one of its own (a *runner*), and through
//! hashicorp/go-plugin, over net/rpc and over gRPC; and what a process of its own costs beside the calls. Neither plugin does
//! more than answer. The aims: in-process below 10 µs for one handle, a runner at least four times faster than go-plugin at
//! every size. It measures and prints; it judges nothing.
//!
//! Each round measures everybody, one after the other, and a first round is not counted. The host's calls are made from a task
//! of a runtime of several threads, as its reconcilers make them.
//!
//! `cargo run --release --package longshore-bench --bin isolation`: without Go the peer is left out.

mod bare;
mod go_plugin;
mod guarded;
mod life;
mod table;

use std::{
    process::ExitCode,
    sync::mpsc,
    time::{Duration, Instant},
};

use longshore_bench::Runs;
use longshore_providers::{Handles, Housing, Library, RunnerProgram, RunnerSetup};
use longshore_support::example;

use crate::{
    bare::Bare,
    go_plugin::{GoPlugin, Wire},
    guarded::Guarded,
};

/// Odd, so that the median is one of the rounds where each has one run.
const ROUNDS: usize = 7;
/// The handles of a call, and how many calls in a round.
const SIZES: [(u32, usize); 3] = [(1, 2_000), (1_000, 300), (100_000, 15)];
/// What a provider is configured with.
const CONFIG: &str = "{}";
/// What the others are held against.
const SUBPROCESS: &str = "subprocess";

/// A way to call a plugin.
trait Way {
    fn name(&self) -> &'static str;

    /// What each of so many calls about these handles took.
    fn measure(&mut self, handles: &Handles, calls: usize) -> Runs;
}

fn main() -> ExitCode {
    // The runner is this program, too.
    if let Some(code) = longshore_providers::intercept() {
        return code;
    }
    let path = example("longshore-bench", "no_op");
    let library = Library::open(&path).expect("the plugin is loaded");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let program = RunnerProgram::own().expect("the system knows this program");
    let runner = Housing::Runner(RunnerSetup { program, confine: None });
    let peer = go_plugin::build();

    let mut ways: Vec<Box<dyn Way>> = vec![
        Box::new(Bare::new(&path)),
        Box::new(Guarded::new("in-process", &runtime, &library, &Housing::InProcess)),
        Box::new(Guarded::new(SUBPROCESS, &runtime, &library, &runner)),
    ];
    match &peer {
        Ok(program) => {
            ways.extend(Wire::ALL.map(|wire| Box::new(GoPlugin::start(program, wire)) as Box<dyn Way>));
        }
        Err(missing) => println!("go-plugin is skipped, because {missing}"),
    }
    let mut times = vec![vec![Runs::default(); SIZES.len()]; ways.len()];
    for round in 0..=ROUNDS {
        for (size, (handles, calls)) in SIZES.into_iter().enumerate() {
            let handles = names(handles);
            for (way, times) in ways.iter_mut().zip(&mut times) {
                let measured = way.measure(&handles, calls);
                if round > 0 {
                    times[size].extend(measured);
                }
            }
        }
    }
    let all: Vec<_> = ways.iter().map(|way| way.name()).collect();
    drop(ways);
    for (size, (handles, _)) in SIZES.into_iter().enumerate() {
        let times = all.iter().zip(&times).map(|(name, times)| (*name, &times[size]));
        table::calls(handles, &times.collect::<Vec<_>>());
    }
    table::floor("there and back between two threads of this process", &hand_off(10_000));
    table::life(&life::measure(&runtime, &library, &runner, peer.as_deref().ok()));
    ExitCode::SUCCESS
}

/// That many handles, each of 32 bytes: a launch's token and a number.
fn names(count: u32) -> Handles {
    (0..count).map(|number| format!("bench-0123456789abcdef-01.{number:06}").into()).collect()
}

/// What waking another thread and being woken by it takes on this machine: the floor for any guard with threads.
fn hand_off(times: usize) -> Runs {
    let (there, at_work) = mpsc::channel::<()>();
    let (done, back) = mpsc::channel::<()>();
    let other = std::thread::spawn(move || at_work.iter().try_for_each(|()| done.send(())));
    let mut runs = Runs::default();
    for _ in 0..times {
        let begun = Instant::now();
        there.send(()).expect("the other thread listens");
        back.recv().expect("the other thread answers");
        runs.add(begun.elapsed());
    }
    drop(there);
    other.join().expect("it does not panic").expect("we listened");
    runs
}

/// For calls that are not expected to be late.
const BUDGET: Duration = Duration::from_mins(1);
