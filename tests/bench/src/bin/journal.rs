//! How many decisions a second a host can make durable, with one cluster and with a thousand, and how many bytes they take.
//! Each decision is one append, which is awaited before the cluster's next. The peer, in the same rounds: a program that
//! writes each decision to a file of its own accord and brings it to the disk, one after the other. It measures and prints; it
//! judges nothing.
//!
//! `cargo run --release --package longshore-bench --bin journal [FOLDER]`: without a folder, on the disk of this program.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use longshore_bench::{Cluster, Millis, Runs, place};
use longshore_scaling::{Aim, Change, HandleId, KillReason, LaunchId, Record};
use longshore_store::{Entry, Journal, SqliteJournal};
use tokio::runtime::Runtime;

/// Odd, so that the median is one of the rounds.
const ROUNDS: usize = 7;
/// How long each way of writing goes on in a round.
const TURN: Duration = Duration::from_millis(1_500);
/// How long a handle's name is.
const NAME_BYTES: usize = 32;
/// Handles of each cluster.
const HANDLES: usize = 100;
/// What the peer writes for a decision, in bytes: about what ours are without the file's own overhead.
const PLAIN: usize = 128;

fn main() {
    let folder = tempfile::Builder::new().prefix("bench-journal-").tempdir_in(place()).expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");

    let mut ways = [
        Way::new("a file, appended and synced", |folder, _| plain(folder, false)),
        Way::new("a file, overwritten and synced", |folder, _| plain(folder, true)),
        Way::new("journal, 1 cluster", |folder, runtime| journal(folder, runtime, 1)),
        Way::new("journal, 10 clusters", |folder, runtime| journal(folder, runtime, 10)),
        Way::new("journal, 1,000 clusters", |folder, runtime| journal(folder, runtime, 1_000)),
    ];
    for round in 0..ROUNDS {
        for (at, way) in ways.iter_mut().enumerate() {
            let folder = folder.path().join(format!("{round}-{at}"));
            fs::create_dir(&folder).expect("a folder");
            way.turns.push((way.write)(&folder, &runtime));
            fs::remove_dir_all(&folder).expect("it is ours");
        }
    }
    println!(
        "{:<32} {:>11} {:>19} {:>8} {:>9} {:>9} {:>9} {:>10}",
        "durable decisions", "a second", "from - to", "ratio", "p50 ms", "p99 ms", "a commit", "KB written"
    );
    let floor = ways[0].a_second()[ROUNDS / 2];
    for way in &ways {
        way.print(floor);
    }
    println!();
    sizes(folder.path(), &runtime);
}

/// A way of making decisions durable.
struct Way {
    name: &'static str,
    write: fn(&Path, &Runtime) -> Turn,
    turns: Vec<Turn>,
}

/// What was done in one go.
struct Turn {
    took: Duration,
    /// The time of each decision.
    times: Runs,
    commits: u64,
    /// Bytes given to the system, where it tells.
    written: Option<u64>,
}

impl Way {
    fn new(name: &'static str, write: fn(&Path, &Runtime) -> Turn) -> Self {
        Self { name, write, turns: Vec::new() }
    }

    /// Decisions a second in each round, the fewest first.
    fn a_second(&self) -> Vec<f64> {
        let rate = |turn: &Turn| turn.times.len() as f64 / turn.took.as_secs_f64();
        let mut rates: Vec<f64> = self.turns.iter().map(rate).collect();
        rates.sort_by(f64::total_cmp);
        rates
    }

    fn print(&self, floor: f64) {
        let rates = self.a_second();
        let (least, median, most) = (rates[0], rates[rates.len() / 2], rates[rates.len() - 1]);
        let middle = |part| {
            let mut times: Vec<_> = self.turns.iter().map(|turn| turn.times.percentile(part)).collect();
            times.sort_unstable();
            Millis(times[times.len() / 2])
        };
        let sum = |of: fn(&Turn) -> u64| self.turns.iter().map(of).sum::<u64>() as f64;
        let decisions = sum(|turn| turn.times.len() as u64);
        let written = sum(|turn| turn.written.unwrap_or(0)) / decisions / 1e3;
        println!(
            "{:<32} {median:>11.0} {:>19} {:>8.2} {:>9} {:>9} {:>9.1} {written:>10.1}",
            self.name,
            format!("{least:.0} - {most:.0}"),
            median / floor,
            middle(50),
            middle(99),
            decisions / sum(|turn| turn.commits),
        );
    }
}

