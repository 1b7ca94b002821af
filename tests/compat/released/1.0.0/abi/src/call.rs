//! What the host hands to every call: whom it is for, how long it may take, how to hear of a cancellation, where to log.

use std::marker::PhantomData;

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
pub type LogFn = unsafe extern "C" fn(data: *const (), level: u8, target: RStr<'_>, message: RStr<'_>);

/// Where a plugin's log lines go: the host's own log, under the plugin's name.
///
/// It stays usable for as long as the process lives, from any thread, so that a provider may keep it.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct Logger {
    data: *const (),
    log: unsafe extern "C" fn(data: *const (), level: u8, target: RStr<'_>, message: RStr<'_>),
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
            // SAFETY: `Logger::new` demands that `log` may be called with `data` at any time.
            unsafe { (self.log)(self.data, level, RStr::from_str(target), RStr::from_str(message)) };
        }
    }
}

/// Asks, with a control's `data`, whether the call is cancelled.
pub type IsCancelledFn = unsafe extern "C" fn(data: *const ()) -> bool;

/// Waits, with a control's `data`, for up to so many nanoseconds, and tells whether the call is cancelled.
pub type WaitCancelledFn = unsafe extern "C" fn(data: *const (), nanos: u64) -> bool;

/// How a running call hears that the host no longer wants its answer. It lives no longer than the call.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct CallControl<'a> {
    data: *const (),
    is_cancelled: unsafe extern "C" fn(data: *const ()) -> bool,
    wait_cancelled: unsafe extern "C" fn(data: *const (), nanos: u64) -> bool,
    call: PhantomData<&'a ()>,
}

// SAFETY: `CallControl::new` demands that `data` may be used from any thread while the call runs.
unsafe impl Send for CallControl<'_> {}
// SAFETY: as above.
unsafe impl Sync for CallControl<'_> {}

impl CallControl<'_> {
    /// A control over `data`: one function asks, the other waits up to so many nanoseconds; both answer "cancelled?".
    ///
    /// # Safety
    ///
    /// Both functions must be callable with `data` from any thread for as long as the control's lifetime, which is to be
    /// that of the call.
    pub const unsafe fn new(
        data: *const (),
        is_cancelled: IsCancelledFn,
        wait_cancelled: WaitCancelledFn,
    ) -> Self {
        Self { data, is_cancelled, wait_cancelled, call: PhantomData }
    }

    /// Whether the host has given up on this call.
    pub fn is_cancelled(&self) -> bool {
        // SAFETY: `CallControl::new` demands that it may be called for as long as `self` lives.
        unsafe { (self.is_cancelled)(self.data) }
    }

    /// Waits until the call is cancelled (`true`) or `nanos` have passed (`false`).
    pub fn wait_cancelled(&self, nanos: u64) -> bool {
        // SAFETY: as above.
        unsafe { (self.wait_cancelled)(self.data, nanos) }
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
    pub control: CallControl<'a>,
    /// The host's log.
    pub log: Logger,
}
