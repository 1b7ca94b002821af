//! Calls for a provider's own tests: a [`Context`] as a host makes it, with a deadline, a cancellation and a log that
//! nobody hears. No host is needed, and no library is loaded: the functions of the trait are called directly.
//!
//! ```
//! use std::time::Duration;
//! use longshore_plugin_api::testing;
//!
//! let cluster = testing::call("c1", Duration::from_secs(5), |ctx| ctx.cluster().to_owned());
//! assert_eq!(cluster, "c1");
//! ```
#![expect(unsafe_code, reason = "a context is made of the boundary's types, as the host makes it")]

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use longshore_plugin_abi::{CallContext, CallControl, Logger, abi_stable::std_types::RStr};

use crate::context::Context;

/// Runs `work` as one call for `cluster` that may take as long as `budget`.
pub fn call<T>(cluster: &str, budget: Duration, work: impl FnOnce(&Context<'_>) -> T) -> T {
    Call::new(cluster).budget(budget).run(work)
}

/// One call that is yet to be made.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    cluster: &'a str,
    budget: Duration,
    verbose: u8,
    cancel: Cancel,
}

impl<'a> Call<'a> {
    /// A call for `cluster` with a budget of 60 seconds.
    pub fn new(cluster: &'a str) -> Self {
        Self { cluster, budget: Duration::from_mins(1), verbose: 1, cancel: Cancel::new() }
    }

    /// How long the call may take, from [`run`](Self::run) on.
    #[must_use]
    pub fn budget(self, budget: Duration) -> Self {
        Self { budget, ..self }
    }

    /// How much the operator wants to hear; 1 unless said otherwise.
    #[must_use]
    pub fn verbose(self, verbose: u8) -> Self {
        Self { verbose, ..self }
    }

    /// Lets `cancel` cancel the call.
    #[must_use]
    pub fn cancelled_by(self, cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), ..self }
    }

    /// Makes the call, on this thread.
    pub fn run<T>(&self, work: impl FnOnce(&Context<'_>) -> T) -> T {
        let flag: *const Flag = &raw const *self.cancel.flag;
        // SAFETY: `self` keeps the flag alive until this function returns, and both functions take `data` for a `Flag`.
        let control = unsafe { CallControl::new(flag.cast(), is_cancelled, wait_cancelled) };
        // SAFETY: `discard` never looks at its data.
        let log = unsafe { Logger::new(std::ptr::null(), discard, 0) };
        let raw = CallContext {
            cluster: RStr::from_str(self.cluster),
            budget_nanos: u64::try_from(self.budget.as_nanos()).unwrap_or(u64::MAX),
            verbose: self.verbose,
            control,
            log,
        };
        work(&Context::new(&raw))
    }
}

/// Cancels the calls that were given it; its clones are the same one. A cancellation is for good.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    flag: Arc<Flag>,
}

impl Cancel {
    /// One that has not cancelled anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels the calls, those to come as well, and wakes whoever sleeps in one.
    pub fn cancel(&self) {
        *self.flag.cancelled.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.flag.changed.notify_all();
    }
}

#[derive(Debug, Default)]
struct Flag {
    cancelled: Mutex<bool>,
    changed: Condvar,
}

/// The flag behind a control's data.
///
/// # Safety
///
/// `data` must be a live `Flag`, as `Call::run` passes it.
unsafe fn flag<'a>(data: *const ()) -> &'a Flag {
    // SAFETY: the caller's promise.
    unsafe { &*data.cast::<Flag>() }
}

unsafe extern "C" fn is_cancelled(data: *const ()) -> bool {
    // SAFETY: only `Call::run` passes this function on, together with its flag.
    *unsafe { flag(data) }.cancelled.lock().unwrap_or_else(PoisonError::into_inner)
}

unsafe extern "C" fn wait_cancelled(data: *const (), nanos: u64) -> bool {
    // SAFETY: as above.
    let flag = unsafe { flag(data) };
    let limit = Instant::now() + Duration::from_nanos(nanos);
    let mut cancelled = flag.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
    while !*cancelled {
        let left = limit.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        (cancelled, _) = flag.changed.wait_timeout(cancelled, left).unwrap_or_else(PoisonError::into_inner);
    }
    true
}

extern "C" fn discard(_data: *const (), _level: u8, _target: RStr<'_>, _message: RStr<'_>) {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_call_has_its_budget_and_no_more() {
        Call::new("c").budget(Duration::from_millis(5)).verbose(3).run(|ctx| {
            assert_eq!((ctx.cluster(), ctx.verbose()), ("c", 3));
            assert!(ctx.remaining() <= Duration::from_millis(5));
            let error = ctx.sleep(Duration::from_mins(1)).expect_err("the budget is shorter");
            assert_eq!(error.kind(), ErrorKind::Cancelled);
            assert!(ctx.check().is_err());
        });
    }

    #[test]
    fn a_cancellation_wakes_a_sleeping_call() {
        let cancel = Cancel::new();
        std::thread::scope(|scope| {
            let sleeper = scope
                .spawn(|| Call::new("c").cancelled_by(&cancel).run(|ctx| ctx.sleep(Duration::from_secs(50))));
            cancel.cancel();
            assert!(sleeper.join().expect("it does not panic").is_err());
        });
        Call::new("c").cancelled_by(&cancel).run(|ctx| assert!(ctx.is_cancelled()));
        call("c", Duration::MAX, |ctx| assert!(!ctx.is_cancelled()));
    }
}
