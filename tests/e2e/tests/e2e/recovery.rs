//! What a host had outlives it: clusters and workers are taken up where they were left, taken over where nothing of them is
//! known, and what nobody can know is held until an operator says it.

use std::{collections::BTreeSet, fs};

use longshore_e2e::House;
use longshore_support::{example, until};
use nix::{sys::signal::Signal, unistd::Pid};

fn alive(house: &House) -> BTreeSet<Pid> {
    house.alive().into_iter().collect()
}

fn until_listening(house: &House) {
    until("the host listens", || house.run(&["status"]).code == Some(0));
}

fn until_converged(house: &House, cluster: &str, workers: u64) {
    until(&format!("{cluster} has {workers} workers"), || {
        let status = house.status(cluster);
        status["converged"] == true && status["running"] == workers
    });
}

#[test]
fn a_killed_host_is_followed_by_one_that_knows_all() {
    let mut house = House::serving(&["longshore-process"]);
    house.apply(&house.sleepers("web", 2));
    let _ = house.run(&["scale", "web", "5"]).ok();
    let (processes, handles) = (alive(&house), house.handles("web"));

    house.kill_host();
    house.serve();
    until_converged(&house, "web", 5);
    assert_eq!((alive(&house), house.handles("web")), (processes.clone(), handles), "without an apply");
    assert_eq!(house.status("web")["expected"], 5);

    // What dies while nobody looks is replaced by the next host, and nothing else is touched.
    house.kill_host();
    let victim = *processes.first().expect("five of them");
    nix::sys::signal::kill(victim, Signal::SIGKILL).expect("a worker of ours");
    house.serve();
    until_converged(&house, "web", 5);
    assert_eq!(alive(&house).intersection(&processes).count(), 4);

    let _ = house.run(&["stop", "web"]).ok();
    house.kill_host();
    house.serve();
    until_converged(&house, "web", 0);
    assert_eq!((house.alive().len(), &house.status("web")["desired"]), (0, &"stopped".into()));
    let _ = house.run(&["start", "web"]).ok();
    assert_eq!(house.alive().len(), 5);

    let told = house.run(&["history", "web"]).ok().out;
    let mut rest = told.as_str();
    for words in
        ["made, with 2", "scaled: 5", "taken up by a host", "died: ", "stopped", "taken up", "started"]
    {
        let at = rest.find(words).unwrap_or_else(|| panic!("{words:?} does not come next in:\n{told}"));
        rest = &rest[at + words.len()..];
    }
}

#[test]
fn up_brings_back_the_workers_that_it_took_down() {
    let mut house = House::with(&["longshore-process"]);
    let file = house.write("up.toml", &house.sleepers("web", 3)).display().to_string();
    for _ in 0..2 {
        house.start(&["up", &file]);
        until_listening(&house);
        until_converged(&house, "web", 3);
        assert_eq!(house.alive().len(), 3);
        house.signal_host(Signal::SIGINT);
        assert_eq!(house.host_ends(), Some(0), "{}", house.log());
        assert_eq!(house.alive().len(), 0);
    }

    // One that is refused leaves no more behind than it found.
    let bad =
        house.write("bad.toml", "[[provider]]\nname = \"new\"\nplugin = \"nowhere\"\n").display().to_string();
    assert_eq!(house.run(&["up", &bad]).code, Some(8));
    assert_eq!(house.alive().len(), 0, "what rested rests");
    house.serve();
    until_converged(&house, "web", 3);
    let processes = alive(&house);
    house.kill_host();
    assert_eq!(house.run(&["up", &bad]).code, Some(8));
    assert_eq!(alive(&house), processes, "what ran runs");
}

#[test]
fn a_cluster_is_taken_over_by_a_host_that_knows_nothing() {
    let mut house = House::serving(&["longshore-process"]);
    let config = house.sleepers("web", 2);
    house.apply(&config);
    let _ = house.run(&["scale", "web", "4"]).ok();
    let (processes, handles) = (alive(&house), house.handles("web"));
    house.kill_host();
    fs::remove_dir_all(house.state()).expect("it was there");

    house.serve();
    assert_eq!(house.run(&["reconnect", "web"]).code, Some(5), "it is not known");
    let file = house.write("web.toml", &config).display().to_string();
    let said = house.run(&["reconnect", "web", "--config", &file]).ok();
    assert_eq!(said.out, "web: 4 workers taken over\nweb: 4 workers running\n");
    assert_eq!(alive(&house), processes);
    assert_eq!(house.handles("web").into_iter().collect::<BTreeSet<_>>(), handles.into_iter().collect());
    let _ = house.run(&["scale", "web", "1"]).ok();
    assert_eq!(house.alive().len(), 1, "what was taken over is under management");

    let said = house.run(&["reconnect", "web", "--json"]).ok().json();
    assert_eq!((&said["taken_over"], &said["converged"]), (&1.into(), &true.into()));
}

