//! Each checker has been seen to fail: for each there is a rule to bend, and a seed that shows it. A checker that nobody can
//! make fail proves nothing.

use std::{collections::BTreeSet, panic, thread};

use longshore_simulation::{Checker, Mutation, Settings, run, tell_failure};

/// Within so many seeds a bent rule is noticed by the checker that is there for it.
const SEEDS: u64 = 600;

fn caught(mutation: Mutation) -> Result<Settings, String> {
    let mut others = BTreeSet::new();
    for seed in 1..=SEEDS {
        let settings = Settings { seed, mutation: Some(mutation), ..Settings::default() };
        match run(&settings).violation {
            Some(violation) if violation.checker == mutation.caught_by() => return Ok(settings),
            Some(violation) => _ = others.insert(violation.checker.name()),
            None => {}
        }
    }
    Err(format!("{mutation}: {} does not see it in {SEEDS} seeds; {others:?} do", mutation.caught_by()))
}

#[test]
fn every_checker_sees_what_it_is_there_for() {
    // The panics are what is looked for.
    panic::set_hook(Box::new(|_| {}));
    let missed: Vec<_> = thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            scope.spawn(move || {
                let own = Mutation::ALL.iter().enumerate().filter(move |(n, _)| n % 2 == half);
                own.filter_map(|(_, mutation)| caught(*mutation).err()).collect::<Vec<_>>()
            })
        });
        halves.into_iter().flat_map(|half| half.join().expect("it runs to its end")).collect()
    });
    _ = panic::take_hook();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn every_checker_has_a_mutation() {
    let seen: BTreeSet<_> = Mutation::ALL.iter().map(|mutation| mutation.caught_by()).collect();
    let unseen: Vec<_> = Checker::ALL.iter().filter(|checker| !seen.contains(checker)).collect();
    assert!(unseen.is_empty(), "nobody has seen these fail: {unseen:?}");
}

#[test]
fn a_failing_seed_is_told_with_all_that_one_needs() {
    let settings = caught(Mutation::KillsOneMore).expect("it is caught");
    let violation = run(&settings).violation.expect("it fails again");
    let told = tell_failure(&settings, &violation);
    let replay = format!(
        "cargo run -p longshore-simulation -- --seed {:#x} --mutate kills-one-more --trace",
        settings.seed
    );
    assert!(told.contains(&replay), "{told}");
    assert!(
        told.contains("kills-have-reason") && told.contains("shrunk:") && told.contains("BROKEN"),
        "{told}"
    );
    assert!(told.contains("provider") && told.contains("policy"), "{told}");
    // It was made smaller: what has nothing to do with it is left out.
    let shrunk = longshore_simulation::shrink(&settings).expect("it fails");
    let (before, after) = (run(&settings).strikes.len(), shrunk.outcome.strikes.len());
    assert!(after * 4 <= before, "{before} strikes became {after}");
    assert_eq!(shrunk.outcome.violation.map(|violation| violation.checker), Some(Checker::KillsHaveReason));
    assert_eq!(
        run(&shrunk.settings).violation.map(|violation| violation.checker),
        Some(Checker::KillsHaveReason)
    );
}
