//! What comes from outside: a host that is killed, a second one, a disk without room, a folder that may not be written.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use longshore_store::{Entry, FILE, Journal, JournalErrorKind, OpenError, SqliteJournal, check};
use tempfile::{TempDir, tempdir};

use crate::support::{append, claim, defined, open, scaled, snapshot, wait};

/// Tells the test binary, run by a test, what to do and where.
const FOLDER: &str = "LONGSHORE_STORE_TEST_FOLDER";

/// Runs one of the tests that are for this alone, in a process of its own.
fn child(test: &str, folder: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(env::current_exe().expect("the test's own path"))
        .args(["--exact", "--ignored", "--nocapture", test])
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test can be run");
    let out = BufReader::new(child.stdout.take().expect("it is piped"));
    (child, out)
}

/// Entries that are appended at once.
const AT_ONCE: u32 = 3;
const CLUSTERS: [&str; 3] = ["a", "b", "c"];

/// Appends until it is killed, and says what was acknowledged.
#[test]
#[ignore = "the child of a test"]
fn appends_for_ever() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let journal = open(Path::new(&folder));
    let mut leases: Vec<_> = CLUSTERS
        .iter()
        .map(|cluster| {
            let claimed = claim(&journal, cluster);
            let latest = wait(journal.history(cluster, None, 1)).expect("read");
            (claimed.lease, latest.first().map_or(0, |entry| entry.number))
        })
        .collect();
    for round in 0_u32.. {
        for (lease, last) in &mut leases {
            let entries = (1..=AT_ONCE).map(|more| scaled(*last as u32 + more)).collect();
            append(&journal, lease, entries);
            *last += u64::from(AT_ONCE);
            let mut out = std::io::stdout().lock();
            writeln!(out, "acknowledged {} {last}", lease.cluster).expect("the parent reads");
            out.flush().expect("the parent reads");
            if round % 7 == 6 {
                wait(journal.compact(lease, snapshot(*last as u32 % 50))).expect("compacted");
                writeln!(out, "compacted {} {last}", lease.cluster).expect("the parent reads");
            }
        }
    }
}

#[test]
fn whatever_was_acknowledged_outlives_a_kill() {
    const ROUNDS: usize = 40;
    let folder = tempdir().expect("a folder");
    let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
    let mut compacted: BTreeMap<String, u64> = BTreeMap::new();
    let mut kills = 0;
    for round in 0..ROUNDS {
        let (mut child, out) = child("outside::appends_for_ever", folder.path());
        // At once now and then, so that it dies while it opens; otherwise in the middle of something.
        let lines = getrandom::u64().expect("a random number") as usize % (2 + round * 3);
        let mut lines_left = lines;
        for line in out.lines() {
            let line = line.expect("it is text");
            let mut words = line.split(' ');
            let map = match words.next() {
                Some("acknowledged") => &mut acknowledged,
                Some("compacted") => &mut compacted,
                _ => continue,
            };
            let (cluster, number) = (words.next().expect("a cluster"), words.next().expect("a number"));
            map.insert(cluster.to_owned(), number.parse().expect("a number"));
            if lines_left == 0 {
                child.kill().expect("it can be killed");
                kills += 1;
            }
            lines_left = lines_left.wrapping_sub(1);
        }
        child.wait().expect("it has ended");
        let report = check(folder.path()).unwrap_or_else(|error| panic!("{error}"));
        assert!(report.damages.is_empty(), "round {round}: {:?}", report.damages);
        assert!(report.has_witness);
        let journal = open(folder.path());
        for cluster in CLUSTERS {
            let all = wait(journal.history(cluster, None, usize::MAX)).expect("read");
            let last = all.last().map_or(0, |entry| entry.number);
            let sure = acknowledged.get(cluster).copied().unwrap_or(0);
            assert!(last >= sure, "round {round}: {sure} of {cluster} was acknowledged, and {last} is there");
            assert_eq!(last % u64::from(AT_ONCE), 0, "round {round}: all of an append, or nothing");
            for entry in &all {
                assert_eq!(entry.entry, scaled(entry.number as u32));
            }
            let kept = claim(&journal, cluster).kept;
            let upto = last - kept.tail.len() as u64;
            assert!(upto >= compacted.get(cluster).copied().unwrap_or(0), "round {round}");
            assert_eq!(kept.snapshot, (upto > 0).then(|| snapshot(upto as u32 % 50)), "round {round}");
        }
    }
    assert_eq!(kills, ROUNDS);
    assert!(acknowledged.values().all(|number| *number > 0), "it got somewhere");
}

