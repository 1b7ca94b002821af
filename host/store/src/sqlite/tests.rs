//! Group commit, with the writer held back until everything waits: commits are counted, never timed.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use longshore_scaling::{Change, Time};
use rusqlite::Connection;
use tempfile::{TempDir, tempdir};

use super::*;

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn scaled(expected: u32) -> Entry {
    Entry::Happened(Change::Scaled { expected }.at(Time::default()))
}

/// A folder with the clusters 0 to `count`, an entry in each, and the leases to write them.
fn clusters(count: usize) -> (TempDir, Vec<Lease>) {
    let folder = tempdir().expect("a folder");
    let journal = SqliteJournal::open(folder.path()).expect("a journal");
    let leases = wait(async {
        let mut leases = vec![];
        for number in 0..count {
            let lease = journal.claim(&number.to_string()).await.expect("claimed").lease;
            journal.append(&lease, vec![scaled(0)]).await.expect("written");
            leases.push(lease);
        }
        leases
    });
    (folder, leases)
}

/// A journal whose writer has not begun.
fn held(folder: &TempDir) -> (SqliteJournal, Writer, Receiver<Message>) {
    let writer = SqliteJournal::writer(&Folder::make(folder.path()).expect("a folder")).expect("a journal");
    let (queue, messages) = sync_channel(QUEUE);
    (SqliteJournal::with_queue(&writer, queue), writer, messages)
}

/// Lets all futures ask, and none be answered.
fn ask<T>(futures: &mut [Journaling<'_, T>]) {
    let mut context = Context::from_waker(Waker::noop());
    for future in futures {
        assert!(matches!(Pin::new(future).poll(&mut context), Poll::Pending), "nobody has answered yet");
    }
}

#[test]
fn what_waits_together_is_committed_together() {
    let (folder, leases) = clusters(300);
    let (journal, writer, messages) = held(&folder);
    let before = journal.commits();
    let mut appends: Vec<_> = leases.iter().map(|lease| journal.append(lease, vec![scaled(1)])).collect();
    ask(&mut appends);
    journal.run(writer, messages).expect("a thread");
    wait(async {
        for append in appends {
            append.await.expect("written");
        }
    });
    assert_eq!(journal.commits(), before + 1);
    assert_eq!(wait(journal.history("7", None, 9)).expect("read").len(), 2);
}

#[test]
fn what_is_refused_does_not_fail_what_waits_with_it() {
    let (folder, mut leases) = clusters(3);
    let (journal, writer, messages) = held(&folder);
    let before = journal.commits();
    leases[1].term -= 1;
    let mut appends: Vec<_> = leases.iter().map(|lease| journal.append(lease, vec![scaled(1)])).collect();
    ask(&mut appends);
    journal.run(writer, messages).expect("a thread");
    let answers = wait(async {
        let mut answers = vec![];
        for append in appends {
            answers.push(append.await);
        }
        answers
    });
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    let refused = answers[1].as_ref().expect_err("its lease is old");
    assert_eq!(refused.kind, JournalErrorKind::Fenced);
    assert!(refused.to_string().contains("cannot be written: it was claimed by a later host"), "{refused}");
    assert_eq!(journal.commits(), before + 1);
}

#[test]
fn what_breaks_does_not_fail_what_waits_with_it() {
    let (folder, leases) = clusters(3);
    let (journal, writer, messages) = held(&folder);
    // In the way of the next entry of one cluster, so that the database itself fails there.
    let sql = "INSERT INTO entries SELECT cluster, 3, format, payload, sum FROM entries WHERE cluster = 2";
    writer.connection.execute_batch(sql).expect("written");
    let mut appends: Vec<_> =
        leases.iter().map(|lease| journal.append(lease, vec![scaled(1), scaled(2)])).collect();
    ask(&mut appends);
    journal.run(writer, messages).expect("a thread");
    let answers = wait(async {
        let mut answers = vec![];
        for append in appends {
            answers.push(append.await);
        }
        answers
    });
    let failed: Vec<_> = answers.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, true, false], "{answers:?}");
    for (cluster, entries) in [("0", 3), ("1", 1), ("2", 3)] {
        let history = wait(journal.history(cluster, None, 9)).expect("read");
        assert_eq!(history.len(), entries, "cluster {cluster}: nothing of what failed is there");
    }
}

#[test]
fn a_group_has_a_limit() {
    let (folder, leases) = clusters(10);
    let (journal, writer, messages) = held(&folder);
    let before = journal.commits();
    let large = || Entry::Defined(serde_json::Value::String("x".repeat(crate::GROUP_BYTES / 4)));
    let mut appends: Vec<_> = leases.iter().map(|lease| journal.append(lease, vec![large()])).collect();
    ask(&mut appends);
    journal.run(writer, messages).expect("a thread");
    wait(async {
        for append in appends {
            append.await.expect("written");
        }
    });
    // Four fill one: 4 + 4 + 2.
    assert_eq!(journal.commits(), before + 3);
}

#[test]
fn a_write_that_failed_holds_nothing_up_beside_a_reader() {
    let (folder, leases) = clusters(1);
    let mut writer =
        SqliteJournal::writer(&Folder::make(folder.path()).expect("a folder")).expect("a journal");
    let append = |number| {
        let entry = EncodedEntry::of(&scaled(number)).expect("it can be encoded");
        Op::Append { lease: leases[0].clone(), entries: vec![entry] }
    };
    let done = |writer: &mut Writer, op: &Op| {
        let mut answers = writer.transact(&[op]).expect("nothing breaks");
        answers.pop().expect("an answer").expect("it is done")
    };
    // As `state export` holds what it reads, for as long as it takes.
    let reader = Connection::open(folder.path().join(crate::FILE)).expect("it can be opened");
    reader.execute_batch("BEGIN; SELECT count(*) FROM entries").expect("it can be read");
    done(&mut writer, &append(1));
    writer.suspect = true;
    let history = Op::History { cluster: "0".to_owned(), before: None, limit: 9 };
    let Answer::History(read) = done(&mut writer, &history) else { panic!("a history") };
    assert_eq!(read.len(), 2);
    assert!(writer.suspect, "who reads moves nothing");
    done(&mut writer, &append(2));
    assert!(writer.suspect, "the reader keeps some of the log");
    reader.execute_batch("COMMIT").expect("it ends");
    done(&mut writer, &append(3));
    assert!(!writer.suspect, "all that was acknowledged until then is in the file");
    let Answer::History(read) = done(&mut writer, &history) else { panic!("a history") };
    assert_eq!(read.len(), 4);
}

#[test]
fn what_is_dropped_while_it_waits_harms_nobody() {
    let (folder, leases) = clusters(2);
    let (journal, writer, messages) = held(&folder);
    let mut appends: Vec<_> = leases.iter().map(|lease| journal.append(lease, vec![scaled(1)])).collect();
    ask(&mut appends);
    drop(appends.remove(0));
    journal.run(writer, messages).expect("a thread");
    wait(appends.remove(0)).expect("written");
    drop(appends);
    assert_eq!(journal.places.available_permits(), QUEUE);
}

#[test]
fn a_journal_that_is_closed_says_so() {
    let (folder, leases) = clusters(1);
    let (journal, writer, messages) = held(&folder);
    drop((writer, messages));
    let error = wait(journal.append(&leases[0], vec![scaled(1)])).expect_err("nobody is there");
    assert_eq!(error.kind, JournalErrorKind::Closed);
}
