//! What opens the breaker, what keeps it open and what closes it; and what an answer says of a provider.

use longshore_plugin_abi::{Failure, kind};
use longshore_plugin_api::Error;
use proptest::prelude::*;

use super::{machine::Open, *};
use crate::error::Violation;

const LIMITS: BreakerLimits = BreakerLimits {
    failures: 3,
    over: Duration::from_secs(10),
    wait: (Duration::from_secs(2), Duration::from_secs(8)),
};
const BUDGET: Duration = Duration::from_secs(5);
const GONE: News = News::Fault(Fault::Unreachable);

/// A machine, and a clock that begins when it does.
struct Bench {
    machine: Machine,
    start: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { machine: Machine::new(Some(LIMITS)), start: Instant::now() }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn call(&mut self, function: Function, at: u64) -> Option<Pass> {
        self.machine.admit(function, BUDGET, self.at(at))
    }

    /// A call that is let through, and comes to that at once.
    #[track_caller]
    fn comes_to(&mut self, function: Function, news: News, at: u64) -> Option<Turn> {
        let pass = self.call(function, at).expect("it is let through");
        self.machine.told(pass, function, news, self.at(at))
    }

    /// One that has just opened, at 10 s.
    fn opened() -> Self {
        let mut bench = Self::new();
        for at in [0, 5] {
            assert_eq!(bench.comes_to(Function::Status, GONE, at), None);
        }
        assert_eq!(bench.comes_to(Function::Status, GONE, 10), Some(Turn::Opened));
        bench
    }

    #[track_caller]
    fn assert_open(&self, until: u64, failures: u32) {
        let open = self.machine.open().expect("it is open");
        assert_eq!((open.until - self.start).as_secs(), until);
        assert_eq!(open.failures, failures);
    }
}

#[test]
fn it_opens_after_enough_failures_over_long_enough() {
    Bench::opened().assert_open(12, 3);
    // Many at once are not enough: all calls that were under way may fail of one thing.
    let mut many = Bench::new();
    for _ in 0..100 {
        assert_eq!(many.comes_to(Function::Run, GONE, 0), None);
    }
    assert!(many.machine.open().is_none());
    // Nor are few in a long time.
    let mut few = Bench::new();
    assert_eq!(few.comes_to(Function::Run, GONE, 0), None);
    assert_eq!(few.comes_to(Function::Run, GONE, 1_000), None);
    assert!(few.machine.open().is_none());
}

#[test]
fn one_answer_in_between_begins_the_count_anew() {
    let mut bench = Bench::new();
    for at in [0, 6, 12, 18, 24] {
        assert_eq!(bench.comes_to(Function::Run, GONE, at), None, "at {at} s");
        assert_eq!(bench.comes_to(Function::Run, GONE, at + 1), None);
        assert_eq!(bench.comes_to(Function::Status, News::Well, at + 2), None);
    }
    assert!(bench.machine.is_calm());
}

#[test]
fn what_says_nothing_neither_counts_nor_begins_it_anew() {
    let mut bench = Bench::new();
    for at in 0..10 {
        assert_eq!(bench.comes_to(Function::Run, News::Nothing, at), None);
        assert_eq!(bench.comes_to(Function::Run, News::FaultOfTry(Fault::Lost), at), None);
    }
    assert!(bench.machine.is_calm(), "a death is the runner's own matter");
    for at in [10, 20] {
        assert_eq!(bench.comes_to(Function::Status, GONE, at), None);
        assert_eq!(bench.comes_to(Function::Run, News::Nothing, at), None);
    }
    assert_eq!(bench.comes_to(Function::Status, GONE, 21), Some(Turn::Opened));
}

