//! Damage of every kind, anywhere: what comes of it is what was there before, or an error that says so. Never less.

use std::{
    fs,
    path::{Path, PathBuf},
};

use longshore_store::{FILE, Journal, OpenError, SqliteJournal, WITNESS, check, export};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::support::{append, beginnings, claim, defined, fast_folder, open, scaled, snapshot, wait};

const LOG: &str = "journal.db-wal";
/// Bytes of a file's header, and more than of its log's.
const HEADER: usize = 100;

/// A folder as a host leaves it that is killed: some of it in the file, some in the log, and what it comes to as text.
struct Image {
    files: Vec<(&'static str, Vec<u8>)>,
    content: String,
}

impl Image {
    /// With little, or with nothing, in the log.
    fn take(is_closed: bool) -> Self {
        let folder = fast_folder();
        let journal = open(folder.path());
        wait(journal.define_provider("local", Some(json!({"plugin": "process"})))).expect("written");
        wait(journal.define_library(&"a1".repeat(32), Some(json!({"deaths": 1})))).expect("written");
        let web = claim(&journal, "web").lease;
        append(&journal, &web, vec![defined(1)]);
        append(&journal, &web, beginnings(20).into_iter().map(longshore_store::Entry::Happened).collect());
        wait(journal.compact(&web, snapshot(300))).expect("compacted");
        drop(journal);
        let journal = open(folder.path());
        // As long as somebody reads, nothing leaves the log.
        let reader = reader(&folder.path().join(FILE));
        let web = claim(&journal, "web").lease;
        let batch = claim(&journal, "batch").lease;
        append(&journal, &batch, vec![defined(2), scaled(3)]);
        for number in 0..4 {
            append(&journal, &web, vec![scaled(number)]);
        }
        wait(journal.define_provider("local", Some(json!({"plugin": "memory"})))).expect("written");
        if is_closed {
            drop(reader);
            drop(journal);
            return Self::of(folder.path());
        }
        let image = Self::of(folder.path());
        drop(reader);
        image
    }

    fn of(folder: &Path) -> Self {
        let read = |name: &'static str| Some((name, fs::read(folder.join(name)).ok()?));
        let files = [FILE, LOG, WITNESS].into_iter().filter_map(read).collect();
        Self { files, content: content(folder) }
    }

    fn bytes(&self, name: &str) -> &[u8] {
        &self.files.iter().find(|file| file.0 == name).expect("it is there").1
    }

