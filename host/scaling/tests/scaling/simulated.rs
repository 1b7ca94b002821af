//! What the simulator found (`tests/simulation`), each as the few steps that it takes.

use std::{sync::Arc, time::Duration};

use longshore_scaling::{
    Change, Command, LaunchOutcome, Observation, Policy, ProviderTraits, Reason, Seen, Trouble,
};

use crate::world::{World, launch, update};

fn lost() -> Trouble {
    Trouble::new("the connection was reset")
}

/// Two refused answers name the same container, which died in between: the other one is still to be found.
#[test]
fn a_container_that_is_named_again_after_its_end_counts_once() {
    let traits = ProviderTraits { idempotent_run: true, ..ProviderTraits::default() };
    let mut world = World::new(Policy::default(), traits, 2);
    let (id, workers) = launch(&world.turn());
    let made = world.create(id, workers);
    let refused = |claimed: &[(Arc<str>, u32)]| Observation::Launch {
        launch: id,
        outcome: LaunchOutcome::Unknown { trouble: lost(), claimed: claimed.to_vec(), returned: true },
    };
    world.see(&refused(&made[..1]));
    world.set(&made[0].0, Seen::Stopped);
    let (first, _) = world.state.handles().next().expect("it was claimed");
    world.tell(vec![first]);
    assert_eq!((world.state.handle_count(), world.state.unknown()), (0, 1));
    world.see(&refused(&made[..1]));
    assert_eq!(world.state.unknown(), 1, "the second container is as unknown as before");
    world.run_for(Duration::from_mins(2));
    assert_eq!(
        (world.alive(), world.state.tally().running),
        (2, 2),
        "it was found, and the dead one replaced"
    );
}

/// The same by way of a list that still has the dead one.
#[test]
fn a_container_that_is_listed_again_after_its_end_counts_once() {
    let mut world = World::listing(2);
    world.step();
    let (id, workers) = launch(&world.turn());
    let made = world.create(id, workers);
    let claimed = made[..1].to_vec();
    let outcome = LaunchOutcome::Unknown { trouble: lost(), claimed, returned: true };
    world.see(&Observation::Launch { launch: id, outcome });
    let (first, _) = world.state.handles().next().expect("it was claimed");
    world.see(&Observation::Statuses { asked_at: world.now, seen: vec![(first, Seen::Stopped)] });
    assert_eq!(world.state.unknown(), 1);
    // The list lags: it has the dead one, and not yet the other.
    world.pass(Duration::from_secs(10));
    world.turn();
    let stale = world.entry(&made[0].0);
    world.see(&Observation::Listed(Ok(vec![stale])));
    assert_eq!(world.state.unknown(), 1, "the second container is as unknown as before");
}

/// An operator who names the number that is expected already has named it all the same.
#[test]
fn whoever_names_a_number_ends_the_taking_over() {
    let scale = |world: &mut World| world.command(&Command::Scale { expected: 2 });
    let renew = |world: &mut World| {
        let traits = ProviderTraits { list: true, ..ProviderTraits::default() };
        world.command(&update(Policy::default(), traits, 2))
    };
    for name in [scale as fn(&mut World) -> _, renew] {
        let mut world = World::listing(2);
        world.settle();
        world.run_for(Duration::from_secs(10));
        world.command(&Command::Reconnect).expect("it can be listed");
        name(&mut world).expect("legal");
        world.run_for(Duration::from_mins(1));
        assert_eq!(world.count(|change| matches!(change, Change::Reconnected { .. })), 0);
        assert_eq!((world.state.expected(), world.state.tally().running), (2, 2));
    }
}

/// Once nobody is left, nobody minds that a status failed.
#[test]
fn a_status_that_failed_is_not_told_of_for_ever() {
    let mut world = World::plain(1);
    world.settle();
    world.run_for(Duration::from_secs(10));
    let (id, _) = world.state.handles().next().expect("it runs");
    world.command(&Command::Stop).expect("legal");
    world.step();
    // The look finds it gone, and fails in another part.
    world.pass(Duration::from_secs(1));
    world.turn();
    world.see(&Observation::Statuses { asked_at: world.now, seen: vec![(id, Seen::Stopped)] });
    world.see(&Observation::StatusEnded { trouble: Some(lost()) });
    assert_eq!(world.state.handle_count(), 0);
    assert_eq!(world.report().reasons, [Reason::Stopped { expected: 1 }]);
}
