//! Hosts in the foreground, from their beginning to their end.

use std::process::Stdio;

use longshore_support::until;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::house::{House, slow, web};

/// One whose workers take very long to stop.
fn stubborn() -> String {
    "[[provider]]\nname = \"stubborn\"\nplugin = \"memory\"\n[provider.config]\nstop_after = { ms = 1000000000 }\n\
     [[cluster]]\nname = \"web\"\nprovider = \"stubborn\"\nworkers = 2\n"
        .to_owned()
}

fn up(config: &str, arguments: &[&str]) -> House {
    let mut house = House::without_host();
    let file = house.file("up.toml", config);
    house.start(&[&["up", &file], arguments].concat());
    house
}

fn until_running(house: &House, workers: u64) {
    until("all workers run", || {
        let said = house.run(&["status", "web", "--json"]);
        said.code == Some(0) && said.json()["running"] == workers
    });
}

#[test]
fn up_shows_workers_come_and_go() {
    let mut house = up(&web("workers = 3"), &[]);
    until_running(&house, 3);
    until("it says so", || house.said("out").contains("web: 3 workers running"));
    house.run(&["scale", "web", "5"]).ok();
    until("it says so", || house.said("out").contains("web: 5 workers running"));
    house.signal(Signal::INT);
    assert_eq!(house.ended(), Some(0), "{}", house.said("err"));
    let out = house.said("out");
    assert!(out.lines().last().is_some_and(|line| line.starts_with("all workers are stopped; ")), "{out}");
    assert!(!house.socket().exists(), "the socket is removed");
    assert_eq!(house.said("err").matches("error").count(), 0, "{}", house.said("err"));
}

#[test]
fn up_can_be_told_to_keep_the_workers() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut house = up(&web("workers = 3"), &["--keep", "--no-wait"]);
        until_running(&house, 3);
        house.signal(signal);
        assert_eq!(house.ended(), Some(0), "{}", house.said("err"));
        let out = house.said("out");
        assert!(out.contains("workers go on") && !out.contains("workers running"), "{out}");
    }
}

#[test]
fn a_second_signal_leaves_at_once() {
    let mut house = up(&stubborn(), &[]);
    until_running(&house, 2);
    house.signal(Signal::INT);
    until("it stops its workers", || house.status("web")["terminating"] == 2);
    house.signal(Signal::TERM);
    assert_eq!(house.ended(), Some(7));
    assert!(house.said("err").contains("workers may still run"), "{}", house.said("err"));
    assert!(!house.socket().exists(), "the socket is removed");
}

#[test]
fn workers_that_do_not_stop_are_not_waited_for_for_ever() {
    // Long enough for a busy machine to hear that they are stopping.
    let mut house = up(&stubborn(), &["--stop-timeout", "3s"]);
    until_running(&house, 2);
    house.signal(Signal::INT);
    assert_eq!(house.ended(), Some(7));
    assert!(house.said("err").contains("2 stopping"), "{}", house.said("err"));
}

#[test]
fn up_tells_why_workers_do_not_come() {
    let mut house = up(&slow("slow"), &[]);
    until("it says so", || house.said("err").contains("slow: 0/2 running, 2 initializing"));
    house.signal(Signal::INT);
    assert_eq!(house.ended(), Some(0), "{}", house.said("err"));
}

#[test]
fn up_and_serve_tell_programs_where_they_listen() {
    let house = up(&web("workers = 1"), &["--json"]);
    until_running(&house, 1);
    let said: Value = serde_json::from_str(&house.said("out")).expect("one document");
    assert_eq!(said["socket"], json!(house.socket()));
    assert_eq!(said["applied"]["clusters"][0]["name"], "web");
    let house = House::serving();
    assert!(house.said("out").contains(&house.socket().display().to_string()), "{}", house.said("out"));
}

#[test]
fn a_service_leaves_its_workers_and_goes() {
    let mut house = House::with_web();
    house.signal(Signal::TERM);
    assert_eq!(house.ended(), Some(0), "{}", house.said("err"));
    assert!(!house.socket().exists() && !house.path("run/host.sock.lock").exists(), "nothing is left");
}

#[test]
fn up_does_not_leave_its_workers_when_nobody_reads() {
    let house = House::without_host();
    let file = house.file("up.toml", &web("workers = 3"));
    let mut child = house.command(&["up", &file]).stdout(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    until_running(&house, 3);
    house.run(&["scale", "web", "5"]).ok();
    until_running(&house, 5);
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).expect("a process");
    rustix::process::kill_process(pid, Signal::INT).expect("it is ours");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
