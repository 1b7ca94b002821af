//! What becomes of a cluster whose host is cut off, and of workers that none of its launches brought.

use std::time::Duration;

use longshore_scaling::{
    Action, Change, Command, Cycle, Denied, Desired, KillReason, LaunchOutcome, LaunchPhase, Listing,
    Observation, Phase, Policy, ProviderTraits, Seen, Side, State, Step, Strays, Time, Trouble, admit, plan,
};

use crate::world::{Container, World, launch, launches};

const MINUTE: Duration = Duration::from_mins(1);

impl World {
    fn stray(&mut self, name: &str, workers: u32) {
        let container = Container { workers, token: "000000000000beef-0".to_owned(), status: Seen::Running };
        self.backend.insert(name.into(), container);
    }
}

fn killing_strays(grace: Duration) -> World {
    let policy = Policy { strays: Strays::Kill, stray_grace: grace, ..Policy::default() };
    World::new(policy, ProviderTraits { list: true, ..ProviderTraits::default() }, 2)
}

#[test]
fn a_launch_in_flight_is_unknown_after_a_restart_and_found_by_list() {
    let mut world = World::listing(3);
    world.step();
    let actions = world.turn();
    let (id, workers) = launch(&actions);
    world.create(id, workers);
    world.restart(2);
    assert_eq!((world.state.in_flight(), world.state.unknown()), (0, 3));
    world.run_for(MINUTE);
    assert_eq!((world.alive(), world.state.tally().running), (3, 3), "none was launched in their place");
    assert_eq!(world.count(|change| matches!(change, Change::LaunchStarted { .. })), 1);
}

#[test]
fn a_launch_that_never_began_is_done_anew_after_two_lists_without_it() {
    let mut world = World::listing(3);
    world.step();
    launch(&world.turn());
    world.restart(2);
    world.run_for(MINUTE);
    assert_eq!((world.alive(), world.state.unknown()), (3, 0));
    assert_eq!(world.count(|change| matches!(change, Change::LaunchNotListed { .. })), 1);
    assert_eq!(world.count(|change| matches!(change, Change::LaunchStarted { .. })), 2);
}

#[test]
fn an_idempotent_provider_is_asked_again_under_the_same_token() {
    let traits = ProviderTraits { idempotent_run: true, ..ProviderTraits::default() };
    let mut world = World::new(Policy::default(), traits, 3);
    let (id, workers) = launch(&world.turn());
    world.create(id, workers);
    world.restart(2);
    let again = world.turn();
    assert!(
        again.contains(&Action::Launch { side: Side(0), launch: id, workers, again: true }),
        "at once: {again:?}"
    );
    for action in &again {
        world.carry_out(action);
    }
    world.settle();
    assert_eq!(world.alive(), 3);
}

#[test]
fn a_provider_that_can_tell_nothing_leaves_it_to_an_operator() {
    let mut world = World::plain(3);
    let (id, workers) = launch(&world.turn());
    let made = world.create(id, workers);
    world.restart(2);
    world.run_for(MINUTE * 60);
    assert!(world.why().contains("longshore resolve"), "{}", world.why());
    assert_eq!((world.alive(), world.state.unknown()), (3, 3), "nothing is launched in their place");

    let token = world.state.token(id);
    let resolve = |handles| Command::Resolve { token: token.clone(), handles };
    let many = world.command(&resolve(vec![("c".into(), 4)]));
    assert_eq!(many, Err(Denied::TooMany { token: token.clone(), held: 3, named: 4 }));
    for bad in [vec![("c".into(), 1), ("c".into(), 1)], vec![("c".into(), 0)], vec![("".into(), 1)]] {
        assert!(matches!(world.command(&resolve(bad)), Err(Denied::BadHandle { .. })));
    }
    let two = made[..2].to_vec();
    world.set(&made[2].0, Seen::Stopped);
    world.command(&resolve(two)).expect("two of them are there");
    world.run_for(MINUTE);
    assert_eq!((world.alive(), world.state.unknown(), world.state.tally().running), (3, 0, 3));
    let again = world.command(&resolve(Vec::new()));
    assert_eq!(again, Err(Denied::NoSuchLaunch { token }), "it is settled");
}

