//! What a sequence is made of, and how it is thrown: the same seed gives the same sequences.

use proptest::{
    collection::vec,
    prop_oneof,
    strategy::{BoxedStrategy, Just, Strategy, Union},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::backend::Facts;

/// Clusters of a sequence.
pub(super) const CLUSTERS: usize = 2;

/// The most handles that one call is about.
const PICKS: usize = 4;

/// A step. Instances, launches and handles are numbers that are taken modulo what there is; where there is nothing yet, the
/// step does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Launches workers, so many at most in a container.
    Run {
        instance: usize,
        cluster: usize,
        workers: u32,
        each: u32,
    },
    /// Sends the token of an earlier launch again.
    Again {
        instance: usize,
        launch: usize,
    },
    Status {
        instance: usize,
        cluster: usize,
        picks: Vec<Pick>,
    },
    Kill {
        instance: usize,
        cluster: usize,
        picks: Vec<Pick>,
    },
    List {
        instance: usize,
        cluster: usize,
    },
    /// Waits until all that was launched runs, and all that was killed has stopped.
    Settle,
    /// Drops an instance and makes it anew.
    Renew {
        instance: usize,
    },
}

/// A handle to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// One that the cluster was given, alive or dead.
    Made(usize),
    /// One that nobody gave out.
    Unknown(usize),
}

/// Sequences of one operation to `longest` ones, of what the provider can do.
pub(super) fn sequences(facts: Facts, longest: usize) -> BoxedStrategy<Vec<Op>> {
    let instance = move || 0..facts.instances;
    let cluster = || 0..CLUSTERS;
    let pick =
        prop_oneof![6 => (0..12_usize).prop_map(Pick::Made), 1 => (0..3_usize).prop_map(Pick::Unknown)];
    let picks = vec(pick, 1..=PICKS);
    let workers = prop_oneof![9 => 1..=4_u32, 1 => Just(0_u32)];
    // Shrinking tries earlier kinds in the place of later ones.
    let mut kinds: Vec<(u32, BoxedStrategy<Op>)> = std::vec![
        (
            6,
            (instance(), cluster(), workers, 1..=3_u32)
                .prop_map(|(instance, cluster, workers, each)| Op::Run { instance, cluster, workers, each })
                .boxed(),
        ),
        (
            5,
            (instance(), cluster(), picks.clone())
                .prop_map(|(instance, cluster, picks)| Op::Kill { instance, cluster, picks })
                .boxed(),
        ),
        (
            4,
            (instance(), cluster(), picks)
                .prop_map(|(instance, cluster, picks)| Op::Status { instance, cluster, picks })
                .boxed(),
        ),
        (2, (instance(), 0..8_usize).prop_map(|(instance, launch)| Op::Again { instance, launch }).boxed()),
        (4, Just(Op::Settle).boxed()),
    ];
    if facts.lists {
        let list = (instance(), cluster()).prop_map(|(instance, cluster)| Op::List { instance, cluster });
        kinds.push((3, list.boxed()));
    }
    if facts.renews {
        kinds.push((2, instance().prop_map(|instance| Op::Renew { instance }).boxed()));
    }
    vec(Union::new_weighted(kinds), 1..=longest.max(1)).boxed()
}

/// The thrower of dice of a seed. It reads no file and no variable.
pub(super) fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}
