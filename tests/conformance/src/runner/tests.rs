//! The runner with a script in place of its program: what the process of a check may come to do, a plugin in it.

use std::process::Command;

use longshore_plugin_api::{Clause, PanicStrategy};

use super::*;
use crate::{
    ledger::{Entry, Place},
    report::Overall,
    verdict::Breach,
};

/// What the script does for each task, in the folder of its order. `$THINGS` is a folder with what it may report.
struct Actor<'a> {
    inspect: &'a str,
    check: &'a str,
    sweep: &'a str,
}

const SCRIPT: &str = "#!/bin/sh\ncd \"${2%/*}\" || exit 9\ncase $(cat order.json) in\n*'\"Inspect\"'*) eval \"$INSPECT\" ;;\n\
                      *'\"Sweep\"'*) eval \"$SWEEP\" ;;\n*) eval \"$CHECK\" ;;\nesac\n";

/// Loads well, and sweeps well.
const GOOD: Actor<'_> = Actor {
    inspect: "cp \"$THINGS/loaded\" report.json",
    check: "exit 0",
    sweep: "cp \"$THINGS/swept\" report.json",
};

/// Runs one check with such a program.
fn finding(actor: &Actor<'_>) -> (Finding, Report) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let metadata = Metadata {
        name: "actor".to_owned(),
        version: "1.0.0".to_owned(),
        description: String::new(),
        contract: 1,
        api_version: "1.0.0".to_owned(),
        panic: PanicStrategy::Unwind,
        interfaces: vec!["longshore.workers/1".to_owned()],
        idempotent_run: false,
        config_schema: Value::Bool(true),
    };
    let unswept = |outcome, because| Reported::Unswept { outcome, notes: Vec::new(), because };
    let breach = Breach { clause: Clause::RunCount, expected: "x".to_owned(), seen: "y".to_owned() };
    let checked = |left_behind| Reported::Check { outcome: Outcome::Passed, left_behind, notes: Vec::new() };
    let left = Leftover { cluster: "c".to_owned(), handle: Some("b".to_owned()), what: "running".to_owned() };
    let swept = Reported::Swept { left_behind: vec![left.clone()], notes: vec!["n".to_owned()] };
    for (name, reported) in [
        ("loaded", Reported::Library(Box::new(metadata))),
        ("unswept", unswept(Outcome::Passed, None)),
        ("failed", unswept(Outcome::Failed(breach), Some("no sweep".to_owned()))),
        ("passed", checked(Vec::new())),
        ("left", checked(vec![left])),
        ("swept", swept),
    ] {
        fs::write(path(name), serde_json::to_vec(&reported).expect("JSON")).expect("it is ours");
    }
    let place = Place { cluster: "c".to_owned(), config: None };
    let made = Entry::Made { place, handles: vec!["a".to_owned(), "b".to_owned()] };
    fs::write(path("made"), serde_json::to_vec(&made).expect("JSON")).expect("it is ours");
    // Another process writes the program: one that this process holds open for writing cannot be started.
    let program = path("program");
    let mut write = Command::new("sh");
    write.args(["-c", "printf %s \"$1\" > \"$2\" && chmod 700 \"$2\"", "sh", SCRIPT]).arg(&program);
    assert!(write.status().expect("there is a shell").success());
    let mut trial = Trial::new(path("loaded"), Quirks::default(), program);
    trial.checks = vec![Check::RunFew];
    let things = folder.path().display().to_string();
    trial.env = [
        ("THINGS", things.as_str()),
        ("INSPECT", actor.inspect),
        ("CHECK", actor.check),
        ("SWEEP", actor.sweep),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let mut report = trial.run(&|_| ()).expect("there is a run");
    (report.findings.pop().expect("one check"), Report { findings: Vec::new(), ..report })
}

fn handles(finding: &Finding) -> Vec<&str> {
    finding.left_behind.iter().filter_map(|left| left.handle.as_deref()).collect()
}

#[test]
fn a_check_passes_by_its_last_word_alone() {
    let (passed, report) = finding(&Actor { check: "cp \"$THINGS/passed\" report.json", ..GOOD });
    assert_eq!((passed.outcome, report.overall()), (Outcome::Passed, Overall::Conforms));
    // The plugin ended the process in the sweep, as if all was well.
    let ended =
        "cp \"$THINGS/made\" ledger.jsonl; cp \"$THINGS/unswept\" report.json; echo kill > progress; exit 0";
    let (ended, report) = finding(&Actor { check: ended, ..GOOD });
    let crashed = Outcome::Crashed { how: "exit code 0".to_owned(), during: Some("kill".to_owned()) };
    assert_eq!((&ended.outcome, report.overall()), (&crashed, Overall::Breaks));
    assert_eq!((handles(&ended), &ended.notes[..]), (vec!["b"], &["n".to_owned()][..]), "another swept");
}

#[test]
fn what_is_left_behind_breaks_a_run_that_passed() {
    let (finding, report) = finding(&Actor { check: "cp \"$THINGS/left\" report.json", ..GOOD });
    assert_eq!((finding.outcome, report.overall()), (Outcome::Passed, Overall::Breaks));
}

#[test]
fn a_sweep_that_fails_lists_everything_and_hides_no_failure() {
    let failed = "cp \"$THINGS/made\" ledger.jsonl; cp \"$THINGS/failed\" report.json";
    for sweep in ["kill -9 $$", "exit 0", "exit 121", "rm -r \"$PWD\""] {
        let (finding, report) = finding(&Actor { check: failed, sweep, ..GOOD });
        assert!(matches!(&finding.outcome, Outcome::Failed(_)), "{sweep}: {:?}", finding.outcome);
        assert_eq!((handles(&finding), report.overall()), (vec!["b", "a"], Overall::Breaks), "{sweep}");
    }
    let (finding, report) = finding(&Actor {
        check: "cp \"$THINGS/made\" ledger.jsonl; cp \"$THINGS/unswept\" report.json; exit 121",
        sweep: "exit 121",
        ..GOOD
    });
    assert!(matches!(&finding.outcome, Outcome::HarnessFault { .. }), "{:?}", finding.outcome);
    assert_eq!((handles(&finding), report.overall()), (vec!["b", "a"], Overall::Breaks));
}

#[test]
fn a_fault_of_the_harness_is_no_crash_of_the_plugin() {
    let faults = [
        // It could not write its report.
        "exit 121",
        // Nobody knows any more what was made.
        "sed 's/\"because\":null/\"because\":\"x\"/' \"$THINGS/unswept\" > report.json; rm ledger.jsonl",
        "cp \"$THINGS/swept\" report.json",
    ];
    for check in faults {
        let (finding, report) = finding(&Actor { check, ..GOOD });
        assert!(matches!(&finding.outcome, Outcome::HarnessFault { .. }), "{check}: {:?}", finding.outcome);
        assert_eq!(report.overall(), Overall::Unknown, "{check}");
    }
}

#[test]
fn a_flood_of_output_is_ended_and_its_end_is_shown() {
    let (finding, _) = finding(&Actor { check: "yes flood", ..GOOD });
    assert!(
        matches!(&finding.outcome, Outcome::Crashed { how, .. } if how.contains("MiB of output")),
        "{:?}",
        finding.outcome
    );
    let lines: Vec<&str> = finding.log.lines().collect();
    assert!((2..=20).contains(&lines.len()) && lines[0] == "flood", "{lines:?}");
}
