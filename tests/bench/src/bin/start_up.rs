//! How long a host takes from opening a state folder to a state that it can plan on: for a cluster of 100,000 and of
//! 1,000,000 workers on as many handles, from a snapshot and the records after it. The aim is a second or less for 100,000.
//! The peer, in the same rounds: a program that keeps all in one document of JSON. Then the real `longshore serve`, whose last
//! host was killed, until it tells of the cluster; the cluster's provider is not there. It measures and prints; it judges nothing.
//!
//! `cargo run --release --package longshore-bench --bin start_up [FOLDER]`: without a folder, on the disk of this program.

use std::{
    fs::{self, File},
    hint::black_box,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use longshore_bench::{Cluster, Millis, Runs, place, resident};
use longshore_config::Config;
use longshore_scaling::{Aim, Change, HandleId, LaunchId, Record, State, plan};
use longshore_store::{Entry, Journal, SqliteJournal};
use longshore_support::{PATIENCE, program, until};
use rustix::fs::{Advice, fadvise};
use tokio::runtime::Runtime;

/// Odd, so that the median is one of the rounds.
const ROUNDS: usize = 7;
/// How long a handle's name is.
const NAME_BYTES: usize = 32;
/// Workers in one launch.
const BATCH: u32 = 1_000;
/// Records after the snapshot.
const TAIL: usize = 8_000;
const CLUSTER: &str = "large";
const COLUMNS: [&str; 8] = ["open", "claim", "restore", "replay", "plan", "all", "JSON", "serve"];

fn main() {
    let folder = tempfile::Builder::new().prefix("bench-start-up-").tempdir_in(place()).expect("a folder");
    let host = program("longshore-cli", "longshore");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");

    let mut cases = Vec::new();
    for workers in [100_000, 1_000_000] {
        let folder = folder.path().join(workers.to_string());
        let expected = fill(&folder, &runtime, workers);
        for cold in [false, true] {
            cases.push(Case {
                workers,
                cold,
                folder: folder.clone(),
                expected: expected.clone(),
                times: Default::default(),
                resident: None,
            });
        }
    }
    for _ in 0..ROUNDS {
        for case in &mut cases {
            case.run(&runtime, &host);
        }
    }
    let columns = COLUMNS.map(|column| format!("{column:>9}")).concat();
    println!("{:<27}{:>7}{columns}{:>14}", "median ms", "MB", "resident MB");
    for case in &cases {
        case.print();
    }
}

/// A state folder to start from.
struct Case {
    workers: u32,
    /// Whether the system has forgotten the files.
    cold: bool,
    folder: PathBuf,
    expected: State,
    times: [Runs; COLUMNS.len()],
    /// Bytes of the real host in the machine's memory, once it answers.
    resident: Option<usize>,
}

impl Case {
    fn run(&mut self, runtime: &Runtime, host: &Path) {
        let document = document_of(&self.folder);
        self.prepare(&self.folder);
        let (steps, state) = start(&self.folder, runtime);
        assert!(state.durable() == self.expected, "what was kept is what was there");
        drop(state);
        let all = steps.iter().sum();
        let json = peer(&document);
        let copy = copy_of(&self.folder);
        self.prepare(&copy);
        let (serve, resident) = serve(host, &copy);
        self.resident = resident;
        for (times, time) in self.times.iter_mut().zip(steps.into_iter().chain([all, json, serve])) {
            times.add(time);
        }
    }

    fn prepare(&self, folder: &Path) {
        for path in files(folder).into_iter().chain([document_of(&self.folder)]) {
            warm_or_cool(&path, self.cold);
        }
    }

    fn print(&self) {
        let bytes: u64 =
            files(&self.folder).iter().map(|path| path.metadata().map_or(0, |it| it.len())).sum();
        let medians: Vec<_> = self.times.iter().map(|it| format!("{:>9}", Millis(it.median()))).collect();
        let name = format!("{} workers, {}", self.workers, if self.cold { "cold" } else { "warm" });
        let megabytes = |bytes: f64| format!("{:.1}", bytes / 1e6);
        let resident = self.resident.map_or("-".to_owned(), |bytes| megabytes(bytes as f64));
        println!("{name:<27}{:>7}{}{resident:>14}", megabytes(bytes as f64), medians.concat());
    }
}

/// Writes a cluster with a snapshot and a tail, and its state as one document beside it. Gives what shall be found.
fn fill(folder: &Path, runtime: &Runtime, workers: u32) -> State {
    let journal = SqliteJournal::open(folder).expect("a journal");
    let (mut cluster, created) = Cluster::of(workers, NAME_BYTES);
    let text = format!(
        "[[provider]]\nname = \"absent\"\n\
         [[cluster]]\nname = \"{CLUSTER}\"\nprovider = \"absent\"\nworkers = {workers}\n"
    );
    let config = Config::parse(&text, Path::new("bench.toml")).expect("a configuration");
    let provider = serde_json::to_value(&config.providers[0]).expect("it is written");
    runtime.block_on(async {
        journal.define_provider("absent", Some(provider)).await.expect("the disk works");
        let lease = journal.claim(CLUSTER).await.expect("it is new").lease;
        let append = async |records: Vec<Record>| {
            let entries = records.into_iter().map(Entry::Happened).collect();
            journal.append(&lease, entries).await.expect("the disk works");
        };
        let definition = serde_json::to_value(&config.clusters[0]).expect("it is written");
        journal.append(&lease, vec![Entry::Defined(definition)]).await.expect("the disk works");
        append(vec![created]).await;
        for begun in (0..workers).step_by(BATCH as usize) {
            let each = vec![1; BATCH.min(workers - begun) as usize];
            append(cluster.launch(&each).into()).await;
        }
        append(vec![cluster.run()]).await;
        journal.compact(&lease, cluster.state.snapshot()).await.expect("the disk works");
        append((0..TAIL).map(|number| churn(&mut cluster, number)).collect()).await;
    });
    drop(journal);
    let document = serde_json::to_vec(&cluster.state.snapshot()).expect("it is written");
    fs::write(document_of(folder), document).expect("the disk has room");
    cluster.state.durable()
}

/// A worker dies and another one takes its place, in four records.
fn churn(cluster: &mut Cluster, number: usize) -> Record {
    let launch = LaunchId((1 << 32) + (number / 4) as u64);
    let had = cluster.state.tally().live();
    let aim = Aim { target: cluster.state.target(), had };
    let change = match number % 4 {
        0 => {
            // Here and there: a prime, so that none dies twice.
            let id = HandleId((number * 7_919 % cluster.state.handle_count()) as u64);
            assert!(cluster.state.handle(id).is_some(), "nobody dies twice");
            Change::Gone { killed: Vec::new(), died: vec![id] }
        }
        1 => Change::LaunchStarted { launch, workers: 1, aim },
        2 => {
            let handles = cluster.new_handles(launch, &[1]);
            Change::LaunchSettled { launch, handles, trouble: None, retryable: true }
        }
        _ => Change::PhaseSeen { initializing: Vec::new(), running: vec![cluster.newest()] },
    };
    cluster.take(change)
}

/// What a host does before it can decide anything.
fn start(folder: &Path, runtime: &Runtime) -> ([Duration; 5], State) {
    let mut last = Instant::now();
    let mut lap = || std::mem::replace(&mut last, Instant::now()).elapsed();
    let journal = SqliteJournal::open(folder).expect("it is whole");
    let open = lap();
    let kept = runtime.block_on(journal.claim(CLUSTER)).expect("it is whole").kept;
    let claim = lap();
    let mut state = State::restore(kept.snapshot.expect("there is one")).expect("it makes sense");
    let restore = lap();
    for record in &kept.tail {
        state.apply(record);
    }
    let replay = lap();
    let _ = black_box(plan(&state, state.latest()));
    let planned = lap();
    assert_eq!(kept.tail.len(), TAIL);
    drop(journal);
    ([open, claim, restore, replay, planned], state)
}

/// The peer: the same state from one document.
fn peer(document: &Path) -> Duration {
    let begun = Instant::now();
    let bytes = fs::read(document).expect("it is there");
    let snapshot = serde_json::from_slice(&bytes).expect("it is whole");
    black_box(State::restore(snapshot).expect("it makes sense"));
    begun.elapsed()
}

/// The real host: how long it takes until it answers, and what it weighs then. It is killed.
fn serve(host: &Path, state: &Path) -> (Duration, Option<usize>) {
    let socket = tempfile::Builder::new().prefix("bench-").tempdir().expect("a folder");
    let socket = socket.path().join("host.sock");
    let begun = Instant::now();
    let mut child = Command::new(host)
        .arg("serve")
        .arg("--state")
        .arg(state)
        .arg("--socket")
        .arg(&socket)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the host starts");
    let mut answer = String::new();
    until("the host answers", || {
        assert_eq!(child.try_wait().expect("it is ours"), None, "the host ended");
        ask(&socket, &mut answer).is_ok()
    });
    let took = begun.elapsed();
    assert!(answer.starts_with("HTTP/1.1 200"), "it knows its cluster: {answer}");
    let resident = resident(child.id());
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
    (took, resident)
}

/// Asks for the cluster. The socket may take a question before the host is there to answer it.
fn ask(socket: &Path, answer: &mut String) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /v1/clusters/{CLUSTER} HTTP/1.1\r\nHost: longshore\r\nConnection: close\r\n\r\n")?;
    answer.clear();
    stream.read_to_string(answer).map(drop)
}

/// A copy of a state folder, made once: hosts change it.
fn copy_of(folder: &Path) -> PathBuf {
    let copy = folder.with_extension("copy");
    if !copy.exists() {
        fs::create_dir(&copy).expect("a new folder");
        for path in files(folder) {
            fs::copy(&path, copy.join(path.file_name().expect("a file has a name")))
                .expect("the disk has room");
        }
    }
    copy
}

fn document_of(folder: &Path) -> PathBuf {
    folder.with_extension("json")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).expect("the journal's folder");
    files.map(|file| file.expect("it can be looked at").path()).collect()
}

/// Has the system read a file, or forget it: as after a start of the machine.
fn warm_or_cool(path: &Path, cool: bool) {
    if cool {
        let file = File::open(path).expect("it is ours");
        file.sync_all().expect("the disk works");
        fadvise(&file, 0, None, Advice::DontNeed).expect("the system is told");
    } else {
        black_box(fs::read(path).expect("it is ours"));
    }
}
