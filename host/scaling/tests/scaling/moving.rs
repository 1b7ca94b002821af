//! A cluster that moves to another provider: others come there as those of before go, within what its policy allows.

use std::time::Duration;

use longshore_scaling::{
    Action, Change, Command, Denied, HandleId, KillReason, LaunchOutcome, Listing, Observation, OnRestart,
    Phase, Policy, PolicyError, ProviderTraits, Reason, Seen, ServerPolicy, Side, State, Trouble, admit,
};

use crate::{
    server::managed,
    world::{Container, World, launch, launches, move_to},
};

const MINUTE: Duration = Duration::from_mins(1);
const OLD: Side = Side(0);
const NEW: Side = Side(1);

fn listing() -> ProviderTraits {
    ProviderTraits { list: true, ..ProviderTraits::default() }
}

fn policy(surge: u32, missing: u32) -> Policy {
    Policy { surge: Some(surge), missing, ..Policy::default() }
}

/// A cluster of so many workers that run on `old`.
fn running(policy: Policy, expected: u32) -> World {
    let mut world = World::new(policy, listing(), expected);
    world.run_for(MINUTE);
    assert_eq!(world.state.tally().running, u64::from(expected));
    world
}

/// The command that sends a cluster somewhere, all else being as it is.
fn to(world: &World, from: &str, to: &str) -> Command {
    let state = &world.state;
    move_to(state.policy().clone(), state.traits_of(state.side()), state.expected(), from, to)
}

fn set_out(world: &mut World) {
    let command = to(world, "old", "new");
    world.command(&command).expect("it may go");
}

/// Lets time pass until the move is over, and holds at every step that there are never fewer workers than the floor nor more
/// than the ceiling.
fn arrive(world: &mut World) {
    let (target, end) = (world.state.target(), world.now + MINUTE * 10);
    let (floor, ceiling) = (world.state.policy().floor(target), world.state.policy().ceiling(target, 1));
    while world.state.leaving().is_some() {
        assert!(world.now < end, "it does not arrive: {}", world.why());
        if world.step().is_empty() {
            world.pass(Duration::from_millis(100));
        }
        let tally = world.state.tally();
        let all = tally.live() + tally.terminating + world.state.in_flight() + world.state.unknown();
        assert!(tally.live() >= floor.into(), "{} live, and {floor} must", tally.live());
        assert!(all <= ceiling.into(), "{all} are there or may be, and {ceiling} may");
        assert!(world.alive() <= ceiling, "{} are really alive, and {ceiling} may be", world.alive());
    }
}

#[test]
fn workers_go_as_others_run_in_their_place() {
    for (surge, missing) in [(1, 0), (0, 1), (3, 0), (2, 2), (50, 0)] {
        let mut world = running(policy(surge, missing), 10);
        set_out(&mut world);
        assert!(
            world.why().contains("moving away from provider `old`: 10 workers left there"),
            "{}",
            world.why()
        );
        arrive(&mut world);
        assert_eq!((world.alive_on(OLD), world.alive_on(NEW)), (0, 10), "surge {surge}, missing {missing}");
        world.run_for(MINUTE);
        assert!(world.state.is_converged(), "{}", world.why());
        assert!(matches!(world.report().reasons[..], [Reason::AtTarget { workers: 10 }]), "{}", world.why());
        assert_eq!(State::replay(&world.records), world.state);
        assert_eq!(world.count(|change| matches!(change, Change::MoveEnded { .. })), 1);
    }
}

#[test]
fn where_nothing_is_said_a_quarter_more_may_be_there() {
    let policy = Policy::default();
    assert_eq!((policy.floor(10), policy.ceiling(10, 1), policy.ceiling(10, 8)), (10, 13, 18));
    assert_eq!(policy.ceiling(0, 1), 1);
    assert_eq!(Policy { max: 11, ..Policy::default() }.ceiling(10, 1), 11, "never more than the maximum");
    let nothing = Policy { surge: Some(0), missing: 0, ..Policy::default() };
    assert_eq!(nothing.check(), Err(PolicyError::NoRoomToMove));
}

