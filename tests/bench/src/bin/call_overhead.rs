//! What the guard adds to a call of a plugin: a `status` through the bare table of functions, and the same one through
//! `longshore-providers` with its thread, its deadline and its check of the reply. The aim is below 10 µs for one handle.
//! It measures and prints; it judges nothing. The peer: hashicorp/go-plugin takes 87-159 µs for a call, 15.5 ms for
//! 100,000 statuses.
//!
//! `cargo run --release --package longshore-bench --bin call_overhead`
#![expect(unsafe_code, reason = "the bare call has no host around it")]

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use abi_stable::{
    library::lib_header_from_path,
    std_types::{RSlice, RStr},
};
use longshore_plugin_abi::{CallContext, CallControl, Logger, RootModuleRef, WorkersV1, ids};
use longshore_plugin_api::{Container, Hardware, LaunchToken, RunRequest};
use longshore_providers::{CallLimits, CallScope, Handles, Library, Provider};
use longshore_support::{Profile, library_of};

const CONFIG: &str = "{}";
const BUDGET: Duration = Duration::from_mins(1);

fn main() {
    let path = library_of("longshore-memory", Profile::Release);
    println!(
        "{:<44} {:>9} {:>11} {:>11} {:>11}",
        "status of the memory plugin", "handles", "median µs", "p99 µs", "min µs"
    );
    let bare = Bare::new(&path);
    let library = Library::open(&path).expect("the memory plugin is loaded");
    // Few calls of many handles, many calls of few.
    for (count, calls) in [(1_u32, 100_000), (1_000, 20_000), (100_000, 200)] {
        print("bare table", count, bare.measure(count, calls));
        let current = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let times = current.expect("a runtime").block_on(guarded(&library, count, calls));
        print("guard, from a runtime of one thread", count, times);
        let many = tokio::runtime::Builder::new_multi_thread().enable_time().build().expect("a runtime");
        let library = Arc::clone(&library);
        let task = many.spawn(async move { guarded(&library, count, calls).await });
        print(
            "guard, from a task of a larger runtime",
            count,
            many.block_on(task).expect("it does not panic"),
        );
    }
    print("there and back between two threads", 0, hand_off(100_000));
}

fn print(what: &str, handles: u32, mut times: Vec<Duration>) {
    times.sort_unstable();
    let micros = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e6;
    println!("{what:<44} {handles:>9} {:>11.2} {:>11.2} {:>11.2}", micros(50), micros(99), micros(0));
}

fn request(workers: u32) -> RunRequest {
    RunRequest {
        container: Container::default(),
        hardware: Hardware::default(),
        workers,
        token: LaunchToken::new("bench"),
    }
}

/// The plugin without a host.
struct Bare {
    root: RootModuleRef,
    workers: &'static WorkersV1,
}

extern "C" fn no_line(_: *const (), _: u8, _: RStr<'_>, _: RStr<'_>) {}
extern "C" fn never(_: *const ()) -> bool {
    false
}
extern "C" fn never_within(_: *const (), _: u64) -> bool {
    false
}

fn logger() -> Logger {
    // SAFETY: the function looks at nothing.
    unsafe { Logger::new(std::ptr::null(), no_line, 0) }
}

fn context() -> CallContext<'static> {
    // SAFETY: the functions look at nothing.
    let control = unsafe { CallControl::new(std::ptr::null(), never, never_within) };
    CallContext { cluster: "bench".into(), budget_nanos: u64::MAX, verbose: 0, control, log: logger() }
}

impl Bare {
    fn new(path: &std::path::Path) -> Self {
        let header = lib_header_from_path(path).expect("the plugin is loaded");
        let root: RootModuleRef = header.init_root_module().expect("its layout is ours");
        let found = root.query()(ids::WORKERS.into()).into_option().expect("every plugin has it");
        Self { root, workers: found.table().expect("its layout is ours") }
    }

    fn measure(&self, count: u32, calls: usize) -> Vec<Duration> {
        let instance = self.root.create()(logger(), CONFIG.into()).into_result().expect("it is made");
        let document = serde_json::to_string(&request(count)).expect("it is written");
        // SAFETY: `create` and the table are of one root module, and the context's functions look at nothing.
        let reply = unsafe { (self.workers.run)(&instance, &context(), document.as_str().into()) };
        let handles = reply.into_result().expect("it launches").handles;
        let texts: Vec<RStr<'_>> = handles.iter().map(|handle| handle.as_rstr()).collect();
        let call = || {
            let begun = Instant::now();
            // SAFETY: as above.
            let values = unsafe { (self.workers.status)(&instance, &context(), RSlice::from_slice(&texts)) };
            assert_eq!(values.into_result().expect("it answers").len(), texts.len());
            begun.elapsed()
        };
        (0..calls).map(|_| call()).collect()
    }
}

/// The same through the guard.
async fn guarded(library: &Arc<Library>, count: u32, calls: usize) -> Vec<Duration> {
    let config = serde_json::from_str(CONFIG).expect("it is JSON");
    let provider =
        Provider::create(library, "bench", config, CallLimits::default()).await.expect("it is made");
    let scope = CallScope { cluster: "bench".into(), budget: BUDGET, verbose: 0 };
    let launched = provider.run(&scope, request(count)).reply().await.expect("it launches");
    let handles: Handles = launched.handles.into_iter().map(|(handle, _)| handle).collect();
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let begun = Instant::now();
        let statuses = provider.status(&scope, Arc::clone(&handles)).reply().await.expect("it answers");
        times.push(begun.elapsed());
        assert_eq!(statuses.len(), handles.len());
    }
    times
}

/// What waking another thread and being woken by it takes on this machine: the floor for any guard with threads.
fn hand_off(times: usize) -> Vec<Duration> {
    let (there, at_work) = mpsc::channel::<()>();
    let (done, back) = mpsc::channel::<()>();
    let other = std::thread::spawn(move || at_work.iter().try_for_each(|()| done.send(())));
    let call = || {
        let begun = Instant::now();
        there.send(()).expect("the other thread listens");
        back.recv().expect("the other thread answers");
        begun.elapsed()
    };
    let times = (0..times).map(|_| call()).collect();
    drop(there);
    other.join().expect("it does not panic").expect("we listened");
    times
}
