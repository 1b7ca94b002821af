//! A host of the first release, as small as can be: it opens one plugin and does everything with it that a host does. Any
//! refusal is an error, in words.
#![expect(unsafe_code, reason = "a host's side of the boundary is unsafe")]

use std::{error::Error, mem::ManuallyDrop, path::Path, thread, time::Duration};

use longshore_plugin_abi::{
    CallContext, CallControl, Failure, Instance, InterfaceTable, ListV1, Logger, RootModuleRef, WorkersV1,
    abi_stable::{
        library::{AbiHeaderRef, ROOT_MODULE_LOADER_NAME_WITH_NUL},
        std_types::{RResult, RStr},
    },
    ids, level, status,
};
use serde_json::{Value, json};

/// Anything that went wrong.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// A plugin, loaded for good.
pub struct Plugin {
    root: RootModuleRef,
    /// What it says of itself.
    pub metadata: Value,
}

/// Opens a plugin as every host does: versions agree by their major number, and the layout says the rest.
pub fn open(path: &Path) -> Outcome<Plugin> {
    // SAFETY: it is a library of these tests, which does nothing when it is opened.
    let library = ManuallyDrop::new(unsafe { libloading::Library::new(path) }?);
    // SAFETY: the symbol is abi_stable's own, and starts with an `AbiHeader`; the library is never closed.
    let header = unsafe { library.get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()) };
    let header = header.map(|symbol| *symbol)?.upgrade()?;
    let (theirs, ours) = (header.version_strings().version, RootModuleRef::expected_version());
    if theirs.as_str().split('.').next() != ours.split('.').next() {
        return Err(format!("the plugin is of {theirs}, and this host of {ours}").into());
    }
    let root = header.check_layout::<RootModuleRef>()?;
    let metadata: Value = serde_json::from_str(root.metadata()().as_str())?;
    if metadata["contract"] != 1 || metadata["panic"] != "unwind" {
        return Err(format!("the metadata do not fit: {metadata}").into());
    }
    Ok(Plugin { root, metadata })
}

impl Plugin {
    /// The table of an interface, its layout checked; nothing where the plugin does not have it.
    pub fn table<T: InterfaceTable>(&self) -> Outcome<Option<&'static T>> {
        let found = self.root.query()(T::ID.into()).into_option();
        let claimed = self.metadata["interfaces"].as_array().is_some_and(|ids| ids.contains(&json!(T::ID)));
        if claimed != found.is_some() {
            return Err(format!("metadata and query disagree on {}", T::ID).into());
        }
        let table = found.map(|interface| interface.table::<T>()).transpose();
        table.map_err(|mismatch| format!("{mismatch}\n{}", mismatch.detail).into())
    }

    /// The ids of the interfaces that this host knows and the plugin has.
    pub fn answers(&self) -> Vec<&'static str> {
        let known = [ids::WORKERS, ids::INITIALIZE, ids::LIST, ids::SERVER, ids::CLEANUP];
        known.into_iter().filter(|id| self.root.query()(RStr::from_str(id)).is_some()).collect()
    }

    /// Makes a provider.
    pub fn create(&self, config: &Value) -> Outcome<Instance> {
        done(self.root.create()(logger(), config.to_string().as_str().into()))
    }

    /// Launches three workers in two containers, sees them run, finds them in the list, kills them, and sees them stopped.
    /// Answers with the instance, to go on with.
    pub fn drive(&self) -> Outcome<Instance> {
        let instance = self.create(&json!({}))?;
        let workers = self.table::<WorkersV1>()?.ok_or("it has no workers")?;
        let list = self.table::<ListV1>()?.ok_or("it has no list")?;
        let request = json!({
            "container": { "command": "sleep", "args": ["3600"], "env": { "A": "b" }, "max_workers": 2 },
            "hardware": { "cpu": 0.5, "memory": 1 << 20 },
            "workers": 3,
            "token": "launch-1",
        })
        .to_string();
        let ctx = context();
        // SAFETY: the table and the instance are of one library, and the context lives for longer.
        let reply = done(unsafe { (workers.run)(&instance, &ctx, request.as_str().into()) })?;
        expect(reply.handles.len(), 3, "entries of run")?;
        expect(reply.shortfall.is_some(), false, "a shortfall")?;
        let mut handles: Vec<String> = reply.handles.iter().map(ToString::to_string).collect();
        handles.dedup();
        expect(handles.len(), 2, "containers")?;
        let asked: Vec<RStr<'_>> = handles.iter().map(|handle| handle.as_str().into()).collect();
        let asked = || asked.as_slice().into();
        // SAFETY: as above.
        let ask = || done(unsafe { (workers.status)(&instance, &ctx, asked()) });
        // A provider may take a moment to start them.
        let mut seen = ask()?;
        for _ in 0..1_000 {
            if !seen.contains(&status::INITIALIZING) {
                break;
            }
            thread::sleep(Duration::from_millis(10));
            seen = ask()?;
        }
        expect(seen.as_slice(), &[status::RUNNING; 2], "statuses of workers that run")?;
        // SAFETY: as above.
        let listed = done(unsafe { (list.list)(&instance, &ctx) })?;
        let told: Vec<_> = listed.entries.iter().map(|entry| (entry.token.as_str(), entry.workers)).collect();
        expect(told.iter().map(|(_, workers)| workers).sum::<u32>(), 3, "workers in the list")?;
        expect(told.iter().all(|(token, _)| *token == "launch-1"), true, "their token in the list")?;
        // SAFETY: as above.
        let killed = done(unsafe { (workers.kill)(&instance, &ctx, asked()) })?;
        expect(killed.answers.as_slice(), &[1; 2], "answers of kill")?;
        expect(ask()?.as_slice(), &[status::STOPPED; 2], "statuses of workers that were killed")?;
        // SAFETY: as above.
        let stopped = done(unsafe { (workers.is_stopped)(&instance, &ctx, asked()) })?;
        expect(stopped.as_slice(), &[1; 2], "answers of is_stopped")?;
        Ok(instance)
    }
}

fn expect<T: PartialEq + std::fmt::Debug>(seen: T, wanted: T, what: &str) -> Outcome<()> {
    if seen == wanted { Ok(()) } else { Err(format!("{what}: {seen:?}, and not {wanted:?}").into()) }
}

/// An answer, or the failure in words.
pub fn done<T>(reply: RResult<T, Failure>) -> Outcome<T> {
    reply.into_result().map_err(|failure| format!("kind {}: {}", failure.kind, failure.message).into())
}

fn logger() -> Logger {
    // SAFETY: `ignore` uses no data.
    unsafe { Logger::new(std::ptr::null(), ignore, level::INFO) }
}

unsafe extern "C" fn ignore(_data: *const (), _level: u8, _target: RStr<'_>, _message: RStr<'_>) {}

unsafe extern "C" fn is_cancelled(_data: *const ()) -> bool {
    false
}

unsafe extern "C" fn wait_cancelled(_data: *const (), nanos: u64) -> bool {
    thread::sleep(Duration::from_nanos(nanos));
    false
}

/// The context of a call that nobody cancels, with a minute.
pub fn context() -> CallContext<'static> {
    // SAFETY: neither function uses the data.
    let control = unsafe { CallControl::new(std::ptr::null(), is_cancelled, wait_cancelled) };
    CallContext { cluster: "web".into(), budget_nanos: 60_000_000_000, verbose: 1, control, log: logger() }
}