#[test]
fn it_is_tried_by_one_call_after_waits_that_double_up_to_a_most() {
    let mut bench = Bench::opened();
    assert_eq!(bench.call(Function::Status, 11), None, "the wait is not over");
    for (at, next) in [(12, 16), (16, 24), (24, 32), (32, 40)] {
        let pass = bench.call(Function::Run, at).expect("it tries");
        assert_eq!(bench.call(Function::Status, at), None, "one at a time");
        assert!(bench.machine.open().is_some_and(Open::is_trying));
        assert_eq!(bench.machine.told(pass, Function::Run, GONE, bench.at(at)), None);
        assert_eq!(bench.call(Function::Status, next - 1), None);
        assert!(!bench.machine.open().is_some_and(Open::is_trying));
    }
    bench.assert_open(40, 7);
    let closed = bench.comes_to(Function::Status, News::Well, 41);
    assert_eq!(closed, Some(Turn::Closed { after: Duration::from_secs(31) }));
    assert!(bench.machine.is_calm());
}

#[test]
fn what_ends_something_tries_at_once_and_puts_nothing_off() {
    for function in Function::ALL {
        let mut bench = Bench::opened();
        let is_let = bench.call(function, 11).is_some();
        let wanted = matches!(function, Function::Kill | Function::StopServer | Function::Cleanup);
        assert_eq!(is_let, wanted, "{function}");
    }
    let mut bench = Bench::opened();
    for _ in 0..20 {
        assert_eq!(bench.comes_to(Function::Kill, GONE, 11), None);
    }
    bench.assert_open(12, 23);
    let kill = bench.call(Function::Kill, 11).expect("it tries");
    assert_eq!(bench.call(Function::Kill, 11), None, "one at a time");
    let told = bench.machine.told(kill, Function::Kill, News::Well, bench.at(11));
    assert_eq!(told, Some(Turn::Closed { after: Duration::from_secs(1) }));
}

#[test]
fn a_try_that_says_nothing_is_followed_by_the_next_call() {
    let mut bench = Bench::opened();
    assert_eq!(bench.comes_to(Function::Run, News::Nothing, 12), None);
    bench.assert_open(12, 3);
    assert_eq!(bench.comes_to(Function::Run, News::FaultOfTry(Fault::NoThread), 12), None);
    bench.assert_open(16, 4);
}

#[test]
fn a_try_that_nobody_tells_of_is_given_up_after_its_deadline() {
    let mut bench = Bench::opened();
    let silent = bench.call(Function::Status, 12).expect("it tries");
    assert_eq!(bench.call(Function::Status, 17), None, "its deadline has only just passed");
    assert_eq!(bench.call(Function::Status, 18), None, "it has failed, and the wait is longer");
    bench.assert_open(22, 4);
    // What it comes to after all changes nothing.
    assert_eq!(bench.machine.told(silent, Function::Status, News::Well, bench.at(19)), None);
    bench.assert_open(22, 4);
}

#[test]
fn what_began_before_is_old_news() {
    let mut bench = Bench::new();
    let old = bench.call(Function::Run, 0).expect("it is closed");
    for at in [0, 5, 10] {
        bench.comes_to(Function::Status, GONE, at);
    }
    assert_eq!(bench.machine.told(old, Function::Run, News::Well, bench.at(11)), None);
    bench.assert_open(12, 3);
    // And what failed while it was open is no failure of the time after.
    assert!(bench.comes_to(Function::Status, News::Well, 12).is_some());
    assert_eq!(bench.machine.told(old, Function::Run, GONE, bench.at(13)), None);
    assert!(bench.machine.is_calm());
}

#[test]
fn without_limits_it_never_opens() {
    let mut bench = Bench { machine: Machine::new(None), start: Instant::now() };
    for at in 0..1_000 {
        assert_eq!(bench.comes_to(Function::Status, GONE, at), None);
    }
    assert!(bench.machine.is_calm());
}

