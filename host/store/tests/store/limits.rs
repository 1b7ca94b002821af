//! What grows has an end: the file, its log, and what a history keeps.

use std::fs;

use longshore_store::{
    Appended, COMPACT_BYTES, COMPACT_ENTRIES, Entry, FILE, HISTORY_BYTES, HISTORY_ENTRIES, Journal,
    SLACK_PAGES, WAL_PAGES, check,
};

use crate::support::{append, claim, defined, fast_folder, open, scaled, snapshot, wait};

#[test]
fn a_compaction_is_due_when_the_entries_have_outgrown_the_snapshot() {
    let folder = fast_folder();
    let journal = open(folder.path());
    let lease = claim(&journal, "web").lease;
    let due = |entries: Vec<Entry>| {
        let Appended { compaction_due } = wait(journal.append(&lease, entries)).expect("written");
        compaction_due
    };
    // Many small ones.
    assert!(!due((1..COMPACT_ENTRIES as u32).map(scaled).collect()));
    assert!(due(vec![scaled(0)]));
    wait(journal.compact(&lease, snapshot(1))).expect("compacted");
    assert!(!due(vec![scaled(0)]));
    // A few large ones.
    let large = |bytes: u64| Entry::Defined(serde_json::Value::String("x".repeat(bytes as usize)));
    assert!(!due(vec![large(COMPACT_BYTES / 2)]));
    assert!(due(vec![large(COMPACT_BYTES / 2)]));
    // As many as that, and less than the snapshot.
    let workers = 40_000;
    wait(journal.compact(&lease, snapshot(workers))).expect("compacted");
    let report = check(folder.path()).expect("it can be looked at");
    let bytes = report.clusters[0].snapshot_bytes;
    assert!(bytes > 4 * COMPACT_BYTES && report.clusters[0].snapshot_handles == u64::from(workers));
    assert!(!due(vec![large(2 * COMPACT_BYTES)]));
    assert!(!due((0..COMPACT_ENTRIES as u32).map(scaled).collect()));
    assert!(due(vec![large(bytes)]));
}

#[test]
fn a_history_has_a_limit_in_bytes() {
    let folder = fast_folder();
    let journal = open(folder.path());
    let lease = claim(&journal, "web").lease;
    let large = |bytes: u64| Entry::Defined(serde_json::Value::String("x".repeat(bytes as usize)));
    for _ in 0..9 {
        append(&journal, &lease, vec![large(HISTORY_BYTES / 3)]);
    }
    wait(journal.compact(&lease, snapshot(1))).expect("compacted");
    let numbers = || -> Vec<u64> {
        let history = wait(journal.history("web", None, 99)).expect("read");
        history.iter().map(|entry| entry.number).collect()
    };
    assert_eq!(numbers(), [8, 9], "three would be a little more");
    // The latest stays, however large it is.
    append(&journal, &lease, vec![large(2 * HISTORY_BYTES)]);
    wait(journal.compact(&lease, snapshot(1))).expect("compacted");
    assert_eq!(numbers(), [10]);
    append(&journal, &lease, vec![scaled(1)]);
    wait(journal.compact(&lease, snapshot(1))).expect("compacted");
    assert_eq!(numbers(), [11]);
    let report = check(folder.path()).expect("it can be looked at");
    assert!(report.damages.is_empty(), "{report:?}");
}

#[test]
fn the_file_stays_bounded_over_hundreds_of_thousands_of_entries() {
    const ENTRIES: u32 = 300_000;
    const AT_ONCE: u32 = 500;
    let folder = fast_folder();
    let journal = open(folder.path());
    let lease = claim(&journal, "web").lease;
    append(&journal, &lease, vec![defined(1)]);
    let (mut largest, mut largest_log, mut compactions) = (0, 0, 0);
    let length = |name: &str| fs::metadata(folder.path().join(name)).map_or(0, |metadata| metadata.len());
    for round in 0..ENTRIES / AT_ONCE {
        let entries = (0..AT_ONCE).map(|number| scaled(round * AT_ONCE + number)).collect();
        let appended = wait(journal.append(&lease, entries)).expect("written");
        if appended.compaction_due {
            wait(journal.compact(&lease, snapshot(100))).expect("compacted");
            compactions += 1;
        }
        largest = largest.max(length(FILE));
        largest_log = largest_log.max(length("journal.db-wal"));
    }
    let report = check(folder.path()).expect("it can be looked at");
    assert!(report.damages.is_empty(), "{:?}", report.damages);
    let kept = HISTORY_ENTRIES + COMPACT_ENTRIES + u64::from(AT_ONCE);
    assert!(report.clusters[0].entries <= kept, "{report:?}");
    assert_eq!(report.clusters[0].last, u64::from(ENTRIES) + 1);
    println!("{compactions} compactions; the file had {largest} bytes at most, its log {largest_log}");
    // A record of this kind takes 100 bytes in the file at most.
    assert!(compactions > 50 && largest < kept * 200, "{largest}");
    assert!(largest_log < (2 * WAL_PAGES as u64) * 4_200, "{largest_log}");
    // What is removed gives its room back, but for a little that is used again.
    let small = (SLACK_PAGES as u64 + 20) * 4_096;
    wait(journal.compact(&lease, snapshot(50_000))).expect("compacted");
    longshore_support::until("the log is moved to the file", || length(FILE) > 2 * small);
    wait(journal.remove(&lease)).expect("removed");
    longshore_support::until("the file shrinks", || length(FILE) < small);
    drop(journal);
    assert_eq!(length("journal.db-wal"), 0);
}
