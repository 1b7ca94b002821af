//! The host's side: loggers that remember, contexts that can be cancelled, and the functions of the tables by name.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

use longshore_plugin_abi::{
    CallContext, CallControl, CleanupV1, Failure, InitializeV1, Instance, InterfaceTable, ListV1, Logger,
    RootModuleRef, ServerV1, WorkersV1,
    abi_stable::std_types::{RResult, RStr},
    level,
};
use longshore_plugin_api::Error;

/// A line that a plugin logged: level, target, text.
pub(crate) type Line = (u8, String, String);

/// A log that remembers. It is leaked, as a logger must be good for as long as the process lives.
#[derive(Clone, Copy)]
pub(crate) struct Lines(&'static Mutex<Vec<Line>>);

impl Lines {
    pub(crate) fn new() -> Self {
        Self(Box::leak(Box::default()))
    }

    pub(crate) fn logger(self, max_level: u8) -> Logger {
        // SAFETY: `remember` may be called with it from any thread for ever, since it is a leaked mutex.
        unsafe { Logger::new(std::ptr::from_ref(self.0).cast(), remember, max_level) }
    }

    /// What was logged since this was last asked.
    pub(crate) fn take(self) -> Vec<Line> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Only the texts.
    pub(crate) fn texts(self) -> Vec<String> {
        self.take().into_iter().map(|(_, _, text)| text).collect()
    }
}

unsafe extern "C" fn remember(data: *const (), level: u8, target: RStr<'_>, message: RStr<'_>) {
    // SAFETY: `Lines::logger` alone passes this function on, with its mutex.
    let lines = unsafe { &*data.cast::<Mutex<Vec<Line>>>() };
    let line = (level, target.as_str().to_owned(), message.as_str().to_owned());
    lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
}

/// Cancels a call.
#[derive(Default)]
pub(crate) struct Control {
    cancelled: Mutex<bool>,
    changed: Condvar,
}

impl Control {
    pub(crate) fn cancel(&self) {
        *self.cancelled.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

/// # Safety
///
/// `data` must be a live `Control`.
unsafe fn control<'a>(data: *const ()) -> &'a Control {
    // SAFETY: the caller's promise.
    unsafe { &*data.cast::<Control>() }
}

unsafe extern "C" fn is_cancelled(data: *const ()) -> bool {
    // SAFETY: `Call::context` alone passes this function on, with its control.
    *unsafe { control(data) }.cancelled.lock().unwrap_or_else(PoisonError::into_inner)
}

unsafe extern "C" fn wait_cancelled(data: *const (), nanos: u64) -> bool {
    // SAFETY: as above.
    let control = unsafe { control(data) };
    let cancelled = control.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
    let waited =
        control.changed.wait_timeout_while(cancelled, Duration::from_nanos(nanos), |cancelled| !*cancelled);
    *waited.unwrap_or_else(PoisonError::into_inner).0
}

/// What a call is made with.
pub(crate) struct Call<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) budget: Duration,
    pub(crate) control: &'a Control,
    pub(crate) lines: Lines,
    pub(crate) max_level: u8,
}

impl Call<'_> {
    pub(crate) fn context(&self) -> CallContext<'_> {
        let data = std::ptr::from_ref(self.control).cast();
        // SAFETY: the control outlives the context, and both functions take it for what it is.
        let control = unsafe { CallControl::new(data, is_cancelled, wait_cancelled) };
        let budget_nanos = u64::try_from(self.budget.as_nanos()).expect("a budget of a test is short");
        let log = self.lines.logger(self.max_level);
        CallContext { cluster: self.cluster.into(), budget_nanos, verbose: 2, control, log }
    }
}

/// An instance, and the plugin that it came from: only `try_make` brings the two together.
pub(crate) struct Made {
    root: RootModuleRef,
    instance: Instance,
    pub(crate) lines: Lines,
}