#[test]
fn workers_of_nobody_are_killed_where_that_is_wanted() {
    let mut house = House::serving(&["longshore-process"]);
    let config = house.sleepers("web", 2);
    house.apply(&config);
    let strays = alive(&house);
    house.kill_host();
    fs::remove_dir_all(house.state()).expect("it was there");
    house.serve();
    let scaling = |grace: &str| {
        let keys = format!(
            "[cluster.scaling]\nlist_interval = \"200ms\"\nstrays = \"kill\"\nstray_grace = \"{grace}\"\n"
        );
        config.replace("[cluster.scaling]\n", &keys)
    };
    house.apply(&scaling("1h"));
    assert_eq!(house.status("web")["strays"], 2);
    assert_eq!(house.alive().len(), 4, "they are let live for now");
    let said = house.run(&["status", "web"]).ok();
    assert!(said.out.contains("STRAYS") && said.out.contains("none of its launches brought"), "{}", said.out);
    house.apply(&scaling("0s"));
    until("they are gone", || alive(&house).is_disjoint(&strays));
    until_converged(&house, "web", 2);
    assert_eq!((house.alive().len(), &house.status("web")["strays"]), (2, &0.into()));
    assert!(!house.run(&["status"]).ok().out.contains("STRAYS"));
    let told = house.run(&["history", "web"]).ok().out;
    assert!(
        told.contains("found, of nobody's launch") && told.contains("to be killed, being of nobody's launch"),
        "{told}"
    );
}

/// A host with two workers of a provider that has lost its first reply and can tell nothing of it; and the launch's token.
fn lost() -> (House, String) {
    let house = House::with(&[]);
    house.drop_in(&example("longshore-mutants", "bare"));
    let mut house = house;
    house.serve();
    let config = "[[provider]]\nname = \"bare\"\nconfig = { lose_replies = 1 }\n\
                  [[cluster]]\nname = \"web\"\nprovider = \"bare\"\nworkers = 2\n";
    let file = house.write("web.toml", config).display().to_string();
    let _ = house.run(&["apply", "--no-wait", &file]).ok();
    house.until_status("web", "unknown", 2);
    let mut token = None;
    until("the launch is named", || {
        let reasons = house.status("web")["reasons"].as_array().cloned().unwrap_or_default();
        let held = reasons.iter().find(|reason| reason["reason"] == "held_for_unknown");
        token = held.and_then(|held| held["token"].as_str().map(str::to_owned));
        token.is_some()
    });
    (house, token.expect("it is named"))
}

#[test]
fn a_lost_launch_is_held_until_an_operator_says_what_it_brought() {
    let (mut house, token) = lost();
    // A restart makes nobody wiser.
    house.kill_host();
    house.serve();
    house.until_status("web", "unknown", 2);
    let explained = house.run(&["explain", "web"]).ok().out;
    for command in ["--none", "--handle NAME[=WORKERS] ..."] {
        let command = format!("longshore resolve web {token} {command}");
        assert!(explained.contains(&command), "{command} is not in:\n{explained}");
    }
    assert_eq!(house.status("web")["handles"], 0, "nothing is launched in its place");
    let said = house.run(&["resolve", "web", &token, "--handle", "box=3"]);
    assert_eq!(said.code, Some(6), "more than it can have brought: {said:?}");
    let said = house.run(&["resolve", "web", "nobody-0", "--none"]);
    assert_eq!(said.code, Some(6), "{said:?}");
    assert_eq!(house.status("web")["unknown"], 2);
}

#[test]
fn an_operator_says_that_all_of_a_lost_launch_is_there() {
    let (house, token) = lost();
    let handles = [format!("{token}.0"), format!("{token}.1=1")];
    let said = house.run(&["resolve", "web", &token, "--handle", &handles[0], "--handle", &handles[1]]).ok();
    assert_eq!(said.out, "web: 2 workers running\n");
    assert_eq!(house.handles("web"), [format!("{token}.0"), format!("{token}.1")]);
    assert!(house.run(&["history", "web"]).ok().out.contains("an operator says that launch"));
}

#[test]
fn an_operator_says_that_nothing_or_a_part_of_a_lost_launch_is_there() {
    let (house, token) = lost();
    let _ = house.run(&["resolve", "web", &token, "--none"]).ok();
    let handles = house.handles("web");
    assert_eq!(handles.len(), 2);
    assert!(handles.iter().all(|handle| !handle.starts_with(&token)), "{handles:?}");

    let (house, token) = lost();
    let _ = house.run(&["resolve", "web", &token, "--handle", &format!("{token}.1")]).ok();
    let handles = house.handles("web");
    assert_eq!((handles.len(), handles.contains(&format!("{token}.1"))), (2, true), "{handles:?}");
}
