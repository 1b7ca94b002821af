//! By example, against every subset of a few handles, and against a plain exact search of many.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use proptest::prelude::*;

use super::{sums::Sums, *};

fn running(id: u32, workers: u32, launched_at: u64) -> Candidate<u32> {
    Candidate { id, workers, initializing: false, launched_at }
}

fn initializing(id: u32, workers: u32, launched_at: u64) -> Candidate<u32> {
    Candidate { initializing: true, ..running(id, workers, launched_at) }
}

/// Handles of one class, numbered from 0.
fn alike_in_age(workers: &[u32]) -> Vec<Candidate<u32>> {
    (0..).zip(workers).map(|(id, &workers)| running(id, workers, 0)).collect()
}

/// The handles chosen, the newest first, and their workers.
fn newest(candidates: &[Candidate<u32>], surplus: u64) -> (Vec<u32>, u64) {
    let Choice { handles, workers } = choose(candidates, surplus, Prefer::Newest);
    (handles, workers)
}

#[test]
fn nothing_is_chosen_from_nothing() {
    assert_eq!(newest(&[], 0), (vec![], 0));
    assert_eq!(newest(&[], 7), (vec![], 0));
}

#[test]
fn nothing_is_chosen_for_no_surplus() {
    assert_eq!(newest(&alike_in_age(&[1, 2, 3]), 0), (vec![], 0));
}

#[test]
fn everything_is_chosen_for_a_surplus_of_everything_or_more() {
    let candidates = [running(1, 4, 10), running(2, 2, 20), initializing(3, 1, 5)];
    assert_eq!(newest(&candidates, 7), (vec![3, 2, 1], 7));
    assert_eq!(newest(&candidates, u64::MAX), (vec![3, 2, 1], 7));
}

/// The seed: "If a handle is shared by multiple workers, all workers with the same handle should be killed". So a handle
/// with more workers than the surplus stays.
#[test]
fn sharing_blocks_what_would_kill_too_many() {
    assert_eq!(newest(&alike_in_age(&[4]), 3), (vec![], 0));
    assert_eq!(newest(&alike_in_age(&[4, 4, 4]), 11), (vec![0, 1], 8));
    assert_eq!(newest(&alike_in_age(&[6, 6, 4]), 15), (vec![0, 1], 12), "16 would be too many");
}

#[test]
fn what_is_initializing_goes_first_however_old() {
    let candidates =
        [running(1, 1, 300), initializing(2, 1, 100), initializing(3, 1, 200), running(4, 1, 400)];
    assert_eq!(newest(&candidates, 3), (vec![3, 2, 4], 3));
}

#[test]
fn the_newest_goes_first_unless_the_oldest_is_preferred() {
    let candidates = [running(1, 1, 20), running(2, 1, 30), running(3, 1, 10)];
    assert_eq!(choose(&candidates, 2, Prefer::Newest).handles, [2, 1]);
    assert_eq!(choose(&candidates, 2, Prefer::Oldest).handles, [3, 1]);
    assert_eq!(Prefer::default(), Prefer::Newest);
}

#[test]
fn the_sum_comes_before_the_order() {
    let candidates = [running(1, 3, 20), running(2, 4, 10)];
    assert_eq!(newest(&candidates, 6), (vec![2], 4), "the older has more of the surplus");
    let candidates = [initializing(1, 3, 20), running(2, 5, 10), running(3, 2, 5)];
    assert_eq!(newest(&candidates, 5), (vec![1, 3], 5), "of equal sums, the one with the initializing");
}

#[test]
fn an_early_class_is_spared_no_more_than_the_sum_needs() {
    // 9 is 5 + 4 or 3 + 4 + 2. Both threes of the newest class leave 3, which no others make up.
    let candidates =
        [running(1, 3, 30), running(2, 3, 30), running(3, 4, 20), running(4, 5, 10), running(5, 2, 10)];
    assert_eq!(newest(&candidates, 9), (vec![1, 3, 5], 9));
}

#[test]
fn a_later_class_gives_no_more_than_the_earlier_ones_leave() {
    let candidates = [running(1, 6, 30), running(2, 3, 30), running(3, 2, 20), running(4, 5, 10)];
    assert_eq!(newest(&candidates, 5), (vec![2, 3], 5), "the oldest alone would do, but it is the oldest");
}

