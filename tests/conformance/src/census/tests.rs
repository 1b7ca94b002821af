//! What is counted is there, and what is not there is not counted.

use std::{fs::File, process::Command};

use super::*;

fn things(words: &[(u64, &str)]) -> Things {
    Things(words.iter().map(|(id, words)| (*id, (*words).to_owned())).collect())
}

#[test]
fn descriptors_are_told_by_what_they_lead_to() {
    assert_eq!(sort_of("socket:[123]"), "a socket");
    assert_eq!(sort_of("pipe:[7]"), "a pipe");
    assert_eq!(sort_of("anon_inode:[eventpoll]"), "an eventpoll");
    assert_eq!(sort_of("/memfd:x (deleted)"), "/memfd:x");
}

#[test]
fn what_there_is_more_of_counts_whatever_its_number() {
    let before = things(&[(1, "a pipe"), (2, "a pipe"), (3, "/log")]);
    let after = things(&[(7, "a pipe"), (8, "a pipe"), (9, "a pipe"), (3, "/log"), (4, "/new")]);
    let more = after.clone().more_than(&before);
    assert_eq!(more.to_string(), "/new, a pipe");
    assert_eq!(after.beyond(&before).to_string(), "/new, a pipe (3 times)");
}

#[test]
fn an_open_file_is_seen_until_it_is_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("seen-by-the-census");
    let is_seen = || {
        let now = descriptors().expect("they can be read");
        !now.filtered(|words| words.ends_with("seen-by-the-census")).is_empty()
    };
    assert!(!is_seen());
    let file = File::create(&path).expect("a file");
    assert!(is_seen());
    drop(file);
    assert!(!is_seen());
}

#[test]
fn a_thread_is_seen_though_it_ends_at_once() {
    let (_, came) = threads_during(|| {
        std::thread::Builder::new()
            .name("short-lived".to_owned())
            .spawn(|| std::thread::sleep(Duration::from_millis(50)))
            .expect("a thread")
            .join()
    })
    .expect("they can be read");
    // Other tests have threads as well.
    assert!(came.to_string().contains("short-lived"), "{came}");
}

#[test]
fn a_child_counts_until_it_was_waited_for() {
    let mut child = Command::new("true").spawn().expect("a process");
    let ended = || {
        let now = children().expect("they can be read");
        now.filtered(|words| words.starts_with("the process \"true\", which has ended"))
    };
    let end = Instant::now() + Duration::from_secs(10);
    while ended().is_empty() && Instant::now() < end {
        std::thread::sleep(LOOK);
    }
    assert_eq!(ended().count(), 1);
    child.wait().expect("it can be waited for");
    assert!(ended().is_empty());
}

#[test]
fn memory_that_was_only_asked_for_is_told_from_that_in_use() {
    const MUCH: usize = 64 << 20;
    let before = memory().expect("it can be read");
    let mut held = vec![0_u8; MUCH];
    let asked = memory().expect("it can be read");
    assert!(asked.asked_for >= before.asked_for + MUCH as u64 / 2, "{before:?} {asked:?}");
    held.fill(1);
    let used = memory().expect("it can be read");
    assert!(used.used >= before.used + MUCH as u64 / 2, "{before:?} {used:?}");
    drop(std::hint::black_box(held));
}

#[test]
fn files_are_counted_all_the_way_down_and_once() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("a/b")).expect("folders");
    fs::write(folder.path().join("a/b/c"), "").expect("a file");
    let none = folder.path().join("none");
    let found = files([folder.path(), &folder.path().join("a"), &none]);
    assert_eq!(found.count(), 3, "{found}");
}

#[test]
fn a_signal_that_is_taken_otherwise_is_named() {
    let before = Signals { ignored: 1 << 12, caught: 0, blocked: 0 };
    let after = Signals { ignored: 0, caught: 1 << 14, blocked: 1 << 9 };
    let changes = before.changes(&after);
    assert_eq!(
        changes,
        [
            "SIGPIPE is no longer ignored",
            "SIGTERM is now caught",
            "SIGUSR1 is now blocked on the main thread"
        ]
    );
    let now = Signals::now().expect("they can be read");
    assert!(now.changes(&now).is_empty());
}
