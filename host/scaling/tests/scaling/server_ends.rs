//! How a cluster's server ends, and what becomes of it when its host is cut off, its provider is exchanged, or a call about
//! it hangs.

use std::time::Duration;

use longshore_scaling::{
    Action, Change, Command, Denied, Observation, OnRestart, Policy, ProviderTraits, Reason, ServerKind,
    ServerPhase, ServerPolicy, ServerSeen, Side, StopReason, Trouble,
};

use crate::{
    server::{is_up, managed, phase, served, serving, update_server},
    world::{World, launch, launches, up_at},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

fn stops(world: &World) -> usize {
    world.count(|change| matches!(change, Change::ServerStopStarted { .. }))
}

fn hangs(world: &mut World) {
    let trouble = Some(Trouble::new("run_server has not returned within its budget"));
    world.see(&Observation::ServerRan { trouble, retryable: true, returned: false, doubtful: true });
}

#[test]
fn it_goes_after_the_last_worker() {
    let mut world = served(2);
    world.run_for(MINUTE);
    world.command(&Command::Stop).expect("legal");
    let actions = world.turn();
    assert!(matches!(actions[..], [Action::Kill { .. }]), "{actions:?}");
    assert!(world.report().reasons.contains(&Reason::ServerOutlivesWorkers));
    for action in &actions {
        world.carry_out(action);
    }
    world.step();
    assert_eq!(world.state.handle_count(), 0);
    assert_eq!(world.turn(), [Action::StopServer { why: StopReason::Unwanted }]);
    assert!(!world.state.is_converged());
    world.carry_out(&Action::StopServer { why: StopReason::Unwanted });
    world.run_for(MINUTE);
    assert_eq!((phase(&world), world.state.is_converged()), (ServerPhase::Down, true));
    assert_eq!(stops(&world), 1);
}

#[test]
fn one_whose_start_lost_its_answer_is_waited_for_before_it_counts_as_gone() {
    let mut world = served(1);
    world.turn();
    let trouble = Some(Trouble::new("the connection was reset"));
    world.see(&Observation::ServerRan { trouble, retryable: true, returned: true, doubtful: true });
    world.command(&Command::Stop).expect("legal");
    world.step();
    world.step();
    assert_ne!(phase(&world), ServerPhase::Down, "one look proves nothing yet");
    // It takes effect late.
    world.start_server();
    world.run_for(5 * MINUTE);
    assert_eq!((phase(&world), world.state.is_converged()), (ServerPhase::Down, true));
    assert_eq!(world.server, ServerSeen::Stopped, "it was taken down all the same");
}

#[test]
fn it_waits_for_a_launch_of_unknown_fate() {
    let mut world = served(2);
    world.step();
    world.step();
    let (id, _) = launch(&world.turn());
    world.lose_launch(id, true);
    world.command(&Command::Stop).expect("legal");
    world.run_for(10 * MINUTE);
    assert_eq!(stops(&world), 0, "it may have brought workers that report to the server");
    let token = world.state.token(id);
    world.command(&Command::Resolve { token, handles: Vec::new() }).expect("an operator looked");
    world.run_for(MINUTE);
    assert_eq!(phase(&world), ServerPhase::Down);
}

#[test]
fn what_was_told_to_stop_and_did_not_is_told_again() {
    let mut world = served(0);
    world.run_for(MINUTE);
    world.command(&Command::Stop).expect("legal");
    assert_eq!(world.turn(), [Action::StopServer { why: StopReason::Unwanted }]);
    // It says so, and does not do it.
    world.see(&Observation::ServerStopAnswered(Ok(())));
    world.run_for(29 * SECOND);
    assert_eq!(stops(&world), 1);
    assert!(world.why().contains("was told to stop and is not yet seen stopped"), "{}", world.why());
    world.pass(2 * SECOND);
    let again = world.turn();
    assert!(again.contains(&Action::StopServer { why: StopReason::Unwanted }), "{again:?}");
    world.see(&Observation::ServerStopAnswered(Err(Trouble::new("no engine"))));
    world.settle();
    assert!(world.why().contains("no engine"), "{}", world.why());
    assert_eq!(stops(&world), 2);
    world.command(&Command::Refresh).expect("legal");
    assert_eq!(world.step(), [Action::StopServer { why: StopReason::Unwanted }], "an operator does not wait");
    world.run_for(MINUTE);
    assert_eq!(phase(&world), ServerPhase::Down);
}

#[test]
fn a_start_while_it_stops_waits_for_its_end() {
    let mut world = served(2);
    world.run_for(MINUTE);
    world.command(&Command::Stop).expect("legal");
    while !matches!(phase(&world), ServerPhase::Stopping { .. }) {
        let actions = world.turn();
        let stops = |action: &&Action| !matches!(action, Action::StopServer { .. });
        actions.iter().filter(stops).for_each(|action| world.carry_out(action));
    }
    world.command(&Command::Start).expect("legal");
    assert!(world.turn().is_empty(), "one call about it at a time");
    // It looks as if it were up: it is on its way out.
    world.see(&Observation::ServerStopAnswered(Ok(())));
    assert_eq!(world.step(), [Action::LookAtServer]);
    assert!(matches!(phase(&world), ServerPhase::Stopping { .. }));
    world.server = ServerSeen::Stopped;
    world.run_for(MINUTE);
    assert_eq!((is_up(&world), world.alive()), (true, 2));
    let told_why =
        |change: &Change| matches!(change, Change::ServerStopStarted { why: StopReason::StartTimeout });
    assert_eq!(world.count(told_why), 0, "it was not late");
}

#[test]
fn a_stop_while_it_starts_takes_it_down() {
    let mut world = served(2);
    world.born_server = ServerSeen::Initializing;
    assert_eq!(world.turn(), [Action::RunServer]);
    world.command(&Command::Stop).expect("legal");
    assert!(world.turn().is_empty(), "the provider is still at it");
    world.start_server();
    world.server_ran(None);
    assert_eq!(world.step(), [Action::StopServer { why: StopReason::Unwanted }]);
    world.run_for(MINUTE);
    assert_eq!((phase(&world), &world.server), (ServerPhase::Down, &ServerSeen::Stopped));
}

#[test]
fn a_deleted_cluster_leaves_no_server() {
    for delete_at in 0..6 {
        let mut world = served(2);
        for _ in 0..delete_at {
            world.step();
        }
        world.command(&Command::Delete { force: false }).expect("legal");
        world.run_for(MINUTE);
        assert!(world.state.is_finished(), "after {delete_at} steps: {}", world.why());
        assert_eq!((&world.server, world.alive()), (&ServerSeen::Stopped, 0), "after {delete_at} steps");
    }
}

#[test]
fn a_cluster_that_is_forgotten_is_finished_with_its_server() {
    let mut world = served(2);
    world.run_for(MINUTE);
    world.command(&Command::Delete { force: true }).expect("legal");
    assert!(world.state.is_finished());
}

#[test]
fn a_host_that_leaves_takes_it_along_and_the_next_one_brings_both_back() {
    let mut world = served(2);
    world.run_for(MINUTE);
    world.command(&Command::Rest).expect("legal");
    assert!(!world.state.has_left());
    world.run_for(MINUTE);
    assert!(world.state.has_left(), "{}", world.why());
    assert_eq!((&world.server, world.alive()), (&ServerSeen::Stopped, 0));
    world.restart(2);
    world.run_for(MINUTE);
    assert_eq!((is_up(&world), world.alive()), (true, 2));
}

#[test]
fn another_server_is_not_slipped_under_the_workers() {
    let mut world = served(3);
    world.run_for(MINUTE);
    let external = ServerPolicy { kind: ServerKind::External, ..ServerPolicy::default() };
    for command in [
        update_server(None, false),
        update_server(Some(external), false),
        update_server(Some(ServerPolicy::default()), true),
    ] {
        let denied = world.command(&command).expect_err("the server is there");
        assert_eq!(denied, Denied::ServerIsThere);
    }
    world.command(&update_server(Some(managed(OnRestart::Keep)), false)).expect("the same server");
    world.run_for(MINUTE);
    assert_eq!((is_up(&world), world.alive()), (true, 3));
    world.command(&Command::Stop).expect("legal");
    world.run_for(MINUTE);
    world.command(&update_server(None, false)).expect("it is gone");
    world.command(&Command::Start).expect("legal");
    world.run_for(MINUTE);
    assert_eq!((world.state.server(), world.alive()), (None, 3));
    world.command(&update_server(Some(ServerPolicy::default()), false)).expect("there was none");
    world.run_for(MINUTE);
    assert!(is_up(&world));
}

#[test]
fn nothing_is_asked_about_a_server_while_a_call_for_it_hangs() {
    let mut world = served(2);
    assert_eq!(world.turn(), [Action::RunServer]);
    hangs(&mut world);
    assert!(world.report().reasons.contains(&Reason::ServerHangs));
    assert!(world.command(&update_server(None, true)).is_err(), "it may be there");
    world.command(&Command::Delete { force: false }).expect("legal");
    world.run_for(10 * MINUTE);
    assert!(!world.state.is_finished() && !world.state.is_looking());
    assert_eq!((stops(&world), world.count(|change| matches!(change, Change::ServerStarted))), (0, 1));
    // It comes back at last, and has worked.
    world.start_server();
    world.server_ran(None);
    world.run_for(MINUTE);
    assert!(world.state.is_finished());
    assert_eq!(world.server, ServerSeen::Stopped);
}

#[test]
fn a_hanging_call_that_worked_is_a_start() {
    let mut world = served(2);
    world.turn();
    hangs(&mut world);
    world.run_for(10 * MINUTE);
    world.start_server();
    world.server_ran(None);
    world.run_for(MINUTE);
    assert_eq!((world.alive(), stops(&world)), (2, 0));
}

#[test]
fn the_next_host_looks_before_it_launches() {
    let mut world = served(2);
    world.run_for(MINUTE);
    world.restart(2);
    world.command(&Command::Scale { expected: 4 }).expect("legal");
    let actions = world.turn();
    assert!(!launches(&actions) && actions.contains(&Action::LookAtServer), "{actions:?}");
    assert!(world.report().reasons.contains(&Reason::ServerUnseen));
    assert!(!world.state.is_converged());
    world.look_at_server();
    assert!(launches(&world.turn()));
}

#[test]
fn a_start_that_was_cut_off_is_asked_for_again() {
    for was_heard in [false, true] {
        let mut world = served(2);
        assert_eq!(world.turn(), [Action::RunServer]);
        if was_heard {
            world.start_server();
        }
        world.restart(2);
        assert_eq!(world.step(), [Action::RunServer]);
        world.run_for(MINUTE);
        assert_eq!((world.alive(), stops(&world)), (2, 0));
    }
}

/// What a host that is gone asked for may come to be after the next one has looked.
#[test]
fn a_call_that_outlives_its_host_leaves_no_server() {
    let mut world = served(2);
    assert_eq!(world.turn(), [Action::RunServer]);
    world.restart(2);
    world.command(&Command::Delete { force: false }).expect("legal");
    world.run_for(5 * SECOND);
    assert!(!world.state.is_finished(), "one look is not enough");
    world.restart(3);
    world.run_for(9 * SECOND);
    assert!(!world.state.is_finished(), "evidence is gathered anew");
    world.start_server();
    world.run_for(2 * MINUTE);
    assert!(world.state.is_finished());
    assert_eq!(world.server, ServerSeen::Stopped);
}

/// The next host knows that the answer was lost, whatever was done about the server since.
#[test]
fn a_start_whose_answer_was_lost_is_doubted_by_the_next_host_too() {
    let mut world = served(2);
    world.turn();
    let trouble = Some(Trouble::new("the connection was reset"));
    world.see(&Observation::ServerRan { trouble, retryable: true, returned: true, doubtful: true });
    world.command(&Command::Delete { force: false }).expect("legal");
    assert_eq!(world.turn(), [Action::StopServer { why: StopReason::Unwanted }]);
    world.restart(2);
    world.run_for(9 * SECOND);
    assert!(!world.state.is_finished(), "the call may yet take effect");
    world.start_server();
    world.run_for(2 * MINUTE);
    assert!(world.state.is_finished());
    assert_eq!(world.server, ServerSeen::Stopped);
}

/// The doubt is the first minutes' alone.
#[test]
fn a_server_that_died_long_after_a_restart_is_believed_dead_at_once() {
    let mut world = served(1);
    world.turn();
    world.restart(2);
    world.run_for(MINUTE);
    world.command(&Command::Refresh).expect("a record late in the host's life");
    world.settle();
    world.restart(3);
    world.server = ServerSeen::Stopped;
    world.run_for(SECOND);
    assert!(is_up(&world));
    assert_eq!(world.state.server().expect("it has one").starts, 2);
}

#[test]
fn a_stop_that_was_cut_off_is_done_again_at_once() {
    let mut world = served(0);
    world.run_for(MINUTE);
    world.command(&Command::Stop).expect("legal");
    world.turn();
    assert!(matches!(phase(&world), ServerPhase::Stopping { .. }));
    world.restart(2);
    assert_eq!(world.step(), [Action::StopServer { why: StopReason::Unwanted }]);
    world.run_for(SECOND);
    assert_eq!(phase(&world), ServerPhase::Down);
}

#[test]
fn a_server_that_died_while_there_was_no_host_is_started_again() {
    let mut world = served(2);
    world.run_for(MINUTE);
    (world.server, world.born_server) = (ServerSeen::Stopped, up_at(2));
    world.restart(2);
    world.run_for(MINUTE);
    assert_eq!((is_up(&world), world.alive()), (true, 2));
    let moved = |change: &Change| matches!(change, Change::ServerUp { replaces: true, .. });
    assert_eq!(world.count(moved), 1);
}

#[test]
fn a_provider_that_can_run_no_server_leaves_it_and_says_so() {
    let mut world = served(2);
    world.run_for(MINUTE);
    world.command(&Command::Attach { side: Side(0), traits: ProviderTraits::default() }).expect("legal");
    world.command(&Command::Scale { expected: 3 }).expect("legal");
    world.run_for(MINUTE);
    assert!(world.report().reasons.contains(&Reason::ServerUnsupported));
    assert_eq!((world.alive(), world.state.is_converged()), (2, false), "nobody can look at the server");
    // Another one that can, and must look first.
    world.command(&Command::Attach { side: Side(0), traits: serving() }).expect("legal");
    let actions = world.turn();
    assert!(!launches(&actions) && actions.contains(&Action::LookAtServer), "{actions:?}");
    world.look_at_server();
    world.run_for(MINUTE);
    assert_eq!(world.alive(), 3);
}

#[test]
fn launches_of_unknown_fate_are_found_out_without_a_server_where_none_is_to_come() {
    let traits = ProviderTraits { idempotent_run: true, ..serving() };
    let mut world = World::with_server(Policy::default(), traits, 2, Some(ServerPolicy::default()));
    world.step();
    world.step();
    let (id, _) = launch(&world.turn());
    world.lose_launch(id, true);
    world.command(&Command::Delete { force: false }).expect("legal");
    world.server = ServerSeen::Stopped;
    world.run_for(5 * MINUTE);
    assert!(world.state.is_finished(), "{}", world.why());
    assert_eq!(world.alive(), 0);
}

#[test]
fn a_server_that_comes_up_while_the_cluster_is_being_stopped_goes_too() {
    let mut world = served(2);
    world.run_for(MINUTE);
    (world.server, world.born_server) = (ServerSeen::Stopped, ServerSeen::Initializing);
    world.run_for(10 * SECOND);
    assert!(matches!(phase(&world), ServerPhase::Starting { .. }));
    world.command(&Command::Stop).expect("legal");
    world.turn();
    // Its workers do not go yet.
    world.server = up_at(1);
    world.run_for(10 * SECOND);
    assert!(is_up(&world));
    assert_eq!((stops(&world), world.alive()), (0, 2));
    world.backend.values_mut().for_each(|it| it.status = longshore_scaling::Seen::Stopped);
    world.run_for(2 * MINUTE);
    assert_eq!((phase(&world), world.state.is_converged()), (ServerPhase::Down, true));
}

#[test]
fn records_and_snapshots_of_a_server_are_data() {
    let mut world = served(2);
    world.run_for(MINUTE);
    world.restart(2);
    world.server = ServerSeen::Unreachable { address: crate::world::address(1), trouble: Trouble::new("no") };
    world.run_for(MINUTE);
    (world.server, world.born_server) = (ServerSeen::Stopped, up_at(2));
    world.run_for(MINUTE);
    world.command(&Command::Stop).expect("legal");
    world.run_for(MINUTE);
    let text = serde_json::to_string(&world.records).expect("they are data");
    let back: Vec<longshore_scaling::Record> = serde_json::from_str(&text).expect("they can be read");
    assert_eq!(back, world.records);
    let text = serde_json::to_string(&world.state.snapshot()).expect("it is data");
    let back = serde_json::from_str(&text).expect("it can be read");
    let restored = longshore_scaling::State::restore(back).expect("it agrees with itself");
    assert_eq!(restored, world.state.durable());
}
