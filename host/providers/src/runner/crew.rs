//! The threads of a runner. One of them listens to the host, and makes the call that it hears itself, which spares it the way
//! to another thread; meanwhile another one listens, so that a call can be told to stop, and more of them may come.
//!
//! To wake that other one takes as long as many a call. So while calls are short, one that is on *watch* looks by itself, every
//! `WATCH`, whether it is needed.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// A task that takes no longer is over before another thread would listen.
const SOON: Duration = Duration::from_micros(200);

/// How often the thread that is on watch looks whether somebody listens: what comes meanwhile is heard that much later at most.
const WATCH: Duration = Duration::from_millis(1);

/// How many looks in a row without a task end a watch.
const WATCH_LOOKS: u32 = 5;

/// What a crew does, turn by turn.
pub(super) trait Duty: Send + Sync + 'static {
    /// What is heard, and is to be done.
    type Task;

    /// Waits for the next task; nothing where there will be none. One thread at a time is here.
    fn listen(&self) -> Option<Self::Task>;

    /// Does a task. Does not panic.
    fn act(&self, task: Self::Task);
}

/// Threads that take turns.
pub(super) struct Crew<D> {
    duty: D,
    name: String,
    /// The most threads that do something, beside the one that listens.
    limit: usize,
    /// How long a thread waits for its turn before it ends.
    idle: Duration,
    state: Mutex<State>,
    turn: Condvar,
}

#[derive(Default)]
struct State {
    listening: bool,
    /// Whether one of those that wait is on watch.
    watching: bool,
    /// Whether the last task was soon over.
    soon: bool,
    /// The tasks that were begun.
    tasks: u64,
    waiting: usize,
    threads: usize,
    threads_ever: u64,
}

impl<D: Duty> Crew<D> {
    pub(super) fn new(duty: D, name: String, limit: usize, idle: Duration) -> Arc<Self> {
        Arc::new(Self { duty, name, limit, idle, state: Mutex::default(), turn: Condvar::new() })
    }

    pub(super) fn duty(&self) -> &D {
        &self.duty
    }

    /// Has one more thread take turns.
    pub(super) fn begin(self: &Arc<Self>) -> std::io::Result<()> {
        let number = {
            let mut state = self.state();
            state.threads += 1;
            state.threads_ever += 1;
            state.threads_ever
        };
        let crew = Arc::clone(self);
        let begun =
            thread::Builder::new().name(format!("{}-{number}", self.name)).spawn(move || crew.take_turns());
        if begun.is_err() {
            self.state().threads -= 1;
        }
        begun.map(drop)
    }

    fn take_turns(self: Arc<Self>) {
        while self.wait_for_turn() {
            let Some(task) = self.duty.listen() else { return };
            self.pass_turn();
            let begun = Instant::now();
            self.duty.act(task);
            self.state().soon = begun.elapsed() <= SOON;
        }
    }

    /// Whether it is this thread's turn, or it is not needed any more.
    fn wait_for_turn(&self) -> bool {
        let mut state = self.state();
        while state.listening {
            // Who is woken for a task that another has come back for goes on watch as well.
            if state.soon && !state.watching {
                state = self.watch(state);
                if !state.listening {
                    break;
                }
            }
            let timed_out;
            (state, timed_out) = self.wait(state, self.idle);
            // The last one that waits stays, for the next task.
            if timed_out && state.listening && state.waiting > 0 {
                state.threads -= 1;
                return false;
            }
        }
        state.listening = true;
        true
    }

    /// Waits on watch until nobody listens, or there is nothing to do.
    fn watch<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.watching = true;
        let (mut seen, mut in_vain) = (state.tasks, 0);
        while state.listening && in_vain < WATCH_LOOKS {
            (state, _) = self.wait(state, WATCH);
            in_vain = if state.tasks == seen { in_vain + 1 } else { 0 };
            seen = state.tasks;
        }
        state.watching = false;
        state
    }

    /// Waits for a turn, for at most so long; whether that was in vain.
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        limit: Duration,
    ) -> (MutexGuard<'a, State>, bool) {
        state.waiting += 1;
        let (mut state, wait) = self.turn.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        (state, wait.timed_out())
    }

    /// Lets another thread listen: the one on watch, where this one is not soon back; or else one that waits, or a new one.
    /// Where none can be had, this one listens when it is done.
    fn pass_turn(self: &Arc<Self>) {
        let mut state = self.state();
        state.listening = false;
        state.tasks += 1;
        if state.soon && state.watching {
            return;
        }
        let is_needed = state.waiting == 0 && state.threads <= self.limit;
        drop(state);
        if is_needed {
            drop(self.begin());
        } else {
            self.turn.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that panics is done under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Is told what to do, and waits with it until it is told so.
    struct Told {
        tasks: Mutex<Receiver<Receiver<()>>>,
        begun: Sender<String>,
    }

    impl Duty for Told {
        type Task = Receiver<()>;

        fn listen(&self) -> Option<Receiver<()>> {
            self.tasks.lock().expect("nobody panics").recv().ok()
        }

        fn act(&self, until: Receiver<()>) {
            let name = thread::current().name().expect("it has a name").to_owned();
            self.begun.send(name).expect("the test listens");
            // Its end is as good.
            let _ = until.recv();
        }
    }

    fn crew(limit: usize) -> (Arc<Crew<Told>>, Sender<Receiver<()>>, Receiver<String>) {
        let ((tell, tasks), (begun, heard)) = (channel(), channel());
        let duty = Told { tasks: Mutex::new(tasks), begun };
        let crew = Crew::new(duty, "ls-t".to_owned(), limit, Duration::from_mins(1));
        crew.begin().expect("a thread");
        (crew, tell, heard)
    }

    #[test]
    fn a_task_is_done_while_the_next_one_is_listened_to() {
        let (_crew, tell, begun) = crew(2);
        let (first, until_first) = channel();
        let (second, until_second) = channel();
        tell.send(until_first).expect("somebody listens");
        let one = begun.recv().expect("it is done");
        tell.send(until_second).expect("somebody listens");
        let other = begun.recv().expect("it is done as well, though the first is not over");
        assert_ne!(one, other);
        drop((first, second));
    }

    #[test]
    fn a_task_that_is_not_soon_over_after_all_holds_nobody_up() {
        let (_crew, tell, begun) = crew(2);
        for _ in 0..100 {
            let (_, until_short) = channel();
            tell.send(until_short).expect("somebody listens");
            begun.recv().expect("it is done");
        }
        let (long, until_long) = channel();
        let (_, until_next) = channel();
        tell.send(until_long).expect("somebody listens");
        tell.send(until_next).expect("somebody listens");
        assert_ne!(begun.recv().expect("it is done"), begun.recv().expect("it is done meanwhile"));
        drop(long);
    }

    #[test]
    fn there_are_no_more_threads_than_tasks_may_be_done_and_one_that_listens() {
        let (crew, tell, begun) = crew(2);
        let (held, untils): (Vec<_>, Vec<_>) = (0..4).map(|_| channel()).unzip();
        for until in untils {
            tell.send(until).expect("somebody listens");
        }
        for _ in 0..3 {
            begun.recv().expect("it is done");
        }
        assert_eq!(crew.state().threads, 3);
        drop(held);
        begun.recv().expect("the last one is done when another is over");
        assert_eq!(crew.state().threads, 3);
    }
}