#[test]
fn a_launch_in_flight_cannot_be_resolved_and_one_of_a_cluster_being_deleted_can() {
    let mut world = World::plain(1);
    let (id, _) = launch(&world.turn());
    let resolve = Command::Resolve { token: world.state.token(id), handles: Vec::new() };
    assert!(matches!(world.command(&resolve), Err(Denied::InFlight { .. })));
    world.lose_launch(id, true);
    world.command(&Command::Delete { force: false }).expect("legal");
    world.settle();
    assert!(!world.state.is_finished());
    world.command(&resolve).expect("it stands in the way");
    assert!(world.state.is_finished());
}

#[test]
fn a_call_past_its_deadline_is_over_when_its_host_is() {
    let mut world = World::listing(1);
    world.step();
    let (id, _) = launch(&world.turn());
    world.lose_launch(id, false);
    world.run_for(MINUTE * 10);
    assert_eq!(world.state.unknown(), 1, "nobody knows while it hangs");
    world.restart(2);
    world.run_for(MINUTE);
    assert_eq!((world.state.unknown(), world.alive()), (0, 1));
}

#[test]
fn launch_numbers_are_never_given_out_again_even_where_the_journal_lost_its_end() {
    let mut world = World::listing(1);
    world.step();
    let before = world.state.clone();
    let (lost, _) = launch(&world.turn());
    let mut behind = before.durable();
    behind.apply(&Change::Recovered { term: 2 }.at(world.now));
    let token = before.token(lost);
    assert_eq!(behind.launch_of(&token), Some(lost), "its workers are known for the cluster's own");
    world.state = behind;
    world.step();
    let (next, _) = launch(&world.turn());
    assert!(next > lost && world.state.token(next) != token);
}

#[test]
fn a_kill_that_was_cut_off_is_done_again_at_once() {
    let mut world = World::plain(3);
    world.settle();
    world.command(&Command::Scale { expected: 1 }).expect("legal");
    let asked = world.turn();
    assert!(asked.iter().any(|action| matches!(action, Action::Kill { .. })));
    world.restart(2);
    let again = world.turn();
    let outstanding = |action: &&Action| matches!(action, Action::Kill { why: KillReason::Outstanding, .. });
    let Some(Action::Kill { handles, .. }) = again.iter().find(outstanding) else { panic!("{again:?}") };
    assert_eq!(handles.len(), 2);
    let attempts = world.state.handle(handles[0]).map(|handle| handle.phase);
    assert!(matches!(attempts, Some(Phase::Terminating { attempts: 1, .. })), "it counts once: {attempts:?}");
    for action in &again {
        world.carry_out(action);
    }
    world.run_for(MINUTE);
    assert_eq!(world.alive(), 1);
}

#[test]
fn time_without_a_host_does_not_make_starters_late() {
    let mut world = World::plain(2);
    world.born = Seen::Initializing;
    world.settle();
    world.restart(2);
    let names: Vec<_> = world.backend.keys().cloned().collect();
    for name in names {
        world.set(&name, Seen::Running);
    }
    world.pass(MINUTE * 60);
    world.run_for(MINUTE);
    assert_eq!(world.count(|change| matches!(change, Change::KillStarted { .. })), 0);
    assert_eq!(world.state.tally().running, 2);
}

#[test]
fn a_cluster_at_rest_comes_back_with_the_next_host() {
    let mut world = World::listing(2);
    world.settle();
    world.command(&Command::Rest).expect("legal");
    world.run_for(MINUTE);
    assert_eq!((world.alive(), world.state.target(), world.state.desired()), (0, 0, Desired::Running));
    assert!(world.state.is_converged() && world.why().contains("the next host brings 2 workers back"));
    world.restart(2);
    world.run_for(MINUTE);
    assert_eq!((world.alive(), world.state.is_resting()), (2, false));
}