/// As many changes to the simple choice as containers of these sizes can make necessary.
#[test]
fn many_handles_are_spared_where_nothing_less_adds_up() {
    let of = |first: Range<u32>, workers: u32, launched_at: u64| {
        first.map(move |id| running(id, workers, launched_at))
    };
    let sevens_first: Vec<_> = of(0..10, 7, 20).chain(of(10..20, 8, 10)).collect();
    assert_eq!(
        newest(&sevens_first, 77),
        ((0..3).chain(10..17).collect(), 77),
        "77 is 3 sevens and 7 eights only"
    );
    let one_class: Vec<_> = of(0..10, 8, 0).chain(of(10..20, 7, 0)).collect();
    assert_eq!(
        newest(&one_class, 81),
        ((0..4).chain(10..17).collect(), 81),
        "81 is 4 eights and 7 sevens only"
    );
}

#[test]
fn a_class_gives_the_fewest_containers() {
    assert_eq!(newest(&alike_in_age(&[4, 3, 3, 1, 1]), 6), (vec![1, 2], 6));
    assert_eq!(newest(&alike_in_age(&[1, 1, 1, 1, 2, 2, 8]), 4), (vec![4, 5], 4));
}

#[test]
fn of_handles_alike_the_lowest_ids_go() {
    let candidates = [running(9, 2, 0), running(4, 2, 0), running(7, 2, 0), running(1, 1, 0)];
    assert_eq!(newest(&candidates, 4), (vec![4, 7], 4));
}

#[test]
fn a_handle_without_workers_is_never_chosen() {
    assert_eq!(newest(&alike_in_age(&[0, 1, 0]), 0), (vec![], 0));
    assert_eq!(newest(&alike_in_age(&[0, 1, 0]), 5), (vec![1], 1));
    assert_eq!(newest(&alike_in_age(&[0]), 5), (vec![], 0));
}

#[test]
fn huge_containers_that_are_all_or_nothing_cost_nothing() {
    let huge = u32::MAX;
    assert_eq!(
        newest(&alike_in_age(&[huge, huge, huge]), u64::from(huge) * 5 / 2),
        (vec![0, 1], u64::from(huge) * 2)
    );
    assert_eq!(newest(&alike_in_age(&[huge, 1, 1]), 3), (vec![1, 2], 2));
}

#[test]
fn an_order_is_written_in_snake_case() {
    // The names under which a configuration or a journal knows them.
    let named = |name: &'static str| {
        use serde::de::{IntoDeserializer, value::Error};
        Prefer::deserialize(IntoDeserializer::<Error>::into_deserializer(name)).expect("a known name")
    };
    assert_eq!(named("newest"), Prefer::Newest);
    assert_eq!(named("oldest"), Prefer::Oldest);
}

/// What is to be as great as it can be: the workers, then what each class gives in its turn, then the containers spared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Merit {
    workers: u64,
    by_class: Vec<u64>,
    containers: Reverse<usize>,
}

/// The classes in the order in which they should go, said once more and in another way than the code under test says it.
fn classes(candidates: &[Candidate<u32>], prefer: Prefer) -> Vec<Vec<Candidate<u32>>> {
    let mut classes: BTreeMap<(u8, i128), Vec<Candidate<u32>>> = BTreeMap::new();
    for it in candidates.iter().filter(|it| it.workers > 0) {
        let age = if prefer == Prefer::Newest { -i128::from(it.launched_at) } else { it.launched_at.into() };
        classes.entry((if it.initializing { 1 } else { 2 }, age)).or_default().push(*it);
    }
    classes.into_values().collect()
}

fn merit(classes: &[Vec<Candidate<u32>>], chosen: impl Fn(u32) -> bool) -> Merit {
    let of_class = |class: &Vec<Candidate<u32>>| {
        class.iter().filter(|it| chosen(it.id)).map(|it| u64::from(it.workers)).sum::<u64>()
    };
    let by_class: Vec<u64> = classes.iter().map(of_class).collect();
    let containers = classes.iter().flatten().filter(|it| chosen(it.id)).count();
    Merit { workers: by_class.iter().sum(), by_class, containers: Reverse(containers) }
}