#[test]
fn nobody_goes_for_those_that_do_not_run_yet() {
    let mut world = running(policy(4, 0), 8);
    world.born = Seen::Initializing;
    set_out(&mut world);
    world.run_for(MINUTE);
    assert_eq!((world.alive_on(OLD), world.alive_on(NEW)), (8, 4), "{}", world.why());
    for container in world.on(NEW).values_mut().take(3) {
        container.status = Seen::Running;
    }
    world.run_for(Duration::from_secs(3));
    assert_eq!((world.alive_on(OLD), world.alive_on(NEW)), (5, 7), "three have others in their place");
}

#[test]
fn those_that_never_start_there_leave_those_of_before_alone() {
    let mut world = running(policy(2, 0), 5);
    world.born = Seen::Initializing;
    set_out(&mut world);
    world.run_for(MINUTE * 60);
    assert_eq!(world.alive_on(OLD), 5, "{}", world.why());
    assert!(world.count(|it| matches!(it, Change::KillStarted { why: KillReason::LaunchTimeout, .. })) > 0);
    assert_eq!(world.count(|it| matches!(it, Change::KillStarted { why: KillReason::Moved, .. })), 0);
    // It turns back to where its workers are, and none of them notices.
    let back = to(&world, "new", "old");
    world.command(&back).expect("the way back is open");
    world.run_for(MINUTE * 5);
    assert_eq!((world.state.side(), world.state.leaving()), (OLD, None), "{}", world.why());
    assert_eq!((world.alive_on(OLD), world.alive_on(NEW), world.state.is_converged()), (5, 0, true));
    // The next one is yet another side: nothing is taken for what came from the first journey.
    set_out(&mut world);
    assert_eq!(world.state.side(), Side(2));
}

#[test]
fn at_the_maximum_some_must_be_allowed_to_be_missing() {
    let mut world = running(Policy { max: 6, ..policy(2, 0) }, 6);
    set_out(&mut world);
    world.run_for(MINUTE);
    assert_eq!((world.alive_on(OLD), world.alive_on(NEW)), (6, 0));
    let blocked = Reason::MoveBlocked { target: 6, ceiling: 6, floor: 6, smallest: 1 };
    assert!(world.report().reasons.contains(&blocked), "{}", world.why());
    assert!(
        world.why().contains("raise `surge` (and `max`, where it is in the way) or `missing`"),
        "{}",
        world.why()
    );
    let expected = world.state.expected();
    let more = crate::world::update(Policy { max: 6, ..policy(2, 1) }, listing(), expected);
    world.command(&more).expect("it may be changed on the way");
    arrive(&mut world);
    assert_eq!((world.alive_on(OLD), world.alive_on(NEW)), (0, 6));
}

#[test]
fn a_container_that_is_too_large_for_the_surge_is_told_of() {
    let mut world = World::new(policy(2, 0), listing(), 8);
    world.share = 4;
    world.run_for(MINUTE);
    set_out(&mut world);
    world.run_for(MINUTE);
    assert_eq!(world.alive_on(OLD), 8);
    let blocked = Reason::MoveBlocked { target: 8, ceiling: 10, floor: 8, smallest: 4 };
    assert!(world.report().reasons.contains(&blocked), "{}", world.why());
    let enough = crate::world::update(policy(4, 0), listing(), 8);
    world.command(&enough).expect("legal");
    arrive(&mut world);
    assert_eq!((world.alive_on(OLD), world.alive_on(NEW)), (0, 8));
}

