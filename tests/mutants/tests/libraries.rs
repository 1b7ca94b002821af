//! The libraries of `examples/`, opened as a host opens them: each is wrong where it is meant to be, and only there.
#![expect(unsafe_code, reason = "opening a library runs code that no compiler has seen")]

use std::{mem::ManuallyDrop, path::Path};

use abi_stable::library::{AbiHeaderRef, LibraryError, ROOT_MODULE_LOADER_NAME_WITH_NUL, RootModule as _};
use longshore_plugin_abi::{RootModuleRef, WorkersV1, ids};
use longshore_plugin_api::{Metadata, PanicStrategy};
use longshore_support::{example, fixture};

/// The header of a library's root module, or the error that says it has none.
fn header(path: &Path) -> Result<AbiHeaderRef, libloading::Error> {
    // SAFETY: it is a library of ours, which does nothing when it is opened.
    let library = unsafe { libloading::Library::new(path) }?;
    // What was taken from a library lives for as long as it is open.
    let library = ManuallyDrop::new(library);
    // SAFETY: a plugin has a `LibHeader` behind this name, to which an `AbiHeaderRef` may point.
    let header = unsafe { library.get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()) };
    header.map(|symbol| *symbol)
}

fn library(name: &str) -> std::path::PathBuf {
    example("longshore-mutants", name)
}

fn root_module(path: &Path) -> Result<RootModuleRef, LibraryError> {
    let header = header(path).expect("it has a root module");
    header.upgrade()?.init_root_module::<RootModuleRef>()
}

fn metadata(path: &Path) -> Result<Metadata, serde_json::Error> {
    let root = root_module(path).expect("its root module is in order");
    serde_json::from_str(&root.metadata()())
}

fn has_workers(name: &str) -> Option<bool> {
    let root = root_module(&library(name)).expect("its root module is in order");
    let interface = root.query()(ids::WORKERS.into()).into_option()?;
    Some(interface.table::<WorkersV1>().is_ok())
}

#[test]
fn the_bare_one_is_in_order() {
    let metadata = metadata(&library("bare")).expect("its metadata is in order");
    assert_eq!((metadata.name.as_str(), metadata.panic), ("bare", PanicStrategy::Unwind));
    assert_eq!((metadata.interfaces, metadata.idempotent_run), (vec![ids::WORKERS.to_owned()], false));
    assert_eq!(has_workers("bare"), Some(true));
}

#[test]
fn the_one_built_to_abort_says_so() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/bare.rs");
    let library = fixture(&source, &["-Cpanic=abort"]);
    assert_eq!(metadata(&library).expect("its metadata is in order").panic, PanicStrategy::Abort);
}

#[test]
fn the_one_without_a_symbol_has_none() {
    assert!(header(&library("no_symbol")).is_err());
}

#[test]
fn the_root_modules_differ_as_they_are_meant_to() {
    let layout = root_module(&library("other_layout")).map(drop).expect_err("it is refused");
    assert!(matches!(layout, LibraryError::AbiInstability(_)), "{layout}");
    let version = root_module(&library("other_version")).map(drop).expect_err("it is refused");
    assert!(matches!(version, LibraryError::IncompatibleVersionNumber { .. }), "{version}");
    assert_eq!(RootModuleRef::NAME, "longshore_plugin");
}

#[test]
fn the_metadata_are_wrong_in_one_place() {
    let missing = metadata(&library("metadata_missing")).expect_err("it cannot be read");
    assert!(missing.to_string().contains("null"), "{missing}");
    assert_eq!(metadata(&library("metadata_future")).expect("it can be read").contract, 999);
    let schema = metadata(&library("metadata_schema")).expect("it can be read").config_schema;
    assert_eq!(schema, serde_json::json!({ "type": "no such type" }));
}

#[test]
fn the_interfaces_are_missing_or_different() {
    assert_eq!(has_workers("no_workers"), None);
    assert_eq!(has_workers("other_interface"), Some(false));
    for name in ["no_workers", "other_interface"] {
        assert!(metadata(&library(name)).expect("its metadata is in order").has(ids::WORKERS));
    }
}
