//! A cluster's server at the command line: how it is shown, who learns its password, and what becomes of it with its host.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use longshore_support::{fixture, until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::house::House;

const PASSWORD: &str = "correct-horse";

/// The cluster `web` with a server, on a provider whose backend is the folder `stage` (`runtime/tests/fixtures/stage.rs`).
fn staged(house: &House, cluster: &str, server: &str) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/fixtures/stage.rs");
    let text = format!(
        "[[provider]]\nname = \"stage\"\nplugin = '{}'\nconfig = {{ folder = '{}' }}\n\
         [[cluster]]\nname = \"web\"\nprovider = \"stage\"\nworkers = 2\n{cluster}\n\
         [cluster.scaling]\nbusy_poll_interval = \"10ms\"\npoll_interval = \"20ms\"\n\
         [cluster.server]\nprobe = \"status\"\nport = 7000\n{server}\n\
         [cluster.server.container]\nargs = [\"${{server.password}}\"]\n\
         [cluster.container]\nargs = [\"${{server.host}}\", \"${{server.password}}\"]\n",
        fixture(&source, &[]).display(),
        house.path("stage").display(),
    );
    house.file("staged.toml", &text)
}

/// How many servers and workers the backend has.
fn there(house: &House) -> (usize, usize) {
    let workers = fs::read_dir(house.path("stage/workers")).map_or(0, Iterator::count);
    (usize::from(house.path("stage/server").exists()), workers)
}

fn until_up(house: &House) {
    until("all is as asked", || {
        let said = house.run(&["status", "web", "--json"]);
        said.code == Some(0) && said.json()["converged"] == true && said.json()["running"] == 2
    });
}

fn starts(house: &House) -> Value {
    house.run(&["server", "web", "--json"]).ok().json()["server"]["starts"].clone()
}

/// A cluster on the memory provider, whose server is up at once.
const WEB: &str = "[[provider]]\nname = \"memory\"\n[[cluster]]\nname = \"web\"\nprovider = \"memory\"\nworkers = 2\n\
                   [cluster.scaling]\nbusy_poll_interval = \"10ms\"\n[cluster.server]\nprobe = \"status\"\nport = 7000\n";

#[test]
fn a_server_is_shown() {
    let house = House::serving();
    let plain = "[[cluster]]\nname = \"plain\"\nprovider = \"memory\"\nworkers = 1\n";
    let file = house.file("web.toml", &format!("{WEB}{plain}"));
    house.run(&["apply", &file]).ok();
    let said = house.run(&["status"]).ok().out;
    let row = |name: &str| {
        let line = said.lines().find(|line| line.starts_with(name)).expect("a row");
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("NAME")[..5], ["NAME", "PROVIDER", "DESIRED", "SERVER", "WORKERS"]);
    assert_eq!(row("web")[..5], ["web", "memory", "2", "up", "2/2"]);
    assert_eq!(row("plain")[..5], ["plain", "memory", "1", "-", "1/1"]);
    let said = house.run(&["status", "web"]).ok().out;
    assert!(said.contains("the server's address: web.memory.invalid:7000\n"), "{said}");
    let alone = house.run(&["status", "plain"]).ok().out;
    assert!(!alone.contains("SERVER") && !alone.contains("server"), "{alone}");

    let said = house.run(&["server", "web"]).ok().out;
    assert_eq!(said, "server:   up\naddress:  web.memory.invalid:7000\n");
    let document = house.run(&["server", "web", "--json"]).ok().json();
    assert_eq!((&document["cluster"], &document["server"]["phase"]), (&json!("web"), &json!("up")));
    assert_eq!(document.get("password"), None);
    let shown = house.run(&["server", "web", "--show-password", "--json"]).ok().json();
    let password = shown["password"].as_str().expect("one was made");
    assert!(password.len() == 32 && password.bytes().all(|byte| byte.is_ascii_hexdigit()), "128 random bits");
    let said = house.run(&["server", "web", "--show-password"]).ok().out;
    assert_eq!(said.lines().last(), Some(&*format!("password: {password}")));

    assert_eq!(house.run(&["stop", "web"]).ok().out, "web: stopped\n");
    let said = house.run(&["server", "web"]).ok().out;
    assert_eq!(said, "server:   down\naddress:  web.memory.invalid:7000, where it was last\n");
    house.run(&["delete", "web"]).ok();
}

