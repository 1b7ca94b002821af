//! What others do to a folder while a host uses it: they remove its lock, or all of it, or put another in its place. What the
//! host says is written must be there nevertheless. And the names of a folder: links lead to the same one.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
};

use longshore_store::{
    FILE, Journal, JournalErrorKind, LOCK, Lease, OpenError, SqliteJournal, check, export, import,
};
use rusqlite::Connection;
use tempfile::tempdir;

use crate::support::{append, claim, defined, open, scaled, snapshot, wait};

const LOG: &str = "journal.db-wal";
const WHY: &str = "another host has written the state folder";

/// Everything that a journal can be asked is refused, for the same reason.
#[track_caller]
fn refused(journal: &SqliteJournal, lease: &Lease, kind: JournalErrorKind, why: &str) {
    let errors = [
        wait(journal.append(lease, vec![scaled(1)])).map(drop),
        wait(journal.append(lease, vec![])).map(drop),
        wait(journal.compact(lease, snapshot(1))),
        wait(journal.claim("web")).map(drop),
        wait(journal.claim("another")).map(drop),
        wait(journal.define_provider("local", None)),
        wait(journal.define_library("a1", None)),
        wait(journal.libraries()).map(drop),
        wait(journal.history("web", None, 9)).map(drop),
        wait(journal.clusters()).map(drop),
        wait(journal.remove(lease)),
    ];
    for error in errors {
        let error = error.expect_err("it is refused");
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().contains(why) && error.to_string().contains("end it"), "{error}");
    }
}

#[test]
fn a_second_host_that_came_in_ends_the_first() {
    let folder = tempdir().expect("a folder");
    let first = open(folder.path());
    let lease = claim(&first, "web").lease;
    append(&first, &lease, vec![defined(1), scaled(1)]);
    // Somebody takes it for a stale one.
    fs::remove_file(folder.path().join(LOCK)).expect("it is there");
    let second = open(folder.path());
    refused(&first, &lease, JournalErrorKind::Fenced, WHY);
    let later = claim(&second, "web").lease;
    assert!(later.term > lease.term);
    append(&second, &later, vec![scaled(2)]);
    // Nor does it come back, not even with the lock that it had.
    refused(&first, &lease, JournalErrorKind::Fenced, WHY);
    drop(first);
    append(&second, &later, vec![scaled(3)]);
    let report = check(folder.path()).expect("it can be looked at");
    assert!(report.damages.is_empty() && report.has_witness, "{report:?}");
    drop(second);
    assert_eq!(claim(&open(folder.path()), "web").kept.tail.len(), 3);
}

#[test]
fn a_second_host_is_known_by_what_it_writes_alone() {
    let folder = tempdir().expect("a folder");
    let first = open(folder.path());
    let lease = claim(&first, "web").lease;
    append(&first, &lease, vec![scaled(1)]);
    let lock = folder.path().join(LOCK);
    fs::rename(&lock, folder.path().join("aside")).expect("it is there");
    drop(open(folder.path()));
    // As if nothing had been: the lock is the one that it had.
    fs::rename(folder.path().join("aside"), &lock).expect("it is there");
    refused(&first, &lease, JournalErrorKind::Fenced, "another host has written");
    drop(first);
    assert_eq!(claim(&open(folder.path()), "web").kept.tail.len(), 1);
}

#[test]
fn a_lock_that_is_gone_is_no_lock() {
    let folder = tempdir().expect("a folder");
    let journal = open(folder.path());
    let lease = claim(&journal, "web").lease;
    fs::remove_file(folder.path().join(LOCK)).expect("it is there");
    refused(&journal, &lease, JournalErrorKind::Gone, "lock is not there any more");
    fs::write(folder.path().join(LOCK), "").expect("written");
    refused(&journal, &lease, JournalErrorKind::Gone, "lock is another file now");
}

#[test]
fn a_folder_that_is_removed_takes_nothing() {
    for name in ["", FILE, LOG] {
        let parent = tempdir().expect("a folder");
        let folder = parent.path().join("state");
        let journal = open(&folder);
        let lease = claim(&journal, "web").lease;
        append(&journal, &lease, vec![defined(1), scaled(1)]);
        if name.is_empty() {
            fs::remove_dir_all(&folder).expect("it is there");
        } else {
            fs::remove_file(folder.join(name)).expect("it is there");
        }
        refused(&journal, &lease, JournalErrorKind::Gone, "was removed or replaced under this host");
    }
}

