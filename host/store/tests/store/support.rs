//! What the tests share: entries, snapshots, and a runtime to wait on.

use std::{future::Future, path::Path, sync::Arc};

use longshore_scaling::{
    Address, Aim, Build, Change, Desired, HandleId, KillReason, LaunchId, NewHandle, Policy, ProviderTraits,
    Record, ServerPolicy, Serving, Side, Snapshot, Standing, State, StopReason, Time, Trouble, Turn,
};
use longshore_store::{Claimed, Entry, Journal, Lease, SqliteJournal};
use tempfile::TempDir;

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// A folder in memory where the system has such: nothing there waits for a disk.
pub(crate) fn fast_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

pub(crate) fn open(folder: &Path) -> SqliteJournal {
    SqliteJournal::open(folder).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn claim(journal: &SqliteJournal, cluster: &str) -> Claimed {
    wait(journal.claim(cluster)).expect("it can be claimed")
}

pub(crate) fn append(journal: &SqliteJournal, lease: &Lease, entries: Vec<Entry>) {
    wait(journal.append(lease, entries)).expect("it can be written");
}

/// A small record that says its number.
pub(crate) fn scaled(expected: u32) -> Entry {
    Entry::Happened(Change::Scaled { expected }.at(Time::from_millis(u64::from(expected))))
}

pub(crate) fn records(entries: &[Entry]) -> Vec<Record> {
    let record = |entry: &Entry| match entry {
        Entry::Happened(record) => Some(record.clone()),
        Entry::Defined(_) => None,
    };
    entries.iter().filter_map(record).collect()
}

pub(crate) fn defined(version: u32) -> Entry {
    Entry::Defined(serde_json::json!({"version": version, "image": "r-worker", "cpu": 0.5, "of": [null, -1]}))
}

/// The records by which a cluster of so many workers came about.
pub(crate) fn beginnings(workers: u32) -> Vec<Record> {
    let at = Time::from_millis(1_800_000_000_000);
    let handles = (0..workers).map(|number| NewHandle {
        id: HandleId(u64::from(number)),
        name: Arc::from(format!("container-{number:08x}")),
        workers: 1,
        side: Side(0),
        launch: Some(LaunchId(0)),
    });
    vec![
        Change::Created {
            uid: u64::MAX - 5,
            policy: Policy::default(),
            traits: ProviderTraits::default(),
            expected: workers,
            desired: Desired::Running,
            server: None,
            per_container: 1,
        }
        .at(at),
        Change::LaunchStarted { launch: LaunchId(0), workers, aim: Aim { target: workers, had: 0 } }.at(at),
        Change::LaunchSettled {
            launch: LaunchId(0),
            handles: handles.collect(),
            trouble: Some(Trouble { text: "a quota".to_owned(), clause: Some("RUN-1".to_owned()) }),
            retryable: true,
        }
        .at(at),
        Change::PhaseSeen {
            initializing: vec![],
            running: (0..u64::from(workers) / 2).map(HandleId).collect(),
        }
        .at(at),
    ]
}

/// The records of a server's life.
pub(crate) fn served() -> Vec<Record> {
    let created = Change::Created {
        uid: 7,
        policy: Policy::default(),
        traits: ProviderTraits { server: true, ..ProviderTraits::default() },
        expected: 0,
        desired: Desired::Running,
        server: Some(ServerPolicy::default()),
        per_container: 4,
    };
    let address = Address { host: "10.0.0.7".to_owned(), port: Some(6379) };
    let changes = [
        created,
        Change::ServerStarted,
        Change::ServerRunEnded {
            trouble: Some(Trouble { text: "the answer was lost".to_owned(), clause: None }),
            retryable: true,
            returned: true,
            doubtful: true,
        },
        Change::ServerUp { address: address.clone(), replaces: false },
        Change::ServerLost { trouble: Trouble { text: "refused".to_owned(), clause: None } },
        Change::ServerUp { address, replaces: true },
        Change::ServerStopStarted { why: StopReason::Unwanted },
        Change::ServerGone { died: false },
    ];
    changes.into_iter().map(|change| change.at(Time::from_millis(1_800_000_000_000))).collect()
}

/// The records of a move to another provider, up to where one worker is left on the one before.
pub(crate) fn moved() -> Vec<Record> {
    let created = |expected| Change::Created {
        uid: 9,
        policy: Policy { surge: Some(1), missing: 2, ..Policy::default() },
        traits: ProviderTraits::default(),
        expected,
        desired: Desired::Running,
        server: None,
        per_container: 1,
    };
    let handle = |id, side| NewHandle {
        id: HandleId(id),
        name: "same-name".into(),
        workers: 1,
        side: Side(side),
        launch: Some(LaunchId(id)),
    };
    let aim = Aim { target: 1, had: 0 };
    let settled = |id, side| Change::LaunchSettled {
        launch: LaunchId(id),
        handles: vec![handle(id, side)],
        trouble: None,
        retryable: true,
    };
    let changes = [
        created(1),
        Change::LaunchStarted { launch: LaunchId(0), workers: 1, aim },
        settled(0, 0),
        Change::MoveStarted { from: "here".into(), to: "there".into(), side: Side(1) },
        Change::Attached {
            side: Side(1),
            traits: ProviderTraits { list: true, ..ProviderTraits::default() },
        },
        Change::LaunchStarted { launch: LaunchId(1), workers: 1, aim },
        settled(1, 1),
        Change::StraysSeen { side: Side(1), strays: vec![("a-stray".into(), 1)] },
        Change::KillStarted { handles: vec![HandleId(0)], why: KillReason::Moved, aim },
    ];
    changes.into_iter().map(|change| change.at(Time::from_millis(1_800_000_000_000))).collect()
}

/// The records of a cluster whose provider is swapped, goes back, is lost and is there again, and of a move that its side keeps
/// what is known of it in.
pub(crate) fn swapped() -> Vec<Record> {
    let build = |version: &str| Build { version: version.into(), hash: version.repeat(64).into() };
    let serving = |version: &str, standing| Serving { build: build(version), standing };
    let served = |before: Option<Serving>, serving: Serving, turn| Change::Served {
        side: Side(0),
        provider: "depot".into(),
        before,
        serving,
        turn,
    };
    let (one, two) = (serving("1", Standing::Settled), |standing| serving("2", standing));
    let fault = Trouble { text: "one answer of it broke the contract".to_owned(), clause: None };
    let lost = Trouble { text: "signal 11 (SIGSEGV)".to_owned(), clause: None };
    let changes = [
        moved().swap_remove(0).change,
        served(None, one.clone(), Turn::Begun),
        served(Some(one.clone()), two(Standing::Tried), Turn::Swapped),
        served(Some(two(Standing::Tried)), two(Standing::Watched), Turn::Promoted { canary: "shop".into() }),
        served(Some(two(Standing::Watched)), two(Standing::Settled), Turn::Proved),
        served(Some(two(Standing::Settled)), one.clone(), Turn::RolledBack { fault: Some(fault) }),
        served(Some(one.clone()), two(Standing::Watched), Turn::Swapped),
        served(Some(two(Standing::Watched)), one, Turn::RolledBack { fault: None }),
        Change::Unserved { side: Side(0), provider: "depot".into(), build: build("1"), trouble: lost },
        Change::MoveStarted { from: "depot".into(), to: "store".into(), side: Side(1) },
        Change::Served {
            side: Side(1),
            provider: "store".into(),
            before: None,
            serving: two(Standing::Settled),
            turn: Turn::Begun,
        },
    ];
    changes.into_iter().map(|change| change.at(Time::from_millis(1_800_000_000_000))).collect()
}

/// The snapshot of a cluster of so many workers.
pub(crate) fn snapshot(workers: u32) -> Snapshot {
    let mut state = State::default();
    for record in beginnings(workers) {
        state.apply(&record);
    }
    state.snapshot()
}

/// Says that a test could not be run here. Where everything must be, that is a failure.
pub(crate) fn skipped(test: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{test} cannot be skipped here: {why}");
    println!("skipped, because {why}");
}