#[test]
fn each_kind_of_answer_says_what_it_says() {
    use Fault::{Deadline, Lost, NoThread, Panicked, Unknown, Unreachable};
    let failed = |error| Err(CallError::Failed(error));
    let failure = Failure { kind: kind::PANIC, message: "x".into(), field: "".into() };
    let panicked = failed(failure.into());
    let not_sent = |reason| Err(CallError::NotSent { reason });
    let violation = Err(CallError::Violation(Violation {
        clause: Clause::StatusCount,
        function: Function::Status,
        detail: String::new(),
        claimed: Vec::new(),
    }));
    let broken = News::Fault(Fault::Violation(Clause::StatusCount));
    let waited = Duration::ZERO;
    for (answer, in_time, late) in [
        (Ok(()), News::Well, News::Fault(Deadline)),
        (failed(Error::unreachable("x")), News::Fault(Unreachable), News::Fault(Deadline)),
        (failed(Error::unknown("x")), News::Fault(Unknown), News::Fault(Deadline)),
        (failed(Error::cancelled("x")), News::Nothing, News::Fault(Deadline)),
        (failed(Error::other("x")), News::Nothing, News::Fault(Deadline)),
        (failed(Error::retryable("x")), News::Nothing, News::Fault(Deadline)),
        (failed(Error::permanent("x")), News::Nothing, News::Fault(Deadline)),
        (failed(Error::config("field", "x")), News::Nothing, News::Fault(Deadline)),
        (panicked, News::Fault(Panicked), News::Fault(Panicked)),
        (violation, broken, broken),
        (Err(CallError::Gone), News::FaultOfTry(Lost), News::FaultOfTry(Lost)),
        (Err(CallError::Died { how: "x".into() }), News::FaultOfTry(Lost), News::FaultOfTry(Lost)),
        (not_sent(NotSent::OutOfTime { waited }), News::FaultOfTry(NoThread), News::FaultOfTry(NoThread)),
        (not_sent(NotSent::RunnerDown { why: "x".into() }), News::Nothing, News::Nothing),
        (not_sent(NotSent::ShutDown), News::Nothing, News::Nothing),
        (not_sent(NotSent::TurnedDown { why: "x".into() }), News::Nothing, News::Nothing),
    ] {
        assert_eq!((News::of(&answer, false), News::of(&answer, true)), (in_time, late), "{answer:?}");
    }
}

#[test]
fn it_says_since_when_why_and_until_when_it_is_open_and_nothing_of_what_the_provider_said() {
    let limits = BreakerLimits { failures: 2, over: Duration::ZERO, wait: LIMITS.wait };
    let breaker = Breaker::new(Some(limits));
    let fails = || {
        let pass = breaker.admit(Function::Status, BUDGET).expect("it is closed");
        let answer: Answer<()> = Err(CallError::Failed(Error::unreachable("PASSWORD=hunter2 was refused")));
        breaker.told("test", pass, Function::Status, News::of(&answer, false));
    };
    fails();
    assert_eq!(breaker.state(), BreakerState { failures: 1, open: None, openings: 0 });
    fails();
    let open = breaker.admit(Function::Run, BUDGET).expect_err("it is open");
    assert_eq!(breaker.state(), BreakerState { failures: 2, open: Some(open), openings: 1 });
    assert_eq!(open.until.duration_since(open.since).ok(), Some(LIMITS.wait.0));
    let known = BreakerOpen {
        since: SystemTime::UNIX_EPOCH,
        until: SystemTime::UNIX_EPOCH + Duration::from_secs(61),
        ..open
    };
    assert_eq!(
        NotSent::BreakerOpen(known).to_string(),
        "the provider's circuit breaker is open since 1970-01-01T00:00:00Z, as 2 calls in a row failed (the last: status \
         could not reach its backend); it is tried again from 1970-01-01T00:01:01Z on"
    );
    let tried = BreakerOpen { is_trying: true, fault: Fault::Violation(Clause::StatusCount), ..known };
    assert!(tried.to_string().ends_with(
        "(the last: status broke STATUS-1 with its answer); a call tries right now whether it is over"
    ));
    let pass = breaker.admit(Function::Kill, BUDGET).expect("what ends what costs is the try itself");
    breaker.told("test", pass, Function::Kill, News::Well);
    assert!(breaker.admit(Function::Run, BUDGET).is_ok());
    assert_eq!(breaker.state(), BreakerState { failures: 0, open: None, openings: 1 });
}

