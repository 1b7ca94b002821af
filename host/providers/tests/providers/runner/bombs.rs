//! A runner that says little which means much: frames of the greatest length, full of the smallest of all parts. What comes of each
//! call is what the contract says of such an answer, and the host's memory stays as it is told to.

use std::fs;

use longshore_providers::{Call, CallError, CallLimits, Launched, Provider};
use serde_json::json;

use super::{alone, death, until_back, wild};
use crate::{
    LONG, Way, block_on, handles,
    logging::{lines_of, listen},
    request, scope,
};

/// The longest frame.
const LONGEST: usize = 64 << 20;
/// More than a host takes for what is tried here, and a fraction of what such frames would come to: twenty to fifty times their
/// length.
const MEMORY: usize = 800 << 20;

/// The most memory that this process has had, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("it can be read");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is told");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("it is a number");
    kib << 10
}

/// A number as frames have it.
fn number(mut number: usize) -> Vec<u8> {
    let mut bytes = vec![];
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// What a wild provider is to say: a frame of a head, so many zeros, and an end.
fn frame(head: &[u8], zeros: usize, end: &[u8]) -> String {
    let length = u32::try_from(head.len() + zeros + end.len()).expect("it is no longer than a frame may be");
    let word = |byte: &u8| format!("{byte:02x}");
    let mut words: Vec<_> = length.to_le_bytes().iter().chain(head).map(word).collect();
    words.push(format!("00*{zeros}"));
    words.extend(end.iter().map(word));
    format!("speak {}", words.join(" "))
}

/// The answer to a call, a `run`, with so many handles without a letter.
fn nothings(call: u8, handles: usize) -> String {
    // It has ended, and nobody knows how long it was inside; as a run, of one batch; the lengths; no text, and no shortfall.
    frame(&[&[7, call, 0, 2, 1], &number(handles)[..]].concat(), handles, &[0, 0])
}

fn says(provider: &Provider, what: String) -> Call<Launched> {
    let mut request = request("t", 1, 1);
    request.container.image = Some(what);
    // Tens of millions of anything take their time where nothing is optimized.
    provider.run(&scope(LONG * 4), request)
}

#[test]
fn tens_of_millions_of_empty_handles_are_counted_and_refused() {
    alone("runner::bombs::tens_of_millions_of_empty_handles_are_counted_and_refused", || {
        block_on(async {
            let provider = Way::runner().create(&wild(), json!({}), CallLimits::default()).await;
            let handles_given = LONGEST - 16;
            let error =
                says(&provider, nothings(0, handles_given)).reply().await.expect_err("it is too much");
            let CallError::Violation(violation) = &error else { panic!("{error}") };
            assert_eq!((violation.clause.id(), violation.claimed.len()), ("RUN-2", 0));
            let told = format!("it answered with {handles_given} handles, of at most 1048576 in one answer");
            assert_eq!(violation.detail, told);
            let memory = peak();
            assert!(memory < MEMORY, "{} MiB", memory >> 20);
            // It did nothing that would be reason to end it.
            let statuses = provider.status(&scope(LONG), handles(&["x"])).reply().await;
            assert_eq!((statuses.map(|all| all.len()), provider.restarts()), (Ok(1), 0));
            assert!(provider.shut_down(LONG).await);
        });
    });
}

#[test]
fn many_such_answers_at_once_are_read_one_after_the_other() {
    alone("runner::bombs::many_such_answers_at_once_are_read_one_after_the_other", || {
        block_on(async {
            let provider = Way::runner().create(&wild(), json!({}), CallLimits::default()).await;
            let handles_given = LONGEST / 8;
            let mut calls: Vec<_> =
                (0..4).map(|call| says(&provider, nothings(call, handles_given))).collect();
            for call in &mut calls {
                let error = call.reply().await.expect_err("it is too much");
                assert_eq!(error.clause().map(longshore_plugin_api::Clause::id), Some("RUN-2"), "{error}");
            }
            let memory = peak();
            assert!(memory < MEMORY, "{} MiB", memory >> 20);
            assert_eq!(provider.restarts(), 0);
            assert!(provider.shut_down(LONG).await);
        });
    });
}

#[test]
fn tens_of_millions_of_entries_where_others_belong_are_no_answer() {
    alone("runner::bombs::tens_of_millions_of_entries_where_others_belong_are_no_answer", || {
        listen();
        block_on(async {
            let provider = Way::runner().create_as("lists", &wild(), json!({}), CallLimits::default()).await;
            let entries = (LONGEST - 16) / 3;
            let list = frame(&[&[7, 0, 0, 4], &number(entries)[..]].concat(), entries * 3, &[]);
            let error = says(&provider, list).reply().await.expect_err("it is no answer of a run");
            assert_eq!(error, CallError::Gone);
            until_back(&provider, 1).await;
            let memory = peak();
            assert!(memory < MEMORY, "{} MiB", memory >> 20);
            assert!(provider.shut_down(LONG).await);
        });
    });
}

#[test]
fn whoever_says_too_much_outside_of_an_answer_is_ended_or_passed_over() {
    alone("runner::bombs::whoever_says_too_much_outside_of_an_answer_is_ended_or_passed_over", || {
        listen();
        block_on(async {
            let provider =
                Way::runner().create_as("mutters", &wild(), json!({}), CallLimits::default()).await;
            // A line of its log, of no call, none missed before, of the level of information, with a target and a text.
            let text = LONGEST - 16;
            let line = frame(&[&[8, 0, 0, 3, 0], &number(text)[..]].concat(), text, &[]);
            let mut passed_over = says(&provider, line);
            let statuses = provider.status(&scope(LONG), handles(&["x"])).reply().await;
            assert_eq!(statuses.map(|all| all.len()), Ok(1), "it goes on");
            assert_eq!(provider.restarts(), 0);
            passed_over.cancel();
            passed_over.reply().await.expect_err("it is told to come back");
            assert!(lines_of("mutters").is_empty(), "what is too long is not logged");
            // Guards that are lacking.
            let guards = LONGEST - 16;
            let lacking = frame(&[&[1], &number(guards)[..]].concat(), guards, &[]);
            let error = says(&provider, lacking).reply().await.expect_err("it is ended");
            assert!(error.to_string().contains("more guards are lacking than there are"), "{error}");
            until_back(&provider, 1).await;
            let memory = peak();
            assert!(memory < MEMORY, "{} MiB", memory >> 20);
            assert!(provider.shut_down(LONG).await);
        });
    });
}

#[test]
fn a_large_answer_that_makes_no_sense_ends_its_process_as_a_small_one_does() {
    block_on(async {
        let provider = Way::runner().create(&wild(), json!({}), CallLimits::default()).await;
        for (ends, zeros) in [(1, 16), (2, 300 << 10)] {
            // Each end is of two calls: one that goes on, and one that is answered with nothing that there is.
            let mut goes_on = says(&provider, "wait".to_owned());
            let senseless = frame(&[7, 2 * ends - 1, 0, 99], zeros, &[]);
            let error = says(&provider, senseless).reply().await.expect_err("it is no answer");
            assert_eq!(error, CallError::Gone, "{zeros} bytes");
            let how = death(goes_on.reply().await);
            assert!(how.contains("makes no sense: a frame is no message"), "{zeros} bytes: {how}");
            until_back(&provider, u64::from(ends)).await;
        }
        assert!(provider.shut_down(LONG).await);
    });
}
