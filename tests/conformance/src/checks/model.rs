//! The check `model`: random sequences of calls, and a model that knows which answers are allowed.
//!
//! - `operation`: what a sequence is made of, and how it is thrown from a seed;
//! - `backend`: what is played against, a provider or the tests' own one;
//! - `reference`: the model;
//! - `play`: one sequence, step by step, against both;
//! - `search`: many sequences, and the shortest one of a kind that fails.

mod backend;
#[cfg(test)]
mod fake;
mod operation;
mod play;
mod reference;
mod search;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::{
    bench::Bench,
    quirks::Costly,
    verdict::{Breach, Stop, Verdict},
};

use backend::Real;
use search::Plan;

/// Sequences, and operations in the longest of them.
const SEQUENCES: u32 = 24;
const LENGTH: usize = 24;

/// The same where launches or calls are costly.
const COSTLY_SEQUENCES: u32 = 4;
const COSTLY_LENGTH: usize = 8;

/// How many times as many sequences there are with `--long`, which also lets checks take ten times as long.
const LONG: u32 = 10;

/// The most workers that a sequence has at a time.
const WORKERS: u32 = 12;

/// The most sequences that are tried to shorten one that fails.
const SHRINKS: u32 = 400;

pub(crate) fn model(bench: &Bench) -> Verdict {
    let quirks = bench.quirks();
    let is_costly = quirks.is_costly(Costly::Launches) || quirks.is_costly(Costly::Calls);
    let (sequences, length) = match (is_costly, bench.is_long()) {
        (false, false) => (SEQUENCES, LENGTH),
        (false, true) => (SEQUENCES * LONG, LENGTH),
        (true, false) => (COSTLY_SEQUENCES, COSTLY_LENGTH),
        (true, true) => (COSTLY_SEQUENCES * LONG, LENGTH),
    };
    let limit = if bench.is_long() { quirks.check * LONG } else { quirks.check };
    let plan = Plan {
        seed: bench.seed(),
        sequences,
        length,
        shrinks: SHRINKS,
        // Of the check's time, half is for finding and a quarter for shortening; the rest is for what is under way then, and
        // for the sweep.
        search: limit / 2,
        shrink: limit / 4,
    };
    bench.note(format!(
        "seed {seed}; the same sequences again: longshore conformance {library} --filter model --seed {seed}{long}",
        seed = plan.seed,
        library = bench.path().display(),
        long = if bench.is_long() { " --long" } else { "" },
    ));
    let searched = search::search(&plan, &mut Real::new(bench, bench.modest(WORKERS)))?;
    let Some(found) = searched.found else {
        if searched.played < sequences {
            bench.note(format!(
                "{} of {sequences} sequences were played in {}: `check` of the quirks file allows no more time",
                searched.played,
                whole_seconds(plan.search)
            ));
        }
        return Ok(());
    };
    let steps: Vec<String> =
        found.steps.iter().enumerate().map(|(place, step)| format!("  {}. {step}", place + 1)).collect();
    let Breach { clause, expected, seen } = found.breach;
    Err(Stop::Breach(Breach {
        clause,
        expected,
        seen: format!(
            "{seen}\nin the shortest sequence that shows it (of sequence {}, after {} shorter ones were tried; seed {}):\n{}",
            found.sequence,
            found.tried,
            plan.seed,
            steps.join("\n")
        ),
    }))
}

fn whole_seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}