/// What may happen to a machine.
#[derive(Clone, Debug)]
enum Step {
    /// A call asks to be let through.
    Call(Function),
    /// One of those that were let through comes to something.
    Comes(prop::sample::Index, News),
    /// Time passes, in milliseconds.
    Passes(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let function = prop::sample::select(Function::ALL.to_vec());
    let news = prop::sample::select(vec![
        News::Well,
        GONE,
        GONE,
        GONE,
        News::Fault(Fault::Deadline),
        News::FaultOfTry(Fault::Lost),
        News::Nothing,
    ]);
    let step = prop_oneof![
        3 => function.prop_map(Step::Call),
        3 => (any::<prop::sample::Index>(), news).prop_map(|(which, news)| Step::Comes(which, news)),
        2 => (0_u64..6_000).prop_map(Step::Passes),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn it_keeps_its_promises_whatever_happens(steps in steps()) {
        let mut machine = Machine::new(Some(LIMITS));
        let mut now = Instant::now();
        let mut out: Vec<(Function, Pass)> = Vec::new();
        // Reckoned apart from it: the faults with no answer in between, and when the first of them came.
        let (mut faults, mut first) = (0_u32, now);
        // The try that is under way, and when it is given up.
        let mut tries: Option<(Pass, Instant)> = None;
        for step in steps {
            let was_open = machine.open().copied();
            match step {
                Step::Passes(millis) => now += Duration::from_millis(millis),
                Step::Call(function) => {
                    tries = tries.filter(|(_, by)| *by > now);
                    let pass = machine.admit(function, BUDGET, now);
                    prop_assert!(was_open.is_some() || pass.is_some(), "a closed one holds nothing back");
                    if let Some(pass) = pass {
                        prop_assert_eq!(pass.is_try(), was_open.is_some());
                        if let Some(open) = was_open {
                            prop_assert!(tries.is_none(), "two try at once");
                            prop_assert!(open.until <= now || function.is_ending(), "it comes too early");
                            tries = Some((pass, now + BUDGET));
                        }
                        out.push((function, pass));
                    }
                }
                Step::Comes(which, news) => {
                    if out.is_empty() {
                        continue;
                    }
                    let (function, pass) = out.swap_remove(which.index(out.len()));
                    let counts = pass.round() == machine.round();
                    let turn = machine.told(pass, function, news, now);
                    if tries.is_some_and(|(tried, _)| tried == pass) {
                        tries = None;
                    }
                    match turn {
                        Some(Turn::Opened) => {
                            prop_assert!(was_open.is_none());
                            prop_assert!(faults + 1 >= LIMITS.failures && now - first >= LIMITS.over);
                        }
                        Some(Turn::Closed { .. }) => {
                            prop_assert!(pass.is_try() && news == News::Well, "only an answered try closes it");
                        }
                        None => prop_assert_eq!(was_open.is_some(), machine.open().is_some()),
                    }
                    match news {
                        News::Well if counts => faults = 0,
                        News::Fault(_) if counts && was_open.is_none() => {
                            if faults == 0 {
                                first = now;
                            }
                            faults += 1;
                            let is_enough = faults >= LIMITS.failures && now - first >= LIMITS.over;
                            prop_assert_eq!(is_enough, machine.open().is_some(), "never closed with so many failures");
                        }
                        _ => {}
                    }
                }
            }
            if let Some(open) = machine.open() {
                prop_assert!(open.until <= now + LIMITS.wait.1, "a wait is never longer than the longest");
            }
            prop_assert_eq!(machine.is_calm(), machine.failures() == 0);
        }
    }
}
