//! What the host hands to every call: whom it is for, how long it may take, how to hear of a cancellation, where to log.

use abi_stable::{StableAbi, std_types::RStr};

/// Levels of a log line, most severe first, as `tracing` orders them.
pub mod level {
    /// Something failed and a person should look.
    pub const ERROR: u8 = 1;
    /// Something odd that was coped with.
    pub const WARN: u8 = 2;
    /// What an operator wants to see in normal running.
    pub const INFO: u8 = 3;
    /// What an author wants to see.
    pub const DEBUG: u8 = 4;
    /// Everything.
    pub const TRACE: u8 = 5;
}

/// Takes one log line: the logger's `data`, a level of [`level`], a target (a module path) and the text.
pub type LogFn = extern "C" fn(data: *const (), level: u8, target: RStr<'_>, message: RStr<'_>);

/// Where a plugin's log lines go: the host's own log, under the plugin's name.
///
/// It stays usable for as long as the process lives, from any thread, so that a provider may keep it.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct Logger {
    data: *const (),
    log: extern "C" fn(data: *const (), level: u8, target: RStr<'_>, message: RStr<'_>),
    max_level: u8,
}

// SAFETY: `Logger::new` demands that `data` may be used from any thread for the rest of the process's life.
unsafe impl Send for Logger {}
// SAFETY: as above.
unsafe impl Sync for Logger {}

impl Logger {
    /// A logger that passes `data` to `log`, for lines up to `max_level`.
    ///
    /// # Safety
    ///
    /// `log` must be callable with `data` from any thread until the process ends.
    pub const unsafe fn new(data: *const (), log: LogFn, max_level: u8) -> Self {
        Self { data, log, max_level }
    }

    /// The most talkative level that the host listens to.
    pub const fn max_level(&self) -> u8 {
        self.max_level
    }

    /// Hands one line to the host, unless it is more talkative than the host listens to.
    pub fn log(&self, level: u8, target: &str, message: &str) {
        if level <= self.max_level {
            (self.log)(self.data, level, RStr::from_str(target), RStr::from_str(message));
        }
    }
}

/// How a running call hears that the host no longer wants its answer.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct CallControl {
    data: *const (),
    is_cancelled: extern "C" fn(data: *const ()) -> bool,
    wait_cancelled: extern "C" fn(data: *const (), nanos: u64) -> bool,
}

// SAFETY: `CallControl::new` demands that `data` may be used from any thread while the call runs.
unsafe impl Send for CallControl {}
// SAFETY: as above.
unsafe impl Sync for CallControl {}

impl CallControl {
    /// A control over `data`: one function asks, the other waits up to so many nanoseconds; both answer "cancelled?".
    ///
    /// # Safety
    ///
    /// Both functions must be callable with `data` from any thread until the call that they belong to has returned.
    pub const unsafe fn new(
        data: *const (),
        is_cancelled: extern "C" fn(*const ()) -> bool,
        wait_cancelled: extern "C" fn(*const (), u64) -> bool,
    ) -> Self {
        Self { data, is_cancelled, wait_cancelled }
    }

    /// Whether the host has given up on this call.
    pub fn is_cancelled(&self) -> bool {
        (self.is_cancelled)(self.data)
    }

    /// Waits until the call is cancelled (`true`) or `nanos` have passed (`false`).
    pub fn wait_cancelled(&self, nanos: u64) -> bool {
        (self.wait_cancelled)(self.data, nanos)
    }
}

/// The context of one call. It is valid until the call returns.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct CallContext<'a> {
    /// The cluster that the call is for.
    pub cluster: RStr<'a>,
    /// How long the call may take, in nanoseconds from its start.
    pub budget_nanos: u64,
    /// How much the operator wants to hear: 0 quiet, 1 normal, 2 and up ever more.
    pub verbose: u8,
    /// Cancellation.
    pub control: CallControl,
    /// The host's log.
    pub log: Logger,
}
