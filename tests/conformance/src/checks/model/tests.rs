//! The check tried on a provider that is made up: it finds each fault that is planted, shortens what shows it to the least
//! that can, says the same for the same seed, and blames nobody who is honest.

use std::{collections::BTreeSet, time::Duration};

use longshore_plugin_api::Clause;
use proptest::strategy::{Strategy as _, ValueTree as _};

use super::{
    backend::Backend as _,
    fake::{Fake, Fault},
    operation::{self, Op},
    play::play,
    search::{Found, Plan, Searched, search},
};

const SEEDS: std::ops::Range<u64> = 0..6;

fn plan(seed: u64) -> Plan {
    Plan {
        seed,
        sequences: super::SEQUENCES,
        length: super::LENGTH,
        shrinks: super::SHRINKS,
        search: Duration::MAX,
        shrink: Duration::MAX,
    }
}

fn searched(seed: u64, backend: &mut Fake) -> Searched {
    search(&plan(seed), backend).expect("the harness is not at fault")
}

/// What is found of a fault with a seed.
fn found(seed: u64, fault: Fault) -> Found {
    let searched = searched(seed, &mut Fake::new(Some(fault)));
    searched.found.unwrap_or_else(|| panic!("{fault:?} was not found with the seed {seed}"))
}

#[test]
fn an_honest_provider_is_blamed_for_nothing() {
    let honest = |change: &dyn Fn(&mut Fake)| {
        let mut fake = Fake::new(None);
        change(&mut fake);
        for seed in SEEDS {
            let searched = searched(seed, &mut fake);
            assert_eq!(searched.played, super::SEQUENCES);
            if let Some(found) = searched.found {
                panic!("seed {seed}: {found:#?}");
            }
        }
    };
    honest(&|_| {});
    honest(&|fake| fake.facts.idempotent = false);
    honest(&|fake| fake.facts.lists = false);
    honest(&|fake| (fake.facts.instances, fake.facts.renews) = (1, false));
    honest(&|fake| fake.facts.most = 4);
    honest(&|fake| fake.refuses = 2);
    honest(&|fake| (fake.starts, fake.stops) = (Duration::ZERO, Duration::ZERO));
    // Nearly as slow as it may be.
    honest(&|fake| (fake.starts, fake.stops) = (Duration::from_secs(9), Duration::from_millis(4_900)));
}

#[test]
fn every_fault_is_found_under_its_clause_and_shown_in_the_fewest_steps() {
    // The length is that of the shortest sequence that shows it, before everything is looked at in the end.
    let faults = [
        (Fault::KillLies, Clause::KillTrue, 1),
        (Fault::KillOfUnknownFails, Clause::KillUnknown, 1),
        (Fault::KillTakesTheNext, Clause::KillNobodyElse, 3),
        (Fault::KillRefuses, Clause::KillTrue, 1),
        (Fault::TheDeadRise, Clause::StatusFinal, 1),
        (Fault::WayBack, Clause::StatusValue, 3),
        (Fault::DiesWithTheInstance, Clause::LoadShutdown, 2),
        (Fault::UnknownRuns, Clause::StatusUnknown, 1),
        (Fault::StatusReversed, Clause::StatusCount, 3),
        (Fault::BlindB, Clause::RunKnown, 1),
        (Fault::TokenLaunchesTwice, Clause::RunOnce, 2),
        (Fault::TokenAnswersAnew, Clause::RunOnce, 2),
        (Fault::HandleComesTwice, Clause::RunFresh, 4),
        (Fault::OneMore, Clause::RunNeverMore, 1),
        (Fault::OneForNone, Clause::RunZero, 1),
        (Fault::ListOfThree, Clause::ListComplete, 4),
        (Fault::ListForgets, Clause::ListSurvives, 2),
        (Fault::ListOfAll, Clause::ListOnlyOurs, 1),
        (Fault::ListOfTheDead, Clause::ListOnlyOurs, 1),
        (Fault::ListCountsOne, Clause::ListComplete, 1),
        (Fault::ListHidesTheDying, Clause::ListComplete, 3),
        (Fault::NeverRuns, Clause::StatusValue, 1),
    ];
    for (fault, clause, length) in faults {
        for seed in SEEDS {
            let found = found(seed, fault);
            assert_eq!(found.breach.clause, clause, "{fault:?}, seed {seed}: {found:#?}");
            assert!(found.ops.len() <= length, "{fault:?}, seed {seed}: {found:#?}");
        }
    }
}

