//! Makes a failing run smaller while the same checker fails: fewer kinds of faults, a shorter time, fewer strikes. Greedy, and
//! bounded in the number of runs.

use std::collections::BTreeSet;

use crate::{
    checkers::Checker,
    world::{Outcome, Settings, run},
};

/// The most runs that one shrinking takes.
const MOST_RUNS: u32 = 600;

/// A failing run, made small.
#[derive(Debug)]
pub struct Shrunk {
    /// How to run it.
    pub settings: Settings,
    /// What comes of it.
    pub outcome: Outcome,
    /// How many runs it took to find.
    pub runs: u32,
}

struct Shrinking {
    checker: Checker,
    best: Settings,
    outcome: Outcome,
    runs: u32,
}

/// Makes a failing run smaller; nothing where the run does not fail.
pub fn shrink(settings: &Settings) -> Option<Shrunk> {
    let outcome = run(settings);
    let checker = outcome.violation.as_ref()?.checker;
    let mut it = Shrinking { checker, best: settings.clone(), outcome, runs: 1 };
    loop {
        let before = it.best.clone();
        it.drop_fault_classes();
        it.end_earlier();
        it.drop_strikes();
        if it.best == before || it.runs >= MOST_RUNS {
            break;
        }
    }
    Some(Shrunk { settings: it.best, outcome: it.outcome, runs: it.runs })
}

impl Shrinking {
    /// Keeps a candidate if the same checker fails there.
    fn attempt(&mut self, candidate: Settings) -> bool {
        if self.runs >= MOST_RUNS || candidate == self.best {
            return false;
        }
        self.runs += 1;
        let outcome = run(&candidate);
        let fails = outcome.violation.as_ref().is_some_and(|violation| violation.checker == self.checker);
        if fails {
            (self.best, self.outcome) = (candidate, outcome);
        }
        fails
    }

    fn drop_fault_classes(&mut self) {
        let struck: BTreeSet<_> = self.outcome.strikes.iter().map(|strike| strike.fault).collect();
        for fault in struck {
            let mut candidate = self.best.clone();
            candidate.without.insert(fault);
            // Strikes are numbered anew when a kind is left out.
            candidate.skip.clear();
            self.attempt(candidate);
        }
    }

    fn end_earlier(&mut self) {
        let Some(at) = self.outcome.violation.as_ref().map(|violation| violation.at) else { return };
        let last = self.outcome.strikes.last().map_or(0, |strike| strike.at);
        let mut high = self.best.until.unwrap_or(u64::MAX).min(at).max(1);
        self.attempt(Settings { until: Some(high), ..self.best.clone() });
        if last + 1 < high && self.attempt(Settings { until: Some(last + 1), ..self.best.clone() }) {
            high = last + 1;
        }
        let mut step = high / 2;
        while step > 100 && self.runs < MOST_RUNS {
            let until = self.best.until.unwrap_or(high);
            let shorter = Some(until.saturating_sub(step).max(1));
            if until <= step || !self.attempt(Settings { until: shorter, ..self.best.clone() }) {
                step /= 2;
            }
        }
    }

    /// Leaves strikes out, in ever smaller portions.
    fn drop_strikes(&mut self) {
        let mut portion = self.outcome.strikes.len().div_ceil(2);
        while portion > 0 {
            let numbers: Vec<_> = self.outcome.strikes.iter().map(|strike| strike.number).collect();
            let mut kept_any = false;
            for some in numbers.chunks(portion) {
                let mut candidate = self.best.clone();
                candidate.skip.extend(some);
                if self.attempt(candidate) {
                    kept_any = true;
                    break;
                }
            }
            if !kept_any {
                portion /= 2;
            }
            if self.runs >= MOST_RUNS {
                return;
            }
        }
    }
}
