//! The state folder: which it is, what of it outlives a host, and how it is looked after.

use std::{fs, path::PathBuf};

use longshore_support::until;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::house::{House, Said, web};

fn state(house: &House) -> PathBuf {
    house.path("state-home/longshore/host")
}

/// Ends the host by a signal, and starts the next one.
fn next_host(house: &mut House, signal: Signal) {
    house.signal(signal);
    let _ = house.ended();
    serve(house, &[]);
}

fn serve(house: &mut House, arguments: &[&str]) {
    house.start(&[&["serve"], arguments].concat());
    until("the host listens", || house.run(&["status"]).code == Some(0));
}

fn until_running(house: &House, workers: u64) {
    until("all workers run", || {
        let said = house.run(&["status", "web", "--json"]);
        said.code == Some(0) && said.json()["running"] == workers && said.json()["converged"] == true
    });
}

fn announced(house: &House) -> Value {
    serde_json::from_str(&house.said("out")).expect("one document")
}

#[test]
fn what_was_asked_for_outlives_the_host() {
    let mut house = House::with_web();
    house.run(&["scale", "web", "5"]).ok();
    next_host(&mut house, Signal::KILL);
    let said = house.said("out");
    let folder = state(&house).display().to_string();
    assert!(
        said.contains(&format!("the state is kept in {folder}, and was taken up: 1 cluster with")),
        "{said}"
    );
    until_running(&house, 5);
    let status = house.status("web");
    assert_eq!((&status["expected"], &status["max"]), (&json!(5), &json!(10)));

    house.run(&["stop", "web"]).ok();
    next_host(&mut house, Signal::TERM);
    assert_eq!(
        house.run(&["status", "web"]).ok().out.lines().nth(1).map(|row| row.contains("stopped")),
        Some(true)
    );
    assert_eq!(house.status("web")["running"], 0, "it stays stopped");
    house.run(&["start", "web"]).ok();
    assert_eq!(house.status("web")["running"], 5);

    house.run(&["delete", "web"]).ok();
    next_host(&mut house, Signal::KILL);
    assert_eq!(
        house.run(&["status", "--json"]).ok().json()["clusters"],
        json!([]),
        "what is deleted is gone"
    );
}

#[test]
fn up_brings_back_what_it_took_down() {
    let mut house = House::without_host();
    let db = house.file("db.toml", &web("workers = 2").replace("\"web\"", "\"db\""));
    house.start(&["up", &db, "--json"]);
    until("its workers run", || house.run(&["status", "db", "--json"]).out.contains("\"running\":2"));
    assert_eq!(announced(&house)["taken_up"], json!({"clusters": [], "workers": 0}));
    assert_eq!(announced(&house)["state_folder"], json!(state(&house)));
    house.signal(Signal::INT);
    assert_eq!(house.ended(), Some(0), "{}", house.said("err"));

    // Another file: what the first one had is taken up as well, and that is said.
    let file = house.file("web.toml", &web("workers = 3"));
    house.start(&["up", &file]);
    until_running(&house, 3);
    until("what was taken down is back", || house.status("db")["running"] == 2);
    let out = house.said("out");
    assert!(out.contains("these the file does not name, and they run as well: db"), "{out}");
    house.signal(Signal::INT);
    assert_eq!(house.ended(), Some(0), "{}", house.said("err"));
    let out = house.said("out");
    assert!(
        out.ends_with(&format!(
            "all workers are stopped; the next host on {} brings them back\n",
            state(&house).display()
        )),
        "{out}"
    );

    house.start(&["serve", "--json"]);
    until_running(&house, 3);
    assert_eq!(announced(&house)["taken_up"]["clusters"], json!(["db", "web"]));
    assert_eq!(house.status("db")["expected"], 2);
}

#[test]
fn up_says_what_to_do_where_the_state_stands_in_its_way() {
    let mut house = House::with_web();
    house.signal(Signal::TERM);
    assert_eq!(house.ended(), Some(0));
    let other = web("workers = 3").replace("[[cluster]]", "[provider.config]\ncapacity = 5\n[[cluster]]");
    let other = house.file("other.toml", &other);
    let folder = state(&house).display().to_string();
    house.run(&["up", &other]).ended(6).tells(&["memory", &folder, "longshore serve", "--state"]);
    serve(&mut house, &[]);
    assert_eq!(house.status("web")["generation"], 1, "nothing has changed");
}

#[test]
fn nothing_is_kept_where_that_is_wanted() {
    let mut house = House::without_host();
    // The variable is no contradiction: what is said counts.
    let mut child = house.command(&["serve", "--no-state", "--json"]);
    child.env("LONGSHORE_STATE", house.path("elsewhere"));
    house.begin(child);
    until("the host listens", || house.run(&["status"]).code == Some(0));
    assert_eq!(announced(&house)["state_folder"], Value::Null);
    let file = house.file("web.toml", &web("workers = 3"));
    house.run(&["apply", &file]).ok();
    assert!(house.run(&["history", "web"]).ok().out.contains("made, with 3 workers expected"));
    house.signal(Signal::TERM);
    assert_eq!(house.ended(), Some(0));
    assert!(!state(&house).exists() && !house.path("elsewhere").exists(), "no folder was made");
    serve(&mut house, &["--no-state"]);
    assert!(house.said("out").contains("nothing is kept"), "{}", house.said("out"));
    assert_eq!(house.run(&["status", "--json"]).ok().json()["clusters"], json!([]));
    house.run(&["serve", "--no-state", "--state", "there"]).ended(2).tells(&["cannot be used with"]);
}