#[test]
fn a_snapshot_and_the_records_after_it_are_the_state() {
    let mut world = World::listing(9);
    world.share = 2;
    world.settle();
    world.command(&Command::Scale { expected: 4 }).expect("legal");
    world.turn();
    let at = world.records.len();
    let text = serde_json::to_string(&world.state.snapshot()).expect("plain data");
    world.run_for(MINUTE);
    let mut state = State::restore(serde_json::from_str(&text).expect("its own")).expect("sound");
    for record in world.records[at..].iter().filter(|record| record.change.is_durable()) {
        state.apply(record);
    }
    assert_eq!(state.durable(), world.state.durable());
}

#[test]
fn a_snapshot_that_contradicts_itself_is_refused() {
    let mut world = World::plain(3);
    world.settle();
    let sound = world.state.snapshot();
    let mut short = sound.clone();
    short.handles.pop();
    assert!(State::restore(short).is_err());
    let mut twice = sound.clone();
    twice.handles[1].handle.name = sound.handles[0].handle.name.clone();
    assert!(State::restore(twice).is_err());
    let mut disordered = sound.clone();
    disordered.handles.swap(0, 1);
    assert!(State::restore(disordered).is_err());
    assert_eq!(State::restore(sound).expect("sound"), world.state.durable());
}

#[test]
fn strays_are_adopted_unless_the_policy_says_otherwise() {
    let mut world = World::listing(2);
    world.stray("stray", 1);
    world.run_for(MINUTE);
    assert_eq!((world.alive(), world.state.tally().running), (2, 2));
    assert!(world.names().contains(&"stray".to_owned()));
}

#[test]
fn strays_are_killed_after_their_grace_and_not_before() {
    let grace = MINUTE * 5;
    let mut world = killing_strays(grace);
    world.stray("stray", 1);
    world.settle();
    world.run_for(grace.saturating_sub(Duration::from_secs(1)));
    assert_eq!((world.alive(), world.state.tally().running), (3, 2), "it is let be, and does not count");
    assert!(world.why().contains("that none of its launches brought"), "{}", world.why());
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.alive(), 2, "{}", world.why());
    assert_eq!(world.state.strays().count(), 0);
    world.run_for(MINUTE);
    assert!(world.state.is_converged());
}

#[test]
fn strays_that_go_by_themselves_are_forgotten_and_begin_anew() {
    let grace = MINUTE * 5;
    let mut world = killing_strays(grace);
    world.stray("stray", 1);
    world.settle();
    world.set("stray", Seen::Stopped);
    world.run_for(MINUTE * 3);
    assert_eq!(world.state.strays().count(), 0);
    world.stray("stray", 1);
    world.run_for(MINUTE * 4);
    assert_eq!((world.alive(), world.state.strays().count()), (3, 1), "its grace began anew");
    world.run_for(MINUTE * 3);
    assert_eq!(world.alive(), 2);
}

#[test]
fn strays_count_against_the_maximum_while_they_live() {
    let policy = Policy { strays: Strays::Kill, stray_grace: MINUTE, max: 3, ..Policy::default() };
    let mut world = World::new(policy, ProviderTraits { list: true, ..ProviderTraits::default() }, 3);
    world.stray("stray", 2);
    world.settle();
    assert_eq!((world.alive(), world.state.tally().running), (3, 1));
    world.run_for(MINUTE * 3);
    assert_eq!((world.alive(), world.state.tally().running), (3, 3));
}

#[test]
fn workers_of_an_own_launch_are_never_strays() {
    let mut world = killing_strays(Duration::ZERO);
    world.step();
    let (id, workers) = launch(&world.turn());
    world.fail_launch(id, "nothing was made", true);
    // The provider was wrong.
    world.create(id, workers);
    world.run_for(MINUTE * 10);
    assert_eq!(world.state.strays().count(), 0);
    assert_eq!((world.alive(), world.state.tally().running), (2, 2));
}