#[test]
fn handles_of_the_same_name_are_kept_apart() {
    let mut world = running(policy(3, 0), 3);
    set_out(&mut world);
    while world.state.tally().running < 6 {
        assert!(!world.step().is_empty(), "{}", world.why());
    }
    let names = world.names();
    assert_eq!(names, ["c0", "c1", "c2", "c0", "c1", "c2"], "both providers number from the first");
    // One of the new ones dies: it is the new one that is buried, and replaced there.
    world.on(NEW).get_mut("c1").expect("it is there").status = Seen::Stopped;
    world.run_for(MINUTE);
    assert_eq!((world.alive_on(OLD), world.alive_on(NEW), world.state.is_converged()), (0, 3, true));
    let dead = world.records.iter().find_map(|record| match &record.change {
        Change::Gone { died, .. } if !died.is_empty() => Some(died.clone()),
        _ => None,
    });
    assert_eq!(dead, Some(vec![HandleId(4)]));
}

/// Both providers look at one backend: each lists all that is there.
#[test]
fn one_backend_seen_through_two_providers_is_counted_once() {
    let mut world = running(policy(2, 0), 4);
    let stray = Container { workers: 1, token: "000000000000beef-0".to_owned(), status: Seen::Running };
    world.backend.insert("stray".into(), stray);
    world.run_for(MINUTE * 2);
    assert_eq!(world.state.handle_count(), 4, "adopted, and another one gone for it");
    set_out(&mut world);
    let everybody: Vec<_> = world.backend.keys().cloned().collect();
    let living = |world: &World, name: &std::sync::Arc<str>| world.backend[name].status != Seen::Stopped;
    let entries: Vec<Listing> =
        everybody.iter().filter(|name| living(&world, name)).map(|name| world.entry(name)).collect();
    assert_eq!(entries.len(), 4);
    world.turn();
    world.see_on(NEW, &Observation::Listed(Ok(entries)));
    assert_eq!(world.state.handle_count(), 4, "they are the old provider's to look after");
    // A launch of the new side that the old provider lists is not its own either.
    let (id, workers) = launch(&world.turn());
    world.create(id, workers);
    let token = world.state.token(id);
    let seen = Listing { name: "c0".into(), workers: 1, token };
    world.see_on(OLD, &Observation::Listed(Ok(vec![seen])));
    assert_eq!((world.state.handle_count(), world.state.in_flight()), (4, u64::from(workers)));
}

#[test]
fn what_was_asked_of_the_old_provider_is_waited_for() {
    let mut world = World::new(policy(4, 0), listing(), 4);
    world.step();
    let (id, workers) = launch(&world.turn());
    set_out(&mut world);
    world.run_for(MINUTE);
    assert!(world.state.leaving().is_some(), "a launch is in flight there");
    assert_eq!(world.state.in_flight(), u64::from(workers));
    let handles = world.create_on(OLD, id, workers);
    world.answer_launch_on(OLD, id, handles);
    assert!(world.state.handles().all(|(_, handle)| handle.side == OLD || handle.launch != Some(id)));
    arrive(&mut world);
    assert_eq!((world.alive_on(OLD), world.alive_on(NEW)), (0, 4));
}

#[test]
fn an_unknown_launch_is_found_out_by_the_provider_that_it_was_asked_of() {
    for (traits, expect_list) in
        [(listing(), true), (ProviderTraits { idempotent_run: true, ..ProviderTraits::default() }, false)]
    {
        let mut world = World::new(policy(4, 0), traits, 4);
        if expect_list {
            world.step();
        }
        let (id, workers) = launch(&world.turn());
        world.create(id, workers);
        world.lose_launch(id, true);
        set_out(&mut world);
        assert!(
            world.report().reasons.iter().any(|reason| matches!(
                reason,
                Reason::Left { because, .. } if matches!(**because, Reason::HeldForUnknown { .. })
            )),
            "{}",
            world.why()
        );
        world.run_for(MINUTE * 3);
        assert_eq!((world.alive_on(OLD), world.alive_on(NEW)), (0, 4), "{}", world.why());
        assert!(world.state.is_converged(), "{}", world.why());
    }
}

#[test]
fn a_launch_that_fails_on_the_old_side_does_not_hold_up_the_new_one() {
    let mut world = World::new(policy(4, 0), listing(), 4);
    world.step();
    let (id, _) = launch(&world.turn());
    set_out(&mut world);
    let trouble = Trouble::new("the engine is gone");
    let outcome = LaunchOutcome::Failed { trouble, retryable: false };
    world.see_on(OLD, &Observation::Launch { launch: id, outcome });
    world.settle();
    assert!(!world.why().contains("launching failed"), "{}", world.why());
    assert_eq!(world.alive_on(NEW), 4);
}