#[test]
fn the_folder_is_the_option_or_the_variable_or_the_users() {
    let house = House::without_host();
    let check = |arguments: &[&str], variable: Option<&str>| {
        let mut command = house.command(&[&["state", "check", "--json"], arguments].concat());
        if let Some(variable) = variable {
            command.env("LONGSHORE_STATE", variable);
        }
        Said::from(command.output().expect("it runs")).ended(10).json()["error"]["message"].to_string()
    };
    let users = state(&house).display().to_string();
    for (arguments, variable, folder) in [
        (&["--state", "given"][..], Some("set"), house.path("given").display().to_string()),
        (&[], Some("set"), house.path("set").display().to_string()),
        (&[], Some(""), users.clone()),
        (&[], None, users),
    ] {
        let told = check(arguments, variable);
        assert!(told.contains(&folder), "{told}");
    }
}

#[test]
fn code_10_a_state_that_cannot_be_used() {
    let house = House::with_web();
    let folder = state(&house).display().to_string();
    // Another socket, and the same folder: its holder is named, and nothing is begun.
    let other = house.path("other.sock").display().to_string();
    let said = house.run(&["serve", "--socket", &other]).ended(10);
    said.tells(&[&folder, "(process ", "another folder"]);
    assert!(!house.path("other.sock").exists(), "the socket is removed");
    let file = house.file("web.toml", &web("workers = 1"));
    house.run(&["up", &file, "--socket", &other]).ended(10).tells(&[&folder]);
    assert_eq!(house.status("web")["expected"], 3, "nothing has changed");

    let precious = house.file("precious", "gold");
    house
        .run(&["serve", "--socket", &other, "--state", &precious])
        .ended(10)
        .tells(&["precious", "no folder"]);
    assert_eq!(fs::read_to_string(&precious).expect("it is still there"), "gold");
    let error = house.run(&["serve", "--socket", &other, "--json"]).ended(10).json();
    assert_eq!((&error["error"]["kind"], &error["exit_code"]), (&json!("state"), &json!(10)));
}

#[test]
fn a_damaged_state_is_told_and_left_alone() {
    let mut house = House::with_web();
    house.signal(Signal::TERM);
    assert_eq!(house.ended(), Some(0));
    let sound = house.run(&["state", "check", "--json"]).ok().json();
    assert_eq!(
        (&sound["sound"], &sound["damages"], &sound["in_use"]),
        (&json!(true), &json!([]), &json!(false))
    );
    assert_eq!((&sound["clusters"][0]["name"], &sound["providers"]), (&json!("web"), &json!(["memory"])));

    let file = state(&house).join("journal.db");
    let mut bytes = fs::read(&file).expect("the journal");
    let at = bytes.windows(7).rposition(|it| it == b"expecte").expect("a record names what is expected");
    bytes[at] ^= 1;
    fs::write(&file, &bytes).expect("it is ours");
    let said = house.run(&["state", "check"]).ended(10);
    said.tells(&["damaged", "longshore reconnect"]);
    assert!(said.out.contains("cluster web") && said.out.contains("damaged:"), "{said:?}");
    let found = house.run(&["state", "check", "--json"]).ended(10).json();
    assert_eq!(found["sound"], false);
    assert!(found["damages"][0]["place"].as_str().is_some_and(|place| place.contains("web")), "{found}");
    house.run(&["serve"]).ended(10).tells(&["damaged", "longshore state check"]);
    house.run(&["state", "export"]).ended(10).tells(&["damaged"]);
    assert_eq!(fs::read(&file).expect("the journal"), bytes, "it is left as it was found");
}

#[test]
fn a_state_moves_as_text() {
    let mut house = House::with_web();
    house.run(&["scale", "web", "4"]).ok();
    // Beside the host that uses it.
    let used = house.run(&["state", "check"]).ok();
    assert!(used.out.contains("used by     process ") && used.out.contains("nothing is damaged"), "{used:?}");
    let backup = house.path("backup").display().to_string();
    let said = house.run(&["state", "export", "--output", &backup]).ok();
    assert!(said.out.contains("exported"), "{said:?}");
    let text = house.run(&["state", "export"]).ok().out;
    assert!(text.starts_with("{\"longshore_journal\":") && text.contains("\"web\""), "{text}");
    house.run(&["state", "import", &backup]).ended(10).tells(&["already"]);
    house.signal(Signal::TERM);
    assert_eq!(house.ended(), Some(0));

    let moved = house.path("moved").display().to_string();
    let said = house.run(&["state", "import", &backup, "--state", &moved, "--json"]).ok().json();
    assert_eq!((&said["folder"], &said["file"]), (&json!(moved), &json!(backup)));
    house.run(&["state", "--state", &moved, "check"]).ok();
    serve(&mut house, &["--state", &moved]);
    until_running(&house, 4);

    // What is not whole leaves nothing behind.
    let text = fs::read_to_string(&backup).expect("it was exported");
    let half = house.file("half", &text[..text.len() / 2]);
    let new = house.path("new").display().to_string();
    house.run(&["state", "import", &half, "--state", &new]).ended(10).tells(&["half", "line "]);
    house.run(&["state", "import", "nowhere", "--state", &new]).ended(10).tells(&["nowhere", "No such file"]);
    house.run(&["state", "check", "--state", &new]).ended(10).tells(&["no journal"]);
    let nowhere = house.path("no/folder/backup").display().to_string();
    house.run(&["state", "export", "--output", &nowhere]).ended(10).tells(&["backup", "No such file"]);
}

