//! Many seeds, on several threads, with what they covered added up; and a failing one told so that a person can go on.

use std::{
    fmt::Write as _,
    panic,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    checkers::Violation,
    coverage::Coverage,
    shrink::shrink,
    world::{Settings, run},
};

/// How many lines of a failing run's trace are told.
const TOLD_LINES: usize = 60;

/// How many failing seeds of one thread are remembered.
pub const MOST_FAILURES: usize = 1_000;

/// Which seeds to run.
#[derive(Clone, Debug)]
pub struct Soak {
    /// The first seed; the others follow it.
    pub from: u64,
    /// How many at most.
    pub seeds: u64,
    /// For how long at most.
    pub time: Option<Duration>,
    /// On so many threads.
    pub jobs: usize,
    /// Whether it goes on after a seed that failed.
    pub keep_going: bool,
    /// A line about how far it is goes to the standard error now and then.
    pub progress: bool,
    /// What all runs have in common; its seed does not count.
    pub settings: Settings,
}

/// What came of many seeds.
#[derive(Debug)]
pub struct Soaked {
    /// What happened in all of them, counted.
    pub coverage: Coverage,
    /// The seeds that were seen to fail, and how: one for each thread at most, where it does not keep going, and
    /// [`MOST_FAILURES`] where it does.
    pub failures: Vec<(Settings, Violation)>,
    /// How long it took.
    pub took: Duration,
}

impl Soak {
    /// Runs them, until one fails, or to the end.
    pub fn run(&self) -> Soaked {
        let start = Instant::now();
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let total =
            Mutex::new(Soaked { coverage: Coverage::default(), failures: Vec::new(), took: Duration::ZERO });
        thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| self.work(start, &next, &stop, &total));
            }
        });
        let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
        Soaked { took: start.elapsed(), ..total }
    }

    fn work(&self, start: Instant, next: &AtomicU64, stop: &AtomicBool, total: &Mutex<Soaked>) {
        const BETWEEN_REPORTS: u64 = 5_000;
        let mut own = Coverage::default();
        let mut failures = Vec::new();
        while !stop.load(Ordering::Relaxed) && self.time.is_none_or(|time| start.elapsed() < time) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.seeds {
                break;
            }
            let settings = Settings { seed: self.from.wrapping_add(number), ..self.settings.clone() };
            let outcome = run(&settings);
            own.add(&outcome.coverage);
            if let Some(violation) = outcome.violation {
                if !self.keep_going {
                    stop.store(true, Ordering::Relaxed);
                }
                if failures.len() < MOST_FAILURES {
                    failures.push((settings, violation));
                }
            }
            if self.progress && (number + 1).is_multiple_of(BETWEEN_REPORTS) {
                let seconds = start.elapsed().as_secs_f64();
                let speed = (number + 1) as f64 / seconds;
                eprintln!("{:>10} seeds in {seconds:.0} s, {speed:.0} a second", number + 1);
            }
        }
        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
        total.coverage.add(&own);
        total.failures.append(&mut failures);
    }
}

/// The one command that runs a seed again.
pub fn replay_command(settings: &Settings) -> String {
    let mut command = format!("cargo run -p longshore-simulation -- --seed {:#x}", settings.seed);
    let list = |items: Vec<String>| items.join(",");
    if !settings.without.is_empty() {
        let names = settings.without.iter().map(|fault| fault.name().to_owned()).collect();
        _ = write!(command, " --without {}", list(names));
    }
    if !settings.skip.is_empty() {
        _ = write!(command, " --skip {}", list(settings.skip.iter().map(u32::to_string).collect()));
    }
    if let Some(until) = settings.until {
        _ = write!(command, " --until {until}");
    }
    if let Some(mutation) = settings.mutation {
        _ = write!(command, " --mutate {mutation}");
    }
    command + " --trace"
}

/// All that a person needs of a failing run: what was broken, how to see it again, and what happened before, made small.
pub fn tell_failure(settings: &Settings, violation: &Violation) -> String {
    let mut told = format!("seed {:#x} breaks {violation}\n\n", settings.seed);
    _ = writeln!(told, "replay:  {}", replay_command(settings));
    // The panics of the many runs of a shrinking have been told once.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let shrunk = shrink(&Settings { trace: usize::MAX, ..settings.clone() });
    panic::set_hook(hook);
    let Some(shrunk) = shrunk else {
        told += "It did not fail when it was run again: something beside the seed decides, which is a fault in itself.\n";
        return told;
    };
    _ = writeln!(told, "shrunk:  {}   (after {} runs)\n", replay_command(&shrunk.settings), shrunk.runs);
    _ = writeln!(told, "{}\n", shrunk.outcome.shape);
    told + &excerpt(&shrunk.outcome.trace, &violation.saw)
}

/// The last lines of a trace, and of the lines before those that name what the violation names: a container, or a launch.
fn excerpt(trace: &[String], saw: &str) -> String {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric() && c != '-').map(str::to_owned).collect()
    };
    let is_name = |word: &String| {
        let container =
            word.strip_prefix('c').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        container || word.starts_with("00c0ffee")
    };
    let named: Vec<_> = words(saw).into_iter().filter(is_name).collect();
    let (before, last) = trace.split_at(trace.len().saturating_sub(TOLD_LINES));
    let mut told = String::new();
    let mut left_out = 0;
    for line in before {
        if words(line).iter().any(|word| named.contains(word)) {
            if left_out > 0 {
                _ = writeln!(told, "        ...  {left_out} lines");
                left_out = 0;
            }
            _ = writeln!(told, "{line}");
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        _ = writeln!(told, "        ...  {left_out} lines");
    }
    for line in last {
        _ = writeln!(told, "{line}");
    }
    told
}