/// Chooses, holds the choice to everything but being the best, and says how good it is.
fn chosen(candidates: &[Candidate<u32>], surplus: u64, prefer: Prefer) -> Merit {
    let choice = choose(candidates, surplus, prefer);
    let handles: BTreeSet<u32> = choice.handles.iter().copied().collect();
    assert_eq!(handles.len(), choice.handles.len(), "a handle is chosen once");
    let classes = classes(candidates, prefer);
    let merit = merit(&classes, |id| handles.contains(&id));
    assert_eq!(merit.containers.0, handles.len(), "only candidates with workers are chosen");
    assert_eq!(merit.workers, choice.workers, "the workers are those on the handles");
    assert!(merit.workers <= surplus, "never more than the surplus");
    for class in &classes {
        for (it, other) in class.iter().flat_map(|it| class.iter().map(move |other| (it, other))) {
            let passed_over = it.workers == other.workers && it.id < other.id && !handles.contains(&it.id);
            assert!(!(passed_over && handles.contains(&other.id)), "{} goes before {}", it.id, other.id);
        }
    }
    merit
}

/// The best of all subsets.
fn best_of_all(candidates: &[Candidate<u32>], surplus: u64, prefer: Prefer) -> Merit {
    let classes = classes(candidates, prefer);
    (0_u32..1 << candidates.len())
        .map(|subset| merit(&classes, |id| subset >> id & 1 == 1))
        .filter(|merit| merit.workers <= surplus)
        .max()
        .expect("the empty subset is one")
}

/// The best by plain dynamic programming over every handle and every sum up to the surplus.
fn best_by_tables(candidates: &[Candidate<u32>], surplus: usize, prefer: Prefer) -> Merit {
    let classes = classes(candidates, prefer);
    // The fewest containers of one class for each sum.
    let fewest = |class: &Vec<Candidate<u32>>| {
        let mut fewest = vec![None; surplus + 1];
        fewest[0] = Some(0);
        for it in class {
            for sum in (it.workers as usize..=surplus).rev() {
                let with = fewest[sum - it.workers as usize].map(|containers: usize| containers + 1);
                fewest[sum] = [fewest[sum], with].into_iter().flatten().min();
            }
        }
        fewest
    };
    let tables: Vec<Vec<Option<usize>>> = classes.iter().map(fewest).collect();
    // Whether the classes from one on can make up a sum.
    let mut reach = vec![vec![false; surplus + 1]; classes.len() + 1];
    reach[classes.len()][0] = true;
    for class in (0..classes.len()).rev() {
        let later: Vec<usize> = (0..=surplus).filter(|&sum| reach[class + 1][sum]).collect();
        for sum in 0..=surplus {
            let mut rests = later.iter().take_while(|&&rest| rest <= sum);
            reach[class][sum] = rests.any(|rest| tables[class][sum - rest].is_some());
        }
    }
    let workers = (0..=surplus).rev().find(|&sum| reach[0][sum]).expect("nothing makes up 0");
    let (mut left, mut containers, mut by_class) = (workers, 0, Vec::new());
    for (class, table) in tables.iter().enumerate() {
        let fits = |&own: &usize| table[own].is_some() && reach[class + 1][left - own];
        let own = (0..=left).rev().find(fits).expect("the rest can be made up");
        containers += table[own].expect("it fits");
        left -= own;
        by_class.push(own as u64);
    }
    Merit { workers: workers as u64, by_class, containers: Reverse(containers) }
}

fn prefer() -> impl Strategy<Value = Prefer> {
    prop_oneof![Just(Prefer::Newest), Just(Prefer::Oldest)]
}

