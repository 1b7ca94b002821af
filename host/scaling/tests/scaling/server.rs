//! A cluster's server from its start on: it comes up before the first worker, is looked at, started again, and what becomes
//! of the workers that knew another one.

use std::time::Duration;

use longshore_scaling::{
    Action, Change, Command, Denied, Desired, KillReason, LaunchOutcome, Observation, OnRestart, Phase,
    Policy, PolicyError, ProviderTraits, Reason, ServerKind, ServerPhase, ServerPolicy, ServerSeen, Side,
    StopReason, Trouble,
};

use crate::world::{World, address, launch, launches, up_at};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

pub(crate) fn serving() -> ProviderTraits {
    ProviderTraits { server: true, ..ProviderTraits::default() }
}

pub(crate) fn managed(on_restart: OnRestart) -> ServerPolicy {
    ServerPolicy { on_restart, ..ServerPolicy::default() }
}

/// A cluster whose provider runs its server.
pub(crate) fn served(expected: u32) -> World {
    World::with_server(Policy::default(), serving(), expected, Some(ServerPolicy::default()))
}

/// A cluster whose server others run: it is up.
pub(crate) fn external(expected: u32) -> World {
    let server = ServerPolicy { kind: ServerKind::External, ..ServerPolicy::default() };
    let mut world = World::with_server(Policy::default(), ProviderTraits::default(), expected, Some(server));
    world.server = up_at(1);
    world
}

pub(crate) fn update_server(server: Option<ServerPolicy>, other_server: bool) -> Command {
    let (policy, traits) = (Policy::default(), serving());
    Command::Update { policy, traits, expected: 3, server, per_container: 1, other_server, route: None }
}

pub(crate) fn phase(world: &World) -> ServerPhase {
    world.state.server().expect("it has one").phase
}

pub(crate) fn is_up(world: &World) -> bool {
    matches!(phase(world), ServerPhase::Up { .. })
}

fn unreachable(number: u8) -> ServerSeen {
    ServerSeen::Unreachable { address: address(number), trouble: Trouble::new("connection refused") }
}

/// The server dies, and the next one will be somewhere else.
fn dies_and_moves(world: &mut World) {
    (world.server, world.born_server) = (ServerSeen::Stopped, up_at(2));
}

fn killed_for_the_server(world: &World) -> usize {
    world.count(|change| matches!(change, Change::KillStarted { why: KillReason::OtherServer, .. }))
}

#[test]
fn the_server_comes_first_and_then_the_workers() {
    let mut world = served(3);
    assert_eq!(world.step(), [Action::RunServer]);
    assert_eq!(world.report().reasons, [Reason::ServerStarting { trouble: None }]);
    assert_eq!(world.step(), [Action::LookAtServer]);
    assert!(is_up(&world));
    assert_eq!(launch(&world.step()).1, 3);
    world.run_for(MINUTE);
    assert!(world.state.is_converged());
    let server = world.state.server().expect("it has one");
    assert_eq!((server.starts, &server.address), (1, &Some(address(1))));
}

#[test]
fn workers_wait_while_it_starts_and_the_expected_number_is_kept() {
    let mut world = served(3);
    world.born_server = ServerSeen::Initializing;
    world.run_for(MINUTE);
    assert_eq!((world.alive(), world.state.expected()), (0, 3));
    world.server = unreachable(1);
    world.run_for(10 * SECOND);
    assert_eq!(world.alive(), 0);
    assert!(world.why().contains("10.0.0.1:6379 cannot be reached: connection refused"), "{}", world.why());
    world.server = up_at(1);
    world.run_for(10 * SECOND);
    assert_eq!(world.alive(), 3);
}

#[test]
fn a_provider_is_prepared_before_it_is_asked_for_a_server() {
    let traits = ProviderTraits { initialize: true, ..serving() };
    let mut world = World::with_server(Policy::default(), traits, 1, Some(ServerPolicy::default()));
    assert_eq!(world.step(), [Action::Initialize { side: Side(0) }]);
    assert_eq!(world.step(), [Action::RunServer]);
}

