//! Libraries that are taken, and libraries that are refused with one clear error.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use longshore_plugin_abi::CONTRACT_VERSION;
use longshore_plugin_api::Clause;
use longshore_providers::{Library, LoadError, LoadErrorKind, SearchPath};
use longshore_support::{example, fixture, library};

use super::{LONG, block_on, create, memory, mutants, open, scope};

/// The refusal, which must be short, name the file, the clause where there is one, and what to do.
#[track_caller]
fn refused(path: &Path, kind: LoadErrorKind, clause: Option<Clause>) -> LoadError {
    let error = Library::open(path).expect_err("it is refused");
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert_eq!(error.clause(), clause, "{text}");
    assert!(text.lines().count() <= 5, "{text}");
    assert!(text.contains(&path.display().to_string()) && text.contains("to do:"), "{text}");
    if let Some(clause) = clause {
        assert!(text.contains(clause.id()), "{text}");
    }
    error
}

fn file(folder: &Path, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(format!("plugin{}", std::env::consts::DLL_SUFFIX));
    fs::write(&path, content).expect("the folder can be written");
    path
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn a_plugin_tells_what_it_is() {
    let library = memory();
    let metadata = library.metadata();
    assert_eq!((metadata.name.as_str(), metadata.contract), ("memory", 1));
    assert!(metadata.idempotent_run && metadata.has("longshore.list/1"));
    assert_eq!(library.hash().len(), 64);
}

#[test]
fn a_library_answers_for_its_interfaces_and_for_no_others() {
    let library = memory();
    assert!(library.metadata().interfaces.iter().all(|id| library.answers(id)));
    assert!(!library.answers("longshore.workers/2") && !library.answers(""));
}

#[test]
fn a_library_that_is_loaded_here_is_checked_like_any_other_and_shared_with_nobody() {
    let path = library("longshore-memory");
    let (shared, own) =
        (memory(), Library::open_here(&path).expect("it is taken where any other way takes it"));
    assert!(!Arc::ptr_eq(&shared, &own) && shared.hash() == own.hash());
    assert_eq!(shared.metadata(), own.metadata());
    let refused = Library::open_here(&example("longshore-mutants", "no_symbol")).expect_err("it is refused");
    assert_eq!(refused.kind(), LoadErrorKind::NoSymbol);
}

#[test]
fn two_different_plugins_are_loaded_side_by_side() {
    let (one, other) = (memory(), mutants());
    assert_eq!((one.metadata().name.as_str(), other.metadata().name.as_str()), ("memory", "mutant"));
    assert_ne!(one.hash(), other.hash());
}

#[test]
fn the_same_content_is_loaded_once_under_whatever_path() {
    let folder = folder();
    let original = library("longshore-memory");
    let copy = file(folder.path(), fs::read(&original).expect("the plugin can be read"));
    let copies: Vec<_> = std::thread::scope(|scope| {
        let opening: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&copy))).collect();
        opening.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
    });
    let first = open(&original);
    assert!(copies.iter().all(|copy| Arc::ptr_eq(&first, copy)));
}

#[test]
fn a_plugin_is_found_by_its_name() {
    let folder = folder();
    let name = format!("{}longshore_memory{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let path = folder.path().join(name);
    fs::copy(library("longshore-memory"), &path).expect("the plugin can be copied");
    let search = SearchPath::of([folder.path()]);
    assert_eq!(search.find("memory"), Ok(path.clone()));
    assert_eq!(open(&search.find("memory").expect("it is there")).metadata().name, "memory");
    assert_eq!(search.candidates()[0].path, path);
}

#[test]
fn what_is_not_there_or_no_library_is_refused() {
    let folder = folder();
    let missing = folder.path().join("missing.so");
    refused(&missing, LoadErrorKind::Unreadable, None);
    refused(folder.path(), LoadErrorKind::NotALibrary, None);
    let text = file(folder.path(), "#!/bin/sh\necho this is no library\n");
    let error = refused(&text, LoadErrorKind::NotALibrary, None);
    assert!(error.to_string().contains("script"), "{error}");
}

#[test]
fn a_library_that_was_cut_off_is_refused_and_not_run() {
    let folder = folder();
    let whole = fs::read(library("longshore-memory")).expect("the plugin can be read");
    for part in [whole.len() / 100, whole.len() / 2, whole.len() - 1] {
        let cut = file(folder.path(), &whole[..part]);
        refused(&cut, LoadErrorKind::Damaged, None);
    }
}

#[test]
fn a_library_without_the_symbol_is_refused() {
    let path = example("longshore-mutants", "no_symbol");
    refused(&path, LoadErrorKind::NoSymbol, Some(Clause::LoadSymbol));
}

#[test]
fn a_symbol_that_nobody_has_is_named() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/unresolved.rs");
    let error = refused(&fixture(&source, &[]), LoadErrorKind::Open, Some(Clause::LoadSymbol));
    assert!(error.to_string().contains("longshore_symbol_of_nobody"), "{error}");
}

