//! Each end of a call is counted once, as what it was, however many threads there are.

use std::thread;

use longshore_plugin_api::Error;

use super::*;
use crate::error::Violation;

const TOOK: Took = Took { whole: Duration::from_millis(3), inside: Some(Duration::from_millis(2)) };

fn counted(answer: &Answer<()>, late: bool) -> Tally {
    let tally = Tally::default();
    tally.begun(Function::Status);
    tally.ended(Function::Status, answer, late, TOOK);
    tally
}

fn violation() -> Answer<()> {
    Err(CallError::Violation(Violation {
        clause: Clause::StatusCount,
        function: Function::Status,
        detail: String::new(),
        claimed: Vec::new(),
    }))
}

fn not_sent(reason: NotSent) -> Answer<()> {
    Err(CallError::NotSent { reason })
}

#[test]
fn each_end_is_counted_once_and_as_what_it_was() {
    let one = Figures { calls: 1, ..Figures::default() };
    for (answer, late, wanted) in [
        (Ok(()), false, one),
        (Ok(()), true, Figures { late: 1, ..one }),
        (Err(CallError::Failed(Error::retryable("busy"))), false, Figures { failed: 1, ..one }),
        (Err(CallError::Failed(Error::retryable("busy"))), true, Figures { late: 1, ..one }),
        (violation(), true, Figures { violations: 1, ..one }),
        (Err(CallError::Gone), false, Figures { lost: 1, ..one }),
        (Err(CallError::Died { how: "exited".to_owned() }), false, Figures { lost: 1, ..one }),
        (not_sent(NotSent::ShutDown), false, one),
        (not_sent(NotSent::OutOfTime { waited: Duration::ZERO }), true, Figures { not_sent: 1, ..one }),
    ] {
        let figures = counted(&answer, late).figures();
        assert_eq!(figures, wanted, "{answer:?}");
        assert_eq!(figures.errors(), u64::from(wanted != one), "{answer:?}");
    }
}

#[test]
fn a_function_is_told_with_the_kinds_of_its_errors() {
    let tally = Tally::default();
    let answers = [
        (Ok(()), false),
        (Ok(()), true),
        (Err(CallError::Failed(Error::unreachable("gone"))), false),
        (Err(CallError::Failed(Error::unreachable("gone"))), false),
        (violation(), false),
        (Err(CallError::Died { how: "exited".to_owned() }), false),
        (not_sent(NotSent::QueueFull { threads: 1, queued: 1 }), false),
    ];
    for (answer, late) in &answers {
        tally.begun(Function::Kill);
        tally.ended(Function::Kill, answer, *late, TOOK);
    }
    tally.begun(Function::Kill);
    let told = tally.by_function();
    assert_eq!(told.len(), 1, "of what was never called there is nothing to tell: {told:?}");
    let count = |name: &str, count| BTreeMap::from([(name.to_owned(), count)]);
    let latency = told[0].latency.clone().expect("some came back");
    assert_eq!((latency.count, latency.max_us), (5, 3_000), "a call that never came back took no time");
    let inside = told[0].inside.clone().expect("it is known of them");
    assert_eq!((inside.count, inside.max_us), (5, 2_000), "nor was it inside for any");
    assert_eq!(
        told[0],
        FunctionFigures {
            function: "kill".to_owned(),
            calls: 7,
            under_way: 1,
            answered: 1,
            failed: count("unreachable", 2),
            violations: count("STATUS-1", 1),
            late: 1,
            died: 1,
            lost: 0,
            not_sent: count("queue_full", 1),
            latency: Some(latency),
            inside: Some(inside),
        }
    );
}

#[test]
fn a_call_is_under_way_until_it_ends() {
    let tally = Tally::default();
    tally.begun(Function::Run);
    tally.begun(Function::List);
    assert_eq!(tally.figures(), Figures { under_way: 2, ..Figures::default() });
    tally.ended(Function::Run, &Ok(()), false, TOOK);
    tally.not_sent(Function::List, Unsent::GivenUp);
    assert_eq!(tally.figures(), Figures { calls: 2, not_sent: 1, ..Figures::default() });
}

#[test]
fn nothing_is_inside_for_longer_than_it_lasts_whoever_says_so() {
    let tally = Tally::default();
    let whole = Duration::from_millis(3);
    for inside in
        [None, Some(Duration::from_millis(1)), Some(Duration::MAX), Some(Duration::from_nanos(u64::MAX))]
    {
        tally.begun(Function::List);
        tally.ended(Function::List, &Ok(()), false, Took { whole, inside });
    }
    let told = tally.by_function().remove(0);
    let (latency, inside) =
        (told.latency.expect("they came back"), told.inside.expect("it is known of some"));
    assert_eq!((latency.count, latency.total_us), (4, 12_000));
    assert_eq!((inside.count, inside.total_us, inside.max_us), (3, 7_000, 3_000));
}

#[test]
fn every_reason_has_a_place_of_its_own() {
    for (place, why) in Unsent::ALL.into_iter().enumerate() {
        assert_eq!(why as usize, place, "{why:?}");
    }
    for (place, function) in Function::ALL.into_iter().enumerate() {
        assert_eq!(function as usize, place, "{function}");
    }
}

#[test]
fn the_figures_add_up_under_many_threads() {
    const THREADS: u64 = 8;
    const CALLS: u64 = 1_000;
    let tally = Tally::default();
    thread::scope(|scope| {
        for number in 0..THREADS {
            let tally = &tally;
            scope.spawn(move || {
                for call in 0..CALLS {
                    let function = if call % 2 == 0 { Function::Run } else { Function::Status };
                    tally.begun(function);
                    let answer = match (number + call) % 4 {
                        0 => Err(CallError::Failed(Error::unreachable("gone"))),
                        1 => violation(),
                        _ => Ok(()),
                    };
                    tally.ended(function, &answer, false, TOOK);
                }
            });
        }
        // Whoever looks meanwhile never sees more ends than beginnings, nor more errors than ends.
        for _ in 0..100 {
            let figures = tally.figures();
            assert!(figures.calls + figures.under_way <= THREADS * CALLS, "{figures:?}");
        }
    });
    let (quarter, all) = (THREADS * CALLS / 4, THREADS * CALLS);
    let wanted = Figures { calls: all, failed: quarter, violations: quarter, ..Figures::default() };
    assert_eq!(tally.figures(), wanted);
    let told = tally.by_function();
    let sum = |of: fn(&FunctionFigures) -> u64| told.iter().map(of).sum::<u64>();
    assert_eq!(sum(|it| it.answered), all / 2);
    assert_eq!(sum(|it| it.latency.as_ref().map_or(0, |latency| latency.count)), all);
    assert_eq!(sum(|it| it.inside.as_ref().map_or(0, |inside| inside.count)), all);
}