#[test]
fn a_provider_that_is_out_of_reach_is_not_let_go_and_its_workers_are_not_forgotten() {
    let mut world = running(policy(3, 0), 3);
    set_out(&mut world);
    let end = world.now + MINUTE * 5;
    while world.now < end {
        for action in world.turn() {
            if action.side() != Some(OLD) {
                world.carry_out(&action);
                continue;
            }
            let trouble = Trouble::new("connection refused");
            let seen = match action {
                Action::List { .. } => Observation::Listed(Err(trouble)),
                Action::Status { .. } => Observation::StatusEnded { trouble: Some(trouble) },
                Action::Kill { handles, .. } => {
                    let answers = handles.into_iter().map(|id| (id, Err(trouble.clone()))).collect();
                    Observation::Killed { answers }
                }
                other => panic!("{other:?} is asked of the provider that is left"),
            };
            world.see_on(OLD, &seen);
        }
        world.pass(Duration::from_millis(500));
    }
    assert_eq!((world.alive_on(NEW), world.state.tally().terminating), (3, 3), "{}", world.why());
    assert!(world.why().contains("on provider `old`, which is left: the provider failed to tell statuses"));
    assert!(world.state.leaving().is_some() && !world.state.is_converged());
    arrive(&mut world);
    assert_eq!((world.alive_on(OLD), world.alive_on(NEW)), (0, 3));
}

#[test]
fn a_mass_death_on_either_side_is_looked_at_twice_there() {
    let policy = Policy { mass_death_workers: 3, ..policy(4, 0) };
    let mut world = running(policy, 4);
    set_out(&mut world);
    while world.state.tally().running < 8 {
        assert!(!world.step().is_empty(), "{}", world.why());
    }
    // Before anybody was killed for them, all new ones seem to be dead.
    let new: Vec<_> = world.state.handles().filter(|(_, it)| it.side == NEW).map(|(id, _)| id).collect();
    let seen = new.iter().map(|id| (*id, Seen::Stopped)).collect();
    world.see_on(NEW, &Observation::Statuses { asked_at: world.now, seen });
    let kills = |world: &World| world.count(|it| matches!(it, Change::KillStarted { .. }));
    let before = kills(&world);
    world.pass(Duration::from_secs(1));
    // A look at the other side, however late, says nothing of them.
    let old: Vec<_> = world.state.handles().filter(|(_, it)| it.side == OLD).map(|(id, _)| id).collect();
    world.tell_on(OLD, old);
    let actions = world.turn();
    assert!(actions.iter().all(|it| !matches!(it, Action::Kill { .. })), "{actions:?}");
    assert_eq!(kills(&world), before);
    assert!(world.why().contains("a second look"), "{}", world.why());
    for action in &actions {
        world.carry_out(action);
    }
    arrive(&mut world);
    assert_eq!((world.alive_on(OLD), world.alive_on(NEW)), (0, 4));
}

#[test]
fn a_host_that_is_cut_off_anywhere_on_the_way_goes_on() {
    for cut in 0..40 {
        let mut world = running(policy(2, 1), 5);
        set_out(&mut world);
        for _ in 0..cut {
            if world.step().is_empty() {
                world.pass(Duration::from_millis(100));
            }
        }
        // What was decided last is durable, and nobody has done it.
        world.turn();
        world.restart(2);
        let snapshot = serde_json::to_string(&world.state.snapshot()).expect("it is data");
        let back =
            State::restore(serde_json::from_str(&snapshot).expect("it is a snapshot")).expect("it agrees");
        assert_eq!(back.durable(), world.state.durable());
        world.run_for(MINUTE * 5);
        assert_eq!(
            (world.alive_on(OLD), world.alive_on(NEW)),
            (0, 5),
            "cut off after {cut}: {}",
            world.why()
        );
        assert!(world.state.is_converged(), "cut off after {cut}: {}", world.why());
    }
}