#[test]
fn a_server_that_cannot_be_started_is_tried_again_with_patience() {
    let mut world = served(1);
    for failures in 1..=4 {
        assert_eq!(world.turn(), [Action::RunServer]);
        world.server_ran(Some(Trouble::new("no such image")));
        assert_eq!(world.step(), [Action::LookAtServer]);
        let report = world.report();
        assert!(
            matches!(&report.reasons[..], [Reason::ServerBackingOff { failures: n, trouble: Some(_), .. }] if *n == failures),
            "{report}"
        );
        assert!(world.turn().is_empty(), "not at once");
        world.pass(MINUTE);
    }
    world.settle();
    assert_eq!(world.alive(), 1);
}

#[test]
fn what_no_soon_retry_can_mend_waits_for_the_longest() {
    let mut world = served(1);
    world.turn();
    let trouble = Some(Trouble::new("no such image"));
    world.see(&Observation::ServerRan { trouble, retryable: false, returned: true, doubtful: false });
    world.settle();
    world.run_for(4 * MINUTE);
    assert_eq!(world.count(|change| matches!(change, Change::ServerStarted)), 1);
    world.command(&Command::Refresh).expect("legal");
    assert_eq!(world.turn(), [Action::RunServer], "an operator does not wait");
}

#[test]
fn a_start_that_failed_and_worked_all_the_same_is_a_start() {
    let mut world = served(2);
    world.turn();
    world.start_server();
    world.server_ran(Some(Trouble::new("the reply was lost")));
    world.settle();
    assert!(is_up(&world));
    assert_eq!(world.alive(), 2);
    assert_eq!(world.count(|change| matches!(change, Change::ServerStarted)), 1);
}

#[test]
fn one_that_is_not_up_in_time_is_stopped_and_started_anew() {
    let mut world = served(1);
    world.born_server = unreachable(1);
    world.run_for(119 * SECOND);
    let stops = |world: &World| {
        let late =
            |change: &Change| matches!(change, Change::ServerStopStarted { why: StopReason::StartTimeout });
        world.count(late)
    };
    assert_eq!((stops(&world), world.alive()), (0, 0));
    world.run_for(2 * SECOND);
    assert_eq!(stops(&world), 1);
    world.born_server = up_at(1);
    world.run_for(5 * MINUTE);
    assert_eq!((stops(&world), world.alive()), (2, 1), "the second one was under way already");
}

/// Time without a look does not count: while nobody could see it, it may have come up.
#[test]
fn nobody_is_late_whom_nobody_has_seen() {
    let mut world = served(1);
    world.step();
    world.pass(10 * MINUTE);
    assert_eq!(world.turn(), [Action::LookAtServer]);
    world.see(&Observation::ServerLooked(Err(Trouble::new("no engine"))));
    assert!(world.report().reasons.iter().any(|it| matches!(it, Reason::ServerStatusFailing { .. })));
    world.run_for(SECOND);
    assert_eq!(world.alive(), 1);
    assert_eq!(world.count(|change| matches!(change, Change::ServerStopStarted { .. })), 0);
}

#[test]
fn a_status_that_fails_changes_nothing() {
    let mut world = served(2);
    world.run_for(MINUTE);
    world.pass(MINUTE);
    let before = world.state.durable();
    let actions = world.turn();
    assert!(actions.contains(&Action::LookAtServer), "{actions:?}");
    world.see(&Observation::ServerLooked(Err(Trouble::new("no engine"))));
    assert_eq!(world.state.durable(), before);
    world.command(&Command::Scale { expected: 4 }).expect("legal");
    assert!(launches(&world.turn()), "what was known counts");
}

#[test]
fn a_server_out_of_reach_is_waited_for_and_not_started_again() {
    let mut world = served(2);
    world.run_for(MINUTE);
    world.server = unreachable(1);
    let victim = world.names()[0].clone();
    world.set(&victim, longshore_scaling::Seen::Stopped);
    world.run_for(MINUTE);
    assert!(matches!(phase(&world), ServerPhase::Lost { .. }));
    assert_eq!(world.alive(), 1, "nobody is launched for a server that is not there, nor killed");
    assert!(world.why().contains("while the server cannot be reached"), "{}", world.why());
    assert_eq!(world.count(|change| matches!(change, Change::ServerStarted)), 1);
    world.server = up_at(1);
    world.run_for(MINUTE);
    assert_eq!((world.alive(), killed_for_the_server(&world)), (2, 0));
    assert_eq!(world.state.server().expect("it has one").starts, 1, "it did not come up anew");
}

