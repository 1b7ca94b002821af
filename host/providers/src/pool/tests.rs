//! The queue's limits and the threads' comings and goings, with jobs that wait for a word of the test.

use std::{
    sync::mpsc::{self, Receiver, Sender},
    time::Instant,
};

use super::*;
use crate::control::Control;

const LONG: Duration = Duration::from_mins(1);

fn pool(threads: usize, reserved: usize, queue: usize) -> Pool {
    Pool::new("test", CallLimits { threads, reserved, queue, ..CallLimits::default() })
}

/// What became of the jobs, by their numbers, as they are made or turned down.
struct Desk {
    told: Sender<(usize, Result<(), NotSent>)>,
    heard: Receiver<(usize, Result<(), NotSent>)>,
}

impl Desk {
    fn new() -> Self {
        let (told, heard) = mpsc::channel();
        Self { told, heard }
    }

    fn next(&self) -> (usize, Result<(), NotSent>) {
        self.heard.recv_timeout(LONG).expect("a job is made or turned down")
    }

    /// A job that tells when it begins, and ends when the sender that comes with it is dropped.
    fn job(&self, number: usize, slow: bool, budget: Duration) -> (Job, Arc<Control>, Sender<()>) {
        let control = Arc::new(Control::new(Instant::now() + budget));
        let (release, released) = mpsc::channel::<()>();
        let told = self.told.clone();
        let work = Box::new(move |begin: Result<(), NotSent>| {
            let begun = begin.is_ok();
            told.send((number, begin)).expect("the test listens");
            if begun {
                let _ = released.recv();
            }
        });
        (Job { control: Arc::clone(&control), slow, budget, work }, control, release)
    }
}

/// Waits for a condition that other threads bring about.
#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < end, "it never came about: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn threads_begin_when_there_is_work_and_no_more_than_allowed() {
    let (pool, desk) = (pool(2, 0, 8), Desk::new());
    assert_eq!(pool.load(), ProviderLoad::default());
    let mut held: Vec<_> = (0..3)
        .map(|number| {
            let (job, _, release) = desk.job(number, false, LONG);
            pool.submit(job);
            release
        })
        .collect();
    let mut begun = [desk.next().0, desk.next().0];
    begun.sort_unstable();
    assert_eq!(begun, [0, 1]);
    assert_eq!(pool.load(), ProviderLoad { threads: 2, busy: 2, stuck: 0, queued: 1 });
    drop(held.remove(0));
    assert_eq!(desk.next(), (2, Ok(())));
}

#[test]
fn a_full_queue_turns_down_what_comes_and_takes_again_when_there_is_room() {
    let (pool, desk) = (pool(1, 0, 1), Desk::new());
    let (job, _, release) = desk.job(0, false, LONG);
    pool.submit(job);
    let (job, waiting, _held) = desk.job(1, false, LONG);
    pool.submit(job);
    let (job, _, _held) = desk.job(2, false, LONG);
    pool.submit(job);
    let mut told = [desk.next(), desk.next()];
    told.sort_by_key(|(number, _)| *number);
    assert_eq!(told[0], (0, Ok(())));
    assert!(matches!(told[1], (2, Err(NotSent::QueueFull { threads: 1, .. }))), "{told:?}");
    // A call that was given up no longer takes a place.
    assert!(waiting.abandon());
    assert_eq!(pool.load().queued, 0);
    let (job, _, _held) = desk.job(3, false, LONG);
    pool.submit(job);
    drop(release);
    assert_eq!(desk.next(), (3, Ok(())));
}

#[test]
fn slow_calls_leave_threads_to_the_quick() {
    let (pool, desk) = (pool(3, 2, 8), Desk::new());
    let (job, _, first) = desk.job(0, true, LONG);
    pool.submit(job);
    assert_eq!(desk.next(), (0, Ok(())));
    let (job, _, _held) = desk.job(1, true, LONG);
    pool.submit(job);
    // The second slow one waits, though there are threads; quick ones pass it.
    for number in 2..4 {
        let (job, _, release) = desk.job(number, false, LONG);
        pool.submit(job);
        assert_eq!(desk.next(), (number, Ok(())));
        drop(release);
    }
    assert_eq!(pool.load().queued, 1);
    drop(first);
    assert_eq!(desk.next(), (1, Ok(())));
}

#[test]
fn a_call_whose_time_ran_out_in_the_queue_is_not_made() {
    let (pool, desk) = (pool(1, 0, 8), Desk::new());
    let (job, _, release) = desk.job(0, false, LONG);
    pool.submit(job);
    assert_eq!(desk.next(), (0, Ok(())));
    let (job, late, _held) = desk.job(1, false, Duration::ZERO);
    pool.submit(job);
    assert!(late.remaining().is_zero());
    drop(release);
    assert_eq!(desk.next(), (1, Err(NotSent::OutOfTime { waited: Duration::ZERO })));
}

#[test]
fn a_call_past_its_deadline_is_told_to_be_stuck() {
    let (pool, desk) = (pool(2, 0, 8), Desk::new());
    // On a busy machine a short budget may be over before the call begins: the next one is longer.
    let (control, release) = (0..10)
        .find_map(|attempt| {
            let (job, control, release) = desk.job(attempt, false, Duration::from_millis(10 << attempt));
            pool.submit(job);
            desk.next().1.is_ok().then_some((control, release))
        })
        .expect("a call begins within five seconds");
    until("the deadline passes", || control.is_cancelled() && pool.load().stuck == 1);
    assert_eq!(pool.load().busy, 1);
    drop(release);
    until("it is no longer stuck", || pool.load().stuck == 0);
}

#[test]
fn idle_threads_end() {
    let limits = CallLimits { idle: Duration::from_millis(1), ..CallLimits::default() };
    let (pool, desk) = (Pool::new("test", limits), Desk::new());
    let (job, _, release) = desk.job(0, false, LONG);
    pool.submit(job);
    drop(release);
    assert_eq!(desk.next(), (0, Ok(())));
    until("the thread ends", || pool.load().threads == 0);
    let (job, _, _held) = desk.job(1, false, LONG);
    pool.submit(job);
    assert_eq!(desk.next(), (1, Ok(())));
}

#[test]
fn closing_turns_down_what_waits_and_cancels_what_runs() {
    let (pool, desk) = (pool(1, 0, 8), Desk::new());
    let (job, running, release) = desk.job(0, false, LONG);
    pool.submit(job);
    assert_eq!(desk.next(), (0, Ok(())));
    let (job, _, _held) = desk.job(1, false, LONG);
    pool.submit(job);
    pool.close();
    assert_eq!(desk.next(), (1, Err(NotSent::ShutDown)));
    assert!(running.is_cancelled());
    let (job, _, _held) = desk.job(2, false, LONG);
    pool.submit(job);
    assert_eq!(desk.next(), (2, Err(NotSent::ShutDown)));
    drop(release);
    until("the thread ends", || pool.load().threads == 0);
}

#[test]
fn a_panic_of_our_own_keeps_the_thread() {
    let (pool, desk) = (pool(1, 0, 8), Desk::new());
    let control = Arc::new(Control::new(Instant::now() + LONG));
    let work = Box::new(|_| panic!("this panic is part of a test"));
    pool.submit(Job { control, slow: false, budget: LONG, work });
    let (job, _, _held) = desk.job(1, false, LONG);
    pool.submit(job);
    assert_eq!(desk.next(), (1, Ok(())));
    assert_eq!(pool.load().busy, 1);
}

#[test]
fn a_threads_name_holds_no_control_characters() {
    assert_eq!(thread_name("a\0b\n"), "ls-ab");
}
