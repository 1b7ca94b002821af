//! `longshore plugin new`: what it makes, what it says, and what it refuses. That the crate builds and keeps the contract is
//! tried where the guide is followed (`tests/e2e`).

use std::fs;

use crate::house::House;

#[test]
fn a_crate_is_made_and_told_of() {
    let house = House::without_host();
    let said = house.run(&["plugin", "new", "shelf"]).ok();
    for words in ["shelf/ is a provider", "cd shelf", "cargo test", "plugin-api/README.md"] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    let made = house.run(&["plugin", "new", "rack", "--json"]).ok().json();
    assert_eq!(made["name"], "rack");
    let folder = made["folder"].as_str().expect("a path");
    for file in made["files"].as_array().expect("a list") {
        let path = format!("{folder}/{}", file.as_str().expect("a path"));
        assert!(fs::metadata(&path).is_ok_and(|file| file.len() > 0), "{path}");
    }
    let longshore = made["longshore"].as_str().expect("a path");
    assert!(fs::metadata(format!("{longshore}/plugin-api/CONTRACT.md")).is_ok(), "{longshore}");
}

#[test]
fn what_cannot_be_made_is_refused_and_nothing_is_written() {
    let house = House::without_host();
    house.run(&["plugin", "new", "Shelf"]).ended(2).tells(&["begins with a lower-case letter"]);
    house.run(&["plugin", "new", "core"]).ended(2).tells(&["something else"]);
    house.run(&["plugin", "new"]).ended(2).tells(&["<NAME>"]);
    let nowhere = house.path("").display().to_string();
    let refused = house.run(&["plugin", "new", "shelf", "--longshore", &nowhere]);
    refused.ended(2).tells(&["--longshore DIR", &nowhere]);
    assert!(!house.path("shelf").exists() && !house.path("Shelf").exists());

    let precious = house.file("shelf", "precious");
    house.run(&["plugin", "new", "shelf"]).ended(2).tells(&["is there already"]);
    assert_eq!(fs::read_to_string(precious).expect("it is there"), "precious");
}
