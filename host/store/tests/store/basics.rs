//! What is written can be read, in the file and in memory alike.

use longshore_store::{
    Entry, HISTORY_ENTRIES, Journal, JournalErrorKind, LIBRARIES_LIMIT, LIBRARY_BYTES, SqliteJournal,
};
use serde_json::json;
use tempfile::tempdir;

use crate::support::{append, beginnings, claim, defined, open, records, scaled, snapshot, wait};

/// Runs a test on a journal in memory, and on one in a folder that is closed and opened anew between two steps.
fn everywhere(steps: &[&dyn Fn(&SqliteJournal)]) {
    let memory = SqliteJournal::in_memory();
    for step in steps {
        step(&memory);
    }
    let folder = tempdir().expect("a folder");
    for step in steps {
        step(&open(folder.path()));
    }
}

#[test]
fn clusters_are_kept_apart_and_in_order() {
    everywhere(&[
        &|journal| {
            assert_eq!(wait(journal.clusters()).expect("read"), [""; 0]);
            let (a, b) = (claim(journal, "a").lease, claim(journal, "b").lease);
            append(journal, &b, vec![scaled(9)]);
            append(journal, &a, vec![scaled(1), defined(1), scaled(2)]);
            append(journal, &a, vec![scaled(3), defined(2)]);
        },
        &|journal| {
            assert_eq!(wait(journal.clusters()).expect("read"), ["a", "b"]);
            let kept = claim(journal, "a").kept;
            assert_eq!(kept.tail, records(&[scaled(1), scaled(2), scaled(3)]));
            let Entry::Defined(latest) = defined(2) else { unreachable!("it is a definition") };
            assert_eq!((kept.definition, kept.snapshot), (Some(latest), None));
            let b = claim(journal, "b");
            assert_eq!(b.kept.tail, records(&[scaled(9)]));
            wait(journal.remove(&b.lease)).expect("removed");
        },
        &|journal| {
            assert_eq!(wait(journal.clusters()).expect("read"), ["a"]);
            assert_eq!(claim(journal, "b").kept, longshore_store::Kept::default());
        },
    ]);
}

#[test]
fn every_kind_of_record_comes_back_as_it_was() {
    everywhere(&[
        &|journal| {
            let lease = claim(journal, "a").lease;
            append(journal, &lease, beginnings(12).into_iter().map(Entry::Happened).collect());
        },
        &|journal| assert_eq!(claim(journal, "a").kept.tail, beginnings(12)),
    ]);
}

#[test]
fn providers_are_defined_replaced_and_forgotten() {
    everywhere(&[
        &|journal| {
            for (name, definition) in [("z", json!({"a": 1})), ("b", json!([1, 2])), ("m", json!(null))] {
                wait(journal.define_provider(name, Some(definition))).expect("written");
            }
        },
        &|journal| {
            wait(journal.define_provider("z", Some(json!({"a": 2.5})))).expect("written");
            wait(journal.define_provider("m", None)).expect("written");
            wait(journal.define_provider("never", None)).expect("nothing to do");
        },
        &|journal| {
            let all = wait(journal.providers()).expect("read");
            assert_eq!(all, [("b".to_owned(), json!([1, 2])), ("z".to_owned(), json!({"a": 2.5}))]);
        },
    ]);
}

#[test]
fn what_is_known_of_libraries_is_kept_replaced_and_forgotten() {
    let (a, b, c) = ("a1".repeat(32), "b2".repeat(32), "c3".repeat(32));
    everywhere(&[
        &|journal| {
            assert_eq!(wait(journal.libraries()).expect("read"), []);
            for (hash, document) in [(&b, json!({"deaths": 3})), (&a, json!([])), (&c, json!(null))] {
                wait(journal.define_library(hash, Some(document))).expect("written");
            }
            // A provider may be called what a library is called.
            wait(journal.define_provider(&a, Some(json!("another")))).expect("written");
        },
        &|journal| {
            wait(journal.define_library(&b, Some(json!({"deaths": 4})))).expect("written");
            wait(journal.define_library(&c, None)).expect("written");
            wait(journal.define_library("never", None)).expect("nothing to do");
        },
        &|journal| {
            let all = wait(journal.libraries()).expect("read");
            assert_eq!(all, [(a.clone(), json!([])), (b.clone(), json!({"deaths": 4}))]);
            assert_eq!(wait(journal.providers()).expect("read"), [(a.clone(), json!("another"))]);
        },
    ]);
}

