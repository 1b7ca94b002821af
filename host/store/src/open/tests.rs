//! Older and newer formats.

use tempfile::{TempDir, tempdir};

use super::*;
use crate::{
    Journal as _, NUMBER_LIMIT, SqliteJournal, TERM_LIMIT,
    table::{Table, seal},
};

/// A journal of today's, and its file.
fn journal() -> (TempDir, Folder, Connection) {
    let folder = tempdir().expect("a folder");
    drop(SqliteJournal::open(folder.path()).expect("a journal"));
    let paths = Folder::existing(folder.path()).expect("it is there");
    let connection = connect(&paths.file(), OpenFlags::SQLITE_OPEN_READ_WRITE).expect("it can be opened");
    (folder, paths, connection)
}

/// Steps to formats that do not exist: a table more, then one with another name.
const STEPS: &[Migration] = &[
    Migration {
        from: FORMAT,
        step: |file| file.execute_batch("CREATE TABLE more (x); INSERT INTO more VALUES (7)"),
    },
    Migration { from: FORMAT + 1, step: |file| file.execute_batch("ALTER TABLE more RENAME TO most") },
];

#[test]
fn an_older_file_climbs_the_ladder_and_a_copy_stays() {
    let (_folder, paths, file) = journal();
    let before = schema::read_meta(&file).expect("it has one");
    migrate(&paths, &file, STEPS, FORMAT, FORMAT + 2).expect("each step leads to the next");
    assert_eq!(schema::inspect(&file, FORMAT + 2).expect("its shape is sound"), FORMAT + 2);
    assert_eq!(schema::read_meta(&file).expect("it has one"), Meta { format: FORMAT + 2, ..before.clone() });
    let seven: i64 =
        file.query_row("SELECT x FROM most", [], |row| row.get(0)).expect("both steps were taken");
    assert_eq!(seven, 7);
    let copy = connect(&paths.older(FORMAT), OpenFlags::SQLITE_OPEN_READ_ONLY).expect("it is there");
    assert_eq!(schema::inspect(&copy, FORMAT).expect("its shape is sound"), FORMAT);
    assert_eq!(schema::read_meta(&copy).expect("it has one"), before);
}

#[test]
fn a_step_that_fails_leaves_the_file_at_the_one_before() {
    let (_folder, paths, file) = journal();
    let steps = [
        STEPS[0],
        Migration {
            from: FORMAT + 1,
            step: |file| file.execute_batch("DELETE FROM more; INSERT INTO nowhere VALUES (1)"),
        },
    ];
    migrate(&paths, &file, &steps, FORMAT, FORMAT + 2).expect_err("the second step fails");
    assert_eq!(schema::inspect(&file, FORMAT + 2).expect("its shape is sound"), FORMAT + 1);
    let seven: i64 = file.query_row("SELECT x FROM more", [], |row| row.get(0)).expect("it is as it was");
    assert_eq!(seven, 7);
    migrate(&paths, &file, &STEPS[1..], FORMAT, FORMAT + 1).expect_err("a step is missing");
}

#[test]
fn the_ladder_leads_to_todays_format() {
    let from: Vec<_> = schema::LADDER.iter().map(|migration| migration.from).collect();
    assert_eq!(from, (1..FORMAT).collect::<Vec<_>>());
}

#[test]
fn a_newer_file_is_refused_and_both_numbers_are_named() {
    let (folder, _, file) = journal();
    migrate(&Folder::existing(folder.path()).expect("it is there"), &file, STEPS, FORMAT, FORMAT + 2)
        .expect("migrated");
    drop(file);
    let error = SqliteJournal::open(folder.path()).expect_err("it is newer");
    assert!(
        matches!(error, OpenError::Newer { found, known: FORMAT, .. } if found == FORMAT + 2),
        "{error:?}"
    );
    let text = error.to_string();
    let (found, known) = (format!("format {}", FORMAT + 2), format!("up to {FORMAT}"));
    assert!(text.contains(&found) && text.contains(&known) && text.contains("use the version"), "{text}");
    assert!(matches!(crate::check(folder.path()), Err(OpenError::Newer { .. })));
}

