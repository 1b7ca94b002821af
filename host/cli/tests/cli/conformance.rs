//! `longshore conformance`: its forms, its codes, and how it is interrupted.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use longshore_support::{example, until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::house::{House, Said};

/// How `memory` is tried.
const QUIRKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/memory/quirks.toml");

/// A house with a provider that breaks a clause: its library, and the configuration that makes it so.
fn broken(what: &str) -> (House, String, String) {
    let house = House::without_host();
    let config = house.file("broken.toml", &format!("root = \"${{scratch}}/root\"\n{what}\n"));
    let library = example("longshore-mutants", "specimen").display().to_string();
    (house, library, config)
}

/// A check by its name, in a report.
#[track_caller]
fn finding<'a>(report: &'a Value, check: &str) -> &'a Value {
    let findings = report["findings"].as_array().expect("a list");
    findings.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("{check}: {report}"))
}

#[test]
fn checks_are_listed_without_a_library() {
    let house = House::without_host();
    let listed = house.run(&["conformance", "--list", "--json"]).ok().json();
    let checks = listed["checks"].as_array().expect("a list");
    assert!(checks.len() > 100, "{} checks", checks.len());
    let of_clause = house.run(&["conformance", "--list", "--filter", "kill-4", "--json"]).ok().json();
    let of_clause = of_clause["checks"].as_array().expect("a list");
    assert!(!of_clause.is_empty() && of_clause.len() < checks.len());
    for check in of_clause {
        assert!(check["clauses"].as_array().is_some_and(|it| it.contains(&json!("KILL-4"))), "{check}");
    }
    let text = house.run(&["conformance", "--list", "--filter", "{run,kill}-n*"]).ok().out;
    assert!(
        text.contains("run-none") && text.contains("kill-nobody-else") && !text.contains("list-"),
        "{text}"
    );
    for check in checks {
        let text = check["text"].as_str().expect("a sentence");
        assert!(
            text.ends_with('.') && ["must", "should"].contains(&check["level"].as_str().expect("a level")),
            "{check}"
        );
    }
}

#[test]
fn a_run_is_told_to_people() {
    let house = House::without_host();
    let said = house.run(&[
        "conformance",
        "memory",
        "--quirks",
        QUIRKS,
        "--filter",
        "run-f*",
        "--filter",
        "KILL-1",
        "--seed",
        "7",
    ]);
    let said = said.ok();
    assert!(said.err.is_empty() && !said.out.contains('\u{1b}'), "{said:?}");
    for words in [
        "Checking memory 0.1.0",
        "seed 7",
        "PASS [",
        "run-few",
        "kill-order",
        "memory 0.1.0 keeps the contract",
    ] {
        assert!(said.out.contains(words), "{words:?} is not in {}", said.out);
    }
    assert!(!said.out.contains("status-order"), "nothing else was run: {}", said.out);
}

#[test]
fn a_report_keeps_to_its_schema() {
    let house = House::without_host();
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/conformance/report.schema.json");
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(schema).expect("it is there")).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("it is a schema");
    let arguments = [
        "conformance",
        "memory",
        "--quirks",
        QUIRKS,
        "--filter",
        "load-*",
        "--filter",
        "run-arguments",
        "--filter",
        "RUN-3",
    ];
    let report = house.run(&[&arguments[..], &["--json", "--jobs", "1"]].concat()).ok().json();
    schema.validate(&report).unwrap_or_else(|error| panic!("{error}: {report}"));
    assert_eq!((&report["plugin"]["name"], &report["long"]), (&json!("memory"), &json!(false)));
    assert_eq!(finding(&report, "run-none")["outcome"], "passed");
    // Workers that exist in memory alone see nothing.
    assert_eq!(finding(&report, "run-arguments")["outcome"], "skipped");

    let (house, library, config) = broken("mutation = \"fewer-without-a-shortfall\"");
    let said =
        house.run(&["conformance", &library, "--config", &config, "--filter", "run-f*", "--format", "json"]);
    let said = said.ended(11);
    said.tells(&["breaks RUN-1"]);
    let report = said.json();
    schema.validate(&report).unwrap_or_else(|error| panic!("{error}: {report}"));
    let failed = finding(&report, "run-few");
    assert_eq!((&failed["outcome"], &failed["clause"]), (&json!("failed"), &json!("RUN-1")));
}