#[test]
fn another_layout_is_refused_with_a_summary_and_the_full_comparison_aside() {
    for name in ["other_layout", "other_interface"] {
        let path = example("longshore-mutants", name);
        let error = refused(&path, LoadErrorKind::Layout, Some(Clause::LoadLayout));
        let detail = error.detail().expect("the comparison is kept");
        assert!(detail.lines().count() > 20, "{name}: {detail}");
        // Once refused, it stays refused: its code cannot be unloaded, and is not loaded again.
        assert_eq!(Library::open(&path).expect_err("it is refused again"), error);
    }
}

#[test]
fn another_version_of_the_root_module_is_refused() {
    let path = example("longshore-mutants", "other_version");
    let error = refused(&path, LoadErrorKind::Layout, Some(Clause::LoadLayout));
    // Theirs and ours, whose major number is the contract's.
    let ours = format!("this host's of {CONTRACT_VERSION}.");
    assert!(error.to_string().contains("version 99.0.0") && error.to_string().contains(&ours), "{error}");
}

#[test]
fn metadata_that_is_wrong_is_refused() {
    for (name, kind, clause) in [
        ("metadata_missing", LoadErrorKind::Metadata, Clause::LoadMetadata),
        ("metadata_future", LoadErrorKind::Contract, Clause::LoadMetadata),
        ("metadata_schema", LoadErrorKind::Schema, Clause::LoadSchema),
        ("no_workers", LoadErrorKind::Metadata, Clause::LoadMetadata),
    ] {
        refused(&example("longshore-mutants", name), kind, Some(clause));
    }
}

#[test]
fn a_plugin_that_aborts_when_it_panics_is_refused() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/mutants/examples/bare.rs");
    let error =
        refused(&fixture(&source, &["-Cpanic=abort"]), LoadErrorKind::Aborts, Some(Clause::LoadUnwind));
    assert!(error.to_string().contains("panic = \"abort\""), "{error}");
    assert_eq!(open(&fixture(&source, &[])).metadata().name, "bare");
}

#[test]
fn a_loaded_plugin_does_not_mind_what_becomes_of_its_file() {
    let folder = folder();
    let bytes = fs::read(library("longshore-memory")).expect("the plugin can be read");
    // Other bytes behind its end make it another library, which no other test has loaded.
    let path = file(folder.path(), [&bytes[..], b"of this test alone"].concat());
    let plugin = open(&path);
    block_on(async {
        let provider =
            create(&plugin, serde_json::json!({}), longshore_providers::CallLimits::default()).await;
        // In place, so that the file stays the same one: what crashes a library that was loaded from it.
        fs::write(&path, vec![0xcc; bytes.len()]).expect("the file can be overwritten");
        let launched = provider.run(&scope(LONG), super::request("t", 2, 1)).reply().await;
        assert_eq!(launched.expect("it works as before").workers(), 2);
        fs::remove_file(&path).expect("the file can be deleted");
        let launched = provider.run(&scope(LONG), super::request("u", 3, 1)).reply().await;
        assert_eq!(launched.expect("it works as before").workers(), 3);
    });
}