/// Up to `most` handles with some of the `sizes`, numbered from 0, in up to `ages` classes of each kind; and a surplus.
fn cluster(
    most: usize,
    sizes: impl Strategy<Value = Vec<u32>>,
    ages: u64,
) -> impl Strategy<Value = (Vec<Candidate<u32>>, u64)> {
    (sizes, 1..=ages, any::<bool>()).prop_flat_map(move |(sizes, ages, mixed)| {
        let handle = (proptest::sample::select(sizes), any::<bool>(), 0..ages);
        (proptest::collection::vec(handle, 0..=most), 0..=1000_u64).prop_map(move |(handles, per_mille)| {
            let candidate = |(id, (workers, waiting, age))| Candidate {
                id,
                workers,
                initializing: mixed && waiting,
                launched_at: age,
            };
            let candidates: Vec<_> = (0..).zip(handles).map(candidate).collect();
            let total: u64 = candidates.iter().map(|it| u64::from(it.workers)).sum();
            (candidates, (total + 1) * per_mille / 1000)
        })
    })
}

/// A few sizes, so that the sums which they cannot make up matter.
fn sizes(range: std::ops::RangeInclusive<u32>, most: usize) -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(range, 1..=most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_subset_is_better((candidates, surplus) in cluster(11, sizes(0..=12, 11), 4), prefer in prefer()) {
        prop_assert_eq!(chosen(&candidates, surplus, prefer), best_of_all(&candidates, surplus, prefer));
    }

    #[test]
    fn no_subset_of_big_containers_is_better(
        (candidates, surplus) in cluster(11, sizes(20..=300, 5), 3),
        prefer in prefer(),
    ) {
        prop_assert_eq!(chosen(&candidates, surplus, prefer), best_of_all(&candidates, surplus, prefer));
    }

    #[test]
    fn the_order_of_the_candidates_does_not_matter(
        (candidates, surplus) in cluster(40, sizes(1..=9, 5), 5),
        prefer in prefer(),
        turn in 0..40_usize,
    ) {
        let mut turned = candidates.clone();
        turned.rotate_left(turn.min(candidates.len()));
        turned.reverse();
        prop_assert_eq!(choose(&candidates, surplus, prefer), choose(&turned, surplus, prefer));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn many_small_containers_are_chosen_as_by_tables(
        (candidates, surplus) in cluster(150, sizes(1..=8, 4), 40),
        prefer in prefer(),
    ) {
        let best = best_by_tables(&candidates, surplus as usize, prefer);
        prop_assert_eq!(chosen(&candidates, surplus, prefer), best);
    }

    #[test]
    fn many_containers_of_odd_sizes_are_chosen_as_by_tables(
        (candidates, surplus) in cluster(60, sizes(10..=60, 5), 6),
        prefer in prefer(),
    ) {
        let best = best_by_tables(&candidates, surplus as usize, prefer);
        prop_assert_eq!(chosen(&candidates, surplus, prefer), best);
    }

    #[test]
    fn a_crowded_class_is_chosen_as_by_tables(
        (candidates, surplus) in cluster(80, sizes(25..=70, 7), 1),
        prefer in prefer(),
    ) {
        let best = best_by_tables(&candidates, surplus as usize, prefer);
        prop_assert_eq!(chosen(&candidates, surplus, prefer), best);
    }
}

proptest! {
    #[test]
    fn sums_are_a_set_of_numbers(
        limit in 0..700_usize,
        moves in proptest::collection::vec((any::<bool>(), prop_oneof![0..4_usize, 0..800_usize]), 0..60),
        start in 0..700_usize,
    ) {
        let start = start.min(limit);
        let (mut sums, mut model) = (Sums::only(start, limit), BTreeSet::from([start]));
        for (raise, by) in moves {
            let mut found = Vec::new();
            if raise { sums.raise(by, |sum| found.push(sum)) } else { sums.lower(by, |sum| found.push(sum)) }
            let moved = |sum: &usize| if raise { Some(sum + by) } else { sum.checked_sub(by) };
            let new: BTreeSet<usize> =
                model.iter().filter_map(moved).filter(|sum| *sum <= limit && !model.contains(sum)).collect();
            found.sort_unstable();
            prop_assert!(found.iter().eq(&new), "{found:?} were found instead of {new:?}");
            model.extend(new);
            prop_assert!(sums.iter().eq(model.iter().copied()));
            prop_assert!((0..=limit).all(|sum| sums.contains(sum) == model.contains(&sum)));
        }
        sums.reset(start);
        prop_assert!(sums.iter().eq([start]));
    }
}
