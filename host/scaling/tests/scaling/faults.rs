//! What goes wrong, and what the core does then. The faults of the seed that must not return are among them.

use std::time::Duration;

use crate::world::{Container, World, launch, launches, update};
use longshore_scaling::{
    Action, Change, Command, Denied, LaunchOutcome, LaunchPhase, Observation, Policy, PolicyError,
    ProviderTraits, Reason, Remedy, Seen, Side, Trouble,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn launches_in_flight_are_counted() {
    let mut world = World::plain(3);
    assert_eq!(launch(&world.turn()).1, 3);
    world.command(&Command::Scale { expected: 5 }).expect("within limits");
    assert_eq!(launch(&world.turn()).1, 2, "at once, and only what is missing");
    world.pass(SECOND * 60);
    assert!(!launches(&world.turn()));
}

#[test]
fn a_large_launch_goes_in_batches_within_a_limit() {
    let policy = Policy { launch_batch: 10, launches_in_flight: 3, ..Policy::default() };
    let mut world = World::new(policy, ProviderTraits::default(), 45);
    let actions = world.turn();
    assert_eq!(actions.iter().filter(|a| matches!(a, Action::Launch { workers: 10, .. })).count(), 3);
    assert!(world.report().reasons.contains(&Reason::LaunchLimit { limit: 3, workers: 15 }));
    for action in &actions {
        world.carry_out(action);
    }
    world.settle();
    assert_eq!(world.alive(), 45);
}

/// The seed leaks one worker when `run` returns 4 handles for 5; here a shortfall is explicit, and made up for.
#[test]
fn a_shortfall_is_made_up_for_after_a_wait() {
    let mut world = World::plain(5);
    let (id, workers) = launch(&world.turn());
    let handles = world.create(id, workers - 1);
    let shortfall = Some(Trouble::new("no capacity"));
    let outcome = LaunchOutcome::Succeeded { handles, shortfall, retryable: true };
    world.see(&Observation::Launch { launch: id, outcome });
    assert!(!launches(&world.turn()), "not before the backoff is over");
    assert!(world.why().contains("no capacity"), "{}", world.why());
    world.run_for(SECOND * 2);
    assert_eq!(world.alive(), 5);
}

/// The seed leaks all workers when `run` throws after creating them.
#[test]
fn a_lost_launch_is_found_by_its_token() {
    let mut world = World::listing(3);
    world.step();
    let (id, workers) = launch(&world.turn());
    world.create(id, workers);
    world.lose_launch(id, true);
    world.run_for(SECOND * 10);
    assert_eq!((world.alive(), world.state.handle_count()), (3, 3));
    assert_eq!(world.count(|change| matches!(change, Change::LaunchStarted { .. })), 1);
}

#[test]
fn a_lost_launch_that_created_a_part_is_completed() {
    let mut world = World::listing(5);
    world.step();
    let (id, _) = launch(&world.turn());
    world.create(id, 2);
    world.lose_launch(id, true);
    world.settle();
    assert_eq!(world.alive(), 2, "the rest is held until two lists did not have it");
    world.run_for(SECOND * 30);
    assert_eq!((world.alive(), world.state.handle_count()), (5, 5));
}

#[test]
fn one_list_alone_is_not_believed() {
    let mut world = World::listing(2);
    world.step();
    let (id, workers) = launch(&world.turn());
    world.lose_launch(id, true);
    world.pass(SECOND * 5);
    assert!(world.turn().contains(&Action::List { side: Side(0) }));
    // The backend lags: the first list after the loss is empty, and then the workers are there.
    world.see(&Observation::Listed(Ok(Vec::new())));
    assert_eq!(world.state.unknown(), 2);
    world.create(id, workers);
    world.run_for(SECOND * 20);
    assert_eq!((world.alive(), world.state.handle_count()), (2, 2), "doubled");
}

#[test]
fn while_the_call_is_out_an_empty_list_proves_nothing() {
    let mut world = World::listing(2);
    world.step();
    let (id, workers) = launch(&world.turn());
    world.lose_launch(id, false);
    world.run_for(SECOND * 300);
    assert_eq!(world.alive(), 0, "nothing was launched in its place");
    assert!(world.why().contains("has not returned"), "{}", world.why());
    let handles = world.create(id, workers);
    world.answer_launch(id, handles);
    world.settle();
    assert_eq!((world.alive(), world.state.handle_count()), (2, 2));
}

#[test]
fn a_late_answer_doubles_nothing() {
    let mut world = World::listing(2);
    world.step();
    let (id, workers) = launch(&world.turn());
    let handles = world.create(id, workers);
    world.lose_launch(id, false);
    world.run_for(SECOND * 10);
    assert_eq!(world.state.handle_count(), 2, "found by the list");
    world.answer_launch(id, handles);
    world.settle();
    assert_eq!((world.alive(), world.state.handle_count()), (2, 2));
}

#[test]
fn an_idempotent_provider_is_asked_again() {
    let traits = ProviderTraits { idempotent_run: true, ..ProviderTraits::default() };
    let mut world = World::new(Policy::default(), traits, 3);
    let (id, workers) = launch(&world.turn());
    world.create(id, workers);
    world.lose_launch(id, true);
    world.run_for(SECOND * 5);
    assert_eq!((world.alive(), world.state.handle_count()), (3, 3));
}

#[test]
fn a_repeat_that_fails_settles_nothing() {
    let traits = ProviderTraits { idempotent_run: true, ..ProviderTraits::default() };
    let mut world = World::new(Policy::default(), traits, 3);
    let (id, workers) = launch(&world.turn());
    world.create(id, workers);
    world.lose_launch(id, true);
    world.pass(SECOND * 2);
    assert_eq!(launch(&world.turn()), (id, workers));
    world.fail_launch(id, "throttled", true);
    assert_eq!(world.state.unknown(), 3);
    world.run_for(SECOND * 10);
    assert_eq!((world.alive(), world.state.handle_count()), (3, 3));
}

#[test]
fn a_provider_that_cannot_tell_makes_the_host_hold_the_capacity() {
    let mut world = World::plain(3);
    let (id, _) = launch(&world.turn());
    world.lose_launch(id, true);
    world.run_for(SECOND * 600);
    assert_eq!((world.alive(), world.state.unknown()), (0, 3));
    let held = |reason: &Reason| matches!(reason, Reason::HeldForUnknown { remedy: Remedy::Operator, .. });
    assert!(world.report().reasons.iter().any(held), "{}", world.why());
}

#[test]
fn a_refused_reply_forgets_nothing() {
    let mut world = World::plain(5);
    let (id, _) = launch(&world.turn());
    let claimed = world.create(id, 4);
    let trouble = Trouble { text: "4 entries for 5 workers".into(), clause: Some("RUN-1".into()) };
    let outcome = LaunchOutcome::Unknown { trouble, claimed, returned: true };
    world.see(&Observation::Launch { launch: id, outcome });
    world.settle();
    assert_eq!((world.state.handle_count(), world.state.unknown()), (4, 1));
    assert!(world.why().contains("RUN-1"), "{}", world.why());
    world.command(&Command::Stop).expect("a cluster may be stopped");
    world.settle();
    assert_eq!(world.alive(), 0, "what the reply did name is killed too");
}

#[test]
fn a_handle_of_another_launch_is_refused() {
    let mut world = World::plain(1);
    world.settle();
    let known = world.names()[0].clone();
    world.command(&Command::Scale { expected: 2 }).expect("within limits");
    let (id, _) = launch(&world.turn());
    world.answer_launch(id, vec![(known.into(), 1)]);
    assert!(matches!(
        world.state.launches().next(),
        Some((_, launch)) if matches!(&launch.phase, LaunchPhase::Unknown { trouble, .. } if trouble.clause.as_deref() == Some("RUN-5"))
    ));
}

/// The seed leaks all workers when `kill` wrongly says TRUE.
#[test]
fn a_kill_that_claims_too_much_is_repeated() {
    let mut world = World::plain(2);
    world.settle();
    world.command(&Command::Scale { expected: 1 }).expect("within limits");
    let Some(Action::Kill { handles, .. }) =
        world.turn().into_iter().find(|a| matches!(a, Action::Kill { .. }))
    else {
        panic!("no kill")
    };
    let answers = handles.iter().map(|id| (*id, Ok(()))).collect();
    world.see(&Observation::Killed { answers });
    world.settle();
    assert_eq!((world.alive(), world.terminating()), (2, 1), "it is believed when its status says so");
    world.run_for(SECOND * 31);
    assert_eq!((world.alive(), world.state.handle_count()), (1, 1));
}

#[test]
fn a_refused_kill_is_told_and_repeated() {
    let mut world = World::plain(1);
    world.settle();
    world.command(&Command::Stop).expect("a cluster may be stopped");
    let [Action::Kill { handles, .. }] = &*world.turn() else { panic!("no kill") };
    let trouble = Trouble::new("permission denied");
    world.see(&Observation::Killed { answers: vec![(handles[0], Err(trouble))] });
    assert!(world.why().contains("permission denied"), "{}", world.why());
    world.run_for(SECOND * 31);
    assert_eq!(world.alive(), 0);
}

#[test]
fn a_status_error_changes_nothing() {
    let mut world = World::plain(3);
    world.settle();
    let before = world.names();
    for _ in 0..20 {
        world.pass(SECOND * 30);
        for action in world.turn() {
            assert!(matches!(action, Action::Status { .. }), "{action:?}");
            world.see(&Observation::StatusEnded { trouble: Some(Trouble::new("connection refused")) });
        }
    }
    assert_eq!(world.names(), before);
    assert!(world.why().contains("connection refused"), "{}", world.why());
}

#[test]
fn what_does_not_start_in_time_is_killed_and_replaced() {
    let mut world = World::plain(2);
    world.step();
    let stuck = world.names()[0].clone();
    world.set(&stuck, Seen::Initializing);
    world.run_for(Duration::from_mins(9));
    assert!(world.names().contains(&stuck));
    world.run_for(Duration::from_mins(2));
    assert!(!world.names().contains(&stuck));
    assert_eq!((world.alive(), world.state.tally().running), (2, 2));
}

#[test]
fn launching_backs_off_and_success_resets() {
    let mut world = World::plain(1);
    let mut tries = 0;
    let start = world.now;
    while world.now.since(start) < Duration::from_mins(30) {
        if let Some(Action::Launch { launch, .. }) = world.turn().first() {
            tries += 1;
            let launch = *launch;
            world.fail_launch(launch, "quota exceeded", true);
        }
        world.pass(SECOND);
    }
    assert!((10..=25).contains(&tries), "{tries} tries in 30 minutes");
    assert!(world.why().contains("quota exceeded"), "{}", world.why());
    world.run_for(Duration::from_mins(6));
    assert_eq!(world.alive(), 1);
    world.command(&Command::Scale { expected: 2 }).expect("within limits");
    assert!(launches(&world.turn()), "the next launch goes at once");
}

#[test]
fn a_failure_that_no_retry_can_mend_waits_long_unless_the_configuration_changes() {
    let mut world = World::plain(1);
    let (id, _) = launch(&world.turn());
    world.fail_launch(id, "no such image", false);
    world.pass(Duration::from_mins(4));
    assert!(!launches(&world.turn()));
    let policy = Policy { max: 10, ..Policy::default() };
    let update = update(policy, ProviderTraits::default(), 1);
    world.command(&update).expect("legal");
    assert!(launches(&world.turn()));
}

#[test]
fn a_crash_loop_slows_down_and_ends() {
    let mut world = World::plain(1);
    let start = world.now;
    while world.now.since(start) < Duration::from_mins(30) {
        world.settle();
        for name in world.names() {
            world.set(&name, Seen::Stopped);
        }
        world.pass(SECOND);
    }
    let crashing = world.count(|change| matches!(change, Change::LaunchStarted { .. }));
    assert!((8..=30).contains(&crashing), "{crashing} launches in 30 minutes");
    assert!(world.why().contains("died soon after their launch"), "{}", world.why());
    world.run_for(Duration::from_mins(10));
    assert_eq!(world.alive(), 1);
    let name = world.names()[0].clone();
    world.set(&name, Seen::Stopped);
    world.run_for(SECOND * 6);
    assert_eq!(world.alive(), 1, "one that had lived for long is replaced at once");
}

#[test]
fn a_mass_death_is_looked_at_twice() {
    let mut world = World::plain(100);
    world.settle();
    let names = world.names();
    for name in &names {
        world.set(name, Seen::Stopped);
    }
    world.pass(SECOND * 6);
    world.step();
    assert_eq!(world.state.handle_count(), 100);
    assert!(world.report().reasons.contains(&Reason::MassDeath { workers: 100 }));
    // It was a blip of the backend.
    for name in &names {
        world.set(name, Seen::Running);
    }
    world.run_for(SECOND * 5);
    assert_eq!((world.names(), world.state.is_converged()), (names.clone(), true));
    // And this time it is true.
    for name in &names {
        world.set(name, Seen::Stopped);
    }
    world.run_for(SECOND * 15);
    assert_eq!(world.alive(), 100);
    assert!(world.names().iter().all(|name| !names.contains(name)));
}

#[test]
fn workers_being_killed_count_against_the_maximum() {
    let policy = Policy { max: 4, ..Policy::default() };
    let mut world = World::new(policy, ProviderTraits::default(), 4);
    world.settle();
    world.command(&Command::Scale { expected: 1 }).expect("within limits");
    let kill = world.turn();
    world.command(&Command::Scale { expected: 4 }).expect("within limits");
    assert!(!launches(&world.turn()), "three are still alive");
    assert!(world.why().contains("no more than 4 may be alive at once"), "{}", world.why());
    for action in &kill {
        world.carry_out(action);
    }
    world.settle();
    assert_eq!(world.alive(), 4);
}

#[test]
fn nothing_is_launched_before_the_provider_is_ready() {
    let traits = ProviderTraits { initialize: true, ..ProviderTraits::default() };
    let mut world = World::new(Policy::default(), traits, 1);
    assert_eq!(world.turn(), [Action::Initialize { side: Side(0) }]);
    world.see(&Observation::Initialized(Err(Trouble::new("no such network"))));
    assert!(!launches(&world.turn()));
    assert!(world.why().contains("no such network"), "{}", world.why());
    world.run_for(SECOND * 2);
    assert_eq!(world.alive(), 1);
}

#[test]
fn a_deleted_cluster_goes_after_a_last_look() {
    let mut world = World::listing(2);
    world.settle();
    world.command(&Command::Delete { force: false }).expect("a cluster may be deleted");
    assert_eq!(world.command(&Command::Scale { expected: 3 }), Err(Denied::BeingDeleted));
    // One that nobody knows of shows up in the last look.
    let stray = Container { workers: 1, token: "elsewhere".into(), status: Seen::Running };
    world.backend.insert("stray".into(), stray);
    world.run_for(SECOND * 5);
    assert_eq!((world.alive(), world.state.is_finished()), (0, true));
}

#[test]
fn a_forced_delete_forgets_at_once() {
    let mut world = World::plain(2);
    let (id, _) = launch(&world.turn());
    world.lose_launch(id, true);
    world.command(&Command::Delete { force: true }).expect("a cluster may be deleted");
    assert!(world.state.is_finished());
}

#[test]
fn commands_outside_the_limits_are_denied_and_change_nothing() {
    let policy = Policy { min: 1, max: 4, ..Policy::default() };
    let mut world = World::new(policy.clone(), ProviderTraits::default(), 2);
    let before = world.state.clone();
    for expected in [0, 5] {
        let denied = Denied::OutOfLimits { expected, min: 1, max: 4 };
        assert_eq!(world.command(&Command::Scale { expected }), Err(denied));
    }
    let crossed = Policy { min: 5, ..policy };
    let update = update(crossed, ProviderTraits::default(), 5);
    assert_eq!(world.command(&update), Err(Denied::Policy(PolicyError::MinAboveMax { min: 5, max: 4 })));
    assert_eq!(world.state, before);
}

#[test]
fn the_same_number_again_is_no_change() {
    let mut world = World::plain(2);
    let before = world.state.generation();
    world.command(&Command::Scale { expected: 2 }).expect("within limits");
    assert_eq!(world.state.generation(), before);
    world.command(&Command::Scale { expected: 3 }).expect("within limits");
    assert_eq!(world.state.generation(), before + 1);
}