/// Holds a folder until it is killed.
#[test]
#[ignore = "the child of a test"]
fn holds_the_folder() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let journal = open(Path::new(&folder));
    println!("\nopened");
    // Until the parent kills it, or is gone itself.
    let _ = std::io::stdin().lines().next();
    std::thread::park();
    drop(journal);
}

#[test]
fn a_second_host_is_kept_out_and_told_who_is_there() {
    let folder = tempdir().expect("a folder");
    let (mut child, out) = child("outside::holds_the_folder", folder.path());
    let opened = out.lines().map(|line| line.expect("it is text")).find(|line| line == "opened");
    opened.expect("it opens the journal");
    let error = SqliteJournal::open(folder.path()).expect_err("somebody has it");
    let OpenError::Held { holder: Some(holder), .. } = &error else { panic!("{error}") };
    assert_eq!(holder.pid, child.id());
    let text = error.to_string();
    assert!(text.contains(&format!("process {}, since 2", child.id())), "{text}");
    assert!(text.contains(&folder.path().display().to_string()) && text.contains("end it"), "{text}");
    child.kill().expect("it can be killed");
    child.wait().expect("it has ended");
    drop(open(folder.path()));
}

#[test]
fn others_see_nothing_of_a_state_folder() {
    let parent = tempdir().expect("a folder");
    let folder = parent.path().join("new/state");
    let journal = open(&folder);
    let lease = claim(&journal, "web").lease;
    append(&journal, &lease, vec![defined(1)]);
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> =
        fs::read_dir(&folder).expect("it can be read").map(|file| file.expect("read").path()).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    drop(journal);
    fs::set_permissions(folder.join(FILE), fs::Permissions::from_mode(0o644)).expect("it is ours");
    drop(open(&folder));
    assert_eq!(mode(&folder.join(FILE)), 0o600);
}

#[test]
fn what_is_no_folder_is_refused() {
    let parent = tempdir().expect("a folder");
    let file = parent.path().join("file");
    fs::write(&file, "mine").expect("written");
    for path in [file.clone(), file.join("below")] {
        let error = SqliteJournal::open(&path).expect_err("it is a file");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    let error = SqliteJournal::open(&file).expect_err("it is a file");
    assert!(matches!(error, OpenError::NotAFolder { .. }), "{error}");
    // A folder, or a link, where the journal should be.
    for name in [FILE, "lock"] {
        let folder = parent.path().join(format!("with-{name}"));
        fs::create_dir_all(folder.join(name)).expect("made");
        SqliteJournal::open(&folder).expect_err("there is a folder in its place");
        let folder = parent.path().join(format!("linked-{name}"));
        fs::create_dir(&folder).expect("made");
        std::os::unix::fs::symlink(&file, folder.join(name)).expect("made");
        SqliteJournal::open(&folder).expect_err("there is a link in its place");
    }
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "mine");
}

/// A small disk of its own, where the test may make one.
struct Disk(TempDir);

impl Disk {
    fn new(test: &str) -> Option<Self> {
        let disk = Self(tempdir().expect("a folder"));
        let why = if rustix::process::geteuid().is_root() {
            match disk.mount(&["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"]) {
                Ok(()) => return Some(disk),
                Err(why) => format!("no small disk can be made: {why}"),
            }
        } else {
            "only root can make a small disk".to_owned()
        };
        // The folder has nothing mounted on it, which the drop below finds out as well.
        crate::support::skipped(test, &why);
        None
    }

    fn mount(&self, arguments: &[&str]) -> Result<(), String> {
        let output = Command::new("mount").args(arguments).arg(self.0.path()).output();
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        if device(self.0.path()) != self.0.path().parent().and_then(device) {
            let ended = Command::new("umount").arg(self.0.path()).status();
            assert!(ended.is_ok_and(|status| status.success()), "the small disk is left mounted");
        }
    }
}

