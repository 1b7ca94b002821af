//! What was measured, as it is printed.

use std::time::Duration;

use longshore_bench::Runs;

use crate::contender::Contender;

/// The times of one contender with so many containers.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// Until all ran.
    pub(crate) up: Runs,
    /// Until none ran.
    pub(crate) stopped: Runs,
    /// Until none was there.
    pub(crate) gone: Runs,
    /// Until the command returned that made them.
    pub(crate) said_up: Runs,
    /// Until the command returned that ended them.
    pub(crate) said_gone: Runs,
}

/// Prints the times of all contenders; the first is the one that the others are held against.
pub(crate) fn print(network: &str, containers: usize, contenders: &[(Box<dyn Contender + '_>, Times)]) {
    let own = &contenders[0].1;
    println!();
    println!(
        "{:<42} {:>19} {:>6} {:>19} {:>6} {:>19} {:>6} {:>13}",
        format!("0 → {containers} → 0, network {network}, {} rounds", own.up.len()),
        "s until up",
        "ratio",
        "s until stopped",
        "ratio",
        "s until gone",
        "ratio",
        "returned"
    );
    for (contender, times) in contenders {
        let returned = |runs: &Runs| format!("{:.1}", runs.median().as_secs_f64());
        let said = if contender.waits() {
            format!("{} / {}", returned(&times.said_up), returned(&times.said_gone))
        } else {
            "-".to_owned()
        };
        println!(
            "{:<42} {:>19} {:>6} {:>19} {:>6} {:>19} {:>6} {said:>13}",
            contender.name(),
            spread(&times.up),
            ratio(&times.up, &own.up),
            spread(&times.stopped),
            ratio(&times.stopped, &own.stopped),
            spread(&times.gone),
            ratio(&times.gone, &own.gone),
        );
    }
}

/// The median, and the shortest and the longest.
fn spread(runs: &Runs) -> String {
    let seconds = |time: Duration| time.as_secs_f64();
    let [median, low, high] = [50, 0, 100].map(|part| seconds(runs.percentile(part)));
    format!("{median:.2} ({low:.2}-{high:.2})")
}

/// How many times as long as the other.
fn ratio(runs: &Runs, other: &Runs) -> String {
    format!("{:.2}", runs.median().as_secs_f64() / other.median().as_secs_f64())
}
