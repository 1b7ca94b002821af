//! How the command behaves towards who reads it: a person, a pipe, a program.

use std::process::Stdio;

use longshore_support::until;
use rustix::process::{Pid, Signal, kill_process};

use crate::house::{House, Said, slow, web};

#[test]
fn without_a_terminal_there_is_nothing_but_text() {
    let house = House::serving();
    let file = house.file("web.toml", &web("workers = 3"));
    let commands: [&[&str]; 10] = [
        &["apply", &file],
        &["plan", &file],
        &["status"],
        &["status", "web"],
        &["workers", "web"],
        &["explain", "web"],
        &["scale", "web", "5"],
        &["scale", "web", "99"],
        &["plugin", "list"],
        &["plugin", "inspect", "memory", "--verbose"],
    ];
    for arguments in commands {
        let said = house.run(arguments);
        assert!(!said.out.is_empty() || !said.err.is_empty(), "{arguments:?}");
        let obeyed = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
        assert!(!obeyed(&said.out) && !obeyed(&said.err), "{arguments:?}: {said:?}");
    }
    for text in [house.said("out"), house.said("err")] {
        assert!(!text.is_empty() && !text.contains('\u{1b}'), "{text:?}");
    }
}

#[test]
fn what_a_person_reads() {
    let house = House::with_web();
    let said = house.run(&["status"]).ok();
    let lines: Vec<_> = said.out.lines().collect();
    assert_eq!(lines.len(), 2, "{said:?}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines[0])[..4], ["NAME", "PROVIDER", "DESIRED", "WORKERS"]);
    assert_eq!(words(lines[1])[..4], ["web", "memory", "3", "3/3"]);
    let said = house.run(&["workers", "web"]).ok();
    assert_eq!(
        words(said.out.lines().next().expect("a line")),
        ["HANDLE", "WORKERS", "PHASE", "AGE", "LAUNCH"]
    );
    assert_eq!(said.out.lines().count(), 4);
    let said = house.run(&["workers", "web", "--limit", "1"]).ok();
    assert!(said.out.contains("... and 2 more"), "{said:?}");
    let said = house.run(&["explain", "web"]).ok();
    let (why, provider) = said.out.split_once('\n').expect("two lines");
    assert_eq!(why, "all is as asked: 3 workers running");
    let hash = provider.strip_prefix("provider memory: generation 1, 0.1.0 (");
    assert!(hash.is_some_and(|hash| hash.len() == "0123456789ab)\n".len()), "{provider}");
    assert_eq!(house.run(&["scale", "web", "1"]).ok().out, "web: 1 worker running\n");
    assert_eq!(house.run(&["stop", "web"]).ok().out, "web: stopped\n");
    assert_eq!(house.run(&["delete", "web"]).ok().out, "web: deleted\n");
    assert!(house.run(&["status"]).ok().out.starts_with("no clusters"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let house = House::with_web();
    for arguments in [&["status"][..], &["status", "--json"], &["plugin", "inspect", "memory"], &["--help"]] {
        let mut child = house
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command runs");
        drop(child.stdout.take());
        let said: Said = child.wait_with_output().expect("it ends").into();
        let said = said.ok();
        assert_eq!(said.err, "", "{arguments:?}");
    }
}

#[test]
fn an_interrupt_ends_the_waiting_alone() {
    let house = House::serving();
    let file = house.file("slow.toml", &slow("slow"));
    let child = house
        .command(&["apply", &file])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command runs");
    until("it is applied", || house.run(&["explain", "slow"]).code == Some(0));
    let pid = Pid::from_raw(child.id().cast_signed()).expect("a process");
    // It may be that it does not listen for the signal yet: then it ends by it, which this tells apart.
    until("it waits", || house.status("slow")["initializing"] == 2);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| Said::from(child.wait_with_output().expect("it ends")));
        until("it has ended", || {
            let _ = kill_process(pid, Signal::INT);
            waiting.is_finished()
        });
        let said = waiting.join().expect("no panic");
        if said.code.is_some() {
            said.ended(7).tells(&["slow", "interrupted", "the host goes on"]);
        }
    });
    assert_eq!(house.status("slow")["expected"], 2, "the host goes on");
}

#[test]
fn a_layout_of_an_answer_that_is_none_of_ours() {
    let house = House::without_host();
    std::fs::create_dir(house.path("run")).expect("a folder of our own");
    let listener = std::os::unix::net::UnixListener::bind(house.socket()).expect("a socket");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::io::{Read as _, Write as _};
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).expect("a request");
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n\x1b[2Jyou").expect("it listens");
        });
        let said = house.run(&["status"]).ended(1);
        said.tells(&["not understood", "another version"]);
        assert!(!said.err.contains('\u{1b}'), "{said:?}");
    });
}
