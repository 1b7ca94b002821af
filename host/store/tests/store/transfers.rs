//! Export and import: what comes out goes in, and what was damaged on the way does not.

use std::fs;

use longshore_scaling::State;
use longshore_store::{
    EXPORT_VERSION, Entry, ExportError, FILE, FORMAT, ImportError, Journal, LIBRARIES_LIMIT, LIBRARY_BYTES,
    NUMBER_LIMIT, Numbered, OpenError, TERM_LIMIT, WITNESS, check, export, import,
};
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    append, beginnings, claim, defined, fast_folder, moved, open, scaled, served, snapshot, swapped, wait,
};

/// A folder with something of everything.
pub(crate) fn sample() -> TempDir {
    let folder = fast_folder();
    let journal = open(folder.path());
    for (name, definition) in [("local", json!({"plugin": "process", "share": 0.1})), ("b", json!(null))] {
        wait(journal.define_provider(name, Some(definition))).expect("written");
    }
    for (hash, document) in [("b2", json!({"deaths": 3})), ("a1", json!(null))] {
        wait(journal.define_library(&hash.repeat(32), Some(document))).expect("written");
    }
    let web = claim(&journal, "web").lease;
    append(&journal, &web, vec![defined(1)]);
    append(&journal, &web, beginnings(30).into_iter().map(Entry::Happened).collect());
    wait(journal.compact(&web, snapshot(1_500))).expect("compacted");
    append(&journal, &web, vec![scaled(1), defined(2)]);
    let batch = claim(&journal, "batch").lease;
    append(&journal, &batch, vec![scaled(3)]);
    let empty = claim(&journal, "empty").lease;
    append(&journal, &empty, vec![scaled(0)]);
    wait(journal.compact(&empty, snapshot(0))).expect("compacted");
    drop(journal);
    folder
}

pub(crate) fn exported(folder: &TempDir) -> String {
    let mut text = vec![];
    export(folder.path(), &mut text).unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8(text).expect("it is text")
}

/// All but when it was written, and the checksum of that.
pub(crate) fn body(text: &str) -> Vec<&str> {
    let lines: Vec<_> = text.lines().collect();
    lines[1..lines.len() - 1].to_vec()
}

#[test]
fn what_is_exported_can_be_imported() {
    let (from, to) = (sample(), fast_folder());
    let text = exported(&from);
    import(to.path(), &mut text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let report = check(to.path()).expect("it can be looked at");
    assert!(report.damages.is_empty(), "{report:?}");
    assert_eq!(body(&exported(&to)), body(&text));
    let (before, after) = (open(from.path()), open(to.path()));
    for cluster in ["web", "batch", "empty"] {
        let (before, after) = (claim(&before, cluster), claim(&after, cluster));
        assert_eq!(before.kept, after.kept, "{cluster}");
        assert!(before.lease.term < after.lease.term, "no term is given out again");
    }
    assert_eq!(wait(before.providers()), wait(after.providers()));
    assert_eq!(wait(before.libraries()), wait(after.libraries()));
    assert_eq!(wait(after.libraries()).expect("read").len(), 2);
}

#[test]
fn a_journal_is_exported_beside_its_host() {
    let folder = sample();
    let journal = open(folder.path());
    let web = claim(&journal, "web").lease;
    append(&journal, &web, vec![scaled(99)]);
    let text = exported(&folder);
    assert!(text.contains("99"), "{text}");
    append(&journal, &web, vec![scaled(100)]);
    let report = check(folder.path()).expect("it can be looked at");
    assert!(report.damages.is_empty(), "{report:?}");
    assert!(report.is_in_use);
    assert_eq!(report.holder.expect("it says who it is").pid, std::process::id());
    assert_eq!(report.clusters.len(), 3);
    assert_eq!((report.providers, report.format), (vec!["b".to_owned(), "local".to_owned()], Some(FORMAT)));
    assert_eq!(report.libraries, ["a1".repeat(32), "b2".repeat(32)]);
    drop(journal);
    let report = check(folder.path()).expect("it can be looked at");
    assert_eq!((report.is_in_use, report.holder), (false, None));
}

#[test]
fn a_damaged_export_is_refused() {
    let text = exported(&sample());
    let lines: Vec<_> = text.lines().collect();
    let refused = |what: &str, bytes: &[u8]| {
        let to = fast_folder();
        let error = import(to.path(), &mut &*bytes).expect_err(what);
        let ImportError::Line { line, .. } = &error else { panic!("{what}: {error}") };
        assert!(*line >= 1 && *line <= lines.len() as u64 + 1, "{what}: {error}");
        assert!(error.to_string().starts_with(&format!("line {line} of the export: ")), "{what}: {error}");
        let left: Vec<_> = fs::read_dir(to.path())
            .expect("it can be read")
            .map(|entry| entry.expect("it can be read").file_name())
            .collect();
        assert_eq!(left, ["lock"], "{what}: all, or nothing");
        *line
    };
    refused("nothing", b"");
    refused("something else", b"{\"a\": 1}\n");
    // Cut off: after each line, and in the middle of some.
    for at in 1..lines.len() {
        let cut: String = lines[..at].iter().flat_map(|line| [line, "\n"]).collect();
        assert_eq!(refused("cut", cut.as_bytes()), at as u64 + 1);
        refused("cut in the line", &cut.as_bytes()[..cut.len() - 1]);
    }
    // A line taken out, doubled, or swapped with the next.
    for at in 0..lines.len() {
        let mut less = lines.clone();
        less.remove(at);
        refused("a line less", (less.join("\n") + "\n").as_bytes());
        let mut more = lines.clone();
        more.insert(at, lines[at]);
        refused("a line twice", (more.join("\n") + "\n").as_bytes());
        if at + 1 < lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            refused("two lines swapped", (swapped.join("\n") + "\n").as_bytes());
        }
    }
    // A byte changed, here and there.
    for at in (0..text.len() - 1).step_by(997) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        refused("a byte", &bytes);
    }
    let version = |version: u32| format!("\"version\":{version}");
    let newer = text.replacen(&version(EXPORT_VERSION), &version(EXPORT_VERSION + 1), 1);
    assert_ne!(newer, text);
    refused("newer", newer.as_bytes());
}