#[test]
fn a_history_is_told_line_by_line() {
    let house = House::with_web();
    house.run(&["scale", "web", "5"]).ok();
    let all = house.run(&["history", "web", "--json"]).ok().json();
    let entries = all["entries"].as_array().expect("a list");
    assert_eq!(entries[0]["number"], 1);
    assert!(entries.iter().all(|entry| entry["text"].is_string()));
    assert!(entries.iter().any(|entry| entry["happened"]["change"]["scaled"]["expected"] == 5), "{all}");

    let said = house.run(&["history", "web"]).ok();
    assert_eq!(said.out.lines().count(), entries.len());
    let scaled = said.out.lines().find(|line| line.contains("scaled: 5 workers expected")).expect("it was");
    let words: Vec<_> = scaled.split_whitespace().collect();
    assert!(words[0].len() == 24 && words[0].ends_with('Z') && words[1].parse::<u64>().is_ok(), "{scaled}");
    let last = said.out.lines().last().expect("a line").to_owned();
    let said = house.run(&["history", "web", "--limit", "1"]).ok();
    assert_eq!(said.out.lines().nth(1), Some(&*last), "{said:?}");
    assert!(
        said.out.starts_with(&format!("... `longshore history web --before {}`", entries.len())),
        "{said:?}"
    );
    let said = house.run(&["history", "web", "--before", "2", "--json"]).ok().json();
    assert_eq!(said["entries"].as_array().map(Vec::len), Some(1));
    assert_eq!(house.run(&["history", "web", "--before", "1"]).ok().out, "no entries\n");
    house.run(&["history", "wbe"]).ended(5).tells(&["did you mean `web`"]);
}

#[test]
fn a_history_is_followed() {
    let mut house = House::with_web();
    let mut watcher = House::without_host();
    let mut command = house.command(&["history", "web", "--follow"]);
    command.current_dir(watcher.path(""));
    watcher.begin(command);
    until("it tells what was", || watcher.said("out").contains("made, with 3 workers expected"));
    house.run(&["scale", "web", "6"]).ok();
    until("it tells what is new", || watcher.said("out").contains("scaled: 6 workers expected"));
    house.run(&["scale", "web", "2"]).ok();
    until("and goes on", || watcher.said("out").contains("scaled: 2 workers expected"));
    assert_eq!(watcher.said("out").matches("scaled: 6").count(), 1, "each once");
    watcher.signal(Signal::INT);
    assert_eq!(watcher.ended(), Some(0));
    house.signal(Signal::TERM);
    assert_eq!(house.ended(), Some(0));
}

#[test]
fn a_provider_that_is_not_there_is_told_and_its_cluster_is_kept() {
    let mut house = House::without_host();
    let plugins = house.path("plugins");
    fs::create_dir(&plugins).expect("an empty folder");
    let library = longshore_support::library("longshore-memory");
    let plugin = plugins.join(library.file_name().expect("a library has a name"));
    fs::copy(&library, &plugin).expect("it can be copied");
    let serve_with = |house: &mut House| {
        let mut command = house.command(&["serve"]);
        command.env("LONGSHORE_PLUGIN_PATH", house.path("plugins"));
        house.begin(command);
        until("the host listens", || house.run(&["status"]).code == Some(0));
    };
    serve_with(&mut house);
    let file = house.file("web.toml", &web("workers = 3"));
    house.run(&["apply", &file]).ok();
    house.signal(Signal::KILL);
    let _ = house.ended();
    fs::remove_file(&plugin).expect("it is there");

    serve_with(&mut house);
    let said = house.run(&["status"]).ok();
    assert!(said.out.contains("provider memory is not there"), "{said:?}");
    assert_eq!(house.status("web")["expected"], 3, "nothing is forgotten");
    let said = house.run(&["plugin", "list"]).ok();
    assert!(said.out.contains("provider memory (plugin memory) is not there"), "{said:?}");
    let listed = house.run(&["plugin", "list", "--json"]).ok().json();
    assert_eq!(listed["missing"][0]["provider"], "memory");
    assert!(house.run(&["explain", "web"]).ok().out.contains("memory"));

    fs::copy(&library, &plugin).expect("it can be copied");
    until_running(&house, 3);
    assert!(!house.run(&["status"]).ok().out.contains("not there"), "it is there again");
}