#[test]
fn a_full_disk_takes_nothing_and_works_again_once_there_is_room() {
    let Some(disk) = Disk::new("a_full_disk_takes_nothing_and_works_again_once_there_is_room") else {
        return;
    };
    let folder = disk.0.path().join("state");
    let journal = open(&folder);
    let lease = claim(&journal, "web").lease;
    append(&journal, &lease, vec![defined(1)]);
    let filler = disk.0.path().join("filler");
    let fill = || {
        let mut file = fs::File::create(&filler).expect("made");
        while file.write_all(&[7; 512]).is_ok() {}
    };
    let mut written = 1;
    for round in 0..3 {
        fill();
        let error = (0..20_000)
            .find_map(|number| match wait(journal.append(&lease, vec![scaled(number), scaled(number)])) {
                Ok(_) => {
                    written += 2;
                    None
                }
                Err(error) => Some(error),
            })
            .expect("the disk is full at some time");
        assert_eq!(error.kind, JournalErrorKind::NoRoom, "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with("the journal of cluster web cannot be written: there is no room left"),
            "{text}"
        );
        assert!(text.contains(&folder.display().to_string()), "{text}");
        // Nothing of it is there, and what is there can be read.
        assert_eq!(
            wait(journal.history("web", None, usize::MAX)).expect("read").len(),
            written,
            "round {round}"
        );
        // It stays so.
        wait(journal.append(&lease, vec![large()])).expect_err("there is still no room");
        fs::remove_file(&filler).expect("it is there");
        append(&journal, &lease, vec![scaled(7)]);
        written += 1;
    }
    // One that is too large for the disk does not stop the others.
    let error = wait(journal.append(&lease, vec![large()])).expect_err("there is never so much room");
    assert_eq!(error.kind, JournalErrorKind::NoRoom, "{error}");
    append(&journal, &lease, vec![scaled(7)]);
    drop(journal);
    let report = check(&folder).expect("it can be looked at");
    assert!(report.damages.is_empty(), "{:?}", report.damages);
    assert_eq!(report.clusters[0].entries, written as u64 + 1);
    // No host begins on a full disk, and nothing is lost by trying.
    fill();
    let error = SqliteJournal::open(&folder).expect_err("there is no room");
    assert!(matches!(error, OpenError::Full { .. }), "{error}");
    fs::remove_file(&filler).expect("it is there");
    let journal = open(&folder);
    assert_eq!(wait(journal.history("web", None, usize::MAX)).expect("read").len(), written + 1);
    // The disk must not be in use when it goes.
    drop(journal);
}

/// More than the small disk has.
fn large() -> Entry {
    Entry::Defined(serde_json::Value::String("x".repeat(2 << 20)))
}

#[test]
fn a_disk_that_is_full_from_the_start_has_no_journal() {
    let Some(disk) = Disk::new("a_disk_that_is_full_from_the_start_has_no_journal") else { return };
    let folder = disk.0.path().join("state");
    fs::create_dir(&folder).expect("made");
    let filler = disk.0.path().join("filler");
    let mut file = fs::File::create(&filler).expect("made");
    while file.write_all(&[7; 512]).is_ok() {}
    let error = SqliteJournal::open(&folder).expect_err("there is no room");
    assert!(matches!(error, OpenError::Full { .. }), "{error}");
    drop(file);
    fs::remove_file(&filler).expect("it is there");
    let journal = open(&folder);
    let lease = claim(&journal, "web").lease;
    append(&journal, &lease, vec![scaled(1)]);
}

#[test]
fn a_disk_that_may_not_be_written_is_told_of() {
    let Some(disk) = Disk::new("a_disk_that_may_not_be_written_is_told_of") else { return };
    let folder = disk.0.path().join("state");
    let journal = open(&folder);
    let lease = claim(&journal, "web").lease;
    append(&journal, &lease, vec![scaled(1)]);
    drop(journal);
    disk.mount(&["-o", "remount,ro"]).expect("it can be made read-only");
    let error = SqliteJournal::open(&folder).expect_err("it may not be written");
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
    assert!(error.to_string().contains("mounted read-only"), "{error}");
    let report = check(&folder).unwrap_or_else(|error| panic!("it can be looked at: {error:?}"));
    assert!(report.damages.is_empty() && report.clusters.len() == 1, "{report:?}");
    let error = SqliteJournal::open(&disk.0.path().join("another")).expect_err("it may not be written");
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
    disk.mount(&["-o", "remount,rw"]).expect("it can be made writable");
    let journal = open(&folder);
    assert_eq!(claim(&journal, "web").kept.tail.len(), 1);
}
