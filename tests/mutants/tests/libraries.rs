//! The libraries of `examples/`, opened as a host opens them: each is wrong where it is meant to be, and only there.
#![expect(unsafe_code, reason = "opening a library runs code that no compiler has seen")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use abi_stable::library::{AbiHeaderRef, LibraryError, ROOT_MODULE_LOADER_NAME_WITH_NUL, RootModule as _};
use longshore_plugin_abi::{RootModuleRef, WorkersV1, ids};
use longshore_plugin_api::{Metadata, PanicStrategy};

/// Builds this package's libraries, and finds the one of this name among them.
fn library(name: &str, profile: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").expect("cargo runs the tests, and tells where it is");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let built = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--message-format=json",
            "--profile",
            profile,
            "--manifest-path",
            manifest,
        ])
        .args(["--example", name])
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let messages = String::from_utf8(built.stdout).expect("cargo writes text");
    messages
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("cargo writes JSON"))
        .filter(|message| message["target"]["name"] == name && message["target"]["kind"][0] == "example")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| file.extension().is_some_and(|end| end == std::env::consts::DLL_EXTENSION))
        .expect("cargo made a library")
}

/// The header of a library's root module, or the error that says it has none.
fn header(path: &Path) -> Result<AbiHeaderRef, libloading::Error> {
    // SAFETY: it is a library of ours, which does nothing when it is opened.
    let library = unsafe { libloading::Library::new(path) }?;
    // SAFETY: a plugin has a `LibHeader` behind this name, to which an `AbiHeaderRef` may point.
    let header = unsafe { library.get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()) };
    let header = header.map(|symbol| *symbol);
    // What was taken from a library lives for as long as it is open.
    std::mem::forget(library);
    header
}

fn root_module(name: &str, profile: &str) -> Result<RootModuleRef, LibraryError> {
    let header = header(&library(name, profile)).expect("it has a root module");
    header.upgrade()?.init_root_module::<RootModuleRef>()
}

fn metadata(name: &str, profile: &str) -> Result<Metadata, serde_json::Error> {
    let root = root_module(name, profile).expect("its root module is in order");
    serde_json::from_str(&root.metadata()())
}

fn has_workers(name: &str) -> Option<bool> {
    let root = root_module(name, "dev").expect("its root module is in order");
    let interface = root.query()(ids::WORKERS.into()).into_option()?;
    Some(interface.table::<WorkersV1>().is_ok())
}

#[test]
fn the_bare_one_is_in_order() {
    let metadata = metadata("bare", "dev").expect("its metadata is in order");
    assert_eq!((metadata.name.as_str(), metadata.panic), ("bare", PanicStrategy::Unwind));
    assert_eq!((metadata.interfaces, metadata.idempotent_run), (vec![ids::WORKERS.to_owned()], false));
    assert_eq!(has_workers("bare"), Some(true));
}

#[test]
fn the_one_built_to_abort_says_so() {
    assert_eq!(metadata("bare", "aborts").expect("its metadata is in order").panic, PanicStrategy::Abort);
}

#[test]
fn the_one_without_a_symbol_has_none() {
    assert!(header(&library("no_symbol", "dev")).is_err());
}

#[test]
fn the_root_modules_differ_as_they_are_meant_to() {
    let layout = root_module("other_layout", "dev").map(drop).expect_err("it is refused");
    assert!(matches!(layout, LibraryError::AbiInstability(_)), "{layout}");
    let version = root_module("other_version", "dev").map(drop).expect_err("it is refused");
    assert!(matches!(version, LibraryError::IncompatibleVersionNumber { .. }), "{version}");
    assert_eq!(RootModuleRef::NAME, "longshore_plugin");
}

#[test]
fn the_metadata_are_wrong_in_one_place() {
    let missing = metadata("metadata_missing", "dev").expect_err("it cannot be read");
    assert!(missing.to_string().contains("null"), "{missing}");
    assert_eq!(metadata("metadata_future", "dev").expect("it can be read").contract, 999);
    let schema = metadata("metadata_schema", "dev").expect("it can be read").config_schema;
    assert_eq!(schema, serde_json::json!({ "type": "no such type" }));
}

#[test]
fn the_interfaces_are_missing_or_different() {
    assert_eq!(has_workers("no_workers"), None);
    assert_eq!(has_workers("other_interface"), Some(false));
    for name in ["no_workers", "other_interface"] {
        assert!(metadata(name, "dev").expect("its metadata is in order").has(ids::WORKERS));
    }
}