#[test]
fn a_meta_row_of_a_later_kind_is_newer_too() {
    let (folder, _, file) = journal();
    let (format, payload) = (Table::Meta.format() + 1, [0xc0]);
    let sum = seal(Table::Meta, (1, 0), format, &payload).cast_signed();
    file.execute("UPDATE meta SET format = ?1, payload = ?2, sum = ?3", (format, payload, sum))
        .expect("written");
    file.pragma_update(None, "user_version", FORMAT + 1).expect("written");
    drop(file);
    let error = SqliteJournal::open(folder.path()).expect_err("it is newer");
    assert!(matches!(error, OpenError::Newer { .. }), "{error:?}");
}

#[test]
fn another_programs_database_is_left_alone() {
    let folder = tempdir().expect("a folder");
    let path = folder.path().join(crate::FILE);
    let file = Connection::open(&path).expect("a database");
    file.execute_batch("CREATE TABLE theirs (x)").expect("written");
    drop(file);
    let before = fs::read(&path).expect("it can be read");
    let error = SqliteJournal::open(folder.path()).expect_err("it is theirs");
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    assert_eq!(fs::read(&path).expect("it can be read"), before);
}

#[test]
fn what_may_not_be_done_says_where_to_look() {
    let denied = io::Error::from(io::ErrorKind::PermissionDenied);
    let text = OpenError::system("open the lock", Path::new("/s/lock"), denied).to_string();
    assert_eq!(text, "cannot open the lock /s/lock (look at who may read and write it and its folder)");
}

#[test]
fn numbers_that_cannot_be_are_damage() {
    let changes: [fn(&mut Meta); 5] = [
        |meta| meta.term = TERM_LIMIT,
        |meta| meta.term = u64::MAX,
        |meta| meta.commits = u64::MAX,
        |meta| meta.next_id = NUMBER_LIMIT + 1,
        |meta| meta.next_id = u64::MAX,
    ];
    for change in changes {
        let (folder, _, file) = journal();
        let mut meta = schema::read_meta(&file).expect("it has one");
        change(&mut meta);
        schema::write_meta(&file, &meta).expect("it can be written");
        drop(file);
        let error = SqliteJournal::open(folder.path()).expect_err("it cannot be");
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("larger than any can be"), "{error}");
    }
}

#[test]
fn a_host_that_writes_while_another_opens_is_found_out() {
    let (folder, _, file) = journal();
    let mut meta = schema::read_meta(&file).expect("it has one");
    let before = meta.clone();
    drop(SqliteJournal::open(folder.path()).expect("it comes and goes"));
    assert!(!begin(&file, &mut meta).expect("it can be read"), "the file is not what it was");
    assert_eq!(meta, before);
    let mut meta = schema::read_meta(&file).expect("it has one");
    assert!(begin(&file, &mut meta).expect("it can be written"));
}

#[test]
fn rows_whose_numbers_cannot_be_are_damage() {
    let folder = tempdir().expect("a folder");
    let journal = SqliteJournal::open(folder.path()).expect("a journal");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let lease = journal.claim("web").await.expect("claimed").lease;
        journal.append(&lease, vec![crate::Entry::Defined(1.into())]).await.expect("written");
    });
    drop(journal);
    let paths = Folder::existing(folder.path()).expect("it is there");
    for number in [-1, i64::MIN, i64::MAX] {
        let file = connect(&paths.file(), OpenFlags::SQLITE_OPEN_READ_WRITE).expect("it can be opened");
        let copy = "INSERT INTO entries SELECT cluster, ?1, format, payload, sum FROM entries";
        file.execute(copy, [number]).expect("it can be written");
        let error = SqliteJournal::open(folder.path()).expect_err("it cannot be");
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
        let report = crate::check(folder.path()).expect("it can be looked at");
        assert!(!report.damages.is_empty());
        file.execute("DELETE FROM entries WHERE number = ?1", [number]).expect("it can be written");
    }
    drop(SqliteJournal::open(folder.path()).expect("nothing is wrong any more"));
}
