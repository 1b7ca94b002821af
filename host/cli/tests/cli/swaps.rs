//! `swap` and `rollback`: their words, documents and exit codes. What they do to workers is tried elsewhere.

use std::fs;

use longshore_support::library;
use serde_json::{Value, json};

use crate::house::House;

/// A host whose memory provider nobody uses, and the plugin under another hash: what follows its end is no part of it.
fn house() -> (House, String) {
    let house = House::serving();
    let file = house.file("memory.toml", "[[provider]]\nname = \"memory\"\n");
    house.run(&["apply", &file]).ok();
    let mut bytes = fs::read(library("longshore-memory")).expect("it was built");
    bytes.push(0);
    fs::write(house.path("another.so"), bytes).expect("a file in a folder of our own");
    (house, "./another.so".to_owned())
}

#[test]
fn a_provider_goes_over_and_back() {
    let (house, another) = house();
    let said = house.run(&["swap", "memory", "--to", &another, "--watch", "0s"]).ok();
    assert!(said.out.starts_with("memory: ") && said.out.contains("serves"), "{said:?}");
    let again = house.run(&["swap", "memory", "--to", &another]).ok();
    assert!(again.out.contains("serves already"), "{again:?}");
    let listed = house.run(&["plugin", "list"]).ok();
    for word in ["GENERATION", "serving", "kept"] {
        assert!(listed.out.contains(word), "{word}: {listed:?}");
    }
    let back = house.run(&["rollback", "memory"]).ok();
    assert!(back.out.starts_with("memory: ") && back.out.contains(" after "), "{back:?}");
    house
        .run(&["rollback", "memory"])
        .ended(6)
        .tells(&["nothing to go back to", "longshore swap memory --to FILE"]);
}

#[test]
fn documents() {
    let (house, another) = house();
    let swapped = house.run(&["swap", "memory", "--to", &another, "--watch", "1s", "--json"]).ok().json();
    assert_eq!((&swapped["provider"], &swapped["changed"]), (&json!("memory"), &json!(true)));
    assert_eq!((&swapped["settled"], &swapped["rolled_back"]), (&json!(true), &Value::Null));
    assert_eq!((&swapped["generation"], &swapped["watch_ms"]), (&json!(2), &json!(1000)));
    assert!(swapped["from"]["hash"].is_string() && swapped["to"]["path"].is_string(), "{swapped}");
    assert_eq!(swapped["compared"], json!({"clusters": 0, "handles": 0, "listed": 0, "rounds": 0}));
    let listed = house.run(&["plugin", "list", "--json"]).ok().json();
    let generations = &listed["providers"][0]["generations"];
    assert_eq!((&generations[0]["number"], &generations[0]["state"]), (&json!(2), &json!("serving")));
    assert_eq!((&generations[1]["state"], &generations[1]["under_way"]), (&json!("kept"), &json!(0)));
    let back = house.run(&["rollback", "memory", "--json"]).ok().json();
    assert_eq!((&back["to"], &back["settled"]), (&swapped["from"], &json!(true)));
    let hurried = house.run(&["swap", "memory", "--to", &another, "--no-wait", "--json"]).ok().json();
    assert_eq!((&hurried["settled"], &hurried["watch_ms"]), (&Value::Null, &json!(60_000)));
}

#[test]
fn what_is_refused_and_how_it_ends() {
    let (house, another) = house();
    house.run(&["swap", "memroy"]).ended(5).tells(&["did you mean `memory`?"]);
    house.run(&["rollback", "memroy"]).ended(5).tells(&["there is no provider `memroy`"]);
    house.run(&["swap", "memory", "--to", "./nowhere.so"]).ended(8).tells(&["nowhere.so"]);
    house.run(&["swap", "memory", "--to", "9.9.9"]).ended(8).tells(&["memory 9.9.9 is not to be found"]);
    let wrong = "0".repeat(64);
    house
        .run(&["swap", "memory", "--to", &another, "--sha256", &wrong])
        .ended(8)
        .tells(&["SHA-256", "another.so"]);
    house
        .run(&["swap", "memory", "--to", &another, "--sha256", "xyz"])
        .ended(2)
        .tells(&["64 hexadecimal digits"]);
    house.run(&["swap", "memory", "--to", &another, "--canary=web"]).ended(6).tells(&["it serves none"]);
    house.run(&["swap", "memory", "--to", &another, "--no-wait"]).ok();
    let watched = house.run(&["swap", "memory"]).ended(6);
    watched.tells(&["still watched", "longshore rollback memory"]);
}

#[test]
fn a_cluster_explains_what_serves_it_and_its_history_has_each_turn() {
    let (house, another) = house();
    let file = house.file(
        "web.toml",
        "[[provider]]\nname = \"memory\"\n[[cluster]]\nname = \"web\"\nprovider = \"memory\"\nworkers = 0\n",
    );
    house.run(&["apply", &file]).ok();
    let explained = house.run(&["explain", "web"]).ok();
    assert!(explained.out.contains("provider memory: generation 1, "), "{explained:?}");
    house.run(&["swap", "memory", "--to", &another, "--watch", "1h", "--no-wait"]).ok();
    let explained = house.run(&["explain", "web"]).ok();
    for words in ["provider memory: generation 2, ", "; watched for another "] {
        assert!(explained.out.contains(words), "{words}: {explained:?}");
    }
    let document = house.run(&["explain", "web", "--json"]).ok().json();
    let serving = &document["serving"];
    assert_eq!((&document["provider"], &serving["generation"]), (&json!("memory"), &json!(2)));
    assert_eq!((&serving["standing"], &serving["watched_until"].is_u64()), (&json!("watched"), &true));
    assert_eq!(serving, &house.run(&["status", "web", "--json"]).ok().json()["serving"]);
    house.run(&["rollback", "memory"]).ok();
    let explained = house.run(&["explain", "web"]).ok();
    assert!(!explained.out.contains("watched"), "{explained:?}");

    let told = house.run(&["history", "web"]).ok().out;
    let turns = ["`memory` serves with ", "`memory` was swapped from ", "`memory` was rolled back from "];
    let found: Vec<_> = turns.iter().map(|turn| told.find(turn)).collect();
    assert!(found.iter().all(Option::is_some) && found.is_sorted(), "{told}");
    let entries = house.run(&["history", "web", "--json"]).ok().json()["entries"].clone();
    let served = |entry: &Value| entry["happened"]["change"]["served"].clone();
    let served: Vec<_> = entries.as_array().expect("a list").iter().map(served).collect();
    let served: Vec<_> = served.iter().filter(|change| !change.is_null()).collect();
    assert_eq!(served.len(), 3, "{entries}");
    assert_eq!((&served[0]["before"], &served[0]["turn"]), (&Value::Null, &json!("begun")));
    assert_eq!((&served[1]["before"], &served[1]["turn"]), (&served[0]["serving"], &json!("swapped")));
    assert_eq!(served[1]["serving"]["build"]["hash"], serving["hash"]);
    assert_eq!(served[2]["turn"], json!({ "rolled_back": { "fault": null } }));
}
