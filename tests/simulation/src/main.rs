//! `cargo run -p longshore-simulation --release -- --seeds 100000`: many seeds, or one again, or for as long as one likes.

use std::{
    collections::BTreeSet,
    process::ExitCode,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use longshore_simulation::{Checker, Fault, Mutation, Settings, Soak, replay_command, run, tell_failure};

/// Runs the core of the host through simulated faults.
///
/// Each seed is a run of its own: a cluster, its provider, its journal, its operators, and what goes wrong with them. A
/// seed that fails is told with the command that runs it again.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run this seed alone (0x… or decimal)
    #[arg(long, value_parser = seed, conflicts_with_all = ["seeds", "from", "time"])]
    seed: Option<u64>,
    /// Run so many seeds
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed; drawn from the clock where it is not given
    #[arg(long, value_parser = seed)]
    from: Option<u64>,
    /// Run for so long: 90s, 10m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    time: Option<Duration>,
    /// On so many threads; as many as there are processors where it is not given
    #[arg(long)]
    jobs: Option<usize>,
    /// Tell everything that happens (with --seed)
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Tell how often everything happened
    #[arg(long)]
    coverage: bool,
    /// Go on after a seed that failed, and tell in the end how many broke which rule
    #[arg(long, conflicts_with = "seed")]
    keep_going: bool,
    /// Leave these faults out
    #[arg(long, value_delimiter = ',', value_name = "FAULT")]
    without: Vec<Fault>,
    /// Leave these strikes out, by number
    #[arg(long, value_delimiter = ',', value_name = "NUMBER", requires = "seed")]
    skip: Vec<u32>,
    /// End faults and operators so many milliseconds after the beginning
    #[arg(long, value_name = "MS")]
    until: Option<u64>,
    /// Bend one rule of the core, to see who notices
    #[arg(long)]
    mutate: Option<Mutation>,
}

fn seed(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| error.to_string())
}

fn time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| format!("{text} is not a time such as 90s, 10m or 2h"))?;
    match &text[digits.len()..] {
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_mins(number)),
        "h" => Ok(Duration::from_hours(number)),
        unit => Err(format!("{unit:?} is no unit of time: s, m or h")),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = Settings {
        seed: arguments.seed.unwrap_or_default(),
        without: arguments.without.iter().copied().collect(),
        skip: arguments.skip.iter().copied().collect::<BTreeSet<_>>(),
        until: arguments.until,
        mutation: arguments.mutate,
        trace: 0,
    };
    if arguments.seed.is_some() { one(&arguments, &settings) } else { many(&arguments, settings) }
}

fn one(arguments: &Arguments, settings: &Settings) -> ExitCode {
    let lines = if arguments.trace { usize::MAX } else { 0 };
    let outcome = run(&Settings { trace: lines, ..settings.clone() });
    println!("seed {:#x}\n{}", settings.seed, outcome.shape);
    for line in &outcome.trace {
        println!("{line}");
    }
    if arguments.coverage {
        println!("\n{}", outcome.coverage);
    }
    match outcome.violation {
        None => {
            println!(
                "\nall is well, after {:.1} s of virtual time",
                outcome.coverage.virtual_ms as f64 / 1_000.0
            );
            ExitCode::SUCCESS
        }
        Some(violation) if arguments.trace => {
            println!("\nbroken: {violation}\nreplay: {}", replay_command(settings));
            ExitCode::FAILURE
        }
        Some(violation) => {
            println!("\n{}", tell_failure(settings, &violation));
            ExitCode::FAILURE
        }
    }
}

fn many(arguments: &Arguments, settings: Settings) -> ExitCode {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let from = arguments.from.unwrap_or(now.as_nanos() as u64);
    let unlimited = if arguments.time.is_some() { u64::MAX } else { 10_000 };
    let seeds = arguments.seeds.unwrap_or(unlimited);
    let jobs = arguments.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    println!("seeds from {from:#x} on, on {jobs} threads");
    let soak = Soak {
        from,
        seeds,
        time: arguments.time,
        jobs,
        keep_going: arguments.keep_going,
        progress: true,
        settings,
    };
    let soaked = soak.run();
    let hours = soaked.coverage.virtual_ms as f64 / 3_600_000.0;
    println!(
        "{} seeds in {:.1} s; {hours:.0} hours of virtual time",
        soaked.coverage.seeds,
        soaked.took.as_secs_f64()
    );
    if arguments.coverage {
        println!("\n{}", soaked.coverage);
    }
    for missing in soaked.coverage.missing() {
        println!("never happened: {missing}");
    }
    for checker in Checker::ALL {
        let broken = soaked.failures.iter().filter(|(_, violation)| violation.checker == *checker);
        let seeds: Vec<_> = broken.map(|(settings, _)| format!("{:#x}", settings.seed)).collect();
        if !seeds.is_empty() {
            println!("{checker}: {} seeds, such as {}", seeds.len(), seeds[..seeds.len().min(5)].join(" "));
        }
    }
    match soaked.failures.first() {
        None => {
            println!("no rule was broken");
            ExitCode::SUCCESS
        }
        Some((settings, violation)) => {
            println!("\n{}", tell_failure(settings, violation));
            ExitCode::FAILURE
        }
    }
}