#[test]
fn a_cluster_is_taken_over_as_it_runs() {
    let mut world =
        World::new(Policy::default(), ProviderTraits { list: true, ..ProviderTraits::default() }, 1);
    world.command(&Command::Reconnect).expect("it can be listed");
    for name in ["a", "b", "c"] {
        world.stray(name, 2);
    }
    world.step();
    assert!(world.why().contains("being taken over"), "{}", world.why());
    // One that lagged behind shows up in the second list.
    world.stray("d", 1);
    world.run_for(MINUTE);
    assert_eq!((world.state.expected(), world.state.tally().running, world.alive()), (7, 7, 7));
    assert_eq!(
        world.count(|change| matches!(change, Change::LaunchStarted { .. } | Change::KillStarted { .. })),
        0
    );
    world.command(&Command::Stop).expect("legal");
    assert_eq!(world.command(&Command::Reconnect), Err(Denied::IsStopped));
    let cannot = World::plain(1).command(&Command::Reconnect);
    assert_eq!(cannot, Err(Denied::CannotList));
}

#[test]
fn who_names_a_number_ends_the_taking_over() {
    let mut world = World::listing(1);
    world.command(&Command::Reconnect).expect("legal");
    world.stray("a", 1);
    world.stray("b", 1);
    world.step();
    world.command(&Command::Scale { expected: 5 }).expect("legal");
    world.run_for(MINUTE);
    assert_eq!((world.state.expected(), world.alive()), (5, 5));
}

fn cycle(traits: ProviderTraits) -> Cycle {
    let create = Command::Create {
        uid: 7,
        policy: Policy::default(),
        traits,
        expected: 2,
        desired: Desired::Running,
        server: None,
        per_container: 1,
    };
    Cycle::new(State::replay(&admit(&State::default(), Time::default(), &create).expect("legal")))
}

#[test]
fn a_cycle_acts_only_on_what_was_written() {
    let (mut cycle, now) = (cycle(ProviderTraits::default()), Time::from_millis(1));
    let Step::Write(intent) = cycle.next(now) else { panic!("the intent comes first") };
    assert!(matches!(intent[..], [ref record] if matches!(record.change, Change::LaunchStarted { .. })));
    assert_eq!(cycle.next(now), Step::Write(intent), "until it is written");
    cycle.refused();
    assert_eq!(cycle.state().in_flight(), 0);
    let Step::Write(_) = cycle.next(now) else { panic!("it is decided anew") };
    cycle.written();
    let Step::Act(actions) = cycle.next(now) else { panic!("now it is carried out") };
    assert!(launches(&actions));
    assert!(matches!(cycle.next(now), Step::Rest { .. }), "once");
}

#[test]
fn what_was_seen_while_the_journal_failed_counts_later() {
    let (mut cycle, now) = (cycle(ProviderTraits::default()), Time::from_millis(1));
    let Step::Write(_) = cycle.next(now) else { panic!("an intent") };
    cycle.written();
    let Step::Act(actions) = cycle.next(now) else { panic!("an action") };
    let (id, _) = launch(&actions);
    let handles = vec![("a".into(), 1), ("b".into(), 1)];
    let outcome = LaunchOutcome::Succeeded { handles, shortfall: None, retryable: true };
    cycle.see(Side(0), Observation::Launch { launch: id, outcome });
    for _ in 0..3 {
        assert!(matches!(cycle.next(now), Step::Write(_)));
        cycle.refused();
        assert!(cycle.is_behind() && cycle.state().handle_count() == 0);
    }
    assert!(matches!(cycle.next(now), Step::Write(_)));
    cycle.written();
    assert_eq!((cycle.is_behind(), cycle.state().handle_count()), (false, 2));
}

#[test]
fn a_recovered_cycle_says_so_before_anything_else() {
    let fresh = cycle(ProviderTraits { list: true, ..ProviderTraits::default() });
    let mut cycle = Cycle::recover(fresh.state().durable(), Time::from_millis(9), 3);
    let first = cycle.next(Time::from_millis(9));
    let recovered = |step: &Step| matches!(step, Step::Write(records) if matches!(records[..], [ref record] if record.change == Change::Recovered { term: 3 }));
    assert!(recovered(&first), "{first:?}");
    cycle.refused();
    assert!(recovered(&cycle.next(Time::from_millis(9))), "however often it is refused");
    cycle.written();
    assert_eq!(cycle.state().term(), 3);
    assert!(
        matches!(cycle.next(Time::from_millis(9)), Step::Act(actions) if actions == [Action::List { side: Side(0) }])
    );
    cycle.see(
        Side(0),
        Observation::Listed(Ok(vec![Listing { name: "x".into(), workers: 1, token: "other".into() }])),
    );
    assert!(matches!(cycle.next(Time::from_millis(9)), Step::Write(_)));
    assert!(cycle.state().launches().all(|(_, launch)| launch.phase != LaunchPhase::InFlight));
}

