//! Against the standard library's map, and how much room it takes whatever came and went.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

impl<K: Copy + Ord + fmt::Debug, V> Ordered<K, V> {
    /// Runs and the entries that they have room for. Fails where something is out of order.
    fn room(&self) -> (usize, usize) {
        let mut before = None;
        for (start, run) in &self.runs {
            assert!(!run.keys.is_empty() && run.keys.len() == run.values.len());
            assert!(run.keys.capacity() <= RUN, "{} are too many", run.keys.capacity());
            assert!(run.keys[0] >= *start && before < Some(*start), "{start:?} after {before:?}");
            assert!(run.keys.is_sorted());
            before = run.keys.last().copied();
        }
        assert_eq!(self.len, self.runs.values().map(|run| run.keys.len()).sum::<usize>());
        (self.runs.len(), self.runs.values().map(|run| run.keys.capacity()).sum())
    }

    /// Fails where it takes much more than its entries do.
    fn assert_is_close(&self) {
        let (runs, room) = self.room();
        // Two neighbours have more than half a run's entries between them, and no run has twice the room that it needs.
        assert!(runs <= self.len * 4 / RUN + 2, "{} entries in {runs} runs", self.len);
        assert!(room <= self.len * 2 + 2 * FIRST, "{} entries have room for {room}", self.len);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u16),
    Append(u16),
    Remove(u16),
    /// All from here on, so many of them, but for one in so many.
    Thin(u16, u16, u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keys = || 0..2_000_u16;
    let step = prop_oneof![
        4 => keys().prop_map(Step::Insert),
        1 => (0..150_u16).prop_map(Step::Append),
        2 => keys().prop_map(Step::Remove),
        1 => (keys(), 0..800_u16, 2..70_u16).prop_map(|(from, count, spare)| Step::Thin(from, count, spare)),
    ];
    proptest::collection::vec(step, 0..150)
}

proptest! {
    #[test]
    fn it_does_what_a_map_does(steps in steps()) {
        let (mut ours, mut model) = (Ordered::default(), BTreeMap::new());
        for (value, step) in steps.into_iter().enumerate() {
            let remove = |ours: &mut Ordered<_, _>, model: &mut BTreeMap<_, _>, key| {
                assert_eq!(ours.remove(key), model.remove(&key));
            };
            match step {
                Step::Insert(key) => {
                    prop_assert_eq!(ours.insert(key, value), !model.contains_key(&key));
                    model.entry(key).or_insert(value);
                }
                Step::Append(count) => {
                    let next = model.last_key_value().map_or(0, |(last, _)| last + 1);
                    for key in next..next + count {
                        prop_assert!(ours.insert(key, value));
                        model.insert(key, value);
                    }
                }
                Step::Remove(key) => remove(&mut ours, &mut model, key),
                Step::Thin(from, count, spare) => {
                    for key in (from..from + count).filter(|key| key % spare != 0) {
                        remove(&mut ours, &mut model, key);
                    }
                }
            }
            ours.assert_is_close();
            prop_assert!(ours.iter().map(|(key, value)| (key, *value)).eq(model.clone()));
            prop_assert!(ours.keys().eq(model.keys().copied()));
            prop_assert_eq!((ours.len(), ours.is_empty()), (model.len(), model.is_empty()));
        }
        for key in 0..2_200 {
            prop_assert_eq!(ours.get(key), model.get(&key));
            prop_assert_eq!(ours.get_mut(key), model.get_mut(&key));
        }
        let mut afresh = Ordered::default();
        for (key, value) in model {
            afresh.insert(key, value);
        }
        prop_assert_eq!(&ours, &afresh, "equal, however cut into runs");
        if let Some((key, value)) = ours.iter().next() {
            let value = value + 1;
            afresh.remove(key);
            prop_assert_ne!(&ours, &afresh);
            afresh.insert(key, value);
            prop_assert_ne!(&ours, &afresh);
        }
    }
}

#[test]
fn keys_that_only_grow_fill_their_runs() {
    let mut ours = Ordered::default();
    for key in 0..RUN * 100 {
        ours.insert(key, ());
    }
    assert_eq!(ours.room(), (100, RUN * 100));
}

#[test]
fn keys_that_only_fall_fill_their_runs() {
    let mut ours = Ordered::default();
    for key in (0..RUN * 100).rev() {
        ours.insert(key, ());
    }
    assert_eq!(ours.room(), (100, RUN * 100));
}

#[test]
fn a_small_one_has_little_room() {
    let mut ours = Ordered::default();
    ours.insert(1, ());
    assert_eq!(ours.room(), (1, FIRST));
}

/// For years entries come at the end and go, all but one in a thousand: those that stay are spread thin over the numbers.
#[test]
fn survivors_of_long_churn_take_no_more_than_newcomers() {
    let mut ours = Ordered::default();
    let living = 500;
    for key in 0..400_000_u64 {
        ours.insert(key, ());
        if key >= living && (key - living) % 1_000 != 0 {
            ours.remove(key - living);
        }
        if key % 1_000 == 0 {
            ours.assert_is_close();
        }
    }
    assert_eq!(ours.len(), 400 + living as usize);
    ours.assert_is_close();
    for key in 0..400_000 {
        ours.remove(key);
    }
    assert_eq!((ours.room(), ours.is_empty()), ((0, 0), true));
}