#[test]
fn what_waits_for_the_server_says_so() {
    let mut house = House::serving();
    let file = staged(&house, "", "");
    fs::create_dir(house.path("stage")).expect("a folder of our own");
    house.file("stage/slow", "");
    let said = house.run(&["apply", &file, "--timeout", "300ms"]).ended(7);
    said.tells(&["0/2 running", "no worker is launched before the server is up"]);
    let said = house.run(&["explain", "web"]).ok().out;
    assert!(said.contains("no worker is launched before the server is up"), "{said}");
    assert_eq!(house.status("web")["server"]["phase"], "starting");
    assert_eq!(there(&house), (1, 0));
    fs::remove_file(house.path("stage/slow")).expect("it is there");
    until_up(&house);
    let told = house.run(&["history", "web"]).ok().out;
    for words in ["starting the server", "the server is up at 127.0.0.1:7000"] {
        assert!(told.contains(words), "{words:?}: {told}");
    }
    house.run(&["delete", "web"]).ok();
    assert_eq!(there(&house), (0, 0));
    house.signal(Signal::TERM);
    assert_eq!(house.ended(), Some(0));
}

/// Begins a host, waits until its cluster is up, and ends it; what it leaves in the backend, and what it said at last.
fn lived(house: &mut House, command: &[&str]) -> ((usize, usize), String) {
    house.start(command);
    until_up(house);
    house.signal(Signal::INT);
    assert_eq!(house.ended(), Some(0), "{}", house.said("err"));
    (there(house), house.said("out").lines().last().unwrap_or_default().to_owned())
}

#[test]
fn a_host_takes_both_along_or_leaves_both() {
    let mut house = House::without_host();
    let file = staged(&house, "", "");
    let (left, last) = lived(&mut house, &["up", &file]);
    assert_eq!(left, (0, 0));
    assert!(
        last.starts_with("all workers are stopped; the next host on ") && last.ends_with("brings them back"),
        "{last}"
    );

    // The next host brings both back, and leaves them.
    let (left, _) = lived(&mut house, &["serve"]);
    assert_eq!(left, (1, 2));
    // The one after that finds them.
    house.start(&["serve"]);
    until_up(&house);
    assert_eq!((starts(&house), there(&house)), (json!(2), (1, 2)));
    house.signal(Signal::KILL);
    let _ = house.ended();
    let (left, last) = lived(&mut house, &["up", &file, "--keep"]);
    assert_eq!((left, &*last), ((1, 2), "the host has ended; its workers go on"));
    house.start(&["serve"]);
    until_up(&house);
    assert_eq!(starts(&house), json!(2), "it was never started anew");
    house.run(&["delete", "web"]).ok();
    assert_eq!(there(&house), (0, 0));
}

#[test]
fn a_cluster_says_itself_what_becomes_of_it() {
    let mut house = House::without_host();
    let file = staged(&house, "stop_on_exit = false", "");
    let (left, last) = lived(&mut house, &["up", &file]);
    assert_eq!(left, (1, 2));
    assert!(last.contains("but those of web, as `stop_on_exit` says"), "{last}");
    let file = staged(&house, "stop_on_exit = true", "");
    house.start(&["serve"]);
    until_up(&house);
    house.run(&["apply", &file]).ok();
    assert_eq!(starts(&house), json!(1), "how it ends is no reason to start anything anew");
    house.signal(Signal::TERM);
    assert_eq!(house.ended(), Some(0), "{}", house.said("err"));
    assert_eq!(there(&house), (0, 0));
    // Who is asked at the command line has the last word.
    let (left, _) = lived(&mut house, &["up", &file, "--keep"]);
    assert_eq!(left, (1, 2));
    house.start(&["serve"]);
    until_up(&house);
    house.run(&["delete", "web"]).ok();
}

