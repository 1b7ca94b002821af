//! Against a plain map: whatever comes, changes and goes, the sums, the order and the names follow.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;

fn handle(name: &str, workers: u32, phase: Phase) -> Handle {
    Handle {
        name: name.into(),
        workers,
        side: Side(0),
        launch: None,
        launched_at: Time::from_millis(7),
        phase,
    }
}

impl Handles {
    /// Fails where something that follows from the handles does not.
    fn assert_follows_from(&self, model: &BTreeMap<HandleId, Handle>) {
        assert!(self.iter().eq(model.iter().map(|(id, handle)| (*id, handle))));
        assert_eq!((self.len(), self.is_empty()), (model.len(), model.is_empty()));
        let mut tally = Tally::default();
        let (mut initializing, mut dying, mut stubborn) = (Vec::new(), Vec::new(), Vec::new());
        let mut being_killed = Vec::new();
        for (&id, handle) in model {
            assert_eq!(self.get(id), Some(handle));
            assert_eq!(self.find(Side(0), &handle.name), Some(id));
            *tally.of(handle.phase) += u64::from(handle.workers);
            match handle.phase {
                Phase::Initializing { since } => initializing.push((since, id)),
                Phase::Running => {}
                Phase::Terminating { attempts, asked_at, in_flight } => {
                    if in_flight {
                        being_killed.push((id, attempts));
                    } else {
                        dying.push((asked_at, id));
                    }
                    if attempts > 1 {
                        stubborn.push(id);
                    }
                }
            }
        }
        initializing.sort_unstable();
        dying.sort_unstable();
        assert_eq!(self.tally(), tally);
        assert!(self.initializing().eq(initializing) && self.dying().eq(dying));
        assert!(self.being_killed().eq(being_killed));
        assert_eq!(self.stubborn(), stubborn.first().copied());
        assert!(model.keys().all(|id| *id < self.next_id()));
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A handle of this name, numbered so far after the last one.
    Insert(u16, u64, u32, Phase),
    Remove(u64),
    SetPhase(u64, Phase),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let time = || (0..5_u64).prop_map(Time::from_millis);
    let phase = || {
        prop_oneof![
            time().prop_map(|since| Phase::Initializing { since }),
            Just(Phase::Running),
            (0..4_u32, time(), any::<bool>()).prop_map(|(attempts, asked_at, in_flight)| {
                Phase::Terminating { attempts, asked_at, in_flight }
            }),
        ]
    };
    let step = prop_oneof![
        3 => (0..300_u16, 0..3_u64, 1..9_u32, phase())
            .prop_map(|(name, gap, workers, phase)| Step::Insert(name, gap, workers, phase)),
        1 => (0..400_u64).prop_map(Step::Remove),
        2 => (0..400_u64, phase()).prop_map(|(id, phase)| Step::SetPhase(id, phase)),
    ];
    proptest::collection::vec(step, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everything_follows_from_the_handles(steps in steps()) {
        let (mut ours, mut model) = (Handles::default(), BTreeMap::<HandleId, Handle>::new());
        for step in steps {
            match step {
                Step::Insert(name, gap, workers, phase) => {
                    let id = HandleId(ours.next_id().0 + gap);
                    let new = handle(&name.to_string(), workers, phase);
                    let is_new = model.values().all(|known| known.name != new.name);
                    prop_assert_eq!(ours.insert(id, new.clone()), is_new);
                    if is_new {
                        model.insert(id, new);
                    }
                    prop_assert_eq!(ours.next_id(), HandleId(id.0 + 1), "a number is never used again");
                }
                Step::Remove(id) => {
                    let gone = ours.remove(HandleId(id));
                    if let Some(gone) = &gone {
                        prop_assert_eq!(ours.find(Side(0), &gone.name), None);
                    }
                    prop_assert_eq!(gone, model.remove(&HandleId(id)));
                }
                Step::SetPhase(id, phase) => {
                    ours.set_phase(HandleId(id), phase);
                    if let Some(handle) = model.get_mut(&HandleId(id)) {
                        handle.phase = phase;
                    }
                }
            }
            ours.assert_follows_from(&model);
        }
        let mut afresh = Handles::default();
        for (id, handle) in &model {
            afresh.insert(*id, handle.clone());
        }
        afresh.go_on_at(ours.next_id());
        prop_assert_eq!(&afresh, &ours, "how they came to be makes no difference");
        for id in model.keys() {
            afresh.remove(*id);
            prop_assert_ne!(&afresh, &ours);
        }
        afresh.assert_follows_from(&BTreeMap::new());
    }
}

/// A journal that says so is wrong, and whoever is there stays.
#[test]
fn a_number_is_given_once() {
    let mut handles = Handles::default();
    assert!(handles.insert(HandleId(3), handle("a", 1, Phase::Running)));
    assert!(!handles.insert(HandleId(3), handle("b", 2, Phase::Running)));
    assert!(!handles.insert(HandleId(4), handle("a", 2, Phase::Running)));
    assert_eq!((handles.find(Side(0), "a"), handles.find(Side(0), "b")), (Some(HandleId(3)), None));
    assert_eq!((handles.tally().running, handles.next_id()), (1, HandleId(5)));
}

/// Names whose hashes are alike in all that is kept of them are told apart all the same.
#[test]
fn names_with_one_hash_are_two() {
    let mut seen = HashMap::new();
    let pair = (0_u32..).find_map(|number| {
        let name = number.to_string();
        let before = seen.insert(crate::names::hash(&name), name.clone());
        before.map(|before| (before, name))
    });
    let (first, second) = pair.expect("there are more numbers than hashes");
    let mut handles = Handles::default();
    assert!(handles.insert(HandleId(0), handle(&first, 1, Phase::Running)));
    assert_eq!(handles.find(Side(0), &second), None);
    assert!(handles.insert(HandleId(1), handle(&second, 1, Phase::Running)));
    assert_eq!(
        (handles.find(Side(0), &first), handles.find(Side(0), &second)),
        (Some(HandleId(0)), Some(HandleId(1)))
    );
    handles.remove(HandleId(0));
    assert_eq!((handles.find(Side(0), &first), handles.find(Side(0), &second)), (None, Some(HandleId(1))));
}

/// Numbers grow for ever: those beyond 32 bits are found by name as well.
#[test]
fn numbers_may_be_as_large_as_they_like() {
    let mut handles = Handles::default();
    for id in [0, u64::from(u32::MAX), 1 << 32, 1 << 63, u64::MAX] {
        assert!(handles.insert(HandleId(id), handle(&id.to_string(), 1, Phase::Running)));
        assert_eq!(handles.find(Side(0), &id.to_string()), Some(HandleId(id)));
    }
    assert_eq!(handles.next_id(), HandleId(u64::MAX));
}

/// A cluster that was large gives its room back.
#[test]
fn the_table_of_names_shrinks_with_them() {
    let mut handles = Handles::default();
    for id in 0..10_000 {
        handles.insert(HandleId(id), handle(&id.to_string(), 1, Phase::Running));
    }
    let large = handles.by_name.room();
    for id in 0..9_990 {
        handles.remove(HandleId(id));
    }
    assert!(large >= 10_000 && handles.by_name.room() <= 64, "{} of {large}", handles.by_name.room());
    assert!((9_990..10_000).all(|id| handles.find(Side(0), &id.to_string()) == Some(HandleId(id))));
}

#[test]
fn to_know_its_side_costs_a_handle_nothing() {
    // A number of four bytes lies beside the workers', where there was a gap.
    assert_eq!(size_of::<Handle>(), 64);
}

#[test]
fn a_name_means_another_handle_on_the_other_side() {
    let mut handles = Handles::default();
    let there = Handle { side: Side(1), ..handle("a", 2, Phase::Running) };
    assert!(
        handles.insert(HandleId(0), handle("a", 1, Phase::Running)) && handles.insert(HandleId(1), there)
    );
    assert_eq!(
        (handles.find(Side(0), "a"), handles.find(Side(1), "a")),
        (Some(HandleId(0)), Some(HandleId(1)))
    );
    assert_eq!((handles.tally_on(Side(1)).running, handles.tally().running), (2, 3));
    assert!(handles.remove(HandleId(0)).is_some());
    assert_eq!((handles.count_on(Side(0)), handles.find(Side(1), "a")), (0, Some(HandleId(1))));
}
