//! The threads that call one provider. They are the provider's own, so that one that hangs costs others nothing; they are
//! bounded in number, begin when there is work and end when there is none for a while. Which call is next, `lanes` says.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::{
    breaker::BreakerLimits,
    error::NotSent,
    lanes::{self, Lanes},
};

/// What one provider's calls may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// The most threads, at least 1. A call that hangs keeps its thread.
    pub threads: usize,
    /// The threads that slow functions leave to the others, as far as there is more than one.
    pub reserved: usize,
    /// The most calls of one kind (slow or quick) that wait for a thread.
    pub queue: usize,
    /// How long a thread waits for more work before it ends.
    pub idle: Duration,
    /// How long `create` may take.
    pub create: Duration,
    /// How long after its deadline a call may still be inside the plugin before the plugin's runner is ended, where it has one.
    pub hang_grace: Duration,
    /// When further calls are held back because nothing but failures came of them; never where there are none.
    pub breaker: Option<BreakerLimits>,
}

/// How long after its deadline a call may still be inside the plugin before its runner is ended, unless said otherwise: what a
/// call does after its deadline is still wanted, and ending a runner ends its other calls, too.
pub const HANG_GRACE: Duration = Duration::from_mins(1);

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            threads: 8,
            reserved: 2,
            queue: 64,
            idle: Duration::from_secs(30),
            create: Duration::from_secs(30),
            hang_grace: HANG_GRACE,
            breaker: Some(BreakerLimits::default()),
        }
    }
}

/// How busy a provider's threads are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProviderLoad {
    /// Threads that exist.
    pub threads: usize,
    /// Threads that are inside the plugin.
    pub busy: usize,
    /// Of those, the ones whose call is past its deadline and has not returned.
    pub stuck: usize,
    /// Calls that wait for a thread.
    pub queued: usize,
}

/// Makes a call. It is told why when the call is not made after all.
type Work = Box<dyn FnOnce(Result<(), NotSent>) + Send>;

/// A call to be made.
pub(crate) type Job = lanes::Job<Work>;

struct State {
    lanes: Lanes<Work>,
    threads: usize,
    idle: usize,
    threads_ever: u64,
    closed: bool,
}

struct Shared {
    name: String,
    state: Mutex<State>,
    changed: Condvar,
}

/// The threads of one provider. Dropping it closes it.
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    pub(crate) fn new(name: &str, limits: CallLimits) -> Self {
        let state = State { lanes: Lanes::new(limits), threads: 0, idle: 0, threads_ever: 0, closed: false };
        let shared = Shared { name: thread_name(name), state: Mutex::new(state), changed: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Puts a job in the queue, and sees to it that there is a thread for it.
    pub(crate) fn submit(&self, job: Job) {
        let mut state = self.shared.lock();
        if state.closed {
            drop(state);
            return (job.work)(Err(NotSent::ShutDown));
        }
        if let Err((job, reason)) = state.lanes.offer(job) {
            drop(state);
            return (job.work)(Err(reason));
        }
        if state.lanes.waiting() > state.idle && state.threads < state.lanes.limits().threads {
            self.spawn(state);
        } else if state.idle > 0 {
            drop(state);
            self.shared.changed.notify_one();
        }
    }

    /// Starts one more thread. Where that fails and there is none at all, what waits is turned down.
    fn spawn(&self, mut state: MutexGuard<'_, State>) {
        state.threads += 1;
        state.threads_ever += 1;
        let name = format!("{}-{}", self.shared.name, state.threads_ever);
        drop(state);
        let shared = Arc::clone(&self.shared);
        let spawned = thread::Builder::new().name(name).spawn(move || shared.serve());
        if let Err(error) = spawned {
            let mut state = self.shared.lock();
            state.threads -= 1;
            let refused = if state.threads == 0 { state.lanes.take_waiting() } else { Vec::new() };
            drop(state);
            for job in refused {
                (job.work)(Err(NotSent::NoThread(error.to_string())));
            }
        }
    }

    /// Turns down what waits, tells what runs that it is no longer wanted, and lets the threads end.
    pub(crate) fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let waiting = state.lanes.take_waiting();
        let running = state.lanes.running().to_vec();
        drop(state);
        self.shared.changed.notify_all();
        for control in running {
            control.cancel();
        }
        for job in waiting {
            (job.work)(Err(NotSent::ShutDown));
        }
    }

    pub(crate) fn load(&self) -> ProviderLoad {
        let state = self.shared.lock();
        state.lanes.load(state.threads)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Nothing that panics runs under this lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does.
    fn serve(&self) {
        IS_CALL_THREAD.set(true);
        let mut state = self.lock();
        let mut waited_in_vain = false;
        loop {
            if let Some(job) = state.lanes.take() {
                drop(state);
                let (control, slow) = (Arc::clone(&job.control), job.slow);
                make(job);
                state = self.lock();
                state.lanes.ended(&control, slow);
                waited_in_vain = false;
                continue;
            }
            if state.closed || waited_in_vain {
                break;
            }
            state.idle += 1;
            let idle = state.lanes.limits().idle;
            let (woken, wait) =
                self.changed.wait_timeout(state, idle).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            waited_in_vain = wait.timed_out();
        }
        state.threads -= 1;
    }
}

thread_local! {
    static IS_CALL_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is one of the threads that call plugins, where hanging harms nobody else.
pub(crate) fn is_call_thread() -> bool {
    // While a thread ends there is nothing to ask any more, and it is best taken for somebody else's.
    IS_CALL_THREAD.try_with(Cell::get).unwrap_or(false)
}

/// Makes one call, unless it is too late for it.
fn make(job: Job) {
    let Job { control, budget, work, .. } = job;
    if !control.start() {
        return;
    }
    let outcome =
        if control.remaining().is_zero() { Err(NotSent::OutOfTime { waited: budget }) } else { Ok(()) };
    // A panic here is one of our own code: the caller finds its answer gone, and the thread lives on.
    let _ = catch_unwind(AssertUnwindSafe(|| work(outcome)));
}

/// `ls-<provider>`, without what a thread's name cannot hold.
pub(crate) fn thread_name(provider: &str) -> String {
    let shown: String = provider.chars().filter(|c| !c.is_control()).collect();
    format!("ls-{shown}")
}

#[cfg(test)]
mod tests;