#[test]
fn every_form_can_be_had() {
    let house = House::without_host();
    let run = |more: &[&str]| {
        let arguments = ["conformance", "memory", "--quirks", QUIRKS, "--filter", "load-s*"];
        house.run(&[&arguments[..], more].concat())
    };
    let tap = run(&["--format", "tap"]).ok().out;
    let points = tap.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(tap.starts_with(&format!("TAP version 14\n1..{points}\n")) && points >= 3, "{tap}");
    let xml = run(&["--format", "junit"]).ok().out;
    assert!(xml.starts_with("<?xml") && xml.contains("<testcase name=\"load-symbols\""), "{xml}");

    // A file has its form by its name, and people are told all the same.
    let file = |name: &str| house.path(name).display().to_string();
    for (name, begins) in
        [("report.json", "{\"format\":1"), ("junit.xml", "<?xml"), ("report.tap", "TAP version 14")]
    {
        let said = run(&["--output", &file(name)]).ok();
        assert!(said.out.contains("Summary"), "{said:?}");
        let text = fs::read_to_string(house.path(name)).expect("the report is there");
        assert!(text.starts_with(begins), "{name}: {text}");
    }
    let said = run(&["--json", "--format", "tap", "--output", &file("tests")]).ok();
    assert_eq!(said.json()["counts"]["failed"], 0);
    assert!(fs::read_to_string(house.path("tests")).expect("it is there").starts_with("TAP version 14"));
}

