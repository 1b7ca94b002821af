//! The threads that call one provider. They are the provider's own, so that one that hangs costs others nothing; they are
//! bounded in number, begin when there is work and end when there is none for a while.
//!
//! Slow functions (`run`, `cleanup`, …) may not take every thread where there is more than one: some are kept for `status` and `kill`.

use std::{
    cell::Cell,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{control::Control, error::NotSent};

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
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            threads: 8,
            reserved: 2,
            queue: 64,
            idle: Duration::from_secs(30),
            create: Duration::from_secs(30),
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

/// A call to be made. `work` is told why when the call is not made after all.
pub(crate) struct Job {
    pub(crate) control: Arc<Control>,
    pub(crate) slow: bool,
    pub(crate) budget: Duration,
    pub(crate) work: Box<dyn FnOnce(Result<(), NotSent>) + Send>,
}

/// The jobs of one kind, in the order of their arrival.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<(u64, Job)>,
    running: usize,
}

#[derive(Default)]
struct State {
    quick: Lane,
    slow: Lane,
    running: Vec<Arc<Control>>,
    threads: usize,
    idle: usize,
    arrivals: u64,
    threads_ever: u64,
    closed: bool,
}

struct Shared {
    name: String,
    limits: CallLimits,
    state: Mutex<State>,
    changed: Condvar,
}

/// The threads of one provider. Dropping it closes it.
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    pub(crate) fn new(name: &str, limits: CallLimits) -> Self {
        let limits = CallLimits { threads: limits.threads.max(1), ..limits };
        let shared =
            Shared { name: thread_name(name), limits, state: Mutex::default(), changed: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Puts a job in the queue, and sees to it that there is a thread for it.
    pub(crate) fn submit(&self, job: Job) {
        let mut state = self.shared.lock();
        if state.closed {
            drop(state);
            return (job.work)(Err(NotSent::ShutDown));
        }
        let (threads, queue) = (self.shared.threads_for(job.slow), self.shared.limits.queue);
        let lane = state.lane(job.slow);
        if lane.waiting.len() >= queue + threads.saturating_sub(lane.running) {
            lane.waiting.retain(|(_, waiting)| !waiting.control.is_abandoned());
        }
        let queued = lane.waiting.len();
        if queued >= queue + threads.saturating_sub(lane.running) {
            drop(state);
            return (job.work)(Err(NotSent::QueueFull { threads, queued }));
        }
        let arrival = state.arrivals;
        state.arrivals += 1;
        state.lane(job.slow).waiting.push_back((arrival, job));
        let waiting = state.quick.waiting.len() + state.slow.waiting.len();
        if waiting > state.idle && state.threads < self.shared.limits.threads {
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
            let refused = if state.threads == 0 { state.take_waiting() } else { Vec::new() };
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
        let waiting = state.take_waiting();
        let running = state.running.clone();
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
        let now = Instant::now();
        let waiting = state.quick.waiting.iter().chain(&state.slow.waiting);
        ProviderLoad {
            threads: state.threads,
            busy: state.running.len(),
            stuck: state.running.iter().filter(|control| control.deadline() < now).count(),
            queued: waiting.filter(|(_, job)| !job.control.is_abandoned()).count(),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    fn lane(&mut self, slow: bool) -> &mut Lane {
        if slow { &mut self.slow } else { &mut self.quick }
    }

    fn take_waiting(&mut self) -> Vec<Job> {
        let Self { quick, slow, .. } = self;
        quick.waiting.drain(..).chain(slow.waiting.drain(..)).map(|(_, job)| job).collect()
    }

    /// The job that has waited longest, of those that may run now.
    fn take(&mut self, slow_threads: usize) -> Option<Job> {
        let arrival = |lane: &Lane| lane.waiting.front().map(|(arrival, _)| *arrival);
        let slow = arrival(&self.slow).filter(|_| self.slow.running < slow_threads);
        let quick = arrival(&self.quick);
        let slow_first = match (slow, quick) {
            (Some(slow), Some(quick)) => slow < quick,
            (slow, _) => slow.is_some(),
        };
        let lane = self.lane(slow_first);
        let (_, job) = lane.waiting.pop_front()?;
        lane.running += 1;
        self.running.push(Arc::clone(&job.control));
        Some(job)
    }

    fn finish(&mut self, control: &Arc<Control>, slow: bool) {
        self.lane(slow).running -= 1;
        if let Some(place) = self.running.iter().position(|running| Arc::ptr_eq(running, control)) {
            self.running.swap_remove(place);
        }
    }
}

impl Shared {
    /// Nothing that panics runs under this lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many threads jobs of this kind may have at once.
    fn threads_for(&self, slow: bool) -> usize {
        let CallLimits { threads, reserved, .. } = self.limits;
        if slow { threads.saturating_sub(reserved).max(1) } else { threads }
    }

    /// What a thread does.
    fn serve(&self) {
        IS_CALL_THREAD.set(true);
        let slow_threads = self.threads_for(true);
        let mut state = self.lock();
        let mut waited_in_vain = false;
        loop {
            if let Some(job) = state.take(slow_threads) {
                drop(state);
                let (control, slow) = (Arc::clone(&job.control), job.slow);
                make(job);
                state = self.lock();
                state.finish(&control, slow);
                waited_in_vain = false;
                continue;
            }
            if state.closed || waited_in_vain {
                break;
            }
            state.idle += 1;
            let (woken, wait) =
                self.changed.wait_timeout(state, self.limits.idle).unwrap_or_else(PoisonError::into_inner);
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