#[test]
fn a_dead_server_is_started_again_and_its_workers_live_on_where_it_is_the_same() {
    let mut world = served(3);
    world.run_for(MINUTE);
    let before = world.names();
    world.server = ServerSeen::Stopped;
    world.run_for(MINUTE);
    assert!(is_up(&world));
    assert_eq!((world.names(), killed_for_the_server(&world)), (before, 0));
    assert_eq!(world.state.server().expect("it has one").starts, 2);
}

#[test]
fn workers_of_a_server_that_moved_are_replaced() {
    let mut world = served(3);
    world.run_for(MINUTE);
    let before = world.names();
    dies_and_moves(&mut world);
    world.run_for(MINUTE);
    assert_eq!(world.alive(), 3);
    assert!(world.names().iter().all(|name| !before.contains(name)), "{before:?}, then {:?}", world.names());
    assert_eq!(killed_for_the_server(&world), 1);
}

#[test]
fn the_policy_says_what_becomes_of_them() {
    for (policy, moves, replaced) in [
        (OnRestart::Keep, true, false),
        (OnRestart::Keep, false, false),
        (OnRestart::Replace, true, true),
        (OnRestart::Replace, false, true),
    ] {
        let mut world = World::with_server(Policy::default(), serving(), 2, Some(managed(policy)));
        world.run_for(MINUTE);
        assert_eq!(killed_for_the_server(&world), 0, "the first start replaces nobody");
        world.server = ServerSeen::Stopped;
        if moves {
            dies_and_moves(&mut world);
        }
        world.run_for(MINUTE);
        assert_eq!(killed_for_the_server(&world) > 0, replaced, "{policy:?}, moves: {moves}");
        assert_eq!(world.alive(), 2);
    }
}

#[test]
fn a_launch_under_way_is_as_old_as_those_before_it() {
    let mut world = served(2);
    world.run_for(MINUTE);
    world.command(&Command::Scale { expected: 3 }).expect("legal");
    let (id, workers) = launch(&world.turn());
    dies_and_moves(&mut world);
    world.run_for(MINUTE);
    assert_eq!(killed_for_the_server(&world), 1, "those that are known go");
    let made = world.create(id, workers);
    world.answer_launch(id, made.clone());
    world.run_for(MINUTE);
    assert!(!world.names().contains(&made[0].0.to_string()), "it knows the server of before");
    assert_eq!((world.alive(), killed_for_the_server(&world)), (3, 2));
}

/// The workers of before may be gone before they are killed.
#[test]
fn workers_that_died_with_the_server_are_not_looked_for_for_ever() {
    let mut world = served(2);
    world.run_for(MINUTE);
    dies_and_moves(&mut world);
    let ids: Vec<_> = world.state.handles().map(|(id, _)| id).collect();
    for id in &ids {
        world.stop(*id);
    }
    while world.state.server().expect("it has one").address == Some(address(1)) {
        world.pass(SECOND);
        let actions = world.turn();
        actions.iter().filter(|it| !matches!(it, Action::Status { .. })).for_each(|it| world.carry_out(it));
    }
    // Their death and the server's return come in together, before anything is planned.
    world.tell(ids);
    assert_eq!(world.state.handle_count(), 0);
    let head = serde_json::to_value(world.state.snapshot()).expect("it is data");
    assert_eq!(head["head"]["has_stale"], false);
    world.run_for(MINUTE);
    assert_eq!((world.alive(), killed_for_the_server(&world)), (2, 0));
}

