//! The libraries of `examples/`, opened as a host opens them: each is wrong where it is meant to be, and only there.
#![expect(unsafe_code, reason = "opening a library runs code that no compiler has seen")]

use std::{
    fs,
    io::Read as _,
    mem::ManuallyDrop,
    os::{
        fd::OwnedFd,
        unix::{
            net::UnixStream,
            process::{CommandExt as _, ExitStatusExt as _},
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use abi_stable::library::{AbiHeaderRef, LibraryError, ROOT_MODULE_LOADER_NAME_WITH_NUL, RootModule as _};
use longshore_mutants::{
    How, VARIABLE,
    catalogue::{self, Crasher, End, Made},
};
use longshore_plugin_abi::{Logger, RootModuleRef, WorkersV1, abi_stable::std_types::RStr, ids};
use longshore_plugin_api::{Metadata, PanicStrategy};
use longshore_support::{example, fixture, until};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use serde_json::{Value, json};

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

fn library(name: &str) -> PathBuf {
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

#[test]
fn the_one_with_an_undefined_symbol_does_not_open_where_all_symbols_are_bound() {
    let path = library("undefined_symbol");
    // SAFETY: it is a library of ours, which does nothing when it is opened.
    let bound = unsafe { libloading::os::unix::Library::open(Some(&path), libloading::os::unix::RTLD_NOW) };
    let error = bound.map(drop).expect_err("a symbol is missing");
    assert!(format!("{error:?}").contains("longshore_symbol_of_nobody"), "{error:?}");
}

#[test]
fn the_specimen_is_in_order_and_so_is_the_one_that_is_spoilt_by_a_variable() {
    for name in ["specimen", "spoilt_load"] {
        let metadata = metadata(&library(name)).expect("its metadata is in order");
        assert_eq!((metadata.name.as_str(), metadata.panic), ("specimen", PanicStrategy::Unwind));
        assert!(metadata.idempotent_run && metadata.interfaces.len() == 5);
        assert_eq!(has_workers(name), Some(true));
        let fields = metadata.config_schema["properties"].as_object().expect("it has fields");
        for (field, schema) in fields {
            assert!(schema["description"].as_str().is_some_and(|text| !text.is_empty()), "{field}: {schema}");
        }
        assert_eq!(metadata.config_schema["additionalProperties"], false);
    }
}

/// What the process that is to crash is told: the library, and the configuration.
const CRASHER: &str = "LONGSHORE_TEST_CRASHER";
const CONFIG: &str = "LONGSHORE_TEST_CONFIG";

extern "C" fn discard(_data: *const (), _level: u8, _target: RStr<'_>, _message: RStr<'_>) {}

/// Not a test: the process that crashes. It comes to all places where a library can do so without being called.
#[test]
#[ignore = "it is started by the test below"]
fn dies() {
    let path = PathBuf::from(std::env::var_os(CRASHER).expect("a library is named"));
    let config = std::env::var(CONFIG).expect("a configuration is there");
    let root = root_module(&path).expect("its root module is in order");
    println!("{}", root.metadata()());
    assert!(root.query()(ids::WORKERS.into()).is_some());
    // SAFETY: `discard` never looks at its data.
    let logger = unsafe { Logger::new(std::ptr::null(), discard, 0) };
    let made = root.create()(logger, RStr::from_str(&config)).into_result();
    drop(made.expect("it is made"));
    println!("it lives on");
}

fn dying(crasher: &Crasher, root: &Path) -> Command {
    let Made::Example(example) = crasher.library else { panic!("{} is an example", crasher.name) };
    let mut command = process(example, crasher.config.clone(), root);
    command.envs(crasher.env.iter().map(|(name, value)| (name, value)));
    command
}

/// How many descriptors a process may have.
const DESCRIPTORS: u32 = 128;

/// A process that does not end by itself, and ends here.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended all the same.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process that makes a provider of a library.
fn process(example: &str, mut config: Value, root: &Path) -> Command {
    config["root"] = root.display().to_string().into();
    // What takes all descriptors takes few here.
    let few = format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command
        .args(["-c", few.as_str()])
        .arg(std::env::current_exe().expect("the test's own path"))
        .args(["--ignored", "--exact", "dies", "--nocapture"])
        .env(CRASHER, library(example))
        .env(CONFIG, config.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// The process of the specimen that is greedy, in `create`.
fn greedy(how: How, root: &Path) -> Command {
    process("specimen", json!({ "crash": { "function": "create", "how": how } }), root)
}

#[test]
fn crashes_end_a_process_as_the_catalogue_says() {
    let root = tempfile::tempdir().expect("a folder");
    let places = ["constructor", "metadata", "query", "create", "drop"];
    // What never ends is for whoever has a limit of time.
    let is_wanted = |crasher: &Crasher| places.contains(&crasher.function) && crasher.end != End::Never;
    let crashes: Vec<_> = catalogue::crashes().into_iter().filter(is_wanted).collect();
    assert_eq!(crashes.len(), places.len() * (How::PLAIN.len() - 1));
    for crasher in crashes {
        let output = dying(&crasher, root.path()).output().expect("it can be run");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(!said.contains("it lives on"), "{}: {said}", crasher.name);
        let end = match (output.status.signal(), output.status.code()) {
            (Some(signal), _) => End::Signal(signal),
            (None, code) => End::Exit(code.expect("it has ended")),
        };
        assert_eq!(end, crasher.end, "{}: {said}", crasher.name);
    }
}

#[test]
fn whoever_takes_all_memory_aborts_when_there_is_no_more() {
    let root = tempfile::tempdir().expect("a folder");
    let output = greedy(How::Memory, root.path()).output().expect("it can be run");
    assert_eq!(output.status.signal(), Some(Signal::SIGABRT as i32), "{output:?}");
}

#[test]
fn whoever_takes_all_descriptors_keeps_them() {
    let root = tempfile::tempdir().expect("a folder");
    let child = Ended(greedy(How::Descriptors, root.path()).spawn().expect("it can be started"));
    let open = format!("/proc/{}/fd", child.0.id());
    let is_taken = |number: u32| fs::read_link(format!("{open}/{number}")).is_ok();
    until("all descriptors are taken", || (0..DESCRIPTORS).all(is_taken));
}

#[test]
fn whoever_writes_garbage_writes_it_to_every_socket_and_goes_on() {
    let root = tempfile::tempdir().expect("a folder");
    let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let output = greedy(How::Garbage, root.path()).stdin(OwnedFd::from(theirs)).output();
    let output = output.expect("it can be run");
    let mut read = vec![];
    ours.read_to_end(&mut read).expect("it can be read");
    assert!(!read.is_empty() && read.iter().all(|byte| *byte == 0xff), "{read:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("it lives on"), "{said}");
}

#[test]
fn whoever_floods_writes_to_the_output_and_to_the_errors_without_an_end() {
    const ENOUGH: u64 = 4 << 20;
    let root = tempfile::tempdir().expect("a folder");
    let child = greedy(How::Flood, root.path()).stderr(Stdio::piped()).spawn().expect("it can be started");
    let Ended(child) = &mut Ended(child);
    let drained = |stream: Option<Box<dyn std::io::Read + Send>>| {
        let stream = stream.expect("it is piped");
        std::thread::spawn(move || std::io::copy(&mut stream.take(ENOUGH), &mut std::io::sink()))
    };
    let output = drained(child.stdout.take().map(|it| Box::new(it) as _));
    let errors = drained(child.stderr.take().map(|it| Box::new(it) as _));
    for thread in [output, errors] {
        assert_eq!(thread.join().expect("no panic").expect("it can be read"), ENOUGH);
    }
}

#[test]
fn whoever_leaves_children_behind_dies_before_them() {
    let root = tempfile::tempdir().expect("a folder");
    let mut command = greedy(How::Children, root.path());
    let mut child = command.stdout(Stdio::null()).process_group(0).spawn().expect("it can be started");
    let status = child.wait().expect("it is ours");
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "{status}");
    let group = Pid::from_raw(child.id().cast_signed());
    killpg(group, None).expect("somebody of its group is there still");
    killpg(group, Signal::SIGKILL).expect("they are ours");
    assert!(kill(group, None).is_err(), "it was waited for");
}

#[test]
fn a_crash_that_is_mended_is_none() {
    let root = tempfile::tempdir().expect("a folder");
    let mended = root.path().join("mended");
    let crash = json!({ "crash": { "function": "create", "how": "abort", "unless": mended } });
    let output = process("specimen", crash.clone(), root.path()).output().expect("it can be run");
    assert_eq!(output.status.signal(), Some(Signal::SIGABRT as i32), "{output:?}");
    fs::write(&mended, "").expect("a file");
    let output = process("specimen", crash, root.path()).output().expect("it can be run");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_crash_that_comes_once_is_over_then() {
    let root = tempfile::tempdir().expect("a folder");
    let once = root.path().join("once");
    let crash = json!({ "crashes": [{ "function": "create", "how": "abort", "once": once }] });
    let output = process("specimen", crash.clone(), root.path()).output().expect("it can be run");
    assert_eq!(output.status.signal(), Some(Signal::SIGABRT as i32), "{output:?}");
    assert!(once.exists(), "who looks can see that it came");
    let output = process("specimen", crash, root.path()).output().expect("it can be run");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_late_crash_comes_when_the_work_is_done() {
    for late in [false, true] {
        let root = tempfile::tempdir().expect("a folder");
        let crash = json!({ "crash": { "function": "create", "how": "abort", "late": late } });
        let output = process("specimen", crash, root.path()).output().expect("it can be run");
        assert_eq!(output.status.signal(), Some(Signal::SIGABRT as i32), "{output:?}");
        assert_eq!(root.path().join("launches").exists(), late);
    }
}

#[test]
fn what_is_wrong_when_it_is_loaded_can_be_in_a_file() {
    let root = tempfile::tempdir().expect("a folder");
    let order = root.path().join("order");
    for (text, lives_on) in [("metadata:exit", false), ("", true)] {
        fs::write(&order, text).expect("a file");
        let mut command = process("spoilt_load", json!({}), root.path());
        let output = command.env(VARIABLE, format!("@{}", order.display())).output().expect("it can be run");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!((output.status.code(), said.contains("it lives on")), (Some(0), lives_on), "{said}");
    }
}
