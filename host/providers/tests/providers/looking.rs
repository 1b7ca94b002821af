//! First looks at libraries, in a process that is thrown away.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use longshore_config::Confinement;
use longshore_plugin_api::Clause;
use longshore_providers::{
    CallLimits, Housing, Library, LoadError, LoadErrorKind, RunnerProgram, RunnerSetup, RunnerState, Sealed,
};
use longshore_support::{example, fixture, library};
use serde_json::json;

use super::{LONG, Way, block_on, memory, program, request, scope};

fn examine(path: &Path, program: &RunnerProgram) -> Result<Arc<Library>, LoadError> {
    Library::examine(Sealed::read(path)?, program)
}

/// A program of a few words of the shell. Its standard input is the line to the host.
fn script(folder: &Path, words: &str) -> RunnerProgram {
    let path = folder.join("program");
    // By a process of its own: what another test starts meanwhile would have it open for writing, and then nobody can run it.
    let written = std::process::Command::new("sh")
        .args(["-c", "printf %s \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(&path)
        .arg(format!("#!/bin/sh\n{words}\n"))
        .status();
    assert!(written.expect("every system has a shell").success());
    RunnerProgram::at(path)
}

/// The command, with a variable in its environment that says how the library is spoilt.
pub(crate) fn spoiling(folder: &Path, how: &str) -> RunnerProgram {
    let longshore = longshore_support::program("longshore-cli", "longshore");
    script(folder, &format!("LONGSHORE_MUTANT_LOAD={how} exec '{}' \"$@\"", longshore.display()))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The memory plugin, with a few bytes behind its end that make it another library, which no other test has loaded.
fn own_copy(folder: &Path, mark: &str) -> PathBuf {
    let path = folder.join(format!("plugin{}", std::env::consts::DLL_SUFFIX));
    let bytes = fs::read(library("longshore-memory")).expect("the plugin can be read");
    fs::write(&path, [&bytes, mark.as_bytes()].concat()).expect("the folder can be written");
    path
}

/// Whether the bytes of a hash are mapped into this process.
fn is_loaded_here(hash: &str) -> bool {
    fs::read_to_string("/proc/self/maps").expect("it can be read").contains(hash)
}

#[test]
fn a_library_that_is_looked_at_is_known_and_none_of_its_code_is_here() {
    let folder = folder();
    let path = own_copy(folder.path(), "looked at");
    let library = examine(&path, &program()).expect("it is sound");
    assert_eq!((library.metadata().name.as_str(), library.path()), ("memory", &*path));
    assert!(library.validate_config(&json!({ "capacity": "many" })).is_err(), "its schema is known");
    assert!(!is_loaded_here(library.hash()));
    assert!(Arc::ptr_eq(&library, &examine(&path, &program()).expect("it is sound")));
    // What needs its code here loads it.
    assert!(library.answers("longshore.list/1") && is_loaded_here(library.hash()));
}

#[test]
fn a_library_that_ends_its_process_while_it_loads_is_refused_with_how_it_ended() {
    let library = example("longshore-mutants", "spoilt_load");
    for place in ["constructor", "metadata", "query"] {
        for (how, words) in [
            ("segfault", "was ended by signal 11 (SIGSEGV)"),
            ("abort", "was ended by signal 6 (SIGABRT)"),
            ("exit", "exited with code 0"),
            ("panic", "was ended by signal 6 (SIGABRT)"),
        ] {
            let folder = folder();
            let error = examine(&library, &spoiling(folder.path(), &format!("{place}:{how}")))
                .expect_err("it ends the process");
            let text = error.to_string();
            assert_eq!(error.kind(), LoadErrorKind::Crashed, "{place} {how}: {text}");
            assert_eq!(error.clause(), Some(Clause::LoadNoSideEffects));
            assert!(text.contains(words) && text.lines().count() <= 5, "{place} {how}: {text}");
        }
    }
    let honest = examine(&library, &program()).expect("without the variable it is honest");
    assert!(!is_loaded_here(honest.hash()));
}

#[test]
fn a_library_can_change_nothing_while_it_is_looked_at() {
    let folder = folder();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/meddling.rs");
    let library = fixture(&source, &[]);
    // Not in the folder for temporary files, which is open to it; somebody's checkout may be in there.
    let elsewhere = [env!("CARGO_TARGET_TMPDIR"), "/var/tmp"].map(Path::new);
    let elsewhere = elsewhere.into_iter().find(|folder| !folder.starts_with(std::env::temp_dir()));
    let elsewhere =
        tempfile::tempdir_in(elsewhere.expect("one of them is elsewhere")).expect("a folder of the test");
    let made = elsewhere.path().join("made");
    let longshore = longshore_support::program("longshore-cli", "longshore");
    let words = format!("LONGSHORE_TEST_MEDDLE='{}' exec '{}' \"$@\"", made.display(), longshore.display());
    let meddling = script(folder.path(), &words);
    examine(&library, &meddling).expect("it is sound but for that");
    // Where the system cannot forbid it, it is as free as ever, and a provider that is confined tells so.
    let confine = Confinement { read: Some(vec!["/".into()]), ..Confinement::default() };
    let setup = RunnerSetup { program: program(), confine: Some(confine) };
    let lacking = block_on(async {
        let way = Way(Housing::Runner(setup));
        let provider = way.create(&memory(), json!({}), CallLimits::default()).await;
        let state = provider.runner().expect("it has one").borrow().clone();
        match state {
            RunnerState::Running { lacking, .. } => lacking,
            other => panic!("it is not there: {other:?}"),
        }
    });
    assert_eq!(made.exists(), !lacking.is_empty(), "{lacking:?}");
}

#[test]
fn what_is_refused_here_is_refused_there_in_the_same_words() {
    for name in
        ["no_symbol", "other_layout", "other_version", "metadata_future", "metadata_schema", "no_workers"]
    {
        let path = example("longshore-mutants", name);
        let there = examine(&path, &program()).expect_err("it is refused");
        let here = Library::open(&path).expect_err("it is refused");
        assert_eq!(there, here, "{name}");
    }
}

#[test]
fn a_program_that_is_no_runner_is_told_of_and_not_waited_for() {
    let folder = folder();
    let path = own_copy(folder.path(), "for no runner");
    let opening = "printf '\\002\\0\\0\\0\\0\\143' >&0; exec sleep 1000";
    for (words, kind, told) in [
        ("exit 3", LoadErrorKind::Crashed, "exited with code 3"),
        ("echo this is no frame >&0; exec sleep 1000", LoadErrorKind::Crashed, "makes no sense"),
        ("exec 0<&-; exec sleep 1000", LoadErrorKind::Crashed, "was ended by signal 9"),
        (opening, LoadErrorKind::NoProcess, "speaks version 99"),
    ] {
        let error = examine(&path, &script(folder.path(), words)).expect_err("it is no runner");
        assert!(error.kind() == kind && error.to_string().contains(told), "{words}: {error}");
    }
    let error = examine(&path, &RunnerProgram::at("/nowhere/longshore")).expect_err("it is not there");
    assert_eq!(error.kind(), LoadErrorKind::NoProcess);
    assert!(error.to_string().contains("/nowhere/longshore"), "{error}");
}

#[test]
fn what_becomes_of_the_file_after_the_look_makes_no_difference() {
    let folder = folder();
    let path = own_copy(folder.path(), "and then changed");
    let library = examine(&path, &program()).expect("it is sound");
    block_on(async {
        fs::write(&path, "something else").expect("the file can be overwritten");
        let provider = Way::runner().create(&library, json!({}), CallLimits::default()).await;
        let launched = provider.run(&scope(LONG), request("t", 2, 1)).reply().await;
        assert_eq!(launched.expect("it works as it was looked at").workers(), 2);
        fs::remove_file(&path).expect("the file can be deleted");
        let other = Way::runner().create(&library, json!({}), CallLimits::default()).await;
        let launched = other.run(&scope(LONG), request("t", 3, 1)).reply().await;
        assert_eq!(launched.expect("it works as it was looked at").workers(), 3);
        // And so it is where it runs here.
        let here = Way::here().create(&library, json!({}), CallLimits::default()).await;
        assert_eq!(here.list(&scope(LONG)).reply().await, Ok(Vec::new()));
    });
}
