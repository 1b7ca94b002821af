//! The state that the host and one running call share: has it begun, is it still wanted, until when.
#![expect(unsafe_code, reason = "the plugin holds a pointer to it while the call runs")]

use std::{
    fmt,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use longshore_plugin_abi::{CallContext, CallControl, Logger, abi_stable::std_types::RStr};

const WAITING: u8 = 0;
const STARTED: u8 = 1;
const ABANDONED: u8 = 2;

/// One call's state. It is out of `WAITING` once and for all by whoever comes first: its thread, or its deadline.
pub(crate) struct Control {
    phase: AtomicU8,
    cancelled: Mutex<Cancelled>,
    changed: Condvar,
    deadline: Instant,
}

/// Whether a call is cancelled, and who wants to hear of it.
#[derive(Default)]
struct Cancelled {
    is_so: bool,
    tell: Option<Box<dyn FnOnce() + Send>>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Control {
    pub(crate) fn new(deadline: Instant) -> Self {
        Self { phase: AtomicU8::new(WAITING), cancelled: Mutex::default(), changed: Condvar::new(), deadline }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Claims the call for its thread; false once it was abandoned.
    pub(crate) fn start(&self) -> bool {
        self.leave_waiting(STARTED)
    }

    /// Gives the call up before it started; false once it has, or when it was given up before.
    pub(crate) fn abandon(&self) -> bool {
        self.leave_waiting(ABANDONED)
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.phase.load(Ordering::Acquire) == ABANDONED
    }

    fn leave_waiting(&self, to: u8) -> bool {
        self.phase.compare_exchange(WAITING, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Tells the plugin that its answer is no longer wanted.
    pub(crate) fn cancel(&self) {
        let tell = {
            let mut cancelled = self.cancelled();
            cancelled.is_so = true;
            cancelled.tell.take()
        };
        self.changed.notify_all();
        if let Some(tell) = tell {
            tell();
        }
    }

    /// Has somebody told, once, when it is cancelled; at once where it is already. Its deadline is not told of.
    pub(crate) fn when_cancelled(&self, tell: Box<dyn FnOnce() + Send>) {
        let mut cancelled = self.cancelled();
        if cancelled.is_so {
            drop(cancelled);
            return tell();
        }
        cancelled.tell = Some(tell);
    }

    fn cancelled(&self) -> MutexGuard<'_, Cancelled> {
        self.cancelled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was cancelled, or its deadline has passed, which is the same even when nobody was there to cancel it.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.remaining().is_zero() || self.cancelled().is_so
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Waits for a cancellation, for at most so long.
    fn wait_cancelled(&self, limit: Duration) -> bool {
        let cancelled = self.cancelled();
        let wait = limit.min(self.remaining());
        let (cancelled, _) = self
            .changed
            .wait_timeout_while(cancelled, wait, |cancelled| !cancelled.is_so)
            .unwrap_or_else(PoisonError::into_inner);
        cancelled.is_so || self.remaining().is_zero()
    }

    /// Does `work` with the context that a plugin is handed: this control, what is left of the budget, and the log.
    pub(crate) fn inside<T>(
        &self,
        cluster: &str,
        verbose: u8,
        log: Logger,
        work: impl FnOnce(&CallContext<'_>) -> T,
    ) -> T {
        // SAFETY: both functions read `self` alone, which is `Sync` and stays where it is until `work` has returned.
        let control =
            unsafe { CallControl::new(std::ptr::from_ref(self).cast(), is_cancelled, wait_cancelled) };
        let budget_nanos = u64::try_from(self.remaining().as_nanos()).unwrap_or(u64::MAX);
        work(&CallContext { cluster: RStr::from_str(cluster), budget_nanos, verbose, control, log })
    }
}

unsafe extern "C" fn is_cancelled(data: *const ()) -> bool {
    // SAFETY: `Control::inside` is the only one to hand this function out, together with a pointer to itself.
    unsafe { &*data.cast::<Control>() }.is_cancelled()
}

unsafe extern "C" fn wait_cancelled(data: *const (), nanos: u64) -> bool {
    // SAFETY: as above.
    unsafe { &*data.cast::<Control>() }.wait_cancelled(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(budget: Duration) -> Control {
        Control::new(Instant::now() + budget)
    }

    #[test]
    fn only_the_first_claim_counts() {
        let started = control(Duration::from_mins(1));
        assert!(started.start() && !started.abandon() && !started.is_abandoned());
        let abandoned = control(Duration::from_mins(1));
        assert!(abandoned.abandon() && !abandoned.start() && abandoned.is_abandoned());
    }

    fn inside<T>(control: &Control, work: impl FnOnce(&CallContext<'_>) -> T) -> T {
        control.inside("c", 1, crate::log::source("test").logger(), work)
    }

    #[test]
    fn a_waiting_plugin_wakes_when_it_is_cancelled() {
        let control = control(Duration::from_mins(1));
        inside(&control, |ctx| {
            assert!(!ctx.control.is_cancelled() && !ctx.control.wait_cancelled(1));
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| ctx.control.wait_cancelled(u64::MAX));
                control.cancel();
                assert!(waiting.join().expect("it does not panic"));
            });
            assert!(ctx.control.is_cancelled());
        });
    }

    #[test]
    fn who_wants_to_hear_of_a_cancellation_is_told_once() {
        let (told, heard) = std::sync::mpsc::channel();
        let tell = |number: u8| -> Box<dyn FnOnce() + Send> {
            let told = told.clone();
            Box::new(move || told.send(number).expect("the test listens"))
        };
        let early = control(Duration::from_mins(1));
        early.when_cancelled(tell(1));
        assert!(heard.try_recv().is_err(), "it is not cancelled yet");
        early.cancel();
        early.cancel();
        let late = control(Duration::from_mins(1));
        late.cancel();
        late.when_cancelled(tell(2));
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_deadline_cancels_by_itself() {
        let control = control(Duration::from_millis(1));
        assert!(inside(&control, |ctx| ctx.control.wait_cancelled(u64::MAX)));
        assert!(control.is_cancelled());
    }

    #[test]
    fn a_plugin_is_told_what_is_left_of_the_budget() {
        let control = control(Duration::from_mins(1));
        let budget = Duration::from_nanos(inside(&control, |ctx| ctx.budget_nanos));
        assert!(budget > Duration::ZERO && budget <= Duration::from_mins(1), "{budget:?}");
    }
}
