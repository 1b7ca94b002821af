//! Seeds that are always the same, and seeds that never were before.

use std::{env, thread};

use longshore_simulation::{Coverage, Settings, Soak, Soaked, replay_command, run, tell_failure};

/// Seeds of the fixed set: enough that everything that can happen does.
const FIXED: u64 = 400;
/// Fresh seeds of one test run, where the environment does not say.
const FRESH: u64 = 400;

fn soak(from: u64, seeds: u64) -> Soaked {
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    let settings = Settings::default();
    let soaked = Soak { from, seeds, time: None, jobs, keep_going: false, progress: false, settings }.run();
    if let Some((settings, violation)) = soaked.failures.first() {
        panic!("{}", tell_failure(settings, violation));
    }
    soaked
}

#[test]
fn fixed_seeds_break_no_rule_and_leave_nothing_out() {
    let soaked = soak(1, FIXED);
    assert_eq!(soaked.coverage.seeds, FIXED);
    let missing = soaked.coverage.missing();
    assert!(missing.is_empty(), "in {FIXED} seeds these never happened: {}", missing.join(", "));
}

/// `LONGSHORE_SIM_SEEDS=100000 cargo test -p longshore-simulation --release fresh` runs as many.
#[test]
fn fresh_seeds_break_no_rule() {
    let seeds =
        env::var("LONGSHORE_SIM_SEEDS").ok().map_or(FRESH, |text| text.parse().expect("a number of seeds"));
    // The system's randomness, by way of the keys that it gives to hash tables.
    let from = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), "fresh seeds");
    println!(
        "{seeds} seeds from {from:#x} on: {}",
        replay_command(&Settings { seed: from, ..Settings::default() })
    );
    let soaked = soak(from, seeds);
    println!("{} seeds in {:?}", soaked.coverage.seeds, soaked.took);
}

#[test]
fn a_seed_is_one_run_and_only_one() {
    for seed in [3, 0x1d5, u64::MAX] {
        let settings = Settings { seed, trace: usize::MAX, ..Settings::default() };
        let (first, second) = (run(&settings), run(&settings));
        assert!(first.trace.len() > 20, "something happens");
        assert_eq!(first.trace, second.trace, "seed {seed:#x}");
        assert_eq!(first.strikes, second.strikes);
        let silent = run(&Settings { trace: 0, ..settings });
        assert_eq!(silent.strikes, first.strikes, "to tell it changes nothing");
        assert!(silent.trace.is_empty());
    }
}

#[test]
fn a_fault_that_is_left_out_does_not_strike() {
    let struck = run(&Settings { seed: 3, ..Settings::default() }).strikes;
    let first = *struck.first().expect("faults strike");
    let without = run(&Settings { seed: 3, without: [first.fault].into(), ..Settings::default() });
    assert!(without.strikes.iter().all(|strike| strike.fault != first.fault));
    let skipped = run(&Settings { seed: 3, skip: [first.number].into(), ..Settings::default() });
    assert!(
        skipped.strikes.iter().all(|strike| strike.number != first.number) && !skipped.strikes.is_empty()
    );
    let short = run(&Settings { seed: 3, until: Some(first.at), ..Settings::default() });
    assert!(short.strikes.iter().all(|strike| strike.at <= first.at));
}

#[test]
fn what_never_happened_is_named() {
    let everything = Coverage::everything();
    let missing = Coverage::default().missing();
    assert_eq!(missing.len(), everything.len());
    assert!(everything.len() > 140, "{} kinds of things", everything.len());
    assert!(
        missing.contains(&"fault reply-lost".to_owned()) && missing.contains(&"change recovered".to_owned())
    );
}