/// Answers as a provider that is not there, or cannot tell.
fn refuse(world: &mut World, actions: &[Action]) {
    for action in actions {
        let trouble = Trouble::new("it is not there");
        match action {
            Action::Initialize { .. } => world.see(&Observation::Initialized(Err(trouble))),
            Action::Kill { handles, .. } => {
                let answers = handles.iter().map(|id| (*id, Err(trouble.clone()))).collect();
                world.see(&Observation::Killed { answers });
            }
            Action::Status { .. } => world.see(&Observation::StatusEnded { trouble: Some(trouble) }),
            Action::List { .. } => world.see(&Observation::Listed(Err(trouble))),
            Action::Launch { launch, .. } => world.fail_launch(*launch, "it is not there", true),
            Action::RunServer | Action::StopServer { .. } | Action::LookAtServer | Action::LetGo { .. } => {
                unreachable!("this cluster has no server and does not move")
            }
        }
    }
}

fn wake(world: &mut World) {
    world.now = plan(&world.state, world.now).0.wake_at.expect("there is something to wait for");
}

#[test]
fn two_lists_in_haste_prove_nothing() {
    let mut world = World::listing(3);
    world.step();
    launch(&world.turn());
    world.restart(2);
    for _ in 0..5 {
        world.pass(Duration::from_millis(5));
        world.command(&Command::Refresh).expect("legal");
        if world.turn().contains(&Action::List { side: Side(0) }) {
            world.see(&Observation::Listed(Ok(Vec::new())));
        }
    }
    assert_eq!(world.state.unknown(), 3, "a backend may lag for longer than an operator's patience");
    assert_eq!(world.count(|change| matches!(change, Change::LaunchNotListed { .. })), 0);
}

#[test]
fn a_clock_that_was_moved_while_there_was_no_host_is_no_evidence() {
    let mut world = World::listing(3);
    world.step();
    launch(&world.turn());
    world.restart(2);
    world.run_for(Duration::from_secs(6));
    let missed = |world: &World| world.count(|change| matches!(change, Change::LaunchNotListed { .. }));
    assert_eq!((world.state.unknown(), missed(&world)), (3, 1));
    world.pass(MINUTE * 60);
    world.restart(3);
    world.settle();
    assert_eq!((world.state.unknown(), missed(&world)), (3, 1), "an hour may have been a moment");
    world.run_for(MINUTE);
    assert_eq!((world.state.unknown(), world.alive()), (0, 3));
}

#[test]
fn a_launch_is_repeated_only_once_the_provider_is_prepared() {
    let traits = ProviderTraits { initialize: true, idempotent_run: true, ..ProviderTraits::default() };
    let mut world = World::new(Policy::default(), traits, 3);
    world.step();
    let (id, _) = launch(&world.turn());
    world.restart(2);
    assert_eq!(world.step(), [Action::Initialize { side: Side(0) }]);
    assert!(matches!(world.step()[..], [Action::Launch { launch, again: true, .. }] if launch == id));
}

#[test]
fn a_refresh_prepares_and_kills_again_at_once() {
    let traits = ProviderTraits { initialize: true, ..ProviderTraits::default() };
    let mut world = World::new(Policy::default(), traits, 2);
    for _ in 0..12 {
        let actions = world.turn();
        refuse(&mut world, &actions);
        wake(&mut world);
    }
    let actions = world.turn();
    refuse(&mut world, &actions);
    world.command(&Command::Refresh).expect("legal");
    world.settle();
    assert_eq!(world.alive(), 2);

    world.command(&Command::Stop).expect("legal");
    for _ in 0..60 {
        let actions = world.turn();
        refuse(&mut world, &actions);
        wake(&mut world);
    }
    world.command(&Command::Refresh).expect("legal");
    let actions = world.turn();
    assert!(actions.iter().any(|action| matches!(action, Action::Kill { .. })), "{actions:?}");
}