#[test]
fn a_server_that_dies_soon_is_slowed_down_and_one_that_lasted_is_not() {
    let mut world = served(1);
    let starts = |world: &World| world.count(|change| matches!(change, Change::ServerStarted));
    world.settle();
    for _ in 0..600 {
        if is_up(&world) {
            world.server = ServerSeen::Stopped;
        }
        world.run_for(SECOND);
    }
    assert!((4..20).contains(&starts(&world)), "{} starts in ten minutes", starts(&world));
    assert!(world.why().contains("the server failed to start, or died soon after"), "{}", world.why());
    world.run_for(10 * MINUTE);
    assert!(is_up(&world));
    // It was up for long, though it could not be reached at the end.
    world.server = unreachable(1);
    world.run_for(6 * SECOND);
    let before = starts(&world);
    world.server = ServerSeen::Stopped;
    world.run_for(6 * SECOND);
    assert_eq!(starts(&world), before + 1, "{}", world.why());
}

#[test]
fn a_repeated_launch_waits_for_the_server_too() {
    let traits = ProviderTraits { idempotent_run: true, ..serving() };
    let mut world = World::with_server(Policy::default(), traits, 2, Some(ServerPolicy::default()));
    world.step();
    world.step();
    let (id, _) = launch(&world.turn());
    world.lose_launch(id, true);
    (world.server, world.born_server) = (ServerSeen::Stopped, ServerSeen::Initializing);
    world.pass(10 * SECOND);
    let looked = world.turn();
    assert!(looked.contains(&Action::LookAtServer));
    // The launch was asked for again while the server was there as far as anybody knew.
    world.lose_launch(id, true);
    world.look_at_server();
    world.run_for(MINUTE);
    assert_eq!(world.alive(), 0);
    assert!(world.why().contains("may or may not exist"), "{}", world.why());
    world.server = up_at(1);
    world.run_for(MINUTE);
    assert_eq!((world.alive(), world.state.unknown()), (2, 0));
}

#[test]
fn what_cannot_be_kept_is_denied() {
    let mut world = World::plain(1);
    let update = |traits, start_timeout| Command::Update {
        policy: Policy::default(),
        traits,
        expected: 1,
        server: Some(ServerPolicy { start_timeout, ..ServerPolicy::default() }),
        per_container: 1,
        other_server: false,
        route: None,
    };
    let denied = world.command(&update(ProviderTraits::default(), MINUTE)).expect_err("it can run none");
    assert_eq!(denied, Denied::CannotServe);
    let denied = world.command(&update(serving(), Duration::ZERO)).expect_err("no time at all");
    assert!(
        matches!(&denied, Denied::Policy(PolicyError::OutOfRange { field, .. }) if field == "start_timeout"),
        "{denied}"
    );
    world.command(&update(serving(), MINUTE)).expect("legal");
    world.settle();
    assert!(is_up(&world));
}

#[test]
fn containers_of_one_launch_hold_the_same_number() {
    for (expected, batch, launched) in
        [(10, 1_000, vec![8, 2]), (10, 5, vec![4, 4, 2]), (3, 1_000, vec![3]), (8, 3, vec![3, 3, 2])]
    {
        let policy = Policy { launch_batch: batch, ..Policy::default() };
        let mut world = World::plain(0);
        let traits = ProviderTraits::default();
        let (server, per_container, other_server) = (None, 4, false);
        world
            .command(&Command::Update {
                policy,
                traits,
                expected,
                server,
                per_container,
                other_server,
                route: None,
            })
            .expect("legal");
        let sizes: Vec<_> = world
            .turn()
            .iter()
            .filter_map(|action| match action {
                Action::Launch { workers, .. } => Some(*workers),
                _ => None,
            })
            .collect();
        assert_eq!(sizes, launched, "{expected} in batches of {batch}");
    }
}

#[test]
fn an_external_server_is_waited_for_and_never_touched() {
    let mut world = external(2);
    world.server = unreachable(1);
    world.run_for(MINUTE);
    assert_eq!(world.alive(), 0);
    assert!(world.why().contains("while the server cannot be reached"), "{}", world.why());
    world.server = up_at(1);
    world.run_for(MINUTE);
    assert_eq!(world.alive(), 2);
    world.command(&Command::Stop).expect("legal");
    world.run_for(MINUTE);
    assert_eq!((world.alive(), world.state.is_converged()), (0, true));
    world.command(&Command::Delete { force: false }).expect("legal");
    world.run_for(MINUTE);
    assert!(world.state.is_finished());
    assert_eq!(world.count(|it| matches!(it, Change::ServerStarted | Change::ServerStopStarted { .. })), 0);
}