#[test]
fn the_password_is_in_nothing_that_is_shown() {
    let mut house = House::without_host();
    let file = staged(&house, "", &format!("password = \"{PASSWORD}\""));
    let mut command = house.command(&["serve"]);
    command.env("LONGSHORE_LOG", "trace");
    house.begin(command);
    until("the host listens", || house.run(&["status"]).code == Some(0));
    let traced = |arguments: &[&str]| {
        let mut command = house.command(arguments);
        let said: crate::house::Said =
            command.env("LONGSHORE_LOG", "trace").output().expect("it runs").into();
        assert!(!said.out.contains(PASSWORD) && !said.err.contains(PASSWORD), "{arguments:?}: {said:?}");
        said
    };
    traced(&["plan", &file]).ok();
    traced(&["apply", &file]).ok();
    // Its provider repeats all that it was told, in its errors and in its log.
    house.file("stage/tattle", "");
    traced(&["scale", "web", "3", "--timeout", "1s"]).ended(7);
    until("it is told of", || house.run(&["explain", "web"]).ok().out.contains("run was told"));
    traced(&["cleanup", "web"]).ended(8).tells(&["cleanup was told", "***"]);
    let changed = house
        .file("changed.toml", &fs::read_to_string(&file).expect("it is ours").replace(PASSWORD, "hunter2"));
    assert!(!traced(&["apply", &changed]).ended(6).err.contains("hunter2"));
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["status", "web", "--verbose"],
        &["explain", "web"],
        &["explain", "web", "--json"],
        &["history", "web"],
        &["history", "web", "--json"],
        &["workers", "web", "--json"],
        &["server", "web"],
        &["server", "web", "--json"],
        &["plugin", "list", "--json"],
        &["state", "check", "--json"],
    ] {
        traced(arguments).ok();
    }
    fs::remove_file(house.path("stage/tattle")).expect("it is there");
    let shown = house.run(&["server", "web", "--show-password"]).ok().out;
    assert!(shown.ends_with(&format!("password: {PASSWORD}\n")), "{shown}");
    house.run(&["delete", "web"]).ok();
    house.signal(Signal::TERM);
    assert_eq!(house.ended(), Some(0));
    let (out, err) = (house.said("out"), house.said("err"));
    assert!(err.contains("run was told") && err.contains("***"), "the plugin's lines are there");
    assert!(!out.contains(PASSWORD) && !err.contains(PASSWORD));
}

#[test]
fn an_export_is_a_whole_backup() {
    let mut house = House::serving();
    let file = house.file("web.toml", WEB);
    house.run(&["apply", &file]).ok();
    let password = house.run(&["server", "web", "--show-password", "--json"]).ok().json()["password"].clone();
    let backup = house.path("backup");
    let path = backup.display().to_string();
    house.run(&["state", "export", "--output", &path]).ok();
    let mode = fs::metadata(&backup).expect("it was exported").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "its owner's alone");
    let text = fs::read_to_string(&backup).expect("it was exported");
    assert!(
        text.contains(password.as_str().expect("one was made")),
        "without it, nothing could be brought back"
    );
    let help = house.run(&["state", "export", "--help"]).ok().out;
    assert!(help.contains("passwords"), "{help}");
    house.signal(Signal::TERM);
    assert_eq!(house.ended(), Some(0));

    let other = house.path("other").display().to_string();
    house.run(&["state", "import", &path, "--state", &other]).ok();
    house.start(&["serve", "--state", &other]);
    until_up(&house);
    let after = house.run(&["server", "web", "--show-password", "--json"]).ok().json()["password"].clone();
    assert_eq!(after, password);
}

#[test]
fn a_cleanup_is_told() {
    let house = House::serving();
    let file = house.file("web.toml", WEB);
    house.run(&["apply", &file]).ok();
    let said = house.run(&["cleanup", "web"]).ok().out;
    assert_eq!(said, "web: what stopped workers and servers had left is removed\n");
    let said = house.run(&["cleanup", "web", "--deep"]).ok().out;
    assert!(said.contains("and what was kept for clusters to come"), "{said}");
    assert_eq!(
        house.run(&["cleanup", "web", "--deep", "--json"]).ok().json(),
        json!({"cluster": "web", "deep": true})
    );
    assert_eq!(house.status("web")["running"], 2, "who lives is left alone");
}