#[test]
fn it_grows_where_it_goes_and_shrinks_where_it_comes_from() {
    let mut world = running(policy(2, 0), 6);
    world.born = Seen::Initializing;
    set_out(&mut world);
    world.settle();
    assert_eq!((world.alive_on(OLD), world.alive_on(NEW)), (6, 2));
    world.command(&Command::Scale { expected: 4 }).expect("legal");
    world.settle();
    assert_eq!((world.alive_on(OLD), world.alive_on(NEW)), (4, 2), "those that wait for others to run stay");
    world.command(&Command::Scale { expected: 9 }).expect("legal");
    world.run_for(Duration::from_secs(2));
    assert_eq!((world.alive_on(OLD), world.alive_on(NEW)), (4, 7), "all that is new is launched there");
    assert!(!world.state.is_converged());
}

#[test]
fn a_cluster_that_is_stopped_or_deleted_on_the_way_is_taken_down_on_both_sides() {
    for (command, is_deleted) in [(Command::Stop, false), (Command::Delete { force: false }, true)] {
        let mut world = running(policy(2, 0), 4);
        world.born = Seen::Initializing;
        set_out(&mut world);
        world.settle();
        assert_eq!((world.alive_on(OLD), world.alive_on(NEW)), (4, 2));
        world.command(&command).expect("legal");
        world.run_for(MINUTE * 2);
        assert_eq!(world.alive(), 0, "{}", world.why());
        assert_eq!(world.state.is_finished(), is_deleted, "{}", world.why());
        if !is_deleted {
            assert!(world.state.leaving().is_none() && world.state.is_converged(), "{}", world.why());
            assert_eq!(world.count(|it| matches!(it, Change::KillStarted { why: KillReason::Moved, .. })), 0);
        }
    }
    let mut world = running(policy(2, 0), 4);
    set_out(&mut world);
    world.command(&Command::Delete { force: true }).expect("legal");
    assert!(world.state.is_finished() && world.state.leaving().is_none());
}

#[test]
fn a_move_under_way_goes_nowhere_else() {
    let mut world = running(policy(1, 0), 3);
    set_out(&mut world);
    let third = to(&world, "new", "third");
    let denied = Denied::IsMoving { from: "old".to_owned(), left: 3 };
    assert_eq!(admit(&world.state, world.now, &third), Err(denied.clone()));
    assert_eq!(admit(&world.state, world.now, &Command::Reconnect), Err(denied.clone()));
    assert!(denied.to_string().contains("still moving away from provider `old`"), "{denied}");
    arrive(&mut world);
    world.command(&third).expect("now it may");
    assert_eq!(world.state.side(), Side(2));
}

#[test]
fn a_server_that_the_provider_runs_is_taken_down_first() {
    let traits = ProviderTraits { list: true, server: true, ..ProviderTraits::default() };
    let server: Option<ServerPolicy> = Some(managed(OnRestart::ReplaceIfMoved));
    let mut world = World::with_server(policy(2, 0), traits, 2, server);
    world.run_for(MINUTE);
    let Command::Update { policy, traits, expected, route, .. } = to(&world, "old", "new") else {
        unreachable!()
    };
    let command =
        Command::Update { policy, traits, expected, server, per_container: 1, other_server: false, route };
    let denied = Denied::ServerStaysBehind { from: "old".to_owned() };
    assert_eq!(admit(&world.state, world.now, &command), Err(denied.clone()));
    assert!(denied.to_string().contains("stop the cluster first (`longshore stop`)"), "{denied}");
    world.command(&Command::Stop).expect("legal");
    world.run_for(MINUTE);
    world.command(&command).expect("nothing of it is there any more");
    world.command(&Command::Start).expect("legal");
    world.run_for(MINUTE);
    assert_eq!((world.alive_on(OLD), world.alive_on(NEW)), (0, 2), "{}", world.why());
    assert!(world.state.is_converged() && world.state.leaving().is_none(), "{}", world.why());
}

