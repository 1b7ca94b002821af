//! How hosts begin and end: in the foreground, as a service, beside another, after a crash.

use std::fs;

use longshore_e2e::House;
use longshore_support::until;
use nix::sys::signal::Signal;

fn up(house: &mut House, arguments: &[&str]) {
    let file = house.write("up.toml", &house.sleepers("web", 3));
    let file = file.display().to_string();
    let arguments: Vec<_> = [&["up", &*file], arguments].concat();
    house.start(&arguments);
    until("all workers run", || {
        let said = house.run(&["status", "web", "--json"]);
        said.code == Some(0) && said.json()["running"] == 3
    });
    assert_eq!(house.alive().len(), 3);
}

#[test]
fn up_takes_its_workers_down_when_it_is_interrupted() {
    let mut house = House::with(&["longshore-process"]);
    up(&mut house, &[]);
    house.signal_host(Signal::SIGINT);
    assert_eq!(house.host_ends(), Some(0), "{}", house.log());
    assert_eq!(house.alive().len(), 0);
    assert!(!house.socket().exists(), "the socket is removed");
}

#[test]
fn up_leaves_its_workers_when_told_to_keep_them() {
    let mut house = House::with(&["longshore-process"]);
    up(&mut house, &["--keep"]);
    house.signal_host(Signal::SIGTERM);
    assert_eq!(house.host_ends(), Some(0), "{}", house.log());
    assert_eq!(house.alive().len(), 3);
}

#[test]
fn a_service_that_is_ended_leaves_its_workers() {
    let mut house = House::serving(&["longshore-process"]);
    house.apply(&house.sleepers("web", 2));
    house.signal_host(Signal::SIGTERM);
    assert_eq!(house.host_ends(), Some(0), "{}", house.log());
    assert_eq!(house.alive().len(), 2);
}

#[test]
fn a_socket_of_a_live_host_is_not_taken() {
    let house = House::serving(&["longshore-memory"]);
    let said = house.run(&["serve"]);
    assert_eq!(said.code, Some(9), "{said:?}");
    assert!(said.err.contains(&house.socket().display().to_string()), "{}", said.err);
    let _ = house.run(&["status"]).ok();
}

#[test]
fn a_file_in_the_place_of_the_socket_is_not_touched() {
    let house = House::with(&["longshore-memory"]);
    fs::write(house.socket(), "precious").expect("a file in the house");
    let said = house.run(&["serve"]);
    assert_eq!(said.code, Some(9), "{said:?}");
    assert_eq!(fs::read_to_string(house.socket()).expect("it is there"), "precious");
}
