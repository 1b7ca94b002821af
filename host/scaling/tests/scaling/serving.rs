//! What a cluster's providers are made of: recorded once, kept by side and over snapshots and hosts, told in words, and nothing that
//! anything else is decided by.

use std::{sync::Arc, time::Duration};

use longshore_scaling::{
    Build, Change, Command, HandleId, LaunchId, Names, Policy, ProviderTraits, Serving, Side, Standing,
    State, Trouble, Turn, tell,
};

use crate::world::{World, launches, move_to};

const MINUTE: Duration = Duration::from_mins(1);
const OLD: Side = Side(0);
const NEW: Side = Side(1);

fn build(version: &str) -> Build {
    Build { version: version.into(), hash: version.repeat(64).into() }
}

fn serving(version: &str, standing: Standing) -> Serving {
    Serving { build: build(version), standing }
}

fn serve(side: Side, version: &str, standing: Standing, turn: Turn) -> Command {
    Command::Serve { side, provider: "depot".into(), serving: serving(version, standing), turn }
}

fn lose(side: Side, version: &str) -> Command {
    let trouble = Trouble::new("signal 11 (SIGSEGV)");
    Command::Lose { side, provider: "depot".into(), build: build(version), trouble }
}

/// A cluster at rest.
fn running() -> World {
    let mut world =
        World::new(Policy::default(), ProviderTraits { list: true, ..ProviderTraits::default() }, 3);
    world.run_for(MINUTE);
    assert!(world.state.is_converged(), "{}", world.why());
    world
}

struct Nobody;

impl Names for Nobody {
    fn token(&self, _: LaunchId) -> String {
        unreachable!("no launch is told of")
    }

    fn handle(&self, _: HandleId) -> Option<Arc<str>> {
        unreachable!("no handle is told of")
    }
}

/// What is said of the provider, oldest first, without the hashes.
fn story(world: &World) -> Vec<String> {
    let changes = world.records.iter().map(|record| &record.change);
    let of_it = changes.filter(|change| matches!(change, Change::Served { .. } | Change::Unserved { .. }));
    let told = of_it.map(|change| tell(change, &Nobody).replace("provider `depot` ", ""));
    let plain =
        |text: String| text.replace(" (sha256 111111111111)", "").replace(" (sha256 222222222222)", "");
    told.map(plain).collect()
}

#[test]
fn it_is_recorded_once_and_moves_nothing_else() {
    let mut world = running();
    for _ in 0..3 {
        world.command(&serve(OLD, "1", Standing::Settled, Turn::Begun)).expect("never denied");
        assert!(!launches(&world.step()));
    }
    assert_eq!(story(&world), ["serves with 1"]);
    assert_eq!(world.state.serving_on(OLD), Some(&serving("1", Standing::Settled)));
    let generation = world.state.generation();
    // However it came about, what is known already is no news.
    world.command(&serve(OLD, "1", Standing::Settled, Turn::Swapped)).expect("never denied");
    world.command(&serve(OLD, "2", Standing::Watched, Turn::Swapped)).expect("never denied");
    world.run_for(MINUTE);
    assert_eq!(story(&world).len(), 2);
    assert_eq!(
        (world.state.generation(), world.alive()),
        (generation, 3),
        "nothing that is wanted has changed"
    );
    let restored = State::restore(world.state.snapshot()).expect("it is sound");
    assert_eq!(restored, world.state.durable());
    assert_eq!(restored.serving_on(OLD), Some(&serving("2", Standing::Watched)));
    world.restart(2);
    world.command(&serve(OLD, "2", Standing::Watched, Turn::Begun)).expect("never denied");
    assert_eq!(story(&world).len(), 2, "the next host knows it as well");
}

#[test]
fn each_turn_is_told_in_its_own_words() {
    let mut world = running();
    let fault = Some(Trouble::new("one answer of it broke the contract"));
    let canary = || Turn::Promoted { canary: "db".into() };
    for command in [
        serve(OLD, "1", Standing::Settled, Turn::Begun),
        serve(OLD, "2", Standing::Tried, Turn::Swapped),
        serve(OLD, "2", Standing::Watched, canary()),
        serve(OLD, "2", Standing::Settled, Turn::Proved),
        serve(OLD, "1", Standing::Settled, Turn::RolledBack { fault: None }),
        serve(OLD, "2", Standing::Watched, canary()),
        serve(OLD, "1", Standing::Settled, Turn::RolledBack { fault }),
        serve(OLD, "2", Standing::Settled, Turn::Swapped),
        lose(OLD, "2"),
        lose(OLD, "2"),
        serve(OLD, "2", Standing::Settled, Turn::Begun),
        serve(OLD, "1", Standing::Watched, Turn::Begun),
    ] {
        world.command(&command).expect("never denied");
    }
    assert_eq!(
        story(&world),
        [
            "serves with 1",
            "was swapped from 1 to 2; this cluster alone tries it, and it is watched",
            "goes on with 2, which was well here: all its clusters have it now; it is watched",
            "keeps 2, which has proved itself",
            "was rolled back from 2 to 1, as somebody asked",
            "was swapped from 1 to 2, with which cluster `db` was well; it is watched",
            "was rolled back from 2 to 1 by the host itself: one answer of it broke the contract",
            "was swapped from 1 to 2",
            "is not there, and 2 is not run any more: signal 11 (SIGSEGV)",
            "is there again, with 2",
            "serves with 1 in the place of 2; it is watched",
        ]
    );
}

#[test]
fn each_side_has_its_own_and_the_way_back_finds_it() {
    let mut world = running();
    world.command(&serve(OLD, "1", Standing::Settled, Turn::Begun)).expect("never denied");
    let to = |world: &World, from: &str, to: &str| {
        let state = &world.state;
        move_to(state.policy().clone(), state.traits_of(state.side()), state.expected(), from, to)
    };
    let there = to(&world, "old", "new");
    world.command(&there).expect("it may go");
    assert_eq!(world.state.serving_on(NEW), None, "nobody has said it of that one");
    world.command(&serve(NEW, "2", Standing::Settled, Turn::Begun)).expect("never denied");
    world.command(&serve(Side(7), "2", Standing::Settled, Turn::Begun)).expect("never denied");
    world.command(&lose(Side(7), "2")).expect("never denied");
    let both = |world: &World| [OLD, NEW].map(|side| world.state.serving_on(side).cloned());
    let known = [Some(serving("1", Standing::Settled)), Some(serving("2", Standing::Settled))];
    assert_eq!(both(&world), known);
    let restored = State::restore(world.state.snapshot()).expect("it is sound");
    assert_eq!(restored, world.state.durable());
    let back = to(&world, "new", "old");
    world.command(&back).expect("it may turn back");
    assert_eq!(both(&world), known);
    world.run_for(MINUTE * 10);
    assert!(world.state.leaving().is_none(), "{}", world.why());
    assert_eq!(world.state.serving_on(OLD), known[0].as_ref());
    assert_eq!(story(&world).len(), 2, "there is no third side");
}