#[test]
fn what_is_shown_can_be_played_again_and_fails_in_the_same_way() {
    for fault in [Fault::TheDeadRise, Fault::ListOfThree, Fault::TokenLaunchesTwice] {
        let found = found(3, fault);
        let again = play(&found.ops, &mut Fake::new(Some(fault)), BTreeSet::new()).expect("no fault of ours");
        assert_eq!(again.breach.map(|breach| breach.clause), Some(found.breach.clause), "{fault:?}");
        // And no step of it is for nothing.
        for place in 0..found.ops.len() {
            let mut fewer = found.ops.clone();
            fewer.remove(place);
            let played =
                play(&fewer, &mut Fake::new(Some(fault)), BTreeSet::new()).expect("no fault of ours");
            let clause = played.breach.map(|breach| breach.clause);
            assert_ne!(clause, Some(found.breach.clause), "{fault:?} without step {place}: {fewer:?}");
        }
    }
}

#[test]
fn the_steps_are_words_for_a_person() {
    let found = found(5, Fault::TokenLaunchesTwice);
    let steps = found.steps.join("\n");
    assert!(steps.contains("run of 1 workers under t1 → w1.1 ×1 (`box-"), "{steps}");
    assert!(steps.contains("run under t1 again → w1.1 ×1 (`box-"), "{steps}");
    assert!(found.steps.last().is_some_and(|step| step.contains("list → w1.1 ×1 of t1, `box-")), "{steps}");
    assert!(found.breach.seen.contains("which was sent again, did not name it"), "{}", found.breach.seen);
}

#[test]
fn one_seed_is_one_search() {
    let sequences = |seed| {
        let strategy = operation::sequences(Fake::new(None).facts(), super::LENGTH);
        let mut runner = operation::runner(seed);
        let mut one = || strategy.new_tree(&mut runner).expect("a sequence").current();
        std::iter::repeat_with(&mut one).take(20).collect::<Vec<_>>()
    };
    assert_eq!(sequences(7), sequences(7));
    assert_ne!(sequences(7), sequences(8));
    let all: Vec<Op> = (0..20).flat_map(sequences).flatten().collect();
    let kinds: BTreeSet<_> =
        all.iter().map(|op| format!("{op:?}").split([' ', '{']).next().map(str::to_owned)).collect();
    assert_eq!(kinds.len(), 7, "every kind of step is thrown: {kinds:?}");

    let (one, two) = (found(7, Fault::KillTakesTheNext), found(7, Fault::KillTakesTheNext));
    assert_eq!((one.ops, one.steps, one.tried), (two.ops, two.steps, two.tried));
}

#[test]
fn the_time_for_it_is_kept_to() {
    let none = Plan { search: Duration::ZERO, ..plan(1) };
    assert_eq!(search(&none, &mut Fake::new(None)).expect("no fault of ours").played, 0);
    let no_shrinking = Plan { shrink: Duration::ZERO, ..plan(1) };
    let searched = search(&no_shrinking, &mut Fake::new(Some(Fault::KillLies))).expect("no fault of ours");
    assert_eq!(searched.found.map(|found| found.tried), Some(0));
    let few = Plan { shrinks: 3, ..plan(1) };
    let searched = search(&few, &mut Fake::new(Some(Fault::KillLies))).expect("no fault of ours");
    assert_eq!(searched.found.map(|found| found.tried), Some(3));
}