/// The peer: a write and a sync for each decision. A file that is overwritten does not grow, so that the system has nothing
/// else to bring to the disk than the bytes.
fn plain(folder: &Path, overwrite: bool) -> Turn {
    let path = folder.join("plain");
    let mut file = OpenOptions::new().create_new(true).write(true).open(path).expect("a new file");
    let record = [b'x'; PLAIN];
    let room = 1 << 20;
    if overwrite {
        file.write_all(&vec![0; room]).expect("the disk has room");
        file.sync_all().expect("the disk works");
    }
    let (written, begun) = (written(), Instant::now());
    let mut times = Runs::default();
    while begun.elapsed() < TURN {
        let start = Instant::now();
        if overwrite {
            let at = times.len() * PLAIN % room;
            file.write_all_at(&record, at as u64).expect("the disk works");
        } else {
            file.write_all(&record).expect("the disk has room");
        }
        file.sync_data().expect("the disk works");
        times.add(start.elapsed());
    }
    let commits = times.len() as u64;
    Turn { took: begun.elapsed(), times, commits, written: since(written) }
}

/// Our journal, with so many clusters that decide on their own.
fn journal(folder: &Path, runtime: &Runtime, clusters: usize) -> Turn {
    let journal = Arc::new(SqliteJournal::open(folder).expect("a journal"));
    let turn = runtime.block_on(async {
        let mut writers = Vec::new();
        for number in 0..clusters {
            writers.push(Writer::new(Arc::clone(&journal), &format!("cluster-{number}")).await);
        }
        let (written, commits, begun) = (written(), journal.commits(), Instant::now());
        let tasks: Vec<_> =
            writers.into_iter().map(|writer| tokio::spawn(writer.decide(begun + TURN))).collect();
        let mut times = Runs::default();
        for task in tasks {
            times.extend(task.await.expect("it does not panic"));
        }
        Turn { took: begun.elapsed(), times, commits: journal.commits() - commits, written: since(written) }
    });
    drop(journal);
    turn
}

/// A cluster that takes a worker and gives one up, again and again.
struct Writer {
    journal: Arc<SqliteJournal>,
    lease: longshore_store::Lease,
    cluster: Cluster,
}

impl Writer {
    async fn new(journal: Arc<SqliteJournal>, name: &str) -> Self {
        let lease = journal.claim(name).await.expect("it is new").lease;
        let (mut cluster, created) = Cluster::of(HANDLES as u32, NAME_BYTES);
        let [started, settled] = cluster.launch(&[1; HANDLES]);
        let entries = vec![Entry::Happened(created), Entry::Happened(started), Entry::Happened(settled)];
        journal.append(&lease, entries).await.expect("the disk works");
        Self { journal, lease, cluster }
    }

    /// Decides until then, and gives the time of each decision. A snapshot is taken when the journal asks for one, as a host
    /// does it.
    async fn decide(mut self, until: Instant) -> Runs {
        let mut times = Runs::default();
        for number in 0.. {
            let record = self.next(number);
            let start = Instant::now();
            if start >= until {
                break;
            }
            let entries = vec![Entry::Happened(record)];
            let appended = self.journal.append(&self.lease, entries).await.expect("the disk works");
            times.add(start.elapsed());
            if appended.compaction_due {
                let snapshot = self.cluster.state.snapshot();
                self.journal.compact(&self.lease, snapshot).await.expect("the disk works");
            }
        }
        times
    }