#[test]
fn what_a_provider_says_that_was_let_go_is_not_heard() {
    let mut world = running(policy(2, 0), 2);
    set_out(&mut world);
    arrive(&mut world);
    let (before, records) = (world.state.clone(), world.records.len());
    let late = Listing { name: "late".into(), workers: 1, token: "other".to_owned() };
    world.see_on(OLD, &Observation::Listed(Ok(vec![late])));
    world.see_on(OLD, &Observation::StatusEnded { trouble: Some(Trouble::new("too late")) });
    assert_eq!((world.state, world.records.len()), (before, records));
}

#[test]
fn a_late_worker_of_the_old_provider_is_found_by_the_last_look() {
    let mut world = running(policy(2, 0), 2);
    set_out(&mut world);
    while world.alive_on(OLD) > 0 {
        if world.step().is_empty() {
            world.pass(Duration::from_millis(100));
        }
    }
    assert!(world.state.leaving().is_some(), "it has not looked since");
    let token = world.records.iter().find_map(|record| match record.change {
        Change::LaunchStarted { launch, .. } => Some(world.state.token(launch)),
        _ => None,
    });
    let late = Container { workers: 1, token: token.expect("it was launched"), status: Seen::Running };
    world.backend.insert("late".into(), late);
    world.run_for(MINUTE * 2);
    assert_eq!((world.alive_on(OLD), world.alive_on(NEW)), (0, 2), "{}", world.why());
    assert!(world.state.leaving().is_none() && world.state.is_converged(), "{}", world.why());
}

#[test]
fn what_the_old_provider_can_do_may_change_on_the_way() {
    let mut world = running(policy(2, 0), 2);
    set_out(&mut world);
    let attach = Command::Attach { side: OLD, traits: ProviderTraits::default() };
    world.command(&attach).expect("never denied");
    assert!(!world.state.traits_of(OLD).list && world.state.traits_of(NEW).list);
    let records = world.records.len();
    world.command(&Command::Attach { side: Side(7), traits: listing() }).expect("never denied");
    assert_eq!(world.records.len(), records, "there is no such side");
    arrive(&mut world);
    let attach = Command::Attach { side: NEW, traits: ProviderTraits::default() };
    world.command(&attach).expect("never denied");
    assert!(!launches(&world.step()));
}

/// A container of three that does not work yet cannot go for a surplus of two, so that two that work go.
#[test]
fn who_goes_as_surplus_of_the_new_side_is_nobodys_relief() {
    let mut world = running(policy(9, 0), 6);
    (world.share, world.born) = (3, Seen::Initializing);
    set_out(&mut world);
    world.step();
    let (id, workers) = launch(&world.turn());
    assert_eq!(workers, 6);
    for (name, workers, status) in [
        ("a", 3, Seen::Initializing),
        ("b", 1, Seen::Running),
        ("c", 1, Seen::Running),
        ("d", 1, Seen::Initializing),
    ] {
        let container = Container { workers, token: world.state.token(id), status };
        world.on(NEW).insert(name.into(), container);
    }
    let handles = [("a", 3), ("b", 1), ("c", 1), ("d", 1)];
    world.answer_launch_on(NEW, id, handles.map(|(name, workers)| (name.into(), workers)).to_vec());
    let new: Vec<_> = world.state.handles().filter(|(_, it)| it.side == NEW).map(|(id, _)| id).collect();
    world.tell_on(NEW, new);
    world.command(&Command::Scale { expected: 4 }).expect("legal");
    world.turn();
    let live = |world: &World, side, phase| {
        let of_it = world.state.handles().filter(|(_, it)| it.side == side && it.phase == phase);
        of_it.map(|(_, it)| it.workers).sum::<u32>()
    };
    let (old, new) = (live(&world, OLD, Phase::Running), live(&world, NEW, Phase::Running));
    assert!(old + new >= 4, "{old} of before and {new} new ones are at work: {}", world.why());
}
