//! Bad input: each gives one clear error, and changes nothing.

use std::{fs, path::Path};

use longshore_e2e::{House, Said};
use longshore_support::{example, fixture};
use serde_json::Value;

const GOOD: &str = r#"
[[provider]]
name = "memory"
[[cluster]]
name = "web"
provider = "memory"
workers = 3
max = 10
"#;

fn house() -> House {
    let house = House::serving(&["longshore-memory"]);
    house.apply(GOOD);
    house
}

/// The clusters, without what moves by itself.
fn clusters(house: &House) -> Vec<Value> {
    let status = house.run(&["status", "--json"]).ok().json();
    let clusters = status["clusters"].as_array().expect("a list").clone();
    let lasting = ["name", "provider", "expected", "min", "max", "running", "generation", "desired"];
    clusters.iter().map(|it| lasting.iter().map(|field| it[*field].clone()).collect()).collect()
}

/// Applies a configuration that must be refused with an exit code, in words that name these, and without any effect.
#[track_caller]
fn refused(house: &House, text: &str, code: i32, names: &[&str]) -> Said {
    let before = clusters(house);
    let file = house.write("bad.toml", text).display().to_string();
    let said = house.run(&["apply", &file]);
    assert_eq!(said.code, Some(code), "{said:?}");
    for name in names {
        assert!(said.err.contains(name), "{name:?} is not in: {}", said.err);
    }
    assert_eq!(said.err.matches("error:").count(), 1, "{}", said.err);
    assert_eq!(clusters(house), before, "something has changed");
    said
}

/// A configuration whose provider comes from a plugin, with one cluster.
fn with_plugin(plugin: &str, config: &str) -> String {
    format!(
        "[[provider]]\nname = \"new\"\nplugin = {plugin:?}\n[provider.config]\n{config}\n\
         [[cluster]]\nname = \"more\"\nprovider = \"new\"\nworkers = 1\n"
    )
}

#[test]
fn plugins_that_are_none() {
    let house = house();
    refused(&house, &with_plugin("memori", ""), 8, &["memori", "did you mean `memory`"]);
    let text = house.write("notes.so", "these are notes, not a library").display().to_string();
    refused(&house, &with_plugin(&text, ""), 8, &["notes.so", "not a shared library"]);
    let empty = house.write("empty.so", "").display().to_string();
    refused(&house, &with_plugin(&empty, ""), 8, &["empty.so"]);
    let missing = house.path("missing.so").display().to_string();
    refused(&house, &with_plugin(&missing, ""), 8, &["missing.so"]);
    let folder = house.plugins().display().to_string();
    refused(&house, &with_plugin(&(folder + "/"), ""), 8, &["plugins"]);
    let library = example("longshore-mutants", "no_symbol").display().to_string();
    refused(&house, &with_plugin(&library, ""), 8, &["no_symbol", "LOAD-1", "export_provider!"]);
}

#[test]
fn a_library_that_was_cut_off() {
    let house = house();
    let whole = fs::read(house.plugins().join("liblongshore_memory.so")).expect("it was dropped in");
    let half = house.path("half.so");
    fs::write(&half, &whole[..whole.len() / 2]).expect("a file in the house");
    refused(&house, &with_plugin(&half.display().to_string(), ""), 8, &["half.so", "damaged"]);
}

#[test]
fn a_layout_that_differs_is_told_in_five_lines() {
    let house = house();
    let library = example("longshore-mutants", "other_layout").display().to_string();
    let text = with_plugin(&library, "");
    let said = refused(&house, &text, 8, &["LOAD-2"]);
    assert!(said.err.trim_end().lines().count() <= 5, "{}", said.err);
    let file = house.write("bad.toml", &text).display().to_string();
    let verbose = house.run(&["-v", "apply", &file]);
    assert!(verbose.err.lines().count() > 20, "{}", verbose.err);
}

#[test]
fn a_plugin_that_aborts_when_it_panics() {
    let house = house();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mutants/examples/bare.rs");
    let library = fixture(&source, &["-Cpanic=abort"]).display().to_string();
    refused(&house, &with_plugin(&library, ""), 8, &["LOAD-3", "panic = \"abort\""]);
}

#[test]
fn a_provider_configuration_that_breaks_its_schema() {
    let house = house();
    refused(&house, &with_plugin("memory", "capasity = 3"), 8, &["capasity", "`capacity`"]);
    refused(&house, &with_plugin("memory", "latency_ms = { run = \"slow\" }"), 8, &["latency_ms.run"]);
    let kind = "fail = { run = { every = 1, kind = \"retriable\" } }";
    refused(&house, &with_plugin("memory", kind), 8, &["fail.run.kind", "must be one of", "\"retryable\""]);
}

#[test]
fn files_that_contradict_themselves() {
    let house = house();
    let again = GOOD.to_owned() + "[[cluster]]\nname = \"web\"\nprovider = \"memory\"\nworkers = 1\n";
    refused(&house, &again, 3, &["web", "line 10"]);
    refused(&house, &GOOD.replace("workers = 3", "workers = -3"), 3, &["workers", "line 7"]);
    refused(&house, &GOOD.replace("workers = 3", "workers = 11"), 3, &["11", "10"]);
    refused(&house, &GOOD.replace("max = 10", "max = 10\nmin = 5"), 3, &["3", "5"]);
    refused(
        &house,
        &GOOD.replace("workers = 3", "wrokers = 3"),
        3,
        &["wrokers", "did you mean `workers`", "line 7"],
    );
    refused(
        &house,
        &GOOD.replace("provider = \"memory\"", "provider = \"memori\""),
        3,
        &["memori", "memory"],
    );
    for (args, why) in [
        ("${server.hots}", "which is no variable; did you mean `${server.host}`?"),
        ("${server.port}", "the cluster has no server; add [cluster.server]"),
    ] {
        let told = format!("{GOOD}[cluster.container]\nargs = [\"{args}\"]\n");
        refused(&house, &told, 3, &["`args` in [cluster.container]", "line 10", args, why]);
    }
    refused(&house, "[[cluster]\n", 3, &["line 1"]);
    let missing = house.path("nowhere.toml").display().to_string();
    let said = house.run(&["apply", &missing]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("nowhere.toml"), "{}", said.err);
}

#[test]
fn commands_that_are_refused() {
    let house = house();
    let before = clusters(&house);
    let cases: [(&[&str], i32, &str); 7] = [
        (&["scale", "wep", "3"], 5, "did you mean `web`"),
        (&["scale", "web", "11"], 6, "0 to 10"),
        (&["scale", "web", "-3"], 2, "whole number"),
        (&["scale", "web", "many"], 2, "whole number"),
        (&["explain", "nobody"], 5, "nobody"),
        (&["delete", "wbe"], 5, "did you mean `web`"),
        (&["frobnicate"], 2, "frobnicate"),
    ];
    for (arguments, code, names) in cases {
        let said = house.run(arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
        assert!(said.err.contains(names), "{arguments:?}: {}", said.err);
    }
    assert_eq!(clusters(&house), before);
}