    fn next(&mut self, number: usize) -> Record {
        let cluster = &mut self.cluster;
        let launch = LaunchId((1 << 32) + (number / 6) as u64);
        let oldest = cluster.state.handles().next().map(|(id, _)| id).into_iter().collect();
        let aim = Aim { target: HANDLES as u32 + 1, had: HANDLES as u64 };
        let change = match number % 6 {
            0 => Change::Scaled { expected: HANDLES as u32 + 1 },
            1 => Change::LaunchStarted { launch, workers: 1, aim },
            2 => {
                let handles = cluster.new_handles(launch, &[1]);
                Change::LaunchSettled { launch, handles, trouble: None, retryable: true }
            }
            3 => Change::PhaseSeen { initializing: Vec::new(), running: vec![cluster.newest()] },
            4 => Change::KillStarted { handles: oldest, why: KillReason::Surplus, aim },
            _ => Change::Gone { killed: oldest, died: Vec::new() },
        };
        cluster.take(change)
    }
}

/// Prints what a record takes in the file once it is there and the journal is closed.
fn sizes(folder: &Path, runtime: &Runtime) {
    println!("{:<32} {:>16}", "records", "bytes a record");
    for handles in [1, 100] {
        let count = 200_000 / (100 + 50 * handles);
        for (name, change) in kinds(handles) {
            let path = folder.join(format!("{name}-{handles}"));
            let bytes = size(&path, runtime, &change, count);
            let named = change.handles();
            let name = if named == 0 { name.to_owned() } else { format!("{name} of {named}") };
            // One without handles is of one size.
            if named > 0 || handles == 1 {
                println!("{name:<32} {bytes:>16.0}");
            }
        }
    }
}

/// Records of each kind that name so many handles.
fn kinds(handles: usize) -> Vec<(&'static str, Change)> {
    let (mut cluster, _) = Cluster::of(1_000_000, NAME_BYTES);
    cluster.launch(&[1; 1_000]);
    let launch = LaunchId((1 << 32) + 4_711);
    let ids: Vec<HandleId> = cluster.ids().split_off(1_000 - handles);
    let new = cluster.new_handles(launch, &vec![1; handles]);
    let aim = Aim { target: 1_000_000, had: 1_000 };
    vec![
        ("Scaled", Change::Scaled { expected: 1_000_000 }),
        ("LaunchStarted", Change::LaunchStarted { launch, workers: 1_000, aim }),
        ("LaunchSettled", Change::LaunchSettled { launch, handles: new, trouble: None, retryable: true }),
        ("PhaseSeen", Change::PhaseSeen { initializing: Vec::new(), running: ids.clone() }),
        ("KillStarted", Change::KillStarted { handles: ids.clone(), why: KillReason::Surplus, aim }),
        ("KillAnswered", Change::KillAnswered { handles: ids.clone() }),
        ("Gone", Change::Gone { killed: ids, died: Vec::new() }),
    ]
}

fn size(folder: &Path, runtime: &Runtime, change: &Change, count: usize) -> f64 {
    let mut before = 0;
    // Once with half as many, so that what any journal takes does not count.
    for count in [count, 2 * count] {
        let folder = folder.with_extension(count.to_string());
        let journal = SqliteJournal::open(&folder).expect("a journal");
        runtime.block_on(async {
            let (cluster, created) = Cluster::of(1, NAME_BYTES);
            let entry = Entry::Happened(change.clone().at(cluster.now));
            let lease = journal.claim("cluster").await.expect("it is new").lease;
            let mut entries = vec![Entry::Happened(created)];
            entries.extend(vec![entry; count]);
            journal.append(&lease, entries).await.expect("the disk works");
        });
        drop(journal);
        let bytes = folder_bytes(&folder);
        if before > 0 {
            return (bytes - before) as f64 / (count / 2) as f64;
        }
        before = bytes;
    }
    unreachable!("the second one returns")
}

fn folder_bytes(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).expect("the journal's folder");
    files.map(|file| file.and_then(|file| file.metadata()).expect("it can be looked at").len()).sum()
}

/// What this process has given the system to write, where that is told.
fn written() -> Option<u64> {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut File::open("/proc/self/io").ok()?, &mut text).ok()?;
    text.lines().find_map(|line| line.strip_prefix("wchar: "))?.parse().ok()
}

fn since(before: Option<u64>) -> Option<u64> {
    Some(written()? - before?)
}