/// Nobody looked while the cluster was stopped.
#[test]
fn an_external_server_is_looked_at_before_a_stopped_cluster_launches_again() {
    let mut world = external(2);
    world.run_for(MINUTE);
    world.command(&Command::Stop).expect("legal");
    world.run_for(MINUTE);
    world.command(&Command::Start).expect("legal");
    assert_eq!(world.turn(), [Action::LookAtServer]);
    assert_eq!(world.report().reasons, [Reason::ServerUnseen]);
    world.see(&Observation::ServerLooked(Ok(up_at(1))));
    assert!(launches(&world.turn()));
}

#[test]
fn an_external_server_that_is_another_one_now_is_looked_at_before_anybody_is_launched() {
    let mut world = external(3);
    world.run_for(MINUTE);
    let before = world.names();
    world.pass(MINUTE);
    let actions = world.turn();
    assert!(actions.contains(&Action::LookAtServer), "a look at the old one is under way");
    let others = actions.iter().filter(|action| **action != Action::LookAtServer);
    others.for_each(|action| world.carry_out(action));
    let server = ServerPolicy { kind: ServerKind::External, ..ServerPolicy::default() };
    world.command(&update_server(Some(server), true)).expect("others run it: there is nothing to take down");
    world.command(&Command::Scale { expected: 4 }).expect("legal");
    world.see(&Observation::ServerLooked(Ok(up_at(1))));
    let actions = world.turn();
    assert!(!launches(&actions) && actions.contains(&Action::LookAtServer), "{actions:?}");
    world.server = up_at(2);
    world.look_at_server();
    world.run_for(MINUTE);
    assert_eq!(world.alive(), 4);
    assert!(world.names().iter().all(|name| !before.contains(name)), "those knew the other one");
}

#[test]
fn a_server_of_another_kind_replaces_the_workers_of_the_one_before() {
    let mut world = external(3);
    world.run_for(MINUTE);
    world.server = ServerSeen::Stopped;
    world.born_server = up_at(2);
    world.command(&update_server(Some(ServerPolicy::default()), true)).expect("legal");
    world.run_for(MINUTE);
    assert!(is_up(&world));
    assert_eq!((world.alive(), killed_for_the_server(&world)), (3, 1));
}

#[test]
fn stale_workers_that_started_late_are_killed_once() {
    let mut world = served(2);
    world.born = longshore_scaling::Seen::Initializing;
    world.run_for(9 * MINUTE);
    world.server = ServerSeen::Stopped;
    world.born_server = unreachable(2);
    world.run_for(59 * SECOND);
    world.born_server = up_at(2);
    // Both are due at the same moment.
    world.pass(2 * SECOND);
    let actions = world.turn();
    let statuses = actions.iter().filter(|action| matches!(action, Action::Status { .. }));
    statuses.cloned().collect::<Vec<_>>().iter().for_each(|action| world.carry_out(action));
    world.see(&Observation::ServerLooked(Ok(up_at(2))));
    let kills: Vec<_> =
        world.turn().into_iter().filter(|action| matches!(action, Action::Kill { .. })).collect();
    assert_eq!(kills.len(), 1, "{kills:?}");
    assert!(world.state.handles().all(|(_, handle)| matches!(handle.phase, Phase::Terminating { .. })));
}

#[test]
fn workers_that_a_refused_answer_named_are_replaced_as_well() {
    let mut world = served(2);
    world.step();
    world.step();
    let (id, workers) = launch(&world.turn());
    let made = world.create(id, workers);
    dies_and_moves(&mut world);
    world.run_for(MINUTE);
    assert_eq!(world.state.server().and_then(|server| server.address.clone()), Some(address(2)));
    let outcome = LaunchOutcome::Unknown { trouble: Trouble::new("refused"), claimed: made, returned: true };
    world.see(&Observation::Launch { launch: id, outcome });
    world.run_for(MINUTE);
    assert_eq!((world.alive(), killed_for_the_server(&world)), (2, 1));
    assert_eq!(world.state.desired(), Desired::Running);
}