/// Calls a function of a table: of the plugin that made the instance.
macro_rules! call {
    ($made:ident, $table:ident.$function:ident, $ctx:expr $(, $argument:tt)?) => {{
        let (table, ctx): (_, &CallContext<'_>) = ($made.table::<$table>(), $ctx);
        // SAFETY: instance and table are of the same root module, that of `Made`; the context is borrowed from a `Call`.
        unsafe { (table.$function)($made.instance(), ctx $(, $argument)?) }
    }};
}
pub(crate) use call;

pub(crate) fn try_make(root: RootModuleRef, config: &str, lines: Lines) -> Result<Made, Error> {
    let made = root.create()(lines.logger(level::INFO), RStr::from_str(config)).into_result();
    made.map(|instance| Made { root, instance, lines }).map_err(Error::from)
}

/// The exported probe, with its defaults.
pub(crate) fn probe() -> Made {
    try_make(crate::exported::root_module(), "{}", Lines::new()).expect("the defaults are in order")
}

/// The functions of one handle list or none, by name.
pub(crate) const FUNCTIONS: [&str; 13] = [
    "run",
    "status",
    "kill",
    "is_initializing",
    "is_running",
    "is_stopped",
    "initialize",
    "list",
    "run_server",
    "stop_server",
    "server_status",
    "server_address",
    "cleanup",
];

impl Made {
    pub(crate) fn instance(&self) -> &Instance {
        &self.instance
    }

    pub(crate) fn table<T: InterfaceTable>(&self) -> &'static T {
        let interface = self.root.query()(T::ID.into()).into_option().expect("the plugin has it");
        interface.table().expect("it was compiled with it")
    }

    /// Calls for a cluster, with all the time of the world.
    pub(crate) fn call<T>(
        &self,
        cluster: &str,
        work: impl FnOnce(&CallContext<'_>) -> RResult<T, Failure>,
    ) -> Result<T, Error> {
        let (control, budget) = (Control::default(), Duration::from_hours(1));
        let call = Call { cluster, budget, control: &control, lines: self.lines, max_level: level::INFO };
        work(&call.context()).into_result().map_err(Error::from)
    }

    /// Calls a function by its name, and tells only how it went.
    pub(crate) fn by_name(&self, function: &str, ctx: &CallContext<'_>) -> Result<(), Error> {
        let handles = [RStr::from_str("running")];
        let handles = handles.as_slice().into();
        let run = r#"{"container":{},"hardware":{},"workers":1,"token":"t"}"#.into();
        let server = r#"{"container":{},"hardware":{}}"#.into();
        let outcome = match function {
            "run" => call!(self, WorkersV1.run, ctx, run).map(drop),
            "status" => call!(self, WorkersV1.status, ctx, handles).map(drop),
            "kill" => call!(self, WorkersV1.kill, ctx, handles).map(drop),
            "is_initializing" => call!(self, WorkersV1.is_initializing, ctx, handles).map(drop),
            "is_running" => call!(self, WorkersV1.is_running, ctx, handles).map(drop),
            "is_stopped" => call!(self, WorkersV1.is_stopped, ctx, handles).map(drop),
            "initialize" => call!(self, InitializeV1.initialize, ctx),
            "list" => call!(self, ListV1.list, ctx).map(drop),
            "run_server" => call!(self, ServerV1.run_server, ctx, server),
            "stop_server" => call!(self, ServerV1.stop_server, ctx),
            "server_status" => call!(self, ServerV1.server_status, ctx).map(drop),
            "server_address" => call!(self, ServerV1.server_address, ctx).map(drop),
            "cleanup" => call!(self, CleanupV1.cleanup, ctx, false),
            other => unreachable!("there is no {other}"),
        };
        outcome.into_result().map_err(Error::from)
    }

    /// As [`by_name`](Self::by_name), for a cluster.
    pub(crate) fn outcome(&self, function: &str, cluster: &str) -> Result<(), Error> {
        let mut outcome = Ok(());
        self.call::<()>(cluster, |ctx| {
            outcome = self.by_name(function, ctx);
            RResult::ROk(())
        })?;
        outcome
    }
}

/// Runs an ignored test of this program in a process of its own, and returns what it wrote to its standard error.
pub(crate) fn alone(test: &str) -> String {
    let program = std::env::current_exe().expect("a test knows its own program");
    let output = std::process::Command::new(program)
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .expect("a test can be run again");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
    err.into_owned()
}