#[test]
fn a_report_is_put_where_it_was_asked_for_and_nothing_is_put_in_the_place_of_a_device() {
    let house = House::without_host();
    let run = |to: &Path| {
        let to = to.display().to_string();
        house.run(&["conformance", "memory", "--quirks", QUIRKS, "--filter", "RUN-3", "--output", &to])
    };
    // Where a link leads to, and with the rights that what was there had.
    let (file, link) = (PathBuf::from(house.file("old.tap", "old")), house.path("link.tap"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("it is ours");
    symlink(&file, &link).expect("it is ours");
    run(&link).ok();
    assert!(fs::symlink_metadata(&link).expect("it is there").is_symlink());
    assert!(fs::read_to_string(&file).expect("it is there").starts_with("TAP version 14"));
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o640);
    // As any new file.
    let (new, other) = (house.path("new.tap"), PathBuf::from(house.file("other", "")));
    run(&new).ok();
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode();
    assert_eq!(mode(&new), mode(&other));

    let pipe = house.path("pipe.tap");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("there is mkfifo");
    assert!(made.success());
    let reader = {
        let pipe = pipe.clone();
        std::thread::spawn(move || fs::read_to_string(pipe))
    };
    run(&pipe).ok();
    assert!(fs::symlink_metadata(&pipe).expect("it is there").file_type().is_fifo());
    let read = reader.join().expect("it reads").expect("it was written");
    assert!(read.starts_with("TAP version 14"), "{read}");

    let folder = house.path("");
    let said = run(&folder).ended(2);
    said.tells(&["--output", "it is a folder"]);
    assert!(said.out.is_empty(), "nothing was tried: {said:?}");
}

#[test]
fn who_closes_standard_output_gets_the_file_and_the_exit_code_all_the_same() {
    let (house, library, config) = broken("mutation = \"fewer-without-a-shortfall\"");
    let report = house.path("report.json");
    let to = report.display().to_string();
    let told = |more: &[&str]| {
        let arguments = ["conformance", &library, "--config", &config, "--filter", "run-few"];
        let mut command = house.command(&[&arguments[..], more].concat());
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        command.stdout(writer).output().expect("it runs").status.code()
    };
    assert_eq!(told(&["--output", &to]), Some(11));
    let report = fs::read_to_string(report).expect("the report is there");
    let report: Value = serde_json::from_str(&report).expect("it is JSON");
    assert_eq!(report["counts"]["failed"], 1, "{report}");
    // A document is written when all is over.
    assert_eq!(told(&["--json"]), Some(11));
}

#[test]
fn a_provider_that_breaks_a_clause_ends_with_11() {
    let (house, library, config) = broken("mutation = \"fewer-without-a-shortfall\"");
    let said = house.run(&[
        "conformance",
        &library,
        "--config",
        &config,
        "--filter",
        "RUN-1",
        "--filter",
        "run-none",
    ]);
    let said = said.ended(11);
    assert!(said.err.is_empty(), "all is said above: {said:?}");
    for words in ["FAIL [", "clause RUN-1: ", "expected ", "seen ", "breaks RUN-1"] {
        assert!(said.out.contains(words), "{words:?} is not in {}", said.out);
    }
    // What it says to run again shows the same again.
    let again = said.out.lines().filter_map(|line| line.trim_start().strip_prefix("again "));
    let again = again.into_iter().find(|line| line.contains("--filter run-few")).expect("it says how");
    let mut shell = house.command(&[]);
    let environment: Vec<_> =
        shell.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
    shell = Command::new("sh");
    for (name, value) in environment {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let shown: Said = shell.args(["-c", again]).output().expect("a shell").into();
    let shown = shown.ended(11);
    assert!(shown.out.contains("1 check, ") && shown.out.contains("breaks RUN-1"), "{again}: {shown:?}");
}

#[test]
fn a_provider_that_crashes_is_told_of_with_the_call() {
    let (house, library, config) = broken("crash = { function = \"status\", how = \"segfault\" }");
    let said =
        house.run(&["conformance", &library, "--config", &config, "--filter", "status-of-unknown"]).ended(11);
    for words in ["CRASH [", "SIGSEGV", "during status", "breaks STATUS-3"] {
        assert!(said.out.contains(words), "{words:?} is not in {}", said.out);
    }
}

#[test]
fn a_run_can_end_with_the_first_failure() {
    let (house, library, config) = broken("mutation = \"fewer-without-a-shortfall\"");
    let arguments = [
        "conformance",
        &library,
        "--config",
        &config,
        "--filter",
        "run-*",
        "--jobs",
        "1",
        "--fail-fast",
        "--json",
    ];
    let report = house.run(&arguments).ended(11).json();
    let counts = &report["counts"];
    assert_eq!((&counts["failed"], &counts["passed"]), (&json!(1), &json!(0)), "{counts}");
    assert!(counts["skipped"].as_u64() > Some(5), "{counts}");
}

#[test]
fn what_is_no_plugin_ends_with_8() {
    let house = House::without_host();
    let notes = house.file("notes.so", "these are notes");
    let folder = house.path("folder.so");
    fs::create_dir(&folder).expect("a folder of our own");
    let folder = folder.display().to_string();
    house.run(&["conformance", &notes]).ended(8).tells(&["notes.so", "not a shared library"]);
    house.run(&["conformance", &folder]).ended(8).tells(&["folder.so"]);
    house.run(&["conformance", "./nowhere.so"]).ended(8).tells(&["nowhere.so"]);
    house.run(&["conformance", "memori"]).ended(8).tells(&["memori", "did you mean `memory`"]);
    let error = house.run(&["conformance", &notes, "--json"]).ended(8).json();
    assert_eq!(error["error"]["kind"], "plugin_refused");
}

#[test]
fn what_is_asked_wrongly_ends_with_2_or_3() {
    let house = House::without_host();
    let text = house.file("config.toml", "capacity = \n");
    let list = house.file("config.json", "[1, 2]");
    let hosts = house.file("web.toml", "[[provider]]\nname = \"memory\"\n");
    let quirks = house.file("quirks.toml", "outlivs = \"process\"\n");
    let slip = house.file("slip.toml", "capacty = 3\n");
    let slipped = house.file("slipped.toml", "[config]\ncapacity = \"much\"\n");
    let cases: [(&[&str], i32, &[&str]); 14] = [
        (&[], 2, &["<LIB>"]),
        (&["memory", "--filter", "runn-*"], 2, &["runn-*", "RUN-1"]),
        (&["memory", "--filter", "run-[few"], 2, &["pattern"]),
        (&["memory", "--format", "yaml"], 2, &["human", "json", "junit", "tap"]),
        (&["memory", "--json", "--format", "tap"], 2, &["--json", "--format tap", "--output"]),
        (&["memory", "--jobs", "0"], 2, &["--jobs"]),
        (&["memory", "--output", "nowhere/report.json"], 2, &["nowhere/report.json", "cannot be written"]),
        (&["memory", "--config", &text], 3, &["config.toml", "line 1"]),
        (&["memory", "--config", &list], 3, &["config.json", "[provider.config]"]),
        (&["memory", "--config", &hosts], 3, &["web.toml", "[[provider]]", "[provider.config]"]),
        (&["memory", "--quirks", &quirks], 3, &["quirks.toml", "outlivs", "outlives"]),
        (&["memory", "--config", &slip], 3, &["capacty", "configuration given", "plugin inspect"]),
        (&["memory", "--quirks", &slipped], 3, &["capacity", "[config]", "plugin inspect"]),
        (&["memory", "--quirks", "nowhere.toml"], 3, &["nowhere.toml", "No such file"]),
    ];
    for (arguments, code, words) in cases {
        house.run(&[&["conformance"], arguments].concat()).ended(code).tells(words);
    }
}

/// A run of two checks that stays in the first until it is told to end; the folder is where it keeps what it works with.
fn stuck(what: &str, quirks: &str) -> (House, PathBuf) {
    let (mut house, library, config) = broken(what);
    let quirks = house.file("quirks.toml", quirks);
    let temp = house.path("temp");
    fs::create_dir(&temp).expect("a folder of our own");
    let report = house.path("report.json").display().to_string();
    let arguments = [
        "--config",
        &config,
        "--quirks",
        &quirks,
        "--filter",
        "kill-stops",
        "--filter",
        "kill-whole-container",
        "--jobs",
        "1",
    ];
    let arguments = [&["conformance", &library][..], &arguments, &["--output", &report]].concat();
    let mut command = house.command(&arguments);
    command.env("TMPDIR", &temp);
    house.begin(command);
    (house, temp)
}

/// Whether a check under way has noted that it made something.
fn has_made(temp: &Path) -> bool {
    let entries =
        |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let ledgers = entries(temp)
        .flat_map(|run| entries(&run).map(|check| check.join("ledger.jsonl")).collect::<Vec<_>>());
    ledgers.into_iter().any(|ledger| fs::read_to_string(ledger).is_ok_and(|text| text.contains("Made")))
}

#[test]
fn an_interruption_ends_what_runs_and_sweeps() {
    // The worker takes for ever to start, and the first check waits for it before it does anything else.
    let (mut house, temp) = stuck("start_ms = 600_000", "start = \"1h\"\ncheck = \"1h\"");
    until("a worker was made", || has_made(&temp));
    house.signal(Signal::INT);
    assert_eq!(house.ended(), Some(7));
    assert!(house.said("err").contains("interrupted: 2 checks"), "{}", house.said("err"));
    let report = fs::read_to_string(house.path("report.json")).expect("the report is there");
    let report: Value = serde_json::from_str(&report).expect("it is JSON");
    assert_eq!((&report["counts"]["skipped"], &report["counts"]["left_behind"]), (&json!(2), &json!(0)));
    assert!(house.said("out").contains("because the run was interrupted"), "{}", house.said("out"));
    assert_eq!(fs::read_dir(&temp).expect("it is there").count(), 0, "its folders are gone");
}

#[test]
fn a_second_interruption_leaves_at_once() {
    // The sweep of what it made does not end.
    let (mut house, temp) = stuck("crash = { function = \"kill\", how = \"hang\" }", "check = \"1h\"");
    until("a worker was made", || has_made(&temp));
    house.signal(Signal::INT);
    until("it is told", || house.said("err").contains("once more leaves at once"));
    house.signal(Signal::TERM);
    assert_eq!(house.ended(), Some(7));
    assert!(house.said("err").contains("left at once"), "{}", house.said("err"));
    assert!(!house.path("report.json").exists(), "no report is there by half");
}

#[test]
fn a_library_that_does_not_load_is_held_to_what_is_about_loading() {
    let house = House::without_host();
    let bare = example("longshore-mutants", "no_symbol").display().to_string();
    let report = house.run(&["conformance", &bare, "--json"]).ended(11).json();
    assert_eq!(finding(&report, "load-symbols")["clause"], "LOAD-1");
    assert!(report["plugin"].is_null(), "{report}");
    assert_eq!(finding(&report, "run-few")["outcome"], "skipped");
    // Where nothing is asked that is about loading, nothing is tried, which is no good end.
    let said = house.run(&["conformance", &bare, "--filter", "run-*"]).ended(8);
    said.tells(&["nothing was tried", "cannot be loaded", "load-*"]);
}