#[test]
fn what_is_taken_over_is_counted_when_all_is_settled() {
    let mut world = World::listing(2);
    world.settle();
    world.command(&Command::Scale { expected: 6 }).expect("legal");
    let (id, workers) = launch(&world.turn());
    world.command(&Command::Reconnect).expect("legal");
    world.run_for(MINUTE);
    let handles = world.create(id, workers);
    world.answer_launch(id, handles);
    world.run_for(MINUTE);
    assert_eq!((world.state.expected(), world.alive()), (6, 6), "four were under way");
}

#[test]
fn what_is_taken_over_is_what_the_list_names() {
    let mut world = World::listing(10);
    world.settle();
    world.restart(2);
    let dead: Vec<_> = world.backend.keys().take(6).cloned().collect();
    for name in dead {
        world.backend.remove(&name);
    }
    world.command(&Command::Reconnect).expect("legal");
    // Statuses hang meanwhile.
    while world.count(|change| matches!(change, Change::Reconnected { .. })) == 0 {
        if world.turn().contains(&Action::List { side: Side(0) }) {
            world.list();
        }
        wake(&mut world);
    }
    assert_eq!(world.state.expected(), 4);
}

#[test]
fn a_look_that_fails_in_parts_still_tells_who_is_late() {
    let mut world = World::plain(2);
    world.born = Seen::Initializing;
    world.settle();
    world.command(&Command::Scale { expected: 1 }).expect("legal");
    let late = |change: &Change| matches!(change, Change::KillStarted { why: KillReason::LaunchTimeout, .. });
    let end = world.now + MINUTE * 30;
    while world.now < end && world.count(late) == 0 {
        for action in world.turn() {
            match &action {
                Action::Status { live, .. } => {
                    let seen = live.iter().map(|id| (*id, Seen::Initializing)).collect();
                    world.see(&Observation::Statuses { asked_at: world.now, seen });
                    world.see(&Observation::StatusEnded {
                        trouble: Some(Trouble::new("of one it cannot tell")),
                    });
                }
                Action::Kill { handles, .. } => {
                    let answers = handles.iter().map(|id| (*id, Ok(()))).collect();
                    world.see(&Observation::Killed { answers });
                }
                other => world.carry_out(other),
            }
        }
        wake(&mut world);
    }
    assert_eq!(world.count(late), 1);
}

#[test]
fn a_provider_that_lists_no_more_holds_nothing_up() {
    let mut world = killing_strays(MINUTE);
    world.stray("stray", 1);
    world.settle();
    assert_eq!(world.state.strays().count(), 1);
    world.command(&Command::Delete { force: false }).expect("legal");
    world.restart(2);
    world
        .command(&Command::Attach { side: Side(0), traits: ProviderTraits::default() })
        .expect("a deleted cluster has a provider, too");
    world.run_for(MINUTE);
    assert!(world.state.is_finished(), "{}", world.why());
    assert_eq!(world.alive(), 1, "the stray alone");
    let again = Command::Attach { side: Side(0), traits: ProviderTraits::default() };
    let before = world.records.len();
    world.command(&again).expect("legal");
    assert_eq!(world.records.len(), before, "nothing new, nothing to record");
}

#[test]
fn what_was_forgotten_does_not_come_back_and_its_numbers_neither() {
    let mut world = World::listing(2);
    world.settle();
    let listed = world.state.handle_count();
    world.command(&Command::Delete { force: true }).expect("legal");
    world.list();
    assert!(world.state.is_finished() && world.state.handle_count() == 0);
    assert_eq!(world.state.snapshot().handles.len(), 0);
    let create = Command::Create {
        uid: 9,
        policy: Policy::default(),
        traits: ProviderTraits::default(),
        expected: 1,
        desired: Desired::Running,
        server: None,
        per_container: 1,
    };
    // A cluster of the same name begins with nothing of the one before.
    world.command(&create).expect("legal");
    assert_eq!((world.state.generation(), world.state.uid(), world.state.is_finished()), (1, 9, false));
    assert!(listed > 0);
}