    /// Puts it in the place of what is there, with one file changed.
    fn restore(&self, folder: &Path, name: &str, change: &dyn Fn(&mut Vec<u8>)) {
        for rest in ["journal.db-shm", LOG, FILE, WITNESS] {
            let _ = fs::remove_file(folder.join(rest));
        }
        for (file, bytes) in &self.files {
            let mut bytes = bytes.clone();
            if *file == name {
                change(&mut bytes);
            }
            fs::write(folder.join(file), bytes).expect("it can be written");
        }
    }
}

/// Keeps what it sees in the log for as long as it lives.
fn reader(file: &Path) -> Connection {
    let reader = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("it can be read");
    reader.execute_batch("BEGIN; SELECT count(*) FROM meta;").expect("it can be read");
    reader
}

/// All that a journal holds, but not who may write it.
fn content(folder: &Path) -> String {
    let mut text = vec![];
    export(folder, &mut text).unwrap_or_else(|error| panic!("{error}"));
    let text = String::from_utf8(text).expect("it is text");
    let lines: Vec<_> = text.lines().collect();
    lines[1..lines.len() - 1].join("\n")
}

/// Opens a folder and holds what is there against what was. Tells whether it is the same; otherwise why it was refused.
fn fate(folder: &Path, expected: &str, what: &str) -> Result<(), OpenError> {
    let before = names_and_lengths(folder);
    let checked = check(folder);
    match SqliteJournal::open(folder) {
        Ok(journal) => {
            drop(journal);
            assert_eq!(content(folder), expected, "{what}: it was opened, and is another");
            Ok(())
        }
        Err(error) => {
            assert_eq!(names_and_lengths(folder), before, "{what}: what was refused was changed: {error}");
            match checked {
                Ok(report) => {
                    assert!(!report.damages.is_empty(), "{what}: the check found nothing of: {error}");
                }
                Err(checked) => assert_eq!(checked.to_string(), error.to_string(), "{what}"),
            }
            let names = matches!(
                error,
                OpenError::Corrupt { .. }
                    | OpenError::Lost { .. }
                    | OpenError::Missing { .. }
                    | OpenError::Mixed { .. }
                    | OpenError::Newer { .. }
                    | OpenError::Foreign { .. }
            );
            assert!(names, "{what}: the error does not say what happened: {error:?}");
            let text = error.to_string();
            assert!(text.contains("journal"), "{what}: the error does not say where: {text}");
            Err(error)
        }
    }
}

fn names_and_lengths(folder: &Path) -> Vec<(PathBuf, u64)> {
    let entries = fs::read_dir(folder).expect("it can be read").map(|entry| entry.expect("it can be read"));
    let mut all: Vec<_> = entries
        // The lock, and the index of the log, are made by whoever looks.
        .filter(|entry| ["journal.db", LOG, WITNESS].iter().any(|name| entry.file_name() == *name))
        .map(|entry| (entry.path(), entry.metadata().expect("it can be looked at").len()))
        // An empty log may be made as well.
        .filter(|(path, length)| *length > 0 || !path.ends_with(LOG))
        .collect();
    all.sort();
    all
}

/// Changes every so many-th byte of a file, and each bit of its header; tells how often the journal was refused and how often
/// the same.
fn sweep(image: &Image, name: &str, stride: usize, masks: &[u8]) -> (usize, usize) {
    let folder = fast_folder();
    let (mut refused, mut same) = (0, 0);
    let length = image.bytes(name).len();
    for at in (0..HEADER.min(length)).chain((HEADER..length).step_by(stride)) {
        for mask in if at < HEADER { &[1, 2, 4, 8, 16, 32, 64, 128] } else { masks } {
            // Each byte by another bit, where only one is asked for.
            let mask = if *mask == 0 { 1 << (at % 8) } else { *mask };
            image.restore(folder.path(), name, &|bytes| bytes[at] ^= mask);
            match fate(folder.path(), &image.content, &format!("{name}, byte {at} ^ {mask:#x}")) {
                Ok(()) => same += 1,
                Err(_) => refused += 1,
            }
        }
    }
    println!(
        "{name}: {refused} refused, {same} the same, every {stride} of {} bytes",
        image.bytes(name).len()
    );
    (refused, same)
}

/// Every so many-th byte of each file in turn.
fn sweep_killed_file(stride: usize, masks: &[u8]) {
    // What is in the log as well may change in the file without harm.
    let (refused, _) = sweep(&Image::take(false), FILE, stride, masks);
    assert!(refused > 0);
}

fn sweep_closed_file(stride: usize, masks: &[u8]) {
    let closed = Image::take(true);
    assert!(closed.files.iter().all(|(name, _)| *name != LOG), "the log is gone when it is closed");
    let (refused, same) = sweep(&closed, FILE, stride, masks);
    assert!(refused > same / 4, "most of the file is in use");
}

fn sweep_log(stride: usize, masks: &[u8]) {
    let killed = Image::take(false);
    assert!(killed.bytes(LOG).len() > 20_000, "the log is in use");
    let (refused, same) = sweep(&killed, LOG, stride, masks);
    assert!(refused > same * 100, "all of the log counts");
}

#[test]
fn a_flipped_byte_of_the_file_is_harmless_or_an_error() {
    sweep_closed_file(131, &[0]);
}

#[test]
fn a_flipped_byte_of_the_file_beside_a_log_is_harmless_or_an_error() {
    sweep_killed_file(131, &[0]);
}

#[test]
fn a_flipped_byte_of_the_log_is_an_error() {
    sweep_log(131, &[0]);
}

#[test]
fn a_flipped_byte_of_the_witness_is_harmless() {
    // It makes no sense then, which is told of, and it is made anew.
    let (refused, _) = sweep(&Image::take(false), WITNESS, 1, &[]);
    assert_eq!(refused, 0);
}

#[test]
#[ignore = "the long form: a quarter of an hour in a release build"]
fn each_byte_is_harmless_or_an_error() {
    sweep_closed_file(1, &[0, 0xff]);
    sweep_killed_file(1, &[0, 0xff]);
    sweep_log(1, &[0, 0xff]);
}

/// Lengths to cut a file to: around each page, and between.
fn lengths(of: usize) -> impl Iterator<Item = usize> {
    let around = (0..of).step_by(4096).flat_map(|at| [at.saturating_sub(1), at, at + 1, at + 24, at + 2000]);
    around.chain([of - 1]).filter(move |length| *length < of)
}

#[test]
fn a_file_cut_short_is_an_error() {
    let folder = fast_folder();
    for is_closed in [true, false] {
        let image = Image::take(is_closed);
        for length in lengths(image.bytes(FILE).len()) {
            image.restore(folder.path(), FILE, &|bytes| bytes.truncate(length));
            let fate = fate(folder.path(), &image.content, &format!("the file cut to {length}"));
            // The log may have what the end of the file had, and the end of the last page may be free.
            let is_end = length > image.bytes(FILE).len() - 4096;
            assert!(fate.is_err() || !is_closed || is_end, "cut to {length}");
            if length == 0 {
                assert!(matches!(fate, Err(OpenError::Missing { state: "is empty", .. })), "{fate:?}");
            }
        }
    }
}

#[test]
fn a_log_cut_short_is_an_error() {
    let folder = fast_folder();
    let image = Image::take(false);
    for length in lengths(image.bytes(LOG).len()) {
        image.restore(folder.path(), LOG, &|bytes| bytes.truncate(length));
        let fate = fate(folder.path(), &image.content, &format!("the log cut to {length}"));
        assert!(matches!(fate, Err(OpenError::Lost { .. })), "cut to {length}: {fate:?}");
    }
}

#[test]
fn what_is_deleted_is_missed() {
    let folder = fast_folder();
    let (killed, closed) = (Image::take(false), Image::take(true));
    let without = |image: &Image, names: &[&str]| {
        image.restore(folder.path(), "", &|_| {});
        for name in names {
            fs::remove_file(folder.path().join(name)).expect("it is there");
        }
        fate(folder.path(), &image.content, &format!("without {names:?}"))
    };
    for (image, names) in
        [(&killed, &[FILE][..]), (&killed, &[FILE, LOG]), (&killed, &[FILE, WITNESS]), (&closed, &[FILE])]
    {
        let fate = without(image, names);
        assert!(matches!(fate, Err(OpenError::Missing { state: "is missing", .. })), "{names:?}: {fate:?}");
    }
    assert!(matches!(without(&killed, &[LOG]), Err(OpenError::Lost { .. })));
    // Nothing is lost with the witness but what it would guard against.
    without(&killed, &[WITNESS]).expect("all is there");
    without(&closed, &[WITNESS]).expect("all is there");
}

#[test]
fn an_older_copy_of_a_file_is_an_error() {
    let folder = fast_folder();
    let (other, now) = (Image::take(true), fast_folder());
    other.restore(now.path(), "", &|_| {});
    // What a backup would have: the file as it was a while ago.
    let old = Image::of(now.path());
    let journal = open(now.path());
    let lease = claim(&journal, "web").lease;
    append(&journal, &lease, vec![scaled(1)]);
    drop(journal);
    let later = Image::of(now.path());
    let journal = open(now.path());
    let reader = reader(&now.path().join(FILE));
    let lease = claim(&journal, "web").lease;
    append(&journal, &lease, vec![scaled(2), scaled(3)]);
    let latest = Image::of(now.path());
    let one = |image: &Image, name: &str| (name == FILE).then(|| image.bytes(FILE).to_vec());
    for (what, old) in [("old", &old), ("later", &later)] {
        // The old file beside today's log and witness, and beside the witness alone.
        for with_log in [true, false] {
            latest.restore(folder.path(), FILE, &|bytes| *bytes = one(old, FILE).expect("it is there"));
            if !with_log {
                fs::remove_file(folder.path().join(LOG)).expect("it is there");
            }
            let fate = fate(folder.path(), &latest.content, &format!("{what} file, log: {with_log}"));
            assert!(with_log || matches!(fate, Err(OpenError::Lost { .. })), "{what}: {fate:?}");
        }
        // An older witness knows less, which is no harm.
        latest.restore(folder.path(), WITNESS, &|bytes| *bytes = old.bytes(WITNESS).to_vec());
        fate(folder.path(), &latest.content, "an old witness").expect("all is there");
    }
    drop((reader, journal));
    // A log of before, beside a file that has long had what it says.
    let killed = Image::take(false);
    killed.restore(folder.path(), "", &|_| {});
    let journal = open(folder.path());
    let lease = claim(&journal, "web").lease;
    append(&journal, &lease, vec![scaled(1)]);
    drop(journal);
    let expected = content(folder.path());
    fs::write(folder.path().join(LOG), killed.bytes(LOG)).expect("it can be written");
    let fate = fate(folder.path(), &expected, "an old log");
    assert!(matches!(fate, Err(OpenError::Lost { .. })), "{fate:?}");
}

#[test]
fn files_of_two_folders_do_not_mix() {
    let folder = fast_folder();
    let (one, two) = (Image::take(true), Image::take(true));
    one.restore(folder.path(), WITNESS, &|bytes| *bytes = two.bytes(WITNESS).to_vec());
    let fate = fate(folder.path(), &one.content, "another's witness");
    assert!(matches!(fate, Err(OpenError::Mixed { .. })), "{fate:?}");
}

/// Rows that are lost, doubled or put back, in a file that `SQLite` itself finds nothing wrong with.
#[test]
fn a_row_that_was_taken_away_or_put_back_is_missed() {
    let folder = fast_folder();
    let image = Image::take(true);
    for change in [
        "DELETE FROM meta",
        "DELETE FROM providers",
        "DELETE FROM libraries",
        "DELETE FROM clusters WHERE id = (SELECT max(id) FROM clusters)",
        "DELETE FROM definitions WHERE cluster = (SELECT max(cluster) FROM definitions)",
        "DELETE FROM entries WHERE number = 1",
        "DELETE FROM entries WHERE number = 2",
        "DELETE FROM entries WHERE (cluster, number) IN (SELECT cluster, max(number) FROM entries)",
        "DELETE FROM entries WHERE cluster = (SELECT max(cluster) FROM entries)",
        "DELETE FROM parts WHERE part = 0",
        "DELETE FROM parts WHERE part = 1",
        "DELETE FROM parts",
        "INSERT INTO entries SELECT cluster, number + 100, format, payload, sum FROM entries LIMIT 1",
        "INSERT INTO providers SELECT id + 100, format, payload, sum FROM providers",
        "INSERT INTO libraries SELECT id + 100, format, payload, sum FROM libraries",
        "UPDATE libraries SET payload = x'c0'",
        "UPDATE libraries SET format = 2",
        "INSERT INTO parts SELECT cluster + 100, part, format, payload, sum FROM parts",
        "UPDATE entries SET number = number + 100 WHERE number = 3",
        "UPDATE entries SET format = 2 WHERE number = 2",
        "UPDATE entries SET payload = x'c0' WHERE number = 2",
        "UPDATE entries SET sum = sum + 1 WHERE number = 2",
        "UPDATE parts SET payload = zeroblob(length(payload)) WHERE part = 1",
        "UPDATE clusters SET id = id + 100",
        "PRAGMA user_version = 0",
        "PRAGMA application_id = 0",
        "CREATE TABLE more (x)",
        "CREATE INDEX more ON entries (sum)",
        "DROP TABLE providers",
        "DROP TABLE libraries",
    ] {
        image.restore(folder.path(), "", &|_| {});
        let file = Connection::open(folder.path().join(FILE)).expect("it can be opened");
        file.execute_batch(change).unwrap_or_else(|error| panic!("{change}: {error}"));
        drop(file);
        let fate = fate(folder.path(), &image.content, change);
        assert!(matches!(fate, Err(OpenError::Corrupt { .. })), "{change}: {fate:?}");
    }
}

/// A row as it was before, whole in itself.
#[test]
fn an_older_row_in_the_place_of_a_newer_one_is_missed() {
    let folder = fast_folder();
    let image = Image::take(true);
    for table in ["providers", "libraries"] {
        image.restore(folder.path(), "", &|_| {});
        let path = folder.path().join(FILE);
        let file = Connection::open(&path).expect("it can be opened");
        file.execute_batch(&format!("CREATE TEMP TABLE old AS SELECT * FROM {table}"))
            .expect("it can be copied");
        let journal = open(folder.path());
        wait(journal.define_provider("local", Some(json!({"plugin": "another"})))).expect("written");
        wait(journal.define_library(&"a1".repeat(32), Some(json!({"deaths": 2})))).expect("written");
        drop(journal);
        file.execute_batch(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM old"))
            .expect("put back");
        drop(file);
        let fate = fate(folder.path(), &image.content, "an older row");
        assert!(matches!(fate, Err(OpenError::Corrupt { .. })), "{table}: {fate:?}");
    }
}

#[test]
fn all_damage_is_told_of() {
    let folder = fast_folder();
    Image::take(true).restore(folder.path(), "", &|_| {});
    let file = Connection::open(folder.path().join(FILE)).expect("it can be opened");
    file.execute_batch(
        "UPDATE entries SET payload = x'00' WHERE number = 2; DELETE FROM parts WHERE part = 1;
         DELETE FROM entries WHERE number = 4;
         UPDATE providers SET sum = 0; UPDATE libraries SET sum = 0",
    )
    .expect("it can be changed");
    drop(file);
    let report = check(folder.path()).expect("it can be looked at");
    let text: Vec<_> = report.damages.first.iter().map(ToString::to_string).collect();
    let all = text.join("\n");
    for place in [
        "entry 2 of cluster web",
        "entry 2 of cluster batch",
        "entry 5 of cluster web: the entries 4 to 4 before it are missing",
        "cluster web: parts",
        "the provider of",
        "the library of",
    ] {
        assert!(all.contains(place), "{place} is not in:\n{all}");
    }
    let error = SqliteJournal::open(folder.path()).expect_err("it is damaged").to_string();
    for hint in ["state check", "state import", "reconnect", "more)"] {
        assert!(error.contains(hint), "{hint} is not in: {error}");
    }
    let error = export(folder.path(), &mut vec![]).expect_err("what is damaged is not exported");
    assert!(error.to_string().contains("is damaged"), "{error}");
}
