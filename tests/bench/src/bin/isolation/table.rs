//! What was measured, as it is printed.

use std::time::Duration;

use longshore_bench::{Millis, Runs};

use crate::{SUBPROCESS, life::Life};

fn micros(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e6)
}

/// The calls of everybody with so many handles, and how many times as long as a subprocess each takes.
pub(crate) fn calls(handles: u32, ways: &[(&str, &Runs)]) {
    let own = ways.iter().find(|(name, _)| *name == SUBPROCESS).expect("it is one of them").1;
    println!();
    println!(
        "{:<52} {:>11} {:>11} {:>8} {:>8}",
        format!("status of {handles} handles, {} calls", own.len()),
        "p50 µs",
        "p99 µs",
        "ratio",
        "ratio"
    );
    for (name, runs) in ways {
        let ratio = |part: usize| {
            let ratio = runs.percentile(part).as_secs_f64() / own.percentile(part).as_secs_f64();
            format!("{ratio:.2}")
        };
        let [p50, p99] = [50, 99].map(|part| micros(runs.percentile(part)));
        println!("{name:<52} {p50:>11} {p99:>11} {:>8} {:>8}", ratio(50), ratio(99));
    }
}

/// What no way with threads can be faster than.
pub(crate) fn floor(what: &str, runs: &Runs) {
    println!();
    let [p50, p99] = [50, 99].map(|part| micros(runs.percentile(part)));
    println!("{what:<52} {p50:>11} {p99:>11}");
}

/// What is there beside calls.
pub(crate) fn life(lives: &[Life]) {
    println!();
    println!(
        "{:<36} {:>17} {:>17} {:>17}",
        "medians, and the longest", "start to call ms", "resident MB", "crash to call ms"
    );
    for Life { name, begin, resident, again } in lives {
        let spread = |runs: &Runs| format!("{} / {}", Millis(runs.median()), Millis(runs.percentile(100)));
        let mut resident = resident.clone();
        resident.sort_unstable();
        let megabytes = resident.get(resident.len() / 2).map(|bytes| format!("{:.1}", *bytes as f64 / 1e6));
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        println!(
            "{name:<36} {:>17} {:>17} {:>17}",
            spread(begin),
            or_none(megabytes),
            or_none(again.as_ref().map(spread))
        );
    }
}