#[test]
fn so_many_libraries_are_kept_and_no_more_and_none_is_too_large() {
    let journal = SqliteJournal::in_memory();
    wait(async {
        for number in 0..LIBRARIES_LIMIT {
            journal.define_library(&number.to_string(), Some(json!(number))).await.expect("there is room");
        }
        let error = journal.define_library("one more", Some(json!(0))).await.expect_err("it is one more");
        assert_eq!(error.kind, JournalErrorKind::TooLarge);
        let text = error.to_string();
        assert!(text.contains("library one more cannot be written") && text.contains("release"), "{text}");
        journal.define_library("7", Some(json!("another"))).await.expect("it has a place");
        journal.define_library("8", None).await.expect("it goes");
        journal.define_library("one more", Some(json!(0))).await.expect("there is room again");
        assert_eq!(journal.libraries().await.expect("read").len(), LIBRARIES_LIMIT);

        let large = json!("x".repeat(LIBRARY_BYTES));
        let error = journal.define_library("7", Some(large)).await.expect_err("it is too large");
        assert_eq!(error.kind, JournalErrorKind::TooLarge, "{error}");
        let all = journal.libraries().await.expect("read");
        assert!(all.contains(&("7".to_owned(), json!("another"))), "what was known before is known still");
    });
}

#[test]
fn a_snapshot_stands_for_what_came_before() {
    everywhere(&[
        &|journal| {
            let lease = claim(journal, "a").lease;
            append(journal, &lease, vec![defined(1)]);
            append(journal, &lease, beginnings(2_500).into_iter().map(Entry::Happened).collect());
            wait(journal.compact(&lease, snapshot(2_500))).expect("compacted");
            append(journal, &lease, vec![scaled(7)]);
        },
        &|journal| {
            let claimed = claim(journal, "a");
            assert!(claimed.kept.definition.is_some());
            assert_eq!(claimed.kept.snapshot, Some(snapshot(2_500)));
            assert_eq!(claimed.kept.tail, records(&[scaled(7)]));
            wait(journal.compact(&claimed.lease, snapshot(3))).expect("compacted");
        },
        &|journal| {
            let kept = claim(journal, "a").kept;
            assert_eq!((kept.snapshot, kept.tail), (Some(snapshot(3)), vec![]));
            let history = wait(journal.history("a", None, 3)).expect("read");
            assert_eq!(history.iter().map(|entry| entry.number).collect::<Vec<_>>(), [4, 5, 6]);
            assert_eq!(history[2].entry, scaled(7));
        },
    ]);
}

#[test]
fn history_is_read_in_pages_from_the_end() {
    everywhere(&[
        &|journal| {
            let lease = claim(journal, "a").lease;
            append(journal, &lease, (1..=10).map(scaled).collect());
        },
        &|journal| {
            let page = |before, limit| -> Vec<u64> {
                let page = wait(journal.history("a", before, limit)).expect("read");
                page.iter().map(|entry| entry.number).collect()
            };
            assert_eq!(page(None, 4), [7, 8, 9, 10]);
            assert_eq!(page(Some(7), 4), [3, 4, 5, 6]);
            assert_eq!(page(Some(3), 4), [1, 2]);
            assert_eq!(page(Some(1), 4), [0; 0]);
            assert_eq!(page(Some(0), 4), [0; 0]);
            assert_eq!(page(None, 0), [0; 0]);
            assert_eq!(page(Some(u64::MAX), usize::MAX).len(), 10);
            assert_eq!(wait(journal.history("nobody", None, 4)).expect("read"), []);
        },
    ]);
}

#[test]
fn the_oldest_leave_the_history_when_a_snapshot_is_taken() {
    everywhere(&[
        &|journal| {
            let lease = claim(journal, "a").lease;
            append(journal, &lease, vec![defined(1)]);
            append(journal, &lease, (0..HISTORY_ENTRIES as u32 + 5).map(scaled).collect());
            wait(journal.compact(&lease, snapshot(1))).expect("compacted");
            append(journal, &lease, vec![scaled(0)]);
        },
        &|journal| {
            let all = wait(journal.history("a", None, usize::MAX)).expect("read");
            assert_eq!((all.len() as u64, all[0].number), (HISTORY_ENTRIES + 1, 7));
            assert!(claim(journal, "a").kept.definition.is_some(), "its entry is gone, and it is not");
        },
    ]);
}