#[test]
fn a_folder_that_is_replaced_takes_nothing_and_is_not_touched() {
    let parent = tempdir().expect("a folder");
    let (folder, aside) = (parent.path().join("state"), parent.path().join("aside"));
    let first = open(&folder);
    let lease = claim(&first, "web").lease;
    append(&first, &lease, vec![scaled(1)]);
    fs::rename(&folder, &aside).expect("it is there");
    let second = open(&folder);
    let other = claim(&second, "web").lease;
    append(&second, &other, vec![scaled(7), scaled(8)]);
    refused(&first, &lease, JournalErrorKind::Gone, "journal.db is another file now");
    let inode = || fs::metadata(folder.join(LOG)).expect("it is there").ino();
    let before = inode();
    drop(first);
    assert_eq!(inode(), before, "closing the first leaves the log of the second");
    append(&second, &other, vec![scaled(9)]);
    drop(second);
    let tail = |folder: &Path| claim(&open(folder), "web").kept.tail.len();
    assert_eq!((tail(&folder), tail(&aside)), (3, 1));
}

#[test]
fn a_folder_that_is_put_back_works_again() {
    let parent = tempdir().expect("a folder");
    let (folder, aside) = (parent.path().join("state"), parent.path().join("aside"));
    let journal = open(&folder);
    let lease = claim(&journal, "web").lease;
    append(&journal, &lease, vec![scaled(1)]);
    fs::rename(&folder, &aside).expect("it is there");
    refused(&journal, &lease, JournalErrorKind::Gone, "is not there any more");
    fs::rename(&aside, &folder).expect("it is there");
    append(&journal, &lease, vec![scaled(2)]);
    drop(journal);
    assert_eq!(claim(&open(&folder), "web").kept.tail.len(), 2);
}

#[test]
fn another_program_that_holds_the_file_is_told_of() {
    let folder = tempdir().expect("a folder");
    let journal = open(folder.path());
    let lease = claim(&journal, "web").lease;
    let other = Connection::open(folder.path().join(FILE)).expect("it can be opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("it can hold it");
    let error = wait(journal.append(&lease, vec![scaled(1)])).expect_err("it is held");
    assert_eq!(error.kind, JournalErrorKind::Failed);
    assert!(error.to_string().contains("another program holds"), "{error}");
    other.execute_batch("COMMIT").expect("it can let go");
    append(&journal, &lease, vec![scaled(1)]);
}

#[test]
fn links_lead_to_the_same_folder() {
    let parent = tempdir().expect("a folder");
    let real = parent.path().join("real");
    fs::create_dir(&real).expect("made");
    let link = parent.path().join("link");
    symlink(&real, &link).expect("made");
    // The folder itself is a link, and one above it is.
    for (name, other) in [(link.clone(), real.clone()), (link.join("state"), real.join("state"))] {
        let journal = open(&name);
        let lease = claim(&journal, "web").lease;
        append(&journal, &lease, vec![scaled(1)]);
        for name in [&name, &other] {
            let error = SqliteJournal::open(name).expect_err("it is in use by whichever name");
            assert!(matches!(error, OpenError::Held { .. }), "{error}");
            let report = check(name).unwrap_or_else(|error| panic!("{error}"));
            assert!(report.is_in_use && report.damages.is_empty(), "{report:?}");
        }
        let mut text = vec![];
        export(&name, &mut text).unwrap_or_else(|error| panic!("{error}"));
        drop(journal);
        assert_eq!(claim(&open(&other), "web").kept.tail.len(), 1);
        let to = name.join("imported");
        import(&to, &mut text.as_slice()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(claim(&open(&to), "web").kept.tail.len(), 1);
    }
    // A link that leads nowhere is no folder, and none is made elsewhere.
    let lost = parent.path().join("lost");
    symlink(parent.path().join("nowhere"), &lost).expect("made");
    let error = SqliteJournal::open(&lost).expect_err("it leads nowhere");
    assert!(error.to_string().contains(&lost.display().to_string()), "{error}");
    assert!(!parent.path().join("nowhere").exists());
}