#[test]
fn nothing_is_imported_over_a_journal_or_what_is_left_of_one() {
    let text = exported(&sample());
    let occupied = |folder: &TempDir| {
        let error = import(folder.path(), &mut text.as_bytes()).expect_err("there is something");
        assert!(matches!(error, ImportError::Open(OpenError::Occupied { .. })), "{error}");
    };
    let there = sample();
    let before = body(&exported(&there)).join("\n");
    occupied(&there);
    assert_eq!(body(&exported(&there)).join("\n"), before);
    fs::remove_file(there.path().join(FILE)).expect("it is there");
    occupied(&there);
    fs::remove_file(there.path().join(WITNESS)).expect("it is there");
    let log = there.path().join("journal.db-wal");
    if log.exists() {
        occupied(&there);
        fs::remove_file(log).expect("it is there");
    }
    import(there.path(), &mut text.as_bytes()).expect("nothing is left");
    let running = open(there.path());
    let error = import(there.path(), &mut text.as_bytes()).expect_err("a host uses it");
    assert!(matches!(error, ImportError::Open(OpenError::Held { .. })), "{error}");
    drop(running);
}

#[test]
fn terms_go_on_behind_those_that_were_used_after_the_export() {
    let (from, to) = (sample(), fast_folder());
    let text = exported(&from);
    // The host goes on, and then its disk is lost.
    let journal = open(from.path());
    let later: Vec<_> = (0..1_000).map(|_| claim(&journal, "web").lease.term).collect();
    import(to.path(), &mut text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let restored = claim(&open(to.path()), "web").lease.term;
    assert!(later.iter().all(|term| *term < restored), "{later:?}, and {restored} after the import");
    assert!(restored < TERM_LIMIT);
    // An export that is further than the clock goes on where it was.
    let term = TERM_LIMIT - 2;
    let ahead = fast_folder();
    import(ahead.path(), &mut sealed(&[header(term)]).as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let journal = open(ahead.path());
    assert_eq!(claim(&journal, "web").lease.term, term + 1);
    // It was the last, and it does not begin anew.
    let error = wait(journal.claim("web")).expect_err("there is no other");
    assert!(error.to_string().contains("all terms of this journal are used up"), "{error}");
    drop(journal);
    wait(open(ahead.path()).claim("web")).expect_err("there is none after a restart either");
}

fn header(term: u64) -> String {
    format!("{{\"longshore_journal\":{{\"version\":1,\"written\":\"\",\"term\":{term}}}}}")
}

/// An export of these lines, with an end that is right.
fn sealed(lines: &[String]) -> String {
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    let count = |kind: &str| lines.iter().filter(|line| line.starts_with(&format!("{{\"{kind}\""))).count();
    let (libraries, clusters, entries) = (count("library"), count("cluster"), count("entry"));
    let (lines, sum) = (lines.len(), xxhash_rust::xxh3::xxh3_64(text.as_bytes()));
    format!(
        "{text}{{\"end\":{{\"lines\":{lines},\"providers\":0,\"libraries\":{libraries},\"clusters\":{clusters},\"entries\":{entries},\
         \"sum\":\"{sum:016x}\"}}}}\n"
    )
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let cluster = |term: u64, number: u64| {
        let entry = json!({"entry": Numbered { number, entry: defined(1) }});
        let cluster = json!({"cluster": {"name": "web", "term": term, "first": number, "last": number,
            "upto": number - 1, "handles": 0, "definition": null}});
        [header(0), cluster.to_string(), entry.to_string()]
    };
    let imported = |lines: &[String]| import(fast_folder().path(), &mut sealed(lines).as_bytes());
    imported(&cluster(1, 1)).unwrap_or_else(|error| panic!("{error}"));
    let hostile = [
        vec![header(TERM_LIMIT)],
        vec![header(u64::MAX)],
        cluster(TERM_LIMIT, 1).to_vec(),
        cluster(u64::MAX, 1).to_vec(),
        cluster(1, NUMBER_LIMIT + 1).to_vec(),
        cluster(1, i64::MAX as u64).to_vec(),
        cluster(1, u64::MAX).to_vec(),
    ];
    for lines in hostile {
        let error = imported(&lines).expect_err("it cannot be");
        let ImportError::Line { line, what } = &error else { panic!("{error}") };
        assert!(*line == lines.len().min(2) as u64 && what.contains("than any can be"), "{lines:?}: {error}");
    }
}

#[test]
fn more_libraries_than_are_kept_or_larger_ones_are_refused() {
    let library = |number: usize, document: &str| {
        json!({"library": {"hash": number.to_string(), "document": document}}).to_string()
    };
    let imported = |lines: &[String]| import(fast_folder().path(), &mut sealed(lines).as_bytes());
    let mut lines = vec![header(0)];
    lines.extend((0..LIBRARIES_LIMIT).map(|number| library(number, "")));
    imported(&lines).unwrap_or_else(|error| panic!("{error}"));
    lines.push(library(LIBRARIES_LIMIT, ""));
    let large = vec![header(0), library(0, &"x".repeat(LIBRARY_BYTES))];
    for (lines, why) in [(lines, "one library more than"), (large, "bytes are more than")] {
        let error = imported(&lines).expect_err("it cannot be");
        let ImportError::Line { line, what } = &error else { panic!("{error}") };
        assert!(*line == lines.len() as u64 && what.contains(why), "{error}");
    }
}

#[test]
fn what_cannot_be_written_out_is_told_of() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = export(sample().path(), &mut Full).expect_err("there is no room");
    assert!(matches!(error, ExportError::Write(_)), "{error}");
    let nothing = fast_folder();
    let error = export(nothing.path(), &mut vec![]).expect_err("there is no journal");
    assert!(matches!(error, ExportError::Open(OpenError::Nothing { .. })), "{error}");
    let error = check(&nothing.path().join("nowhere")).expect_err("there is no folder");
    assert!(matches!(error, OpenError::System { .. }), "{error}");
    assert_eq!(
        fs::read_dir(nothing.path()).expect("it can be read").count(),
        0,
        "looking leaves nothing behind"
    );
}

/// A journal of each format as the first version of it wrote it, and the same as text. Whoever changes what a payload looks
/// like must still read these; they are never made anew.
#[test]
fn a_journal_of_each_format_can_be_read() {
    let formats = [
        (include_str!("../fixtures/format-1.sql"), &include_bytes!("../fixtures/format-1.jsonl")[..]),
        (include_str!("../fixtures/format-2.sql"), &include_bytes!("../fixtures/format-2.jsonl")[..]),
        (include_str!("../fixtures/format-3.sql"), &include_bytes!("../fixtures/format-3.jsonl")[..]),
        (include_str!("../fixtures/format-4.sql"), &include_bytes!("../fixtures/format-4.jsonl")[..]),
        (include_str!("../fixtures/format-5.sql"), &include_bytes!("../fixtures/format-5.jsonl")[..]),
    ];
    assert_eq!(formats.len(), FORMAT as usize);
    for (sql, mut jsonl) in formats {
        let (file, text) = (fast_folder(), fast_folder());
        let database = Connection::open(file.path().join(FILE)).expect("a database");
        database.execute_batch(sql).expect("it can be made");
        drop(database);
        drop(open(file.path()));
        import(text.path(), &mut jsonl).unwrap_or_else(|error| panic!("{error}"));
        let (file, text) = (exported(&file), exported(&text));
        assert_eq!(body(&file), body(&text));
        assert!(body(&file).len() > 10, "there is something in it");
    }
}

/// Writes the fixtures of a new format: `cargo test -p longshore-store -- --ignored make_the_fixtures`, once.
#[test]
#[ignore = "it writes the fixtures of a format, once"]
fn make_the_fixtures() {
    let folder = sample_small();
    let out = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::create_dir_all(&out).expect("a folder");
    let format = FORMAT;
    fs::write(out.join(format!("format-{format}.jsonl")), exported(&folder)).expect("written");
    fs::write(out.join(format!("format-{format}.sql")), dump(&folder)).expect("written");
}

/// Every kind of row, and few of each.
fn sample_small() -> TempDir {
    let folder = fast_folder();
    let journal = open(folder.path());
    wait(journal.define_provider("local", Some(json!({"plugin": "process", "share": 0.1}))))
        .expect("written");
    for (hash, document) in [("a1", json!({"deaths": 3, "why": "signal 11"})), ("b2", json!({}))] {
        wait(journal.define_library(&hash.repeat(32), Some(document))).expect("written");
    }
    let web = claim(&journal, "web").lease;
    append(&journal, &web, vec![defined(1)]);
    append(&journal, &web, beginnings(3).into_iter().map(Entry::Happened).collect());
    wait(journal.compact(&web, snapshot(3))).expect("compacted");
    append(&journal, &web, vec![scaled(1), defined(2)]);
    let batch = claim(&journal, "batch").lease;
    append(&journal, &batch, vec![scaled(3)]);
    let queue = claim(&journal, "queue").lease;
    append(&journal, &queue, served().into_iter().map(Entry::Happened).collect());
    wait(journal.compact(&queue, State::replay(&served()).snapshot())).expect("compacted");
    append(&journal, &queue, served().into_iter().skip(1).map(Entry::Happened).collect());
    let van = claim(&journal, "van").lease;
    append(&journal, &van, moved().into_iter().map(Entry::Happened).collect());
    wait(journal.compact(&van, State::replay(&moved()).snapshot())).expect("compacted");
    append(&journal, &van, moved().into_iter().skip(1).map(Entry::Happened).collect());
    let shop = claim(&journal, "shop").lease;
    append(&journal, &shop, swapped().into_iter().map(Entry::Happened).collect());
    wait(journal.compact(&shop, State::replay(&swapped()).snapshot())).expect("compacted");
    append(&journal, &shop, swapped().into_iter().skip(1).map(Entry::Happened).collect());
    drop(journal);
    folder
}

/// A file as SQL.
fn dump(folder: &TempDir) -> String {
    use std::fmt::Write as _;
    let file = Connection::open(folder.path().join(FILE)).expect("it can be opened");
    let number = |pragma: &str| -> i64 {
        file.pragma_query_value(None, pragma, |row| row.get(0)).expect("it has one")
    };
    let mut out = format!(
        "PRAGMA auto_vacuum = INCREMENTAL;\nPRAGMA application_id = {};\nPRAGMA user_version = {};\n",
        number("application_id"),
        number("user_version")
    );
    let mut tables = file.prepare("SELECT name, sql FROM sqlite_schema ORDER BY rowid").expect("a schema");
    let tables: Vec<(String, String)> = tables
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .and_then(Iterator::collect)
        .expect("it can be read");
    for (name, sql) in tables {
        writeln!(out, "{sql};").expect("a string");
        let mut statement = file.prepare(&format!("SELECT * FROM {name}")).expect("it can be read");
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("it can be read");
        while let Some(row) = rows.next().expect("it can be read") {
            let value = |at| match row.get_ref(at).expect("it is there") {
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                rusqlite::types::ValueRef::Blob(bytes) => {
                    bytes.iter().fold("x'".to_owned(), |text, byte| format!("{text}{byte:02x}")) + "'"
                }
                other => panic!("nothing else is kept: {other:?}"),
            };
            let values: Vec<_> = (0..columns).map(value).collect();
            writeln!(out, "INSERT INTO {name} VALUES ({});", values.join(", ")).expect("a string");
        }
    }
    out
}
